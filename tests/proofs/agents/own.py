"""What the library itself makes of zips: ``python -m tests.proofs.agents.own ROOM``, in a process that unpickles.

For each ``N.zip`` in the room it writes ``N.npz``, observations and the actions on them, or ``N.txt``, why it cannot; for
an ``N.pkl`` beside, the statistics of a VecNormalize, what that makes of the observations.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sb3_contrib
import stable_baselines3
import torch

ROWS = 32
SMALL = {"buffer_size": 1}
"""No buffer is needed to predict, and the real ones are of gigabytes."""


def main(room: Path) -> None:
    """Ask the library about each zip of the room."""
    torch.set_num_threads(1)
    for path in sorted(room.glob("*.zip")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                told = asked(path)
        except Exception as error:  # noqa: BLE001 -- it is the library's to say why
            path.with_suffix(".txt").write_text(f"{type(error).__name__}: {str(error)[:300]}", encoding="utf-8")
        else:
            np.savez(path.with_suffix(".npz"), allow_pickle=False, **told)


def asked(path: Path) -> dict[str, Any]:
    """Return observations and actions by names."""
    agent = loaded(path)
    space = agent.observation_space
    space.seed(1)
    rows = [space.sample() for _ in range(ROWS)]
    if isinstance(rows[0], dict):
        seen: Any = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        told = {f"observation.{key}": value for key, value in seen.items()}
    else:
        seen = np.nan_to_num(np.stack(rows))
        told = {"observation": seen}
    actions, _ = agent.predict(seen, deterministic=True)
    return told | {"actions": actions} | normalized(path.with_suffix(".pkl"), seen)


def normalized(path: Path, seen: Any) -> dict[str, Any]:
    """Return what the statistics beside an agent make of observations."""
    if not path.exists() or isinstance(seen, dict):
        return {}
    with path.open("rb") as file:
        statistics = pickle.load(file)
    return {"normalized": statistics.normalize_obs(seen)}


def loaded(path: Path) -> Any:
    """Return the agent, by the first algorithm that takes it: a zip does not name its own."""
    failed: list[Exception] = []
    for kind in candidates(path):
        try:
            return kind.load(path, device="cpu", custom_objects=SMALL if hasattr(kind, "load_replay_buffer") else None)
        except Exception as error:  # noqa: BLE001 -- the next one may take it
            failed.append(error)
    raise failed[0]


def candidates(path: Path) -> Iterator[Any]:
    """Yield the algorithms that a zip may be of, the likeliest first."""
    with zipfile.ZipFile(path) as archive:
        data = json.loads(archive.read("data"))
    policy = f"{data['policy_class'].get('__module__')} {data['policy_class'].get('__doc__')}"
    known = {
        "sb3_contrib.tqc": sb3_contrib.TQC,
        "sb3_contrib.qrdqn": sb3_contrib.QRDQN,
        "sb3_contrib.ars": sb3_contrib.ARS,
        "sb3_contrib.crossq": sb3_contrib.CrossQ,
        "maskable": sb3_contrib.MaskablePPO,
        "recurrent": sb3_contrib.RecurrentPPO,
        "stable_baselines3.dqn": stable_baselines3.DQN,
        "stable_baselines3.sac": stable_baselines3.SAC,
        "stable_baselines3.td3": stable_baselines3.TD3,
    }
    yield from (kind for words, kind in known.items() if words in policy)
    if "cg_max_steps" in data:
        yield sb3_contrib.TRPO
    yield stable_baselines3.PPO if "clip_range" in data else stable_baselines3.A2C


if __name__ == "__main__":
    main(Path(sys.argv[1]))
