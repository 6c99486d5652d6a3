"""Pointers and creates under contention and faults, in a short form; ``python -m tests.proofs.linear --long`` is the whole."""

import json
import uuid
from contextlib import nullcontext

import pytest

from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from tests.proofs.linear import __main__ as command
from tests.proofs.linear.places import Place, open_place
from tests.proofs.linear.races import run_races
from tests.proofs.linear.rounds import run_rounds

pytestmark = pytest.mark.xdist_group("linear")


@pytest.mark.parametrize("backend", ["memory", "obstore"])
def test_what_clients_are_told_of_a_pointer_is_linearizable_whatever_goes_wrong(backend, request):
    server = request.getfixturevalue("seaweed") if backend == "obstore" else None
    with open_place(backend, server) as place:
        tally = run_rounds(place, operations=120, rounds=1, say=print)
    assert tally.violations == []
    assert tally.ends["published"] > 30
    assert tally.faults > tally.calls / 10


@pytest.mark.parametrize("backend", ["memory", "local"])
def test_of_many_savers_of_one_run_id_one_wins_and_all_are_told_the_truth(backend):
    with open_place(backend) as place:
        races = run_races(place, races=3, seconds=60, say=print, lossy=True)
    assert races.violations == []
    assert races.ends["won"] + races.ends["unknown"] >= 3
    assert races.ends["RunExists"] > 0
    assert races.ends["alike"] > 0


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("backend", ["memory", "local", "obstore", "s3fs"])
def test_ten_thousand_operations_and_a_thousand_races(backend):
    assert command.main(["--long", "--backend", backend]) == 0


class Careless(MemoryBackend):
    """Storage that honours conditions when it is tried out, and not for pointers."""

    def write(self, key, data, *, when):
        return super().write(key, data, when=Always() if key.endswith("/pointer0.json") else when)


def test_storage_that_lets_writers_overwrite_each_other_is_found_out(monkeypatch, capsys):
    careless = {"url": Careless(uuid.uuid4().hex)}
    monkeypatch.setattr(command, "open_place", lambda *_: nullcontext(Place("memory", 1, careless, careless)))
    arguments = ["--backend", "memory", "--operations", "150", "--rounds", "1", "--races", "0", "--json"]
    assert command.main(arguments) == 1
    found = json.loads(capsys.readouterr().out)
    (row,) = found["pointers"]
    assert row["fork"] > 0
    assert row["lost acknowledgement"] > 0
    assert len(found["violations"]) >= row["fork"] + row["lost acknowledgement"]


def test_the_command_prints_a_table(capsys):
    arguments = ["--backend", "memory", "--operations", "40", "--rounds", "1", "--races", "2"]
    assert command.main(arguments) == 0
    printed = capsys.readouterr()
    assert "real time" in printed.out
    assert "memory" in printed.out
    assert printed.out.rstrip().endswith("0 violations")
    assert "memory: round 1/1" in printed.err
