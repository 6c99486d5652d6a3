"""stable-baselines3's VecNormalize as its statistics and settings, in JSON, and what normalises with numpy alone.

A policy that was trained behind a VecNormalize is wrong without it, and silently so. What it does to an observation is
one line of arithmetic, which :class:`ObservationNormalizer` repeats bit for bit, without stable-baselines3 or torch.
Training goes on with ``into=VecNormalize(venv)``. Not kept: the environments, and what they returned last.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, field, import_library, refuse_subclass
from artifact_store.codecs.json_arrays import check_expansion, plain_array, plain_float, read_array, read_float
from artifact_store.codecs.sb3.layers import NORMALIZE, is_normalizer_alone
from artifact_store.core.codec import JSON, Risk
from artifact_store.core.observing import AROUND, seen_behind
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable

_NUMBERS = ("clip_obs", "clip_reward", "gamma", "epsilon")
_SWITCHES = ("norm_obs", "norm_reward", "training")


@dataclass(frozen=True, eq=False)
class RunningStatistics:
    """Mean and variance of what was seen, in float64, and how much was seen. The arrays cannot be written to."""

    mean: Any
    var: Any
    count: float

    def __post_init__(self) -> None:
        import numpy as np

        for name in ("mean", "var"):
            array = np.array(getattr(self, name), np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.mean.shape != self.var.shape:
            raise InvalidOption(f"a mean of the shape {self.mean.shape} has no variance of {self.var.shape}")
        object.__setattr__(self, "count", float(self.count))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunningStatistics) and self.to_json("") == other.to_json("")

    def __hash__(self) -> int:
        return hash((self.mean.tobytes(), self.var.tobytes(), self.count))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, count={self.count})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one observation."""
        return tuple(self.mean.shape)

    def to_json(self, what: str) -> dict[str, Any]:
        """Return it as JSON, bit for bit."""
        mean, var = plain_array(self.mean, f"the mean of {what}"), plain_array(self.var, f"the variance of {what}")
        return {"mean": mean, "var": var, "count": plain_float(self.count)}

    @classmethod
    def from_json(cls, record: Any, what: str) -> RunningStatistics:
        """Return what :meth:`to_json` was called on; raise ``Corrupt`` if there is something else."""
        if not isinstance(record, Mapping):
            raise Corrupt(f"the statistics of {what} are recorded as {str(record)[:40]!r}")
        mean, var = read_array(field(record, "mean", dict), what), read_array(field(record, "var", dict), what)
        if mean.shape != var.shape or mean.dtype.name != "float64" or var.dtype.name != "float64":
            raise Corrupt(f"mean and variance of {what} are not of one shape in float64")
        return cls(mean, var, read_float(record.get("count"), f"the count of {what}"))


Statistics = RunningStatistics | Mapping[str, RunningStatistics]


@dataclass(frozen=True)
class ObservationNormalizer:
    """What a VecNormalize does to observations and rewards, with the statistics as they were when it was saved.

    Needs numpy only, never changes, and returns what stable-baselines3 returns, bit for bit. ``obs_rms`` is a mapping
    for observations that are dicts, and ``None`` for a VecNormalize that was made with ``norm_obs=False``.
    """

    obs_rms: Statistics | None
    ret_rms: RunningStatistics
    clip_obs: float = 10.0
    clip_reward: float = 10.0
    gamma: float = 0.99
    epsilon: float = 1e-8
    norm_obs: bool = True
    norm_reward: bool = True
    norm_obs_keys: tuple[str, ...] | None = None
    training: bool = True

    def __post_init__(self) -> None:
        keys = tuple(self.obs_rms) if isinstance(self.obs_rms, Mapping) else None
        if self.norm_obs and self.obs_rms is None:
            raise InvalidOption("observations are to be normalised, but their statistics are missing")
        if keys is not None and self.norm_obs_keys is not None and {*self.norm_obs_keys} - {*keys}:
            raise InvalidOption(f"there are statistics of {keys}, and not of all of {self.norm_obs_keys}")
        if keys is not None and self.norm_obs_keys is None:
            object.__setattr__(self, "norm_obs_keys", keys)

    @property
    def shape(self) -> Any:
        """The shape of one observation, or of each part of one by its key."""
        if isinstance(self.obs_rms, Mapping):
            return {key: part.shape for key, part in self.obs_rms.items()}
        return None if self.obs_rms is None else self.obs_rms.shape

    def normalize_obs(self, obs: Any) -> Any:
        """Return observations, one or a batch, as the policy saw them in training: float32, clipped. A copy."""
        if not self.norm_obs:
            return copy.deepcopy(obs)
        if not isinstance(self.obs_rms, Mapping):
            return self._normalized(obs, self.obs_rms)
        if not isinstance(obs, Mapping):
            raise InvalidOption(f"an observation is a dict with {', '.join(self.obs_rms)}, not a {type(obs).__name__}")
        missing = [key for key in self.norm_obs_keys or () if key not in obs]
        if missing:
            raise InvalidOption(f"the observation lacks {', '.join(missing)}; it has {', '.join(map(str, obs))}")
        normalized = {key: self._normalized(obs[key], self.obs_rms[key]) for key in self.norm_obs_keys or ()}
        return {key: normalized[key] if key in normalized else copy.deepcopy(part) for key, part in obs.items()}

    def wrap(self, venv: Any) -> Any:
        """Return a VecNormalize around environments, with these statistics and settings, to train on.

        Raises:
            InvalidOption: their observations have another form.
        """
        return around(venv, self)

    def normalize_reward(self, reward: Any) -> Any:
        """Return rewards scaled and clipped as in training, in float32."""
        import numpy as np

        if self.norm_reward:
            scale = np.sqrt(self.ret_rms.var + self.epsilon)
            reward = np.clip(reward / scale, -self.clip_reward, self.clip_reward)
        return np.asarray(reward).astype(np.float32)[()]

    def _normalized(self, obs: Any, rms: RunningStatistics | None) -> Any:
        import numpy as np

        assert rms is not None
        shape = np.shape(obs)
        if shape[len(shape) - len(rms.shape) :] != rms.shape:
            raise InvalidOption(f"an observation has the shape {rms.shape}, and a batch one axis more; this is {shape}")
        scaled = (obs - rms.mean) / np.sqrt(rms.var + self.epsilon)
        return np.clip(scaled, -self.clip_obs, self.clip_obs).astype(np.float32)


