"""What the files of an old tree are called, and what they are for.

Names only: opens nothing, lists nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from artifact_store.core.names import RunId
from artifact_store.core.symbols import unspelled
from artifact_store.errors import InvalidName

BEST_WF: Final = "best_wf"
BESTS: Final = "metadata"
"""The folder with the best model of each walk-forward, ``best_wf_gru_BTCEUR.pt``."""
MODEL: Final = "model"
PREPROCESSOR: Final = "preprocessor"
VECNORMALIZE: Final = "model_vecnormalize"
METADATA: Final = "metadata"
MODEL_METADATA: Final = "model_metadata"
CONFIG: Final = "config"
IMPORTANCE: Final = "feature_importance"

FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "gru": (".pth", ".pt"),
    "lightgbm": (".pkl", ".joblib"),
    "ppo": (".zip",),
}
"""The model types of old trees and the suffixes that their models have."""

SUFFIXES: Final = {suffix: model_type for model_type, suffixes in FAMILIES.items() for suffix in suffixes}
_TYPES: Final = "|".join(FAMILIES)
_BEST: Final = re.compile(rf"best_wf_(?P<type>{_TYPES})(?:_(?P<symbol>.+))?(?P<suffix>\.[a-z]+)")
_FLAT: Final = re.compile(
    rf"(?P<type>{_TYPES})_model(?:_(?P<symbol>.+?))??(?:_(?P<time>[0-9]{{8}}_[0-9]{{6}}))?(?P<suffix>\.[a-z]+)"
)
_BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    PREPROCESSOR: ("{stem}_preprocessor.pkl", "{stem}_preprocessor.joblib"),
    VECNORMALIZE: ("{stem}_vecnormalize.pkl", "{stem}_vec_normalize.pkl"),
    MODEL_METADATA: ("{stem}_metadata.json",),
    CONFIG: ("{stem}_config.json",),
    IMPORTANCE: ("{stem}_feature_importance.parquet",),
}
_IN_FOLDER: Final[Mapping[str, tuple[str, ...]]] = {
    PREPROCESSOR: ("preprocessor.pkl", "preprocessor.joblib", "scaler.pkl"),
    VECNORMALIZE: ("vecnormalize.pkl", "vec_normalize.pkl"),
    METADATA: ("metadata.json",),
    CONFIG: ("config.json",),
    IMPORTANCE: ("feature_importance.parquet",),
}


def as_run_id(name: str) -> RunId | None:
    """Return the run id that a name is; ``None`` for any other name, such as digits that are not a time."""
    try:
        return RunId(name)
    except InvalidName:
        return None


def symbol_of(name: str) -> str:
    """Return the symbol that a folder, or a part of a file's name, stands for: an export spells some as keys do."""
    return unspelled(name) or name


def loose_name(
    name: str, model_type: str | None = None, symbol: tuple[str, ...] | None = None
) -> tuple[str, tuple[str, ...], str | None, str | None] | None:
    """Return model type, symbol, time and alias of a file that is a model by its name; none for any other file."""
    best, flat = _BEST.fullmatch(name), _FLAT.fullmatch(name)
    found = best or flat
    if found is not None and found["suffix"] in SUFFIXES and model_type in {None, found["type"]}:
        own = symbol or ((found["symbol"],) if found["symbol"] else ())
        return found["type"], own, None if best else found["time"], BEST_WF if best else None
    if model_type is not None and name in {MODEL + suffix for suffix in FAMILIES[model_type]}:
        return model_type, symbol or (), None, None
    return None


def in_folder(names: Sequence[str], model_type: str, model: str | None = None) -> dict[str, str]:
    """Return the files of a run's own folder by what they are for; ``model`` says which is the model where known."""
    model = model or only_model(names, model_type)
    found = {} if model is None else {MODEL: model}
    return found | beside_of(names, Path(model).stem if model else MODEL) | _first_of_each(names, _IN_FOLDER)


def only_model(names: Sequence[str], model_type: str) -> str | None:
    """Return the model of a folder: the one that is called so, else the only file that can be one."""
    suffixes = FAMILIES[model_type]
    known = {name for choices in _IN_FOLDER.values() for name in choices}
    model = next((MODEL + suffix for suffix in suffixes if MODEL + suffix in names), None)
    others = [name for name in names if Path(name).suffix in suffixes and name not in known]
    others = [name for name in others if not re.search(r"_(?:vec_?normalize|preprocessor)\.", name)]
    return model or (others[0] if len(others) == 1 else None)


def beside_of(names: Sequence[str], stem: str) -> dict[str, str]:
    """Return the files that are named after a model, by what they are for."""
    return _first_of_each(names, _BESIDE, stem)


def _first_of_each(names: Sequence[str], table: Mapping[str, tuple[str, ...]], stem: str = "") -> dict[str, str]:
    fitting = {role: [choice.format(stem=stem) for choice in choices] for role, choices in table.items()}
    found = {role: next((name for name in choices if name in names), None) for role, choices in fitting.items()}
    return {role: name for role, name in found.items() if name is not None}
