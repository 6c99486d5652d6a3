"""A front that holds uploads to Amazon's rules about checksums, which SeaweedFS and moto do not check.

Each rule has its source: Amazon's documentation, or what clients of other projects were answered by Amazon itself.

1. A checksum belongs to the bytes that it came with: ``BadDigest`` otherwise, for objects and for parts, whether it comes
   in a header or behind the body ("Checking object integrity for data uploads in Amazon S3", user guide).
2. A part has a checksum of the algorithm with which its upload was opened, and none where it was opened without:
   ``InvalidRequest``, "Checksum Type mismatch occurred, expected checksum Type: null" (apache/opendal#4533,
   boto/botocore#3216, apache/arrow-rs#6793). Since 2025 Amazon takes such a part and refuses the completion instead.
3. Where the upload was opened with an algorithm, the completion repeats the checksum of each part: ``InvalidRequest``,
   "The complete request must include the checksum for each part" (aws/aws-sdk-php#2648, apache/opendal#4580). Only where
   the checksum is one of the whole object (``x-amz-checksum-type: FULL_OBJECT``, always with CRC64NVME) it need not.
4. What the completion says of a part is what the part was stored with, ETag and checksum: ``InvalidPart`` otherwise, also
   for a checksum of an algorithm that was never announced (aws/aws-sdk-go-v2#3005, aws/aws-sdk-java-v2#6518).
5. With such checksums the parts are numbered 1, 2, 3 without a gap: a 500 otherwise (API reference, ``CompletedPart``).
6. One request has one checksum: ``InvalidRequest`` (API reference, ``PutObject`` and ``UploadPart``).
7. A bucket with Object Lock and a default retention wants a checksum, or Content-MD5, with each object and each part:
   ``InvalidRequest`` (API reference, ``PutObject``; apache/opendal#4533 for parts).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.servers.endpoint import S3Server
from tests.servers.http1 import CONTINUE, HEAD_LIMIT, Body, Head, read_head

PREFIX = "x-amz-checksum-"
NO_CHECKSUMS = {"algorithm", "type", "mode"}
"""What begins like a checksum and is none."""


def _crc32c(data: bytes) -> bytes:
    from awscrt.checksums import crc32c  # whoever sends such a checksum has made it with this, too

    return int(crc32c(data)).to_bytes(4, "big")


ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": _crc32c,
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


@dataclass(slots=True)
class Request:
    """One request, whole: what came over the wire, and what it means."""

    head: Head
    raw: bytes
    data: bytes
    trailers: dict[str, str]

    @property
    def query(self) -> dict[str, str]:
        return {
            name: values[0]
            for name, values in parse_qs(urlsplit(self.head.target).query, keep_blank_values=True).items()
        }

    @property
    def checksums(self) -> dict[str, str]:
        """Every checksum of the body, by algorithm."""
        told = {**self.head.headers, **self.trailers}
        found = {name.removeprefix(PREFIX): value for name, value in told.items() if name.startswith(PREFIX)}
        return {name: value for name, value in found.items() if name not in NO_CHECKSUMS}


@dataclass(slots=True)
class Answer:
    """One answer, whole."""

    head: Head
    raw: bytes
    data: bytes


class Refused(Exception):
    """Amazon would not do that."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status
        super().__init__(f"{status} {code}: {message}")


@dataclass(slots=True)
class Upload:
    """An upload in parts, as it was opened, and what its parts were stored with."""

    algorithm: str | None
    whole: bool
    parts: dict[int, dict[str, str]] = field(default_factory=dict)


class Rules:
    """What Amazon remembers of uploads, and refuses."""

    def __init__(self, *, locked: bool) -> None:
        self._locked = locked
        self._uploads: dict[str, Upload] = {}

    def check(self, request: Request) -> None:
        """Raise what Amazon would answer instead of doing it.

        Raises:
            Refused: with the rule that is broken.
        """
        query, method = request.query, request.head.method
        if method == "PUT" and "x-amz-copy-source" not in request.head.headers:
            self._check_body(request)
            if "uploadId" in query and (upload := self._uploads.get(query["uploadId"])) is not None:
                _check_part(upload, request.checksums)
        if method == "POST" and "uploadId" in query and (upload := self._uploads.get(query["uploadId"])) is not None:
            _check_completion(upload, request.data)

    def learn(self, request: Request, answer: Answer) -> None:
        """Remember what the server did."""
        query, method = request.query, request.head.method
        if answer.head.status != HTTPStatus.OK:
            return
        if method == "POST" and "uploads" in query:
            told = request.head.headers
            algorithm = told.get(f"{PREFIX}algorithm", "").lower() or None
            whole = told.get(f"{PREFIX}type", "").upper() == "FULL_OBJECT" or algorithm == "crc64nvme"
            self._uploads[_texts(answer.data)["UploadId"]] = Upload(algorithm, whole)
        elif method == "PUT" and "partNumber" in query and (upload := self._uploads.get(query["uploadId"])):
            etag = answer.head.headers["etag"].strip('"')
            algorithm = upload.algorithm
            made = {} if algorithm is None else {algorithm: _spelled(ALGORITHMS[algorithm](request.data))}
            upload.parts[int(query["partNumber"])] = {"etag": etag, **made}

    def _check_body(self, request: Request) -> None:
        checksums = request.checksums
        if len(checksums) > 1:
            raise Refused("InvalidRequest", "Expecting a single x-amz-checksum- header")
        for algorithm, told in checksums.items():
            if _spelled(ALGORITHMS[algorithm](request.data)) != told:
                raise Refused(
                    "BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum."
                )
        if self._locked and not checksums and "content-md5" not in request.head.headers:
            what = "Put Part" if "partNumber" in request.query else "Put Object"
            raise Refused(
                "InvalidRequest",
                f"Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters",
            )


