"""One client's connection through the proxy: requests one after the other, each with what was decided for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.servers.faults import (
    ERROR_CODES,
    KEPT_HEADERS,
    CutBody,
    Delayed,
    FlipBit,
    Hang,
    LostReply,
    LostRequest,
    Record,
    Slow,
    Status,
)
from tests.servers.http1 import CONTINUE, HEAD_LIMIT, PIECE, Body, Head, read_head

if TYPE_CHECKING:
    from tests.servers.proxy import Proxy

HIGH_WATER = 8 << 20  # bytes that one direction of one connection holds back before its source has to wait


class Cut(Exception):
    """The client's connection ends here."""

    def __init__(self, *, reset: bool = False) -> None:
        self.reset = reset
        super().__init__()


class DelayLine:
    """A writer behind a stretch of cable: everything arrives later by the same time, so only latency is added."""

    def __init__(self, writer: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
        self.writer = writer
        self._delay = delay
        self._queue: deque[tuple[float, bytes, Callable[[], None] | None]] = deque()
        self._held = 0
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    async def send(self, data: bytes, *, arriving: Callable[[], None] | None = None, extra: float = 0.0) -> None:
        """Put ``data`` on its way; ``arriving`` is called just before the other end can see it."""
        delay = self._delay() + extra
        if delay <= 0 and not self._queue and self._idle():
            await self._write(data, arriving)
            return
        due = time.monotonic() + delay
        if self._queue:
            due = max(due, self._queue[-1][0])
        self._queue.append((due, data, arriving))
        self._held += len(data)
        if self._idle():
            self._task = asyncio.create_task(self._carry())
        while self._held > HIGH_WATER:
            await self._wait()

    async def flush(self) -> None:
        """Wait until everything has arrived."""
        if self._task is not None:
            await self._task

    async def close(self, *, reset: bool = False) -> None:
        """End the connection now; what is still on its way is lost."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if reset:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        self.writer.close()
        with contextlib.suppress(ConnectionError):  # the other side was faster
            await self.writer.wait_closed()

    def _idle(self) -> bool:
        return self._task is None or self._task.done()

    async def _wait(self) -> None:
        if self._idle() and self._task is not None:
            await self._task  # it ended with bytes left: raise what ended it
        self._moved.clear()
        await self._moved.wait()

    async def _carry(self) -> None:
        try:
            while self._queue:
                due, data, arriving = self._queue[0]
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._write(data, arriving)
                self._queue.popleft()
                self._held -= len(data)
                self._moved.set()
        finally:
            self._moved.set()

    async def _write(self, data: bytes, arriving: Callable[[], None] | None) -> None:
        if arriving is not None:
            arriving()
        self.writer.write(data)
        await self.writer.drain()


class Upstream:
    """The proxy's own connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
        self.reader = reader
        self.line = DelayLine(writer, delay)

    @classmethod
    async def open(cls, address: tuple[str, int], delay: Callable[[], float]) -> Upstream:
        try:
            reader, writer = await asyncio.open_connection(*address, limit=HEAD_LIMIT)
        except OSError as error:
            raise ConnectionError("the server does not listen") from error
        return cls(reader, writer, delay)


class Connection:
    """What a client of the proxy talks to."""

    def __init__(
        self, proxy: Proxy, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._number = number
        self._reader = reader
        self._down = DelayLine(writer, self._one_way)
        self._upstream: Upstream | None = None
        self._opening = proxy.connect_rtts * proxy.rtt_ms / 1e3  # charged to the first request

    async def serve(self) -> None:
        """Pass requests on until either side is gone or a fault ends the connection."""
        reset = False
        try:
            while (head := await read_head(self._reader)) is not None:
                if not await self._exchange(head):
                    await self._down.flush()
                    break
        except Cut as cut:
            reset = cut.reset
        except ConnectionError:  # one side is gone, so the other one has to go too
            pass
        finally:
            if self._upstream is not None:
                await self._upstream.line.close()
            await self._down.close(reset=reset)

    async def _exchange(self, head: Head) -> bool:
        """Answer one request, and return whether the connection goes on."""
        kept = {name: value for name, value in head.headers.items() if name in KEPT_HEADERS}
        record = Record(head.method, head.target, kept, self._number, t0=time.monotonic())
        self._proxy.admit(record)
        body = Body(self._reader, head.request_framing())
        match record.fault:
            case LostRequest(reset=reset):
                await self._take(head, body, record, ask=False)
                raise Cut(reset=reset)
            case Delayed(seconds=seconds):
                raw = head.raw + await self._take(head, body, record, ask=True)
                self._proxy.later(self._send_later(raw, record, seconds))
                raise Cut
            case Hang(executed=False):
                await self._take(head, body, record, ask=False)
                await self._wait_for_the_client_to_leave()
            case Status(executed=False) as status:
                await self._take(head, body, record, ask=False)
                await self._answer(status, record, closing=not body.ended)
                return body.ended
        return await self._forward(head, body, record)

    # ---- requests that go to the server

    async def _forward(self, head: Head, body: Body, record: Record) -> bool:
        upstream = await self._server()
        await upstream.line.send(head.raw, extra=self._opening)
        self._opening = 0.0
        record.forwarded = True
        upload = asyncio.create_task(self._upload(body, upstream, record))
        reply = asyncio.create_task(self._reply(upstream, record))
        try:
            await asyncio.wait({upload, reply}, return_when=asyncio.FIRST_COMPLETED)
            if upload.done():
                upload.result()  # the client went away in the middle: the server must see that too
            goes_on = await reply
            if not goes_on or head.closes:
                return False
            await upload
            return True
        finally:
            for task in (upload, reply):
                task.cancel()
            await asyncio.gather(upload, reply, return_exceptions=True)

    async def _upload(self, body: Body, upstream: Upstream, record: Record) -> None:
        listening = True
        while (piece := await body.read()) is not None:
            record.up += len(piece.data)
            if listening:
                try:
                    await upstream.line.send(piece.data)
                except ConnectionError:  # it may have answered before it went: let the reply say what happened
                    listening = False

    async def _reply(self, upstream: Upstream, record: Record) -> bool:
        head = await self._final_head(upstream, self._down)
        record.status = head.status
        body = Body(upstream.reader, head.response_framing(record.method))
        match record.fault:
            case LostReply(reset=reset):
                await body.read_all()
                record.t1 = time.monotonic()
                raise Cut(reset=reset)
            case Hang():
                await body.read_all()
                await self._wait_for_the_client_to_leave()
            case Status() as status:
                await body.read_all()
                await self._answer(status, record, closing=head.closes)
            case CutBody(fraction=fraction):
                await self._cut_body(head, body, record, fraction)
            case FlipBit():
                await self._flip_bit(head, body, record)
            case Slow(seconds=seconds):
                await asyncio.sleep(seconds)
                await self._download(head, body, record)
            case _:
                await self._download(head, body, record)
        return not head.closes and body.length is not None

    async def _final_head(self, upstream: Upstream, interim: DelayLine | None) -> Head:
        """Read up to the final answer; what the server says before (100 Continue) goes to the client."""
        while True:
            head = await read_head(upstream.reader)
            if head is None:
                raise ConnectionError("the server closed the connection instead of answering")
            if head.status >= 200:
                return head
            if interim is not None:
                await interim.send(head.raw)

    async def _download(self, head: Head, body: Body, record: Record) -> None:
        def arrived() -> None:
            record.t1 = time.monotonic()

        await self._down.send(head.raw, arriving=arrived if body.ended else None)
        while (piece := await body.read()) is not None:
            record.down += len(piece.data)
            await self._down.send(piece.data, arriving=arrived if piece.last else None)
        record.t1 = record.t1 or time.monotonic()

    async def _cut_body(self, head: Head, body: Body, record: Record, fraction: float) -> None:
        raw = await body.read_all()
        keep = min(int(len(raw) * fraction), max(0, len(raw) - 1))
        record.down = keep
        record.t1 = time.monotonic()
        await self._down.send(head.raw)
        await self._down.send(raw[:keep])
        await self._down.flush()
        raise Cut

    async def _flip_bit(self, head: Head, body: Body, record: Record) -> None:
        pieces = []
        while (piece := await body.read()) is not None:
            pieces.append(piece)
        ...

    async def _server(self) -> Upstream:
        """Return the connection to the server, a new one where the server has closed the old one meanwhile."""
        if self._upstream is not None and self._upstream.reader.at_eof():
            await self._upstream.line.close()
            self._upstream = None
        if self._upstream is None:
            self._upstream = await Upstream.open(self._proxy.upstream, self._one_way)
        return self._upstream
