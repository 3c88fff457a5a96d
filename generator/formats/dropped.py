"""The kinds of fields that stay in a file when it is read: what is told of them is which there were, never what they said.

A vocabulary of our own: the names of a file's fields may hold a patient's too.
"""

from __future__ import annotations

NAME = "patient's name"
NUMBER = "patient's number"
BORN = "date of birth"
AGE_AND_SEX = "age and sex"
OTHER = "other details of the patient"
STAFF = "physicians and staff"
PLACE = "institution and ward"
WHEN = "dates and times"
DEVICE = "device"
NUMBERS = "numbers of file, order and visit"
WORDS = "free text, statements, measurements"

KINDS = frozenset({NAME, NUMBER, BORN, AGE_AND_SEX, OTHER, STAFF, PLACE, WHEN, DEVICE, NUMBERS, WORDS})
