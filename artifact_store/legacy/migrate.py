"""Copy the runs of an old tree into a store: each whole or not at all, and once; the old tree is not changed.

Every copy carries the digest of the old files, by which it is recognised, so a migration that was interrupted is
simply repeated. An alias is created where the store never had it, and never moved. What cannot be read is refused with
its reason, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from operator import methodcaller
from pathlib import Path
from typing import Any, Protocol

from artifact_store.bulk.work import Bulk, Inquiry, Sent, Work
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import Pointer
from artifact_store.core.policy import Later, Policy
from artifact_store.core.references import RunRef
from artifact_store.core.registry import CodecRegistry
from artifact_store.draft import Draft
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Conflict,
    Corrupt,
    InvalidInput,
    InvalidOption,
    NotFound,
    PointerConflict,
    RunDeleted,
    RunExists,
    Unavailable,
    Untrusted,
)
from artifact_store.legacy.backend import Scratch
from artifact_store.legacy.formats.convert import DIGEST_TAG, Conversion, ConversionReport, convert, open_old
from artifact_store.legacy.report import (
    AliasOutcome,
    Migrated,
    MigratedAlias,
    Migration,
    Outcome,
    migrated_from_json,
    migrated_to_json,
)
from artifact_store.legacy.trees.layout import OldAlias, OldRun
from artifact_store.legacy.trees.single_file import scan_path
from artifact_store.run import Run
from artifact_store.storage.options import LOCAL, parse_url


class Opens(Sent, Protocol):
    """What opens a store in another process; :class:`artifact_store.StoreSpec` is one."""

    def open(self) -> AbstractContextManager[Store]:
        """Return the store."""


class Store(Protocol):
    """What a migration needs of a store: to look for runs, to commit new ones, and to publish those."""

    @property
    def url(self) -> str:
        """Where it is."""

    def runs(self, key: ModelKey) -> Iterable[Run]:
        """Return the runs of a model."""

    def get(self, ref: RunRef) -> Run:
        """Return a run by its id."""

    def spec(self) -> Opens:
        """Return what opens the store in another process."""

    def aliases(self, key: ModelKey) -> Mapping[str, Pointer]:
        """Return the pointers of a model."""

    def new_run(self, key: ModelKey, *, run_id: str | None, publish: Policy) -> Draft:
        """Return a run to fill."""

    def promote(self, run: RunRef, alias: str, *, reason: str, expect: int) -> Pointer:
        """Publish a run where nothing was ever published."""


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far a migration has come: ``done`` of ``total`` runs; ``source`` is next, if they come one by one."""

    done: int
    total: int
    source: str


def migrate_tree(
    old: str | Path,
    store: Store,
    *,
    dry_run: bool = False,
    progress: Callable[[MigrationProgress], None] | None = None,
    jobs: int | None = None,
    resume: str | Path | None = None,
) -> Migration:
    """Copy every run of the old tree that the store does not have, create its aliases, and report.

    With ``dry_run`` everything is read and converted, and nothing is written. ``jobs`` runs are copied at once, by
    workers that see the old tree under the same path, and ``resume`` keeps what came of each, as in
    :meth:`artifact_store.ArtifactStore.verify`.

    Raises:
        ContainerNotFound, NotAStore: there is no old tree; or the store's root holds something else.
        InvalidOption: the store lies inside the old tree.
        Unavailable, AccessDenied, Unsupported, OutcomeUnknown: the store cannot be written. What was copied is whole;
            repeat the call.
    """
    tree = scan_path(old)
    place = parse_url(store.url)
    if place.scheme == LOCAL and Path(place.prefix).resolve().is_relative_to(tree.root.resolve()):
        raise InvalidOption(
            f"the store {store.url} lies inside the old tree {tree.root}, which stays as it is; name another"
        )
    inquiry = Inquiry(
        MIGRATE, {"store": store.url}, {"old": str(tree.root.resolve()), "dry_run": dry_run}, store, store.spec
    )

    def announce(done: int, total: int) -> None:
        if progress is not None:
            progress(MigrationProgress(done, total, tree.runs[done].source if done < total else ""))

    runs = inquiry.ask({run.source: run for run in tree.runs}, Bulk(jobs, resume, announce))
    ids = {run.source: run.run_id for run in runs if run.run_id is not None and run.is_there}
    aliases = tuple(_name(store, alias, ids, dry_run=dry_run) for alias in tree.aliases)
    return Migration(str(old), store.url, dry_run, tuple(runs), aliases, tuple(tree.problems))


@contextmanager
def _copying(store: Store, *, old: str, dry_run: bool) -> Iterator[Callable[[OldRun], Migrated]]:
    del old  # part of the inquiry; a run knows its own files
    with closing(_Copier(store, dry_run=dry_run)) as copier:
        yield copier.copy


