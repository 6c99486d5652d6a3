"""The command line of a cache: what it lists, what it removes, how it ends; and the options that use one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from artifact_store import ArtifactStore, OfflineWarning
from artifact_store.cli.app import app

pytestmark = pytest.mark.windows

URL, KEY = "memory://cli-cache", "gru/BTCEUR"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache that has seen a run, and kept its file."""
    with ArtifactStore(URL, cache=tmp_path / "cache", cache_size="1MB") as store:
        store.save({"n": 1}, KEY)
        assert store.load(KEY) == {"n": 1}
    return tmp_path / "cache"


def ran(*arguments: object, status: int = 0, **environment: str) -> Result:
    result = CliRunner(env=environment).invoke(app, [str(each) for each in arguments])
    assert result.exit_code == status, result.output
    return result


def document(*arguments: object, status: int = 0) -> Any:
    return json.loads(ran(*arguments, "--json", status=status).stdout)


def test_ls_says_what_is_there_how_large_and_under_which_limit(folder: Path) -> None:
    said = ran("cache", "ls", folder).stdout
    assert "model.json" in said
    assert f"{KEY}/latest.json of {URL}" in said
    assert "2 entries" in said
    assert "the limit is 976.6 KiB" in said
    assert ran("cache", "ls", ARTIFACT_STORE_CACHE=str(folder)).stdout == said
    assert ran("--cache", folder, "cache", "ls").stdout == said
    listed = document("cache", "ls", folder)
    assert listed["limit"] == 1_000_000
    assert listed["bytes"] == sum(entry["bytes"] for entry in listed["entries"])
    assert {entry["kind"] for entry in listed["entries"]} == {"file", "document"}
    assert document("--cache-size", "2MB", "cache", "ls", folder)["limit"] == 2_000_000
    assert ran("cache", "ls", folder.parent / "nowhere").stdout == "0 entries, 0 B; no limit.\n"
    assert "which cache" in ran("cache", "ls", status=2).stderr


def test_prune_shows_its_plan_first(folder: Path) -> None:
    assert "--size" in ran("cache", "prune", folder, status=2).stderr
    assert "--apply does it" in ran("cache", "prune", folder, "--older-than", "0s").stdout
    assert len(document("cache", "ls", folder)["entries"]) == 2
    assert ran("cache", "prune", folder, "--older-than", "1d").stdout.endswith("Nothing to do (0 things kept).\n")
    done = document("cache", "prune", folder, "--size", "1", "--apply")
    assert [step["result"] for step in done["steps"]] == ["cleared", "cleared"]
    assert document("cache", "ls", folder)["entries"] == []
    assert "a number of bytes" in ran("cache", "prune", folder, "--size", "much", status=2).stderr


def test_verify_names_and_removes_what_is_damaged_and_ends_with_one(folder: Path) -> None:
    assert ran("cache", "verify", folder).stdout.endswith("all as fetched.\n")
    (damaged,) = (
        Path(entry["path"]) for entry in document("cache", "ls", folder)["entries"] if entry["kind"] == "file"
    )
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    found = document("cache", "verify", folder, status=1)
    assert [entry["path"] for entry in found["damaged"]] == [str(damaged)]
    assert not damaged.exists()
    assert document("cache", "verify", folder)["ok"]


def test_a_command_loads_through_the_cache_and_offline_says_how_old_it_is(folder: Path, tmp_path: Path) -> None:
    online = ("--store", URL, "--cache", folder)
    ran(*online, "get", KEY, tmp_path / "online")
    given = (*online, "--offline")
    shown = ran(*given, "get", KEY, tmp_path / "out")
    assert f"Warning: offline: {KEY}@latest is as this cache saw it" in shown.stderr
    assert next((tmp_path / "out").rglob("manifest.json")).is_file()
    told = json.loads(ran(*given, "show", KEY, "--json").stderr)["warning"]
    assert told["type"] == OfflineWarning.__name__
    assert told["details"]["ref"] == f"{KEY}@latest"
    missing = ran(*given, "get", "gru/ETHEUR", tmp_path / "other", status=6)
    assert "while online" in missing.stderr
    assert "cache=" in ran("--store", URL, "--offline", "show", KEY, status=2).stderr
