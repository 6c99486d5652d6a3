"""What lies where in an old tree: its runs, the files of each, and what its ``latest`` and ``best_wf`` name.

Looks at names and at the text of ``latest``; opens no model. Nothing outside the tree is ever looked at: symbolic links
are not followed, and of a pointer's text only the last component counts, looked up among the runs beside it. What
cannot be understood is a problem of that place and never ends the scan.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from artifact_store.core.keys import STORE_MARKER
from artifact_store.core.names import LATEST, ModelKey, RunId
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Conflict,
    ContainerNotFound,
    Corrupt,
    InvalidName,
    NotAStore,
    Unavailable,
    Unsupported,
)
from artifact_store.legacy.trees.file_names import (
    BEST_WF,
    BESTS,
    FAMILIES,
    METADATA,
    MODEL,
    SUFFIXES,
    as_run_id,
    beside_of,
    in_folder,
    loose_name,
    symbol_of,
)
from artifact_store.legacy.trees.notes import MAX_NOTES, parse_notes
from artifact_store.problems import Problem
from artifact_store.storage.local.folders import is_link

_POINTERS = ("latest", "latest_pointer.txt")
_RUN_LIKE = re.compile(r"[0-9]{8}_[0-9]{6}(?:_.*)?")
_MAX_POINTER = 4 << 10
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class OldRun:
    """One trained model of an old tree.

    ``source`` is its folder, or its file where it has none, relative to the folder of the models and with slashes on
    every platform. ``run_id`` is ``None`` where the tree has no id. ``files`` maps what a file is for to where it
    lies; ``left`` names those of its folder that mean nothing here. ``alias`` is set where the file itself is one.
    """

    key: ModelKey
    run_id: RunId | None
    source: str
    files: Mapping[str, Path]
    left: tuple[str, ...] = ()
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class OldAlias:
    """What a name of the old tree stands for: one of its runs, or an error that says why none."""

    key: ModelKey
    name: str
    source: str
    run: OldRun | None
    error: ArtifactStoreError | None = None


@dataclass(slots=True)
class Tree:
    """An old tree: ``root`` is the folder that holds the model types."""

    root: Path
    runs: list[OldRun] = field(default_factory=list)
    aliases: list[OldAlias] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def keys(self) -> list[ModelKey]:
        """Every model of which the tree has a run or a name, in order."""
        return sorted({run.key for run in self.runs} | {alias.key for alias in self.aliases})


def scan(path: str | Path) -> Tree:
    """Return what an old tree holds. ``path`` is its folder ``models``, the folder above, or that of one model type.

    Raises:
        ContainerNotFound: there is no such folder.
        NotAStore: it holds no old models.
    """
    given = Path(path)
    if not given.is_dir():
        raise ContainerNotFound(f"{given} is not a folder; name the old tree's folder 'models', or the one above it")
    models, only = _models_folder(given)
    if (models / STORE_MARKER).is_file():
        raise NotAStore(f"{models} is a store already, not an old tree: ArtifactStore opens it as it is")
    scanner = _Scanner(Tree(models))
    scanner.models(only)
    tree = scanner.finished()
    if not (tree.runs or tree.aliases or tree.problems):
        raise NotAStore(
            f"{given} holds no old models: no folder {', '.join(FAMILIES)} with runs in it, no best_wf_* file. "
            "Name the old tree's folder 'models', or the one above it"
        )
    return tree


def read_file(path: Path, *, limit: int) -> bytes:
    """Return what is in a file of an old tree; a symbolic link is not followed.

    Raises:
        Corrupt: it is not a regular file, or has more than ``limit`` bytes.
        AccessDenied, Unavailable: the operating system does not give it.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if _is_link(path):
            raise Corrupt(f"{path.name} is a symbolic link, which is not followed; put the file itself there")
        with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 -- Path.open cannot take the flags
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Corrupt(f"{path.name} is not a regular file")
            data = file.read(min(about.st_size, limit) + 1)  # so much is allocated, whatever is there
    except PermissionError as error:
        raise AccessDenied(f"{path} may not be read: {error.strerror}") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise Corrupt(f"{path.name} has more than the {limit:,} bytes that are read of such a file")
    return data


def _is_link(path: Path) -> bool:
    """Return whether this is a symbolic link, or what Windows has besides: a junction."""
    try:
        return is_link(path.lstat())
    except FileNotFoundError:
        return False


def _models_folder(given: Path) -> tuple[Path, str | None]:
    """Return the folder that holds the model types, and the only type that is meant where one was named."""
    if _holds_models(given):
        return given, None
    below = given / "models"
    if below.is_dir() and not _is_link(below) and _holds_models(below):
        return below, None
    named = given.resolve()
    if named.name in FAMILIES:
        return named.parent, named.name
    return given, None


