"""Look through a store: which models, which runs, and which run to take. Reads only.

A listing is complete: it has what it could read, keeps what it could not in ``problems``, and never stops in between.

Why: docs/decisions/0001-no-server-no-database-no-index.md
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from artifact_store.core import keys
from artifact_store.core.index_rows import Row
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import LATEST, ModelKey, RunId, check_alias
from artifact_store.core.outline import Outline
from artifact_store.core.pointer import Pointer
from artifact_store.core.shell import quoted
from artifact_store.errors import (
    AmbiguousRun,
    ArtifactStoreError,
    InvalidOption,
    ModelNotFound,
    NotFound,
    RunNotFound,
    RunTooOld,
)
from artifact_store.ops import opening, pointer_trust, publish, signing
from artifact_store.ops.context import Context
from artifact_store.ops.outage import Outage
from artifact_store.problems import Problem

M = TypeVar("M", Manifest, Outline | Manifest)

_NEAR = 0.8
"""How alike two names have to be, as difflib counts it, for the one to be suggested for the other."""
_SHOWN = 5
"""How many names an error lists."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are wanted. Empty means all; every condition has to hold."""

    since: Any = None
    until: Any = None
    tags: Any = None
    limit: Any = None

    def __post_init__(self) -> None:
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
                raise InvalidOption(
                    f"{name} is an aware datetime, such as datetime(2026, 1, 1, tzinfo=UTC), not {moment!r}"
                )
        if self.tags is not None and not isinstance(self.tags, Mapping):
            raise InvalidOption(f"tags is a mapping of names to values, not a {type(self.tags).__name__}")
        if self.limit is not None and (not isinstance(self.limit, int) or self.limit < 0):
            raise InvalidOption(f"limit is a number from 0, not {self.limit!r}")

    def admits(self, manifest: Manifest | Outline | Row) -> bool:
        """Tell whether a run is wanted. ``since`` is included, ``until`` is not."""
        if self.since is not None and manifest.created_at < self.since:
            return False
        if self.until is not None and manifest.created_at >= self.until:
            return False
        return all(manifest.tags.get(name) == str(value) for name, value in (self.tags or {}).items())


def models(context: Context) -> list[ModelKey]:
    """Return every model that has a run or an alias, in order. Two levels of listings; nothing is opened."""
    return _models_in(context, context.records.children(""))


def models_of_store(context: Context) -> list[ModelKey]:
    """Return the same, of a root that is a store, or would be if its record were not lost, or is empty.

    Raises:
        NotAStore: the root holds something else.
    """
    children = context.records.children("")
    found = _models_in(context, children)
    is_store = not children or keys.STORE_MARKER in children
    if not is_store and not any(True for key in found for _ in manifests(context, key, Filter(), [])):
        opening.check_store(context.records)
    return found


def _models_in(context: Context, children: Iterable[str]) -> list[ModelKey]:
    found = []
    for child in children:
        model_type = keys.model_type_in(child)
        if model_type is None:
            continue
        below = context.records.children(keys.type_prefix(model_type))
        if any(keys.run_in(name) or keys.alias_in(name) for name in below):
            found.append(ModelKey(model_type))
        found.extend(ModelKey(model_type, symbol) for name in below if (symbol := keys.symbol_in(name)) is not None)
    return sorted(found)


def alias_names(context: Context, key: ModelKey) -> list[str]:
    """Return the names of the aliases that a model ever had, in order; nothing is opened."""
    below = context.records.children_beginning(keys.model_prefix(key), *keys.ALIASES_BEGIN)
    return sorted(alias for name in below if (alias := keys.alias_in(name)) is not None)


def aliases(context: Context, key: ModelKey) -> dict[str, Pointer]:
    """Return every alias of a model that was ever published, by name, retired ones too: one listing, one read each."""
    reads = {
        alias: context.workers.submit(partial(context.records.pointer, key, alias))
        for alias in alias_names(context, key)
    }
    try:
        found = {alias: seen.value for alias, read in reads.items() if (seen := read.result()) is not None}
    finally:
        for read in reads.values():
            read.cancel()  # after a failure those that have not begun are not needed
    return found


