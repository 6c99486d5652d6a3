"""The commands of this checkout: ``python dev.py demo | test | lint | wheel``.

Needs a Python of 3.11 or later and nothing else. Everything is installed into ``.venv`` beside this file, in the
versions of ``constraints.txt``, and used again until the requirements change. pip's own configuration and
environment variables (an index, a proxy, a certificate) are honoured. Nothing outside the checkout is changed,
except that ``test --windows`` installs Wine and a cross compiler through apt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
STAMP = VENV / "installed-by-dev.json"
BUILD = HERE / "build"
CONSTRAINTS = HERE / "constraints.txt"
WINDOWS = HERE / "tools" / "windows" / "wine_python.py"
BUILD_TOOLS = ("pip", "hatchling", "editables")  # pip too: the one that venv brings can need twice the time
SEEDED = {"setuptools"}  # put there by venv on 3.11, used by nothing
SOURCES = ("artifact_store", "models", "tests", "demo", "benchmarks", "tools", "dev.py")
WHEEL_TESTS = ("tests/unit", "tests/conformance/test_memory.py", "tests/conformance/test_local.py")
STARTED = time.monotonic()


class Failed(Exception):
    """A step cannot go on; the text says why."""


def say(text: str) -> None:
    """Print one line with the time since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", flush=True)


# ---------------------------------------------------------------- processes


def environment(**extra: str) -> dict[str, str]:
    """Return the caller's environment without what would point a child at another Python's packages."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PYTHONUTF8": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | extra


def run(command: Sequence[str | Path], *, cwd: Path = HERE, **extra: str) -> int:
    """Run a command that prints for itself and return its exit status."""
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment(**extra), stdin=subprocess.DEVNULL, check=False
    ).returncode


def quietly(command: Sequence[str | Path], *, cwd: Path = HERE) -> str:
    """Run a command that should have nothing to say, and return its output.

    Raises:
        Failed: with all that it said.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        shown = " ".join(Path(str(part)).name if Path(str(part)).is_absolute() else str(part) for part in command)
        raise Failed(f"{done.stdout}{done.stderr}\nfailed with status {done.returncode}: {shown}")
    return done.stdout


def run_holding_last_line(command: Sequence[str | Path], *, cwd: Path = HERE) -> tuple[int, str]:
    """Run a command, pass its output on line by line, and return its status and its last line, not yet printed."""
    held = ""
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if held:
                print(held, end="", flush=True)
            held = line
    return process.returncode, held.rstrip("\n")


# ---------------------------------------------------------------- the environment


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
    say(f"installing the requirements of '{extra}' (no torch; a minute or two, once)")
    editable = ["-e", f".[{extra}]"] + (["-e", "models"] if extra == "dev" else [])
    pip_install("--no-build-isolation", *editable)
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


# ---------------------------------------------------------------- the checks


@dataclass
class Checks:
    """Steps that all run, whatever the earlier ones found; the failures are remembered."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)
    failed: bool = False

    def step(self, name: str, work: Callable[[], str | None]) -> None:
        """Do ``work``; it returns what is wrong in a few words, or nothing."""
        say(name)
        began = time.monotonic()
        try:
            problem = work()
        except Failed as error:
            print(error)
            problem = "failed"
        self.rows.append((name, time.monotonic() - began, problem or "ok"))
        self.failed |= problem is not None

    def table(self) -> str:
        """Return one line for each step."""
        return "\n".join(f"  {seconds:6.1f} s  {result:8} {name}" for name, seconds, result in self.rows)


def tool(*arguments: str | Path) -> Callable[[], str | None]:
    """Return a step that runs a module of ``.venv``."""
    return lambda: f"status {status}" if (status := run([venv_python(), "-m", *arguments])) else None


def lint(checks: Checks) -> None:
    """Check style, format and types."""
    sources = [name for name in SOURCES if (HERE / name).exists()]
    checks.step("ruff check", tool("ruff", "check", "-q", *sources))
    checks.step("ruff format --check", tool("ruff", "format", "-q", "--check", *sources))
    checks.step("mypy --strict", tool("mypy", "--no-error-summary"))


# ---------------------------------------------------------------- the distributions


@dataclass(frozen=True)
class Built:
    """The wheels, and a tree that holds all of the source distribution but the package itself."""

    wheels: tuple[Path, ...]
    tree: Path


def build() -> Built:
    """Build the source distribution, and from it the wheel: so each is known to be complete."""
    dist, unpacked = BUILD / "dist", BUILD / "sdist"
    for old in (dist, unpacked):
        shutil.rmtree(old, ignore_errors=True)
    python = venv_python()
    quietly([python, "-m", "hatchling", "build", "-t", "sdist", "-d", dist])
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (tree,) = unpacked.iterdir()
    for source in (tree, HERE / "models"):
        quietly([python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", dist, source])
    shutil.rmtree(tree / "artifact_store")  # the tests in this tree can only import an installed package
    return Built(tuple(sorted(dist.glob("*.whl"))), tree)


def install_wheels(built: Built) -> Path:
    """Install the wheels into an environment of their own and return its interpreter.

    The dependencies are those of ``.venv``, seen through a path file. What is installed editable in there stays
    invisible, because path files are read in an environment's own directory only.
    """
    venv = BUILD / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    quietly([sys.executable, "-m", "venv", "--without-pip", venv])
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own, shared = (Path(quietly([python, "-c", where]).strip()) for python in (venv_python(venv), venv_python()))
    pip = [venv_python(), "-m", "pip", "--python", venv_python(venv)]
    quietly([*pip, "install", "-q", "--no-deps", "--no-index", *built.wheels])
    (own / "dependencies.pth").write_text(f"{shared}\n", encoding="utf-8")
    return venv_python(venv)


def wheel_tests(built: Built, *, everything: bool) -> str | None:
    """Run tests against the installed wheel, without the sources in sight."""
    python = install_wheels(built)
    found = quietly([python, "-c", "import artifact_store; print(artifact_store.__file__)"], cwd=built.tree).strip()
    if not Path(found).is_relative_to(BUILD / "venv"):
        raise Failed(f"artifact_store comes from {found}, not from the wheel")
    chosen = ["tests", "--long"] if everything else [name for name in WHEEL_TESTS if (built.tree / name).exists()]
    # The programs that came with the dependencies are in the other environment.
    path = os.pathsep.join([str(venv_python().parent), os.environ.get("PATH", "")])
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers(()), *chosen]
    return f"status {status}" if (status := run(command, cwd=built.tree, PATH=path)) else None


def windows_tests(built: Built, arguments: Sequence[str], *, required: bool) -> str | None:
    """Run the tests marked ``windows`` on a Windows CPython under Wine, against the built wheel."""
    flags = () if required else ("--if-possible",)
    wheels = [part for wheel in built.wheels for part in ("--wheel", wheel)]
    command = [venv_python(), WINDOWS, *flags, *wheels, "--tree", built.tree, *arguments]
    return f"status {status}" if (status := run(command)) else None


# ---------------------------------------------------------------- the commands


def workers(arguments: Sequence[str]) -> list[str]:
    """Two processes, unless the caller says otherwise or wants to look inside one."""
    own = any(text in {"--pdb", "--trace", "-s"} or text.startswith(("-n", "--numprocesses")) for text in arguments)
    return [] if own else ["-n", "2"]


def core_is_covered() -> str | None:
    """Print the coverage of the package; all lines and branches of its core must have run."""
    coverage = [venv_python(), "-m", "coverage", "report"]
    run(coverage)
    return "below 100 %" if run([*coverage, "--include=artifact_store/core/*", "--fail-under=100"]) else None


def demo(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Install what the demo needs and run it."""
    ensure_environment("demo", fresh=options.fresh)
    say("running the demo")
    return run([venv_python(), HERE / "demo" / "run.py", *arguments])