def _holds_models(folder: Path) -> bool:
    return any(
        (entry.name in FAMILIES and entry.is_dir())
        or (entry.name == BESTS and entry.is_dir() and any(loose_name(file.name) for file in _entries(entry.path)))
        or (entry.is_file() and loose_name(entry.name))
        for entry in _entries(folder)
    )


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


class _Scanner:
    """One walk over a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._pointers: list[tuple[ModelKey, Path]] = []
        self._latest: dict[ModelKey, OldAlias] = {}
        self._reported: set[Path] = set()

    def models(self, only: str | None) -> None:
        """Walk through the folder of the models, or one type of it."""
        for entry in self._look(self._tree.root):
            if only is not None and entry.name != only:
                continue
            if _is_link(Path(entry.path)):
                if entry.name in {*FAMILIES, BESTS}:
                    self._refuse_link(Path(entry.path))
            elif entry.is_dir():
                self._top(Path(entry.path))
        if only is None:
            self._loose(self._tree.root, None, None)

    def finished(self) -> Tree:
        """Return the tree, after what can only be told when all runs are known."""
        tree = self._tree
        self._drop_twins()
        for key, path in self._pointers:
            self._resolve(key, path)
        tree.aliases.extend(self._latest.values())
        for key in tree.keys:
            bests = [run for run in tree.runs if run.key == key and run.alias == BEST_WF]
            if bests:
                tree.aliases.append(_best(key, bests))
        tree.runs.sort(key=lambda run: (run.key, run.source))
        tree.aliases.sort(key=lambda alias: (alias.key, alias.name))
        return tree

    def _top(self, folder: Path) -> None:
        if folder.name in FAMILIES:
            self._walk(folder, folder.name, ())
        elif folder.name == BESTS:
            self._loose(folder, None, None)
        elif any(self._has_model(child) for child in (folder, *self._folders(folder, 2))):
            text = f"{folder.name!r} is not one of the model types {', '.join(FAMILIES)}"
            self._problem(folder, Unsupported(f"{text}: name the folder that holds those"))

    def _walk(self, folder: Path, model_type: str, symbol: tuple[str, ...], depth: int = 0) -> None:
        """Walk through a folder whose runs are of ``model_type`` and, where there is one, of the symbol."""
        if depth > _DEPTH:
            return
        for entry in self._look(folder):
            path = Path(entry.path)
            if entry.name in _POINTERS:
                key = self._key(folder, model_type, symbol)
                self._pointers += [(key, path)] if key is not None else []
            elif _is_link(path):
                self._refuse_link(path)
            elif entry.is_dir() and _RUN_LIKE.fullmatch(entry.name):
                self._run(path, model_type, symbol)
            elif entry.is_dir():
                self._walk(path, model_type, _deeper(symbol, model_type, entry.name), depth + 1)
        self._loose(folder, model_type, symbol)

    def _run(self, folder: Path, model_type: str, symbol: tuple[str, ...]) -> None:
        key = self._key(folder.parent, model_type, symbol)
        if key is None:
            return
        try:
            run_id = RunId(folder.name)
        except InvalidName as error:
            self._problem(folder, error)
            return
        entries = self._look(folder)
        files = in_folder([entry.name for entry in entries], model_type)  # one that is a folder is a part that is lost
        names = {entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)}
        left = tuple(sorted(names - {*files.values()}))
        paths = {role: folder / name for role, name in files.items()}
        self._tree.runs.append(OldRun(key, run_id, self._source(folder), paths, left))

    def _loose(self, folder: Path, model_type: str | None, symbol: tuple[str, ...] | None) -> None:
        """Take in models that lie in a folder of many: ``best_wf_*``, ``gru_model_*``, and ``model.pth`` itself."""
        names = [entry.name for entry in self._look(folder) if not entry.is_dir(follow_symlinks=False)]
        beside: set[str] = set()
        for name in sorted(names, key=len):
            if name in beside:
                continue
            known = loose_name(name, model_type, symbol)
            if known is None:
                continue
            kind, own, time, alias = known
            files = {MODEL: name, **beside_of(names, Path(name).stem)}
            beside |= set(files.values())
            if Path(name).suffix not in FAMILIES[kind]:
                self._problem(folder / name, Unsupported(f"a {kind} model is {' or '.join(FAMILIES[kind])}"))
                continue
            key = self._key(folder / name, kind, own)
            if key is not None:
                paths = {role: folder / file for role, file in files.items()}
                run_id = as_run_id(time or "")  # without one it is derived from the content
                self._tree.runs.append(OldRun(key, run_id, self._source(folder / name), paths, alias=alias))

    def _resolve(self, key: ModelKey, path: Path) -> None:
        """Find the run that ``latest`` names, among those of its model."""
        run, error = None, None
        try:
            run = self._named(key, path)
        except ArtifactStoreError as failed:
            error = failed
        earlier = self._latest.get(key)
        if earlier is None or (earlier.run is None and run is not None):
            self._latest[key] = OldAlias(key, LATEST, self._source(path), run, error)
        elif run is not None and earlier.run is not run:
            message = f"it names {run.run_id}, and {earlier.source} names another run, which is taken"
            self._problem(path, Conflict(message))

    def _named(self, key: ModelKey, path: Path) -> OldRun:
        named = _pointed_at(path)
        runs = [run for run in self._tree.runs if run.key == key]
        for run in runs:
            if run.run_id == named:
                return run
        there = next((f": name a run, such as {run.key}:{run.run_id}" for run in runs if run.run_id), "")
        raise Corrupt(f"{path.name} names {named!r}, and {key.display_name} has no such run in the old tree{there}")

    def _drop_twins(self) -> None:
        seen: dict[tuple[ModelKey, str], OldRun] = {}
        for run in list(self._tree.runs):
            if run.run_id is None:
                continue
            first = seen.setdefault((run.key, run.run_id), run)
            if first is not run:
                self._tree.runs.remove(run)
                error = Conflict(f"{first.source} is the run {run.run_id} of {run.key.display_name}, too, and is taken")
                self._tree.problems.append(Problem(run.source, error))

    def _key(self, where: Path, model_type: str, symbol: tuple[str, ...]) -> ModelKey | None:
        """Return the key, or report why the name is refused."""
        try:
            return as_key(model_type, symbol)
        except InvalidName as error:
            self._problem(where, error)
            return None

    def _look(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            return _entries(folder)
        except OSError as error:
            self._problem(folder, AccessDenied(f"the folder cannot be listed: {error.strerror}"))
            return []

    def _has_model(self, folder: Path) -> bool:
        return any(entry.name in {MODEL + suffix for suffix in SUFFIXES} for entry in self._look(folder))

    def _folders(self, folder: Path, depth: int) -> Iterator[Path]:
        for entry in self._look(folder) if depth else ():
            if entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)
                yield from self._folders(Path(entry.path), depth - 1)

    def _refuse_link(self, path: Path) -> None:
        self._problem(path, Corrupt("it is a symbolic link, which is not followed; put what it names in its place"))

    def _problem(self, path: Path, error: ArtifactStoreError) -> None:
        """Report what is wrong with a place, once."""
        if path not in self._reported:
            self._reported.add(path)
            self._tree.problems.append(Problem(self._source(path), error))

    def _source(self, path: Path) -> str:
        return path.relative_to(self._tree.root).as_posix()


def as_key(model_type: str, symbol: tuple[str, ...]) -> ModelKey:
    """Return the key of what lies in these folders: a symbol with a slash made several, and an export spells it.

    Raises:
        InvalidName: there is no such symbol.
    """
    return ModelKey(model_type, symbol_of("/".join(symbol)) if symbol else None)


def _deeper(symbol: tuple[str, ...], model_type: str, name: str) -> tuple[str, ...]:
    """Return the symbol one folder further down; a trainer that was given ``type/symbol`` nested both once more."""
    if symbol and name in {model_type, symbol[-1]}:
        return symbol
    return (*symbol, name)


def _pointed_at(path: Path) -> str:
    """Return the run id that the text of a pointer ends with, whatever machine has written it.

    Raises:
        Corrupt: it is not text, or does not end with a run id.
    """
    if _is_link(path):
        text = str(path.readlink())
    elif path.is_dir():  # a copy that was made through the link
        told = parse_notes(METADATA, read_file(path / "metadata.json", limit=MAX_NOTES)).fields.get("run_id")
        text = told if isinstance(told, str) else ""
    else:
        data = read_file(path, limit=_MAX_POINTER)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Corrupt(f"{path.name} is not text: {error}") from error
    last = re.split(r"[/\\]", text.strip().rstrip("/\\"))[-1].strip()
    try:
        return RunId(last)
    except InvalidName as error:
        raise Corrupt(f"{path.name} names {last[:60]!r}, which is not a run: {error.why}") from error


def _best(key: ModelKey, bests: list[OldRun]) -> OldAlias:
    if len(bests) == 1:
        return OldAlias(key, BEST_WF, bests[0].source, bests[0])
    names = " and ".join(run.source for run in bests)
    return OldAlias(key, BEST_WF, bests[0].source, None, Corrupt(f"{names} both claim to be it; promote one of them"))
