"""The values of stable-baselines3's settings as JSON: numbers, names from fixed tables, never a function or a class.

Refused, on both sides, are values of another kind than the setting has, an activation, optimiser or features extractor
of one's own, and a schedule that is a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

MOST_ENVIRONMENTS: Final = 1 << 16
"""More were never trained in side by side, and a noise or a matrix would be made for each."""
_TF_LIKE: Final = "stable_baselines3.common.sb2_compat.rmsprop_tf_like"

Convert = Callable[[Codec, Any, str], Any]
"""Makes JSON of a value, or a value of JSON; the text says of which setting."""


@dataclass(frozen=True)
class Kind:
    """How the values of one kind are written as JSON, and how they are read back."""

    write: Convert
    read: Convert


def plain_settings(codec: Codec, values: Mapping[str, Any], kinds: Mapping[str, str], what: str) -> dict[str, JSON]:
    """Return settings as JSON, each of the kind that ``kinds`` says; one that ends in ``?`` may be None.

    Raises:
        NotEncodable: one that is not known, or whose value is a function, a class of one's own, or of another kind.
    """
    unknown = sorted(map(str, {*values} - {*kinds}))
    if unknown:
        raise NotEncodable(f"{what} has {', '.join(unknown)}, which the codec {codec.name} does not know")
    return {name: _kind(kinds[name], value).write(codec, value, f"{what}[{name!r}]") for name, value in values.items()}


def read_plain_settings(codec: Codec, record: Mapping[str, Any], kinds: Mapping[str, str], what: str) -> dict[str, Any]:
    """Return what :func:`plain_settings` was given, with the classes for the names in it, or raise ``Corrupt``."""
    unknown = sorted(map(str, {*record} - {*kinds}))
    if unknown:
        raise Corrupt(f"{what} is recorded with unknown names: {', '.join(unknown)[:80]}")
    return {name: _kind(kinds[name], part).read(codec, part, f"{what}[{name!r}]") for name, part in record.items()}


def _kind(name: str, value: object) -> Kind:
    return _NONE if value is None and name.endswith("?") else _KINDS[name.removesuffix("?")]


def _no(kind: str, value: object, what: str) -> NotEncodable:
    return NotEncodable(f"{what} is {str(value)[:60]!r}, which is not a valid {kind}: give a plain Python value")


def _corrupt(kind: str, record: object, what: str) -> Corrupt:
    return Corrupt(f"{what} is recorded as {str(record)[:60]!r}, which is not a valid {kind}")


# ---------------------------------------------------------------- numbers, switches, words


def _exactly(word: str, kind: type, fits: Callable[[object], bool]) -> Kind:
    """Return the kind of a value that JSON has as well."""

    def write(_: Codec, value: Any, what: str) -> Any:
        if not fits(value):
            raise _no(word, value, what)
        return kind(value)

    def read(_: Codec, record: Any, what: str) -> Any:
        if type(record) is not kind:
            raise _corrupt(word, record, what)
        return record

    return Kind(write, read)


def _is_integer(value: Any) -> bool:
    return type(value) is int or (
        type(value).__module__ == "numpy" and str(getattr(value, "dtype", "")).startswith("int")
    )


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


def _is_automatic(value: Any) -> bool:
    return type(value) is str and value.startswith("auto")


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


def _named(kind: str, module: str, names: tuple[str, ...]) -> Kind:
    """Return the kind of a class that is one of ``names``, and kept by its name."""

    def known(codec: Codec, name: str) -> Any:
        return getattr(import_library(_TF_LIKE if name == "RMSpropTFLike" else module, codec), name)

    def write(codec: Codec, value: Any, what: str) -> str:
        name = str(getattr(value, "__name__", value))
        if name in names and known(codec, name) is value:
            return name
        raise NotEncodable(
            f"{what} is {name[:60]!r}, whose code cannot be stored; kept by name are {', '.join(names)}. "
            "Save the state dict of the policy (codec 'torch-state') and build the algorithm in your own code"
        )

    def read(codec: Codec, record: Any, what: str) -> Any:
        if not isinstance(record, str) or record not in names:
            raise _corrupt(kind, record, what)
        return known(codec, record)

    return Kind(write, read)


def _nested(kinds: Mapping[str, str]) -> Kind:
    """Return the kind of a dict of settings that are of these kinds."""

    def read(codec: Codec, record: Any, what: str) -> dict[str, Any]:
        if not isinstance(record, dict):
            raise _corrupt("dict of settings", record, what)
        return read_plain_settings(codec, record, kinds, what)

    return Kind(lambda codec, value, what: plain_settings(codec, value, kinds, what), read)


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


_NONE: Final = Kind(lambda *_: None, lambda *_: None)
_KINDS: Final = {
    "switch": _exactly("switch", bool, lambda value: type(value) is bool),
    "integer": _exactly("integer", int, _is_integer),
    "number": Kind(_plain_number, _read_number),
    "entropy": Kind(
        lambda codec, value, what: value if _is_automatic(value) else _plain_number(codec, value, what),
        lambda codec, record, what: record if _is_automatic(record) else _read_number(codec, record, what),
    ),
    "frequency": Kind(_plain_frequency, _read_frequency),
    "schedule": Kind(_plain_schedule, _read_schedule),
    "noise": Kind(_plain_noise, _read_noise),
    "layers": Kind(_plain_layers, _read_layers),
    "values": Kind(_plain_values, _read_values),
    "activation": _named("activation", "torch.nn", ACTIVATIONS),
    "optimizer": _named("optimizer", "torch.optim", OPTIMIZERS),
    "extractor": _named("extractor", "stable_baselines3.common.torch_layers", EXTRACTORS),
    "extractor settings": _nested(
        {"features_dim": "integer", "cnn_output_dim": "integer", "normalized_image": "switch"}
    ),
    "buffer settings": _nested({"handle_timeout_termination": "switch"}),
}
