"""What an HTTP status of an object store means, and its text without credentials.

Owns the one table from (status, error code) to our errors, for every engine that speaks HTTP, and the redaction
of what foreign clients say. Does not know any client: an engine digs the status out of its own exceptions, since
their types lie (one server's 412 arrives as ``FileExistsError``, another's as ``OSError(22)``).
"""

from __future__ import annotations

import base64
import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal
from urllib.parse import quote, quote_plus

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    ConditionsUnsupported,
    ContainerNotFound,
    Contended,
    DigestMismatch,
    InvalidOption,
    ObjectNotFound,
    PreconditionFailed,
    StorageFull,
    Unreachable,
    Unsupported,
)

Operation = Literal["read", "write", "list", "delete", "list uploads below", "abort the upload of"]

_HIDDEN = "***"
_SHORT_SECRET = 8
_DETAIL_LIMIT = 300


class _Meaning(enum.Enum):
    NO_CONTAINER = enum.auto()
    NO_OBJECT = enum.auto()
    WRONG_KEY = enum.auto()
    EXPIRED = enum.auto()
    WRONG_CLOCK = enum.auto()
    NO_RIGHT = enum.auto()
    OTHER_STATE = enum.auto()
    CONTENDED = enum.auto()
    UPLOAD_GONE = enum.auto()
    TOO_SHORT = enum.auto()
    FULL = enum.auto()
    ELSEWHERE = enum.auto()
    NOT_IMPLEMENTED = enum.auto()
    TRY_AGAIN = enum.auto()
    REFUSED = enum.auto()


# The server's own word tells more than the number, so it is asked first.
_CODES = {
    _Meaning.NO_CONTAINER: "NoSuchBucket ContainerNotFound ContainerBeingDeleted FilesystemNotFound",
    _Meaning.NO_OBJECT: "NoSuchKey NoSuchVersion BlobNotFound PathNotFound",
    _Meaning.WRONG_KEY: (
        "InvalidAccessKeyId SignatureDoesNotMatch InvalidSecurity InvalidAuthenticationInfo AuthenticationFailed "
        "AuthorizationHeaderMalformed NoAuthenticationInformation MissingAuthenticationToken "
        "UnrecognizedClientException"
    ),
    _Meaning.EXPIRED: "ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired RequestExpired",
    _Meaning.WRONG_CLOCK: "RequestTimeTooSkewed RequestInTheFuture",
    _Meaning.NO_RIGHT: "AccessDenied AllAccessDisabled AuthorizationPermissionMismatch AuthorizationFailure",
    _Meaning.OTHER_STATE: ("PreconditionFailed ConditionNotMet BlobAlreadyExists FileAlreadyExists PathAlreadyExists"),
    _Meaning.CONTENDED: "ConditionalRequestConflict OperationAborted LeaseIdMissing",
    _Meaning.UPLOAD_GONE: "NoSuchUpload",
    _Meaning.TOO_SHORT: "InvalidRange",
    _Meaning.FULL: (
        "QuotaExceeded InsufficientStorage InsufficientCapacity StorageFull XMinioStorageFull "
        "XMinioAdminBucketQuotaExceeded AccountStorageQuotaExceeded"
    ),
    _Meaning.ELSEWHERE: "PermanentRedirect TemporaryRedirect IllegalLocationConstraintException",
    _Meaning.NOT_IMPLEMENTED: "NotImplemented",
    _Meaning.TRY_AGAIN: (
        "BadDigest IncompleteBody InvalidDigest XAmzContentSHA256Mismatch RequestTimeout SlowDown ServerBusy "
        "OperationTimedOut InternalError ServiceUnavailable"
    ),
}
_BY_CODE = {code: meaning for meaning, codes in _CODES.items() for code in codes.split()}
_BY_STATUS: dict[int, _Meaning] = {
    HTTPStatus.MOVED_PERMANENTLY: _Meaning.ELSEWHERE,
    HTTPStatus.FOUND: _Meaning.ELSEWHERE,
    HTTPStatus.TEMPORARY_REDIRECT: _Meaning.ELSEWHERE,
    HTTPStatus.PERMANENT_REDIRECT: _Meaning.ELSEWHERE,
    HTTPStatus.UNAUTHORIZED: _Meaning.WRONG_KEY,
    HTTPStatus.FORBIDDEN: _Meaning.NO_RIGHT,
    HTTPStatus.NOT_FOUND: _Meaning.NO_OBJECT,
    HTTPStatus.REQUEST_TIMEOUT: _Meaning.TRY_AGAIN,
    HTTPStatus.CONFLICT: _Meaning.CONTENDED,
    HTTPStatus.PRECONDITION_FAILED: _Meaning.OTHER_STATE,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: _Meaning.TOO_SHORT,
    HTTPStatus.TOO_EARLY: _Meaning.TRY_AGAIN,
    HTTPStatus.TOO_MANY_REQUESTS: _Meaning.TRY_AGAIN,
    HTTPStatus.NOT_IMPLEMENTED: _Meaning.NOT_IMPLEMENTED,
    HTTPStatus.INSUFFICIENT_STORAGE: _Meaning.FULL,
}
_TELL_OF_SPACE = {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.INTERNAL_SERVER_ERROR}
_NO_SPACE = re.compile(r"no space left|disk (?:is )?full|not enough space|(?:storage|bucket) quota", re.IGNORECASE)

