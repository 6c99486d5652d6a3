"""The two handles of a run: :class:`Draft` while it is being written, :class:`Run` once it is committed.

They compose what ``core``, ``codecs`` and ``ops`` do, and hold no rule of their own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from artifact_store.core import keys, trust
from artifact_store.core.canonical import canonical
from artifact_store.core.documents import NON_FINITE, plain
from artifact_store.core.errors import ArtifactStoreError, FileNotInRun, InvalidName, InvalidOption
from artifact_store.core.features import FeatureSchema
from artifact_store.core.files import Outgoing
from artifact_store.core.keys import ModelKey, RunId, RunRef
from artifact_store.core.manifest import CodecRecord, Component, FileEntry, Manifest, summary
from artifact_store.core.pointer import Pointer
from artifact_store.core.policy import Never, Policy, intent
from artifact_store.ops import catalog, environment, fetch, publish
from artifact_store.ops.audit import RunReport, verify_run
from artifact_store.ops.context import Context
from artifact_store.ops.marker import StoreRecord
from artifact_store.ops.predict import check_example
from artifact_store.ops.publish import SeenPointer
from artifact_store.storage.settle import patiently
from artifact_store.storage.transfer import Destination, upload


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
        return dict(self.manifest.config)

    @property
    def training_config(self) -> dict[str, Any]:
        """What it was saved with as ``training_config`` (a copy)."""
        return dict(self.manifest.training_config)

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
        return summary(dict(self.manifest), self.features)

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

    def download(self, directory: str | Path) -> Path:
        """Copy all files and the manifest to a new or empty folder, each compared, and return the folder.

        Raises:
            InvalidOption: the folder holds something.
            DigestMismatch, Corrupt: a stored file is not the one that was saved.
        """
        target = fetch.check_new(Path(directory))
        fetch.fetch(self._context, self.manifest, self.manifest.files, target)
        (target / keys.MANIFEST).write_bytes(self.manifest.to_bytes())
        return target

    def url(self, name: str = "") -> str:
        """Return where the run, or one file of it, is stored, in the spelling of the store's own URL."""
        stored = self.manifest.file(name).key if name else ""
        return keys.below(self._context.backend.url, keys.run_prefix(self.key, self.run_id) + stored)

    def verify(self, *, predict: bool = False) -> RunReport:
        """Read every stored byte and compare it with the manifest; with ``predict`` the golden predictions, too.

        Damage is reported, not raised: ``report.ok``, ``report.problems``.
        """
        return verify_run(self._context, self.manifest, (lambda _: check_example(self)) if predict else None)


