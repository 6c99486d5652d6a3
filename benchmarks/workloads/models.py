"""The models of the fills of ``many_runs``, for those who need no store to name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifact_store import ArtifactStore

MANY, FEW, TEN = "gru/MANY", "gru/FEW", "gru/TEN"
STORE = "runs"

Question = Callable[["ArtifactStore"], object]
