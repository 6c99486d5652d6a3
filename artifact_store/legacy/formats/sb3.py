"""Zips that stable-baselines3 saved, read from their plain text and their tensors. Nothing in them is unpickled.

``data`` is JSON in which an object that JSON cannot hold is a pickle with plain text beside it. Only the text is read:
spaces, the class of the policy, schedules, classes in ``policy_kwargs``, each by a fixed table. Networks and optimisers
are checkpoints of torch (:mod:`.checkpoint`). What the words do not say gets the default of stable-baselines3, and is
named in ``inferred``; none of it matters to predicting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from artifact_store.canonical import parse_json
from artifact_store.codecs.sb3.policy import SB3Codec, SB3State
from artifact_store.codecs.sb3.settings import ATTRIBUTES, HYPERPARAMETERS, POLICY_KWARGS
from artifact_store.codecs.sb3.values import ACTIVATIONS, EXTRACTORS, OPTIMIZERS, plain_settings
from artifact_store.errors import Corrupt, NotEncodable
from artifact_store.legacy.formats.checkpoint import read_torch
from artifact_store.legacy.formats.sb3_spaces import read_space_text
from artifact_store.legacy.formats.zip import read_entries
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.stubs import refused

MAX_DATA: Final = 64 << 20
MAX_WHOLE_NUMBER: Final = 1_000_000_000
"""No size of a buffer or a batch is larger, and a hostile one would be allocated."""

_VARIABLES: Final = "pytorch_variables.pth"
_CHECKPOINT: Final = re.compile(r"pytorch_variables\.pth|policy\.pth|[\w.]*optimizer\.pth")
_COUNTERS: Final = (
    *("_total_timesteps", "_num_timesteps_at_start", "_current_progress_remaining"),
    *("_episode_num", "_n_updates", "_n_calls", "exploration_rate"),
)
_POLICIES: Final = {
    ("stable_baselines3.common.policies", "ActorCriticPolicy"): ("on-policy", "MlpPolicy"),
    ("stable_baselines3.common.policies", "ActorCriticCnnPolicy"): ("on-policy", "CnnPolicy"),
    ("stable_baselines3.common.policies", "MultiInputActorCriticPolicy"): ("on-policy", "MultiInputPolicy"),
    ("stable_baselines3.dqn.policies", "DQNPolicy"): ("DQN", "MlpPolicy"),
    ("stable_baselines3.dqn.policies", "CnnPolicy"): ("DQN", "CnnPolicy"),
    ("stable_baselines3.dqn.policies", "MultiInputPolicy"): ("DQN", "MultiInputPolicy"),
    ("stable_baselines3.sac.policies", "SACPolicy"): ("SAC", "MlpPolicy"),
    ("stable_baselines3.sac.policies", "CnnPolicy"): ("SAC", "CnnPolicy"),
    ("stable_baselines3.sac.policies", "MultiInputPolicy"): ("SAC", "MultiInputPolicy"),
    ("stable_baselines3.td3.policies", "TD3Policy"): ("TD3", "MlpPolicy"),
    ("stable_baselines3.td3.policies", "CnnPolicy"): ("TD3", "CnnPolicy"),
    ("stable_baselines3.td3.policies", "MultiInputPolicy"): ("TD3", "MultiInputPolicy"),
}
_DDPG: Final = {"policy_delay": 1, "target_noise_clip": 0.0, "target_policy_noise": 0.1}
_SIZES: Final = ("net_arch", "features_extractor_kwargs", "n_critics")
_OF_OTHERS: Final = frozenset({"cg_max_steps", "line_search_shrinking_factor", "n_quantiles", "delta_std"})
"""Of algorithms outside of stable-baselines3 that have its policies."""

_CLASS: Final = re.compile(r"<class '([\w.]+)\.(\w+)'>")
_INIT: Final = re.compile(r"<function (\w+)\.__init__ at 0x[0-9a-fA-F]+>")
_NUMBER: Final = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)"
_LAYERS: Final = "stable_baselines3.common.torch_layers"
_TF_LIKE: Final = "stable_baselines3.common.sb2_compat.rmsprop_tf_like"
_CLASSES: Final = {
    "activation": (r"torch\.nn\.modules\.(?:activation|linear)", ACTIVATIONS, "torch.nn"),
    "optimizer": (rf"torch\.optim\.\w+|{re.escape(_TF_LIKE)}", OPTIMIZERS, "torch.optim"),
    "extractor": (re.escape(_LAYERS), EXTRACTORS, _LAYERS),
}
"""By the kind of the setting: the modules that have such classes, their names, and the module to take them from."""
_CONSTANT: Final = re.compile(rf"ConstantSchedule\(val={_NUMBER}\)")
_LINEAR: Final = re.compile(rf"LinearSchedule\(start={_NUMBER}, end={_NUMBER}, end_fraction={_NUMBER}\)")


@dataclass(frozen=True, eq=False)
class OldSB3:
    """An old algorithm as plain values and tensors."""

    state: SB3State
    inferred: tuple[str, ...]
    """What the file does not say exactly in plain text: settings of training, digits of bounds."""
    version: str | None
    """Of the stable-baselines3 that wrote it."""


def read_sb3(data: bytes, *, what: str, limits: Limits = LIMITS) -> OldSB3:
    """Return the algorithm; ``build(old.state)`` of the codec makes one that predicts and trains on.

    Raises:
        InvalidOption: it does not say in plain text what its space is.
    """
    entries = read_entries(data, what=what, limits=limits)
    if "data" not in entries or "policy.pth" not in entries:
        raise Corrupt(f"{what} is a zip archive without data or policy.pth: stable-baselines3 did not write it")
    record = parse_json(entries["data"], limit=MAX_DATA, what=f"data in {what}")
    if not isinstance(record, dict):
        raise Corrupt(f"data in {what} is not a JSON object")
    inferred: list[str] = []
    family, policy = _policy(record, what)
    name = _algorithm(record, family, what)
    tensors = _tensors(entries, what, limits)
    settings = _hyperparameters(record, name, what, inferred)
    if "learning_rate" not in settings and (rate := _rate(tensors)) is not None:
        settings["learning_rate"] = rate
    variables = tensors.pop(_VARIABLES, {})
    state = SB3State(
        algorithm=name,
        policy=policy,
        observation_space=read_space_text(record, "observation_space", what=what, inexact=inferred),
        action_space=read_space_text(record, "action_space", what=what, inexact=inferred),
        parameters={part.removesuffix(".pth"): value for part, value in tensors.items()},
        policy_kwargs=_policy_kwargs(record.get("policy_kwargs", {}), what),
        hyperparameters=settings,
        variables={key: value for key, value in variables.items() if hasattr(value, "untyped_storage")},
        num_timesteps=_whole(record.get("num_timesteps", 0), "num_timesteps", what),
        counters={key: record[key] for key in _COUNTERS if type(record.get(key)) in (int, float)},
        n_envs=_whole(record.get("n_envs", 1), "n_envs", what),
    )
    _check_sizes(state, what)
    version = entries.get("_stable_baselines3_version", b"").decode("ascii", "replace").strip()[:40]
    return OldSB3(state, tuple(inferred), version or None)


# ---------------------------------------------------------------- what it is


def _policy(record: Mapping[str, Any], what: str) -> tuple[str, str]:
    """Return the family of algorithms and the alias of the policy, by module and name of its class."""
    described = record.get("policy_class")
    if not isinstance(described, Mapping):
        raise Corrupt(f"{what} does not name the class of its policy")
    found = _INIT.fullmatch(str(described.get("__init__")))
    key = str(described.get("__module__")), found[1] if found else ""
    if key not in _POLICIES:
        raise refused(what, f"has a policy of the class {'.'.join(key)[:100]}")
    return _POLICIES[key]


def _algorithm(record: Mapping[str, Any], family: str, what: str) -> str:
    if _OF_OTHERS & set(record):
        raise refused(what, "is of an unknown algorithm")
    if family == "on-policy":
        return "PPO" if "clip_range" in record else "A2C"
    if family == "TD3" and all(record.get(name) == value for name, value in _DDPG.items()):
        return "DDPG"
    return family


# ---------------------------------------------------------------- settings


def _hyperparameters(record: Mapping[str, Any], algorithm: str, what: str, inferred: list[str]) -> dict[str, Any]:
    """Return what the plain text says, as JSON in the form of the codec; the rest is left out."""
    kinds = HYPERPARAMETERS[algorithm]
    plain: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        key = ATTRIBUTES.get(name, name)
        if key not in record:
            continue  # an older stable-baselines3 did not have it
        value = record[key]
        if not isinstance(value, Mapping) or ":type:" not in value:  # else a pickle with plain text beside it
            plain[name] = value if type(value) is not int or name == "seed" else _whole(value, name, what, low=-1)
        elif kind.startswith("schedule") and (schedule := _schedule(value)) is not None:
            found[name] = schedule
        else:
            inferred.append(name)
    return _checked(plain, kinds, algorithm, what) | found


def _checked(values: Mapping[str, Any], kinds: Mapping[str, str], of: str, what: str) -> dict[str, Any]:
    """Return settings as the codec records them."""
    try:
        return dict(plain_settings(SB3Codec(), values, kinds, of))
    except NotEncodable as error:
        raise Corrupt(f"{what} has an invalid setting: {error}") from error


def _policy_kwargs(described: Any, what: str) -> dict[str, Any]:
    """Return the keywords of the policy as JSON in the form of the codec."""
    if not isinstance(described, Mapping):
        raise Corrupt(f"{what} has policy_kwargs that are not a mapping")
    given = {name: value for name, value in described.items() if not name.startswith(":")}
    unknown = sorted({*given} - {*POLICY_KWARGS})
    if unknown:
        raise refused(what, f"has a policy that was made with {', '.join(unknown)[:100]}")
    for name, value in given.items():
        kind = POLICY_KWARGS[name].removesuffix("?")
        if kind in _CLASSES and value is not None:
            given[name] = _class(value, kind, name, what)
    return _checked(given, POLICY_KWARGS, "policy_kwargs", what)


def _class(text: Any, kind: str, name: str, what: str) -> Any:
    """Return a class of torch or stable-baselines3 from a fixed table, by the text that stands for it."""
    found = _CLASS.fullmatch(str(text))
    modules, known, home = _CLASSES[kind]
    if found is None or found[2] not in known or not re.fullmatch(modules, found[1]):
        raise refused(what, f"has a policy whose {name} is {str(text)[:100]}")
    return getattr(old_form_library(_TF_LIKE if found[2] == "RMSpropTFLike" else home, "sb3"), found[2])


def _schedule(described: Mapping[str, Any]) -> Any:
    """Return a schedule as the codec records it, from its text, or nothing where it was a function."""
    text = str(described.get("value_schedule", ""))
    if found := _CONSTANT.fullmatch(text):
        return float(found[1])
    if found := _LINEAR.fullmatch(text):
        start, end, fraction = (float(number) for number in found.groups())
        return {"schedule": "linear", "start": start, "end": end, "end_fraction": fraction}
    return None


def _rate(tensors: Mapping[str, Any]) -> float | None:
    """Return the learning rate that the optimiser had last, where the schedule is not known."""
    for name, found in tensors.items():
        groups = found.get("param_groups") if name.endswith("optimizer.pth") and isinstance(found, dict) else None
        rate = groups[0].get("lr") if isinstance(groups, list) and groups and isinstance(groups[0], dict) else None
        if type(rate) is float:
            return rate
    return None


def _whole(value: Any, name: str, what: str, *, low: int = 0) -> int:
    if type(value) is not int or not low <= value <= MAX_WHOLE_NUMBER:
        raise Corrupt(f"{what} has {name} {str(value)[:40]!r}, which is not a sensible number")
    return value


def _check_sizes(state: SB3State, what: str) -> None:
    """Raise ``Corrupt`` if the settings describe larger networks than there are tensors: they would be allocated."""
    shapes = [tuple(part.shape) for part in state.parameters["policy"].values() if hasattr(part, "shape")]
    largest = max((side for shape in shapes for side in shape), default=0)
    asked = {
        "policy_kwargs": max(_whole_numbers([state.policy_kwargs.get(name) for name in _SIZES]), default=0),
        "observation_space": _width(state.observation_space, flat=state.policy != "CnnPolicy"),
        "action_space": _width(state.action_space, flat=True),
    }
    for name, size in asked.items():
        if size > largest:
            raise Corrupt(f"{what} has the size {size:,} in its {name}, and its largest tensor has {largest:,}")
    if state.n_envs * state.hyperparameters.get("n_steps", 1) > MAX_WHOLE_NUMBER:
        raise Corrupt(f"{what} has {state.n_envs:,} environments and rollouts too long for any memory")


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
