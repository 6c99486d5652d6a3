"""stable-baselines3's algorithms as tensors and JSON, so that they predict and train on as they were, without a pickle.

``PPO.load`` unpickles a dozen objects, functions among them. Here an algorithm is its class, policy, spaces and
hyperparameters by name and number, its networks and optimisers as tensors, and its counters. It is built again by the
constructor of its class, and then filled.

What is not kept: environments, what they returned last and random generators, so training on begins with a reset of
both; the replay buffer, which stable-baselines3 leaves out as well; loggers, callbacks, ``tensorboard_log`` and the
statistics of the last episodes; the device. An algorithm of which something else would be lost is refused.
"""

from __future__ import annotations

import copy
import inspect
import operator
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.canonical import checksum, parse_document
from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, import_library, refuse_subclass, write_settings
from artifact_store.codecs.json_arrays import check_expansion
from artifact_store.codecs.sb3.settings import ATTRIBUTES, HYPERPARAMETERS, POLICY_KWARGS
from artifact_store.codecs.sb3.spaces import flat_size, plain_space, read_plain_space
from artifact_store.codecs.sb3.values import MOST_ENVIRONMENTS, plain_settings, read_plain_settings
from artifact_store.codecs.torch.filling import differences
from artifact_store.codecs.torch.tensors import read_tensors, write_tensors
from artifact_store.codecs.torch.trees import pack, unpack
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import CodecUnavailable, Corrupt, InvalidOption, NotEncodable, Unavailable
from artifact_store.installing import pip_install
from artifact_store.process import Process, this_process

_SPACES: Final = ("observation_space", "action_space")
_COUNTERS: Final[dict[str, type[int | float]]] = {
    **dict.fromkeys(("_total_timesteps", "_num_timesteps_at_start", "_episode_num", "_n_updates", "_n_calls"), int),
    **dict.fromkeys(("_current_progress_remaining", "exploration_rate"), float),
}
_NOT_BUILT: Final = (TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError, ArithmeticError)
"""What stable-baselines3 and torch raise for settings that make no algorithm."""

_LATER: Final = {"seed", "verbose"}
"""Hyperparameters that would seed everything, or print, while an algorithm is made."""

_building: dict[Process, threading.Lock] = {}
"""One lock per process: a thread that a fork left behind in the parent may hold the parent's for ever."""


@dataclass(frozen=True, eq=False)
class SB3State:
    """An algorithm as plain values: :func:`describe_algorithm` makes them, :func:`build_algorithm` reads them.

    ``policy`` is one of MlpPolicy, CnnPolicy and MultiInputPolicy. ``policy_kwargs``, the spaces and
    ``hyperparameters`` are JSON in the form of ``sb3.settings`` and ``sb3.spaces``; what is left out has the default of
    stable-baselines3. ``parameters`` is what ``get_parameters()`` returns; optimisers may be left out, and begin anew
    then. ``variables`` are other tensors: SAC's entropy coefficient, and the exploration matrices of gSDE. ``frozen``
    names the parameters of the policy that training leaves alone.
    """

    algorithm: str
    policy: str
    observation_space: Mapping[str, Any]
    action_space: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    policy_kwargs: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    num_timesteps: int = 0
    counters: Mapping[str, int | float] = field(default_factory=dict)
    frozen: Sequence[str] = ()
    n_envs: int = 1


class SB3Codec:
    """Store PPO, A2C, DQN, SAC, TD3 and DDPG in ``{stem}.safetensors`` and ``{stem}.json``.

    What comes back is on the CPU and has no environment: it predicts, and trains on after ``set_env``. The global
    random generators are left as they were, whatever ``seed`` the algorithm was made with.
    """

    name: ClassVar[str] = "sb3"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = tuple(
        f"stable_baselines3.{name.lower()}.{name.lower()}.{name}" for name in HYPERPARAMETERS
    )
    extra: ClassVar[str | None] = "sb3"
    libraries: ClassVar[tuple[str, ...]] = ("stable-baselines3", "torch", "gymnasium")

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the algorithm, after it was built again for a trial and found to be the same.

        Raises:
            NotEncodable: a subclass, a policy of one's own, a schedule that is a function, a buffer of another class.
        """
        state = describe_algorithm(obj)
        _check_rebuilds(state, obj)
        tensors: dict[str, Any] = {}
        trees = {name: pack(getattr(state, name), name, tensors) for name in _TREES}
        record = {name: getattr(state, name) for name in _PLAIN} | trees
        with all_or_nothing(directory, stem):
            record["tensors"] = write_tensors(self, tensors, directory / f"{stem}.safetensors")
            write_settings(directory / f"{stem}.json", {**record, "checksum": checksum(record)})
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return a new algorithm, or ``into``, one of the same making, filled with parameters and counters.

        Raises:
            InvalidOption: ``into`` is another algorithm, or has another policy or other spaces; it is as it was.
        """
        del options
        path = directory / f"{stem}.json"
        limit = files.MAX_SETTINGS
        record = parse_document(files.read_encoded(path, limit=limit), limit=limit, what=path.name)
        check_expansion(record, path.name)
        tensors = read_tensors(self, files.field(record, "tensors", dict), directory / f"{stem}.safetensors")
        state = _state(record, tensors)
        if into is None:
            return build_algorithm(state)
        _check_fits(state, into)
        return _fill(into, state, build_algorithm(_small(state)))


