"""The lines of the earlier pipeline, in our words: its trainers, paths, trader and check, over every kind of place."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from artifact_models import (
    BaseModelAdapter,
    GRUAdapter,
    GRUTrainer,
    LightGBMAdapter,
    LightGBMTrainer,
    PPOTrainer,
    validate_model_artifacts,
)
from artifact_models.pipeline import file_paths
from artifact_models.pipeline.trainers import TRAINERS

from artifact_store import ArtifactStore, errors
from tests.integration.models.data import NAMES, ROWS, TRAIN, VALID, shuffled, table, target, with_session
from tests.integration.models.pipeline_data import CONFIG, CUT, FILES, RUN, arrays, memory_root, same, split
from tests.legacy_cases import CASES, REFUSED, old_tree
from tests.watched import nothing_unpickled

SUPERVISED = ["gru", "lightgbm"]


def trained(model_type, **options):
    trainer = TRAINERS[model_type](CONFIG)
    if model_type == "ppo":
        trainer.train(table()[:CUT], table()[CUT:], **options)
    else:
        trainer.train(*split(), **options)
    return trainer


@pytest.fixture(scope="module", params=TRAINERS)
def trainer(request):
    """One of each, trained once. Saving it changes nothing that another test looks at."""
    return trained(request.param)


class TestTheWholeWay:
    @pytest.mark.parametrize("model_type", SUPERVISED)
    def test_train_with_a_selection_save_load_predict(self, root, model_type):
        trainer = TRAINERS[model_type](CONFIG)
        names = {"feature_names": NAMES, "selected_features": [0, 2, 5], "selection_reason": "the others repeat them"}
        results = trainer.train(*arrays(), **names)
        assert results["history"]
        path = f"{root}/{model_type}/BTCEUR/{RUN}/{FILES[model_type]}"
        trainer.save_model(path, symbol="BTCEUR")
        loaded = TRAINERS[model_type].load_model(path, CONFIG)
        assert (loaded.feature_names, loaded.selected_features) == (NAMES, [0, 2, 5])
        assert (loaded.feature_count, loaded.input_size) == (6, 3)
        assert (loaded.run.run_id, loaded.symbol) == (RUN, "BTCEUR")
        assert loaded.run.features.reason == "the others repeat them"
        assert same(loaded.predict(shuffled(table())), trainer.predict(table()))
        assert loaded.run == TRAINERS[model_type].load_model(path.replace(RUN, "latest"), CONFIG).run

    def test_all_of_it_in_the_home_folder(self, tmp_path, monkeypatch):
        (tmp_path / "home").mkdir()
        (tmp_path / "desk").mkdir()
        monkeypatch.chdir(tmp_path / "desk")
        for variable in ("HOME", "USERPROFILE"):
            monkeypatch.setenv(variable, str(tmp_path / "home"))
        trainer = trained("lightgbm")
        trainer.save_model(f"~/models/lightgbm/BTCEUR/{RUN}/model.pkl", symbol="BTCEUR")
        loaded = LightGBMTrainer.load_model("~/models/lightgbm/BTCEUR/latest/model.pkl", CONFIG)
        assert same(loaded.predict(table()), trainer.predict(table()))
        assert LightGBMAdapter.load(Path("~/models/lightgbm/BTCEUR")).run == loaded.run
        again = trainer.adapter.save(Path("~/models"), symbol="ETHEUR")
        assert LightGBMAdapter.load(again).run.key.symbol == "ETHEUR"
        old_tree(tmp_path / "home" / "old", "windows")
        case = CASES["win_gru"]
        assert GRUTrainer.load_model(f"~/old/{case.relative}", CONFIG).run.run_id == case.run_id
        assert BaseModelAdapter.load("~/old/models/gru/BTCEUR").run.run_id == case.run_id
        assert validate_model_artifacts("~/old/models").ok
        assert list(Path.cwd().iterdir()) == []

    def test_an_agent_is_trained_saved_and_loaded(self, root):
        trainer = PPOTrainer(CONFIG)
        results = trainer.train(table()[:CUT], table()[CUT:])
        assert {"valid_gain", "valid_changes"} <= set(results)
        trainer.save_model(f"{root}/ppo/BTCEUR/{RUN}/model.zip", symbol="BTCEUR")
        loaded = PPOTrainer.load_model(f"{root}/ppo/BTCEUR/{RUN}/model.zip", CONFIG)
        assert loaded.feature_names == NAMES
        assert loaded.observation_shape == trainer.observation_shape == (4 * (len(NAMES) - 1) + 3,)
        assert loaded.input_size == loaded.observation_shape[0]
        assert loaded.action_space_info == {"type": "discrete", "n": 3}
        np.testing.assert_array_equal(loaded.predict(table()), trainer.predict(table()))

    def test_an_adapter_saves_below_a_root_and_is_filled_from_the_path_that_it_returned(self, root):
        adapter = GRUAdapter(CONFIG)
        adapter.fit(table(), target(), TRAIN, VALID)
        saved = adapter.save(output_dir=root, symbol="BTCEUR")
        assert saved.replace("\\", "/").startswith(f"{root}/gru/BTCEUR/2".replace("\\", "/"))
        before = adapter.predict(table())
        adapter.load(saved)
        assert same(adapter.predict(table()), before)
        assert GRUTrainer.load_model(f"{root}/gru/BTCEUR/latest/model.pth", CONFIG).run == adapter.run

    def test_a_folder_that_ends_in_type_and_symbol_is_not_nested(self, root):
        adapter = LightGBMAdapter(CONFIG).fit(table(), target(), TRAIN, VALID)
        folder = f"{root}/lightgbm/BTCEUR"
        assert adapter.save(folder, run_id=RUN).replace("\\", "/") == f"{folder}/{RUN}".replace("\\", "/")
        assert LightGBMAdapter.load(f"{folder}/latest").run.run_id == RUN
        assert LightGBMTrainer.load_model(f"{folder}/latest/model.pkl", CONFIG).run.run_id == RUN


class TestTraining:
    def test_names_of_four_columns_and_a_position_beyond_them_are_refused_with_both_numbers(self):
        trainer = GRUTrainer(CONFIG)
        said = r"positions 5, 8, and feature_names only has 4 names .*the names of all 6 columns"
        with pytest.raises(errors.FeatureMismatch, match=said):
            trainer.train(*arrays(), feature_names=NAMES[:4], selected_features=[0, 2, 5, 8])
        assert not trainer.is_fitted
        with pytest.raises(errors.FeatureMismatch, match="4 names, and X has 6 columns"):
            trainer.train(*arrays(), feature_names=NAMES[:4], selected_features=[0, 2])

    def test_before_training_there_is_nothing(self):
        for kind in TRAINERS.values():
            trainer = kind(CONFIG)
            assert (trainer.feature_names, trainer.selected_features) == ([], None)
            assert (trainer.feature_count, trainer.input_size, trainer.model, trainer.run, trainer.symbol) == (
                None,
            ) * 5
            with pytest.raises(errors.InvalidOption, match="has no model yet"):
                trainer.save_model(f"{memory_root()}/{kind.model_type}/BTCEUR/{RUN}/{FILES[kind.model_type]}")
            with pytest.raises(errors.InvalidOption, match="has no model yet"):
                trainer.predict(table())
        assert (PPOTrainer(CONFIG).observation_shape, PPOTrainer(CONFIG).action_space_info) == (None, None)

    @pytest.mark.parametrize("model_type", SUPERVISED)
    @pytest.mark.parametrize(("names", "selected"), [(None, None), ([], []), (None, np.array([2, 0]))])
    def test_names_that_are_not_given_are_made_up_and_no_selection_means_all(self, model_type, names, selected):
        trainer = TRAINERS[model_type](CONFIG)
        with pytest.warns(UserWarning, match="has no names"):
            trainer.train(*arrays(), feature_names=names, selected_features=selected)
        assert trainer.feature_names == [f"feature_{place}" for place in range(6)]
        chosen = None if selected is None or not len(selected) else [2, 0]
        assert (trainer.selected_features, trainer.input_size) == (chosen, 2 if chosen else 6)

    @pytest.mark.parametrize("model_type", SUPERVISED)
    @pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas, pd.DataFrame.to_numpy])
    def test_every_kind_of_rows_trains_the_same_model(self, model_type, convert):
        X, y, X_val, y_val = split()
        trainer = TRAINERS[model_type](CONFIG)
        trainer.train(convert(X), y, convert(X_val), y_val, feature_names=NAMES)
        assert same(trainer.predict(table()), trained(model_type).predict(table()))

    def test_validation_is_matched_by_name_and_teaches_the_preprocessor_nothing(self):
        X, y, X_val, y_val = split()
        trainer = GRUTrainer(CONFIG)
        trainer.train(X, y, shuffled(X_val), y_val)
        assert same(trainer.predict(table()), trained("gru").predict(table()))
        trainer.train(X, y, X_val + 1000.0, y_val)
        imputer, scaler = (step for _, step in trainer.adapter.preprocessor.steps)
        np.testing.assert_allclose(imputer.statistics_, X.to_numpy().mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(scaler.mean_, X.to_numpy().mean(axis=0), rtol=1e-12)

    def test_no_window_reaches_from_training_into_validation(self):
        results = GRUTrainer(CONFIG).train(*split())
        assert (results["train_windows"], results["valid_windows"]) == (CUT - 4, ROWS - CUT - 4)

    def test_categories_keep_their_codes(self):
        X, y = with_session(), target()
        trainer = LightGBMTrainer(CONFIG)
        trainer.train(X[:CUT], y[:CUT], X[CUT:].assign(session=X["session"][CUT:].astype(str)), y[CUT:])
        assert trainer.adapter.features.categories["session"] == ("asia", "europe", "us")
        late = X[CUT:].assign(session="mars")
        with pytest.raises(errors.FeatureMismatch, match="mars"):
            trainer.train(X[:CUT], y[:CUT], late, y[CUT:])

    def test_training_without_validation(self):
        X, y, _, _ = split()
        assert "valid_loss" not in GRUTrainer(CONFIG).train(X, y)
        assert PPOTrainer(CONFIG).train(X)["valid_rows"] == 0

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda X, y, V, w: (X, y, V, None), "X_val and y_val belong together"),
            (lambda X, y, V, w: (X, y, V.to_numpy(), w), "give both in the same form"),
            (lambda X, y, V, w: (X.to_numpy(), y, V, w), "give both in the same form"),
            (lambda X, y, V, w: (X.to_numpy(), y, V.to_numpy()[:, 1:], w), "they need as many columns"),
            (lambda X, y, V, w: (X, y, V.rename(columns={"rsi": "RSI"}), w), "rsi"),
            (lambda X, y, V, w: (X, y[1:], V, w), "one target for each of the 120 rows"),
            (lambda X, y, V, w: (X, y, V, w[1:]), "one target for each of the 40 rows"),
        ],
    )
    def test_data_that_do_not_fit_each_other_are_refused(self, change, said):
        trainer = trained("lightgbm")
        before = trainer.adapter
        with pytest.raises(errors.InvalidInput, match=said):
            trainer.train(*change(*split()))
        assert trainer.adapter is before

    def test_an_agent_observes_the_features_that_are_named_and_keeps_the_price_beside_them(self):
        trainer = trained("ppo", feature_names=["open", "rsi"])
        assert (trainer.feature_names, trainer.selected_features) == (["open", "rsi", "close"], [0, 1])
        assert trainer.observation_shape == (4 * 2 + 3,)
        continuous = PPOTrainer(CONFIG, env={"window": 4, "positions": None})
        continuous.train(table()[:CUT])
        assert continuous.action_space_info == {"type": "continuous", "shape": [1]}

    def test_settings_are_checked_and_a_loaded_model_keeps_its_own(self):
        with pytest.raises(errors.InvalidOption, match="did you mean 'hidden_size'"):
            GRUTrainer({"hiden_size": 8})
        trainer = trained("gru")
        path = trainer.save_model(f"{memory_root()}/gru/BTCEUR/{RUN}/model.pth")
        loaded = GRUTrainer.load_model(path, {"hidden_size": 99, "colour": "red"})
        assert loaded.config["hidden_size"] == 6
        loaded.train(*split())
        assert same(loaded.predict(table()), trainer.predict(table()))


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "place"),
        [
            (f"models/gru/BTCEUR/{RUN}/model.pth", ("models", "gru/BTCEUR", RUN, "latest")),
            (f"./models/gru/BTCEUR/{RUN}/anything.bin", ("models", "gru/BTCEUR", RUN, "latest")),
            (f"models/gru/BTCEUR/{RUN}", ("models", "gru/BTCEUR", RUN, "latest")),
            (f"models/gru/{RUN}/model.pth", ("models", "gru", RUN, "latest")),
            ("models/gru/BTCEUR/model.pth", ("models", "gru/BTCEUR", None, "latest")),
            (f"s3://bucket/a/gru/BTCEUR/{RUN}/model.pth", ("s3://bucket/a", "gru/BTCEUR", RUN, "latest")),
            (f"memory://demo/gru/BTCEUR/{RUN}_x1/model.pt", ("memory://demo", "gru/BTCEUR", f"{RUN}_x1", "latest")),
            ("models/metadata/best_wf_gru_BTCEUR.pt", ("models", "gru/BTCEUR", None, "best_wf")),
            ("s3://bucket/metadata/best_wf_gru_BTCEUR.pth", ("s3://bucket", "gru/BTCEUR", None, "best_wf")),
            ("metadata/best_wf_gru.pth", (".", "gru", None, "best_wf")),
        ],
    )
    def test_a_path_says_where_to_save(self, path, place):
        found = file_paths.target(path, "gru", None)
        assert (found.root, str(found.key), found.run_id, found.alias) == place
        if "://" not in path:
            assert file_paths.target(Path(path), "gru", found.key.symbol) == found

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            (f"models/gru/ETHEUR/{RUN}/model.pth", "names the symbol 'ETHEUR', and symbol='BTCEUR' was given"),
            (f"models/gru/{RUN}/model.pth", "names no symbol, and symbol='BTCEUR' was given"),
            ("models/metadata/best_wf_gru_ETHEUR.pt", "names the symbol 'ETHEUR'"),
            ("models/gru/BTCEUR/latest/model.pth", "names 'latest', which is not a place to save to"),
            ("out/model.pth", r"does not say which model it is. Write ROOT/gru/SYMBOL/RUN_ID/model\.pth"),
            ("model.pth", "does not say which model it is"),
            (f"models/lightgbm/BTCEUR/{RUN}/model.pkl", "does not say which model it is"),
            ("models/metadata/best_wf_ppo_BTCEUR.zip", "is the best ppo model by its name, and not a gru"),
        ],
    )
    def test_what_cannot_be_saved_to_is_refused_before_anything_is_written(self, tmp_path, monkeypatch, path, said):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(errors.InvalidInput, match=said):
            trained("gru").save_model(path, symbol="BTCEUR")
        assert list(tmp_path.iterdir()) == []


class TestSaving:
    def test_a_run_is_never_overwritten_and_the_error_says_the_way_out(self, trainer, root):
        path = f"{root}/{trainer.model_type}/BTCEUR/{RUN}/{FILES[trainer.model_type]}"
        trainer.save_model(path)
        before = type(trainer).load_model(path).run
        for again in (trainer, type(trainer).load_model(path), trained(trainer.model_type)):
            with pytest.raises(errors.RunExists, match="save to a path with another run id, such as") as caught:
                again.save_model(path)
        assert type(trainer).load_model(path).run == before
        free = str(caught.value).partition("such as .../")[2].partition(", or")[0]
        trainer.save_model(f"{root}/{free}")
        without = str(caught.value).partition("without one (.../")[2].partition(")")[0]
        trainer.save_model(f"{root}/{without}")
        assert len(list(ArtifactStore(root).runs())) == 3

    def test_the_beginning_of_another_run_id_is_free(self):
        place = memory_root()
        trainer = trained("lightgbm")
        trainer.save_model(f"{place}/lightgbm/BTCEUR/{RUN}_later/model.pkl")
        trainer.save_model(f"{place}/lightgbm/BTCEUR/{RUN}/model.pkl")
        assert LightGBMTrainer.load_model(f"{place}/lightgbm/BTCEUR/latest/model.pkl").run.run_id == RUN

    def test_an_old_tree_at_the_root_is_no_store_and_stays_as_it_was(self, tmp_path):
        tree = old_tree(tmp_path)
        before = sorted(str(path) for path in tree.rglob("*"))
        with pytest.raises(errors.NotAStore, match="artifact-store migrate OLD NEW"):
            trained("gru").save_model(tree / "gru" / "BTCEUR" / "20250101_000000" / "model.pth")
        assert sorted(str(path) for path in tree.rglob("*")) == before

    def test_the_best_of_a_walk_forward_is_an_alias(self, root):
        first, best = trained("lightgbm"), trained("lightgbm", selected_features=[1, 2])
        first.save_model(f"{root}/lightgbm/BTCEUR/{RUN}/model.pkl")
        best.save_model(f"{root}/metadata/best_wf_lightgbm_BTCEUR.pkl")
        found = LightGBMTrainer.load_model(f"{root}/metadata/best_wf_lightgbm_BTCEUR.pkl", CONFIG)
        assert found.selected_features == [1, 2]
        assert LightGBMTrainer.load_model(f"{root}/lightgbm/BTCEUR/latest/model.pkl").selected_features is None

    def test_what_a_run_says_of_itself_has_the_fields_of_the_earlier_metadata(self, tmp_path):
        trainer = trained("lightgbm", selected_features=[0, 3])
        saved = trainer.save_model(tmp_path / "store" / "lightgbm" / "BTCEUR" / RUN / "model.pkl", symbol="BTCEUR")
        told = json.loads((Path(saved) / "metadata.json").read_text())
        assert told["model_type"] == "lightgbm"
        assert (told["run_id"], told["symbol"], told["is_fitted"]) == (RUN, "BTCEUR", True)
        assert (told["feature_names"], told["selected_features"]) == (NAMES, [0, 3])
        assert (told["feature_count"], told["input_size_actual"]) == (6, 2)
        assert told["config"]["num_leaves"] == 5
        assert {"created_at", "training_config"} <= set(told)

    def test_storage_options_are_handed_on(self, seaweed, seaweed_prefix):
        options = seaweed.storage_options()
        path = f"{seaweed.url(seaweed_prefix)}/lightgbm/BTCEUR/{RUN}/model.pkl"
        trained("lightgbm").save_model(path, storage_options=options)
        assert LightGBMTrainer.load_model(path, storage_options=options).run.run_id == RUN


class TestWhatIsNotThere:
    def test_a_model_that_is_not_there_is_not_found(self, root):
        for path in (f"{root}/gru/BTCEUR/{RUN}/model.pth", f"{root}/gru/BTCEUR/latest/model.pth"):
            with pytest.raises(errors.NotFound):
                GRUTrainer.load_model(path, CONFIG)

    def test_a_path_of_another_type_says_whose_it_is(self, tmp_path):
        with pytest.raises(errors.InvalidReference, match="a model of the type 'lightgbm'"):
            GRUTrainer.load_model(f"{tmp_path}/lightgbm/BTCEUR/{RUN}/model.pkl")
        with pytest.raises(errors.InvalidReference, match="names no model"):
            GRUTrainer.load_model(tmp_path / "model.pth")


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return {name: old_tree(tmp_path_factory.mktemp(name), name) for name in ("main", "windows")}


def known_rows(loaded, case):
    """The columns by name, shuffled; of a model without names what it was given, as an array."""
    frame, expected = case.frame(), case.expected()
    if not loaded.adapter.features.names_inferred:
        return frame[list(frame.columns)[::-1]].assign(comment=1.0)
    assert loaded.feature_names == [f"feature_{place}" for place in range(loaded.feature_count)]
    if case.model_type == "gru":
        return expected["network_input"]
    return expected["X"][:, expected["selected"]] if len(expected["selected"]) else expected["X"]


@pytest.mark.xdist_group("test_old_trees")
class TestOldFiles:
    @pytest.mark.parametrize(
        "case", [case for case in CASES.values() if case.name != REFUSED], ids=lambda case: case.name
    )
    def test_every_old_file_is_loaded_by_its_path_and_predicts_what_it_did(self, trees, case):
        with nothing_unpickled():
            loaded = TRAINERS[case.model_type].load_model(f"{trees[case.tree]}/{case.relative}", CONFIG)
            expected = case.expected()
            if case.model_type == "ppo":
                found, said = loaded.predict(expected["raw_obs"]), expected["actions"]
                assert loaded.observation_shape == expected["raw_obs"].shape[1:]
            else:
                found, said = loaded.predict(known_rows(loaded, case)), expected["y"]
        if case.tolerance:
            assert np.abs(found - said).max() <= case.tolerance
        else:
            np.testing.assert_array_equal(found, said)

    def test_latest_is_understood_as_a_link_and_as_a_text(self, trees):
        for tree in trees.values():
            loaded = GRUTrainer.load_model(tree / "gru" / "BTCEUR" / "latest" / "model.pth", CONFIG)
            assert loaded.run.run_id == CASES["gru_full_selected" if tree == trees["main"] else "win_gru"].run_id
        dangling = trees["main"] / "gru" / "ETHEUR" / "latest" / "model.pth"
        with pytest.raises(errors.Corrupt, match="has no such run in the old tree"):
            GRUTrainer.load_model(dangling, CONFIG)

    def test_a_selection_that_the_file_tells_of_is_restored(self, trees):
        case = CASES["gru_full_selected"]
        loaded = GRUTrainer.load_model(f"{trees['main']}/{case.relative}", CONFIG)
        assert (loaded.selected_features, loaded.input_size, loaded.feature_count) == ([0, 1, 5, 8, 12], 5, 24)

    def test_a_preprocessor_that_cannot_be_read_may_be_given(self, trees):
        case = CASES[REFUSED]
        path = f"{trees['main']}/{case.relative}"
        with pytest.raises(errors.ComponentNotFound, match="trained with 'preprocessor'"):
            GRUTrainer.load_model(path, CONFIG).predict(case.frame())
        given = GRUTrainer.load_model(path, CONFIG, preprocessor=lambda rows: np.asarray(rows, dtype=float))
        assert given.predict(case.frame()).shape == case.expected()["y"].shape

    def test_a_file_by_itself_is_a_model_of_no_symbol_and_can_be_saved(self, trees, tmp_path):
        case = CASES["lgbm_frame_selected"]
        alone = tmp_path / "gift.pkl"
        alone.write_bytes(case.file.read_bytes())
        loaded = LightGBMTrainer.load_model(alone, CONFIG)
        assert loaded.symbol is None
        loaded.save_model(tmp_path / "store" / "lightgbm" / "BTCEUR" / RUN / "model.pkl")
        again = LightGBMTrainer.load_model(tmp_path / "store" / "lightgbm" / "BTCEUR" / "latest" / "model.pkl", CONFIG)
        np.testing.assert_array_equal(again.predict(case.frame()), case.expected()["y"])

    def test_a_file_of_another_family_is_refused(self, trees):
        with pytest.raises(errors.InvalidReference, match="the file of a gru model by its name, and not of a lightgbm"):
            LightGBMTrainer.load_model(f"{trees['main']}/{CASES['gru_full_selected'].relative}")
        with pytest.raises(errors.InvalidReference, match="the best gru model by its name"):
            LightGBMTrainer.load_model(f"{trees['main']}/metadata/best_wf_gru_BTCEUR.pt")
