"""Model families on top of :mod:`artifact_store`: trainers, and the adapters that save and load what they train.

>>> from artifact_models import GRUAdapter, LightGBMAdapter, PPOAdapter, load_adapter
>>> from artifact_models import GRUTrainer, LightGBMTrainer, PPOTrainer, UnifiedPaperTrader, validate_model_artifacts

The second line is the interface of an earlier pipeline, in :mod:`artifact_models.pipeline`.

Uses the store through its public names only; the store does not know this package. It is a distribution of its
own, because a top-level ``models`` in site-packages would collide with every trainer's own folder of that name.
Importing it loads no framework; each family is loaded when its name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from artifact_models.adapter import BaseModelAdapter
from artifact_models.families import adapter_class, load_adapter

if TYPE_CHECKING:
    from artifact_models.gbm.adapter import LightGBMAdapter
    from artifact_models.gru.adapter import GRUAdapter
    from artifact_models.pipeline import (
        GRUTrainer,
        LightGBMTrainer,
        PPOTrainer,
        UnifiedPaperTrader,
        validate_model_artifacts,
    )
    from artifact_models.ppo.adapter import PPOAdapter

__version__ = "0.1.0"

__all__ = [
    "BaseModelAdapter",
    "GRUAdapter",
    "GRUTrainer",
    "LightGBMAdapter",
    "LightGBMTrainer",
    "PPOAdapter",
    "PPOTrainer",
    "UnifiedPaperTrader",
    "__version__",
    "load_adapter",
    "validate_model_artifacts",
]

_LAZY = {"GRUAdapter": "gru", "LightGBMAdapter": "lightgbm", "PPOAdapter": "ppo"}
_PIPELINE = {"GRUTrainer", "LightGBMTrainer", "PPOTrainer", "UnifiedPaperTrader", "validate_model_artifacts"}


def __getattr__(name: str) -> Any:
    """Load a family when the name of its adapter is first used, and the pipeline when one of its names is."""
    if name in _LAZY:
        return adapter_class(_LAZY[name])
    if name in _PIPELINE:
        return getattr(import_module("artifact_models.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
