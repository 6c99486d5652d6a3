"""No secret gets out, whatever a test does: what each test that may meet a secret is held to, without asking for it.

Those are the tests of storage and of programs (``WATCHED``) and all others that talk to a server; with ``--nightly`` it
is every test. The servers of the tests have secret keys with one mark in them (``tests/servers/marked.py``), and so have
the headers and encryption keys that tests give as options. Here everything is searched for it, also in base64, that
could carry a secret away:

- each error of the store when it is made and again when it ends: text, ``repr``, attributes, and those of its causes;
- each log record, of every library, those of the store and of s3fs at every level;
- what is written to stdout and stderr, by this process and by those that it runs, and by the command line in it;
- each pickle, and the ``repr`` of each store;
- at the end, every file that the tests left behind.

A test that lets the mark out fails. What a test itself writes into a file of credentials is its own affair.
"""

from __future__ import annotations

import functools
import logging
import mmap
import os
import pickle
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from artifact_store import ArtifactStore
from artifact_store.errors import ArtifactStoreError
from tests.servers.marked import MARKS

WATCHED = tuple(
    Path("tests", *parts)
    for parts in (
        ("integration", "conformance"),
        ("integration", "e2e"),
        ("integration", "storage"),
        ("proofs", "replays"),
    )
)
SERVERS = frozenset(("seaweed", "moto", "proxy"))
OURS = {"credentials", "credentials.json", "credentials.ini"}
"""Files into which tests write a key on purpose: those that AWS's libraries and fsspec read."""
_LOUD = ("artifact_store", "s3fs", "fsspec", "obstore")
_TESTS = Path(__file__).parent
_BYTES = tuple(mark.encode() for mark in MARKS)


class Watch:
    """What was found so far, and where."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.elsewhere: set[Path] = set()
        """The folders of tests that meet no secret."""

    def look(self, where: str, told: str | bytes | None) -> None:
        """Keep the place, and a glimpse of what was told there, if the mark is in it."""
        text = told.decode("latin-1") if isinstance(told, bytes) else told or ""
        for mark in MARKS:
            if (at := text.find(mark)) >= 0:
                self.found.append(f"{where}: …{text[max(0, at - 300) : at + 400]}…")
                return

    def take(self) -> list[str]:
        """Return what was found since the last time."""
        found, self.found = self.found, []
        return found


WATCH = Watch()


def everything_about(error: BaseException | None) -> Iterator[str]:
    """Yield all that an error tells, and all that the errors behind it tell."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield from (str(error), repr(error), repr(error.args), repr(getattr(error, "__dict__", {})))
        yield from getattr(error, "__notes__", ())
        if error.__context__ is not error.__cause__:
            yield from everything_about(error.__context__)
        error = error.__cause__


def told_by(error: ArtifactStoreError) -> Iterator[str]:
    """All that an error tells: to a person, to a log, to a debugger that shows locals, to another process."""
    yield from everything_about(error)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    links = [shown]
    while links:
        link = links.pop()
        yield str(link)
        yield from (
            f"{frame.filename}:{frame.name}: {name}={value}"
            for frame in link.stack
            if not Path(frame.filename).is_relative_to(_TESTS)  # a test has the key, of course
            for name, value in (frame.locals or {}).items()
        )
        links += [further for further in (link.__cause__, link.__context__) if further is not None]
    yield repr(pickle.dumps(error))


def reachable(value: object, depth: int = 6) -> Iterator[object]:
    """The object, and what our own classes hold in any attribute."""
    yield value
    if type(value).__module__.partition(".")[0] != "artifact_store" or not depth:
        return
    for kind in type(value).__mro__:
        for name in (*getattr(value, "__dict__", ()), *getattr(kind, "__slots__", ())):
            part = getattr(value, name, None)
            if not isinstance(part, str | bytes | int | float | type(None)):
                yield from reachable(part, depth - 1)


def silent(*told: str) -> None:
    loud = [text for text in told if any(mark in text for mark in MARKS)]
    assert not loud, loud[:3]