def suggestion(context: Context, key: ModelKey, alias: str = "") -> str:
    """Return what an error about a model without such a run or alias advises; ``NotAStore`` if there is no store."""
    return "so this cache saw it last, offline" if context.is_offline else _suggestion(context, key, alias)


def _suggestion(context: Context, key: ModelKey, alias: str) -> str:
    if not opening.check_store(context.records):
        return f"there is no store yet: {opening.without_store(context.backend)}"
    known = alias_names(context, key)
    if alias and known:
        if close := difflib.get_close_matches(alias, known, n=2):
            return f"did you mean {' or '.join(f'{key}@{name}' for name in close)}?"
        return f"its aliases are {', '.join(known[:_SHOWN])}{', ...' if len(known) > _SHOWN else ''}"
    there = models(context)
    if key in there:
        return _runs_of(context, key, alias)
    near = _near(key, there)
    if alias and near:
        return f"did you mean {' or '.join(_whole(context, model, alias) for model in near)}?"
    return near_models(key, there)


def _runs_of(context: Context, key: ModelKey, alias: str) -> str:
    """Return what to do about a model that has no alias: which run to name, and how to publish it."""
    listed = f"`artifact-store ls {quoted(str(key))}` lists its runs"
    with closing(manifests(context, key, Filter(), [], signed=True)) as found:
        newest = next(found, None)
    if newest is None:
        return listed
    command = f"`artifact-store promote {quoted(newest.label)} {alias or LATEST}`"
    return f"{listed}, and {command} publishes the newest"


def _whole(context: Context, key: ModelKey, alias: str) -> str:
    """Return the reference of another model that was perhaps meant: with the alias, where that model has it."""
    known = alias_names(context, key)
    there = alias if alias in known else next(iter(difflib.get_close_matches(alias, known, n=1)), None)
    there = there or (LATEST if LATEST in known else None)
    return str(key) if there is None else f"{key}@{there}"


def _near(key: ModelKey, there: Sequence[ModelKey]) -> list[ModelKey]:
    """Return the models of which the names are written nearly as this one's: by case only, if there are such."""
    names = {str(model): model for model in there}
    near = [name for name in names if name.casefold() == str(key).casefold()]
    return [names[name] for name in near or difflib.get_close_matches(str(key), names, n=2, cutoff=_NEAR)]


def near_models(key: ModelKey, there: Sequence[ModelKey]) -> str:
    """Return what an error about a model that is not among these advises: those, or types, written nearly so."""
    types = () if key.symbol is not None else tuple(dict.fromkeys(model.model_type for model in there))
    others = [name for name in types if name != key.model_type]
    if near := _near(key, there) or difflib.get_close_matches(key.model_type, others, n=2):
        return f"did you mean {' or '.join(map(str, near))}?"
    of = f" of {', '.join(types[:_SHOWN])}{', ...' * (len(types) > _SHOWN)}" if types else ""
    return f"`artifact-store ls` lists what there is ({len(there)} model{'s' * (len(there) != 1)}{of})"


def no_model(context: Context, key: ModelKey) -> ModelNotFound:
    """Return the error for a model that is not there; ``NotAStore`` is raised if the root holds something else."""
    return ModelNotFound(f"no run of {key.display_name} in {context.backend.url}; {suggestion(context, key)}")


def run_ids(context: Context, key: ModelKey) -> list[RunId]:
    """Return the ids of the runs of a model, newest first; some may never have been committed."""
    return list(_ids_in(run_folders(context, key)))


def run_folders(context: Context, key: ModelKey, beginning: str = "") -> list[str]:
    """Return the names that may be those of runs, newest first; those of aliases are not asked for."""
    begin = (beginning,) if beginning else keys.RUNS_BEGIN
    return sorted(context.records.folders_beginning(keys.model_prefix(key), *begin), reverse=True)


