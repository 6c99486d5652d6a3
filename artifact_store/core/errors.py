"""Every way in which the store can fail, grouped by what the caller does next.

.. code-block:: text

    ArtifactStoreError
    ├── InvalidInput (ValueError)      mend the call
    │   ├── InvalidName                  a model type, symbol, run id, alias, component or file name
    │   ├── InvalidReference             "type/symbol@alias", "type/symbol:run"
    │   ├── InvalidOption                a store URL, a storage option, a policy, a setting
    │   ├── FeatureMismatch              columns or widths other than the model was trained on
    │   ├── NoCodec                      nothing here can store an object of this type
    │   ├── NotEncodable                 a codec knows the type and cannot hold this object exactly
    │   └── MetricMissing                "if_better" without a comparable number
    ├── NotFound (LookupError)         name something else
    │   ├── ObjectNotFound               no bytes at this key
    │   ├── ModelNotFound, RunNotFound, AliasNotFound, ComponentNotFound, FileNotInRun
    │   ├── AmbiguousRun                 a run id prefix that fits several; ``candidates``
    │   ├── RunDeleted                   it was there and has been deleted
    │   ├── AliasRetired                 the alias names no run any more
    │   ├── NothingToRollBackTo
    │   ├── ContainerNotFound            the bucket or the root folder is not there
    │   └── NotAStore                    a root that holds something else
    ├── Conflict                       look again, then decide
    │   ├── PreconditionFailed           a conditional write found something else than expected
    │   ├── RunExists                    another run was committed under this id
    │   ├── RunInUse                     an alias names the run that was to be deleted; ``aliases``
    │   └── PointerConflict              another run was published meanwhile; ``actual``
    ├── OutcomeUnknown                 find out before you repeat: the write may have landed
    ├── Unavailable (OSError)          try again later
    │   ├── Unreachable                  no connection, a broken one, an overloaded server
    │   ├── DeadlineExceeded (TimeoutError)
    │   │   └── LockHeld                 another process kept the lock; nothing was written
    │   ├── Contended                    409: somebody else was writing at that very moment
    │   └── StorageFull
    ├── AccessDenied (PermissionError) mend the credentials or the permissions
    ├── Corrupt                        do not use it; restore it or fall back to another run
    │   └── DigestMismatch               other bytes than were saved
    ├── Unsupported                    install or choose something else
    │   ├── FormatUnsupported            it has something in it that this release does not know
    │   │   └── FormatTooNew             in a newer major format
    │   ├── CodecUnavailable             the codec, or the library it needs, is not installed
    │   ├── PredictorUnavailable         nothing here predicts with this model type
    │   ├── EngineUnavailable            the storage client is not installed
    │   ├── SigningUnavailable           the library that signs and verifies is not installed
    │   └── ConditionsUnsupported        this storage cannot do conditional writes
    └── Untrusted                      decide whether you trust it
        ├── RiskRefused                  decoding could run code, and the policy forbids that
        ├── TypeRefused (Corrupt)        a file names a type that its codec never writes
        ├── SignatureMissing             nobody whom the policy trusts has signed it
        ├── SignatureInvalid             a signature does not fit, or covers other bytes than these
        ├── UntrustedKey                 it is signed, by keys that the policy does not trust; ``key_ids``
        ├── RolledBack                   an older pointer than one that was seen, or one of another store
        ├── Stale                        the pointer is older than ``max_age``: perhaps newer ones are kept back
        └── RunTooOld                    the run is older than ``max_run_age``; ``ref``, ``age``, ``limit``

Errors carry data as attributes beside their text, and ``str(error)`` says what to do next.
No message, attribute or cause that we write holds a credential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from artifact_store.core.wording import brief


class ArtifactStoreError(Exception):
    """Anything that the store reports. Catch a family below to decide what to do.

    ``committed`` names a run (``type/symbol:run_id``) that is complete and safe although the call failed.
    """

    committed: str | None = None

    def __str__(self) -> str:
        text = super().__str__()
        if self.committed is None:
            return text
        return f"{text}. The run {self.committed} is committed, not published: promote it when the cause is gone"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from another process, attributes included."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ArtifactStoreError], args: tuple[object, ...], state: dict[str, object]) -> ArtifactStoreError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# ---------------------------------------------------------------- mend the call


class InvalidInput(ArtifactStoreError, ValueError):
    """The call itself is wrong; nothing was read or written."""


class InvalidName(InvalidInput):
    """A name is outside the grammar that holds on every platform."""

    def __init__(self, kind: str, name: object, why: str, *, suggestion: str | None = None) -> None:
        self.kind = kind
        self.name = name
        self.why = why
        self.suggestion = suggestion
        hint = f"; try {suggestion!r}" if suggestion else ""
        shown = brief(name)
        super().__init__(f"{shown} cannot be {'an' if kind[0] in 'aeio' else 'a'} {kind}: {why}{hint}")


class InvalidReference(InvalidInput):
    """Text that should name a model, a run or an alias does not; ``suggestion`` is what to type, if that is known."""

    def __init__(self, message: str, *, suggestion: str | None = None) -> None:
        self.suggestion = suggestion
        super().__init__(f"{message}; try {suggestion!r}" if suggestion else message)


class InvalidOption(InvalidInput):
    """An option has a value, or a combination of values, that means nothing here."""


class FeatureMismatch(InvalidInput):
    """The input does not have the features that the model was trained on.

    ``missing``, ``extra`` and ``duplicate`` are names; ``reordered`` is true when all names are there
    in another order and order may not be mended; ``dtype`` maps a name to (expected, found);
    ``suggestions`` maps a missing name to the likeliest of the extra ones.
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
        self.missing = tuple(missing)
        self.extra = tuple(extra)
        self.duplicate = tuple(duplicate)
        self.reordered = reordered
        self.dtype = dict(dtype or {})
        self.suggestions = dict(suggestions or {})
        super().__init__(message)


