"""The command ``cp``: runs from one store to another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore
from artifact_store.bulk.copies import RunOutcome
from artifact_store.cli import output
from artifact_store.cli.app import app
from artifact_store.ops.copy_alias import AliasOutcome
from tests.integration.e2e.test_cli import KEY, Cli

pytestmark = pytest.mark.windows


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A store with two runs of one model and one of another."""
    cli = Cli(tmp_path / "laptop")
    for number in range(2):
        cli.store.save({"n": number}, KEY)
    cli.store.save({"n": 9}, "gbm/ETHEUR")
    return cli


def test_everything_is_copied_and_once(cli: Cli, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    assert cli.json("cp", cli.store.url, other, "--dry-run")["counts"] == {"would copy": 3}
    assert not (tmp_path / "other").exists()
    copied = cli.json("cp", cli.store.url, other)
    assert (copied["ok"], copied["counts"]) == (True, {"copied": 3})
    assert {alias["outcome"] for alias in copied["aliases"]} == {"copied"}
    said = cli("cp", cli.store.url, other).stdout
    assert f"3 runs to {other}: 3 already there (0 B)." in said
    assert ArtifactStore(other).load(KEY) == {"n": 1}


def test_one_alias_is_copied_and_moves_where_that_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    assert cli.json("cp", cli.store.url, other, f"{KEY}@latest")["counts"] == {"copied": 1}
    assert cli.json("cp", cli.store.url, other, KEY, "--no-aliases")["aliases"] == []
    store = ArtifactStore(other)
    store.rollback(KEY)
    cli.store.save({"n": 5}, KEY)
    result = cli("cp", cli.store.url, other, KEY)
    assert result.exit_code == 1
    assert "another history" in result.stdout
    assert "--no-history" in result.stdout
    assert store.load(KEY) == {"n": 0}
    moved = cli.json("cp", cli.store.url, other, KEY, "--alias", "latest", "--no-history")
    assert [alias["outcome"] for alias in moved["aliases"]] == ["published"]
    assert store.load(KEY) == {"n": 5}
    status, _ = cli.error("cp", cli.store.url, other, KEY, "--alias", "latest", "--no-aliases")
    assert status == 2


def test_a_run_of_another_store_becomes_one_of_this_one_by_the_command_of_the_error(cli: Cli, tmp_path: Path) -> None:
    other = ArtifactStore(tmp_path / "other")
    other.save({"n": 1}, "linear")
    run = cli.store.get(KEY)
    run.download(tmp_path / "other" / "gru" / "BTCEUR" / run.run_id)
    there = Cli(tmp_path / "other")
    status, error = there.error("promote", str(run.ref), "best")
    assert status != 0
    assert "`artifact-store cp`" in error["message"]
    assert there.json("cp", cli.store.url, other.url, str(run.ref))["ok"]
    assert there.json("promote", str(run.ref), "best")["run_id"] == run.run_id


def test_a_store_that_is_not_there_is_no_empty_one(cli: Cli, tmp_path: Path) -> None:
    status, error = cli.error("cp", tmp_path / "laptob", tmp_path / "other")
    assert status != 0
    assert f"did you mean '{cli.store.url}'?" in error["message"]


def test_runs_are_exported_verified_without_their_store_and_imported(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "runs.zip"
    made = cli.json("export", KEY, "gbm/ETHEUR@latest", file)
    assert (len(made["runs"]), made["aliases"]) == (3, [f"{KEY}@latest", "gbm/ETHEUR@latest"])
    assert cli("export", KEY, file, "--no-aliases").stdout == f"2 runs in {file} ({_size(cli)}).\n"
    assert "2 runs and 1 alias in" in cli("export", KEY, file).stdout
    alone = Cli(file)
    assert alone.json("verify")["ok"]
    assert [model["key"] for model in alone.json("ls")["models"]] == [KEY]
    assert alone("doctor", "--no-probes").exit_code == 0
    other = Cli(tmp_path / "other")
    assert other.json("import", file, "--dry-run")["counts"] == {"would copy": 2}
    assert other.json("import", file)["counts"] == {"copied": 2}
    assert "2 already there" in other("import", file, KEY).stdout
    assert other.store.load(KEY) == {"n": 1}
    assert other.json("cp", file, tmp_path / "third", "--no-aliases")["counts"] == {"copied": 2}


def _size(cli: Cli) -> str:
    return output.size(sum(entry.size for run in cli.store.runs(KEY) for entry in run.manifest.files))


def test_export_and_its_options_that_do_not_fit(cli: Cli, tmp_path: Path) -> None:
    for wrong in (["runs.tar"], ["runs.zip", "--pickles"], [KEY, "models", "--legacy"]):
        status, _ = cli.error("export", KEY, *wrong)
        assert status == 2
    status, error = cli.error("promote", f"{KEY}@latest", "best", "--store", _exported(cli, tmp_path))
    assert (status != 0, "artifact-store cp" in error["message"]) == (True, True)


def _exported(cli: Cli, folder: Path) -> Path:
    cli.json("export", KEY, folder / "runs.zip")
    return folder / "runs.zip"


PAGE = (Path(__file__).parents[3] / "docs" / "moving.md").read_text(encoding="utf-8")


def test_the_page_about_moving_runs_shows_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        exec(block, names)
    outcomes = set(get_args(RunOutcome)) | set(get_args(AliasOutcome))
    told = set(re.findall(r"^\| `([a-z ]+)` \|", PAGE, re.MULTILINE))
    assert told == outcomes - {"would copy", "gone"}


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTIFACT_STORE_URL", "./store/models")
    store = ArtifactStore("./store/models")
    for key in ("lightgbm/EURUSD", "gru/BTCEUR"):
        store.save({"n": 1}, key)
    commands = re.findall(r"^\$ artifact-store (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        arguments = command.replace("s3://bucket/models", "./bucket").split()
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, result.stderr) == (0, ""), command
