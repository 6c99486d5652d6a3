"""What an agent was trained behind: the wrappers that made its observations, and whether a run has them.

An agent that is given other observations than in its training acts wrongly and says nothing. So its component records
what it was behind (``behind``), a component that holds such wrappers records which (``around``), and the two are
compared: by names, and by a digest of settings and statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from artifact_store.canonical import canonical, sha256
from artifact_store.core.manifest import Component

AGENTS: Final = ("sb3", "sb3-contrib")
"""The codecs of agents."""
BEHIND: Final = "behind"
"""The option of an agent that had environments when it was saved; it names no wrappers if there were none."""
AROUND: Final = "around"
"""The option of a component that holds wrappers."""


def seen_behind(names: Sequence[str], settings: Sequence[Any]) -> dict[str, Any]:
    """Return how wrappers are recorded, the innermost first: their names, and a digest of what they are made with."""
    return {"wrappers": list(names), "sha256": sha256(canonical([list(names), list(settings)]))}


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """An agent of a run that lacks what it was trained behind; ``other`` holds wrappers like these, and others."""

    agent: str
    wrappers: tuple[str, ...]
    other: str | None

    def __str__(self) -> str:
        behind = " and ".join(dict.fromkeys(self.wrappers))
        if self.other is None:
            return f"{self.agent!r} was trained behind {behind}, and no component of the run holds that"
        return f"{self.agent!r} was trained behind {behind}, and what {self.other!r} holds is something else"


def holder(components: Mapping[str, Component], agent: str) -> str | None:
    """Return the name of the component that holds exactly what an agent was trained behind, if one does."""
    behind = _recorded(components[agent], BEHIND)
    held = [name for name, component in components.items() if _recorded(component, AROUND) == behind]
    return min(held, default=None) if behind is not None and behind[0] else None


def unwrapped(components: Mapping[str, Component]) -> list[Unwrapped]:
    """Return the agents whose run lacks what they were trained behind; older ones record nothing, and are left out."""
    found = []
    for name, component in components.items():
        behind = _recorded(component, BEHIND)
        if behind is not None and behind[0] and holder(components, name) is None:
            others = [other for other, each in components.items() if _recorded(each, AROUND) is not None]
            found.append(Unwrapped(name, behind[0], min(others, default=None)))
    return found


def unrecorded(components: Mapping[str, Component]) -> list[str]:
    """Return the agents of which nothing says what they were trained behind, if that was anything."""
    agents = (name for name, component in components.items() if component.codec.name in AGENTS)
    return [name for name in agents if _recorded(components[name], BEHIND) is None]


def _recorded(component: Component, option: str) -> tuple[tuple[str, ...], str] | None:
    """Return names and digest, or ``None`` if there are none; what a stranger recorded otherwise counts for nothing."""
    said = component.options.get(option)
    if not isinstance(said, Mapping) or not isinstance(said.get("wrappers"), Sequence):
        return None
    return tuple(str(name) for name in said["wrappers"]), str(said.get("sha256"))
