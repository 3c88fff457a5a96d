"""A whole study in a real browser: recordings come in, strips are drawn, four readers at two hospitals read a round, two people unblind it, and
what the results page and the export say is what the readers answered."""

from __future__ import annotations

import csv
import io
import re
import shutil
import zipfile
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from generator.recordings import find
from tests.browser.driving import Server, on_desk, press, settled, sign_in

pytestmark = pytest.mark.browser

PASSWORD = "read with calm eyes"
READERS = {  # user name: (name, hospital, how the scale is answered, over and over)
    "anna": ("Anna Berg", "North Hospital", (1, 5, 2, 6)),
    "bilal": ("Bilal Aziz", "North Hospital", (2, 5, 1, 6, 3)),
    "chloe": ("Chloe Martin", "South Hospital", (6, 1, 4)),
    "dario": ("Dario Conti", "South Hospital", (4, 3)),
}
CASES = 24


@pytest.fixture(scope="module")
def forty(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 40 PTB-XL recordings, 20 of each rhythm, with their table of labels."""
    source = shared / "data" / "ptbxl"
    candidates = find(source).candidates
    chosen = [one for rhythm in ("NSR", "AF") for one in islice((c for c in candidates if c.rhythm == rhythm), 20)]
    folder = tmp_path_factory.mktemp("forty")
    rows = ["record,rhythm,patient"]
    for one in chosen:
        for part in one.path.parent.glob(f"{one.path.name}*"):
            shutil.copy(part, folder)
        rows.append(f"{one.path.name},{one.rhythm},{one.patient}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return Path(shutil.make_archive(str(folder), "zip", folder))


def test_a_study_from_recordings_to_results(server: Server, chrome: Browser, forty: Path) -> None:
    admin = set_up(server, chrome)
    add_people(chrome, admin)
    import_recordings(admin, forty)
    draw_strips(admin)
    make_study_and_round(admin)
    given = {username: read_round(server, chrome, username) for username in READERS}
    unblind(server, chrome, admin)
    shown = results_shown(admin)
    judgements = export(admin)
    assert server.elsewhere == []  # a hospital's network lets nothing out, and nothing of a study belongs out there

    scored = judgements[(judgements["role"] == "scored") & judgements["latest"]]
    for code, answers in judgements.sort_values("position").groupby("reader")["realism"]:
        assert answers.tolist() in given.values(), code
    right = scored["called_synthetic"] == (scored["arm"] == "synthetic")
    assert shown["accuracy"] == pytest.approx(right.mean(), abs=0.0005)
    assert shown["Fleiss"] == pytest.approx(fleiss(scored), abs=0.0005)
    assert scored.groupby("reader").size().eq(len(scored) / len(READERS)).all()
    assert set(scored["arm"].value_counts()) == {len(scored) // 2}


def set_up(server: Server, chrome: Browser) -> Page:
    """The first account, made on the welcome page of an empty database."""
    page = server.open(chrome)
    expect(page.get_by_role("heading", name="Blind reading of real and synthetic ECGs")).to_be_visible()
    page.get_by_role("link", name="Set up a study").click()
    for field, value in {"name": "Ada Admin", "username": "ada", "site": "North Hospital", "password": PASSWORD}.items():
        page.locator(f"input[name={field}]").fill(value)
    page.get_by_role("button", name="Create account").click()
    settled(page)
    return page


def add_people(chrome: Browser, admin: Page) -> None:
    screen(admin, "People")
    newcomers = {username: (name, "reader", site) for username, (name, site, _) in READERS.items()}
    newcomers["cora"] = ("Cora Coordinator", "coordinator", "South Hospital")
    for username, (name, role, site) in newcomers.items():
        admin.get_by_role("textbox", name="Name", exact=True).fill(name)
        admin.get_by_role("textbox", name="User name").fill(username)
        admin.get_by_role("radio", name=re.compile(f"^{role}:")).locator("xpath=ancestor::label").click()
        box = admin.get_by_role("combobox", name=re.compile("Hospital"))
        box.fill(site)
        box.press("Enter")
        admin.get_by_role("button", name="Make the link", exact=True).click()
        expect(admin.get_by_text(f"{name} is invited.")).to_be_visible()
        settled(admin)
        join(chrome, admin.locator(".st-key-link code").inner_text().strip(), name)


def join(chrome: Browser, link: str, name: str) -> None:
    """Somebody opens their link, in a browser of their own, and chooses a password."""
    page = chrome.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name=f"Welcome, {name}")).to_be_visible()
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=again]").fill(PASSWORD)
    page.get_by_role("button", name="Set the password and sign in").click()
    settled(page)
    page.close()


def import_recordings(admin: Page, archive: Path) -> None:
    screen(admin, "Recordings")
    admin.locator("input[type=file]").set_input_files(archive)
    expect(admin.get_by_text(archive.name)).to_be_visible()
    admin.get_by_role("button", name="Import the zip").click()
    expect(admin.get_by_text("Last import")).to_be_visible(timeout=120_000)
    counts = admin.locator("[data-testid=stMetric]")
    for place, told in enumerate(("Imported 40", "There already 0", "Refused 0")):
        expect(counts.nth(place)).to_have_text(re.compile(told.replace(" ", r"\s*")))


def draw_strips(admin: Page) -> None:
    screen(admin, "Draw strips")
    admin.get_by_role("spinbutton", name="Number", exact=True).fill("20")
    admin.get_by_role("spinbutton", name="Seed").fill("7")
    admin.get_by_role("button", name="Draw", exact=True).click()
    expect(admin.get_by_text("20 strips drawn.", exact=False)).to_be_visible(timeout=240_000)
    expect(admin.locator(".js-plotly-plot").first).to_be_visible()


def make_study_and_round(admin: Page) -> None:
    screen(admin, "Studies")
    admin.get_by_role("textbox", name="Title").fill("Realism of drawn ECGs")
    readers = admin.get_by_role("combobox", name=re.compile("Readers"))
    for name, _, _ in READERS.values():
        readers.fill(name)
        readers.press("Enter")
    readers.press("Escape")
    admin.get_by_role("spinbutton", name=re.compile("^Cases between a case and its repeat")).fill("8")
    admin.get_by_role("button", name="Set up the study").click()
    expect(admin.get_by_text("No round is open yet.")).to_be_visible()
    settled(admin)
    admin.get_by_role("spinbutton", name=re.compile("^Cases each reader reads")).fill(str(CASES))
    settled(admin)
    admin.get_by_text("Controls, anchors, the generator").click()
    admin.get_by_role("spinbutton", name="Seed").fill("11")
    admin.get_by_role("button", name="Open the round").click()
    expect(admin.get_by_text(re.compile(rf"Round 1: {CASES} cases"))).to_be_visible(timeout=240_000)


def read_round(server: Server, chrome: Browser, username: str) -> list[int]:
    """Reads the whole round as this reader; returns the steps of the scale that were answered, in the reader's order."""
    page = sign_in(server, chrome, username, PASSWORD)
    page.get_by_role("button", name="Start reading").click()
    given = list(islice(cycle(READERS[username][2]), CASES))
    page.get_by_role("button", name="Not now").click()  # the bank card
    for position, step in enumerate(given, start=1):
        on_desk(page, f"1-{position}")
        rhythm = "n" if position % 2 else "a"
        press(page, f"{step}{rhythm}y")
        if position == 3:  # away in mid-round: the place is in the database, the half-filled form in the browser
            page.reload()
            on_desk(page, f"1-{position}")
        page.get_by_role("button", name="Submit").dblclick()  # a double click stores one answer
    expect(page.get_by_role("heading", name="Round read through")).to_be_visible(timeout=20_000)
    page.get_by_label("Your password, in place of a signature").fill(PASSWORD)
    page.get_by_role("button", name="Sign the round").click()
    expect(page.get_by_text("you have signed them. Thank you.", exact=False)).to_be_visible()
    page.context.close()
    return given


def unblind(server: Server, chrome: Browser, admin: Page) -> None:
    screen(admin, "Results")
    settled(admin)
    assert admin.get_by_text("Sensitivity").count() == 0  # nothing of accuracy before unblinding
    screen(admin, "Studies")
    admin.get_by_role("button", name="Open", exact=True).click()
    admin.get_by_role("textbox", name="Reason", exact=True).fill("Every reader has read and signed.")
    admin.get_by_role("button", name="Ask for unblinding").click()
    expect(admin.get_by_text("Another person has to confirm it.")).to_be_visible()
    cora = sign_in(server, chrome, "cora", PASSWORD)
    screen(cora, "Studies")
    cora.get_by_role("button", name="Open", exact=True).click()
    choose_box(cora, "I know that this cannot be undone")
    cora.get_by_role("button", name="Confirm unblinding").click()
    expect(cora.get_by_text("Unblinded.", exact=False).first).to_be_visible()
    cora.context.close()


def results_shown(admin: Page) -> dict[str, float]:
    """The accuracy of all readers and Fleiss' kappa as the results page shows them."""
    screen(admin, "Results")
    expect(admin.locator("[data-testid=stMetric]").filter(has_text="Balanced accuracy")).to_be_visible(timeout=60_000)
    settled(admin)
    shown = {}
    for metric in admin.locator("[data-testid=stMetric]").all():
        label, value = metric.inner_text().split("\n\n")[:2]
        number = re.search(r"-?\d+(\.\d+)?", value)
        if number:
            shown[label.split()[0].removesuffix("'")] = float(number[0]) / (100 if "%" in value else 1)
    return {"accuracy": shown["Balanced"], "Fleiss": shown["Fleiss"]}


def export(admin: Page) -> pd.DataFrame:
    admin.get_by_role("button", name="Prepare the export").click()
    with admin.expect_download() as download:
        admin.get_by_role("button", name=re.compile("^Download")).first.click()
    with zipfile.ZipFile(download.value.path()) as bundle:
        [name] = [name for name in bundle.namelist() if name.endswith("judgements.csv")]
        text = bundle.read(name).decode()
    assert Counter(row["reader"] for row in csv.DictReader(io.StringIO(text))) == dict.fromkeys(["R01", "R02", "R03", "R04"], CASES)
    return pd.read_csv(io.StringIO(text))


def fleiss(scored: pd.DataFrame) -> float:
    """Fleiss 1971 on the call, each case read by all four readers: written here again, apart from the code under test."""
    synthetic = scored.groupby("case")["called_synthetic"].sum().to_numpy()
    n = len(READERS)
    observed = ((synthetic * (synthetic - 1) + (n - synthetic) * (n - synthetic - 1)) / (n * (n - 1))).mean()
    share = synthetic.sum() / (n * len(synthetic))
    chance = share**2 + (1 - share) ** 2
    return float((observed - chance) / (1 - chance))


def screen(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    settled(page)


def choose_box(page: Page, label: str) -> None:
    page.get_by_role("checkbox", name=label).locator("xpath=ancestor::label").click()
    settled(page)
