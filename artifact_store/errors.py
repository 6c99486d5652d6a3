"""Every way in which the store can fail, grouped by what the caller does next.

.. code-block:: text

    ArtifactStoreError
    ├── InvalidInput (ValueError)      correct the call
    ├── NotFound (LookupError)         name something else
    ├── Conflict                       look again, then decide
    ├── OutcomeUnknown                 find out before you repeat: the write may have landed
    ├── Unavailable (OSError)          try again later
    ├── AccessDenied (PermissionError) correct the credentials or the permissions
    ├── Corrupt                        do not use it; restore it or fall back to another run
    ├── Unsupported                    install or choose something else
    └── Untrusted                      decide whether you trust it

``docs/errors.md`` lists every class with its ``code``, which does not change when a text does. Errors carry data as
attributes beside their text, which says what to do next. Nothing in them that we write holds a credential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from artifact_store.wording import brief


class ArtifactStoreError(Exception):
    """Anything that the store reports. Catch a family below to decide what to do.

    ``committed`` names a run (``type/symbol:run_id``) that is complete and safe although the call failed.
    """

    code: ClassVar[str] = "error"
    """What programs tell the errors apart by, where no class is at hand: stable, and unique to the class."""
    committed: str | None = None
    _when_committed: ClassVar[str] = "is committed, not published: promote it when the cause is gone"

    def __init_subclass__(cls, *, code: str | None = None, **rest: Any) -> None:
        """Take the code of a class from its head; a class of a plug-in without one has that of its parent."""
        super().__init_subclass__(**rest)
        cls.code = cls.code if code is None else code

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.committed is None else f"{text}. The run {self.committed} {self._when_committed}"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from another process, attributes included."""
        return type(self).__new__, (type(self), *self.args), {**self.__dict__, "args": self.args}


class InvalidInput(ArtifactStoreError, ValueError, code="invalid-input"):
    """The call itself is wrong; nothing was read or written."""


class InvalidName(InvalidInput, code="invalid-name"):
    """A name is outside the grammar that holds on every platform."""

    def __init__(self, kind: str, name: object, why: str, *, suggestion: str | None = None) -> None:
        self.kind, self.name, self.why, self.suggestion = kind, name, why, suggestion
        hint = f"; try {suggestion!r}" if suggestion else ""
        super().__init__(f"{brief(name)} cannot be {'an' if kind[0] in 'aeio' else 'a'} {kind}: {why}{hint}")


class InvalidReference(InvalidInput, code="invalid-reference"):
    """Text that should name a model, a run or an alias does not; ``suggestion`` is what to type, if that is known."""

    def __init__(self, message: str, *, suggestion: str | None = None) -> None:
        self.suggestion = suggestion
        super().__init__(f"{message}; try {suggestion!r}" if suggestion else message)


class InvalidOption(InvalidInput, code="invalid-option"):
    """An option has a value, or a combination of values, that means nothing here."""


