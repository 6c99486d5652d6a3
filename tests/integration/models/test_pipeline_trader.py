"""The trader of the earlier pipeline over days: what it loads, what it keeps, and what it says of the rest; the check."""

import logging
import pickle
import shutil
from datetime import timedelta

import numpy as np
import pytest
from artifact_models import GRUTrainer, LightGBMAdapter, LightGBMTrainer, UnifiedPaperTrader, validate_model_artifacts
from artifact_models.pipeline.trainers import TRAINERS

from artifact_store import ArtifactStore, errors
from artifact_store.cli import program
from tests.integration.models.data import table
from tests.integration.models.pipeline_data import CONFIG, CUT, FILES, RUN, memory_root, same, split
from tests.legacy_cases import old_tree
from tests.redaction import silent, told_by
from tests.servers.marked import secret_key


def saved(place, model_type, symbol="BTCEUR", path=None, **options):
    """Train and save a model; return its trainer."""
    trainer = TRAINERS[model_type](CONFIG)
    if model_type == "ppo":
        trainer.train(table()[:CUT])
    else:
        trainer.train(*split(), **options)
    trainer.save_model(path or f"{place}/{model_type}/{symbol}/{FILES[model_type]}")
    return trainer


def damaged(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def loaded(trader):
    return {
        f"{kind}/{symbol}": str(model.run.run_id)
        for symbol, models in trader.models.items()
        for kind, model in models.items()
    }


def loaded_types(trader):
    return list(trader.load_all_models()["BTCEUR"])


def saved_with_other_predictions(place, trainer):
    """Publish the same model with golden predictions that it does not repeat, as after a change of a library."""
    with ArtifactStore(place) as store:
        good = store.get("lightgbm/BTCEUR")
        with store.new_run("lightgbm/BTCEUR") as draft:
            draft.features, draft.config = good.features, good.config
            draft.add("model", trainer.model)
            draft.add("example_inputs", trainer.adapter.example_inputs)
            draft.add("example_outputs", np.full(len(trainer.adapter.example_inputs), 9))
    return draft.run


class TestLoading:
    def test_all_models_of_all_symbols_are_loaded_and_predict(self, root):
        runs = {
            f"{kind}/{symbol}": saved(root, kind, symbol)
            for kind, symbol in (("gru", "BTCEUR"), ("lightgbm", "BTCEUR"), ("ppo", "BTCEUR"), ("lightgbm", "ETHEUR"))
        }
        with UnifiedPaperTrader(CONFIG, models_dir=root) as trader:
            assert trader.symbols == ["BTCEUR", "ETHEUR"]
            assert trader.load_all_models() is trader.models
            assert loaded(trader) == {name: str(trainer.run.run_id) for name, trainer in runs.items()}
            assert trader.problems == {}
            for name, trainer in runs.items():
                model_type, symbol = name.split("/")
                assert same(trader.models[symbol][model_type].predict(table()), trainer.predict(table()))

    def test_without_symbols_all_that_there_are_are_meant(self, root):
        saved(root, "lightgbm", "BTCEUR")
        saved(root, "lightgbm", path=f"{root}/lightgbm/{RUN}/model.pkl")
        trader = UnifiedPaperTrader(models_dir=root)
        assert list(trader.load_all_models()) == ["BTCEUR"]
        saved(root, "lightgbm", "ADAEUR")
        assert sorted(trader.load_all_models()) == ["ADAEUR", "BTCEUR"]

    def test_the_best_of_a_walk_forward_is_preferred_and_then_what_is_published(self, root):
        first = saved(root, "lightgbm")
        trader = UnifiedPaperTrader(symbols="BTCEUR", models_dir=root)
        trader.load_all_models()
        assert trader.models["BTCEUR"]["lightgbm"].run == first.run
        best = saved(root, "lightgbm", path=f"{root}/metadata/best_wf_lightgbm_BTCEUR.pkl")
        saved(root, "lightgbm")
        trader.load_all_models()
        assert trader.models["BTCEUR"]["lightgbm"].run == best.run

    def test_the_finders_return_what_load_model_takes(self, root):
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=root)
        assert trader._find_latest_best_wf("gru", "BTCEUR") is None
        assert trader._find_latest_unified_artifact("gru", "BTCEUR", "model.pth") is None
        latest = saved(root, "gru")
        best = saved(root, "gru", path=f"{root}/metadata/best_wf_gru_BTCEUR.pt")
        found = trader._find_latest_unified_artifact("gru", "BTCEUR", "model.pth")
        assert found.replace("\\", "/").endswith(f"gru/BTCEUR/{latest.run.run_id}/model.pth")
        assert GRUTrainer.load_model(found, CONFIG).run == latest.run
        assert GRUTrainer.load_model(trader._find_latest_best_wf("gru", "BTCEUR"), CONFIG).run == best.run
        assert trader._find_latest_unified_artifact("gru", "BTCEUR", "preprocessor.pkl").endswith("/preprocessor.pkl")
        assert trader._find_latest_unified_artifact("gru", "BTCEUR", "model.safetensors").endswith("/model.safetensors")
        for other in ("model.pkl", "model_vecnormalize.pkl", "notes.txt"):
            assert trader._find_latest_unified_artifact("gru", "BTCEUR", other) is None

    def test_a_trader_of_ones_own_may_load_as_it_always_did(self, root):
        saved(root, "gru")

        class Own(UnifiedPaperTrader):
            def load_all_models(self):
                for symbol in self.symbols:
                    path = self._find_latest_best_wf("gru", symbol) or self._find_latest_unified_artifact(
                        "gru", symbol, "model.pth"
                    )
                    if path:
                        self.models[symbol]["gru"] = GRUTrainer.load_model(path, self.config)

        trader = Own(CONFIG, models_dir=root)
        trader.load_all_models()
        assert list(trader.models["BTCEUR"]) == ["gru"]
        assert trader.models["ETHEUR"] == {}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"config": ["BTCEUR"]}, "config is a mapping of settings"),
            ({"max_run_age": timedelta(0)}, "max_run_age is a timedelta above 0"),
            ({"max_run_age": 30}, "is a timedelta above 0, .* not 30"),
            ({"model_types": ["xgboost"]}, "no trainer is of the type 'xgboost'"),
            ({"models_dir": ArtifactStore("memory://a"), "storage_options": {"key": "x"}}, "takes no storage options"),
        ],
    )
    def test_arguments_that_mean_nothing_are_refused(self, arguments, said):
        with pytest.raises(errors.InvalidOption, match=said):
            UnifiedPaperTrader(**arguments).load_all_models()


