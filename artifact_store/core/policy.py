"""When a committed run is published: the policies, and what they decide.

Pure: a policy compares two descriptions of runs and uses nothing else, no clock included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from artifact_store.core.documents import NON_FINITE
from artifact_store.core.manifest import Manifest, PublishIntent
from artifact_store.core.names import RunId
from artifact_store.core.pointer import Pointer
from artifact_store.errors import ArtifactStoreError, InvalidOption, MetricMissing, PointerConflict


@dataclass(frozen=True, slots=True)
class PublishAlways:
    """Publish, whatever is published now."""

    name: ClassVar[Literal["always"]] = "always"


@dataclass(frozen=True, slots=True)
class Never:
    """Commit only."""

    name: ClassVar[Literal["never"]] = "never"


@dataclass(frozen=True, slots=True)
class Later:
    """Commit now; the caller publishes afterwards, if at all. Recorded as ``always``: nothing is kept back."""

    name: ClassVar[Literal["always"]] = "always"


@dataclass(frozen=True, slots=True)
class IfNewer:
    """Publish if the run id is later than the one that is published."""

    name: ClassVar[Literal["if_newer"]] = "if_newer"


@dataclass(frozen=True, slots=True)
class IfBetter:
    """Publish if ``metric`` is strictly better than that of the run that is published.

    ``mode`` is ``"max"`` where more is better, ``"min"`` where less is.
    """

    metric: str
    mode: Literal["min", "max"] = "max"
    name: ClassVar[Literal["if_better"]] = "if_better"

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise InvalidOption(f"the mode of if_better is 'min' or 'max', not {self.mode!r}")


@dataclass(frozen=True, slots=True)
class Expect:
    """Publish if this run (by id), or this ``seq``, is what is published now; 0 means that nothing ever was."""

    seen: str | int
    name: ClassVar[Literal["expect"]] = "expect"

    def __post_init__(self) -> None:
        if isinstance(self.seen, str):
            RunId(self.seen)
        elif type(self.seen) is not int or self.seen < 0:
            raise InvalidOption(f"expect is a run id, or a seq from 0, not {self.seen!r}")


Policy = PublishAlways | Never | Later | IfNewer | IfBetter | Expect

_CALL = re.compile(r"if_better\(\s*([^,()]+?)\s*(?:,\s*(min|max)\s*)?\)")
_EXPECT = re.compile(r"expect=(\S+)")


def promotion_policy(expect: str | int | None, publish: str | Policy | None) -> Policy:
    """Return the policy of a promotion, by what is expected to be published now, or by any other policy.

    Raises:
        InvalidOption: both are given, or the policy does not publish.
    """
    if expect is not None and publish is not None:
        raise InvalidOption("give either expect or publish, not both")
    policy = Expect(expect) if expect is not None else parse_policy(publish or "always")
    if isinstance(policy, Never):
        raise InvalidOption("promote publishes; publish='never' means nothing here")
    return policy


def parse_policy(text: str | Policy) -> Policy:
    """Read ``always``, ``never``, ``if_newer``, ``if_better(metric, max)`` or ``expect=<run id or seq>``.

    Raises:
        InvalidOption: it is not one of these.
    """
    if isinstance(text, Policy):
        return text
    plain: dict[str, Policy] = {"always": PublishAlways(), "never": Never(), "if_newer": IfNewer()}
    if isinstance(text, str):
        if text in plain:
            return plain[text]
        if match := _CALL.fullmatch(text):
            return IfBetter(match[1].strip("\"'"), "min" if match[2] == "min" else "max")
        if match := _EXPECT.fullmatch(text):
            return Expect(int(match[1]) if match[1].isdigit() else match[1])
    raise InvalidOption(
        f"{text!r} is not a publish policy: use 'always', 'never', 'if_newer', 'if_better(metric, max)', "
        "'expect=<run id or seq>', or IfBetter(...) and Expect(...)"
    )


def intent(alias: str, policy: Policy) -> PublishIntent:
    """Return the policy as the manifest records it."""
    better = policy if isinstance(policy, IfBetter) else None
    return PublishIntent(
        alias=alias, policy=policy.name, metric=better.metric if better else None, mode=better.mode if better else None
    )


def decide(
    policy: Policy, run: Manifest, seen: Pointer | None, incumbent: Manifest | None
) -> ArtifactStoreError | None:
    """Return why ``run`` may not replace the pointer that was ``seen``, or ``None`` if it may.

    ``incumbent`` is the manifest of the run that is published, if one is; only ``IfBetter`` compares with it.
    """
    if isinstance(policy, Expect):
        return _unexpected(policy, run, seen)
    if seen is None or seen.run_id is None:
        return _metric(run, policy.metric) if isinstance(policy, IfBetter) else None
    if isinstance(policy, IfNewer) and seen.run_id >= run.run_id:
        return PointerConflict(f"{seen.run_id} is published and not older", actual=seen, run_id=run.run_id)
    if isinstance(policy, IfBetter):
        return _worse(policy, run, seen, incumbent)
    return None


def _unexpected(policy: Expect, run: Manifest, seen: Pointer | None) -> PointerConflict | None:
    seq, run_id = (0, None) if seen is None else (seen.seq, seen.run_id)
    found = seq if isinstance(policy.seen, int) else run_id
    if found == policy.seen:
        return None
    return PointerConflict(f"{found or 'nothing'} is published, not {policy.seen}", actual=seen, run_id=run.run_id)


def _worse(policy: IfBetter, run: Manifest, seen: Pointer, incumbent: Manifest | None) -> ArtifactStoreError | None:
    for manifest in (run, incumbent):
        if manifest is not None and (refusal := _metric(manifest, policy.metric)) is not None:
            return refusal
    if incumbent is None:
        return MetricMissing(
            f"the published run {seen.run_id} is gone, so there is nothing to compare with",
            metric=policy.metric,
            run_id=run.run_id,
        )
    mine, theirs = metric_value(run, policy.metric), metric_value(incumbent, policy.metric)
    if mine > theirs if policy.mode == "max" else mine < theirs:
        return None
    return PointerConflict(
        f"its {policy.metric} {mine:g} is not better than the {theirs:g} of {seen.run_id}",
        actual=seen,
        run_id=run.run_id,
    )


class Measured(Protocol):
    """What has metrics: a manifest, or what is kept of one."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics by name."""


def metric_value(run: Measured, metric: str) -> float:
    """Return a metric of a run as a number; NaN where it has none, an infinity where no float is as large."""
    value = run.metrics.get(metric, math.nan)
    if isinstance(value, str):
        return NON_FINITE[value]
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _metric(manifest: Manifest, metric: str) -> MetricMissing | None:
    if not math.isnan(metric_value(manifest, metric)):
        return None
    what = "NaN" if metric in manifest.metrics else "missing"
    return MetricMissing(
        f"the metric {metric!r} of {manifest.label} is {what}, so it cannot be compared",
        metric=metric,
        run_id=manifest.run_id,
    )
