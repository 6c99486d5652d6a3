"""The values of stable-baselines3's settings as JSON: numbers, names from fixed tables, never a function or a class.

Refused, on both sides, are values of another kind than the setting has, an activation, optimiser or features extractor
of one's own, and a schedule that is a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from artifact_store.codecs.files import field, import_library
from artifact_store.codecs.json_arrays import plain_array, plain_float, read_array, read_float
from artifact_store.codecs.torch.trees import pack, unpack
from artifact_store.core.codec import JSON, Codec
from artifact_store.errors import Corrupt, NotEncodable

ACTIVATIONS: Final = (
    *("Tanh", "ReLU", "ELU", "LeakyReLU", "SELU", "GELU", "SiLU", "Mish", "CELU", "ReLU6", "PReLU", "RReLU"),
    *("Sigmoid", "LogSigmoid", "Softplus", "Softsign", "Softshrink", "Hardtanh", "Hardsigmoid", "Hardswish"),
    *("Hardshrink", "Tanhshrink", "Identity"),
)
OPTIMIZERS: Final = (
    *("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "SGD", "ASGD", "Rprop"),
    "RMSpropTFLike",
)
EXTRACTORS: Final = ("FlattenExtractor", "NatureCNN", "CombinedExtractor")

_NESTED: Final = {
    "extractor settings": {"features_dim": "integer", "cnn_output_dim": "integer", "normalized_image": "switch"},
    "buffer settings": {"handle_timeout_termination": "switch"},
}
_NAMES: Final = {
    "activation": ("torch.nn", ACTIVATIONS),
    "optimizer": ("torch.optim", OPTIMIZERS),
    "extractor": ("stable_baselines3.common.torch_layers", EXTRACTORS),
}
MOST_ENVIRONMENTS: Final = 1 << 16
"""More were never trained in side by side, and a noise or a matrix would be made for each."""
_TF_LIKE: Final = "stable_baselines3.common.sb2_compat.rmsprop_tf_like"


def plain_settings(codec: Codec, values: Mapping[str, Any], kinds: Mapping[str, str], what: str) -> dict[str, JSON]:
    """Return settings as JSON, each of the kind that ``kinds`` says; one that ends in ``?`` may be None.

    Raises:
        NotEncodable: one that is not known, or whose value is a function, a class of one's own, or of another kind.
    """
    unknown = sorted(map(str, {*values} - {*kinds}))
    if unknown:
        raise NotEncodable(f"{what} has {', '.join(unknown)}, which the codec {codec.name} does not know")
    plain: dict[str, JSON] = {}
    for name, value in values.items():
        kind = kinds[name]
        none = value is None and kind.endswith("?")
        plain[name] = None if none else _PLAIN[kind.removesuffix("?")](codec, value, f"{what}[{name!r}]")
    return plain


def read_plain_settings(codec: Codec, record: Mapping[str, Any], kinds: Mapping[str, str], what: str) -> dict[str, Any]:
    """Return what :func:`plain_settings` was given, with the classes for the names in it.

    Raises:
        Corrupt: there is something else.
    """
    unknown = sorted(map(str, {*record} - {*kinds}))
    if unknown:
        raise Corrupt(f"{what} is recorded with unknown names: {', '.join(unknown)[:80]}")
    values: dict[str, Any] = {}
    for name, part in record.items():
        kind = kinds[name]
        none = part is None and kind.endswith("?")
        values[name] = None if none else _READ[kind.removesuffix("?")](codec, part, f"{what}[{name!r}]")
    return values


def _no(kind: str, value: object, what: str) -> NotEncodable:
    return NotEncodable(f"{what} is {str(value)[:60]!r}, which is not a valid {kind}: give a plain Python value")


def _corrupt(kind: str, record: object, what: str) -> Corrupt:
    return Corrupt(f"{what} is recorded as {str(record)[:60]!r}, which is not a valid {kind}")


# ---------------------------------------------------------------- numbers, switches, words


def _plain_switch(_: Codec, value: Any, what: str) -> bool:
    if type(value) is not bool:
        raise _no("switch", value, what)
    return value


def _read_switch(_: Codec, record: Any, what: str) -> bool:
    if not isinstance(record, bool):
        raise _corrupt("switch", record, what)
    return record


def _is_integer(value: Any) -> bool:
    return type(value) is int or (
        type(value).__module__ == "numpy" and str(getattr(value, "dtype", "")).startswith("int")
    )


def _plain_integer(_: Codec, value: Any, what: str) -> int:
    if not _is_integer(value):
        raise _no("integer", value, what)
    return int(value)


def _read_integer(_: Codec, record: Any, what: str) -> int:
    if type(record) is not int:
        raise _corrupt("integer", record, what)
    return record


def _plain_number(_: Codec, value: Any, what: str) -> Any:
    """Return a number as JSON; one of numpy's keeps its dtype, since arithmetic with it has another precision."""
    if type(value) in (int, float):
        return plain_float(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return {"number": plain_array(value, what)}
    raise _no("number", value, what)


def _read_number(_: Codec, record: Any, what: str) -> Any:
    if isinstance(record, dict) and {*record} == {"number"}:
        return read_array(record["number"], what)[()]
    return read_float(record, what)


def _plain_entropy(codec: Codec, value: Any, what: str) -> Any:
    return value if type(value) is str and value.startswith("auto") else _plain_number(codec, value, what)


def _read_entropy(codec: Codec, record: Any, what: str) -> Any:
    return record if isinstance(record, str) and record.startswith("auto") else _read_number(codec, record, what)


def _plain_frequency(_: Codec, value: Any, what: str) -> list[JSON]:
    if type(value).__name__ != "TrainFreq" or not _is_integer(value.frequency):
        raise _no("frequency", value, what)
    return [int(value.frequency), str(value.unit.value)]


def _read_frequency(_: Codec, record: Any, what: str) -> tuple[int, str]:
    if not isinstance(record, list) or len(record) != 2 or type(record[0]) is not int:  # noqa: PLR2004 -- number, unit
        raise _corrupt("frequency", record, what)
    return record[0], str(record[1])


# ---------------------------------------------------------------- schedules and noise


def _plain_schedule(codec: Codec, value: Any, what: str) -> Any:
    utils = import_library("stable_baselines3.common.utils", codec)
    if type(value) is utils.FloatSchedule:
        value = value.value_schedule
    if type(value) is utils.ConstantSchedule:
        return _plain_number(codec, value.val, what)
    if type(value) is utils.LinearSchedule:
        ends = {name: _plain_number(codec, getattr(value, name), what) for name in ("start", "end", "end_fraction")}
        return {"schedule": "linear", **ends}
    if callable(value):
        raise NotEncodable(
            f"{what} is a function, and functions are never stored: use a number, or LinearSchedule or "
            "ConstantSchedule of stable_baselines3.common.utils, or save policy.state_dict() (codec 'torch-state')"
        )
    return _plain_number(codec, value, what)


def _read_schedule(codec: Codec, record: Any, what: str) -> Any:
    if not isinstance(record, dict) or "schedule" not in record:
        return _read_number(codec, record, what)
    if record["schedule"] != "linear":
        raise _corrupt("schedule", record, what)
    ends = [_read_number(codec, record.get(name), what) for name in ("start", "end", "end_fraction")]
    return import_library("stable_baselines3.common.utils", codec).LinearSchedule(*ends)


def _plain_noise(codec: Codec, noise: Any, what: str) -> dict[str, JSON]:
    kinds = import_library("stable_baselines3.common.noise", codec)
    if type(noise) is kinds.VectorizedActionNoise:
        base = _plain_noise(codec, noise.base_noise, what)
        if any(_plain_noise(codec, one, what) != base for one in noise.noises):
            raise NotEncodable(f"{what} differs from one environment to the next: use one noise for all")
        return {"noise": "vectorized", "base": base, "n_envs": int(noise.n_envs)}
    if type(noise) not in (kinds.NormalActionNoise, kinds.OrnsteinUhlenbeckActionNoise):
        raise NotEncodable(f"{what} is a {type(noise).__qualname__}, and only stable-baselines3's own noises are kept")
    np = import_library("numpy", codec)
    made = vars(noise)  # its arguments have no public names
    record: dict[str, JSON] = {"mean": plain_array(made["_mu"], what), "sigma": plain_array(made["_sigma"], what)}
    record["dtype"] = np.dtype(made["_dtype"]).name
    if type(noise) is kinds.NormalActionNoise:
        return {"noise": "normal", **record}
    initial = None if noise.initial_noise is None else plain_array(noise.initial_noise, what)
    theta, dt = _plain_number(codec, made["_theta"], what), _plain_number(codec, made["_dt"], what)
    return {"noise": "ornstein-uhlenbeck", **record, "theta": theta, "dt": dt, "initial_noise": initial}


def _read_noise(codec: Codec, record: Any, what: str) -> Any:
    kinds = import_library("stable_baselines3.common.noise", codec)
    if not isinstance(record, dict) or record.get("noise") not in {"vectorized", "normal", "ornstein-uhlenbeck"}:
        raise _corrupt("noise", record, what)
    if record["noise"] == "vectorized":
        base = _read_noise(codec, field(record, "base", dict), what)
        n_envs = field(record, "n_envs", int)
        if not 0 < n_envs <= MOST_ENVIRONMENTS:
            raise _corrupt("number of environments", n_envs, what)
        return kinds.VectorizedActionNoise(base, n_envs)
    mean, sigma = read_array(record.get("mean"), what), read_array(record.get("sigma"), what)
    dtype = field(record, "dtype", str)
    if dtype not in {"float16", "float32", "float64"}:
        raise _corrupt("dtype of a noise", dtype, what)
    if record["noise"] == "normal":
        return kinds.NormalActionNoise(mean, sigma, dtype)
    initial = record.get("initial_noise")
    theta, dt = (_read_number(codec, record.get(name), what) for name in ("theta", "dt"))
    start = None if initial is None else read_array(initial, what)
    return kinds.OrnsteinUhlenbeckActionNoise(mean, sigma, theta, dt, start, dtype)


# ---------------------------------------------------------------- what policies are made with


def _plain_layers(codec: Codec, value: Any, what: str) -> Any:
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]  # the spelling before 1.8, which stable-baselines3 takes for the same
    if isinstance(value, dict) and {*value} <= {"pi", "vf", "qf"}:
        return {name: _plain_layers(codec, part, what) for name, part in value.items() if not isinstance(part, dict)}
    if isinstance(value, list | tuple) and all(_is_integer(width) for width in value):
        return [int(width) for width in value]
    raise NotEncodable(
        f"{what} is {str(value)[:60]!r}: use a list of widths, or a dict of such lists (pi and vf or qf)"
    )


