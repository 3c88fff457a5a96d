"""How many samples were rejected, of how many and why: wherever strips are counted, these are counted with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from generator.quality_control import TOLERATED
from storage import rejections as stored
from storage.database import Database
from study.people import Person
from study.roles import Action, demand

COPIES_NOT_CHECKED = (
    "Copies of training strips were not looked for: the checkpoint carries no training_beats.safetensors, or too few strips of this rhythm in it."
)
_REMEDY = "Look at the strips that passed before you use them; choose more steps or a guidance nearer to 1, or another checkpoint."


@dataclass(frozen=True)
class Rejected:
    """Some of the samples that were drawn."""

    samples: int  # drawn, those rejected included
    reasons: Mapping[str, int] = field(default_factory=dict)  # rejected samples by reason

    @property
    def number(self) -> int:
        return sum(self.reasons.values())

    @property
    def share(self) -> float:
        return self.number / self.samples if self.samples else 0.0

    @property
    def counted(self) -> str:
        """The reasons with their numbers, the commonest first."""
        return ", ".join(f"{reason}: {number}" for reason, number in Counter(dict(self.reasons)).most_common())

    @property
    def sentence(self) -> str:
        return f"{self.number} of {self.samples} samples were rejected ({100 * self.share:.1f} %){f': {self.counted}' if self.number else ''}."

    @property
    def warning(self) -> str | None:
        """What to say where more than 10 % were rejected; None otherwise."""
        if self.share <= TOLERATED:
            return None
        return f"More than {100 * TOLERATED:.0f} % had to be rejected. {self.sentence} {_REMEDY}"


def of_job(db: Database, person: Person, job_id: int) -> dict[str, int]:
    """The rejected samples of a drawing, by reason. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        return dict(stored.of_job(session, job_id))


def of_gallery(db: Database, person: Person) -> list[tuple[str, str, Rejected]]:
    """(SHA-256 of the checkpoint, rhythm, what was rejected) of all that was drawn for the gallery, each sample once. Raises NotAllowed."""
    demand(person, Action.SEE_STRIPS)
    with db.read() as session:
        return [(one.checkpoint, one.rhythm, Rejected(one.accepted + one.rejected.total(), dict(one.rejected))) for one in stored.of_gallery(session)]