def _dying(error: ArtifactStoreError) -> None:
    """Look at an error when nobody needs it any more: by then its causes are all there."""
    for told in everything_about(error):
        WATCH.look(f"an error, {type(error).__name__}", told)


def _closing(store: ArtifactStore) -> None:
    """Look at a store that nobody needs any more, unless it could not even be opened."""
    if hasattr(store, "_context"):
        WATCH.look("the repr of a store", repr(store))


class _Listener(logging.Handler):
    """Hears every record, whoever writes it."""

    def emit(self, record: logging.LogRecord) -> None:
        WATCH.look(f"the log of {record.name}", self.format(record))


def _looked_at(call: Callable[..., Any], where: str) -> Callable[..., Any]:
    """Return a function whose results are looked at."""

    @functools.wraps(call)
    def looking(*args: Any, **options: Any) -> Any:
        result = call(*args, **options)
        for told in result if isinstance(result, tuple) else (result,):
            WATCH.look(where, told)
        return result

    return looking


def _after(kind: type, where: str, *attributes: str) -> Callable[..., None]:
    """Return an ``__init__`` that looks at attributes of what was made."""
    init = kind.__init__  # type: ignore[misc]

    @functools.wraps(init)
    def made(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        for name in attributes:
            told = getattr(self, name, None)
            WATCH.look(where, told if isinstance(told, str | bytes) else None)

    return made


def is_watched(item: pytest.Item) -> bool:
    """Whether a test may meet a secret."""
    where = item.path.relative_to(item.config.rootpath) if item.path.is_relative_to(item.config.rootpath) else item.path
    return (
        bool(item.config.getoption("--nightly"))
        or any(where.is_relative_to(folder) for folder in WATCHED)
        or not SERVERS.isdisjoint(getattr(item, "fixturenames", ()))
    )


@pytest.fixture(scope="session")
def _listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Listen from the first test that may meet a secret to the last one; at the end, look into the files left over."""
    listener = _Listener(level=0)
    logging.getLogger().addHandler(listener)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.DEBUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArtifactStoreError, "__del__", _dying, raising=False)
        patch.setattr(ArtifactStore, "__del__", _closing, raising=False)
        patch.setattr(pickle, "dumps", _looked_at(pickle.dumps, "a pickle"))
        patch.setattr(
            subprocess.CompletedProcess,
            "__init__",
            _after(subprocess.CompletedProcess, "the output of a process", "stdout", "stderr"),
        )
        patch.setattr(
            click.testing.Result,
            "__init__",
            _after(click.testing.Result, "the output of a command", "stdout_bytes", "stderr_bytes"),
        )
        patch.setattr(pytest.CaptureFixture, "readouterr", _looked_at(pytest.CaptureFixture.readouterr, "the output"))
        yield
    logging.getLogger().removeHandler(listener)
    _look_into_files(tmp_path_factory.getbasetemp())
    assert not (found := WATCH.take()), "\n\n".join(found)


@pytest.fixture(autouse=True)
def _quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the mark got out."""
    if is_watched(request.node):
        request.getfixturevalue("_listening")
    yield
    if not is_watched(request.node) and "tmp_path" in request.node.funcargs:
        WATCH.elsewhere.add(request.node.funcargs["tmp_path"])
    if WATCH.found:
        pytest.fail("a secret got out:\n" + "\n\n".join(WATCH.take()), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Look at what a test that passed has printed; of one that failed, everything may be shown."""
    report: Any = yield
    if report.passed:
        for title, told in report.sections:
            if title.startswith("Captured std") and any(mark in told for mark in MARKS):
                report.outcome, report.longrepr = "failed", f"a secret got out: {title} of {item.nodeid}"
    return report


def _look_into_files(root: Path) -> None:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder, name) not in WATCH.elsewhere]
        for name in names:
            if name not in OURS:
                _look_into_file(Path(folder, name))


def _look_into_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for at in filter(lambda at: at >= 0, map(content.find, _BYTES)):
                    WATCH.look(f"the file {path}", content[max(0, at - 200) : at + 200])
    except OSError:  # taken away, or made unreadable by a test: no other program reads it either
        return
