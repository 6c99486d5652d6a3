"""The aliases of a model: is each pointer readable, does it name a run that is there, and is its history whole?

What looks wrong is read once more before it is told, since aliases move while one looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from artifact_store.core import keys
from artifact_store.core.errors import ArtifactStoreError, Corrupt, NotFound, ObjectNotFound
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import BLOCK, HistoryBlock, Pointer, Publish
from artifact_store.core.shell import quoted
from artifact_store.core.tombstone import Tombstone
from artifact_store.diagnosis import rebuild, restore
from artifact_store.diagnosis.finding import BY_REPAIR, Repair
from artifact_store.diagnosis.inventory import Shelf
from artifact_store.diagnosis.look import Look, shown
from artifact_store.diagnosis.rebuild import Recovery
from artifact_store.diagnosis.runs import Records
from artifact_store.ops import deletion, publish

_PUBLISHING: Final = timedelta(hours=1)
_COPY = "restore it from a copy of the store"


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias of a model, under examination."""

    key: ModelKey
    name: str
    blocks: frozenset[int]

    @property
    def ref(self) -> str:
        """``type/symbol@alias``, as references are written."""
        return f"{self.key}@{self.name}"

    def block(self, last_seq: int) -> str:
        """Return the key of one block of its archive."""
        return keys.history_block(self.key, self.name, last_seq)


def examine(look: Look, shelf: Shelf, records: Records) -> None:
    """Look at every alias of a model, and note what is wrong with each."""
    names = sorted({*shelf.aliases, *shelf.blocks})
    aliases = [Alias(shelf.key, name, frozenset(shelf.blocks.get(name, ()))) for name in names]
    pointers: dict[str, Pointer] = {}
    believed = True
    for alias, seen in look.every(aliases, lambda alias: _read(look, alias)):
        if isinstance(seen, ObjectNotFound):
            believed = believed and not alias.blocks
            _missing(look, alias)
        elif isinstance(seen, ArtifactStoreError):
            believed = False
            if not look.refused(alias.ref, seen, what="the pointer"):
                _tell(look, alias, "pointer-corrupt", str(seen))
        else:
            pointers[alias.name] = seen
    for name, pointer in pointers.items():
        alias = next(alias for alias in aliases if alias.name == name)
        _archive(look, alias, pointer)
        _named(look, alias, pointer, records)
    _never_published(look, shelf, records, {*names})
    _offer_quarantine(look, records, pointers.values(), believed=believed)


def _read(look: Look, alias: Alias) -> Pointer:
    seen = publish.read_pointer(look.context.backend, alias.key, alias.name).pointer
    if seen is None:
        raise ObjectNotFound(keys.pointer(alias.key, alias.name))
    seen.embedded(f"the pointer {alias.ref}")
    return seen


# ---------------------------------------------------------------- pointers that are not there, or cannot be read


def _missing(look: Look, alias: Alias) -> None:
    if not alias.blocks:
        return  # listed, and gone again: nothing that a store does, and nothing that is left to be told
    told = f"the archive of its history goes to seq {max(alias.blocks)}, and there is no pointer: somebody removed it"
    _tell(look, alias, "pointer-missing", told)


def _tell(look: Look, alias: Alias, code: str, told: str) -> None:
    """Note it, with the offer to rebuild the pointer: at once where it is known what it named, else with a choice."""
    found = look.ask(lambda: rebuild.recover(look.context, alias.key, alias.name))
    if found is None:
        return  # it can be read again
    stuck = f". Until then no run of {alias.key.display_name} can be deleted" if code == "pointer-corrupt" else ""
    move_away = ", or move it away if it never was the pointer of an alias"
    if isinstance(found, ArtifactStoreError):
        why = "" if str(found) == told else f". What it named is not known: {found}"
        look.add("error", code, alias.ref, f"{told}{why}{stuck}", remedy=f"{_COPY}{move_away}")
        return
    if found.question:
        example = f"`artifact-store doctor --repair --apply --to {quoted(f'{alias.key}:RUN_ID')}`"
        remedy = f"choose the run that it is to name: {example} ({found.question}), or {_COPY}"
    else:
        remedy = f"{BY_REPAIR} ({found.message}), or {_COPY}"
    remedy += "" if found.is_known else move_away
    look.add("error", code, alias.ref, f"{told}{stuck}", remedy=remedy, repair=_rebuilding(look, alias, found))


