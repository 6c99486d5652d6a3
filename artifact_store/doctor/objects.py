"""All objects below the root, by one listing: those of each model, alias and run, and foreign objects.

Judges names alone and opens nothing. A folder that cannot be listed is a finding, and the others are listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.portable import why_not_on_windows
from artifact_store.doctor.examination import Examination, shown
from artifact_store.errors import ArtifactStoreError, ContainerNotFound, Unavailable
from artifact_store.ops.gc import RunObjects
from artifact_store.ops.plan import PlanStep
from artifact_store.storage.base import Entry
from artifact_store.storage.local.locks import is_lock

UNKNOWN_SIZE: Final = -1
"""The size of an object that a listing of names shows and a full listing does not."""
_IGNORED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # written by operating systems
_MOUNT = "lost+found"


@dataclass
class ModelObjects:
    """The objects of one model."""

    key: ModelKey
    aliases: list[str] = field(default_factory=list)
    blocks: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    entries: dict[RunId, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    @property
    def groups(self) -> list[RunObjects]:
        """The runs, oldest first, each with its objects."""
        return [RunObjects(self.key, run_id, found) for run_id, found in sorted(self.entries.items())]


@dataclass
class StoreObjects:
    """The whole listing, by what each object is."""

    models: dict[ModelKey, ModelObjects] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0
    probes: list[Entry] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    index: list[Entry] = field(default_factory=list)
    notes: list[Entry] = field(default_factory=list)
    foreign_objects: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    not_portable: dict[str, str] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    _run: tuple[str, list[Entry]] = field(default_factory=lambda: ("", []))
    """The folder of the run that was found last, and its objects: most of those that follow are of it."""
    _open: list[tuple[str, dict[str, tuple[str, bool]]]] = field(default_factory=lambda: [("", {})])
    """The folders above the last object, each with the names in it: what a listing has passed is not kept."""

    @property
    def inner(self) -> list[str]:
        """The folders below the root that are stores themselves."""
        every = (entry.key for entries in self.foreign_objects.values() for entry in entries)
        return sorted(folder for key in every for folder, _, name in [key.rpartition("/")] if name == keys.STORE_MARKER)

    @property
    def top(self) -> list[str]:
        """The names directly below the root."""
        return sorted(name for name, _ in self._open[0][1].values())

    def put(self, entry: Entry) -> None:
        """Add one object."""
        *folders, name = entry.key.split("/")
        if name in _IGNORED or folders[:1] == [_MOUNT]:
            return
        self.objects += 1
        self.bytes += max(entry.size, 0)
        self._compare([*folders, name])
        wrong = why_not_on_windows(entry.key)
        run, its_entries = self._run
        if wrong is not None:
            self.not_portable.setdefault(*wrong)
        elif run and entry.key.startswith(run):
            its_entries.append(entry)
        elif not self._placed(entry, path := [*(folder + "/" for folder in folders), name]):  # as children are named
            self.foreign_objects[_where_it_ends(path)].append(entry)

    def _compare(self, parts: list[str]) -> None:
        """Record the first part of a key that differs by case only from another one, or is a file and a folder.

        A listing comes in the order of the keys, so all objects of a folder follow one another.
        """
        key = "/".join(parts)
        while not key.startswith(self._open[-1][0]):
            self._open.pop()
        for depth in range(len(self._open), len(parts) + 1):
            folder, names = self._open[-1]
            name, is_file = parts[depth - 1], depth == len(parts)
            other = names.setdefault(name.casefold(), (name, is_file))
            if other != (name, is_file):
                self.twins.setdefault(folder + name, folder + other[0])
                return
            if not is_file:
                self._open.append(("/".join([*parts[:depth], ""]), {}))

    def _placed(self, entry: Entry, path: list[str]) -> bool:
        first, below = path[0], "".join(path[1:])
        if first == keys.PROBES and keys.probe_in(below) is not None:
            self.probes.append(entry)
        elif first == keys.LOCKS and is_lock(below):
            self.locks.append(entry.key)
        elif (first == keys.PROBES and keys.is_verdict(below)) or (first == keys.REPORT and keys.is_of_report(below)):
            return True
        elif first == keys.INDEX and keys.is_of_index(below):
            self.index.append(entry)
        elif keys.note_of(entry.key) is not None:
            self.notes.append(entry)
        else:
            return first == keys.STORE_MARKER or self._of_a_model(entry, path)
        return True

    def _of_a_model(self, entry: Entry, path: list[str]) -> bool:
        for depth in (1, 2):  # without a symbol, and with one
            key = keys.model_in(path[:depth])
            if key is not None and self._placed_below(key, path[depth:], entry):
                return True
        return False

    def _placed_below(self, key: ModelKey, rest: list[str], entry: Entry) -> bool:
        model = self.models.get(key) or ModelObjects(key)
        child, below = rest[0], "".join(rest[1:])
        if alias := keys.alias_in(child):
            model.aliases.append(alias)
        elif run_id := keys.run_in(child):
            self._run = entry.key.removesuffix(below), model.entries[run_id]
            model.entries[run_id].append(entry)
        elif (alias := keys.history_in(child)) and (last_seq := keys.block_in(below)):
            model.blocks[alias].add(last_seq)
        else:
            return False
        self.models[key] = model
        return True


def _where_it_ends(path: list[str]) -> str:
    """Return the first file or folder of a key that does not belong to a store."""
    depth = 1
    if keys.model_type_in(path[0]) is not None:
        depth = 3 if keys.symbol_in(path[1]) is not None else 2
    return "".join(path[:depth])


# ---------------------------------------------------------------- list them


def list_store(exam: Examination) -> StoreObjects | None:
    """Return all objects of a store, or ``None`` where the root does not exist."""
    found = StoreObjects()
    try:
        for entry in _listed(exam, ""):
            found.put(entry)
    except ContainerNotFound:
        return None
    return found


def _listed(exam: Examination, prefix: str) -> Iterator[Entry]:
    """Yield all objects below a prefix; where that fails, folder by folder, so that only the broken one is missing."""
    backend = exam.context.backend
    whole = exam.ask(lambda: list(backend.list(prefix)))
    if not isinstance(whole, ArtifactStoreError):
        yield from whole
        return
    if isinstance(whole, ContainerNotFound):
        raise whole
    names = whole if isinstance(whole, Unavailable) else exam.ask(lambda: list(backend.children(prefix)))
    if isinstance(names, ArtifactStoreError):
        remedy = "correct the permissions or the credentials, then examine the store again"
        exam.add("error", "cannot-list", prefix or backend.url, f"it cannot be listed: {whole}", remedy=remedy)
        return
    for name in names:
        if name.endswith("/"):
            yield from _listed(exam, prefix + name)
        else:
            yield Entry(prefix + name, UNKNOWN_SIZE, exam.now)


# ---------------------------------------------------------------- what the names show


def examine_names(exam: Examination, found: StoreObjects) -> None:
    """Report what the names alone show."""
    for prefix, reason in sorted(found.not_portable.items()):
        remedy = "copy it to another name and remove this one, before the store is copied to Windows"
        exam.add("warning", "windows-name", prefix, f"this name is not portable: {reason}", remedy=remedy)
    for prefix, other in sorted(found.twins.items()):
        message = "is a file and a folder" if prefix == other else f"differs from {other!r} by case only"
        remedy = "keep one of the two; what is in the other can be downloaded and saved under another name"
        exam.add("warning", "case-twins", prefix, f"it {message}, and Windows would merge them", remedy=remedy)
    for folder, entries in sorted(found.foreign_objects.items()):
        count = "a file" if len(entries) == 1 else f"{len(entries)} files ({shown([e.key for e in entries])})"
        remedy = "move it out of the store, if you know where it belongs; no command of the store touches it"
        exam.add("note", "foreign-object", folder, f"{count} that no store writes", remedy=remedy)
    if found.locks:
        message = f"{len(found.locks)} locks of a local disk, copied here with the store ({shown(found.locks)})"
        exam.add(
            "note", "orphan-lock", keys.LOCKS, message, remedy="remove them, or leave them: they are not read here"
        )
    for entry in found.probes:
        if not exam.young(entry.modified):
            message = f"leftover probe of a writer that crashed, written at {entry.modified:%Y-%m-%d %H:%M:%S} UTC"
            exam.add_for_gc("note", "leftover-probe", PlanStep(entry.key, "clear", message, entry.size))
