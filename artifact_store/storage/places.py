"""The name of a place, one for all spellings of its URL: by which a client remembers which store it found there.

Pure but for symlinks, which are resolved. Owns how a folder and a prefix of a bucket are named; does not know what is
remembered. Two names of one server cannot be told for one: ``localhost`` and ``127.0.0.1`` are two places.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

AWS = "https://s3.amazonaws.com"
_CHINA = "https://s3.amazonaws.com.cn"
_GOVERNMENT = "https://s3.us-gov.amazonaws.com"
"""The partitions of AWS have names of buckets, and accounts, of their own."""
_PORTS = {"http": 80, "https": 443}


def folder(path: Path) -> tuple[str, ...]:
    """Return the names of a folder, which need not exist: where it really is, and where a symlink leads there."""
    names = (os.path.realpath(path), os.fspath(path.absolute()))
    return tuple(dict.fromkeys(f"file://{os.path.normcase(name)}" for name in names))


def bucket(scheme: str, endpoint: str, container: str, prefix: str) -> str:
    """Return the name of a prefix of a bucket at the server with this address."""
    return f"{scheme}://{container}/{prefix.strip('/')} at {server(endpoint)}"


def server(endpoint: str) -> str:
    """Return the one spelling of the address of a server; each partition of AWS is one: a bucket is in one region."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # it is no address, which its first use will tell
        return endpoint
    host = (parts.hostname or "").rstrip(".")
    if host.endswith(".amazonaws.com.cn"):
        return _CHINA
    if host.endswith(".amazonaws.com"):
        return _GOVERNMENT if "us-gov-" in host else AWS
    shown = f"[{host}]" if ":" in host else host
    usual = port is None or port == _PORTS.get(parts.scheme)
    return f"{parts.scheme}://{shown}{'' if usual else f':{port}'}{parts.path.rstrip('/')}"
