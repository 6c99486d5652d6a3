"""Model families on top of :mod:`artifact_store`: trainers, and the adapters that save and load what they train.

>>> from artifact_models import GRUAdapter, LightGBMAdapter, PPOAdapter, load_adapter

Uses the store through its public names only; the store does not know this package. It is a distribution of its
own, because a top-level ``models`` in site-packages would collide with every trainer's own folder of that name.
Importing it loads no framework; each family is loaded when its name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifact_models.adapter import BaseModelAdapter
from artifact_models.families import adapter_class, load_adapter

if TYPE_CHECKING:
    from artifact_models.gbm.adapter import LightGBMAdapter
    from artifact_models.gru.adapter import GRUAdapter
    from artifact_models.ppo.adapter import PPOAdapter

__version__ = "0.1.0"

__all__ = ["BaseModelAdapter", "GRUAdapter", "LightGBMAdapter", "PPOAdapter", "__version__", "load_adapter"]

_LAZY = {"GRUAdapter": "gru", "LightGBMAdapter": "lightgbm", "PPOAdapter": "ppo"}


def __getattr__(name: str) -> Any:
    """Load a family when the name of its adapter is first used."""
    if name in _LAZY:
        return adapter_class(_LAZY[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
