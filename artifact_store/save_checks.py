"""What a save proves before it stores anything: of what it is given, of what was encoded, and of its example.

Composes what ``ops`` does; the draft decides when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from artifact_store.core.codec import as_libraries_spell, check_categories, check_inputs, made_up
from artifact_store.core.file_names import stored_name
from artifact_store.core.manifest import Component, FileEntry, Manifest
from artifact_store.core.names import check_component
from artifact_store.core.observing import unwrapped
from artifact_store.errors import InvalidInput, InvalidOption, NotEncodable, StagingUnavailable
from artifact_store.features.schema import FeatureSchema
from artifact_store.features.tables import table_of
from artifact_store.ops.context import Context
from artifact_store.ops.golden import check_example
from artifact_store.ops.verdict import Verdict
from artifact_store.run import CachingRun
from artifact_store.storage.home import at_home
from artifact_store.wording import brief

_LONGEST_PATH: Final = 4096


def check_object(name: str, obj: Any, codec: str | None, ignore: Iterable[str]) -> Any:
    """Return what is to be encoded as a component: ``obj``, or a folder without what is to be ignored.

    Raises:
        NotEncodable: it is text that names a file or a folder, and no codec for text was asked for; or ``None``.
        InvalidOption: there is something to ignore, and it is not a folder.
    """
    if obj is None and codec is None:
        raise NotEncodable(
            f"{name!r} is None: does the function that made it return it? To store None itself, name a codec: "
            "codec='json', of a component beside the model in Draft.add"
        )
    if isinstance(obj, str) and codec is None and _is_path(obj):
        raise NotEncodable(
            f"{name!r} is text, and names what is at {obj!r}. To store that, give Path({obj!r}); to store the text "
            "itself, name a codec: codec='json', of a component beside the model in Draft.add"
        )
    if isinstance(obj, Path):
        obj = at_home(obj)
    if isinstance(ignore, str) or not isinstance(ignore, Iterable):
        raise InvalidOption(f"ignore is a list of patterns such as ['*.tmp'], not {brief(ignore)}")
    patterns = tuple(ignore)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise InvalidOption(f"ignore is a list of patterns such as ['*.tmp'], not {brief(patterns)}")
    if not patterns:
        return obj
    if not isinstance(obj, Path):
        raise InvalidOption(f"ignore says what of a folder is left out, and {name!r} is a {type(obj).__name__}")
    from artifact_store.codecs.raw import FilteredFolder

    return FilteredFolder(obj, patterns)


def _is_path(text: str) -> bool:
    """Tell whether a text looks like a path and something is there."""
    if len(text) > _LONGEST_PATH or "\n" in text or not ("/" in text or "\\" in text or Path(text).suffix):
        return False
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


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
    files = tuple(FileEntry(path=path, key=stored_name(path), size=0, sha256="0" * 64) for path in paths)
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


def names(what: str, value: Any) -> tuple[str, ...]:
    """Return names of components in order, each once."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidOption(f"{what} is a list of names of components, not {value!r}")
    return tuple(sorted({check_component(name) for name in value}))


def check_wrapped(components: Mapping[str, Component], required: Iterable[str]) -> None:
    """Refuse an agent without what it was trained behind: it would see other observations, and act wrongly.

    A run that is ``required`` to have more than it has says itself that it is not whole.

    Raises:
        InvalidInput: no component holds that, or one holds another.
    """
    if not set(required) <= components.keys():
        return
    for found in unwrapped(components):
        raise InvalidInput(
            f"{found}, so it would be given other observations than in its training. Nothing was stored: save what is "
            f"around its environments as well, components={{'{found.agent}_vecnormalize': agent.get_env()}}; or, if it "
            "is to get observations as they are, take the environments away first: agent.env = None"
        )


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
