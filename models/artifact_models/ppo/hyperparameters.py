"""The hyperparameters of PPO: which there are, and the classes among them by name, since a config holds no classes.

``policy_kwargs={"activation_fn": "ReLU"}`` means the same as ``{"activation_fn": torch.nn.ReLU}``, and is what a config
has.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from stable_baselines3 import PPO
from stable_baselines3.common import torch_layers
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn, optim

from artifact_models import configuration
from artifact_store import errors

_NOT_CHOSEN: Final = frozenset({"policy", "env", "seed", "device", "_init_setup_model"})
"""Arguments of PPO that are not hyperparameters."""
_FILLED_IN: Final = frozenset({"observation_space", "action_space", "lr_schedule", "params", "lr"})
"""What the policy, its network and its optimizer are given by stable-baselines3 itself."""
_POLICY: Final = "policy_kwargs"
_CLASSES: Final[Mapping[str, tuple[Any, type]]] = {
    "activation_fn": (nn, nn.Module),
    "optimizer_class": (optim, optim.Optimizer),
    "features_extractor_class": (torch_layers, torch_layers.BaseFeaturesExtractor),
}
"""Those of the policy that are classes: the module that they are found in by name, and what they are subclasses of."""


def hyperparameter_names() -> list[str]:
    """Return the names of all hyperparameters."""
    return [name for name in inspect.signature(PPO).parameters if name not in _NOT_CHOSEN]


def check_hyperparameters(given: Mapping[str, Any], *, beside: Sequence[str] = ()) -> None:
    """Refuse hyperparameters that stable-baselines3 does not have, those of the policy and its parts included.

    ``beside`` are the names of other settings among those that are given.

    Raises:
        InvalidOption: there is no such hyperparameter, with the likeliest one; or no such class.
    """
    configuration.check_names("PPO", given, [*beside, *hyperparameter_names()])
    policy = _mapping(with_classes(given), _POLICY)
    _check_arguments(ActorCriticPolicy, policy, _POLICY)
    if isinstance(policy.get("net_arch"), Mapping):  # stable-baselines3 overlooks any other name in it
        configuration.check_names("PPO", policy["net_arch"], ("pi", "vf"), within=f"{_POLICY}.net_arch.")
    for part, usual in (("optimizer", optim.Adam), ("features_extractor", torch_layers.FlattenExtractor)):
        kwargs = f"{part}_kwargs"
        kind = policy.get(f"{part}_class") or usual
        _check_arguments(kind, _mapping(policy, kwargs), f"{_POLICY}.{kwargs}")


def with_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters as a config holds them: classes by their names.

    Raises:
        InvalidOption: one is a function, or a class without a known name: a run could not hold it.
    """
    made = _changed(given, _name)
    for name, value in configuration.leaves(made):
        if callable(value):
            raise errors.InvalidOption(
                f"{name} is {value!r:.80}, which a run cannot hold, so that the agent could not be saved: give a "
                "number, or the name of a class of torch or stable-baselines3"
            )
    return made


def with_classes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters as stable-baselines3 takes them.

    Raises:
        InvalidOption: there is no class of such a name.
    """
    return _changed(given, _class)


def _changed(given: Mapping[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    policy = given.get(_POLICY)
    if not isinstance(policy, Mapping):
        return dict(given)
    changed = {name: change(name, value) if name in _CLASSES else value for name, value in policy.items()}
    return {**given, _POLICY: changed}


def _name(name: str, value: Any) -> Any:
    found = _found(name, value)
    return value if found is None or value is not found else found.__name__


def _class(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _found(name, value)
    if found is None:
        module, base = _CLASSES[name]
        raise errors.InvalidOption(f"{_POLICY}.{name}: there is no {base.__name__} {value!r} in {module.__name__}")
    return found


def _found(name: str, value: Any) -> type | None:
    """Return the class of a name, or of the name of a class."""
    module, base = _CLASSES[name]
    found = getattr(module, value if isinstance(value, str) else getattr(value, "__name__", ""), None)
    return found if isinstance(found, type) and issubclass(found, base) else None


def _check_arguments(kind: Callable[..., Any], given: Mapping[str, Any], within: str) -> None:
    """Refuse keywords that a class does not take; one that takes any keyword is left to judge them itself."""
    found = inspect.signature(kind).parameters
    if not any(part.kind is part.VAR_KEYWORD for part in found.values()):
        configuration.check_names("PPO", given, [name for name in found if name not in _FILLED_IN], within=f"{within}.")


def _mapping(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name) or {}
    if not isinstance(value, Mapping):
        raise errors.InvalidOption(f"{name} is a mapping of settings, not {value!r:.80}")
    return value
