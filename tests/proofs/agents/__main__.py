"""Agents that others trained, as their own library has them and as we read them: ``python -m tests.proofs.agents --from DIR``.

``DIR`` is a folder of zips of stable-baselines3 and sb3-contrib, or a bare git repository of them. Each is read here,
where nothing may be unpickled, and by its own library, in another process; then goes through the codec and back. Prints
a table, and ends with 1 if an agent predicts something else, is refused although its library loads it, is not what the
list of the collection says, or if anything was unpickled; with 2 without a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifact_store.codecs.sb3.policy import codec_of
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer
from artifact_store.errors import ArtifactStoreError
from artifact_store.legacy.formats.sb3 import read_sb3
from artifact_store.legacy.formats.sb3_building import build_old
from artifact_store.legacy.formats.vecnormalize import read_vecnormalize
from tests.proofs.agents.collection import is_the_same, listed, zips
from tests.proofs.outcome import text_table
from tools.environment import pinned
from tools.processes import HERE, Argument, Failed, quietly

HOW = """\
the agents are not part of this repository; clone them and say where they are:

  git clone https://github.com/DLR-RM/rl-trained-agents
  python dev.py prove agents --from rl-trained-agents

What every night runs is cd35bde of it, which the list in tests/proofs/agents/collection.txt is of."""
MISSING = 2
OF_GYM = ("gym", "gym-notices", "shimmy")
"""What stable-baselines3 needs to unpickle the spaces of gym. Only its own process has them."""
GOOD = ("same", "not loaded there", "absent")


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one zip. ``lacks`` is what it does not say exactly, or training cannot go on with."""

    zip: str
    verdict: str
    algorithm: str = ""
    version: str = ""
    lacks: str = ""
    why: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the agents and print what came of them."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.agents", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--from", type=Path, metavar="DIR", dest="folder", help="a folder of zips")
    parser.add_argument("--only", default="", help="only zips with this in their path")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if options.folder is None:
        print(HOW, file=sys.stderr)
        return MISSING
    unpickled = unpicklings()
    try:
        with tempfile.TemporaryDirectory(prefix="artifact-store-agents-") as room:
            found = list(rows(options.folder, options.only, Path(room)))
    except Failed as error:
        print(error, file=sys.stderr)
        return MISSING
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in found], "unpicklings": len(unpickled)}, indent=2))
    else:
        print(text_table([asdict(row) for row in found]))
        for (algorithm, verdict), number in sorted(Counter((row.algorithm, row.verdict) for row in found).items()):
            print(f"{algorithm or '-'}: {number} {verdict}")
        print(f"{len(unpickled)} unpicklings")
    sound = all(row.verdict in GOOD for row in found) and any(row.verdict == "same" for row in found)
    return int(not sound or bool(unpickled))


def unpicklings() -> list[Any]:
    """Return a list in which each name will stand that a pickle looks up in this process from now on."""
    found: list[Any] = []
    sys.addaudithook(lambda event, told: found.append(told) if event == "pickle.find_class" else None)
    return found


def rows(folder: Path, only: str, room: Path) -> Iterator[Row]:
    """Yield a row for each zip of a folder."""
    known, there = listed(), {}
    for place, (path, data, statistics) in enumerate(zips(folder)):
        if only not in path:
            continue
        if data is None:
            yield Row(path, "absent", why="its bytes are not in this copy of the repository")
        elif path in known and not is_the_same(data, known[path]):
            yield Row(path, "other bytes", why="it is not what the list has under this path")
        else:
            there[path] = room / f"{place:04}.zip"
            there[path].write_bytes(data)
            if statistics is not None:
                there[path].with_suffix(".pkl").write_bytes(statistics)
    ask_the_library(room)
    yield from (compared(path, copy) for path, copy in there.items())


def ask_the_library(room: Path) -> None:
    """Let stable-baselines3 load each zip of the room, in another process."""
    path = [str(HERE), os.environ.get("PYTHONPATH", "")]
    if any(b"<class 'gym.spaces" in data_of(copy) for copy in room.glob("*.zip")):
        pins, gym = pinned(), HERE / "build" / "agents-gym"
        wanted = [f"{name}=={pins[name]}" for name in OF_GYM]
        command: list[Argument] = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target"]
        quietly([*command, gym, *wanted])
        path.insert(0, str(gym))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.proofs.agents.own", str(room)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"stable-baselines3 could not be asked:\n{done.stderr[-2000:]}")


def data_of(copy: Path) -> bytes:
    """Return the description in a zip."""
    with zipfile.ZipFile(copy) as archive:
        return archive.read("data") if "data" in archive.namelist() else b""


def compared(path: str, copy: Path) -> Row:
    """Return what came of one zip."""
    told = copy.with_suffix(".txt")
    facts: dict[str, str] = {}
    try:
        agent, facts = read(copy)
    except ArtifactStoreError as error:
        why = f"{type(error).__name__}: {error}"[:200]
        return Row(path, "not loaded there" if told.exists() else "refused", why=why)
    if told.exists():
        return Row(path, "not loaded there", **facts, why=told.read_text(encoding="utf-8")[:100])
    with np.load(copy.with_suffix(".npz"), allow_pickle=False) as expected:
        problem = different(agent, copy, dict(expected))
    return Row(path, "different" if problem else "same", **facts, why=problem)


def read(copy: Path) -> tuple[Any, dict[str, str]]:
    """Return an agent as we read it, and what is said of it."""
    old = read_sb3(copy.read_bytes(), what=copy.name)
    agent, lacks = build_old(old)
    return agent, {"algorithm": old.state.algorithm, "version": old.version or "", "lacks": "; ".join(lacks)[:120]}


def different(agent: Any, copy: Path, expected: Mapping[str, Any]) -> str:
    """Return in what an agent differs from what its library made of it, before or after it went through the codec."""
    parts = {name.partition(".")[2]: value for name, value in expected.items() if name.startswith("observation.")}
    seen = parts or expected["observation"]
    codec, folder = codec_of(type(agent).__name__), copy.with_suffix("")
    folder.mkdir()
    again = codec.decode(folder, "model", codec.encode(agent, folder, "model"))
    for one, words in ((agent, "as it was read"), (again, "as it came back from the codec")):
        actions, _ = one.predict(seen, deterministic=True)
        if not np.array_equal(actions, expected["actions"]):
            return f"its actions differ, {words}"
    if "normalized" in expected:
        statistics: ObservationNormalizer = read_vecnormalize(
            copy.with_suffix(".pkl").read_bytes(), what="its statistics"
        )
        if not np.array_equal(statistics.normalize_obs(seen), expected["normalized"]):
            return "its statistics normalise differently"
    return ""


if __name__ == "__main__":
    sys.exit(main())
