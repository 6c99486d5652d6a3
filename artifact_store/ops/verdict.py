"""What came of a check, in one word: the run is sound, something is wrong with it, or it cannot be checked here."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol

from artifact_store.errors import ArtifactStoreError, RiskRefused, Unsupported
from artifact_store.problems import Problem


class Verdict(enum.StrEnum):
    """``SOUND``, ``WRONG``, or ``UNCHECKED``: it takes a predictor, a library or a consent that is not here."""

    SOUND = "sound"
    WRONG = "wrong"
    UNCHECKED = "unchecked"


def verdict_on(error: ArtifactStoreError) -> Verdict:
    """Return what a failure says about the run that was checked."""
    return Verdict.UNCHECKED if isinstance(error, Unsupported | RiskRefused) else Verdict.WRONG


class Checked(Protocol):
    """What came of a check: ``problems`` are what is wrong, ``unchecked`` what cannot be checked here."""

    __slots__ = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong."""

    @property
    def unchecked(self) -> tuple[Problem, ...]:
        """What cannot be checked here."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; the verdict says whether everything could be checked."""
        return not self.problems

    @property
    def verdict(self) -> Verdict:
        """One thing that is wrong outweighs all that cannot be checked."""
        return Verdict.WRONG if self.problems else Verdict.UNCHECKED if self.unchecked else Verdict.SOUND


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on several together: one that is wrong outweighs all that cannot be checked."""
    found = set(verdicts)
    return next((verdict for verdict in (Verdict.WRONG, Verdict.UNCHECKED) if verdict in found), Verdict.SOUND)
