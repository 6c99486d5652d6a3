"""The few things that pandas, polars and arrow tables do differently, behind one small interface.

What they do alike goes through ``narwhals``. A library is looked up only where the caller has already imported it:
a table of a library that is not loaded cannot exist. No method changes the table that it is given.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from artifact_store.errors import InvalidInput, Unsupported
from artifact_store.features.columns import FLOATS, NUMBERS, Category
from artifact_store.features.values import EXACT

_WORDS: Final = {"boolean": "bool", "categorical": "category", "enum": "category"}
_CLASSES: Final = {name: "Boolean" if name == "bool" else name.capitalize().replace("Uint", "UInt") for name in NUMBERS}
"""The classes of narwhals by our words."""


class Table(ABC):
    """One kind of table. Positions count columns from 0; names are unique wherever they are used."""

    def names(self, table: Any) -> list[Any]:
        """Return the column labels as they are, also doubled or without being text."""
        return list(table.columns)

    def take(self, table: Any, positions: Sequence[int]) -> Any:
        """Return the columns at these positions, in this order."""
        return narwhal(table)[:, list(positions)].to_native()

    def rename(self, table: Any, names: Sequence[str]) -> Any:
        """Return the same columns under these names."""
        return narwhal(table).rename(dict(zip(table.columns, names, strict=True))).to_native()

    @abstractmethod
    def encode(self, table: Any, codes: Mapping[str, list[int]], categories: Mapping[str, Sequence[Category]]) -> Any:
        """Return the table with some columns rebuilt from codes (-1 is missing) and ordered categories."""

    def has(self, column: Any, categories: Sequence[Category]) -> bool:  # noqa: ARG002 -- arrow: each chunk has its own
        """Tell whether the column already is what :meth:`encode` makes for these categories."""
        return False

    def not_numpy(self, table: Any) -> set[str]:  # noqa: ARG002 -- polars and arrow have one representation only
        """Return the columns whose representation has to become the library's plain one (nullable, arrow-backed)."""
        return set()

    def holds_missing(self, dtype: str) -> bool:  # noqa: ARG002 -- every column of polars and arrow has a mask
        """Tell whether a column of this dtype can hold missing values."""
        return True

    def cast(self, table: Any, dtypes: Mapping[str, str]) -> Any:
        """Return the table with some columns in other dtypes; each value was proven to fit."""
        import narwhals.stable.v2 as nw

        frame = narwhal(table)
        casts = [frame[name].cast(getattr(nw, _CLASSES[dtype])) for name, dtype in dtypes.items()]
        return frame.with_columns(casts).to_native()


class _Pandas(Table):
    """``pandas.DataFrame``: plain columns are numpy's, categorical ones unordered with exactly the trained list."""

    def take(self, table: Any, positions: Sequence[int]) -> Any:
        return table.take(list(positions), axis=1)

    def rename(self, table: Any, names: Sequence[str]) -> Any:
        return table.set_axis(list(names), axis=1)

    def encode(self, table: Any, codes: Mapping[str, list[int]], categories: Mapping[str, Sequence[Category]]) -> Any:
        import pandas as pd

        made = table.copy(deep=False)  # a column that is set anew leaves the columns of the original alone
        for name, of in codes.items():
            known: Any = pd.Index(list(categories[name]))
            made[name] = pd.Categorical.from_codes(of, categories=known, ordered=False)
        return made

    def has(self, column: Any, categories: Sequence[Category]) -> bool:
        dtype = column.dtype  # for pandas two are equal whatever the order of their categories
        known = getattr(dtype, "categories", None)
        return known is not None and not dtype.ordered and known.tolist() == list(categories)

    def not_numpy(self, table: Any) -> set[str]:
        return {name for name, dtype in table.dtypes.items() if type(dtype).__module__.partition(".")[0] != "numpy"}

    def holds_missing(self, dtype: str) -> bool:
        return dtype.startswith("float")

    def cast(self, table: Any, dtypes: Mapping[str, str]) -> Any:
        kinds = set(dtypes.values())
        if len(kinds) == 1 and len(dtypes) == table.shape[1]:  # a hundred times faster than column by column
            return table.astype(kinds.pop())
        return table.astype(dict(dtypes))


@cache
def _polars_words() -> dict[Any, str]:
    import polars as pl

    return {getattr(pl, name)(): word for word, name in _CLASSES.items() if hasattr(pl, name)}


