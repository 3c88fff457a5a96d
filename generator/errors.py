"""What the generator says when it cannot go on."""

from __future__ import annotations


class GeneratorError(Exception):
    """A message for a person: what is wrong, where, and what to do about it."""


class Refused(GeneratorError):
    """A recording that cannot become a strip.

    reason: the short, countable kind ("missing lead", "shorter than 10 s", ...); str() names file, field and remedy.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Cancelled(GeneratorError):
    """Work that was asked to stop, and did."""
