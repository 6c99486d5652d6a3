"""A quick slice of the zoo: some makings of the families whose libraries are quick to import."""

from __future__ import annotations

from tests.zoo.makings import makings
from tests.zoo.trial import try_out

QUICK = {"arrays": 4, "documents": 3, "sparse": 4, "tables": 6}
"""Of each family one in so many."""


def test_what_is_in_the_zoo_comes_back_equal_in_a_fresh_process() -> None:
    chosen = [(family, making) for family, share in QUICK.items() for making in makings(family)[::share]]
    rows = try_out(chosen, lambda _: None)
    assert [(row.name, row.wrong) for row in rows if row.wrong or not row.result] == []
    assert len(rows) > 25
