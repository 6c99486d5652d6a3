"""What the algorithms and policies of stable-baselines3 and sb3-contrib can be made with, and of which kind it is.

Whatever is not in these tables is refused, on both sides. Owns the names; ``sb3.values`` knows what a kind is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_EVERY: Final = {
    "schedule": "learning_rate",
    "number": "gamma",
    "integer?": "seed",
    "integer": "stats_window_size verbose",
}
_SDE: Final = {"switch": "use_sde", "integer": "sde_sample_freq"}
_ON_POLICY: Final = {
    "integer": "n_steps",
    "number": "gae_lambda ent_coef vf_coef max_grad_norm",
    "switch": "normalize_advantage",
}
_OFF_POLICY: Final = {
    "integer": "buffer_size learning_starts batch_size gradient_steps n_steps",
    "number": "tau",
    "frequency": "train_freq",
    "switch": "optimize_memory_usage",
    "buffer settings": "replay_buffer_kwargs",
}
_PPO: Final = {
    "integer": "batch_size n_epochs",
    "schedule": "clip_range",
    "schedule?": "clip_range_vf",
    "number?": "target_kl",
}
_DQN: Final = {
    "integer": "target_update_interval",
    "number": "exploration_fraction exploration_initial_eps exploration_final_eps max_grad_norm",
}
_SAC: Final = {
    "noise?": "action_noise",
    "switch": "use_sde_at_warmup",
    "entropy": "ent_coef target_entropy",
    "integer": "target_update_interval",
}
_TD3: Final = {"noise?": "action_noise", "integer": "policy_delay", "number": "target_policy_noise target_noise_clip"}


def _by_name(*tables: Mapping[str, str]) -> dict[str, str]:
    return {name: kind for table in tables for kind, names in table.items() for name in names.split()}


_TQC: Final = {**_SAC, "integer": "target_update_interval top_quantiles_to_drop_per_net"}
_CROSSQ: Final = {
    "noise?": "action_noise",
    "switch": "use_sde_at_warmup",
    "entropy": "ent_coef target_entropy",
    "integer": "policy_delay",
}
_TRPO: Final = {
    "integer": "n_steps batch_size cg_max_steps line_search_max_iter n_critic_updates sub_sampling_factor",
    "number": "gae_lambda cg_damping line_search_shrinking_factor target_kl",
    "switch": "normalize_advantage",
}
_ARS: Final = {
    "schedule": "learning_rate delta_std",
    "integer": "n_delta n_top n_eval_episodes stats_window_size verbose",
    "integer?": "seed",
    "switch": "zero_policy",
    "number": "alive_bonus_offset",
}
_QRDQN: Final = {
    "integer": "target_update_interval",
    "number": "exploration_fraction exploration_initial_eps exploration_final_eps",
    "number?": "max_grad_norm",
}

SB3: Final = "stable_baselines3"
CONTRIB: Final = "sb3_contrib"
_ALGORITHMS: Final = {
    SB3: {
        "PPO": _by_name(_EVERY, _SDE, _ON_POLICY, _PPO),
        "A2C": _by_name(_EVERY, _SDE, _ON_POLICY),
        "DQN": _by_name(_EVERY, _OFF_POLICY, _DQN),
        "SAC": _by_name(_EVERY, _OFF_POLICY, _SDE, _SAC),
        "TD3": _by_name(_EVERY, _OFF_POLICY, _TD3),
        "DDPG": _by_name(_EVERY, _OFF_POLICY, _TD3),
    },
    CONTRIB: {
        "MaskablePPO": _by_name(_EVERY, _ON_POLICY, _PPO),
        "RecurrentPPO": _by_name(_EVERY, _SDE, _ON_POLICY, _PPO),
        "QRDQN": _by_name(_EVERY, _OFF_POLICY, _QRDQN),
        "TQC": _by_name(_EVERY, _OFF_POLICY, _SDE, _TQC),
        "TRPO": _by_name(_EVERY, _SDE, _TRPO),
        "ARS": _by_name(_ARS),
        "CrossQ": _by_name(_EVERY, _OFF_POLICY, _SDE, _CROSSQ),
    },
}
HYPERPARAMETERS: Final = {name: kinds for known in _ALGORITHMS.values() for name, kinds in known.items()}
"""What each algorithm is made with, by the names of its library, and of which kind it is."""

LIBRARIES: Final = {name: library for library, known in _ALGORITHMS.items() for name in known}
"""The library that each algorithm is from."""

_MODULES: Final = {"MaskablePPO": "ppo_mask", "RecurrentPPO": "ppo_recurrent"}
_USUAL: Final = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
POLICIES: Final = {
    **dict.fromkeys(HYPERPARAMETERS, _USUAL),
    "RecurrentPPO": ("MlpLstmPolicy", "CnnLstmPolicy", "MultiInputLstmPolicy"),
    "ARS": ("MlpPolicy", "LinearPolicy"),
    "CrossQ": ("MlpPolicy",),
}
"""What each algorithm calls the policies that it can be made with."""


def dotted_names(library: str) -> tuple[str, ...]:
    """Return module and name of the algorithms of a library."""
    modules = {name: _MODULES.get(name, name.lower()) for name in _ALGORITHMS[library]}
    return tuple(f"{library}.{module}.{module}.{name}" for name, module in modules.items())


ATTRIBUTES: Final = {"stats_window_size": "_stats_window_size", "delta_std": "delta_std_schedule"}
"""Where an algorithm keeps what its constructor calls otherwise."""

POLICY_KWARGS: Final = _by_name(
    {
        "layers?": "net_arch",
        "activation?": "activation_fn",
        "switch?": "ortho_init use_sde full_std use_expln squash_output share_features_extractor normalize_images "
        "with_bias shared_lstm enable_critic_lstm batch_norm",
        "number?": "log_std_init clip_mean batch_norm_momentum batch_norm_eps",
        "extractor?": "features_extractor_class",
        "extractor settings?": "features_extractor_kwargs",
        "optimizer?": "optimizer_class",
        "values?": "optimizer_kwargs lstm_kwargs",
        "integer?": "n_critics n_quantiles lstm_hidden_size n_lstm_layers renorm_warmup_steps",
    }
)
"""The keywords of the policies, and of which kind they are."""
