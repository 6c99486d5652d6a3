"""Candles for tests: a walk that looks like prices, the same one every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def make_candles(bars: int = 400, *, seed: int = 7, freq: str = "1h", trend: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(trend, 0.01, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = np.abs(rng.normal(0, 0.2, bars))
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) + spread,
            "low": np.minimum(opened, close) - spread,
            "close": close,
            "volume": rng.uniform(100, 1000, bars),
        },
        index=pd.date_range("2024-01-01", periods=bars, freq=freq, name="time"),
    )


def write_csv(path: Path, bars: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bars.to_csv(path, index_label="Time")
    return path
