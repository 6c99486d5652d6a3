"""Old ``model_vecnormalize.pkl`` files: what ``VecNormalize.save`` pickled, as statistics and settings.

The pickle holds spaces, generators and whatever the environment last returned as well; none of that is looked at.
Settings that an old version of stable-baselines3 did not have are its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer, RunningStatistics
from artifact_store.errors import Corrupt, InvalidOption
from artifact_store.legacy.formats.joblib import read_joblib
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.numpy_parts import numpy
from artifact_store.legacy.pickle_reader.stubs import Stub, within

_NUMBERS: Final = ("clip_obs", "clip_reward", "gamma", "epsilon")
_SWITCHES: Final = ("norm_obs", "norm_reward", "training")


def read_vecnormalize(data: bytes, *, what: str, limits: Limits = LIMITS) -> ObservationNormalizer:
    """Return what normalises as the VecNormalize did when it was saved."""
    with within(what):
        return _read(read_joblib(data, what=what, limits=limits), what)


def _read(found: Any, what: str) -> ObservationNormalizer:
    if not isinstance(found, Stub) or not found.is_a("VecNormalize"):
        kind = found.kind if isinstance(found, Stub) else type(found).__name__
        raise Corrupt(f"{what} holds a {kind}, not a VecNormalize")
    fields = found.fields
    keys = fields.get("norm_obs_keys")
    if keys is not None and not (isinstance(keys, list | tuple) and all(isinstance(key, str) for key in keys)):
        raise Corrupt(f"{what} normalises parts of the observation that have no names")
    settings: dict[str, Any] = {name: _number(fields[name], name, what) for name in _NUMBERS if name in fields}
    settings |= {name: _switch(fields[name], name, what) for name in _SWITCHES if name in fields}
    try:
        return ObservationNormalizer(
            _observations(fields.get("obs_rms"), what),
            _statistics(fields.get("ret_rms"), what),
            norm_obs_keys=None if keys is None else tuple(keys),
            **settings,
        )
    except InvalidOption as error:
        raise Corrupt(f"{what} contradicts itself: {error}") from error


def _observations(rms: Any, what: str) -> RunningStatistics | Mapping[str, RunningStatistics] | None:
    if rms is None:
        return None
    if not isinstance(rms, dict):
        return _statistics(rms, what)
    if not all(isinstance(key, str) for key in rms):
        raise Corrupt(f"{what} has statistics of parts of the observation that have no names")
    return {key: _statistics(part, what) for key, part in rms.items()}


def _statistics(rms: Any, what: str) -> RunningStatistics:
    np = numpy()
    if not isinstance(rms, Stub) or not rms.is_a("RunningMeanStd"):
        raise Corrupt(f"{what} lacks statistics of the observation")
    mean, var = (np.asarray(rms.fields.get(name)) for name in ("mean", "var"))
    if mean.dtype.kind != "f" or var.dtype.kind != "f":
        raise Corrupt(f"{what} has statistics that are not numbers")
    return RunningStatistics(mean, var, _number(rms.fields.get("count"), "count", what))


def _number(value: Any, name: str, what: str) -> float:
    if isinstance(value, bool) or not (isinstance(value, int | float) or getattr(value, "shape", None) == ()):
        raise Corrupt(f"{what} has no number as {name}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Corrupt(f"{what} has no number as {name}: {error}") from error


def _switch(value: Any, name: str, what: str) -> bool:
    if type(value) is not bool and not (getattr(value, "shape", None) == () and value.dtype.kind == "b"):
        raise Corrupt(f"{what} has no boolean as {name}")
    return bool(value)
