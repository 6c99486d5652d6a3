"""Real prices, and what could be known of them at the close of each bar.

The prices are the samples that the MIT-licensed package gym-anytrading ships: hourly EUR/USD candles of 2017 (ask
side) and daily GOOGL candles from 2009 on. They are read as files; the package is not imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

WARM_UP = 50
"""Bars at the beginning that have no complete past."""


@dataclass(frozen=True, slots=True)
class Market:
    """One symbol: where its candles are, and what trading it costs."""

    symbol: str
    file: str
    time: str
    time_format: str
    bars: str
    bars_per_year: int
    cost: float
    """What changing the position by one unit costs, as a part of its value."""

    @property
    def intraday(self) -> bool:
        """Whether the hour of a bar means something."""
        return self.bars == "hourly"


MARKETS = (
    Market("EURUSD", "FOREX_EURUSD_1H_ASK.csv", "Time", "%d.%m.%Y %H:%M:%S.%f", "hourly", 24 * 258, 0.5e-4),
    Market("GOOGL", "STOCKS_GOOGL.csv", "Date", "%Y-%m-%d", "daily", 252, 1e-4),
)


def csv_path(market: Market) -> Path:
    """Return where the installed package keeps the prices.

    Raises:
        FileNotFoundError: gym-anytrading is not installed, or does not ship them any more.
    """
    package = find_spec("gym_anytrading")
    for folder in (package.submodule_search_locations or []) if package is not None else []:
        path = Path(folder) / "datasets" / "data" / market.file
        if path.is_file():
            return path
    raise FileNotFoundError(f"{market.file} of gym-anytrading is not here: pip install 'artifact-store[demo]'")


def digest(market: Market) -> str:
    """Return the sha256 of the prices, so that a run can tell what it was trained on."""
    return hashlib.sha256(csv_path(market).read_bytes()).hexdigest()


def candles(market: Market) -> pd.DataFrame:
    """Return open, high, low, close and volume by time, oldest first."""
    table = pd.read_csv(csv_path(market))
    table.index = pd.DatetimeIndex(pd.to_datetime(table[market.time], format=market.time_format), name="time")
    bars: pd.DataFrame = table[["Open", "High", "Low", "Close", "Volume"]].rename(columns=str.lower)
    if not bars.index.is_monotonic_increasing or bars.isna().any(axis=None):
        raise ValueError(f"{market.file} is not a gapless table in order of time")
    return bars


def features(market: Market) -> pd.DataFrame:
    """Return one row of features for each bar, from that bar and earlier ones only: what is known at its close."""
    bars = candles(market)
    columns = {**_prices(bars), **_shape(bars), **_calendar(bars, intraday=market.intraday)}
    return pd.DataFrame(columns, index=bars.index).astype("float64").iloc[WARM_UP:]


def next_returns(market: Market) -> pd.Series[float]:
    """Return, for each row of :func:`features`, the return from its close to the next one; NaN for the last bar."""
    close = candles(market)["close"]
    return (close.shift(-1) / close - 1).iloc[WARM_UP:]


def _prices(bars: pd.DataFrame) -> dict[str, pd.Series[float]]:
    close = bars["close"]
    change = np.log(close).diff()
    gain, loss = change.clip(lower=0).rolling(14).mean(), -change.clip(upper=0).rolling(14).mean()
    return {
        "return_1": change,
        "return_2": np.log(close).diff(2),
        "return_5": np.log(close).diff(5),
        "return_20": np.log(close).diff(20),
        "volatility_5": change.rolling(5).std(),
        "volatility_20": change.rolling(20).std(),
        "volatility_ratio": change.rolling(5).std() / change.rolling(40).std(),
        "momentum_10": close / close.rolling(10).mean() - 1,
        "momentum_50": close / close.rolling(50).mean() - 1,
        "strength_14": gain / (gain + loss),
        "drawdown_50": close / close.rolling(50).max() - 1,
    }


def _shape(bars: pd.DataFrame) -> dict[str, pd.Series[float]]:
    width = bars["high"] - bars["low"]
    return {
        "range_1": width / bars["close"],
        "range_ratio": width / width.rolling(20).mean(),
        "close_in_range": ((bars["close"] - bars["low"]) / width.where(width > 0)).fillna(0.5),
        "gap": np.log(bars["open"] / bars["close"].shift(1)),
        "volume_ratio": np.log1p(bars["volume"]) - np.log1p(bars["volume"]).rolling(20).mean(),
    }


def _calendar(bars: pd.DataFrame, *, intraday: bool) -> dict[str, pd.Series[float]]:
    times = bars.index.to_series()
    known = {"weekday": times.dt.day_of_week, "pause_hours": times.diff().dt.total_seconds() / 3600}
    if not intraday:
        return known | {"month": times.dt.month}
    angle = times.dt.hour * (2 * np.pi / 24)
    return known | {"hour_sin": np.sin(angle), "hour_cos": np.cos(angle)}


@dataclass(frozen=True, slots=True)
class Fold:
    """Train on the rows before ``train_end``, test on ``test``: later, and never seen in training."""

    number: int
    train_end: int
    test: slice


def walk_forward(rows: int, *, folds: int) -> Iterator[Fold]:
    """Yield folds that share the second half of the rows among their tests; each trains on all that came before.

    One row is left out between the two: what it should have said is known only at the close of the first test bar.
    """
    half = rows // 2
    edges = [half + (rows - half) * place // folds for place in range(folds + 1)]
    for number, (begin, end) in enumerate(pairwise(edges), start=1):
        yield Fold(number, begin - 1, slice(begin, end))
