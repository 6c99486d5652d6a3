"""Just enough HTTP/1.1 to see where messages begin and end. Nothing is changed on the way: signatures cover it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

PIECE = 256 << 10
HEAD_LIMIT = 1 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Framing(Enum):
    """How the end of a body of unknown length is found."""

    CHUNKED = auto()
    UNTIL_CLOSE = auto()


class Piece(NamedTuple):
    """Raw bytes of a message; ``payload`` is false for chunk sizes and trailers, ``last`` is true at the end."""

    data: bytes
    payload: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the headers of a message, with the very bytes they came in."""

    raw: bytes
    first: str
    headers: dict[str, str]

    @property
    def method(self) -> str:
        return self.first.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.first.split(" ")[1]

    @property
    def status(self) -> int:
        return int(self.first.split(" ")[1])

    @property
    def expects(self) -> bool:
        """Whether the sender waits for ``100 Continue`` before it sends the body."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        tokens = self.headers.get("connection", "").lower()
        return "close" in tokens or ("HTTP/1.0" in self.first and "keep-alive" not in tokens)

    def request_framing(self) -> int | Framing:
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return Framing.CHUNKED
        return int(self.headers.get("content-length", "0"))

    def response_framing(self, method: str) -> int | Framing:
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return 0
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return Framing.CHUNKED
        if "content-length" in self.headers:
            return int(self.headers["content-length"])
        return Framing.UNTIL_CLOSE


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read up to the empty line, or return ``None`` where the connection ends between two messages.

    Raises:
        ConnectionError: it ends inside a head.
    """
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise ConnectionError("the connection ended inside a head") from error
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(raw, first, {name.strip().lower(): value.strip() for name, _, value in pairs})


class Body:
    """The body of one message, in pieces as they come."""

    def __init__(self, reader: asyncio.StreamReader, framing: int | Framing) -> None:
        self._reader = reader
        self._framing = framing
        self._left = framing if isinstance(framing, int) else 0  # of the body, or of the chunk
        self._in_chunk = False
        self.ended = framing == 0

    async def read(self, most: int = PIECE) -> Piece | None:
        """Return the next piece, of at most so many bytes of the payload, or ``None`` after the last.

        Raises:
            ConnectionError: the connection ends before the body does.
        """
        if self.ended:
            return None
        try:
            piece = await self._next(most)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the connection ended inside a body") from error
        self.ended = piece.last
        return piece

    async def read_all(self) -> bytes:
        """Return the rest of the body as it is on the wire."""
        pieces = []
        while (piece := await self.read()) is not None:
            pieces.append(piece.data)
        return b"".join(pieces)

    async def _next(self, most: int) -> Piece:
        if self._left:
            data = await self._some(min(self._left, most))
            self._left -= len(data)
            return Piece(data, payload=True, last=not self._left and not self._in_chunk)
        if self._in_chunk:
            self._in_chunk = False
            return Piece(await self._reader.readexactly(2), payload=False, last=False)
        if self._framing is Framing.CHUNKED:
            return await self._chunk_size()
        data = await self._reader.read(most)
        return Piece(data, payload=True, last=not data)

    async def _chunk_size(self) -> Piece:
        line = await self._reader.readuntil(b"\r\n")
        self._left = int(line.split(b";")[0], 16)
        if self._left:
            self._in_chunk = True
            return Piece(line, payload=False, last=False)
        trailer = await self._reader.readuntil(b"\r\n")
        while not trailer.endswith(b"\r\n\r\n") and trailer != b"\r\n":
            trailer += await self._reader.readuntil(b"\r\n")
        return Piece(line + trailer, payload=False, last=True)

    async def _some(self, most: int) -> bytes:
        data = await self._reader.read(most)
        if not data:
            raise ConnectionError("the connection ended inside a body")
        return data
