"""The virtual environment of this checkout: made once, in exactly the versions of `constraints.txt`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.processes import HERE, Failed, quietly, say

VENV = HERE / ".venv"
STAMP = VENV / "installed-by-dev.json"
CONSTRAINTS = HERE / "constraints.txt"
BUILD_TOOLS = ("pip", "hatchling", "editables")  # pip too: the one that venv brings can need twice the time
SEEDED = {"setuptools"}  # put there by venv on 3.11, used by nothing


def venv_python(venv: Path = VENV) -> Path:
    """Return the interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def fingerprint() -> str:
    """Return a digest of all that decides what has to be installed, and where."""
    import tomllib  # an older Python has none, and must come as far as the sentence that asks for a newer one

    def requirements(pyproject: Path) -> Any:
        tables = tomllib.loads(pyproject.read_text(encoding="utf-8"))
        return [tables["build-system"], tables["project"]]

    facts = [
        sys.version,
        str(HERE),
        CONSTRAINTS.read_text(encoding="utf-8"),
        requirements(HERE / "pyproject.toml"),
        requirements(HERE / "models" / "pyproject.toml"),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def stamped() -> Mapping[str, Any]:
    """Return what the stamp says, or nothing if there is none or its environment does not start."""
    try:
        found: dict[str, Any] = json.loads(STAMP.read_text(encoding="utf-8"))
        quietly([venv_python(), "-c", ""])
    except (OSError, ValueError, Failed):
        return {}
    return found


def ensure_environment(extra: str, *, fresh: bool) -> None:
    """Make ``.venv`` hold this checkout with ``extra``, in exactly the versions of the constraints."""
    if VENV.exists() and not STAMP.exists() and not fresh:
        raise Failed(f"{VENV} was not made by dev.py (or not to its end): move it away, or pass --fresh to replace it")
    wanted, found = fingerprint(), stamped()
    have = set(found.get("extras", ()))
    if fresh or found.get("fingerprint") != wanted:
        have = set()
        make_venv()
    if have & {extra, "dev"}:  # dev holds everything that the demo needs
        say("using .venv as it is")
        return
    say(f"installing the requirements of '{extra}' (with torch, in its pinned version; a minute or two, once)")
    pip_install("--no-build-isolation", "-e", f".[{extra}]", "-e", "models[all]")
    compare_with_constraints()
    STAMP.write_text(json.dumps({"fingerprint": wanted, "extras": sorted(have | {extra})}), encoding="utf-8")


def make_venv() -> None:
    """Make an empty ``.venv`` with the build tools; one that dev.py made before is removed."""
    say(f"making .venv with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        quietly([sys.executable, "-m", "venv", VENV])
    except Failed as error:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Failed(f"{error}\nOn Debian and Ubuntu: apt-get install python3-venv") from error
    STAMP.write_text("{}", encoding="utf-8")
    pip_install(*BUILD_TOOLS)


def pip_install(*requirements: str) -> None:
    """Install into ``.venv`` under the constraints."""
    # Bytecode is compiled on first import instead: most of what is installed is never imported.
    quietly([venv_python(), "-m", "pip", "install", "-q", "--no-compile", "-c", CONSTRAINTS, *requirements])


def pinned() -> dict[str, str]:
    """Return normalized name → version of the constraints."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalized(name): version for name, version in pins}


def normalized(name: str) -> str:
    """Return the name of a distribution in the one spelling of the packaging standards."""
    return re.sub(r"[-_.]+", "-", name).lower()


def compare_with_constraints() -> None:
    """Show that what is installed is what the constraints say, and nothing else.

    Raises:
        Failed: with a table of all differences.
    """
    listed = json.loads(quietly([venv_python(), "-m", "pip", "list", "--format=json"]))
    installed = {normalized(row["name"]): row["version"] for row in listed if "editable_project_location" not in row}
    pins = pinned()
    wrong = [
        (name, pins.get(name, "not pinned"), version)
        for name, version in sorted(installed.items())
        if name not in SEEDED and version.partition("+")[0] != pins.get(name)
    ]
    if wrong:
        rows = [("package", "constraints.txt", "installed"), *wrong]
        table = "\n".join(f"  {name:30} {want:18} {have}" for name, want, have in rows)
        raise Failed(f"the environment differs from constraints.txt:\n{table}")
    say(f"{len(installed)} packages installed, all in the versions of constraints.txt")