def _ids_in(folders: Iterable[str]) -> Iterator[RunId]:
    """Yield those that are the ids of runs."""
    return (run_id for name in folders if (run_id := keys.run_named(name)) is not None)


def manifests(
    context: Context,
    key: ModelKey,
    wanted: Filter,
    problems: list[Problem],
    *,
    signed: bool = False,
    folders: Sequence[str] | None = None,
) -> Generator[Manifest, None, None]:
    """Yield the manifests of the committed runs of a model, newest first; what is broken goes to ``problems``.

    ``folders`` are the names of those to look at, where these are not all of the model. To ``problems`` goes as well,
    if they have to be ``signed``, what is not signed as the policy requires; and what could not be asked for, since the
    storage did not answer several times in a row: waiting for each of many runs would take for ever.
    """
    records = context.records

    def read(run_id: RunId) -> Manifest:
        manifest = records.manifest(key, run_id)
        if signed:
            signing.check_signed(context, manifest)
        return manifest

    folders = run_folders(context, key) if folders is None else folders
    return _committed(context, key, folders, wanted, problems, read)


def outlines(
    context: Context, key: ModelKey, folders: Sequence[str], wanted: Filter, problems: list[Problem]
) -> Generator[Outline | Manifest, None, None]:
    """Yield the same of the runs among these names, of each that is plainly sound its outline."""
    return _committed(context, key, folders, wanted, problems, partial(context.records.outline, key))


def _committed(
    context: Context,
    key: ModelKey,
    folders: Sequence[str],
    wanted: Filter,
    problems: list[Problem],
    read: Callable[[RunId], M],
) -> Generator[M, None, None]:
    outage, ids = Outage(), _ids_in(folders)
    with closing(context.workers.ahead(ids, read, at_once=context.records.at_once)) as found:
        for place, (run_id, future) in enumerate(found, start=1):
            try:
                manifest = future.result()
            except NotFound:  # never committed, or deleted: it does not exist
                outage.record(None)
                continue
            except ArtifactStoreError as error:
                problems.append(Problem(f"{key}:{run_id}", error))
                outage.record(error)
                if outage.has_begun:
                    problems += [Problem(f"{key}:{left}", error) for left in islice(_ids_in(folders), place, None)]
                    return
                continue
            outage.record(manifest)
            if wanted.admits(manifest):
                yield manifest


def resolve_prefix(context: Context, key: ModelKey, prefix: str) -> RunId:
    """Return the only run whose id begins with ``prefix``.

    Raises:
        RunNotFound: there is no such run.
        AmbiguousRun: there are several; ``candidates`` has them, newest first.
    """
    fitting = list(_ids_in(run_folders(context, key, prefix)))
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = ", ".join(fitting[:_SHOWN]) + (", …" if len(fitting) > _SHOWN else "")
        raise AmbiguousRun(f"{key}:{prefix} could be {shown}; give more of the id", candidates=fitting)
    raise RunNotFound(
        f"no run of {key.display_name} in {context.backend.url} has an id that begins with {prefix}; "
        f"{suggestion(context, key)}"
    )


@dataclass(frozen=True, slots=True)
class FoundRun:
    """Which run was found, and by which steps."""

    manifest: Manifest
    steps: tuple[str, ...]


