"""The screens that readers have brought to true scale."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import Screen, now


def set_scale(session: Session, person_id: int, name: str, pixels_per_mm: float) -> None:
    """pixels_per_mm: device pixels. The newest calibration of a screen replaces the one before; each judgement keeps what it was read at."""
    session.merge(Screen(person_id=person_id, name=name, pixels_per_mm=pixels_per_mm, calibrated_at=now()))
    session.flush()


def of_person(session: Session, person_id: int) -> dict[str, float]:
    """Device pixels for a millimetre, by the screen's name."""
    rows = session.execute(select(Screen.name, Screen.pixels_per_mm).where(Screen.person_id == person_id).order_by(Screen.name))
    return {row.name: row.pixels_per_mm for row in rows}
