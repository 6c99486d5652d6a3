"""The JSON notes beside an old model, as far as they can be read.

The old writer stopped in the middle where a number was numpy's, so a document may end anywhere: what stands before that
place is kept, what is missing is said. It is trusted only for features and settings.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from artifact_store.canonical import MAX_DEPTH

MAX_NOTES: Final = 8 << 20
"""Bytes of one document."""

_FIRST_YEAR: Final = 1971
_LAST_YEAR: Final = 9998
"""Times outside of these years are mistakes, and do not fit into a run id in every time zone."""


@dataclass(frozen=True, slots=True)
class Notes:
    """One document: ``fields`` are what it says, ``damage`` says what is wrong with it, and is empty if nothing is."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    damage: str = ""


def parse_notes(name: str, data: bytes) -> Notes:
    """Read a JSON object; of one that breaks off, the fields that stand before that place. Raises nothing."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Notes(name, damage=f"{name} is not text: {error}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _salvaged(name, text, str(error))
    if not isinstance(value, dict):
        return Notes(name, damage=f"{name} does not hold a JSON object")
    if not _shallow(value, MAX_DEPTH - 2):
        return Notes(name, damage=f"{name} is nested too deeply")
    return Notes(name, value)


def _salvaged(name: str, text: str, why: str) -> Notes:
    """Return the fields in front of the place where the document breaks off."""
    decoder = json.JSONDecoder()
    found: dict[str, Any] = {}
    lost = None
    place = _after(text, 0, "{")
    while place is not None:
        try:
            lost, place = decoder.raw_decode(text, place)
            place = _after(text, place, ":")
            if place is None or not isinstance(lost, str):
                break
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):  # this field is the one that was cut; those before it are whole
            break
        following = _after(text, place, ",")
        if following is None:  # a number at the very end may have lost digits
            break
        if _shallow(value, MAX_DEPTH - 2):
            found[lost] = value
        lost, place = None, following
    where = f" inside {lost!r}" if isinstance(lost, str) else ""
    return Notes(name, found, f"{name} breaks off{where} ({why}); {len(found)} fields before that were read")


def _after(text: str, place: int, sign: str) -> int | None:
    """Return where the next thing begins behind ``sign``, if that is what comes next."""
    found = re.compile(rf"[ \t\n\r]*{re.escape(sign)}[ \t\n\r]*").match(text, place)
    return None if found is None else found.end()


def _shallow(value: Any, depth: int) -> bool:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_shallow(part, depth - 1) for part in parts)
    return True


def read_old_time(value: object) -> datetime | None:
    """Return an old ``created_at`` as an instant; one without a zone is taken as UTC, like the digits of a run id."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime) or not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        return None
    return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)


def numbers(values: Mapping[str, Any]) -> dict[str, float | int]:
    """Return those values that are finite numbers, by name."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
        if -sys.float_info.max <= value <= sys.float_info.max
    }
