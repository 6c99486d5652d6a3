"""Processes of ways: started, asked, measured from outside, and ended."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.place import Place

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).resolve().parent / "worker.py"
TOLD = 4_000
"""Characters of what a process wrote to standard error that are repeated where it failed."""


class WayLeftOut(Exception):
    """A way cannot be measured here."""


class WayFailed(Exception):
    """The process of a way ended in an error."""


def environment(*, own: bool) -> dict[str, str]:
    """Return the variables of a process: with bytecode, in one place, and ours with this checkout in sight."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONDONTWRITE"))}
    found.pop("PYTHONPATH", None)
    found["PYTHONPYCACHEPREFIX"] = str(ROOT / "build" / "bytecode")
    if own:
        found["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "models")])
    return found


class Process:
    """A worker: a line in, and lines out. What it writes to standard error is kept, and told where it fails."""

    def __init__(self, python: str, *options: str) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 -- see end
        self._process = subprocess.Popen(
            [python, str(WORKER), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(own=python == sys.executable),
            cwd=ROOT,
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self.usage: resource.struct_rusage | None = None

    def send(self, line: str) -> None:
        """Send one line."""
        with suppress(BrokenPipeError):  # it has ended, and its answer says how
            self.stdin.write(line + "\n")
            self.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            WayLeftOut: it says so.
            WayFailed: there is none.
        """
        line = self.stdout.readline()
        if not line:
            self.end()
            raise WayFailed(f"status {self._process.returncode}: {self._told()}")
        value: dict[str, Any] = json.loads(line)
        if "left_out" in value:
            raise WayLeftOut(value["left_out"])
        return value

    def end(self, *, kill: bool = False) -> None:
        """Wait until it has ended, by itself or killed."""
        with suppress(BrokenPipeError):
            self.stdin.close()
        if kill:
            self._process.kill()
        if self.usage is None:
            _, status, self.usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Give up what is held of it."""
        self.stdout.close()
        self._errors.close()

    def _told(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-TOLD:].strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end(kill=error is not None)
        self.close()


def order(function: str, place: Place, arguments: Mapping[str, Any], turn: int = 0) -> str:
    """Return the first line that a worker reads."""
    return json.dumps({"function": function, "place": vars(place), "arguments": dict(arguments), "turn": turn})


def filled(python: str, function: str, place: Place, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a function in a process of its own, and return the facts that it returned.

    Raises:
        WayLeftOut: the function cannot do its work here.
        WayFailed: it ended in an error.
    """
    with Process(python, "--fill") as process:
        process.send(order(function, place, arguments))
        facts: dict[str, Any] = process.answer()["facts"]
    return facts


def cold(python: str, function: str, place: Place, arguments: Mapping[str, Any], turn: int) -> dict[str, float]:
    """Do one turn in a process of its own, and return the figures of that process, its children included.

    Raises:
        WayLeftOut: the way cannot do its work here.
        WayFailed: it ended in an error.
    """
    began = time.perf_counter()
    with Process(python, "--once") as process:
        process.send(order(function, place, arguments, turn))
        process.answer()
        process.end()
        seconds = time.perf_counter() - began
        assert process.usage is not None
        return {"seconds": seconds, "cpu": process.usage.ru_utime + process.usage.ru_stime}


class Child:
    """A worker that stays. A context manager."""

    def __init__(self, python: str, function: str, place: Place, arguments: Mapping[str, Any]) -> None:
        self._process = Process(python)
        self._process.send(order(function, place, arguments))

    def ready(self) -> None:
        """Wait until the way is prepared.

        Raises:
            WayLeftOut: it cannot be measured here.
            WayFailed: it ended in an error.
        """
        self._process.answer()

    def ask(self, what: str, turn: int) -> dict[str, float]:
        """Let it do a step of a turn, and return its figures.

        Raises:
            WayFailed: it ended in an error.
        """
        self._process.send(json.dumps({"do": what, "turn": turn}))
        return self._process.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.__exit__(kind, error, at)
