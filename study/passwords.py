"""Passwords: argon2id by argon2-cffi, at most four at work at a time."""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from study.errors import StudyError

LENGTH = 10

_HASHER = PasswordHasher()  # argon2id, RFC 9106's low-memory profile: 64 MiB, 3 passes
# A hash of nobody's password under the same profile: a user name that does not exist takes as long as one that does.
_DUMMY = "$argon2id$v=19$m=65536,t=3,p=4$aJUHuS3zRHyhchXprSZLgQ$DK/jlWXKQLVWzMi/rGY5CsOLwczbIAUTPsnhIvu/Ivg"
_HASHING = threading.BoundedSemaphore(4)  # 64 MiB each: a flood of sign-ins waits instead of filling the memory


def hashed(password: str) -> str:
    """Its argon2id hash. Raises StudyError for a password that is too short."""
    if len(password) < LENGTH:
        raise StudyError(f"The password has {len(password)} characters. Choose one of at least {LENGTH}; any characters will do.")
    return _hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Whether this is the password that was hashed. Takes as long where there is none (None)."""
    try:
        with _HASHING:
            right = _HASHER.verify(kept or _DUMMY, _same_on_every_keyboard(password))
    except (VerificationError, InvalidHashError):
        return False
    return right and kept is not None


def renewed(kept: str, password: str) -> str | None:
    """The same password's hash under today's profile, if it was hashed under an older one."""
    return _hash(password) if _HASHER.check_needs_rehash(kept) else None


def _hash(password: str) -> str:
    with _HASHING:
        return _HASHER.hash(_same_on_every_keyboard(password))


def _same_on_every_keyboard(password: str) -> bytes:
    """NFKC, as NIST SP 800-63B advises: an accented letter may come in one code point or two."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
