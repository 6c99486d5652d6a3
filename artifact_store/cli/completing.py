"""What a shell offers for an argument: the models, aliases and runs of the store that the command line names so far.

Whatever goes wrong offers nothing: a person who presses Tab waits for no server, and is asked nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
from click.shell_completion import BashComplete, CompletionItem, ZshComplete, add_completion_class, split_arg_string

VARIABLE: Final = "_ARTIFACT_STORE_COMPLETE"
"""The environment variable by which the scripts of the shells ask."""
_SECONDS: Final = 3.0
_RUNS: Final = 50
"""So many runs are offered at most, the newest ones."""


class ModelName(click.ParamType):  # type: ignore[type-arg]  # it takes none before click 8.3
    """Text that names a model: ``gru/BTCEUR``."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return the models whose name begins so."""
        del param
        return _items(ctx, incomplete, refs=False)


class RefName(click.ParamType):  # type: ignore[type-arg]
    """Text that names a run: ``gru/BTCEUR``, ``gru/BTCEUR@latest``, ``gru/BTCEUR:20240816_142301``."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return models; of a model that is there already its aliases, and behind a colon its newest runs."""
        del param
        return _items(ctx, incomplete, refs=True)


def _items(context: click.Context, incomplete: str, *, refs: bool) -> list[CompletionItem[str]]:
    try:
        with _store(context) as store:
            return [
                CompletionItem(found) for found in _found(store, incomplete, refs=refs) if found.startswith(incomplete)
            ]
    except Exception:  # noqa: BLE001 -- a line that is being typed may mean anything, and Tab shows no error
        return []


def _found(store: Any, incomplete: str, *, refs: bool) -> Iterator[str]:
    key, mark, _ = incomplete.partition(":")
    if refs and mark:
        yield from (str(run.ref) for run in store.runs(key, limit=_RUNS))
        return
    key, mark, _ = incomplete.partition("@")
    models = [str(model) for model in store.models()]
    if refs and key in models:
        yield from (f"{key}@{alias}" for alias in store.aliases(key))
    if not mark:
        yield from models


def _store(context: click.Context) -> Any:
    """Return the store that the command line names so far, without its keys: nobody is asked for a password."""
    from artifact_store.cli import program
    from artifact_store.cli.session import Session
    from artifact_store.configuration.named import arguments
    from artifact_store.store import ArtifactStore

    given: Mapping[str, Any] = context.find_root().params
    session = context.find_object(Session)
    url = (session.url if session is not None else None) or given.get("url")
    options = program.storage_options(
        given.get("options") or (), endpoint_url=given.get("endpoint_url"), profile=given.get("profile")
    )
    found = {**arguments(url, lambda _: None), "timeout": _SECONDS, "signer": None}
    if options:
        found["storage_options"] = {**found.get("storage_options", {}), **options}
    return ArtifactStore(**found, engine=given.get("engine") or found.pop("engine", "auto"))


# ---------------------------------------------------------------- the shells


class Bash(BashComplete):
    """bash, where a word ends behind ``:`` and before ``@``: the whole line is asked about, and the rest returned."""

    source_template = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:$COMP_POINT}" type value
    local word="${line##*[[:space:]]}"
    local rest="${word##*[:=]}"
    local before="${word%%"$rest"}"
    [[ $rest == *@* ]] && before+="${rest%%@*}"
    COMPREPLY=()
    while IFS=',' read -r type value; do
        if [[ $type == dir ]]; then
            compopt -o dirnames
        elif [[ $type == file ]]; then
            compopt -o default
        elif [[ $type == plain ]]; then
            COMPREPLY+=("${value#"$before"}")
        fi
    done < <(env COMP_LINE="$line" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is being typed, and that one."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)[1:]
        return (words, "") if not words or line[-1:].isspace() else (words[:-1], words[-1])


class Zsh(ZshComplete):
    """zsh, whose functions for it a shell without a configuration has not loaded."""

    source_template = (
        "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n" + ZshComplete.source_template
    )


def register() -> None:
    """Let click know these shells."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
