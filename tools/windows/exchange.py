"""Let Windows and this system read what the other wrote: from folders, from S3, and from copies between the two.

Every step runs ``tests/integration/windows/exchange.py`` in a process of the system that it is about; whatever is read
is compared there with what was saved, and here byte for byte with what the writer saw.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.processes import Failed, quietly, say

SCRIPT = Path("tests") / "integration" / "windows" / "exchange.py"
Place = dict[str, Any]
RunPython = Callable[..., str]
"""Runs a Python with these arguments and returns what it printed."""


def exchange(windows: RunPython, tree: Path, scratch: Path) -> None:
    """Write and read everywhere, and print a line for each step.

    Raises:
        Failed: a system reads something else than the other one wrote.
    """
    from tests.servers import SeaweedServer

    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    pythons: dict[str, RunPython] = {"windows": windows, sys.platform: _here(tree)}
    with SeaweedServer() as server:

        def bucket(prefix: str) -> Place:
            return {"url": server.url(prefix), "engine": "obstore", "storage_options": server.storage_options()}

        for writer, reader in (("windows", sys.platform), (sys.platform, "windows")):
            folder, copied = scratch / writer, scratch / f"{writer}-copied"
            seen = _step(pythons, writer, "write", _folder(writer, folder), "a folder")
            _step(pythons, reader, "check", _folder(reader, folder), f"the folder of {writer}", seen)
            _copy({"url": str(folder)}, bucket(f"{writer}-copy"))
            _step(pythons, reader, "check", bucket(f"{writer}-copy"), f"S3, copied from the folder of {writer}", seen)
            seen = _step(pythons, writer, "write", bucket(writer), "S3")
            _step(pythons, reader, "check", bucket(writer), f"S3, as {writer} wrote it", seen)
            _copy(bucket(writer), {"url": str(copied)})
            _step(pythons, reader, "check", _folder(reader, copied), f"a folder, copied from the S3 of {writer}", seen)
            _step(pythons, writer, "check", _folder(writer, copied), "the same folder, where it was written", seen)


def _folder(system: str, path: Path) -> Place:
    return {"url": f"Z:{path}" if system == "windows" else str(path)}  # Wine's name for the root of this machine


def _here(tree: Path) -> RunPython:
    return lambda *arguments: quietly([sys.executable, *arguments], cwd=tree)


def _step(
    pythons: dict[str, RunPython],
    system: str,
    command: str,
    place: Place,
    what: str,
    wanted: dict[str, str] | None = None,
) -> dict[str, str]:
    output = pythons[system](SCRIPT, command, json.dumps(place))
    found = json.loads(output.strip().splitlines()[-1])
    if (found["system"] == "win32") != (system == "windows"):
        raise Failed(f"{what} was meant to be used on {system}, and was on {found['system']}")
    seen: dict[str, str] = found["objects"]
    if wanted is not None and seen != wanted:
        other = sorted(key for key in seen.keys() | wanted.keys() if seen.get(key) != wanted.get(key))
        raise Failed(f"{system} sees other bytes in {what} than were written: {', '.join(other)}")
    verb = {"write": "wrote", "check": "read"}[command]
    say(f"{system:8} {verb:5} {what}: {len(seen)} objects" + (", byte for byte" if wanted is not None else ""))
    return seen


def _copy(source: Place, target: Place) -> None:
    """Copy every object as it is, as any tool for buckets would."""
    from artifact_store.storage.base import Always
    from artifact_store.storage.open import open_backend

    defaults: Place = {"filesystem": None, "storage_options": None, "engine": "auto", "timeout": 30.0}
    origin, goal = (open_backend(**defaults | place) for place in (source, target))
    for entry in origin.list(""):
        if not entry.key.startswith("_locks/"):
            goal.write(entry.key, b"".join(origin.stream(entry.key, size=entry.size)), when=Always())
