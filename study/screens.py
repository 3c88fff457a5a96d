"""True scale: how many pixels a millimetre takes on a reader's screen, from a bank card that was laid on it."""

from __future__ import annotations

import math
import re

from storage import audit, screens
from storage.database import Database
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand

CARD_MM = 85.60  # width of an ID-1 card: ISO/IEC 7810
LOWEST, HIGHEST = 1.5, 40.0  # device pixels for a millimetre: from a projector to a telephone
_NAME = re.compile(r"[A-Za-z0-9x.-]{1,64}")


def scales(db: Database, person: Person) -> dict[str, float]:
    """Device pixels for a millimetre on each screen that this reader has calibrated, by the browser's name for it. Raises NotAllowed."""
    demand(person, Action.READ_CASES)
    with db.read() as session:
        return screens.of_person(session, person.id)


def calibrate(db: Database, person: Person, screen: str, pixels_per_mm: float) -> None:
    """Keeps a calibration. Raises NotAllowed, StudyError for a screen or scale that cannot be."""
    demand(person, Action.READ_CASES)
    if not isinstance(screen, str) or not _NAME.fullmatch(screen):
        raise StudyError("The browser's name for this screen will not do. Reload the page and calibrate again.")
    scale = _number(pixels_per_mm)
    if not math.isfinite(scale):
        raise StudyError("The scale is no number. Reload the page and calibrate again.")
    if not LOWEST <= scale <= HIGHEST:
        raise StudyError(f"{scale:.3g} pixels for a millimetre cannot be. Make the frame as wide as the card, {CARD_MM} mm, and store it again.")
    with db.write() as session:
        before = screens.of_person(session, person.id).get(screen)
        screens.set_scale(session, person.id, screen, scale)
        audit.append(session, person.id, "screen calibrated", f"person {person.id}", {"from": before, "to": scale, "unit": "device pixels a mm"})


def _number(given: object) -> float:
    """NaN or infinity for what is no number that a browser could mean."""
    try:
        return float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else math.nan
    except OverflowError:  # JSON knows larger whole numbers than floats do
        return math.inf
