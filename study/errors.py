"""What the study says when it cannot go on, and the set of errors whose message is meant for the person in front of the screen."""

from __future__ import annotations

from generator.errors import Cancelled, GeneratorError
from storage.errors import StorageError, Unavailable


class StudyError(Exception):
    """A message for a person: what is wrong, where, and what to do about it."""


class NotAllowed(StudyError):
    """The person's role does not allow what was asked."""


class SignInRefused(StudyError):
    """No sign-in: the message says whether to try again, wait, or ask somebody. It never says whether the user name exists."""


Problems = (StudyError, StorageError, GeneratorError)  # `except Problems as error: st.error(str(error))`

__all__ = ["Cancelled", "NotAllowed", "Problems", "SignInRefused", "StudyError", "Unavailable"]