class _Polars(Table):
    """``polars.DataFrame``: text categories as ``Enum`` in the trained order; polars has no such type for integers.

    They stay integers, which a model would take for codes, so no model is given them; see :func:`to_pandas`.
    """

    def numbers(self, table: Any) -> tuple[str | None, ...]:
        """Return our words for the dtypes of the columns, ``None`` for what is not a number."""
        return tuple(map(_polars_words().get, table.dtypes))

    def encode(self, table: Any, codes: Mapping[str, list[int]], categories: Mapping[str, Sequence[Category]]) -> Any:
        import polars as pl

        made = []
        for name, of in codes.items():
            known = categories[name]
            kind = pl.Int64() if isinstance(known[0], int) else pl.Enum([str(value) for value in known])
            made.append(pl.Series(name, [known[code] if code >= 0 else None for code in of], dtype=kind))
        return table.with_columns(made)

    def has(self, column: Any, categories: Sequence[Category]) -> bool:
        dtype = column.dtype
        return type(dtype).__name__ == "Enum" and dtype.categories.to_list() == list(categories)


class _Arrow(Table):
    """``pyarrow.Table``: categories as a dictionary in the trained order, so the indices are the trained codes.

    Some names may be there twice, which narwhals refuses.
    """

    def names(self, table: Any) -> list[Any]:
        return list(table.column_names)

    def take(self, table: Any, positions: Sequence[int]) -> Any:
        return table.select(list(positions))

    def rename(self, table: Any, names: Sequence[str]) -> Any:
        return table.rename_columns(list(names))

    def cast(self, table: Any, dtypes: Mapping[str, str]) -> Any:
        import pyarrow as pa

        for name, dtype in dtypes.items():
            place = table.column_names.index(name)
            column = table.column(place)
            if pa.types.is_float16(column.type) or pa.types.is_boolean(column.type):
                column = column.cast(pa.float32())  # which holds both, and knows the way to all others
            target = getattr(pa, "bool_" if dtype == "bool" else dtype)()
            table = table.set_column(place, name, column.cast(target, safe=False))  # safe: no large integer to a float
        return table

    def encode(self, table: Any, codes: Mapping[str, list[int]], categories: Mapping[str, Sequence[Category]]) -> Any:
        import pyarrow as pa

        for name, of in codes.items():
            indices = pa.array([code if code >= 0 else None for code in of], pa.int32())
            column = pa.DictionaryArray.from_arrays(indices, pa.array(list(categories[name])))
            table = table.set_column(table.column_names.index(name), name, column)
        return table


PANDAS: Final = _Pandas()
POLARS: Final = _Polars()
_TABLES: Final[tuple[tuple[str, str, Table], ...]] = (
    ("pandas", "DataFrame", PANDAS),
    ("polars", "DataFrame", POLARS),
    ("pyarrow", "Table", _Arrow()),
)


def table_of(value: Any) -> Table | None:
    """Return how to handle this table, or None if it is not a table."""
    return next((table for module, name, table in _TABLES if is_a(value, module, name)), None)


def is_struct(value: Any) -> bool:
    """Tell whether this is a record batch, or a column whose values are rows with names."""
    if type(value).__module__.partition(".")[0] not in {"pyarrow", "polars"}:
        return False
    if any(is_a(value, "pyarrow", name) for name in ("RecordBatch", "StructArray")):
        return True
    if is_a(value, "pyarrow", "ChunkedArray"):
        return str(value.type).startswith("struct<")
    return is_a(value, "polars", "Series") and str(value.dtype).startswith("Struct")


def adopt(value: Any) -> Any:
    """Return what :func:`is_struct` knows as the table of its library; a missing row becomes one of missing values."""
    if is_a(value, "polars", "Series"):
        return value.struct.unnest()
    import pyarrow as pa

    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    return pa.table(value.flatten(), names=[field.name for field in value.type])


def is_a(value: Any, module: str, name: str) -> bool:
    """Tell whether ``value`` is of a class of a library, without importing the library."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name, ()))


def narwhal(table: Any) -> Any:
    """Return a pandas, polars or arrow table as narwhals' ``DataFrame``."""
    import narwhals.stable.v2 as nw

    return nw.from_native(table, eager_only=True)


def word(dtype: Any) -> str:
    """Return our word for a narwhals dtype, or narwhals' own where we have none."""
    text = str(dtype).partition("(")[0].lower()
    known = _WORDS.get(text, text)
    return known if known in (*NUMBERS, "string", "category") else str(dtype)


