"""Run the tests of one mutant in a process of its own, which is forked from one that has everything loaded.

What is inside a function is exchanged in the process that has already collected the tests. What runs when a module is
imported, such as a constant, a default value or a field of a class, is changed before anything imports the module.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest
from hypothesis import HealthCheck, Phase, settings

from tools.mutants.project import Candidate, Module, Project

SEED = 7
_MORE_MEMORY = 4 << 30  # bytes that a mutant may ask for beyond what the tests have loaded
_FIRST = 40  # tests that are asked first, where every test is collected anew
_SLACK = 60.0  # seconds beyond the limits of its tests, after which a whole process is given up

settings.register_profile(
    "mutants",
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

_CACHED = type(functools.lru_cache(len))
Wanted = Mapping[str, float]
"""Tests in the order in which they are asked, each with the seconds that it may take."""


@dataclass(frozen=True)
class Result:
    """What came of a mutant: ``killed``, ``timed out`` or ``survived``, and which test saw it."""

    outcome: str
    by: str = ""


class Ended(Exception):
    """A process without which nothing can be tried has ended."""


class Hooks:
    """What pytest is asked to do otherwise: run the wanted tests only, each with a limit, and tell who failed."""

    def __init__(self, wanted: Wanted, tell: Callable[[Result], None]) -> None:
        self.wanted, self.tell = wanted, tell
        self.failed = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the wanted tests, in the order in which they are wanted."""
        if self.wanted:
            by_id = {item.nodeid: item for item in items}
            items[:] = [by_id[name] for name in self.wanted if name in by_id]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Give up a test that takes far longer than it did without the change, and say so."""

        def give_up(*_: object) -> None:
            self.tell(Result("timed out", item.nodeid))
            os._exit(1)

        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, self.wanted[item.nodeid])
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell about the first failure."""
        if report.failed and not self.failed:
            self.failed = True
            self.tell(Result("killed", report.nodeid))


class Learning:
    """Which lines each test runs, and how long it takes."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self.files = {str(module.path): module.file for module in modules}
        self.cover = coverage.Coverage(data_file=None, config_file=False, include=list(self.files))
        self.seconds: dict[str, tuple[float, float]] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Measure one test."""
        self.cover.switch_context(item.nodeid)
        start, worked = time.monotonic(), time.process_time()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - start, time.process_time() - worked

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what fails without any change."""
        if report.failed:
            self.failed.append(report.nodeid)

    def told(self) -> dict[str, Any]:
        """Return what was learned, as JSON."""
        lines: dict[str, dict[str, list[int]]] = {test: {} for test in self.seconds}
        data = self.cover.get_data()
        for path, file in self.files.items():
            for line, tests in data.contexts_by_lineno(path).items():
                for test in tests:
                    if test in lines:
                        lines[test].setdefault(file, []).append(line)
        told = {
            test: {"took": took, "worked": worked, "lines": lines[test]}
            for test, (took, worked) in self.seconds.items()
        }
        return {"tests": told, "failed": self.failed}


def arguments(project: Project, paths: Sequence[str]) -> list[str]:
    """Return the command line of pytest for these paths."""
    left_out = [f"--ignore-glob={project.root / pattern}" for pattern in project.ignored]
    left_out += [f"--deselect={name}" for name in project.deselected]
    rewritten = "ignore::pytest.PytestAssertRewriteWarning"  # hypothesis is here before pytest is
    options = ["-q", "-x", "-p", "no:cacheprovider", "-o", "timeout=0", "-W", rewritten, "--hypothesis-profile=mutants"]
    return [*paths, *left_out, *options]


def enter(project: Project) -> None:
    """Make this process one in which the project's tests can run."""
    os.chdir(project.root)
    sys.path.insert(0, str(project.root))
    os.environ["OMP_NUM_THREADS"] = "1"


def load_libraries(project: Project) -> None:
    """Import once what every trial would import."""
    for name in project.preload:
        with contextlib.suppress(ImportError):  # a library that is not installed is needed by no test that runs
            importlib.import_module(name)


