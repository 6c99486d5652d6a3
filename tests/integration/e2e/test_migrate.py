"""Old trees brought into a store, and runs written again in the old form for those who still read it."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from artifact_store import ArtifactStore, FeatureSchema, ModelKey, errors
from artifact_store.cli.app import app
from artifact_store.legacy.export import export_run
from artifact_store.legacy.migrate import MigrationProgress, migrate_tree
from artifact_store.legacy.report import Migration
from artifact_store.legacy.trees import layout
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend, SimulatedCrash
from tests import invariants
from tests.keys import public, signer, strict
from tests.legacy_cases import CASES, old_tree
from tests.legacy_forward import check, run_of
from tests.stores import OpenStore
from tests.watched import nothing_unpickled

pytestmark = pytest.mark.xdist_group("test_migrate")  # its fixtures take long

GRU, OLD = "20240816_142301", "20240815_093045"
DANGLING = [f"{family}/ETHEUR/latest" for family in ("gru", "lightgbm", "ppo")]
MAIN = [case for case in CASES.values() if case.tree == "main"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole old tree. Nothing changes it, which is tested."""
    return old_tree(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small tree to change: two GRUs, the best one, and `latest`."""
    tree = old_tree(tmp_path)
    for family in ("lightgbm", "ppo"):
        shutil.rmtree(tree / family)
    for other in ("gru/ADAEUR", "gru/ETHEUR", "gru/SOLEUR", "gru/20240816_160000"):
        shutil.rmtree(tree / other)
    for best in ("lightgbm_BTCEUR.pkl", "ppo_BTCEUR.zip"):
        (tree / "metadata" / f"best_wf_{best}").unlink()
    return tree


@pytest.fixture
def new(tmp_path: Path) -> Iterator[ArtifactStore]:
    with ArtifactStore(tmp_path / "store") as store:
        yield store


def picture(tree: Path) -> dict[str, tuple[Any, ...]]:
    """Everything that can be seen of a tree from outside, times included."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in [tree, *tree.rglob("*")]:
        about = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path)] = (about.st_mode, about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino, content)
    return found


def outcomes(report: Migration) -> dict[str, str]:
    return {run.source: run.outcome for run in report}


def names(report: Migration) -> dict[str, str]:
    return {f"{alias.key}@{alias.alias}": alias.outcome for alias in report.aliases}


class TestEverywhere:
    def test_every_old_model_predicts_what_it_did_and_the_old_tree_stays_as_it_was(
        self, open_store: OpenStore, whole: Path
    ) -> None:
        before = picture(whole)
        with nothing_unpickled():
            report = migrate_tree(whole, open_store())
            assert report.counts == {"copied": len(MAIN)}
            store = open_store()
            for case in MAIN:
                check(run_of(store, case), case)
        assert store.verify().ok
        assert picture(whole) == before
        again = migrate_tree(whole, store)
        assert again.counts == {"already there": len(MAIN)}
        assert all(store.history(f"{alias.key}@{alias.alias}")[-1].seq == 1 for alias in again.aliases if alias.ok)
        for case in MAIN:
            if "best_wf" not in case.path:
                assert run_of(store, case).run_id == case.run_id


@pytest.fixture(scope="module")
def migrated(whole: Path) -> tuple[ArtifactStore, Migration]:
    """A store with all old runs, and the report of how they came there."""
    store = ArtifactStore("memory://migrated")
    return store, migrate_tree(whole, store)


@pytest.fixture(scope="module")
def full(migrated: tuple[ArtifactStore, Migration]) -> ArtifactStore:
    return migrated[0]


@pytest.fixture(scope="module")
def report(migrated: tuple[ArtifactStore, Migration]) -> Migration:
    return migrated[1]


class TestTheReport:
    def test_it_tells_of_each_run_what_was_found_inferred_and_refused(self, report: Migration) -> None:
        runs = {run.source: run for run in report}
        told = runs["gru/BTCEUR/20240816_142301"].report
        assert told.features == "stored, 5 of 24 (names of model.pth, selection of model.pth)"
        assert "preprocessor.pkl: Imputer, Standard of 24 columns" in told.found
        assert told.refused == ()
        old = runs["lightgbm/ETHEUR/20240701_080002"].report
        assert old.features == "inferred, 24 (by position)"
        assert old.inferred == ("the names of the features: made up (by position)",)
        best = runs["metadata/best_wf_lightgbm_BTCEUR.pkl"].report
        assert any(line.startswith("the run id 19700101_000000_") for line in best.inferred)
        assert "the inputs are the columns 0, 2, 5, 8, 12 of a training table without names" in best.inferred
        (refused,) = runs["gru/SOLEUR/20240816_161000"].report.refused
        assert refused.where == "preprocessor.pkl"
        assert "DataPreprocessor" in str(refused.error)

    def test_a_name_that_leads_nowhere_is_refused_and_the_run_is_there(self, report: Migration) -> None:
        assert [alias.source for alias in report.aliases if alias.outcome == "refused"] == DANGLING
        assert all(run.ok for run in report)
        assert not report.ok

    def test_it_is_json(self, report: Migration) -> None:
        document = json.loads(json.dumps(report.to_json(), allow_nan=False))
        assert document["counts"] == {"copied": len(MAIN)}
        assert len(document["runs"]) == len(MAIN)
        (alias,) = [alias for alias in document["aliases"] if alias["source"] == "gru/BTCEUR/latest"]
        assert (alias["run_id"], alias["outcome"]) == (GRU, "created")


