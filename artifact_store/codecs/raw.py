"""Bytes, files and directories as they are.

``bytes`` become ``{stem}.bin``; a ``Path`` to a file becomes ``{stem}{its suffix}``; a ``Path`` to a directory becomes
``{stem}.dir/…``. What is read back is bytes, or a copy in a directory that the caller names with ``into=``. Kept: the
bytes, the name, empty subdirectories. Not kept: times, permissions, owners. No symbolic link is ever followed.

What programs leave in folders and no model needs is left out (:data:`LEFT_OUT`), and what the caller says.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from artifact_store import private_files
from artifact_store.codecs.files import all_or_nothing, field
from artifact_store.core.codec import JSON, Risk
from artifact_store.core.file_names import composed
from artifact_store.core.keys import check_path, check_twins
from artifact_store.errors import Corrupt, InvalidName, InvalidOption, NotEncodable
from artifact_store.nearby import nothing_at

LEFT_OUT: Final = (
    *(".DS_Store", "._*", "Thumbs.db", "desktop.ini"),
    *(".git", ".gitattributes", ".gitignore", ".cache", "__pycache__", ".ipynb_checkpoints"),
)
"""Names of files and folders that a saved folder does not have, whatever they hold: what macOS, Windows, git, Python,
Jupyter and download clients leave behind."""

_TOLD: Final = 20
_SUFFIX = re.compile(r"\.[a-z0-9]{1,16}")
_PLAIN = ".bin"
_TREE = ".dir"
_JUNCTION: Final = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT: Windows' other kind of link
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class FilteredFolder:
    """A folder to be stored without what matches one of the patterns, and without :data:`LEFT_OUT`.

    A pattern is one of :mod:`fnmatch`; with a ``/`` in it it is compared with the path from the folder, else with the
    name of each file and folder below.
    """

    path: Path
    ignore: tuple[str, ...]


class RawCodec:
    """Store bytes in ``{stem}.{suffix}``, or a tree of files in ``{stem}.dir``."""

    name: ClassVar[str] = "raw"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        *("builtins.bytes", "pathlib.Path", "pathlib._local.Path"),  # the last: of 3.13
        f"{FilteredFolder.__module__}.{FilteredFolder.__qualname__}",
    )
    extra: ClassVar[str | None] = None

    def accepts(self, obj: Any) -> bool:
        """Leave alone what only derives from bytes, such as numpy's."""
        return type(obj) is bytes or isinstance(obj, Path | FilteredFolder)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Copy the bytes; refuse links, devices, what changes meanwhile, and names that not every platform can hold."""
        if type(obj) is bytes:
            (directory / f"{stem}{_PLAIN}").write_bytes(obj)
            return {"kind": "bytes", "suffix": _PLAIN}
        if not isinstance(obj, Path | FilteredFolder):
            raise NotEncodable(f"the codec raw stores bytes and paths, not a {type(obj).__qualname__}")
        options, sources = _of_path(obj, stem)
        with all_or_nothing(directory, stem):
            for path, source in sources.items():
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                _copy_in(source, directory / path)
        return options

    def sources(self, obj: Any, stem: str) -> tuple[Mapping[str, JSON], Mapping[str, Path]] | None:
        """Return what ``encode`` would, and the files where they are; ``None`` for bytes."""
        return _of_path(obj, stem) if isinstance(obj, Path | FilteredFolder) else None

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return the bytes; or, with ``into`` a directory, copy there under the original name and return the path.

        A stored directory needs an ``into`` that is new or empty, and becomes it. Nothing is overwritten.
        If copying fails, what was copied is removed again.

        Raises:
            InvalidOption: ``into`` is missing, is not a directory, or already holds such a name.
            Corrupt: the files are not what was recorded.
        """
        kind = field(options, "kind", str)
        if kind == "directory":
            return _decode_tree(directory / f"{stem}{_TREE}", options, into)
        suffix = field(options, "suffix", str)
        if kind not in {"bytes", "file"} or not _SUFFIX.fullmatch(suffix):
            raise Corrupt(f"what was recorded beside the files names no kind of file: {kind[:40]!r}, {suffix[:40]!r}")
        source = directory / f"{stem}{suffix}"
        if into is None:
            with _stored(source) as file:
                return file.read()
        return _copy_out(source, _folder(into), _recorded_name(options) if kind == "file" else source.name)