def _check_part(upload: Upload, checksums: dict[str, str]) -> None:
    for algorithm in checksums:
        if algorithm != upload.algorithm:
            expected = upload.algorithm or "null"
            raise Refused(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {algorithm}",
            )


def _check_completion(upload: Upload, document: bytes) -> None:
    parts = list(_parts(document))
    demanded = upload.algorithm is not None and not upload.whole
    for number, told in parts:
        if demanded and upload.algorithm not in told:
            raise Refused(
                "InvalidRequest",
                f"The upload was created using a {upload.algorithm} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {number} in the request.",
            )
        held = upload.parts.get(number, {})
        if any(held.get(name) != value for name, value in told.items()):
            raise Refused(
                "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag.",
            )
    if demanded and [number for number, _ in parts] != list(range(1, len(parts) + 1)):
        raise Refused("InternalError", "We encountered an internal error. Please try again.", 500)


def _parts(document: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield what a completion says of each part."""
    for part in ET.fromstring(document):
        told = {_local(element.tag): (element.text or "").strip() for element in part}
        number = int(told.pop("PartNumber"))
        checksums = {name.removeprefix("Checksum").lower(): value for name, value in told.items() if name != "ETag"}
        yield number, {"etag": told["ETag"].strip('"'), **checksums}


def _texts(document: bytes) -> dict[str, str]:
    return {_local(element.tag): (element.text or "").strip() for element in ET.fromstring(document)}


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _spelled(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def unwrapped(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Take an ``aws-chunked`` body apart: the bytes that were meant, and what is told behind them."""
    data = bytearray()
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if not size:
            break
        data += body[:size]
        body = body[size + 2 :]
    lines = (line.partition(":") for line in body.decode("latin-1").split("\r\n") if line)
    return bytes(data), {name.strip().lower(): value.strip() for name, _, value in lines}


class StrictFront(S3Server):
    """A server with the bucket and the people of ``upstream``, which does only what Amazon would do as well.

    ``locked`` makes it answer as for a bucket with Object Lock and a default retention. With ``certificate``, a file with
    a certificate for 127.0.0.1 and its key, it speaks TLS: then clients put their checksums behind the body. ``refused``
    holds what was not done.
    """

    def __init__(self, upstream: S3Server, *, locked: bool = False, certificate: Path | None = None) -> None:
        self.bucket = upstream.bucket
        self.access_key, self.secret_key = upstream.access_key, upstream.secret_key
        address = urlsplit(upstream.endpoint)
        self._upstream = (address.hostname, address.port)
        self._certificate = certificate
        self._rules = Rules(locked=locked)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self.refused: list[Refused] = []
        self.trailers = 0

    def __enter__(self) -> Self:
        context = None
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="strict-front", daemon=True)
        self._thread.start()
        opening = asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT, ssl=context)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(30)
        host, port = self._server.sockets[0].getsockname()
        self.endpoint = f"{'http' if context is None else 'https'}://{host}:{port}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._failures:
            raise ExceptionGroup("the front went wrong", self._failures)

    async def _shut_down(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await read_head(reader)) is not None:
                if head.expects:
                    writer.write(CONTINUE)
                request = await self._request(head, reader)
                writer.write(await self._answer(request))
                await writer.drain()
                if head.closes:
                    break
        except OSError:
            pass  # the client is gone, which is its right
        except Exception as error:  # noqa: BLE001 -- not the client's affair: kept, and raised at the end
            self._failures.append(error)
        finally:
            await _hang_up(writer)

    async def _request(self, head: Head, reader: asyncio.StreamReader) -> Request:
        raw, data = await _whole(Body(reader, head.request_framing()))
        trailers: dict[str, str] = {}
        if "aws-chunked" in head.headers.get("content-encoding", ""):
            data, trailers = unwrapped(data)
            self.trailers += bool(trailers)
        return Request(head, raw, data, trailers)

    async def _answer(self, request: Request) -> bytes:
        try:
            self._rules.check(request)
        except Refused as refused:
            self.refused.append(refused)
            return _error(refused)
        answer = await self._pass_on(request)
        self._rules.learn(request, answer)
        return answer.head.raw + answer.raw

    async def _pass_on(self, request: Request) -> Answer:
        """Let the server do it, on a connection of its own."""
        reader, writer = await asyncio.open_connection(*self._upstream, limit=HEAD_LIMIT)
        try:
            writer.write(request.head.raw + request.raw)
            await writer.drain()
            while (head := await read_head(reader)) is not None and head.status < HTTPStatus.OK:
                pass
            if head is None:
                raise ConnectionError("the server closed the connection instead of answering")
            raw, data = await _whole(Body(reader, head.response_framing(request.head.method)))
            return Answer(head, raw, data)
        finally:
            await _hang_up(writer)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection, without waiting for the other side to agree as TLS wants it."""
    with suppress(OSError):
        await writer.drain()
    if writer.get_extra_info("ssl_object") is not None or asyncio.current_task().cancelling():  # type: ignore[union-attr]
        writer.transport.abort()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _whole(body: Body) -> tuple[bytes, bytes]:
    """Read a body to its end: as it is on the wire, and without what frames it there."""
    raw, data = bytearray(), bytearray()
    while (piece := await body.read()) is not None:
        raw += piece.data
        if piece.payload:
            data += piece.data
    return bytes(raw), bytes(data)


def _error(refused: Refused) -> bytes:
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refused.code}</Code>'
        f"<Message>{escape(refused.message)}</Message><RequestId>0</RequestId></Error>"
    ).encode()
    head = f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}\r\nContent-Type: application/xml\r\n"
    return f"{head}Content-Length: {len(xml)}\r\n\r\n".encode() + xml
