"""What is seen of an object, as JSON: types, dtypes, order, and each bit, of arrays by their digest.

Two objects are equal if the same is seen of them, in two processes. Imports no library: what is not loaded is not there.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

PLAIN = (bool, int, str, type(None), decimal.Decimal, complex)
TIMES = (dt.date, dt.time, dt.timedelta, dt.tzinfo)


def seen(value: Any) -> Any:
    """Return what is seen of an object; raise ``TypeError`` for one of which only parts can be compared."""
    kind = type(value)
    if kind in PLAIN or isinstance(value, TIMES):
        return f"{kind.__name__} {value!r}"
    if kind is float:
        return f"float {value.hex() if value == value else 'nan'}"  # noqa: PLR0124 -- NaN
    if isinstance(value, dict):
        return [f"{kind.__name__} of {len(value)}", *([seen(key), seen(part)] for key, part in value.items())]
    if isinstance(value, list | tuple | set | frozenset):
        return [f"{kind.__name__} of {len(value)}", *map(seen, value)]
    return _other(value)


def _other(value: Any) -> Any:
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if library in _LIBRARIES:
        return _LIBRARIES[library](value)
    if kind is bytes:
        return _digest("bytes", value)
    if isinstance(value, pathlib.Path):
        return _files(value)
    raise TypeError(f"of a {kind.__module__}.{kind.__qualname__} the making has to say what is compared")


def _digest(what: str, data: bytes) -> str:
    return f"{what}, {len(data)} bytes, {hashlib.sha256(data).hexdigest()[:16]}"


def _files(path: pathlib.Path) -> Any:
    if path.is_file():
        return _digest("file", path.read_bytes())
    found = sorted(item for item in path.rglob("*") if item.is_file())
    return ["folder", *([item.relative_to(path).as_posix(), _files(item)] for item in found)]


# ---------------------------------------------------------------- libraries


def _numpy(value: Any) -> Any:
    kind = type(value).__name__
    if kind != "ndarray":
        return f"{value.dtype.str} {value.tobytes().hex()}"
    if value.dtype.hasobject:
        return [f"objects {value.shape}", *map(seen, value.ravel().tolist())]
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return _digest(
        f"{value.dtype.descr if value.dtype.names else value.dtype.str} {value.shape} {order}", value.tobytes()
    )


def _torch(value: Any) -> Any:
    if not hasattr(value, "untyped_storage"):
        return repr(value)
    import torch

    bare = value.detach().cpu().contiguous()
    data = bytes(bare.reshape(-1).view(torch.uint8).tolist()) if bare.numel() else b""
    return _digest(f"{type(value).__name__} {value.dtype} {tuple(value.shape)} grad={value.requires_grad}", data)


def _scipy(value: Any) -> Any:
    names = {"csr": "data indices indptr", "csc": "data indices indptr", "bsr": "data indices indptr"}
    parts = {
        name: getattr(value, name) for name in names.get(value.format, "data offsets").split() if value.format != "coo"
    }
    if value.format == "coo":
        parts = {"data": value.data, "coords": value.coords}
    return [type(value).__name__, list(value.shape), seen(parts)]


def _pandas(value: Any) -> Any:
    for name, look in _PANDAS.items():
        if any(kind.__name__ == name for kind in type(value).__mro__):
            return look(value)
    return f"{type(value).__name__} {value!r}"


def _frame(value: Any) -> Any:
    columns = [_values(value.iloc[:, place].array) for place in range(value.shape[1])]
    about = [seen(value.attrs), value.flags.allows_duplicate_labels]
    return ["DataFrame", list(value.shape), about, _pandas(value.columns), _pandas(value.index), *columns]


def _series(value: Any) -> Any:
    about = [seen(value.name), seen(value.attrs), value.flags.allows_duplicate_labels]
    return ["Series", about, _pandas(value.index), _values(value.array)]


def _index(value: Any) -> Any:
    names = [seen(name) for name in value.names]
    if hasattr(value, "levels"):
        levels = [
            [_pandas(level), seen(list(map(int, codes)))]
            for level, codes in zip(value.levels, value.codes, strict=True)
        ]
        return ["MultiIndex", names, *levels]
    if type(value).__name__ == "RangeIndex":
        return ["RangeIndex", names, value.start, value.stop, value.step]
    return [type(value).__name__, names, str(getattr(value, "freq", None)), _values(value.array)]


def _values(array: Any) -> Any:
    """What is in a column. The class of a zone, the bits of a NaN, and what else the page says is left out."""
    if hasattr(array, "categories"):
        return ["category", bool(array.ordered), _pandas(array.categories), [int(code) for code in array.codes]]
    if hasattr(array, "__arrow_array__") and "[pyarrow]" in str(array.dtype):
        return [repr(array.dtype), seen(array.__arrow_array__().to_pylist())]
    return [repr(array.dtype), *(_element(part) for part in array)]


def _element(part: Any) -> Any:
    if type(part).__name__ in {"Timestamp", "Timedelta"}:
        return f"{part.isoformat()} {getattr(part, 'tzinfo', None)} {part.unit} {part.value}"
    if type(part).__name__ in {"NaTType", "NAType"} or part != part:  # noqa: PLR0124 -- NaN
        return f"{type(part).__name__} missing"
    return seen(part)


_PANDAS: dict[str, Callable[[Any], Any]] = {
    "DataFrame": _frame,
    "Series": _series,
    "Index": _index,
    "ExtensionArray": _values,
}


def _polars(value: Any) -> Any:
    if type(value).__name__ != "DataFrame":
        return repr(value)
    return ["polars", [[name, repr(kind)] for name, kind in value.schema.items()], _rows(value.rows())]


def _arrow(value: Any) -> Any:
    schema = value.schema.to_string(show_schema_metadata=True, show_field_metadata=True)
    return ["arrow", schema, value.num_rows, *([name, _rows(value[name].to_pylist())] for name in value.column_names)]


def _rows(values: Iterable[Any]) -> list[Any]:
    return [repr(value) for value in values]


_LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "numpy": _numpy,
    "torch": _torch,
    "scipy": _scipy,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _arrow,
}
