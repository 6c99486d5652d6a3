"""Where a run comes about: the environment and the code of this process, or what the caller says instead.

Gathered beside the encoding and the upload, so that a save hardly waits for it; how long it may take at most is for
:mod:`artifact_store.ops.provenance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artifact_store.ops import environment, provenance
from artifact_store.ops.context import Context


class RunProvenance:
    """The environment and the provenance of one run. Where the caller gives either, neither is found out."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._gathering: provenance.Gathering | None = None
        self._found: dict[str, Any] | None = None
        self.libraries: set[str] = set()
        """What the codecs of the run work with."""

    def begin(self) -> None:
        """Begin to find out about this process, unless that is not to be recorded."""
        if self._gathering is None and self._context.provenance:
            self._gathering = provenance.begin(self._context.workers, self._context.provenance)

    def complete(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a manifest with both of them; the same ones however often it is asked."""
        if self._found is None:
            gathered = None if {"environment", "provenance"} & fields.keys() else self._gathering
            self._found = {
                "environment": environment.describe_process(self.libraries, gathered.packages() if gathered else {}),
                "provenance": gathered.provenance() if gathered else {},
            }
        return {**self._found, **fields}
