"""What Parquet bends in a pandas table: noted beside it as JSON, and put right on reading.

Text of the dtype ``object`` and how its gaps are spelled, categories that no row uses, ranges, frequencies, levels of a
``MultiIndex`` and their order, decimals with exponents of their own, columns that Arrow backs, ``attrs``.
Imports no pandas; its functions are given it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

from artifact_store.codecs.documents import check_json
from artifact_store.errors import NotEncodable
from artifact_store.wording import brief

MAX_NOTED: Final = 10_000
"""Categories that are noted one by one. More are left to Parquet, which keeps those of text."""

_IN_OBJECTS = frozenset({str, bytes, bool, int, float, type(None), Decimal, date, time})
"""What an object column may hold: immutable, and with one meaning wherever it is read."""
_CATEGORIES = frozenset("OUTbiufMm")
_IN_NOTES = frozenset({str, bool, int, float})
"""What categories of the dtype ``object`` may be: what JSON gives back as it was."""
_ATTRS_DEPTH = 8
"""Where ``attrs`` are in a manifest, counted from above."""
_Note = dict[str, Any]


def notes_of(frame: Any, names: list[str], index: str, pd: Any) -> dict[str, Any]:
    """Return what has to be restored after reading; ``names`` are what messages call the columns, as ``index`` is."""
    columns = ((str(place), _note(frame.iloc[:, place], name, pd)) for place, name in enumerate(names))
    found = {"index": _note(frame.index, index, pd), "columns": _note(frame.columns, "the columns", pd)}
    notes: dict[str, Any] = {
        **{name: note for name, note in found.items() if note},
        "data": {place: note for place, note in columns if note},
    }
    if frame.attrs:
        notes["attrs"] = _kept_attrs(frame.attrs)
    if not frame.flags.allows_duplicate_labels:
        notes["unique"] = True
    return notes


def in_arrow(notes: Mapping[str, Any]) -> Iterator[int]:
    """Yield the places of the columns that are Arrow's own, and stay so."""
    return (int(place) for place, note in notes["data"].items() if "arrow" in note)


def _kept_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    try:
        check_json(dict(attrs), "attrs", _ATTRS_DEPTH)
    except NotEncodable as error:
        raise NotEncodable(f"the attrs of the table are kept as JSON: {error}; or delete it from .attrs") from error
    return dict(attrs)


def _note(values: Any, where: str, pd: Any) -> _Note:
    """Return what has to be restored in an index or a column after reading; nothing for most."""
    if isinstance(values, pd.MultiIndex):
        _check_levels(values, where, pd)
        return {}
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _note_categories(values.dtype, where, pd)
    if isinstance(values, pd.Index):
        return _note_index(values, where, pd)
    return _note_column(values, where, pd)


def _note_column(values: Any, where: str, pd: Any) -> _Note:
    if isinstance(values.dtype, pd.ArrowDtype):
        return {"arrow": True}
    if isinstance(values.dtype, pd.StringDtype) and values.dtype.storage == "python":
        return {"python": "NA" if values.dtype.na_value is pd.NA else "nan"}
    return _note_objects(values, where) if values.dtype == object else {}


def _note_index(values: Any, where: str, pd: Any) -> _Note:
    if isinstance(values, pd.RangeIndex):
        return {"range": [values.start, values.stop, values.step]}
    freq = getattr(values, "freqstr", None) if isinstance(values, pd.DatetimeIndex | pd.TimedeltaIndex) else None
    if freq is None:
        return _note_objects(values, where) if values.dtype == object else {}
    if not _can_be_text(values.freq, pd):
        raise NotEncodable(
            f"{where} has the frequency {values.freq!r}, which its name {freq!r} does not tell: set it to None with "
            ".index.freq = None (.columns.freq of columns), and keep the rule elsewhere"
        )
    return {"freq": freq}


def _can_be_text(freq: Any, pd: Any) -> bool:
    try:
        return bool(pd.tseries.frequencies.to_offset(freq.freqstr) == freq)
    except ValueError:
        return False


def _note_objects(values: Any, where: str) -> _Note:
    try:
        gaps = [value for value, missing in zip(values.tolist(), values.isna().tolist(), strict=True) if missing]
    except ArithmeticError as error:  # pandas compares each with itself
        raise NotEncodable(f"{where} holds a decimal that signals, sNaN: make it Decimal('NaN')") from error
    note = {"object": "nan" if any(isinstance(value, float) for value in gaps) else "none"}
    if _in_decimals(values) and not _one_exponent(values):
        note["decimal"] = "text"
    return note


