"""Candles as exchanges and brokers export them: read from CSV, checked, and never guessed at.

Owns the reading only: what can be known from the bars is in :mod:`artifact_models.trading.indicators`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from artifact_store import errors

if TYPE_CHECKING:
    import pandas as pd

PRICES: Final = ("open", "high", "low", "close")
COLUMNS: Final = (*PRICES, "volume")
TIMES: Final = ("time", "timestamp", "datetime", "date")
"""What the column with the time may be called; upper or lower case does not matter."""

_FORMATS: Final[Mapping[str, str]] = {
    r"\d{4}-\d\d-\d\d.*": "ISO8601",
    r"\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d\.\d+": "%d.%m.%Y %H:%M:%S.%f",
    r"\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d": "%d.%m.%Y %H:%M:%S",
    r"\d\d\.\d\d\.\d{4} \d\d:\d\d": "%d.%m.%Y %H:%M",
    r"\d\d\.\d\d\.\d{4}": "%d.%m.%Y",
    r"\d{4}\.\d\d\.\d\d \d\d:\d\d": "%Y.%m.%d %H:%M",
    r"\d{4}\.\d\d\.\d\d": "%Y.%m.%d",
}
"""Spellings of a time that can mean one thing only. With slashes, month and day cannot be told apart."""
_SECONDS: Final = re.compile(r"\d{9,10}")
_MILLISECONDS: Final = re.compile(r"\d{12,13}")
_SHOWN: Final = 3


class BadCandles(errors.InvalidInput):
    """A file or a table does not hold candles that a model could be trained on.

    ``missing`` are the columns that are not there; ``lines`` the first lines of the file (or rows of the table,
    counted from 2, as if it had a head) that are wrong.
    """

    def __init__(self, message: str, *, missing: Sequence[str] = (), lines: Sequence[int] = ()) -> None:
        self.missing = tuple(missing)
        self.lines = tuple(lines)
        super().__init__(message)


def read_table(path: str | Path, *, time_format: str | None = None) -> pd.DataFrame:
    """Return a CSV file by time: names in lower case, the time as index (without a zone: UTC), oldest first.

    ``time_format`` is strptime's, for spellings of a time that could mean two things.

    Raises:
        BadCandles: it has no time, or the times are not in order, or one is there twice.
        FileNotFoundError: there is no such file.
    """
    import pandas as pd

    try:
        table: pd.DataFrame = pd.read_csv(path, **_exactly(pd.__version__))
    except (ValueError, UnicodeDecodeError) as error:  # pandas derives its parser errors from ValueError
        raise BadCandles(f"{path} cannot be read as CSV: {error}") from error
    table.columns = pd.Index([str(name).strip().lower() for name in table.columns])
    twice = sorted({name for name in table.columns if list(table.columns).count(name) > 1})
    if twice:
        raise BadCandles(f"{path} has the column {', '.join(twice)} more than once")
    name = next((name for name in TIMES if name in table.columns), None)
    if name is None:
        raise BadCandles(
            f"{path} has no column for the time: one of {', '.join(TIMES)}; it has {', '.join(table.columns)}",
            missing=("time",),
        )
    if table.empty:
        raise BadCandles(f"{path} holds no bars")
    times = _times(table[name], str(path), time_format)
    _check_order(times, str(path))
    table.index = pd.DatetimeIndex(times, name="time")
    return table.drop(columns=name)


def _exactly(version: str) -> dict[str, Any]:
    """Return what makes pandas read the number that is written; since 3.1 it does, and warns if it is asked to."""
    before = tuple(map(int, version.split(".")[:2])) < (3, 1)
    return {"float_precision": "round_trip"} if before else {}


def read_candles(path: str | Path, *, time_format: str | None = None) -> pd.DataFrame:
    """Return open, high, low, close and volume of a CSV file by time, oldest first, as float64.

    Raises:
        BadCandles: a column is missing, a time is there twice or out of order, a number is missing or impossible.
        FileNotFoundError: there is no such file.
    """
    return check_candles(read_table(path, time_format=time_format), what=str(path))


def check_candles(table: pd.DataFrame, *, what: str = "the table") -> pd.DataFrame:
    """Return the five columns of candles out of a table by time, as float64, after checking every value.

    Raises:
        BadCandles: as :func:`read_candles`.
    """
    import numpy as np

    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        near = [difflib.get_close_matches(name, [str(other) for other in table.columns], n=1) for name in missing]
        hints = [
            f"{name} (did you mean {found[0]}?)" if found else name for name, found in zip(missing, near, strict=True)
        ]
        there = ", ".join(str(name) for name in table.columns) or "no other"
        raise BadCandles(f"{what} has no column {', '.join(hints)}; it has {there}", missing=missing)
    _check_order(table.index, what)
    columns = {name: _numbers(table[name], what) for name in COLUMNS}
    bars = type(table)(columns, index=table.index)
    values = bars.to_numpy()
    _refuse(what, "a number is missing or infinite", ~np.isfinite(values).all(axis=1))
    _refuse(what, "a price is not above 0", (values[:, :4] <= 0).any(axis=1))
    _refuse(what, "the high is below the low", values[:, 1] < values[:, 2])
    _refuse(what, "the volume is below 0", values[:, 4] < 0)
    return bars


def has_candles(table: pd.DataFrame) -> bool:
    """Tell whether a table has all five columns of candles."""
    return set(COLUMNS) <= set(table.columns)


def _numbers(column: pd.Series[Any], what: str) -> pd.Series[float]:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    _refuse(what, f"{column.name} is not a number", (numbers.isna() & column.notna()).to_numpy())
    return numbers.astype("float64")


def _times(column: pd.Series[Any], what: str, time_format: str | None) -> pd.DatetimeIndex:
    import pandas as pd

    text = column.astype("string").str.strip()
    _refuse(what, "the time is missing", text.isna().to_numpy())
    unit: Any = next(
        (unit for unit, rule in (("s", _SECONDS), ("ms", _MILLISECONDS)) if rule.fullmatch(text.iloc[0])), None
    )
    if unit is not None and time_format is None:
        times = pd.to_datetime(pd.to_numeric(text, errors="coerce"), unit=unit, utc=True, errors="coerce")
    else:
        chosen = time_format or next(
            (form for rule, form in _FORMATS.items() if re.fullmatch(rule, text.iloc[0])), None
        )
        if chosen is None:
            raise BadCandles(
                f"{what}: the time {text.iloc[0]!r} could mean more than one thing; say which with a time format, such "
                "as %m/%d/%Y %H:%M",
                lines=(2,),
            )
        times = pd.to_datetime(text, format=chosen, utc=True, errors="coerce")
    _refuse(what, f"the time cannot be read (the first one is {text.iloc[0]!r})", times.isna().to_numpy())
    return pd.DatetimeIndex(times).tz_localize(None)


def _check_order(times: Any, what: str) -> None:
    import numpy as np

    steps = np.diff(np.asarray(times, dtype="datetime64[ns]").astype("int64"), prepend=np.iinfo("int64").min // 2)
    _refuse(what, "the time is there twice", steps == 0)
    _refuse(what, "the time is earlier than that of the line before: sort the file by time", steps < 0)


def _refuse(what: str, why: str, wrong: Any) -> None:
    """Raise if any row is wrong, naming the first ones by their line in a file with a head."""
    lines = [int(place) + 2 for place in wrong.nonzero()[0]]
    if lines:
        shown = ", ".join(str(line) for line in lines[:_SHOWN]) + (" ..." if len(lines) > _SHOWN else "")
        raise BadCandles(f"{what}, line {shown}: {why}", lines=lines[:_SHOWN])
