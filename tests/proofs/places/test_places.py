"""The matrix on places that need no server, and on one that lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.places import here
from tests.proofs.places.__main__ import run
from tests.proofs.places.place import Opened, Place
from tests.proofs.places.room import NotHere, Room
from tests.proofs.places.trial import Size, try_out

SMALL = Size(processes=2, threads=2, runs=2, each=2)
PLACES = {place.name: place for place in here.PLACES}


def tried(place: Place, arguments: Mapping[str, Any] | None = None) -> Any:
    with Room(place.name, print) as room:
        opened = place.start(room) if arguments is None else Opened(arguments, "1")
        return try_out(place, opened, SMALL)


@pytest.mark.parametrize(("name", "mode"), [("memory", "safe"), ("local", "safe"), ("dir-url", "refused")])
def test_a_place_is_what_is_said_of_it(name: str, mode: str) -> None:
    row = tried(PLACES[name])
    assert (row.mode, row.predicted, row.wrong) == (mode, mode, [])
    assert ("0 lost" in row.creates) == ("20 MiB came back whole" in row.large) == (mode == "safe")


@pytest.mark.timeout(600)
@pytest.mark.nightly
def test_a_filesystem_without_conditions_is_for_one_writer() -> None:
    row = tried(PLACES["dir"])
    assert (row.mode, row.predicted, row.wrong) == ("single-writer", "single-writer", [])
    assert row.refusal.startswith("conditions-unsupported")
    assert "sound after each" in row.kills


def test_a_place_that_cannot_be_written_contradicts_and_is_a_gap_where_that_was_expected(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    arguments = {"url": str(tmp_path / "file" / "store")}
    assert tried(Place("local", "a disk", PLACES["local"].start), arguments).wrong
    known = Place("local", "a disk", PLACES["local"].start, gaps={"refusal": "a file lies there", "prediction": "so"})
    row = tried(known, arguments)
    assert row.wrong == []
    assert "a file lies there (seen: " in row.gaps["refusal"]


def test_what_cannot_be_had_is_a_row_that_says_why() -> None:
    def missing(room: Room) -> Opened:
        raise NotHere("there is no such server here")

    row = run(Place("x", "X", missing))
    assert (row.not_run, row.mode, row.wrong) == ("there is no such server here", "", [])