def _in_decimals(values: Any) -> bool:
    cells = list(zip(values.tolist(), values.isna().tolist(), strict=True))
    return {type(value) for value, missing in cells if not missing} == {Decimal} or any(
        type(value) is Decimal for value, missing in cells if missing
    )


def _one_exponent(values: Any) -> bool:
    """Tell whether Arrow's decimals hold these: they have one scale, no signed zero, and nothing that is no number."""
    found = [value for value in values if type(value) is Decimal]
    exponents = {value.as_tuple().exponent for value in found}
    plain = all(type(exponent) is int and exponent <= 0 for exponent in exponents)
    return plain and len(exponents) == 1 and not any(value.is_zero() and value.is_signed() for value in found)


def _check_levels(index: Any, where: str, pd: Any) -> None:
    """Refuse levels of categories that Parquet makes plain values of: all but text and bytes."""
    for name, level in zip(index.names, index.levels, strict=True):
        if isinstance(level.dtype, pd.CategoricalDtype):
            kinds = set(map(type, level.categories.tolist()))
            if kinds not in ({str}, {bytes}):
                raise _unheld(f"{named_level(name)} of {where}", level.categories, str(level.categories.dtype))


def named_level(name: object) -> str:
    """Return what messages call a level of an index."""
    return "a level" if name is None else f"the level {name!r}"


def _note_categories(dtype: Any, where: str, pd: Any) -> _Note:
    categories = dtype.categories
    if len(categories) > MAX_NOTED and _holds_text(categories):
        return {}
    kind = _kind(categories.dtype)
    if len(categories) > MAX_NOTED or kind not in _CATEGORIES:
        raise _unheld(where, categories, str(categories.dtype))
    for value in categories if kind == "O" else ():
        if type(value) not in _IN_NOTES or (type(value) is float and not math.isfinite(value)):
            raise _unheld(where, categories, f"{type(value).__name__}, such as {brief(value)}")
    return {**_plain_index(categories, pd), "ordered": bool(dtype.ordered)}


def _plain_index(values: Any, pd: Any) -> _Note:
    """Return categories, or a level, as JSON; its name and its frequency with it, if they are text."""
    time = _kind(values.dtype) in {"M", "m"}
    note: _Note = {"categories": values.asi8.tolist() if time else values.tolist(), "dtype": str(values.dtype)}
    if time and values.freq is not None and _can_be_text(values.freq, pd):
        note["freq"] = values.freqstr
    return note if values.name is None else {**note, "name": str(values.name)}


def _unheld(where: str, categories: Any, kind: str) -> NotEncodable:
    return NotEncodable(
        f"{where} has {len(categories):,} categories of the type {kind}, which cannot be held: convert it to text with "
        ".map(str, na_action='ignore'), or to other plain values"
    )


def _kind(dtype: Any) -> str:
    """Return numpy's letter for a dtype; ``T`` for pandas' text, ``?`` for its other extensions."""
    return "T" if dtype.name in {"str", "string"} else dtype.kind if hasattr(dtype, "newbyteorder") else "?"


def _holds_text(values: Any) -> bool:
    return _kind(values.dtype) in {"O", "T"} and all(type(value) is str for value in values)


def prepared(frame: Any, notes: Mapping[str, Any], pd: Any) -> Any:
    """Return a frame that Arrow takes.

    Categories other than text become plain values, decimals with exponents of their own text, and ``attrs`` go. Where
    a column is Arrow's own, there are gaps, for it to be put there.
    """
    plain = frame.copy(deep=False)
    plain.attrs = {}
    for place in range(len(plain.columns)):
        column, note = plain.iloc[:, place], notes["data"].get(str(place), {})
        if "arrow" in note:
            plain.isetitem(place, pd.Series([None] * len(plain), index=plain.index, dtype=object))
        elif "decimal" in note:
            plain.isetitem(place, pd.Series(_decimals_as_text(column), index=plain.index, dtype=object))
        elif isinstance(column.dtype, pd.CategoricalDtype) and not _holds_text(column.cat.categories):
            plain.isetitem(place, _plain_values(column.array, pd))
    if "decimal" in notes.get("index", {}):
        plain.index = pd.Index(_decimals_as_text(plain.index), name=plain.index.name, dtype=object)
    elif isinstance(plain.index, pd.CategoricalIndex) and not _holds_text(plain.index.categories):
        plain.index = pd.Index(_plain_values(plain.index.array, pd), name=plain.index.name)
    return plain


