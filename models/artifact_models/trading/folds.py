"""Walking forward: which rows a model is trained on, and the later ones that it is judged by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from artifact_store import errors

VALIDATION_PART = 0.15
"""Of the rows for training: the latest ones, which decide when to stop."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Train on the rows before ``train_end``, test on ``test``: later, and never seen in training."""

    number: int
    train_end: int
    test: slice


def walk_forward(rows: int, *, folds: int) -> Iterator[Fold]:
    """Yield folds that share the second half of the rows among their tests; each trains on all that came before.

    One row is left out between the two: what it should have said is known only at the close of the first test bar.

    Raises:
        InvalidInput: there are too few rows for so many folds.
    """
    if folds < 1 or rows < 4 * (folds + 1):
        raise errors.InvalidInput(f"{rows} rows are too few for {folds} folds; each needs rows to train and to test on")
    half = rows // 2
    edges = [half + (rows - half) * place // folds for place in range(folds + 1)]
    for number, (begin, end) in enumerate(pairwise(edges), start=1):
        yield Fold(number, begin - 1, slice(begin, end))


def hold_out(rows: int) -> tuple[range, range]:
    """Return the rows to train on, and the later ones that decide when to stop, with one left out in between."""
    edge = rows - max(int(rows * VALIDATION_PART), 1)
    return range(edge - 1), range(edge, rows)