def silently(log: Path | None = None) -> None:
    """Let nothing that a mutant prints be seen; what the process says that collects the tests goes into a log."""
    nothing = os.open(os.devnull, os.O_RDWR)
    words = nothing if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for descriptor, to in ((0, nothing), (1, words), (2, words)):
        os.dup2(to, descriptor)


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """End this process with the block, and let nothing of its parent run in it."""
    try:
        yield
    except BaseException:  # noqa: BLE001 -- shown, since nobody else will
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def forked(work: Callable[[Callable[[Result], None]], bool], limit: float) -> Result:
    """Run ``work`` in a child with a temporary folder of its own, and return what it told.

    ``work`` returns whether all tests passed. A child that dies counts as killed; one that hangs as timed out.
    """
    folder = tempfile.mkdtemp(prefix="mutant-")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(work, folder, lambda result: _tell(writing, result))
    os.close(writing)
    try:
        return _heard(reading, time.monotonic() + limit)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already, with all that it started
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # as above
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)


def _be_child(work: Callable[[Callable[[Result], None]], bool], folder: str, tell: Callable[[Result], None]) -> None:
    try:
        os.setsid()
        os.environ |= {"TMPDIR": folder, "PYTEST_DEBUG_TEMPROOT": folder}
        tempfile.tempdir = folder
        _bound_memory()
        random.seed(SEED)
        if work(tell):
            tell(Result("survived"))
    finally:
        os._exit(0)


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) if sys.platform == "linux" else 0
    if pages:
        most = pages * resource.getpagesize() + _MORE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _tell(writing: int, result: Result) -> None:
    os.write(writing, json.dumps([result.outcome, result.by]).encode() + b"\n")


