"""The settings in a zip of stable-baselines3: plain JSON, and text beside a pickle.

What cannot be told from them is left out and named: it matters to going on with training, and not to predicting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.sb3.policy import SB3Codec
from artifact_store.codecs.sb3.settings import ATTRIBUTES, HYPERPARAMETERS, POLICY_KWARGS
from artifact_store.codecs.sb3.values import ACTIVATIONS, EXTRACTORS, OPTIMIZERS, plain_settings
from artifact_store.errors import Corrupt, NotEncodable
from artifact_store.legacy.formats.sb3_pickled import read_setting
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.stubs import refused

MAX_WHOLE_NUMBER: Final = 1_000_000_000
"""No size of a buffer or a batch is larger, and a hostile one would be allocated."""

_CLASS: Final = re.compile(r"<class '([\w.]+)\.(\w+)'>")
INIT: Final = re.compile(r"<function (\w+)\.__init__ at 0x[0-9a-fA-F]+>")
_NUMBER: Final = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)"
_LAYERS: Final = "stable_baselines3.common.torch_layers"
_TF_LIKE: Final = "stable_baselines3.common.sb2_compat.rmsprop_tf_like"
_CLASSES: Final = {
    "activation": (r"torch\.nn\.modules\.(?:activation|linear)", ACTIVATIONS, "torch.nn"),
    "optimizer": (rf"torch\.optim\.\w+|{re.escape(_TF_LIKE)}", OPTIMIZERS, "torch.optim"),
    "extractor": (re.escape(_LAYERS), EXTRACTORS, _LAYERS),
}
"""By the kind of the setting: the modules that have such classes, their names, and the module to take them from."""
_CONSTANT: Final = re.compile(rf"ConstantSchedule\(val={_NUMBER}\)")
_LINEAR: Final = re.compile(rf"LinearSchedule\(start={_NUMBER}, end={_NUMBER}, end_fraction={_NUMBER}\)")


# ---------------------------------------------------------------- settings


def hyperparameters(record: Mapping[str, Any], algorithm: str, what: str, inferred: list[str]) -> dict[str, Any]:
    """Return what can be told, as JSON in the form of the codec; the rest is left out, and named in ``inferred``."""
    found: dict[str, Any] = {}
    for name, kind in HYPERPARAMETERS[algorithm].items():
        key = ATTRIBUTES.get(name, name)
        if key not in record:
            continue  # an older stable-baselines3 did not have it
        value = record[key]
        if isinstance(value, Mapping) and ":type:" in value:  # a pickle with plain text beside it
            known = _schedule(value) if kind.startswith("schedule") else read_setting(value, name, what)
        elif name == "train_freq":
            known = _frequency(value, record.get("n_episodes_rollout"))
        else:
            whole = type(value) is int and name != "seed"
            known = _plain(whole_number(value, name, what, low=-1) if whole else value, name, algorithm)
        if known is None and not (value is None and kind.endswith("?")):
            inferred.append(name)
        else:
            found[name] = known
    return found


def _plain(value: Any, name: str, algorithm: str) -> Any:
    """Return a setting as the codec records it, or nothing if it is of another kind than the setting has today."""
    kinds = {name: HYPERPARAMETERS[algorithm][name]}
    try:
        return plain_settings(SB3Codec(), {name: value}, kinds, algorithm)[name]
    except NotEncodable:
        return None


def _frequency(value: Any, episodes: Any) -> list[Any] | None:
    """Return how often is trained, as a number and a unit, from any spelling that there was without a class.

    Before 1.0 that was a number of steps or, where it is -1, a number of episodes beside it.
    """
    if type(value) is int and value > 0:
        return [value, "step"]
    if value == -1 and type(episodes) is int and episodes > 0:
        return [episodes, "episode"]
    pair = value if isinstance(value, list) and len(value) == 2 else [None, None]  # noqa: PLR2004 -- number, unit
    return list(pair) if type(pair[0]) is int and pair[0] > 0 and pair[1] in ("step", "episode") else None


def _checked(values: Mapping[str, Any], kinds: Mapping[str, str], of: str, what: str) -> dict[str, Any]:
    """Return settings as the codec records them."""
    try:
        return dict(plain_settings(SB3Codec(), values, kinds, of))
    except NotEncodable as error:
        raise Corrupt(f"{what} has an invalid setting: {error}") from error


def policy_kwargs(described: Any, what: str) -> dict[str, Any]:
    """Return the keywords of the policy as JSON in the form of the codec."""
    if not isinstance(described, Mapping):
        raise Corrupt(f"{what} has policy_kwargs that are not a mapping")
    given = {name: value for name, value in described.items() if not name.startswith(":") and name != "device"}
    unknown = sorted({*given} - {*POLICY_KWARGS})
    if unknown:
        raise refused(what, f"has a policy that was made with {', '.join(unknown)[:100]}")
    for name, value in given.items():
        kind = POLICY_KWARGS[name].removesuffix("?")
        if kind in _CLASSES and value is not None:
            given[name] = _class(value, kind, name, what)
    return _checked(given, POLICY_KWARGS, "policy_kwargs", what)


def _class(text: Any, kind: str, name: str, what: str) -> Any:
    """Return a class of torch or stable-baselines3 from a fixed table, by the text that stands for it."""
    found = _CLASS.fullmatch(str(text))
    modules, known, home = _CLASSES[kind]
    if found is None or found[2] not in known or not re.fullmatch(modules, found[1]):
        raise refused(what, f"has a policy whose {name} is {str(text)[:100]}")
    return getattr(old_form_library(_TF_LIKE if found[2] == "RMSpropTFLike" else home, "sb3"), found[2])


def _schedule(described: Mapping[str, Any]) -> Any:
    """Return a schedule as the codec records it, from its text, or nothing where it was a function."""
    text = str(described.get("value_schedule", ""))
    if found := _CONSTANT.fullmatch(text):
        return float(found[1])
    if found := _LINEAR.fullmatch(text):
        start, end, fraction = (float(number) for number in found.groups())
        return {"schedule": "linear", "start": start, "end": end, "end_fraction": fraction}
    return None


def whole_number(value: Any, name: str, what: str, *, low: int = 0) -> int:
    """Return a number that something of its size may be made for; raise ``Corrupt`` otherwise."""
    if type(value) is not int or not low <= value <= MAX_WHOLE_NUMBER:
        raise Corrupt(f"{what} has {name} {str(value)[:40]!r}, which is not a sensible number")
    return value
