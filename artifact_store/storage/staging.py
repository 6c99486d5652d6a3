"""Temporary space: where files wait on their way into a store or out of it, and what killed processes left there.

Each use has a folder of its own (:mod:`artifact_store.storage.owned_folder`) in one of three places: below the root of
a local store, so that on Linux and macOS what was staged becomes what is stored by a hard link, without a copy; in
``artifact-store-{user id}`` in the folder that the caller chose or the system names; or, where that is not this user's
alone (another user's, a link, or a folder that others may enter, whose mode is left as it is: they may have put files
there), in a new private folder beside it. What dead processes left in a private folder of this user, in any of the
three places, is cleared by the next use. What is wrong when there is no room or no such folder is said in the words of
:mod:`artifact_store.storage.room`. Knows no store.

Why: docs/decisions/0021-temporary-files-have-an-owner.md
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NoReturn, Self

from artifact_store.errors import ArtifactStoreError, InvalidOption, StagingUnavailable, StorageFull
from artifact_store.process import Process, this_process
from artifact_store.storage import descriptors, owned_folder, room
from artifact_store.storage.home import at_home
from artifact_store.storage.local.folders import make_root
from artifact_store.storage.owned_folder import Leftover, OwnedFolder
from artifact_store.wording import brief

PREFIX: Final = "artifact-store-"
EXPORTS: Final = ".export"
_AT_ONCE: Final = 64
"""Folders that one use looks at to find those of dead processes."""
_TRIES: Final = 16


@dataclass(frozen=True, slots=True)
class Staging:
    """The temporary space of a client: ``chosen`` by its caller, or the system's. Nothing is made before it is used."""

    chosen: Path | None = None

    @classmethod
    def of(cls, folder: object) -> Self:
        """Return it for the option of a store; ``InvalidOption`` if that names no folder."""
        if folder is None:
            return cls()
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise InvalidOption(f"staging is a folder for temporary files, not {brief(folder)}")
        return cls(at_home(folder).absolute())

    def check_outside(self, root: Path) -> None:
        """Raise ``InvalidOption`` if the chosen folder lies inside of a store, under whatever name."""
        if self.chosen is not None and _lies_in(self.chosen, root):
            raise InvalidOption(
                f"staging={brief(str(self.chosen))} lies inside of the store {root}: leave it out, since what is saved "
                "there waits below the root anyway, or name a folder outside"
            )

    @property
    def base(self) -> Path:
        """The folder that was chosen, or the system's.

        Raises:
            StagingUnavailable: the system has none.
        """
        if self.chosen is not None:
            return self.chosen
        try:
            return Path(tempfile.gettempdir())
        except OSError as error:
            raise StagingUnavailable(
                f"there is no folder for temporary files: {error.strerror or error}. Name one with staging=FOLDER, or "
                "in the environment variable TMPDIR"
            ) from error

    @property
    def shared(self) -> Path:
        """Where the folders of all processes of this user are."""
        user = f"{os.geteuid()}" if os.name == "posix" else "user"
        return self.base / f"{PREFIX}{user}"

    def folder(self, *, beside: Path | None = None) -> StagedFolder:
        """Make a private folder, ``beside`` a destination if that can be, and clear away what dead processes left.

        Raises:
            StorageFull: there is no room.
            StagingUnavailable: the folder does not exist, or cannot be written to.
        """
        if beside is not None:
            with contextlib.suppress(ArtifactStoreError):  # only this store's; where it is needed, it is an error
                _clear(*_in_use(self.shared))
            with contextlib.suppress(OSError):  # what is wrong with the store, writing to it will tell
                _clear(beside)
                if (made := _below(beside, root=beside.parent)) is not None:
                    return made
        base = self.base
        with explained(base):
            return _make(self.shared)

    def shared_by_many(self) -> Staging:
        """Return one that makes a single such folder, with the first of many that are wanted soon, and those within it.

        It is removed with the last of them, once this is not used any more.
        """
        return _Within(self.chosen, self)

    def file(self) -> IO[bytes]:
        """Open a new file without a name, which is gone when it is closed, or when the process ends.

        Raises:
            StorageFull, StagingUnavailable: as for :meth:`folder`.
        """
        base = self.base
        with explained(base):
            return tempfile.TemporaryFile(prefix=PREFIX, dir=base)

    def leftovers(self, *, beside: Path | None) -> list[Leftover]:
        """Return what processes left here that are not known to live. Nothing is made, and nothing raised."""
        places = [] if beside is None else [beside]
        with contextlib.suppress(ArtifactStoreError):  # no folder holds nothing
            places += _places(self.shared)
        return list(owned_folder.leftovers(*places))


