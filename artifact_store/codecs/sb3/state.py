"""An algorithm of stable-baselines3 or sb3-contrib as plain values and tensors, and where it keeps the odd ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from artifact_store.codecs.sb3.settings import HYPERPARAMETERS

SPACES: Final = ("observation_space", "action_space")
COUNTERS: Final[dict[str, type[int | float]]] = {
    **dict.fromkeys(("_total_timesteps", "_num_timesteps_at_start", "_episode_num", "_n_updates", "_n_calls"), int),
    **dict.fromkeys(("_current_progress_remaining", "exploration_rate", "old_count"), float),
}


@dataclass(frozen=True, eq=False)
class SB3State:
    """An algorithm as plain values: ``describe_algorithm`` makes them, ``build_algorithm`` reads them.

    ``policy`` is one of ``settings.POLICIES``, or the dotted name of a class that the codec was given.
    ``policy_kwargs``, the spaces and ``hyperparameters`` are JSON in the form of ``sb3.settings`` and ``sb3.spaces``;
    what is left out has the default of the library. ``parameters`` is what ``get_parameters()`` returns; optimisers
    may be left out, and begin anew then. ``variables`` are other tensors: SAC's entropy coefficient, the exploration
    matrices of gSDE, the weights that ARS goes on from. ``frozen`` names the parameters of the policy that training
    leaves alone, ``lacks`` what training on does without.
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
    lacks: Sequence[str] = ()


def small(state: SB3State) -> SB3State:
    """Return a state that makes the same networks and optimisers, and next to no buffer."""
    known = HYPERPARAMETERS.get(state.algorithm, ())
    size = {name: 1 for name in ("buffer_size", "n_steps") if name in known}
    if "buffer_size" in size:
        size.pop("n_steps")  # of a replay buffer, they are a matter of what is learned
    return replace(state, n_envs=1, hyperparameters={**state.hyperparameters, **size})


def variables(algorithm: Any) -> dict[str, Any]:
    """Return the tensors that are neither in a network nor in an optimiser."""
    names = ("log_ent_coef", "ent_coef_tensor", "weights")
    found = {name: value for name in names if (value := getattr(algorithm, name, None)) is not None}
    if getattr(algorithm, "use_sde", False):
        noise = exploration(algorithm)
        found |= {name: getattr(noise, name) for name in ("exploration_mat", "exploration_matrices")}
    return found


def exploration(algorithm: Any) -> Any:
    """Return the distribution that holds the exploration matrices of gSDE."""
    policy = algorithm.policy
    return policy.action_dist if hasattr(policy, "action_dist") else policy.actor.action_dist
