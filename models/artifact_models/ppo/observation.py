"""What the agent sees and what became of its account: the rules of the environment, in numpy alone.

Training steps through these rules in :mod:`artifact_models.ppo.env`, prediction rolls through the same ones here, so
the two cannot differ. Knows neither gymnasium nor a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

from artifact_models import messages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ACCOUNT: Final = ("position", "unrealised", "held")
"""The account's part of an observation, behind the window: the position, what it has gained or lost since it was
opened (as a part of its value), and for how many windows it has been held."""


@dataclass(frozen=True, slots=True)
class EnvSettings:
    """Everything that decides what an observation is and what an action does; plain JSON, stored with the run.

    ``positions`` are what the discrete actions mean, in order; without them an action is the position itself, one
    number from -1 to 1. ``cost`` is that of changing the position by one unit, as a part of its value. ``price`` names
    the column that gains are counted in. ``episode_bars`` bars make an episode of training, at a random place;
    without, an episode is everything.
    """

    window: int = 16
    price: str = "close"
    cost: float = 1e-4
    positions: tuple[float, ...] | None = (-1.0, 0.0, 1.0)
    episode_bars: int | None = None
    reward_scale: float = 100.0

    def __post_init__(self) -> None:
        """Refuse what means nothing.

        Raises:
            ValueError: a setting is outside of its range.
        """
        if self.positions is not None:
            object.__setattr__(self, "positions", tuple(float(value) for value in self.positions))
        wrong = {
            "window is 1 or more": self.window < 1,
            "cost is from 0 to below 1": not 0 <= self.cost < 1,
            "positions are at least two different numbers from -1 to 1": self.positions is not None
            and (len(set(self.positions)) < max(2, len(self.positions)) or max(map(abs, self.positions)) > 1),
            "episode_bars is 1 or more, or None": self.episode_bars is not None and self.episode_bars < 1,
            "reward_scale is above 0": not self.reward_scale > 0,
        }
        for rule, broken in wrong.items():
            if broken:
                raise ValueError(f"{rule}; got {self}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON value."""
        value = asdict(self)
        return {**value, "positions": None if self.positions is None else list(self.positions)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read them back.

        Raises:
            ValueError: a setting is unknown, has another type, or is outside of its range.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"the settings of the environment are a mapping, not {value!r}")  # noqa: TRY004 -- as below
        known = [field.name for field in fields(cls)]
        unknown = value.keys() - set(known)
        if unknown:
            raise ValueError(messages.no_setting("the environment", unknown, known))
        try:
            return cls(**value)
        except TypeError as error:
            raise ValueError(f"these are not settings of the environment: {dict(value)!r}") from error

    def size(self, features: int) -> int:
        """Return how long an observation of so many features is."""
        return self.window * features + len(ACCOUNT)

    def position(self, action: Any) -> float:
        """Return the position that an action asks for."""
        import numpy as np

        value = np.asarray(action).reshape(-1)[0]
        if self.positions is not None:
            return self.positions[int(value)]
        return float(np.clip(value, -1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Account:
    """What is held at the close of a bar, and how that went so far."""

    position: float = 0.0
    unrealised: float = 0.0
    bars: int = 0

    def after(self, position: float, change: float) -> Account:
        """Return the account one bar later, in which the price changed by that part, with another position.

        The gain is counted anew when the position is closed or turned round, not when it grows or shrinks.
        """
        if position == 0:
            return Account()
        before = self if position * self.position > 0 else Account()
        return Account(position, before.unrealised + position * change, before.bars + 1)

    def gain(self, position: float, change: float, cost: float) -> float:
        """Return what that bar earns, as a part of the value, when the position is changed at its beginning."""
        return position * change - cost * abs(position - self.position)


def observe(settings: EnvSettings, rows: Floats, account: Account) -> Floats:
    """Return one observation: the rows of the window, the oldest first, and the account."""
    import numpy as np

    state = (account.position, account.unrealised, account.bars / settings.window)
    return np.concatenate([rows.reshape(-1), np.array(state, dtype=np.float32)], dtype=np.float32)


def roll(settings: EnvSettings, rows: Floats, prices: Any, act: Callable[[Floats], Any]) -> list[Any]:
    """Return one action for each bar that has a whole window behind it, beginning with an empty account.

    The position at each bar is what the actions before have made of it, exactly as in the environment.
    """
    window, account, actions = settings.window, Account(), []
    for place in range(window - 1, len(rows)):
        actions.append(act(observe(settings, rows[place - window + 1 : place + 1], account)))
        if place + 1 < len(rows):
            change = float(prices[place + 1] / prices[place] - 1)
            account = account.after(settings.position(actions[-1]), change)
    return actions


def action_space_info(space: Any) -> dict[str, Any]:
    """Return what the actions of an agent are, in the words of the old pipelines."""
    if type(space).__name__ == "Discrete":
        return {"type": "discrete", "n": int(space.n)}
    return {"type": "continuous", "shape": [int(size) for size in space.shape]}
