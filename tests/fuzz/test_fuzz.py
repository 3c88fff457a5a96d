"""Three hundred spoiled files for the importers. `python -m tests.fuzz --n 100000` is the same, for a long evening."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from generator.errors import Refused
from tests.fuzz.run import run
from tests.fuzz.targets import Target, targets
from tests.fuzz.watch import Watch

FILES = 300


def test_no_spoiled_file_breaks_an_importer(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for number, target, outcome in run(tmp_path, seed=1, numbers=range(FILES)):
        assert outcome.kind != "defect", f"python -m tests.fuzz --first {number} --n 1 ({target.name}): {outcome.what}"
        counts[outcome.kind] += 1
    assert min(counts["taken"], counts["refused"]) > FILES / 10  # neither all whole nor all hopeless


def test_every_good_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    for target in targets(tmp_path / "seeds"):
        for number, files in enumerate(target.seeds):
            folder = tmp_path / f"{target.name} {number}"
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            target.take_in(folder)


def test_the_watch_sees_what_it_watches_for(tmp_path: Path) -> None:
    """A harness that notices nothing would pass every importer."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    (inside / "there").touch()

    def writes_outside(folder: Path) -> None:
        outside.write_text("x")

    def removes(folder: Path) -> None:
        outside.unlink()

    def breaks(folder: Path) -> None:
        raise KeyError("by a file")

    def hangs(folder: Path) -> None:
        while True:
            pass

    def refuses(folder: Path) -> None:
        (folder / "there").write_text("inside it may write")
        raise Refused("flat lead", "there: lead I is flat.")

    watch = Watch(seconds=0.2)
    said = {one.__name__: watch.take_in(Target("", [], one, 1), inside) for one in (writes_outside, removes, breaks, hangs, refuses)}
    assert {name: outcome.kind for name, outcome in said.items()} == {**dict.fromkeys(said, "defect"), "refuses": "refused"}
    assert "for writing" in said["writes_outside"].what
    assert "os.remove" in said["removes"].what
    assert "KeyError" in said["breaks"].what
    assert "more than 0.2 s" in said["hangs"].what
