"""What came out of a pickle has to be a tree that any code can walk: finite, bounded, finished.

A pickle of a few bytes can refer to one list a million times, or to a list from inside itself. Comparing, printing or
copying that would not end, so it is detected here, in time linear in the number of objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from artifact_store.errors import Corrupt
from artifact_store.legacy.pickle_reader.stubs import Stub, Unbuilt

_PLAIN: Final = frozenset({type(None), bool, int, float, complex})
_OBJECT: Final = 32


def check_tree(root: Any, *, what: str, depth: int, size: int) -> None:
    """Raise ``Corrupt`` if ``root`` contains itself, is nested deeper, or is larger when written out in full."""
    _Walk(what, depth, size).check(root)


@dataclass(slots=True)
class _Open:
    """A container whose parts are being looked at: bytes so far when written out, and levels below it."""

    place: int
    parts: Iterator[Any]
    weight: int = _OBJECT
    height: int = 0

    def take(self, weight: int, height: int = -1) -> None:
        self.weight += weight
        self.height = max(self.height, height + 1)


class _Walk:
    def __init__(self, what: str, depth: int, size: int) -> None:
        self._what = what
        self._depth = depth
        self._size = size
        self._known: dict[int, tuple[int, int]] = {}
        self._path: list[_Open] = [_Open(0, iter(()))]
        self._on_path: set[int] = set()

    def check(self, root: Any) -> None:
        self._enter(root)
        while len(self._path) > 1:
            top = self._path[-1]
            if not any(self._enter(part) for part in top.parts):
                self._leave()
            if top.weight > self._size:
                raise Corrupt(
                    f"{self._what} repeats its parts so often that in full it would have more than {self._size:,} bytes"
                )

    def _enter(self, value: Any) -> bool:
        """Count a part of the container on top; return true if its own parts are to be looked at first."""
        top = self._path[-1]
        parts = None if type(value) in _PLAIN else _parts(value)
        if parts is None:
            if isinstance(value, Unbuilt):
                raise Corrupt(f"{self._what} uses an array or dtype before it is finished")
            top.take(_OBJECT + _bytes(value))
            return False
        place = id(value)
        if place in self._on_path:
            raise Corrupt(f"{self._what} holds something that contains itself")
        weight, height = self._known.get(place, (0, 0))
        if len(self._path) + height > self._depth:
            raise Corrupt(f"{self._what} is nested more than {self._depth} deep")
        if weight:
            top.take(weight, height)
            return False
        self._path.append(_Open(place, iter(parts)))
        self._on_path.add(place)
        return True

    def _leave(self) -> None:
        done = self._path.pop()
        self._on_path.discard(done.place)
        self._known[done.place] = done.weight, done.height
        self._path[-1].take(done.weight, done.height)


def _parts(value: Any) -> Iterable[Any] | None:
    """Return what a container holds, and ``None`` for anything else."""
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, Stub):
        return value.args, value.state
    if getattr(getattr(value, "dtype", None), "hasobject", False) and hasattr(value, "ravel"):
        return list(value.ravel())
    return None


def _bytes(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | bytearray) else int(getattr(value, "nbytes", 0))
