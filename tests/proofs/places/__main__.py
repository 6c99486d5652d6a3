"""The matrix of places, run: ``python dev.py prove places [--only NAME] [--json] [--write]``.

Each place is started for real, where it can be had: what it needs is installed into folders below ``build/places``.
Clients in processes of their own find out whether a store opens there for several writers, for one only, or not at all;
they race for run ids and for an alias; they are killed at each storage operation of a save, and in the middle of a large
file; and a large file comes back. What was seen is compared with what ``store.guarantees`` and ``doctor`` predicted.
Prints a table, and ends with 1 if anything contradicts a prediction or a promise. What cannot be had here is a row
that says why. ``--write`` puts the result into ``docs/places.json`` and makes the pages anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from tests.proofs.places import azure, here, remote, s3
from tests.proofs.places.place import Place
from tests.proofs.places.room import NotHere, Room
from tests.proofs.places.trial import Row, Size, try_out
from tools import places as pages

PLACES: tuple[Place, ...] = (*here.PLACES, *s3.PLACES, *azure.PLACES, *remote.PLACES)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    chosen = [place for place in PLACES if not options.only or place.name in options.only]
    rows = []
    for place in chosen:
        say(f"{place.name}: starting")
        rows.append(run(place))
        say(f"{place.name}: {summary(rows[-1])}")
        if options.write:
            write(rows[-1:])
    report(rows, as_json=options.json)
    return 1 if any(row.wrong for row in rows) else 0


def run(place: Place) -> Row:
    """Start the place and try it out; what cannot be had is a row that says why."""
    with Room(place.name, say) as room:
        try:
            opened = place.start(room)
        except NotHere as missing:
            return Row(place.name, place.title, not_run=str(missing))
        return try_out(place, opened, Size())


def write(rows: Sequence[Row]) -> None:
    """Put the rows into the data of the pages, in the order of the places, and make the pages anew."""
    kept = {row["name"]: row for row in pages.measured()} if pages.DATA.exists() else {}
    kept |= {row.name: asdict(row) for row in rows}
    ordered = [kept[place.name] for place in PLACES if place.name in kept]
    pages.DATA.write_text(json.dumps({"places": ordered}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    pages.main()


def summary(row: Row) -> str:
    if row.not_run:
        return f"not run: {row.not_run}"
    if row.wrong:
        return f"WRONG: {'; '.join(row.wrong)}"
    return f"{row.mode}, with gaps that are known: {', '.join(row.gaps)}" if row.gaps else f"{row.mode}, as predicted"


def report(rows: Sequence[Row], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"places": [asdict(row) for row in rows]}, indent=2, ensure_ascii=False))
        return
    table = [["place", "mode", "predicted", "creates", "swaps", "kills", "large file"]]
    for row in rows:
        seen = [row.mode, row.predicted, row.creates, row.swaps, row.kills, row.large]
        table.append([row.name, *(["not run", "", "", "", "", ""] if row.not_run else seen)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        for what, text in [("not run", row.not_run), ("refused", row.refusal), *row.gaps.items()]:
            if text:
                print(f"  {row.name}: {what}: {text}")
        for text in row.wrong:
            print(f"  {row.name}: WRONG: {text}")
    print(f"\n{sum(len(row.wrong) for row in rows)} contradictions")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.places", description=(__doc__ or "").partition("\n")[0]
    )
    names = ", ".join(place.name for place in PLACES)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"only this place; may be repeated: {names}")
    parser.add_argument(
        "--write", action="store_true", help="keep the result in docs/places.json and make the pages anew"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
