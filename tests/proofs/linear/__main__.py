"""Linearizability of pointers and uniqueness of runs, in numbers: ``python -m tests.proofs.linear [--long] [--json]``.

Sixteen writers promote, roll back, retire and save on one alias after the other while readers look on and three calls
of ten go wrong, until enough operations have completed; then 32 savers at a time race for one run id. Both on memory,
on a local disk, and on SeaweedFS through obstore and through s3fs. Prints two tables, and ends with 1 if anything has
no explanation. ``--long`` is 10,000 completed operations and 1,000 races per backend (about an hour on two cores).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.proofs.linear.places import BACKENDS, Place, open_place
from tests.proofs.linear.races import Races, run_races
from tests.proofs.linear.rounds import Tally, run_rounds
from tests.proofs.outcome import told
from tests.servers import SeaweedServer

RACES_FOR = 480.0
"""Seconds in which the last race on an S3 server begins, unless all are wanted: losers wait for each other there."""
ON_A_SERVER = frozenset({"obstore", "s3fs"})


@dataclass
class Results:
    """What was found out."""

    tallies: list[Tally] = field(default_factory=list)
    races: list[Races] = field(default_factory=list)

    @property
    def violations(self) -> Iterator[str]:
        for tally in self.tallies:
            yield from (f"{tally.backend}: {kind}: {text}" for kind, text in tally.violations)
        for races in self.races:
            yield from (f"{races.backend}: {text}" for text in races.violations)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {"pointers": [one.row() for one in self.tallies], "creates": [one.row() for one in self.races]}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    results = Results()
    try:
        _run(options, results)
    except KeyboardInterrupt:
        say("interrupted: this is what has been done so far")
        told(results.rows(), list(results.violations), as_json=options.json)
        return 2
    return told(results.rows(), list(results.violations), as_json=options.json)


def _run(options: argparse.Namespace, results: Results) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(SeaweedServer()) if ON_A_SERVER & set(options.backend) else None
        for backend in options.backend:
            if options.operations:
                with open_place(backend, server) as place:
                    say(f"{backend}: {options.operations} operations on {options.rounds} pointers")
                    how = {"operations": options.operations, "rounds": options.rounds, "seed": options.seed}
                    results.tallies.append(run_rounds(place, **how, say=say))
            if options.races:
                with open_place(backend, server) as place:
                    say(f"{backend}: {options.races} races")
                    results.races.append(race(place, options.races, options.seconds))


def race(place: Place, races: int, seconds: float) -> Races:
    """Race on this backend; through s3fs for the manifests alone, since the files before them cost most of the time."""
    if place.backend in ON_A_SERVER:
        commits = place.backend == "s3fs"
        return run_races(place, races=races, seconds=seconds, say=say, commits=commits, lanes=min(16, races))
    return run_races(place, races=races, seconds=float("inf"), say=say, lossy=True, lanes=min(2, races))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.linear", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--long", action="store_true", help="10,000 operations and 1,000 races per backend")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="only this one; may be repeated")
    parser.add_argument("--operations", type=int, help="completed operations per backend")
    parser.add_argument("--races", type=int, help="races per backend")
    parser.add_argument("--rounds", type=int, help="pointers per backend, one after the other")
    parser.add_argument("--seconds", type=float, help="begin no race on a server later than this")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    defaults = (
        {"operations": 10_000, "races": 1000, "rounds": 20, "seconds": float("inf")}
        if options.long
        else {"operations": 400, "races": 10, "rounds": 2, "seconds": RACES_FOR}
    )
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.backend = options.backend or list(BACKENDS)
    return options


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
