"""The server in front: it reads whole requests, keeps the rules, and lets the server behind it do the rest."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.servers.endpoint import S3Server
from tests.servers.http1 import CONTINUE, HEAD_LIMIT, Body, Head, read_head
from tests.servers.strict import buckets, checksums, conditions, listings, requests
from tests.servers.strict.rule import Answer, Bucket, Memory, Refused, Request, Rule, nothing
from tests.servers.strict.signing import resigned

RULES: tuple[Rule, ...] = (
    *buckets.RULES,
    *requests.RULES,
    *checksums.RULES,
    *conditions.RULES,
    *listings.RULES,
)
_SMALL = 64 << 20
"""A body up to here is read though its head is refused: not every client looks for an answer before it has sent all."""


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

    ``bucket`` says what Amazon knows of the bucket. With ``certificate``, a file with a certificate for 127.0.0.1 and its
    key, it speaks TLS: then clients put their checksums behind the body. ``refused`` holds what was not done, and
    ``seen`` counts what else happened.
    """

    rules = RULES

    def __init__(self, upstream: S3Server, bucket: Bucket | None = None, *, certificate: Path | None = None) -> None:
        self.bucket = upstream.bucket
        self.access_key, self.secret_key = upstream.access_key, upstream.secret_key
        address = urlsplit(upstream.endpoint)
        self._upstream = (address.hostname, address.port)
        self._certificate = certificate
        self._memory = Memory(bucket or Bucket(), upstream)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self.refused: list[Refused] = []
        self.trailers = 0

    @property
    def seen(self) -> Counter[str]:
        """How often what happened: pages, repeated completions, late errors."""
        return self._memory.counts

    def codes(self) -> list[str]:
        """Return with which codes requests were refused, in order."""
        return [refused.code for refused in self.refused]

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
        self._memory.open.close()
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
                goes_on = await self._exchange(Request(head, self._memory.now), reader, writer)
                await writer.drain()
                if head.closes or not goes_on:
                    break
        except OSError:
            pass  # the client is gone, which is its right
        except Exception as error:  # noqa: BLE001 -- not the client's affair: kept, and raised at the end
            self._failures.append(error)
        finally:
            await _hang_up(writer)

    async def _exchange(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, and tell whether another one can follow."""
        head, body = request.head, Body(reader, request.head.request_framing())
        try:
            self._keep(lambda rule: rule.at_head(self._memory, request))
        except Refused as refused:
            self.refused.append(refused)
            if not head.expects and (request.announced or 0) <= _SMALL:
                await body.read_all()
            writer.write(_bytes(refused.answer(), head))
            return body.ended
        if head.expects:
            writer.write(CONTINUE)
        await self._read(request, body)
        try:
            answer = await self._answer(request)
        except Refused as refused:
            self.refused.append(refused)
            answer = refused.answer()
        writer.write(_bytes(answer, head))
        return True

    def _keep(self, rule_does: Callable[[Rule], None]) -> None:
        for rule in self.rules:
            rule_does(rule)

    async def _read(self, request: Request, body: Body) -> None:
        """Take the body of a request."""
        request.raw, request.data = await _whole(body)
        if "aws-chunked" in request.headers.get("content-encoding", ""):
            request.data, request.trailers = unwrapped(request.data)
            self.trailers += bool(request.trailers)

    async def _answer(self, request: Request) -> Answer:
        """Return what Amazon would answer.

        Raises:
            Refused: that it would not do it.
        """
        memory = self._memory
        self._keep(lambda rule: rule.check(memory, request))
        if not request.replaces:
            return await self._done(request)
        memory.under_way[request.key] += 1
        try:
            answer, _ = await asyncio.gather(self._done(request), asyncio.sleep(memory.bucket.pace))
        finally:
            memory.under_way[request.key] -= 1
        return answer

    async def _done(self, request: Request) -> Answer:
        """Return the answer of the rules that give one, or else of the server, as Amazon would give it."""
        answer = await self._instead(request) or await self._pass_on(request)
        for rule in self.rules:
            answer = rule.follow(self._memory, request, answer)
        return answer

    async def _instead(self, request: Request) -> Answer | None:
        for rule in self.rules:
            if rule.instead is not nothing and (answer := await asyncio.to_thread(rule.instead, self._memory, request)):
                return answer
        return None

    async def _pass_on(self, request: Request) -> Answer:
        """Let the server do it, on a connection of its own."""
        changes = {name: value for rule in self.rules for name, value in rule.towards(self._memory, request).items()}
        raw = resigned(request.head, changes, self) if changes else request.head.raw
        reader, writer = await asyncio.open_connection(*self._upstream, limit=HEAD_LIMIT)
        try:
            writer.write(raw + request.raw)
            await writer.drain()
            while (head := await read_head(reader)) is not None and head.status < HTTPStatus.OK:
                pass
            if head is None:
                raise ConnectionError("the server closed the connection instead of answering")
            raw, data = await _whole(Body(reader, head.response_framing(request.method)))
            return Answer(head, raw, data)
        finally:
            await _hang_up(writer)


def _bytes(answer: Answer, head: Head) -> bytes:
    return answer.head.raw + (b"" if head.method == "HEAD" else answer.raw)


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
