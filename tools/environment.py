"""The virtual environment of this checkout: made once, in exactly the versions of `constraints.txt`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from tools.processes import HERE, Argument, Failed, quietly, say

VENV = HERE / ".venv"
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)  # dev.py may run in the very .venv that it makes anew
STAMP = VENV / "installed-by-dev.json"
CONSTRAINTS = HERE / "constraints.txt"
BUILD_TOOLS = ("pip", "hatchling", "editables")  # pip too: the one that venv brings can need twice the time
SEEDED = {"setuptools"}  # put there by venv on 3.11, used by nothing


def venv_python(venv: Path = VENV) -> Path:
    """Return the interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def project(folder: str = ".") -> dict[str, Any]:
    """Return what the ``pyproject.toml`` of a distribution says of building and installing it."""
    import tomllib  # an older Python has none, and must come as far as the sentence that asks for a newer one

    tables = tomllib.loads((HERE / folder / "pyproject.toml").read_text(encoding="utf-8"))
    return {"build-system": tables["build-system"], **tables["project"]}


def ensure_environment(extra: str, *, fresh: bool) -> None:
    """Make ``.venv`` hold this checkout with ``extra``, in exactly the versions of the constraints."""
    if VENV.exists() and not STAMP.exists() and not fresh:
        raise Failed(f"{VENV} was not made by dev.py (or not to its end): move it away, or pass --fresh to replace it")
    facts = [sys.version, str(HERE), CONSTRAINTS.read_text(encoding="utf-8"), project(), project("models")]
    wanted = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    try:
        found = json.loads(STAMP.read_text(encoding="utf-8"))
        quietly([venv_python(), "-c", ""])
    except (OSError, ValueError, Failed):  # no environment, or one that does not start
        found = {}
    have = set(found["extras"]) if found.get("fingerprint") == wanted and not fresh else set()
    if have & {extra, "dev"}:  # dev holds everything that the demo needs
        say("using .venv as it is")
        return
    if not have:
        make_venv()
    say(f"installing the requirements of '{extra}' (with torch, in its pinned version; a minute or two, once)")
    pip_install("--no-build-isolation", "-e", f".[{extra}]", "-e", "models[all]")
    compare_with_constraints()
    STAMP.write_text(json.dumps({"fingerprint": wanted, "extras": sorted(have | {extra})}), encoding="utf-8")


def make_venv() -> None:
    """Make an empty ``.venv`` with the build tools; one that dev.py made before is removed."""
    say(f"making .venv with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        quietly([BASE_PYTHON, "-m", "venv", VENV])
    except Failed as error:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Failed(f"{error}\nOn Debian and Ubuntu: apt-get install python3-venv") from error
    STAMP.write_text("{}", encoding="utf-8")
    pip_install(*BUILD_TOOLS)


def pip_install(*requirements: str, venv: Path = VENV) -> None:
    """Install with pip, under the constraints. Bytecode is compiled on first import: most is never imported."""
    constraints: list[Argument] = ["-c", CONSTRAINTS] if venv == VENV else []
    quietly([venv_python(venv), "-m", "pip", "install", "-q", "--no-compile", *constraints, *requirements])


def install_apart(venv: Path, *requirements: str, python: Argument = sys.executable) -> None:
    """Make an environment of its own, anew, with these requirements and both distributions of this checkout.

    What builds the distributions, hatchling and editables, has to be among the requirements.
    """
    shutil.rmtree(venv, ignore_errors=True)
    quietly([python, "-m", "venv", venv])
    pip_install(*requirements, venv=venv)
    pip_install("--no-deps", "--no-build-isolation", "-e", ".", "-e", "models", venv=venv)


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
        Failed: with all differences.
    """
    listed = json.loads(quietly([venv_python(), "-m", "pip", "list", "--format=json", "--exclude-editable"]))
    installed = {normalized(row["name"]): row["version"].partition("+")[0] for row in listed}
    pins = pinned()
    wrong = [
        f"  {name} is {version}, and constraints.txt says {pins.get(name, 'nothing of it')}"
        for name, version in sorted(installed.items())
        if name not in SEEDED and version != pins.get(name)
    ]
    if wrong:
        raise Failed("\n".join(["the environment differs from constraints.txt:", *wrong]))
    say(f"{len(installed)} packages installed, all in the versions of constraints.txt")
