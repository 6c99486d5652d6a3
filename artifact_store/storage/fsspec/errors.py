"""Translate what fsspec filesystems and botocore raise, by HTTP status wherever there is one.

Their exception types lie: one 412 arrives as ``FileExistsError``, another as ``OSError(22)``. So the status is dug
out of the exception and its causes; types and errno numbers count only without one.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Corrupt,
    DeadlineExceeded,
    InvalidOption,
    ObjectNotFound,
    StorageFull,
    TooManyOpenFiles,
    Unavailable,
    Unreachable,
    Unsupported,
)
from artifact_store.storage import threads
from artifact_store.storage.connections import no_connection
from artifact_store.storage.descriptors import ADVICE, EXHAUSTED
from artifact_store.storage.http import LOG_IN, NO_AWS_CREDENTIALS, Attempt, error_for_status
from artifact_store.storage.redaction import clean_copy, one_line, redact

NOT_MODIFIED = 304
_STATUSES = range(300, 600)
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_LATE = "the server did not answer in time; try again later"
_BY_NAME: tuple[tuple[type[ArtifactStoreError], str, str], ...] = (
    (AccessDenied, NO_AWS_CREDENTIALS, "NoCredentialsError"),
    (
        AccessDenied,
        LOG_IN,
        (
            "PartialCredentialsError CredentialRetrievalError TokenRetrievalError SSOTokenLoadError "
            "UnauthorizedSSOTokenError PendingAuthorizationExpiredError RefreshWithMFAUnsupportedError "
            "MetadataRetrievalError DefaultCredentialsError RefreshError ClientAuthenticationError"
        ),
    ),
    (
        InvalidOption,
        "correct the store URL or the storage options",
        (
            "InvalidRegionError NoRegionError ParamValidationError UnsupportedS3ConfigurationError "
            "UnknownEndpointError InvalidS3AddressingStyleError InvalidRetryConfigurationError "
            "InvalidRetryModeError InvalidMaxRetryAttemptsError InvalidProxiesConfigError"
        ),
    ),
    (
        InvalidOption,
        "correct ~/.aws/config and ~/.aws/credentials",
        "ProfileNotFound ConfigNotFound ConfigParseError InvalidConfigError",
    ),
    (Unsupported, "install what is missing, or leave out the option that needs it", "MissingDependencyException"),
    (Corrupt, "the bytes that arrived are not those that the server holds", "FlexibleChecksumError ChecksumError"),
    (Unreachable, "no connection; check the address and the network", "ConnectTimeoutError"),
    (
        DeadlineExceeded,
        _LATE,
        (
            "ReadTimeoutError ReadTimeout AioReadTimeoutError SocketTimeoutError ServerTimeoutError "
            "ServiceResponseTimeoutError"
        ),
    ),
)
"""Our error for the types of these names, and what to do; the first row that fits counts."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a server answered: number, its own word, its sentence. It may repeat secrets, so no ``repr`` shows them."""

    number: int
    code: str = field(default="", repr=False)
    detail: str = field(default="", repr=False)
    region: str = field(default="", repr=False)
    """Where the bucket is, of which it is the wrong region."""


def translate_fsspec_error(error: BaseException, attempt: Attempt, secrets: Iterable[str] = ()) -> ArtifactStoreError:
    """Return our error for a foreign one, with a redacted stand-in as its cause.

    Raise it after the ``except`` block has ended, or Python keeps the original as its context.
    """
    known = tuple(secrets)
    answered = status_of(error)
    if answered is not None:
        detail = redact(answered.detail, known)
        code, region = redact(answered.code, known), redact(answered.region, known)
        ours = error_for_status(answered.number, attempt, code=code, detail=detail, region=region)
    else:
        said = one_line(redact(f"{type(error).__name__}: {error}", known))
        text = f"{attempt} ({said}): "
        exhausted = any(isinstance(link, OSError) and link.errno in EXHAUSTED for link in _chain(error))
        if exhausted:  # of a write that the client repeated by itself, an earlier attempt may have been sent
            ours = (Unreachable if attempt.operation == "write" else TooManyOpenFiles)(text + ADVICE)
        elif any(isinstance(link, RuntimeError) and threads.tells_of_no_thread(str(link)) for link in _chain(error)):
            ours = Unavailable(text + threads.THREAD_ADVICE)
        else:
            chained = "\n".join(str(link) for link in _chain(error))
            ours = no_connection(attempt, chained) or _by_type(error, attempt, text)
    ours.__cause__ = clean_copy(error, known)
    return ours


def status_of(error: BaseException) -> Status | None:
    """Return the HTTP status that this exception, or one of its causes, was made from."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, Mapping):
            answer, reported = response.get("ResponseMetadata", {}), response.get("Error", {})
            number, region = answer.get("HTTPStatusCode"), answer.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
            if number in _STATUSES:
                return Status(number, str(reported.get("Code", "")), str(reported.get("Message", "")), str(region))
        for name in ("status_code", "status", "code"):
            if type(link).__module__ == "aiohttp.http_exceptions":
                break  # a body that broke off is a 400 there, which no server said
            number = getattr(link, name, None)
            if isinstance(number, int) and number in _STATUSES:
                code = getattr(link, "error_code", None)
                return Status(number, str(getattr(code, "value", code) or ""), str(link))
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _by_type(error: BaseException, attempt: Attempt, text: str) -> ArtifactStoreError:
    names = {kind.__name__ for kind in type(error).__mro__}
    for kind, advice, known in _BY_NAME:
        if not names.isdisjoint(known.split()):
            return Corrupt(text + advice, key=attempt.key) if kind is Corrupt else kind(text + advice)
    match error:
        case TimeoutError():
            return DeadlineExceeded(text + _LATE)
        case FileNotFoundError() | IsADirectoryError() | NotADirectoryError():
            return ObjectNotFound(attempt.key, text + "nothing is stored there")
        case PermissionError():
            return AccessDenied(text + "the credentials or the permissions do not allow it")
        case OSError(errno=number) if number in _FULL:
            return StorageFull(text + "no space or no quota is left; make room, then repeat the call")
        case _:
            return Unreachable(text + "no connection, or a broken one; try again later")
