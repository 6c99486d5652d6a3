"""The slice of the tests that runs by default: the same for the same seed, and nothing is left out for good."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from tests.slices import FUNCTIONS, MOTO, NONE, PLUMBING, SLICES, fits, left_out, share_of

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """What is asked of a test here: its name."""

    nodeid: str


ONE = "tests/unit/test_features_categories.py"
CASES = [Case(f"{ONE}::test_a[{number}]") for number in range(30)]


def kept(seed: str) -> set[str]:
    return {case.nodeid for case in CASES} - left_out(CASES, seed)  # type: ignore[arg-type]


def test_a_slice_is_the_same_for_the_same_seed_and_all_seeds_together_are_everything() -> None:
    assert kept("7") == kept("7")
    assert len(kept("7")) == len(kept("8")) == -(-30 // SLICES[ONE])
    assert set.union(*(kept(str(seed)) for seed in range(60))) == {case.nodeid for case in CASES}


def test_of_some_files_the_seed_chooses_the_functions() -> None:
    file, share = next(iter(FUNCTIONS.items()))
    every = [Case(f"{file}::test_{number}[{case}]") for number in range(60) for case in "ab"]

    def functions(seed: str) -> set[str]:
        out = left_out(every, seed)  # type: ignore[arg-type]
        return {case.nodeid.partition("[")[0] for case in every if case.nodeid not in out}

    assert 0 < len(functions("7")) < 2 * 60 / share
    assert functions("7") == functions("7") != functions("8")
    assert len(set.union(*(functions(str(seed)) for seed in range(60)))) == 60


def test_every_function_keeps_a_case_unless_none_is_wanted() -> None:
    alone = [Case(f"{ONE}::test_a"), Case(f"{ONE}::TestB::test_c[x]"), Case("tests/unit/test_keys.py::test_d[1]")]
    assert left_out(alone, "0") == set()  # type: ignore[arg-type]
    (nothing, *_) = (name for name, share in SLICES.items() if share == NONE)
    assert left_out([Case(f"{nothing}::test_x[1]")], "0") == {f"{nothing}::test_x[1]"}  # type: ignore[list-item]


def test_the_longest_beginning_counts_and_ends_with_a_word() -> None:
    suite = MOTO[0]
    plumbing = f"{suite}::{PLUMBING[0]}"
    assert (share_of(f"{suite}::test_other"), share_of(f"{plumbing}[x]")) == (NONE, SLICES[plumbing])
    assert share_of(f"{suite}AndMore::test_other") == SLICES.get(suite.partition("::")[0], 1)
    assert fits("tests/a.py", "tests/a.py::test_b")
    assert not fits("tests/a.py::test_b", "tests/a.py::test_bc")


def test_every_entry_names_tests_that_are_there() -> None:
    for beginning in (*SLICES, *FUNCTIONS):
        file, *names = beginning.split("::")
        path = ROOT / file
        assert path.exists(), beginning
        if names:
            classes = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
            assert names[0] in classes, beginning
        if names[1:]:
            suite = (ROOT / "artifact_store" / "testing").rglob("*.py")
            written = path.read_text(encoding="utf-8") + "".join(part.read_text(encoding="utf-8") for part in suite)
            assert f"def {names[1]}(" in written, beginning