class TestRepeating:
    def test_a_dry_run_tells_the_same_and_writes_nothing(self, root: Path, new: ArtifactStore) -> None:
        report = migrate_tree(root, new, dry_run=True)
        assert set(outcomes(report).values()) == {"would copy"}
        assert names(report) == {"gru/BTCEUR@best_wf": "would create", "gru/BTCEUR@latest": "would create"}
        assert not Path(new.url).exists()
        assert report.ok
        real = migrate_tree(root, new)
        assert [run.report for run in report] == [run.report for run in real]
        assert [run.run_id for run in report] == [run.run_id for run in real]

    def test_one_that_was_interrupted_and_repeated_is_whole(self, root: Path, new: ArtifactStore) -> None:
        def stop(step: MigrationProgress) -> None:
            if step.done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate_tree(root, new, progress=stop)
        assert len(list(new.runs("gru/BTCEUR"))) == 2
        assert new.aliases("gru/BTCEUR") == {}
        report = migrate_tree(root, new)
        assert report.counts == {"already there": 2, "copied": 1}
        assert names(report) == {"gru/BTCEUR@best_wf": "created", "gru/BTCEUR@latest": "created"}
        assert new.get("gru/BTCEUR").run_id == GRU

    def test_wherever_the_process_dies_the_next_one_completes_it(self, root: Path) -> None:
        shutil.rmtree(root / "gru" / "BTCEUR" / OLD)
        for number in range(1, 80):
            inner = MemoryBackend()
            dying = ArtifactStore(FaultyBackend(inner, Faults().crash_at(number, landed=True)))
            try:
                migrate_tree(root, dying)
            except SimulatedCrash:
                pass
            else:
                break
            store = ArtifactStore(inner)
            assert migrate_tree(root, store).ok
            assert store.verify().ok
            assert len(list(store.runs("gru/BTCEUR"))) == 2
            assert invariants.check(store, "gru/BTCEUR", ("latest", "best_wf")) == {"latest": 1, "best_wf": 1}
        else:
            pytest.fail("the migration never came to its end")

    def test_progress_tells_each_run(self, root: Path, new: ArtifactStore) -> None:
        steps: list[MigrationProgress] = []
        migrate_tree(root, new, progress=steps.append)
        assert [step.done for step in steps] == [0, 1, 2, 3]
        assert {step.total for step in steps} == {3}
        assert [step.source for step in steps][-1] == ""

    def test_an_alias_that_exists_is_not_moved(self, root: Path, new: ArtifactStore) -> None:
        mine = new.save({"weights": [1]}, "gru/BTCEUR")
        new.promote(mine, "best_wf")
        new.retire("gru/BTCEUR@best_wf")
        report = migrate_tree(root, new)
        assert names(report) == {"gru/BTCEUR@best_wf": "kept", "gru/BTCEUR@latest": "kept"}
        assert report.ok
        assert new.get("gru/BTCEUR").run_id == mine.run_id
        with pytest.raises(errors.AliasRetired):
            new.get("gru/BTCEUR@best_wf")

    def test_another_run_of_the_same_id_is_a_conflict_and_stays(self, root: Path, new: ArtifactStore) -> None:
        mine = new.save({"weights": [1]}, "gru/BTCEUR", run_id=OLD, publish="never")
        report = migrate_tree(root, new)
        assert outcomes(report)[f"gru/BTCEUR/{OLD}"] == "conflict"
        assert not report.ok
        assert new.get(f"gru/BTCEUR:{OLD}") == mine

    def test_a_run_that_has_changed_since_is_a_conflict(self, root: Path, new: ArtifactStore) -> None:
        migrate_tree(root, new)
        (root / "gru" / "BTCEUR" / OLD / "config.json").write_text("{}")
        report = migrate_tree(root, new)
        assert report.counts == {"already there": 2, "conflict": 1}
        assert migrate_tree(root, new, dry_run=True).counts == {"already there": 2, "conflict": 1}

    def test_equal_files_under_two_run_ids_are_two_runs(self, root: Path, new: ArtifactStore) -> None:
        home = root / "gru" / "BTCEUR"
        migrate_tree(root, new)
        shutil.copytree(home / GRU, home / "20250101_000000")
        again = migrate_tree(root, new)
        assert again.counts == {"already there": 3, "copied": 1}
        repeated = migrate_tree(root, new)
        assert repeated.counts == {"already there": 4}
        for report in (again, repeated):
            assert {run.source: run.run_id for run in report}["gru/BTCEUR/20250101_000000"] == "20250101_000000"
        assert new.get("gru/BTCEUR").run_id == GRU

    def test_runs_that_were_not_published_can_still_be_found_by_age(self, root: Path, new: ArtifactStore) -> None:
        (root / "gru" / "BTCEUR" / "latest").unlink()
        (root / "metadata" / "best_wf_gru_BTCEUR.pt").unlink()
        migrate_tree(root, new)
        assert new.find("gru/BTCEUR").run_id == GRU

    def test_a_tree_of_windows(self, tmp_path: Path, new: ArtifactStore) -> None:
        migrate_tree(old_tree(tmp_path, "windows"), new)
        assert new.get("gru/BTCEUR").run_id == CASES["win_gru"].run_id
        check(new.get("gru/BTCEUR"), CASES["win_gru"])

    def test_the_root_may_be_named_in_three_ways(self, root: Path, new: ArtifactStore) -> None:
        migrate_tree(root, new)
        assert migrate_tree(root.parent, new).counts == {"already there": 3}
        assert migrate_tree(root / "gru", new).counts == {"already there": 2}


