"""What all adapters do alike: where a run goes and comes from, what goes with it, and what happens if a part is lost."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from artifact_models import GRUAdapter, LightGBMAdapter, load_adapter
from artifact_models.adapter import BaseModelAdapter
from artifact_models.gru.architecture import Architecture
from artifact_models.gru.network import GRUNetwork
from sklearn.preprocessing import StandardScaler

from artifact_store import ArtifactStore, Digest, FeatureSchema, Location, ModelKey, RunRef, TorchState, errors
from tests.integration.models.data import (
    NAMES,
    SELECTED,
    TRAIN,
    VALID,
    fitted_gru,
    fitted_trees,
    new_store,
    shuffled,
    small_gru,
    small_trees,
    table,
    target,
)

TYPES = ["gru", "lightgbm", "ppo"]
RUN = "20240816_142301"
FAMILIES = {"gru": fitted_gru, "lightgbm": fitted_trees}


@pytest.fixture
def store():
    return new_store()


@pytest.fixture(params=FAMILIES)
def adapter(request):
    return copy.copy(FAMILIES[request.param]())  # its own ``run``


def same_predictions(one, other):
    difference = np.abs(one.predict(shuffled(table())) - other.predict(table())).max()
    assert difference <= one.tolerance
    return True


class TestPlaces:
    @pytest.mark.parametrize(
        ("text", "root", "ref"),
        [
            ("./store/models/gru/BTCEUR", "store/models", "gru/BTCEUR@latest"),
            ("store/models/gru/BTCEUR/", "store/models", "gru/BTCEUR@latest"),
            (f"/srv/models/gru/BTCEUR/{RUN}", "/srv/models", f"gru/BTCEUR:{RUN}"),
            (f"/srv/models/gru/{RUN}", "/srv/models", f"gru:{RUN}"),
            ("/srv/models/gru", "/srv/models", "gru@latest"),
            ("gru/BTCEUR", ".", "gru/BTCEUR@latest"),
            ("/gru/BTCEUR", "/", "gru/BTCEUR@latest"),
            ("models/gru/BTCEUR@best_wf", "models", "gru/BTCEUR@best_wf"),
            ("models/gru@best_wf", "models", "gru@best_wf"),
            ("models/gru/BTCEUR:20240816", "models", "gru/BTCEUR:20240816"),
            ("models/gru/BTC;2FUSDT:USDT", "models", "gru/BTC;2FUSDT:USDT@latest"),
            (f"models/gru/EURUSD;3DX/{RUN}", "models", f"gru/EURUSD=X:{RUN}"),
            ("models/gru/BTCEUR/latest", "models", "gru/BTCEUR@latest"),
            ("models/gru/BTCEUR/production", "models", "gru/BTCEUR@production"),
            ("models/gru/latest", "models", "gru@latest"),
            (f"models/gru/BTCEUR/gru/{RUN}", "models", f"gru/BTCEUR:{RUN}"),
            ("gru/lightgbm/ppo/BTCEUR", "gru/lightgbm", "ppo/BTCEUR@latest"),
            ("s3://bucket/models/gru/BTCEUR@latest", "s3://bucket/models", "gru/BTCEUR@latest"),
            (f"s3://bucket/gru/BTCEUR/{RUN}_x1", "s3://bucket", f"gru/BTCEUR:{RUN}_x1"),
            ("memory://demo/lightgbm/BTCEUR", "memory://demo", "lightgbm/BTCEUR@latest"),
        ],
    )
    def test_a_path_says_root_and_run(self, text, root, ref):
        place = Location.parse(text, TYPES)
        assert (place.root, str(place.ref())) == (root, ref)
        if "://" not in text:
            assert Location.parse(Path(text), TYPES) == place

    @pytest.mark.parametrize("text", ["store/models", "s3://gru/BTCEUR", "memory://lightgbm", ".", "xgboost/BTCEUR"])
    def test_a_root_alone_names_no_run(self, text):
        with pytest.raises(errors.InvalidReference, match="names no model: end it in"):
            Location.parse(text, TYPES).ref()

    def test_names_outside_the_grammar_are_refused(self):
        with pytest.raises(errors.InvalidName):
            Location.parse("models/gru/" + "x" * 101, TYPES)


class TestWhereItIsSaved:
    @pytest.mark.parametrize(
        ("folder", "symbol", "key"),
        [
            ("", "BTCEUR", "BTCEUR"),
            ("{type}", "BTCEUR", "BTCEUR"),
            ("{type}/BTCEUR", None, "BTCEUR"),
            ("{type}/BTCEUR", "BTCEUR", "BTCEUR"),
            ("{type}", None, ""),
            ("", None, ""),
        ],
    )
    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_folder_is_a_root_or_ends_in_the_model_and_is_never_nested(
        self, adapter, tmp_path, folder, symbol, key, kind
    ):
        root, model = tmp_path / "store", adapter.model_type
        said = adapter.save(kind(root / folder.format(type=model)), run_id=RUN, symbol=symbol)
        assert Path(said) == root / model / key / RUN
        assert (Path(said) / "manifest.json").is_file()
        assert [str(found) for found in ArtifactStore(root).models()] == [f"{model}/{key}" if key else model]

    def test_a_url_is_understood_alike(self, adapter):
        root = new_store().url
        assert (
            adapter.save(f"{root}/{adapter.model_type}/BTCEUR", run_id=RUN)
            == f"{root}/{adapter.model_type}/BTCEUR/{RUN}"
        )
        same_predictions(type(adapter).load(f"{root}/{adapter.model_type}/BTCEUR/{RUN}"), adapter)

    def test_the_path_of_a_run_gives_its_id(self, adapter, tmp_path):
        said = adapter.save(tmp_path / "store" / adapter.model_type / "BTCEUR" / RUN)
        assert Path(said).name == RUN

    @pytest.mark.parametrize(
        ("folder", "arguments", "message"),
        [
            ("gru/BTCEUR", {"symbol": "ETHEUR"}, "ends in the symbol 'BTCEUR', and 'ETHEUR' was given"),
            (f"gru/BTCEUR/{RUN}", {"run_id": "20250101_000000"}, f"ends in the run id '{RUN}'"),
            ("gru/BTCEUR@best_wf", {}, "give the folder, and alias='best_wf'"),
        ],
    )
    def test_a_path_and_arguments_that_disagree_are_refused(self, tmp_path, folder, arguments, message):
        with pytest.raises(errors.InvalidOption, match=message):
            fitted_gru().save(tmp_path / "store" / folder, **arguments)
        assert not (tmp_path / "store").exists()

    def test_what_save_takes_is_passed_on(self, adapter, store):
        adapter.save(
            store,
            symbol="BTCEUR",
            metrics={"sharpe": 1.5},
            tags={"fold": 3},
            training_config={"data": "candles.csv"},
            description="the best of three",
            data={"candles": Digest(3, "a" * 64)},
            alias="best_wf",
        )
        run = store.get(f"{adapter.model_type}/BTCEUR@best_wf")
        assert run.metrics["sharpe"] == 1.5
        assert run.metrics.keys() > {"sharpe"}
        assert run.tags["fold"] == "3"
        assert run.training_config["data"] == "candles.csv"
        assert (run.description, run.data) == ("the best of three", {"candles": Digest(3, "a" * 64)})
        assert run.config == adapter.config
        adapter.save(store, symbol="BTCEUR", publish="never", parent=run)
        assert adapter.run.parent == run.ref
        with pytest.raises(errors.AliasNotFound):
            store.get(f"{adapter.model_type}/BTCEUR")
        assert not adapter.run.published

    def test_a_run_id_is_given_once(self, adapter, store):
        adapter.save(store, run_id=RUN, symbol="BTCEUR")
        other = small_gru(epochs=1) if adapter.model_type == "gru" else small_trees(n_estimators=2)
        other.fit(table(), target(), TRAIN, VALID)
        with pytest.raises(errors.RunExists):
            other.save(store, run_id=RUN, symbol="BTCEUR")

    def test_there_is_nothing_to_save_before_fit(self, tmp_path):
        for empty in (GRUAdapter(), LightGBMAdapter()):
            with pytest.raises(errors.InvalidOption, match="has no model yet: fit it, or load a run"):
                empty.save(tmp_path / "store")
            with pytest.raises(errors.InvalidOption, match="has no model yet"):
                empty.predict(table())
        assert not (tmp_path / "store").exists()

    def test_a_ready_store_takes_no_options(self, adapter, store):
        with pytest.raises(errors.InvalidOption, match="ready store takes no storage options"):
            adapter.save(store, storage_options={"key": "x"})


class TestLoading:
    def test_every_way_of_naming_a_run_leads_to_it(self, adapter, tmp_path):
        root, model = tmp_path / "store", adapter.model_type
        said = adapter.save(root, symbol="BTCEUR")
        store = ArtifactStore(root)
        run = store.get(f"{model}/BTCEUR")
        kind = type(adapter)
        for loaded in (
            kind.load(said),
            kind.load(Path(said)),
            kind.load(run),
            kind.load(root / model / "BTCEUR"),
            kind.load(f"{root}/{model}/BTCEUR@latest"),
            kind.load(f"{root}/{model}/BTCEUR/latest"),
            kind.load(f"{root}/{model}/BTCEUR:{run.run_id}"),
            kind.load(f"{model}/BTCEUR", store=store),
            kind.load(RunRef(ModelKey(model, "BTCEUR")), store=root),
            kind.load(ModelKey(model, "BTCEUR"), store=str(root)),
            BaseModelAdapter.load(said),
            load_adapter(run),
        ):
            assert type(loaded) is kind
            assert loaded.run == run
            assert loaded.features == adapter.features
            assert loaded.is_fitted
            same_predictions(loaded, adapter)

    def test_an_instance_is_filled_and_returned(self, adapter, store):
        adapter.save(store, symbol="BTCEUR")
        mine = type(adapter)(feature_names=NAMES[:1])
        assert mine.load(adapter.run) is mine
        assert (mine.feature_names, mine.selected_features) == (NAMES, [NAMES.index(name) for name in SELECTED])
        same_predictions(mine, adapter)

    def test_a_class_makes_a_new_one_each_time(self, adapter, store):
        adapter.save(store, symbol="BTCEUR")
        assert type(adapter).load(adapter.run) is not type(adapter).load(adapter.run)

    def test_a_load_that_fails_leaves_the_instance_as_it_was(self, adapter, store):
        adapter.save(store, symbol="BTCEUR")
        mine = type(adapter).load(adapter.run)
        bad = store.save({"a": np.zeros(2)}, f"{adapter.model_type}/BAD", features=FeatureSchema(["a"]))
        before = dict(vars(mine))
        with pytest.raises(errors.Corrupt):
            mine.load(bad)
        assert vars(mine) == before
        same_predictions(mine, adapter)

    def test_a_component_of_another_kind_is_corrupt(self, adapter, store):
        bad = store.save({"a": np.zeros(2)}, f"{adapter.model_type}/BAD", features=FeatureSchema(["a"]))
        with pytest.raises(errors.Corrupt, match="holds a dict; expected "):
            load_adapter(bad)

    def test_a_run_of_another_family_is_named(self, store):
        fitted_gru().save(store, symbol="BTCEUR")
        with pytest.raises(errors.InvalidOption, match="of the type 'gru', and LightGBMAdapter loads 'lightgbm'"):
            LightGBMAdapter.load(store.get("gru/BTCEUR"))

    def test_an_unknown_family_is_a_typed_error(self, store):
        run = store.save({"a": np.zeros(2)}, "xgboost/BTCEUR")
        with pytest.raises(errors.PredictorUnavailable, match="'xgboost'; there are gru, lightgbm, ppo"):
            load_adapter(run)

    def test_a_model_that_is_not_there_is_not_found(self, adapter, tmp_path, store):
        adapter.save(tmp_path / "store", symbol="BTCEUR")
        with pytest.raises(errors.AliasNotFound):
            type(adapter).load(tmp_path / "store" / adapter.model_type / "ETHEUR")
        with pytest.raises(errors.NotFound):
            type(adapter).load(f"{adapter.model_type}/BTCEUR", store=store)

    @pytest.mark.parametrize(("source", "store"), [(ModelKey("gru"), None), (Path("gru/BTCEUR"), "memory://x")])
    def test_a_reference_goes_with_a_store_and_a_path_without(self, source, store):
        with pytest.raises(errors.InvalidReference, match="store"):
            GRUAdapter.load(source, store=store)

    @pytest.mark.parametrize("what", ["gru/BTCEUR@latest", Path("store/gru/BTCEUR"), None])
    def test_what_is_no_run_is_refused_with_what_would_be_one(self, what):
        with pytest.raises(errors.InvalidOption, match=r"takes a run, such as store.get.*BaseModelAdapter"):
            load_adapter(what)

    def test_another_process_predicts_the_same(self, tmp_path):
        paths = [fitted_gru().save(tmp_path / "store", symbol="A"), fitted_trees().save(tmp_path / "store", symbol="A")]
        program = """