class FeatureMismatch(InvalidInput, code="feature-mismatch"):
    """The input does not have the features that the model was trained on.

    ``missing``, ``extra`` and ``duplicate`` are names; ``reordered`` is true when all names are there in another order,
    and may not be reordered; ``dtype`` maps a name to (expected, found); ``suggestions`` missing names to likely ones.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: Sequence[str] = (),
        extra: Sequence[str] = (),
        duplicate: Sequence[str] = (),
        reordered: bool = False,
        dtype: Mapping[str, tuple[str, str]] | None = None,
        suggestions: Mapping[str, str] | None = None,
    ) -> None:
        self.missing, self.extra, self.duplicate = tuple(missing), tuple(extra), tuple(duplicate)
        self.reordered, self.dtype, self.suggestions = reordered, dict(dtype or {}), dict(suggestions or {})
        super().__init__(message)


class NoCodec(InvalidInput, code="no-codec"):
    """No installed codec stores an object of this type."""


class NotEncodable(InvalidInput, code="not-encodable"):
    """The codec for this type cannot hold this very object exactly, so it holds none of it."""


class MetricMissing(InvalidInput, code="metric-missing"):
    """A run to be compared has no such metric, or a NaN. It is committed if ``run_id`` is set."""

    def __init__(self, message: str, *, metric: str, run_id: str | None = None) -> None:
        self.metric, self.run_id = metric, run_id
        super().__init__(message)


class NotFound(ArtifactStoreError, LookupError, code="not-found"):
    """What was named is not there."""


class ObjectNotFound(NotFound, code="object-not-found"):
    """No object is stored at ``key``."""

    def __init__(self, key: str, message: str | None = None) -> None:
        self.key = key
        super().__init__(message or f"nothing is stored at {key!r}")


class ModelNotFound(NotFound, code="model-not-found"):
    """No run of this model was ever committed here."""


class RunNotFound(NotFound, code="run-not-found"):
    """No committed run has this id."""


class AliasNotFound(NotFound, code="alias-not-found"):
    """The alias was never published for this model."""


class ComponentNotFound(NotFound, code="component-not-found"):
    """The run has no component of this name; the message lists those that it has."""


class FileNotInRun(NotFound, code="file-not-in-run"):
    """The run has no file of this name; the message lists those that it has."""


class AmbiguousRun(NotFound, code="ambiguous-run"):
    """A prefix fits several runs; ``candidates`` holds their ids."""

    def __init__(self, message: str, *, candidates: Sequence[str]) -> None:
        self.candidates = tuple(candidates)
        super().__init__(message)


class RunDeleted(NotFound, code="run-deleted"):
    """The run was committed once and has been deleted since."""


class AliasRetired(NotFound, code="alias-retired"):
    """The alias was retired: it names no run until one is promoted to it."""


class NothingToRollBackTo(NotFound, code="nothing-to-roll-back-to"):
    """No earlier run of this alias can be served again."""


class ContainerNotFound(NotFound, code="container-not-found"):
    """The bucket, container or root folder does not exist (or may not be seen)."""


class NotAStore(NotFound, code="not-a-store"):
    """The root holds something that is not a store; nothing was written to it."""


class Conflict(ArtifactStoreError, code="conflict"):
    """Another writer was first. Nothing of its work was changed."""


class PreconditionFailed(Conflict, code="precondition-failed"):
    """A conditional write found another state than it expected, so the storage says."""

    def __init__(self, key: str, message: str | None = None) -> None:
        self.key = key
        super().__init__(message or f"{key!r} is not in the state that this write expected")


class RunExists(Conflict, code="run-exists"):
    """Another run was already committed under this id; it is untouched."""


class RunInUse(Conflict, code="run-in-use"):
    """An alias names the run, so it is not deleted. ``aliases`` holds their names."""

    def __init__(self, message: str, *, aliases: Sequence[str]) -> None:
        self.aliases = tuple(aliases)
        super().__init__(message)


class PointerConflict(Conflict, code="pointer-conflict"):
    """The alias moved while this call was at work. ``actual`` is the pointer that is there now."""

    def __init__(self, message: str, *, actual: object | None = None, run_id: str | None = None) -> None:
        self.actual, self.run_id = actual, run_id
        super().__init__(message)


class OutcomeUnknown(ArtifactStoreError, code="outcome-unknown"):
    """A write may or may not have landed, and it could not be read back in time.

    Nothing was cleaned up. Read the key later: it landed if ``write_id`` is there, or in the history of the alias.
    """

    _when_committed: ClassVar[str] = "is committed; whether it is published, its alias tells"

    def __init__(self, message: str, *, key: str, write_id: str | None = None, run_id: str | None = None) -> None:
        self.key, self.write_id, self.run_id = key, write_id, run_id
        super().__init__(message)


class Unavailable(ArtifactStoreError, OSError, code="unavailable"):
    """The storage could not do it now; the same call may succeed later."""


class Unreachable(Unavailable, code="unreachable"):
    """No connection, a connection that broke, or a server that answers 5xx."""


class DeadlineExceeded(Unavailable, TimeoutError, code="deadline-exceeded"):
    """The configured time was over before the storage had answered, or a file came or went too slowly."""


class LockHeld(DeadlineExceeded, code="lock-held"):
    """A living process held the lock for all of that time. Nothing was written, and nothing will be."""


class Contended(Unavailable, code="contended"):
    """The server answered 409: a concurrent request for the same key was under way."""


class TooManyOpenFiles(Unavailable, code="too-many-open-files"):
    """No more files or connections could be opened here. What was to be written was not sent."""


class NotCached(Unavailable, code="not-cached"):
    """The store is opened offline, and its cache lacks what this takes: ``missing``, by key, where that is known."""

    missing: tuple[str, ...] = ()


class StorageFull(Unavailable, code="storage-full"):
    """No space or no quota is left; what was there before is unharmed."""


class StagingUnavailable(Unavailable, code="staging-unavailable"):
    """The folder for temporary files is missing or cannot be written to; nothing was stored or decoded."""


class Unconfirmed(Unavailable, code="unconfirmed"):
    """What a watch has loaded was not confirmed by the storage for longer than ``max_stale`` allows."""


class WorkerLost(Unavailable, code="worker-lost"):
    """Every process of a pool that was given this work ended before it answered: killed, or out of memory."""


class AccessDenied(ArtifactStoreError, PermissionError, code="access-denied"):
    """The credentials or permissions do not allow it; ``permission`` is what S3 calls the missing one, if known."""

    permission: str = ""


class Corrupt(ArtifactStoreError, code="corrupt"):
    """Stored bytes are not what a store writes: truncated, damaged, foreign or swapped."""

    def __init__(self, message: str, *, key: str | None = None) -> None:
        self.key = key
        super().__init__(message)


class DigestMismatch(Corrupt, code="digest-mismatch"):
    """The bytes are not those that were saved: ``expected`` and ``actual`` are sha256 or sizes."""

    def __init__(self, message: str, *, key: str | None = None, expected: str = "", actual: str = "") -> None:
        self.expected, self.actual = expected, actual
        super().__init__(message, key=key)


class Unsupported(ArtifactStoreError, code="unsupported"):
    """This installation, or this storage, cannot do it."""


class FormatUnsupported(Unsupported, code="format-unsupported"):
    """A newer release wrote this with something in it that this release would misread; ``names`` says what."""

    def __init__(self, message: str, *, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        super().__init__(message)


class FormatTooNew(FormatUnsupported, code="format-too-new"):
    """A newer release wrote this in a major format that this release does not know."""


class Archived(Unsupported, code="archived"):
    """The object is in a class of storage that is not read at once, such as Glacier: it has to be restored first."""


class CodecUnavailable(Unsupported, code="codec-unavailable"):
    """The codec that wrote a component, or the library that it needs, is not installed."""


class PredictorUnavailable(Unsupported, code="predictor-unavailable"):
    """Nothing that is installed predicts with models of this type."""


class EngineUnavailable(Unsupported, code="engine-unavailable"):
    """The storage client for this URL is not installed."""


class SigningUnavailable(Unsupported, code="signing-unavailable"):
    """The library that signs and verifies is not installed, or a key has to stay in the process that loaded it."""


class ReportUnavailable(Unsupported, code="report-unavailable"):
    """The library that makes the pages of a report is not installed."""


class ConditionsUnsupported(Unsupported, code="conditions-unsupported"):
    """The storage cannot honour a conditional write, so the store refuses to write through it."""


class Untrusted(ArtifactStoreError, code="untrusted"):
    """The policy of the caller does not trust this artifact. Nothing was decoded."""


class EndpointNotAllowed(Untrusted, code="endpoint-not-allowed"):
    """A file that comes with a project names an endpoint that the user has not allowed yet. Nothing was sent there."""


class RiskRefused(Untrusted, code="risk-refused"):
    """Decoding could run code, and nothing in this call allows that."""


class TypeRefused(Untrusted, Corrupt, code="type-refused"):
    """A file asks for ``types`` outside of the fixed list of its codec, which never writes that. Nothing was made."""

    def __init__(self, message: str, *, types: Sequence[str] = ()) -> None:
        self.types = tuple(types)
        super().__init__(message)


class SignatureMissing(Untrusted, code="signature-missing"):
    """The policy requires a signature, and no trusted key made one."""


class SignatureInvalid(Untrusted, code="signature-invalid"):
    """A signature is damaged, was made by another key than it says, or covers other bytes than these."""


class UntrustedKey(Untrusted, code="untrusted-key"):
    """It is signed, but only by keys that the policy does not trust; ``key_ids`` holds how their ids begin."""

    def __init__(self, message: str, *, key_ids: Sequence[str]) -> None:
        self.key_ids = tuple(key_ids)
        super().__init__(message)


class UnverifiedHistory(Untrusted, code="unverified-history"):
    """A publish would sign the history of an alias that no trusted key has signed. Nothing was published."""


class RolledBack(Untrusted, code="rolled-back"):
    """A pointer is genuine, but older (``seq``; 0: it is gone) than one that this client saw (``seen``): a rollback."""

    def __init__(self, message: str, *, seen: int, seq: int) -> None:
        self.seen, self.seq = seen, seq
        super().__init__(message)


class StoreReplaced(RolledBack, code="store-replaced"):
    """Another store is at this place (``found``) than this client has seen there (``known``)."""

    def __init__(self, message: str, *, seen: int, seq: int, known: str, found: str) -> None:
        self.known, self.found = known, found
        super().__init__(message, seen=seen, seq=seq)


class Stale(Untrusted, code="stale"):
    """A pointer is genuine and was signed longer ago than the policy's ``max_age``."""


class RunTooOld(Untrusted, code="run-too-old"):
    """The run that was found (``ref``) was saved longer ago (``age``) than the caller's ``max_run_age`` (``limit``)."""

    def __init__(self, message: str, *, ref: str, age: timedelta, limit: timedelta) -> None:
        self.ref, self.age, self.limit = ref, age, limit
        super().__init__(message)


class NotForTrading(Untrusted, code="not-for-trading"):
    """A note says "do not trade" of this run, or a note about it cannot be read and may say so."""
