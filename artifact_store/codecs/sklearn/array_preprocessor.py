"""Scaling and imputing with arrays alone: what scikit-learn's preprocessors did in training, bit for bit.

Owns the arithmetic and its order, as it stands in scikit-learn 1.9.1 (``preprocessing/_data.py``,
``impute/_base.py``): a StandardScaler rounds its statistics to the dtype of the input first, a MinMaxScaler and a
RobustScaler compute in the wider of the two and round the result. Needs numpy and nothing else, and cannot be fitted.

Why: docs/decisions/0012-arrays-instead-of-pickled-scalers.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Final

from artifact_store.errors import FeatureMismatch, InvalidInput
from artifact_store.features import tables
from artifact_store.features.columns import FLOATS, INTEGERS, quote_names
from artifact_store.features.match import suggest
from artifact_store.features.row_arrays import as_array

STRATEGIES: Final = ("mean", "median", "most_frequent", "constant", "callable")
"""How the statistics of an imputer came about. Two of them leave integers as they are, as scikit-learn does."""

_KEEP_DTYPE: Final = frozenset({"most_frequent", "constant"})
_LARGEST: Final = 1 << 64
_ROWS_AND_COLUMNS: Final = 2


class _Step:
    """What every step has: arrays with a number for each column, and as many columns out as in."""

    __slots__ = ()
    arrays: ClassVar[tuple[str, ...]]
    """The names of its arrays; one may be left out, unless all are needed."""
    needs_all: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _freeze(self)

    @property
    def n_in(self) -> int:
        """How many columns it takes."""
        return next(len(array) for name in self.arrays if (array := getattr(self, name)) is not None)

    @property
    def n_out(self) -> int:
        """How many columns it makes of them."""
        return self.n_in


@dataclass(frozen=True, slots=True, eq=False)
class Standard(_Step):
    """``(x - mean) / scale``, with either of them left out where the scaler did without."""

    mean: Any = None
    scale: Any = None
    arrays: ClassVar = ("mean", "scale")

    def apply(self, rows: Any) -> Any:
        """Subtract, then divide, in the dtype of the rows."""
        made = _floats(rows)
        if self.mean is not None:
            made -= self.mean.astype(made.dtype)
        if self.scale is not None:
            made /= self.scale.astype(made.dtype)
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Robust(_Step):
    """``(x - center) / scale``, with either of them left out where the scaler did without."""

    center: Any = None
    scale: Any = None
    arrays: ClassVar = ("center", "scale")

    def apply(self, rows: Any) -> Any:
        """Subtract, then divide, each in the wider dtype and rounded to that of the rows."""
        made = _floats(rows)
        if self.center is not None:
            made -= self.center
        if self.scale is not None:
            made /= self.scale
        return made


@dataclass(frozen=True, slots=True, eq=False)
class MinMax(_Step):
    """``x * scale + offset`` (scikit-learn's ``scale_`` and ``min_``), cut off at ``clip`` if there is one."""

    scale: Any
    offset: Any
    clip: tuple[float, ...] | None = None
    arrays: ClassVar = ("scale", "offset")
    needs_all: ClassVar = True

    def __post_init__(self) -> None:
        _freeze(self)
        if self.clip is not None:
            if len(self.clip) != 2 or not all(_is_number(side) for side in self.clip):  # noqa: PLR2004 -- two sides
                raise InvalidInput(f"clip is a pair of finite numbers, not {self.clip!r}")
            object.__setattr__(self, "clip", (float(self.clip[0]), float(self.clip[1])))

    def apply(self, rows: Any) -> Any:
        """Multiply, then add, each in the wider dtype and rounded to that of the rows; then cut off."""
        import numpy as np

        made = _floats(rows)
        made *= self.scale
        made += self.offset
        if self.clip is not None:
            low, high = (np.asarray(side, dtype=made.dtype) for side in self.clip)
            np.clip(made, low, high, out=made)
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Imputer(_Step):
    """The statistic of its column in the place of values equal to ``missing`` (NaN: of NaN).

    A column whose statistic is NaN had no value in training; it is left out, unless ``keep_empty``. ``indicator``
    names the columns for which a mask of what was missing is appended. ``fill_dtype`` is the dtype of training, to
    which the statistics are rounded first; ``strategy`` says whether integers stay integers.
    """

    statistics: Any
    missing: float = math.nan
    keep_empty: bool = False
    indicator: tuple[int, ...] | None = None
    strategy: str = "mean"
    fill_dtype: str = "float64"
    arrays: ClassVar = ("statistics",)

    def __post_init__(self) -> None:
        _freeze(self)
        if not _is_number(self.missing, nan=True) or abs(self.missing) > _LARGEST:
            raise InvalidInput(f"what stands for a missing value is a finite number or NaN, not {self.missing!r}")
        if self.strategy not in STRATEGIES or self.fill_dtype not in (*FLOATS, *INTEGERS):
            raise InvalidInput(f"no imputer has the strategy {self.strategy!r} and the dtype {self.fill_dtype!r}")
        if not isinstance(self.keep_empty, bool):
            raise InvalidInput(f"keep_empty is true or false, not {self.keep_empty!r}")
        if self.indicator is not None:
            places = tuple(self.indicator)
            if not all(type(place) is int and 0 <= place < self.n_in for place in places):
                raise InvalidInput(f"indicator holds positions of the {self.n_in} columns, not {places!r}")
            object.__setattr__(self, "indicator", places)

    @property
    def n_out(self) -> int:
        """How many columns it makes of them."""
        return len(self._kept()) + len(self.indicator or ())

    def apply(self, rows: Any) -> Any:
        """Fill what is missing, leave empty columns out, append the mask."""
        import numpy as np

        found = self._checked(rows)
        if not math.isnan(self.missing):
            mask = found == self.missing
        elif found.dtype.kind == "f":
            mask = np.isnan(found)
        else:
            mask = np.zeros(found.shape, bool)
        kept = self._kept()
        values = self.statistics[kept].astype(self.fill_dtype)
        made, holes = found[:, kept], mask[:, kept]
        made[holes] = np.broadcast_to(values, made.shape)[holes]
        if self.indicator is None:
            return made
        return np.hstack((made, mask[:, list(self.indicator)]))

    def _kept(self) -> Any:
        import numpy as np

        return np.flatnonzero(~np.isnan(self.statistics) | self.keep_empty)

    def _checked(self, rows: Any) -> Any:
        import numpy as np

        if self.strategy not in _KEEP_DTYPE:
            return _floats(rows, nan=math.isnan(self.missing))
        if rows.dtype.kind not in "iuf":
            raise InvalidInput(f"the imputer fills floats and integers, not {rows.dtype}; convert them first")
        if self.strategy == "constant" and not np.can_cast(self.fill_dtype, rows.dtype, "same_kind"):
            raise InvalidInput(
                f"the imputer was fitted on {self.fill_dtype}, and its constant may not fit into {rows.dtype}; "
                f"give it {self.fill_dtype}"
            )
        _check_finite(rows, nan=math.isnan(self.missing))
        return rows


ArrayStep = Imputer | Standard | MinMax | Robust
"""``apply`` leaves the rows as they are, and raises ``InvalidInput`` for what the step takes no numbers from."""


class ArrayPreprocessor:
    """Fitted steps, one after the other: transforms as the scikit-learn object did from which it was made.

    ``steps`` are :class:`Imputer`, :class:`Standard`, :class:`MinMax` and :class:`Robust` values;
    ``feature_names_in_`` the names that training saw, or none. Never changes, so many threads may use it.
    """

    __slots__ = ("feature_names_in_", "n_features_in_", "steps")

    def __init__(self, steps: Iterable[ArrayStep], feature_names_in_: Iterable[str] | None = None) -> None:
        self.steps: tuple[ArrayStep, ...] = tuple(steps)
        if not self.steps or not all(isinstance(step, ArrayStep) for step in self.steps):
            raise InvalidInput("a preprocessor has steps, each of them an Imputer, Standard, MinMax or Robust")
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            if before.n_out != after.n_in:
                raise InvalidInput(
                    f"a {type(before).__name__} makes {before.n_out} columns, and the {type(after).__name__} after it "
                    f"takes {after.n_in}"
                )
        self.n_features_in_: int = self.steps[0].n_in
        names = None if feature_names_in_ is None else tuple(feature_names_in_)
        if names is not None and (
            len(names) != self.n_features_in_ or not all(isinstance(name, str) for name in names)
        ):
            raise InvalidInput(f"the preprocessor takes {self.n_features_in_} columns and needs a name for each")
        self.feature_names_in_: tuple[str, ...] | None = None if names is None else tuple(map(str, names))

    def __repr__(self) -> str:
        steps = " -> ".join(type(step).__name__ for step in self.steps)
        return f"<ArrayPreprocessor of {self.n_features_in_} features: {steps}>"

    @property
    def n_features_out_(self) -> int:
        """How many columns :meth:`transform` returns: an imputer may leave out some, and append others."""
        return self.steps[-1].n_out

    def transform(self, X: Any) -> Any:  # noqa: N803 -- scikit-learn's name
        """Return a new array of rows, made of an array, nested lists, or a pandas, polars or arrow table.

        Equal to what scikit-learn returns for the same input, bit for bit, dtype included: in arrays and in the plain
        columns of pandas float32 and float16 stay, and everything else becomes float64. A table has to have the names
        of training in their order, as scikit-learn asks for; ``run.features.align`` brings it there.

        Raises:
            FeatureMismatch: another number of columns, or other names.
            InvalidInput: no rows and columns of numbers, or infinities, which scikit-learn refuses as well.
        """
        rows = self._rows(X)
        for step in self.steps:
            rows = step.apply(rows)
        return rows

    def _rows(self, given: Any) -> Any:
        import numpy as np

        kind = tables.table_of(given)
        if kind is not None:
            self._check_names(kind.names(given))
        rows = as_array(given) if kind is None else _matrix(given)
        if rows.ndim != _ROWS_AND_COLUMNS:
            raise InvalidInput(
                f"a preprocessor takes rows and columns (2-D), and this is {rows.ndim}-D; "
                "a single row goes in as X.reshape(1, -1)"
            )
        if rows.shape[1] != self.n_features_in_:
            raise FeatureMismatch(f"the preprocessor was fitted on {self.n_features_in_} features; got {rows.shape[1]}")
        if rows.dtype.kind == "O":
            return _numbers(rows)
        if rows.dtype.kind not in "fiub":
            raise InvalidInput(f"a preprocessor takes numbers, and this is {rows.dtype}; convert it first")
        first = self.steps[0]
        as_it_is = isinstance(given, np.ndarray) or tables.is_a(given, "pandas", "DataFrame")
        if as_it_is or (isinstance(first, Imputer) and first.strategy in _KEEP_DTYPE):
            return rows
        return rows.astype(np.float64)

    def _check_names(self, found: list[Any]) -> None:
        names = self.feature_names_in_
        if names is None or tuple(found) == names:
            return
        missing = [name for name in names if name not in found]
        extra = [str(name) for name in found if name not in names]
        reordered = not missing and not extra
        what = [f"missing are {quote_names(missing)}"] if missing else []
        what += [f"not known to it are {quote_names(extra)}"] if extra else []
        raise FeatureMismatch(
            f"the preprocessor was fitted on other columns: {'; '.join(what) or 'these stand in another order'}. "
            "Let run.features.align(table) bring them into the form of training",
            missing=missing,
            extra=extra,
            reordered=reordered,
            suggestions=suggest(missing, extra),
        )


def _freeze(step: _Step) -> None:
    """Replace the arrays of a step with read-only copies; they have to be as long as each other.

    Raises:
        InvalidInput: one is not a list of numbers, their lengths differ, or what is needed is not there.
    """
    import numpy as np

    given = [name for name in step.arrays if getattr(step, name) is not None]
    absent = [name for name in step.arrays if name not in given]
    if not given or (absent and step.needs_all):
        raise InvalidInput(
            f"a {type(step).__name__} step needs {' or '.join(absent)}; zeros to add or subtract change nothing"
        )
    for name in given:
        array = np.array(getattr(step, name))
        if array.ndim != 1 or not len(array) or array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:  # noqa: PLR2004
            raise InvalidInput(f"{name} of a {type(step).__name__} step holds one number for each column")
        array = array.astype(array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.float64)
        array.setflags(write=False)
        object.__setattr__(step, name, array)
    if len({len(getattr(step, name)) for name in given}) > 1:
        raise InvalidInput(f"the statistics of a {type(step).__name__} step are for different numbers of columns")


def _is_number(value: Any, *, nan: bool = False) -> bool:
    """Tell whether it is a plain number, and finite (or NaN where that is allowed)."""
    if type(value) not in (int, float):
        return False
    return type(value) is int or math.isfinite(value) or (nan and math.isnan(value))


def _floats(rows: Any, *, nan: bool = True) -> Any:
    """Return a copy of the rows as scikit-learn would compute with them, after the checks that it makes."""
    import numpy as np

    made = rows.copy() if rows.dtype in (np.float64, np.float32, np.float16) else rows.astype(np.float64)
    _check_finite(made, nan=nan)
    return made


def _check_finite(rows: Any, *, nan: bool) -> None:
    import numpy as np

    wrong = np.isinf(rows) if nan else ~np.isfinite(rows)
    if wrong.any():
        row, column = (int(place[0]) for place in np.nonzero(wrong))
        what = "an infinity" if nan else "NaN or an infinity"
        raise InvalidInput(
            f"{what} in row {row}, column {column} (counted from 0): this preprocessor takes none, as in scikit-learn; "
            "replace it first"
        )


def _matrix(table: Any) -> Any:
    """Return the values of a table; those of pandas in the dtype that scikit-learn would give them."""
    import numpy as np

    if not tables.is_a(table, "pandas", "DataFrame"):
        return tables.narwhal(table).to_numpy()
    dtypes = table.dtypes.tolist()
    if not all(isinstance(dtype, np.dtype) for dtype in dtypes):
        values = tables.narwhal(table).to_numpy()
        return values if values.dtype.kind == "O" else values.astype(np.float64)
    common = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
    return table.to_numpy(dtype=common if common.kind in "fiub" else None)


def _numbers(rows: Any) -> Any:
    """Return an array of Python objects as float64, if all are numbers or none.

    Raises:
        InvalidInput: some are not; scikit-learn would read numbers out of text, which is a guess.
    """
    import numpy as np

    for value in rows.flat:
        if value is not None and not isinstance(value, Real | np.bool_):
            raise InvalidInput(f"a preprocessor takes numbers, and there is a {type(value).__name__}: convert it first")
    return rows.astype(np.float64)
