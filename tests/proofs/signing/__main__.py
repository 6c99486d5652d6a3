"""OpenSSF Model Signing as its own suite tries it, the method ``key``: ``python -m tests.proofs.signing --suite DIR``.

``DIR`` is a checkout or a bare git repository of the specification (vectors, schemas) or of its conformance suite
(cases); the option may be repeated. Prints a table, and ends with 1 if our signer or verifier does otherwise than the
suite demands, with 2 without a suite.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.proofs.outcome import text_table
from tests.proofs.signing.suite import Row, find, rows, version
from tools.processes import Failed

HOW = """\
the suite is not part of this repository; clone it and say where it is:

  git clone https://github.com/ossf/model-signing-spec
  git clone https://github.com/sampras343/model-signing-conformance
  python dev.py prove signing --suite model-signing-spec --suite model-signing-conformance

The first has the specification, its schemas and vectors; the second the cases, which need the schemas. What every
night runs is a0c91e2 of the first and 114b0f7 of the second."""
MISSING = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the suite and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.signing", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--suite", action="append", type=Path, metavar="DIR", help="a part of it; may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if not options.suite:
        print(HOW, file=sys.stderr)
        return MISSING
    try:
        with tempfile.TemporaryDirectory(prefix="artifact-store-signing-") as room:
            found = list(rows(find(options.suite, Path(room)), Path(room)))
    except Failed as error:
        print(error, file=sys.stderr)
        print(HOW, file=sys.stderr)
        return MISSING
    if options.json:
        print(json.dumps([asdict(row) for row in found], indent=2))
    else:
        print(text_table([shown(row) for row in found]))
        for folder in options.suite:
            print(f"{folder}: {version(folder)}")
        for (method, verdict), number in sorted(Counter((row.method, row.verdict) for row in found).items()):
            print(f"{method}: {number} {verdict}")
    return int(any(row.verdict == "wrong" for row in found) or not any(row.verdict == "ok" for row in found))


def shown(row: Row) -> dict[str, str]:
    """Return a row of the table."""
    return {"case": f"{row.part}: {row.case}", "method": row.method, "verdict": row.verdict, "why": row.why[:100]}


if __name__ == "__main__":
    sys.exit(main())