_ADVICE = {
    _Meaning.NO_CONTAINER: "the bucket or container does not exist; create it or correct the URL",
    _Meaning.NO_OBJECT: "nothing is stored there",
    _Meaning.WRONG_KEY: "wrong credentials; check the access key, the secret and the region",
    _Meaning.EXPIRED: "the session token has expired or is not valid; log in again",
    _Meaning.WRONG_CLOCK: "the clock of this machine is wrong; set it and repeat the call",
    _Meaning.NO_RIGHT: "these credentials do not have the permission for that",
    _Meaning.OTHER_STATE: "the object is not in the state that this request expected",
    _Meaning.CONTENDED: "a concurrent request for the same key was under way; repeat the call",
    _Meaning.UPLOAD_GONE: "the upload in parts is gone, finished or aborted by another request",
    _Meaning.TOO_SHORT: "the object is shorter than the range that was asked for",
    _Meaning.FULL: "no space or no quota is left; make room, then repeat the call",
    _Meaning.ELSEWHERE: "the bucket is served elsewhere; set client_kwargs={'region_name': ...} or endpoint_url",
    _Meaning.NOT_IMPLEMENTED: "the server does not implement such a request",
    _Meaning.TRY_AGAIN: "the server could not do it now; try again later",
    _Meaning.REFUSED: "the server refuses such a request",
}
_NO_RIGHT_TO_READ = (
    "either these credentials may not read it{read}, or it does not exist and they may not list the bucket{list} "
    "(which would tell the two apart)"
)
_PERMISSIONS: dict[Operation, str] = {
    "read": "s3:GetObject",
    "write": "s3:PutObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
    "list uploads below": "s3:ListBucketMultipartUploads",
    "abort the upload of": "s3:AbortMultipartUpload",
}
_S3 = ("s3://", "s3a://")
_WANTS_CHECKSUM = re.compile(r"(?:Content-MD5|x-amz-checksum).*Object Lock", re.IGNORECASE | re.DOTALL)
_GIVE_CHECKSUMS = (
    "the bucket keeps what is uploaded for a time (Object Lock), and wants a checksum with every upload: add "
    "storage_options={'s3_additional_kwargs': {'ChecksumAlgorithm': 'SHA256'}}"
)
_NO_CONDITIONS = "this server cannot do conditional writes; use one that can, or concurrency='single-writer'"

_PLAIN: dict[_Meaning, type[ArtifactStoreError]] = {
    _Meaning.NO_CONTAINER: ContainerNotFound,
    _Meaning.WRONG_KEY: AccessDenied,
    _Meaning.EXPIRED: AccessDenied,
    _Meaning.WRONG_CLOCK: AccessDenied,
    _Meaning.NO_RIGHT: AccessDenied,
    _Meaning.CONTENDED: Contended,
    # An earlier, unanswered attempt may have completed the upload: the outcome is unproven, as with a 409.
    _Meaning.UPLOAD_GONE: Contended,
    _Meaning.FULL: StorageFull,
    _Meaning.ELSEWHERE: InvalidOption,
    _Meaning.NOT_IMPLEMENTED: Unsupported,
    _Meaning.TRY_AGAIN: Unreachable,
    _Meaning.REFUSED: Unsupported,
}


def error_for_status(
    status: int,
    *,
    key: str,
    url: str,
    code: str = "",
    detail: str = "",
    operation: Operation = "read",
    conditional: bool = False,
) -> ArtifactStoreError:
    """Return the error that an HTTP status means; the caller raises it.

    ``code`` is the server's own word (``NoSuchBucket``), ``detail`` its sentence, already redacted.
    ``conditional`` says that a *write* carried a precondition: a 404 is then ``PreconditionFailed`` and a 501
    ``ConditionsUnsupported``. A 304 is not an error, and not for this function.
    """
    meaning = _meaning(status, code, detail)
    # A plain PUT and a LIST name no existing object, so a 404 without a word can only mean the bucket.
    if meaning is _Meaning.NO_OBJECT and not code and not conditional and operation in {"write", "list"}:
        meaning = _Meaning.NO_CONTAINER
    if meaning is _Meaning.NO_OBJECT and conditional:
        meaning = _Meaning.OTHER_STATE
    text = f"{url}: cannot {operation} {key!r} ({_said(status, code, detail)}): "
    if meaning is _Meaning.NO_RIGHT:
        return _denied(text, operation, on_s3=url.startswith(_S3))
    if meaning is _Meaning.NOT_IMPLEMENTED and conditional:
        return ConditionsUnsupported(text + _NO_CONDITIONS)
    if meaning is _Meaning.REFUSED and _WANTS_CHECKSUM.search(detail):
        return Unsupported(text + _GIVE_CHECKSUMS)
    return _build(meaning, key, text + _ADVICE[meaning])