class TestRefusals:
    def test_what_is_broken_is_refused_and_the_rest_is_copied(self, root: Path, new: ArtifactStore) -> None:
        (root / "gru" / "BTCEUR" / GRU / "model.pth").write_bytes(b"nothing")
        shutil.copytree(root / "gru" / "BTCEUR" / OLD, root / "gru" / ("x" * 101) / OLD)
        report = migrate_tree(root, new)
        assert outcomes(report) == {
            f"gru/BTCEUR/{OLD}": "copied",
            f"gru/BTCEUR/{GRU}": "refused",
            "metadata/best_wf_gru_BTCEUR.pt": "copied",
        }
        assert names(report) == {"gru/BTCEUR@best_wf": "created", "gru/BTCEUR@latest": "refused"}
        (problem,) = report.problems
        assert isinstance(problem.error, errors.InvalidName)
        assert "100 are allowed" in str(problem.error)

    @pytest.mark.parametrize("symbol", ["BTC/USDT", "EURUSD=X", "CON.DE", "BRK B"])
    def test_a_symbol_of_any_exchange_comes_over_and_goes_back(
        self, root: Path, new: ArtifactStore, tmp_path: Path, symbol: str
    ) -> None:
        """The old trainer made folders within each other of one with a slash."""
        if os.name == "nt":
            pytest.skip("Windows cannot have some of these folders")
        shutil.copytree(root / "gru" / "BTCEUR" / GRU, root / "gru" / symbol / GRU)
        assert outcomes(migrate_tree(root, new))[f"gru/{symbol}/{GRU}"] == "copied"
        run = new.find(("gru", symbol))
        assert run.key.symbol == symbol
        assert ArtifactStore.open_legacy(root).find(("gru", symbol)).run_id == run.run_id
        folder = export_run(run, tmp_path / "exported", pickles=True)
        named = ModelKey.spell(symbol) if symbol in {"BTC/USDT", "CON.DE"} else symbol
        assert folder == tmp_path / "exported" / "gru" / named / run.run_id
        again = ArtifactStore(tmp_path / "again")
        assert migrate_tree(tmp_path / "exported", again).ok
        assert again.models() == [ModelKey("gru", symbol)]

    @pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC;2FUSDT", "a/../../up", "..", "BRK B"])
    def test_what_is_exported_lies_below_its_folder_and_is_read_as_the_same_symbol(
        self, root: Path, new: ArtifactStore, tmp_path: Path, symbol: str
    ) -> None:
        shutil.copytree(root / "gru" / "BTCEUR" / GRU, root / "gru" / ModelKey.spell(symbol) / GRU)
        migrate_tree(root, new)
        run = new.find(("gru", symbol))
        out = tmp_path / "some" / "where"
        folder = export_run(run, out, pickles=True, alias="best_wf")
        assert [path.name for path in out.parent.iterdir()] == ["where"]
        best = out / "metadata" / f"best_wf_gru_{folder.parent.name}.pt"
        assert best.parent.parent == folder.parent.parent.parent == out
        for path in (out, folder / "model.pth", best):
            with ArtifactStore.open_legacy(path) as old:
                assert old.models() == [run.key]
        with ArtifactStore.open_legacy(out) as old:
            assert old.find(run.key, prefer=("best_wf",)).tags["legacy_source"] == f"metadata/{best.name}"

    @pytest.mark.parametrize("symbol", ["latest", "Latest_Pointer.txt"])
    def test_a_symbol_that_an_old_tree_takes_for_a_pointer_has_no_old_form(
        self, new: ArtifactStore, tmp_path: Path, symbol: str
    ) -> None:
        with pytest.raises(errors.Unsupported, match="names of pointers"):
            export_run(new.save({}, ("gru", symbol)), tmp_path / "out", pickles=True)
        assert not (tmp_path / "out").exists()

    def test_a_symbol_that_the_store_has_in_another_case_is_refused(self, root: Path, new: ArtifactStore) -> None:
        new.save({}, "gru/btceur")
        report = migrate_tree(root, new)
        assert report.counts == {"refused": 3}
        assert {type(run.error) for run in report} == {errors.InvalidName}

    def test_a_network_with_further_layers_is_refused(self, root: Path, new: ArtifactStore) -> None:
        import torch

        path = root / "gru" / "BTCEUR" / OLD / "model.pth"
        checkpoint = torch.load(path, weights_only=False)
        checkpoint["model_state_dict"]["attention.weight"] = torch.ones(2, 2)
        torch.save(checkpoint, path)
        (refused,) = [run for run in migrate_tree(root, new) if run.outcome == "refused"]
        assert refused.run_id == OLD
        assert "another network" in str(refused.error)
        assert "attention.weight" in str(refused.error)

    def test_a_folder_in_the_place_of_a_part_is_a_part_that_is_lost(self, root: Path, new: ArtifactStore) -> None:
        part = root / "gru" / "BTCEUR" / GRU / "preprocessor.pkl"
        part.unlink()
        part.mkdir()
        report = migrate_tree(root, new)
        (run,) = [run for run in report if run.run_id == GRU]
        assert [problem.where for problem in run.report.refused] == ["preprocessor.pkl"]
        assert new.get(f"gru/BTCEUR:{GRU}").requires == ("preprocessor",)

    def test_a_number_beyond_every_float_is_no_metric(self, root: Path, new: ArtifactStore) -> None:
        path = root / "gru" / "BTCEUR" / GRU / "metadata.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "test_loss": 10**400, "train_loss": 0.5}))
        assert migrate_tree(root, new).counts == {"copied": 3}
        metrics = new.get(f"gru/BTCEUR:{GRU}").metrics
        assert "test_loss" not in metrics
        assert metrics["train_loss"] == 0.5

    def test_reading_takes_no_more_memory_than_there_are_bytes(self, root: Path) -> None:
        tracemalloc.start()
        try:
            layout.read_file(root / "gru" / "BTCEUR" / GRU / "config.json", limit=1 << 32)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()

    def test_a_table_of_importances_that_would_grow_without_bounds_is_left_out(
        self, whole: Path, tmp_path: Path, new: ArtifactStore
    ) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        source = Path(CASES["lgbm_classifier_binary"].relative).parent
        tree = shutil.copytree(whole / source, tmp_path / "tree" / source).parents[2]
        many, long = (2_000_000, "a"), (1_000, "a" * 1_000_000)
        for rows, name in (many, long):
            feature = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [name])
            table = pa.table({"feature": feature, "importance": np.zeros(rows)})
            pq.write_table(table, tree / source / "feature_importance.parquet")
            (run,) = migrate_tree(tree, new, dry_run=True)
            assert [problem.where for problem in run.report.refused] == ["feature_importance.parquet"]
            assert f"{rows:,} rows" in str(run.report.refused[0].error)
            assert run.outcome == "would copy"

    def test_statistics_of_another_kind_of_observation_are_a_part_that_is_lost(
        self, whole: Path, tmp_path: Path, new: ArtifactStore
    ) -> None:
        import gymnasium
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        class Other(gymnasium.Env[Any, Any]):
            observation_space = gymnasium.spaces.Dict({"a": gymnasium.spaces.Box(-1, 1, (3,))})
            action_space = gymnasium.spaces.Discrete(2)

        source = Path(CASES["ppo_vecnorm_box"].relative).parent
        tree = shutil.copytree(whole / source, tmp_path / "tree" / source).parents[2]
        VecNormalize(DummyVecEnv([Other])).save(str(tree / source / "model_vecnormalize.pkl"))
        (run,) = migrate_tree(tree, new)
        assert run.outcome == "copied"
        assert [type(problem.error) for problem in run.report.refused] == [errors.FeatureMismatch]
        assert new.get(f"{run.key}:{run.run_id}").requires == ("model_vecnormalize",)

    def test_settings_that_no_store_can_hold_are_refused(self, root: Path, new: ArtifactStore) -> None:
        (root / "gru" / "BTCEUR" / OLD / "config.json").write_text('{"note": "\\ud800"}')
        report = migrate_tree(root, new)
        (refused,) = [run for run in report if run.error is not None]
        assert (refused.run_id, type(refused.error)) == (OLD, errors.InvalidOption)
        assert report.counts == {"copied": 2, "refused": 1}

    def test_a_pointer_that_cannot_be_read_is_left_alone(self, root: Path, new: ArtifactStore) -> None:
        new.save({}, "gru/BTCEUR")
        pointer = Path(new.url, "gru", "BTCEUR", "latest.json")
        pointer.chmod(0o600)
        pointer.write_bytes(b"damaged")
        report = migrate_tree(root, new)
        assert {run.outcome for run in report} == {"refused"}
        assert {type(alias.error) for alias in report.aliases} == {errors.Corrupt}
        assert pointer.read_bytes() == b"damaged"

    def test_a_run_that_somebody_saves_meanwhile_is_a_conflict_and_stays(self, root: Path, new: ArtifactStore) -> None:
        def meanwhile(step: MigrationProgress) -> None:
            if step.done == 1:
                ArtifactStore(new.url).save({"weights": [1]}, "gru/BTCEUR", run_id=GRU, publish="never")

        report = migrate_tree(root, new, progress=meanwhile)
        assert outcomes(report)[f"gru/BTCEUR/{GRU}"] == "conflict"
        assert new.load(f"gru/BTCEUR:{GRU}") == {"weights": [1]}

    def test_a_run_that_was_deleted_there_is_not_brought_back(self, root: Path, new: ArtifactStore) -> None:
        migrate_tree(root, new)
        new.delete(f"gru/BTCEUR:{OLD}").apply()
        report = migrate_tree(root, new)
        assert report.counts == {"already there": 2, "deleted": 1}
        assert report.ok

    @pytest.mark.parametrize("inside", ["", "gru", "store"])
    def test_a_store_inside_of_the_old_tree_is_refused(self, root: Path, inside: str) -> None:
        before = picture(root)
        with pytest.raises(errors.InvalidOption, match="stays as it is"):
            migrate_tree(root, ArtifactStore(root / inside))
        assert picture(root) == before

    def test_a_root_that_is_no_store_is_refused(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.png").write_bytes(b"x")
        with pytest.raises(errors.NotAStore):
            migrate_tree(root, ArtifactStore(tmp_path / "photos"))

    def test_a_store_is_no_old_tree(self, root: Path, tmp_path: Path) -> None:
        migrate_tree(root, ArtifactStore(tmp_path / "first"))
        with pytest.raises(errors.NotAStore, match="first is a store already"):
            migrate_tree(tmp_path / "first", ArtifactStore(tmp_path / "second"))
        with pytest.raises(errors.NotAStore, match="is a store already"):
            ArtifactStore.open_legacy(tmp_path / "first" / "gru")
        assert not (tmp_path / "second").exists()


# ---------------------------------------------------------------- the command line


class Cli:
    def __init__(self, url: Path) -> None:
        self.url = url

    def __call__(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, ["--store", str(self.url), *map(str, arguments)])


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "store")


