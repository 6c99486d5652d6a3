"""The values of stable-baselines3's settings as JSON: numbers, names from fixed tables, never a function or a class.

Refused, on both sides, are values of another kind than the setting has, and classes that are neither in a fixed table
nor among those that the caller gave to the codec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.files import dotted, field, import_library
from artifact_store.codecs.json_arrays import plain_array, read_array
from artifact_store.codecs.sb3.scalars import (
    Kind,
    is_integer,
    not_recorded,
    not_valid,
    plain_kind,
    plain_number,
    read_number,
)
from artifact_store.codecs.sb3.schedules import plain_schedule, read_schedule
from artifact_store.codecs.sb3.settings import POLICY_KWARGS
from artifact_store.codecs.torch.trees import pack, unpack
from artifact_store.core.codec import JSON, Codec
from artifact_store.errors import Corrupt, NotEncodable, TypeRefused

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
_KNOWN: Final = ("stable_baselines3.", "torch.")
_TO_STORE: Final = "ArtifactStore(url, registry=registry), when it is saved and when it is loaded"
_TF_LIKE: Final = "stable_baselines3.common.sb2_compat.rmsprop_tf_like"


def plain_settings(
    codec: Codec, values: Mapping[str, Any], kinds: Mapping[str, str], what: str, *, others: str = ""
) -> dict[str, JSON]:
    """Return settings as JSON, each of the kind that ``kinds`` says; one that ends in ``?`` may be None.

    Those that are not known are of the kind ``others``, if there is one: they are for a class of the caller's.

    Raises:
        NotEncodable: one that is not known, or whose value is a function, a class of one's own, or of another kind.
    """
    unknown = sorted(map(str, {*values} - {*kinds}))
    if unknown and not others:
        raise NotEncodable(f"{what} has {', '.join(unknown)}, which the codec {codec.name} does not know")
    known = {**dict.fromkeys(unknown, others), **kinds}
    return {name: _kind(known[name], value).write(codec, value, f"{what}[{name!r}]") for name, value in values.items()}


def read_plain_settings(
    codec: Codec, record: Mapping[str, Any], kinds: Mapping[str, str], what: str, *, others: str = ""
) -> dict[str, Any]:
    """Return what :func:`plain_settings` was given, with the classes for the names in it, or raise ``Corrupt``."""
    unknown = sorted(map(str, {*record} - {*kinds}))
    if unknown and not others:
        raise Corrupt(f"{what} is recorded with unknown names: {', '.join(unknown)[:80]}")
    known = {**dict.fromkeys(unknown, others), **kinds}
    return {name: _kind(known[name], part).read(codec, part, f"{what}[{name!r}]") for name, part in record.items()}


def policy_settings(codec: Codec, values: Mapping[str, Any], *, own: bool, read: bool = False) -> dict[str, Any]:
    """Return the keywords of a policy as JSON, or read them; one of the caller's own may have others as well."""
    kinds = dict(POLICY_KWARGS)
    if is_own(values.get("features_extractor_class"), EXTRACTORS):
        kinds["features_extractor_kwargs"] = "values?"
    convert = read_plain_settings if read else plain_settings
    return convert(codec, values, kinds, "policy_kwargs", others="plain" if own else "")


def _kind(name: str, value: object) -> Kind:
    return _NONE if value is None and name.endswith("?") else _KINDS[name.removesuffix("?")]


# ---------------------------------------------------------------- words and frequencies


def _is_automatic(value: Any) -> bool:
    return type(value) is str and value.startswith("auto")


def _plain_frequency(_: Codec, value: Any, what: str) -> list[JSON]:
    if type(value).__name__ != "TrainFreq" or not is_integer(value.frequency):
        raise not_valid("frequency", value, what)
    return [int(value.frequency), str(value.unit.value)]


def _read_frequency(_: Codec, record: Any, what: str) -> tuple[int, str]:
    if not isinstance(record, list) or len(record) != 2 or type(record[0]) is not int:  # noqa: PLR2004 -- number, unit
        raise not_recorded("frequency", record, what)
    return record[0], str(record[1])


