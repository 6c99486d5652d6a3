"""Zips that stable-baselines3 and sb3-contrib saved, read from text, numbers and tensors. Nothing is unpickled.

``data`` is JSON in which an object that JSON cannot hold is a pickle with plain text beside it. Of most, only the
text is read: the class of the policy, schedules, classes in ``policy_kwargs``, each by a fixed table; of spaces and
other numbers see :mod:`.sb3_pickled`. Networks and optimisers are checkpoints of torch (:mod:`.checkpoint`). What
cannot be told gets the default of the library, and is named in ``inferred``; none of it matters to predicting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from artifact_store.canonical import parse_json
from artifact_store.codecs.files import dotted
from artifact_store.codecs.sb3.policy import SB3Codec
from artifact_store.codecs.sb3.settings import LIBRARIES, POLICIES
from artifact_store.codecs.sb3.state import COUNTERS, SB3State
from artifact_store.errors import Corrupt
from artifact_store.legacy.formats.checkpoint import read_torch
from artifact_store.legacy.formats.sb3_pickled import read_space
from artifact_store.legacy.formats.sb3_settings import (
    INIT,
    MAX_WHOLE_NUMBER,
    hyperparameters,
    own_policy,
    policy_kwargs,
    whole_number,
)
from artifact_store.legacy.formats.zip import read_entries
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.stubs import refused

MAX_DATA: Final = 64 << 20

_VARIABLES: Final = "pytorch_variables.pth"
_CHECKPOINT: Final = re.compile(r"pytorch_variables\.pth|policy\.pth|[\w.]*optimizer\.pth")
_ON_POLICY: Final = "on-policy"
_ALIASES: Final = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
_CLASSES_OF: Final = {
    (_ON_POLICY, "stable_baselines3.common.policies"): (
        *("ActorCriticPolicy", "ActorCriticCnnPolicy"),
        "MultiInputActorCriticPolicy",
    ),
    ("MaskablePPO", "sb3_contrib.common.maskable.policies"): (
        *("MaskableActorCriticPolicy", "MaskableActorCriticCnnPolicy"),
        "MaskableMultiInputActorCriticPolicy",
    ),
    ("RecurrentPPO", "sb3_contrib.common.recurrent.policies"): (
        *("RecurrentActorCriticPolicy", "RecurrentActorCriticCnnPolicy"),
        "RecurrentMultiInputActorCriticPolicy",
    ),
    ("ARS", "sb3_contrib.ars.policies"): ("ARSPolicy", "ARSLinearPolicy"),
    **{
        (name, f"{library}.{name.lower()}.policies"): (f"{name}Policy", "CnnPolicy", "MultiInputPolicy")
        for name, library in LIBRARIES.items()
        if name in {"DQN", "SAC", "TD3", "QRDQN", "TQC", "CrossQ"}
    },
}
_POLICIES: Final = {
    (module, kind): (family, alias)
    for (family, module), kinds in _CLASSES_OF.items()
    for kind, alias in zip(kinds, POLICIES.get(family, _ALIASES), strict=False)
}
"""By module and name of the class of a policy: the algorithm, or the family of it, and what it calls the policy."""
_DDPG: Final = {"policy_delay": 1, "target_noise_clip": 0.0, "target_policy_noise": 0.1}
_SIZES: Final = ("net_arch", "features_extractor_kwargs", "n_critics", "n_quantiles", "lstm_hidden_size")
_TRPO: Final = "cg_max_steps"
_SHARED: Final = "features_extractor."
_APART: Final = ("pi_features_extractor.", "vf_features_extractor.")


@dataclass(frozen=True, eq=False)
class OldSB3:
    """An old algorithm as plain values and tensors."""

    state: SB3State
    inferred: tuple[str, ...]
    """What the file does not say exactly in plain text: settings of training, digits of bounds."""
    version: str | None
    """Of the stable-baselines3 that wrote it."""
    own: tuple[type, ...] = ()
    """The classes of the caller's that were given."""


