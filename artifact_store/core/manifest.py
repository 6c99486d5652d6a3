"""The manifest: the immutable description of one run, whose existence is the commit.

Owns what a run consists of and the compatibility of that description. Opens no file and knows no storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal

from artifact_store.canonical import sha256
from artifact_store.core import keys
from artifact_store.core.codec import CodecRef, Risk
from artifact_store.core.documents import (
    REQUIRES,
    Kind,
    NonFinite,
    RunDocument,
    Sha256,
    Time,
    WriteId,
    write_time,
)
from artifact_store.core.files import Digest
from artifact_store.core.names import ModelKey, RunId, check_component
from artifact_store.core.references import RunRef
from artifact_store.core.values import Value, at_least, made, pattern
from artifact_store.errors import ComponentNotFound, FileNotInRun, InvalidOption
from artifact_store.features.schema import FeatureSchema

MAX_MANIFEST: Final = 8 << 20
"""Bytes; more is refused before it is parsed."""

_FEW: Final = 16

Json = Any
Size = Annotated[int, at_least(0, 1 << 53)]


class FileEntry(Value):
    """One file of a run: ``path`` is its name for readers, ``key`` the name it is stored under (mostly the same).

    ``size`` and ``sha256`` are those of the file as it was saved, however it is stored.
    """

    path: str
    key: str
    size: Size
    sha256: Sha256
    zstd: Size | None = None
    """The bytes of the frame of zstd that is stored in its place; ``None`` where it is stored as it is."""

    @property
    def stored_size(self) -> int:
        """The bytes of the stored object."""
        return self.size if self.zstd is None else self.zstd


class CodecRecord(Value):
    """Which codec wrote a component."""

    name: Annotated[str, pattern(r"^[a-z][a-z0-9-]{0,63}$")]
    version: Annotated[int, at_least(1)]

    @property
    def ref(self) -> CodecRef:
        """The value that the registry takes."""
        return CodecRef(self.name, self.version)


class Component(Value):
    """One named object of a run: its codec, its files, and what decoding needs to know beside them."""

    codec: CodecRecord
    risk: Risk
    type: str
    files: tuple[str, ...]
    options: Mapping[str, Json] = made(default_factory=dict)


class PublishIntent(Value):
    """What the saver wanted to publish; tells a run that was kept back on purpose from one that was cut short."""

    alias: str
    policy: Literal["always", "if_newer", "if_better", "expect", "never"]
    metric: str | None = None
    mode: Literal["min", "max"] | None = None


class Parent(Value):
    """The run that a run was made from, as its saver said: its exact reference, and which manifest it had then.

    ``store_id`` and ``manifest_sha256`` are those of its manifest, or ``None`` where that could not be read any more.
    """

    ref: str
    store_id: str | None = None
    manifest_sha256: Sha256 | None = None

    def _check(self) -> None:
        """Refuse a reference that could come to mean another run."""
        if RunRef.parse(self.ref).run_id is None:
            raise ValueError(f"{self.ref[:200]!r} does not name one run by its whole id")


class DataDigest(Value):
    """What some data of the training was: the digest of a file, or of a folder (FORMAT.md says how)."""

    size: Size
    sha256: Sha256

    @property
    def digest(self) -> Digest:
        """The value that a save takes."""
        return Digest(self.size, self.sha256)


class Manifest(RunDocument):
    """Everything that is known about one run, as one frozen value.

    Two manifests are the same run description exactly if their bytes are equal.
    """

    KIND: ClassVar[Kind] = "run"
    LIMIT: ClassVar[int] = MAX_MANIFEST
    LEFT_OUT_IF_EMPTY: ClassVar[frozenset[str]] = frozenset(
        {"signed_by", "description", "parent", "data", "provenance", "requires", "forms"}
    )

    store_id: str
    write_id: WriteId
    created_at: Time
    files: tuple[FileEntry, ...]
    components: Mapping[str, Component]
    features: Mapping[str, Json] | None = None
    is_fitted: bool = True
    config: Mapping[str, Json] = made(default_factory=dict)
    training_config: Mapping[str, Json] = made(default_factory=dict)
    metrics: Mapping[str, float | int | NonFinite] = made(default_factory=dict)
    tags: Mapping[str, str] = made(default_factory=dict)
    environment: Mapping[str, Json] = made(default_factory=dict)
    publish: PublishIntent
    signed_by: tuple[Sha256, ...] = ()
    """The ids of the keys that the saver signs with: where to look, and no proof of anything."""
    description: str = ""
    """What its saver wants people to know about it."""
    parent: Parent | None = None
    data: Mapping[str, DataDigest] = made(default_factory=dict)
    provenance: Mapping[str, Json] = made(default_factory=dict)
    """Which code made it, and who ran that and where; information only."""
    requires: tuple[str, ...] = ()
    """The components that predicting needs besides ``model``; :attr:`needed` knows those of older runs, too."""
    forms: Mapping[str, Json] = made(default_factory=dict)
    """What JSON does not tell of ``config`` and ``training_config``: :mod:`artifact_store.core.forms`."""

    def model_dump(self, *, mode: Literal["json"]) -> dict[str, Any]:
        """Return the fields as JSON; a file that is stored as it is says no more than it always did."""
        value = super().model_dump(mode=mode)
        for file in value["files"]:
            if file["zstd"] is None:
                del file["zstd"]
        return value

    def _check(self) -> None:
        """Refuse names outside the grammar, keys that lead elsewhere, and parts that are not there."""
        ModelKey(self.model_type, self.symbol)
        RunId(self.run_id)
        paths = [entry.path for entry in self.files]
        check_files(self.files)
        for name, component in self.components.items():
            check_component(name)
            if not component.files or not set(component.files) <= set(paths):
                raise ValueError(f"the component {name!r} names files that the run does not have")
        for name in self.requires:
            check_component(name)
        if list(self.requires) != sorted(set(self.requires)):
            raise ValueError("the names in 'requires' are not in order, or one stands there twice")

    @property
    def needed(self) -> tuple[str, ...]:
        """The components that predicting needs besides ``model``.

        A run that was saved before there was a field for them has them in the tag ``requires``, with commas.
        """
        if self.requires:
            return self.requires
        return tuple(filter(None, map(str.strip, self.tags.get(REQUIRES, "").split(","))))

    @property
    def lost(self) -> tuple[str, ...]:
        """The components that predicting needs, and that this run does not have."""
        return tuple(name for name in self.needed if name not in self.components)

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(entry.size for entry in self.files)

    @property
    def file_count(self) -> int:
        """How many files it has."""
        return len(self.files)

    @property
    def digest(self) -> str:
        """The sha256 of the bytes of ``manifest.json``, which pins the whole run."""
        return sha256(self.to_bytes())

    def component(self, name: str) -> Component:
        """Return a component by name, or raise ``ComponentNotFound`` with those there are."""
        if not isinstance(name, str):
            raise InvalidOption(f"a component is named by a text, not {name!r}")
        if name not in self.components:
            raise ComponentNotFound(f"{self.label} has no component {name!r}; it has: {', '.join(self.components)}")
        return self.components[name]

    def file(self, path: str) -> FileEntry:
        """Return a file by its path, or raise ``FileNotInRun`` with those there are."""
        for entry in self.files:
            if entry.path == path:
                return entry
        names = ", ".join(entry.path for entry in self.files)
        raise FileNotInRun(f"{self.label} has no file {path!r}; it has: {names}")


def check_files(files: Sequence[FileEntry]) -> None:
    """Raise ``ValueError`` or ``InvalidName`` unless files may have these names, and lie under these."""
    check = _check_usual_names if len(files) <= _FEW else _check_names
    check(tuple((entry.path, entry.key, entry.zstd is not None) for entry in files))


def _check_names(files: tuple[tuple[str, str, bool], ...]) -> None:
    """Refuse files that a run cannot have, by the path and the key of each, and whether it is compressed."""
    for path, key, packed in files:
        if path != keys.METADATA:
            keys.check_path(path)
        if not keys.is_name_of(key, path, packed=packed):
            raise ValueError(f"the file {path!r} is said to be stored at {key!r}")
    keys.check_twins(path for path, _, _ in files)
    if len({key for _, key, _ in files}) < len(files):
        raise ValueError("two files are said to be stored at the same place")


_check_usual_names = lru_cache(maxsize=256)(_check_names)  # most runs have the names of files that others have


def summary(fields: Mapping[str, Any], features: FeatureSchema | None) -> dict[str, Any]:
    """Return the content of the flat ``metadata.json``, from the same values that the manifest is made of.

    ``feature_names`` are always all names; ``selected_features`` are indices into them.
    """
    names = list(features.names) if features is not None else []
    return {
        "model_type": fields["model_type"],
        "run_id": str(fields["run_id"]),
        "symbol": fields["symbol"],
        "created_at": write_time(fields["created_at"]),
        "config": dict(fields["config"]),
        "is_fitted": fields["is_fitted"],
        "feature_names": names,
        "selected_features": list(features.selected) if features is not None else [],
        "feature_count": len(names),
        "input_size_actual": features.input_size if features is not None else None,
        "training_config": dict(fields["training_config"]),
    }
