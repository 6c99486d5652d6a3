"""A run that is committed: what it says of itself, its components and its files.

Composes what ``core`` and ``ops`` do, and holds no rule of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from artifact_store.core import keys, trust
from artifact_store.core.documents import NON_FINITE
from artifact_store.core.errors import ArtifactStoreError
from artifact_store.core.features import FeatureSchema
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import FileEntry, Manifest, summary
from artifact_store.core.pointer import Pointer
from artifact_store.core.references import RunRef
from artifact_store.ops import fetch
from artifact_store.ops.audit import RunReport, verify_run
from artifact_store.ops.context import Context
from artifact_store.ops.predict import check_example


@dataclass(frozen=True, slots=True)
class Example:
    """Golden predictions: some inputs, and what the model said to them when it was saved."""

    inputs: Any
    outputs: Any


@dataclass(frozen=True, slots=True)
class Published:
    """Whether a save was published, and if not, why. True or false as a value."""

    pointer: Pointer | None
    reason: str = ""
    error: ArtifactStoreError | None = None

    def __bool__(self) -> bool:
        return self.pointer is not None

    def __str__(self) -> str:
        if self.pointer is not None:
            return f"published as {self.pointer.alias!r}, seq {self.pointer.seq}"
        return f"committed, not published, because {self.reason}"


class Run:
    """A committed run: complete, immutable, and compared byte for byte with its manifest whenever it is read."""

    def __init__(
        self,
        context: Context,
        manifest: Manifest,
        *,
        published: Published | None = None,
        found_by: tuple[str, ...] = (),
    ) -> None:
        self._context = context
        self.manifest = manifest
        self.published = published
        """What came of publishing it, where this is the result of a save."""
        self.found_by = found_by
        """The steps that led here, where this is the result of ``find``."""

    def __repr__(self) -> str:
        return f"<Run {self.manifest.label} of {self._context.backend.url}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.manifest.digest == other.manifest.digest

    def __hash__(self) -> int:
        return hash(self.manifest.digest)

    @property
    def key(self) -> ModelKey:
        """Which model it is a run of."""
        return self.manifest.key

    @property
    def run_id(self) -> RunId:
        """Its id: sorts by time."""
        return RunId(self.manifest.run_id)

    @property
    def ref(self) -> RunRef:
        """The reference that always means this very run."""
        return RunRef(self.key, None, self.run_id)

    @property
    def created_at(self) -> datetime:
        """When it was saved, by the clock of the machine that saved it (aware, UTC)."""
        return self.manifest.created_at

    @property
    def features(self) -> FeatureSchema | None:
        """The features it was trained on, or ``None`` if it was saved without."""
        value = self.manifest.features
        return None if value is None else FeatureSchema.from_json(value)

    @property
    def config(self) -> dict[str, Any]:
        """What it was saved with as ``config`` (a copy)."""
        return copy.deepcopy(dict(self.manifest.config))

    @property
    def training_config(self) -> dict[str, Any]:
        """What it was saved with as ``training_config`` (a copy)."""
        return copy.deepcopy(dict(self.manifest.training_config))

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics as numbers; NaN and infinities included."""
        found = self.manifest.metrics.items()
        return {name: NON_FINITE[value] if isinstance(value, str) else value for name, value in found}

    @property
    def tags(self) -> dict[str, str]:
        """Its tags (a copy)."""
        return dict(self.manifest.tags)

    @property
    def metadata(self) -> dict[str, Any]:
        """The fields of its ``metadata.json``."""
        return copy.deepcopy(summary(dict(self.manifest), self.features))

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """Its files by name, each with ``size`` in bytes and ``sha256``."""
        return {entry.path: entry for entry in self.manifest.files}

    @property
    def components(self) -> tuple[str, ...]:
        """The names that :meth:`load` takes."""
        return tuple(self.manifest.components)

    def load(
        self,
        component: str = "model",
        *,
        into: Any | None = None,
        allow_code: bool = False,
        sha256: str | None = None,
    ) -> Any:
        """Return a component as it was saved: every byte is compared with the manifest before it is decoded.

        ``into`` is filled instead of making a new object, by codecs that can. ``sha256`` is the digest of the
        manifest, or of the component's only file, that you trust; ``allow_code`` says that you trust it unseen.

        Raises:
            ComponentNotFound: the run has none of this name.
            RiskRefused: decoding could run code, and neither policy nor arguments allow that.
            SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was decoded.
            DigestMismatch, Corrupt: the stored bytes are not those that were saved; nothing was decoded.
            CodecUnavailable: the library that it needs is not installed.
            RunDeleted: the run was deleted meanwhile.
        """
        return fetch.decode(self._context, self.manifest, component, trust.Consent(allow_code, sha256), into)

    def load_example(self) -> Example | None:
        """Return the golden predictions that it was saved with, or ``None``."""
        if "example_inputs" not in self.manifest.components:
            return None
        return Example(self.load("example_inputs"), self.load("example_outputs"))

    def open(self, name: str) -> IO[bytes]:
        """Return a readable copy of one file, compared with the manifest before it is returned.

        Raises:
            FileNotInRun: it has no file of this name.
            DigestMismatch, Corrupt: the stored bytes are not those that were saved.
        """
        return fetch.open_file(self._context, self.manifest, self.manifest.file(name))

    def download(self, directory: str | Path, *, all_signatures: bool = False) -> Path:
        """Copy all files and the manifest to a new or empty folder, each compared, and return the folder.

        The signatures that the run was saved with come along, and those by keys that the policy trusts;
        ``all_signatures`` lists what else there is. `model_signing verify key` accepts the folder with any of them.

        Raises:
            InvalidOption: the folder holds something.
            DigestMismatch, Corrupt: a stored file is not the one that was saved.
            SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was copied.
        """
        target = fetch.check_new(Path(directory))
        fetch.fetch_run(self._context, self.manifest, target, all_signatures=all_signatures)
        return target

    def check_signature(self) -> None:
        """Raise unless the run is signed as the policy requires it. Does nothing where the policy requires nothing.

        Raises:
            SignatureMissing, SignatureInvalid, UntrustedKey: it is not.
            RunDeleted: the run was deleted meanwhile.
        """
        fetch.check_signed(self._context, self.manifest)

    def url(self, name: str = "") -> str:
        """Return where the run, or one file of it, is stored, in the spelling of the store's own URL."""
        stored = self.manifest.file(name).key if name else ""
        return keys.below(self._context.backend.url, keys.run_prefix(self.key, self.run_id) + stored)

    def verify(self, *, predict: bool = False) -> RunReport:
        """Read every stored byte and compare it with the manifest; with ``predict`` the golden predictions, too.

        Damage is reported, not raised: ``report.ok``, ``report.problems``.
        """
        return verify_run(self._context, self.manifest, (lambda _: check_example(self)) if predict else None)
