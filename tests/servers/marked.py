"""Credentials that nobody could guess and everybody can find: all of this run hold one and the same mark."""

from __future__ import annotations

import secrets

MARK = secrets.token_hex(12)
"""In every secret key of this process. Whatever spells a secret, quoted or escaped or cut, spells this."""


def secret_key(name: str) -> str:
    """Return a new secret key, with signs in it that URLs, XML and JSON spell in other ways."""
    return f"{name}/{MARK}+{secrets.token_hex(4)}="
