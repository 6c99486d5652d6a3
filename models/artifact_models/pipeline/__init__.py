"""The interface of an earlier training pipeline, over the adapters: trainers, a trader, and a check of all models.

``from artifact_models import GRUTrainer, LightGBMTrainer, PPOTrainer, UnifiedPaperTrader, validate_model_artifacts``.
Nothing is trained, stored or read here that an adapter does not train, store or read: what is new are the names, and
what a path such as ``models/gru/BTCEUR/20240816_142301/model.pth`` means.
"""

from artifact_models.pipeline.trader import UnifiedPaperTrader
from artifact_models.pipeline.trainers import GRUTrainer, LightGBMTrainer, PPOTrainer
from artifact_models.pipeline.validation import validate_model_artifacts

__all__ = ["GRUTrainer", "LightGBMTrainer", "PPOTrainer", "UnifiedPaperTrader", "validate_model_artifacts"]
