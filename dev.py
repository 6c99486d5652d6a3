"""Commands of this checkout: ``python dev.py demo | test | prove | bench | lint | wheel | floors | newest | pythons``.

Needs a Python of 3.11 or later and nothing else. Everything is installed into ``.venv`` beside this file, in the
versions of ``constraints.txt``, and used again until the requirements change. pip's own configuration and
environment variables (an index, a proxy, a certificate) are honoured. Nothing outside the checkout is changed,
except that ``test --windows`` installs Wine and a cross compiler through apt.

Why: docs/decisions/0017-dev-py-and-pip.md
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.distributions import BUILD, Built, build, install_wheels
from tools.environment import ensure_environment, venv_python
from tools.processes import HERE, Argument, Failed, quietly, run, run_holding_last_line, say
from tools.versions import try_pythons, try_versions

WINDOWS = HERE / "tools" / "windows" / "wine_python.py"
SOURCES = ("artifact_store", "models", "tests", "demo", "benchmarks", "tools", "dev.py")
WHEEL_TESTS = (  # what a wheel could lack: modules, data files, entry points, the command; `wheel --nightly` runs all
    "tests/test_architecture.py",
    "tests/integration/conformance/test_memory.py",
    "tests/integration/conformance/test_local.py",
    "tests/integration/conformance/test_codecs.py",
    "tests/integration/e2e/test_cli.py",
    "tests/integration/e2e/test_documentation.py",
)

SUITE = ("tests/test_architecture.py", "tests/unit", "tests/integration")  # `prove` runs tests/proofs
COVERED = ("core", "features", "canonical", "errors", "wording")  # the unit tests alone reach every line and branch
NIGHTLY = "nightly"

PROOFS = {
    NIGHTLY: ("pytest", "all cases of all tests, with the many examples of Hypothesis, every secret watched"),
    "slice": ("pytest", "a seeded slice of tests/proofs, another each time; --seed N repeats one"),
    "faults": ("tests.proofs.matrix", "every fault at every step of every operation, on every backend"),
    "races": ("tests.proofs.linear", "many writers, three faults in ten, and a checker of what they were told"),
    "publishes": (
        "tests.proofs.publishes",
        "validated saves under faults, and an alias that never names a model that is broken",
    ),
    "watch": ("tests.proofs.watch", "watched models that predict while runs are published and the server is killed"),
    "soak": ("tests.proofs.soak", "many processes, all operations, for long: an oracle, and a plot of what they hold"),
    "space": ("tests.proofs.space", "processes killed during large saves, and the temporary space that they leave"),
    "scale": ("tests.proofs.scale", "a million runs in the catalog index: the time and the memory of a question to it"),
    "cache": ("tests.proofs.cache", "processes on one cache: killed, its files damaged, its disk full; no wrong byte"),
    "fuzz": ("tests.proofs.fuzz", "arbitrary bytes and text, into everything that reads them"),
    "mutants": ("tools.mutants", "small damages to the code, each of which a test has to notice"),
    "zoo": ("tests.zoo", "models and data in many shapes, saved, loaded in a fresh process, compared bit for bit"),
    "scalers": ("tests.proofs.scalers", "preprocessors saved with each scikit-learn, compared bit for bit"),
    "places": ("tests.proofs.places", "each place that a store can live in, started, raced on, killed, read back"),
    "signing": ("tests.proofs.signing", "our signatures, tried by the suite of OpenSSF Model Signing (--suite DIR)"),
    "cluster": ("tests.proofs.cluster", "10,000 verdicts from Dask, Ray and loky while workers and drivers are killed"),
    "replays": ("tests.proofs.replays", "what has hit other stores, done to this one"),
    "agents": ("tests.proofs.agents", "agents that others trained, compared with their own library (--from DIR)"),
}


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
            result = problem or "ok"
        except Failed as error:
            print(error)
            problem = result = "failed"
        self.rows.append((name, time.monotonic() - began, result))
        self.failed |= problem is not None

    def report(self) -> None:
        """Print one line for each step."""
        say("failed:" if self.failed else "all passed:")
        for name, seconds, result in self.rows:
            print(f"  {seconds:6.1f} s  {result:12} {name}", flush=True)


def tool(*arguments: Argument) -> Callable[[], str | None]:
    """Return a step that runs a module of ``.venv``."""
    return lambda: f"status {status}" if (status := run([venv_python(), "-m", *arguments])) else None


def lint(checks: Checks) -> None:
    """Check style, format and types."""
    sources = [name for name in SOURCES if (HERE / name).exists()]
    checks.step("ruff check", tool("ruff", "check", "-q", *sources))
    checks.step("ruff format --check", tool("ruff", "format", "-q", "--check", *sources))
    checks.step("mypy --strict", tool("mypy", "--no-error-summary"))


def wheel_tests(built: Built, *, everything: bool) -> str | None:
    """Run tests against the installed wheel, without the sources in sight."""
    python = install_wheels(built)
    found = quietly([python, "-c", "import artifact_store; print(artifact_store.__file__)"], cwd=built.tree).strip()
    if not Path(found).is_relative_to(BUILD / "venv"):
        raise Failed(f"artifact_store comes from {found}, not from the wheel")
    chosen = ["tests", "--nightly"] if everything else [name for name in WHEEL_TESTS if (built.tree / name).exists()]
    # The programs that came with the dependencies are in the other environment.
    path = os.pathsep.join([str(venv_python().parent), os.environ.get("PATH", "")])
    command: list[Argument] = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers(()), *chosen]
    return f"status {status}" if (status := run(command, cwd=built.tree, PATH=path)) else None


def windows_tests(built: Built, arguments: Sequence[str]) -> str | None:
    """Run the tests marked ``windows`` on a Windows CPython under Wine, against the built wheel."""
    if not WINDOWS.exists():
        raise Failed("the source distribution has no Wine: a checkout of the repository runs these tests")
    wheels: list[Argument] = [part for wheel in built.wheels for part in ("--wheel", wheel)]
    command: list[Argument] = [venv_python(), WINDOWS, *wheels, "--tree", built.tree, *arguments]
    return f"status {status}" if (status := run(command)) else None


# ---------------------------------------------------------------- the commands


def workers(arguments: Sequence[str]) -> list[str]:
    """Three processes (they often wait for servers), unless the caller says otherwise or wants to look inside one.

    Files with fixtures that take long have a group: one process makes them for all of its tests.
    """
    own = any(text in {"--pdb", "--trace", "-s"} or text.startswith(("-n", "--numprocesses")) for text in arguments)
    return [] if own else ["-n", "3", "--dist", "loadgroup"]


def core_is_covered() -> str | None:
    """Print what the unit tests leave out of the core; all of its lines and branches must have run."""
    covered = ",".join(f"artifact_store/{name}/*,artifact_store/{name}.py" for name in COVERED)
    command: list[Argument] = [venv_python(), "-m", "coverage", "report", f"--include={covered}"]
    return "below 100 %" if run([*command, "--fail-under=100"]) else None


def demo(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Install what the demo needs and run it."""
    ensure_environment("demo", fresh=options.fresh)
    say("running the demo")
    return run([venv_python(), HERE / "demo" / "run.py", *arguments])