def _of_path(obj: Path | FilteredFolder, stem: str) -> tuple[dict[str, JSON], dict[str, Path]]:
    """Return the options of a file or a directory, and its files by their stored names."""
    place, ignore = (obj, ()) if isinstance(obj, Path) else (obj.path, obj.ignore)
    if stat.S_ISDIR(_status(place).st_mode):
        return _of_tree(place, f"{stem}{_TREE}", ignore)
    if not isinstance(obj, Path):
        raise NotEncodable(f"ignore= says what of a folder is not stored, and {place} is a file")
    suffix = obj.suffix.lower() if _SUFFIX.fullmatch(obj.suffix.lower()) else _PLAIN
    name = composed(obj.name)
    try:
        check_path(f"file/{name}")
    except InvalidName as error:
        raise NotEncodable(f"not every platform can hold a file called {name!r}; rename it: {error}") from error
    from artifact_store.codecs.file_kinds import about_file

    about = about_file(obj)
    options: dict[str, JSON] = {"kind": "file", "suffix": suffix, "name": name, **({"about": about} if about else {})}
    return options, {f"{stem}{suffix}": obj}


def _of_tree(source: Path, target: str, ignore: Sequence[str]) -> tuple[dict[str, JSON], dict[str, Path]]:
    name = source.resolve().name  # of Path(".") as well; the path itself was found not to be a link
    found = _listing(source, (*LEFT_OUT, *ignore))
    if not found.files:
        raise NotEncodable(f"{source} has no file in it{_left(found.ignored)}")
    for path in (*found.files, *found.empty):
        _check_name(source, target, path)
    try:
        check_twins((*found.files, *found.empty))
    except InvalidName as error:
        raise NotEncodable(f"{source} has names in it that not every platform can hold: {error}. Rename one") from error
    options: dict[str, JSON] = {
        "kind": "directory",
        "name": composed(name),
        "files": len(found.files),
        "empty": [composed(path) for path in found.empty],
    }
    if found.ignored:
        options |= {"ignored": len(found.ignored), "ignored_names": found.ignored[:_TOLD]}
    return options, {f"{target}/{composed(path)}": source / path for path in found.files}


def _check_name(source: Path, target: str, path: str) -> None:
    """Raise ``NotEncodable`` for what lies at ``path`` below a folder if not every platform can hold its name."""
    try:
        check_path(f"{target}/{composed(path)}")
    except InvalidName as error:
        parts = path.split("/")
        part = next((part for part in parts if not _is_name(composed(part))), parts[-1])
        raise NotEncodable(
            f"{source} has a name in it that not every platform can hold: {error}. Rename it, or leave it out with "
            f"ignore=[{part!r}]"
        ) from error


def _is_name(part: str) -> bool:
    try:
        check_path(f"folder/{part}")
    except InvalidName:
        return False
    return True


def _left(ignored: Sequence[str]) -> str:
    return f" but what is left out: {', '.join(ignored[:_TOLD])}" if ignored else ""


@dataclass(frozen=True, slots=True)
class _Listing:
    """What lies below a folder, each sorted, with ``/`` between the parts."""

    files: list[str]
    empty: list[str]
    """Directories with nothing in them."""
    ignored: list[str]


def _is_ignored(path: str, patterns: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)


def _listing(root: Path, ignore: Sequence[str] = ()) -> _Listing:
    """Return the regular files and the empty directories below ``root``, but for what matches one of the patterns.

    Raises:
        NotEncodable: there is a link, a device, a socket, or a directory that cannot be listed.
    """
    files: list[str] = []
    empty: list[str] = []
    ignored: list[str] = []
    pending = [("", root)]
    while pending:
        prefix, folder = pending.pop()
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 -- the names are wanted, not paths
        except OSError as error:
            raise NotEncodable(f"{folder} cannot be listed: {error}") from error
        ignored += [prefix + name for name in names if _is_ignored(prefix + name, ignore)]
        names = [name for name in names if not _is_ignored(prefix + name, ignore)]
        if not names and prefix:
            empty.append(prefix.rstrip("/"))
        for name in names:
            if stat.S_ISDIR(_status(folder / name).st_mode):
                pending.append((f"{prefix}{name}/", folder / name))
            else:
                files.append(f"{prefix}{name}")
    return _Listing(sorted(files), sorted(empty), sorted(ignored))


