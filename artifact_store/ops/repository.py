"""What a git repository says about the code in it: the commit, the branch, and whether files were changed since.

Commit and branch are read from git's own files. Only the last question is put to the program ``git``, and never in a
way in which it would run anything that the folder brings along:

- the program is looked for in absolute folders outside of the repository, and gets nothing of the caller's environment
  but where the user's own settings are;
- hooks, the monitor of files, pagers, locks, submodules, and fetching what is missing are switched off;
- filters (``filter.<name>.clean`` and ``process``) are found out first and switched off. If one of them belongs to a
  file, comparing would need it, and the question is left open.

A folder of another user, which git itself refuses (``safe.directory``), is left at that.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"refs/heads/(?!\.)([^\x00-\x20\x7f~^:?*\[\\]{1,200})")
_DRIVER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SMALL: Final = 4 << 10
"""Bytes of ``HEAD``, of a reference or of a file that leads to a folder; a larger file is something else."""
_PACKED: Final = 32 << 20
"""Bytes of all packed references together."""
_CHAIN: Final = 5
"""How many references may lead on to another one."""
_OWN_SETTINGS: Final = ("HOME", "XDG_CONFIG_HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "SYSTEMROOT", "LOCALAPPDATA")
_NOTHING_ELSE: Final = {
    "GIT_OPTIONAL_LOCKS": "0",  # the index is not written, so no hook runs either
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # what older releases obey instead: nothing can be fetched
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_QUIET: Final = (
    *("--no-pager", "-c", "core.fsmonitor="),
    *("-c", f"core.hooksPath={os.devnull}", "-c", "protocol.allow=never"),
)


@dataclass(frozen=True, slots=True)
class Head:
    """What is checked out. The branch is ``None`` where a commit is checked out without one."""

    commit: str | None
    branch: str | None


@dataclass(frozen=True, slots=True)
class Repository:
    """A working tree: its root, git's folder for it, and the folder that all trees of the repository share."""

    root: Path
    folder: Path
    shared: Path

    @classmethod
    def around(cls, place: Path) -> Repository | None:
        """Return the repository around an absolute folder, or ``None``; raises as :meth:`head` does."""
        for root in (place, *place.parents):
            git = root / ".git"
            if git.is_dir():
                return cls(root, git, git)
            if git.is_file():  # a worktree or a submodule
                folder = root / _read(git).removeprefix("gitdir:").strip()
                common = folder / "commondir"
                return cls(root, folder, folder / _read(common).strip() if common.is_file() else folder)
        return None

    def head(self, until: float) -> Head:
        """Return what is checked out. Git is asked, until that moment, where its files are of a form of another time.

        Raises:
            OSError, ValueError: they are not as they should be.
        """
        text = _read(self.folder / "HEAD").strip()
        match = _BRANCH.fullmatch(text.removeprefix("ref:").strip())
        commit = self._commit(text)
        if commit is None and match is None:
            return self._asked(until)
        return Head(commit, match[1] if match is not None else None)

    def _asked(self, until: float) -> Head:
        git = _Git.of(self.root, until)
        if git is None:
            return Head(None, None)
        commit = (git.ask("rev-parse", "--verify", "--quiet", "HEAD") or b"").decode("ascii", "replace").strip()
        branch = (git.ask("symbolic-ref", "--quiet", "HEAD") or b"").decode("utf-8", "replace").strip()
        match = _BRANCH.fullmatch(branch)
        return Head(commit if _COMMIT.fullmatch(commit) else None, match[1] if match is not None else None)

    def _commit(self, text: str) -> str | None:
        for _ in range(_CHAIN):
            if not text.startswith("ref:"):
                return text if _COMMIT.fullmatch(text) else None
            name = text.removeprefix("ref:").strip()
            if not name.startswith("refs/") or ".." in name:
                return None
            loose = [base.joinpath(*name.split("/")) for base in (self.folder, self.shared)]
            found = next((path for path in loose if path.is_file()), None)
            text = self._packed(name) if found is None else _read(found).strip()
        return None

    def _packed(self, name: str) -> str:
        place = self.shared / "packed-refs"
        lines = _read(place, _PACKED).splitlines() if place.is_file() else []
        return next((commit for line in lines for commit, _, own in [line.partition(" ")] if own == name), "")

    def is_changed(self, script: str | None, until: float) -> bool | None:
        """Tell whether tracked files, or the script, differ from the commit, or ``None`` if that is left open.

        ``script`` is the path of the running program from the root: changed if git does not know it. Other files that
        git does not know do not count. Ends at ``until``, a moment of ``time.monotonic``.
        """
        git = _Git.of(self.root, until)
        drivers = None if git is None else _drivers(git)
        if git is None or drivers is None:
            return None
        if drivers:
            filtered = git.ask("ls-files", "-z", "--", *(f":(top,attr:filter={name})" for name in drivers))
            if filtered != b"":
                return None
        off = [f"filter.{name}.{part}" for name in drivers for part in ("clean=", "process=", "required=false")]
        options = [word for setting in off for word in ("-c", setting)]
        status = git.ask("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all", options=options)
        if status is None or status:
            return None if status is None else True
        known = b" " if script is None else git.ask("ls-files", "--", script, options=["--literal-pathspecs"])
        return None if known is None else not known