def _denied(text: str, operation: Operation, *, on_s3: bool) -> AccessDenied:
    """Return the error for a lack of rights, which names the one that it takes where that is known."""
    needed = _PERMISSIONS[operation] if on_s3 else ""
    if operation == "read":
        listing = f" with {_PERMISSIONS['list']}" if on_s3 else ""
        text += _NO_RIGHT_TO_READ.format(read=f" with {needed}" if on_s3 else "", list=listing)
    else:
        text += _ADVICE[_Meaning.NO_RIGHT] + (f"; it takes {needed}" if on_s3 else "")
    error = AccessDenied(text)
    error.permission = needed
    return error


def _meaning(status: int, code: str, detail: str) -> _Meaning:
    if status in _TELL_OF_SPACE and _NO_SPACE.search(detail):
        return _Meaning.FULL
    if code in _BY_CODE:
        return _BY_CODE[code]
    fallback = _Meaning.TRY_AGAIN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _Meaning.REFUSED
    return _BY_STATUS.get(status, fallback)


def _build(meaning: _Meaning, key: str, text: str) -> ArtifactStoreError:
    match meaning:
        case _Meaning.NO_OBJECT:
            return ObjectNotFound(key, text)
        case _Meaning.OTHER_STATE:
            return PreconditionFailed(key, text)
        case _Meaning.TOO_SHORT:
            return DigestMismatch(text, key=key)
        case _:
            return _PLAIN[meaning](text)


def _said(status: int, code: str, detail: str) -> str:
    words = f"HTTP {status} {code}".rstrip()
    short = one_line(detail)
    return f"{words}: {short}" if short and short != code else words


# ---------------------------------------------------------------- redaction

# What gives a request away even if we never saw the credential: signatures, tokens, userinfo, SAS and key ids.
_TELLTALES = (
    re.compile(r"(?i)((?:x-amz-(?:security-token|signature|credential)|x-goog-signature|x-goog-credential)\W{1,6})[^\s\"'&<>,;]+"),
    re.compile(r"(?i)((?:[?&]|\b)(?:sig|signature|awsaccesskeyid)=)[^\s\"'&<>,;]+"),
    re.compile(r"(?i)((?:customer-key(?:-md5)?|(?:x-)?api[-_]?key|(?:set-)?cookie)\"?'?\s*[:=]\s*[\"']?)[^\"'\r\n<>]+"),
    re.compile(r"(?i)(authorization\"?'?\s*[:=]\s*[\"']?)(?:\w[\w-]*\s+)?[^\"'\r\n]+"),
    re.compile(r"(?i)(<(?:AWSAccessKeyId|SignatureProvided|StringToSign|StringToSignBytes|CanonicalRequest|CanonicalRequestBytes)>)[^<]*"),
    re.compile(r"(?i)((?:secret_?(?:access_?)?key|account_?key|session_?token|shared_?access_?key|client_?secret)[\"']?\s*[:=]\s*[\"']?)[^\s\"'&<>,;]+"),
    re.compile(r"(://)[^/\s\"'@]+(?=@)"),
)  # fmt: skip


class ForeignError(Exception):
    """What a storage client reported: its type and its words, without credentials and without its objects."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` with every secret, as it is, quoted or in base64, and every signature replaced by ``***``.

    Secrets of fewer than eight characters are replaced as whole words only, so that a secret ``any`` leaves
    ``company`` readable.
    """
    for spelled in sorted(_spellings(secrets), key=len, reverse=True):
        if len(spelled) >= _SHORT_SECRET:
            text = text.replace(spelled, _HIDDEN)
        else:
            text = re.sub(rf"(?<!\w){re.escape(spelled)}(?!\w)", _HIDDEN, text)
    for telltale in _TELLTALES:
        text = telltale.sub(rf"\g<1>{_HIDDEN}", text)
    return text


def _spellings(secrets: Iterable[str]) -> set[str]:
    plain = {secret for secret in secrets if secret}
    escaped = {secret.replace("/", "\\/") for secret in plain} | {repr(secret)[1:-1] for secret in plain}
    encoded = {base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode() for secret in plain}
    return (
        plain
        | escaped
        | {spelled for spelled in encoded if len(spelled) > _SHORT_SECRET}
        | {spell(secret, safe="", errors="surrogatepass") for secret in plain for spell in (quote, quote_plus)}
    )


def clean_copy(error: BaseException, secrets: Iterable[str] = ()) -> ForeignError:
    """Return a stand-in for ``error`` that is fit to be the cause of ours.

    It carries the type's name and the redacted text, but no traceback, no context and none of the requests,
    sessions and headers that clients attach. Raise our own error *after* the ``except`` block has ended: inside
    it Python would put the original into ``__context__``.
    """
    kind = type(error)
    return ForeignError(redact(f"{kind.__module__}.{kind.__qualname__}: {error}", secrets))


def one_line(text: str, limit: int = _DETAIL_LIMIT) -> str:
    """Return ``text`` on one line and cut to ``limit`` characters: servers answer with whole pages."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else joined[: limit - 3] + "..."


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, for the message: which operation on which key of which store."""

    operation: Operation
    key: str
    url: str
    conditional: bool = False