@dataclass(frozen=True, slots=True)
class _Within(Staging):
    """Temporary space for many small uses at once, each of which costs more to make and to remove than its files."""

    outer: Staging = field(default_factory=Staging)
    _made: dict[Process, _Whole] = field(default_factory=dict)

    def folder(self, *, beside: Path | None = None) -> StagedFolder:
        whole = self._made.get(this_process())
        if whole is None:  # of two threads that make one, both use the first
            whole = self._made.setdefault(this_process(), _Whole(self.outer.folder(beside=beside)))
        with explained(whole.path):
            return StagedFolder(whole.part(), ())


class _Whole:
    """A folder that is owned, and those in it: one that is empty again is used again."""

    def __init__(self, staged: StagedFolder) -> None:
        self.path = staged.path
        weakref.finalize(self, staged.remove)
        self._empty: deque[Path] = deque()

    def part(self) -> _Part:
        try:
            return _Part(self, self._empty.popleft())
        except IndexError:
            return _Part(self, Path(tempfile.mkdtemp(dir=self.path)))

    def take_back(self, folder: Path) -> None:
        """Empty a folder, as far as that can be done."""
        with contextlib.suppress(OSError):  # what is left of it goes with the whole
            with os.scandir(folder) as entries:
                for entry in list(entries):
                    shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else Path(entry).unlink()
            self._empty.append(folder)


class _Part:
    """A folder within one that is owned, which it keeps from being removed."""

    def __init__(self, whole: _Whole, path: Path) -> None:
        self._whole, self.path = whole, path
        self._ended = False

    def remove(self) -> None:
        """Let another one use it."""
        if not self._ended:
            self._ended = True
            self._whole.take_back(self.path)


class StagedFolder:
    """A private folder for files on their way: ``path``, until :meth:`remove`, or the end of the block."""

    def __init__(self, owned: OwnedFolder | _Part, around: tuple[Path, ...], *, of_a_store: bool = False) -> None:
        self.path = owned.path
        self._of_a_store = of_a_store
        self._owned, self._around, self._maker = owned, around, this_process()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it, and the folders around it that were made for it and are empty; in a forked child, leave them."""
        self._owned.remove()
        if this_process() == self._maker:
            _remove_empty(self._around)

    def write(self, name: str, data: bytes) -> None:
        """Write a new file in the place of any of this name, which an earlier attempt may have stored without a copy.

        Raises:
            StorageFull, StagingUnavailable, AccessDenied, Unsupported: as for :meth:`written`.
        """
        with self.written():
            (self.path / name).unlink(missing_ok=True)
            (self.path / name).write_bytes(data)

    def files(self) -> set[str]:
        """Return the names of the files, with ``/`` between the parts; the errors are those of :meth:`written`."""
        found: set[str] = set()
        with self.written():
            for at, _, names in os.walk(self.path, onerror=_fail):
                found.update(
                    path.relative_to(self.path).as_posix() for path in map(Path(at).joinpath, names) if path.is_file()
                )
        return found

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Say what is wrong where a library that writes here finds no room, in whatever words; let all else pass.

        Raises:
            StorageFull, StagingUnavailable, AccessDenied, Unsupported: because of this folder.
        """
        try:
            yield
        except StorageFull:
            raise
        except Exception as error:
            if (code := room.missing(error)) is not None:
                room.refuse_staging(self.path, error, code, of_a_store=self._of_a_store)
            if isinstance(error, OSError) and not isinstance(error, ArtifactStoreError):
                # failed writes name no file; an object that is encoded may open others, and those are its caller's
                elsewhere = isinstance(error.filename, str) and Path(error.filename).is_absolute()
                if error.errno is not None and (not elsewhere or Path(error.filename).is_relative_to(self.path)):
                    room.refuse_staging(self.path, error, error.errno, of_a_store=self._of_a_store)
            raise