def _decimals_as_text(values: Any) -> list[str | None]:
    return [str(value) if type(value) is Decimal else None for value in values]


def _plain_values(categorical: Any, pd: Any) -> Any:
    """Return the values of a categorical; integers and booleans with gaps as pandas' nullable types."""
    dtype = categorical.categories.dtype
    if categorical.isna().any() and _kind(dtype) in {"b", "i", "u"}:
        return pd.array(categorical.astype(object), dtype={"b": "boolean", "u": "UInt64"}.get(_kind(dtype), "Int64"))
    return categorical.astype(dtype)


# ---------------------------------------------------------------- putting it right


def put_right(table: Any, notes: Mapping[str, Any], pd: Any) -> Any:
    """Return the frame that an Arrow table and the notes beside it stand for."""
    frame = table.to_pandas()
    for place, note in notes["data"].items():
        column = frame.iloc[:, int(place)]
        if "arrow" in note:
            mended: Any = pd.arrays.ArrowExtensionArray(table.column(int(place)))
        elif "python" in note:
            missing = {"NA": pd.NA, "nan": float("nan")}[note["python"]]
            mended = pd.array(_objects(column, missing), dtype=pd.StringDtype("python", na_value=missing))
        else:
            mended = _mended(column, note, pd)
        dtype = object if "object" in note else None  # or pandas would find a better dtype for the objects
        frame.isetitem(int(place), pd.Series(mended, index=frame.index, dtype=dtype))
    for what in ("index", "columns"):
        if what in notes:
            values = getattr(frame, what)
            levels = "levels" in notes[what]
            mended = _with_levels(values, notes[what]["levels"], pd) if levels else _mended(values, notes[what], pd)
            setattr(frame, what, mended if levels else pd.Index(mended, name=values.name))
    frame.attrs = dict(notes.get("attrs", {}))
    if notes.get("unique"):
        frame.flags.allows_duplicate_labels = False
    return frame


def _mended(values: Any, note: _Note, pd: Any) -> Any:
    if "range" in note:
        return pd.RangeIndex(*note["range"])
    if "categories" in note:
        dtype = pd.CategoricalDtype(_index_of_note(note, pd), ordered=note["ordered"])
        return pd.Categorical(_objects(values, None), dtype=dtype)
    if "object" in note:
        found = _objects(values, {"none": None, "nan": float("nan")}[note["object"]])
        if note.get("decimal") == "text":
            found = [Decimal(value) if isinstance(value, str) else value for value in found]
        return pd.Index(found, dtype=object)
    return type(values)(values, freq=note["freq"])


def _objects(values: Any, missing: object) -> list[Any]:
    gaps = values.isna()
    return [missing if gap else value for value, gap in zip(values.tolist(), gaps, strict=True)]


def _index_of_note(note: _Note, pd: Any) -> Any:
    values, dtype, name = note["categories"], note["dtype"], note.get("name")
    if not dtype.startswith(("datetime64[", "timedelta64[")):
        return pd.Index(values, dtype=dtype, name=name)
    numbers = pd.array(values, dtype="int64").to_numpy()
    unit, _, zone = dtype.removesuffix("]").partition(", ")
    index = pd.Index(numbers.view(f"{unit}]" if zone else dtype), name=name)
    if zone:
        index = index.tz_localize("UTC").tz_convert(zone)
    return type(index)(index, freq=note["freq"]) if "freq" in note else index


# ---------------------------------------------------------------- levels of a MultiIndex


def add_levels(frame: Any, again: Any, notes: dict[str, Any], pd: Any) -> bool:
    """Note the levels that did not come back in their order, with what no row uses; tell whether there are any.

    Raises:
        NotEncodable: there are too many to note.
    """
    added = False
    for what in ("index", "columns"):
        one, other = getattr(frame, what), getattr(again, what)
        if isinstance(one, pd.MultiIndex) and isinstance(other, pd.MultiIndex) and one.nlevels == other.nlevels:
            levels = [
                _note_level(level, back, name, what, pd)
                for level, back, name in zip(one.levels, other.levels, one.names, strict=True)
            ]
            if any(levels):
                notes[what] = {"levels": levels}
                added = True
    return added


