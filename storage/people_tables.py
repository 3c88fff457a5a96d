"""The tables of people: their hospitals, sign-ins, invitations and screens."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.base import Base, now


class Site(Base):
    __tablename__ = "site"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)  # kept in lower case
    name: Mapped[str] = mapped_column(String(120))
    role: Mapped[str] = mapped_column(String(16))  # reader, coordinator, researcher, admin
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    email: Mapped[str | None] = mapped_column(String(254), index=True, unique=True)  # lower case: what single sign-on knows them by
    password_hash: Mapped[str | None] = mapped_column(String(256))  # argon2id; None: the demo's people, the invited, single sign-on
    demo: Mapped[bool] = mapped_column(Boolean, default=False)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class SignIn(Base):
    __tablename__ = "sign_in"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)  # the token itself is only in the browser's cookie
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class FailedSignIn(Base):
    __tablename__ = "failed_sign_in"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime] = mapped_column(default=now)


class Invitation(Base):
    """A link with which somebody chooses a password, once. Only its hash is kept."""

    __tablename__ = "invitation"
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    made_by: Mapped[int] = mapped_column(ForeignKey("person.id"))
    made_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]  # or replaced by a newer one


class Screen(Base):
    """A screen that a reader has brought to true scale by laying a bank card on it."""

    __tablename__ = "screen"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)  # the browser's own name for it
    pixels_per_mm: Mapped[float]  # device pixels
    calibrated_at: Mapped[datetime] = mapped_column(default=now)
