"""Every advice in the texts of the package is followed by a test, or says why not; and what it names is there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, Draft, LoadPolicy
from artifact_store.cli.app import app
from artifact_store.run import Run
from tests.advice import FOLLOWED, SNIPPET, advices, followed_by
from tests.commands import commands

CHECKOUT = Path(__file__).resolve().parents[2]
CALLS: tuple[Callable[..., Any], ...] = (
    *(method for kind in (ArtifactStore, Draft, Run) for _, method in inspect.getmembers(kind, inspect.isfunction)),
    LoadPolicy.__init__,
)
NAMES = {name for call in CALLS for name in inspect.signature(call).parameters}
OTHERS = {
    "filter",
    "filesystem",
    "days",
    "tzinfo",
    "pickles",
    "sig",
    "dtypes",
    "bytes",
    "minutes",
    "older_than",
    "size",
    "max_risk",
    "store",
    "use_ssl",
    "anon",
}
"""Of libraries, of ``Cache.prune``, and within storage options."""


def test_every_advice_is_followed_or_says_why_not() -> None:
    assert sorted({one for one in advices() if followed_by(*one) is None}) == []


def test_the_table_has_no_advice_that_is_gone() -> None:
    told = {
        (module, advice) for module, rows in FOLLOWED.items() for given in rows for advice in SNIPPET.findall(given)
    }
    assert sorted(told - set(advices())) == []


def test_a_test_that_follows_an_advice_is_there() -> None:
    if not (CHECKOUT / "pyproject.toml").is_file():
        pytest.skip("the sources are not here")
    missing = set()
    for rows in FOLLOWED.values():
        for who in rows.values():
            path, colons, name = who.partition("::")
            if colons and f"def {name.rpartition('::')[2]}(" not in (CHECKOUT / path).read_text(encoding="utf-8"):
                missing.add(who)
    assert missing == set()


def test_every_option_and_command_that_a_text_names_is_one_of_the_program() -> None:
    options = {name for command in (app, *commands().values()) for option in command.params for name in option.opts}
    for module, advice in advices():
        if module.startswith("storage/s3fs/") or advice.startswith("`aws") or "pip" in advice or "upgrade" in advice:
            continue
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", advice))
        if advice.startswith(("--", "`artifact-store")):
            assert named <= options, (module, advice)
        if command := re.match(r"`artifact-store (?:--signer FILE )?([a-z]+)", advice):
            assert command[1] in commands(), (module, advice)


def test_every_argument_that_an_error_of_a_call_names_is_one_of_a_call() -> None:
    for module, advice in advices():
        name = re.match(r"([a-z_]+)=", advice)
        if name and module.startswith(("ops/", "save_checks", "store", "core/trust", "publication", "storage/staging")):
            assert name[1] in NAMES | OTHERS, (module, advice)
