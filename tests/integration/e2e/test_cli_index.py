"""The command ``index``, and the questions that ``ls`` takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from artifact_store import errors
from tests.integration.e2e.test_cli import KEY, Cli

pytestmark = pytest.mark.windows


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A store with four runs of two models."""
    cli = Cli(tmp_path / "store")
    for number in range(3):
        cli.store.save(
            {"n": number}, KEY, metrics={"sharpe": number * 2 % 3, "loss": float("nan")}, tags={"fold": number}
        )
    cli.store.save({"n": 9}, "gbm/ETHEUR", metrics={"sharpe": 9})
    return cli


def test_an_index_is_made_and_kept_up(cli: Cli) -> None:
    assert cli.json("index")["generation"] is None
    assert "There is no index yet." in cli("index").stdout
    assert "4 saves and deletions since then" in cli("index").stdout
    made = cli.json("index", "--rebuild")
    assert made["written"]["rows"] == 4
    assert (made["generation"], made["rows"], made["unsettled"]) == (1, 4, 0)
    assert all(Path(file).exists() for file in made["files"])
    assert cli.json("index", "--compact")["written"]["generation"] is None
    assert "Nothing was written: nothing has happened" in cli("index", "--compact").stdout
    cli.store.save({"n": 1}, KEY)
    assert cli.json("index")["unsettled"] == 1
    assert cli.json("index", "--compact")["generation"] == 2
    assert "written" in cli("index").stdout


def test_ls_asks_questions_with_an_index_and_without(cli: Cli) -> None:
    for _ in range(2):
        runs = cli.json("ls", KEY)["runs"]
        assert [run["metrics"] for run in runs] == [{"sharpe": n, "loss": "NaN"} for n in (1, 2, 0)]
        found = cli.json("ls", KEY, "--order-by", "-sharpe", "--limit", 2)["runs"]
        assert [run["metrics"]["sharpe"] for run in found] == [2, 1]
        found = cli.json("ls", KEY, "--where", "sharpe < 2", "--where", "tags.fold = 0")["runs"]
        assert [(run["tags"], run["files"]) for run in found] == [({"fold": "0"}, 2)]
        assert {model["key"]: model["runs"] for model in cli.json("ls")["models"]} == {KEY: 3, "gbm/ETHEUR": 1}
        cli.store.index.compact()
    status, error = cli.error("ls", KEY, "--where", "sharpe")
    assert (status, error["code"]) == (2, "invalid-option")


def test_a_damaged_index_is_told_and_a_rebuild_puts_it_right(cli: Cli) -> None:
    cli.json("index", "--rebuild")
    (block,) = (cli.url / "_index" / "blocks").glob("*.jsonl.gz")
    block.write_bytes(b"damaged")
    result = cli("index")
    assert result.exit_code == 1
    assert "There is no index that can be read." in result.stdout
    assert "Problem:" in result.stderr
    assert json.loads(cli("index", "--json").stdout)["problems"]
    assert len(cli.json("ls", KEY)["runs"]) == 3
    (command,) = set(re.findall(r"`artifact-store ([^`]+)`", result.stderr))
    assert cli.json(*command.split())["problems"] == []
    assert len(list(cli.store.runs(index="only"))) == 4


def test_where_there_is_no_index_the_command_that_makes_one_is_told(cli: Cli) -> None:
    with pytest.raises(errors.NotFound) as caught:
        list(cli.store.runs(index="only"))
    (command,) = re.findall(r"`artifact-store ([^`]+)`", str(caught.value))
    assert cli(*command.split()).exit_code == 0
    assert len(list(cli.store.runs(index="only"))) == 4


def test_where_there_is_no_store_no_index_is_made(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "nothing")
    result = cli("index", "--rebuild")
    assert (result.exit_code, result.stdout) == (0, "There is no index yet.\n")
    assert "Note:" in result.stderr
    assert not cli.url.exists()
