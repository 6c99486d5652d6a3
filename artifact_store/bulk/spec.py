"""What a store was opened with, and the part of it that other processes need: public, and without a secret.

A spec names where credentials are (variables of the environment, a profile) and never holds one, so it may lie in a
queue, in a log, or in the memory of a scheduler. What belongs to one process alone cannot be in it, and is refused.

Why: docs/decisions/0030-bulk-work-over-joblib.md
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from artifact_store.canonical import canonical
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.store_record import Concurrency
from artifact_store.core.trust import LoadPolicy
from artifact_store.errors import ArtifactStoreError, InvalidOption
from artifact_store.ops.context import Compression, Context, make_context
from artifact_store.ops.keypairs import PublicKey, Signer
from artifact_store.ops.provenance import parse_parts
from artifact_store.storage.base import Backend
from artifact_store.storage.cache import FileCache
from artifact_store.storage.home import at_home
from artifact_store.storage.open import open_backend, opened_or_why_not
from artifact_store.storage.options import LOCAL, MEMORY, StorageOptions, StoreURL, parse_url
from artifact_store.storage.patience import MIN_RATE
from artifact_store.storage.staging import Staging
from artifact_store.storage.transfer import Report
from artifact_store.wording import brief

SomeSpec = TypeVar("SomeSpec", bound="Spec")

_NAME: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
"""Of a variable: no key and no token of a cloud is written so, and one in its place is refused."""


@dataclass(frozen=True, slots=True, repr=False)
class Given:
    """The arguments of a store, as they are documented there."""

    url: str | os.PathLike[str] | Backend | None
    filesystem: Any | None
    storage_options: Mapping[str, Any] | StorageOptions | None
    engine: str
    policy: LoadPolicy | None
    signer: Signer | None
    state: str | Path | None
    cache: str | Path | None
    cache_size: int | str | None
    offline: bool
    staging: str | Path | None
    concurrency: Concurrency
    timeout: float
    min_rate: float
    progress: Report | None
    registry: CodecRegistry | None
    actor: str | None
    provenance: bool | Collection[str]
    compression: Compression | None
    clock: Callable[[], datetime] | None

    def opened(self, kind: type[SomeSpec]) -> tuple[Context, SomeSpec | str]:
        """Return the collaborators of the store, and its spec or why it has none. Nothing is sent and nothing is made.

        Raises:
            InvalidOption: the URL or an option means nothing, or they do not fit together.
            EngineUnavailable: the client that it needs is not installed.
        """
        context = self.context()
        try:
            return context, kind.of(self)
        except InvalidOption as why:
            return context, str(why)

    def context(self) -> Context:
        """Return the collaborators of the store, or raise as :meth:`opened`."""
        staging = Staging.of(self.staging)
        backend = open_backend(
            self.url,
            filesystem=self.filesystem,
            storage_options=self.storage_options,
            engine=self.engine,
            timeout=self.timeout,
            min_rate=self.min_rate,
            staging=staging,
        )
        return make_context(
            backend,
            policy=self.policy,
            signer=self.signer,
            state=self.state,
            cache=FileCache.of(self.cache, self.cache_size),
            offline=self.offline,
            staging=staging,
            concurrency=self.concurrency,
            timeout=self.timeout,
            progress=self.progress,
            registry=self.registry,
            actor=self.actor,
            provenance=self.provenance,
            compression=self.compression,
            clock=self.clock,
        )

    def check_sent(self) -> None:
        """Raise ``InvalidOption`` if it was given what only this process has."""
        own = {
            "filesystem=": self.filesystem,
            "signer=": self.signer,
            "state=": self.state,
            "registry=": self.registry,
            "clock=": self.clock,
            "a ready backend": self.url if isinstance(self.url, Backend) else None,
        }
        kept = [name for name, value in own.items() if value is not None]
        if kept:
            raise InvalidOption(
                f"this store was opened with {' and '.join(kept)}, which stays in this process, so other processes "
                "cannot open it: open it without, or leave out jobs="
            )


def _check_harmless(options: StorageOptions) -> None:
    if not options.private:
        return
    named = ", ".join(options.private)
    raise InvalidOption(
        f"the storage options {named} are, or may be, credentials, and a StoreSpec holds none: put them into variables "
        "of the environment of every process and name these, as in StoreSpec(url, variables={'secret': "
        "'MODELS_SECRET'}).open(), or into a profile, and name that: storage_options={'profile': 'models'}"
    )


@dataclass(frozen=True, slots=True)
class Spec:
    """Where a store is and how other processes open it, without a secret. Equal specs open the same store.

    ``storage_options`` are those that are known to hold no credential, such as ``endpoint_url`` and ``profile``;
    ``variables`` maps the names of the others to variables of the environment, from which each process takes the value
    when it opens the store. Paths are made absolute. The other fields are the arguments of
    :class:`~artifact_store.ArtifactStore`.

    Raises:
        InvalidOption: a field means nothing, or may hold a credential.
    """

    url: str | os.PathLike[str]
    engine: str = "auto"
    storage_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    policy: LoadPolicy | None = field(default=None, hash=False)
    cache: str | Path | None = None
    cache_size: int | str | None = None
    offline: bool = False
    staging: str | Path | None = None
    concurrency: Concurrency = "safe"
    timeout: float = 30.0
    min_rate: float = MIN_RATE
    actor: str | None = None
    provenance: bool | Collection[str] = True
    compression: Compression | None = None

    def __post_init__(self) -> None:
        """Refuse what holds a secret, and make paths mean the same everywhere."""
        place = _place(self.url)
        options = StorageOptions.of(self.storage_options)
        parse_parts(self.provenance)
        _check_harmless(options)
        _check_variables(self.variables, options)
        held = {
            "url": str(Path(place.prefix).absolute()) if place.scheme == LOCAL else place.text,
            "storage_options": options.plain(),
            "variables": dict(self.variables),
            "cache": None if self.cache is None else str(at_home(self.cache).absolute()),
            "staging": None if self.staging is None else str(at_home(self.staging).absolute()),
            "provenance": self.provenance if isinstance(self.provenance, bool) else tuple(self.provenance),
        }
        for name, value in held.items():
            object.__setattr__(self, name, value)
        try:
            canonical(self.to_json())
        except ValueError:
            raise InvalidOption("a StoreSpec holds what JSON can hold: text, numbers, true, false, lists") from None

    @classmethod
    def of(cls, given: Given) -> Self:
        """Return the spec of a store that was opened so.

        Raises:
            InvalidOption: it holds credentials, or what only this process has.
        """
        given.check_sent()
        names = (
            "engine",
            "policy",
            "cache_size",
            "offline",
            "concurrency",
            "timeout",
            "min_rate",
            "actor",
            "compression",
        )
        return cls(
            given.url,  # type: ignore[arg-type]  # no backend, and the store was opened with it
            storage_options=StorageOptions.of(given.storage_options).plain(),
            cache=given.cache,
            staging=given.staging,
            provenance=given.provenance,
            **{name: getattr(given, name) for name in names},
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        return held | {"policy": None if self.policy is None else policy_document(self.policy)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the spec that :meth:`to_json` described.

        Raises:
            InvalidOption: it describes something else.
        """
        if not isinstance(value, Mapping):
            raise InvalidOption(f"this is no StoreSpec but a {type(value).__name__}")
        unknown = sorted(value.keys() - {each.name for each in fields(cls)})
        if unknown or "url" not in value:
            raise InvalidOption(f"this is no StoreSpec: {'unknown ' + ', '.join(unknown) if unknown else 'no url'}")
        policy = value.get("policy")
        return cls(**{**value, "policy": None if policy is None else _policy(policy)})

    @property
    def one_process(self) -> bool:
        """Whether the store is in the memory of the process that saved it, where no other one finds it."""
        return _place(self.url).scheme == MEMORY

    def given(self) -> Given:
        """Return the arguments for the store, with the values of the variables of this process.

        Raises:
            InvalidOption: a variable is not set here.
        """
        missing = [name for name in self.variables.values() if not os.environ.get(name)]
        if missing:
            raise InvalidOption(
                f"{', '.join(missing)} is not set in the environment of this process, which needs it to open "
                f"{self.url}: set it before the process is started, in each worker as well"
            )
        told = {option: os.environ[name] for option, name in self.variables.items()}
        options = StorageOptions({**self.storage_options, **told})
        del told
        place = _place(self.url)
        return Given(
            Path(place.prefix) if place.scheme == LOCAL else place.text,
            filesystem=None,
            storage_options=options,
            engine=self.engine,
            policy=self.policy,
            signer=None,
            state=None,
            cache=self.cache,
            cache_size=self.cache_size,
            offline=self.offline,
            staging=self.staging,
            concurrency=self.concurrency,
            timeout=self.timeout,
            min_rate=self.min_rate,
            progress=None,
            registry=None,
            actor=self.actor,
            provenance=self.provenance,
            compression=self.compression,
            clock=None,
        )

    def context(self) -> Context:
        """Return the collaborators of the store; raise as :meth:`given` and :meth:`Given.opened`."""
        context = opened_or_why_not(lambda: self.given().context())
        if isinstance(context, ArtifactStoreError):
            raise context
        return context

    @contextmanager
    def opened(self) -> Iterator[Context]:
        """Open the store for as long as the block runs; nothing of it is left in the process afterwards."""
        context = self.context()
        try:
            yield context
        finally:
            context.workers.close()
            context.backend.close()


