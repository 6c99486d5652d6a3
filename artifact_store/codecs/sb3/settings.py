"""What stable-baselines3's algorithms and policies can be made with, and of which kind each setting is.

Whatever is not in these tables is refused, on both sides. Owns the names; ``sb3_values`` knows what a kind is.
"""

from __future__ import annotations

from typing import Final

_EVERY: Final = {
    "learning_rate": "schedule",
    "gamma": "number",
    "seed": "integer?",
    "stats_window_size": "integer",
    "verbose": "integer",
}
_SDE: Final = {"use_sde": "switch", "sde_sample_freq": "integer"}
_ON_POLICY: Final = {
    **_EVERY,
    **_SDE,
    "n_steps": "integer",
    "gae_lambda": "number",
    "ent_coef": "number",
    "vf_coef": "number",
    "max_grad_norm": "number",
    "normalize_advantage": "switch",
}
_OFF_POLICY: Final = {
    **_EVERY,
    "buffer_size": "integer",
    "learning_starts": "integer",
    "batch_size": "integer",
    "tau": "number",
    "train_freq": "frequency",
    "gradient_steps": "integer",
    "optimize_memory_usage": "switch",
    "replay_buffer_kwargs": "buffer settings",
    "n_steps": "integer",
}
_TD3: Final = {
    **_OFF_POLICY,
    "action_noise": "noise?",
    "policy_delay": "integer",
    "target_policy_noise": "number",
    "target_noise_clip": "number",
}

HYPERPARAMETERS: Final[dict[str, dict[str, str]]] = {
    "PPO": {
        **_ON_POLICY,
        "batch_size": "integer",
        "n_epochs": "integer",
        "clip_range": "schedule",
        "clip_range_vf": "schedule?",
        "target_kl": "number?",
    },
    "A2C": _ON_POLICY,
    "DQN": {
        **_OFF_POLICY,
        "target_update_interval": "integer",
        "exploration_fraction": "number",
        "exploration_initial_eps": "number",
        "exploration_final_eps": "number",
        "max_grad_norm": "number",
    },
    "SAC": {
        **_OFF_POLICY,
        **_SDE,
        "action_noise": "noise?",
        "use_sde_at_warmup": "switch",
        "ent_coef": "entropy",
        "target_update_interval": "integer",
        "target_entropy": "entropy",
    },
    "TD3": _TD3,
    "DDPG": _TD3,
}
"""What each algorithm is made with, by the names of stable-baselines3, and of which kind it is."""

ATTRIBUTES: Final = {"stats_window_size": "_stats_window_size"}
"""Where an algorithm keeps what its constructor calls otherwise."""

POLICY_KWARGS: Final = {
    "net_arch": "layers?",
    "activation_fn": "activation?",
    "ortho_init": "switch?",
    "use_sde": "switch?",
    "log_std_init": "number?",
    "full_std": "switch?",
    "use_expln": "switch?",
    "squash_output": "switch?",
    "clip_mean": "number?",
    "features_extractor_class": "extractor?",
    "features_extractor_kwargs": "extractor settings?",
    "share_features_extractor": "switch?",
    "normalize_images": "switch?",
    "optimizer_class": "optimizer?",
    "optimizer_kwargs": "values?",
    "n_critics": "integer?",
}
"""The keywords of the policies, and of which kind they are."""
