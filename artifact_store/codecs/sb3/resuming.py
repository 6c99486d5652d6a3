"""What an algorithm that goes on training does without, said when it goes on.

A loaded algorithm predicts whatever else is missing. Its first ``learn`` warns, once: when it begins, and where a
logger of the caller's own hides that, at the first step of an optimiser.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Sequence
from typing import Any, Final

EMPTY: Final = (
    "its replay buffer is empty, since it is no part of a save. Add it to the run as well, with "
    "draft.add('replay_buffer', agent.replay_buffer), and give it back before learn with "
    "agent.replay_buffer = run.load('replay_buffer')"
)


class ResumeWarning(UserWarning):
    """Training goes on, and not quite as it would have gone on where it was interrupted."""


class Reminder:
    """Stands where stable-baselines3 asks whether it has a logger of the caller's: not, and says what is lacking."""

    def __init__(self, algorithm: Any, lacks: Sequence[str]) -> None:
        self.lacks = tuple(lacks)
        self._algorithm = weakref.ref(algorithm)
        self._hooks = [one.register_step_pre_hook(lambda *_: self._say()) for one in _optimizers(algorithm)]

    def __bool__(self) -> bool:
        self._say()
        return False

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        return bool, ()  # a copy, or a pickle, says nothing

    def forget(self) -> None:
        """Say nothing any more."""
        while self._hooks:
            self._hooks.pop().remove()

    def _say(self) -> None:
        algorithm = self._algorithm()
        self.forget()
        if algorithm is None:
            return
        if vars(algorithm).get("_custom_logger") is self:
            vars(algorithm)["_custom_logger"] = False
        lacks = [*self.lacks, *[EMPTY] * _was_empty(algorithm)]
        if lacks:
            warnings.warn(f"training goes on without all of what it had: {'; '.join(lacks)}", ResumeWarning, 2)


def remind(algorithm: Any, lacks: Sequence[str]) -> None:
    """Let the next ``learn`` of an algorithm say what it lacks, if anything then is."""
    earlier = vars(algorithm).get("_custom_logger")
    if isinstance(earlier, Reminder):
        earlier.forget()
        vars(algorithm)["_custom_logger"] = False
    if lacks or (algorithm.num_timesteps and getattr(algorithm, "replay_buffer", None) is not None):
        vars(algorithm)["_custom_logger"] = Reminder(algorithm, lacks)


def lacking(algorithm: Any) -> tuple[str, ...]:
    """Return what :func:`remind` was given, if it was not said yet."""
    reminder = vars(algorithm).get("_custom_logger")
    return reminder.lacks if isinstance(reminder, Reminder) else ()


def _was_empty(algorithm: Any) -> bool:
    """Tell whether a replay buffer holds no more than what was seen since training went on."""
    buffer = getattr(algorithm, "replay_buffer", None)
    if buffer is None:
        return False
    since = algorithm.num_timesteps - algorithm._num_timesteps_at_start  # noqa: SLF001 -- it has no other name
    return bool(buffer.size() * algorithm.n_envs <= max(since, 0))


def _optimizers(algorithm: Any) -> list[Any]:
    names = [name.split(".") for name in algorithm.get_parameters() if name != "policy"]
    found = []
    for path in names:
        one = algorithm
        for part in path:
            one = getattr(one, part)
        found.append(one)
    return found
