"""What the commands that look say of a root that is no store: nothing is there, a file, or something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from artifact_store import ArtifactStore
from artifact_store.cli.app import app
from artifact_store.errors import AliasNotFound

pytestmark = pytest.mark.windows

LOOKING = (("ls",), ("ls", "gru/BTCEUR"), ("verify",), ("verify", "gru"), ("validate",), ("validate", "gru"))


def run(store: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(store), *arguments])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A store with a model that has a symbol, and one that has none, two folders down."""
    path = tmp_path / "store" / "models"
    with ArtifactStore(path) as store:
        store.save({"n": 1}, "gru/BTCEUR")
        store.save({"n": 2}, "ppo")
    return path


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_the_folder_above_a_store_is_not_one_and_the_store_is_named(command: tuple[str, ...], models: Path) -> None:
    (models.parent / "notes.txt").write_text("mine", encoding="utf-8")
    for above in (models.parent, models.parent.parent):
        result = run(above, *command)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr.rstrip().endswith(
            f"Name the store itself: {models.parent}/models"
        ) or result.stderr.rstrip().endswith(f"{above}/store/models")
    assert run(models, *command).exit_code == 0


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_a_folder_that_holds_other_things_is_no_store(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "Photos").mkdir()
    (tmp_path / "Photos" / "cat.jpg").write_bytes(b"meow")
    result = run(tmp_path, *command, "--json")
    error = json.loads(result.stderr)["error"]
    assert (result.exit_code, error["type"], "it holds Photos/" in error["message"]) == (3, "NotAStore", True)


@pytest.mark.parametrize("command", [*LOOKING, ("doctor",), ("gc",), ("prune", "--keep-last", "3")], ids=" ".join)
def test_a_file_is_no_store(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print()", encoding="utf-8")
    result = run(tmp_path / "a.py", *command)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "a.py is a file, and a store is a folder" in result.stderr


@pytest.mark.parametrize("exists", [False, True])
def test_where_nothing_is_ls_lists_nothing_and_notes_it(exists: bool, tmp_path: Path) -> None:  # noqa: FBT001
    place = tmp_path / "modles"
    if exists:
        place.mkdir()
    note = f"there is no store at {ArtifactStore(place).url} yet: check the path, or save the first model"
    result = run(place, "ls")
    assert (result.exit_code, result.stderr) == (0, f"Note: {note}\n")
    document = json.loads(run(place, "ls", "--json").stdout)
    assert (document["models"], document["notes"]) == ([], [note])
    assert document["notes"] == json.loads(run(place, "gc", "--json").stdout)["notes"]
    for command in LOOKING[1:]:
        result = run(place, *command)
        assert (result.exit_code, "check the path" in result.stderr) == (3, True), result.output
    assert place.exists() is exists


def test_a_store_beside_the_mistyped_path_is_named(models: Path) -> None:
    result = run(models.parent / "modles", "ls")
    assert result.stdout.startswith("No store is in ")
    assert result.stderr.rstrip().endswith(f"did you mean {str(models)!r}?") or "..." in result.stderr
    with pytest.raises(AliasNotFound, match="save the first model; did you mean '.*'\\?$"):
        ArtifactStore(models.parent / "modles").get("gru/BTCEUR")


def test_a_file_beside_the_mistyped_one_is_named(models: Path) -> None:
    report = models.parent / "report.html"
    report.write_text("fine", encoding="utf-8")
    result = run(models, "put", "reports", str(report.with_name("reprot.html")))
    assert result.exit_code == 2
    assert "did you mean" in result.stderr, result.stderr
    assert run(models, "put", "reports", str(report)).exit_code == 0


def test_a_store_that_lost_its_record_is_read_as_one(models: Path) -> None:
    (models / "_store.json").unlink()
    for command in LOOKING:
        assert run(models, *command).exit_code == 0
    assert json.loads(run(models, "ls", "--json").stdout)["notes"] == []
