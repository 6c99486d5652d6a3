"""Where a run comes about: the environment and the code of this process, or what the caller says instead.

Gathered beside the encoding and the upload, so that a save hardly waits for it; how long it may take at most is for
:mod:`artifact_store.ops.provenance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artifact_store.core.documents import named_values
from artifact_store.ops import environment, provenance
from artifact_store.ops.context import Context


class Surroundings:
    """The environment and the provenance of one run. Where the caller gives either, neither is found out."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._gathering: provenance.Gathering | None = None
        self._found: dict[str, Any] | None = None
        self.environment: Any = None
        self.provenance: Any = None
        self.libraries: set[str] = set()
        """What the codecs of the run work with."""

    @property
    def _is_given(self) -> bool:
        return self.environment is not None or self.provenance is not None

    def begin(self) -> None:
        """Begin to find out about this process, unless that was said already, or is not to be recorded."""
        if self._gathering is None and self._context.provenance and not self._is_given:
            self._gathering = provenance.begin(self._context.workers, self._context.provenance)

    def said(self) -> dict[str, Any]:
        """Return what the caller gives.

        Raises:
            InvalidOption: it is not a mapping of names to values that JSON can hold.
        """
        given = {"environment": self.environment, "provenance": self.provenance}
        return {name: named_values(name, value) for name, value in given.items() if value is not None}

    def found(self) -> Mapping[str, Any]:
        """Return the environment and the provenance; the same ones however often it is asked."""
        if self._found is None:
            gathered = None if self._is_given else self._gathering
            self._found = {
                "environment": environment.describe_process(self.libraries, gathered.packages() if gathered else {}),
                "provenance": gathered.provenance() if gathered else {},
            }
        return self._found | self.said()