class VecNormalizeCodec:
    """Store a ``VecNormalize``, or an :class:`ObservationNormalizer`, in ``{stem}.json``."""

    name: ClassVar[str] = "vecnormalize"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "stable_baselines3.common.vec_env.vec_normalize.VecNormalize",
        "artifact_store.codecs.sb3.vecnormalize.ObservationNormalizer",
    )
    extra: ClassVar[str | None] = "sb3"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def accepts(self, obj: Any) -> bool:
        """Leave a VecNormalize around other wrappers to the codec ``sb3-wrappers``, which stores those as well."""
        return type(obj) is ObservationNormalizer or is_normalizer_alone(obj)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write statistics and settings; refuse a subclass, and statistics that are not in float64."""
        normalizer = obj if type(obj) is ObservationNormalizer else normalizer_of(obj)
        with all_or_nothing(directory, stem):
            files.write_settings(directory / f"{stem}.json", to_json(normalizer))
        seen = seen_of(normalizer)
        return {} if seen is None else {AROUND: seen_behind([NORMALIZE], [seen])}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return an :class:`ObservationNormalizer`, or ``into``, a VecNormalize, with these statistics and settings.

        Raises:
            InvalidOption: ``into`` is not a VecNormalize, or its observations have another form; it is as it was.
        """
        del options
        path = directory / f"{stem}.json"
        settings = files.read_settings(path)
        check_expansion(settings, path.name)
        normalizer = from_json(settings, path.name)
        return normalizer if into is None else _fill(into, normalizer)


def normalizer_of(venv: Any) -> ObservationNormalizer:
    """Return what a VecNormalize does; refuse a subclass, and statistics that are not in float64."""
    refuse_subclass(venv, _environments().VecNormalize, ObservationNormalizer)
    rms = getattr(venv, "obs_rms", None)  # made with norm_obs=False, it has none
    if isinstance(rms, dict):
        obs_rms: Statistics | None = {key: _statistics(part, f"observation {key!r}") for key, part in rms.items()}
    else:
        obs_rms = None if rms is None else _statistics(rms, "the observations")
    settings: dict[str, Any] = {name: float(getattr(venv, name)) for name in _NUMBERS}
    settings |= {name: bool(getattr(venv, name)) for name in _SWITCHES}
    settings["norm_obs_keys"] = None if venv.norm_obs_keys is None else tuple(venv.norm_obs_keys)
    return ObservationNormalizer(obs_rms, _statistics(venv.ret_rms, "the returns"), **settings)


def _statistics(rms: Any, what: str) -> RunningStatistics:
    for part in (rms.mean, rms.var):
        if str(part.dtype) != "float64":
            raise NotEncodable(
                f"the statistics of {what} are in {part.dtype}, not in float64 as stable-baselines3's are"
            )
    return RunningStatistics(rms.mean, rms.var, rms.count)


def seen_of(normalizer: ObservationNormalizer) -> dict[str, Any] | None:
    """Return what of it an agent sees in its observations, as JSON; ``None`` if it leaves them as they are."""
    if not normalizer.norm_obs:
        return None
    rms = normalizer.obs_rms
    parts = rms if isinstance(rms, Mapping) else {"": rms}
    keys = [""] if normalizer.norm_obs_keys is None else sorted(normalizer.norm_obs_keys)
    told = {key: part.to_json(key) for key in keys if (part := parts.get(key)) is not None}
    numbers = {name: plain_float(getattr(normalizer, name)) for name in ("clip_obs", "epsilon")}
    return {"statistics": {key: [said["mean"], said["var"]] for key, said in told.items()}, **numbers}


