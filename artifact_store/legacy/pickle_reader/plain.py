"""Plain JSON values of what an old file holds beside the model: configuration, names, history.

Numpy's numbers become Python's, arrays and tuples lists, dates ISO text. Anything else is left out and named.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

_LEFT_OUT: Final = object()


def plain_dict(values: Mapping[Any, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what JSON can hold (NaN and infinities stay floats), and the names of what it cannot."""
    kept = {str(name): _plain(value) for name, value in values.items()}
    omitted = tuple(name for name, value in kept.items() if value is _LEFT_OUT)
    return {name: value for name, value in kept.items() if value is not _LEFT_OUT}, omitted


def plain_value(value: Any, default: Any = None) -> Any:
    """Return the value as JSON can hold it, or ``default``."""
    made = _plain(value)
    return default if made is _LEFT_OUT else made


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        return _LEFT_OUT if any(part is _LEFT_OUT for part in parts) else parts
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if type(value).__module__ == "numpy" and hasattr(value, "dtype") and value.dtype.kind in "biufUO":
        made = value.tolist()
        return _plain(made) if not hasattr(made, "dtype") else _LEFT_OUT
    return _LEFT_OUT


def _plain_mapping(value: Mapping[Any, Any]) -> Any:
    names = [_plain(name) for name in value]
    parts = [_plain(part) for part in value.values()]
    if any(isinstance(name, list | dict) for name in names) or any(part is _LEFT_OUT for part in (*names, *parts)):
        return _LEFT_OUT
    return dict(zip(map(str, names), parts, strict=True))