@dataclass(frozen=True, slots=True)
class _Git:
    """The program, for one repository and until one moment."""

    program: Path
    root: Path
    folders: str
    until: float

    @classmethod
    def of(cls, root: Path, until: float) -> _Git | None:
        own = root.resolve()
        folders = [folder for folder in _search_path() if not folder.resolve().is_relative_to(own)]
        programs = (folder / ("git.exe" if os.name == "nt" else "git") for folder in folders)
        program = next((path for path in programs if path.is_file() and os.access(path, os.X_OK)), None)
        return None if program is None else cls(program, root, os.pathsep.join(map(str, folders)), until)

    def ask(self, *words: str, options: Sequence[str] = ()) -> bytes | None:
        """Return what git answers, or ``None`` if it fails or takes too long."""
        import subprocess

        own = {name: os.environ[name] for name in _OWN_SETTINGS if name in os.environ}
        ceiling = {"GIT_CEILING_DIRECTORIES": str(self.root.parent)}  # no other repository further up
        try:
            done = subprocess.run(  # noqa: S603 -- git, from outside of the folder that it looks at
                [self.program, "-C", self.root, *_QUIET, *options, *words],
                env={**own, **_NOTHING_ELSE, **ceiling, "PATH": self.folders},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=max(self.until - time.monotonic(), 0),
                check=False,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout if done.returncode == 0 else None


def _drivers(git: _Git) -> list[str] | None:
    """Return the names of all filters in the settings, the user's own included, or ``None`` if they are not known."""
    settings = git.ask("config", "--list", "--name-only", "-z")
    if settings is None:
        return None
    keys = [key for key in settings.decode("utf-8", "surrogateescape").split("\0") if key.startswith("filter.")]
    names = {name for key in keys for name, dot, _ in [key.removeprefix("filter.").rpartition(".")] if dot}
    return sorted(names) if all(map(_DRIVER.fullmatch, names)) else None  # others could not be switched off for certain


def _search_path() -> Iterator[Path]:
    """Yield where programs are, without what depends on the folder that one stands in."""
    for text in os.get_exec_path():
        folder = Path(text)
        if folder.is_absolute():
            yield folder


def _read(path: Path, limit: int = _SMALL) -> str:
    """Return the text of a regular file of bounded size; ``OSError`` or ``ValueError`` if it is something else."""
    if not path.is_file():  # a pipe would never end
        raise ValueError(f"{path.name} is not a file")
    with path.open("rb") as source:
        data = source.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path.name} has more than {limit} bytes")
    return data.decode("utf-8")
