"""From a reference to what it names: a manifest, a pointer, a history. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from artifact_store.core.grammar import RUN_ID
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import LATEST, ModelKey, RunId
from artifact_store.core.pointer import Pointer, Publish
from artifact_store.core.references import RunRef
from artifact_store.core.shell import quoted
from artifact_store.errors import AliasNotFound, AliasRetired, Conflict, InvalidReference, RunDeleted
from artifact_store.ops import listing, opening, pointer_trust, publish, remembering, signing
from artifact_store.ops.context import Context
from artifact_store.ops.records import Stored
from artifact_store.wording import brief

T = TypeVar("T")

_RESOLVE_AGAIN = 3
"""How often an alias is resolved again when the run that it named is deleted under the reader."""


def resolve(context: Context, ref: RunRef, *, signed: bool = True) -> Manifest:
    """Return the manifest of the run that a reference names: one request, unless it is a part of a run id.

    Where the policy requires signatures, the signature of its pointer covers what an alias names. A run named by its id
    takes one more request, for its own signature, unless it need not be ``signed``.

    Raises:
        AliasNotFound, AliasRetired, RunNotFound, RunDeleted, AmbiguousRun: it names no run, or several.
        Corrupt: the pointer or the manifest is damaged.
        Untrusted: the policy requires a signature of the pointer or the run, and does not find one that is good.
    """
    if ref.alias is None:
        run_id = ref.run_id or listing.resolve_prefix(context, ref.key, ref.run or "")
        manifest = context.records.manifest(ref.key, run_id)
        if signed:
            signing.check_signed(context, manifest)
        remembering.remember_run(context, manifest)
        return manifest
    return run_named_by(context, published_pointer(context, ref).value)


def run_named_by(context: Context, pointer: Pointer) -> Manifest:
    """Return the manifest of the run that a pointer names, if the policy lets it decide what is loaded; no request.

    One, where the manifest is too large to be in the pointer.

    Raises:
        AliasRetired, RunDeleted: it names none, or one that is gone.
        Corrupt, Untrusted: as for :func:`resolve`.
    """
    pointer_trust.check_pointer_for_load(context, pointer.key, pointer.alias, pointer)
    if pointer.run_id is None:
        raise AliasRetired(
            f"{pointer.label} was retired at {pointer.at:%Y-%m-%d %H:%M:%S} UTC by {pointer.by!r}"
            f"{f': {pointer.reason!r}' if pointer.reason else ''}; promote a run to it to use it again"
        )
    return publish.published_manifest(context, pointer)


def published_pointer(context: Context, ref: RunRef) -> Stored[Pointer]:
    """Return the pointer of the alias that a reference names.

    Raises:
        AliasNotFound: it was never published. The text has the likeliest of the names that are there.
        NotAStore, ContainerNotFound: there is no store.
        InvalidReference: the reference has a run id instead of an alias.
    """
    alias = ref.alias
    if alias is None:
        raise InvalidReference(f"{ref} names a run; this needs an alias, such as {ref.key}@{LATEST}")
    seen = context.records.pointer(ref.key, alias)
    if seen is None:
        pointer_trust.check_pointer_for_load(context, ref.key, alias, None)
        hint = listing.suggestion(context, ref.key, alias)
        if not context.is_offline:
            hint = _run_is_meant(ref, [str(key) for key in listing.models(context)]) or hint
        raise AliasNotFound(f"{ref} was never published in {context.backend.url}; {hint}")
    return seen


def _run_is_meant(ref: RunRef, models: Sequence[str]) -> str:
    """Return what to say where an unknown symbol ends like a run id; nothing where it does not."""
    model, symbol = ref.key.model_type, ref.key.symbol or ""
    if RUN_ID.fullmatch(symbol):
        return f"a run of {model} without a symbol is named {model}:{symbol}"
    before, _, digits = str(ref.key).rpartition(":")
    if before in models and digits[:1].isdigit():
        return f"a run is named by at least its whole date, as in {before}:20240816; this reads as a symbol"
    return ""


def use_run(context: Context, ref: RunRef, use: Callable[[Manifest], T]) -> T:
    """Return what ``use`` makes of the run that a reference names; an alias is resolved again if the run is deleted.

    Raises:
        RunDeleted: the run was named by its id, or what the alias names was deleted each time.
    """
    for _ in range(_RESOLVE_AGAIN if ref.alias is not None else 0):
        try:
            return use(resolve(context, ref))
        except RunDeleted:
            continue
    return use(resolve(context, ref))


class History(list[Publish]):
    """Every publish that an alias ever had, oldest first, and the pointer that it was read with, which pins it."""

    def __init__(self, entries: Iterable[Publish], seen: Stored[Pointer]) -> None:
        super().__init__(entries)
        self.seen = seen

    @property
    def pointer(self) -> Pointer:
        """The pointer in force, as :meth:`artifact_store.ArtifactStore.promote` takes it as ``vouch``."""
        return self.seen.value


def history(context: Context, ref: RunRef) -> History:
    """Return the history of an alias.

    Raises:
        AliasNotFound: it was never published.
        Corrupt: a part of it is missing or damaged.
        Untrusted: the policy requires a signature of the pointer, and does not find a good one.
    """
    seen = published_pointer(context, ref)
    pointer_trust.check_pointer_history(context, seen.value)
    remembering.remember_pointer(context, ref.key, seen.value.alias, seen.value)
    return History(context.records.history(seen), seen)


def _no_full_id(what: RunRef, verb: str) -> InvalidReference:
    """Return the error for a reference that is not exact; a ``:`` before anything but a date is the symbol's."""
    head, colon, tail = (what.key.symbol or "").rpartition(":")
    if not (head and colon and what.run is None and what.alias == LATEST):
        return InvalidReference(f"{what} does not name a run by its full id: {verb} needs {what.key}:RUN_ID")
    model = ModelKey(what.key.model_type, head)
    return InvalidReference(
        f"{what.key} does not name a run by its full id, since {brief(tail)} is none: behind ':' stands the whole id, "
        f"such as {model}:20240816_142301_k3f8qz, and `artifact-store ls {quoted(str(model))}` lists those that there "
        f"are. If {brief(what.key.symbol)} is the symbol, {verb} needs {what.key}:RUN_ID"
    )


