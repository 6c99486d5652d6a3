"""Run other programs for `dev.py`: passing their output on, keeping it back, or holding its last line.

Every child gets the caller's environment, so that pip's own variables are honoured.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
STARTED = time.monotonic()
Argument = str | Path


class Failed(Exception):
    """A step cannot go on; the text says why."""


def say(text: str) -> None:
    """Print one line with the time since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", flush=True)


def environment(**extra: str) -> dict[str, str]:
    """Return the caller's environment without what would point a child at another Python's packages."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | extra


def run(command: Sequence[Argument], *, cwd: Path = HERE, **extra: str) -> int:
    """Run a command that prints for itself and return its exit status."""
    return subprocess.run([str(part) for part in command], cwd=cwd, env=environment(**extra), check=False).returncode


def quietly(command: Sequence[Argument], *, cwd: Path = HERE) -> str:
    """Run a command that should have nothing to say, and return its output.

    Raises:
        Failed: with all that it said.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        shown = " ".join(Path(str(part)).name if Path(str(part)).is_absolute() else str(part) for part in command)
        raise Failed(f"{done.stdout}{done.stderr}\nfailed with status {done.returncode}: {shown}")
    return done.stdout


def run_holding_last_line(command: Sequence[Argument], *, cwd: Path = HERE) -> tuple[int, str]:
    """Run a command, pass its output on line by line, and return its status and its last line, not yet printed."""
    held = ""
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if held:
                print(held, end="", flush=True)
            held = line
    return process.returncode, held.rstrip("\n")