# ---------------------------------------------------------------- noise


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
    theta, dt = plain_number(codec, made["_theta"], what), plain_number(codec, made["_dt"], what)
    return {"noise": "ornstein-uhlenbeck", **record, "theta": theta, "dt": dt, "initial_noise": initial}


def _read_noise(codec: Codec, record: Any, what: str) -> Any:
    kinds = import_library("stable_baselines3.common.noise", codec)
    if not isinstance(record, dict) or record.get("noise") not in {"vectorized", "normal", "ornstein-uhlenbeck"}:
        raise not_recorded("noise", record, what)
    if record["noise"] == "vectorized":
        base = _read_noise(codec, field(record, "base", dict), what)
        n_envs = field(record, "n_envs", int)
        if not 0 < n_envs <= MOST_ENVIRONMENTS:
            raise not_recorded("number of environments", n_envs, what)
        return kinds.VectorizedActionNoise(base, n_envs)
    mean, sigma = read_array(record.get("mean"), what), read_array(record.get("sigma"), what)
    dtype = field(record, "dtype", str)
    if dtype not in {"float16", "float32", "float64"}:
        raise not_recorded("dtype of a noise", dtype, what)
    if record["noise"] == "normal":
        return kinds.NormalActionNoise(mean, sigma, dtype)
    initial = record.get("initial_noise")
    theta, dt = (read_number(codec, record.get(name), what) for name in ("theta", "dt"))
    start = None if initial is None else read_array(initial, what)
    return kinds.OrnsteinUhlenbeckActionNoise(mean, sigma, theta, dt, start, dtype)


# ---------------------------------------------------------------- what policies are made with


def _plain_layers(codec: Codec, value: Any, what: str) -> Any:
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]  # the spelling before 1.8, which stable-baselines3 takes for the same
    if isinstance(value, dict) and {*value} <= {"pi", "vf", "qf"}:
        return {name: _plain_layers(codec, part, what) for name, part in value.items() if not isinstance(part, dict)}
    if isinstance(value, list | tuple) and all(is_integer(width) for width in value):
        return [int(width) for width in value]
    raise NotEncodable(
        f"{what} is {str(value)[:60]!r}: use a list of widths, or a dict of such lists (pi and vf or qf)"
    )


def _read_layers(codec: Codec, record: Any, what: str) -> Any:
    if isinstance(record, dict) and {*record} <= {"pi", "vf", "qf"}:
        return {name: _read_layers(codec, part, what) for name, part in record.items() if not isinstance(part, dict)}
    if isinstance(record, list) and all(type(width) is int and width > 0 for width in record):
        return record
    raise not_recorded("list of widths", record, what)


def own_classes(codec: Codec) -> Mapping[str, type]:
    """Return the classes that the caller gave to a codec, by their dotted names."""
    found: Mapping[str, type] = getattr(codec, "own", {})
    return found


def own_class(codec: Codec, name: str, what: str) -> type:
    """Return the class of this name that the caller gave to the codec; nothing is imported.

    Raises:
        TypeRefused: there is none.
    """
    try:
        return own_classes(codec)[name]
    except KeyError:
        raise TypeRefused(
            f"{what} is the class {name[:200]}, and its code is not stored. Give it: {give(codec, name)}", types=[name]
        ) from None


def give(codec: Codec, name: str, to: str = _TO_STORE) -> str:
    """Return how a class of the caller's own is given to a codec, in a sentence that can be followed."""
    kinds = ", ".join(kind.rpartition(".")[2] for kind in (*own_classes(codec), name))
    return (
        f"from {type(codec).__module__} import {type(codec).__name__}; registry = CodecRegistry(); "
        f"registry.register({type(codec).__name__}(own=[{kinds}])); {to}"
    )