def _is_there_still(store: Store, _arguments: Mapping[str, Any], source: str, run: Migrated) -> bool:
    """Tell whether the store has what a journal says of it: it may have been made anew since."""
    if run.outcome not in {"copied", "already there"}:
        return run.source == source
    try:
        store.get(RunRef(ModelKey.parse(run.key), None, run.run_id))
    except (NotFound, Corrupt, Untrusted, InvalidInput):
        return False
    return run.source == source


MIGRATE: Work[Store, Migrated] = Work(
    "migrate",
    opened=methodcaller("open"),
    asking=_copying,
    to_json=migrated_to_json,
    from_json=migrated_from_json,
    lasting=lambda run: run.ok,
    holds=_is_there_still,
    lost=lambda source, error: Migrated(source, "", None, "refused", error=error),
)


class _Copier:
    """The copying of some runs."""

    def __init__(self, store: Store, *, dry_run: bool) -> None:
        self._store, self._dry_run = store, dry_run
        self._scratch = Scratch(CodecRegistry())
        self._runs = cache(lambda key: list(store.runs(key)))

    def close(self) -> None:
        """End the threads of the dry run."""
        self._scratch.close()

    def copy(self, old: OldRun) -> Migrated:
        """Copy one run, unless it is there."""
        opened = open_old(old)
        there = self._copy_of(old, opened.digest)
        if there is not None:
            return Migrated(old.source, str(old.key), there.run_id, "already there")
        try:
            conversion = convert(opened)
        except ArtifactStoreError as error:  # of this run alone: nothing was asked of the store yet
            return Migrated(old.source, str(old.key), old.run_id, "refused", ConversionReport(), error)
        run_id, report = conversion.run_id, conversion.report
        try:
            draft = (self._scratch.draft if self._dry_run else self._draft)(conversion)
        except (Unavailable, AccessDenied):  # of the temporary space, so of every run
            raise
        except ArtifactStoreError as error:
            return Migrated(old.source, str(old.key), run_id, "refused", report, error)
        outcome, failed = self._save(draft)
        return Migrated(old.source, str(old.key), run_id, outcome, report, failed)

    def _copy_of(self, old: OldRun, digest: str) -> Run | None:
        """Return the run in the store that was made of these files, under the same run id if the old run has one."""
        runs = self._runs(old.key) if old.run_id is None else self._stored(old.key, old.run_id)
        return next((run for run in runs if run.tags.get(DIGEST_TAG) == digest), None)

    def _stored(self, key: ModelKey, run_id: str) -> list[Run]:
        """Return the run of this id, if there is one that can be read."""
        try:
            return [self._store.get(RunRef(key, None, run_id))]
        except (NotFound, Corrupt, Untrusted):
            return []

    def _draft(self, conversion: Conversion) -> Draft:
        draft = self._store.new_run(conversion.key, run_id=conversion.run_id, publish=Later())
        conversion.fill(draft)
        return draft

    def _save(self, draft: Draft) -> tuple[Outcome, ArtifactStoreError | None]:
        """Commit the draft unless the store has another run under its id.

        Raises:
            ArtifactStoreError: the store cannot be written at all, which is nothing about this run.
        """
        try:
            if self._stored(draft.key, draft.run_id):
                return "conflict", RunExists(
                    f"{draft.key}:{draft.run_id} is another run in {self._store.url}, which stays; "
                    "to have both, migrate into another store"
                )
            if self._dry_run:
                return "would copy", None
            draft.commit()
        except RunDeleted as error:
            return "deleted", error
        except Conflict as error:
            return "conflict", error
        except (InvalidInput, Corrupt) as error:
            return "refused", error
        finally:
            draft.discard()
        return "copied", None


def _name(store: Store, alias: OldAlias, ids: Mapping[str, str], *, dry_run: bool) -> MigratedAlias:
    """Create one alias, unless the store has it."""
    run_id = None if alias.run is None else ids.get(alias.run.source)
    outcome, error = _publish(store, alias, run_id, dry_run=dry_run)
    return MigratedAlias(alias.source, str(alias.key), alias.name, run_id, outcome, error)


def _publish(
    store: Store, alias: OldAlias, run_id: str | None, *, dry_run: bool
) -> tuple[AliasOutcome, ArtifactStoreError | None]:
    if alias.run is None or run_id is None:
        what = alias.source if alias.run is None else alias.run.source
        return "refused", alias.error or Corrupt(f"the run that it names, {what}, was not migrated")
    try:
        there = store.aliases(alias.key).get(alias.name)
        if there is not None:
            return ("already there" if there.run_id == run_id else "kept"), None
        if dry_run:
            return "would create", None
        reason = f"as in the old tree: {alias.source}"
        store.promote(RunRef(alias.run.key, None, run_id), alias.name, reason=reason, expect=0)
    except PointerConflict:  # lost to a concurrent writer, whose pointer stays
        return "kept", None
    except Corrupt as error:
        return "refused", error
    return "created", None