class NoCodec(InvalidInput):
    """No installed codec stores an object of this type."""


class NotEncodable(InvalidInput):
    """The codec for this type cannot hold this very object exactly, so it holds none of it."""


class MetricMissing(InvalidInput):
    """A run to be compared has no such metric, or a NaN. It is committed if ``run_id`` is set."""

    def __init__(self, message: str, *, metric: str, run_id: str | None = None) -> None:
        self.metric = metric
        self.run_id = run_id
        super().__init__(message)


# ---------------------------------------------------------------- name something else


class NotFound(ArtifactStoreError, LookupError):
    """What was named is not there."""


class ObjectNotFound(NotFound):
    """No object is stored at ``key``."""

    def __init__(self, key: str, message: str | None = None) -> None:
        self.key = key
        super().__init__(message or f"nothing is stored at {key!r}")


class ModelNotFound(NotFound):
    """No run of this model was ever committed here."""


class RunNotFound(NotFound):
    """No committed run has this id."""


class AliasNotFound(NotFound):
    """The alias was never published for this model."""


class ComponentNotFound(NotFound):
    """The run has no component of this name; the message lists those that it has."""


class FileNotInRun(NotFound):
    """The run has no file of this name; the message lists those that it has."""


class AmbiguousRun(NotFound):
    """A prefix fits several runs; ``candidates`` holds their ids."""

    def __init__(self, message: str, *, candidates: Sequence[str]) -> None:
        self.candidates = tuple(candidates)
        super().__init__(message)


class RunDeleted(NotFound):
    """The run was committed once and has been deleted since."""


class AliasRetired(NotFound):
    """The alias was retired: it names no run until one is promoted to it."""


class NothingToRollBackTo(NotFound):
    """No earlier run of this alias can be served again."""


class ContainerNotFound(NotFound):
    """The bucket, container or root folder does not exist (or may not be seen)."""


class NotAStore(NotFound):
    """The root holds something that is not a store; nothing was written to it."""


# ---------------------------------------------------------------- look again, then decide


class Conflict(ArtifactStoreError):
    """Somebody else was first. Nothing of theirs was changed."""


class PreconditionFailed(Conflict):
    """A conditional write found another state than it expected, so the storage says."""

    def __init__(self, key: str, message: str | None = None) -> None:
        self.key = key
        super().__init__(message or f"{key!r} is not in the state that this write expected")


class RunExists(Conflict):
    """Another run was already committed under this id; it is untouched."""


class RunInUse(Conflict):
    """An alias names the run, so it is not deleted. ``aliases`` holds their names."""

    def __init__(self, message: str, *, aliases: Sequence[str]) -> None:
        self.aliases = tuple(aliases)
        super().__init__(message)


class PointerConflict(Conflict):
    """The alias moved while this call was at work. ``actual`` is the pointer that is there now."""

    def __init__(self, message: str, *, actual: object | None = None, run_id: str | None = None) -> None:
        self.actual = actual
        self.run_id = run_id
        super().__init__(message)


class OutcomeUnknown(ArtifactStoreError):
    """A write may or may not have landed, and it could not be read back in time.

    Nothing was cleaned up. Read the key again later: the write landed if ``write_id`` is in it,
    or in the history of the alias.
    """

    def __init__(self, message: str, *, key: str, write_id: str | None = None, run_id: str | None = None) -> None:
        self.key = key
        self.write_id = write_id
        self.run_id = run_id
        super().__init__(message)

    def __str__(self) -> str:
        text = Exception.__str__(self)
        if self.committed is None:
            return text
        return f"{text}. The run {self.committed} is committed; whether it is published, its alias tells"