class TestOverDays:
    @pytest.fixture
    def place(self):
        return memory_root()

    def test_only_what_changed_is_loaded_again(self, place):
        for symbol in ("BTCEUR", "ETHEUR"):
            saved(place, "lightgbm", symbol)
        trader = UnifiedPaperTrader(CONFIG, models_dir=place)
        trader.load_all_models()
        before = {symbol: models["lightgbm"] for symbol, models in trader.models.items()}
        newer = saved(place, "lightgbm", "ETHEUR")
        trader.load_all_models()
        assert trader.models["BTCEUR"]["lightgbm"] is before["BTCEUR"]
        assert trader.models["ETHEUR"]["lightgbm"].run == newer.run

    def test_a_rollback_is_followed(self, place):
        first = saved(place, "lightgbm")
        saved(place, "lightgbm", selected_features=[0])
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place)
        trader.load_all_models()
        ArtifactStore(place).rollback("lightgbm/BTCEUR")
        trader.load_all_models()
        assert trader.models["BTCEUR"]["lightgbm"].run == first.run

    def test_a_place_without_any_model_is_told_of(self, tmp_path, caplog):
        with caplog.at_level(logging.WARNING):
            assert UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=tmp_path / "modles").load_all_models() == {
                "BTCEUR": {}
            }
        assert f"no model of BTCEUR was found in {tmp_path / 'modles'}" in caplog.text

    def test_a_broken_model_leaves_the_one_before_and_stops_no_other(self, tmp_path, caplog):
        place = tmp_path / "store"
        for symbol in ("BTCEUR", "ETHEUR"):
            saved(place, "lightgbm", symbol)
        trader = UnifiedPaperTrader(CONFIG, models_dir=place)
        trader.load_all_models()
        before = trader.models["BTCEUR"]["lightgbm"]
        broken, newer = saved(place, "lightgbm", "BTCEUR"), saved(place, "lightgbm", "ETHEUR")
        damaged(place / "lightgbm" / "BTCEUR" / str(broken.run.run_id) / "model.txt")
        with caplog.at_level(logging.WARNING):
            trader.load_all_models()
        assert trader.models["BTCEUR"]["lightgbm"] is before
        assert trader.models["ETHEUR"]["lightgbm"].run == newer.run
        assert [(name, type(error)) for name, error in trader.problems.items()] == [
            (("BTCEUR", "lightgbm"), errors.DigestMismatch)
        ]
        assert "lightgbm/BTCEUR is as it was" in caplog.text
        saved(place, "lightgbm", "BTCEUR")
        trader.load_all_models()
        assert trader.problems == {}

    def test_a_run_that_predicts_something_else_is_passed_over_unless_it_is_not_to_be_checked(self, place):
        first = saved(place, "lightgbm")
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place)
        trader.load_all_models()
        before = trader.models["BTCEUR"]["lightgbm"]
        wrong = saved_with_other_predictions(place, first)
        for _ in range(2):
            trader.load_all_models()
            (error,) = trader.problems.values()
            assert isinstance(error, errors.Corrupt)
            assert "predicts something else than when it was saved" in str(error)
            assert trader.models["BTCEUR"]["lightgbm"] is before
        fresh = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place)
        assert fresh.load_all_models() == {"BTCEUR": {}}
        unchecked = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place, unchecked=True)
        assert unchecked.load_all_models()["BTCEUR"]["lightgbm"].run == wrong

    def test_it_says_what_each_run_was_compared_with(self, place, caplog):
        first = saved(place, "lightgbm")
        with ArtifactStore(place) as store:
            store.save(first.model, "lightgbm/ETHEUR", features=first.adapter.features, config=first.config)
        with caplog.at_level(logging.INFO):
            UnifiedPaperTrader(models_dir=place).load_all_models()
            UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place, unchecked=True).load_all_models()
        told = [text for text in caplog.messages if " is loaded: " in text]
        assert [text.rpartition("; ")[2] for text in told] == ["compared", "not compared", "unchecked"]

    def test_a_run_that_has_become_too_old_is_taken_out(self, place):
        saved(place, "lightgbm")
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place, max_run_age=timedelta(hours=1))
        assert loaded_types(trader) == ["lightgbm"]
        trader.max_run_age = timedelta(microseconds=1)
        assert loaded_types(trader) == []
        (error,) = trader.problems.values()
        assert isinstance(error, errors.RunTooOld)

    def test_a_run_that_is_marked_is_taken_out_until_the_mark_is_lifted(self, place):
        saved(place, "lightgbm")
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place)
        assert loaded_types(trader) == ["lightgbm"]
        run = ArtifactStore(place).get("lightgbm/BTCEUR")
        run.annotate(do_not_trade=True)
        assert loaded_types(trader) == []
        (error,) = trader.problems.values()
        assert isinstance(error, errors.NotForTrading)
        run.annotate(do_not_trade=False)
        assert loaded_types(trader) == ["lightgbm"]

    def test_a_model_of_which_nothing_is_published_any_more_is_taken_out(self, place):
        saved(place, "lightgbm")
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=place)
        trader.load_all_models()
        ArtifactStore(place).retire("lightgbm/BTCEUR@latest")
        (run,) = ArtifactStore(place).runs()
        ArtifactStore(place).delete(run)
        trader.load_all_models()
        assert (trader.models, trader.problems) == ({"BTCEUR": {}}, {})

    def test_a_place_of_something_else_is_an_error_and_an_empty_one_is_not(self, tmp_path):
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=tmp_path)
        assert trader.load_all_models() == {"BTCEUR": {}}
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(errors.NotAStore):
            trader.load_all_models()


