"""The parameters of LightGBM and the names that they go by, as LightGBM itself lists them.

LightGBM ignores a name that it does not know, and of two names of one parameter it takes the main one, whatever was
meant. Here the first is an error, and every name becomes the main one before anything is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, Final

from artifact_models import configuration
from artifact_models.libraries import library
from artifact_store import errors

DEFAULTS: Final[Mapping[str, Any]] = {
    "objective": "regression",
    "n_estimators": 500,
    "early_stopping_rounds": 50,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "seed": 0,
}
OURS: Final = ("n_estimators", "early_stopping_rounds")
"""Those that are arguments of a training, not parameters of a booster."""
_SPELLED_OTHERWISE: Final = {
    "num_iterations": "n_estimators",
    "early_stopping_round": "early_stopping_rounds",
    "early_stopping_patience": "early_stopping_rounds",
}
"""LightGBM's main name, or another that people know → ours."""


def spelled(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters, which may be unknown ones, under their main names.

    Raises:
        InvalidOption: one has two values, under two names.
    """
    main = _main_names(part)
    made: dict[str, Any] = {}
    first: dict[str, str] = {}
    for name, value in part.items():
        own = main.get(name, name)
        if own in made and made[own] != value:
            raise errors.InvalidOption(
                f"{own!r} of LightGBM has two values: {first[own]}={made[own]!r} and {name}={value!r}. Leave one out"
            )
        made[own] = value
        first.setdefault(own, name)
    return made


def check_parameters(names: Iterable[str]) -> None:
    """Refuse what is neither a parameter of LightGBM nor one of ours.

    Raises:
        InvalidOption: with the likeliest parameter.
    """
    others = "see the parameters in LightGBM's documentation, or the DEFAULTS of artifact_models.gbm.parameters"
    configuration.check_names("LightGBM", names, _main_names(names), others=others)


def known() -> Collection[str]:
    """Return the names of all parameters and their aliases."""
    return _all_main_names(library("lightgbm", "lightgbm"))


def _main_names(asked: Iterable[str]) -> Mapping[str, str]:
    """Return the main name by each name; LightGBM is asked only where it has to be."""
    if set(asked) <= DEFAULTS.keys():
        return {name: name for name in DEFAULTS}
    return _all_main_names(library("lightgbm", "lightgbm"))


@cache
def _all_main_names(lightgbm: Any) -> Mapping[str, str]:
    try:
        table = lightgbm.basic._ConfigAliases._get_all_param_aliases()  # noqa: SLF001 -- the only list of them that Python can ask for; it is that of LGBM_DumpParamAliases in the C interface
    except AttributeError as missing:
        raise errors.Unsupported(
            f"lightgbm {lightgbm.__version__} does not tell which parameters it knows, so none can be checked: "
            "install a version from 4.6 that does"
        ) from missing
    names = {alias: main for main, aliases in table.items() for alias in (main, *aliases)}
    ours = {name: _SPELLED_OTHERWISE.get(main, main) for name, main in names.items()}
    return {**ours, **_SPELLED_OTHERWISE}
