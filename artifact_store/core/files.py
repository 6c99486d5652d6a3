"""Files before publication: where they are, what they hold, and what they will be called.

Owns the value types. Copies nothing and hashes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Digest:
    """The size in bytes and the sha256, in lower-case hexadecimal, of some bytes.

    As ``data=`` of a save it says what a run was trained on.
    """

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file that is ready to be stored: its name within the run, and where its bytes are now."""

    path: str
    source: Path
    staged: bool = False
    """It is a temporary file of ours, and not the caller's."""
    unpacked: Digest | None = None
    """What is in it, where it is a frame of zstd that is stored in the place of the file; ``None``: the file itself."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is: one file of a run, in bytes."""

    direction: str
    """``"up"``, ``"down"``, or ``"hash"`` for data of the training that is only read."""
    path: str
    done: int
    total: int
