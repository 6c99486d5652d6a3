"""Watch for real unpicklings: in this process, and in processes of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Watched = Callable[..., "subprocess.CompletedProcess[str]"]

_HOOK = """
import os, sys
def hook(event, arguments, _path=os.environ["WATCHED"]):
    if event == "pickle.find_class":
        with open(_path, "a") as log:
            log.write(repr(arguments) + "\\n")
sys.addaudithook(hook)
"""
_seen: list[list[Any]] = []
_installed: list[bool] = []


@contextmanager
def nothing_unpickled() -> Iterator[None]:
    """Fail if anything in this process looks up a class or a function for a pickle meanwhile."""
    if not _installed:
        sys.addaudithook(_note)  # for good: Python has no way to take one off
        _installed.append(True)
    found: list[Any] = []
    _seen.append(found)
    try:
        yield
    finally:
        _seen.remove(found)
    assert found == []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        for found in _seen:
            found.append(arguments)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Run the command line in a process of its own, and fail if that unpickles anything."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(_HOOK)
    log = site / "unpickled"
    environment = {**os.environ, "PYTHONPATH": str(site), "WATCHED": str(log), "OMP_NUM_THREADS": "1"}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "artifact_store.cli", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert not log.exists(), log.read_text()
        return done

    probe = [sys.executable, "-c", "import pickle, collections; pickle.loads(pickle.dumps(collections.OrderedDict()))"]
    subprocess.run(probe, env=environment, check=True)
    assert "OrderedDict" in log.read_text()  # it does notice
    log.unlink()
    return run
