"""stable-baselines3's algorithms as tensors and JSON, so that they predict and train on as they were, without a pickle.

``PPO.load`` unpickles a dozen objects, functions among them. Here an algorithm is its class, policy, spaces and
hyperparameters by name and number, its networks and optimisers as tensors, and its counters. It is built again by the
constructor of its class, and then filled.

What is not kept: environments, what they returned last and random generators, so training on begins with a reset of
both, and of the memory of an LSTM with them; the replay buffer, which stable-baselines3 leaves out as well (it is a
component of its own, and ``learn`` warns of an empty one); loggers, callbacks, ``tensorboard_log`` and the statistics
of the last episodes; the device. An algorithm of which something else would be lost is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

from artifact_store.canonical import checksum, parse_document
from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, dotted, write_settings
from artifact_store.codecs.json_arrays import check_expansion
from artifact_store.codecs.sb3.building import build, check_rebuilds, load_variables
from artifact_store.codecs.sb3.describing import describe, making_of
from artifact_store.codecs.sb3.resuming import remind
from artifact_store.codecs.sb3.settings import CONTRIB, LIBRARIES, SB3, dotted_names
from artifact_store.codecs.sb3.state import SB3State, small
from artifact_store.codecs.sb3.wrappers import behind
from artifact_store.codecs.torch.tensors import read_tensors, write_tensors
from artifact_store.codecs.torch.trees import pack, unpack
from artifact_store.core.codec import JSON, Risk
from artifact_store.core.observing import BEHIND
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable


class AgentCodec:
    """Store algorithms of one library in ``{stem}.safetensors`` and ``{stem}.json``.

    What comes back is on the CPU and has no environment: it predicts, and trains on after ``set_env``. The global
    random generators are left as they were, whatever ``seed`` the algorithm was made with.

    ``own`` are classes of the caller's that may stand for a policy, a features extractor, an activation or an
    optimiser. They are recorded by name alone, and whoever loads gives them again: nothing is imported.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]]
    extra: ClassVar[str | None]
    library: ClassVar[str]
    own: Mapping[str, type] = MappingProxyType({})

    def __init__(self, own: Iterable[type] = ()) -> None:
        given = {dotted(kind): kind for kind in own}
        if given:
            self.own = given
            vars(self)["risk"] = Risk.VETTED  # by the caller

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the algorithm, after it was built again for a trial and found to be the same.

        Raises:
            NotEncodable: a subclass, a policy that was not given as ``own``, a buffer of another class.
        """
        state = describe(obj, self)
        check_rebuilds(state, obj, self)
        tensors: dict[str, Any] = {}
        trees = {name: pack(getattr(state, name), name, tensors) for name in _TREES}
        record = {name: getattr(state, name) for name in _PLAIN} | trees
        with all_or_nothing(directory, stem):
            record["tensors"] = write_tensors(self, tensors, directory / f"{stem}.safetensors")
            write_settings(directory / f"{stem}.json", {**record, "checksum": checksum(record)})
        seen = behind(vars(obj).get("env"))
        return {} if seen is None else {BEHIND: seen}

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
        if LIBRARIES.get(state.algorithm) != self.library:
            raise Corrupt(f"{path.name} holds a {state.algorithm[:40]!r}, which the codec {self.name} does not know")
        if into is None:
            return build(state, self)
        _check_fits(state, into, self)
        return _fill(into, state, build(small(state), self))


class SB3Codec(AgentCodec):
    """Store PPO, A2C, DQN, SAC, TD3 and DDPG of stable-baselines3."""

    name: ClassVar[str] = "sb3"
    types: ClassVar[tuple[str, ...]] = dotted_names(SB3)
    extra: ClassVar[str | None] = "sb3"
    libraries: ClassVar[tuple[str, ...]] = ("stable-baselines3", "torch", "gymnasium")
    library: ClassVar[str] = SB3


class SB3ContribCodec(AgentCodec):
    """Store MaskablePPO, RecurrentPPO, QRDQN, TQC, TRPO, ARS and CrossQ of sb3-contrib."""

    name: ClassVar[str] = "sb3-contrib"
    types: ClassVar[tuple[str, ...]] = dotted_names(CONTRIB)
    extra: ClassVar[str | None] = "sb3-contrib"
    libraries: ClassVar[tuple[str, ...]] = ("sb3-contrib", "stable-baselines3", "torch", "gymnasium")
    library: ClassVar[str] = CONTRIB


def codec_of(algorithm: str, own: Iterable[type] = ()) -> AgentCodec:
    """Return the codec that stores the algorithm of this name, given these classes of the caller's."""
    return SB3ContribCodec(own) if LIBRARIES.get(algorithm) == CONTRIB else SB3Codec(own)


def describe_algorithm(algorithm: Any) -> SB3State:
    """Return an algorithm as plain values and tensors (its own, not copies); see :func:`.describing.describe`."""
    return describe(algorithm, codec_of(type(algorithm).__name__))


def build_algorithm(state: SB3State, own: Iterable[type] = ()) -> Any:
    """Return a new algorithm with these settings, parameters and counters; see :func:`.building.build`."""
    return build(state, codec_of(state.algorithm, own))


_TREES: Final = ("parameters", "variables")
_SIMPLE: Final = {"algorithm": str, "policy": str, "num_timesteps": int, "frozen": list, "n_envs": int, "lacks": list}
_PLAIN: Final = {part.name: _SIMPLE.get(part.name, dict) for part in fields(SB3State) if part.name not in _TREES}
_LATER: Final[dict[str, Any]] = {"lacks": []}
"""The parts of a state that are JSON, and of which kind: the file format, so a new field is a new codec version."""


def _state(record: Mapping[str, Any], tensors: Mapping[str, Any]) -> SB3State:
    plain = {name: files.field({**_LATER, **record}, name, kind) for name, kind in _PLAIN.items()}
    if not all(isinstance(one, str) for one in plain["lacks"]):
        raise Corrupt("what training on does without is not recorded as texts")
    trees = {name: unpack(record.get(name), name, tensors) for name in _TREES}
    if not all(isinstance(tree, dict) for tree in trees.values()):
        raise Corrupt("the parameters are not recorded by name")
    return SB3State(**plain, **trees)


def _check_fits(state: SB3State, into: Any, codec: AgentCodec) -> None:
    try:
        making = making_of(into, codec)
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
    load_variables(into, state.variables)
    for name in ("num_timesteps", *state.counters):
        setattr(into, name, getattr(fresh, name))
    into._last_obs = None  # noqa: SLF001 -- as set_env does: training on begins with a reset
    remind(into, state.lacks)
    return into
