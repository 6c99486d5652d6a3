"""Many cheap cases of one behaviour in one test: each of them is tried, and a failure names those that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")

_SHOWN = 20


def each(cases: Iterable[T]) -> Iterator[AbstractContextManager[T]]:
    """Yield for each case a block to try it in: ``for case in each(SYMBOLS): with case as symbol: …``.

    What goes wrong in a block does not keep the others from being tried, and is raised after the last one, with the
    cases that it concerns in the text.
    """
    failed: dict[str, BaseException] = {}
    count = 0
    for count, case in enumerate(cases, start=1):  # noqa: B007 -- it is told behind the loop
        yield _tried(case, failed)
    assert count, "there is no case to try"
    if failed:
        names = ", ".join(list(failed)[:_SHOWN]) + (" …" if len(failed) > _SHOWN else "")
        raise BaseExceptionGroup(f"{len(failed)} of {count} cases failed: {names}", list(failed.values()))


@contextmanager
def _tried(case: T, failed: dict[str, BaseException]) -> Iterator[T]:
    try:
        yield case
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 -- raised in the end; pytest.raises fails with the second
        error.add_note(f"in the case {case!r}")
        failed[repr(case)] = error
