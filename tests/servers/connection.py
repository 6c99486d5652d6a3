"""One client's connection through the proxy: requests one after the other, each with what was decided for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.servers.delay_line import DelayLine
from tests.servers.faults import (
    ERROR_CODES,
    KEPT_HEADERS,
    CalledWhole,
    CutBody,
    Delayed,
    FlipBit,
    Hang,
    LostReply,
    LostRequest,
    NoUploads,
    Record,
    Refuse,
    Slow,
    Status,
    Trickle,
    Unconditional,
    WithoutRange,
)
from tests.servers.http1 import CONTINUE, HEAD_LIMIT, PIECE, Body, Framing, Head, Piece, read_head
from tests.servers.resigned import changed, without_conditions

if TYPE_CHECKING:
    from tests.servers.proxy import Proxy


class Cut(Exception):
    """The client's connection ends here."""

    def __init__(self, *, reset: bool = False) -> None:
        self.reset = reset
        super().__init__()


class Connection:
    """What a client of the proxy talks to."""

    def __init__(self, proxy: Proxy, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._number = number
        self._reader = reader
        self._down = DelayLine(writer, self._one_way)
        self._upstream: tuple[asyncio.StreamReader, DelayLine] | None = None
        self._opening = proxy.connect_rtts * proxy.rtt_ms / 1e3  # charged to the first request
        self._passing = asyncio.create_task(self._pass_on())

    def stop(self) -> None:
        """Cut the connection, whatever it is doing."""
        self._passing.cancel()

    async def serve(self) -> None:
        """Pass requests on until either side is gone or a fault ends the connection, and leave nothing open."""
        reset = False
        try:
            await asyncio.wait({self._passing})
            if not self._passing.cancelled():
                self._passing.result()
        except Cut as cut:
            reset = cut.reset
        except ConnectionError:
            pass  # one side is gone, so the other one has to go too
        finally:
            if self._upstream is not None:
                await self._upstream[1].close()
            await self._down.close(reset=reset)

    async def _pass_on(self) -> None:
        while (head := await read_head(self._reader)) is not None:
            if head.method == "PRI":  # HTTP/2: a SeaweedFS that looks for a part of it which had this port before
                break
            if not await self._exchange(head):
                await self._down.flush()
                break

    async def _exchange(self, head: Head) -> bool:
        """Answer one request, and return whether the connection goes on."""
        kept = {name: value for name, value in head.headers.items() if name in KEPT_HEADERS}
        record = Record(head.method, head.target, kept, self._number, t0=time.monotonic())
        self._proxy.admit(record)
        body = Body(self._reader, head.request_framing())
        match record.fault:
            case Refuse():
                self._proxy.refuse()
                raise Cut(reset=True)
            case LostRequest(reset=reset):
                await self._take(head, body, record)
                record.t1 = time.monotonic()
                raise Cut(reset=reset)
            case Delayed(seconds=seconds):
                await self._down.send(CONTINUE if head.expects else b"")
                raw = head.raw + await self._take(head, body, record, asked=True)
                record.t1 = time.monotonic()
                self._proxy.later(self._send_later(raw, record, seconds))
                raise Cut
            case Hang(executed=False):
                await self._take(head, body, record)
                await self._wait_for_the_client_to_leave()
            case Status(executed=False) as status:
                await self._take(head, body, record)
                await asyncio.sleep(self._one_way() + self._opening)
                self._opening = 0.0
                record.status = status.code
                await self._answer(status, record, closing=not body.ended)
                return body.ended and not head.closes
        return await self._forward(head, body, record)

    # ---- requests that go to the server

    async def _forward(self, head: Head, body: Body, record: Record) -> bool:
        reader, line = await self._server()
        await line.send(self._changed(head, record), extra=self._opening)
        self._opening = 0.0
        record.forwarded = True
        upload = asyncio.create_task(self._upload(body, line, record))
        reply = asyncio.create_task(self._reply(reader, record))
        try:
            await asyncio.wait({upload, reply}, return_when=asyncio.FIRST_COMPLETED)
            if upload.done():
                upload.result()  # the client went away in the middle: the server must see that too
            goes_on = await reply
            if not goes_on or head.closes:
                return False
            await upload
            if isinstance(record.fault, Hang):
                await self._wait_for_the_client_to_leave()
            return True
        finally:
            upload.cancel()
            reply.cancel()
            await asyncio.gather(upload, reply, return_exceptions=True)

    def _changed(self, head: Head, record: Record) -> bytes:
        secret = self._proxy.secret_key if isinstance(record.fault, Unconditional | WithoutRange | NoUploads) else ""
        match record.fault:
            case Unconditional():
                return without_conditions(head, secret)
            case WithoutRange():
                return changed(head, secret, without={"range"})
            case NoUploads():
                return changed(head, secret, target=head.target.replace("prefix=", "prefix=none-of-these-"))
            case _:
                return head.raw

    async def _upload(self, body: Body, line: DelayLine, record: Record) -> None:
        listening = True
        drops = record.fault if isinstance(record.fault, Trickle) and record.fault.up else None
        while (piece := await body.read(PIECE if drops is None else drops.size)) is not None:
            record.up += len(piece.data)
            if drops is not None:
                await asyncio.sleep(drops.seconds)
            if listening:
                try:
                    await line.send(piece.data)
                except ConnectionError:  # it may have answered before it went: the reply says what happened
                    listening = False

    async def _reply(self, reader: asyncio.StreamReader, record: Record) -> bool:
        """Deal with the server's answer, and return whether the connection goes on."""
        head = await self._final_head(reader)
        record.status = head.status
        framing = head.response_framing(record.method)
        body = Body(reader, framing)
        match record.fault:
            case LostReply(reset=reset):
                await body.read_all()
                record.t1 = time.monotonic()
                raise Cut(reset=reset)
            case Hang():
                await body.read_all()
            case Status() as status:
                await body.read_all()
                await self._answer(status, record, closing=head.closes)
            case CutBody(fraction=fraction):
                await self._cut_body(head, body, record, fraction)
            case CalledWhole():
                raw = head.raw.replace(b" 206 Partial Content\r\n", b" 200 OK\r\n", 1)
                await self._download(replace(head, raw=raw), body, record)
            case FlipBit():
                await self._flip_bit(head, body, record)
            case Trickle(up=False) as drops:
                await self._trickle(head, body, record, drops)
            case Slow(seconds=seconds):
                await self._proxy.held(seconds)
                await self._download(head, body, record)
            case _:
                await self._download(head, body, record)
        return not head.closes and framing is not Framing.UNTIL_CLOSE

    async def _final_head(self, reader: asyncio.StreamReader, *, interim: bool = True) -> Head:
        """Read up to the final answer; what the server says before it (100 Continue) goes to the client."""
        while True:
            head = await read_head(reader)
            if head is None:
                raise ConnectionError("the server closed the connection instead of answering")
            if head.status >= HTTPStatus.OK:
                return head
            if interim:
                await self._down.send(head.raw)

    async def _download(self, head: Head, body: Body, record: Record) -> None:
        def arrived() -> None:
            record.t1 = time.monotonic()

        await self._down.send(head.raw, arriving=arrived if body.ended else None)
        while (piece := await body.read()) is not None:
            record.down += len(piece.data)
            await self._down.send(piece.data, arriving=arrived if piece.last else None)

    async def _cut_body(self, head: Head, body: Body, record: Record, fraction: float) -> None:
        raw = await body.read_all()
        kept = raw[: min(int(len(raw) * fraction), max(0, len(raw) - 1))]
        record.down = len(kept)
        await self._down.send(head.raw)
        await self._down.send(kept)
        await self._down.flush()
        record.t1 = time.monotonic()
        raise Cut

    async def _trickle(self, head: Head, body: Body, record: Record, drops: Trickle) -> None:
        await self._down.send(head.raw)
        while (piece := await body.read(drops.size)) is not None:
            record.down += len(piece.data)
            await self._down.send(piece.data)
            await asyncio.sleep(drops.seconds)
        record.t1 = time.monotonic()

    async def _flip_bit(self, head: Head, body: Body, record: Record) -> None:
        pieces: list[Piece] = []
        while (piece := await body.read()) is not None:
            pieces.append(piece)
        bits = 8 * sum(len(piece.data) for piece in pieces if piece.payload)
        victim = self._proxy.rng.randrange(bits) if bits else -1
        damaged = bytearray()
        for piece in pieces:
            start = len(damaged)
            damaged += piece.data
            if piece.payload:
                if 0 <= victim < 8 * len(piece.data):
                    damaged[start + victim // 8] ^= 1 << victim % 8
                victim -= 8 * len(piece.data)
        record.down = len(damaged)
        await self._down.send(head.raw + damaged, arriving=lambda: setattr(record, "t1", time.monotonic()))

    async def _send_later(self, raw: bytes, record: Record, seconds: float | None) -> None:
        await self._proxy.held(seconds)
        reader, line = await self._dial()
        try:
            await line.send(raw)
            record.forwarded = True
            head = await self._final_head(reader, interim=False)
            await Body(reader, head.response_framing(record.method)).read_all()
            record.status = head.status
        finally:
            await line.close()

    async def _server(self) -> tuple[asyncio.StreamReader, DelayLine]:
        """Return the connection to the server, a new one where the server has closed the old one meanwhile."""
        if self._upstream is not None and self._upstream[0].at_eof():
            await self._upstream[1].close()
            self._upstream = None
        if self._upstream is None:
            self._upstream = await self._dial()
        return self._upstream

    async def _dial(self) -> tuple[asyncio.StreamReader, DelayLine]:
        try:
            reader, writer = await asyncio.open_connection(*self._proxy.upstream, limit=HEAD_LIMIT)
        except OSError as error:
            raise ConnectionError("the server does not listen") from error
        return reader, DelayLine(writer, self._one_way)

    # ---- requests that the proxy deals with alone

    async def _take(self, head: Head, body: Body, record: Record, *, asked: bool = False) -> bytes:
        """Read the request's body, unless the client still waits to be asked for it."""
        if head.expects and not asked:
            return b""
        raw = await body.read_all()
        record.up = len(raw)
        return raw

    async def _answer(self, status: Status, record: Record, *, closing: bool) -> None:
        phrase = HTTPStatus(status.code).phrase
        code = status.error or ERROR_CODES.get(status.code) or phrase.replace(" ", "")
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(code)}</Code><Message>{phrase}</Message>"
            f"<Resource>/{escape(record.key)}</Resource><RequestId>0</RequestId></Error>"
        ).encode()
        lines = [
            f"HTTP/1.1 {status.code} {phrase}",
            "Content-Type: application/xml",
            f"Content-Length: {len(xml)}",
            *(["Connection: close"] if closing else []),
        ]
        body = b"" if record.method == "HEAD" else xml
        raw = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        record.down = len(body)
        await self._down.send(raw, arriving=lambda: setattr(record, "t1", time.monotonic()))

    async def _wait_for_the_client_to_leave(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(PIECE):
                pass
        raise Cut

    def _one_way(self) -> float:
        return self._proxy.rtt_ms / 2e3
