"""An option of the wrong type is refused by name, as our own error, before anything is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from artifact_store import ArtifactStore, Cache, FeatureSchema, IfBetter, Observation
from artifact_store.errors import InvalidInput, InvalidOption
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.staging import Staging

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"


class InBytes(os.PathLike[bytes]):
    """A path that is not text."""

    def __fspath__(self) -> bytes:
        return b"here"


def store() -> Any:
    return ArtifactStore(MemoryBackend())


def saved() -> Any:
    made = store()
    made.save({"a": 1}, KEY)
    made.save({"a": 2}, KEY)
    return made


TAKEN: dict[str, tuple[str, Callable[[Any], object]]] = {
    "cache": ("path", lambda value: ArtifactStore("memory://", cache=value)),
    "offline": ("offline", lambda value: ArtifactStore("memory://", cache="here", offline=value)),
    "folder of a cache": ("path|folder", Cache),
    "staging": ("path|staging", Staging.of),
    "old tree": ("path", ArtifactStore.open_legacy),
    "url": ("path", ArtifactStore),
    "concurrency": ("concurrency", lambda value: ArtifactStore("memory://", concurrency=value)),
    "provenance": ("provenance", lambda value: ArtifactStore("memory://", provenance=value)),
    "filesystem": ("filesystem", lambda value: ArtifactStore("memory://", filesystem=value)),
    "mode": ("mode", lambda value: IfBetter("loss", mode=value)),
    "components": ("components", lambda value: store().save({"a": 1}, KEY, components=value)),
    "component": ("component", lambda value: saved().load(KEY, component=value)),
    "sha256": ("sha256", lambda value: saved().load(KEY, sha256=value)),
    "prefer": ("prefer|alias", lambda value: saved().find(KEY, prefer=value)),
    "progress of many": ("progress", lambda value: saved().load_many([KEY], progress=value)),
    "progress": ("progress", lambda value: ArtifactStore("memory://", progress=value)),
    "target of a copy": ("other", lambda value: saved().copy(KEY, value)),
    "target of a mirror": ("other", lambda value: saved().mirror(value)),
    "aliases of a copy": ("aliases|alias", lambda value: saved().copy(KEY, store(), aliases=value)),
    "announce of a copy": ("announce", lambda value: saved().copy(KEY, store(), announce=value)),
    "announce of a validation": ("announce", lambda value: saved().validate(KEY, announce=value)),
    "file of an export": ("path", lambda value: saved().export(KEY, value)),
    "compression": ("compression", lambda value: ArtifactStore("memory://", compression=value)),
    "reason of a rollback": ("reason", lambda value: saved().rollback(KEY, reason=value)),
    "reason of a retirement": ("reason", lambda value: saved().retire(KEY, reason=value)),
    "names": ("name", FeatureSchema),
    "selected": ("selected", lambda value: FeatureSchema(["a"], selected=value)),
    "dtypes": ("dtypes", lambda value: FeatureSchema(["a"], dtypes=value)),
    "categories": ("categories", lambda value: FeatureSchema(["a"], categories=value)),
    "missing": ("missing", lambda value: FeatureSchema(["a"], missing=value)),
    "shape": ("shape", Observation),
}


@pytest.mark.parametrize("value", [5, [[]], InBytes(), object()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("option", TAKEN)
def test_an_option_of_the_wrong_type_is_refused_by_name(option: str, value: Any) -> None:
    name, give = TAKEN[option]
    with pytest.raises((InvalidOption, InvalidInput), match=name):
        give(value)


@pytest.mark.parametrize("refs", [5, None, object()])
def test_what_is_no_list_of_references_is_refused(refs: Any) -> None:
    with pytest.raises(InvalidOption, match="refs is a list of references"):
        saved().load_many(refs)


def test_a_path_that_no_system_takes_is_refused() -> None:
    with pytest.raises(InvalidOption, match="path"):
        Staging.of("here\0")


def test_a_reason_that_is_no_text_is_refused_before_the_run_is_committed() -> None:
    made = store()
    draft = made.new_run(KEY)
    draft.add("model", np.zeros(1))
    draft.reason = 5  # type: ignore[assignment]
    with pytest.raises(InvalidOption, match="reason is text"):
        draft.commit()
    draft.discard()
    assert list(made.runs(KEY)) == []
