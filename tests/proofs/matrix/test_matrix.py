"""The short form of the fault matrix: memory whole but for the pairs, and a fixed sample of everything else."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from tests.proofs.matrix.__main__ import KILLS, SHARE, main
from tests.proofs.matrix.bench import Fault, Point, Strike
from tests.proofs.matrix.cells import Wanted, cells
from tests.proofs.matrix.memory import MemoryBench
from tests.proofs.matrix.operations import OPERATIONS, world
from tests.proofs.matrix.runs import BACKENDS, PARTS, Progress, Site, errands, try_one
from tests.proofs.matrix.table import Table
from tests.proofs.matrix.views import Snapshot, see

pytestmark = [
    pytest.mark.xdist_group("matrix"),
    pytest.mark.skipif(sys.platform != "linux", reason="intercepts the calls and the processes of Linux"),
]
SMALL = [name for name, operation in OPERATIONS.items() if not operation.large]


def tried(backend, **wanted):
    table = Table()
    with Site() as site:
        site.carry_out(backend, Wanted(**wanted), table, Progress())
    assert not table.violations, "\n\n".join(map(str, table.violations))
    return table


def test_what_a_site_leaves_in_temporary_space_is_nowhere_that_another_test_looks():
    before = tempfile.gettempdir()
    with Site():
        own = tempfile.gettempdir()
        assert own != before
        Path(own, "left").write_bytes(b"")
    assert tempfile.gettempdir() == before
    assert not Path(own).exists()


@pytest.mark.parametrize("operation", SMALL)
def test_every_fault_at_every_step_of_an_operation_in_memory(operation):
    table = tried("memory", operation=operation, pairs=False)
    assert table.total()["ok"] >= 10
    assert table.total()["error"] + table.total()["unknown"] >= 10


@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "memory"])
def test_a_sample_of_every_other_backend(backend):
    table = tried(backend, pairs=False, share=SHARE.get(backend, KILLS))
    assert table.total()["ok"] >= 5


@pytest.mark.parametrize("operation", SMALL)
def test_an_operation_that_meets_no_fault_passes_through_its_states_to_the_last(operation):
    before = see(world(operation))
    states = OPERATIONS[operation].passes(before)
    assert states[0] == before
    assert before.broken == ()
    assert all(one != other for number, one in enumerate(states) for other in states[:number])


def test_one_cell_can_be_repeated_alone(capsys):
    cell = "memory | promote | lost reply @ write gru/BTCEUR/production.json #1"
    assert main(["--cell", cell]) == 0
    assert "total: 1 cells: 1 ok, 0 typed errors, 0 unknown, 0 violations" in capsys.readouterr().out


def test_what_does_not_exist_is_no_success(capsys):
    assert main(["--cell", "memory | promote | lost reply @ write nowhere #1"]) == 1
    assert "there is no such cell" in capsys.readouterr().err


def test_the_processes_share_the_cells_out_so_that_each_is_tried_once():
    operation = OPERATIONS["retire"]
    whole = [str(cell) for cell in cells(MemoryBench(), operation, Wanted())]
    parts = [[str(cell) for cell in cells(MemoryBench(), operation, Wanted(part=(n, 3)))] for n in range(3)]
    assert sorted(cell for part in parts for cell in part) == sorted(whole)
    assert all(parts)


def test_errands_of_the_processes_are_what_was_asked_for_and_no_more():
    short = Wanted(pairs=False, share=0.5)
    assert errands([("memory", short), ("obstore", short)]) == [
        (name, replace(short, operation=operation)) for name in ("obstore", "memory") for operation in OPERATIONS
    ]
    assert errands([("memory", Wanted(cell="memory | save"))]) == [("memory", Wanted(cell="memory | save"))]
    pairs = errands([("memory", Wanted("save", "pairs"))])
    assert [part.part for _, part in pairs] == [(number, PARTS) for number in range(PARTS)]


class Breaks(MemoryBench):
    """The first trial ends in an error of the bench itself."""

    broken = False

    def run(self, operation, strikes):
        if strikes and not self.broken:
            self.broken = True
            raise KeyError("oops")
        return super().run(operation, strikes)


def test_what_cannot_be_tried_is_a_violation_and_the_others_are_tried():
    with Breaks() as bench:
        due = [cell for cell in cells(bench, OPERATIONS["retire"], Wanted(pairs=False)) if not cell.why_not][:3]
        verdicts = [try_one(bench, cell)[1] for cell in due]
    assert [bool(verdict.violations) for verdict in verdicts] == [True, False, False]
    assert "oops" in verdicts[0].violations[1]


class Vanishing(MemoryBackend):
    """What is listed first is removed before it is read."""

    def list(self, prefix, **options):
        found = list(super().list(prefix, **options))
        for entry in found:
            if entry.key.startswith("_probe/"):
                self.delete(entry.key)
        return iter(found)


def test_what_is_removed_while_one_looks_is_not_in_the_picture():
    backend = Vanishing()
    for key in ("_probe/a", "b"):
        backend.write(key, b"x", when=Always())
    assert Snapshot.of(backend).objects == (("b", b"x"),)


def test_a_violation_tells_how_to_try_it_again():
    from tests.proofs.matrix.bench import Cell
    from tests.proofs.matrix.oracle import ERROR, Verdict

    table = Table()
    cell = Cell("memory", "save", (Strike(Fault("503", ()), Point("write", "a", 1)),))
    table.add(cell, Verdict(ERROR, ("wrong",), "told"))
    assert "python -m tests.proofs.matrix --cell 'memory | save | 503 @ write a #1'" in str(table.violations[0])
    assert table.as_json()["total"] == {"error": 1, "violations": 1}
    assert "0+1+0!1" in "\n".join(table.lines())
