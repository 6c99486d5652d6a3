"""An S3 server of a few lines, in a thread of the test, that answers honestly until a test tells it what to lie about.

It keeps one bucket in memory, honours the conditions of PUT if it is to, and knows uploads in parts. It checks no signature: what
the tests ask is what a client does with the answers, and what it sends to whom. ``seen`` holds every request.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.servers import S3Server

TIME = "2024-08-16T14:23:01.000Z"
HTTP_TIME = "Fri, 16 Aug 2024 14:23:01 GMT"
PAGE = 1000


@dataclass(slots=True)
class Request:
    """What a client sent. ``key`` is decoded, and without the bucket."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    key: str = ""
    query: dict[str, str] = field(default_factory=dict)

    @property
    def lists(self) -> bool:
        return self.method == "GET" and not self.key and "uploads" not in self.query

    @property
    def secrets(self) -> set[str]:
        """The headers that only the server of the credentials may get."""
        private = {"authorization", "x-amz-security-token"}
        return {name for name in self.headers if name in private}


@dataclass(slots=True)
class Reply:
    """What the server answers. A ``body`` may be a function that writes to the socket as long as it likes."""

    status: int = 200
    body: bytes | Callable[[Callable[[bytes], object]], None] = b""
    headers: dict[str, str] = field(default_factory=dict)


Lie = Callable[[Request], Reply | None]


class HostileS3(S3Server):
    """A server at ``endpoint``; ``lie`` is asked first, and the truth is told where it returns ``None``."""

    bucket = "artifacts"
    access_key = "replay-access"
    secret_key = "replay-secret"

    def __init__(self, lie: Lie | None = None, *, conditions: bool = True) -> None:
        self.lie, self.conditions = lie, conditions
        self.seen: list[Request] = []
        self.objects: dict[str, bytes] = {}
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def options(self, **more: Any) -> dict[str, Any]:
        return {**self.storage_options(), **more}

    def answer(self, request: Request) -> Reply:
        self.seen.append(request)
        told = self.lie(request) if self.lie is not None else None
        if told is not None:
            return told
        with self._lock:
            return self.truth(request)

    def truth(self, request: Request) -> Reply:  # noqa: PLR0911 -- one for each kind of request
        """Answer as S3 does."""
        if request.lists:
            return self.listing(request)
        if "uploads" in request.query and request.method == "GET":
            return Reply(body=xml("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>"))
        if "uploads" in request.query:
            upload = f"upload-{len(self._uploads)}"
            self._uploads[upload] = {}
            return Reply(body=xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>"))
        if "uploadId" in request.query:
            return self._part(request)
        match request.method:
            case "PUT":
                return self._put(request.key, request.body, request.headers)
            case "GET" | "HEAD":
                return self._get(request)
            case "DELETE":
                self.objects.pop(request.key, None)
                return Reply(204)
        return Reply(400)

    def listing(self, request: Request, keys: list[str] | None = None) -> Reply:
        """Answer ListObjectsV2 with these keys, or with those that there are."""
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
        after = request.query.get("continuation-token", "")
        names: dict[str, str] = {}
        for key in sorted(self.objects) if keys is None else keys:
            if key.startswith(prefix):
                below, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
                if cut:
                    names[f"{prefix}{below}/"] = "folder"
                else:
                    names[key] = "object"
        rest = [name for name in names if not after or name > after]
        page, more = rest[:PAGE], len(rest) > PAGE
        parts = [
            f"<CommonPrefixes><Prefix>{escape(quote(name))}</Prefix></CommonPrefixes>"
            if names[name] == "folder"
            else contents(name, len(self.objects.get(name, b"")), etag(self.objects.get(name, b"")))
            for name in page
        ]
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        head = f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        return Reply(body=xml("ListBucketResult", head + "".join(parts)))

    def _put(self, key: str, data: bytes, headers: dict[str, str]) -> Reply:
        held = self.objects.get(key)
        if self.conditions and (
            (headers.get("if-none-match") == "*" and held is not None)
            or ("if-match" in headers and (held is None or headers["if-match"] != etag(held)))
        ):
            return failure(412, "PreconditionFailed")
        self.objects[key] = data
        return Reply(headers={"ETag": etag(data)})

    def _get(self, request: Request) -> Reply:
        data = self.objects.get(request.key)
        if data is None:
            return failure(404, "NoSuchKey")
        version = etag(data)
        if request.headers.get("if-none-match") == version:
            return Reply(304, headers={"ETag": version})
        if request.headers.get("if-match", version) != version:
            return failure(412, "PreconditionFailed")
        found = {"ETag": version, "Last-Modified": HTTP_TIME}
        span = request.headers.get("range")
        if span is None:
            return Reply(body=data, headers=found)
        first, last = span.removeprefix("bytes=").split("-")
        end = min(int(last) + 1 if last else len(data), len(data))
        found["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
        return Reply(206, data[int(first) : end], found)

    def _part(self, request: Request) -> Reply:
        upload = request.query["uploadId"]
        if request.method == "PUT":
            self._uploads[upload][int(request.query["partNumber"])] = request.body
            return Reply(headers={"ETag": etag(request.body)})
        parts = self._uploads.pop(upload)
        if request.method == "DELETE":
            return Reply(204)
        whole = b"".join(data for _, data in sorted(parts.items()))
        stored = self._put(request.key, whole, request.headers)
        return (
            stored
            if stored.status != 200
            else Reply(body=xml("CompleteMultipartUploadResult", f"<ETag>{escape(etag(whole))}</ETag>"))
        )


def etag(data: bytes) -> str:
    """A version that is no MD5 of the content, as with keys of the cloud, and for uploads in parts."""
    return f'"{hashlib.sha256(b"not md5" + data).hexdigest()[:32]}-1"'


def contents(key: str, size: int, version: str) -> str:
    return (
        f"<Contents><Key>{escape(quote(key))}</Key><LastModified>{TIME}</LastModified>"
        f"<ETag>{escape(version)}</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def xml(name: str, inner: str, *, before: str = "") -> bytes:
    head = f'<?xml version="1.0" encoding="UTF-8"?>{before}'
    return f'{head}<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{name}>'.encode()


def failure(status: int, code: str, *, before: str = "", message: str = "as the test wants it") -> Reply:
    text = f"<Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>{before}<Error>{text}</Error>'
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: HostileS3

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "aws-chunked" in headers.get("content-encoding", ""):
            body = _unframed(body)
        parts = urlsplit(self.path)
        _, _, key = unquote(parts.path).removeprefix("/").partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        reply = self.owner.answer(Request(self.command, self.path, headers, body, key, query))
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        try:
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if callable(reply.body):
                self.close_connection = True
                self.end_headers()
                reply.body(self.wfile.write)
                return
            if reply.status != 304 and "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
        except OSError:  # the client has heard enough
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 -- the names of the base class

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name of the base class
        """Say nothing."""


def _unframed(body: bytes) -> bytes:
    """Return what was sent in signed chunks, without their frames."""
    found, rest = [], body
    while rest:
        head, _, rest = rest.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if not size:
            break
        found.append(rest[:size])
        rest = rest[size + 2 :]
    return b"".join(found)
