"""Find out what is wrong with a store and its environment, and repair what is safe to repair."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from artifact_store.ops.context import Context

if TYPE_CHECKING:
    from artifact_store.doctor.report import Diagnosis


def diagnose(
    context: Context, *, deep: bool, probes: bool, grace: timedelta, announce: Callable[[int], None] | None
) -> Diagnosis:
    """Examine the whole store; ``InvalidOption`` if the grace period is not a span of time."""
    from artifact_store.doctor.examination import Options
    from artifact_store.doctor.examine import examine

    return examine(context, Options(deep=deep, probes=probes, grace=grace, announce=announce))
