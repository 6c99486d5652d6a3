"""The zoo, tried: ``python dev.py prove zoo [--family NAME] [--json] [--write]``.

Each making is made, saved, loaded in a fresh process without the libraries that loading does not need, and compared bit
for bit; what is refused has to say what to do instead, and that has to work. Prints a table, and ends with 1 if anything
came back changed. ``--write`` puts the result into ``docs/zoo.json`` and makes ``docs/kept.md`` anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence

from tests.proofs.outcome import text_table
from tests.zoo.makings import families, makings
from tests.zoo.trial import Row, as_json, try_out
from tools import zoo as page


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the makings and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--family", action="append", choices=families(), help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/zoo.json and make the page anew")
    options = parser.parse_args(arguments)
    chosen = [(family, making) for family in options.family or families() for making in makings(family)]
    rows = try_out(chosen, lambda text: print(text, file=sys.stderr, flush=True))
    found = as_json(rows)
    if options.write:
        page.write(found)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        report(rows)
    return int(any(row.wrong for row in rows))


def report(rows: Sequence[Row]) -> None:
    """Print a line for each making, what is wrong, and the sums."""
    print(
        text_table(
            [
                {"family": row.family, "making": row.name, "codec": row.codec, "result": row.result or "WRONG"}
                for row in rows
            ]
        )
    )
    for row in rows:
        for text in row.wrong:
            print(f"  {row.family}: {row.name}: WRONG: {text}")
    counts = Counter(row.result or "WRONG" for row in rows)
    print(f"\n{len(rows)} makings: {', '.join(f'{count} {what}' for what, count in counts.items())}")


if __name__ == "__main__":
    sys.exit(main())