def read_sb3(data: bytes, *, what: str, limits: Limits = LIMITS, own: Iterable[type] = ()) -> OldSB3:
    """Return the algorithm; :func:`.sb3_building.build_old` makes one that predicts, and trains on as far as it can.

    ``own`` are classes of the caller's that the file may name, as for :class:`.SB3Codec`; nothing is imported.

    Raises:
        RiskRefused: it names another class, or was made with something that only its own code could tell.
        InvalidOption: it does not say in plain text what its space is.
    """
    entries = read_entries(data, what=what, limits=limits)
    if "data" not in entries or "policy.pth" not in entries:
        raise Corrupt(f"{what} is a zip archive without data or policy.pth: stable-baselines3 did not write it")
    record = parse_json(entries["data"], limit=MAX_DATA, what=f"data in {what}")
    if not isinstance(record, dict):
        raise Corrupt(f"data in {what} is not a JSON object")
    inferred: list[str] = []
    given = SB3Codec(own)
    family, policy = _policy(record, given, what)
    name = _algorithm(record, family, what)
    tensors = _tensors(entries, what, limits)
    settings = hyperparameters(record, name, what, inferred)
    if "learning_rate" not in settings and (rate := _rate(tensors)) is not None:
        settings["learning_rate"] = max(rate, 0.0)  # a line to zero that overran its end was below
    variables = tensors.pop(_VARIABLES, {})
    state = SB3State(
        algorithm=name,
        policy=policy,
        observation_space=read_space(record, "observation_space", what=what, inexact=inferred),
        action_space=read_space(record, "action_space", what=what, inexact=inferred),
        parameters={part.removesuffix(".pth"): value for part, value in _spelled_today(tensors, family).items()},
        policy_kwargs=policy_kwargs(record.get("policy_kwargs", {}), given, what, own="." in policy),
        hyperparameters=settings,
        variables={key: value for key, value in variables.items() if hasattr(value, "untyped_storage")},
        num_timesteps=whole_number(record.get("num_timesteps", 0), "num_timesteps", what),
        counters={key: record[key] for key in COUNTERS if type(record.get(key)) in (int, float)},
        n_envs=whole_number(record.get("n_envs", 1), "n_envs", what),
    )
    _check_sizes(state, what)
    version = entries.get("_stable_baselines3_version", b"").decode("ascii", "replace").strip()[:40]
    return OldSB3(state, tuple(inferred), version or None, tuple(given.own.values()))


# ---------------------------------------------------------------- what it is


def _policy(record: Mapping[str, Any], given: SB3Codec, what: str) -> tuple[str, str]:
    """Return the family of algorithms and the alias of the policy, by module and name of its class.

    Of one of the caller's own the family is that of the class that it is made of.
    """
    described = record.get("policy_class")
    if not isinstance(described, Mapping):
        raise Corrupt(f"{what} does not name the class of its policy")
    found = INIT.fullmatch(str(described.get("__init__")))
    key = str(described.get("__module__")), found[1] if found else ""
    if key in _POLICIES:
        return _POLICIES[key]
    kind = own_policy(described, given, what)
    bases = ((base.__module__, base.__name__) for base in kind.__mro__)
    family = next((_POLICIES[base][0] for base in bases if base in _POLICIES), None)
    if family is None:
        raise refused(what, f"has a policy {dotted(kind)}, which is made of no policy of stable-baselines3's")
    return family, dotted(kind)


def _algorithm(record: Mapping[str, Any], family: str, what: str) -> str:
    if family == _ON_POLICY and {_TRPO, "clip_range"} <= {*record}:
        raise refused(what, "is of an unknown algorithm")
    if family == _ON_POLICY:
        return "TRPO" if _TRPO in record else "PPO" if "clip_range" in record else "A2C"
    if family == "TD3" and all(record.get(name) == value for name, value in _DDPG.items()):
        return "DDPG"
    return family


