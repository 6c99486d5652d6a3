"""A rule of Amazon's, what it is about, and what the front remembers to keep it.

Owns the values: a request, an answer, a refusal, a bucket and its memory. Which rules there are, the modules beside this
one say; ``front.py`` keeps them.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.servers.endpoint import S3Server
from tests.servers.http1 import Head

CHECKSUM = "x-amz-checksum-"
NO_CHECKSUMS = {"algorithm", "type", "mode"}
"""What begins like a checksum and is none."""


def _crc32c(data: bytes) -> bytes:
    from awscrt.checksums import crc32c  # a client that sends such a checksum has made it with this, too

    return int(crc32c(data)).to_bytes(4, "big")


ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": _crc32c,
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


@dataclass(slots=True)
class Request:
    """One request: what came over the wire, and what it means. ``began`` is when its head was there."""

    head: Head
    began: int
    raw: bytes = b""
    data: bytes = b""
    trailers: Mapping[str, str] = field(default_factory=dict)
    summed: Mapping[str, str] | None = None
    """The checksums of a body that was not kept, by algorithm."""
    length: int = 0
    """How long a body was that was not kept."""

    @property
    def method(self) -> str:
        return self.head.method

    @property
    def headers(self) -> Mapping[str, str]:
        return self.head.headers

    @property
    def query(self) -> dict[str, str]:
        return {
            name: values[0]
            for name, values in parse_qs(urlsplit(self.head.target).query, keep_blank_values=True).items()
        }

    @property
    def key(self) -> str:
        """The key without its bucket; empty where the request is for the bucket."""
        return unquote(urlsplit(self.head.target).path).lstrip("/").partition("/")[2]

    @property
    def size(self) -> int:
        return self.length or len(self.data)

    @property
    def announced(self) -> int | None:
        """The length of the body that the head tells, without what frames its chunks."""
        told = self.headers.get("x-amz-decoded-content-length", self.headers.get("content-length"))
        return None if told is None else int(told)

    @property
    def checksums(self) -> dict[str, str]:
        """Every checksum of the body that the client tells, by algorithm."""
        told = {**self.headers, **self.trailers}
        found = {name.removeprefix(CHECKSUM): value for name, value in told.items() if name.startswith(CHECKSUM)}
        return {name: value for name, value in found.items() if name not in NO_CHECKSUMS}

    @property
    def uploads_object(self) -> bool:
        """Whether the body is an object or a part, or the request opens an upload in parts."""
        opens = self.method == "POST" and "uploads" in self.query
        return bool(self.key) and (opens or (self.method == "PUT" and not self.copies))

    @property
    def copies(self) -> bool:
        return self.method == "PUT" and "x-amz-copy-source" in self.headers

    @property
    def completes(self) -> bool:
        return self.method == "POST" and "uploadId" in self.query

    @property
    def replaces(self) -> bool:
        """Whether it changes which object a key holds."""
        whole = self.method in {"PUT", "DELETE"} and "uploadId" not in self.query
        return bool(self.key) and (whole or self.completes)

    @property
    def conditional(self) -> bool:
        return self.method != "GET" and bool({"if-match", "if-none-match"} & set(self.headers))

    def checksum(self, algorithm: str) -> str:
        """Return the checksum that the body really has."""
        return self.summed[algorithm] if self.summed is not None else spelled(ALGORITHMS[algorithm](self.data))


@dataclass(slots=True)
class Answer:
    """One answer, whole."""

    head: Head
    raw: bytes
    data: bytes

    @classmethod
    def made(cls, status: int, body: str = "", **headers: str) -> Answer:
        """Return an answer that the server does not give itself; ``_`` in a header's name stands for ``-``."""
        data = body.encode()
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        if data:
            lines |= {"content-type": "application/xml"}
        if status != HTTPStatus.NO_CONTENT:
            lines |= {"content-length": str(len(data))}
        first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
        raw = "\r\n".join([first, *(f"{name}: {value}" for name, value in lines.items()), "", ""])
        return cls(Head(raw.encode(), first, lines), data, data)

    def with_header(self, name: str, value: str) -> Answer:
        """Return it with another value of a header that it has."""
        lines = self.head.raw.decode("latin-1").split("\r\n")
        changed = [f"{name}: {value}" if line.lower().startswith(f"{name}:") else line for line in lines]
        raw = "\r\n".join(changed).encode("latin-1")
        return Answer(Head(raw, self.head.first, {**self.head.headers, name: value}), self.raw, self.data)