def _read_layers(codec: Codec, record: Any, what: str) -> Any:
    if isinstance(record, dict) and {*record} <= {"pi", "vf", "qf"}:
        return {name: _read_layers(codec, part, what) for name, part in record.items() if not isinstance(part, dict)}
    if isinstance(record, list) and all(type(width) is int and width > 0 for width in record):
        return record
    raise _corrupt("list of widths", record, what)


def _plain_name(kind: str) -> Callable[[Codec, Any, str], str]:
    def plain(codec: Codec, value: Any, what: str) -> str:
        name = str(getattr(value, "__name__", value))
        if name in _NAMES[kind][1] and _class(codec, name, kind) is value:
            return name
        raise NotEncodable(
            f"{what} is {name[:60]!r}, whose code cannot be stored; kept by name are {', '.join(_NAMES[kind][1])}. "
            "Save the state dict of the policy (codec 'torch-state') and build the algorithm in your own code"
        )

    return plain


def _read_name(kind: str) -> Callable[[Codec, Any, str], Any]:
    def read(codec: Codec, record: Any, what: str) -> Any:
        if not isinstance(record, str) or record not in _NAMES[kind][1]:
            raise _corrupt(kind, record, what)
        return _class(codec, record, kind)

    return read


def _class(codec: Codec, name: str, kind: str) -> Any:
    return getattr(import_library(_TF_LIKE if name == "RMSpropTFLike" else _NAMES[kind][0], codec), name)