def _rebuilding(look: Look, alias: Alias, found: Recovery) -> Repair:
    def choose(run: Manifest) -> Repair:
        chosen = replace(found, run=run, reason="chosen by hand", question="")
        return Repair("rebuild", chosen.message, lambda _: rebuild.rebuild(look.context, alias.key, alias.name, to=run))

    return Repair(
        "rebuild",
        found.message,
        lambda _: rebuild.rebuild(look.context, alias.key, alias.name),
        question=found.question,
        choose=choose,
    )


# ---------------------------------------------------------------- the history


def _archive(look: Look, alias: Alias, pointer: Pointer) -> None:
    """Compare the archive with what the pointer says that it holds."""
    expected = set(range(BLOCK, pointer.archived + 1, BLOCK))
    ahead = {last_seq for last_seq in alias.blocks if last_seq > pointer.archived}
    known: list[Publish] = list(pointer.entries)
    damaged = False
    for last_seq, block in look.every(sorted(alias.blocks | expected), partial(_block, look, alias)):
        if isinstance(block, ArtifactStoreError):
            damaged = True
            _broken_block(look, alias, last_seq, block, expected=last_seq in expected)
        elif last_seq in expected:
            known += block.entries
        else:
            damaged = _is_ahead(look, alias, pointer, block) or damaged
    if not damaged and len({entry.write_id for entry in known}) != len(known) and not ahead:
        told = "the same publish is in the history more than once"
        look.add("error", "history-corrupt", alias.ref, told, remedy=_COPY)


def _block(look: Look, alias: Alias, last_seq: int) -> HistoryBlock:
    return publish.read_block(look.context.backend, alias.key, alias.name, last_seq)


def _broken_block(look: Look, alias: Alias, last_seq: int, error: ArtifactStoreError, *, expected: bool) -> None:
    where = alias.block(last_seq)
    if look.refused(where, error, what="the block"):
        return
    remedy = f"{_COPY}; the alias serves what it names, and its history and rollbacks end there"
    if last_seq not in alias.blocks:
        told = f"the publishes {last_seq - BLOCK + 1} to {last_seq} of {alias.ref} are in no archive any more"
        look.add("error", "history-gap", where, told, remedy=remedy)
    else:
        effect = "" if expected else ": no publish can be archived over it, so the alias will not move any more"
        look.add("error", "history-corrupt", where, f"{error}{effect}", remedy=remedy)


def _is_ahead(look: Look, alias: Alias, pointer: Pointer, block: HistoryBlock) -> bool:
    """Note a block that the pointer does not know of, unless a publisher wrote it and died; tell if it is wrong."""
    where = alias.block(block.last_seq)
    if block.entries == pointer.entries[:BLOCK]:
        return False
    if block.last_seq > pointer.seq:
        fresh = look.ask(lambda: _read(look, alias))
        if isinstance(fresh, Pointer) and fresh.seq >= block.last_seq:
            return False  # the alias has moved meanwhile
        if block.last_seq < max(alias.blocks):
            return True  # told with the last one
        told = (
            f"{where} tells of seq {block.last_seq}, and the pointer is at {pointer.seq}: an older pointer was put "
            "back, which may name an older run"
        )
        remedy = "find out who put it back; restore the later pointer from a copy of the store"
        look.add("error", "pointer-behind-history", alias.ref, told, remedy=remedy)
    else:
        told = "it tells another history than the pointer, so that the next publish cannot be archived"
        look.add("error", "history-corrupt", where, told, remedy="find out which of the two is right; remove the other")
    return True


# ---------------------------------------------------------------- what it names


def _named(look: Look, alias: Alias, pointer: Pointer, records: Records) -> None:
    """Note if the run that an alias names is not there, after both were read once more."""
    if pointer.run_id is None:
        return
    run_id = RunId(pointer.run_id)
    record = records.known.get(run_id)
    if isinstance(record, Manifest) and record.digest == pointer.manifest_sha256:
        return
    fresh = look.ask(lambda: _read(look, alias))
    now = look.ask(lambda: deletion.look(look.context, alias.key, run_id).record)
    if not isinstance(fresh, Pointer) or fresh.run_id != run_id:
        return  # it has moved meanwhile
    if isinstance(now, Manifest):
        _other_manifest(look, alias, fresh, now)
    elif isinstance(now, Tombstone):
        _deleted(look, alias, now)
    elif isinstance(now, NotFound | Corrupt):
        _lost(look, alias, fresh, missing=isinstance(now, NotFound))


