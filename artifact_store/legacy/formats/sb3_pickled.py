"""The few pickles in a zip of stable-baselines3 that hold numbers: spaces, noises, frequencies. Nothing is run.

They are read by our own reader, over its fixed list of names. What it does not read is told from the text beside it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.json_arrays import plain_array
from artifact_store.errors import ArtifactStoreError, Corrupt
from artifact_store.legacy.formats.sb3_spaces import DTYPES, read_space_text
from artifact_store.legacy.pickle_reader.limits import Limits
from artifact_store.legacy.pickle_reader.machine import Machine, loads
from artifact_store.legacy.pickle_reader.numpy_parts import numpy
from artifact_store.legacy.pickle_reader.stubs import Name, Stub

_SMALL: Final = Limits(size=32 << 20, steps=20_000)
"""For one setting, or one space: bounds of images are large."""
_NOT_READ: Final = (ArtifactStoreError, binascii.Error, ValueError, TypeError, AttributeError, LookupError)


def read_space(data: Mapping[str, Any], name: str, *, what: str, inexact: list[str]) -> dict[str, Any]:
    """Return the space ``name`` as JSON: exactly where its pickle can be read, or as the text beside it says.

    Raises:
        ArtifactStoreError: as ``read_space_text`` does.
    """
    try:
        return _space(_read(data.get(name), name, what), name)
    except _NOT_READ:
        return read_space_text(data, name, what=what, inexact=inexact)


def read_setting(described: Mapping[str, Any], name: str, what: str) -> Any:
    """Return a frequency, a noise or a number in the form of the codec, or nothing if it is neither."""
    try:
        value = _read(described, name, what)
        if isinstance(value, Stub) and value.is_a("TrainFreq"):
            number, unit = value.args
            return [number, *unit.args] if type(number) is int and number > 0 else None
        if isinstance(value, Stub):
            return _noise(value)
        return {"number": plain_array(value, name)} if value.shape == () and value.dtype.kind in "fiu" else None
    except _NOT_READ:
        return None


def read_names(described: Mapping[str, Any], name: str, what: str) -> Any:
    """Return a pickled value in which each class is its :class:`.Name`, or nothing if there is more than that in it.

    A class that was defined in the program itself is pickled with its code, and not read.
    """
    try:
        return Machine(_pickle(described), what=f"{name} in {what}", limits=_SMALL, find=_any_name).load()
    except _NOT_READ:
        return None


def _any_name(what: str, module: Any, name: Any) -> Name:
    """Return any name: it stands for itself, and nothing is made of it."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise Corrupt(f"{what} names something by a name that is not text")
    return Name(module, name)


def _read(described: Any, name: str, what: str) -> Any:
    return loads(_pickle(described), what=f"{name} in {what}", limits=_SMALL)


def _pickle(described: Any) -> bytes:
    return base64.b64decode(described[":serialized:"], validate=True)


def _noise(stub: Stub) -> dict[str, Any] | None:
    fields = stub.fields
    mean, sigma = (numpy().asarray(fields[name], dtype="float64") for name in ("_mu", "_sigma"))
    dtype = str(getattr(fields.get("_dtype"), "name", "float32"))
    record = {"mean": plain_array(mean, "mean"), "sigma": plain_array(sigma, "sigma"), "dtype": dtype}
    if stub.is_a("NormalActionNoise"):
        return {"noise": "normal", **record}
    if not stub.is_a("OrnsteinUhlenbeckActionNoise"):
        return None
    initial = fields.get("initial_noise")
    start = None if initial is None else plain_array(numpy().asarray(initial), "initial_noise")
    rates = {"theta": float(fields["_theta"]), "dt": float(fields["_dt"]), "initial_noise": start}
    return {"noise": "ornstein-uhlenbeck", **record, **rates}


def _space(stub: Any, name: str, *, nested: bool = False) -> dict[str, Any]:
    fields = stub.fields
    if stub.is_a("Box"):
        low, high = fields["low"], fields["high"]
        if low.shape != high.shape or low.dtype != high.dtype or low.dtype.name not in DTYPES:
            raise ValueError("its bounds are no numbers, or of two kinds")
        return {"type": "Box", "low": plain_array(low, name), "high": plain_array(high, name)}
    if stub.is_a("Discrete"):
        return {"type": "Discrete", "n": _whole(fields["n"]), "start": _whole(fields.get("start", 0))}
    if stub.is_a("MultiDiscrete"):
        nvec = numpy().asarray(fields["nvec"], dtype="int64")
        start = numpy().asarray(fields.get("start", nvec * 0), dtype="int64")
        return {"type": "MultiDiscrete", "nvec": plain_array(nvec, name), "start": plain_array(start, name)}
    if stub.is_a("MultiBinary"):
        n = fields["n"]
        return {"type": "MultiBinary", "n": [*map(_whole, n)] if isinstance(n, tuple | list) else _whole(n)}
    if stub.is_a("Dict") and not nested:
        parts = [[key, _space(part, f"{name}[{key!r}]", nested=True)] for key, part in fields["spaces"].items()]
        if all(isinstance(key, str) for key, _ in parts):
            return {"type": "Dict", "spaces": parts}
    raise ValueError(f"a {stub.kind} is no space that is kept")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{str(value)[:40]!r} is no whole number")
    return int(value)