def test(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Install everything, check everything; pytest's summary is the last line.

    With arguments for pytest, pytest runs alone, and coverage is not judged: it would say nothing about a part.
    """
    ensure_environment("dev", fresh=options.fresh)
    if arguments:
        return selected_tests(options, arguments)
    checks = Checks()
    lint(checks)
    if options.nightly or options.windows:
        distribution_tests(checks, options)
    command: list[Argument] = [
        venv_python(),
        "-m",
        "pytest",
        *workers(()),
        *(f"--cov=artifact_store.{name}" for name in COVERED),
        "--cov-unit",
    ]
    command += ["--cov-report=", *chosen(options), *["--color=yes"] * sys.stdout.isatty()]
    command += ["tests"] if options.nightly else SUITE
    summary = ""

    def suite() -> str | None:
        nonlocal summary
        status, summary = run_holding_last_line(command)
        return f"status {status}" if status else None

    checks.step("all tests" if options.nightly else "tests", suite)
    checks.step("coverage of the core", core_is_covered)
    checks.report()
    print(summary, flush=True)
    return int(checks.failed)


def chosen(options: argparse.Namespace) -> list[str]:
    """Return what tells pytest which cases to run."""
    return ["--nightly"] * options.nightly + [f"--seed={options.seed}"] * (options.seed is not None)


def distribution_tests(checks: Checks, options: argparse.Namespace) -> None:
    """Build what would be published, and test that: here and, if asked for, on Windows."""
    built: list[Built] = []
    checks.step("sdist and wheels", lambda: built.append(build()))
    if not built:
        return
    if options.nightly:
        checks.step("tests against the wheel", lambda: wheel_tests(built[0], everything=False))
    if options.windows:
        checks.step("tests on Windows", lambda: windows_tests(built[0], chosen(options)))


def selected_tests(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run pytest alone with these arguments, here or on Windows."""
    if options.windows:
        return int(windows_tests(build(), [*chosen(options), *arguments]) is not None)
    return run([venv_python(), "-m", "pytest", *workers(arguments), *chosen(options), *arguments])


def prove(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run one of the proofs; further arguments are its own (``--help``). Most print their numbers as a table."""
    ensure_environment("dev", fresh=options.fresh)
    command: list[Argument] = [venv_python(), "-m", PROOFS[options.proof][0]]
    if options.proof == NIGHTLY:
        command += [*workers(arguments), "--nightly", "tests"]
    elif options.proof == "slice":
        command += [*workers(arguments), f"--seed={int(time.time())}", "tests/proofs"]  # a later --seed counts
    return run([*command, *arguments])


def bench(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Measure: further arguments are those of ``benchmarks`` (``-- --help``)."""
    ensure_environment("dev", fresh=options.fresh)
    return run([venv_python(), HERE / "benchmarks", *arguments])


def only_lint(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Check style, format and types."""
    refuse(arguments)
    ensure_environment("dev", fresh=options.fresh)
    checks = Checks()
    lint(checks)
    checks.report()
    return int(checks.failed)


def wheel(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Build both distributions and run tests against the installed wheels."""
    refuse(arguments)
    ensure_environment("dev", fresh=options.fresh)
    checks = Checks()
    checks.step("sdist, wheels, tests against the wheels", lambda: wheel_tests(build(), everything=options.nightly))
    checks.report()
    say(f"in {BUILD / 'dist'}: " + ", ".join(path.name for path in sorted((BUILD / "dist").iterdir())))
    return int(checks.failed)


def versions(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Test with the oldest or the newest versions that the requirements allow; the environment is made anew."""
    return try_versions(options.command, arguments)


def pythons(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Test in each Python that is found; the environments are made anew."""
    del options
    return try_pythons(arguments)


def refuse(arguments: Sequence[str]) -> None:
    """End with an error if there are arguments that would be ignored."""
    if arguments:
        raise Failed(f"unknown arguments: {' '.join(arguments)}")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="dev.py", description=(__doc__ or "").partition("\n\n")[0], allow_abbrev=False)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, work, text in (
        ("demo", demo, "save, load, predict and roll back; further arguments go to demo/run.py"),
        ("test", test, "lint, types, tests; further arguments go to pytest, which then runs alone"),
        ("prove", prove, "print one of the tables of evidence; `prove NAME --help` tells its options"),
        ("bench", bench, "measure beside the floor and beside others; further arguments go to benchmarks (`--list`)"),
        ("lint", only_lint, "style, format and types"),
        ("wheel", wheel, "build both distributions and run tests against the wheels"),
        ("floors", versions, "test with the oldest versions that the requirements allow, installed apart"),
        ("newest", versions, "test with the newest versions that the requirements allow, installed apart"),
        ("pythons", pythons, "run the unit tests that need no torch in each Python that is found"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(work=work, command=name)
        command.add_argument("--fresh", action="store_true", help="make .venv anew")
        if work is prove:
            proofs = command.add_subparsers(required=True, metavar="NAME", dest="proof")
            for proof, (_, about) in PROOFS.items():
                proofs.add_parser(proof, help=about, add_help=False, allow_abbrev=False)  # --help is the proof's own
        if work in {test, wheel}:
            command.add_argument("--nightly", action="store_true", help="all cases of all tests")
        if work is test:
            command.add_argument("--seed", help="another slice of the tests of which a slice runs")
            command.add_argument("--windows", action="store_true", help="also on Windows CPython under Wine (Debian)")
    return top


def keep_bytecode() -> None:
    """Keep bytecode in ``build`` where none is to be written beside the sources: hundreds of processes start."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(BUILD / "bytecode"))


def main() -> int:
    """Run one command and return its exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 -- an older one is told so
        print(f"dev.py needs Python 3.11 or later; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    options, arguments = parser().parse_known_args()
    keep_bytecode()
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
