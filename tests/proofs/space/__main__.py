"""Twelve processes killed during saves of 700 MB, on a local disk and on S3: ``python -m tests.proofs.space``.

Prints a table, and ends with 1 if temporary space is not back to where it was after the next save. The disk needs room
for the product of both numbers, and on S3 as much again for the server.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.proofs.outcome import told
from tests.proofs.space.killed import Result, Room, kill_savers
from tests.servers import SeaweedServer

PLACES = {"local": "", "obstore": "obstore", "s3fs": "fsspec"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill the savers and print what they left."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.space", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--processes", type=int, default=12, help="how many are killed at once")
    parser.add_argument("--megabytes", type=int, default=700, help="how much each of them saves, in MiB")
    parser.add_argument("--place", action="append", choices=PLACES, help="only this one; may be repeated")
    parser.add_argument("--folder", type=Path, help="where all of it happens, unless in the system's temporary folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    rows, violations = [], []
    for name in options.place or PLACES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="artifact-store-", dir=options.folder) as folder:
            result = _run(name, Path(folder), options.processes, options.megabytes)
        violations += [f"{name}: {text}" for text in result.violations]
        rows.append(
            {
                "place": name,
                "killed": options.processes,
                "MiB each": options.megabytes,
                "before": _text(result.before),
                "after the kills": _text(result.killed),
                "after the next save": _text(result.after),
                "unfinished uploads": result.uploads,
                "left by gc": result.left,
                "seconds": round(time.monotonic() - began),
            }
        )
    return told({"space": rows}, violations, as_json=options.json)


def _run(name: str, folder: Path, processes: int, megabytes: int) -> Result:
    temporary = folder / "temporary"
    temporary.mkdir()
    if name == "local":
        return kill_savers({"url": str(folder / "store")}, temporary, processes=processes, megabytes=megabytes)
    with SeaweedServer() as server:
        place = {"url": server.url("space"), "engine": PLACES[name], "storage_options": server.storage_options()}
        return kill_savers({**place, "timeout": 300.0}, temporary, processes=processes, megabytes=megabytes)


def _text(room: Room) -> str:
    return f"{room.files} files, {room.bytes / (1 << 20):,.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