def find_run(
    context: Context, key: ModelKey, prefer: str | Sequence[str], *, newest: bool, max_run_age: timedelta | None = None
) -> FoundRun:
    """Return the run to use, which is not older than ``max_run_age``, and the steps that led to it.

    Raises:
        RunTooOld: it is older.
        InvalidName, InvalidOption: an alias is outside the grammar, or the age is not a length of time.
        ModelNotFound: there is no such alias and, with ``newest``, no run to take.
        Corrupt, Unavailable, AccessDenied, Untrusted: an alias, or the run that it names, cannot be read or trusted.
    """
    if not isinstance(prefer, Iterable):
        raise InvalidOption(f"prefer is an alias or a list of them, not {prefer!r}")
    aliases = [check_alias(alias) for alias in ([prefer] if isinstance(prefer, str) else prefer)]
    limit = check_limit(max_run_age)
    found = _preferred(context, key, aliases, newest=newest)
    age = context.now() - found.manifest.created_at  # by the clock of its saver and that of this store
    if limit is not None and age > limit:
        raise RunTooOld(
            f"{found.manifest.label} was saved {_age_text(age)} ago ({found.manifest.created_at:%Y-%m-%d %H:%M} UTC), "
            f"and max_run_age allows {_age_text(limit)}: train a new run, or allow more",
            ref=found.manifest.label,
            age=age,
            limit=limit,
        )
    return found


def _preferred(context: Context, key: ModelKey, prefer: Sequence[str], *, newest: bool) -> FoundRun:
    """Return the run of the first alias that exists; the newest publishable one where none does.

    A retired alias names no run and is passed over, but it exists: the newest run is then not taken. An alias that
    exists and cannot be read is an error, not a reason to take something else.
    """
    steps: list[str] = []
    exists = False
    for alias in prefer:
        seen = context.records.pointer(key, alias)
        pointer = None if seen is None else seen.value
        pointer_trust.check_pointer_for_load(context, key, alias, pointer)
        if pointer is None:
            steps.append(f"{key}@{alias}: was never published")
        elif pointer.run_id is None:
            exists = True
            steps.append(f"{key}@{alias}: is retired since {pointer.at:%Y-%m-%d %H:%M:%S} UTC")
        else:
            manifest = publish.published_manifest(context, pointer)
            steps.append(f"{key}@{alias}: names {manifest.run_id}, taken")
            return FoundRun(manifest, tuple(steps))
    if newest and not exists:
        return _newest(context, key, steps)
    raise _none_to_take(context, key, steps)


def check_limit(max_run_age: object) -> timedelta | None:
    """Return an age that a run may have at most, or raise ``InvalidOption`` unless it is a length of time above 0."""
    if max_run_age is None or (isinstance(max_run_age, timedelta) and max_run_age > timedelta(0)):
        return max_run_age
    raise InvalidOption(f"max_run_age is a timedelta above 0, such as timedelta(days=30), not {max_run_age!r}")


def _age_text(length: timedelta) -> str:
    """Return a length of time in days, or in hours if it is short."""
    days = length / timedelta(days=1)
    return f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"


def _newest(context: Context, key: ModelKey, steps: list[str]) -> FoundRun:
    problems: list[Problem] = []
    for manifest in manifests(context, key, Filter(), problems, signed=True):
        if problems:
            break
        why_not = _why_not_taken(context, manifest)
        if why_not is None:
            steps.append(f"{manifest.label}: the newest committed run, taken")
            return FoundRun(manifest, tuple(steps))
        steps.append(f"{manifest.label}: {why_not}")
    if problems:
        raise problems[0].error
    raise _none_to_take(context, key, steps)


def _none_to_take(context: Context, key: ModelKey, steps: Sequence[str]) -> ModelNotFound:
    shown = "; ".join(steps) or "no alias was asked for"
    hint = suggestion(context, key)
    return ModelNotFound(f"no run of {key.display_name} to take in {context.backend.url}: {shown}; {hint}")


def _why_not_taken(context: Context, manifest: Manifest) -> str | None:
    """Return why a run must not be taken by its age alone, or ``None`` if it may be."""
    wish = manifest.publish
    if wish.policy == "never":
        return "was saved with publish='never'"
    if wish.policy == "always":
        return None
    seen = context.records.pointer(manifest.key, wish.alias)
    if seen is not None:
        pointer_trust.check_pointer_history(context, seen.value)
    if any(entry.run_id == manifest.run_id for entry in context.records.history(seen)):
        return None
    return f"was to be published as {wish.alias!r} only under {wish.policy}, and was not"
