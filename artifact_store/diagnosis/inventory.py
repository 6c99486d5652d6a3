"""Everything below the root, sorted: what belongs to which model, alias and run, and what to nobody. One listing.

Sorts by names alone and opens nothing. A folder that cannot be listed is a finding, and the others are listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from artifact_store.core import keys
from artifact_store.core.errors import ArtifactStoreError, ContainerNotFound, Unavailable
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.portable import why_not_on_windows
from artifact_store.diagnosis.finding import Repair
from artifact_store.diagnosis.look import Look, shown
from artifact_store.ops.deletion import Ending
from artifact_store.ops.survey import Group
from artifact_store.storage.base import Entry
from artifact_store.storage.locks import is_lock
from artifact_store.storage.settle import patiently

UNKNOWN_SIZE: Final = -1
"""The size of an object whose folder can be named and not be listed."""
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # of systems, which nobody asked
_MOUNT = "lost+found"


@dataclass
class Shelf:
    """What there is of one model."""

    key: ModelKey
    aliases: list[str] = field(default_factory=list)
    blocks: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    entries: dict[RunId, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    @property
    def groups(self) -> list[Group]:
        """The runs, oldest first, each with its objects."""
        return [Group(self.key, run_id, found) for run_id, found in sorted(self.entries.items())]


@dataclass
class Inventory:
    """The whole listing, sorted."""

    shelves: dict[ModelKey, Shelf] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0
    marker: bool = False
    probes: list[Entry] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    strangers: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    unholdable: dict[str, str] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, tuple[str, bool]] = field(default_factory=dict)

    @property
    def inner(self) -> list[str]:
        """The folders that say of themselves that they are stores."""
        every = (entry.key for entries in self.strangers.values() for entry in entries)
        return sorted(folder for key in every for folder, _, name in [key.rpartition("/")] if name == keys.STORE_MARKER)

    @property
    def top(self) -> list[str]:
        """The names directly below the root."""
        return sorted({prefix for prefix, _ in self._seen.values() if "/" not in prefix})

    def put(self, entry: Entry) -> None:
        """Sort one object in."""
        *folders, name = entry.key.split("/")
        if name in _LITTER or folders[:1] == [_MOUNT]:
            return
        self.objects += 1
        self.bytes += max(entry.size, 0)
        self._compare([*folders, name])
        wrong = why_not_on_windows(entry.key)
        path = [*(folder + "/" for folder in folders), name]  # as listings name the children of a folder
        if wrong is not None:
            self.unholdable.setdefault(*wrong)
        elif not self._placed(entry, path):
            self.strangers[_where_it_ends(path)].append(entry)

    def _compare(self, parts: list[str]) -> None:
        """Note the first part of a key that differs by case only from one that was seen, or is a file and a folder."""
        for depth in range(1, len(parts) + 1):
            prefix, is_file = "/".join(parts[:depth]), depth == len(parts)
            other = self._seen.setdefault(prefix.casefold(), (prefix, is_file))
            if other != (prefix, is_file):
                self.twins.setdefault(prefix, other[0])
                return

    def _placed(self, entry: Entry, path: list[str]) -> bool:
        first, below = path[0], "".join(path[1:])
        if first == keys.STORE_MARKER:
            self.marker = True
        elif first == keys.PROBES and keys.probe_in(below) is not None:
            self.probes.append(entry)
        elif first == keys.LOCKS and is_lock(below):
            self.locks.append(entry.key)
        else:
            return self._of_a_model(entry, path)
        return True

    def _of_a_model(self, entry: Entry, path: list[str]) -> bool:
        depth = _depth(path)
        if depth is None:
            return False
        key, rest = keys.model_in(path[:depth]), path[depth:]
        assert key is not None
        shelf = self.shelves.setdefault(key, Shelf(key))
        if len(rest) == 1:
            shelf.aliases.append(keys.alias_in(rest[0]) or "")
        elif (run_id := keys.run_in(rest[0])) is not None:
            shelf.entries[run_id].append(entry)
        else:
            shelf.blocks[keys.history_in(rest[0]) or ""].add(keys.block_in(rest[1]) or 0)
        return True


def _depth(path: list[str]) -> int | None:
    """Return how many parts of a key name the model that it belongs to, or ``None`` if it belongs to none."""
    if keys.model_type_in(path[0]) is None:
        return None
    if _is_below_a_model(path[1:]):
        return 1
    return 2 if keys.symbol_in(path[1]) is not None and _is_below_a_model(path[2:]) else None


def _is_below_a_model(rest: list[str]) -> bool:
    if len(rest) == 1:
        return keys.alias_in(rest[0]) is not None
    if keys.run_in(rest[0]) is not None:
        return True
    return keys.history_in(rest[0]) is not None and bool(keys.block_in("".join(rest[1:])))


def _where_it_ends(path: list[str]) -> str:
    """Return the file or the folder at which a key stops to be one of a store."""
    depth = 1
    if keys.model_type_in(path[0]) is not None:
        depth = 3 if keys.symbol_in(path[1]) is not None else 2
    return "".join(path[:depth])


# ---------------------------------------------------------------- take it


def take(look: Look) -> Inventory | None:
    """Return the inventory of a store, or ``None`` where there is not even a root."""
    found = Inventory()
    try:
        for entry in _listed(look, ""):
            found.put(entry)
    except ContainerNotFound:
        return None
    return found


def _listed(look: Look, prefix: str) -> Iterator[Entry]:
    """Yield all objects below a prefix; where that fails, folder by folder, so that only the broken one is missing."""
    backend = look.context.backend
    whole = look.ask(lambda: list(backend.list(prefix)))
    if not isinstance(whole, ArtifactStoreError):
        yield from whole
        return
    if isinstance(whole, ContainerNotFound):
        raise whole
    names = whole if isinstance(whole, Unavailable) else look.ask(lambda: list(backend.children(prefix)))
    if isinstance(names, ArtifactStoreError):
        remedy = "mend the permissions or the credentials, then look again"
        look.add("error", "cannot-list", prefix or backend.url, f"it cannot be listed: {whole}", remedy=remedy)
        return
    for name in names:
        if name.endswith("/"):
            yield from _listed(look, prefix + name)
        else:
            yield Entry(prefix + name, UNKNOWN_SIZE, look.now)


# ---------------------------------------------------------------- what it shows by itself


def examine(look: Look, found: Inventory) -> None:
    """Note what the names alone tell."""
    for prefix, why in sorted(found.unholdable.items()):
        remedy = "copy it to another name and remove this one, before the store is copied to Windows"
        look.add("warning", "windows-name", prefix, f"this name is not possible everywhere: {why}", remedy=remedy)
    for prefix, other in sorted(found.twins.items()):
        told = "is a file and a folder" if prefix == other else f"differs from {other!r} by case only"
        remedy = "keep one of the two; what is in the other can be downloaded and saved under another name"
        look.add("warning", "case-twins", prefix, f"it {told}, and Windows would merge them", remedy=remedy)
    for place, entries in sorted(found.strangers.items()):
        count = "a file" if len(entries) == 1 else f"{len(entries)} files ({shown([e.key for e in entries])})"
        remedy = "move it out of the store, if you know whose it is; no command of the store touches it"
        look.add("note", "foreign-object", place, f"{count} that no store writes", remedy=remedy)
    if found.locks:
        told = f"{len(found.locks)} locks of a local disk, copied here with the store ({shown(found.locks)})"
        look.add("note", "orphan-lock", keys.LOCKS, told, remedy="remove them, or leave them: nobody reads them here")
    for entry in found.probes:
        if not look.young(entry.modified):
            _probe(look, entry)


def _probe(look: Look, entry: Entry) -> None:
    def clear(now: object) -> Ending:
        del now  # it was old enough, and nobody writes it again
        patiently(lambda: look.context.backend.delete(entry.key), look.context.patience)
        return Ending("cleared")

    told = f"somebody tried out the storage at {entry.modified:%Y-%m-%d %H:%M:%S} UTC and died"
    repair = Repair("clear", told, clear, entry.size)
    look.add("note", "leftover-probe", entry.key, told, remedy="artifact-store gc --apply", repair=repair)
