"""What an HTTP status of an object store means.

Owns the one table from (status, error code) to our errors, for every engine that speaks HTTP. Does not know any
client: an engine digs the status out of its own exceptions, since their types lie (one server's 412 arrives as
``FileExistsError``, another's as ``OSError(22)``).
"""

from __future__ import annotations

import enum
import re
import shlex
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from artifact_store.errors import (
    AccessDenied,
    Archived,
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
from artifact_store.storage.option_names import wrong_credentials
from artifact_store.storage.redaction import one_line
from artifact_store.wording import brief

Operation = Literal[
    "read",
    "write",
    "list",
    "delete",
    "list uploads below",
    "abort the upload of",
    "read the lifecycle rules of",
    "read the versioning of",
    "read the Object Lock of",
]

_WORD = re.compile(r"[A-Za-z][\w.]{0,79}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, for the message: which operation on which key of which store."""

    operation: Operation
    key: str
    url: str
    conditional: bool = False
    """A *write* that carried a precondition."""

    def __str__(self) -> str:
        return f"{self.url}: cannot {self.operation} {brief(self.key) if self.key else 'it'}"


class _Meaning(enum.Enum):
    """What an answer means: our error, what to do, and by which of the server's words and numbers it is known.

    The word tells more than the number, so it is asked first.
    """

    def __init__(self, kind: type[ArtifactStoreError], advice: str, codes: str, *statuses: int) -> None:
        self.kind, self.advice, self.codes, self.statuses = kind, advice, codes.split(), statuses

    NO_CONTAINER = (
        ContainerNotFound,
        "the bucket or container does not exist; create it or correct the URL",
        "NoSuchBucket ContainerNotFound ContainerBeingDeleted FilesystemNotFound",
    )
    NO_OBJECT = ObjectNotFound, "nothing is stored there", "NoSuchKey NoSuchVersion BlobNotFound PathNotFound", 404
    WRONG_KEY = (
        AccessDenied,
        "wrong credentials; ",
        (
            "InvalidAccessKeyId SignatureDoesNotMatch InvalidSecurity InvalidAuthenticationInfo AuthenticationFailed "
            "AuthorizationHeaderMalformed NoAuthenticationInformation MissingAuthenticationToken "
            "UnrecognizedClientException"
        ),
        401,
    )
    EXPIRED = (
        AccessDenied,
        "the session token has expired or is not valid; log in again",
        "ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired RequestExpired",
    )
    WRONG_CLOCK = (
        AccessDenied,
        "the clocks of this machine and the server differ by more than S3 takes; set this one and repeat the call",
        "RequestTimeTooSkewed RequestInTheFuture",
    )
    NO_RIGHT = (
        AccessDenied,
        "these credentials do not have the permission for that",
        "AccessDenied AuthorizationPermissionMismatch AuthorizationFailure",
        403,
    )
    DENIED = AccessDenied, "the server refuses it to these credentials; do what its words ask for", ""
    ARCHIVED = Archived, "the object is archived, and has to be restored first", "InvalidObjectState BlobArchived"
    NO_KEY = (
        AccessDenied,
        (
            "the KMS key that encrypts it cannot be used: it is disabled or deleted, or in another region or account; "
            "enable it in KMS, or choose another, in the encryption of the bucket or as SSEKMSKeyId in "
            "s3_additional_kwargs"
        ),
        (
            "KMS.DisabledException KMS.NotFoundException KMS.KMSInvalidStateException KMS.InvalidStateException "
            "KMS.InvalidKeyUsageException KMS.InvalidGrantTokenException"
        ),
    )
    OTHER_STATE = (
        PreconditionFailed,
        "the object is not in the state that this request expected",
        "PreconditionFailed ConditionNotMet BlobAlreadyExists FileAlreadyExists PathAlreadyExists",
        412,
    )
    CONTENDED = (
        Contended,
        "a concurrent request for the same key was under way; repeat the call",
        "ConditionalRequestConflict OperationAborted LeaseIdMissing",
        409,
    )
    # An earlier, unanswered attempt may have completed the upload: the outcome is unproven, as with a 409.
    UPLOAD_GONE = Contended, "the upload in parts is gone, finished or aborted by another request", "NoSuchUpload"
    TOO_SHORT = DigestMismatch, "the object is shorter than the range that was asked for", "InvalidRange", 416
    FULL = (
        StorageFull,
        "no space or no quota is left; make room, then repeat the call",
        (
            "QuotaExceeded InsufficientStorage InsufficientCapacity StorageFull XMinioStorageFull "
            "XMinioAdminBucketQuotaExceeded AccountStorageQuotaExceeded"
        ),
        507,
    )
    ELSEWHERE = (
        InvalidOption,
        (
            "the bucket is in another region or on another server; add "
            "storage_options={'client_kwargs': {'region_name': ...}}, or correct endpoint_url"
        ),
        "PermanentRedirect TemporaryRedirect IllegalLocationConstraintException",
        *(301, 302, 307, 308),
    )
    METADATA = (
        InvalidOption,
        "the caller's own metadata is longer than this storage takes; shorten Metadata in s3_additional_kwargs",
        "MetadataTooLarge",
    )
    LONG_KEY = (
        InvalidOption,
        "the key is longer than this storage takes; choose a shorter path in the URL of the store, or shorter names",
        "KeyTooLongError KeyTooLong",
    )
    TOO_LARGE = (
        Unsupported,
        "this is larger than the storage, or a proxy before it, takes; split it into several files",
        "EntityTooLarge",
        413,
    )
    NOT_IMPLEMENTED = Unsupported, "the server does not implement such a request", "NotImplemented", 501
    TRY_AGAIN = (
        Unreachable,
        "the server could not do it now; try again later",
        (
            "BadDigest IncompleteBody InvalidDigest XAmzContentSHA256Mismatch RequestTimeout SlowDown ServerBusy "
            "OperationTimedOut InternalError ServiceUnavailable KMS.ThrottlingException KMS.KeyUnavailableException "
            "KMS.DependencyTimeoutException KMS.KMSInternalException"
        ),
        *(408, 425, 429),
    )
    UNASKED = (
        Unreachable,
        "it was not asked whether anything has changed; a cache in between may have answered: leave it out",
        "",
        304,
    )
    REFUSED = Unsupported, "the server refuses such a request", ""


_BY_CODE = {code: meaning for meaning in _Meaning for code in meaning.codes}
_BY_STATUS = {status: meaning for meaning in _Meaning for status in meaning.statuses}
_TELL_OF_SPACE = {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.INTERNAL_SERVER_ERROR}
_NO_SPACE = re.compile(r"no space left|disk (?:is )?full|not enough space|(?:storage|bucket) quota", re.IGNORECASE)

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
    "read the lifecycle rules of": "s3:GetLifecycleConfiguration",
    "read the versioning of": "s3:GetBucketVersioning",
    "read the Object Lock of": "s3:GetBucketObjectLockConfiguration",
}
_S3 = ("s3://", "s3a://")
_NAMED_PERMISSION = re.compile(r"not authorized to perform: ([a-z0-9-]+:\w+)")
_KMS = "kms:"
_OF_A_KEY = re.compile(r"\bkms\b|customer master key", re.IGNORECASE)
_USES_OF_A_KEY = {"read": "kms:Decrypt", "write": "kms:GenerateDataKey"}
_PAID_BY_REQUESTERS = "; a bucket whose requesters pay also takes storage_options={'requester_pays': True}"
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_WRONG_REGION = re.compile(r"region (?:'[^']*' )?is wrong(?:; expecting '([\w.-]+)')?")
_GIVE_REGION = "the bucket is in another region; add storage_options={{'client_kwargs': {{'region_name': {region}}}}}"
_ASK_FOR_REGION = "; `aws s3api get-bucket-location --bucket {bucket}` tells which"
_RESTORE = (
    "the object is archived (Glacier). Restore it with `aws s3api restore-object --bucket {bucket} --key {key} "
    "--restore-request Days=7`, repeat the call when that is done, and let no rule archive what a store holds"
)
_WANTS_CHECKSUM = re.compile(r"(?:Content-MD5|x-amz-checksum).*Object Lock", re.IGNORECASE | re.DOTALL)
_GIVE_CHECKSUMS = (
    "the bucket keeps what is uploaded for a time (Object Lock), and wants a checksum with every upload: add "
    "storage_options={'s3_additional_kwargs': {'ChecksumAlgorithm': 'SHA256'}}"
)
_OWN_KEY = re.compile(r"Server Side Encryption", re.IGNORECASE)
_GIVE_KEY = (
    "the object is encrypted with a key that only the caller has: add storage_options={'s3_additional_kwargs': "
    "{'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': ...}}, and engine='fsspec'"
)
NO_AWS_CREDENTIALS = (
    "no AWS credentials were found: give key and secret, a profile, or anon=True, or set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)
LOG_IN = (
    "no credentials, or none that are still valid; give others, or log in again (`aws sso login` for a profile with "
    "AWS's single sign-on)"
)
_NO_CONDITIONS = "this server cannot do conditional writes; use one that can, or concurrency='single-writer'"


def error_for_status(
    status: int, attempt: Attempt, *, code: str = "", detail: str = "", region: str = ""
) -> ArtifactStoreError:
    """Return the error that an HTTP status means; the caller raises it.

    ``code`` is the server's own word (``NoSuchBucket``), ``detail`` its sentence, already redacted, and ``region``
    where it says that the bucket is. After a conditional write a 404 is ``PreconditionFailed`` and a 501
    ``ConditionsUnsupported``. A 304 is one where nobody asked for it: it never means that there is nothing.
    """
    code = code if _WORD.fullmatch(code) else ""  # a server that repeats what it heard
    meaning = _meaning(status, attempt, code, detail)
    text = f"{attempt} ({_said(status, code, detail)}): "
    if meaning is _Meaning.NO_RIGHT:
        return _denied(text, attempt.operation, detail, on_s3=attempt.url.startswith(_S3))
    if meaning is _Meaning.NOT_IMPLEMENTED and attempt.conditional:
        return ConditionsUnsupported(text + _NO_CONDITIONS)
    if told := _told_by_words(meaning, attempt.operation, detail) or _told_of_s3(meaning, attempt, region):
        kind, advice = told
        return kind(text + advice)
    text += meaning.advice + (wrong_credentials(attempt.url) if meaning is _Meaning.WRONG_KEY else "")
    if meaning in {_Meaning.NO_OBJECT, _Meaning.OTHER_STATE}:
        return meaning.kind(attempt.key, text)
    return DigestMismatch(text, key=attempt.key) if meaning is _Meaning.TOO_SHORT else meaning.kind(text)


def _told_by_words(meaning: _Meaning, operation: Operation, detail: str) -> tuple[type[ArtifactStoreError], str] | None:
    """Return error and advice where the sentence of the server tells more than its code."""
    if meaning is _Meaning.WRONG_KEY and (region := _WRONG_REGION.search(detail)):
        return InvalidOption, _GIVE_REGION.format(region=repr(region[1]) if region[1] else "...")
    if meaning is _Meaning.REFUSED and _WANTS_CHECKSUM.search(detail):
        return Unsupported, _GIVE_CHECKSUMS
    if meaning is _Meaning.REFUSED and operation == "read" and _OWN_KEY.search(detail):
        return InvalidOption, _GIVE_KEY
    return None


def _told_of_s3(meaning: _Meaning, attempt: Attempt, region: str) -> tuple[type[ArtifactStoreError], str] | None:
    """Return error and advice where S3 has a command, or an option, for what to do."""
    if not attempt.url.startswith(_S3):
        return None
    bucket, _, prefix = attempt.url.partition("://")[2].partition("/")
    if meaning is _Meaning.ARCHIVED:
        key = "/".join(part for part in (prefix, attempt.key) if part)
        return meaning.kind, _RESTORE.format(bucket=shlex.quote(bucket), key=shlex.quote(key))
    if meaning is _Meaning.ELSEWHERE and _REGION.fullmatch(region):
        return meaning.kind, _GIVE_REGION.format(region=repr(region))
    if meaning is _Meaning.ELSEWHERE:
        return meaning.kind, meaning.advice + _ASK_FOR_REGION.format(bucket=shlex.quote(bucket))
    return None


def _denied(text: str, operation: Operation, detail: str, *, on_s3: bool) -> AccessDenied:
    """Return the error for a lack of rights, which names the one that it takes where that is known."""
    needed = _PERMISSIONS[operation] if on_s3 else ""
    named = _NAMED_PERMISSION.search(detail)
    if named and not (operation == "read" and named[1] == _PERMISSIONS["list"]):
        needed = named[1]
        text += f"{_Meaning.NO_RIGHT.advice}; it takes {needed}"
        text += ", which the policy of the key has to allow as well" if needed.startswith(_KMS) else ""
    elif on_s3 and operation in _USES_OF_A_KEY and _OF_A_KEY.search(detail):
        named, needed = _OF_A_KEY.search(detail), _USES_OF_A_KEY[operation]
        text += f"these credentials may not use the KMS key that encrypts it; it takes {needed} on that key, which the "
        text += "policy of the key has to allow as well"
    elif operation == "read":
        listing = f" with {_PERMISSIONS['list']}" if on_s3 else ""
        text += _NO_RIGHT_TO_READ.format(read=f" with {needed}" if on_s3 else "", list=listing)
    else:
        text += _Meaning.NO_RIGHT.advice + (f"; it takes {needed}" if on_s3 else "")
    error = AccessDenied(text + (_PAID_BY_REQUESTERS if on_s3 and not named else ""))
    error.permission = needed
    return error


def _meaning(status: int, attempt: Attempt, code: str, detail: str) -> _Meaning:
    if status in _TELL_OF_SPACE and _NO_SPACE.search(detail):
        return _Meaning.FULL
    fallback = _Meaning.TRY_AGAIN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _Meaning.REFUSED
    meaning = _BY_CODE.get(code) or _BY_STATUS.get(status, fallback)
    if meaning is _Meaning.NO_RIGHT and code not in {"", *meaning.codes}:
        return _Meaning.DENIED
    if meaning is not _Meaning.NO_OBJECT:
        return meaning
    if attempt.conditional:
        return _Meaning.OTHER_STATE
    # A plain PUT and a LIST name no existing object, so a 404 without a word can only mean the bucket.
    return meaning if code or attempt.operation not in {"write", "list"} else _Meaning.NO_CONTAINER


def _said(status: int, code: str, detail: str) -> str:
    words = f"HTTP {status} {code}".rstrip()
    short = one_line(detail)
    return f"{words}: {short}" if short and short != code else words