def named(context: Context, what: Manifest | RunRef, verb: str) -> tuple[ModelKey, RunId]:
    """Return the model and the id of a run that was committed here, deleted or not.

    Raises:
        InvalidReference: the reference is an alias, or a part of an id, which may mean another run tomorrow.
        RunNotFound: no such run was ever committed here.
        Conflict: the manifest is that of another store, where a run has the same name.
    """
    if isinstance(what, Manifest):
        key, run_id = what.key, RunId(what.run_id)
    elif what.run_id is None:
        raise _no_full_id(what, verb)
    else:
        key, run_id = what.key, what.run_id
    record = context.records.run(key, run_id).value
    found = record.digest if isinstance(record, Manifest) else record.manifest_sha256
    if isinstance(what, Manifest) and found not in {None, what.digest}:
        raise Conflict(f"{what.label} of {context.backend.url} is another run than the one that was given")
    return key, run_id


def own(context: Context, what: Manifest | RunRef, *, key: ModelKey | None = None, signed: bool = True) -> Manifest:
    """Return the manifest of a run of this store, and of ``key`` if one is given.

    Raises:
        Conflict: it is a run of another model, or of another store.
        NotFound, Corrupt, Untrusted: as :func:`resolve`.
    """
    manifest = what if isinstance(what, Manifest) else resolve(context, what, signed=signed)
    if key is not None and manifest.key != key:
        raise Conflict(
            f"{manifest.label} is not a run of {key.display_name}; an alias only names runs of its own model"
        )
    check_lives_here(context, manifest)
    return manifest


def lives_here(context: Context, manifest: Manifest, store_id: str) -> bool:
    """Tell whether a run was saved in this store, of that id, or copied to it by one that says so."""
    if manifest.store_id == store_id:
        return True
    origin = context.records.origin(manifest)
    return origin is not None and origin.admits(manifest, store_id)


def check_lives_here(context: Context, manifest: Manifest) -> None:
    """Raise ``Conflict`` unless a run was saved in this store, or copied to it from another one."""
    if not lives_here(context, manifest, (context.opened.record or opening.ensure_open_existing(context)).store_id):
        raise Conflict(
            f"{manifest.label} belongs to another store ({manifest.store_id}): copy it here with `artifact-store cp`, "
            "or store.copy"
        )
