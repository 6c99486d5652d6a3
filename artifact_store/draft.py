"""A run that is being written: filled part by part, committed as a whole, published as its policy says.

Composes what ``core``, ``codecs`` and ``ops`` do, and has no rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from artifact_store import lineage, save_checks
from artifact_store.canonical import canonical
from artifact_store.codecs.files import all_or_nothing
from artifact_store.core import keys
from artifact_store.core.codec import Codec, KnowsCategories, KnowsInputs, RefersToFiles, libraries_of
from artifact_store.core.documents import (
    check_writable,
    mapping,
    named_values,
    plain,
    stored_metrics,
    stored_tags,
    stored_text,
)
from artifact_store.core.files import Outgoing
from artifact_store.core.forms import configurations
from artifact_store.core.manifest import CodecRecord, Component, Manifest, Parent, summary
from artifact_store.core.names import ModelKey, RunId, check_alias, check_component
from artifact_store.core.policy import Policy, intent
from artifact_store.errors import FileNotInRun, InvalidName, InvalidOption, NoCodec, NotEncodable
from artifact_store.features.schema import FeatureSchema
from artifact_store.nearby import nothing_at
from artifact_store.ops import opening, pointer_trust, probe
from artifact_store.ops.context import Context
from artifact_store.publication import Publication
from artifact_store.run import Example, Run
from artifact_store.run_provenance import RunProvenance
from artifact_store.saving import Saving
from artifact_store.storage.descriptors import exhaustion_told
from artifact_store.storage.home import at_home
from artifact_store.storage.staging import StagedFolder


class Draft:
    """A run being written. Nothing of it is visible before :meth:`commit`, and never a part of it.

    As a context manager it commits on leaving the block, and stores nothing where the block raised.
    Fill ``metrics``, ``tags``, ``config``, ``training_config`` (mappings by name) and ``features`` before; and
    ``description``, ``parent`` and ``data``, which mean what they mean to :meth:`ArtifactStore.save`; and ``requires``.
    """

    __slots__ = (
        *("config", "created_at", "data", "description", "environment", "features", "is_fitted", "key", "metrics"),
        *("own_id", "parent", "provenance", "reason", "recovered", "requires", "run", "run_id", "tags"),
        *("training_config", "_categories", "_components", "_context", "_extra", "_example", "_inputs"),
        *("_provenance", "_publication", "_in_place", "_over", "_staged_in", "_tried"),
    )  # so that a misspelt attribute is an error and not a loss

    @exhaustion_told()
    def __init__(
        self, context: Context, key: ModelKey, *, run_id: RunId | None, alias: str, policy: Policy, validate: bool
    ) -> None:
        self.key = key
        self.own_id = run_id is None
        self._tried = False
        self.run_id = run_id or RunId.make(context.now(), context.new_suffix())
        self.metrics: Any = {}
        self.tags: Any = {}
        self.config: Any = {}
        self.training_config: Any = {}
        self.features: FeatureSchema | None = None
        self.recovered = False
        """Whether ``features`` were found out after the training, and so may know nothing of the categories."""
        self.is_fitted = True
        self.created_at: datetime | None = None
        """When it was trained (aware), where that was not now: for runs that are brought from elsewhere."""
        self.environment: Any = None
        """Where it was trained (a mapping), where that was not here: for runs that are brought from elsewhere."""
        self.provenance: Any = None
        """What to record instead of this process's own code, user and host (a mapping); ``{}`` for nothing.

        Where this or ``environment`` is given, nothing else is found out about this process.
        """
        self.description = ""
        self.parent: Any = None
        self.data: Any = {}
        self.requires: Any = ()
        """The components that predicting needs besides ``model`` (names), those included that the run has lost."""
        self.reason = ""
        self.run: Run | None = None
        """The committed run, once there is one."""
        self._context = context
        self._provenance = RunProvenance(context)
        self._publication = Publication(context, key, check_alias(alias), policy, validate)
        self._example: Any = None
        self._components: dict[str, Component] = {}
        self._extra: dict[str, Path] = {}
        self._in_place: dict[str, tuple[Any, Codec, dict[str, Path]]] = {}
        self._inputs: dict[str, tuple[str, ...]] = {}
        self._categories: dict[str, Sequence[Sequence[object]]] = {}
        self._staged_in: StagedFolder | None = None
        self._over = False

    def __repr__(self) -> str:
        return f"<Draft {self.key}:{self.run_id} for {self._context.backend.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self.run is None:
                self.commit()
        finally:
            self.discard()

    @exhaustion_told()
    def add(
        self, name: str, obj: Any, *, codec: str | None = None, copy: bool = True, ignore: Iterable[str] = ()
    ) -> None:
        """Encode ``obj`` now as the component ``name``; what happens to it later does not matter.

        Without ``copy`` a file or folder (``pathlib.Path``) is not copied: as with :meth:`add_file`, it is read when
        the run is committed, and must not change until then. The codec follows from the type unless ``codec`` names
        one, as it must for a codec that decodes by running code. Of a folder, what matches a pattern of ``ignore``
        (``["*.tmp", "logs/*"]``) is left out, and what systems and tools leave behind (``.DS_Store``, ``.git``, ...).

        Raises:
            NoCodec, NotEncodable, CodecUnavailable: it cannot be stored exactly, and nothing is.
            InvalidName: the name is outside the grammar, or taken.
        """
        self._begin()
        if check_component(name) in self._components:
            raise InvalidName("component", name, "this run has one already")
        if name in {"manifest", "metadata"}:
            raise InvalidName("component", name, "the store itself writes a file of this name")
        kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
        obj = save_checks.check_object(name, obj, codec, ignore)
        chosen = self._context.registry.for_object(obj, codec)
        found = chosen.sources(obj, name) if not copy and isinstance(chosen, RefersToFiles) else None
        if found is None:
            said, written = self._encode(name, obj, chosen)
        else:
            said, written = found[0], set(found[1])
        options = plain(said, f"the options of {name!r}")
        if found is not None:
            self._in_place[name] = (obj, chosen, {path: source.absolute() for path, source in found[1].items()})
        self._components[name] = Component(
            codec=CodecRecord(name=chosen.name, version=chosen.version),
            risk=chosen.risk,
            type=kind,
            files=tuple(sorted(written)),
            options=options,
        )
        self._provenance.libraries.update(libraries_of(chosen))
        if isinstance(chosen, KnowsInputs):
            self._inputs[name] = chosen.inputs(obj)
        if isinstance(chosen, KnowsCategories):
            self._categories[name] = chosen.categories(obj)

    def _encode(self, name: str, obj: Any, codec: Codec) -> tuple[Mapping[str, Any], set[str]]:
        """Write the files of a component, and return its options and their names; if that fails, leave none."""
        before = self._staged()
        with self._staging.written(), all_or_nothing(self._staging.path, name):
            options = codec.encode(obj, self._staging.path, name)
        written = self._staged() - before
        stray = [path for path in written if not path.startswith(f"{name}.")]
        if stray or not written:
            raise InvalidOption(f"the codec {codec.name} wrote {stray or 'nothing'}; it has to write {name}.*")
        return options, written

    def add_file(self, name: str, path: str | Path) -> None:
        """Add a file as it is. It is read when the run is committed, and must not change until then."""
        self._begin()
        source = at_home(path)
        if keys.check_path(name) in self._extra or self._is_staged(name):
            raise InvalidName("file name", name, "this run has one already")
        if not source.is_file():
            told = f"{source} is a folder: add it as a component, draft.add({name!r}, Path({str(source)!r}))"
            raise FileNotInRun(told if source.is_dir() else nothing_at(source))
        self._extra[name] = source

    def add_example(self, example: Example) -> None:
        """Store golden predictions, so that it can be checked that the model still says the same.

        :meth:`commit` asks the model for them, as it will be loaded, where a predictor for it is installed.

        Raises:
            NotEncodable: the inputs carry names that no codec keeps.
        """
        if not isinstance(example, Example):
            raise InvalidOption(f"an example is an Example(inputs, outputs), not a {type(example).__name__}")
        try:
            self.add("example_inputs", example.inputs)
        except (NoCodec, NotEncodable) as error:
            if not FeatureSchema.carries_names(example.inputs):
                raise
            raise NotEncodable(
                f"the inputs of this example, a {type(example.inputs).__name__}, carry names that no codec keeps: give "
                f"a table, for instance pandas.DataFrame(rows), or a dict of plain numbers ({error})"
            ) from error
        self.add("example_outputs", example.outputs)
        if example.method != "predict":
            self.add("example_method", example.method)
        self._example = example.inputs

    @exhaustion_told()
    def commit(self) -> Run:
        """Store the files, then the manifest (from then on the run exists), then publish as the policy says.

        With ``validate`` :meth:`Run.validate` comes between the last two steps; what is not sound is not published.

        Raises:
            InvalidInput: an example is not what the model says, with the difference; nothing is visible.
            RunExists: another run has this id.
            OutcomeUnknown: a write may have landed; ``committed`` says how far it came for certain.
            ArtifactStoreError: see :mod:`artifact_store.errors`; unless ``committed`` is set, nothing is visible.
        """
        self._check()
        fields = self._fields()
        files = self._stage(fields)
        own_id = self.own_id and not self._tried
        self._tried = True
        components = dict(self._components)
        saving = Saving(self._context, self._publication, fields, components, self._provenance, own_id)
        manifest, seen = saving.carry_out(files)
        self._context.opened.models.add(str(self.key))
        self.run = Run(self._context, manifest)
        self.run.published = self._publication.carry_out(self.run, seen, reason=self.reason)
        return self.run

    def _check(self) -> None:
        """Refuse what cannot become a run, before anything is read or written."""
        self._check_open()
        self._check_features()
        save_checks.check_wrapped(self._components, save_checks.names("requires", self.requires))
        stored_text("reason", self.reason)
        pointer_trust.check_able(self._context)
        if not self._components and not self._extra:
            raise InvalidOption(f"{self.key}:{self.run_id} has nothing in it; add a component or a file")

    def _stage(self, fields: Mapping[str, Any]) -> list[Outgoing]:
        """Return the files to store, ``metadata.json`` among them, once it is sure that all of it can be read again."""
        trial = {**fields, "store_id": "", "files": (), "components": {}}
        check_writable(Manifest, trial, f"what {self.key.display_name} is given")
        save_checks.check_staged(self._written_by_codecs, self._staged(), self._staging.path)
        if self._example is not None:
            for name, (obj, codec, _) in self._in_place.items():  # it is asked for as if it had been loaded
                self._encode(name, obj, codec)
            self._in_place.clear()
            save_checks.repeat_example(self._context, fields, self._components, self._staging.path)
        self._staging.write(keys.METADATA, canonical(summary(fields, self.features)))
        return self._freeze()

    def check_writable(self) -> None:
        """Find out now what a commit would find out after all the work: whether this run could be saved and published.

        Makes the store if there is none yet, and writes nothing else but a throw-away object and a temporary file.

        Raises:
            InvalidName: there is a symbol that differs from this one by case only.
            Corrupt: the pointer of the alias cannot be read.
            StorageFull, StagingUnavailable: temporary files have no room, or no place.
            ArtifactStoreError: the store cannot be written, or this client cannot sign.
        """
        pointer_trust.check_able(self._context)
        opening.ensure_open(self._context)
        self._publication.check(self._publication.look_up())
        self._context.backend.check_prefix(keys.model_prefix(self.key))
        probe.try_to_write(self._context.backend, self._context.retry)
        self._staging.write(keys.METADATA, b"?")

    def discard(self) -> None:
        """Remove what was staged on this machine. What is committed is not touched."""
        self._over = True
        if self._staged_in is not None:
            self._staged_in.remove()

    def _begin(self) -> None:
        """Refuse to add to what is over; else begin to find out about this process, unless that was said."""
        self._check_open()
        if self.environment is None and self.provenance is None:
            self._provenance.begin()

    def _check_open(self) -> None:
        if self.run is not None or self._over:
            raise InvalidOption(
                f"{self.key}:{self.run_id} is committed already, or discarded; begin a new run for more"
            )

    def _check_features(self) -> None:
        """Refuse a schema that cannot be that of the models in this run, which know their own inputs; else take theirs.

        A preprocessor may make other columns than it gets, so a run with one is left to its caller.
        """
        if self.features is None:
            if "preprocessor" not in self._components:
                self.features = save_checks.own_features(self._inputs, self._categories, self._example)
            return
        if not isinstance(self.features, FeatureSchema):
            raise InvalidOption(
                f"features is a FeatureSchema, not a {type(self.features).__name__}: "
                "FeatureSchema(names), or FeatureSchema.from_frame(frame)"
            )
        if "preprocessor" in self._components:
            return
        save_checks.check_models(self.features, self._inputs, self._categories, recovered=self.recovered)

    def _fields(self) -> dict[str, Any]:
        context = self._context
        said = {"environment": self.environment, "provenance": self.provenance}
        return {
            "model_type": self.key.model_type,
            "symbol": self.key.symbol,
            "run_id": self.run_id,
            "write_id": context.new_write_id(),
            "created_at": self.created_at or context.now(),
            "features": None if self.features is None else self.features.to_json(),
            "is_fitted": self.is_fitted,
            **configurations(config=self.config, training_config=self.training_config),
            "metrics": stored_metrics(self.metrics),
            "tags": stored_tags(self.tags),
            "description": stored_text("description", self.description),
            "requires": save_checks.names("requires", self.requires),
            "parent": self._parent(),
            "data": {
                name: asdict(one) for name, one in lineage.digests(mapping("data", self.data), context.report).items()
            },
            "publish": intent(self._publication.alias, self._publication.policy),
            "signed_by": () if context.signer is None else (context.signer.key_id,),
            **{name: named_values(name, value) for name, value in said.items() if value is not None},
        }

    def _parent(self) -> Parent | None:
        if self.parent is None:
            return None
        return lineage.parent(self._context, self.parent.manifest if isinstance(self.parent, Run) else self.parent)

    def _freeze(self) -> list[Outgoing]:
        staged = {path: self._staging.path / path for path in self._staged()}
        save_checks.check_staged(self._written_by_codecs, staged, self._staging.path)
        for _, _, sources in self._in_place.values():
            staged |= sources
        for name in staged.keys() & self._extra.keys():
            raise InvalidName("file name", name, "a component and a file that was added both have it")
        files = [
            Outgoing(path, source, staged=source.is_relative_to(self._staging.path))
            for path, source in sorted((staged | self._extra).items())
        ]
        for file in files:
            if file.path != keys.METADATA:
                keys.check_path(file.path)
            keys.data_file(self.key, self.run_id, keys.attempt_name(file.path, "0" * 8))
        if self._context.signer is not None:
            keys.signature(self.key, self.run_id, "0" * 64, self._context.signer.key_id)
        keys.check_twins(file.path for file in files)
        return files

    @property
    def _staging(self) -> StagedFolder:
        """The folder of what was encoded, made with the first part."""
        if self._staged_in is None:
            self._staged_in = opening.staging_folder(self._context)
        return self._staged_in

    @property
    def _written_by_codecs(self) -> set[str]:
        in_place = {path for _, _, sources in self._in_place.values() for path in sources}
        return {path for component in self._components.values() for path in component.files} - in_place

    def _is_staged(self, name: str) -> bool:
        if any(name in sources for _, _, sources in self._in_place.values()):
            return True
        return self._staged_in is not None and (self._staged_in.path / name).exists()

    def _staged(self) -> set[str]:
        return set() if self._staged_in is None else self._staged_in.files()
