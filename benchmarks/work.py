"""What a way of doing the work of a row is: something that is called turn by turn. Needs the standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


class LeftOut(Exception):
    """A way cannot be measured here; the text says why."""


def nothing(_: int) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Work:
    """One way, ready to be measured. Each call gets the number of its turn, from 0.

    ``run`` is measured; it may return figures of its own, such as ``{"bytes": 17}``. ``before`` and ``after`` belong
    to a turn and are not measured. Times and requests are those of ``run`` divided by ``per``, which is
    how often it does the work.
    """

    run: Callable[[int], Mapping[str, float] | None]
    before: Callable[[int], object] = nothing
    after: Callable[[int], object] = nothing
    per: int = 1


def repeated(work: Callable[[], object], times: int) -> Work:
    """Return a way that does ``work`` so often in each turn, because once is too short to be measured."""

    def run(_: int) -> None:
        for _ in range(times):
            work()

    return Work(run, per=times)
