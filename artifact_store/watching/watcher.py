"""Many aliases that are watched by one poller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Self, TypeVar

from artifact_store.core.references import RefLike, RunRef
from artifact_store.errors import InvalidOption, Unsupported
from artifact_store.ops.context import Context
from artifact_store.process import Process, this_process
from artifact_store.run import Run
from artifact_store.storage.poller import Poller
from artifact_store.watching.pace import Storage, WatchOptions
from artifact_store.watching.watched import Watched

T = TypeVar("T")

_AT_ONCE: Final = 16
"""Aliases of one watcher that are looked at, or loaded, side by side."""


class Watcher:
    """Any number of watched aliases, and the one poller of all of them. A context manager.

    As long as the storage does not answer, one alias at a time asks for all, less and less often.

    Raises:
        Unsupported: the store is opened offline, where nothing is ever confirmed.
    """

    def __init__(self, context: Context, options: WatchOptions, *, alone: bool = False) -> None:
        if context.is_offline:
            raise Unsupported(
                f"{context.backend.url} is opened with offline=True, and what an alias names now is asked of the "
                "storage: open it without to watch, or load what the cache saw last"
            )
        self._context, self._options, self._alone = context, options, alone
        self._poller = Poller(_AT_ONCE)
        self._storages: dict[Process, Storage] = {}
        self._watched: dict[int, Watched[Any]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._watched)} aliases of {self._context.backend.url}>"

    def __iter__(self) -> Iterator[Watched[Any]]:
        return iter(list(self._watched.values()))

    def __len__(self) -> int:
        return len(self._watched)

    def add(
        self,
        ref: RefLike,
        component: str = "model",
        *,
        load: Callable[[Run], Any] | None = None,
        allow_code: bool = False,
    ) -> Watched[Any]:
        """Load what an alias names, as checked as any later run will be, and watch the alias from now on.

        Raises:
            InvalidReference: it names no alias.
            ArtifactStoreError: as for :meth:`artifact_store.ArtifactStore.load`; or the golden predictions are others.
        """
        watched = self._made(ref, component, load, allow_code=allow_code)
        watched.begin()
        return self._watch(watched)

    def add_many(
        self,
        refs: Iterable[RefLike],
        component: str = "model",
        *,
        load: Callable[[Run], Any] | None = None,
        allow_code: bool = False,
    ) -> list[Watched[Any]]:
        """Load and watch many aliases, loaded side by side, and return them in their order.

        One that cannot be loaded yet is watched all the same: until it can be, its ``model`` raises why.

        Raises:
            InvalidReference, InvalidName: one of them names no alias; none is watched.
        """
        made = [self._made(ref, component, load, allow_code=allow_code) for ref in refs]
        for watched, begun in self._context.tasks.ahead(made, Watched.try_to_begin, at_once=_AT_ONCE):
            begun.result()
            self._watch(watched)
        return made

    def close(self) -> None:
        """Watch no more. What was loaded last stays there to be used, and grows stale."""
        self._poller.close()
        for watched in self:
            watched.closed()
        self._watched.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _made(
        self, ref: RefLike, component: str, load: Callable[[Run], Any] | None, *, allow_code: bool
    ) -> Watched[Any]:
        if load is not None and not callable(load):
            raise InvalidOption(f"load is a function of a Run, not {load!r}")
        loads = load or (lambda run: run.load(component))
        return Watched(self, self._context, self._options, RunRef.parse(ref), loads, allow_code=allow_code)

    def _watch(self, watched: Watched[T]) -> Watched[T]:
        self._watched[id(watched)] = watched
        self._poller.add(watched, after=self._options.pause())
        return watched

    # ---- for what is watched

    @property
    def storage(self) -> Storage:
        """Whether the storage answers, as this process knows it."""
        return self._storages.setdefault(this_process(), Storage(self._options))

    def go_on(self) -> None:
        """Poll in this process too, if it was forked."""
        self._poller.ensure()

    def forget(self, watched: Watched[Any]) -> None:
        """Watch this one no more."""
        self._poller.remove(watched)
        self._watched.pop(id(watched), None)
        if self._alone:
            self._poller.close()
