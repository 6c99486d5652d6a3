"""An old tree read in place: every old model predicts what it did, nothing is written, and no stored code runs."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.legacy.backend import LegacyBackend
from artifact_store.legacy.formats.convert import Opened, convert, open_old
from artifact_store.legacy.migrate import migrate_tree
from artifact_store.legacy.trees.layout import scan
from tests.legacy_cases import CASES, REFUSED, LegacyCase, of_type, old_tree
from tests.legacy_forward import check, gru, run_of
from tests.watched import nothing_unpickled

pytestmark = pytest.mark.xdist_group("test_legacy_store")  # its fixtures take long

GRU, OLD = "20240816_142301", "20240815_093045"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ArtifactStore]]:
    """The old trees, in place. Reading them changes nothing, so that one of each is enough."""
    trees = {name: old_tree(tmp_path_factory.mktemp(name), name) for name in ("main", "windows")}
    opened = {name: ArtifactStore.open_legacy(root) for name, root in trees.items()}
    yield opened
    for store in opened.values():
        store.close()


@pytest.fixture(scope="module")
def store(stores: dict[str, ArtifactStore]) -> ArtifactStore:
    return stores["main"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small tree to change: three GRUs and ``latest``."""
    tree = old_tree(tmp_path)
    for family in ("lightgbm", "ppo", "metadata"):
        shutil.rmtree(tree / family)
    for symbol in ("ADAEUR", "ETHEUR", "SOLEUR"):
        shutil.rmtree(tree / "gru" / symbol)
    return tree


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class TestWithoutALibrary:
    """What is not installed is no damage: the text says what to install, and nothing is taken for lost."""

    @pytest.mark.parametrize(
        ("case", "missing", "extra"),
        [
            ("gru_full_selected", "torch", "torch"),
            ("lgbm_frame_selected", "lightgbm", "lightgbm"),
            ("ppo_vecnorm_box", "stable_baselines3.common.utils", "stable-baselines3"),
        ],
    )
    def test_a_model_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, case: str, missing: str, extra: str
    ) -> None:
        old = opened(CASES[case])
        convert(old)  # so that no library is first imported while another one is missing
        monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[arg-type]
        with pytest.raises(errors.CodecUnavailable, match=rf'pip install .*"{extra}>='):
            convert(old)

    @pytest.mark.parametrize("missing", ["pandas", "pyarrow"])
    def test_a_table_of_importances_is_not_called_damaged(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        case = CASES["lgbm_frame_selected"]
        assert convert(opened(case)).report.refused == ()  # and LightGBM has found its own use for what is missing next
        monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[arg-type]
        (refused,) = convert(opened(case)).report.refused
        assert refused.where == "feature_importance.parquet"
        assert isinstance(refused.error, errors.CodecUnavailable)
        assert 'pip install "pandas>=' in str(refused.error)


def opened(case: LegacyCase) -> Opened:
    root = case.file.parents[len(Path(case.relative).parts) - 1]
    (run,) = [run for run in scan(root).runs if case.file.parent == run.files["model"].parent]
    return open_old(run)


class TestPredictions:
    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_every_old_model_predicts_what_it_did(self, stores: dict[str, ArtifactStore], case: LegacyCase) -> None:
        with nothing_unpickled():
            check(run_of(stores[case.tree], case), case)

    def test_the_watch_notices_an_unpickling(self) -> None:
        with pytest.raises(AssertionError), nothing_unpickled():
            pickle.loads(pickle.dumps(Path()))

    def test_the_names_of_a_run_are_how_it_is_found(self, store: ArtifactStore) -> None:
        assert store.get("gru/BTCEUR").run_id == GRU
        assert store.get("gru/BTCEUR@best_wf").tags["legacy_source"] == "metadata/best_wf_gru_BTCEUR.pt"
        assert store.get(f"gru/BTCEUR:{OLD}").run_id == OLD
        assert store.find("gru/BTCEUR").found_by == (
            f"gru/BTCEUR@best_wf: names {store.get('gru/BTCEUR@best_wf').run_id}, taken",
        )
        assert store.find("gru/ADAEUR").found_by[-1].endswith("the newest committed run, taken")
        assert [str(key) for key in store.models()][:3] == ["gru", "gru/ADAEUR", "gru/BTCEUR"]

    def test_the_history_of_a_name_is_its_one_publish(self, store: ArtifactStore) -> None:
        (entry,) = store.history("gru/BTCEUR@latest")
        assert (entry.seq, entry.run_id, entry.reason) == (1, GRU, "as in gru/BTCEUR/latest")


class TestOneFile:
    """A file that is named by its path is the run that the tree makes of it, with what lies beside it."""

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_it_is_the_run_that_the_tree_has(self, stores: dict[str, ArtifactStore], case: LegacyCase) -> None:
        tree = stores[case.tree]
        with nothing_unpickled(), ArtifactStore.open_legacy(Path(tree.url) / case.relative) as store:
            (key,) = store.models()
            run = store.get(key)
            assert run.manifest.digest == run_of(tree, case).manifest.digest
            assert store.find(key).run_id == run.run_id
            check(run, case)
            assert store.verify().ok

    def test_it_is_only_read_and_can_be_brought_into_a_store(self, stores: dict[str, ArtifactStore]) -> None:
        case = CASES["gru_full_selected"]
        file = Path(stores["main"].url) / case.relative
        with pytest.raises(errors.Unsupported, match=r"is an old model and only read\..*artifact-store migrate .* NEW"):
            ArtifactStore.open_legacy(file).save({}, "gru/BTCEUR")
        target = ArtifactStore("memory://" + os.urandom(8).hex())
        assert migrate_tree(file, target).ok
        check(target.get("gru/BTCEUR"), case)

    def test_a_file_far_from_any_tree_is_read_with_what_lies_beside_it(self, tmp_path: Path) -> None:
        case = CASES["gru_full_selected"]
        for name in ("model.pth", "preprocessor.pkl", "metadata.json"):
            shutil.copy(case.beside(name), tmp_path)
        run = ArtifactStore.open_legacy(tmp_path / "model.pth").get("gru")
        assert run.components == ("model", "preprocessor")
        assert run.run_id == f"20240816_142301_{run.tags['legacy_sha256'][:12]}"
        check(run, case)


class TestWhatIsKnown:
    def test_a_model_without_any_information_loads_and_says_that_its_names_are_inferred(
        self, store: ArtifactStore
    ) -> None:
        case = CASES["lgbm_old_nofeatures"]
        schema = run_of(store, case).features
        assert schema.names_inferred
        with pytest.raises(errors.FeatureMismatch):
            schema.prepare(case.frame())

    def test_names_that_only_the_preprocessor_has_are_taken(self, store: ArtifactStore) -> None:
        case = CASES["gru_old_nofeatures"]
        assert run_of(store, case).features.names == tuple(case.row["query_columns"])

    def test_selected_columns_are_told_to_all(self, store: ArtifactStore) -> None:
        for name in ("gru_full_selected", "gru_no_metadata_json"):
            schema = run_of(store, CASES[name]).features
            assert schema.names == CASES[name].columns
            assert schema.selected_names == tuple(CASES[name].row["true_input_columns"])
        quirk = run_of(store, CASES["lgbm_frame_selected"]).features
        assert quirk.names == tuple(CASES["lgbm_frame_selected"].row["true_input_columns"])

    def test_categories_are_told_to_their_column(self, store: ArtifactStore) -> None:
        case = CASES["lgbm_booster_categorical"]
        schema = run_of(store, case).features
        assert set(schema.categories["session"]) >= set(case.frame()["session"])
        with pytest.raises(errors.FeatureMismatch):
            schema.prepare(case.frame().assign(session="never seen"))

    def test_columns_that_are_not_those_of_training_are_refused(self, store: ArtifactStore) -> None:
        case = CASES["gru_full_selected"]
        schema = run_of(store, case).features
        with pytest.raises(errors.FeatureMismatch) as caught:
            schema.prepare(case.frame().rename(columns={"rsi_14": "rsi14"}))
        assert caught.value.suggestions == {"rsi_14": "rsi14"}
        with pytest.raises(errors.FeatureMismatch, match="expected 24 features"):
            schema.prepare(np.zeros((20, 23)))

    def test_settings_metrics_and_times_come_along(self, store: ArtifactStore) -> None:
        run = run_of(store, CASES["gru_full_selected"])
        notes = json.loads(CASES["gru_full_selected"].beside("metadata.json").read_text())
        assert run.config == notes["config"]
        assert run.training_config["train_losses"]
        assert set(run.metrics) == {"best_val_loss"}
        assert run.created_at.isoformat() == notes["created_at"] + "+00:00"
        assert run.load().config == {
            "input_size": 5,
            "hidden_size": 16,
            "num_layers": 2,
            "fc_size": 8,
            "output_size": 1,
            "dropout": 0.2,
            "sequence_length": 12,
        }

    def test_a_run_without_an_id_gets_one_from_its_time_or_the_epoch_and_its_content(
        self, store: ArtifactStore
    ) -> None:
        run = store.get("gru/BTCEUR@best_wf")
        assert run.run_id == f"20240817_194512_{run.tags['legacy_sha256'][:12]}"
        run = store.get("lightgbm/BTCEUR@best_wf")
        assert run.run_id == f"19700101_000000_{run.tags['legacy_sha256'][:12]}"
        assert next(iter(store.runs("lightgbm/BTCEUR"))).run_id != run.run_id  # never the newest

    def test_a_part_that_cannot_be_read_is_required_and_not_there(self, store: ArtifactStore) -> None:
        run = run_of(store, CASES[REFUSED])
        assert run.requires == ("preprocessor",)
        with pytest.raises(errors.ComponentNotFound):
            run.load("preprocessor")

    def test_everything_is_sound_but_the_names_that_lead_nowhere(self, store: ArtifactStore) -> None:
        report = store.verify()
        assert len(report.runs) == len([case for case in CASES.values() if case.tree == "main"])
        assert [str(problem.where) for problem in report.problems] == [
            f"{family}/ETHEUR@latest" for family in ("gru", "lightgbm", "ppo")
        ]
        assert all(isinstance(problem.error, errors.Corrupt) for problem in report.problems)
        said = "has no such run in the old tree: name a run, such as gru/ETHEUR:20240701_080000"
        with pytest.raises(errors.Corrupt, match=said):
            store.get("gru/ETHEUR")


class TestBrokenRuns:
    def test_one_is_a_problem_of_the_listing_and_the_rest_is_read(self, root: Path) -> None:
        (root / "gru" / "BTCEUR" / OLD / "model.pth").write_bytes(b"nothing")
        (root / "gru" / "20240816_160000" / "model.pth").unlink()
        store = ArtifactStore.open_legacy(root)
        listing = store.runs()
        assert [str(run.ref) for run in listing] == [f"gru/BTCEUR:{GRU}"]
        assert [problem.where for problem in listing.problems] == ["gru:20240816_160000", f"gru/BTCEUR:{OLD}"]
        assert "should be a model.pth or model.pt" in str(listing.problems[0])
        with pytest.raises(errors.Corrupt):
            store.get(f"gru/BTCEUR:{OLD}")
        assert {problem.where for problem in store.verify().problems} == {problem.where for problem in listing.problems}

    def test_a_name_of_a_broken_run_is_an_error_and_no_reason_to_take_another(self, root: Path) -> None:
        (root / "gru" / "BTCEUR" / GRU / "model.pth").write_bytes(b"nothing")
        with pytest.raises(errors.Corrupt):
            ArtifactStore.open_legacy(root).find("gru/BTCEUR")

    def test_a_width_that_the_names_contradict_is_refused_with_both_numbers(self, root: Path) -> None:
        import torch

        folder = root / "gru" / "BTCEUR" / OLD
        (folder / "preprocessor.pkl").unlink()
        (folder / "metadata.json").unlink()
        checkpoint = torch.load(folder / "model.pth", weights_only=True)
        checkpoint["model_state_dict"]["gru.weight_ih_l0"] = torch.zeros(48, 114)
        torch.save(checkpoint, folder / "model.pth")
        with pytest.raises(errors.FeatureMismatch) as caught:
            ArtifactStore.open_legacy(root).get(f"gru/BTCEUR:{OLD}")
        assert "the model takes 114 inputs (gru.weight_ih_l0 in model.pth)" in str(caught.value)
        assert "24 names in model.pth" in str(caught.value)

    def test_two_notes_that_name_different_columns_are_refused(self, root: Path) -> None:
        folder = root / "gru" / "BTCEUR" / OLD
        names = json.loads((folder / "metadata.json").read_text())["feature_names"]
        edit(folder / "metadata.json", feature_names=[names[1], names[0], *names[2:]])
        with pytest.raises(errors.FeatureMismatch, match="disagree"):
            ArtifactStore.open_legacy(root).get(f"gru/BTCEUR:{OLD}")

    def test_a_note_that_breaks_off_is_used_as_far_as_it_goes(self, root: Path) -> None:
        path = root / "gru" / "BTCEUR" / GRU / "metadata.json"
        text = path.read_text()
        path.write_text(text[: text.index("[", text.index("selected_features")) + 6])
        run = ArtifactStore.open_legacy(root).get("gru/BTCEUR")
        assert run.features.selected == (0, 1, 5, 8, 12)  # as the checkpoint says
        check(run, CASES["gru_full_selected"])

    def test_empty_names_in_the_notes_say_nothing(self, root: Path) -> None:
        edit(root / "gru" / "BTCEUR" / GRU / "metadata.json", feature_names=[], selected_features=None)
        check(ArtifactStore.open_legacy(root).get("gru/BTCEUR"), CASES["gru_full_selected"])

    def test_a_part_that_the_notes_tell_of_and_that_is_gone_is_required(self, root: Path) -> None:
        folder = root / "gru" / "BTCEUR" / GRU
        (folder / "preprocessor.pkl").unlink()
        edit(folder / "metadata.json", preprocessor_path="./models/gru/preprocessor.pkl")
        run = ArtifactStore.open_legacy(root).get("gru/BTCEUR")
        assert run.requires == ("preprocessor",)
        assert run.components == ("model",)

    def test_a_preprocessor_that_does_nothing_is_not_required(self, root: Path) -> None:
        folder = root / "gru" / "BTCEUR" / GRU
        (folder / "preprocessor.pkl").write_bytes(pickle.dumps({"scaler": None, "imputer": None, "is_fitted": True}))
        run = ArtifactStore.open_legacy(root).get("gru/BTCEUR")
        assert run.requires == ()
        assert run.features.selected == (0, 1, 5, 8, 12)

    def test_a_vecnormalize_that_is_gone_is_required(self, tmp_path: Path) -> None:
        tree = old_tree(tmp_path) / "ppo"
        (tree / "BTCEUR" / "20240816_144023" / "model_vecnormalize.pkl").unlink()
        run = ArtifactStore.open_legacy(tree).get("ppo/BTCEUR")
        assert run.requires == ("model_vecnormalize",)
        assert run.components == ("model",)

    def test_a_stale_path_of_the_statistics_does_not_matter(self, tmp_path: Path) -> None:
        tree = old_tree(tmp_path) / "ppo"
        edit(tree / "BTCEUR" / "20240816_144023" / "model_metadata.json", vecnormalize_path="/elsewhere/v.pkl")
        check(ArtifactStore.open_legacy(tree).get("ppo/BTCEUR"), CASES["ppo_vecnorm_box"])

    def test_an_observation_of_another_shape_is_refused(self, tmp_path: Path) -> None:
        tree = old_tree(tmp_path) / "ppo"
        edit(tree / "BTCEUR" / "20240816_144023" / "model_metadata.json", observation_shape=[8, 9])
        with pytest.raises(errors.FeatureMismatch, match=r"\(8, 7\).*\(8, 9\)"):
            ArtifactStore.open_legacy(tree).get("ppo/BTCEUR")

    @pytest.mark.skipif(os.name == "nt", reason="no symbolic links without a privilege")
    def test_a_file_that_is_a_link_is_not_read(self, root: Path, tmp_path: Path) -> None:
        folder = root / "gru" / "BTCEUR" / GRU
        for name in ("model.pth", "preprocessor.pkl"):
            shutil.move(folder / name, tmp_path / name)
        (folder / "preprocessor.pkl").symlink_to(tmp_path / "preprocessor.pkl")
        shutil.copy(tmp_path / "model.pth", folder)
        run = ArtifactStore.open_legacy(root).get("gru/BTCEUR")
        assert (run.components, run.requires) == (("model",), ("preprocessor",))
        (folder / "model.pth").unlink()
        (folder / "model.pth").symlink_to(tmp_path / "model.pth")
        with pytest.raises(errors.Corrupt, match="symbolic link"):
            ArtifactStore.open_legacy(root).get("gru/BTCEUR")


class TestReadOnly:
    @pytest.mark.parametrize(
        "write",
        [
            lambda store: store.save(b"x", "gru/BTCEUR"),
            lambda store: store.promote(f"gru/BTCEUR:{OLD}", "production"),
            lambda store: store.rollback("gru/BTCEUR"),
            lambda store: store.retire("gru/BTCEUR"),
        ],
    )
    def test_every_write_is_refused_and_names_what_to_do(self, root: Path, write: Any) -> None:
        store = ArtifactStore.open_legacy(root)
        with pytest.raises(errors.Unsupported, match=r"artifact-store migrate .* NEW"):
            write(store)

    def test_the_backend_itself_refuses_too(self, root: Path) -> None:
        from artifact_store.storage.base import Always

        backend = LegacyBackend(root)
        for write in (
            lambda: backend.write("gru/latest.json", b"", when=Always()),
            lambda: backend.put_file("gru/x", [b""], size=0, when=Always()),
            lambda: backend.delete("gru/latest.json"),
        ):
            with pytest.raises(errors.Unsupported, match="artifact-store migrate"):
                write()
        assert not ArtifactStore.open_legacy(root).guarantees.create_only

    def test_there_has_to_be_an_old_tree(self, tmp_path: Path) -> None:
        with pytest.raises(errors.NotAStore):
            ArtifactStore.open_legacy(tmp_path)
        with pytest.raises(errors.ContainerNotFound):
            ArtifactStore.open_legacy(tmp_path / "none")


def contents(backend: LegacyBackend) -> dict[str, bytes]:
    entries = list(backend.list(""))
    assert [entry.key for entry in entries] == sorted(entry.key for entry in entries)
    found = {}
    for entry in entries:
        blob = backend.read(entry.key, limit=1 << 30)
        assert blob is not None
        assert len(blob.data) == entry.size
        found[entry.key] = blob.data
    return found


def contents_elsewhere(path: str, results: Any) -> None:
    results.put(contents(LegacyBackend(path)))


class TestAsABackend:
    def test_the_same_bytes_each_time_and_in_every_process(self, root: Path) -> None:
        shutil.copytree(CASES["lgbm_frame_selected"].file.parent, root / "lightgbm" / OLD)
        first = contents(LegacyBackend(root))
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        process = context.Process(target=contents_elsewhere, args=(str(root), results))
        process.start()
        assert results.get(timeout=120) == first
        process.join()
        assert f"gru/BTCEUR/{GRU}/manifest.json" in first
        assert "gru/BTCEUR/latest.json" in first

    def test_what_it_lists_it_reads_and_what_it_does_not_is_not_there(self, root: Path) -> None:
        backend = LegacyBackend(root)
        assert list(backend.children("")) == ["_store.json", "gru/"]
        assert list(backend.children("gru/")) == ["20240816_160000/", "BTCEUR/"]
        assert list(backend.children("gru/BTCEUR/")) == [f"{OLD}/", f"{GRU}/", "latest.json"]
        assert "manifest.json" in backend.children(f"gru/BTCEUR/{GRU}/")
        below = [entry.key for entry in backend.list(f"gru/BTCEUR/{GRU}/")]
        assert below == [key for key in contents(backend) if key.startswith(f"gru/BTCEUR/{GRU}/")]
        for key in ("x", "gru", "gru/x", "gru/BTCEUR/best_wf.json", f"gru/BTCEUR/{GRU}/none", "gru/ETH/latest.json"):
            with pytest.raises(errors.ObjectNotFound):
                backend.read(key, limit=100)
        with pytest.raises(errors.ObjectNotFound):
            next(backend.stream("gru/BTCEUR/latest.json", size=1))
        assert list(backend.children("lstm/")) == list(backend.children(f"gru/{OLD}/")) == []
        with pytest.raises(errors.Corrupt):
            backend.read("gru/BTCEUR/latest.json", limit=10)

    def test_a_version_that_was_seen_is_not_read_again(self, root: Path) -> None:
        backend = LegacyBackend(root)
        blob = backend.read("gru/BTCEUR/latest.json", limit=1 << 20)
        assert blob is not None
        assert backend.read("gru/BTCEUR/latest.json", limit=1 << 20, unless=blob.version) is None

    def test_nothing_is_converted_before_it_is_asked_for(self, root: Path) -> None:
        for model in root.rglob("model.pth"):
            model.write_bytes(b"nothing")
        store = ArtifactStore.open_legacy(root)
        assert [str(key) for key in store.models()] == ["gru", "gru/BTCEUR"]

    def test_many_threads_may_read(self, root: Path) -> None:
        store = ArtifactStore.open_legacy(root)
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: store.get("gru/BTCEUR").manifest.digest, range(16)))
        assert len(set(runs)) == 1

    def test_it_travels_to_other_processes_as_its_path(self, root: Path) -> None:
        store = pickle.loads(pickle.dumps(LegacyBackend(root)))
        assert list(store.children("gru/")) == ["20240816_160000/", "BTCEUR/"]

    def test_a_component_can_be_downloaded_and_opened(self, root: Path, tmp_path: Path) -> None:
        run = ArtifactStore.open_legacy(root).get("gru/BTCEUR")
        folder = run.download(tmp_path / "copy")
        assert json.loads((folder / "metadata.json").read_text())["run_id"] == GRU
        arrays = CASES["gru_full_selected"].expected()
        assert gru(run.load().state, arrays["network_input"]).shape == arrays["y"].shape


def test_the_cases_cover_all_families() -> None:
    assert {case.model_type for case in CASES.values()} == {"gru", "lightgbm", "ppo"}
    assert all(of_type(family) for family in ("gru", "lightgbm", "ppo"))
