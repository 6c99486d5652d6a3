"""A run that is committed: what it says of itself, its components and its files.

Composes what ``core`` and ``ops`` do, and holds no rule of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from artifact_store.core import keys, trust
from artifact_store.core.codec import Risk
from artifact_store.core.documents import NON_FINITE
from artifact_store.core.files import Digest
from artifact_store.core.forms import restored
from artifact_store.core.manifest import FileEntry, Manifest, summary
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.observing import holder
from artifact_store.core.pointer import Pointer
from artifact_store.core.references import RunRef
from artifact_store.errors import ArtifactStoreError, Corrupt, InvalidOption
from artifact_store.features.schema import FeatureSchema
from artifact_store.noting import Noting, Unchanging
from artifact_store.ops import read as fetch
from artifact_store.ops import signing
from artifact_store.ops.context import Context
from artifact_store.ops.predictor import METHODS
from artifact_store.storage.descriptors import exhaustion_told
from artifact_store.storage.home import at_home
from artifact_store.wording import brief

if TYPE_CHECKING:
    from artifact_store.core.compatibility import EnvironmentVerdict
    from artifact_store.core.index_rows import Row
    from artifact_store.ops.validate import Validation
    from artifact_store.ops.verify import RunReport


@dataclass(frozen=True, slots=True)
class Example:
    """Golden predictions: some inputs, and what the model said to them when it was saved.

    ``method`` is what it was asked: ``predict``, ``predict_proba``, ``predict_log_proba``, ``decision_function``,
    ``score_samples`` or ``transform``.

    Raises:
        InvalidOption: the method is not one of these.
    """

    inputs: Any
    outputs: Any
    method: str = "predict"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InvalidOption(f"the method of an example is one of {', '.join(METHODS)}, not {self.method!r}")


@dataclass(frozen=True, slots=True)
class Published:
    """Whether a save was published, and if not, why. True or false as a value."""

    pointer: Pointer | None
    reason: str = ""
    error: ArtifactStoreError | None = None
    validation: Validation | None = None
    """What came of validating it, where that was asked for and could be done."""

    def __bool__(self) -> bool:
        return self.pointer is not None

    def __str__(self) -> str:
        if self.pointer is None:
            return f"committed, not published, because {self.reason}"
        said = f"published as {self.pointer.alias!r}, seq {self.pointer.seq}"
        return said if self.validation is None else f"{said}; validated: {self.validation}"


class Run(Noting):
    """A committed run: complete, immutable, and compared byte for byte with its manifest whenever it is read."""

    def __init__(self, context: Context, found: Manifest | Row, *, found_by: tuple[str, ...] = ()) -> None:
        self._context = context
        self._found = found
        self.published: Published | None = None
        """What came of publishing it, where this is the result of a save."""
        self.found_by = found_by
        """The steps that led here, where this is the result of ``find``."""

    def __repr__(self) -> str:
        return f"<Run {self._found.label} of {self._context.backend.url}>"

    def __getstate__(self) -> dict[str, Any]:
        """Read the manifest, if it was not read yet: elsewhere there is no listing that reads it."""
        return {**self.__dict__, "_found": self.manifest}

    @property
    def manifest(self) -> Manifest:
        """Its manifest, which is read when it is asked for where a listing has taken the run from the index.

        Raises:
            RunDeleted: the run was deleted meanwhile.
            Corrupt: it is damaged, or not the one that the index is about.
        """
        return self._found if isinstance(self._found, Manifest) else self._found.manifest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.manifest.digest == other.manifest.digest

    def __hash__(self) -> int:
        return hash(self.manifest.digest)

    @property
    def key(self) -> ModelKey:
        """Which model it is a run of."""
        return self._found.key

    @property
    def run_id(self) -> RunId:
        """Its id: sorts by time."""
        run_id = self._found.run_id
        return run_id if isinstance(run_id, RunId) else RunId(run_id)

    @property
    def ref(self) -> RunRef:
        """The reference that always means this very run."""
        return RunRef(self.key, None, self.run_id)

    @property
    def created_at(self) -> datetime:
        """When it was saved, by the clock of the machine that saved it (aware, UTC)."""
        return self._found.created_at

    @property
    def features(self) -> FeatureSchema | None:
        """The features it was trained on, or ``None`` if it was saved without."""
        value = self.manifest.features
        return None if value is None else FeatureSchema.from_json(value)

    @property
    def config(self) -> dict[str, Any]:
        """What it was saved with as ``config`` (a copy), as it was given; ``manifest.config`` has it as JSON."""
        return restored("config", self.manifest.config, self.manifest.forms)

    @property
    def training_config(self) -> dict[str, Any]:
        """What it was saved with as ``training_config`` (a copy), as it was given."""
        return restored("training_config", self.manifest.training_config, self.manifest.forms)

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics as numbers; NaN and infinities included. To be changed nowhere: :meth:`annotate` adds to them."""
        found = self._found.metrics.items()
        return Unchanging((name, NON_FINITE[value] if isinstance(value, str) else value) for name, value in found)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags. To be changed nowhere: :meth:`annotate` adds to them."""
        return Unchanging(self._found.tags)

    @property
    def requires(self) -> tuple[str, ...]:
        """The components that predicting needs besides ``model``, whether the run has them or has lost them."""
        return self.manifest.needed

    def behind(self, agent: str = "model") -> str | None:
        """Return the name of the component that holds what an agent of stable-baselines3 was trained behind.

        ``None``: it was trained without, or before that was recorded.
        """
        return holder(self.manifest.components, agent)

    @property
    def description(self) -> str:
        """What its saver wants people to know about it; empty if nothing."""
        return self._found.description

    @property
    def parent(self) -> RunRef | None:
        """The run that it was made from, or ``None``. ``manifest.parent`` has its digest, too."""
        return None if self.manifest.parent is None else RunRef.parse(self.manifest.parent.ref)

    @property
    def data(self) -> dict[str, Digest]:
        """The digests of the data that it was trained on, by name, as its saver gave them; a later save takes them."""
        return {name: found.digest for name, found in self.manifest.data.items()}

    @property
    def provenance(self) -> dict[str, Any]:
        """How it came about (a copy): ``git``, ``script``, ``user`` and ``host``, as far as they are recorded."""
        return copy.deepcopy(dict(self.manifest.provenance))

    @property
    def environment_verdict(self) -> EnvironmentVerdict:
        """Whether this process is like the one that saved the run, as far as its codecs depend on it.

        Advice, and never a reason that anything is refused. Looks at installed distributions; reads no storage.
        """
        from artifact_store.ops import environment

        return environment.verdict(self._context.registry, self.manifest)

    @property
    def metadata(self) -> dict[str, Any]:
        """The fields of its ``metadata.json``."""
        return copy.deepcopy(summary(dict(self.manifest), self.features))

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """Its files by name, each with ``size`` in bytes and ``sha256``."""
        return {entry.path: entry for entry in self.manifest.files}

    @property
    def size(self) -> int:
        """The bytes of all its files together."""
        return self._found.size

    @property
    def file_count(self) -> int:
        """How many files it has."""
        return self._found.file_count

    @property
    def components(self) -> tuple[str, ...]:
        """The names that :meth:`load` takes."""
        return tuple(self.manifest.components)

    @exhaustion_told()
    def load(
        self, component: str = "model", *, into: Any | None = None, allow_code: bool = False, sha256: str | None = None
    ) -> Any:
        """Return a component as it was saved: every byte is compared with the manifest before it is decoded.

        ``into`` is filled instead of making a new object, by codecs that can. ``sha256`` is the digest of the
        manifest, or of the component's only file, that you trust; ``allow_code`` says that you trust it unseen.

        Raises:
            ComponentNotFound: the run has no component of this name.
            RiskRefused: decoding could run code, and neither policy nor arguments allow that.
            SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was decoded.
            DigestMismatch, Corrupt: the stored bytes are not those that were saved; nothing was decoded.
            CodecUnavailable: the library that it needs is not installed.
            RunDeleted: the run was deleted meanwhile.
        """
        return fetch.decode(self._context, self.manifest, component, trust.Consent(allow_code, sha256), into)

    @exhaustion_told()
    def load_example(self) -> Example | None:
        """Return the golden predictions that it was saved with, or ``None``."""
        if "example_inputs" not in self.manifest.components:
            return None
        method = self.load("example_method") if "example_method" in self.manifest.components else "predict"
        if method not in METHODS:
            raise Corrupt(f"the example of {self.ref} asks the model for {brief(method)}, which is not a prediction")
        return Example(self.load("example_inputs"), self.load("example_outputs"), method)

    @exhaustion_told()
    def open(self, name: str) -> IO[bytes]:
        """Return a readable copy of one file, compared with the manifest before it is returned.

        Raises:
            FileNotInRun: it has no file of this name.
            DigestMismatch, Corrupt: the stored bytes are not those that were saved.
        """
        return fetch.open_file(self._context, self.manifest, self.manifest.file(name))

    @exhaustion_told()
    def path(self, component: str = "model") -> Path:
        """Return where a component is on this machine, compared with the manifest: a file, or the folder of its files.

        For libraries that open files themselves. In a store in a folder of this machine it is the stored file: do not
        write to it. Everything else is copied to temporary space, or from the ``cache``; the copy is there until this
        process ends, and the next call compares it again and returns it. Nothing is decoded, and folders without files
        are not made.

        Raises:
            ComponentNotFound: the run has no component of this name.
            DigestMismatch, Corrupt: the stored bytes are not those that were saved.
            SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was copied.
            StorageFull, StagingUnavailable: the copy has no room, or no place.
        """
        return fetch.local_path(self._context, self.manifest, component)

    @exhaustion_told()
    def download(self, directory: str | Path, *, all_signatures: bool = False, exist_ok: bool = False) -> Path:
        """Copy all files and the manifest to a new or empty folder, each compared, and return the folder.

        With ``exist_ok`` the folder may be one that the run was downloaded to, or partly: what is there is compared
        and used. Other files in it stay.

        The signatures that the run was saved with come along, and those by keys that the policy trusts;
        ``all_signatures`` lists what else there is. `model_signing verify key` accepts the folder with any of them.

        Raises:
            InvalidOption: the folder holds something, or is a file; with ``exist_ok``: another file has the name of
                one of the run.
            DigestMismatch, Corrupt: a stored file is not the one that was saved.
            SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was copied.
        """
        target = fetch.check_new(at_home(directory), exist_ok=exist_ok)
        fetch.fetch_run(self._context, self.manifest, target, all_signatures=all_signatures)
        return target

    def check_signature(self) -> None:
        """Raise unless the run is signed as the policy requires it. Does nothing where the policy requires nothing.

        Raises:
            SignatureMissing, SignatureInvalid, UntrustedKey: it is not.
            RunDeleted: the run was deleted meanwhile.
        """
        signing.check_signed(self._context, self.manifest)

    def url(self, name: str = "") -> str:
        """Return where the run, or one file of it, is stored, in the spelling of the store's own URL."""
        stored = self.manifest.file(name).key if name else ""
        return keys.below(self._context.backend.url, keys.run_prefix(self.key, self.run_id) + stored)

    def verify(self, *, predict: bool = False) -> RunReport:
        """Read every stored byte and compare it with the manifest; with ``predict`` the golden predictions, too.

        Damage is reported, not raised: ``report.ok``, ``report.problems``; ``report.unchecked`` could not be checked.
        """
        from artifact_store.ops.golden import check_example
        from artifact_store.ops.verify import verify_run

        return verify_run(self._context, self.manifest, (lambda _: check_example(self)) if predict else None)

    @exhaustion_told()
    def validate(self, *, allow_code: bool = False, sha256: str | None = None) -> Validation:
        """Read every byte, decode every component, compare the model's width with the features, repeat the predictions.

        Whatever is wrong is in the answer: ``validation.verdict`` is ``sound``, ``wrong`` or ``unchecked``.
        ``allow_code`` and ``sha256`` (of the manifest) are your consent to decode components that could run code.

        Raises:
            Unavailable: the storage does not answer, which says nothing about the run.
        """
        from artifact_store.ops.validate import validate_run

        def decode(name: str, into: Any | None) -> Any:
            code = self.manifest.component(name).risk is Risk.CODE
            return self.load(name, into=into, allow_code=code and allow_code, sha256=sha256 if code else None)

        return validate_run(self._context, CachingRun(self._context, self.manifest, decode))


class CachingRun(Run):
    """A run whose components are decoded by ``decode``, each of them once: for those who ask for one several times."""

    def __init__(self, context: Context, manifest: Manifest, decode: Callable[[str, Any | None], Any]) -> None:
        super().__init__(context, manifest)
        self._decode = decode
        self._objects: dict[str, Any] = {}

    def load(
        self, component: str = "model", *, allow_code: bool = False, sha256: str | None = None, into: Any | None = None
    ) -> Any:
        """Return a component, the same object each time; what may be decoded is decided by ``decode``."""
        del allow_code, sha256
        if into is not None:
            return self._decode(component, into)
        if component not in self._objects:
            self._objects[component] = self._decode(component, None)
        return self._objects[component]
