"""pandas frames and series in Parquet, exactly or not at all.

``{stem}.parquet`` is what ``pandas.read_parquet`` reads. What Parquet bends on the way is noted in the options and put
right on reading (:mod:`.mending`); then the file is read back and compared before it counts as stored. Not kept are the
bits of a NaN, the class of a time zone (its name is), and the versions of pandas: a text column of dtype ``object``
stays one in releases that prefer ``str``. The one module that imports pandas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import all_or_nothing, field, import_library, refuse_into, refuse_subclass
from artifact_store.codecs.tables import mending
from artifact_store.codecs.tables.arrow import equal_columns, has_extension, read_parquet, write_parquet
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, NotEncodable
from artifact_store.wording import brief

_VALUE: Final = "value"
_DTYPES: Final = frozenset({"dtype", "numpy_type", "pandas_type"})
_PART: Final = re.compile(r"\[[^\],]*/")
_NAMES_WAY_OUT: Final = "make them text with frame.columns = [str(name) for name in frame.columns]"
_INDEX_WAY_OUT: Final = "make the index a column with .reset_index(), which is kept or refused by its name"


class PandasCodec:
    """Store a ``pandas.DataFrame`` or ``pandas.Series`` in ``{stem}.parquet``."""

    name: ClassVar[str] = "pandas"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        *("pandas.DataFrame", "pandas.Series"),
        *("pandas.core.frame.DataFrame", "pandas.core.series.Series"),  # as pandas 2 calls them
        *("pandas.Index", "pandas.core.indexes.base.Index"),  # to be refused with a reason, as are the rest
        *("pandas.api.extensions.ExtensionArray", "pandas.core.arrays.base.ExtensionArray"),
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
                raise NotEncodable(
                    f"the name of the series, {obj.name!r}, is neither text nor an integer: rename it with "
                    ".rename('text')"
                )
            options = {"kind": "series", "name": obj.name}
            frame = obj.to_frame(obj.name if isinstance(obj.name, str) else _VALUE)
            frame.attrs, frame.flags.allows_duplicate_labels = obj.attrs, obj.flags.allows_duplicate_labels
        _check_names(frame, pd)
        names = _places(frame) if frame is obj else [_named("the series", obj.name)]
        notes = mending.notes_of(frame, names, _index_of(frame), pd)
        table = _as_arrow(mending.prepared(frame, notes, pd), names, pa)
        for place in mending.in_arrow(notes):
            column = frame.iloc[:, place].array.__arrow_array__()
            table = table.set_column(place, table.field(place).name, column)
        _check_extensions(table, names, frame, pa)
        path = directory / f"{stem}.parquet"
        with all_or_nothing(directory, stem):
            table = write_parquet(self, table, path)
            try:
                again = self._frame(table, path.name, notes)
                if mending.add_levels(frame, again, notes, pd):
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
        series = frame.iloc[:, 0].rename(field(options, "name", str | int | None))
        series.attrs, series.flags.allows_duplicate_labels = frame.attrs, frame.flags.allows_duplicate_labels
        return series

    def _frame(self, table: Any, what: str, notes: Mapping[str, Any]) -> Any:
        pd, pa = import_library("pandas", self), import_library("pyarrow", self)
        try:
            _check_units([notes, table.schema.pandas_metadata])
            return mending.put_right(table, notes, pd)
        except (
            pa.ArrowException,
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            ArithmeticError,
        ) as error:
            raise Corrupt(f"{what} does not hold the table that was recorded: {error}") from error


def _check_units(described: Any) -> None:
    """Refuse a part of a unit of time, which numpy reads and never writes: of one by nothing it ends the process."""
    waiting = [described]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for name in _DTYPES & part.keys():
                if _PART.search(str(part[name])):
                    raise ValueError(f"the dtype {str(part[name])[:40]!r} is of a part of a unit")
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _check_names(frame: Any, pd: Any) -> None:
    """Refuse names that Parquet would turn into text, or could not tell apart."""
    if not frame.columns.is_unique:
        twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise NotEncodable(f"several columns have one name: {', '.join(twice)}; give each its own in frame.columns")
    if isinstance(frame.columns, pd.CategoricalIndex):
        raise NotEncodable("the names of the columns are categories: frame.columns = frame.columns.astype(str)")
    if frame.columns.dtype == object and not isinstance(frame.columns, pd.MultiIndex):
        invalid = [name for name in frame.columns if type(name) is not str]
        if invalid:
            raise NotEncodable(f"the column name {invalid[0]!r} is not text: {_NAMES_WAY_OUT}")
    for index, what in ((frame.columns, "columns"), (frame.index, "index")):
        for name in index.names:
            if name is not None and type(name) is not str:
                raise NotEncodable(
                    f"the name {name!r} of the {what} is not text; rename it: frame.{what}.names = ['text', …]"
                )


def _places(frame: Any) -> list[str]:
    """Return what messages call the columns."""
    return [_named("the column", name) for name in frame.columns]


def _index_of(frame: Any) -> str:
    return _named("the index", frame.index.name)


def _named(what: str, name: object) -> str:
    return what if name is None else f"{what} {name!r}"


def _as_arrow(frame: Any, names: list[str], pa: Any) -> Any:
    """Return a frame as Arrow's.

    Raises:
        NotEncodable: a column or the index holds what Arrow does not, with which of them that is.
    """
    failures = (pa.ArrowException, ValueError, TypeError, NotImplementedError, OverflowError)
    try:
        return pa.Table.from_pandas(frame)
    except failures as error:
        for place, name in enumerate(names):
            column = frame.iloc[:, place].to_frame()  # what takes a part of a frame does not take every dtype
            try:
                pa.Table.from_pandas(column, preserve_index=False)
            except failures:
                raise NotEncodable(
                    f"Arrow cannot hold {name}: {error}. {mending.way_out(column.iloc[:, 0])}"
                ) from error
        raise NotEncodable(f"Arrow cannot hold {_index_of(frame)}: {error}. {_sentence(_INDEX_WAY_OUT)}") from error


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _check_extensions(table: Any, names: list[str], frame: Any, pa: Any) -> None:
    """Refuse what Arrow holds as a type that only registered code can read."""
    for place, column in enumerate(table.schema):
        if has_extension(column.type, pa):
            if place >= len(names):
                raise NotEncodable(
                    f"{_index_of(frame)} is of the dtype {frame.index.dtype}, which Parquet has no type for: "
                    f"{_INDEX_WAY_OUT}"
                )
            held = frame.iloc[:, place]
            raise NotEncodable(
                f"{names[place]} is of the dtype {held.dtype}, which Parquet has no type for. {mending.way_out(held)}"
            )


# ---------------------------------------------------------------- comparing


def _compare(frame: Any, again: Any, names: list[str], pd: Any) -> None:
    """Raise ``NotEncodable`` unless both are the same in every value, dtype, name and order."""
    for what, one, other in (("index", frame.index, again.index), ("columns", frame.columns, again.columns)):
        if not _same_index(one, other, pd):
            raise NotEncodable(
                f"Parquet would change the {what}: {brief(one[:3])} becomes {brief(other[:3])}; "
                f"{_INDEX_WAY_OUT if what == 'index' else _NAMES_WAY_OUT}"
            )
    for place, name in enumerate(names):
        one, other = frame.iloc[:, place], again.iloc[:, place]
        if not _same_values(one, other, pd):
            raise NotEncodable(
                f"Parquet would change {name}: {one.dtype!r} becomes {other.dtype!r}, or values change. "
                f"{mending.way_out(one)}"
            )


def _same_index(one: Any, other: Any, pd: Any) -> bool:
    if type(one) is not type(other) or list(one.names) != list(other.names) or len(one) != len(other):
        return False
    if isinstance(one, pd.MultiIndex):
        return one.nlevels == other.nlevels and all(
            _same_values(left, right, pd) and bool((place == there).all())
            for left, right, place, there in zip(one.levels, other.levels, one.codes, other.codes, strict=True)
        )
    return getattr(one, "freq", None) == getattr(other, "freq", None) and _same_values(one, other, pd)


def _same_values(one: Any, other: Any, pd: Any) -> bool:
    """Compare two columns, or two levels of an index; gaps equal gaps of the same kind."""
    if one.dtype != other.dtype or repr(one.dtype) != repr(other.dtype):  # named zones are equal, by what they mean
        return isinstance(one.dtype, pd.CategoricalDtype) and _same_categories(one, other, pd)
    if isinstance(one.dtype, pd.CategoricalDtype):
        return _same_categories(one, other, pd)
    if one.dtype == object:
        return all(map(mending.same_object, one.tolist(), other.tolist()))
    if isinstance(one.dtype, pd.ArrowDtype):
        return equal_columns(one.array.__arrow_array__(), other.array.__arrow_array__())
    return bool(one.equals(other))


def _same_categories(one: Any, other: Any, pd: Any) -> bool:
    left, right = (values.array if hasattr(values, "array") else values for values in (one, other))
    return bool(
        isinstance(other.dtype, pd.CategoricalDtype)
        and left.ordered == right.ordered
        and left.categories.name == right.categories.name
        and _same_values(left.categories, right.categories, pd)
        and (left.codes == right.codes).all()
    )
