"""What can be known of each bar at its close: features from that bar and earlier ones only, and what came after.

Pure functions of candles. A row of :func:`features` stays the same, bit for bit, when later bars are added; when the
history begins later, it stays the same but for the last digits, since running sums begin with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

WARM_UP: Final = 50
"""Bars at the beginning that have no complete past; :func:`features` leaves them out."""
_DAY: Final = 20.0
"""Hours; candles that follow each other faster than that know an hour of the day."""


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one row of features for each bar after the warm-up, as float64."""
    import pandas as pd

    columns = {**_prices(bars), **_shape(bars), **_calendar(bars)}
    return pd.DataFrame(columns, index=bars.index).astype("float64").iloc[WARM_UP:]


def next_returns(bars: pd.DataFrame) -> pd.Series[float]:
    """Return, for each row of :func:`features`, the return from its close to the next one; NaN for the last bar."""
    close = bars["close"]
    return (close.shift(-1) / close - 1).iloc[WARM_UP:]


def is_intraday(bars: pd.DataFrame) -> bool:
    """Tell whether the hour of a bar means something. The first bars decide, so that later ones change nothing."""
    hours = bars.index[:WARM_UP].to_series().diff().dt.total_seconds() / 3600
    return bool(hours.median() < _DAY)


def bars_per_year(bars: pd.DataFrame) -> float:
    """Return how many bars a year has, as far as these tell: at least a day's worth of time is needed."""
    days = (bars.index[-1] - bars.index[0]).total_seconds() / 86400
    return float((len(bars) - 1) * 365.25 / max(days, 1.0))


def _prices(bars: pd.DataFrame) -> dict[str, pd.Series[float]]:
    import numpy as np

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
        "volatility_ratio": _ratio(change.rolling(5).std(), change.rolling(40).std(), neutral=1.0),
        "momentum_10": close / close.rolling(10).mean() - 1,
        "momentum_50": close / close.rolling(50).mean() - 1,
        "strength_14": _ratio(gain, gain + loss, neutral=0.5),
        "drawdown_50": close / close.rolling(50).max() - 1,
    }


def _shape(bars: pd.DataFrame) -> dict[str, pd.Series[float]]:
    import numpy as np

    width = bars["high"] - bars["low"]
    return {
        "range_1": width / bars["close"],
        "range_ratio": _ratio(width, width.rolling(20).mean(), neutral=1.0),
        "close_in_range": _ratio(bars["close"] - bars["low"], width, neutral=0.5),
        "gap": np.log(bars["open"] / bars["close"].shift(1)),
        "volume_ratio": np.log1p(bars["volume"]) - np.log1p(bars["volume"]).rolling(20).mean(),
    }


def _calendar(bars: pd.DataFrame) -> dict[str, pd.Series[float]]:
    import numpy as np

    times = bars.index.to_series()
    known = {"weekday": times.dt.day_of_week, "pause_hours": times.diff().dt.total_seconds() / 3600}
    if not is_intraday(bars):
        return known | {"month": times.dt.month}
    angle = times.dt.hour * (2 * np.pi / 24)
    return known | {"hour_sin": np.sin(angle), "hour_cos": np.cos(angle)}


def _ratio(part: pd.Series[float], whole: pd.Series[float], *, neutral: float) -> pd.Series[float]:
    """Return part / whole, and a neutral value where nothing moved."""
    return (part / whole.where(whole > 0)).fillna(neutral)
