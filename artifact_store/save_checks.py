"""What a save proves before it stores anything: that what was encoded is there, and its example what the model says.

Composes what ``ops`` does; the draft decides when.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from artifact_store.core.codec import as_libraries_spell, check_categories, check_inputs, made_up
from artifact_store.core.manifest import Component, FileEntry, Manifest
from artifact_store.errors import InvalidInput, NotEncodable, StagingUnavailable
from artifact_store.features.schema import FeatureSchema
from artifact_store.features.tables import table_of
from artifact_store.ops.context import Context
from artifact_store.ops.golden import check_example
from artifact_store.ops.verdict import Verdict
from artifact_store.run import CachingRun


def check_staged(written: Collection[str], staged: Collection[str], folder: Path) -> None:
    """Raise ``StagingUnavailable`` unless all that codecs have written into ``folder`` is there still."""
    if lost := sorted(set(written).difference(staged)):
        raise StagingUnavailable(
            f"{', '.join(lost)} was removed from the temporary folder {folder} before it could be stored, and nothing "
            "was stored. Keep programs that clean temporary folders away from it, or name another one with "
            "staging=FOLDER, and save again"
        )


def repeat_example(
    context: Context, fields: Mapping[str, Any], components: Mapping[str, Component], directory: Path
) -> None:
    """Refuse an example that the model, as it was encoded in ``directory``, does not repeat.

    Where nothing that is installed predicts with the model, nothing can be refused.

    Raises:
        NotEncodable: what a codec wrote, it cannot read.
        InvalidInput: the model says something else.
    """

    def decode(name: str, into: Any | None) -> Any:
        component = planned.component(name)
        codec = context.registry.for_ref(component.codec.ref)
        try:
            return codec.decode(directory, name, component.options, into=into)
        except Exception as error:
            raise NotEncodable(
                f"what the codec {component.codec.ref} wrote of {name!r} cannot be read back, so nothing was stored: "
                f"{type(error).__name__}: {error}"
            ) from error

    paths = [path for component in components.values() for path in component.files]
    files = tuple(FileEntry(path=path, key=path, size=0, sha256="0" * 64) for path in paths)
    planned = Manifest(store_id="", files=files, components=components, **fields)
    found = check_example(CachingRun(context, planned, decode))
    if found.verdict is not Verdict.WRONG or found.error is None:
        return
    if isinstance(found.error, NotEncodable):
        raise found.error
    raise InvalidInput(
        f"the model that is to be saved does not repeat its example: {found.error}. Nothing was stored: an example has "
        "raw inputs, and what this very model says to them"
    ) from found.error


_Lists = Sequence[Sequence[object]]


def check_models(
    features: FeatureSchema, inputs: Mapping[str, Sequence[str]], recorded: Mapping[str, _Lists], *, recovered: bool
) -> None:
    """Refuse features that are not those of the models of a run, by component, which know their own inputs.

    Features that were ``recovered`` after the training may know nothing of the categories.

    Raises:
        FeatureMismatch: a model would be fed with the wrong columns, or take one category for another.
    """
    names = features.selected_names
    for name, own in inputs.items():
        check_inputs(name, own, names)
    for name, lists in recorded.items():
        if features.categories or not recovered:
            check_categories(name, lists, names, features.categories)


def own_features(
    inputs: Mapping[str, Sequence[str]], recorded: Mapping[str, _Lists], example: Any | None
) -> FeatureSchema | None:
    """Return features that say what the model of a run itself says, or none where it knows no names.

    Libraries replace signs in names: where the table of an example has all of these columns, its spelling counts.
    A model that recorded categories does not say of which columns they are, so nothing can be said for it.
    """
    own = inputs.get("model", ())
    if recorded.get("model") or all(made_up(name) for name in own):
        return None
    kind = None if example is None else table_of(example)
    columns = () if kind is None else kind.names(example)
    spelled = {as_libraries_spell(str(name)): str(name) for name in columns}
    try:
        return FeatureSchema([spelled.get(as_libraries_spell(name), name) for name in own])
    except InvalidInput:  # two names that are one
        return None
