"""The names that an old pickle may use, and what is made of each: an exact allow list, never imported.

A name is a module and a name without a dot, compared as two texts. What stands here is either rebuilt by our own code
from plain values, or becomes an inert :class:`~artifact_store.legacy.pickle_reader.stubs.Stub`. Everything else is
``RiskRefused`` by name, and what does not fit its place is ``Corrupt``.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from artifact_store.errors import Corrupt
from artifact_store.legacy.pickle_reader import numpy_parts
from artifact_store.legacy.pickle_reader.stubs import Name, Stub, Unbuilt, refused

Make = Callable[[tuple[Any, ...]], Any]


def find_name(what: str, module: Any, name: Any) -> Name:
    """Return the name, if it is in the list."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise Corrupt(f"{what} names something by a name that is not text")
    found = _KNOWN.get((module, name))
    if found is None:
        raise refused(what, f"names {module[:100]}.{name[:100]}")
    return found


def call_name(what: str, function: Any, args: Any) -> Any:
    """Return what ``function(*args)`` would return, if this package has its own code for it."""
    if not isinstance(args, tuple):
        raise Corrupt(f"{what} calls something with arguments that are not a tuple")
    if isinstance(function, Name) and function in _MAKERS:
        return _MAKERS[function](args)
    if isinstance(function, Name) and function in _INERT:
        return Stub(function, args)
    raise refused(what, f"calls {function if isinstance(function, Name) else type(function).__name__}")


def new_stub(what: str, kind: Any, args: Any) -> Stub:
    """Make the inert object that stands for one of a class of a library."""
    if not isinstance(kind, Name) or kind not in _INERT or not isinstance(args, tuple):
        raise refused(what, f"makes an object of {kind if isinstance(kind, Name) else type(kind).__name__}")
    return Stub(kind, args)


# ---------------------------------------------------------------- made by our own code


def _bytes(args: tuple[Any, ...]) -> bytes:
    if args:
        raise Corrupt("bytes made from something else")
    return b""


def _encoded(args: tuple[Any, ...]) -> bytes:
    """Bytes as protocols 0 to 2 spell them."""
    spelled = len(args) == 2 and isinstance(args[0], str) and args[1] in ("latin1", "latin-1")  # noqa: PLR2004
    if spelled:
        with suppress(UnicodeEncodeError):  # by the encoder: a loop over the characters would be slow
            return bytes(args[0], "latin-1")
    raise Corrupt("bytes that are not spelled as latin-1")


def _bytearray(args: tuple[Any, ...]) -> bytearray:
    if len(args) == 2:  # noqa: PLR2004 -- as protocols 0 to 2 spell it
        return bytearray(_encoded(args))
    if len(args) > 1 or not all(isinstance(part, bytes) for part in args):
        raise Corrupt("a bytearray that is not made from bytes")
    return bytearray(*args)


def _members(args: tuple[Any, ...]) -> list[Any]:
    if len(args) > 1 or not all(isinstance(part, list) for part in args):
        raise Corrupt("a set that is not made from a list")
    return [checked_key(member) for part in args for member in part]


def _complex(args: tuple[Any, ...]) -> complex:
    if len(args) != 2 or not all(isinstance(part, float) for part in args):  # noqa: PLR2004
        raise Corrupt("a complex number that is not made from two floats")
    return complex(*args)


def _ordered(args: tuple[Any, ...]) -> OrderedDict[Any, Any]:
    pairs = args[0] if args else []
    is_list = len(args) < 2 and isinstance(pairs, list)  # noqa: PLR2004
    if not is_list or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):  # noqa: PLR2004
        raise Corrupt("an ordered dict that is not made from a list of pairs")
    return OrderedDict((checked_key(key), value) for key, value in pairs)


def _default(args: tuple[Any, ...]) -> dict[Any, Any]:
    """A plain dict: the default of missing keys was of use in training only."""
    if len(args) > 1 or not all(part is None or isinstance(part, Name) for part in args):
        raise Corrupt("a defaultdict that is not made from a class")
    return {}


def _from_clock(kind: Callable[..., Any], size: int) -> Make:
    def make(args: tuple[Any, ...]) -> Any:
        packed = args[0] if args else None
        if isinstance(packed, str):  # a pickle of Python 2
            packed = _encoded((packed, "latin-1"))
        zone = args[1:]
        if not isinstance(packed, bytes) or len(packed) != size or len(zone) > 1:
            raise Corrupt(f"a {kind.__name__} of another size")
        if not all(isinstance(part, dt.timezone) for part in zone):
            raise Corrupt(f"a {kind.__name__} with an invalid time zone")
        return _checked(kind, packed, *zone)

    return make


def _timedelta(args: tuple[Any, ...]) -> Any:
    if len(args) > 3 or not all(type(part) is int for part in args):  # noqa: PLR2004
        raise Corrupt("a timedelta that is not made from whole numbers")
    return _checked(dt.timedelta, *args)


def _timezone(args: tuple[Any, ...]) -> Any:
    kinds = (dt.timedelta, str)
    if not 1 <= len(args) <= 2 or not all(isinstance(part, kind) for part, kind in zip(args, kinds, strict=False)):  # noqa: PLR2004
        raise Corrupt("a timezone that is not made from a timedelta")
    return _checked(dt.timezone, *args)


def _checked(kind: Callable[..., Any], *args: Any) -> Any:
    try:
        return kind(*args)
    except (TypeError, ValueError, OverflowError) as error:
        raise Corrupt(f"an invalid {kind.__name__}: {error}") from error


