"""Copy the runs of an old tree into a store: each whole or not at all, and once; the old tree is not changed.

Every copy carries the digest of the old files, by which it is recognised, so a migration that was interrupted is
simply repeated. An alias is created where the store never had it, and never moved. What cannot be read is refused with
its reason, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import Pointer
from artifact_store.core.policy import Later, Policy
from artifact_store.core.registry import CodecRegistry
from artifact_store.draft import Draft
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Conflict,
    Corrupt,
    InvalidInput,
    InvalidOption,
    PointerConflict,
    RunDeleted,
    RunExists,
    Unavailable,
)
from artifact_store.legacy.backend import Scratch
from artifact_store.legacy.formats.convert import DIGEST_TAG, Conversion, ConversionReport, convert, open_old
from artifact_store.legacy.report import AliasOutcome, Migrated, MigratedAlias, Migration, Outcome
from artifact_store.legacy.trees.layout import OldAlias, OldRun
from artifact_store.legacy.trees.single_file import scan_path
from artifact_store.run import Run
from artifact_store.storage.options import LOCAL, parse_url


class Store(Protocol):
    """What a migration needs of a store: to look for runs, to commit new ones, and to publish those."""

    @property
    def url(self) -> str:
        """Where it is."""

    def runs(self, key: ModelKey) -> Iterable[Run]:
        """Return the runs of a model."""

    def aliases(self, key: ModelKey) -> Mapping[str, Pointer]:
        """Return the pointers of a model."""

    def new_run(self, key: ModelKey, *, run_id: str | None, publish: Policy) -> Draft:
        """Return a run to fill."""

    def promote(self, run: Run, alias: str, *, reason: str, expect: int) -> Pointer:
        """Publish a run where nothing was ever published."""


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far a migration has come: ``done`` of ``total`` runs; ``source`` is the one that is next."""

    done: int
    total: int
    source: str


def migrate_tree(
    old: str | Path, store: Store, *, dry_run: bool = False, progress: Callable[[MigrationProgress], None] | None = None
) -> Migration:
    """Copy every run of the old tree that the store does not have, create its aliases, and report.

    With ``dry_run`` everything is read and converted, and nothing is written.

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
    runs = []
    with closing(_Work(store, dry_run=dry_run)) as work:
        for done, run in enumerate(tree.runs):
            if progress is not None:
                progress(MigrationProgress(done, len(tree.runs), run.source))
            runs.append(work.copy(run))
        aliases = tuple(work.name(alias) for alias in tree.aliases)
    if progress is not None:
        progress(MigrationProgress(len(tree.runs), len(tree.runs), ""))
    return Migration(str(old), store.url, dry_run, tuple(runs), aliases, tuple(tree.problems))


class _Work:
    """One migration under way."""

    def __init__(self, store: Store, *, dry_run: bool) -> None:
        self._store, self._dry_run = store, dry_run
        self._scratch = Scratch(CodecRegistry())
        self._runs = cache(lambda key: list(store.runs(key)))
        self._ids: dict[str, str] = {}
        self._there: dict[str, Run] = {}

    def close(self) -> None:
        """End the threads of the dry run."""
        self._scratch.close()

    def copy(self, old: OldRun) -> Migrated:
        """Copy one run, unless it is there."""
        opened = open_old(old)
        there = self._copy_of(old, opened.digest)
        if there is not None:
            self._keep(old, there)
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
        outcome, failed = self._save(old, draft)
        return Migrated(old.source, str(old.key), run_id, outcome, report, failed)

    def name(self, alias: OldAlias) -> MigratedAlias:
        """Create one alias, unless the store has it."""
        run_id = None if alias.run is None else self._ids.get(alias.run.source)
        outcome, error = self._publish(alias, run_id)
        return MigratedAlias(alias.source, str(alias.key), alias.name, run_id, outcome, error)

    def _copy_of(self, old: OldRun, digest: str) -> Run | None:
        """Return the run in the store that was made of these files, under the same run id if the old run has one."""
        copies = (run for run in self._runs(old.key) if run.tags.get(DIGEST_TAG) == digest)
        return next((run for run in copies if old.run_id in {None, run.run_id}), None)

    def _keep(self, old: OldRun, run: Run) -> None:
        self._there[old.source] = run
        self._ids[old.source] = run.run_id

    def _draft(self, conversion: Conversion) -> Draft:
        draft = self._store.new_run(conversion.key, run_id=conversion.run_id, publish=Later())
        conversion.fill(draft)
        return draft

    def _save(self, old: OldRun, draft: Draft) -> tuple[Outcome, ArtifactStoreError | None]:
        """Commit the draft unless the store has another run under its id.

        Raises:
            ArtifactStoreError: the store cannot be written at all, which is nothing about this run.
        """
        try:
            if any(run.run_id == draft.run_id for run in self._runs(old.key)):
                return "conflict", RunExists(
                    f"{draft.key}:{draft.run_id} is another run in {self._store.url}, which stays; "
                    "to have both, migrate into another store"
                )
            if self._dry_run:
                self._ids[old.source] = draft.run_id
                return "would copy", None
            self._keep(old, draft.commit())
        except RunDeleted as error:
            return "deleted", error
        except Conflict as error:
            return "conflict", error
        except (InvalidInput, Corrupt) as error:
            return "refused", error
        finally:
            draft.discard()
        return "copied", None

    def _publish(self, alias: OldAlias, run_id: str | None) -> tuple[AliasOutcome, ArtifactStoreError | None]:
        if alias.run is None or run_id is None:
            what = alias.source if alias.run is None else alias.run.source
            return "refused", alias.error or Corrupt(f"the run that it names, {what}, was not migrated")
        try:
            there = self._store.aliases(alias.key).get(alias.name)
            if there is not None:
                return ("already there" if there.run_id == run_id else "kept"), None
            if self._dry_run:
                return "would create", None
            reason = f"as in the old tree: {alias.source}"
            self._store.promote(self._there[alias.run.source], alias.name, reason=reason, expect=0)
        except PointerConflict:  # lost to a concurrent writer, whose pointer stays
            return "kept", None
        except Corrupt as error:
            return "refused", error
        return "created", None