# ---------------------------------------------------------------- try again later


class Unavailable(ArtifactStoreError, OSError):
    """The storage could not do it now; the same call may succeed later."""


class Unreachable(Unavailable):
    """No connection, a connection that broke, or a server that answers 5xx."""


class DeadlineExceeded(Unavailable, TimeoutError):
    """The configured time was over before the storage had answered."""


class LockHeld(DeadlineExceeded):
    """A living process held the lock for all of that time. Nothing was written, and nothing will be."""


class Contended(Unavailable):
    """The server answered 409: a concurrent request for the same key was under way."""


class StorageFull(Unavailable):
    """No space or no quota is left; what was there before is unharmed."""


# ---------------------------------------------------------------- mend the credentials


class AccessDenied(ArtifactStoreError, PermissionError):
    """The credentials or the permissions do not allow it.

    ``permission`` is what S3 calls the one that is missing (``s3:PutObject``), where that is known.
    """

    permission: str = ""


# ---------------------------------------------------------------- do not use it


class Corrupt(ArtifactStoreError):
    """Stored bytes are not what a store writes: truncated, damaged, foreign or swapped."""

    def __init__(self, message: str, *, key: str | None = None) -> None:
        self.key = key
        super().__init__(message)


class DigestMismatch(Corrupt):
    """The bytes are not those that were saved: ``expected`` and ``actual`` are sha256 or sizes."""

    def __init__(self, message: str, *, key: str | None = None, expected: str = "", actual: str = "") -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(message, key=key)


# ---------------------------------------------------------------- install or choose something else


class Unsupported(ArtifactStoreError):
    """This installation, or this storage, cannot do it."""


class FormatUnsupported(Unsupported):
    """A newer release wrote this with something in it that this release would misread; ``names`` says what."""

    def __init__(self, message: str, *, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        super().__init__(message)


class FormatTooNew(FormatUnsupported):
    """A newer release wrote this in a major format that this release does not know."""


class CodecUnavailable(Unsupported):
    """The codec that wrote a component, or the library that it needs, is not installed."""


class PredictorUnavailable(Unsupported):
    """Nothing that is installed predicts with models of this type."""


class EngineUnavailable(Unsupported):
    """The storage client for this URL is not installed."""


class SigningUnavailable(Unsupported):
    """The library that signs and verifies is not installed, or a key has to stay in the process that loaded it."""


class ConditionsUnsupported(Unsupported):
    """The storage cannot honour a conditional write, so the store refuses to write through it."""


# ---------------------------------------------------------------- decide whether you trust it


class Untrusted(ArtifactStoreError):
    """The policy of the caller does not trust this artifact. Nothing was decoded."""


class RiskRefused(Untrusted):
    """Decoding could run code, and nothing in this call allows that."""


class TypeRefused(Untrusted, Corrupt):
    """A file asks for types outside of the fixed list of its codec; ``types`` names them. Nothing was made of it.

    It is corrupt as well, since the codec that is recorded for it never writes such a file.
    """

    def __init__(self, message: str, *, types: Sequence[str] = ()) -> None:
        self.types = tuple(types)
        super().__init__(message)


class SignatureMissing(Untrusted):
    """A signature is demanded, and there is none by a key that the policy trusts."""


class SignatureInvalid(Untrusted):
    """A signature is damaged, was made by another key than it says, or covers other bytes than these."""


class UntrustedKey(Untrusted):
    """It is signed, but only by keys that the policy does not trust; ``key_ids`` holds how their ids begin."""

    def __init__(self, message: str, *, key_ids: Sequence[str]) -> None:
        self.key_ids = tuple(key_ids)
        super().__init__(message)


class RolledBack(Untrusted):
    """A pointer is genuine and older than one that this client saw: somebody put an old state back.

    ``seen`` is the highest ``seq`` that this client saw, ``seq`` the one that is there now (0: no pointer at all).
    """

    def __init__(self, message: str, *, seen: int, seq: int) -> None:
        self.seen, self.seq = seen, seq
        super().__init__(message)


class Stale(Untrusted):
    """A pointer is genuine and was signed longer ago than the policy's ``max_age``."""


class RunTooOld(Untrusted):
    """The run that was found was saved longer ago than the caller's ``max_run_age``.

    ``ref`` names it; ``age`` is how old it is, ``limit`` how old it may be.
    """

    def __init__(self, message: str, *, ref: str, age: timedelta, limit: timedelta) -> None:
        self.ref, self.age, self.limit = ref, age, limit
        super().__init__(message)
