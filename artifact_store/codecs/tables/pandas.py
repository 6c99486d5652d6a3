"""pandas frames and series in Parquet, exactly or not at all.

``{stem}.parquet`` is what ``pandas.read_parquet`` reads. What Parquet bends on the way (object columns of text, the
categories that no row uses, a ``RangeIndex`` of columns, the frequency of a time index) is noted in the options and put
right on reading; then the file is read back and compared before it counts as stored. ``attrs`` and flags are not kept,
and neither are the versions of pandas: a text column of dtype ``object`` stays one in releases that prefer ``str``.
The one module that imports pandas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import all_or_nothing, field, import_library, refuse_into, refuse_subclass
from artifact_store.codecs.tables.arrow import read_parquet, write_parquet
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, NotEncodable
from artifact_store.wording import brief

MAX_NOTED: Final = 10_000
"""Categories that are noted one by one. More are left to Parquet, which keeps those of text."""

_IN_OBJECTS = frozenset({str, bytes, bool, int, float, type(None), Decimal, date, time})
"""What an object column may hold: immutable, and with one meaning wherever it is read."""
_CATEGORIES = frozenset("OUTbiufMm")
_IN_NOTES = frozenset({str, bool, int, float})
"""What categories of the dtype ``object`` may be: what JSON gives back as it was."""
_VALUE = "value"
_Note = dict[str, Any]


class PandasCodec:
    """Store a ``pandas.DataFrame`` or ``pandas.Series`` in ``{stem}.parquet``."""

    name: ClassVar[str] = "pandas"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "pandas.DataFrame",
        "pandas.Series",
        "pandas.core.frame.DataFrame",  # as pandas 2 calls them
        "pandas.core.series.Series",
    )
    extra: ClassVar[str | None] = "tables"
    libraries: ClassVar[tuple[str, ...]] = ("pandas", "pyarrow")

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the table, read it back, and refuse it with the place if a value, dtype, name or order is different."""
        pd, pa = import_library("pandas", self), import_library("pyarrow", self)
        refuse_subclass(obj, pd.DataFrame, pd.Series)
        options: dict[str, JSON] = {"kind": "frame"}
        frame = obj
        if isinstance(obj, pd.Series):
            if obj.name is not None and type(obj.name) not in (str, int):
                raise NotEncodable(f"the name of the series, {obj.name!r}, is neither text nor an integer")
            options = {"kind": "series", "name": obj.name}
            frame = obj.to_frame(obj.name if isinstance(obj.name, str) else _VALUE)
        _check_names(frame, pd)
        names = _places(frame) if frame is obj else [_named("the series", obj.name)]
        notes = _notes(frame, names, pd)
        table = _as_arrow(_prepared(frame, pd), names, pa)
        path = directory / f"{stem}.parquet"
        with all_or_nothing(directory, stem):
            table = write_parquet(self, table, path)
            try:
                again = self._frame(table, path.name, notes)
            except Corrupt as error:
                raise NotEncodable(f"Parquet cannot hold this table: {error}") from error
            _compare(frame, again, names, pd)
        return {**options, "notes": notes}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the table."""
        refuse_into(self, into)
        path = directory / f"{stem}.parquet"
        frame = self._frame(read_parquet(self, path), path.name, field(options, "notes", dict))
        kind = field(options, "kind", str)
        if kind == "frame":
            return frame
        if kind != "series" or len(frame.columns) != 1:
            raise Corrupt(f"{path.name} does not hold what was recorded as {kind[:40]!r}")
        return frame.iloc[:, 0].rename(field(options, "name", str | int | None))

    def _frame(self, table: Any, what: str, notes: Mapping[str, Any]) -> Any:
        pd, pa = import_library("pandas", self), import_library("pyarrow", self)
        try:
            return _restored(table.to_pandas(), notes, pd)
        except (pa.ArrowException, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise Corrupt(f"{what} does not hold the table that was recorded: {error}") from error


def _check_names(frame: Any, pd: Any) -> None:
    """Refuse names that Parquet would turn into text, or could not tell apart."""
    if not frame.columns.is_unique:
        twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise NotEncodable(f"several columns have one name: {', '.join(twice)}")
    if isinstance(frame.columns, pd.CategoricalIndex):
        raise NotEncodable("the names of the columns are categories: frame.columns = frame.columns.astype(str)")
    if frame.columns.dtype == object and not isinstance(frame.columns, pd.MultiIndex):
        invalid = [name for name in frame.columns if type(name) is not str]
        if invalid:
            raise NotEncodable(f"the column name {invalid[0]!r} is not text; rename it")
    for name in (*frame.columns.names, *frame.index.names):
        if name is not None and type(name) is not str:
            raise NotEncodable(f"the name {name!r} of an index is not text; rename it")


# ---------------------------------------------------------------- what Parquet bends


def _notes(frame: Any, names: list[str], pd: Any) -> dict[str, Any]:
    columns = ((str(place), _note(frame.iloc[:, place], name, pd)) for place, name in enumerate(names))
    notes = {"index": _note(frame.index, _index_of(frame), pd), "columns": _note(frame.columns, "the columns", pd)}
    return {
        **{name: note for name, note in notes.items() if note},
        "data": {place: note for place, note in columns if note},
    }


def _note(values: Any, where: str, pd: Any) -> _Note:
    """Return what has to be restored in an index or a column after reading; nothing for most."""
    if isinstance(values, pd.MultiIndex):
        _check_levels(values, where, pd)
        return {}
    if isinstance(values, pd.RangeIndex):
        return {"range": [values.start, values.stop, values.step]}
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _note_categories(values.dtype, where)
    if values.dtype == object:
        return {"object": "nan" if any(isinstance(value, float) for value in values[values.isna()]) else "none"}
    freq = getattr(values, "freqstr", None) if isinstance(values, pd.Index) else None
    return {"freq": freq} if freq else {}


def _check_levels(index: Any, where: str, pd: Any) -> None:
    """Refuse levels of categories that Parquet makes plain values of: all but text and bytes."""
    for name, level in zip(index.names, index.levels, strict=True):
        if isinstance(level.dtype, pd.CategoricalDtype):
            kinds = set(map(type, level.categories.tolist()))
            if kinds not in ({str}, {bytes}):
                raise _unheld(f"{_named('the level', name)} of {where}", level.categories, str(level.categories.dtype))


def _note_categories(dtype: Any, where: str) -> _Note:
    categories = dtype.categories
    if len(categories) > MAX_NOTED and _holds_text(categories):
        return {}
    kind = _kind(categories.dtype)
    if len(categories) > MAX_NOTED or kind not in _CATEGORIES:
        raise _unheld(where, categories, str(categories.dtype))
    for value in categories if kind == "O" else ():
        if type(value) not in _IN_NOTES or (type(value) is float and not math.isfinite(value)):
            raise _unheld(where, categories, f"{type(value).__name__}, such as {brief(value)}")
    time = kind in {"M", "m"}
    return {
        "categories": categories.asi8.tolist() if time else categories.tolist(),
        "dtype": str(categories.dtype),
        "ordered": bool(dtype.ordered),
    }


def _unheld(where: str, categories: Any, kind: str) -> NotEncodable:
    return NotEncodable(
        f"{where} has {len(categories):,} categories of the type {kind}, which cannot be held: convert it to text with "
        ".astype(str), or to other plain values"
    )


def _places(frame: Any) -> list[str]:
    """Return what messages call the columns."""
    return [_named("the column", name) for name in frame.columns]


def _index_of(frame: Any) -> str:
    return _named("the index", frame.index.name)


def _named(what: str, name: object) -> str:
    return what if name is None else f"{what} {name!r}"


def _kind(dtype: Any) -> str:
    """Return numpy's letter for a dtype; ``T`` for pandas' text, ``?`` for its other extensions."""
    return "T" if dtype.name in {"str", "string"} else dtype.kind if hasattr(dtype, "newbyteorder") else "?"


def _holds_text(values: Any) -> bool:
    return _kind(values.dtype) in {"O", "T"} and all(type(value) is str for value in values)


def _prepared(frame: Any, pd: Any) -> Any:
    """Return a frame that Arrow takes: categories other than text become plain values, ``attrs`` go."""
    plain = frame.copy(deep=False)
    plain.attrs = {}
    for place in range(len(plain.columns)):
        column = plain.iloc[:, place]
        if isinstance(column.dtype, pd.CategoricalDtype) and not _holds_text(column.cat.categories):
            plain.isetitem(place, _plain_values(column.array, pd))
    if isinstance(plain.index, pd.CategoricalIndex) and not _holds_text(plain.index.categories):
        plain.index = pd.Index(_plain_values(plain.index.array, pd), name=plain.index.name)
    return plain


def _plain_values(categorical: Any, pd: Any) -> Any:
    """Return the values of a categorical; integers and booleans with gaps as pandas' nullable types."""
    dtype = categorical.categories.dtype
    if categorical.isna().any() and _kind(dtype) in {"b", "i", "u"}:
        return pd.array(categorical.astype(object), dtype={"b": "boolean", "u": "UInt64"}.get(_kind(dtype), "Int64"))
    return categorical.astype(dtype)


