"""Completion in a real shell: what Tab makes of a line, in bash behind a terminal."""

import os
import select
import shutil
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore
from artifact_store.cli import completing
from artifact_store.cli.app import app

RUNS = ("20240101_000000", "20240102_000000")
BASH = shutil.which("bash")
POSIX = pytest.mark.skipif(os.name == "nt" or BASH is None, reason="needs bash and a terminal of POSIX")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder in which bash completes, and a store that the project there names."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_CONFIG_HOME", "APPDATA", "ARTIFACT_STORE_URL", "ARTIFACT_STORE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(home)
    with ArtifactStore(home / "models") as store:
        for run_id in RUNS:
            store.save({}, "gru/BTCEUR", run_id=run_id)
        store.save({}, "lightgbm/ETHEUR", run_id=RUNS[0])
    (home / "artifact_store.toml").write_text('[stores.lab]\nurl = "models"\n', encoding="utf-8")
    return home


def typed(home, line):
    """Return what a line becomes after Tab, in a new bash that read what was installed."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="dumb", INPUTRC="/dev/null")
        os.execv(BASH, [BASH, "--rcfile", str(home / ".bashrc"), "-i"])
    try:
        os.write(terminal, b"PS1='READY '\n")
        until(terminal, "\nREADY ")
        os.write(terminal, line.encode() + b"\t")
        time.sleep(0.2)
        os.write(terminal, b"\x01echo '[\x05]'\n")  # to the beginning of the line, and to its end
        return until(terminal, "]\r\nREADY ").rpartition("\r\n[")[2].partition("]")[0]
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def until(terminal, end, seconds=30.0):
    read, before = "", time.monotonic()
    while end not in read:
        assert time.monotonic() - before < seconds, read
        if select.select([terminal], [], [], 0.2)[0]:
            read += os.read(terminal, 4096).decode()
    return read


def asked(*words):
    """Return what a shell is offered for the last word."""
    from click.shell_completion import ShellComplete

    completing.register()
    return [
        item.value for item in ShellComplete(app, {}, "artifact-store", "").get_completions([*words[:-1]], words[-1])
    ]


@POSIX
@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("artifact-store his", "artifact-store history "),
        ("artifact-store show gr", "artifact-store show gru/BTCEUR"),
        ("artifact-store show gru/BTCEUR@", "artifact-store show gru/BTCEUR@latest "),
        ("artifact-store show gru/BTCEUR@la", "artifact-store show gru/BTCEUR@latest "),
        ("artifact-store show gru/BTCEUR:202401", "artifact-store show gru/BTCEUR:2024010"),
        ("artifact-store --store lab show light", "artifact-store --store lab show lightgbm/ETHEUR"),
    ],
)
def test_tab_completes_what_is_in_the_store(home, line, becomes):
    done = CliRunner().invoke(app, ["completion", "--install"])
    assert done.exit_code == 0, done.output
    assert typed(home, line).startswith(becomes)


def test_models_aliases_and_runs_are_offered_where_they_are_meant(home):
    assert asked("show", "") == ["gru/BTCEUR", "lightgbm/ETHEUR"]
    assert asked("show", "gru/BTCEUR") == ["gru/BTCEUR@latest", "gru/BTCEUR"]
    assert asked("diff", "gru/BTCEUR:20240102", "gru/BTCEUR:") == [f"gru/BTCEUR:{run}" for run in reversed(RUNS)]
    assert asked("ls", "gru/BTCEUR") == ["gru/BTCEUR"]
    assert asked("--store", str(home / "none"), "show", "") == []
    assert asked("show", "--store", str(home / "none"), "") == []
    assert asked("--option", "key=1", "show", "") == []
    assert asked("--store", "nowhere://x", "show", "g") == []


def test_the_script_is_printed_or_installed_once(home):
    printed = CliRunner().invoke(app, ["completion", "fish"])
    assert "_ARTIFACT_STORE_COMPLETE" in printed.stdout
    reader = home / ".bashrc"
    reader.write_text("alias ll='ls -l'", encoding="utf-8")
    for _ in range(2):
        assert CliRunner().invoke(app, ["completion", "bash", "--install"]).exit_code == 0
    lines = reader.read_text(encoding="utf-8").splitlines()
    assert lines == ["alias ll='ls -l'", f'source "{home / ".config" / "artifact-store" / "completion.bash"}"']
    assert "compinit" in CliRunner().invoke(app, ["completion", "zsh"]).stdout
    unknown = CliRunner(env={"SHELL": "/bin/tcsh"}).invoke(app, ["completion"])
    assert (unknown.exit_code, "which shell?" in unknown.stderr) == (2, True)
    reader.unlink()
    reader.mkdir()
    refused = CliRunner().invoke(app, ["completion", "bash", "--install"])
    assert (refused.exit_code, "cannot be written" in refused.stderr) == (2, True)