def test(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Install everything, check everything; pytest's summary is the last line.

    With arguments for pytest, only pytest runs, and coverage is not judged: it would say nothing about a part.
    """
    ensure_environment("dev", fresh=options.fresh)
    checks = Checks()
    if not arguments:
        lint(checks)
        built: list[Built] = []
        checks.step("building sdist and wheel", lambda: built.append(build()))
        if built:
            checks.step("tests against the wheel", lambda: wheel_tests(built[0], everything=options.long))
        if built and (options.windows or options.windows_if_possible):
            checks.step("tests on Windows", lambda: windows_tests(built[0], (), required=options.windows))
    elif options.windows:
        checks.step("tests on Windows", lambda: windows_tests(build(), arguments, required=True))
        return int(checks.failed)
    cover = [] if arguments else ["--cov", "--cov-report="]
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    long = ["--long"] if options.long else []
    summary = ""

    def suite() -> str | None:
        nonlocal summary
        command = [venv_python(), "-m", "pytest", *colour, *workers(arguments), *cover, *long, *arguments]
        status, summary = run_holding_last_line(command)
        return f"status {status}" if status else None

    checks.step("pytest", suite)
    if cover:
        checks.step("coverage", core_is_covered)
    say("failed:" if checks.failed else "all passed:")
    print(f"{checks.table()}\n{summary}", flush=True)
    return int(checks.failed)


def only_lint(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Check style, format and types."""
    refuse(arguments)
    ensure_environment("dev", fresh=options.fresh)
    checks = Checks()
    lint(checks)
    print(checks.table(), flush=True)
    return int(checks.failed)


def wheel(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Build both distributions and run all tests against the installed wheels."""
    refuse(arguments)
    ensure_environment("dev", fresh=options.fresh)
    checks = Checks()
    checks.step("sdist, wheels, tests against the wheels", lambda: wheel_tests(build(), everything=True))
    print(checks.table(), flush=True)
    say(f"in {BUILD / 'dist'}: " + ", ".join(path.name for path in sorted((BUILD / "dist").iterdir())))
    return int(checks.failed)


def refuse(arguments: Sequence[str]) -> None:
    """End with a sentence if there are arguments that nobody would read."""
    if arguments:
        raise Failed(f"unknown arguments: {' '.join(arguments)}")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="dev.py", description=(__doc__ or "").partition("\n\n")[0], allow_abbrev=False)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, work, text in (
        ("demo", demo, "save, load, predict and roll back; further arguments go to demo/run.py"),
        ("test", test, "lint, types, wheel, all tests; further arguments go to pytest, which then runs alone"),
        ("lint", only_lint, "style, format and types"),
        ("wheel", wheel, "build both distributions and run all tests against the wheels"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(work=work)
        command.add_argument("--fresh", action="store_true", help="make .venv anew")
        if work is test:
            command.add_argument("--long", action="store_true", help="also the tests that take minutes")
            command.add_argument("--windows", action="store_true", help="also on Windows CPython under Wine (Debian)")
            command.add_argument(
                "--windows-if-possible", action="store_true", help="the same, unless Wine cannot be installed here"
            )
    return top


def main() -> int:
    """Run one command and return its exit status."""
    if sys.version_info < (3, 11):
        print(f"dev.py needs Python 3.11 or later; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    options, arguments = parser().parse_known_args()
    work: Callable[[argparse.Namespace, Sequence[str]], int] = options.work
    try:
        return work(options, [text for text in arguments if text != "--"])
    except Failed as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