def _as_arrow(frame: Any, names: list[str], pa: Any) -> Any:
    """Return a frame as Arrow's.

    Raises:
        NotEncodable: a column or the index holds what Arrow does not, with which of them that is.
    """
    failures = (pa.ArrowException, ValueError, TypeError, NotImplementedError, OverflowError)
    try:
        return pa.Table.from_pandas(frame)
    except failures as error:
        where = _index_of(frame)
        for place, name in enumerate(names):
            try:
                pa.Table.from_pandas(frame.iloc[:, [place]], preserve_index=False)
            except failures:
                where = name
                break
        raise NotEncodable(
            f"Arrow cannot hold {where}: {error}. Convert it to values of one plain type, for instance .astype(str)"
        ) from error


# ---------------------------------------------------------------- putting it right


def _restored(frame: Any, notes: Mapping[str, Any], pd: Any) -> Any:
    for place, note in notes["data"].items():
        column = frame.iloc[:, int(place)]
        dtype = object if "object" in note else None  # or pandas would find a better dtype for the objects
        frame.isetitem(int(place), pd.Series(_mended(column, note, pd), index=frame.index, dtype=dtype))
    if "index" in notes:
        frame.index = pd.Index(_mended(frame.index, notes["index"], pd), name=frame.index.name)
    if "columns" in notes:
        frame.columns = pd.Index(_mended(frame.columns, notes["columns"], pd), name=frame.columns.name)
    return frame


