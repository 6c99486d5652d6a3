"""The runs that a person has chosen for damaged pointers: which pointer each is meant for, and whether it is there.

A choice is ``type/symbol:run_id`` where one pointer of that model is damaged, or ``type/symbol@alias=run_id``.

Why: docs/decisions/0010-rebuilding-a-pointer.md
"""

from __future__ import annotations

from collections.abc import Sequence

from artifact_store.core.grammar import RUN_ID
from artifact_store.core.manifest import Manifest
from artifact_store.core.references import RunRef
from artifact_store.errors import Conflict, InvalidOption, InvalidReference
from artifact_store.ops import resolve
from artifact_store.ops.context import Context


def read_choices(context: Context, damaged: Sequence[str], choices: Sequence[str]) -> dict[str, Manifest]:
    """Return the manifest of each chosen run by the alias it is meant for; ``damaged`` are the aliases that need one.

    Raises:
        RunNotFound, RunDeleted: the run is not there (any more).
        Conflict: it is a run of another model than that of the pointer.
        InvalidOption: no such pointer is damaged, or it is not said which of several is meant, or one is named twice.
        InvalidReference, InvalidName: it is not the full name of a run.
    """
    found: dict[str, Manifest] = {}
    for choice in choices:
        alias, run = _meant(damaged, choice)
        if alias in found:
            raise InvalidOption(f"two runs are chosen for {alias}: name one")
        manifest = resolve.resolve(context, run, signed=False)  # the repair itself checks signatures
        if manifest.key != RunRef.parse(alias).key:
            raise Conflict(
                f"{manifest.label} is not a run of the model of {alias}; an alias only names runs of its own"
            )
        found[alias] = manifest
    return found


def _meant(damaged: Sequence[str], choice: str) -> tuple[str, RunRef]:
    """Return the alias that a choice is meant for, and the run."""
    for alias in damaged:
        if choice.startswith(f"{alias}="):
            run = choice.removeprefix(f"{alias}=")
            key = RunRef.parse(alias).key
            return alias, RunRef(key, None, run) if RUN_ID.fullmatch(run) else _run(run, choice)
    several = f"{', '.join(damaged)} {'is' if len(damaged) == 1 else 'are'}"
    if not damaged:
        raise InvalidOption(
            f"{choice} is chosen for a damaged pointer, and no pointer is damaged; promote publishes a run"
        )
    head, at, behind = choice.rpartition("@")
    if at and "=" in behind:
        alias = f"{head}@{behind.partition('=')[0]}"
        raise InvalidOption(f"the pointer {alias} is not damaged: {several}")
    chosen = _run(choice, choice)
    fitting = [alias for alias in damaged if RunRef.parse(alias).key == chosen.key]
    if not fitting:
        raise Conflict(f"{chosen} is a run of another model than that of the damaged pointer: {several}")
    if len(fitting) > 1:
        raise InvalidOption(
            f"{' and '.join(fitting)} are damaged: say which one is to name the run, as in {fitting[0]}={chosen.run}"
        )
    return fitting[0], chosen


def _run(text: str, choice: str) -> RunRef:
    ref = RunRef.parse(text)
    if ref.run_id is None:
        raise InvalidReference(f"{choice} does not name a run by its full id, such as {ref.key}:20240816_142301_k3f8qz")
    return ref
