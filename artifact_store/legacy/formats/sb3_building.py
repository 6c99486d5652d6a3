"""An algorithm from an old zip, whole for predicting; what training on does without is named, and said by ``learn``."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from artifact_store.codecs.sb3.building import load_optimizer
from artifact_store.codecs.sb3.policy import build_algorithm
from artifact_store.codecs.sb3.resuming import remind
from artifact_store.codecs.sb3.state import SB3State
from artifact_store.errors import Corrupt, Unavailable
from artifact_store.legacy.formats.sb3 import OldSB3

_OF_NETWORKS: Final = {"use_sde"}
"""The settings without which the networks would be others."""
_SMALL_BUFFER: Final = 10_000
_SPACES: Final = ("observation_space", "action_space")
_NOT_LOADED: Final = (Corrupt, TypeError, ValueError, LookupError, AttributeError)


def build_old(old: OldSB3) -> tuple[Any, tuple[str, ...]]:
    """Return an algorithm, and what the file does not say exactly or what training cannot go on with.

    Raises:
        Corrupt: its networks are not those of its settings.
    """
    lacks: list[str] = []
    saved = {name: value for name, value in old.state.parameters.items() if name != "policy"}
    bare = replace(old.state, parameters={"policy": old.state.parameters["policy"]})
    algorithm = _built(bare, old.own, lacks)
    anew = {
        name: _optimizer(algorithm, name, saved.get(name)) for name in algorithm.get_parameters() if name != "policy"
    }
    lacks += [f"{name} begins anew ({why})" for name, why in anew.items() if why]
    settings = [name for name in old.inferred if not name.startswith(_SPACES)]
    said = [f"the file does not say its {', '.join(settings)}"] * bool(settings) + lacks
    remind(algorithm, said)
    return algorithm, (*old.inferred, *lacks)


def _built(state: SB3State, own: tuple[type, ...], lacks: list[str]) -> Any:
    """Return the algorithm with all of its settings, or, where those make none today, with fewer."""
    try:
        return build_algorithm(state, own)
    except Unavailable:
        lacks.append(f"buffer_size is {_SMALL_BUFFER:,} (its own does not fit into memory)")
        return build_algorithm(_with(state, buffer_size=_SMALL_BUFFER), own)
    except Corrupt as error:
        few = {name: value for name, value in state.hyperparameters.items() if name in _OF_NETWORKS}
        try:
            algorithm = build_algorithm(replace(state, hyperparameters=few, variables={}), own)
        except Corrupt:
            raise error from None
        lacks.append(f"its settings of training are the defaults ({error})")
        return algorithm


def _with(state: SB3State, **settings: Any) -> SB3State:
    return replace(state, hyperparameters={**state.hyperparameters, **settings})


def _optimizer(algorithm: Any, name: str, saved: Mapping[str, Any] | None) -> str:
    """Load what an optimiser knows, or return why not."""
    if saved is None:
        return "the file has no state of it"
    optimizer = operator.attrgetter(name)(algorithm)
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    try:
        load_optimizer(optimizer, _without_target(saved, count), name)
    except _NOT_LOADED as error:
        return str(error) or type(error).__name__
    return ""


def _without_target(saved: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    """Return what an optimiser knew about its first ``count`` tensors, if it had as many of a target network as well.

    Before 2.4, those of DQN and QRDQN had both. Nothing is known about a target, which no gradient reaches.
    """
    groups = saved["param_groups"]
    own = groups[0]["params"][:count]
    if len(groups) != 1 or len(groups[0]["params"]) != 2 * count or not {*saved["state"]} <= {*own}:
        return saved
    return {**saved, "param_groups": [{**groups[0], "params": own}]}
