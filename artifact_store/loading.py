"""Load many runs at once: each reference gets its value or its error, in the order of the references.

Adds nothing to what one load does, and leaves nothing of it out: trust, hashes and the cache are those of
:meth:`artifact_store.Run.load`. Owns which references are one, how many are under way, and when to stop asking.

Why: docs/decisions/0026-bytes-instead-of-workers.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.references import RefLike, RunRef
from artifact_store.errors import ArtifactStoreError, InvalidOption
from artifact_store.ops import resolve
from artifact_store.ops.context import Context, check_called
from artifact_store.ops.outage import Outage
from artifact_store.run import Run
from artifact_store.storage.threads import Begun, Cancelled, result_of
from artifact_store.wording import brief

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """What came of one reference: the ``value`` and the ``run`` that it is of, or the ``error``. True if it was loaded.

    ``ref`` is the reference, as it was given if it cannot be read; ``error`` what a load of it alone would have raised.
    """

    ref: RefLike
    run: Run | None = None
    value: T | None = None
    error: Exception | None = None

    def __bool__(self) -> bool:
        return self.error is None


class LoadedMany(list[Loaded[T]]):
    """One :class:`Loaded` for each reference, in their order."""

    @property
    def ok(self) -> bool:
        """Whether all were loaded."""
        return all(self)

    @property
    def failed(self) -> list[Loaded[T]]:
        """Those that were not."""
        return [one for one in self if not one]

    def values(self) -> list[T]:
        """Return all values, in order.

        Raises:
            ExceptionGroup: not all were loaded; it holds the error of each that was not.
        """
        if errors := [one.error for one in self if one.error is not None]:
            raise ExceptionGroup(f"{len(errors)} of {len(self)} references could not be loaded", errors)
        return [one.value for one in self]  # type: ignore[misc]  # a value may be None, and is then a T


def load_many(
    context: Context,
    refs: Iterable[RefLike],
    load: Callable[[Run, RunRef], T],
    progress: Callable[[int, int], object] | None = None,
) -> LoadedMany[T]:
    """Return what ``load`` makes of the run that each reference names; equal references are loaded once.

    ``load`` is called in other threads, ``progress`` in this one: with how many of the different references are done,
    and how many there are. After an outage of the storage nothing more is asked of it.

    Raises:
        InvalidOption: ``refs`` is a single reference, or no list; or ``progress`` cannot be called.
    """
    if isinstance(refs, str | RunRef | ModelKey):
        raise InvalidOption(f"refs is a list of references, not one: [{str(refs)!r}]")
    if not isinstance(refs, Iterable):
        raise InvalidOption(f"refs is a list of references, not {brief(refs)}")
    check_called("progress", progress)
    read = [_parsed(ref) for ref in refs]
    wanted = list(dict.fromkeys(one.ref for one in read if one))
    done: dict[RefLike, Loaded[T]] = {}
    outage, last = Outage(), None
    batch = replace(context, staging=context.staging.shared_by_many())
    with closing(context.tasks.ahead(wanted, partial(_load, batch, load), at_once=len(wanted))) as begun:
        for ref, call in begun:
            one = done[ref] = _loaded(context, ref, call)
            if progress is not None:
                progress(len(done), len(wanted))
            outage.record(one.error)
            if outage.has_begun:
                last = one.error
                break
    return LoadedMany(done.get(one.ref, Loaded(one.ref, error=last)) if one else one for one in read)


def _parsed(ref: RefLike) -> Loaded[Any]:
    try:
        return Loaded(RunRef.parse(ref))
    except ArtifactStoreError as error:
        return Loaded(ref, error=error)


def _load(context: Context, load: Callable[[Run, RunRef], T], ref: RefLike) -> tuple[Manifest, T]:
    ref = RunRef.parse(ref)
    return resolve.use_run(context, ref, lambda manifest: (manifest, load(Run(context, manifest), ref)))


def _loaded(context: Context, ref: RefLike, begun: Begun[tuple[Manifest, T]]) -> Loaded[T]:
    try:
        manifest, value = result_of(begun)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 -- of a codec that is not ours, too: one broken model stops no other
        return Loaded(ref, error=error)
    return Loaded(ref, Run(context, manifest), value)
