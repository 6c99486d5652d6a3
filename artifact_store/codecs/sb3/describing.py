"""Algorithms of stable-baselines3 and sb3-contrib taken apart into plain values and tensors."""

from __future__ import annotations

from typing import Any, Final

from artifact_store.codecs.files import dotted, import_library, refuse_subclass
from artifact_store.codecs.sb3.resuming import lacking
from artifact_store.codecs.sb3.settings import ATTRIBUTES, CONTRIB, HYPERPARAMETERS, LIBRARIES, SB3
from artifact_store.codecs.sb3.spaces import plain_space
from artifact_store.codecs.sb3.state import COUNTERS, SPACES, SB3State, variables
from artifact_store.codecs.sb3.values import give, own_classes, plain_settings, policy_settings
from artifact_store.core.codec import Codec
from artifact_store.errors import NotEncodable

_BUFFERS: Final = {"MaskablePPO": "Maskable", "RecurrentPPO": "Recurrent"}
_OF_BUFFERS: Final = ("stable_baselines3.common.", "sb3_contrib.common.")


def describe(algorithm: Any, codec: Codec) -> SB3State:
    """Return an algorithm as plain values and tensors (its own, not copies).

    Raises:
        NotEncodable: something of it that matters has no such form.
    """
    making = making_of(algorithm, codec)
    _check_buffers(algorithm)
    name = type(algorithm).__name__
    return SB3State(
        **making,
        parameters=_parameters(algorithm),
        hyperparameters=plain_settings(codec, _hyperparameters(algorithm), HYPERPARAMETERS[name], name),
        variables=variables(algorithm),
        num_timesteps=int(algorithm.num_timesteps),
        counters={name: kind(getattr(algorithm, name)) for name, kind in COUNTERS.items() if hasattr(algorithm, name)},
        frozen=[name for name, parameter in algorithm.policy.named_parameters() if not parameter.requires_grad],
        n_envs=int(algorithm.n_envs),
        lacks=lacking(algorithm),
    )


def _parameters(algorithm: Any) -> dict[str, Any]:
    """Return the tensors of networks and optimisers; those of ARS apart from the one row that they may be views of."""
    found: dict[str, Any] = algorithm.get_parameters()
    if hasattr(algorithm, "weights"):
        found["policy"] = {name: tensor.detach().clone() for name, tensor in found["policy"].items()}
    return found


def making_of(algorithm: Any, codec: Codec) -> dict[str, Any]:
    """Return what the networks of an algorithm are made from."""
    library = CONTRIB if type(algorithm).__module__.startswith(f"{CONTRIB}.") else SB3
    module = import_library(library, codec)
    refuse_subclass(algorithm, *(getattr(module, name) for name, its in LIBRARIES.items() if its == library))
    if hasattr(algorithm.policy, "_orig_mod"):
        raise NotEncodable("its policy was compiled: set algorithm.policy = algorithm.policy._orig_mod, and save then")
    policy = _policy(algorithm, codec)
    return {
        "algorithm": type(algorithm).__name__,
        "policy": policy,
        **{name: plain_space(codec, getattr(algorithm, name), name) for name in SPACES},
        "policy_kwargs": policy_settings(codec, algorithm.policy_kwargs, own="." in policy),
    }


def _policy(algorithm: Any, codec: Codec) -> str:
    """Return what the algorithm calls its policy, or the dotted name of one that the caller gave."""
    kind = algorithm.policy_class
    aliases = {policy: alias for alias, policy in reversed(algorithm.policy_aliases.items())}
    if type(algorithm.policy) is kind and kind in aliases:
        return str(aliases[kind])
    if type(algorithm.policy) is kind and own_classes(codec).get(dotted(kind)) is kind:
        return dotted(kind)
    name = dotted(type(algorithm.policy))
    raise NotEncodable(
        f"its policy is a {name}, whose code cannot be stored; kept are {', '.join(algorithm.policy_aliases)}, and "
        f"classes of yours that you give: {give(codec, name)}. Or save policy.state_dict() (codec 'torch-state') and "
        "build the algorithm in your own code"
    )


def _check_buffers(algorithm: Any) -> None:
    """Raise if the buffer is not of the class that the library chooses by itself."""
    own = "Dict" if type(algorithm.observation_space).__name__ == "Dict" else ""
    if hasattr(algorithm, "replay_buffer_class"):
        kind, kwargs = algorithm.replay_buffer_class, {}
        expected = "NStepReplayBuffer" if algorithm.n_steps > 1 and not own else f"{own}ReplayBuffer"
    elif hasattr(algorithm, "rollout_buffer"):
        kind, kwargs = type(algorithm.rollout_buffer), algorithm.rollout_buffer_kwargs
        expected = f"{_BUFFERS.get(type(algorithm).__name__, '')}{own}RolloutBuffer"
    else:
        return
    if kind.__name__ != expected or not kind.__module__.startswith(_OF_BUFFERS) or kwargs:
        raise NotEncodable(
            f"its buffer is a {kind.__qualname__}, made with {kwargs}, and may need its environment or code to be "
            "made again: train with the default buffer, or save policy.state_dict() (codec 'torch-state')"
        )


def _hyperparameters(algorithm: Any) -> dict[str, Any]:
    """Return the settings; the learning rate is the one that was assigned last, as for the library's own load."""
    kinds = HYPERPARAMETERS[type(algorithm).__name__]
    given = {name: getattr(algorithm, ATTRIBUTES.get(name, name)) for name in kinds}
    if not isinstance(given.get("target_entropy", ""), str):
        given["target_entropy"] = float(given["target_entropy"])  # which is what their own load makes of numpy's
    if "replay_buffer_kwargs" in given:
        made = {"n_steps": algorithm.n_steps, "gamma": algorithm.gamma} if algorithm.n_steps > 1 else {}
        kwargs = given["replay_buffer_kwargs"].items()
        given["replay_buffer_kwargs"] = {name: value for name, value in kwargs if made.get(name) != value}
    return given