def _heard(reading: int, end: float) -> Result:
    """Return the first thing that the child told."""
    heard = b""
    while b"\n" not in heard:
        ready, _, _ = select.select([reading], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return Result("timed out", "the whole process")
        piece = os.read(reading, 1 << 16)
        if not piece:
            return Result("killed", "the process died")
        heard += piece
    outcome, by = json.loads(heard.partition(b"\n")[0])
    return Result(outcome, by)


@dataclass
class Server:
    """A process that has nothing of the project loaded, and beside it one that has collected all tests."""

    project: Project
    candidates: Sequence[Candidate]
    modules: Sequence[Module]
    warm: Connection | None = field(default=None, init=False)
    log: Path = field(default=Path(), init=False)

    def serve(self, jobs: Connection) -> None:
        """Answer jobs until there are no more: ``(number of the mutant, its tests)`` or the files to learn about."""
        try:
            while (job := jobs.recv()) is not None:
                jobs.send(self._ask_warm(job) if isinstance(job, list) else self._try(*job))
            if self.warm is not None:
                self.warm.send(None)
        except Ended as error:
            jobs.send(error)
        except ConnectionError:  # nobody asks any more
            return

    def _try(self, number: int, wanted: Wanted) -> Result:
        candidate = self.candidates[number]
        answer = self._ask_warm((number, wanted)) if candidate.mutant.place.function else None
        if isinstance(answer, Result):
            return answer  # otherwise it runs at import, or its function cannot be exchanged
        first = dict(list(wanted.items())[:_FIRST])  # few files are collected faster than all
        result = forked(partial(self._imported_anew, candidate, first), _limit(first) + _SLACK)
        if result.outcome != "survived" or len(first) == len(wanted):
            return result
        return forked(partial(self._imported_anew, candidate, wanted), _limit(wanted) + _SLACK)

    def _ask_warm(self, job: object) -> Any:
        if self.warm is None:
            self.warm, theirs = Pipe()
            child = os.fork()
            self.log = self.project.kept_in / f"tests-{child or os.getpid()}.log"
            if child == 0:
                self.warm.close()
                silently(self.log)
                with ending():
                    pytest.main(arguments(self.project, self.project.tests), plugins=[Warm(self, theirs)])
            theirs.close()
        try:
            self.warm.send(job)
            return self.warm.recv()
        except (EOFError, ConnectionError):
            raise Ended(f"the process that has collected the tests is no more; {self.log} tells why") from None

    def _imported_anew(self, candidate: Candidate, wanted: Wanted, tell: Callable[[Result], None]) -> bool:
        silently()
        sys.meta_path.insert(0, _Changed(candidate))
        hooks = Hooks(wanted, tell)
        files = list(dict.fromkeys(name.partition("::")[0] for name in wanted))
        status = pytest.main(arguments(self.project, files), plugins=[hooks])
        if status and not hooks.failed:
            tell(Result("killed", "it cannot be imported"))
        return status == 0


class Warm:
    """Instead of running the tests that were collected, fork for each mutant and run some of them there."""

    def __init__(self, server: Server, jobs: Connection) -> None:
        self.server, self.jobs = server, jobs
        self.caches: list[Any] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what needs a server."""
        items[:] = [item for item in items if not self._needs_server(item)]

    def _needs_server(self, item: pytest.Item) -> bool:
        servers = set(self.server.project.servers)
        call = getattr(item, "callspec", None)
        values = {value for value in call.params.values() if isinstance(value, str)} if call else set()
        return bool(servers & {*getattr(item, "fixturenames", ()), *values})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve until there are no more jobs."""
        items = {item.nodeid: item for item in session.items}
        functions = functions_in({str(module.path) for module in self.server.modules})
        self.caches = [each for each in gc.get_objects() if type(each) is _CACHED]
        gc.collect()
        gc.freeze()  # so that a child does not copy what it only looks at
        while (job := self.jobs.recv()) is not None:
            self.jobs.send(
                self._learn(session, job) if isinstance(job, list) else self._try(session, items, functions, *job)
            )
        return True

    def _learn(self, session: pytest.Session, files: list[str]) -> dict[str, Any]:
        """Run the tests of some files (all, if there are none) without any change."""
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            answer = Path(folder) / "learned.json"

            def work(_: Callable[[Result], None]) -> bool:
                learning = Learning(self.server.modules)
                session.config.pluginmanager.register(learning)
                session.config.option.maxfail = 0
                session.items[:] = [item for item in session.items if item.nodeid.partition("::")[0] in files]
                learning.cover.start()
                _run(session)
                learning.cover.stop()
                answer.write_text(json.dumps(learning.told()), encoding="utf-8")
                return True

            ended = forked(work, limit=3600.0)
            if not answer.exists():
                return {"tests": {}, "failed": [f"{', '.join(files)} ({ended.by})"]}
            learned: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return learned

    def _try(
        self,
        session: pytest.Session,
        items: Mapping[str, pytest.Item],
        functions: Mapping[tuple[str, str, int], list[FunctionType]],
        number: int,
        wanted: Wanted,
    ) -> Result | None:
        """Try one mutant; return nothing if its function cannot be exchanged here."""
        candidate = self.server.candidates[number]
        place = candidate.mutant.place.function
        assert place is not None
        code = code_of(candidate.code(), place)
        users = functions.get((str(candidate.module.path), *place), [])
        if code is None or not users or any(len(user.__closure__ or ()) != len(code.co_freevars) for user in users):
            return None

        def work(tell: Callable[[Result], None]) -> bool:
            for user in users:
                user.__code__ = code
            for cache in self.caches:
                if getattr(cache, "__module__", None) == candidate.module.name:
                    cache.cache_clear()
            hooks = Hooks(wanted, tell)
            session.config.pluginmanager.register(hooks)
            session.items[:] = [items[name] for name in wanted]
            _run(session)
            return not hooks.failed

        return forked(work, _limit(wanted) + _SLACK)


def _run(session: pytest.Session) -> None:
    with contextlib.suppress(session.Failed, session.Interrupted):  # the first failure ends it; the hooks have told
        from _pytest.main import pytest_runtestloop  # the loop that ours stands in for

        pytest_runtestloop(session)


def _limit(wanted: Wanted) -> float:
    return sum(wanted.values())


def functions_in(paths: set[str]) -> dict[tuple[str, str, int], list[FunctionType]]:
    """Return every function that these files define, by file, qualified name and first line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for each in gc.get_objects():
        # its real type: some stand-ins of libraries answer with a warning to whoever asks what they are
        if type(each) is FunctionType and each.__code__.co_filename in paths:
            code = each.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(each)
    return found


def code_of(code: CodeType, place: tuple[str, int]) -> CodeType | None:
    """Return the code of one function within that of its module."""
    for part in code.co_consts:
        if isinstance(part, CodeType):
            if (part.co_qualname, part.co_firstlineno) == place:
                return part
            if (found := code_of(part, place)) is not None:
                return found
    return None


class _Changed(SourceFileLoader):
    """Finds one module by name and gives it the code of a mutant."""

    def __init__(self, candidate: Candidate) -> None:
        super().__init__(candidate.module.name, str(candidate.module.path))
        self.changed = candidate.code()

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Answer for the one module."""
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, _name: str) -> CodeType:
        """Return the code of the mutant."""
        return self.changed
