"""The page about a conversion: what it says on top, that it needs nothing else, that no text in it is taken for HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from generator.leads import STORED
from generator.plausible import KNOWN_ORDERS, Plausibility, check
from generator.simulate import stand_in
from generator.strip import SAMPLES, Counts
from study.conversion_page import page

ORDER = KNOWN_ORDERS[2]


class Read(HTMLParser):
    """Elements with their attributes, and the text that is shown."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.shown.append(data)

    def number(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())


@pytest.fixture(scope="module")
def strips() -> list[tuple[str, Counts]]:
    return [(f"{rhythm}, strip {number}", stand_in(rhythm, seed=number)) for number, rhythm in enumerate(("AF", "NSR", "AF", "NSR"))]


def found(strips: list[tuple[str, Counts]], order: tuple[str, ...] = ORDER) -> Plausibility:
    return check(np.stack([counts for _, counts in strips]), order)


def upside_down(strips: list[tuple[str, Counts]], *leads: str) -> list[tuple[str, Counts]]:
    signs = np.array([-1 if lead in leads else 1 for lead in STORED], dtype=np.int16)
    return [(caption, counts * signs[:, None]) for caption, counts in strips]


def test_it_says_on_top_that_leads_are_plausible(strips: list[tuple[str, Counts]]) -> None:
    read = Read(page("Converted: a.pkl", {"Units": "mV"}, found(strips), strips))
    assert "This checkpoint draws plausible leads" in read.text
    assert "failed" not in read.text
    assert read.text.index("plausible leads") < read.text.index("What was converted") < read.text.index("What the check found")


def test_it_says_on_top_that_they_are_not_and_what_to_do(strips: list[tuple[str, Counts]]) -> None:
    turned = upside_down(strips, "V1", "V2")
    plausibility = found(turned)
    read = Read(page("Converted: a.pkl", {}, plausibility, turned))
    top, rest = read.text.split("What was converted")
    assert "This checkpoint does not draw plausible leads" in top
    assert all(remedy in top for remedy in plausibility.remedies)
    for finding in plausibility.findings:
        assert finding.found in rest
    assert rest.count("✗ failed") == sum(not finding.passed for finding in plausibility.findings) > 0
    assert rest.count("✓ passed") == sum(finding.passed for finding in plausibility.findings) > 0
    assert "The QRS complex of V1 is positive in 4 of 4 strips" in rest


def test_it_shows_every_fact_and_every_strip_with_its_caption(strips: list[tuple[str, Counts]]) -> None:
    facts = {"Kernel form": "conjugate", "Lead order": "I, II, V1", "Parameters": "36 blocks"}
    read = Read(page("Converted: a.pkl", facts, found(strips), strips))
    assert all(f"{name} {value}" in read.text for name, value in facts.items())
    assert read.number("svg") == read.number("figure") == len(strips)
    assert all(read.text.count(caption) == 2 for caption, _ in strips)  # above the sheet and as its title


def test_it_names_a_nearer_published_order(strips: list[tuple[str, Counts]]) -> None:
    read = Read(page("a", {}, found(strips, KNOWN_ORDERS[0]), strips))  # what is stored is as stated, whatever the order
    assert f"Order stated: {', '.join(KNOWN_ORDERS[0])}" in read.text
    assert "No published order is nearer." in read.text


def test_without_strips_or_a_heartbeat_it_is_a_page_too(strips: list[tuple[str, Counts]]) -> None:
    none = check(np.zeros((0, len(STORED), SAMPLES), dtype=np.int16), ORDER)
    read = Read(page("a", {}, none, []))
    assert "does not draw plausible leads" in read.text
    assert "It drew no strip to show" in read.text
    assert "nan" not in read.text.lower()
    flat = [("flat", np.zeros((len(STORED), SAMPLES), dtype=np.int16))] * 4
    assert "0 of 4 strips" in Read(page("a", {}, found(flat), flat)).text


def test_it_fetches_nothing_and_runs_nothing(strips: list[tuple[str, Counts]]) -> None:
    document = page("a", {"b": "c"}, found(strips), strips)
    read = Read(document)
    assert not {"script", "link", "img", "iframe", "object", "a"} & {tag for tag, _ in read.elements}
    assert not any(name in ("src", "href", "xlink:href") or name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert "url(" not in document
    assert "@import" not in document
    assert set(re.findall(r"https?://[^\s\"'<]+", document)) == {"http://www.w3.org/2000/svg"}
    [policy] = [attributes["content"] for tag, attributes in read.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_all_text_is_escaped(strips: list[tuple[str, Counts]]) -> None:
    bad = "</title><script>alert('1')</script>&<b \"x\">"
    clean = Read(page("t", {"n": "v"}, found(strips), [("c", strips[0][1])]))
    read = Read(page(bad, {bad: bad}, found(strips), [(bad, strips[0][1])]))
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in clean.elements]
    assert read.text.count("<script>alert('1')</script>") == 6  # title, heading, fact twice, caption, title of the sheet
