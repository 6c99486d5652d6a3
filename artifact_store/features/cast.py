"""Give every column the dtype and the categories of training where that is exact, and refuse where it is not.

A cast is made only if every value survives it. The one exception is a float that becomes a narrower float, which is
what training did to it; even then no finite number may become an infinity. A wider float does not bring back digits
that were lost before: float32 data for a model of float64 is cast, and stays as coarse as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from artifact_store.errors import FeatureMismatch
from artifact_store.features.columns import FLOATS, INTEGERS, NUMBERS, Columns, quote_names
from artifact_store.features.tables import Table, narwhal, own_word, to_pandas, word
from artifact_store.features.values import NoCategory, codes_of


def conform(
    columns: Columns, table: Any, kind: Table, *, problems: Mapping[str, tuple[str, str]], as_pandas: bool = False
) -> Any:
    """Return a table that has exactly the trained columns with their dtypes and categories.

    ``problems`` are what was found wrong with it before. ``as_pandas`` makes a pandas table of one of another library;
    a gap in whole numbers becomes NaN there.

    Raises:
        FeatureMismatch: a column cannot be had in its dtype without changing a value (``.dtype`` says which), or
            holds a category that was not there in training.
        Unsupported: ``as_pandas``, and pandas is not installed.
    """
    frame = narwhal(table)
    found = {name: word(dtype) for name, dtype in frame.schema.items()}
    not_numpy = kind.not_numpy(table)
    problems = dict(problems)
    casts: dict[str, str] = {}
    for name, have in found.items():
        want = columns.dtypes.get(name)
        if want == "category" or name in problems:
            continue
        if want in (None, "string") or have not in NUMBERS:
            if have not in ((want,) if want else NUMBERS):
                problems[name] = (want or "a number", own_word(frame[name], have))
        elif have != want or name in not_numpy:
            casts[name] = str(want)
    problems.update(_inexact(frame, found, casts, kind))
    if as_pandas:
        problems.update(_too_large_for_gaps(frame, {**found, **casts}))
    codes, unseen = _all_codes(columns, frame, kind, problems, again=as_pandas)
    report(problems, unseen, columns)
    if casts:
        table = kind.cast(table, casts)
    if as_pandas:
        return to_pandas(table, codes, columns.categories)
    return kind.encode(table, codes, columns.categories) if codes else table


def is_exact(values: Any, dtype: str) -> bool:
    """Tell whether every value of a numpy array survives a cast; a float may lose digits to a narrower float."""
    import numpy as np

    target = np.dtype(dtype)
    if values.size == 0 or values.dtype.kind == "b" or _widens(values.dtype.name, dtype):
        return True
    if target.kind == "b":
        return bool(((values == 0) | (values == 1)).all())
    with np.errstate(all="ignore"):
        cast = values.astype(target) if target.kind == "f" else values
    if values.dtype.kind == "f":
        if target.kind == "f":
            return bool((np.isfinite(cast) | ~np.isfinite(values)).all())
        if not (np.isfinite(values) & (np.floor(values) == values)).all():
            return False
    if target.kind == "f":
        return _same_integers(values, cast)
    limits = np.iinfo(target)
    return limits.min <= int(values.min()) and int(values.max()) <= limits.max


_BLOCK = 1 << 15  # numbers, of which both forms stay in the cache of a core


def narrowed(values: Any, dtype: str) -> Any | None:
    """Return floats as narrower ones, in one pass; ``None`` where it takes a closer look (:func:`is_exact`)."""
    import numpy as np

    if values.dtype.kind != "f" or not dtype.startswith("float") or not values.flags.c_contiguous:
        return None
    made = np.empty_like(values, dtype=dtype)
    source, target = values.reshape(-1), made.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, source.size, _BLOCK):
            block = target[start : start + _BLOCK]
            np.copyto(block, source[start : start + _BLOCK], casting="same_kind")
            if not np.isfinite(block).all():
                return None
    return made


def _same_integers(values: Any, cast: Any) -> bool:
    import numpy as np

    limits = np.iinfo(values.dtype)
    wide = cast.astype(np.float64)
    inside = (wide >= limits.min) & (wide < float(limits.max) + 1)  # beyond that a cast back is undefined
    return bool(inside.all()) and bool((cast.astype(values.dtype) == values).all())


def _inexact(frame: Any, found: Mapping[str, str], casts: Mapping[str, str], kind: Table) -> dict[str, tuple[str, str]]:
    problems = {}
    for name, want in casts.items():
        if _widens(found[name], want) and kind.holds_missing(want):
            continue
        column = frame[name]
        holes = column.null_count() > 0 and not kind.holds_missing(want)
        if holes or not is_exact(column.drop_nulls().to_numpy(), want):
            problems[name] = (want, f"{found[name]} with missing values" if holes else found[name])
    return problems


def _too_large_for_gaps(frame: Any, dtypes: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the columns of whole numbers that NaN in the place of a gap would round."""
    holed = {name: dtype for name, dtype in dtypes.items() if dtype in INTEGERS and frame[name].null_count()}
    return {
        name: (dtype, f"{dtype} with missing values, and whole numbers from 2**53 on that no float holds")
        for name, dtype in holed.items()
        if not is_exact(frame[name].drop_nulls().to_numpy(), "float64")
    }


