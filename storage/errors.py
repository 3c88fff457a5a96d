"""What the storage says when it cannot go on."""

from __future__ import annotations


class StorageError(Exception):
    """A message for a person: what is wrong, where, and what to do about it."""


class Unavailable(StorageError):
    """The database cannot be used now: gone, locked, full, not to be written to. What was asked may be asked again."""
