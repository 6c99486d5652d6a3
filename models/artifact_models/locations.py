"""Where a run is, in every form that is accepted: a folder, a URL, a path into a store, a run itself.

Owns the opening of the store behind them. What the text means, and every name in it, is judged by the store's own
:class:`artifact_store.Location`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artifact_models.installed import class_name, model_types
from artifact_store import ArtifactStore, Location, ModelKey, Run, RunRef, errors
from artifact_store.backends import StorageOptions


def to_save(output_dir: str | Path, model_type: str, run_id: str | None, symbol: str | None) -> Location:
    """Return where a run is to be saved; what the path says already is not nested into itself.

    Raises:
        InvalidOption: the path names one symbol or run, and the arguments another.
    """
    place = Location.parse(output_dir, [model_type])
    said = place.key.symbol if place.key else None
    for what, in_path, given in (("symbol", said, symbol), ("run id", place.run, run_id)):
        if None not in (in_path, given) and in_path != given:
            raise errors.InvalidOption(
                f"{os.fspath(output_dir)!r} ends in the {what} {in_path!r}, and {given!r} was given: leave one out"
            )
    if place.alias is not None:
        raise errors.InvalidOption(
            f"{os.fspath(output_dir)!r} names the alias {place.alias!r}; give the folder, and alias={place.alias!r}"
        )
    return Location(place.root, ModelKey(model_type, symbol or said), None, run_id or place.run)


Options = Mapping[str, Any] | StorageOptions | None
"""Storage options as the caller wrote them, or kept from sight."""


def out_of_sight(storage_options: Options) -> StorageOptions | None:
    """Return storage options for a variable or an attribute: no report of an error and no pickle shows credentials."""
    return StorageOptions.of(storage_options) if storage_options else None


@contextmanager
def opened(place: str | Path | ArtifactStore, storage_options: Options) -> Iterator[ArtifactStore]:
    """Give the store at ``place``: the caller's own, or one that is closed afterwards.

    Raises:
        InvalidOption: a ready store takes no storage options.
    """
    if not isinstance(place, ArtifactStore):
        with ArtifactStore(place, storage_options=storage_options) as store:
            yield store
        return
    if storage_options:
        raise errors.InvalidOption("a ready store takes no storage options: give them where the store is made")
    yield place


def find_run(
    source: Run | RunRef | ModelKey | str | Path,
    types: Sequence[str],
    *,
    store: ArtifactStore | str | Path | None,
    storage_options: Options,
) -> Run:
    """Return the run that ``source`` means: a run itself, a reference into ``store``, or a path or URL of its own.

    A path into an old tree, which is not a store yet, is read in place.

    Raises:
        InvalidReference: it names no run.
        NotFound, Corrupt, Unavailable: as :meth:`artifact_store.ArtifactStore.get`.
    """
    if isinstance(source, Run):
        return source
    if store is not None:
        if isinstance(source, Path):
            raise errors.InvalidReference(
                f"with a store, a run is named by text such as 'gru/BTCEUR@latest', not {source}"
            )
        with opened(store, storage_options) as there:
            return there.get(source)
    if isinstance(source, RunRef | ModelKey):
        raise errors.InvalidReference(f"{source} says nothing about where the store is: give store=")
    place = Location.parse(source, types)
    if place.key is None:
        _explain(source)
    ref = place.ref()
    if is_not_a_store(place.root):
        return ArtifactStore.open_legacy(place.root).get(ref)
    with opened(place.root, storage_options) as there:
        return there.get(ref)


def _explain(source: str | Path) -> None:
    """Raise for what is near to the name of a model, and say what to write instead."""
    other = Location.parse(source, model_types()).key
    if other is not None:
        raise errors.InvalidReference(
            f"{os.fspath(source)!r} names a model of the type {other.model_type!r}: load it with "
            f"{class_name(other.model_type)}, or a model of any type with BaseModelAdapter"
        )
    if is_file(source):
        raise errors.InvalidReference(
            f"{os.fspath(source)!r} is a file: name the folder of the run, which holds all that belongs to the model; "
            "a best_wf file of an old tree is TYPE/SYMBOL@best_wf in the folder of the models"
        )


def is_url(path: str | Path) -> bool:
    """Tell whether this is written as a URL."""
    return Location(os.fspath(path)).is_url


def in_home(path: str | Path) -> Path:
    """Return a path as the store will read it: with the home folder for a leading ``~``, if there is one."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- raises nothing without a home: the store says it better


def is_file(path: str | Path) -> bool:
    """Tell whether there is such a file on this machine; a URL is not, nor a name that the file system refuses."""
    try:
        return not is_url(path) and in_home(path).is_file()
    except OSError:
        return False


def is_folder(path: str | Path) -> bool:
    """Tell whether there is such a folder, likewise."""
    try:
        return not is_url(path) and in_home(path).is_dir()
    except OSError:
        return False


def is_not_a_store(root: str) -> bool:
    """Tell whether this is a folder on this machine that is not a store: an old tree, or anything else."""
    if not is_folder(root):
        return False
    with ArtifactStore(root) as store:
        return not store.exists()
