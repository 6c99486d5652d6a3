"""Algorithms of stable-baselines3 and sb3-contrib built from plain values and tensors."""

from __future__ import annotations

import copy
import inspect
import math
import operator
import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from artifact_store.codecs.files import import_library
from artifact_store.codecs.sb3.resuming import remind
from artifact_store.codecs.sb3.settings import ATTRIBUTES, HYPERPARAMETERS, LIBRARIES, POLICIES
from artifact_store.codecs.sb3.spaces import flat_size, read_plain_space
from artifact_store.codecs.sb3.state import COUNTERS, SPACES, SB3State, exploration, small, variables
from artifact_store.codecs.sb3.values import MOST_ENVIRONMENTS, own_class, policy_settings, read_plain_settings
from artifact_store.codecs.torch.filling import differences
from artifact_store.core.codec import Codec
from artifact_store.errors import CodecUnavailable, Corrupt, NotEncodable, Unavailable
from artifact_store.installing import pip_install
from artifact_store.process import Process, this_process

_NOT_BUILT: Final = (TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError, ArithmeticError)
"""What stable-baselines3 and torch raise for settings that make no algorithm."""

_LATER: Final = {"seed", "verbose"}
"""Hyperparameters that would seed everything, or print, while an algorithm is made."""

_building: dict[Process, threading.Lock] = {}
"""One lock per process: a thread that a fork left behind in the parent may hold the parent's for ever."""


def build(state: SB3State, codec: Codec) -> Any:
    """Return a new algorithm with these settings, parameters and counters, on the CPU, and no environment.

    Unpickles nothing, and leaves the global random generators as they were (torch's is set back, so what other threads
    draw from it meanwhile is drawn again).

    Raises:
        Corrupt: the state makes no such algorithm.
        TypeRefused: it has a class that the codec was not given.
        Unavailable: its buffer does not fit into memory.
        CodecUnavailable: the library is not installed, or does not know one of the hyperparameters.
    """
    torch = import_library("torch", codec)
    if state.algorithm not in HYPERPARAMETERS or ("." not in state.policy and _is_unknown(state)):
        raise Corrupt(f"{state.algorithm[:40]!r} with the policy {state.policy[:40]!r} is not supported")
    policy = own_class(codec, state.policy, "the policy") if "." in state.policy else state.policy
    given = read_plain_settings(codec, state.hyperparameters, HYPERPARAMETERS[state.algorithm], state.algorithm)
    policy_kwargs = policy_settings(codec, state.policy_kwargs, own="." in state.policy, read=True)
    spaces = {name: read_plain_space(codec, getattr(state, name), name) for name in SPACES}
    if type(state.n_envs) is not int or not 0 < state.n_envs <= MOST_ENVIRONMENTS:
        raise Corrupt(f"it is recorded with {state.n_envs!r} environments")
    _check_sizes(codec, state, policy_kwargs, spaces)
    kind = getattr(import_library(LIBRARIES[state.algorithm], codec), state.algorithm)
    try:
        with _building.setdefault(this_process(), threading.Lock()), torch.random.fork_rng(devices=[]):
            algorithm = _made(kind, policy, _with_target(codec, state, given, spaces), policy_kwargs)
            algorithm.__dict__.update(spaces, n_envs=state.n_envs)
            algorithm._setup_model()  # noqa: SLF001 -- as its own load does: the only way without an environment
        _load(algorithm, state)
    except _NOT_BUILT as error:
        raise Corrupt(f"these settings make no {state.algorithm}: {type(error).__name__}: {error}") from error
    except MemoryError as error:
        raise Unavailable(
            f"the buffer of this {state.algorithm} does not fit into memory ({error}): load it into= an algorithm "
            "with a smaller one"
        ) from error
    remind(algorithm, state.lacks)
    return algorithm


def check_rebuilds(state: SB3State, algorithm: Any, codec: Codec) -> None:
    """Raise unless what would be built from ``state`` has the networks that ``algorithm`` has now."""
    try:
        again = build(small(state), codec)
    except Corrupt as error:
        raise NotEncodable(f"it cannot be built again from its settings, it was changed afterwards: {error}") from error
    optimizers = [operator.attrgetter(name) for name in state.parameters if name != "policy"]
    kept = all(type(optimizer(again)) is type(optimizer(algorithm)) for optimizer in optimizers)
    if not kept or repr(again.policy) != repr(algorithm.policy):
        raise NotEncodable("its networks or optimisers are not those that its settings make: it was changed afterwards")


def _is_unknown(state: SB3State) -> bool:
    return state.policy not in POLICIES[state.algorithm]


def _check_sizes(codec: Codec, state: SB3State, policy_kwargs: dict[str, Any], spaces: dict[str, Any]) -> None:
    """Refuse networks larger than what was saved, before memory is used for them."""
    names = state.parameters.get("policy", {})
    held = sum(int(tensor.numel()) for tensor in names.values() if hasattr(tensor, "numel"))
    layers = policy_kwargs.get("net_arch") or []
    paths = layers.values() if isinstance(layers, dict) else [layers]
    sizes = [sum(width * following for width, following in pairwise([1, *path])) for path in paths]
    extractor = policy_kwargs.get("features_extractor_kwargs") or {}
    sizes += [size for size in extractor.values() if type(size) is int]
    sizes += [int(policy_kwargs.get("n_quantiles") or 0), 4 * int(policy_kwargs.get("lstm_hidden_size") or 0) ** 2]
    sizes.append(flat_size(codec, spaces["action_space"]))
    if state.policy.startswith("Mlp") and not policy_kwargs.get("features_extractor_class"):
        sizes.append(flat_size(codec, spaces["observation_space"]))
    critics = {name.split(".")[1] for name in names if name.startswith("critic.qf")}
    if (policy_kwargs.get("n_critics") or 0) > len(critics):
        raise Corrupt(f"it would have {policy_kwargs['n_critics']:,} critics, and {len(critics):,} were saved")
    stacked = sum(name.startswith("lstm_actor.weight_ih_l") for name in names)
    if (policy_kwargs.get("n_lstm_layers") or 0) > stacked:
        raise Corrupt(f"it would have {policy_kwargs['n_lstm_layers']:,} layers of LSTM, and {stacked:,} were saved")
    if max(sizes) > held:
        raise Corrupt(f"its networks would have layers of {max(sizes):,} weights, and {held:,} were saved in all")