_TREES: Final = ("parameters", "variables")
_SIMPLE: Final = {"algorithm": str, "policy": str, "num_timesteps": int, "frozen": list, "n_envs": int}
_PLAIN: Final = {part.name: _SIMPLE.get(part.name, dict) for part in fields(SB3State) if part.name not in _TREES}
"""The parts of a state that are JSON, and of which kind: the file format, so a new field is a new codec version."""


def _state(record: Mapping[str, Any], tensors: Mapping[str, Any]) -> SB3State:
    plain = {name: files.field(record, name, kind) for name, kind in _PLAIN.items()}
    trees = {name: unpack(record.get(name), name, tensors) for name in _TREES}
    if not all(isinstance(tree, dict) for tree in trees.values()):
        raise Corrupt("the parameters are not recorded by name")
    return SB3State(**plain, **trees)


# ---------------------------------------------------------------- taking apart


def describe_algorithm(algorithm: Any) -> SB3State:
    """Return an algorithm as plain values and tensors (its own, not copies).

    Raises:
        NotEncodable: something of it that matters has no such form.
    """
    codec = SB3Codec()
    making = _making(codec, algorithm)
    _check_buffers(algorithm)
    name = type(algorithm).__name__
    return SB3State(
        **making,
        parameters=algorithm.get_parameters(),
        hyperparameters=plain_settings(codec, _hyperparameters(algorithm), HYPERPARAMETERS[name], name),
        variables=_variables(algorithm),
        num_timesteps=int(algorithm.num_timesteps),
        counters={name: kind(getattr(algorithm, name)) for name, kind in _COUNTERS.items() if hasattr(algorithm, name)},
        frozen=[name for name, parameter in algorithm.policy.named_parameters() if not parameter.requires_grad],
        n_envs=int(algorithm.n_envs),
    )


def _making(codec: SB3Codec, algorithm: Any) -> dict[str, Any]:
    """Return what the networks of an algorithm are made from."""
    sb3 = import_library("stable_baselines3", codec)
    refuse_subclass(algorithm, *(getattr(sb3, name) for name in HYPERPARAMETERS))
    if hasattr(algorithm.policy, "_orig_mod"):
        raise NotEncodable("its policy was compiled: set algorithm.policy = algorithm.policy._orig_mod, and save then")
    aliases = {policy: alias for alias, policy in reversed(algorithm.policy_aliases.items())}
    if algorithm.policy_class not in aliases or type(algorithm.policy) is not algorithm.policy_class:
        raise NotEncodable(
            f"its policy is a {type(algorithm.policy).__qualname__}, whose code cannot be stored; kept are "
            f"{', '.join(algorithm.policy_aliases)}. Save policy.state_dict() (codec 'torch-state') and build the "
            "algorithm in your own code"
        )
    return {
        "algorithm": type(algorithm).__name__,
        "policy": aliases[algorithm.policy_class],
        **{name: plain_space(codec, getattr(algorithm, name), name) for name in _SPACES},
        "policy_kwargs": plain_settings(codec, algorithm.policy_kwargs, POLICY_KWARGS, "policy_kwargs"),
    }


def _check_buffers(algorithm: Any) -> None:
    """Raise if the buffer is not of the class that stable-baselines3 chooses by itself."""
    own = "Dict" if type(algorithm.observation_space).__name__ == "Dict" else ""
    if hasattr(algorithm, "replay_buffer_class"):
        kind, kwargs = algorithm.replay_buffer_class, {}
        expected = "NStepReplayBuffer" if algorithm.n_steps > 1 and not own else f"{own}ReplayBuffer"
    else:
        kind, kwargs = algorithm.rollout_buffer_class, algorithm.rollout_buffer_kwargs
        expected = f"{own}RolloutBuffer"
    if kind.__name__ != expected or not kind.__module__.startswith("stable_baselines3.common.") or kwargs:
        raise NotEncodable(
            f"its buffer is a {kind.__qualname__}, made with {kwargs}, and may need its environment or code to be "
            "made again: train with the default buffer, or save policy.state_dict() (codec 'torch-state')"
        )