def _plain_nested(kind: str) -> Callable[[Codec, Any, str], dict[str, JSON]]:
    return lambda codec, value, what: plain_settings(codec, value, _NESTED[kind], what)


def _read_nested(kind: str) -> Callable[[Codec, Any, str], dict[str, Any]]:
    def read(codec: Codec, record: Any, what: str) -> dict[str, Any]:
        if not isinstance(record, dict):
            raise _corrupt("dict of settings", record, what)
        return read_plain_settings(codec, record, _NESTED[kind], what)

    return read


def _plain_values(_: Codec, value: Any, what: str) -> Any:
    tensors: dict[str, Any] = {}
    record = pack(value, what, tensors)
    if tensors or not isinstance(value, dict):
        raise NotEncodable(f"{what} is not a dict of plain numbers: use one")
    return record


def _read_values(_: Codec, record: Any, what: str) -> dict[str, Any]:
    values = unpack(record, what, {})
    if not isinstance(values, dict):
        raise _corrupt("dict of values", record, what)
    return values


_PLAIN: Final[dict[str, Callable[[Codec, Any, str], Any]]] = {
    "switch": _plain_switch,
    "integer": _plain_integer,
    "number": _plain_number,
    "entropy": _plain_entropy,
    "frequency": _plain_frequency,
    "schedule": _plain_schedule,
    "noise": _plain_noise,
    "layers": _plain_layers,
    "values": _plain_values,
    **{kind: _plain_name(kind) for kind in _NAMES},
    **{kind: _plain_nested(kind) for kind in _NESTED},
}
_READ: Final[dict[str, Callable[[Codec, Any, str], Any]]] = {
    "switch": _read_switch,
    "integer": _read_integer,
    "number": _read_number,
    "entropy": _read_entropy,
    "frequency": _read_frequency,
    "schedule": _read_schedule,
    "noise": _read_noise,
    "layers": _read_layers,
    "values": _read_values,
    **{kind: _read_name(kind) for kind in _NAMES},
    **{kind: _read_nested(kind) for kind in _NESTED},
}
