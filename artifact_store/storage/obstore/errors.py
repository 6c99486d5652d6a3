"""Translate what obstore raises, by the HTTP status in its words wherever there is one.

obstore keeps no status on its exceptions, and one type stands for several answers (a 409 arrives as
``AlreadyExistsError``); the text of each names the number, and quotes the server's own answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Corrupt,
    DeadlineExceeded,
    InvalidOption,
    ObjectNotFound,
    PreconditionFailed,
    TooManyOpenFiles,
    Unavailable,
    Unreachable,
    Unsupported,
)
from artifact_store.storage import descriptors, threads
from artifact_store.storage.connections import no_connection
from artifact_store.storage.http import LOG_IN, Attempt, error_for_status
from artifact_store.storage.obstore import runtime
from artifact_store.storage.option_names import missing_credentials
from artifact_store.storage.redaction import clean_copy, one_line, redact


class UnlistableKey(Corrupt):
    """An object has a key that obstore does not support, so the listing fails."""


class NotPartial(Unreachable):
    """The answer to a request for a range is no range: one of ours, or obstore's own after a body that broke off."""


_STATUS = re.compile(r" - Server returned (?:non-2xx|error) status(?: code)?:? (\d{3})\b")
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>|\(code: ([\w.]{1,80})\)")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_DEBUG = "\n\nDebug source:"
_BARE_REDIRECT = "Received redirect without LOCATION"
_MOVED = 301
_TIMEOUT = re.compile(r"kind: Timeout\b|\bTimedOut\b|operation timed out")
_CONNECT = re.compile(r"\bConnectError\(|\bConnect,|\bdns error\b")
_ROLE_SERVER = re.compile(r"https?://(?:169\.254\.|\[?fd00:ec2:|metadata\.google|metadata/)")
_NO_RANGE = re.compile(r"non-partial response|Content-Range header not present|CONTENT_RANGE header")
_PROVIDER = "External AWS credential provider"
_CREDENTIALS = re.compile(r"credential|\bSSO\b|token (?:has )?expired", re.IGNORECASE)


def translate_obstore_error(error: BaseException, attempt: Attempt, secrets: Iterable[str] = ()) -> ArtifactStoreError:
    """Return our error for one of obstore's, with a redacted stand-in as its cause.

    Raise it after the ``except`` block has ended, or Python keeps the original as its context.
    """
    known = tuple(secrets)
    if threads.is_panic(error):
        return _panicked(attempt, str(error), known)
    words, _, debug = str(error).partition(_DEBUG)
    status = None if _ROLE_SERVER.search(words) else _STATUS.search(words)
    if status is not None:
        answer = words[status.end() :].lstrip()
        code = _CODE.search(answer)
        message = _MESSAGE.search(answer)
        detail = redact(unescape(message[1]) if message else answer if not code else "", known)
        ours = error_for_status(
            int(status[1]), attempt, code=redact(code[1] or code[2], known) if code else "", detail=detail
        )
    elif _BARE_REDIRECT in words:  # S3 says in a header where the bucket is, which obstore keeps for itself
        ours = error_for_status(_MOVED, attempt, code="PermanentRedirect")
    else:
        text = f"{attempt} ({one_line(redact(words, known))}): "
        ours = (
            _by_type(error, attempt, text)
            or _by_machine(words, debug, text, attempt)
            or no_connection(attempt, words + debug)
            or _by_words(words, debug, text)
        )
    ours.__cause__ = clean_copy(type(error)(words) if debug else error, known)
    return ours


def _panicked(attempt: Attempt, words: str, known: tuple[str, ...]) -> Unavailable:
    """Return the error for a failure of obstore within itself, after which its runtime may be lost."""
    text = f"{attempt} (obstore: {one_line(redact(words, known))}): "
    if runtime.without_threads(words):
        return Unavailable(
            f"{text}it can start no thread, and does nothing more in this process. {threads.THREAD_ADVICE}"
        )
    return Unavailable(f"{text}it has failed within itself; try again, or choose engine='fsspec'")


_PLAIN: dict[str, tuple[type[ArtifactStoreError], str]] = {
    "PermissionDeniedError": (AccessDenied, "the credentials do not allow it"),
    "UnauthenticatedError": (AccessDenied, "the credentials do not allow it"),
    "NotSupportedError": (Unsupported, "this storage does not offer that"),
    "NotImplementedError": (Unsupported, "this storage does not offer that"),
    "UnknownConfigurationKeyError": (InvalidOption, "correct the storage options"),
    "InvalidPathError": (InvalidOption, "obstore cannot spell this key"),
    "ValueError": (InvalidOption, "correct the store URL or the storage options"),
    "TypeError": (InvalidOption, "correct the store URL or the storage options"),
}


def _by_type(error: BaseException, attempt: Attempt, text: str) -> ArtifactStoreError | None:
    if _PROVIDER in str(error):
        return AccessDenied(text + LOG_IN)
    match type(error).__name__:
        case "AlreadyExistsError" | "PreconditionError":
            return PreconditionFailed(attempt.key, text + "the object is not in the state that this request expected")
        case "FileNotFoundError" | "NotFoundError":
            return ObjectNotFound(attempt.key, text + "nothing is stored there")
        case "InvalidPathError" if attempt.operation == "list":
            return UnlistableKey(
                text + "an object there has a key with an empty segment, '.' or '..', which obstore "
                "cannot list; remove it, or choose engine='fsspec'"
            )
        case name if name in _PLAIN:
            kind, advice = _PLAIN[name]
            return kind(text + advice)
        case _:
            return None


def is_answer(error: BaseException) -> bool:
    """Whether the server has said something, whatever it is."""
    return _STATUS.search(str(error).partition(_DEBUG)[0]) is not None


def is_timeout(error: BaseException) -> bool:
    """Whether the client gave up waiting for what it was sent."""
    words, _, debug = str(error).partition(_DEBUG)
    return _TIMEOUT.search(debug or words) is not None and not _CONNECT.search(debug)


def _by_machine(words: str, debug: str, text: str, attempt: Attempt) -> ArtifactStoreError | None:
    """Return the error for what this machine lacks."""
    if descriptors.told_by(f"{words} {debug}"):
        # of a write that the client repeated by itself, an earlier attempt may have been sent
        return (Unreachable if attempt.operation == "write" else TooManyOpenFiles)(text + descriptors.ADVICE)
    if _ROLE_SERVER.search(words):
        return AccessDenied(
            f"{text}no credentials were found, and this machine has no role; {missing_credentials(attempt.url)}"
        )
    if threads.no_thread_left():  # obstore waits without a word for one that looks up the address
        return (Unreachable if attempt.operation == "write" else Unavailable)(text + threads.THREAD_ADVICE)
    return None


def _by_words(words: str, debug: str, text: str) -> ArtifactStoreError:
    if "Error performing" not in words and _CREDENTIALS.search(words):
        return AccessDenied(text + LOG_IN)
    if _NO_RANGE.search(words):
        return NotPartial(text + "the connection broke, and the server cannot go on in the middle; try again")
    if _TIMEOUT.search(debug or words) and not _CONNECT.search(debug):
        return DeadlineExceeded(text + "the server did not answer in time; try again later")
    return Unreachable(text + "no connection, or a broken one; check the address and the network, then try again")