class TestAnOldTree:
    @pytest.fixture
    def tree(self, tmp_path):
        tree = old_tree(tmp_path)
        shutil.rmtree(tree / "ppo")
        return tree

    def test_it_is_traded_in_place_and_looked_through_again(self, tree):
        trader = UnifiedPaperTrader(symbols=["BTCEUR", "ETHEUR"], models_dir=str(tree), model_types=["gru", "lightgbm"])
        trader.load_all_models()
        assert set(loaded(trader)) == {"gru/BTCEUR", "lightgbm/BTCEUR"}
        assert {name for name, error in trader.problems.items() if isinstance(error, errors.Corrupt)} == {
            ("ETHEUR", "gru"),
            ("ETHEUR", "lightgbm"),
        }
        kept = trader.models["BTCEUR"]["lightgbm"]
        best = trader._find_latest_best_wf("gru", "BTCEUR")
        assert GRUTrainer.load_model(best).run.tags["legacy_source"] == "metadata/best_wf_gru_BTCEUR.pt"
        latest = trader._find_latest_unified_artifact("gru", "BTCEUR", "model.pth")
        assert latest == str(tree / "gru" / "BTCEUR" / RUN / "model.pth")
        (tree / "metadata" / "best_wf_gru_BTCEUR.pt").unlink()
        trader.load_all_models()
        assert trader.models["BTCEUR"]["gru"].run == GRUTrainer.load_model(latest).run
        assert trader.models["BTCEUR"]["lightgbm"] is kept
        assert trader._find_latest_best_wf("gru", "BTCEUR") is None

    def test_a_store_that_takes_its_place_is_noticed(self, tree, tmp_path):
        trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir=tree, model_types=["lightgbm"])
        trader.load_all_models()
        shutil.move(tree, tmp_path / "attic")
        fresh = saved(tree, "lightgbm")
        trader.load_all_models()
        assert trader.models["BTCEUR"]["lightgbm"].run == fresh.run

    def test_every_model_is_checked(self, tree, capsys):
        report = validate_model_artifacts(tree)
        told = {str(model.key): model for model in report}
        assert told["gru/BTCEUR"].ok
        assert {name for name, model in told.items() if not model.ok} == {"gru/ETHEUR", "lightgbm/ETHEUR", "gru/SOLEUR"}
        assert isinstance(told["gru/SOLEUR"].error, errors.ComponentNotFound)
        printed = capsys.readouterr().out
        assert "WRONG (Corrupt)" in printed
        assert "has no such run in the old tree" in printed
        assert f"{len(report)} models: 3 with problems." in printed