@pytest.mark.parametrize("command", ["ls", "verify"])
def test_an_old_tree_is_not_listed_as_a_store_without_runs(root: Path, command: str) -> None:
    result = Cli(root)(command)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "is not a store" in result.stderr
    assert "artifact-store migrate OLD NEW" in result.stderr


class TestValidate:
    """``validate`` takes an old tree for what it is: the runs that its names mean, read in place."""

    def test_it_loads_every_model_of_an_old_tree(self, root: Path) -> None:
        result = Cli(root)("validate", "--json")
        told = {model["key"]: model for model in json.loads(result.stdout)["models"]}
        best = ArtifactStore.open_legacy(root).get("gru/BTCEUR@best_wf")
        assert {key: (model["run"], model["ok"], model["loaded"]) for key, model in told.items()} == {
            "gru/BTCEUR": (str(best.ref), True, ["model"])
        }
        assert result.exit_code == 0
        assert f" {GRU} " in Cli(root.parent)("validate", "gru/BTCEUR@latest").stdout

    def test_a_broken_model_is_named(self, root: Path) -> None:
        (root / "metadata" / "best_wf_gru_BTCEUR.pt").write_bytes(b"nothing")
        result = Cli(root)("validate")
        assert result.exit_code == 1
        assert "WRONG" in result.stdout
        assert "1 model: 1 with problems" in result.stdout

    def test_one_old_file_is_checked_alone(self, root: Path) -> None:
        result = Cli(root / "gru" / "BTCEUR" / OLD / "model.pth")("validate")
        assert (result.exit_code, f" {OLD} " in result.stdout) == (0, True)
        assert "1 model: none with problems" in result.stdout

    def test_what_the_tree_holds_besides_is_a_warning(self, root: Path) -> None:
        (root / "gru" / "BTCEUR" / "20241399_999999").mkdir()
        result = Cli(root)("validate")
        assert result.exit_code == 0
        assert "gru/BTCEUR/20241399_999999" in result.stderr

    def test_a_folder_without_old_models_is_what_it_was(self, tmp_path: Path) -> None:
        (tmp_path / "work" / "gru" / "BTCEUR" / GRU).mkdir(parents=True)
        (tmp_path / "work" / "gru" / "BTCEUR" / GRU / "notes.txt").write_text("nothing")
        result = Cli(tmp_path / "work")("validate")
        assert result.exit_code == 3
        assert "is not a store" in result.stderr


