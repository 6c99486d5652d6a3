"""A gymnasium environment that trades one symbol over candles that are known from the beginning to the end.

Costs are paid, orders are filled at the close that the agent has just seen, and nothing it does moves the market.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from artifact_models.ppo.observation import Account, EnvSettings, observe

Floats = NDArray[np.float32]


class TradingEnv(gymnasium.Env[Floats, Any]):
    """Observe a window of feature rows and the account; decide the position to hold until the next close.

    The reward is what that bar earns after costs, in percent with the default scale. Equal seeds and equal actions
    give equal episodes, bit for bit. The end of the data, or of ``episode_bars``, truncates an episode; none
    terminates.

    Raises:
        ValueError: the data are too short for the window, lack a price, or hold something that is not a number.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 -- gymnasium declares it, and as an attribute of instances

    def __init__(self, rows: Any, prices: Any, settings: EnvSettings | None = None) -> None:
        self.settings = settings or EnvSettings()
        self._rows: Floats = np.ascontiguousarray(rows, dtype=np.float32)
        self._prices = np.ascontiguousarray(prices, dtype=np.float64)
        check_data(self._rows, self._prices, self.settings)
        size = self.settings.size(self._rows.shape[1])
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = action_space(self.settings)
        self._account = Account()
        self._place = self._end = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode with an empty account, at the first bar with a whole window or at a random later one."""
        super().reset(seed=seed, options=options)
        first, last = self.settings.window - 1, len(self._rows) - 1
        length = min(self.settings.episode_bars or last - first, last - first)
        self._place = first if length == last - first else int(self.np_random.integers(first, last - length + 1))
        self._end = self._place + length
        self._account = Account()
        return self._observation(), self._info(0.0)

    def step(self, action: Any) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Hold the position that the action asks for until the next close."""
        if self._place >= self._end:
            raise RuntimeError("the episode is over, or has not begun: call reset()")
        settings, position = self.settings, self.settings.position(action)
        change = float(self._prices[self._place + 1] / self._prices[self._place] - 1)
        gain = self._account.gain(position, change, settings.cost)
        self._account = self._account.after(position, change)
        self._place += 1
        return self._observation(), gain * settings.reward_scale, False, self._place == self._end, self._info(gain)

    def _observation(self) -> Floats:
        window = self._rows[self._place - self.settings.window + 1 : self._place + 1]
        return observe(self.settings, window, self._account)

    def _info(self, gain: float) -> dict[str, Any]:
        return {"bar": self._place, "gain": gain, "position": self._account.position}


def action_space(settings: EnvSettings) -> gymnasium.spaces.Space[Any]:
    """Return what an action is: one of the positions, or a number from -1 to 1."""
    if settings.positions is not None:
        return gymnasium.spaces.Discrete(len(settings.positions))
    return gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)


def check_data(rows: Floats, prices: NDArray[np.float64], settings: EnvSettings) -> None:
    """Refuse data that no episode can be made of.

    Raises:
        ValueError: they are too short, of different lengths, or hold something that is not a number or not a price.
    """
    if rows.ndim != 2 or prices.shape != rows.shape[:1]:  # noqa: PLR2004 -- rows and columns
        raise ValueError(f"expected rows of features and a price for each; got {rows.shape} and {prices.shape}")
    if len(rows) <= settings.window:
        raise ValueError(f"{len(rows)} rows are too few: a window of {settings.window} and one bar after it are needed")
    if not np.isfinite(rows).all() or not np.isfinite(prices).all() or (prices <= 0).any():
        raise ValueError("the features or the prices hold NaN or infinities, or a price is not above 0")
