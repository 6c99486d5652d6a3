"""Strangers' values in messages: cut to what a message has room for."""

from __future__ import annotations

import reprlib

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 120


def brief(value: object) -> str:
    """Return ``repr(value)`` as far as a message has room for it: a stranger's text may have any length."""
    return _BRIEF.repr(value)
