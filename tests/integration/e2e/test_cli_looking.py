"""``du``, ``watch``, ``get ... -``, and what a person is told while the storage does not answer."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli import session as sessions
from artifact_store.cli.app import app
from artifact_store.cli.session import Session
from artifact_store.storage.retry import RetryPolicy, with_retry

RUNS = ("20240101_000000", "20240102_000000")


def ran(*arguments, status=0, **environment):
    result = CliRunner(env=environment).invoke(app, [str(each) for each in arguments])
    assert result.exit_code == status, result.output
    return result


def document(*arguments, status=0):
    return json.loads(ran(*arguments, "--json", status=status).stdout)


@pytest.fixture
def folder(tmp_path):
    """A store with two models, of which one has its type alone as the name, and a deleted run."""
    with ArtifactStore(tmp_path / "models") as store:
        for run_id in RUNS:
            store.save({"n": run_id}, "gru/BTCEUR", run_id=run_id)
        store.save(b"x" * 50_000, "gru", run_id=RUNS[0])
        store.delete(f"gru/BTCEUR:{store.save({}, 'gru/BTCEUR', publish='never').run_id}").apply()
    return tmp_path / "models"


# ---------------------------------------------------------------- du


def on_disk(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "_locks" not in path.parts)


def test_du_counts_what_every_model_takes_and_what_belongs_to_none(folder):
    with ArtifactStore(folder) as store:
        found = {str(usage.key): usage for usage in store.usage()}
        files = {str(key): sum(run.size for run in store.runs(key)) for key in store.models()}
        assert [str(usage.key) for usage in store.usage()] == ["gru", "gru/BTCEUR", "None"]
        assert {name: usage.size for name, usage in found.items()} == {**files, "None": 0}
        assert {name: usage.runs for name, usage in found.items()} == {"gru": 1, "gru/BTCEUR": 2, "None": 0}
        assert sum(usage.stored for usage in found.values()) == on_disk(folder)
        assert store.usage("gru") == [found["gru"]]
        assert store.usage("gru/BTCEUR") == [found["gru/BTCEUR"]]
        assert store.usage("gru/NONE") == []
    said = document("--store", folder, "du")
    assert said["models"][0]["key"] == "gru"
    assert said["total"]["stored"] == on_disk(folder)
    table = ran("--store", folder, "du").stdout.splitlines()
    assert table[0].split() == ["model", "runs", "files", "stored", "objects"]
    assert table[-1].split()[:2] == ["total", "3"]
    assert "(of the store)" in "".join(table)


def test_du_refuses_what_is_no_store(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    ran("--store", tmp_path, "du", status=3)


# ---------------------------------------------------------------- watch


def test_watch_prints_each_run_that_the_alias_comes_to_name(folder):
    told = [sys.executable, "-c", "import os; print(os.environ['ARTIFACT_STORE_REF'], flush=True)"]
    options = ["--every", "0.1", "--count", "2", "--json", "--", *told]
    watching = subprocess.Popen(
        [sys.executable, "-m", "artifact_store", "--store", folder, "watch", "gru/BTCEUR", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        first = json.loads(watching.stdout.readline())
        assert (first["alias"], first["ref"]) == ("gru/BTCEUR@latest", f"gru/BTCEUR:{RUNS[1]}")
        assert watching.stdout.readline().strip() == f"gru/BTCEUR:{RUNS[1]}"
        with ArtifactStore(folder) as store:
            store.promote(f"gru/BTCEUR:{RUNS[0]}", "latest")
        rest, _ = watching.communicate(timeout=60)
        assert json.loads(rest.splitlines()[0])["ref"] == rest.splitlines()[1] == f"gru/BTCEUR:{RUNS[0]}"
        assert watching.returncode == 0
    finally:
        watching.kill()


def test_watch_says_that_a_command_failed_and_goes_on(folder):
    done = ran("--store", folder, "watch", "gru/BTCEUR", "--count", "1", "--", sys.executable, "-c", "exit(3)")
    assert f"gru/BTCEUR:{RUNS[1]}" in done.stdout
    assert "ended with status 3" in done.stderr
    ran("--store", folder, "watch", f"gru/BTCEUR:{RUNS[0]}", "--count", "1", status=2)
    ran("--store", folder, "watch", "gru/NONE", "--count", "1", status=3)


def test_watch_passes_over_a_run_whose_files_are_not_as_they_were_saved(folder):
    with ArtifactStore(folder) as store:
        run = store.save(b"y" * 100, "gru/BTCEUR", publish="never")
        path = next(Path(folder, "gru", "BTCEUR", run.run_id).glob("model*"))
        path.write_bytes(b"z" * 100)
        store.promote(run, "latest")
    assert ran("--store", folder, "watch", "gru/BTCEUR", "--count", "1", status=8).stdout == ""


# ---------------------------------------------------------------- get - and colours


def test_one_file_goes_to_stdout_as_it_was_saved(folder):
    shown = subprocess.run(
        [sys.executable, "-m", "artifact_store", "--store", folder, "get", "gru", "-", "--file", "model.bin"],
        check=True,
        capture_output=True,
    )
    assert shown.stdout == b"x" * 50_000
    assert shown.stderr == b""
    assert "one --file" in ran("--store", folder, "get", "gru", "-", status=2).stderr
    assert "one --file" in ran("--store", folder, "get", "gru", "-", "--component", "model", status=2).stderr


def test_no_byte_of_a_damaged_file_goes_to_stdout(folder):
    path = next(Path(folder, "gru", RUNS[0]).glob("model*"))
    path.write_bytes(b"x" * 49_999 + b"y")
    assert ran("--store", folder, "get", "gru", "-", "--file", "model.bin", status=8).stdout == ""


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal of POSIX")
def test_no_color_is_heeded_at_a_terminal(folder):
    import pty

    def shown(**environment):
        master, terminal = pty.openpty()
        command = [sys.executable, "-m", "artifact_store", "--store", folder, "show", "gru"]
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        subprocess.run(command, check=True, stdout=terminal, env={**clean, **environment})
        os.close(terminal)
        text = b""
        try:
            while part := os.read(master, 65536):
                text += part
        except OSError:  # Linux says the end so
            pass
        finally:
            os.close(master)
        return text

    assert b"\x1b[" in shown()
    assert b"\x1b[" not in shown(NO_COLOR="1")


# ---------------------------------------------------------------- waiting


def failing(times):
    left = iter(range(times))

    def read():
        if next(left, None) is not None:
            raise errors.Unreachable("nobody there")
        return "here"

    return read


def test_a_repeated_call_is_told_of_after_two_seconds(caplog):
    now = [0.0]
    retry = RetryPolicy(
        seconds=60.0, first=1.0, clock=lambda: now[0], sleep=lambda wait: now.__setitem__(0, now[0] + wait)
    )
    caplog.set_level(logging.DEBUG, "artifact_store.retry")
    assert with_retry(failing(4), retry) == "here"
    told = [record.levelname for record in caplog.records]
    assert told == sorted(told)  # DEBUG before INFO
    assert {"DEBUG", "INFO"} == set(told)
    assert "attempt 5 after" in caplog.records[-1].getMessage()
    assert "of 60 s" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("person", [True, False])
def test_a_person_is_told_what_is_waited_for_and_a_machine_is_not(monkeypatch, capsys, person):
    monkeypatch.setattr(Session, "shows_progress", property(lambda _: person))
    now = [0.0]
    retry = RetryPolicy(
        seconds=60.0, first=3.0, clock=lambda: now[0], sleep=lambda wait: now.__setitem__(0, now[0] + 3)
    )
    before = logging.getLogger(sessions.RETRIES)
    with Session().heard():
        with_retry(failing(2), retry)
    told = capsys.readouterr().err
    assert ("Waiting: the storage does not answer: attempt 3 after 6 of 60 s" in told) is person
    assert before.handlers == []
    with_retry(failing(2), retry)
    assert capsys.readouterr().err == ""
