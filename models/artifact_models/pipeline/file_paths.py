"""What a file path of the earlier pipeline means: a run of the store at its root, or one old file.

``{root}/{type}/{symbol}/{run_id}/{file}`` is that run; ``…/latest/{file}`` and ``…/{symbol}/{file}`` are the published
one; ``{root}/metadata/best_wf_{type}_{symbol}.{ext}`` is the alias ``best_wf``. The name of the file itself says no
more than that: the files of a run have names of their own.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artifact_models import locations
from artifact_store import ArtifactStore, Location, ModelKey, Run, RunId, errors

FilePath = str | Path

SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "gru": (".pth", ".pt"),
    "lightgbm": (".pkl", ".joblib"),
    "ppo": (".zip",),
}
"""What the files of models were called by the earlier pipeline, by model type; the usual one first."""

_ALL: Final = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
_BEST: Final = re.compile(rf"best_wf_({'|'.join(SUFFIXES)})(?:_(.+))?\.[a-z]+")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model is to be saved: the root of a store, the model, the run id or none, and the alias."""

    root: str
    key: ModelKey
    run_id: str | None
    alias: str


def target(filepath: FilePath, model_type: str, symbol: str | None) -> Target:
    """Return where ``filepath`` says that a model is to be saved.

    Raises:
        InvalidOption: it names no model of this type, or another symbol than ``symbol``.
    """
    text, alias = _without_file(filepath, model_type)
    place = Location.parse(text.removesuffix("@best_wf") if alias else text, [model_type])
    if place.key is None:
        raise errors.InvalidOption(
            f"{os.fspath(filepath)!r} does not say which model it is. Write ROOT/{model_type}/SYMBOL/RUN_ID/"
            f"model{SUFFIXES[model_type][0]}, or leave RUN_ID out to have one made; a '/' in SYMBOL is written "
            "';2F', which ModelKey.spell(symbol) does"
        )
    if symbol is not None and place.key.symbol != symbol:
        said = f"the symbol {place.key.symbol!r}" if place.key.symbol else "no symbol"
        raise errors.InvalidOption(
            f"{os.fspath(filepath)!r} names {said}, and symbol={symbol!r} was given: write the same in both, or leave "
            "out symbol"
        )
    if place.alias is not None:
        raise errors.InvalidOption(
            f"{os.fspath(filepath)!r} names {place.alias!r}, which is not a place to save to: name a run id, such "
            "as 20240816_142301, or leave it out; saving publishes the run as 'latest'"
        )
    return Target(place.root, place.key, place.run, alias or "latest")


def find_by_path(filepath: FilePath | Run, model_type: str, *, storage_options: locations.Options = None) -> Run:
    """Return the run that ``filepath`` means. A file in the old form is read in place, and runs no stored code.

    Raises:
        InvalidReference: it names no model of this type.
        NotFound: there is no such run or file.
        Corrupt, Unavailable, …: as :meth:`artifact_store.ArtifactStore.get`.
    """
    if isinstance(filepath, Run):
        return filepath
    text, _ = _without_file(filepath, model_type)
    if _is_old_file(filepath, Location.parse(text, [model_type]).root):
        return _only_run(filepath, model_type)
    return locations.find_run(text, [model_type], store=None, storage_options=storage_options)


def open_root(root: FilePath | ArtifactStore, storage_options: locations.Options = None) -> ArtifactStore:
    """Return the store at ``root``, or the old tree that is there.

    Raises:
        InvalidOption: a ready store takes no storage options.
    """
    if isinstance(root, ArtifactStore):
        if storage_options:
            raise errors.InvalidOption("a ready store takes no storage options: give them where the store is made")
        return root
    if locations.is_not_a_store(os.fspath(root)):
        try:
            return ArtifactStore.open_legacy(root)
        except errors.NotAStore:  # an empty folder, or one that is not a store, which the store reports
            pass
    return ArtifactStore(root, storage_options=storage_options)


def refuse_other_roots(store: ArtifactStore) -> None:
    """Raise if there is something else at the root of a store in which no model was found.

    Raises:
        NotAStore, ContainerNotFound: there is.
    """
    try:
        store.get(ModelKey("gru"))
    except (errors.NotAStore, errors.ContainerNotFound):
        raise
    except errors.NotFound:  # all that there is to say of an empty store
        return


def _is_old_file(filepath: FilePath, root: str) -> bool:
    text = os.fspath(filepath)
    if not text.endswith(_ALL) or not locations.is_file(text):
        return False
    return not locations.is_folder(root) or locations.is_not_a_store(root)


def _only_run(file: FilePath, model_type: str) -> Run:
    store = ArtifactStore.open_legacy(file)
    (key,) = store.models()
    if key.model_type != model_type:
        raise errors.InvalidReference(
            f"{os.fspath(file)!r} is the file of a {key.model_type} model by its name, and not of a {model_type}"
        )
    return store.get(key)


def _without_file(filepath: FilePath, model_type: str) -> tuple[str, str | None]:
    """Return the path without the name of the file, as the store reads it, and the alias or none.

    Raises:
        InvalidReference: it is the file of another type.
    """
    text = os.fspath(filepath)
    path = posixpath if locations.is_url(text) else os.path
    folder, name = path.split(text)
    best = _BEST.fullmatch(name) if path.basename(folder) == "metadata" else None
    if best is not None:
        if best[1] != model_type:
            raise errors.InvalidReference(f"{text!r} is the best {best[1]} model by its name, and not a {model_type}")
        root = path.dirname(folder) or os.curdir
        return path.join(root, best[1], *([best[2]] if best[2] else [])) + "@best_wf", "best_wf"
    return (folder if name.endswith(_ALL) or _is_run_id(path.basename(folder)) else text), None


def _is_run_id(name: str) -> bool:
    try:
        RunId(name)
    except errors.InvalidName:
        return False
    return True
