"""What came out of a pickle has to be a tree that any code can walk: finite, bounded, finished.

A pickle of a few bytes can refer to one list a million times over, or to a list from inside itself. Whoever compares,
prints or copies that never ends, so it is found here, in time linear in the number of objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from artifact_store.core.errors import Corrupt
from artifact_store.legacy.stubs import Stub, Unbuilt

_PLAIN: Final = frozenset({type(None), bool, int, float, complex})


def check_tree(root: Any, *, what: str, depth: int, size: int) -> None:
    """Raise ``Corrupt`` if ``root`` contains itself, is nested deeper, or is larger when written out in full."""
    known: dict[int, tuple[int, int]] = {}  # of each container: bytes when written out, levels below it
    path: list[tuple[Any, Iterator[Any]]] = []
    totals: list[list[int]] = [[0, 0]]
    on_path: set[int] = set()

    def enter(value: Any) -> None:
        total = totals[-1]
        if type(value) in _PLAIN:
            total[0] += 8
            return
        if isinstance(value, Unbuilt):
            raise Corrupt(f"{what} uses an array or dtype before it is finished")
        parts = _parts(value)
        if parts is None:
            total[0] += _bytes(value)
            return
        place = id(value)
        if place in on_path:
            raise Corrupt(f"{what} holds something that contains itself")
        if place in known:
            weight, height = known[place]
            total[0] += weight
            total[1] = max(total[1], height + 1)
            if len(path) + height + 1 > depth:
                raise Corrupt(f"{what} is nested more than {depth} deep")
            return
        if len(path) >= depth:
            raise Corrupt(f"{what} is nested more than {depth} deep")
        on_path.add(place)
        path.append((value, parts))
        totals.append([64, 0])

    enter(root)
    while path:
        value, parts = path[-1]
        length = len(path)
        for part in parts:
            enter(part)
            if len(path) > length:
                break
        else:
            path.pop()
            on_path.discard(id(value))
            weight, height = totals.pop()
            known[id(value)] = (weight, height)
            totals[-1][0] += weight
            totals[-1][1] = max(totals[-1][1], height + 1)
        if totals[-1][0] > size:
            raise Corrupt(f"{what} refers to its parts so often that it would take more than {size:,} bytes in full")


def _parts(value: Any) -> Iterator[Any] | None:
    """Return what a container holds, and nothing for what is none."""
    if isinstance(value, list | tuple | set | frozenset):
        return iter(value)
    if isinstance(value, dict):
        return iter([*value, *value.values()])
    if isinstance(value, Stub):
        return iter((value.args, value.state))
    if getattr(getattr(value, "dtype", None), "hasobject", False):
        return iter(value.ravel().tolist())
    return None


def _bytes(value: Any) -> int:
    if isinstance(value, str | bytes | bytearray):
        return 32 + len(value)
    return 32 + int(getattr(value, "nbytes", 0))