def _object(args: tuple[Any, ...]) -> Stub:
    """An object of a library's class, as protocols 0 and 1 spell it."""
    kind = args[0] if args and isinstance(args[0], Name) else None  # others may take for ever to print
    if len(args) != 3 or kind not in _INERT or args[1:] != (Name("builtins", "object"), None):  # noqa: PLR2004
        raise refused("an object of", str(kind or "no class"))
    return Stub(kind)


def checked_key(key: Any) -> Any:
    """Return the key of a dict or the member of a set, if hashing and comparing it is cheap."""
    parts = key if isinstance(key, tuple | frozenset) and len(key) <= 64 else (key,)  # noqa: PLR2004
    if not all(_is_plain(part) for part in parts):
        raise Corrupt(f"a {type(key).__name__} as the key of a dict or in a set")
    return key


def _is_plain(key: Any) -> bool:
    if key is None or isinstance(key, str | bytes | int | float | complex | dt.date | dt.timedelta):
        return True
    return hasattr(key, "dtype") and getattr(key, "shape", None) == () and key.dtype.kind in "biufcSU"


# ---------------------------------------------------------------- the list


def _names(modules: str, names: str) -> Iterable[Name]:
    return (Name(module, name) for module in modules.split() for name in names.split())


_MULTIARRAY = "numpy.core.multiarray numpy._core.multiarray"
_NUMERIC = "numpy.core.numeric numpy._core.numeric"
_BUILTINS = "builtins __builtin__"

_MAKERS: Final[dict[Name, Make]] = {
    **dict.fromkeys(_names(_BUILTINS, "bytes"), _bytes),
    **dict.fromkeys(_names(_BUILTINS, "bytearray"), _bytearray),
    **dict.fromkeys(_names(_BUILTINS, "set"), lambda args: set(_members(args))),
    **dict.fromkeys(_names(_BUILTINS, "frozenset"), lambda args: frozenset(_members(args))),
    **dict.fromkeys(_names(_BUILTINS, "complex"), _complex),
    Name("_codecs", "encode"): _encoded,
    Name("collections", "OrderedDict"): _ordered,
    Name("collections", "defaultdict"): _default,
    Name("copyreg", "_reconstructor"): _object,
    Name("copy_reg", "_reconstructor"): _object,
    Name("datetime", "date"): _from_clock(dt.date, 4),
    Name("datetime", "time"): _from_clock(dt.time, 6),
    Name("datetime", "datetime"): _from_clock(dt.datetime, 10),
    Name("datetime", "timedelta"): _timedelta,
    Name("datetime", "timezone"): _timezone,
    Name("numpy", "dtype"): lambda args: Unbuilt(numpy_parts.dtype_of(args)),
    **dict.fromkeys(_names(_MULTIARRAY, "_reconstruct"), numpy_parts.empty_array),
    **dict.fromkeys(_names(_MULTIARRAY, "scalar"), numpy_parts.scalar_of),
    **dict.fromkeys(_names(_NUMERIC, "_frombuffer"), numpy_parts.from_buffer),
}

ARRAY_IN_FILE: Final = Name("joblib.numpy_pickle", "NumpyArrayWrapper")

_INERT: Final = frozenset(
    {
        ARRAY_IN_FILE,
        *_names("sklearn.preprocessing._data sklearn.preprocessing.data", "StandardScaler MinMaxScaler RobustScaler"),
        *_names("sklearn.impute sklearn.impute._base", "SimpleImputer MissingIndicator"),
        *_names("sklearn.pipeline", "Pipeline"),
        *_names("sklearn.preprocessing._label sklearn.preprocessing.label", "LabelEncoder"),
        *_names("lightgbm.sklearn", "LGBMModel LGBMRegressor LGBMClassifier LGBMRanker"),
        *_names("lightgbm.basic", "Booster"),
        *_names("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"),
        *_names("stable_baselines3.common.running_mean_std", "RunningMeanStd"),
        *_names("stable_baselines3.common.noise", "NormalActionNoise OrnsteinUhlenbeckActionNoise"),
        *_names("stable_baselines3.common.type_aliases", "TrainFreq TrainFrequencyUnit"),
        *_names("gym.spaces.box gymnasium.spaces.box", "Box"),
        *_names("gym.spaces.discrete gymnasium.spaces.discrete", "Discrete"),
        *_names("gym.spaces.multi_discrete gymnasium.spaces.multi_discrete", "MultiDiscrete"),
        *_names("gym.spaces.multi_binary gymnasium.spaces.multi_binary", "MultiBinary"),
        *_names("gym.spaces.dict gymnasium.spaces.dict", "Dict"),
        *_names("gym.spaces.tuple gymnasium.spaces.tuple", "Tuple"),
        *_names("numpy.random._pickle", "__generator_ctor __bit_generator_ctor __randomstate_ctor"),
        *_names("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    }
)
_MENTIONED: Final = frozenset(
    {
        *_names(_BUILTINS, "object int float bool str list dict tuple"),
        *_names(
            "numpy", "ndarray memmap bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"
        ),
        *_names("numpy.random.bit_generator", "SeedSequence"),
        *_names("numpy.random._pcg64", "PCG64 PCG64DXSM"),
        *_names("numpy.random._mt19937", "MT19937"),
        *_names("numpy.random._philox", "Philox"),
        *_names("numpy.random._sfc64", "SFC64"),
    }
)
"""Names that may stand as a value, and that nothing is made of."""

_OF_PYTHON_2: Final = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_KNOWN: Final = {
    (name.module, name.name): Name(_OF_PYTHON_2.get(name.module, name.module), name.name)
    for name in (*_MAKERS, *_INERT, *_MENTIONED)
}
