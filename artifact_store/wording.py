"""Untrusted values in messages, shortened."""

from __future__ import annotations

import reprlib

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 120


def brief(value: object) -> str:
    """Return ``repr(value)`` , shortened: an untrusted text may have any length."""
    return _BRIEF.repr(value)
