"""``python -m artifact_models.train``: what it saves and publishes, how it ends, and that nothing is ever half-saved."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from artifact_models.configuration import merged
from artifact_models.families import load_adapter
from artifact_models.trading import train as pipeline
from artifact_models.trading import train_program
from artifact_models.trading.adapters import new_adapter
from artifact_models.trading.interrupt import Interrupt
from artifact_models.trading.market import Market, file_of
from artifact_models.trading.recipes import RECIPES
from artifact_models.trading.signals import signals_of
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli import program
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests.integration.models.market_data import make_candles, write_csv

pytestmark = pytest.mark.xdist_group("test_train")  # its fixtures take long

QUICK = {
    "lightgbm": ["-c", "n_estimators=5", "-c", "min_child_samples=5"],
    "gru": ["-c", "epochs=1", "-c", "sequence_length=4", "-c", "hidden_size=4", "-c", "fc_size=4"],
    "ppo": ["-c", "timesteps=64", "-c", "n_steps=32", "-c", "batch_size=32", "-c", "env.window=4"],
}


class Silent:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: dict[str, list[tuple[int, int]]] = {}

    def stage(self, name):
        return lambda step, total, measured: self.steps.setdefault(name, []).append((step, total))

    def done(self, words):
        self.said.append(words)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return write_csv(folder / "EURUSD.csv", make_candles(400))


def arguments(data, model, *more):
    return ["--model", model, "--symbol", "EURUSD", "--data", str(data), *QUICK[model], *more]


def run(*given):
    """Run the program here, as far as it can be told from outside: exit status, stdout, stderr."""
    return CliRunner().invoke(train_program.train_command, list(given), standalone_mode=True)


def train_request(**changes):
    config = {"n_estimators": 5, "min_child_samples": 5}
    return pipeline.TrainRequest(**{"recipe": RECIPES["lightgbm"], "config": config, "walk_forward": 3, **changes})


@pytest.mark.parametrize("model", list(QUICK))
def test_every_fold_is_a_run_the_best_is_best_wf_and_the_one_of_all_bars_is_latest(data, model, tmp_path):
    done = run(*arguments(data, model, "--store", str(tmp_path / "store"), "--walk-forward", "2", "--json"))
    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    store = ArtifactStore(tmp_path / "store")
    key = f"{model}/EURUSD"
    runs = {run.run_id: run for run in store.runs(key)}
    folds = {of["run"]: of for of in told["folds"]}
    assert set(runs) == {*folds, told["latest"]}
    assert store.get(f"{key}@latest").run_id == told["latest"]
    metric = RECIPES[model].metric
    known = {name: of[metric] for name, of in folds.items() if of[metric] is not None}
    best = store.get(f"{key}@best_wf") if known else None
    assert (best.run_id if best else None) == told["best_wf"]
    if best is not None:
        assert known[best.run_id] == max(known.values()) == best.metrics[f"wf_{metric}"]
        assert "the highest" in store.history(f"{key}@best_wf")[-1].reason
    assert [entry.run_id for entry in store.history(f"{key}@latest")] == [told["latest"]]
    assert sorted(runs[name].tags["fold"] for name in folds) == ["1", "2"]
    assert store.verify(predict=True).ok


def broken_store(plan: Faults, memory: MemoryBackend) -> ArtifactStore:
    return ArtifactStore(FaultyBackend(memory, plan, sleep=lambda _: None), timeout=0.3)


def test_what_does_not_come_back_from_the_store_is_neither_published_nor_promoted(data, monkeypatch):
    memory, market = MemoryBackend(), Market.read("EURUSD", data)
    good = pipeline.train_and_save(ArtifactStore(memory), market, train_request(), Silent())
    assert str(good.latest.published).endswith("; validated: sound")
    spoilt = Faults().on("stream", key="*/model.txt").flip()
    silent = Silent()
    bad = pipeline.train_and_save(broken_store(spoilt, memory), market, train_request(), silent)
    assert isinstance(bad.latest.published.error, errors.DigestMismatch)
    assert (bad.best, bad.promoted) == (
        None,
        "no fold that is sound has the metric auc, so none is promoted to best_wf",
    )
    assert sum("not sound: " in words for words in silent.said) == 3
    calm = ArtifactStore(memory)
    assert calm.get("lightgbm/EURUSD@latest") == good.latest
    assert calm.get("lightgbm/EURUSD@best_wf") == good.best.run
    monkeypatch.setattr(program, "open_store", lambda **_: broken_store(spoilt, memory))
    done = run(*arguments(data, "lightgbm"), "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["published"], told["validated"]) == (1, False, "wrong")
    done = run(*arguments(data, "lightgbm"), "--no-validate", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["published"], told["validated"]) == (0, True, None)


def test_the_best_fold_of_those_that_are_sound_is_promoted(data):
    memory, market = MemoryBackend(), Market.read("EURUSD", data)
    whole = pipeline.train_and_save(ArtifactStore(MemoryBackend()), market, train_request(), Silent())
    first = Faults().on("stream", key="*/model.txt", times=1).flip()
    outcome = pipeline.train_and_save(broken_store(first, memory), market, train_request(), Silent())
    scores = [of.score.auc for of in outcome.folds]
    assert scores == [of.score.auc for of in whole.folds]
    assert [bool(of.refusal) for of in outcome.folds] == [True, False, False]
    assert outcome.best.score.auc == max(scores[1:])
    assert ArtifactStore(memory).get("lightgbm/EURUSD@best_wf") == outcome.best.run


def test_a_fold_is_judged_on_bars_that_it_was_not_trained_on(data, tmp_path):
    market = Market.read("EURUSD", data)
    store = ArtifactStore(tmp_path / "store")
    outcome = pipeline.train_and_save(store, market, train_request(), Silent())
    for of in outcome.folds:
        assert of.run.training_config["rows"] == of.fold.train_end < of.fold.test.start
        adapter = load_adapter(of.run)
        again = signals_of(adapter, market.features.iloc[of.fold.test])
        assert (
            pipeline.score(again.values, market.returns[of.fold.test], cost=1e-4, bars_per_year=market.bars_per_year)
            == of.score
        )
    assert outcome.overall is not None
    assert outcome.overall.rows == sum(of.score.rows for of in outcome.folds)
    assert outcome.latest.metrics["wf_auc"] == outcome.overall.auc
    assert outcome.latest.training_config["data"]["file"] == "EURUSD.csv"
    assert outcome.latest.data["candles"].sha256 == outcome.latest.training_config["data"]["sha256"]
    assert all(result.run.data == outcome.latest.data for result in outcome.folds)
    assert [part["run"] for part in outcome.latest.training_config["folds"]] == [of.run.run_id for of in outcome.folds]


def test_equal_bars_and_seeds_give_equal_models(data, tmp_path):
    market = Market.read("EURUSD", data)
    store = ArtifactStore(tmp_path / "store")
    first, second = (
        pipeline.train_and_save(store, market, train_request(walk_forward=0), Silent()).latest for _ in range(2)
    )
    digests = [
        {name: file.sha256 for name, file in run.files.items() if name != "metadata.json"} for run in (first, second)
    ]
    assert digests[0] == digests[1]


def test_best_wf_can_be_left_alone_unless_the_new_fold_is_better(data, tmp_path):
    store = ArtifactStore(tmp_path / "store")
    market = Market.read("EURUSD", data)
    first = pipeline.train_and_save(store, market, train_request(), Silent())
    assert first.best is not None
    equal = pipeline.train_and_save(store, market, train_request(if_better=True), Silent())
    assert "stays as it is" in equal.promoted
    assert store.get("lightgbm/EURUSD@best_wf").run_id == first.best.run.run_id
    always = pipeline.train_and_save(store, market, train_request(), Silent())
    assert always.best is not None
    assert store.get("lightgbm/EURUSD@best_wf").run_id == always.best.run.run_id != first.best.run.run_id


def test_somebody_who_waits_is_told_how_far_it_is(data, tmp_path):
    told = Silent()
    pipeline.train_and_save(
        ArtifactStore(tmp_path / "store"), Market.read("EURUSD", data), train_request(walk_forward=2), told
    )
    assert list(told.steps) == ["fold 1 of 2", "fold 2 of 2", "all bars"]
    assert all(steps[0][0] == 1 and steps[-1][0] <= steps[-1][1] for steps in told.steps.values())
    assert [words.partition(" ")[0] for words in told.said] == ["fold", "fold", "saved", "lightgbm/EURUSD@best_wf"]


def test_bars_are_drawn_and_cleaned_away(capsys):
    terminal = train_program.Terminal(bars=True)
    report = terminal.stage("fold 1 of 2")
    report(1, 4, {"valid_loss": 0.5})
    report(4, 4, {})
    terminal.done("done")
    shown = capsys.readouterr().err
    assert "fold 1 of 2" in shown
    assert "1/4" in shown
    assert shown.endswith("done\n")


def test_people_get_a_table_and_a_sentence(data, tmp_path):
    done = run(*arguments(data, "lightgbm", "--store", str(tmp_path / "store"), "--walk-forward", "2"))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["fold", "tested", "on", "rows", "majority", "accuracy", "AUC", "IC", "Sharpe", "hold"]
    assert [line[:3] for line in lines[2:5]] == ["1  ", "2  ", "all"]
    assert "published as 'latest', seq 1" in lines[6]
    assert "fold 1 of 2: auc" in done.stderr


def test_selected_features_are_what_the_model_is_given(data, tmp_path):
    chosen = "return_1,volatility_5"
    done = run(*arguments(data, "lightgbm", "--store", str(tmp_path / "store"), "--select", chosen, "--json"))
    assert done.exit_code == 0
    features = ArtifactStore(tmp_path / "store").get("lightgbm/EURUSD").features
    assert features.selected_names == ("return_1", "volatility_5")
    assert features.feature_count == 20
    assert features.reason == ""


def test_the_reason_of_a_selection_goes_with_every_run(data, tmp_path):
    given = [
        "--store",
        str(tmp_path / "store"),
        "--walk-forward",
        "2",
        "--select",
        "return_1",
        "--select-reason",
        "why",
    ]
    assert run(*arguments(data, "lightgbm", *given)).exit_code == 0
    runs = list(ArtifactStore(tmp_path / "store").runs())
    assert [of.features.reason for of in runs] == ["why"] * 3


@pytest.mark.parametrize(
    ("change", "status", "kind", "says"),
    [
        (["--data", "nowhere.csv"], 2, "InvalidOption", "there is no file or folder nowhere.csv"),
        (["--model", "svm"], 2, "InvalidOption", "there is no family 'svm'; there are gru, lightgbm, ppo"),
        (["-c", "n_estimators"], 2, "BadParameter", "NAME=VALUE"),
        (["-c", "n_estimators=0"], 2, "InvalidOption", "n_estimators"),
        (["--select", "retrun_5"], 2, "InvalidInput", "'retrun_5' (did you mean 'return_5'?)"),
        (["--model", "gru", "-c", "layers=3"], 2, "InvalidOption", "a GRU has no setting 'layers'"),
        (["--model", "ppo", "-c", "total_timesteps=3"], 2, "InvalidOption", "(did you mean 'timesteps'?); there are"),
        (["--model", "ppo", "-c", "env.windw=3"], 2, "InvalidOption", "'windw' (did you mean 'window'?); there are"),
        (["--select-reason", "why"], 2, "InvalidOption", "give both, or neither"),
        (["--symbol", "BTC\n"], 2, "InvalidName", "try 'BTC'"),
        (["--walk-forward", "300"], 2, "InvalidInput", "too few for 300 folds"),
        (["--store", "nothing://here"], 9, "EngineUnavailable", "nothing"),
    ],
)
def test_what_a_user_can_mend_is_a_sentence_and_a_status(data, tmp_path, change, status, kind, says):
    done = run(*arguments(data, "lightgbm", "--store", str(tmp_path / "store"), *change, "--json"))
    error = json.loads(done.stderr)["error"]
    assert (done.exit_code, error["type"]) == (status, kind), done.stderr
    assert says in error["message"]
    assert not (tmp_path / "store").exists()
    plain = run(*arguments(data, "lightgbm", "--store", str(tmp_path / "store"), *change))
    assert plain.exit_code == status
    assert says in plain.stderr
    assert "Traceback" not in plain.stderr


def test_the_statuses_are_those_of_the_command_line(data, tmp_path, monkeypatch):
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert errors.TypeRefused in kinds  # of two families, so that their order counts
    for kind in kinds:
        error = kind.__new__(kind)
        monkeypatch.setattr(train_program, "recipe_of", thrower(error))
        done = run(*arguments(data, "lightgbm", "--store", str(tmp_path)), "--json")
        statuses = [status for family, status in program.FAMILIES.items() if isinstance(error, family)]
        assert done.exit_code == (statuses or [2])[0], kind
        assert json.loads(done.stderr)["error"]["type"] == kind.__name__


def thrower(error):
    def fail(_):
        raise error

    return fail


def test_nobody_said_which_store(data, monkeypatch, tmp_path):
    monkeypatch.delenv("ARTIFACT_STORE_URL", raising=False)
    done = run(*arguments(data, "lightgbm"))
    assert (done.exit_code, "which store?" in done.stderr) == (2, True)
    monkeypatch.setenv("ARTIFACT_STORE_URL", str(tmp_path / "store"))
    assert run(*arguments(data, "lightgbm")).exit_code == 0


def test_bad_candles_are_refused_before_anything_is_written(tmp_path):
    bars = make_candles(100)
    path = write_csv(tmp_path / "EURUSD.csv", bars.iloc[::-1])
    done = run(*arguments(path, "lightgbm", "--store", str(tmp_path / "store"), "--json"))
    assert (done.exit_code, json.loads(done.stderr)["error"]["type"]) == (2, "BadCandles")
    assert not (tmp_path / "store").exists()


def test_a_setting_within_a_setting_can_be_changed():
    base = {"env": {"window": 8, "cost": 0.1}, "seed": 1}
    assert merged(base, {"env.window": 3, "seed": 2}) == {"env": {"window": 3, "cost": 0.1}, "seed": 2}
    assert merged(base, {"env": {"price": "bid"}})["env"] == {"window": 8, "cost": 0.1, "price": "bid"}
    assert base["env"]["window"] == 8


def test_a_setting_that_there_is_none_of_is_an_error():
    with pytest.raises(errors.InvalidOption):
        new_adapter(RECIPES["gru"], config={"layers": 3})


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a console of Windows in another way")
@pytest.mark.parametrize("moment", ["training: fold 1", "fold 1 of 2: ", "training: all bars"])
def test_ctrl_c_leaves_complete_runs_only(data, tmp_path, moment):
    store_path = tmp_path / "store"
    command = [sys.executable, "-m", "artifact_models.train", *arguments(data, "lightgbm", "--store", str(store_path))]
    command += [
        "--walk-forward",
        "2",
        "-c",
        "n_estimators=3000",
        "-c",
        "early_stopping_rounds=0",
        "-c",
        "num_leaves=200",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if line.startswith(moment):
                process.send_signal(signal.SIGINT)
                break
        rest = process.communicate(timeout=100)[1]
    assert process.returncode == 130, "".join(told) + rest
    assert "Traceback" not in rest
    assert "Interrupted; what was saved before is whole." in rest
    store = ArtifactStore(store_path)
    if not store_path.exists():
        assert moment == "training: fold 1"
        return
    report = store.verify()
    assert report.ok, report.problems
    saved = sum("saved lightgbm/EURUSD:" in line for line in told)
    runs = list(store.runs("lightgbm/EURUSD")) if saved else []
    assert len(runs) == saved
    assert not saved or store.aliases("lightgbm/EURUSD") == {}


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a console of Windows in another way")
def test_ctrl_c_during_any_save_leaves_a_store_that_verifies(data, tmp_path):
    for attempt in range(2):
        store_path = tmp_path / f"store{attempt}"
        command = [sys.executable, "-m", "artifact_models.train"]
        command += arguments(data, "lightgbm", "--store", str(store_path), "--walk-forward", "80")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("fold 2 of 80"):
                    break
            time.sleep(0.05 * attempt)
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=100)[1]
        assert process.returncode == 130, rest
        store = ArtifactStore(store_path)
        assert store.verify().ok
        assert len(list(store.runs("lightgbm/EURUSD"))) >= 2


class Freed:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def test_a_ctrl_c_that_python_drops_is_noticed_at_the_next_step(capsys):
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    with Interrupt() as interrupt:
        interrupt.check()
        terminal = train_program.Terminal(bars=False, check=interrupt.check)
        report = terminal.stage("fold 1 of 1")
        Freed()
        with pytest.raises(KeyboardInterrupt):
            report(1, 2, {})
        with pytest.raises(KeyboardInterrupt):
            terminal.done("too late")
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before
    assert capsys.readouterr().err == "training: fold 1 of 1\n"


def test_a_ctrl_c_in_the_middle_of_an_import_waits_for_the_next_step(tmp_path, monkeypatch):
    (tmp_path / "slow_to_load.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nwhole = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Interrupt() as interrupt:
        assert importlib.import_module("slow_to_load").whole
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_storage_option_of_digits_stays_text_and_a_setting_is_a_number():
    given = ["key=0123", "anon=true", 'client_kwargs={"region_name": "eu"}', "secret=a=b"]
    with pytest.raises(errors.InvalidOption, match="it was given key"):
        program.open_store("memory://x", options=["key=12"])
    options = program.parse_options(given)
    assert options == {"key": "0123", "anon": True, "client_kwargs": {"region_name": "eu"}, "secret": "a=b"}
    assert train_program.parse_settings(["a=3", "b=x"]) == {"a": 3, "b": "x"}


# ---------------------------------------------------------------- symbols


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("EURUSD=X", "EURUSD=X.csv"),
        ("^GSPC", ";5EGSPC.csv"),
        ("BTC/USDT", "BTC;2FUSDT.csv"),
        ("BTC/USDT:USDT", "BTC;2FUSDT;3AUSDT.csv"),
        ("CON.DE", ";43ON.DE.CSV"),
    ],
)
def test_the_symbols_of_exchanges_are_trained_on(data, tmp_path, symbol, name):
    (tmp_path / "candles").mkdir()
    (tmp_path / "candles" / name).write_bytes(data.read_bytes())
    given = ["--model", "lightgbm", "--symbol", symbol, "--data", str(tmp_path / "candles"), *QUICK["lightgbm"]]
    done = run(*given, "--store", str(tmp_path / "store"), "--json")
    assert done.exit_code == 0, done.stderr
    store = ArtifactStore(tmp_path / "store")
    found = store.get(("lightgbm", symbol))
    assert (found.key.symbol, json.loads(done.stdout)["key"]) == (symbol, str(found.key))
    assert found.training_config["data"]["file"] == name


def test_a_file_of_the_plain_name_comes_first_and_both_are_named_where_there_is_none(tmp_path):
    for name in (";5EGSPC.csv", "^gspc.CSV"):
        (tmp_path / name).write_text("")
    assert file_of("^GSPC", tmp_path).name == "^gspc.CSV"
    with pytest.raises(errors.InvalidOption, match=r"has no EURUSD=X\.csv or EURUSD;3DX\.csv; there is ;5EGSPC"):
        file_of("EURUSD=X", tmp_path)
    with pytest.raises(errors.InvalidOption, match=r"has no BTC;2FUSDT\.csv; "):
        file_of("BTC/USDT", tmp_path)
    with pytest.raises(errors.InvalidName, match="try 'X'"):
        file_of("X\n", tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="no file has a colon in its name there")
def test_a_file_may_be_called_as_a_symbol_is_typed_in_a_reference(tmp_path):
    (tmp_path / "BTC;2FUSDT:USDT.csv").write_text("")
    assert file_of("BTC/USDT:USDT", tmp_path).name == "BTC;2FUSDT:USDT.csv"


def test_a_symbol_that_is_typed_as_in_a_reference_is_refused(data, tmp_path):
    given = ["--model", "lightgbm", "--symbol", "BTC;2FUSDT:USDT", "--data", str(data), "--store", str(tmp_path / "s")]
    done = run(*given)
    assert done.exit_code == 2
    assert "write the symbol itself, 'BTC/USDT:USDT'" in done.stderr
    assert not (tmp_path / "s").exists()


def refused(data, store, *more):
    done = run(*arguments(data, "lightgbm", "--store", str(store), *more))
    assert "training:" not in done.stderr, "it was trained before it was refused"
    return done


def test_a_run_that_could_not_be_saved_is_not_trained(data, tmp_path):
    store = ArtifactStore(tmp_path / "store")
    store.save({"n": 1}, "lightgbm/eurusd")
    done = refused(data, tmp_path / "store")
    assert done.exit_code == 2
    assert "'eurusd' is there, which differs by case only" in done.stderr
    done = refused(data, tmp_path / "store", "--symbol", "x" * 101)
    assert done.exit_code == 2
    assert "100 are allowed" in done.stderr


def test_nor_one_for_a_folder_that_is_no_store_or_whose_alias_is_damaged(data, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    assert refused(data, tmp_path / "notes").exit_code == 3
    store = ArtifactStore(tmp_path / "store")
    store.save({"n": 1}, "lightgbm/EURUSD")
    place = tmp_path / "store" / "lightgbm" / "EURUSD" / "latest.json"
    place.chmod(0o600)
    place.write_text("{}")
    assert refused(data, tmp_path / "store", "--walk-forward", "3").exit_code == 8


def test_nor_one_for_storage_that_takes_nothing(data, tmp_path):
    """As with credentials that may only read."""
    memory = MemoryBackend()
    ArtifactStore(memory).save({"n": 1}, "lightgbm/EURUSD")

    class Reading(FaultyBackend):
        def write(self, key, data, *, when):
            raise errors.AccessDenied("the credentials may not write")

    told = Silent()
    market = Market.read("EURUSD", data)
    with pytest.raises(errors.AccessDenied, match="may not write"):
        pipeline.train_and_save(ArtifactStore(Reading(memory, Faults())), market, train_request(), told)
    assert not told.steps
    assert not told.said