class Refused(Exception):
    """Amazon would not do that. ``more`` are elements of its answer, ``headers`` those of its head."""

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        *,
        more: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code, self.message, self.status = code, message, status
        self.more, self.headers = dict(more or {}), dict(headers or {})
        super().__init__(f"{status} {code}: {message}")

    def answer(self) -> Answer:
        """Return what the client gets."""
        return Answer.made(self.status, error_document(self.code, self.message, **self.more), **self.headers)


def error_document(code: str, message: str, **more: str) -> str:
    """Return the body of a refusal."""
    told = {"Code": code, "Message": message, **more, "RequestId": "0"}
    elements = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{elements}</Error>'


@dataclass(slots=True)
class Upload:
    """An upload in parts, as it was opened, and what its parts were stored with."""

    algorithm: str | None
    whole: bool
    parts: dict[int, dict[str, str]] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    finished: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What Amazon may know of a bucket and its caller. Without anything it is a plain one in no region of its own."""

    locked: bool = False
    """Object Lock, with a default retention."""
    region: str = ""
    misplaced: int = 400
    """How a request that is signed for another region is answered: 400, 301 or 307."""
    kms: bool = False
    """Objects are encrypted with a key of KMS."""
    lacks: frozenset[str] = frozenset()
    """What the caller may not do with that key."""
    requester_pays: bool = False
    page: int = 1000
    blank_pages: bool = False
    """Every second page of a listing is empty, and the first is one."""
    clock: float = 0.0
    """Seconds by which Amazon's clock is ahead of this machine's."""
    expired: bool = False
    """Session tokens are over."""
    slow_down: int = 0
    """One request in so many, by chance, is told to slow down."""
    repeats: bool = True
    """A completion that is repeated after its success succeeds again."""
    late_errors: int = 0
    """So many completions and copies fail after Amazon has begun to answer."""
    pace: float = 0.0
    """Seconds that a write takes at the least."""


@dataclass(slots=True)
class Memory:
    """What Amazon remembers."""

    bucket: Bucket
    upstream: S3Server
    open: ExitStack = field(default_factory=ExitStack)
    """What is closed with the front."""
    uploads: dict[str, Upload] = field(default_factory=dict)
    under_way: Counter[str] = field(default_factory=Counter)
    """Writes and deletions that the server is just doing, by key."""
    deleted: dict[str, int] = field(default_factory=dict)
    """When a key was deleted last."""
    etags: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The server's ETag of an encrypted object, and the one that is told."""
    places: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Where in a listing a continuation token goes on, and whether with an empty page."""
    counts: Counter[str] = field(default_factory=Counter)
    chance: Random = field(default_factory=lambda: Random(0))
    now: int = 0
    made: Any = None

    def client(self) -> Any:
        """Return a client of the server, with which a rule asks it."""
        if self.made is None:
            self.made = self.open.enter_context(self.upstream.client())
        return self.made

    def upload_of(self, request: Request) -> Upload | None:
        return self.uploads.get(request.query.get("uploadId", ""))


def nothing(_: Memory, __: Request) -> None:
    """Let the request pass."""


def _no_headers(_: Memory, __: Request) -> Mapping[str, str]:
    return {}


def _as_it_came(_: Memory, __: Request, answer: Answer) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that Amazon does and the server behind the front does not, and where that is written.

    In this order: ``at_head`` sees the head alone and ``check`` the whole request, ``instead`` may answer or refuse it
    (in a thread, so it can ask the server), ``towards`` returns headers that the server gets instead of the client's,
    ``follow`` sees and returns the server's answer. All but ``towards`` and ``follow`` raise :class:`Refused`.
    """

    says: str
    source: str
    at_head: Callable[[Memory, Request], None] = nothing
    check: Callable[[Memory, Request], None] = nothing
    instead: Callable[[Memory, Request], Answer | None] = nothing
    towards: Callable[[Memory, Request], Mapping[str, str]] = _no_headers
    follow: Callable[[Memory, Request, Answer], Answer] = _as_it_came


def printed(rules: Iterable[Rule]) -> str:
    """Return the list of the rules with their sources."""
    return "\n".join(f"{number}. {rule.says}\n   [{rule.source}]" for number, rule in enumerate(rules, 1))


def texts(document: bytes) -> dict[str, str]:
    """Return the texts of the elements of a flat document, by their names."""
    return {local(element.tag): (element.text or "").strip() for element in ET.fromstring(document)}


def local(tag: str) -> str:
    """Return the name of an element without its namespace."""
    return tag.rpartition("}")[2]


def spelled(digest: bytes) -> str:
    """Return a checksum as it is told."""
    return base64.b64encode(digest).decode()