def _note_level(level: Any, back: Any, name: object, what: str, pd: Any) -> _Note | None:
    """Return what is to be restored in a level, or nothing if it is there, or is of a dtype that is not noted."""
    freq = getattr(level, "freq", None)
    if type(level) is type(back) and level.dtype == back.dtype and level.equals(back):
        return {"freq": level.freqstr} if freq is not None and _can_be_text(freq, pd) else None
    zoned = isinstance(level.dtype, pd.DatetimeTZDtype)
    if not zoned and _kind(level.dtype) not in "OTbiufMm":
        return None
    if len(level) > MAX_NOTED or any(
        type(value) not in _IN_NOTES for value in (level if level.dtype == object else ())
    ):
        raise NotEncodable(
            f"{named_level(name)} of the {what} has {len(level):,} values in an order of its own, or some that no row "
            f"uses, which cannot be held: frame.{what} = pandas.MultiIndex.from_frame(frame.{what}.to_frame()) has "
            "them in order"
        )
    note = _plain_index(level, pd)
    if zoned:
        note["categories"] = level.asi8.tolist()
        note |= {"freq": level.freqstr} if level.freq is not None and _can_be_text(level.freq, pd) else {}
    return note


def _with_levels(index: Any, notes: list[_Note | None], pd: Any) -> Any:
    levels, codes = [], []
    for level, places, note in zip(index.levels, index.codes, notes, strict=True):
        if note is None or "categories" not in note:
            kept = type(level)(level, freq=note["freq"]) if note else level
            places_now = places
        else:
            kept = _index_of_note(note, pd)
            found = kept.get_indexer(level)
            if (found < 0).any():
                raise ValueError("a level without values that rows have")
            places_now = [found[place] if place >= 0 else -1 for place in places]
        levels.append(kept)
        codes.append(places_now)
    return pd.MultiIndex(levels=levels, codes=codes, names=index.names)


# ---------------------------------------------------------------- what to do instead


def same_object(one: Any, other: Any) -> bool:
    """Tell whether two objects of a column are the same, in type, and of decimals in their exponent."""
    if type(one) is not type(other) or type(one) not in _IN_OBJECTS:
        return False
    if type(one) is Decimal:
        return str(one) == str(other)
    if type(one) is float:
        return repr(one) == repr(other)
    return bool(one == other)


def way_out(column: Any) -> str:
    """Return what to make of a column that is refused; it is kept then."""
    if column.dtype == object:
        return _way_out_of_objects(column)
    if getattr(column.dtype, "tz", None) is not None:
        return "Convert it to a named zone, with .dt.tz_convert('UTC')"
    if str(column.dtype).startswith("Sparse"):
        return "Convert it with .sparse.to_dense()"
    kind = getattr(column.dtype, "kind", "")
    return _WAYS_OUT.get(kind, "Convert it to text with .astype(str), or to values of one plain dtype")


_WAYS_OUT: Final = {
    "c": "Store its real and imaginary parts as two columns: numpy.real(column), numpy.imag(column)",
    "f": "Convert it with .astype('float64')",
    "i": "Convert it with .astype('int64')",
    "u": "Convert it with .astype('uint64')",
}


def _way_out_of_objects(column: Any) -> str:
    gaps = column[column.isna()]
    others = [value for value in column[column.notna()] if type(value) not in _IN_OBJECTS]
    if len({*map(type, gaps)}) > 1 or (len(gaps) and not others and type(gaps.iloc[0]) not in {float, type(None)}):
        return (
            f"It has gaps that are {' and '.join(sorted({repr(gap) for gap in gaps}))}: make all of them None with "
            ".where(column.notna(), None)"
        )
    if any(type(value) is str and not value.isascii() for value in column):
        return "Text with a lone surrogate is not valid: convert it with .map(ascii)"
    held = f"It holds {type(others[0]).__qualname__}, such as {brief(others[0])}: convert" if others else "Convert"
    return f"{held} it with .astype(str), or to values of one plain dtype, or store it as a component of its own"
