"""Amounts of bytes as people write them."""

from __future__ import annotations

import re
from typing import Final

from artifact_store.errors import InvalidOption
from artifact_store.wording import brief

_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWER: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def bytes_of(name: str, value: object) -> int:
    """Return an amount of bytes: a whole number, or text such as ``10GB`` (of 1000) or ``512 MiB`` (of 1024).

    Raises:
        InvalidOption: it is something else, or less than one byte; ``name`` is the option.
    """
    found: float = 0
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        found = float(match[1]) * (1024 if match[3] else 1000) ** _POWER[match[2].lower()]
    if found < 1:
        raise InvalidOption(f"{name} is a number of bytes, or text such as '10GB' or '512MiB', not {brief(value)}")
    return int(found)
