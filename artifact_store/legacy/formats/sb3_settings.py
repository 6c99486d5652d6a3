"""The settings in a zip of stable-baselines3: plain JSON, and text beside a pickle.

What cannot be told from them is left out and named: it matters to going on with training, and not to predicting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.sb3.policy import SB3Codec
from artifact_store.codecs.sb3.settings import ATTRIBUTES, HYPERPARAMETERS, POLICY_KWARGS
from artifact_store.codecs.sb3.values import (
    ACTIVATIONS,
    EXTRACTORS,
    OPTIMIZERS,
    give,
    is_own,
    plain_settings,
    policy_settings,
)
from artifact_store.errors import Corrupt, NotEncodable
from artifact_store.legacy.formats.sb3_pickled import read_names, read_setting
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.stubs import Name, Stub, refused

MAX_WHOLE_NUMBER: Final = 1_000_000_000
"""No size of a buffer or a batch is larger, and a hostile one would be allocated."""

_CLASS: Final = re.compile(r"<class '([\w.]+)\.(\w+)'>")
_METHOD: Final = re.compile(r"<function (\w+)\.\w+ at 0x[0-9a-fA-F]+>")
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


def own_policy(described: Mapping[str, Any], codec: SB3Codec, what: str) -> type:
    """Return the class of a policy, if it is one that the caller gave.

    Its name is in the pickle; of one with its code in there, it is told from the names of its methods.
    """
    found = read_names(described, "policy_class", what)
    module = str(described.get("__module__"))
    methods = [match[1] for value in described.values() if (match := _METHOD.fullmatch(str(value)))]
    names = [str(found)] if isinstance(found, Name) else [f"{module}.{name}" for name in methods]
    kind = next((codec.own[name] for name in names if name in codec.own), None)
    if kind is None:
        name = next(iter(names), module)
        raise refused(what, f"has a policy of the class {name[:100]}", _given(codec, name))
    return kind


def policy_kwargs(described: Any, codec: SB3Codec, what: str, *, own: bool) -> dict[str, Any]:
    """Return the keywords of the policy as JSON in the form of the codec; one of the caller's ``own`` has others."""
    if not isinstance(described, Mapping):
        raise Corrupt(f"{what} has policy_kwargs that are not a mapping")
    given = {name: value for name, value in described.items() if not name.startswith(":") and name != "device"}
    unknown = sorted({*given} - {*POLICY_KWARGS})
    if unknown and not own:
        raise refused(what, f"has a policy that was made with {', '.join(unknown)[:100]}")
    for name, value in given.items():
        kind = POLICY_KWARGS.get(name, "").removesuffix("?")
        if kind in _CLASSES and value is not None:
            given[name] = _class(value, kind, name, codec, what)
    if is_own(given.get("features_extractor_class"), EXTRACTORS):
        unknown.append("features_extractor_kwargs")
    given |= _of_own_code(described, [name for name in unknown if name in given], what)
    try:
        return policy_settings(codec, given, own=own)
    except NotEncodable as error:
        raise Corrupt(f"{what} has an invalid setting: {error}") from error


def _of_own_code(described: Mapping[str, Any], names: list[str], what: str) -> dict[str, Any]:
    """Return what is given to code of the caller's own: exactly, since nobody else knows what it means."""
    if ":serialized:" not in described:
        return {name: described[name] for name in names}
    exact = read_names(described, "policy_kwargs", what)
    sources = exact if isinstance(exact, dict) else described
    unclear = (Name, Stub) if sources is exact else (str, list)  # a list may have been a tuple, and text anything
    for name in names:
        if name not in sources or _holds(sources[name], unclear):
            raise refused(what, f"has a policy whose {name[:100]} cannot be told without its code")
    return {name: sources[name] for name in names}


def _holds(value: Any, kinds: tuple[type, ...]) -> bool:
    """Tell whether there is one of these anywhere in a value."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, kinds):
            return True
        if isinstance(part, dict | list | tuple):
            waiting += part.values() if isinstance(part, dict) else part
    return False


def _class(text: Any, kind: str, name: str, codec: SB3Codec, what: str) -> Any:
    """Return a class from a fixed table, or one that the caller gave, by the text that stands for it."""
    found = _CLASS.fullmatch(str(text))
    modules, known, home = _CLASSES[kind]
    if found is not None and found[2] in known and re.fullmatch(modules, found[1]):
        return getattr(old_form_library(_TF_LIKE if found[2] == "RMSpropTFLike" else home, "sb3"), found[2])
    named = "" if found is None else f"{found[1]}.{found[2]}"
    if named not in codec.own:
        raise refused(what, f"has a policy whose {name} is {str(text)[:100]}", _given(codec, named) if named else "")
    return codec.own[named]


def _given(codec: SB3Codec, name: str) -> str:
    return f"Give it: {give(codec, name, 'ArtifactStore.open_legacy(path, registry=registry)')}"


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
