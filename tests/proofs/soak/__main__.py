"""Many processes on one store for a long time: ``python -m tests.proofs.soak [--minutes N] [--processes N] [--json]``.

They do everything that a store offers, at random, on the same three models, each on local disk and on SeaweedFS through
both clients. At the end an oracle compares what they were told with what is there, and looks whether any of them has
come to hold more memory, descriptors or threads. Prints a table, writes a plot for each place, and ends with 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore
from tests.proofs.outcome import text_table
from tests.proofs.soak.oracle import Line, Verdict, judge
from tests.proofs.soak.plot import svg
from tests.servers import SeaweedServer

PLACES = ("local", "obstore", "s3fs")
ENDING = 600.0
"""Seconds that an operation which is under way at the end is given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak on each place and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="on each place; 60 is a long one")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--place", action="append", choices=PLACES, help="only this one; may be repeated")
    parser.add_argument("--plots", type=Path, default=Path("build/soak"), help="the folder of the plots")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    found: dict[str, Verdict] = {}
    for name in options.place or PLACES:
        with opened_place(name) as place:
            told = soak(place, options.processes, options.minutes * 60)
            found[name] = judge(ArtifactStore(**place), told)
        options.plots.mkdir(parents=True, exist_ok=True)
        title = f"{options.processes} processes for {options.minutes:g} minutes on one store: {name}"
        (options.plots / f"{name}.svg").write_text(svg(title, told), encoding="utf-8")
    report(found, as_json=options.json)
    return int(any(verdict.violations for verdict in found.values()))


@contextmanager
def opened_place(name: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments that open an empty store of this kind, from any process."""
    with ExitStack() as stack:
        if name == "local":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True))
            yield {"url": f"{folder}/store"}
            return
        server = stack.enter_context(SeaweedServer())
        engine = {"obstore": "obstore", "s3fs": "fsspec"}[name]
        yield {"url": server.url("soak"), "engine": engine, "storage_options": server.storage_options()}


def soak(place: dict[str, Any], processes: int, seconds: float) -> list[list[Line]]:
    """Let so many processes work for so long, and return what each of them was told."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, ExitStack() as stack:
        running = []
        for number in range(processes):
            output = stack.enter_context((Path(folder) / f"{number}.jsonl").open("w", encoding="utf-8"))
            command = [sys.executable, "-m", "tests.proofs.soak.writer", json.dumps(place), str(number), str(seconds)]
            running.append(subprocess.Popen(command, stdout=output))
        try:
            for process in running:
                if process.wait(seconds + ENDING) != 0:
                    raise SystemExit(f"a writer ended with status {process.returncode}; its error is above")
        finally:
            for process in running:
                process.kill()
        names = [Path(folder) / f"{number}.jsonl" for number in range(processes)]
        return [[json.loads(line) for line in name.read_text("utf-8").splitlines()] for name in names]


def report(found: dict[str, Verdict], *, as_json: bool) -> None:
    """Print a row for each place, and below it what is wrong."""
    rows = [
        {
            "place": name,
            "operations": sum(verdict.operations.values()),
            "publishes": verdict.publishes,
            "runs there": verdict.runs,
            "deleted": verdict.deleted,
            "refusals": sum(verdict.errors.values()),
            "growth": "judged" if verdict.growth_judged else "not judged: too short",
            "violations": len(verdict.violations),
        }
        for name, verdict in found.items()
    ]
    if as_json:
        more = {name: {"operations": one.operations, "refusals": one.errors} for name, one in found.items()}
        wrong = {name: one.violations for name, one in found.items()}
        print(json.dumps({"soak": rows, "kinds": more, "violations": wrong}, indent=2))
        return
    print(text_table(rows))
    for name, verdict in found.items():
        print(f"\n{name}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(verdict.errors.items())))
        for violation in verdict.violations[:40]:
            print(f"  {violation}")


if __name__ == "__main__":
    sys.exit(main())