class TestTheCheck:
    def test_sound_models_are_loaded_and_predict_what_they_did(self, root, capsys):
        runs = [saved(root, kind) for kind in TRAINERS]
        report = validate_model_artifacts(root)
        assert report.ok
        assert [model.run for model in report] == [trainer.run for trainer in runs]
        printed = capsys.readouterr().out
        assert printed.count("equal (difference 0") == 3
        assert "3 models: none with problems." in printed

    def test_one_broken_model_raises_nothing_and_hides_no_other(self, tmp_path, capsys):
        place = tmp_path / "store"
        broken = saved(place, "lightgbm", "BTCEUR")
        saved(place, "lightgbm", "ETHEUR")
        (place / "lightgbm" / "BTCEUR" / "latest.json").write_bytes(b"{}")
        report = validate_model_artifacts(place)
        assert not report.ok
        assert [(str(model.key), type(model.error)) for model in report.problems] == [
            ("lightgbm/BTCEUR", errors.Corrupt)
        ]
        assert "2 models: 1 with problems." in capsys.readouterr().out
        shutil.copy(place / "lightgbm" / "ETHEUR" / "latest.json", place / "lightgbm" / "BTCEUR" / "latest.json")
        damaged(place / "lightgbm" / "BTCEUR" / str(broken.run.run_id) / "model.txt")
        assert not validate_model_artifacts(place).ok

    def test_a_place_without_models_is_not_sound(self, tmp_path, capsys):
        assert not validate_model_artifacts(tmp_path / "nowhere").ok
        assert "There are no models of the types gru, lightgbm, ppo at" in capsys.readouterr().out
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(errors.NotAStore):
            validate_model_artifacts(tmp_path)

    def test_a_ready_store_is_taken_and_left_open(self):
        store = ArtifactStore(memory_root())
        saved(store.url, "lightgbm")
        assert validate_model_artifacts(store).ok
        assert LightGBMTrainer.load_model(f"{store.url}/lightgbm/BTCEUR/latest/model.pkl").is_fitted


def test_storage_options_are_in_no_pickle_of_a_trader_and_in_no_variable_of_a_report_of_an_error():
    options = {"key": "k", "secret": secret_key("trader"), "headers": {"X-Mine": secret_key("trader")}}
    trader = UnifiedPaperTrader(symbols=["BTCEUR"], models_dir="s3://bucket/models", storage_options=options)
    silent(*map(repr, vars(trader).values()))
    with pytest.raises(errors.InvalidOption, match=r"\(headers, key, secret\) are not pickled"):
        pickle.dumps(trader)
    path = "memory://nothing/lightgbm/BTCEUR/20240816_142301"
    for call in (
        lambda: LightGBMTrainer.load_model(f"{path}/model.txt", storage_options=options),
        lambda: LightGBMAdapter.load(path, storage_options=options),
        lambda: validate_model_artifacts("memory://nothing", storage_options=options),
        lambda: program.open_store("memory://nothing", options=[f"secret={options['secret']}"]),
    ):
        with pytest.raises(errors.InvalidOption, match="takes no storage options") as refused:
            call()
        silent(*told_by(refused.value))
