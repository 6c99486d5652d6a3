"""Hostile files in the place of each file of an old run: refused with a typed error, the rest goes on, nothing runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli.app import app
from tests.hostile import CORPUS as ALL
from tests.hostile import LIMITS, Hostile, command
from tests.legacy_cases import CASES
from tests.legacy_forward import check
from tests.watched import Watched, nothing_unpickled

pytestmark = pytest.mark.xdist_group("hostile_trees")  # its fixtures take long

RUN_ID = "20240816_142301"
SOUND = {"gru": "gru_full_selected", "lightgbm": "lgbm_frame_selected", "ppo": "ppo_vecnorm_box"}
MODELS = {"model.pth", "model.pkl", "model.zip"}
CORPUS = [hostile for hostile in ALL if hostile.limits is LIMITS]
"""A migration reads under the limits that there are."""
POINTERS = ("../../../SOUND/20990101_000000", "/etc/passwd", "$(touch x)", "a command, see below")
TYPED = {"Corrupt", "RiskRefused"}


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marker") / "marker"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, marker: Path) -> Path:
    """One run for each hostile file, whole but for that file, and a sound one of each family."""
    root = tmp_path_factory.mktemp("hostile") / "models"
    for family, case in SOUND.items():
        shutil.copytree(CASES[case].file.parent, root / family / "SOUND" / RUN_ID)
    for hostile in CORPUS:
        folder = root / hostile.model_type / hostile.name / RUN_ID
        shutil.copytree(CASES[SOUND[hostile.model_type]].file.parent, folder)
        (folder / hostile.file).write_bytes(hostile.make(marker))
        (folder.parent / "latest").write_text(RUN_ID)
    for number, target in enumerate((*POINTERS[:-1], command(marker))):
        folder = root / "gru" / f"pointer-{number}" / RUN_ID
        shutil.copytree(CASES[SOUND["gru"]].file.parent, folder)
        (folder.parent / "latest").write_text(target)
    return root


@pytest.fixture(autouse=True)
def _nothing_ran(marker: Path) -> Iterator[None]:
    yield
    assert not marker.exists()


def expected(hostile: Hostile) -> str:
    """A model is refused as a whole; a part leaves a run without it."""
    return "refused" if hostile.refused and hostile.file in MODELS else "copied"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("new") / "store"


@pytest.fixture(scope="module")
def report(tree: Path, store: Path, watched: Watched) -> dict[str, Any]:
    """What a migration says, in a process of its own, which unpickles nothing."""
    done = watched("migrate", tree, store, "--json")
    assert done.returncode == 1
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class TestMigration:
    @pytest.mark.parametrize("hostile", CORPUS, ids=[hostile.name for hostile in CORPUS])
    def test_it_is_refused_with_a_typed_error(self, report: dict[str, Any], hostile: Hostile) -> None:
        (run,) = [run for run in report["runs"] if run["source"] == f"{hostile.model_type}/{hostile.name}/{RUN_ID}"]
        assert run["outcome"] == expected(hostile), run
        if run["outcome"] == "refused":
            assert run["error"]["type"] in TYPED, run
        elif hostile.refused:
            (part,) = run["refused"]
            assert (part["where"], part["type"] in TYPED) == (hostile.file, True)

    def test_nothing_else_is(self, report: dict[str, Any], store: Path) -> None:
        copied = [hostile for hostile in CORPUS if expected(hostile) == "copied"]
        assert report["counts"] == {
            "copied": len(copied) + len(SOUND) + len(POINTERS),
            "refused": len(CORPUS) - len(copied),
        }
        with ArtifactStore(store) as opened:
            for family, case in SOUND.items():
                check(opened.get(f"{family}/SOUND:{RUN_ID}"), CASES[case])
            for hostile in copied:
                run = opened.get(f"{hostile.model_type}/{hostile.name}")
                part = "preprocessor" if hostile.model_type == "gru" else "model_vecnormalize"
                assert run.requires == (part,)
                assert (part in run.components) is not hostile.refused
            assert opened.verify().ok

    def test_a_pointer_that_leads_elsewhere_names_nothing(self, report: dict[str, Any]) -> None:
        found = {alias["key"]: alias for alias in report["aliases"] if alias["key"].startswith("gru/pointer-")}
        assert len(found) == len(POINTERS)
        assert {(alias["outcome"], alias["error"]["type"]) for alias in found.values()} == {("refused", "Corrupt")}


class TestInPlace:
    def test_listing_verifying_and_loading_run_nothing(self, tree: Path) -> None:
        store = ArtifactStore.open_legacy(tree)
        with nothing_unpickled():
            listing = store.runs()
            labels = {str(run.ref) for run in listing}
            report = store.verify()
            refused = {
                f"{hostile.model_type}/{hostile.name}:{RUN_ID}" for hostile in CORPUS if expected(hostile) == "refused"
            }
            for label in refused:
                with pytest.raises((errors.Corrupt, errors.Untrusted)):
                    store.load(label)
        assert {f"{family}/SOUND:{RUN_ID}" for family in SOUND} <= labels
        assert {problem.where for problem in listing.problems} == refused
        assert {type(problem.error).__name__ for problem in report.problems} <= TYPED


class TestTheCommandLine:
    def test_what_was_copied_is_shown_and_verified(self, report: dict[str, Any], store: Path) -> None:
        assert report["runs"]
        with nothing_unpickled():
            for arguments in (
                ["ls"],
                ["show", "gru/pickle-4"],
                ["diff", "gru/pickle-4", "gru/pickle-5"],
                ["history", "gru/pickle-4@latest"],
                ["verify"],
            ):
                assert CliRunner().invoke(app, ["--store", str(store), *arguments]).exit_code == 0

    def test_refusals_are_told_to_people(self, tree: Path, tmp_path: Path) -> None:
        few = tmp_path / "models" / "gru"
        shutil.copytree(tree / "gru" / "pickle-4", few / "pickle-4")
        result = CliRunner().invoke(app, ["migrate", str(few), str(tmp_path / "new"), "--dry-run"])
        assert result.exit_code == 0
        assert "RiskRefused gru/pickle-4/20240816_142301 (preprocessor.pkl): " in result.stdout
