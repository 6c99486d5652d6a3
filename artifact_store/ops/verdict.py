"""What came of a check, in one word: the run is sound, something is wrong with it, or it cannot be checked here."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from artifact_store.errors import ArtifactStoreError, RiskRefused, Unsupported


class Verdict(enum.StrEnum):
    """``SOUND``, ``WRONG``, or ``UNCHECKED``: it takes a predictor, a library or a consent that is not here."""

    SOUND = "sound"
    WRONG = "wrong"
    UNCHECKED = "unchecked"


def verdict_on(error: ArtifactStoreError) -> Verdict:
    """Return what a failure says about the run that was checked."""
    return Verdict.UNCHECKED if isinstance(error, Unsupported | RiskRefused) else Verdict.WRONG


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on several together: one that is wrong outweighs all that cannot be checked."""
    found = set(verdicts)
    return next((verdict for verdict in (Verdict.WRONG, Verdict.UNCHECKED) if verdict in found), Verdict.SOUND)
