"""Windows of consecutive rows, and which of them may be used for what. numpy alone."""

from __future__ import annotations

from typing import Any


def windows(rows: Any, length: int) -> Any:
    """Return all windows of ``length`` consecutive rows, ``(n - length + 1, length, width)``: a view, no copy."""
    from numpy.lib.stride_tricks import sliding_window_view

    return sliding_window_view(rows, length, axis=0).swapaxes(1, 2)


def ends(chosen: Any, length: int) -> Any:
    """Return the positions on which windows end that lie wholly within the ``chosen`` rows (sorted positions).

    A window with rows of both sets would leak one into the other, so there are no such windows.
    """
    if len(chosen) < length:
        return chosen[:0]
    last = chosen[length - 1 :]
    return last[last - chosen[: len(chosen) - length + 1] == length - 1]


def stretch(chosen: Any, least: int, most: int) -> tuple[int, int]:
    """Return where the first ``least`` consecutive rows begin, and where they stop, after ``most`` at the latest."""
    first = int(ends(chosen, least)[0]) - least + 1
    stop, there = first + least, set(chosen.tolist())
    while stop in there and stop - first < most:
        stop += 1
    return first, stop