def _hyperparameters(algorithm: Any) -> dict[str, Any]:
    kinds = HYPERPARAMETERS[type(algorithm).__name__]
    given = {name: getattr(algorithm, ATTRIBUTES.get(name, name)) for name in kinds}
    given["learning_rate"] = algorithm.lr_schedule  # the one in force; the attribute may have been changed since
    if "replay_buffer_kwargs" in given:
        made = {"n_steps": algorithm.n_steps, "gamma": algorithm.gamma} if algorithm.n_steps > 1 else {}
        kwargs = given["replay_buffer_kwargs"].items()
        given["replay_buffer_kwargs"] = {name: value for name, value in kwargs if made.get(name) != value}
    return given


def _variables(algorithm: Any) -> dict[str, Any]:
    """Return the tensors that are neither in a network nor in an optimiser."""
    names = ("log_ent_coef", "ent_coef_tensor")
    found = {name: value for name in names if (value := getattr(algorithm, name, None)) is not None}
    if getattr(algorithm, "use_sde", False):
        noise = _exploration(algorithm)
        found |= {name: getattr(noise, name) for name in ("exploration_mat", "exploration_matrices")}
    return found


def _exploration(algorithm: Any) -> Any:
    """Return the distribution that holds the exploration matrices of gSDE."""
    policy = algorithm.policy
    return policy.action_dist if hasattr(policy, "action_dist") else policy.actor.action_dist


def _small(state: SB3State) -> SB3State:
    """Return a state that makes the same networks and optimisers, and next to no buffer."""
    size = {"buffer_size": 1} if "buffer_size" in HYPERPARAMETERS.get(state.algorithm, ()) else {"n_steps": 1}
    return replace(state, n_envs=1, hyperparameters={**state.hyperparameters, **size})


def _check_rebuilds(state: SB3State, algorithm: Any) -> None:
    """Raise unless what would be built from ``state`` has the networks that ``algorithm`` has now."""
    try:
        again = build_algorithm(_small(state))
    except Corrupt as error:
        raise NotEncodable(f"it cannot be built again from its settings, it was changed afterwards: {error}") from error
    optimizers = [operator.attrgetter(name) for name in state.parameters if name != "policy"]
    kept = all(type(optimizer(again)) is type(optimizer(algorithm)) for optimizer in optimizers)
    if not kept or repr(again.policy) != repr(algorithm.policy):
        raise NotEncodable("its networks or optimisers are not those that its settings make: it was changed afterwards")


# ---------------------------------------------------------------- building, and filling one that is there


def build_algorithm(state: SB3State) -> Any:
    """Return a new algorithm with these settings, parameters and counters, on the CPU, and no environment.

    Unpickles nothing, and leaves the global random generators as they were (torch's is set back, so what other threads
    draw from it meanwhile is drawn again).

    Raises:
        Corrupt: the state makes no such algorithm.
        Unavailable: its buffer does not fit into memory.
        CodecUnavailable: stable-baselines3 is not installed, or does not know one of the hyperparameters.
    """
    codec = SB3Codec()
    torch = import_library("torch", codec)
    if state.algorithm not in HYPERPARAMETERS or state.policy not in {"MlpPolicy", "CnnPolicy", "MultiInputPolicy"}:
        raise Corrupt(f"{state.algorithm[:40]!r} with the policy {state.policy[:40]!r} is not supported")
    given = read_plain_settings(codec, state.hyperparameters, HYPERPARAMETERS[state.algorithm], state.algorithm)
    policy_kwargs = read_plain_settings(codec, state.policy_kwargs, POLICY_KWARGS, "policy_kwargs")
    spaces = {name: read_plain_space(codec, getattr(state, name), name) for name in _SPACES}
    if type(state.n_envs) is not int or not 0 < state.n_envs <= MOST_ENVIRONMENTS:
        raise Corrupt(f"it is recorded with {state.n_envs!r} environments")
    _check_sizes(codec, state, policy_kwargs, spaces)
    kind = getattr(import_library("stable_baselines3", codec), state.algorithm)
    try:
        with _building.setdefault(this_process(), threading.Lock()), torch.random.fork_rng(devices=[]):
            algorithm = _made(kind, state.policy, given, policy_kwargs)
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
    return algorithm