def _fail(error: OSError) -> NoReturn:
    raise error


def folder_in(parent: Path) -> StagedFolder:
    """Make a private folder for what is to be renamed into ``parent``, and clear away what dead processes left of such.

    Raises:
        OSError: it cannot be made.
    """
    return _make(parent / EXPORTS)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Raise our own error for any ``OSError`` about the temporary space in ``folder``.

    Raises:
        StorageFull: there is no room.
        StagingUnavailable: the folder is missing, or cannot be written to.
        TooManyOpenFiles: no more files can be opened.
        Unsupported: a file becomes larger than is possible there.
    """
    try:
        with descriptors.exhaustion_told():
            yield
    except ArtifactStoreError as error:  # some are OSErrors as well
        if isinstance(error, StorageFull) and isinstance(error.__cause__, OSError):  # of this machine, not of a server
            room.refuse_staging(folder, error, error.__cause__.errno)
        raise
    except OSError as error:
        room.refuse_staging(folder, error, error.errno)


# ---------------------------------------------------------------- the places


def _lies_in(folder: Path, root: Path) -> bool:
    real = Path(os.path.realpath(folder))
    if real.is_relative_to(os.path.realpath(root)):
        return True
    for around in (real, *real.parents):
        with contextlib.suppress(OSError):  # what is not there, or cannot be looked at, is not the root
            if around.samefile(root):
                return True
    return False


def _make(place: Path) -> StagedFolder:
    """Make a folder below ``place``, or beside it where that is not this user's alone."""
    _clear(*_places(place))
    made = _below(place)
    if made is None:
        own = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
        made = StagedFolder(OwnedFolder(own), (own,))
    return made


def _places(place: Path) -> list[Path]:
    """Return ``place`` and what may have been made beside it; whose that is, is asked before anything is done to it."""
    found = [place]
    with contextlib.suppress(OSError), os.scandir(place.parent) as entries:  # else nothing is made beside it either
        found += [Path(entry) for entry in entries if entry.name.startswith(f"{place.name}-")]
    return found


def _in_use(place: Path) -> list[Path]:
    """Return those of the places that a save into a folder clears: it is short, and the system's folder may be full."""
    try:
        return [place] if owned_folder.is_private(place) else _places(place)
    except OSError:  # there is none, so nothing is made beside it
        return [place]


def _below(parent: Path, *, root: Path | None = None) -> StagedFolder | None:
    """Make a folder below ``parent``, which is made if it is missing; ``None`` where that is not this user's alone.

    The root of a store that ``parent`` lies in is made as well.
    """
    made: list[Path] = []
    for left in reversed(range(_TRIES)):
        try:
            if root is not None:
                made += [folder for folder in (root, *root.parents) if not folder.exists()]
                make_root(root)
            with contextlib.suppress(FileExistsError):
                parent.mkdir(0o700)
                made.insert(0, parent)
            if not owned_folder.is_private(parent):
                break
            # an empty parent goes with the last folder in it, made here or by another process
            return StagedFolder(OwnedFolder(parent), (parent, *made), of_a_store=root is not None)
        except FileNotFoundError:  # another process removed it, since it was empty
            if not left:
                raise
        except BaseException:
            _remove_empty(made)
            raise
    _remove_empty(made)
    return None


def _clear(*places: Path) -> None:
    owned_folder.clear_dead(*places, most=_AT_ONCE)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, up to the first one that others use, or that holds what was stored."""
    with contextlib.suppress(OSError):  # it is not empty
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
