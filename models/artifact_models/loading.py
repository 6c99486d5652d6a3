"""``load`` of the adapters: on a class it makes an adapter, on an adapter it fills that one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from artifact_models import locations
from artifact_models.installed import family_class, model_types
from artifact_store import ArtifactStore, ModelKey, Run, RunRef


class Loadable(Protocol):
    """An adapter, as far as loading needs it."""

    model_type: str

    def restore(self, run: Run, *, preprocessor: Any = None, config: Mapping[str, Any] | None = None) -> None:
        """Become what was saved as ``run``."""
        ...


A = TypeVar("A", bound=Loadable)

Source = Run | RunRef | ModelKey | str | Path
Root = ArtifactStore | str | Path


class Loading(Generic[A]):
    """``load``, bound to an adapter to fill, or to a class of which a new one is made."""

    def __init__(self, owner: type[A], adapter: A | None, base: type[Any]) -> None:
        self._owner, self._adapter, self._base = owner, adapter, base

    def __call__(
        self,
        path_or_ref: Source,
        *,
        store: Root | None = None,
        config: Mapping[str, Any] | None = None,
        preprocessor: Any = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> A:
        """Load a run; see :attr:`artifact_models.BaseModelAdapter.load`."""
        options = locations.out_of_sight(storage_options)
        del storage_options
        is_any = inspect.isabstract(self._owner)
        known = model_types() if is_any else [self._owner.model_type]
        run = locations.find_run(path_or_ref, known, store=store, storage_options=options)
        adapter: Any = self._adapter
        if adapter is None:
            adapter = (
                family_class(run.key.model_type, self._base) if inspect.isabstract(self._owner) else self._owner
            )()
        adapter.restore(run, preprocessor=preprocessor, config=config)
        loaded: A = adapter
        return loaded


class Load:
    """``Adapter.load(…)`` returns a new adapter; ``adapter.load(…)`` fills that one, and returns it as well."""

    _base: type[Any]

    def __set_name__(self, owner: type[Any], name: str) -> None:
        """Remember the class that every family inherits from: the one that has this in its body."""
        self._base = owner

    def __get__(self, adapter: A | None, owner: type[A]) -> Loading[A]:
        return Loading(owner, adapter, self._base)
