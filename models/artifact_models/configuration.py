"""The settings of a model: which part of a configuration they are, and which names are known.

What is given later counts: the defaults, then ``config``, then keywords; a mapping within (``env``) is changed name by
name. Knows no family; each says which names it has.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from artifact_models import messages
from artifact_store import errors

log = logging.getLogger(__name__)

Spelled = Callable[[Mapping[str, Any]], dict[str, Any]]
_MODELS: Final = "models"


def given_settings(
    model_type: str, config: Any, changes: Mapping[str, Any], *, spelled: Spelled | None = None
) -> dict[str, Any]:
    """Return the settings in ``config`` with the changes.

    ``config`` is the model's own, or the configuration of a whole application with the model's own in
    ``config["models"][model_type]``: then everything else in it is not looked at. ``spelled`` gives each setting the
    one name that it has here, so that a change is recognised under another.

    Raises:
        InvalidOption: it is not a mapping, or it is that of an application without a part for this type.
    """
    spelled = spelled or (lambda part: merged({}, part))
    return merged(spelled(own_part(model_type, config)), spelled(changes))


def own_part(model_type: str, config: Any) -> Mapping[str, Any]:
    """Return what a configuration says of models of this type.

    Raises:
        InvalidOption: it is not a mapping, or it is that of an application without a part for this type.
    """
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise errors.InvalidOption(
            f"the first argument is the config, a mapping of settings, not {config!r:.80}; names of features are "
            "given as feature_names=[...], and those to select as selected_features=[...]"
        )
    models = config.get(_MODELS)
    if not isinstance(models, Mapping):
        return config
    if model_type not in models:
        raise errors.InvalidOption(
            f"config['models'] has no part for {model_type!r}; there are {', '.join(map(str, models)) or 'none'}. "
            f"Add config['models'][{model_type!r}] (an empty mapping for the defaults), or give the model's own config"
        )
    part = models[model_type]
    if part is not None and not isinstance(part, Mapping):  # YAML reads a key without anything under it as None
        raise errors.InvalidOption(f"config['models'][{model_type!r}] is a mapping of settings, not {part!r:.80}")
    return part or {}


def check_names(what: str, names: Iterable[Any], known: Collection[str], *, within: str = "", others: str = "") -> None:
    """Refuse settings that do not exist. ``within`` is put before each name: ``env.``.

    Raises:
        InvalidOption: with the likeliest of the known names, and all of them, or ``others`` instead.
    """
    full = [f"{within}{name}" for name in known]
    unknown = {f"{within}{name}" for name in names} - set(full)
    if unknown:
        raise errors.InvalidOption(messages.no_setting(what, unknown, full, others=others))


def settings_of_run(model_type: str, saved: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the settings in the config of a run, which may hold anything beside them: that is logged, once.

    Old runs may hold the configuration of an application, and the settings of the model beside it or in it.
    """
    part, beside = _divided(model_type, saved)
    everything = {**part, **{name: saved[name] for name in beside}}
    return _known(model_type, everything, known)


def log_overruled(
    model_type: str, config: Any, saved: Mapping[str, Any], known: Collection[str], *, spelled: Spelled | None = None
) -> None:
    """Log what in a configuration that was given to load a model with has no effect: the saved settings count.

    Keys that are not settings of the model are logged once in a process, whatever the number of models that are loaded
    with them. A setting with another value than the saved one is logged each time.

    Raises:
        InvalidOption: it is not a mapping.
    """
    spelled = spelled or (lambda part: merged({}, part))
    part, beside = _divided(model_type, config)
    asked = dict(leaves(spelled(_known(model_type, part, known, beside=beside))))
    kept = dict(leaves(spelled(saved)))
    for name in sorted(asked.keys() & kept.keys()):
        if asked[name] != kept[name]:
            log.warning("the model was saved with %s=%r, and that counts, not %r", name, kept[name], asked[name])


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the changes, as copies; ``env.window`` names a setting within ``env``.

    Raises:
        InvalidOption: a setting within another is named, and that one is not a mapping.
    """
    result = copy.deepcopy(dict(base))
    for name, value in changes.items():
        outer, dot, inner = str(name).partition(".")
        before = result.get(outer)
        if dot and before is not None and not isinstance(before, Mapping):
            raise errors.InvalidOption(f"{name} names a setting within {outer}, which is {before!r:.80}, not a mapping")
        if dot:
            result[outer] = merged(before or {}, {inner: value})
        elif isinstance(value, Mapping):
            result[name] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def leaves(settings: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting with its dotted name; a tuple as the list that a run makes of it."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", list(value) if isinstance(value, tuple) else value


def _divided(model_type: str, config: Any) -> tuple[Mapping[str, Any], list[str]]:
    """Return the model's own part of a configuration, which may lack it, and the names of what is beside it."""
    models = config.get(_MODELS) if isinstance(config, Mapping) else None
    if not isinstance(models, Mapping):
        return own_part(model_type, config), []
    part = models.get(model_type)
    return (part if isinstance(part, Mapping) else {}), [name for name in config if name != _MODELS]


def _known(
    model_type: str, settings: Mapping[str, Any], known: Collection[str], *, beside: Iterable[str] = ()
) -> dict[str, Any]:
    """Return those that are known, and log the names of the others and of what is beside them."""
    foreign = [*beside, *(name for name in settings if name not in known)]
    if foreign:
        _log_foreign(model_type, tuple(map(str, foreign)))
    return {name: value for name, value in settings.items() if name in known}


@cache  # which is how it is logged once
def _log_foreign(model_type: str, names: tuple[str, ...]) -> None:
    log.info(
        "these keys of the configuration are not settings of a %s and have no effect: %s", model_type, ", ".join(names)
    )
