"""One old run, and what a new one is to hold of it: components, features, settings, and where it came from.

The same for reading in place and for migrating, and the same bytes each time: nothing comes from the clock, from the
machine or from the libraries that happen to be imported. No stored code runs; a part that cannot be read without is
left out, and the run says in ``requires`` that predicting needs it.

A run keeps its id. One that has none gets the time of its ``created_at``, or else the one inside of its file, and the
beginning of its digest; where no time is stored at all, that of the epoch, so that it is never taken for the newest.
Times without a zone are taken as UTC, as the digits of the run ids are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from artifact_store.canonical import canonical, sha256
from artifact_store.core.names import ModelKey, RunId
from artifact_store.draft import Draft
from artifact_store.errors import ArtifactStoreError, Corrupt
from artifact_store.features.schema import FeatureSchema
from artifact_store.legacy.formats import features
from artifact_store.legacy.formats.families import READERS, Files, Parts
from artifact_store.legacy.pickle_reader.limits import LIMITS
from artifact_store.legacy.trees import file_names, layout
from artifact_store.legacy.trees.layout import OldRun
from artifact_store.legacy.trees.notes import MAX_NOTES, parse_notes
from artifact_store.problems import Problem

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a run was trained of which that is not known."""
MAX_FILE: Final = LIMITS.size
"""Bytes of one file of an old run; no reader takes more."""
SOURCE_TAG: Final = "legacy_source"
DIGEST_TAG: Final = "legacy_sha256"

_NOTES: Final = (file_names.METADATA, file_names.MODEL_METADATA, file_names.CONFIG)


@dataclass(frozen=True, slots=True)
class Opened:
    """The bytes of an old run, each file read once; ``unread`` has those that could not be, by what they are for."""

    old: OldRun
    data: Mapping[str, bytes]
    unread: Mapping[str, ArtifactStoreError]
    digest: str

    @property
    def spare_id(self) -> RunId:
        """The id of a run that has none and of which no time is known."""
        return _id_at(EPOCH, self.digest)


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What came of reading an old run, in words: what was found, what was concluded, and which parts were refused."""

    features: str = ""
    found: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    refused: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversion:
    """A new run that is ready to be filled in. Equal files make equal conversions."""

    key: ModelKey
    run_id: RunId
    digest: str
    created_at: datetime
    parts: Parts
    features: FeatureSchema
    tags: Mapping[str, str]
    requires: tuple[str, ...] = ()
    """The components that predicting needs, those that could not be read included."""
    report: ConversionReport = field(default_factory=ConversionReport)

    def fill(self, draft: Draft) -> None:
        """Put everything into a draft of this run.

        Raises:
            NotEncodable, CodecUnavailable, InvalidInput: a codec cannot hold a component; the draft is discarded.
        """
        parts = self.parts
        try:
            draft.features, draft.recovered = self.features, True
            draft.config, draft.training_config = dict(parts.config), dict(parts.training_config)
            draft.metrics, draft.tags = dict(parts.metrics), dict(self.tags)
            draft.requires = self.requires
            draft.created_at = self.created_at
            draft.environment = draft.provenance = {}  # those of the training are not known, and ours are others
            for name, component in parts.components.items():
                draft.add(name, component)
        except BaseException:
            draft.discard()
            raise


def open_old(old: OldRun) -> Opened:
    """Read the files of a run and hash them. A file that cannot be read is noted, and hashes as such."""
    data: dict[str, bytes] = {}
    unread: dict[str, ArtifactStoreError] = {}
    for role, path in old.files.items():
        try:
            data[role] = layout.read_file(path, limit=MAX_NOTES if role in _NOTES else MAX_FILE)
        except ArtifactStoreError as error:
            unread[role] = error
    digests = {path.name: sha256(data[role]) if role in data else None for role, path in old.files.items()}
    return Opened(old, data, unread, sha256(canonical(digests)))


def convert(opened: Opened, own: tuple[type, ...] = ()) -> Conversion:
    """Return what the new run is to hold. ``own`` are classes of the caller's that an agent may be made with.

    Raises:
        Corrupt: the model is missing, damaged, or of another family.
        RiskRefused: it could be read only by running what is stored.
        FeatureMismatch: what is stored about its features contradicts the model, or itself.
        AccessDenied, CodecUnavailable: it may not be read, or needs a library that is not installed.
    """
    old = opened.old
    if file_names.MODEL in opened.unread:
        raise opened.unread[file_names.MODEL]
    if file_names.MODEL not in opened.data:
        wanted = " or ".join(file_names.MODEL + suffix for suffix in file_names.FAMILIES[old.key.model_type])
        raise Corrupt(f"{old.source} has no model: there should be a {wanted}")
    names = {role: path.name for role, path in old.files.items()}
    notes = {role: parse_notes(names[role], opened.data[role]) for role in _NOTES if role in opened.data}
    try:
        parts = READERS[old.key.model_type](Files(opened.data, names, notes, own))
        recovered = features.recover_features(parts.evidence)
    except ArtifactStoreError:
        raise
    except Exception as error:  # a library met what it did not expect; the other runs of the tree go on
        raise Corrupt(f"{names[file_names.MODEL]} cannot be read: {type(error).__name__}: {error}") from error
    return _assembled(opened, parts, recovered)


def _assembled(opened: Opened, parts: Parts, recovered: features.Recovered) -> Conversion:
    old = opened.old
    time = datetime.strptime(old.run_id[:15], "%Y%m%d_%H%M%S").replace(tzinfo=UTC) if old.run_id else parts.written_at
    created_at = parts.created_at or time
    run_id = old.run_id or _id_at(created_at or EPOCH, opened.digest)
    there = {role for role in (file_names.PREPROCESSOR, file_names.VECNORMALIZE) if role in old.files}
    needs = (there | parts.needs) - parts.idle
    tags = {SOURCE_TAG: old.source, DIGEST_TAG: opened.digest}
    refused = [*parts.refused, *((old.files[role].name, error) for role, error in opened.unread.items())]
    refused += [(name, Corrupt(f"it is missing, and {old.source} was trained with one")) for name in needs - there]
    return Conversion(
        key=old.key,
        run_id=run_id,
        digest=opened.digest,
        created_at=created_at or EPOCH,
        parts=parts,
        features=recovered.schema,
        tags=tags,
        requires=tuple(sorted(needs)),
        report=ConversionReport(
            features=str(recovered),
            found=(*parts.found, *(f"{name} is left behind" for name in old.left)),
            inferred=tuple(_inferred(opened, parts, recovered, run_id, created_at)),
            refused=tuple(Problem(name, error) for name, error in sorted(refused, key=lambda each: each[0])),
        ),
    )


def _inferred(
    opened: Opened, parts: Parts, recovered: features.Recovered, run_id: RunId, created_at: datetime | None
) -> Iterator[str]:
    """Tell which facts about the run are not stored as such, and what was concluded of its parts."""
    if opened.old.run_id is None:
        yield f"the run id {run_id}: from the {'time' if created_at else 'epoch'} and the content"
    if parts.created_at is None:
        told = "the time in the run id" if opened.old.run_id else "when the model file was written"
        yield f"created_at: {told if created_at else 'not known, so the epoch'}"
    if recovered.known == "inferred":
        yield f"the names of the features: made up ({recovered.origin})"
    elif recovered.known == "preprocessor":
        yield f"the names of the features: {recovered.origin}"
    yield from (*parts.inferred, *recovered.remarks)


def _id_at(time: datetime, digest: str) -> RunId:
    return RunId(f"{time:%Y%m%d_%H%M%S}_{digest[:12]}")
