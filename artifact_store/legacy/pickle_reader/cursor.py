"""Bytes of an untrusted file, read from the front, never beyond the end.

``pickletools.genops`` of the standard library is not used: it reads an argument before a limit can be checked. A number
of 300 MB took 620 MB and a second before it was refused; its reader of old text differs between releases of Python.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from artifact_store.errors import Corrupt


class Cursor:
    """A position in ``data``, which errors call ``what``. Only bytes that are there are returned."""

    def __init__(self, data: bytes, what: str) -> None:
        self.what = what
        self.at = 0
        self.data = data

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return len(self.data) - self.at

    def wrong(self, why: str) -> NoReturn:
        """Raise ``Corrupt``."""
        raise Corrupt(f"{self.what} {why}")

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= count <= self.left:
            self.wrong("ends early")
        start, self.at = self.at, self.at + count
        return self.data[start : self.at]

    def byte(self) -> int:
        """Return the next byte as a number."""
        if self.at >= len(self.data):
            self.wrong("ends early")
        self.at += 1
        return self.data[self.at - 1]

    def number(self, form: str) -> Any:
        """Return the next number in a form of :mod:`struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        """Return the bytes up to the end of the line, without it."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            self.wrong("ends early")
        line = self.take(end - self.at)
        self.at += 1
        return line

    def ascii(self) -> str:
        """Return the rest of the line as text of plain letters and digits."""
        line = self.line()
        if not line.isascii():
            self.wrong("has an invalid number")
        return line.decode("ascii")

    def finish(self) -> None:
        """Raise ``Corrupt`` if there is more."""
        if self.left:
            self.wrong(f"has {self.left:,} bytes after its end")
