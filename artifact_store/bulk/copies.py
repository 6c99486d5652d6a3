"""Copy many runs, and their aliases, from one store to another; what came of each, for people and as JSON.

A run is copied whole or not at all, and one that is there is not copied again, so a copy that was interrupted is
simply repeated. What is wrong with one run stops no other; a storage that does not answer ends the call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from artifact_store.bulk.checks import place_of
from artifact_store.bulk.spec import Spec
from artifact_store.bulk.verdicts import JSON, error_from_json, error_to_json
from artifact_store.bulk.work import Bulk, Inquiry, Work
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, check_alias
from artifact_store.core.references import RefLike, RunRef, has_selector
from artifact_store.errors import (
    AliasNotFound,
    ArtifactStoreError,
    Conflict,
    Corrupt,
    InvalidInput,
    InvalidOption,
    NotAStore,
    NotFound,
    RunDeleted,
    Unsupported,
    Untrusted,
)
from artifact_store.ops import listing, opening, publish, resolve
from artifact_store.ops.context import Context
from artifact_store.ops.copy_alias import AliasOutcome, copy_alias
from artifact_store.ops.copy_run import copy_run, is_there
from artifact_store.problems import Problem
from artifact_store.wording import brief

_OF_ONE = (NotFound, Conflict, Corrupt, InvalidInput, Unsupported, Untrusted)
"""Errors that say something about a run or an alias, and nothing about the storage."""

RunOutcome = Literal["copied", "would copy", "already there", "deleted", "refused", "gone"]


@dataclass(frozen=True, slots=True)
class CopiedRun:
    """What came of a run. ``error`` says why it is not in the target.

    ``deleted``: it was there, and was deleted there. ``gone``: it is no run of the source (any more).
    """

    ref: str
    outcome: RunOutcome
    bytes: int = 0
    error: ArtifactStoreError | None = None

    @property
    def ok(self) -> bool:
        """The target has the run (or would have it), or had it and deleted it."""
        return self.outcome != "refused"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"ref": self.ref, "outcome": self.outcome, "bytes": self.bytes, "error": _error(self.error)}


@dataclass(frozen=True, slots=True)
class CopiedAlias:
    """What came of an alias.

    ``published``: it names the run there by a new publish. ``ahead``: it was published again there since it was copied.
    """

    ref: str
    outcome: AliasOutcome | Literal["refused"]
    error: ArtifactStoreError | None = None

    @property
    def ok(self) -> bool:
        """Every publish of the alias is in the target (or would be), or the one in force, where that was asked for."""
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"ref": self.ref, "outcome": self.outcome, "error": _error(self.error)}


@dataclass(frozen=True, slots=True)
class Copies:
    """Everything that came of a copy. Iterates per run."""

    source: str
    target: str
    dry_run: bool
    runs: tuple[CopiedRun, ...]
    aliases: tuple[CopiedAlias, ...]

    def __iter__(self) -> Iterator[CopiedRun]:
        return iter(self.runs)

    @property
    def ok(self) -> bool:
        """Every run and every alias that was named is in the target, as it is in the source."""
        return all(run.ok for run in self.runs) and all(alias.ok for alias in self.aliases)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why what is not in the target is not there."""
        errors = [(each.ref, each.error) for each in self.runs] + [(each.ref, each.error) for each in self.aliases]
        return tuple(Problem(ref, error) for ref, error in errors if error is not None)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs came to which outcome, in order of frequency."""
        return dict(Counter(run.outcome for run in self.runs).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "source": self.source,
            "target": self.target,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "counts": self.counts,
            "runs": [run.to_json() for run in self.runs],
            "aliases": [alias.to_json() for alias in self.aliases],
        }


def _error(error: ArtifactStoreError | None) -> dict[str, str] | None:
    return None if error is None else {"type": type(error).__name__, "message": str(error)}


# ---------------------------------------------------------------- what is copied


@dataclass(frozen=True, slots=True)
class Wanted:
    """The runs to copy, by their full references, and the aliases."""

    runs: tuple[str, ...]
    aliases: tuple[tuple[ModelKey, str], ...]

    def manifests(self, source: Context) -> list[Manifest]:
        """Return the manifests of the runs; names of what was never committed, or was deleted, are passed over."""
        found = []
        with closing(source.workers.ahead(self.runs, lambda ref: resolve.resolve(source, RunRef.parse(ref)))) as ahead:
            for _, future in ahead:
                with suppress(NotFound):  # a name of a listing is no run yet
                    found.append(future.result())
        return found


def wanted(source: Context, refs: Iterable[RefLike], aliases: Iterable[str] | None) -> Wanted:
    """Return what references stand for: a model for all of its runs and aliases, an alias for that and its run.

    ``aliases`` are the names of those to copy, of each model that is named, instead.

    Raises:
        NotFound: a reference names nothing, or there is no store.
        InvalidOption: ``aliases`` is no list.
    """
    if not opening.check_store(source.records):
        raise NotAStore(opening.no_store(source.backend))
    if isinstance(aliases, str) or not isinstance(aliases, Iterable | None):
        raise InvalidOption(f"aliases is a list of names, such as ['latest'], or [] for none, not {brief(aliases)}")
    names = None if aliases is None else [check_alias(alias) for alias in aliases]
    runs: dict[str, None] = {}
    found: dict[tuple[ModelKey, str], None] = {}
    models: dict[ModelKey, None] = {}
    for ref in refs:
        if not isinstance(ref, ModelKey) and has_selector(ref):
            parsed = RunRef.parse(ref)
            manifest = resolve.resolve(source, parsed)
            runs[manifest.label] = None
            models[manifest.key] = None
            if parsed.alias is not None:
                found[manifest.key, parsed.alias] = None
            continue
        for key in _covered(source, ref):
            runs.update(dict.fromkeys(f"{key}:{run_id}" for run_id in reversed(listing.run_ids(source, key))))
            models[key] = None
            found.update(dict.fromkeys((key, alias) for alias in listing.alias_names(source, key)))
    if names is not None:
        found = dict.fromkeys(_named(source, models, names))
    return Wanted(tuple(runs), tuple(found))


def _named(source: Context, models: Collection[ModelKey], names: Sequence[str]) -> Iterator[tuple[ModelKey, str]]:
    """Yield the aliases of these names that models have; ``AliasNotFound`` for a name that none of them has."""
    there = {key: set(listing.alias_names(source, key)) for key in models}
    for name in names:
        having = [key for key in models if name in there[key]]
        if not having and models:
            first = next(iter(models))
            hint = listing.suggestion(source, first, name)
            raise AliasNotFound(
                f"no model that is named has the alias {name!r} in {source.backend.url}; of {first}: {hint}"
            )
        yield from ((key, name) for key in having)


def _covered(source: Context, ref: RefLike | ModelKey) -> list[ModelKey]:
    key = ref if isinstance(ref, ModelKey) else RunRef.parse(ref).key
    covered = [model for model in listing.models(source) if key.covers(model)]
    if not covered:
        raise listing.no_model(source, key)
    return covered


# ---------------------------------------------------------------- the work


@dataclass(frozen=True, slots=True)
class Pair:
    """Two stores: from which, and to which."""

    source: Context
    target: Context


@dataclass(frozen=True, slots=True)
class PairSpec:
    """What opens both in another process."""

    source: Spec
    target: Spec

    @property
    def url(self) -> Any:
        """Where the runs come from."""
        return self.source.url

    @property
    def one_process(self) -> bool:
        """Whether one of them is in the memory of this process."""
        return self.source.one_process or self.target.one_process

    @contextmanager
    def opened(self) -> Iterator[Pair]:
        """Open both for as long as the block runs."""
        with self.source.opened() as source, self.target.opened() as target:
            yield Pair(source, target)


def copy_many(
    pair: Pair,
    specs: Callable[[], PairSpec],
    what: Wanted,
    *,
    history: bool,
    dry_run: bool,
    how: Bulk,
) -> Copies:
    """Copy runs and aliases, and report.

    Raises:
        Unavailable, AccessDenied, OutcomeUnknown: a storage does not answer; what was copied is whole. Repeat the call.
        NotAStore, Corrupt, Unsupported, ConditionsUnsupported: nothing can be written to the target.
        InvalidOption: other processes cannot open the stores, or the journal answers another question.
    """
    source, target = pair.source, pair.target
    if source.backend.places[0] == target.backend.places[0]:
        raise InvalidOption(f"both are the store {source.backend.url}: name another one to copy to")
    if dry_run:
        opening.check_store(target.records)
    elif what.runs:
        opening.ensure_open(target)
    place = {**place_of(source), "to": target.backend.places[0]}
    runs = Inquiry(COPY, place, {"dry_run": dry_run}, pair, specs).ask({ref: ref for ref in what.runs}, how)
    aliases = [_alias(pair, key, alias, history=history, dry_run=dry_run) for key, alias in what.aliases]
    kept = tuple(run for run in runs if run.outcome != "gone")  # a listing has names of what was never committed
    return Copies(source.backend.url, target.backend.url, dry_run, kept, tuple(aliases))


def _alias(pair: Pair, key: ModelKey, alias: str, *, history: bool, dry_run: bool) -> CopiedAlias:
    ref = f"{key}@{alias}"
    try:
        return CopiedAlias(ref, copy_alias(pair.source, pair.target, key, alias, history=history, dry_run=dry_run))
    except _OF_ONE as error:
        return CopiedAlias(ref, "refused", error)


@contextmanager
def _copying(pair: Pair, *, dry_run: bool) -> Iterator[Callable[[str], CopiedRun]]:
    yield lambda ref: _copy(pair, ref, dry_run=dry_run)


def _copy(pair: Pair, ref: str, *, dry_run: bool) -> CopiedRun:
    try:
        manifest = resolve.resolve(pair.source, RunRef.parse(ref))
    except NotFound as error:
        return CopiedRun(ref, "gone", error=error)
    except _OF_ONE as error:
        return CopiedRun(ref, "refused", error=error)
    try:
        if dry_run:
            outcome: RunOutcome = "already there" if is_there(pair.target, manifest) else "would copy"
        else:
            outcome = "copied" if copy_run(pair.source, pair.target, manifest) else "already there"
    except _OF_ONE as error:
        return CopiedRun(ref, "deleted" if isinstance(error, RunDeleted) else "refused", error=error)
    return CopiedRun(ref, outcome, _size(manifest) if outcome != "already there" else 0)


def _size(manifest: Manifest) -> int:
    return sum(entry.size for entry in manifest.files)


def _is_there_still(pair: Pair, _arguments: Mapping[str, JSON], ref: str, run: CopiedRun) -> bool:
    """Tell whether the target still has a run that a journal says it has: one small request."""
    named = RunRef.parse(ref)
    try:
        return run.ref == ref and publish.stored_manifest(pair.target.records, named.key, named.run or "") is not None
    except (Corrupt, Unsupported):
        return False


def _from_json(value: JSON) -> CopiedRun:
    error = None if value["error"] is None else error_from_json(value["error"])
    return CopiedRun(value["ref"], value["outcome"], value["bytes"], error)


COPY: Work[Pair, CopiedRun] = Work(
    "copy",
    opened=PairSpec.opened,
    asking=_copying,
    to_json=lambda run: run.to_json() | {"error": None if run.error is None else error_to_json(run.error)},
    from_json=_from_json,
    lasting=lambda run: run.outcome in {"copied", "already there"},
    holds=_is_there_still,
    lost=lambda ref, error: CopiedRun(ref, "refused", error=error),
)