def _with_target(codec: Codec, state: SB3State, given: dict[str, Any], spaces: dict[str, Any]) -> dict[str, Any]:
    """Return hyperparameters without an ``"auto"`` that the library would look up in an environment."""
    known = "target_entropy" in HYPERPARAMETERS[state.algorithm]
    if not known or given.get("target_entropy", "auto") != "auto":
        return given
    np = import_library("numpy", codec)
    return {**given, "target_entropy": np.float32(-math.prod(spaces["action_space"].shape))}


def _made(kind: Any, policy: Any, given: dict[str, Any], policy_kwargs: dict[str, Any]) -> Any:
    """Call the constructor; what it does not take (DDPG fixes what TD3 lets one choose) is set afterwards."""
    known = inspect.signature(kind.__init__).parameters
    taken = {name: value for name, value in given.items() if name in known and name not in _LATER}
    if "use_rms_prop" in known:
        taken["use_rms_prop"] = False  # what it would put into policy_kwargs is in them already
    algorithm = kind(policy, None, **taken, policy_kwargs=policy_kwargs, device="cpu", _init_setup_model=False)
    for name, value in given.items():
        if name not in taken and name != "seed":
            if not hasattr(algorithm, ATTRIBUTES.get(name, name)):
                raise CodecUnavailable(
                    f"this stable-baselines3 has no {name} in {kind.__name__}: {pip_install('sb3', upgrade=True)}"
                )
            setattr(algorithm, ATTRIBUTES.get(name, name), value)
    return algorithm


def _load(algorithm: Any, state: SB3State) -> None:
    algorithm.seed = state.hyperparameters.get("seed")
    expected = algorithm.get_parameters()
    if "policy" not in state.parameters or not {*state.parameters} <= {*expected}:
        raise Corrupt(
            f"a {state.algorithm} has the parameters {', '.join(expected)}; recorded are {[*state.parameters]}"
        )
    problems = differences(expected["policy"], state.parameters["policy"])
    if problems:
        raise Corrupt(f"the policy that the settings make is not the one that was saved: {'; '.join(problems)}")
    algorithm.policy.load_state_dict(state.parameters["policy"])
    for name, saved in state.parameters.items():
        if name != "policy":
            load_optimizer(operator.attrgetter(name)(algorithm), saved, name)
    if "weights" in vars(algorithm) and "weights" not in state.variables:
        vector = algorithm.policy.parameters_to_vector()
        algorithm.weights.copy_(algorithm.weights.new_tensor(vector))  # of ARS, which would go on from zeros
    load_variables(algorithm, state.variables)
    parameters = dict(algorithm.policy.named_parameters())
    for name in state.frozen:
        parameters[name].requires_grad_(requires_grad=False)
    algorithm.num_timesteps = state.num_timesteps
    for name, value in state.counters.items():
        if name not in COUNTERS or not isinstance(value, int | float):
            raise Corrupt(f"{name!r} is recorded as {value!r}, which is not a counter")
        setattr(algorithm, name, COUNTERS[name](value))


def load_optimizer(optimizer: Any, saved: Mapping[str, Any], name: str) -> None:
    """Load what an optimiser knows about each parameter, if it is of the form of these parameters."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    places = [place for group in saved["param_groups"] for place in group["params"]]  # old ones are any numbers
    if len(places) != len(params) or not {*saved["state"]} <= {*places}:
        raise Corrupt(f"{name} is recorded for {len(places)} tensors, or others, and has {len(params)}")
    shapes = dict(zip(places, (param.shape for param in params), strict=True))
    for place, known in saved["state"].items():
        for what, value in known.items():
            if getattr(value, "ndim", 0) and value.shape != shapes[place]:
                raise Corrupt(f"{name} keeps {what} of the shape {list(value.shape)} for {list(shapes[place])}")
    for own, group in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        missing = sorted({*own} - {*group})
        if "lr" in missing:
            raise Corrupt(f"{name} is recorded without {', '.join(missing)}")
    optimizer.load_state_dict(copy.deepcopy(dict(saved)))  # which takes tensors as they are, and trains on in them


def load_variables(algorithm: Any, saved_variables: Mapping[str, Any]) -> None:
    """Put tensors where the algorithm keeps its own."""
    own = variables(algorithm)
    if not {*saved_variables} <= {*own}:
        raise Corrupt(f"recorded are the variables {[*saved_variables]}, and there are {[*own]}")
    for name, saved in saved_variables.items():
        several = name == "exploration_matrices"  # one for each environment
        if saved.dtype != own[name].dtype or saved.shape[several:] != own[name].shape[several:]:
            raise Corrupt(f"{name} is recorded with the shape {list(saved.shape)}, and has {list(own[name].shape)}")
        if name.startswith("exploration"):
            setattr(exploration(algorithm), name, saved.detach().clone().to(own[name].device))
        else:
            own[name].data.copy_(saved)
