"""``load`` of the adapters: on a class it makes an adapter, on an adapter it fills that one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from artifact_models import families, locations
from artifact_store import ArtifactStore, ModelKey, Run, RunRef

if TYPE_CHECKING:
    from artifact_models.adapter import BaseModelAdapter

A = TypeVar("A", bound="BaseModelAdapter")

Source = Run | RunRef | ModelKey | str | Path
Root = ArtifactStore | str | Path


class Loading(Generic[A]):
    """``load``, bound to an adapter to fill, or to a class of which a new one is made."""

    def __init__(self, owner: type[A], adapter: A | None) -> None:
        self._owner, self._adapter = owner, adapter

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
        known = families.names() if inspect.isabstract(self._owner) else [self._owner.model_type]
        run = locations.find(path_or_ref, known, store=store, storage_options=storage_options)
        adapter: Any = self._adapter
        if adapter is None:
            adapter = (families.adapter_class(run.key.model_type) if inspect.isabstract(self._owner) else self._owner)()
        adapter.restore(run, preprocessor=preprocessor, config=config)
        loaded: A = adapter
        return loaded


class Load:
    """``Adapter.load(…)`` returns a new adapter; ``adapter.load(…)`` fills that one, and returns it as well."""

    def __get__(self, adapter: A | None, owner: type[A]) -> Loading[A]:
        return Loading(owner, adapter)
