"""``python -m artifact_models.trade``: which model it takes and why, what it says, and that one broken model stops no other."""

from __future__ import annotations

import copy
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from artifact_models import LightGBMAdapter, load_adapter
from artifact_models.trading import trade
from artifact_models.trading import train as pipeline
from artifact_models.trading.adapters import new_adapter
from artifact_models.trading.market import Market, live_frame
from artifact_models.trading.recipes import RECIPES
from artifact_models.trading.signals import AGENT_BARS, newest_signals
from artifact_models.trading.validated_runs import ValidatedRuns
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.legacy.export import export_run
from artifact_store.storage.memory import MemoryBackend
from tests.integration.models.market_data import make_candles, write_csv
from tests.integration.models.test_train import Silent

pytestmark = pytest.mark.xdist_group("test_trade")  # its fixtures take long

SYMBOLS = ("EURUSD", "GOOGL")
TINY = {
    "gru": {"epochs": 1, "sequence_length": 4, "hidden_size": 4, "fc_size": 4},
    "lightgbm": {"n_estimators": 5, "min_child_samples": 5},
    "ppo": {"timesteps": 64, "n_steps": 32, "batch_size": 32, "env.window": 4},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A store with all three families of two symbols, and the candles beside it; not to be written to."""
    folder = tmp_path_factory.mktemp("trade")
    with ArtifactStore(folder / "store") as store:
        for place, symbol in enumerate(SYMBOLS):
            path = write_csv(folder / "data" / f"{symbol}.csv", make_candles(300, seed=place, freq=("1h", "1D")[place]))
            for name, recipe in RECIPES.items():
                folds = 2 if name == "lightgbm" else 0
                request = pipeline.TrainRequest(recipe=recipe, walk_forward=folds, config=TINY[name])
                pipeline.train_and_save(store, Market.read(symbol, path), request, Silent())
    return folder


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    """A copy to break."""
    return shutil.copytree(trained, tmp_path / "copy")


def run(folder, *more):
    given = ["--store", str(folder / "store"), "--symbols", ",".join(SYMBOLS), "--data", str(folder / "data"), *more]
    return CliRunner().invoke(trade.trade_command, given)


def one_symbol(folder, data, *more):
    return ["--store", str(folder / "store"), "--symbols", "X", "--models", "lightgbm", "--data", str(data), *more]


def told(done) -> dict[tuple[str, str], dict]:
    return {(of["model"], of["symbol"]): of for of in json.loads(done.stdout)["signals"]}


def test_every_model_of_every_symbol_is_asked_for_the_newest_bar(trained):
    done = run(trained, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    signals = told(done)
    assert list(signals) == [(model, symbol) for symbol in SYMBOLS for model in ("gru", "lightgbm", "ppo")]
    assert {of["signal"] for of in signals.values()} <= {"long", "short", "flat"}
    store = ArtifactStore(trained / "store")
    for (model, symbol), of in signals.items():
        frame = live_frame(trained / "data" / f"{symbol}.csv")
        assert of["bar"] == f"{frame.index[-1]:%Y-%m-%d %H:%M}"
        adapter = load_adapter(store.get(f"{model}/{symbol}:{of['run']}"))
        if model == "ppo":
            expected = adapter.positions(adapter.predict(frame.iloc[-(AGENT_BARS + 4) :]))[-1]
        else:
            expected = adapter.predict_proba(frame)[-1, 1] - 0.5
        assert of["value"] == pytest.approx(expected, abs=1e-6)
        features = {"EURUSD": 20, "GOOGL": 19}[symbol]
        assert (of["columns"], of["features"]) == (features + 5, features + (model == "ppo"))


def test_it_says_which_run_it_took_and_why(trained):
    signals = told(run(trained, "--json"))
    store = ArtifactStore(trained / "store")
    for (model, symbol), of in signals.items():
        alias = "best_wf" if model == "lightgbm" else "latest"
        assert of["run"] == store.get(f"{model}/{symbol}@{alias}").run_id
        assert of["found_by"][-1] == f"{model}/{symbol}@{alias}: names {of['run']}, taken"
    assert signals["gru", "GOOGL"]["found_by"][0] == "gru/GOOGL@best_wf: was never published"
    verbose = run(trained, "-v")
    assert "INFO gru/GOOGL@best_wf: was never published" in verbose.stderr
    assert "5 are ignored" in verbose.stderr


def test_another_alias_may_be_preferred(trained):
    signals = told(run(trained, "--json", "--prefer", "latest", "--models", "lightgbm"))
    assert signals["lightgbm", "EURUSD"]["run"] == ArtifactStore(trained / "store").get("lightgbm/EURUSD@latest").run_id
    assert run(trained, "--prefer", "Not An Alias").exit_code == 1


def test_a_model_whose_features_nobody_named_is_a_row(tmp_path):
    path = write_csv(tmp_path / "X.csv", make_candles(200))
    market = Market.read("X", path)
    adapter = LightGBMAdapter(config={"n_estimators": 2, "min_child_samples": 5})
    with pytest.warns(UserWarning, match="no names"):
        adapter.fit(market.features.to_numpy(), market.returns, slice(0, 100), None)
    adapter.save(ArtifactStore(tmp_path / "store"), symbol="X")
    given = one_symbol(tmp_path, path, "--json")
    done = CliRunner().invoke(trade.trade_command, given)
    assert told(done)["lightgbm", "X"]["error"] == "FeatureMismatch"
    assert "20 features without names, the data have 25 columns" in done.stderr


def test_people_get_a_table(trained):
    done = run(trained, "--models", "lightgbm,ppo")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["symbol", "model", "run", "found", "by", "checked", "newest", "bar", "says", "signal"]
    assert len(lines) == 2 + 4
    assert "best_wf" in lines[2]
    assert "rise" in lines[2]
    assert "hold" in lines[3]


def test_where_nothing_is_published_the_newest_run_is_taken(tmp_path):
    path = write_csv(tmp_path / "X.csv", make_candles(200))
    market = Market.read("X", path)
    adapter = new_adapter(RECIPES["lightgbm"], config=TINY["lightgbm"])
    adapter.fit(market.features, RECIPES["lightgbm"].answers(market), slice(0, 100), slice(100, 140))
    store = ArtifactStore(tmp_path / "store")
    adapter.save(store, symbol="X", alias="candidate")
    (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"])
    assert (signal.why, signal.failed) == ("newest", False)


class Noting(MemoryBackend):
    """Remembers which files were read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def stream(self, key, *, size):
        self.seen.append(key.rpartition("/")[2])
        return super().stream(key, size=size)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_csv(tmp_path_factory.mktemp("candles") / "X.csv", make_candles(200))


@pytest.fixture(scope="module")
def fitted(path):
    market = Market.read("X", path)
    adapter = new_adapter(RECIPES["lightgbm"], config=TINY["lightgbm"])
    return adapter.fit(market.features, RECIPES["lightgbm"].answers(market), slice(0, 100), slice(100, 140))


@pytest.fixture
def adapter(fitted):
    return copy.copy(fitted)  # its own ``run``


class TestChecks:
    @staticmethod
    def save_with_other_predictions(adapter, store):
        """A run that was saved by other means, or that a library answers differently now."""
        good = store.get(store.save(adapter.model, "lightgbm/X", features=adapter.features, config=adapter.config).ref)
        with store.new_run("lightgbm/X") as draft:
            draft.features, draft.config = good.features, good.config
            draft.add("model", adapter.model)
            draft.add("example_inputs", adapter.example_inputs)
            draft.add("example_outputs", np.full(len(adapter.example_inputs), 9))
        return draft.run

    def test_each_run_is_checked_once(self, adapter, path):
        backend, checked = Noting(), ValidatedRuns()
        store = ArtifactStore(backend)
        adapter.save(store, symbol="X")
        for times in (1, 1, 1):
            (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"], checked=checked)
            assert (signal.failed, signal.checked) == (False, "compared")
            assert sum(name.startswith("example_outputs") for name in backend.seen) == times
        adapter.save(store, symbol="X")
        trade.signals(store, ["X"], path, models=["lightgbm"], checked=checked)
        assert sum(name.startswith("example_outputs") for name in backend.seen) == 2

    def test_a_run_that_predicts_something_else_is_passed_over_and_can_be_traded_unchecked(
        self, adapter, path, tmp_path
    ):
        store = ArtifactStore(tmp_path / "store")
        self.save_with_other_predictions(adapter, store)
        given = one_symbol(tmp_path, path, "--json")
        done = CliRunner().invoke(trade.trade_command, given)
        (signal,) = json.loads(done.stdout)["signals"]
        assert (done.exit_code, signal["error"], signal["signal"]) == (1, "Corrupt", "")
        assert "predicts something else than when it was saved" in signal["message"]
        taken = CliRunner().invoke(trade.trade_command, [*given, "--unchecked"])
        (signal,) = json.loads(taken.stdout)["signals"]
        assert (taken.exit_code, signal["error"], signal["checked"]) == (0, "", "unchecked")

    def test_a_run_without_an_example_is_traded_and_marked(self, adapter, path, tmp_path):
        store = ArtifactStore(tmp_path)
        store.save(adapter.model, "lightgbm/X", features=adapter.features, config=adapter.config)
        (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"])
        assert (signal.failed, signal.checked) == (False, "not compared")
        assert "not compared" in "\n".join(trade._lines([signal]))

    def test_a_run_that_cannot_be_checked_is_passed_over(self, adapter, path, tmp_path):
        store = ArtifactStore(tmp_path)
        with store.new_run("lightgbm/X") as draft:
            draft.features, draft.config = adapter.features, adapter.config
            draft.add("model", adapter.model)
            draft.add("notes", {"anything"}, codec="joblib")
        (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"])
        assert (signal.error, signal.signal) == ("RiskRefused", "")
        assert not trade.signals(store, ["X"], path, models=["lightgbm"], checked=None)[0].failed

    def test_a_run_that_was_mended_is_looked_at_again(self, adapter, path, tmp_path):
        store, checked = ArtifactStore(tmp_path), ValidatedRuns()
        adapter.save(store, symbol="X")
        stored = Path(store.get("lightgbm/X").url("model.txt"))
        whole = stored.read_bytes()
        stored.chmod(0o600)
        stored.write_bytes(whole[::-1])
        assert trade.signals(store, ["X"], path, models=["lightgbm"], checked=checked)[0].error == "DigestMismatch"
        stored.write_bytes(whole)
        assert trade.signals(store, ["X"], path, models=["lightgbm"], checked=checked)[0].checked == "compared"

    def test_a_run_that_is_not_to_be_traded_gives_no_signal(self, adapter, path, tmp_path):
        store = ArtifactStore(tmp_path / "store")
        adapter.save(store, symbol="X")
        given = one_symbol(tmp_path, path, "--json")
        note = store.get("lightgbm/X").annotate(do_not_trade=True, reason="a split")
        for more in ((), ("--unchecked",)):
            done = CliRunner().invoke(trade.trade_command, [*given, *more])
            (signal,) = json.loads(done.stdout)["signals"]
            assert (done.exit_code, signal["error"], signal["signal"]) == (1, "NotForTrading", "")
            assert "a split" in signal["message"]
        store.get("lightgbm/X").annotate(do_not_trade=False)
        (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"])
        assert signal.signal
        place = tmp_path / "store" / note.storage_key
        place.chmod(0o600)
        place.write_bytes(b"{")
        (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"])
        assert (signal.error, signal.signal) == ("NotForTrading", "")

    def test_a_run_that_is_too_old_gives_no_signal(self, adapter, path, tmp_path):
        then = datetime.now(UTC) - timedelta(days=40)
        with ArtifactStore(tmp_path / "store", clock=lambda: then) as store:
            adapter.save(store, symbol="X")
        given = one_symbol(tmp_path, path, "--json")
        for age, error in (("41d", ""), ("30d", "RunTooOld"), ("959h", "RunTooOld"), ("57599m", "RunTooOld")):
            (signal,) = json.loads(CliRunner().invoke(trade.trade_command, [*given, "--max-run-age", age]).stdout)[
                "signals"
            ]
            assert signal["error"] == error, age
        assert "lightgbm/X:" in signal["message"]
        assert "was saved 40.0 days ago" in signal["message"]
        for wrong in ("30", "0d", "-1d", "30 days", "1w"):
            assert CliRunner().invoke(trade.trade_command, [*given, "--max-run-age", wrong]).exit_code == 2


def test_one_broken_model_is_a_row_and_the_others_go_on(folder):
    (weights,) = (folder / "store" / "gru" / "EURUSD").glob("2*/model.safetensors")
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.chmod(0o600)
    weights.write_bytes(damaged)
    (folder / "store" / "ppo" / "GOOGL" / "latest.json").write_text("{", encoding="utf-8")
    done = run(folder, "--json")
    signals = told(done)
    assert done.exit_code == 1
    assert {key: of["error"] for key, of in signals.items() if of["error"]} == {
        ("gru", "EURUSD"): "DigestMismatch",
        ("ppo", "GOOGL"): "Corrupt",
    }
    assert sum(bool(of["signal"]) for of in signals.values()) == 4
    plain = run(folder)
    assert plain.exit_code == 1
    assert "gru/EURUSD: DigestMismatch: " in plain.stdout


def test_a_symbol_without_models_or_without_data_is_a_row(trained):
    (trained / "data" / "extra").mkdir(exist_ok=True)
    done = CliRunner().invoke(
        trade.trade_command,
        ["--store", str(trained / "store"), "--symbols", "EURUSD,BTCEUR", "--data", str(trained / "data"), "--json"],
    )
    signals = told(done)
    assert done.exit_code == 1
    assert {of["error"] for (_, symbol), of in signals.items() if symbol == "BTCEUR"} == {"ModelNotFound"}
    assert not any(of["error"] for (_, symbol), of in signals.items() if symbol == "EURUSD")
    empty = trained / "data" / "extra"
    lost = CliRunner().invoke(
        trade.trade_command, ["--store", str(trained / "store"), "--symbols", "EURUSD", "--data", str(empty), "--json"]
    )
    assert {of["error"] for of in told(lost).values()} == {"InvalidOption"}
    assert "has no EURUSD.csv" in told(lost)["gru", "EURUSD"]["message"]


def test_a_symbol_that_is_typed_as_in_a_reference_is_refused(trained):
    given = ["--store", str(trained / "store"), "--symbols", "EURUSD,BTC;2FUSDT", "--data", str(trained / "data")]
    done = CliRunner().invoke(trade.trade_command, given)
    assert done.exit_code == 2
    assert "write the symbol itself, 'BTC/USDT'" in done.stderr


def test_features_that_the_data_lack_are_counted_and_named(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"signal_{place}" for place in range(6)]
    table = pd.DataFrame(
        rng.normal(size=(80, 6)), columns=names, index=pd.date_range("2024-01-01", periods=80, name="time")
    )
    adapter = LightGBMAdapter(config={"n_estimators": 3, "min_child_samples": 5})
    adapter.fit(table, table["signal_0"], slice(0, 60), None)
    store = ArtifactStore(tmp_path / "store")
    adapter.save(store, symbol="X")
    given = ["--store", str(tmp_path / "store"), "--symbols", "X", "--models", "lightgbm"]
    whole = write_csv(tmp_path / "whole.csv", table.assign(other=1.0))
    fine = CliRunner().invoke(trade.trade_command, [*given, "--data", str(whole), "-v", "--json"])
    assert fine.exit_code == 0
    assert "was trained on 6 features, the data have 7 columns: the other 1 are ignored" in fine.stderr
    assert told(fine)["lightgbm", "X"]["kind"] == "value"
    assert told(fine)["lightgbm", "X"]["value"] == pytest.approx(adapter.predict(table)[-1])
    part = write_csv(tmp_path / "part.csv", table[names[:4]])
    done = CliRunner().invoke(trade.trade_command, [*given, "--data", str(part), "--json"])
    assert done.exit_code == 1
    assert (
        "6 features, the data have 4 columns, and 2 of the features are not among them: signal_4, signal_5"
        in done.stderr
    )
    assert told(done)["lightgbm", "X"]["error"] == "FeatureMismatch"


def test_an_old_agent_without_its_environment_says_what_it_needs(trained, tmp_path):
    run_ = ArtifactStore(trained / "store").get("ppo/EURUSD")
    store = ArtifactStore(tmp_path / "store")
    store.save(
        run_.load(),
        "ppo/EURUSD",
        components={"model_vecnormalize": run_.load("model_vecnormalize")},
        features=run_.features,
        config={"gamma": 0.9},
    )
    (signal,) = trade.signals(store, ["EURUSD"], trained / "data", models=["ppo"])
    assert signal.error == "FeatureMismatch"
    assert "give ready observations" in signal.message
    assert signal.run == store.get("ppo/EURUSD").run_id


def test_an_old_tree_is_traded_in_place(trained, tmp_path):
    run_ = ArtifactStore(trained / "store").get("lightgbm/GOOGL")
    export_run(run_, tmp_path / "models", pickles=True)
    given = ["--symbols", "GOOGL", "--data", str(trained / "data"), "--models", "lightgbm", "--json"]
    done = CliRunner().invoke(trade.trade_command, ["--legacy", str(tmp_path / "models"), *given])
    assert (done.exit_code, done.stderr) == (0, "")
    old = told(done)["lightgbm", "GOOGL"]
    new = told(
        CliRunner().invoke(trade.trade_command, ["--store", str(trained / "store"), "--prefer", "latest", *given])
    )
    assert (old["run"], old["checked"]) == (run_.run_id, "not compared")
    assert (old["value"], old["signal"]) == tuple(new["lightgbm", "GOOGL"][name] for name in ("value", "signal"))


def test_a_model_that_tells_three_classes_apart_gives_no_signal(tmp_path):
    path = write_csv(tmp_path / "X.csv", make_candles(200))
    market = Market.read("X", path)
    labels = np.arange(len(market.features)) % 3
    adapter = LightGBMAdapter(
        config={"objective": "multiclass", "num_class": 3, "n_estimators": 2, "min_child_samples": 5}
    )
    adapter.fit(market.features, labels, slice(0, 100), None)
    store = ArtifactStore(tmp_path / "store")
    adapter.save(store, symbol="X")
    (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"])
    assert (signal.error, "3 classes" in signal.message) == ("FeatureMismatch", True)


def test_classes_that_are_words_give_no_signal_since_either_may_be_the_rise(tmp_path):
    path = write_csv(tmp_path / "X.csv", make_candles(200))
    market = Market.read("X", path)
    labels = np.where(np.arange(len(market.features)) % 2, "buy", "sell")
    adapter = LightGBMAdapter(config={"objective": "binary", "n_estimators": 2, "min_child_samples": 5})
    store = ArtifactStore(tmp_path / "store")
    adapter.fit(market.features, labels, slice(0, 100), None).save(store, symbol="X")
    (signal,) = trade.signals(store, ["X"], path, models=["lightgbm"])
    assert (signal.error, signal.signal) == ("FeatureMismatch", "")
    assert "its classes are 'buy' and 'sell'" in signal.message


def test_a_network_that_predicts_nan_gives_no_signal(trained):
    adapter = load_adapter(ArtifactStore(trained / "store").get("gru/EURUSD"))
    for parameter in adapter.model.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(errors.FeatureMismatch, match="predicts nan"):
        newest_signals(adapter, live_frame(trained / "data" / "EURUSD.csv"))


def test_a_part_that_is_something_else_is_a_row_and_the_others_go_on(folder):
    with ArtifactStore(folder / "store") as store:
        run_ = store.get("lightgbm/EURUSD")
        other = {"model_vecnormalize": "in the wrong place"}
        run_ = store.save(
            run_.load(), run_.key, components={"preprocessor": other}, features=run_.features, config=run_.config
        )
        store.promote(run_, "best_wf")
    signals = told(run(folder, "--json"))
    assert {key: of["error"] for key, of in signals.items() if of["error"]} == {("lightgbm", "EURUSD"): "Corrupt"}
    assert sum(bool(of["signal"]) for of in signals.values()) == 5


def test_names_of_features_cannot_command_the_terminal(tmp_path):
    table = pd.DataFrame(
        np.random.default_rng(0).normal(size=(80, 2)),
        columns=["a", "\x1b]0;gone\x07"],
        index=pd.date_range("2024-01-01", periods=80, name="time"),
    )
    adapter = LightGBMAdapter(config={"n_estimators": 3, "min_child_samples": 5})
    adapter.fit(table, table["a"], slice(0, 60), None).save(ArtifactStore(tmp_path / "store"), symbol="X")
    path = write_csv(tmp_path / "X.csv", table[["a"]])
    given = one_symbol(tmp_path, path)
    done = CliRunner().invoke(trade.trade_command, given)
    assert "1 of the features are not among them" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_looking_at_the_newest_bars_alone_says_the_same_as_looking_at_all(trained):
    store = ArtifactStore(trained / "store")
    frame = live_frame(trained / "data" / "EURUSD.csv")
    adapter = load_adapter(store.get("gru/EURUSD"))
    assert newest_signals(adapter, frame).last == pytest.approx(adapter.predict_proba(frame)[-1, 1] - 0.5, abs=1e-6)
    with pytest.raises(ValueError, match="4 rows"):
        newest_signals(adapter, frame.iloc[:3])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--models", "gru,svm"], "there is no family svm"),
        (["--models", " , "], "names nothing"),
        (["--data", "one.csv"], "one file holds one symbol"),
        (["--legacy", "nowhere"], "nowhere"),
    ],
)
def test_what_is_asked_wrongly_is_a_sentence(trained, more, says):
    done = run(trained, *more)
    assert done.exit_code == 2
    assert says in done.stderr


def test_text_from_a_store_cannot_command_the_terminal():
    signal = trade.Signal("X", "gru", error="Corrupt", message="\x1b[2Jgone")
    assert "\x1b" not in "\n".join(trade._lines([signal]))