def _other_manifest(look: Look, alias: Alias, pointer: Pointer, manifest: Manifest) -> None:
    if manifest.digest == pointer.manifest_sha256:
        return
    told = (
        f"{publish.other_manifest(manifest, alias.name)} (sha256 {manifest.digest[:16]}, published was "
        f"{(pointer.manifest_sha256 or '')[:16]})"
    )
    remedy = f"artifact-store rollback {quoted(alias.ref)}"
    look.add("error", "pointer-other-manifest", alias.ref, told, remedy=remedy)


def _deleted(look: Look, alias: Alias, stone: Tombstone) -> None:
    if stone.state == "sealed":
        told = f"it names {stone.run_id}, which was {stone.told} and is gone"
        look.add("error", "pointer-dangling", alias.ref, told, remedy=f"artifact-store rollback {quoted(alias.ref)}")
        return
    look.withdraw("sweep-due", stone.label)  # gc brings it back as well
    told = f"it names {stone.run_id}, which was {stone.told}: whoever promoted or deleted it died in between"
    repair = Repair(
        "restore", told, lambda _: restore.undelete(look.context, alias.key, RunId(stone.run_id), alias.name)
    )
    remedy = f"artifact-store undelete {quoted(stone.label)}"
    look.add("error", "pointer-names-deleted", alias.ref, told, remedy=remedy, repair=repair)


def _lost(look: Look, alias: Alias, pointer: Pointer, *, missing: bool) -> None:
    """Note a run without a manifest that can be read; the copy in the pointer brings it back if its files are there."""
    run_id = RunId(pointer.run_id or "")
    copy = pointer.embedded(f"the pointer {alias.ref}")
    whole = copy is not None and restore.has_files(look.context, copy)
    repair, remedy = None, f"artifact-store rollback {quoted(alias.ref)}"
    if copy is not None and whole:
        why = "the pointer has a copy of the manifest, and all files are there"
        repair = Repair("restore", why, lambda _: restore.manifest(look.context, copy, alias.name))
        remedy = f"{BY_REPAIR}: {why}"
    label = f"{alias.key}:{run_id}"
    if missing:
        look.withdraw("torn-run", label)
        look.withdraw("save-in-progress", label)
        told = f"it names {run_id}, which has no manifest"
        look.add("error", "pointer-dangling", alias.ref, told, remedy=remedy, repair=repair)
    else:
        told = look.withdraw("manifest-corrupt", label) or "its manifest is damaged"
        look.add("error", "manifest-corrupt", label, f"{told}; {alias.ref} names it", remedy=remedy, repair=repair)


def _never_published(look: Look, shelf: Shelf, records: Records, names: set[str]) -> None:
    """Note runs that were saved to be published at once, under an alias that is not there at all."""
    waiting: dict[str, list[str]] = {}
    if look.context.backend.read_only:
        return  # nobody publishes in an old tree
    for manifest in records.manifests:
        late = look.now - manifest.created_at > _PUBLISHING
        if manifest.publish.policy == "always" and manifest.publish.alias not in names and late:
            waiting.setdefault(manifest.publish.alias, []).append(manifest.run_id)
    for alias, run_ids in sorted(waiting.items()):
        told = (
            f"{shown(run_ids)} {'was' if len(run_ids) == 1 else 'were'} saved to be published as {alias!r}, which was "
            "never published or has lost its pointer"
        )
        remedy = f"artifact-store promote {quoted(f'{shelf.key}:{run_ids[-1]}')} {alias}"
        look.add("warning", "never-published", f"{shelf.key}@{alias}", told, remedy=remedy)


def _offer_quarantine(look: Look, records: Records, pointers: Iterable[Pointer], *, believed: bool) -> None:
    """Offer to take damaged runs out of the way that no alias names, if it is known what all aliases name."""
    named = {pointer.run_id for pointer in pointers}
    for run_id, group in records.groups.items():
        if believed and run_id not in named and isinstance(records.known[run_id], Corrupt):
            why = "nobody can load it, and no alias names it; the damaged bytes stay in its tombstone"
            carry_out = partial(restore.quarantine, look.context, group.key, run_id)
            repair = Repair("quarantine", why, lambda _, do=carry_out: do(), only_if_asked=True)  # type: ignore[misc]
            look.offer("manifest-corrupt", group.label, repair)
