"""What an HTTP status of an object store means, and its text without credentials.

Owns the one table from (status, error code) to our errors, for every engine that speaks HTTP, and the redaction
of what foreign clients say. Does not know any client: an engine digs the status out of its own exceptions, since
their types lie (one server's 412 arrives as ``FileExistsError``, another's as ``OSError(22)``).
"""

from __future__ import annotations

import base64
import enum
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape as html_escape
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
from artifact_store.storage.option_names import wrong_credentials

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

_HIDDEN = "***"
_SHORT_SECRET = 8
_TELLING = 12  # characters of a longer one from which it is known again
_UNQUOTED = ("", "/", "=", "/=", "/+=")  # the signs of base64 that clients leave as they are in a URL, or not
_WORD = re.compile(r"[A-Za-z]\w{0,79}")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_DETAIL_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, for the message: which operation on which key of which store."""

    operation: Operation
    key: str
    url: str
    conditional: bool = False
    """A *write* that carried a precondition."""

    def __str__(self) -> str:
        return f"{self.url}: cannot {self.operation} {self.key!r}"


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
        "the clock of this machine is wrong; set it and repeat the call",
        "RequestTimeTooSkewed RequestInTheFuture",
    )
    NO_RIGHT = (
        AccessDenied,
        "these credentials do not have the permission for that",
        "AccessDenied AllAccessDisabled AuthorizationPermissionMismatch AuthorizationFailure",
        403,
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
            "OperationTimedOut InternalError ServiceUnavailable"
        ),
        *(408, 425, 429),
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
_PAID_BY_REQUESTERS = "; a bucket whose requesters pay also takes storage_options={'requester_pays': True}"
_WRONG_REGION = re.compile(r"region (?:'[^']*' )?is wrong(?:; expecting '([\w.-]+)')?")
_GIVE_REGION = "the bucket is in another region; add storage_options={{'client_kwargs': {{'region_name': {region}}}}}"
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
_NO_CONDITIONS = "this server cannot do conditional writes; use one that can, or concurrency='single-writer'"


def error_for_status(status: int, attempt: Attempt, *, code: str = "", detail: str = "") -> ArtifactStoreError:
    """Return the error that an HTTP status means; the caller raises it.

    ``code`` is the server's own word (``NoSuchBucket``), ``detail`` its sentence, already redacted. After a conditional
    write a 404 is ``PreconditionFailed`` and a 501 ``ConditionsUnsupported``. A 304 is not an error, and not for this
    function.
    """
    code = code if _WORD.fullmatch(code) else ""  # a server that repeats what it heard
    meaning = _meaning(status, attempt, code, detail)
    text = f"{attempt} ({_said(status, code, detail)}): "
    if meaning is _Meaning.NO_RIGHT:
        return _denied(text, attempt.operation, detail, on_s3=attempt.url.startswith(_S3))
    if meaning is _Meaning.NOT_IMPLEMENTED and attempt.conditional:
        return ConditionsUnsupported(text + _NO_CONDITIONS)
    if told := _told_by_words(meaning, attempt.operation, detail):
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


def _denied(text: str, operation: Operation, detail: str, *, on_s3: bool) -> AccessDenied:
    """Return the error for a lack of rights, which names the one that it takes where that is known."""
    needed = _PERMISSIONS[operation] if on_s3 else ""
    named = _NAMED_PERMISSION.search(detail)
    if named and not (operation == "read" and named[1] == _PERMISSIONS["list"]):
        needed = named[1]
        text += f"{_Meaning.NO_RIGHT.advice}; it takes {needed}"
        text += ", which the policy of the key has to allow as well" if needed.startswith(_KMS) else ""
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
    """Return ``text`` with every secret, as it is, quoted, in hex or base64, and every signature replaced by ``***``.

    Secrets of fewer than eight characters are replaced as whole words only, so that a secret ``any`` leaves
    ``company`` readable.
    """
    every = sorted(_spellings(secrets), key=len, reverse=True)
    for spelled in every:
        if len(spelled) >= _SHORT_SECRET:
            text = text.replace(spelled, _HIDDEN)
        else:
            text = re.sub(rf"(?<!\w){re.escape(spelled)}(?!\w)", _HIDDEN, text)
    for spelled in every:
        text = _without_beginning(text, spelled)
    for telltale in _TELLTALES:
        text = telltale.sub(rf"\g<1>{_HIDDEN}", text)
    return text


def _without_beginning(text: str, secret: str) -> str:
    """Hide what is left of a secret where no more than its beginning is left: servers cut what they repeat."""
    if len(secret) <= _TELLING:
        return text
    beginning, pieces, done = secret[:_TELLING], [], 0
    while (at := text.find(beginning, done)) >= 0:
        pieces.append(text[done:at])
        done = at + len(beginning)
        while done < len(text) and done - at < len(secret) and text[done] == secret[done - at]:
            done += 1
    return _HIDDEN.join((*pieces, text[done:]))


def _spellings(secrets: Iterable[str]) -> set[str]:
    plain = {secret for secret in secrets if secret}
    quoted = {
        spell(secret, safe=safe, errors="surrogatepass")
        for secret in plain
        for spell in (quote, quote_plus)
        for safe in _UNQUOTED
    }
    small = {_ESCAPE.sub(lambda found: found[0].lower(), spelled) for spelled in quoted}
    escaped = {
        spell(secret)
        for secret in plain
        for spell in (lambda text: text.replace("/", "\\/"), lambda text: repr(text)[1:-1], html_escape, _in_json)
    }
    encoded = {spelled for secret in plain for spelled in _encoded(secret.encode("utf-8", "surrogatepass"))}
    return plain | quoted | small | escaped | {spelled for spelled in encoded if len(spelled) > _SHORT_SECRET}


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _encoded(data: bytes) -> Iterator[str]:
    """Yield bytes in hex and in base64, alone and behind something else, such as the name of a user."""
    yield from (data.hex(), data.hex().upper(), base64.b64encode(data).decode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            spelled = encode(b"\0" * before + data).decode()
            yield spelled[-(-before * 4 // 3) : (before + len(data)) * 4 // 3]


def clean_copy(error: BaseException, secrets: Iterable[str] = ()) -> ForeignError:
    """Return a stand-in for ``error`` that is fit to be the cause of ours.

    It carries the type's name and the redacted text, but no traceback, no context and none of the requests,
    sessions and headers that clients attach. Raise our own error *after* the ``except`` block has ended: inside
    it Python would put the original into ``__context__``.
    """
    kind = type(error)
    return ForeignError(redact(f"{kind.__module__}.{kind.__qualname__}: {error}", secrets))


def without_credentials(address: str) -> str:
    """Return the address of a server without a user, a password, a query and a slash at its end."""
    place = re.split(r"[?#]", address, maxsplit=1)[0]
    scheme, mark, rest = place.partition("://") if "://" in place else ("", "", place)
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


def one_line(text: str, limit: int = _DETAIL_LIMIT) -> str:
    """Return ``text`` on one line and cut to ``limit`` characters: servers answer with whole pages."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else joined[: limit - 3] + "..."
