"""The family that CONTRIBUTING shows: installed from outside, it is trained, found, loaded, validated and traded."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from artifact_models import BaseModelAdapter, families, load_adapter
from artifact_models.trading import trade, train_program
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli.app import app
from tests.contributing import block
from tests.integration.models.market_data import make_candles, write_csv

pytestmark = pytest.mark.xdist_group("test_contributing")

MODULE = block("python", "class RidgeAdapter")
PROJECT = block("toml", "ridge-family")


def install(site: Path, module: str, text: str, project: str) -> None:
    """Lay a distribution out as an installer does: its module, its name and its entry points."""
    said = tomllib.loads(project)["project"]
    folder = site / f"{said['name'].replace('-', '_')}-{said['version']}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {said['name']}\nVersion: {said['version']}\n")
    lines = [
        line
        for group, entries in said["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / f"{module}.py").write_text(text, encoding="utf-8")


@pytest.fixture
def ridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "ridge_family", MODULE, PROJECT)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "ridge_family", raising=False)


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    write_csv(tmp_path / "candles" / "EURUSD.csv", make_candles(300))
    return ["--store", str(tmp_path / "store"), "--data", str(tmp_path / "candles")]


def test_it_is_one_module_of_forty_lines_at_most() -> None:
    assert len([line for line in MODULE.splitlines() if line.strip()]) <= 40


@pytest.mark.usefixtures("ridge")
def test_it_is_trained_found_loaded_validated_and_traded(where: list[str], tmp_path: Path) -> None:
    trained = CliRunner().invoke(
        train_program.train_command, [*where, "--model", "ridge", "--symbol", "EURUSD", "--walk-forward", "2", "--json"]
    )
    assert (trained.exit_code, trained.stderr) == (0, "")
    said = json.loads(trained.stdout)
    assert (said["published"], said["validated"]) == (True, "sound")
    assert said["best_wf"] is not None
    with ArtifactStore(tmp_path / "store") as store:
        run = store.get("ridge/EURUSD")
        adapter = load_adapter(run)
        assert type(adapter).__name__ == "RidgeAdapter"
        path = tmp_path / "store" / "ridge" / "EURUSD"
        same = BaseModelAdapter.load(path)
        np.testing.assert_array_equal(same.model, adapter.model)
        with pytest.raises(errors.InvalidReference, match="load it with RidgeAdapter"):
            families.adapter_class("lightgbm").load(path)
    validated = CliRunner().invoke(app, ["--store", where[1], "validate", "--strict", "--json"])
    (told,) = json.loads(validated.stdout)["models"]
    assert (validated.exit_code, told["verdict"], told["predictions"]["outcome"]) == (0, "sound", "equal")
    for more in ([], ["--models", "ridge"]):
        traded = CliRunner().invoke(trade.trade_command, [*where, "--symbols", "EURUSD", "--json", *more])
        (signal,) = [of for of in json.loads(traded.stdout)["signals"] if of["model"] == "ridge"]
        assert (signal["error"], signal["kind"], signal["checked"]) == ("", "value", "compared")
        assert signal["run"] == said["best_wf"]


@pytest.mark.usefixtures("ridge")
def test_its_mistakes_are_those_of_every_family(where: list[str]) -> None:
    adapter = families.adapter_class("ridge")()
    table = make_candles(60)[["open", "close"]]
    adapter.fit(table, table["close"].shift(-1).ffill(), list(range(50)), [])
    shuffled = table[["close", "open"]].assign(more=1.0)
    np.testing.assert_array_equal(adapter.predict(shuffled), adapter.predict(table))
    with pytest.raises(errors.FeatureMismatch, match="'close'"):
        adapter.predict(table.rename(columns={"close": "Close"}))
    with pytest.raises(errors.FeatureMismatch):
        adapter.predict(table[["open"]])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("ridge_family:Gone", "cannot be imported: AttributeError"),
        ("no_such_module:Adapter", "cannot be imported: ModuleNotFoundError"),
        ("ridge_family:Recipe", "is not a subclass of BaseModelAdapter with this model_type"),
        ("artifact_models.gru.adapter:GRUAdapter", "is not a subclass of BaseModelAdapter with this model_type"),
    ],
)
def test_a_family_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    install(tmp_path, "ridge_family", MODULE, PROJECT.replace("ridge_family:RidgeAdapter", value))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ridge_family", raising=False)
    with pytest.raises(errors.PredictorUnavailable, match=says):
        families.adapter_class("ridge")


@pytest.mark.usefixtures("ridge")
def test_of_two_distributions_with_one_family_neither_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "other", "other_ridge", MODULE, PROJECT.replace("ridge-family", "other-family"))
    monkeypatch.syspath_prepend(tmp_path / "other")
    with pytest.raises(
        errors.PredictorUnavailable, match="other-family and ridge-family both provide the family 'ridge'"
    ):
        families.adapter_class("ridge")


def test_a_family_without_a_recipe_is_not_trained_on_candles(
    tmp_path: Path, where: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(line for line in MODULE.splitlines() if "recipe = " not in line)
    install(tmp_path / "site", "ridge_family", text, PROJECT)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "ridge_family", raising=False)
    done = CliRunner().invoke(train_program.train_command, [*where, "--model", "ridge", "--symbol", "EURUSD"])
    assert done.exit_code == 2
    assert "RidgeAdapter has no recipe" in done.stderr