import sys, torch
torch.set_num_threads(1)
from artifact_models.adapter import BaseModelAdapter
from tests.integration.models.data import shuffled, table
for path in sys.argv[1:]:
    found = BaseModelAdapter.load(path).predict(shuffled(table()))
    print(found.astype("float64").tobytes().hex(), path.count("/gru/") * ("sklearn" in sys.modules))
"""
        root = Path(__file__).parents[3]
        done = subprocess.run(
            [sys.executable, "-c", program, *paths], cwd=root, capture_output=True, text=True, check=True, timeout=120
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        assert lines[0][1] == "0"  # a GRU with its scaler predicts without scikit-learn
        found = [np.frombuffer(bytes.fromhex(line)) for line, _ in lines]
        assert np.abs(found[0] - fitted_gru().predict(table())).max() <= 1e-6
        np.testing.assert_array_equal(found[1], fitted_trees().predict(table()))

    def test_importing_the_package_loads_no_framework(self):
        program = "import sys, artifact_models; print(*{name.partition('.')[0] for name in sys.modules})"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        heavy = {
            "torch",
            "lightgbm",
            "sklearn",
            "stable_baselines3",
            "gymnasium",
            "pandas",
            "polars",
            "pyarrow",
            "numpy",
        }
        assert not heavy & set(done.stdout.split())

    def test_names_of_the_package_are_loaded_when_they_are_used(self):
        import artifact_models

        assert artifact_models.GRUAdapter is GRUAdapter
        with pytest.raises(AttributeError, match="no attribute 'XGBoostAdapter'"):
            artifact_models.XGBoostAdapter  # noqa: B018 -- the access is what is tested


class TestWhatGoesWithIt:
    def test_the_same_model_gives_the_same_files(self, adapter, store):
        for run_id in (RUN, "20240816_142302"):
            adapter.save(store, run_id=run_id, symbol="BTCEUR")
        first, second = (run.files for run in store.runs())
        assert first.keys() == second.keys()
        ours = {"metadata.json"}  # with the id and the time
        assert {name: file.sha256 for name, file in first.items() if name not in ours} == {
            name: file.sha256 for name, file in second.items() if name not in ours
        }

    def test_a_model_that_was_loaded_saves_as_the_same_files(self, adapter, store):
        adapter.save(store, symbol="BTCEUR", run_id=RUN)
        again = type(adapter).load(adapter.run)
        again.save(store, symbol="COPY", run_id=RUN)
        first, second = (store.get(f"{adapter.model_type}/{symbol}") for symbol in ("BTCEUR", "COPY"))
        assert {name: file.sha256 for name, file in first.files.items() if name != "metadata.json"} == {
            name: file.sha256 for name, file in second.files.items() if name != "metadata.json"
        }
        assert (first.tags, first.config, first.metrics) == (second.tags, second.config, second.metrics)
        assert store.verify(predict=True).ok

    def test_a_golden_example_of_raw_rows_is_stored_and_verifies(self, adapter, store):
        adapter.save(store, symbol="BTCEUR")
        run = store.get(f"{adapter.model_type}/BTCEUR")
        example = run.load_example()
        assert list(example.inputs.columns) == NAMES
        assert len(example.outputs) == 32
        np.testing.assert_array_equal(example.outputs, adapter.predict(table())[:32])
        report = store.verify(predict=True)
        assert report.ok, report.problems

    def test_metadata_has_the_fields_that_readers_know(self, adapter, store):
        adapter.save(store, symbol="BTCEUR")
        metadata = store.get(f"{adapter.model_type}/BTCEUR").metadata
        assert metadata["feature_names"] == NAMES
        assert metadata["selected_features"] == [NAMES.index(name) for name in SELECTED]
        assert (metadata["feature_count"], metadata["input_size_actual"]) == (len(NAMES), len(SELECTED))
        assert metadata["is_fitted"] is True

    def test_arrays_without_names_are_inferred_and_their_example_is_an_array(self, store):
        adapter = small_trees(selected_features=[3, 0])
        with pytest.warns(UserWarning, match="no names"):
            adapter.fit(table().to_numpy(), target(), TRAIN, VALID)
        adapter.save(store, symbol="BTCEUR")
        loaded = LightGBMAdapter.load("lightgbm/BTCEUR", store=store)
        assert loaded.features.names_inferred
        np.testing.assert_array_equal(loaded.predict(table().to_numpy()), adapter.predict(table().to_numpy()))
        with pytest.raises(errors.FeatureMismatch, match="by_position=True"):
            loaded.predict(table())
        assert store.verify(predict=True).ok

    def test_arrays_with_names_are_matched_by_name_later(self, store):
        adapter = LightGBMAdapter(feature_names=NAMES, selected_features=SELECTED, n_estimators=5).fit(
            table().to_numpy(), target(), TRAIN, VALID
        )
        adapter.save(store)
        np.testing.assert_array_equal(
            LightGBMAdapter.load("lightgbm", store=store).predict(shuffled(table())), adapter.predict(table())
        )

    @pytest.mark.parametrize("family", [small_gru, small_trees])
    def test_training_on_an_array_without_names_is_warned_of_where_it_is_done(self, family):
        with pytest.warns(UserWarning, match="6 columns has no names.*feature_names") as caught:
            family(selected_features=None).fit(table().to_numpy(), target(), TRAIN, VALID)
        assert [Path(warning.filename) for warning in caught] == [Path(__file__)]

    def test_the_reason_of_a_selection_is_kept_with_the_features(self, adapter, store):
        family = {"gru": small_gru, "lightgbm": small_trees}[adapter.model_type]
        why = "the three with the highest gain in May"
        mine = family(selection_reason=why).fit(table(), target(), TRAIN, VALID)
        mine.save(store, symbol="BTCEUR")
        run = store.get(f"{adapter.model_type}/BTCEUR")
        assert run.features.reason == why
        again = load_adapter(run).fit(shuffled(table()), target(), TRAIN, VALID)
        assert again.features.reason == why

    @pytest.mark.parametrize(
        "given", [{"selection_reason": "x"}, {"selected_features": ["rsi"], "selection_reason": 3}]
    )
    def test_a_reason_is_a_text_and_goes_with_a_selection(self, given):
        with pytest.raises(errors.InvalidOption, match="give both, or neither"):
            GRUAdapter(**given)

    def test_as_many_names_as_columns(self):
        with pytest.raises(errors.FeatureMismatch, match="5 names, and X has 6 columns"):
            LightGBMAdapter(feature_names=NAMES[:5]).fit(table().to_numpy(), target(), TRAIN, VALID)

    def test_what_is_no_preprocessor_is_refused(self, store):
        adapter = small_gru(epochs=1).fit(table(), target(), TRAIN, VALID)
        with pytest.raises(errors.InvalidInput, match="preprocessor is callable or has transform"):
            small_gru(preprocessor={"a": 1}, epochs=1).fit(table(), target(), TRAIN, VALID)
        adapter.save(store, symbol="A")
        with store.new_run("gru/B") as draft:
            draft.features, draft.config = adapter.features, adapter.run.config
            draft.add("model", adapter.run.load("model"))
            draft.add("preprocessor", {"a": 1})
        with pytest.raises(errors.Corrupt, match="the preprocessor of gru/B:.* holds a dict"):
            load_adapter(draft.run)

    def test_a_preprocessor_without_fit_is_used_as_it_is(self, store):
        fitted_gru().save(store, symbol="BTCEUR")
        scaler = store.load("gru/BTCEUR", "preprocessor")
        adapter = small_gru(preprocessor=scaler, epochs=1).fit(table(), target(), TRAIN, VALID)
        assert adapter.preprocessor is scaler

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_a_preprocessor_that_makes_tables_is_trained_to_make_arrays(self, store, library):
        scaler = StandardScaler().set_output(transform=library)
        adapter = small_gru(preprocessor=scaler, epochs=1).fit(table(), target(), TRAIN, VALID)
        adapter.save(store, symbol="BTCEUR")
        same_predictions(load_adapter(adapter.run), adapter)
        assert scaler._sklearn_output_config == {"transform": library}


class TestTrainingAgain:
    def test_a_loaded_adapter_is_trained_on_the_same_features(self, adapter, store):
        adapter.save(store, symbol="BTCEUR")
        again = type(adapter).load(adapter.run)
        again.fit(shuffled(table()).assign(word="x"), target(), TRAIN, VALID)
        assert again.features == adapter.features
        assert again.run is None
        same_predictions(again, adapter)

    def test_a_scaling_that_does_not_exist_is_refused(self):
        for option in ({"scaler": "maxabs"}, {"imputer": "guess"}):
            with pytest.raises(errors.InvalidOption, match="is one of"):
                GRUAdapter(**option)


class TestLostParts:
    def run_without_its_scaler(self, store, **features):
        """A run as the migration of an old tree leaves it whose preprocessor cannot be read."""
        adapter = fitted_gru()
        with store.new_run("gru/BTCEUR") as draft:
            draft.add("model", TorchState(adapter.model.state_dict(), {}))
            draft.config, draft.features = adapter.config, adapter.features
            draft.requires = ["preprocessor"]
        return draft.run

    def test_predictions_are_refused_and_the_text_says_what_to_do(self, store):
        loaded = load_adapter(self.run_without_its_scaler(store))
        assert loaded.missing == ("preprocessor",)
        with pytest.raises(
            errors.ComponentNotFound, match=r"gru/BTCEUR:.*'preprocessor'.*preprocessor=.*preselected=True"
        ):
            loaded.predict(table())

    def test_the_preprocessor_can_be_given(self, store):
        run, adapter = self.run_without_its_scaler(store), fitted_gru()
        for loaded in (
            load_adapter(run, preprocessor=adapter.preprocessor),
            GRUAdapter.load(run, preprocessor=adapter.preprocessor),
            GRUAdapter().load("gru/BTCEUR", store=store, preprocessor=adapter.preprocessor),
        ):
            assert loaded.missing == ()
            same_predictions(loaded, adapter)

    def test_input_that_went_through_it_already_is_taken(self, store):
        loaded, adapter = load_adapter(self.run_without_its_scaler(store)), fitted_gru()
        scaled = adapter.preprocessor.transform(table().to_numpy())[:, list(adapter.features.selected)]
        assert np.abs(loaded.predict(scaled, preselected=True) - adapter.predict(table())).max() <= 1e-6

    def test_it_stays_lost_when_it_is_saved_again(self, store):
        load_adapter(self.run_without_its_scaler(store)).save(store, symbol="COPY")
        copied = store.get("gru/COPY")
        assert copied.requires == ("preprocessor",)
        assert "example_inputs" not in copied.components
        assert load_adapter(copied).missing == ("preprocessor",)

    def test_a_preprocessor_that_was_given_is_saved_with_it(self, store):
        run, adapter = self.run_without_its_scaler(store), fitted_gru()
        load_adapter(run, preprocessor=adapter.preprocessor).save(store, symbol="WHOLE")
        same_predictions(load_adapter(store.get("gru/WHOLE")), adapter)

    def test_verify_says_it_too(self, store):
        fitted_gru().save(store, symbol="BTCEUR")
        run = store.get("gru/BTCEUR")
        with store.new_run("gru/LOST") as draft:
            for name in ("model", "example_inputs", "example_outputs"):
                draft.add(name, run.load(name))
            draft.config, draft.features, draft.requires = run.config, run.features, run.requires
        report = store.verify("gru/LOST", predict=True)
        assert [type(problem.error) for problem in report.problems] == [errors.ComponentNotFound]


class TestTheLog:
    """Who watches programs sees each refusal of features, with the model that it is about."""

    def told(self, caplog):
        return [(record.levelname, record.name, record.getMessage()) for record in caplog.records]

    def test_another_number_of_features_is_logged_when_it_is_predicted_with(self, adapter, store, caplog):
        adapter.save(store, symbol="BTCEUR")
        for asked in (adapter, load_adapter(adapter.run)):
            caplog.clear()
            with pytest.raises(errors.FeatureMismatch) as caught:
                asked.predict(table().to_numpy()[:, :4])
            said = f"{adapter.run.ref}: {caught.value}"
            assert "got 4" in said
            assert self.told(caplog) == [("WARNING", "artifact_models.adapter", said)]

    def test_a_model_that_was_not_saved_is_called_that(self, caplog):
        with pytest.raises(errors.FeatureMismatch):
            copy.copy(small_gru(epochs=1).fit(table(), target(), TRAIN, VALID)).predict(table()[["rsi"]])
        assert self.told(caplog)[0][2].startswith("a gru that was not saved: 5 of 6 features are missing")

    def test_a_model_of_another_width_than_its_names_is_logged_when_it_is_loaded(self, store, caplog):
        run = store.save(
            TorchState(GRUNetwork(Architecture(3, 4, 1, 5, 1)).state_dict()),
            "gru/BTCEUR",
            features=FeatureSchema(["a", "b"]),
            config={"sequence_length": 5},
        )
        with pytest.raises(errors.FeatureMismatch) as caught:
            load_adapter(run)
        assert self.told(caplog) == [("WARNING", "artifact_models.adapter", f"{run.ref}: {caught.value}")]


class TestWidths:
    @pytest.mark.parametrize(("names", "selected"), [(["a", "b", "c", "d"], None), (["a", "b", "c", "d"], ["a", "b"])])
    def test_a_network_of_another_width_than_its_names_is_refused_with_both_numbers(self, names, selected, store):
        run = store.save(
            TorchState(GRUNetwork(Architecture(3, 4, 1, 5, 1)).state_dict()),
            "gru/BTCEUR",
            features=FeatureSchema(names, selected=selected),
            config={"sequence_length": 5},
        )
        said = f"selects {len(selected)}" if selected else "names 4"
        with pytest.raises(errors.FeatureMismatch) as caught:
            load_adapter(run)
        for part in ("takes 3 features", "the shape of gru.weight_ih_l0", f"feature schema of {run.ref}", said):
            assert part in str(caught.value)

    def test_a_preprocessor_that_makes_another_width_is_refused(self):
        adapter = fitted_gru()
        narrow = copy.copy(adapter)
        narrow.preprocessor = StandardScaler().fit(table().to_numpy()[:, :4])
        with pytest.raises(errors.FeatureMismatch, match="the preprocessor refuses these rows"):
            narrow.predict(table())

    def test_a_preprocessor_that_knows_the_columns_in_another_order_gets_them_so(self):
        adapter = fitted_gru()
        other = copy.copy(adapter)
        other.preprocessor = StandardScaler().fit(table()[NAMES[::-1]].iloc[TRAIN])
        same_predictions(other, adapter)

    def test_a_preprocessor_of_other_columns_is_refused_by_name(self):
        other = copy.copy(fitted_gru())
        other.preprocessor = StandardScaler().fit(table().rename(columns={"rsi": "macd"}))
        with pytest.raises(errors.FeatureMismatch, match="1 of its columns are not among them: .'macd'"):
            other.predict(table())


def test_a_bucket_holds_it_as_well(seaweed, seaweed_prefix):
    url, options = seaweed.url(seaweed_prefix), seaweed.storage_options()
    for adapter in map(copy.copy, (fitted_gru(), fitted_trees())):
        said = adapter.save(url, symbol="BTCEUR", storage_options=options)
        assert said.startswith(f"{url}/{adapter.model_type}/BTCEUR/")
        same_predictions(type(adapter).load(said, storage_options=options), adapter)
        latest = f"{url}/{adapter.model_type}/BTCEUR@latest"
        same_predictions(BaseModelAdapter.load(latest, storage_options=options), adapter)


class TestSymbolsOfExchanges:
    @pytest.mark.parametrize("symbol", ["BTC/USDT:USDT", "EURUSD=X", "CON.DE", "C:EURUSD", "20240816_142301"])
    def test_one_is_saved_and_loaded_by_path_by_url_and_by_reference(self, tmp_path, symbol):
        adapter = fitted_trees()
        path = adapter.save(tmp_path / "store", symbol=symbol)
        assert Path(path).parts[-2] == ModelKey.spell(symbol)
        key = adapter.run.key
        places = [
            path,
            Path(path),
            f"{tmp_path}/store/lightgbm/{ModelKey.spell(symbol)}",
            f"{tmp_path}/store/{key}@latest",
        ]
        for place in places:
            assert LightGBMAdapter.load(place).run.key == ModelKey("lightgbm", symbol)
        for source in (str(key), ("lightgbm", symbol), key):
            assert LightGBMAdapter.load(source, store=tmp_path / "store").run == adapter.run
        again = fitted_trees().save(Path(path).parent, symbol=symbol)  # what the path says is not nested into itself
        assert Path(again).parent == Path(path).parent

    def test_a_name_that_cannot_be_is_refused_before_anything_is_computed(self, tmp_path):
        adapter = copy.copy(fitted_trees())
        adapter._example = adapter._parts = lambda: pytest.fail("it was asked before the names were judged")
        for wrong in ({"symbol": "x" * 101}, {"run_id": "yesterday"}, {"alias": "Latest"}, {"publish": "sometimes"}):
            with pytest.raises(errors.InvalidInput):
                adapter.save(tmp_path / "store", **wrong)
        assert not (tmp_path / "store").exists()