def own_word(column: Any, dtype: str) -> str:
    """Return what the library itself calls the dtype of a column that narwhals does not know, or ``dtype``."""
    native = column.to_native()
    return str(getattr(native, "dtype", getattr(native, "type", dtype))) if dtype == "Unknown" else dtype


def to_pandas(table: Any, codes: Mapping[str, list[int]], categories: Mapping[str, Sequence[Category]]) -> Any:
    """Return a polars or arrow table of numbers and text as pandas: NaN where a number is missing.

    The columns with ``codes`` become categorical, as :meth:`Table.encode` makes them, whatever they hold.

    Raises:
        Unsupported: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        held = f"{sorted(codes)[:10]} hold categories" if codes else "text was missing as NaN, or NA, in training"
        raise Unsupported(f"{held}, which models take in a pandas table only: pip install pandas pyarrow") from error
    frame = narwhal(table)
    made = {name: None if name in codes else _plain(frame[name]) for name in frame.columns}
    return PANDAS.encode(pd.DataFrame(made, index=range(len(frame))), codes, categories)


def _plain(column: Any) -> Any:
    import narwhals.stable.v2 as nw

    kind = word(column.dtype)
    if kind == "string":
        return column.to_list()
    holed = kind not in FLOATS and column.null_count() > 0
    return (column.cast(nw.Float64()) if holed else column).to_numpy()


def replace_columns(table: Any, columns: Mapping[str, tuple[list[Any], str]]) -> Any:
    """Return the table with other columns in the place of some: their values, ``None`` where missing, and a dtype."""
    import narwhals.stable.v2 as nw

    frame = narwhal(table)
    made = [
        nw.new_series(name, values, getattr(nw, _CLASSES.get(dtype, "String"))(), backend=frame.implementation)
        for name, (values, dtype) in columns.items()
    ]
    return frame.with_columns(made).to_native()


def add_constants(table: Any, values: Mapping[str, Any], dtypes: Mapping[str, str | None]) -> Any:
    """Return the table with constant columns added. ``None`` is the missing value of the dtype."""
    import narwhals.stable.v2 as nw

    made = []
    for name, value in values.items():
        if value is None and dtypes[name] == "string":
            constant = nw.lit(None, nw.String())
        else:
            constant = nw.lit(float("nan") if value is None else value)
        made.append(constant.alias(name))
    return narwhal(table).with_columns(made).to_native()


def describe_table(table: Any) -> tuple[list[str], dict[str, str], dict[str, list[Any]]]:
    """Return the names, dtypes and categories of a table.

    A polars ``Categorical`` does not hold a list of its own, so its categories are the values present, sorted;
    an ``Enum`` and the categorical columns of pandas and arrow keep their lists.

    Raises:
        InvalidInput: this is not a table; a column name is not text or not unique; a dtype is not supported.
    """
    kind = table_of(table)
    if kind is None:
        raise InvalidInput(f"{type(table).__name__} is not a table that we know: give a pandas, polars or arrow one")
    names = kind.names(table)
    invalid = [name for name in names if not isinstance(name, str)]
    if invalid or len(set(names)) < len(names):
        raise InvalidInput(
            f"the columns of a training table need text for names, each only once; rename {invalid[:3] or names[:10]}"
        )
    frame = narwhal(table)
    dtypes = {name: word(dtype) for name, dtype in frame.schema.items()}
    unfit = {
        name: own_word(frame[name], dtype)
        for name, dtype in dtypes.items()
        if dtype not in (*NUMBERS, "string", "category")
    }
    for name in kind.not_numpy(table):  # an arrow dictionary in pandas is categorical and has no list of its own
        if dtypes[name] == "category" and not hasattr(table[name].dtype, "categories"):
            unfit[name] = str(table.dtypes[name])
    if unfit:
        shown = ", ".join(f"{name!r} is {dtype}" for name, dtype in list(unfit.items())[:10])
        raise InvalidInput(f"features are numbers, text or categories, but {shown}; convert or drop these columns")
    categories = {name: _categories(frame[name]) for name, dtype in dtypes.items() if dtype == "category"}
    return names, dtypes, categories


def _categories(column: Any) -> list[Any]:
    """Return the list as the table has it; whole numbers that gaps had turned into floats are whole again."""
    if str(column.dtype) == "Categorical" and is_a(column.to_native(), "polars", "Series"):
        return sorted(column.drop_nulls().unique().to_list())
    values: list[Any] = column.cat.get_categories().drop_nulls().to_list()
    whole = all(isinstance(value, float) and value.is_integer() and abs(value) < EXACT["float64"] for value in values)
    return [int(value) for value in values] if whole else values
