"""One symbol as the programs need it: the frame that the models are given, and what came after each bar."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifact_models.trading import candles, indicators
from artifact_store import Digest, ModelKey, errors

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

PRICE = "close"


@dataclass(frozen=True, slots=True)
class Market:
    """Candles with their features. The last bar has features and no answer yet."""

    symbol: str
    frame: pd.DataFrame
    """One row for each bar after the warm-up: the features, then the price at the close."""
    returns: NDArray[np.float64]
    """From the close of each row to the next one; NaN in the last row."""
    bars_per_year: float
    source: dict[str, str]
    """The file's name and its sha256, so that a run can tell what it was trained on."""
    data: dict[str, Digest] = field(default_factory=dict)
    """The digest of the whole file, for ``data=`` of a save."""

    @classmethod
    def read(cls, symbol: str, path: str | Path, *, time_format: str | None = None) -> Market:
        """Read the candles of a CSV file and compute everything.

        Raises:
            BadCandles: the file does not hold candles, or too few of them.
            FileNotFoundError: there is no such file.
        """
        text = Path(path).read_bytes()
        digest = Digest(len(text), hashlib.sha256(text).hexdigest())
        source = {"file": Path(path).name, "sha256": digest.sha256}
        found = cls.of(symbol, candles.read_candles(path, time_format=time_format), source)
        return replace(found, data={"candles": digest})

    @classmethod
    def of(cls, symbol: str, bars: pd.DataFrame, source: dict[str, str] | None = None) -> Market:
        """Compute everything from candles by time.

        Raises:
            BadCandles: they are too few.
        """
        import numpy as np

        if len(bars) < indicators.WARM_UP + 2:
            raise candles.BadCandles(
                f"{len(bars)} bars of {symbol} are too few: the features alone look back on {indicators.WARM_UP}"
            )
        table = indicators.features(bars)
        frame = table.assign(**{PRICE: bars[PRICE].loc[table.index]})
        returns = np.asarray(indicators.next_returns(bars), dtype=np.float64)
        return cls(symbol, frame, returns, indicators.bars_per_year(bars), source or {})

    @property
    def features(self) -> pd.DataFrame:
        """The features alone, without the price."""
        return self.frame.drop(columns=PRICE)

    @property
    def answered(self) -> int:
        """How many rows have an answer: all but the last."""
        return len(self.returns) - 1


def live_frame(path: str | Path, *, time_format: str | None = None) -> pd.DataFrame:
    """Return everything that a model may ask for: the columns of the file, and features where it has candles.

    A column of the file is taken as it is, even where a feature has the same name.

    Raises:
        BadCandles: the file has no usable times, or columns of candles that do not hold candles.
        FileNotFoundError: there is no such file.
    """
    table = candles.read_table(path, time_format=time_format)
    if not candles.has_candles(table):
        return table
    bars = candles.check_candles(table, what=str(path))
    if len(bars) <= indicators.WARM_UP:
        raise candles.BadCandles(
            f"{path} has {len(bars)} bars, too few: the features alone look back on {indicators.WARM_UP}"
        )
    made = indicators.features(bars)
    own = [name for name in made.columns if name not in table.columns]
    return table.loc[made.index].join(made[own])


def check_plain(symbol: str) -> None:
    """Refuse a symbol that is typed as in a reference: with it, the runs of another symbol would be named.

    Raises:
        InvalidOption: it is, and the message says what to write.
    """
    if ";" not in symbol:
        return
    try:
        meant = ModelKey.parse(f"any/{symbol}").symbol
    except errors.InvalidInput:
        return
    raise errors.InvalidOption(f"{symbol!r} is spelled as in a reference; write the symbol itself, {meant!r}")


def file_of(symbol: str, where: Path) -> Path:
    """Return the file with the data of a symbol: ``where`` itself, or ``{symbol}.csv`` in it, in any case.

    No file can have the name of a symbol with a slash (on Windows nor that of many others): its file is called as the
    symbol is typed in a reference, or as a store spells it, ``BTC;2FUSDT.csv`` for ``BTC/USDT``.

    Raises:
        InvalidName: it cannot be a symbol.
        InvalidOption: there is no such file.
    """
    typed = str(ModelKey("any", symbol)).partition("/")[2]
    names = list(dict.fromkeys(f"{name}.csv" for name in (symbol, typed, ModelKey.spell(symbol)) if "/" not in name))
    wanted = " or ".join(names)
    if not where.exists():
        raise errors.InvalidOption(f"there is no file or folder {where}: name a CSV file, or the folder of {wanted}")
    if not where.is_dir():
        return where
    there_is = sorted(where.iterdir())
    found = [path for name in names for path in there_is if path.name.lower() == name.lower()]
    if not found:
        there = ", ".join(sorted(path.name for path in where.glob("*.csv"))) or "no CSV file at all"
        raise errors.InvalidOption(f"{where} has no {wanted}; there is {there}")
    return found[0]


def tail(frame: Any, rows: int) -> Any:
    """Return the last rows of a frame, or all where it has fewer."""
    return frame.iloc[-rows:]