def to_json(normalizer: ObservationNormalizer) -> dict[str, Any]:
    """Return statistics and settings as JSON."""
    rms = normalizer.obs_rms
    if isinstance(rms, Mapping):
        kind, obs_rms = "dict", {"parts": [[key, part.to_json(key)] for key, part in rms.items()]}
    else:
        kind, obs_rms = ("none", {}) if rms is None else ("box", rms.to_json("the observations"))
    keys = normalizer.norm_obs_keys
    return {
        "kind": kind,
        "obs_rms": obs_rms,
        "ret_rms": normalizer.ret_rms.to_json("the returns"),
        "norm_obs_keys": None if keys is None else list(keys),
        **{name: plain_float(getattr(normalizer, name)) for name in _NUMBERS},
        **{name: getattr(normalizer, name) for name in _SWITCHES},
    }


def from_json(settings: Mapping[str, Any], what: str) -> ObservationNormalizer:
    """Return what :func:`to_json` was given; raise ``Corrupt`` if there is something else."""
    kind, record = field(settings, "kind", str), field(settings, "obs_rms", dict)
    keys = field(settings, "norm_obs_keys", list | None)
    if kind not in {"dict", "box", "none"} or not all(isinstance(key, str) for key in keys or ()):
        raise Corrupt(f"{what} records observations of the kind {kind[:20]!r} with the keys {str(keys)[:60]}")
    obs_rms: Statistics | None = None
    if kind == "dict":
        obs_rms = dict(_part(part) for part in field(record, "parts", list))
    elif kind == "box":
        obs_rms = RunningStatistics.from_json(record, "the observations")
    ret_rms = RunningStatistics.from_json(settings.get("ret_rms"), "the returns")
    others: dict[str, Any] = {name: read_float(settings.get(name), name) for name in _NUMBERS}
    others |= {name: field(settings, name, bool) for name in _SWITCHES}
    try:
        return ObservationNormalizer(obs_rms, ret_rms, norm_obs_keys=None if keys is None else tuple(keys), **others)
    except InvalidOption as error:
        raise Corrupt(f"{what} contradicts itself: {error}") from error


def _part(part: Any) -> tuple[str, RunningStatistics]:
    if not isinstance(part, list) or len(part) != 2 or not isinstance(part[0], str):  # noqa: PLR2004 -- key and value
        raise Corrupt(f"{str(part)[:40]!r} are not statistics of a part of the observation")
    return part[0], RunningStatistics.from_json(part[1], part[0])


def around(venv: Any, normalizer: ObservationNormalizer) -> Any:
    """Return a VecNormalize around environments, with these statistics and settings.

    Raises:
        InvalidOption: their observations have another form.
    """
    rms = normalizer.obs_rms
    try:
        fresh = _environments().VecNormalize(
            venv,
            norm_obs=rms is not None,
            norm_obs_keys=list(rms) if isinstance(rms, Mapping) else None,
            clip_obs=normalizer.clip_obs,  # the bounds of images follow from it
        )
    except (ValueError, KeyError) as error:
        raise InvalidOption(f"these environments have other observations than were saved: {error}") from error
    shape = normalizer_of(fresh).shape
    if shape != normalizer.shape:
        raise InvalidOption(
            f"the observations of these environments have the shape {shape}; saved are {normalizer.shape}"
        )
    if isinstance(rms, Mapping):
        for key, part in rms.items():
            _set(fresh.obs_rms[key], part)
    elif rms is not None:
        _set(fresh.obs_rms, rms)
    _set(fresh.ret_rms, normalizer.ret_rms)
    for name in (*_NUMBERS, *_SWITCHES):
        setattr(fresh, name, getattr(normalizer, name))
    fresh.norm_obs_keys = None if normalizer.norm_obs_keys is None else list(normalizer.norm_obs_keys)
    return fresh


def _fill(into: Any, normalizer: ObservationNormalizer) -> Any:
    """Let a VecNormalize become like one with these statistics, except for what is under way: all of it, or nothing."""
    if type(into) is not _environments().VecNormalize:
        raise InvalidOption(f"into= is a {type(into).__qualname__}, and only a VecNormalize can be filled")
    fresh = vars(around(into.venv, normalizer))
    into.__dict__.update({name: value for name, value in fresh.items() if name not in {"returns", "old_reward"}})
    return into


def _environments() -> Any:
    return import_library("stable_baselines3.common.vec_env", VecNormalizeCodec())


def _set(own: Any, saved: RunningStatistics) -> None:
    own.mean, own.var, own.count = saved.mean.copy(), saved.var.copy(), saved.count
