"""Credentials that nobody could guess and everybody can find: all of this run hold one and the same mark."""

from __future__ import annotations

import base64
import secrets

MARK = secrets.token_hex(12)
"""In every secret key of this process. Whatever spells a secret, quoted or escaped or cut, spells this."""


def _in_base64(before: int) -> str:
    """The part of the base64 of the mark, behind so many bytes, that is the same whatever comes before and behind."""
    spelled = base64.b64encode(b"\0" * before + MARK.encode()).decode()
    return spelled[-(-before * 4 // 3) : (before + len(MARK)) * 4 // 3]


MARKS = (MARK, *(_in_base64(before) for before in range(3)))
"""The mark as it is, and as headers with a key or a password in base64 spell it."""


def secret_key(name: str) -> str:
    """Return a new secret key, with signs in it that URLs, XML and JSON spell in other ways."""
    return f"{name}/{MARK}+{secrets.token_hex(4)}="
