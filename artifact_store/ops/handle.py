"""What checking asks of a run: the part of it that operations use, without knowing how a run is made or held."""

from __future__ import annotations

from typing import Any, Protocol

from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.references import RunRef
from artifact_store.features.schema import FeatureSchema


class ExampleLike(Protocol):
    """Golden predictions, as far as they are repeated: see :class:`artifact_store.Example`."""

    @property
    def inputs(self) -> Any:
        """What the model was given."""

    @property
    def outputs(self) -> Any:
        """What it said."""

    @property
    def method(self) -> str:
        """What it was asked."""


class RunLike(Protocol):
    """A run as the checks see it; :class:`artifact_store.Run` is one."""

    @property
    def manifest(self) -> Manifest:
        """What was committed."""

    @property
    def key(self) -> ModelKey:
        """Which model it is a run of."""

    @property
    def ref(self) -> RunRef:
        """The reference that always means this very run."""

    @property
    def features(self) -> FeatureSchema | None:
        """The features it was trained on, or ``None``."""

    @property
    def components(self) -> tuple[str, ...]:
        """The names that :meth:`load` takes."""

    def behind(self, agent: str = "model") -> str | None:
        """Return the name of the component that holds what an agent was trained behind."""

    def load(self, component: str = "model") -> Any:
        """Return a component."""

    def load_example(self) -> ExampleLike | None:
        """Return the golden predictions, if it has some."""