@lru_cache(maxsize=256)
def _widens(have: str, want: str) -> bool:
    import numpy as np

    whole = not (have.endswith("int64") and want == "float64")  # numpy calls that safe; above 2**53 it is not
    return whole and np.can_cast(have, want, "safe")


def _all_codes(
    columns: Columns, frame: Any, kind: Table, problems: dict[str, tuple[str, str]], *, again: bool
) -> tuple[dict[str, list[int]], dict[str, list[object]]]:
    """Return the codes of all columns of categories (``again``), or of those only that are not as they should be."""
    made: dict[str, list[int]] = {}
    unseen: dict[str, list[object]] = {}
    for name, categories in columns.categories.items():
        column = frame[name]
        if not again and kind.has(column.to_native(), categories):
            continue
        dtype = word(column.dtype)
        values = [None if hole else value for value, hole in zip(column.to_list(), column.is_null(), strict=True)]
        try:
            made[name], new = codes_of(values, categories, dtype)
        except NoCategory as wrong:
            problems[name] = (f"category ({type(categories[0]).__name__})", f"{dtype} ({wrong})")
            continue
        if new and columns.unseen == "refuse":
            unseen[name] = new
    return made, unseen


def report(problems: Mapping[str, tuple[str, str]], unseen: Mapping[str, list[object]], columns: Columns) -> None:
    """Raise ``FeatureMismatch`` if there are columns of the wrong dtype, or categories unseen in training."""
    if problems:
        shown = "; ".join(
            f"{name!r}: expected {want}, found {have}" for name, (want, have) in list(problems.items())[:10]
        )
        raise FeatureMismatch(
            f"{len(problems)} of {len(columns.names)} columns cannot be converted to the trained dtype without "
            f"changing a value: {shown}. Convert them as it was done in training",
            dtype=problems,
        )
    if unseen:
        shown = "; ".join(
            f"{name!r} holds {quote_names(values, most=5)} (trained: {quote_names(columns.categories[name], most=5)})"
            for name, values in unseen.items()
        )
        raise FeatureMismatch(
            f'a category was not there in training: {shown}. Map it, or train with unseen="missing"',
            dtype={name: ("a trained category", quote_names(values, most=5)) for name, values in unseen.items()},
        )


def check_values(columns: Columns, table: Any, names: Sequence[str]) -> None:
    """Raise if the named columns hold what the policy for NaN and infinities refuses.

    Raises:
        FeatureMismatch: with the column, how many rows, and the first of them.
    """
    import numpy as np

    whole = (table if hasattr(table, "to_numpy") else narwhal(table)).to_numpy()
    if whole.dtype.kind in "iub" or (whole.dtype.kind == "f" and np.isfinite(whole).all()):
        return
    frame = narwhal(table)
    for name in names:
        column = frame[name]
        holes = column.is_null().to_numpy().astype(bool)
        values = column.to_numpy() if word(column.dtype) in FLOATS else np.zeros(len(column))
        refuse(columns, name, holes | np.isnan(values), np.isinf(values))


def check_array(columns: Columns, array: Any) -> None:
    """Raise if an array, whose last axis is the features, holds what the policy refuses.

    Raises:
        FeatureMismatch: with the column, how many rows, and the first of them.
    """
    import numpy as np

    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    flat = array.reshape(-1, array.shape[-1])
    named = len(columns.names) == flat.shape[1]
    for place in range(flat.shape[1]):
        name = columns.names[place] if named else f"column {place}"
        refuse(columns, name, np.isnan(flat[:, place]), np.isinf(flat[:, place]))


def refuse(columns: Columns, name: str, holes: Any, infinite: Any) -> None:
    """Raise if one of these two masks over the rows of a column is set and the policy refuses that."""
    for policy, mask, what in ((columns.nan, holes, "NaN or a missing value"), (columns.inf, infinite, "an infinity")):
        if policy == "refuse" and mask.any():
            raise FeatureMismatch(
                f"{name!r} holds {what} in {int(mask.sum())} of {mask.size} rows (first in row {int(mask.argmax())}, "
                "counted from 0), and this model must not be given any; fill or drop the rows"
            )
