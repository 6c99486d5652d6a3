"""The paper trader of the earlier pipeline: the models of some symbols, found, loaded, and kept up to date."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Final, Self

from artifact_models import locations
from artifact_models.pipeline import file_paths
from artifact_models.pipeline.file_paths import FilePath
from artifact_models.pipeline.trainers import TRAINERS, PipelineTrainer
from artifact_models.trading.validated_runs import UNCHECKED, ValidatedRuns
from artifact_store import ArtifactStore, ModelKey, Run, RunRef, errors

log = logging.getLogger(__name__)

_NOWHERE: Final = (errors.NotAStore, errors.ContainerNotFound)
"""What is wrong with the place, and not with one of its models."""
_GONE: Final = (errors.NotFound, errors.RunTooOld, errors.NotForTrading)
"""After these, what was loaded before may not go on either."""


class UnifiedPaperTrader:
    """``models[symbol][model_type]`` holds a trainer, ready to predict, for every model of the symbols.

    ``config`` is handed to the trainers, and has ``symbols`` and ``models_dir`` where these are not given; without
    symbols, all that there are at ``models_dir`` are meant. ``models_dir`` is the root of a store, or an old tree,
    which is read in place.

    Each run is validated once (:meth:`artifact_store.Run.validate`), and passed over unless it is sound; one without
    golden predictions is loaded, and logged as "not compared". With ``unchecked=True`` nothing is validated. A run that
    was saved longer ago than ``max_run_age`` is refused, also if it is loaded already, and so is one that a note says
    not to trade.

    :meth:`load_all_models` may be called again and again: what is still published stays, and what is not is replaced.
    ``problems`` has what went wrong in the last call, by symbol and model type.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        symbols: Iterable[str] | None = None,
        models_dir: FilePath | ArtifactStore | None = None,
        *,
        model_types: Iterable[str] = tuple(TRAINERS),
        storage_options: Mapping[str, Any] | None = None,
        unchecked: bool = False,
        max_run_age: timedelta | None = None,
    ) -> None:
        self._storage_options = locations.out_of_sight(storage_options)
        del storage_options
        if config is not None and not isinstance(config, Mapping):
            raise errors.InvalidOption(f"config is a mapping of settings, not {config!r:.80}; give symbols=[...]")
        given = config or {}
        self.config: Mapping[str, Any] | None = config
        self.symbols: list[str] = _names(symbols if symbols is not None else given.get("symbols"))
        self.models_dir: FilePath | ArtifactStore = models_dir or given.get("models_dir") or "./models"
        self.model_types = _names(model_types)
        unknown = [kind for kind in self.model_types if kind not in TRAINERS]
        if unknown:
            raise errors.InvalidOption(f"no trainer is of the type {unknown[0]!r}; there are {', '.join(TRAINERS)}")
        self.max_run_age = _limit(max_run_age)
        self._checked = None if unchecked else ValidatedRuns()
        self.models: dict[str, dict[str, Any]] = {symbol: {} for symbol in self.symbols}
        self.problems: dict[tuple[str, str], Exception] = {}
        self._store: ArtifactStore | None = None

    def __repr__(self) -> str:
        loaded = sum(len(models) for models in self.models.values())
        return f"<{type(self).__name__}: {loaded} models of {len(self.models)} symbols>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections. The trader can be used again; it then makes new ones."""
        if self._store is not None and self._store is not self.models_dir:
            self._store.close()
        self._store = None

    def load_all_models(self) -> dict[str, dict[str, Any]]:
        """Load the model of each symbol and type: ``best_wf``, else ``latest``, else the newest run; return ``models``.

        A run that is loaded already is not loaded again. One broken model stops no other: it is in ``problems``, and
        the one that was loaded before goes on, unless it is gone, too old, or not to be traded. A model of which
        nothing is published any more is taken out.

        Raises:
            NotAStore, ContainerNotFound: there are no models at ``models_dir``, but something else, or no bucket.
        """
        store = self._opened(fresh=True)
        self.problems = {}
        for symbol, model_type in list(self._wanted(store)):
            self._refresh(store, ModelKey(model_type, symbol))
        if not any(self.models.values()) and not self.problems:
            file_paths.refuse_other_roots(store)
            log.warning("no model of %s was found in %s", ", ".join(self.symbols) or "any symbol", store.url)
        return self.models

    def _wanted(self, store: ArtifactStore) -> Iterator[tuple[str, str]]:
        if self.symbols:
            yield from ((symbol, kind) for symbol in self.symbols for kind in self.model_types)
            return
        keys = {(key.symbol, key.model_type) for key in store.models() if key.symbol and key.model_type in TRAINERS}
        keys |= {(symbol, kind) for symbol, models in self.models.items() for kind in models}
        yield from sorted((symbol, kind) for symbol, kind in keys if symbol and kind in self.model_types)

    def _refresh(self, store: ArtifactStore, key: ModelKey) -> None:
        """Load what is published now, unless it is what is loaded."""
        symbol, models = str(key.symbol), self.models.setdefault(str(key.symbol), {})
        before = models.get(key.model_type)
        try:
            run = store.find(key, max_run_age=self.max_run_age)
            run.notes().check_tradable()
            if before is None or before.run != run:
                checked = UNCHECKED if self._checked is None else self._checked(run)
                models[key.model_type] = self._loaded(key.model_type, run)
                log.info("%s is loaded: %s; %s", run.ref, run.found_by[-1] if run.found_by else "named", checked)
        except _NOWHERE:
            raise
        except errors.ModelNotFound as error:
            models.pop(key.model_type, None)
            log.debug("%s", error)
        except Exception as error:  # noqa: BLE001 -- of a library too, which met what it did not expect: the others go on
            self.problems[symbol, key.model_type] = error
            if isinstance(error, _GONE):
                models.pop(key.model_type, None)
            log.warning("%s is %s: %s", key, "as it was" if key.model_type in models else "not loaded", error)

    def _loaded(self, model_type: str, run: Run) -> PipelineTrainer:
        return TRAINERS[model_type].load_model(run, self.config)

    # ------------------------------------------------------------ the finders, by the names that scripts use

    def _find_latest_best_wf(self, model_type: str, symbol: str) -> str | None:
        """Return the path of the best walk-forward model, which ``load_model`` takes, or ``None`` without one.

        Raises:
            Corrupt, Unavailable, …: there is one, and what it names cannot be told.
        """
        try:
            run = self._opened().get(RunRef(ModelKey(model_type, symbol), "best_wf"))
        except (errors.ModelNotFound, errors.AliasNotFound, errors.AliasRetired):
            return None
        return _path(run, f"model{file_paths.SUFFIXES[model_type][0]}")

    def _find_latest_unified_artifact(self, model_type: str, symbol: str, filename: str) -> str | None:
        """Return the path of a file of the published run, else of the newest one, or ``None`` without one.

        The model's own file is meant by any name that it had (``model.pth``); that path is one that ``load_model``
        takes. What is published decides, and not the times of files.

        Raises:
            Corrupt, Unavailable, …: there is one, and what it names cannot be told.
        """
        try:
            run = self._opened().find(ModelKey(model_type, symbol), prefer="latest")
        except errors.ModelNotFound:
            return None
        return _path(run, filename) if _has(run, filename) else None

    def _opened(self, *, fresh: bool = False) -> ArtifactStore:
        """Return the store; ``fresh`` looks again what there is at a place that is, or was, no store."""
        if fresh and self._store is not None and self._may_be_old(self._store):
            self.close()
        if self._store is None:
            self._store = file_paths.open_root(self.models_dir, self._storage_options)
        return self._store

    def _may_be_old(self, store: ArtifactStore) -> bool:
        if isinstance(self.models_dir, ArtifactStore):
            return False
        return store.guarantees.engine == "legacy" or locations.is_not_a_store(os.fspath(self.models_dir))


def _names(values: Iterable[str] | None) -> list[str]:
    """Return names as a list; a single text is one name."""
    return [values] if isinstance(values, str) else list(dict.fromkeys(values or ()))


def _limit(given: object) -> timedelta | None:
    if given is None or (isinstance(given, timedelta) and given > timedelta(0)):
        return given
    raise errors.InvalidOption(f"max_run_age is a timedelta above 0, such as timedelta(days=30), not {given!r:.80}")


def _path(run: Run, filename: str) -> str:
    url = run.url()
    return url + ("" if url.endswith(("/", "\\")) else "/") + filename


def _has(run: Run, filename: str) -> bool:
    """Tell whether a run has what an old file name means: its model, a component, or a file of this name."""
    name = PurePosixPath(filename)
    is_model = name.stem == "model" and name.suffix in file_paths.SUFFIXES[run.key.model_type]
    is_part = name.stem != "model" and name.stem in run.components  # not a model of another family
    return is_model or is_part or filename in run.files
