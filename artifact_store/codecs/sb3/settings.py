"""What stable-baselines3's algorithms and policies can be made with, and of which kind each setting is.

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


HYPERPARAMETERS: Final = {
    "PPO": _by_name(_EVERY, _SDE, _ON_POLICY, _PPO),
    "A2C": _by_name(_EVERY, _SDE, _ON_POLICY),
    "DQN": _by_name(_EVERY, _OFF_POLICY, _DQN),
    "SAC": _by_name(_EVERY, _OFF_POLICY, _SDE, _SAC),
    "TD3": _by_name(_EVERY, _OFF_POLICY, _TD3),
    "DDPG": _by_name(_EVERY, _OFF_POLICY, _TD3),
}
"""What each algorithm is made with, by the names of stable-baselines3, and of which kind it is."""

ATTRIBUTES: Final = {"stats_window_size": "_stats_window_size"}
"""Where an algorithm keeps what its constructor calls otherwise."""

POLICY_KWARGS: Final = _by_name(
    {
        "layers?": "net_arch",
        "activation?": "activation_fn",
        "switch?": "ortho_init use_sde full_std use_expln squash_output share_features_extractor normalize_images",
        "number?": "log_std_init clip_mean",
        "extractor?": "features_extractor_class",
        "extractor settings?": "features_extractor_kwargs",
        "optimizer?": "optimizer_class",
        "values?": "optimizer_kwargs",
        "integer?": "n_critics",
    }
)
"""The keywords of the policies, and of which kind they are."""
