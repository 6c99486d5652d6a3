"""LightGBM boosters as LightGBM's own text, with what that text forgets in JSON beside it.

The text holds all trees, also those behind the best iteration, feature names and pandas categories. It loses
``best_iteration``, without which a booster that stopped early predicts with too many trees, ``best_score`` and the
spelling of ``params``; these are in ``{stem}.json``. Not kept: the training data, evaluation history, and parameters
that are not plain values (named in ``params_omitted``). The text rounds the gain of a split to about seven digits, so
``feature_importance("gain")`` is as exact as that; predictions do not depend on it.

LightGBM's parser is not memory-safe (its issue #7357: a text can make it write beyond its memory), and a
writer can write any digest beside it: so every text is checked (:mod:`.text`) before the parser sees
it. That covers reading, predicting and describing; training on from an untrusted booster (``refit``,
``init_model``) also lets LightGBM follow the parameters in its text. The one module that imports lightgbm.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, field, import_library, refuse_into, refuse_subclass
from artifact_store.codecs.lightgbm.text import parsable
from artifact_store.core.codec import JSON, Codec, Risk
from artifact_store.errors import Corrupt, NotEncodable

MAX_DEPTH: Final = 8
"""Deepest nesting of a parameter that is kept."""

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class LightGBMCodec:
    """Store a ``lightgbm.Booster`` in ``{stem}.txt`` and ``{stem}.json``. Predictions are equal bit for bit."""

    name: ClassVar[str] = "lightgbm"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = ("lightgbm.basic.Booster",)
    extra: ClassVar[str | None] = "lightgbm"
    libraries: ClassVar[tuple[str, ...]] = ("lightgbm",)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the text and the JSON; refuse what LightGBM's own text does not hold exactly."""
        refuse_subclass(obj, import_library("lightgbm", self).Booster)
        with all_or_nothing(directory, stem):
            files.write_settings(directory / f"{stem}.json", write_booster(self, obj, directory / f"{stem}.txt"))
        return {}

    def inputs(self, obj: Any) -> tuple[str, ...]:
        """Return the names that the booster itself holds."""
        return tuple(obj.feature_name())

    def categories(self, obj: Any) -> Sequence[Sequence[object]]:
        """Return the lists that the booster recorded of a pandas table; of a binary Dataset it has none."""
        return obj.pandas_categorical or ()

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the booster, if the text is the one that was written, and LightGBM's."""
        del options
        refuse_into(self, into)
        return read_booster(self, files.read_settings(directory / f"{stem}.json"), directory / f"{stem}.txt")


def write_booster(codec: Codec, booster: Any, path: Path) -> dict[str, Any]:
    """Write the text of ``booster`` to ``path``, and return as JSON what the text does not hold.

    Raises:
        NotEncodable: the text does not survive LightGBM's own reader.
    """
    lightgbm = import_library("lightgbm", codec)
    if booster.num_trees() == 0:
        raise NotEncodable("this booster was not trained: it has no tree")
    try:
        text = booster.model_to_string(num_iteration=-1)  # the default is the trees up to the best iteration only
        again = lightgbm.Booster(model_str=parsable(text, what="its text"))
        exact = again.model_to_string(num_iteration=-1) == text
    except (Corrupt, lightgbm.basic.LightGBMError, TypeError, ValueError, KeyError) as error:
        # TypeError: a category in no JSON
        raise NotEncodable(f"LightGBM cannot write this booster as text, or not read it again: {error}") from error
    if not exact or again.pandas_categorical != booster.pandas_categorical:
        raise NotEncodable("LightGBM's text does not hold this booster exactly: its categories are not plain values")
    data = text.encode("utf-8")
    path.write_bytes(data)
    params, omitted = plain_params(booster.params)
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "best_iteration": int(booster.best_iteration),
        "best_score": plain_scores(booster.best_score),
        "params": params,
        "params_omitted": omitted,
        **_shape(booster),
    }


def read_booster(codec: Codec, settings: Mapping[str, Any], path: Path) -> Any:
    """Read the booster back that :func:`write_booster` wrote.

    Raises:
        Corrupt: the text is another one, describes no trees that can be walked, or LightGBM refuses it.
    """
    data = files.read_encoded(path)
    if hashlib.sha256(data).hexdigest() != field(settings, "sha256", str):
        raise Corrupt(f"{path.name} is not the text that was saved, and LightGBM's parser may not survive it")
    lightgbm = import_library("lightgbm", codec)
    try:
        text = data.decode("utf-8")
        # the digest can have been changed with the text
        booster = lightgbm.Booster(model_str=parsable(text, what=path.name))
    except (lightgbm.basic.LightGBMError, ValueError, RecursionError) as error:  # the last two by the JSON in it
        raise Corrupt(f"{path.name} is not a model that this LightGBM can read: {error}") from error
    booster.best_iteration = field(settings, "best_iteration", int)
    booster.best_score = read_scores(field(settings, "best_score", dict))
    booster.params = read_params(field(settings, "params", dict))
    for name, value in _shape(booster).items():
        if field(settings, name, int) != value:
            raise Corrupt(f"{path.name} has {name} {value}, and {settings[name]} were saved")
    return booster


def _shape(booster: Any) -> dict[str, int]:
    return {
        "num_trees": booster.num_trees(),
        "num_feature": booster.num_feature(),
        "num_model_per_iteration": booster.num_model_per_iteration(),
    }


def plain_scores(scores: Mapping[str, Mapping[str, float]]) -> dict[str, JSON]:
    """Return ``best_score`` (data set → metric → value) as JSON."""
    return {
        str(data): {str(metric): _plain_float(float(value)) for metric, value in metrics.items()}
        for data, metrics in scores.items()
    }


def read_scores(scores: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return what :func:`plain_scores` was given, as plain dicts; raise ``Corrupt`` if there is something else."""
    try:
        return {
            data: {metric: float(_NON_FINITE.get(value, value)) for metric, value in metrics.items()}
            for data, metrics in scores.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise Corrupt(f"the recorded best_score is invalid: {error}") from error


def plain_params(params: Mapping[str, Any]) -> tuple[dict[str, JSON], list[str]]:
    """Return the parameters that JSON can hold, and the names of those that it cannot (functions, objects)."""
    kept, omitted = {}, []
    for name, value in params.items():
        try:
            kept[str(name)] = _plain(value, MAX_DEPTH)
        except TypeError:
            omitted.append(str(name))
    return kept, sorted(omitted)


def read_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`plain_params` kept (tuples are lists, numpy's numbers Python's), or raise ``Corrupt``."""
    return {name: _from_plain(value) for name, value in params.items()}


def _plain(value: Any, depth: int) -> Any:
    """Return a parameter as JSON; raise ``TypeError`` if JSON cannot hold it."""
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return _plain_float(float(value)) if math.isfinite(value) else {"float": _plain_float(float(value))}
    if depth and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _plain(value.item(), depth - 1)
    if depth and isinstance(value, list | tuple):
        return [_plain(part, depth - 1) for part in value]
    if depth and isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {"dict": {name: _plain(part, depth - 1) for name, part in value.items()}}
    raise TypeError(type(value))


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_plain(part) for part in value]
    match value:
        case {"dict": {**inner}, **rest} if not rest:
            return {name: _from_plain(part) for name, part in inner.items()}
        case {"float": "nan" | "inf" | "-inf" as name, **rest} if not rest:
            return _NON_FINITE[name]
        case {}:
            raise Corrupt(f"the recorded parameters are invalid: {str(value)[:80]} is not a value that was saved")
    return value


def _plain_float(value: float) -> JSON:
    return value if math.isfinite(value) else repr(value)