def _place(url: str | os.PathLike[str]) -> StoreURL:
    """Read the URL of a spec; an absolute path is one, whatever signs are in it."""
    return parse_url(Path(url) if isinstance(url, str) and Path(url).is_absolute() else url)


def _check_variables(variables: Mapping[str, str], options: StorageOptions) -> None:
    """Raise ``InvalidOption`` unless these are names of variables, of options that are not given otherwise.

    What is no name is not repeated: it may be the credential itself.
    """
    if not isinstance(variables, Mapping):
        raise InvalidOption(f"variables maps options to names of variables, and is no {type(variables).__name__}")
    StorageOptions(dict.fromkeys(variables, True))
    wrong = [option for option, name in variables.items() if not _NAME.fullmatch(str(name))]
    if wrong:
        raise InvalidOption(
            "variables maps an option to the name of a variable of the environment, in capitals with an underscore, "
            f"such as 'MODELS_SECRET'; that of {', '.join(sorted(wrong))} is none, and is not repeated here"
        )
    if twice := sorted(variables.keys() & options.given.keys()):
        raise InvalidOption(f"{', '.join(twice)} is given twice: as a storage option, and by a variable")


def policy_document(policy: LoadPolicy) -> dict[str, Any]:
    """Return a policy as JSON.

    Raises:
        InvalidOption: a trusted key is none of ours, and cannot be written down.
    """
    if not all(isinstance(key, PublicKey) for key in policy.trusted_keys):
        raise InvalidOption("a trusted key that is not a PublicKey stays in this process, and cannot be in a StoreSpec")
    pems = [key.pem.decode() for key in policy.trusted_keys if isinstance(key, PublicKey)]
    return {
        "max_risk": str(policy.max_risk),
        "trusted_keys": pems,
        "require_signature": policy.require_signature,
        "max_age": None if policy.max_age is None else policy.max_age.total_seconds(),
    }


def _policy(value: Mapping[str, Any]) -> LoadPolicy:
    try:
        return LoadPolicy(
            max_risk=value["max_risk"],
            trusted_keys=[PublicKey.from_pem(pem.encode()) for pem in value["trusted_keys"]],
            require_signature=value["require_signature"],
            max_age=None if value["max_age"] is None else timedelta(seconds=value["max_age"]),
        )
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidOption(f"this is no policy of a StoreSpec: {type(error).__name__}: {brief(str(error))}") from error