def _mended(values: Any, note: _Note, pd: Any) -> Any:
    if "range" in note:
        return pd.RangeIndex(*note["range"])
    if "categories" in note:
        return pd.Categorical(_objects(values, None), dtype=_category_dtype(note, pd))
    if "object" in note:
        return pd.Index(_objects(values, {"none": None, "nan": float("nan")}[note["object"]]), dtype=object)
    return type(values)(values, freq=note["freq"])


def _objects(values: Any, missing: object) -> list[Any]:
    gaps = values.isna()
    return [missing if gap else value for value, gap in zip(values.tolist(), gaps, strict=True)]


def _category_dtype(note: _Note, pd: Any) -> Any:
    values, dtype = note["categories"], note["dtype"]
    if dtype.startswith(("datetime64[", "timedelta64[")):
        categories = pd.Index(pd.array(values, dtype="int64").to_numpy().view(dtype))
    else:
        categories = pd.Index(values, dtype=dtype)
    return pd.CategoricalDtype(categories, ordered=note["ordered"])


# ---------------------------------------------------------------- comparing


def _compare(frame: Any, again: Any, names: list[str], pd: Any) -> None:
    """Raise ``NotEncodable`` unless both are the same in every value, dtype, name and order."""
    for what, one, other in (("index", frame.index, again.index), ("columns", frame.columns, again.columns)):
        if not _same_index(one, other, pd):
            raise NotEncodable(f"Parquet would change the {what}: {one[:3]!r} becomes {other[:3]!r}")
    for place, name in enumerate(names):
        one, other = frame.iloc[:, place], again.iloc[:, place]
        if not _same_values(one, other, pd):
            raise NotEncodable(
                f"Parquet would change {name}: {one.dtype!r} becomes {other.dtype!r}, or values change. "
                "Convert it to a plain dtype; Python objects other than text, bytes and dates have none"
            )


def _same_index(one: Any, other: Any, pd: Any) -> bool:
    if type(one) is not type(other) or list(one.names) != list(other.names) or len(one) != len(other):
        return False
    if isinstance(one, pd.MultiIndex):
        levels = range(one.nlevels)
        return one.nlevels == other.nlevels and all(
            _same_values(one.get_level_values(level), other.get_level_values(level), pd) for level in levels
        )
    return getattr(one, "freq", None) == getattr(other, "freq", None) and _same_values(one, other, pd)


def _same_values(one: Any, other: Any, pd: Any) -> bool:
    """Compare two columns, or two levels of an index; gaps equal gaps of the same kind."""
    if one.dtype != other.dtype:
        return False
    if isinstance(one.dtype, pd.CategoricalDtype):
        left, right = one.array, other.array
        return bool(
            left.ordered == right.ordered
            and _same_values(left.categories, right.categories, pd)
            and (left.codes == right.codes).all()
        )
    if one.dtype == object:
        return all(map(_same_object, one.tolist(), other.tolist()))
    return bool(one.equals(other))


def _same_object(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or type(one) not in _IN_OBJECTS:
        return False
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 -- NaN