class Draft:
    """A run being written. Nothing of it is visible before :meth:`commit`, and never a part of it.

    As a context manager it commits on leaving the block, and stores nothing where the block raised.
    Fill ``metrics``, ``tags``, ``config``, ``training_config`` and ``features`` at any time before.
    """

    def __init__(
        self,
        context: Context,
        key: ModelKey,
        *,
        run_id: RunId | None,
        alias: str,
        policy: Policy,
        open_store: Callable[[], StoreRecord],
        known_keys: set[str],
    ) -> None:
        self.key = key
        self.own_id = run_id is None
        self.run_id = run_id or RunId.make(context.now(), context.new_suffix())
        self.metrics: dict[str, Any] = {}
        self.tags: dict[str, Any] = {}
        self.config: Mapping[str, Any] = {}
        self.training_config: Mapping[str, Any] = {}
        self.features: FeatureSchema | None = None
        self.is_fitted = True
        self.reason = ""
        self.run: Run | None = None
        """The committed run, once there is one."""
        self._context = context
        self._alias, self._policy = keys.check_alias(alias), policy
        self._open_store, self._known = open_store, known_keys
        self._components: dict[str, Component] = {}
        self._extra: dict[str, Path] = {}
        self._staging = tempfile.TemporaryDirectory(prefix="artifact-store-", ignore_cleanup_errors=True)

    def __repr__(self) -> str:
        return f"<Draft {self.key}:{self.run_id} for {self._context.backend.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.run is None:
                self.commit()
        finally:
            self.discard()

    def add(self, name: str, obj: Any, *, codec: str | None = None) -> None:
        """Encode ``obj`` now as the component ``name``; what happens to it later does not matter.

        The codec follows from the type unless ``codec`` names one, as it must for a codec that decodes by running code.

        Raises:
            NoCodec, NotEncodable, CodecUnavailable: it cannot be stored exactly, and nothing is.
            InvalidName: the name is outside the grammar, or taken.
        """
        if keys.check_component(name) in self._components:
            raise InvalidName("component", name, "this run has one already")
        chosen = self._context.registry.for_object(obj, codec)
        before = self._staged()
        options = plain(chosen.encode(obj, self._directory, name), f"the options of {name!r}")
        written = self._staged() - before
        stray = [path for path in written if not path.startswith(f"{name}.")]
        if stray or not written:
            raise InvalidOption(f"the codec {chosen.name} wrote {stray or 'nothing'}; it has to write {name}.*")
        self._components[name] = Component(
            codec=CodecRecord(name=chosen.name, version=chosen.version),
            risk=chosen.risk,
            type=f"{type(obj).__module__}.{type(obj).__qualname__}",
            files=tuple(sorted(written)),
            options=options,
        )

    def add_file(self, name: str, path: str | Path) -> None:
        """Add a file as it is. It is read when the run is committed, and must not change until then."""
        source = Path(path)
        if keys.check_path(name) in self._extra or (self._directory / name).exists():
            raise InvalidName("file name", name, "this run has one already")
        if not source.is_file():
            raise FileNotInRun(f"{source} is not a file")
        self._extra[name] = source

    def add_example(self, example: Example) -> None:
        """Store golden predictions, so that anybody can check that the model still says the same."""
        self.add("example_inputs", example.inputs)
        self.add("example_outputs", example.outputs)

    def commit(self) -> Run:
        """Store the files, then the manifest (from then on the run exists), then publish as the policy says.

        Raises:
            RunExists: another run has this id.
            OutcomeUnknown: a write may have landed; ``committed`` says how far it came for certain.
            ArtifactStoreError: see :mod:`artifact_store.errors`; unless ``committed`` is set, nothing is visible.
        """
        if self.run is not None:
            raise InvalidOption(f"{self.key}:{self.run_id} is committed already; begin a new run for another")
        if not self._components and not self._extra:
            raise InvalidOption(f"{self.key}:{self.run_id} has nothing in it; add a component or a file")
        fields = self._fields()
        (self._directory / keys.METADATA).write_bytes(canonical(summary(fields, self.features)))
        files = self._freeze()
        context = self._context
        pointer = context.workers.submit(self._read_pointer)
        try:
            store_id = self._open_store().store_id
            if str(self.key) not in self._known:
                pointer.result()  # the first use of a key here: its symbol is checked before anything is stored
            to = Destination(self.key, self.run_id, context.new_write_id()[:8], self.own_id)
            entries = upload(
                context.backend,
                files,
                to,
                workers=context.workers,
                patience=context.patience,
                report=context.report,
            )
        finally:
            seen = _settled(pointer)
        manifest = publish.commit(
            context.backend,
            Manifest(store_id=store_id, files=tuple(entries), components=self._components, **fields),
            context.patience,
        )
        self._known.add(str(self.key))
        self.run = Run(context, manifest, published=self._publish(manifest, seen.result()))
        return self.run

    def discard(self) -> None:
        """Remove what was staged on this machine. What is committed is not touched."""
        self._staging.cleanup()

    def _publish(self, manifest: Manifest, seen: SeenPointer) -> Published:
        if isinstance(self._policy, Never):
            return Published(None, "publish='never' was asked for")
        context = self._context
        if seen.run_id == manifest.run_id and seen.pointer is not None:
            return Published(seen.pointer)  # an equal save was faster, and has published it
        try:
            decision = publish.publish(
                context.backend,
                self._alias,
                manifest,
                self._policy,
                note=lambda: context.note(self.reason),
                patience=context.patience,
                seen=seen,
            )
        except ArtifactStoreError as error:
            error.committed = manifest.label
            raise
        except BaseException as error:
            error.add_note(f"The run {manifest.label} is committed; whether it is published, its alias tells.")
            raise
        return Published(decision.pointer, str(decision.refusal or ""), decision.refusal)

    def _read_pointer(self) -> SeenPointer:
        """Read the pointer, and where the key is new, look for a sibling that Windows would take for it."""
        context = self._context
        seen = patiently(lambda: publish.read_pointer(context.backend, self.key, self._alias), context.patience)
        if seen.pointer is None and self.key.symbol is not None and str(self.key) not in self._known:
            siblings = catalog.children(context, keys.type_prefix(self.key.model_type))
            keys.check_symbol_twin(self.key.symbol, siblings)
        return seen

    def _fields(self) -> dict[str, Any]:
        context = self._context
        return {
            "model_type": self.key.model_type,
            "symbol": self.key.symbol,
            "run_id": self.run_id,
            "write_id": context.new_write_id(),
            "created_at": context.now(),
            "features": None if self.features is None else self.features.to_json(),
            "is_fitted": self.is_fitted,
            "config": plain(self.config, "config"),
            "training_config": plain(self.training_config, "training_config"),
            "metrics": {name: _number(name, value) for name, value in self.metrics.items()},
            "tags": {name: str(value) for name, value in self.tags.items()},
            "environment": environment.describe(),
            "publish": intent(self._alias, self._policy),
        }

    def _freeze(self) -> list[Outgoing]:
        staged = {path: self._directory / path for path in self._staged()}
        files = [Outgoing(path, source) for path, source in sorted((staged | self._extra).items())]
        for file in files:
            if file.path != keys.METADATA:
                keys.check_path(file.path)
            keys.data_file(self.key, self.run_id, keys.attempt_name(file.path, "0" * 8))
        keys.check_twins(file.path for file in files)
        return files

    @property
    def _directory(self) -> Path:
        return Path(self._staging.name)

    def _staged(self) -> set[str]:
        found = (path for path in self._directory.rglob("*") if path.is_file())
        return {path.relative_to(self._directory).as_posix() for path in found}


def _settled(future: Future[SeenPointer]) -> Future[SeenPointer]:
    """Wait until the future is done, whatever came of it, so that nothing is left running."""
    future.exception()
    return future


def _number(name: str, value: Any) -> float | int | str:
    number = plain(value, f"the metric {name!r}")
    if isinstance(number, bool):
        return int(number)
    if isinstance(number, int | float) or number in NON_FINITE:
        return number  # type: ignore[no-any-return]  # narrowed by value
    raise InvalidOption(f"the metric {name!r} is {value!r}, which is no number")
