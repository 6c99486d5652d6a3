"""Load files as the libraries that were hit do it: ``python -m tests.proofs.replays.victims KIND PATH …``, in a process to lose.

It shows that a canary sings: a file that no careless loader runs would prove nothing about a careful one.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def by_pickle(path: Path) -> Any:
    import pickle

    return pickle.loads(path.read_bytes())


def by_joblib(path: Path) -> Any:
    import joblib

    return joblib.load(path)


def by_numpy(path: Path) -> Any:
    import numpy as np

    found = np.load(path, allow_pickle=True)
    return [found[name] for name in found.files]


def by_torch(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=False)


def by_sb3(path: Path) -> Any:
    from stable_baselines3 import PPO

    return PPO.load(path)


def by_import(path: Path) -> Any:
    """Import a module that a configuration names, as whoever builds objects from names does."""
    import importlib

    sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


KINDS = {name.removeprefix("by_"): call for name, call in list(globals().items()) if name.startswith("by_")}

if __name__ == "__main__":
    for kind, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        with suppress(Exception):  # most of these files hold nothing else, so the rest of the loading fails
            KINDS[kind](Path(path))