def _check_sizes(codec: SB3Codec, state: SB3State, policy_kwargs: dict[str, Any], spaces: dict[str, Any]) -> None:
    """Refuse networks larger than what was saved, before memory is used for them."""
    tensors = state.parameters.get("policy", {}).values()
    held = sum(int(tensor.numel()) for tensor in tensors if hasattr(tensor, "numel"))
    layers = policy_kwargs.get("net_arch") or []
    paths = layers.values() if isinstance(layers, dict) else [layers]
    sizes = [sum(width * following for width, following in pairwise([1, *path])) for path in paths]
    sizes += [int(size) for size in (policy_kwargs.get("features_extractor_kwargs") or {}).values()]
    sizes.append(flat_size(codec, spaces["action_space"]))
    if state.policy == "MlpPolicy" and not policy_kwargs.get("features_extractor_class"):
        sizes.append(flat_size(codec, spaces["observation_space"]))
    critics = {name.split(".")[1] for name in state.parameters.get("policy", {}) if name.startswith("critic.qf")}
    if (policy_kwargs.get("n_critics") or 0) > len(critics):
        raise Corrupt(f"it would have {policy_kwargs['n_critics']:,} critics, and {len(critics):,} were saved")
    if max(sizes) > held:
        raise Corrupt(f"its networks would have layers of {max(sizes):,} weights, and {held:,} were saved in all")


def _made(kind: Any, policy: str, given: dict[str, Any], policy_kwargs: dict[str, Any]) -> Any:
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
            _load_optimizer(operator.attrgetter(name)(algorithm), saved, name)
    _load_variables(algorithm, state.variables)
    parameters = dict(algorithm.policy.named_parameters())
    for name in state.frozen:
        parameters[name].requires_grad_(requires_grad=False)
    algorithm.num_timesteps = state.num_timesteps
    for name, value in state.counters.items():
        if name not in _COUNTERS or not isinstance(value, int | float):
            raise Corrupt(f"{name!r} is recorded as {value!r}, which is not a counter")
        setattr(algorithm, name, _COUNTERS[name](value))


def _load_optimizer(optimizer: Any, saved: Mapping[str, Any], name: str) -> None:
    """Load what an optimiser knows about each parameter, if it is of the form of these parameters."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    for place, known in saved["state"].items():
        for what, value in known.items():
            if getattr(value, "ndim", 0) and value.shape != params[place].shape:
                raise Corrupt(f"{name} keeps {what} of the shape {list(value.shape)} for {list(params[place].shape)}")
    for own, group in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        missing = sorted({*own} - {*group})
        if "lr" in missing:
            raise Corrupt(f"{name} is recorded without {', '.join(missing)}")
    optimizer.load_state_dict(copy.deepcopy(dict(saved)))  # which takes tensors as they are, and trains on in them


def _load_variables(algorithm: Any, variables: Mapping[str, Any]) -> None:
    own = _variables(algorithm)
    if not {*variables} <= {*own}:
        raise Corrupt(f"recorded are the variables {[*variables]}, and there are {[*own]}")
    for name, saved in variables.items():
        several = name == "exploration_matrices"  # one for each environment
        if saved.dtype != own[name].dtype or saved.shape[several:] != own[name].shape[several:]:
            raise Corrupt(f"{name} is recorded with the shape {list(saved.shape)}, and has {list(own[name].shape)}")
        if name.startswith("exploration"):
            setattr(_exploration(algorithm), name, saved.detach().clone().to(own[name].device))
        else:
            own[name].data.copy_(saved)


def _check_fits(state: SB3State, into: Any) -> None:
    try:
        making = _making(SB3Codec(), into)
    except NotEncodable as error:
        raise InvalidOption(f"into= is not an algorithm that can be filled: {error}") from error
    for name, own in making.items():
        if own != getattr(state, name):
            raise InvalidOption(
                f"into= has the {name} {str(own)[:200]}, and saved is {str(getattr(state, name))[:200]}"
            )


def _fill(into: Any, state: SB3State, fresh: Any) -> Any:
    """Give ``into`` what a new algorithm has that was built from ``state``; its hyperparameters stay its own."""
    into.set_parameters(fresh.get_parameters(), device=into.device)
    _load_variables(into, state.variables)
    for name in ("num_timesteps", *state.counters):
        setattr(into, name, getattr(fresh, name))
    into._last_obs = None  # noqa: SLF001 -- as set_env does: training on begins with a reset
    return into
