"""Whether the environment that a run was saved in still fits: compared with this one, as far as its codecs need it.

Pure, and advice only: nothing is refused for it. The rules:

- A codec of the risk ``data`` has a format of its own. Another version of its libraries reads it, unless the major
  version differs.
- The files of any other codec follow the versions of its libraries. Only the same version, or a newer patch release,
  is known to read them; those of the risk ``code`` need the same minor version of Python as well.
- What is not recorded cannot be compared, and is neither good nor bad.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from artifact_store.core.codec import Risk

_LEADING = re.compile(r"(?:[0-9]{1,9}!)?([0-9]{1,9}(?:\.[0-9]{1,9}){0,9})")
_SHOWN: Final = 60
"""Characters of a recorded text that are repeated."""


class Compatibility(enum.StrEnum):
    """What comparing two environments comes to, from best to worst.

    ``SAME``: equal in all that the codecs of the run depend on. ``COMPATIBLE``: other versions, and formats that
    survive that. ``UNKNOWN``: the run does not record enough. ``RISKY``: it may not load, or behave differently.
    """

    SAME = "same"
    COMPATIBLE = "compatible"
    UNKNOWN = "unknown"
    RISKY = "risky"

    @property
    def level(self) -> int:
        """0 for same, and so on to 3 for risky."""
        return list(Compatibility).index(self)


@dataclass(frozen=True, slots=True)
class Remark:
    """One difference: which library (or ``python``, ``platform``, …), both versions, and what it means."""

    verdict: Compatibility
    library: str
    saved: str | None
    here: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.library}: {self.reason} (saved with {self.saved or 'unknown'}, here {self.here or 'none'})"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"verdict": str(self.verdict)}


@dataclass(frozen=True, slots=True)
class EnvironmentVerdict:
    """The worst of all remarks, and the remarks themselves, the worst first."""

    verdict: Compatibility
    remarks: tuple[Remark, ...] = ()

    def __str__(self) -> str:
        return ": ".join([str(self.verdict), *(["; ".join(map(str, self.remarks))] if self.remarks else [])])

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"verdict": str(self.verdict), "remarks": [remark.to_json() for remark in self.remarks]}


@dataclass(frozen=True, slots=True)
class Need:
    """What one component depends on: its codec, what decoding may do, and distributions by their normalised names."""

    codec: str
    risk: Risk
    libraries: tuple[str, ...]
    installed: bool = True
    """Whether the codec is there at all."""


_ALSO: Final[Mapping[str, str]] = {"xgboost-cpu": "xgboost"}
"""Distributions that are the same library under another name."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Interpreter, platform and versions of distributions; ``None`` and missing names are not known."""

    python: str | None
    implementation: str | None
    platform: str | None
    packages: Mapping[str, str]

    @classmethod
    def recorded(cls, value: Mapping[str, Any]) -> Environment:
        """Read what a manifest records, of which anything may be missing or something else than text."""
        packages = value.get("packages")
        versions = packages.items() if isinstance(packages, Mapping) else ()
        known = {_ALSO.get(name, name): text for name, version in versions if (text := _text(version)) is not None}
        python, implementation, platform = (_text(value.get(name)) for name in ("python", "implementation", "platform"))
        return cls(python, implementation, platform, known)


def compare_environments(saved: Environment, here: Environment, needs: Sequence[Need]) -> EnvironmentVerdict:
    """Compare where a run was saved with where it is loaded, as far as the components of the run ``need`` it."""
    remarks = [*_interpreter(saved, here, needs)]
    for need in needs:
        remarks += _libraries(need, saved.packages, here.packages)
    worst: dict[str, Remark] = {}
    for remark in sorted(remarks, key=lambda remark: -remark.verdict.level):
        worst.setdefault(remark.library, remark)
    found = tuple(worst.values())
    return EnvironmentVerdict(found[0].verdict if found else Compatibility.SAME, found)


def _interpreter(saved: Environment, here: Environment, needs: Iterable[Need]) -> Iterator[Remark]:
    code = [need.codec for need in needs if need.risk is Risk.CODE]
    serious = Compatibility.RISKY if code else Compatibility.COMPATIBLE
    means = f"what {code[0]} stores depends on it" if code else "the formats of the run do not depend on it"
    if saved.python is None:
        yield Remark(Compatibility.UNKNOWN, "python", None, here.python, "where it was saved is not recorded")
    elif _release(saved.python)[:2] != _release(here.python or "")[:2]:
        yield Remark(serious, "python", saved.python, here.python, means)
    if saved.implementation is not None and saved.implementation != here.implementation:
        yield Remark(serious, "implementation", saved.implementation, here.implementation, means)
    if saved.platform is not None and saved.platform != here.platform:
        reason = "last digits of predictions may differ"
        yield Remark(Compatibility.COMPATIBLE, "platform", saved.platform, here.platform, reason)


def _libraries(need: Need, saved: Mapping[str, str], here: Mapping[str, str]) -> Iterator[Remark]:
    if not need.installed:
        yield Remark(Compatibility.RISKY, need.codec, None, None, "this codec is not installed here")
    recorded = [name for name in need.libraries if name in saved]
    if need.libraries and not recorded:  # it was not imported, or an older release did not record it
        name = need.libraries[0]
        reason = f"which version {need.codec} wrote with is not recorded"
        yield Remark(Compatibility.UNKNOWN, name, None, here.get(name), reason)
    for name in recorded:
        found = _versions(saved[name], here.get(name), follows=need.risk is not Risk.DATA)
        if found is not None:
            verdict, reason = found
            yield Remark(verdict, name, saved[name], here.get(name), reason.format(codec=need.codec))


def _versions(saved: str, here: str | None, *, follows: bool) -> tuple[Compatibility, str] | None:
    """Compare two versions of a library, whose format either is its own or follows the library's version."""
    if here is None:
        return Compatibility.RISKY, "it is not installed here"
    if saved == here:
        return None
    old, new = _release(saved), _release(here)
    if not old or not new:
        return Compatibility.UNKNOWN, "these versions cannot be compared"
    return _releases(old, new, follows=follows)


def _releases(old: tuple[int, ...], new: tuple[int, ...], *, follows: bool) -> tuple[Compatibility, str]:
    if old[0] != new[0]:
        return Compatibility.RISKY, "another major version"
    if follows and new < old:
        return Compatibility.RISKY, "an older version than {codec} wrote with, whose files follow the version"
    if follows and old[:2] != new[:2]:
        return Compatibility.RISKY, "another minor version than {codec} wrote with, whose files follow the version"
    return Compatibility.COMPATIBLE, "the format of {codec} survives it"


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, padded so that 1.2 is 1.2.0; none at all if it does not begin so."""
    match = _LEADING.match(version)
    if match is None:
        return ()
    numbers = tuple(int(number) for number in match[1].split("."))
    return numbers + (0,) * (3 - len(numbers))


def _text(value: object) -> str | None:
    return value[:_SHOWN] if isinstance(value, str) else None