def _spelled_today(tensors: dict[str, dict[Any, Any]], family: str) -> dict[str, dict[Any, Any]]:
    """Return the tensors of a policy by the names that its library gives them today."""
    policy = dict(tensors["policy.pth"])
    if family == "ARS":  # before 1.7, a linear policy was one layer, not a row of them
        policy = {re.sub(r"^action_net\.(weight|bias)$", r"action_net.0.\1", name): one for name, one in policy.items()}
    if family in {_ON_POLICY, "MaskablePPO", "RecurrentPPO"} and not any(name.startswith(_APART) for name in policy):
        shared = {name.removeprefix(_SHARED): one for name, one in policy.items() if name.startswith(_SHARED)}
        policy |= {f"{part}{name}": one for part in _APART for name, one in shared.items()}  # before 1.7, one name
    return {**tensors, "policy.pth": policy}


def _rate(tensors: Mapping[str, Any]) -> float | None:
    """Return the learning rate that the optimiser had last, where the schedule is not known."""
    for name, found in tensors.items():
        groups = found.get("param_groups") if name.endswith("optimizer.pth") and isinstance(found, dict) else None
        rate = groups[0].get("lr") if isinstance(groups, list) and groups and isinstance(groups[0], dict) else None
        if type(rate) is float:
            return rate
    return None


def _check_sizes(state: SB3State, what: str) -> None:
    """Raise ``Corrupt`` if the settings describe larger networks than there are tensors: they would be allocated."""
    shapes = [tuple(part.shape) for part in state.parameters["policy"].values() if hasattr(part, "shape")]
    largest = max((side for shape in shapes for side in shape), default=0)
    asked = {
        "policy_kwargs": max(_whole_numbers([state.policy_kwargs.get(name) for name in _SIZES]), default=0),
        "observation_space": _width(state.observation_space, flat=_is_flattened(state)),
        "action_space": _width(state.action_space, flat=True),
    }
    for name, size in asked.items():
        if size > largest:
            raise Corrupt(f"{what} has the size {size:,} in its {name}, and its largest tensor has {largest:,}")
    if state.n_envs * state.hyperparameters.get("n_steps", 1) > MAX_WHOLE_NUMBER:
        raise Corrupt(f"{what} has {state.n_envs:,} environments and rollouts too long for any memory")


def _is_flattened(state: SB3State) -> bool:
    """Tell whether the network has a weight for each number of an observation."""
    extractor = state.policy_kwargs.get("features_extractor_class")
    return "." not in state.policy and not state.policy.startswith("Cnn") and extractor in (None, "FlattenExtractor")


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _whole_numbers(part)
    elif type(value) is int:
        yield value


def _width(space: Mapping[str, Any], *, flat: bool) -> int:
    """Return how wide a layer is that takes or gives such values, as far as it can be told from the outside."""
    if space.get("type") == "Box" and flat:
        return math.prod(space["low"]["shape"])
    kinds = {"Discrete": "n", "MultiDiscrete": "nvec", "MultiBinary": "n"}
    numbers = space.get(kinds.get(str(space.get("type")), ""), 0)
    return sum(_whole_numbers(numbers["values"] if isinstance(numbers, Mapping) else numbers))


# ---------------------------------------------------------------- tensors


def _tensors(entries: Mapping[str, bytes], what: str, limits: Limits) -> dict[str, dict[Any, Any]]:
    """Return what each checkpoint in the zip holds."""
    found: dict[str, dict[Any, Any]] = {}
    for name in filter(_CHECKPOINT.fullmatch, entries):
        value = read_torch(entries[name], what=f"{name} in {what}", limits=limits)
        if name == _VARIABLES and value is None:
            value = {}
        if not isinstance(value, dict):
            raise Corrupt(f"{name} in {what} holds a {type(value).__name__}, not tensors by name")
        found[name] = value
    return found
