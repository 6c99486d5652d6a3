"""The program and symbols: raw in tables, typable in references, and what it suggests can be copied into the shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from artifact_models.trading import trade
from click.testing import CliRunner

from artifact_store import ArtifactStore, ModelKey
from artifact_store.cli import output
from artifact_store.core.shell import quoted
from tests.integration.e2e.test_cli import Cli, cli  # noqa: F401 -- a fixture

SYMBOLS = ["BTC/USDT:USDT", "EURUSD=X", "M&M.NS", "^GSPC", "Müller AG", "NQ1!"]


@pytest.fixture
def runs(cli: Cli) -> dict[str, str]:  # noqa: F811
    return {symbol: str(cli.store.save({"n": 1}, ("gru", symbol)).ref) for symbol in SYMBOLS}


@pytest.mark.usefixtures("runs")
def test_tables_show_the_symbol_and_documents_both(cli: Cli) -> None:  # noqa: F811
    table = cli("ls").stdout
    validated = cli("validate").stdout
    for symbol in SYMBOLS:
        assert f"\ngru/{symbol}  " in table
        assert f"\ngru/{symbol}  " in validated
    told = {model["symbol"]: model["key"] for model in cli.json("ls")["models"]}
    assert told == {symbol: str(ModelKey("gru", symbol)) for symbol in SYMBOLS}
    for key in told.values():
        assert cli.json("show", key)["key"] == key
        assert cli.json("ls", key)["key"] == key


def test_what_is_printed_can_be_typed_into_a_shell(cli: Cli, runs: dict[str, str]) -> None:  # noqa: F811
    if os.name == "nt":
        pytest.skip("this is about the shells of POSIX systems")
    for symbol, ref in runs.items():
        head = cli("show", ref).stdout.splitlines()[0]
        assert shlex.split(head) == [ref]
        said = cli("promote", ref, "production").stdout
        shown = re.match(r"('[^']*'|\S+) names ", said)
        assert shown is not None, said
        command = (
            f"{shlex.quote(sys.executable)} -m artifact_store.cli --store {shlex.quote(str(cli.url))} show {shown[1]}"
        )
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=True, env={"PYTHONUTF8": "1"}
        )
        assert done.stdout.startswith(head), symbol


def test_remedies_are_quoted(cli: Cli) -> None:  # noqa: F811
    run = cli.store.save({"n": 1}, ("gru", "M&M.NS/x"))
    place = Path(run.url()) / "manifest.json"
    place.chmod(0o600)
    place.unlink()
    (place.parent / "model.json").unlink()
    remedies = [found["remedy"] for found in cli.json_of_any_status("doctor")["findings"]]
    wanted = f"artifact-store rollback {quoted('gru/M&M.NS;2Fx@latest')}"
    assert wanted in remedies
    assert output.ref("gru/BTCEUR@latest") == "gru/BTCEUR@latest"


def test_a_slash_gets_the_exact_spelling(cli: Cli, runs: dict[str, str]) -> None:  # noqa: F811
    status, error = cli.error("show", "gru/BTC/USDT:USDT@latest")
    assert status == 2
    meant = error["message"].rpartition("try ")[2]
    assert cli.json("show", meant.strip("'"))["ref"] == runs["BTC/USDT:USDT"]
    assert "try 'gru/EURUSD=X@latest'" in cli.error("show", "gru/EURUSD=X/latest")[1]["message"]


def test_the_trader_takes_symbols_as_they_are(tmp_path: Path) -> None:
    ArtifactStore(tmp_path / "store").save({"n": 1}, ("gru", "BTC/USDT"))
    given = [
        "--symbols",
        "BTC/USDT,EURUSD=X",
        "--models",
        "gru",
        "--data",
        str(tmp_path),
        "--store",
        str(tmp_path / "store"),
    ]
    done = CliRunner().invoke(trade.trade_command, given)
    assert done.exit_code == 1
    assert "\nBTC/USDT " in done.output
    assert "gru/BTC/USDT: " in done.output
    assert "gru/EURUSD=X: " in done.output