class TestTheCommand:
    def test_migrate_prints_a_table_and_a_summary(self, root: Path, cli: Cli) -> None:
        result = cli("migrate", root)
        assert (result.exit_code, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert lines[0].split() == ["run", "result", "features", "refused"]
        assert ["gru/BTCEUR:20240816_142301", "copied", "stored,", "5", "of", "24"] in [line.split() for line in lines]
        assert any(line.split() == ["gru/BTCEUR@latest", GRU, "created"] for line in lines)
        assert lines[-1] == f"3 runs in {root}: 3 copied."
        assert cli("migrate", root).stdout.splitlines()[-1] == f"3 runs in {root}: 3 already there."
        assert cli("show", "gru/BTCEUR").exit_code == 0

    def test_new_may_be_given_beside_old(self, root: Path, cli: Cli, tmp_path: Path) -> None:
        other = tmp_path / "other"
        assert cli("migrate", root, other, "--dry-run").stdout.splitlines()[-1].startswith("Nothing was written.")
        assert not other.exists()
        assert cli("migrate", root, other).exit_code == 0
        assert not cli.url.exists()
        assert len(list(ArtifactStore(other).runs())) == 3

    def test_it_ends_with_1_if_something_was_refused(self, root: Path, cli: Cli) -> None:
        (root / "gru" / "BTCEUR" / OLD / "model.pth").write_bytes(b"nothing")
        result = cli("migrate", root, "--json")
        assert result.exit_code == 1
        document = json.loads(result.stdout)
        assert not document["ok"]
        assert document["counts"] == {"copied": 2, "refused": 1}
        assert [run["error"]["type"] for run in document["runs"] if run["error"]] == ["Corrupt"]
        assert "Corrupt" in cli("migrate", root, "--dry-run").stdout

    def test_an_old_tree_that_is_none_is_an_error(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert cli("migrate", tmp_path / "empty").exit_code == 3
        assert cli("migrate", tmp_path / "none").exit_code == 2

    def test_export_wants_to_be_told(self, root: Path, cli: Cli, tmp_path: Path) -> None:
        cli("migrate", root)
        out = tmp_path / "old"
        for missing in ((), ("--legacy",)):
            result = cli("export", "gru/BTCEUR", out, *missing)
            assert result.exit_code == 2
            assert not out.exists()
        assert "model.pth, preprocessor.pkl" in result.stderr
        result = cli("export", "gru/BTCEUR", out, "--legacy", "--pickles", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["files"] == ["config.json", "metadata.json", "model.pth", "preprocessor.pkl"]
        assert cli("migrate", out).exit_code == 1  # another tree with the same ids, and other bytes in it


# ---------------------------------------------------------------- the old form again


class TestSignatures:
    def test_what_is_brought_into_a_store_with_a_signer_is_signed(self, root: Path, tmp_path: Path) -> None:
        with ArtifactStore(tmp_path / "store", signer=signer(), policy=strict()) as store:
            report = migrate_tree(root, store)
            assert report.ok, report
            assert set(outcomes(report).values()) == {"copied"}
            assert set(outcomes(migrate_tree(root, store)).values()) == {"already there"}
            pointers = [pointer for key in store.models() for pointer in store.aliases(key).values()]
        with ArtifactStore(tmp_path / "store", policy=strict()) as reader:
            checked = reader.verify()
            assert checked.ok, checked.problems
            assert {run.signed_by for run in checked} == {public().key_id}
            assert reader.load("gru/BTCEUR").state
        assert len(pointers) == len([alias for alias in report.aliases if alias.outcome == "created"]) > 0
        assert {pointer.signature.key_id for pointer in pointers if pointer.signature} == {public().key_id}

    def test_where_a_signer_is_missing_nothing_is_copied(self, root: Path, tmp_path: Path) -> None:
        with ArtifactStore(tmp_path / "store", policy=strict()) as store:
            report = migrate_tree(root, store)
            assert set(outcomes(report).values()) == {"refused"}
            assert all("to write, it needs signer=" in str(run.error) for run in report)
            assert [*store.runs(), *store.models()] == []

    def test_an_unsigned_run_is_not_written_in_the_old_form(
        self, root: Path, new: ArtifactStore, tmp_path: Path
    ) -> None:
        migrate_tree(root, new)
        ref = f"gru/BTCEUR:{GRU}"
        with ArtifactStore(tmp_path / "store", policy=strict()) as reader:
            with pytest.raises(errors.SignatureMissing):
                export_run(reader.get(ref), tmp_path / "old", pickles=True)
            assert not (tmp_path / "old").exists()
            new.sign(ref, signer())
            assert export_run(reader.get(ref), tmp_path / "old", pickles=True).is_dir()


class TestExport:
    @pytest.mark.parametrize("case", MAIN, ids=[case.name for case in MAIN])
    def test_what_is_written_reads_again_and_predicts_the_same(
        self, full: ArtifactStore, tmp_path: Path, case: Any
    ) -> None:
        run = run_of(full, case)
        folder = export_run(run, tmp_path, pickles=True)
        (again,) = ArtifactStore.open_legacy(tmp_path).runs()
        assert again.run_id == run.run_id
        assert ArtifactStore.open_legacy(tmp_path).get(run.key).run_id == run.run_id
        assert (again.config, again.created_at, again.metrics) == (run.config, run.created_at, run.metrics)
        assert again.features.selected_names == run.features.selected_names
        assert again.features.observation == run.features.observation
        check(again, case)
        assert json.loads((folder / "metadata.json").read_text())["run_id"] == run.run_id

    @pytest.mark.parametrize("case", MAIN, ids=[case.name for case in MAIN])
    def test_the_best_of_a_walk_forward_is_also_where_old_programs_look_first(
        self, full: ArtifactStore, tmp_path: Path, case: Any
    ) -> None:
        run = run_of(full, case)
        folder = export_run(run, tmp_path, pickles=True, alias="best_wf")
        suffix = {"gru": "pt", "lightgbm": "pkl", "ppo": "zip"}[case.model_type]
        best = tmp_path / "metadata" / f"best_wf_{str(run.key).replace('/', '_')}.{suffix}"
        assert best.read_bytes() == next(folder.glob("model.*")).read_bytes()
        with ArtifactStore.open_legacy(tmp_path) as old:
            found = old.find(run.key, prefer=("best_wf", "latest"))
            assert found.tags["legacy_source"] == f"metadata/{best.name}"
            assert found.features.selected_names == run.features.selected_names
            assert found.features.observation == run.features.observation
            check(found, case)
            assert old.get(run.key).run_id == run.run_id  # there was no latest yet

    def test_an_agent_with_a_preprocessor_has_no_old_form(self, new: ArtifactStore, tmp_path: Path) -> None:
        with new.new_run("ppo/X") as draft:
            draft.add("model", {})
            draft.add("preprocessor", {})
            run = draft.commit()
        with pytest.raises(errors.Unsupported, match="no preprocessor beside an agent"):
            export_run(run, tmp_path / "out", pickles=True)
        assert not (tmp_path / "out").exists()

    def best_files(self, tmp_path: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((tmp_path / "metadata").iterdir())}

    def test_a_best_that_was_exported_gives_way_with_all_that_belongs_to_it_and_latest_stays(
        self, full: ArtifactStore, tmp_path: Path
    ) -> None:
        with_statistics, without = (run_of(full, CASES[name]) for name in ("ppo_vecnorm_box", "ppo_novecnorm_discrete"))
        export_run(with_statistics, tmp_path, pickles=True)
        export_run(with_statistics, tmp_path, pickles=True, alias="best_wf")
        first = self.best_files(tmp_path)
        stem = f"best_wf_{str(with_statistics.key).replace('/', '_')}"
        assert list(first) == [f"{stem}.zip", f"{stem}_metadata.json", f"{stem}_vecnormalize.pkl"]
        assert json.loads(first[f"{stem}_metadata.json"])["action_space_info"] == {"type": "continuous", "shape": [1]}
        export_run(without, tmp_path, pickles=True, alias="best_wf")
        second = self.best_files(tmp_path)
        assert list(second) == [f"{stem}.zip", f"{stem}_metadata.json"]
        assert first[f"{stem}.zip"] != second[f"{stem}.zip"]
        assert json.loads(second[f"{stem}_metadata.json"])["action_space_info"] == {"type": "discrete", "n": 3}
        assert ArtifactStore.open_legacy(tmp_path).get(without.key).run_id == with_statistics.run_id
        before = picture(tmp_path)
        export_run(without, tmp_path, pickles=True, alias="best_wf")
        assert picture(tmp_path) == before

    @pytest.mark.parametrize(
        "name", ["best_wf_gru_BTCEUR.pt", "best_wf_gru_BTCEUR.pth", "best_wf_gru_BTCEUR_preprocessor.pkl"]
    )
    @pytest.mark.parametrize("kind", ["file", "link", "dangling", "folder"])
    def test_a_best_that_no_export_wrote_is_not_touched(
        self, full: ArtifactStore, tmp_path: Path, name: str, kind: str
    ) -> None:
        old = tmp_path / "models"
        own = old / "metadata" / name
        own.parent.mkdir(parents=True)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(b"mine")
        if kind == "folder":
            own.mkdir()
        elif kind == "file":
            own.write_bytes(b"mine")
        else:
            own.symlink_to(elsewhere if kind == "link" else tmp_path / "nowhere")
        before = picture(tmp_path)
        with pytest.raises(errors.InvalidOption, match=f"{name} exists, and is not a copy"):
            export_run(full.get("gru/BTCEUR"), old, pickles=True, alias="best_wf")
        assert picture(tmp_path) == before
        export_run(full.get("gru/BTCEUR"), old, pickles=True)
        assert own.lstat().st_size == before[str(own)][3]

    def test_a_best_of_another_suffix_that_is_a_copy_gives_way(self, full: ArtifactStore, tmp_path: Path) -> None:
        folder = export_run(full.get(f"gru/BTCEUR:{OLD}"), tmp_path, pickles=True)
        (tmp_path / "metadata").mkdir()
        shutil.copy(folder / "model.pth", tmp_path / "metadata" / "best_wf_gru_BTCEUR.pth")
        export_run(full.get(f"gru/BTCEUR:{GRU}"), tmp_path, pickles=True, alias="best_wf")
        assert list(self.best_files(tmp_path)) == ["best_wf_gru_BTCEUR.pt", "best_wf_gru_BTCEUR_preprocessor.pkl"]

    def test_an_export_of_the_best_that_was_killed_is_ended_by_the_next(
        self, full: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = full.get(f"gru/BTCEUR:{GRU}")
        export_run(full.get(f"gru/BTCEUR:{OLD}"), tmp_path, pickles=True, alias="best_wf")
        latest = (tmp_path / "gru" / "BTCEUR" / "latest").readlink()
        whole = self.best_files(tmp_path)
        real, left = Path.replace, 0

        def replace(path: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return real(path, target)

        monkeypatch.setattr(Path, "replace", replace)
        for allowed in (0, 1):  # before the first file is there, and between the parts
            left = allowed
            with pytest.raises(KeyboardInterrupt):
                export_run(run, tmp_path, pickles=True, alias="best_wf")
            assert not (tmp_path / "metadata" / "best_wf_gru_BTCEUR.pt").exists()
        monkeypatch.undo()
        export_run(run, tmp_path, pickles=True, alias="best_wf")
        files = self.best_files(tmp_path)
        assert files["best_wf_gru_BTCEUR.pt"] != whole["best_wf_gru_BTCEUR.pt"]
        assert list(files) == ["best_wf_gru_BTCEUR.pt", "best_wf_gru_BTCEUR_preprocessor.pkl"]
        assert (tmp_path / "gru" / "BTCEUR" / "latest").readlink() == latest

    def test_the_command_tells_it_by_the_alias(self, root: Path, cli: Cli, tmp_path: Path) -> None:
        cli("migrate", root)
        for number, (ref, expected) in enumerate({"gru/BTCEUR": False, "gru/BTCEUR@best_wf": True}.items()):
            out = tmp_path / str(number)
            assert cli("export", ref, out, "--legacy", "--pickles").exit_code == 0
            assert (out / "metadata" / "best_wf_gru_BTCEUR.pt").exists() == expected

    def test_without_the_flag_nothing_is_written(self, full: ArtifactStore, tmp_path: Path) -> None:
        for key, files in {
            "gru/BTCEUR": "model.pth, preprocessor.pkl",
            "lightgbm/BTCEUR": "model.pkl",
            "ppo/BTCEUR": "model.zip, model_vecnormalize.pkl",
        }.items():
            with pytest.raises(errors.InvalidOption, match=f"^{files} of {key}"):
                export_run(full.get(key), tmp_path / "old")
        assert not (tmp_path / "old").exists()

    def test_nothing_is_overwritten_and_latest_moves_on(self, full: ArtifactStore, tmp_path: Path) -> None:
        export_run(full.get(f"gru/BTCEUR:{OLD}"), tmp_path, pickles=True)
        export_run(full.get(f"gru/BTCEUR:{GRU}"), tmp_path, pickles=True)
        assert ArtifactStore.open_legacy(tmp_path).get("gru/BTCEUR").run_id == GRU
        with pytest.raises(errors.InvalidOption, match="nothing is overwritten"):
            export_run(full.get(f"gru/BTCEUR:{GRU}"), tmp_path, pickles=True)
        home = tmp_path / "gru" / "BTCEUR"
        assert sorted(path.name for path in home.iterdir())[:2] == [OLD, GRU]
        assert len(list(home.iterdir())) == 3

    def test_an_export_that_was_killed_before_latest_is_ended_by_the_next(
        self, full: ArtifactStore, tmp_path: Path
    ) -> None:
        export_run(full.get(f"gru/BTCEUR:{OLD}"), tmp_path, pickles=True)
        before = (tmp_path / "gru" / "BTCEUR" / "latest").readlink()
        folder = export_run(full.get(f"gru/BTCEUR:{GRU}"), tmp_path, pickles=True)
        latest = folder.parent / "latest"
        latest.unlink()
        latest.symlink_to(before)
        written = folder.stat()
        assert export_run(full.get(f"gru/BTCEUR:{GRU}"), tmp_path, pickles=True) == folder
        assert ArtifactStore.open_legacy(tmp_path).get("gru/BTCEUR").run_id == GRU
        assert folder.stat() == written
        latest.unlink()
        latest.symlink_to(before)
        (folder / "metadata.json").write_text("{}")
        with pytest.raises(errors.InvalidOption, match="nothing is overwritten"):
            export_run(full.get(f"gru/BTCEUR:{GRU}"), tmp_path, pickles=True)
        assert latest.readlink() == before

    def test_a_latest_that_is_no_link_is_not_touched(self, full: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "gru" / "BTCEUR" / "latest").mkdir(parents=True)
        with pytest.raises(errors.InvalidOption, match="is not a link"):
            export_run(full.get(f"gru/BTCEUR:{GRU}"), tmp_path, pickles=True)

    def test_a_model_of_another_type_has_no_old_form(self, tmp_path: Path, new: ArtifactStore) -> None:
        with pytest.raises(errors.Unsupported):
            export_run(new.save({}, "lstm/BTCEUR"), tmp_path, pickles=True)

    def test_old_readers_use_what_is_written(self, full: ArtifactStore, tmp_path: Path) -> None:
        """The libraries themselves, as the old programs call them."""
        import joblib
        import numpy as np
        import torch
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import VecNormalize

        def written(name: str) -> Path:
            return export_run(run_of(full, CASES[name]), tmp_path, pickles=True)

        folder = written("gru_full_selected")
        checkpoint = torch.load(folder / "model.pth", weights_only=False)
        assert checkpoint["selected_features"] == [0, 1, 5, 8, 12]
        assert checkpoint["model_config"]["input_size"] == 5
        old = joblib.load(folder / "preprocessor.pkl")
        arrays = CASES["gru_full_selected"].expected()
        rows = old["scaler"].transform(old["imputer"].transform(arrays["X"]) if old["imputer"] else arrays["X"])
        windows = np.stack([rows[end - 12 : end] for end in range(12, len(rows) + 1)]).astype(np.float32)
        np.testing.assert_array_equal(windows[..., checkpoint["selected_features"]], arrays["network_input"])

        for name in ("lgbm_classifier_binary", "lgbm_array_noselect"):
            model = joblib.load(written(name) / "model.pkl")["model"]
            arrays = CASES[name].expected()
            np.testing.assert_array_equal(model.predict(arrays["X"]), arrays["y"])
            if "proba" in arrays:
                np.testing.assert_array_equal(model.predict_proba(arrays["X"]), arrays["proba"])

        folder = written("ppo_vecnorm_box")
        algorithm = PPO.load(folder / "model.zip")
        from artifact_store.legacy.old_objects import vecnormalize

        normalizer = VecNormalize.load(str(folder / "model_vecnormalize.pkl"), vecnormalize(algorithm).venv)
        arrays = CASES["ppo_vecnorm_box"].expected()
        seen = normalizer.normalize_obs(arrays["raw_obs"])
        np.testing.assert_array_equal(seen, arrays["policy_input"])
        np.testing.assert_allclose(algorithm.predict(seen, deterministic=True)[0], arrays["actions"], rtol=0, atol=1e-6)

    def test_an_agent_with_several_inputs_has_no_shape_of_observations(
        self, new: ArtifactStore, tmp_path: Path
    ) -> None:
        import gymnasium
        from stable_baselines3 import PPO

        class Nothing(gymnasium.Env):  # type: ignore[misc]
            observation_space = gymnasium.spaces.Dict({"a": gymnasium.spaces.Box(-1, 1, (2,))})
            action_space = gymnasium.spaces.MultiDiscrete([2, 3])

        run = new.save(PPO("MultiInputPolicy", Nothing(), n_steps=8, batch_size=8, device="cpu"), "ppo/X")
        told = json.loads((export_run(run, tmp_path / "old", pickles=True) / "model_metadata.json").read_text())
        assert told["observation_shape"] is None
        assert told["action_space_info"] == {"type": "multidiscrete", "nvec": [2, 3]}

    def test_a_run_that_was_never_old_can_be_written_too(self, new: ArtifactStore, tmp_path: Path) -> None:
        import lightgbm
        import numpy as np

        rows = np.random.default_rng(1).normal(size=(200, 3))
        quiet = {"verbosity": -1, "num_threads": 1}
        booster = lightgbm.train(quiet, lightgbm.Dataset(rows, rows[:, 0]), 5)
        run = new.save(booster, "lightgbm/X", features=FeatureSchema(["a", "b", "c"]), config={"depth": 3})
        export_run(run, tmp_path / "old", pickles=True)
        again = ArtifactStore.open_legacy(tmp_path / "old").get("lightgbm/X")
        assert again.features.names == ("a", "b", "c")
        np.testing.assert_array_equal(again.load().predict(rows), booster.predict(rows))


def test_without_temporary_space_no_run_is_called_refused_and_a_repetition_migrates_all(
    root: Path, tmp_path: Path
) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    store = ArtifactStore("memory://without-temporary-space", staging=staging)
    staging.rmdir()
    with pytest.raises(errors.StagingUnavailable):
        migrate_tree(root, store)
    assert list(store.runs()) == []
    staging.mkdir()
    assert migrate_tree(root, store).ok
