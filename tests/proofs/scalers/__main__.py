"""Save and load preprocessors with each minor release of scikit-learn, compare bits: ``python -m tests.proofs.scalers``.

Each release gets an environment of its own in ``build/scalers``, with the newest of its fixes that pip finds. Those that
``pyproject.toml`` declares have to give the same bits; the three before have to be refused, and what is stored with skops
instead has to give the same bits. Prints a table, and ends with 1 if any result differs, a declared release is refused or
cannot be installed, or an earlier one is not refused.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artifact_store.codecs.sklearn.scalers import _SINCE
from tests.proofs.outcome import text_table
from tools.environment import install_apart, pinned, project, venv_python
from tools.processes import HERE, Failed, quietly

BEFORE = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the releases and print what came of them."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.scalers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--minor", action="append", help="only this one, such as 1.8; may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    rows = [tried(minor) for minor in options.minor or minors()]
    print(json.dumps(rows, indent=2) if options.json else text_table(rows))
    return int(any(row["verdict"] != "ok" for row in rows))


def minors() -> list[str]:
    """Return the declared minor releases that pip finds, and the last ones before them, in order."""
    told = quietly([sys.executable, "-m", "pip", "index", "versions", "scikit-learn"])
    found = {(int(major), int(minor)) for major, minor in re.findall(r"\b(\d+)\.(\d+)\.\d+\b", told)}
    before = sorted(release for release in found if release < _SINCE)[-BEFORE:]
    declared = {*(release for release in found if release >= _SINCE), _SINCE}
    return [f"{major}.{minor}" for major, minor in (*before, *sorted(declared))]


def tried(minor: str) -> dict[str, Any]:
    """Return the row of a release."""
    declared = tuple(map(int, minor.split("."))) >= _SINCE
    row = dict.fromkeys(("numpy", "fitted", "refused", "same", "through skops", "different"), 0)
    row = {"scikit-learn": minor, **row, "verdict": "ok"}
    venv = HERE / "build" / "scalers" / minor
    print(f"installing scikit-learn {minor}", file=sys.stderr, flush=True)
    try:
        install_apart(venv, f"scikit-learn=={minor}.*", *own_requirements())
    except Failed as error:
        print(error, file=sys.stderr)
        return row | {"verdict": "not installed" if declared else "ok", "numpy": "not installed"}
    row |= compared(venv)
    refused = 0 if declared else row["fitted"]
    if row["different"] or not row["fitted"] or row["refused"] != refused:
        row["verdict"] = "wrong"
    return row


def own_requirements() -> list[str]:
    """Return what the package needs itself, skops, and what builds it."""
    pins = pinned()
    return [*project()["dependencies"], *(f"{name}=={pins[name]}" for name in ("skops", "hatchling", "editables"))]


def compared(venv: Path) -> dict[str, Any]:
    """Run the comparison in an environment, and return its counts.

    Raises:
        Failed: it did not come to its end.
    """
    told = quietly([venv_python(venv), "-m", "tests.proofs.scalers.compare"])
    counts: dict[str, Any] = json.loads(told)
    return counts


if __name__ == "__main__":
    sys.exit(main())
