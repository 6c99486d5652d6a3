"""Which code makes a run, and who runs it and where: gathered once a process, beside the upload, and never a failure.

What takes longer than :data:`LIMIT` is left out, as is what is not known. Nothing of the folder that the process
stands in is run. No absolute path, no remote address and no variable of the environment is recorded.
"""

from __future__ import annotations

import platform
import sys
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from artifact_store.errors import InvalidOption
from artifact_store.ops.imported import Distributions
from artifact_store.process import Process, this_process
from artifact_store.storage.workers import Workers

if TYPE_CHECKING:
    from artifact_store.ops.repository import Repository

LIMIT: Final = 0.5
"""Seconds that a save waits for all of it together, from the moment on at which its draft got its first part."""
PARTS: Final = ("git", "script", "user", "host", "packages")
"""What can be chosen: ``packages`` are all imported distributions instead of those that the codecs depend on."""
_LONGEST: Final = 240
_INSTALLED: Final = {"site-packages", "dist-packages"}


def parse_parts(chosen: object) -> frozenset[str]:
    """Return the parts to record: all, none, or those that are named; ``InvalidOption`` if there is no such part."""
    if isinstance(chosen, bool):
        return frozenset(PARTS if chosen else ())
    if isinstance(chosen, str) or not isinstance(chosen, Collection) or not all(part in PARTS for part in chosen):
        raise InvalidOption(f"provenance is True, False, or some of {', '.join(PARTS)}, not {chosen!r}")
    return frozenset(chosen)


class _Process:
    """What this process has gathered: its distributions, and for each working directory what else there is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.distributions = Distributions()
        self.found: dict[str, tuple[dict[str, Any], Future[None]]] = {}


_processes: dict[Process, _Process] = {}
"""What a fork brought along may be held by a thread that the child does not have."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """What is being gathered for one save. Both methods wait no longer than until :data:`LIMIT` is over."""

    _parts: frozenset[str]
    _process: _Process
    _found: Mapping[str, Any]
    _pending: tuple[Future[Any], ...]
    _until: float

    def provenance(self) -> dict[str, Any]:
        """Return ``git``, ``script``, ``user`` and ``host``, as far as they were asked for and are known."""
        self._wait()
        return {name: value for name, value in dict(self._found).items() if name in self._parts}

    def packages(self) -> dict[str, str]:
        """Return the versions of all imported distributions, or nothing if not all that are installed are known."""
        self._wait()
        installed = self._process.distributions
        return installed.imported(dict(sys.modules)) if "packages" in self._parts and installed.complete else {}

    def _wait(self) -> None:
        """Wait for what is pending; what is not known by then is left out, and a failure stays where it is."""
        wait(self._pending, max(self._until - time.monotonic(), 0))


def begin(workers: Workers, parts: frozenset[str]) -> Gathering:
    """Start gathering, as far as this process has not done so before in this working directory."""
    process = _processes.setdefault(this_process(), _Process())
    place = _working_directory()
    pending: list[Future[Any]] = []
    with process.lock:
        if place not in process.found:
            found: dict[str, Any] = {}
            process.found[place] = found, workers.submit(lambda: _describe(found, place))
        pending.append(process.found[place][1])
    if "packages" in parts and not process.distributions.complete:
        pending.append(workers.submit(lambda: process.distributions.read_until(time.monotonic() + LIMIT)))
    return Gathering(parts, process, process.found[place][0], tuple(pending), time.monotonic() + LIMIT)


def _describe(found: dict[str, Any], place: str) -> None:
    """Put into ``found`` what there is, the quickest first. Takes about as long as :data:`LIMIT` at most."""
    until = time.monotonic() + LIMIT
    _put(found, "host", platform.node())
    with suppress(OSError, KeyError, ImportError):  # the user has no name
        import getpass

        _put(found, "user", getpass.getuser())
    with suppress(OSError, ValueError):  # git's files are damaged, or being replaced
        _describe_code(found, place, until)


def _describe_code(found: dict[str, Any], place: str, until: float) -> None:
    main = _Main.of(sys.modules.get("__main__"))
    repository = _repository(main, place)
    script = main.path_in(repository)
    _put(found, "script", main.text if script is None else script)
    if repository is None:
        return
    head = repository.head(until)
    git = {name: value for name, value in (("commit", head.commit), ("branch", head.branch)) if _is_plain(value)}
    found["git"] = git
    changed = repository.is_changed(script, until)
    if changed is not None:
        found["git"] = {**git, "dirty": changed}


def _repository(main: _Main, place: str) -> Repository | None:
    """Return the repository of the program, or that of the working directory where the program lies in none."""
    from artifact_store.ops.repository import Repository

    folders = [] if main.path is None or main.installed else [main.path.parent]
    found = (Repository.around(folder) for folder in [*folders, *([Path(place)] if place else [])])
    return next((each for each in found if each is not None), None)


@dataclass(frozen=True, slots=True)
class _Main:
    """The program that runs: its file, and the module as which it was started. A notebook has neither."""

    path: Path | None
    module: str

    @classmethod
    def of(cls, main: object) -> _Main:
        place = getattr(main, "__file__", None)
        module = getattr(getattr(main, "__spec__", None), "name", None) or ""
        return cls(Path(place) if isinstance(place, str) else None, module.removesuffix(".__main__"))

    @property
    def installed(self) -> bool:
        """Whether it came with a distribution, or with Python."""
        import sysconfig

        if self.path is None:
            return False
        schemes = sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")
        scripts = {Path(sysconfig.get_path("scripts", scheme)) for scheme in schemes}
        standard = Path(sysconfig.get_path("stdlib"))
        return bool(_INSTALLED & set(self.path.parts)) or self.path.parent in scripts or standard in self.path.parents

    @property
    def text(self) -> str:
        """What names it where it has no path in a repository: ``-m module``, or the name of its file alone."""
        return f"-m {self.module}" if self.module else "" if self.path is None else self.path.name

    def path_in(self, repository: Repository | None) -> str | None:
        """Return its path from the root of a repository, with ``/``, if it lies in there."""
        if repository is None or self.path is None or self.installed or repository.root not in self.path.parents:
            return None
        return self.path.relative_to(repository.root).as_posix()


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return ""


def _put(found: dict[str, Any], name: str, value: str) -> None:
    if value and _is_plain(value):
        found[name] = value


def _is_plain(value: str | None) -> bool:
    return value is not None and len(value) <= _LONGEST and value.isprintable()