def is_own(value: Any, names: tuple[str, ...]) -> bool:
    """Tell whether a class, or what is recorded for it, is not one of a fixed table."""
    name = value if isinstance(value, str) else dotted(value) if isinstance(value, type) else ""
    return "." in name and not (name.startswith(_KNOWN) and name.rpartition(".")[2] in names)


def _named(kind: str, module: str, names: tuple[str, ...]) -> Kind:
    """Return the kind of a class that is one of ``names``, or of the caller's own, and kept by its name."""

    def known(codec: Codec, name: str) -> Any:
        return getattr(import_library(_TF_LIKE if name == "RMSpropTFLike" else module, codec), name)

    def write(codec: Codec, value: Any, what: str) -> str:
        name = str(getattr(value, "__name__", value))
        if name in names and known(codec, name) is value:
            return name
        if isinstance(value, type) and own_classes(codec).get(dotted(value)) is value:
            return dotted(value)
        raise NotEncodable(
            f"{what} is {name[:60]!r}, whose code cannot be stored; kept by name are {', '.join(names)}, and classes "
            f"of yours that you give: {give(codec, name)}. Or save the state dict of the policy (codec 'torch-state') "
            "and build the algorithm in your own code"
        )

    def read(codec: Codec, record: Any, what: str) -> Any:
        if isinstance(record, str) and "." in record:
            return own_class(codec, record, what)
        if not isinstance(record, str) or record not in names:
            raise not_recorded(kind, record, what)
        return known(codec, record)

    return Kind(write, read)


def _nested(kinds: Mapping[str, str]) -> Kind:
    """Return the kind of a dict of settings that are of these kinds."""

    def read(codec: Codec, record: Any, what: str) -> dict[str, Any]:
        if not isinstance(record, dict):
            raise not_recorded("dict of settings", record, what)
        return read_plain_settings(codec, record, kinds, what)

    return Kind(lambda codec, value, what: plain_settings(codec, value, kinds, what), read)


def _plain_values(_: Codec, value: Any, what: str) -> Any:
    tensors: dict[str, Any] = {}
    record = pack(value, what, tensors)
    if tensors or not isinstance(value, dict):
        raise NotEncodable(f"{what} is not a dict of plain numbers: use one")
    return record


def _plain_plain(_: Codec, value: Any, what: str) -> Any:
    tensors: dict[str, Any] = {}
    record = pack(value, what, tensors)
    if tensors:
        raise NotEncodable(f"{what} has tensors: give plain numbers, texts, lists and dicts")
    return record


def _read_values(_: Codec, record: Any, what: str) -> dict[str, Any]:
    values = unpack(record, what, {})
    if not isinstance(values, dict):
        raise not_recorded("dict of values", record, what)
    return values


_NONE: Final = Kind(lambda *_: None, lambda *_: None)
_KINDS: Final = {
    "switch": plain_kind("switch", bool, lambda value: type(value) is bool),
    "integer": plain_kind("integer", int, is_integer),
    "number": Kind(plain_number, read_number),
    "entropy": Kind(
        lambda codec, value, what: value if _is_automatic(value) else plain_number(codec, value, what),
        lambda codec, record, what: record if _is_automatic(record) else read_number(codec, record, what),
    ),
    "frequency": Kind(_plain_frequency, _read_frequency),
    "schedule": Kind(plain_schedule, read_schedule),
    "noise": Kind(_plain_noise, _read_noise),
    "layers": Kind(_plain_layers, _read_layers),
    "values": Kind(_plain_values, _read_values),
    "plain": Kind(_plain_plain, lambda _, record, what: unpack(record, what, {})),
    "activation": _named("activation", "torch.nn", ACTIVATIONS),
    "optimizer": _named("optimizer", "torch.optim", OPTIMIZERS),
    "extractor": _named("extractor", "stable_baselines3.common.torch_layers", EXTRACTORS),
    "extractor settings": _nested(
        {"features_dim": "integer", "cnn_output_dim": "integer", "normalized_image": "switch"}
    ),
    "buffer settings": _nested({"handle_timeout_termination": "switch"}),
}