def _status(path: Path) -> os.stat_result:
    """Return the status of a regular file or a directory; raise ``NotEncodable`` for a link, or anything else."""
    try:
        status = os.lstat(path)
    except FileNotFoundError as error:
        raise NotEncodable(nothing_at(path)) from error
    except OSError as error:
        raise NotEncodable(f"{path} cannot be read ({error.strerror or error}): let this user read it") from error
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION:
        raise NotEncodable(f"{path} is a link, and links are not followed: pass what it points to, path.resolve()")
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise NotEncodable(f"{path} is neither a regular file nor a directory")
    return status


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file, and no other, even if it was swapped for a link or a pipe a moment ago."""
    file = open(path, "rb", opener=lambda name, _flags: os.open(name, _OPEN))  # noqa: SIM115 -- the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file")
    return file


def _stored(path: Path) -> IO[bytes]:
    """Open a file that ``encode`` has written; raise ``Corrupt`` if there is no regular file."""
    try:
        return _opened(path)
    except OSError as error:
        raise Corrupt(f"{path.name} is missing, or not a regular file: {error}") from error


def _copy_in(source: Path, target: Path) -> None:
    """Copy a file of the caller's; raise ``NotEncodable`` if it cannot be read, or changed while it was."""
    _status(source)
    try:
        with _opened(source) as file, target.open("xb") as copy:
            before = os.fstat(file.fileno())
            shutil.copyfileobj(file, copy, 1 << 20)
            after, size = os.fstat(file.fileno()), copy.tell()
    except OSError as error:
        raise NotEncodable(f"{source} cannot be copied: {error}") from error
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or size != after.st_size:
        raise NotEncodable(f"{source} changed while it was being copied; save it when nothing writes to it")


def _recorded_name(options: Mapping[str, JSON]) -> str:
    """Return the name to copy to: one plain part, even if the record was changed."""
    name = field(options, "name", str)
    try:
        if "/" not in name:
            check_path(f"file/{name}")
            return str(name)
    except InvalidName as error:
        raise Corrupt(f"the recorded file name is not one: {error}") from error
    raise Corrupt(f"the recorded file name {name[:80]!r} is a path")


def _folder(into: Any) -> Path:
    """Return the directory that the caller named, made if it is missing."""
    if not isinstance(into, Path):
        raise InvalidOption(f"into= takes a pathlib.Path to a directory, not {type(into).__qualname__}")
    try:
        private_files.make_folder(into)
    except FileExistsError as error:
        raise InvalidOption(f"{into} is not a directory") from error
    return into


def _copy_out(source: Path, folder: Path, name: str) -> Path:
    target = folder / name
    try:
        with _stored(source) as file, private_files.create(target) as copy:
            try:
                shutil.copyfileobj(file, copy, 1 << 20)
            except BaseException:
                copy.close()
                target.unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise InvalidOption(f"{target} exists already, and nothing is overwritten") from error
    return target


def _decode_tree(source: Path, options: Mapping[str, JSON], into: Any) -> Path:
    files, empty = _recorded_listing(source, options)
    if into is None:
        raise InvalidOption(
            "a directory was stored: name a new or an empty one to copy it to, with into=Path(…); or run.path() tells "
            "where one is"
        )
    made = isinstance(into, Path) and not into.exists()
    folder = _folder(into)
    if any(folder.iterdir()):
        raise InvalidOption(f"{folder} is not empty; name a new or an empty directory with into=")
    try:
        for path in empty:
            private_files.make_folder(folder / path)
        for path in files:
            target = folder / path
            private_files.make_folder(target.parent)
            _copy_out(source / path, target.parent, target.name)
    except BaseException:
        for child in list(folder.iterdir()):  # it was empty: all of this is ours
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        if made:
            folder.rmdir()
        raise
    return folder


def _recorded_listing(source: Path, options: Mapping[str, JSON]) -> tuple[list[str], list[str]]:
    """Return the files that are there and the empty directories that were recorded, all of them checked."""
    count, empty = field(options, "files", int), field(options, "empty", list | tuple)
    try:
        if not all(isinstance(path, str) for path in empty):
            raise Corrupt(f"the recorded empty directories are not names: {str(empty)[:60]}")
        _status(source)
        files = _listing(source).files
        for path in (*files, *empty):
            check_path(f"{source.name}/{path}")
        check_twins((*files, *empty))
    except (NotEncodable, InvalidName) as error:
        raise Corrupt(f"{source.name} is not a tree of plain files: {error}") from error
    if len(files) != count:
        raise Corrupt(f"{source.name} holds {len(files)} files instead of {count}")
    return files, list(empty)
