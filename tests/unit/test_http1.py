"""The proxy finds the ends of messages, however their bodies are framed and however the bytes arrive."""

from __future__ import annotations

import asyncio

import pytest

from tests.servers.http1 import Body, Framing, Head, read_head


def parse(data: bytes, framing: int | Framing, *, step: int = 1) -> tuple[bytes, bytes, bytes]:
    """Return the body on the wire, the payload in it, and what is left for the next message."""

    async def run() -> tuple[bytes, bytes, bytes]:
        reader = asyncio.StreamReader()
        body = Body(reader, framing)

        async def feed() -> None:
            for start in range(0, len(data), step):
                reader.feed_data(data[start : start + step])
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        raw, payload, last = b"", b"", body.ended
        while (piece := await body.read()) is not None:
            raw += piece.data
            payload += piece.data if piece.payload else b""
            last = piece.last
        await feeding
        assert last
        return raw, payload, await reader.read()

    return asyncio.run(run())


def head_of(data: bytes) -> Head | None:
    async def run() -> Head | None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_head(reader)

    return asyncio.run(run())


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_body_of_known_length_ends_there(step):
    assert parse(b"abcdefNEXT", 6, step=step) == (b"abcdef", b"abcdef", b"NEXT")


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_chunked_body_ends_after_its_empty_chunk(step):
    wire = b"4;ext=1\r\nab\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"
    assert parse(wire + b"NEXT", Framing.CHUNKED, step=step) == (wire, b"ab\r\nxyz", b"NEXT")


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_chunked_body_may_have_trailers(step):
    wire = b"A\r\n0123456789\r\n0\r\nx-checksum: 1\r\nx-more: 2\r\n\r\n"
    assert parse(wire + b"NEXT", Framing.CHUNKED, step=step) == (wire, b"0123456789", b"NEXT")


def test_a_body_without_a_length_ends_with_the_connection():
    assert parse(b"abc", Framing.UNTIL_CLOSE) == (b"abc", b"abc", b"")


def test_no_body_takes_nothing_from_the_next_message():
    assert parse(b"NEXT", 0) == (b"", b"", b"NEXT")


@pytest.mark.parametrize(
    ("data", "framing"), [(b"abc", 4), (b"4\r\nab", Framing.CHUNKED), (b"4\r\nabcd\r\n0\r\n", Framing.CHUNKED)]
)
def test_a_body_that_stops_short_is_a_broken_connection(data, framing):
    with pytest.raises(ConnectionError):
        parse(data, framing)


def test_a_head_keeps_its_bytes():
    raw = b"PUT /b/k%20x?partNumber=1 HTTP/1.1\r\nHost: h:1\r\nEXPECT: 100-Continue\r\nContent-Length: 12\r\n\r\n"
    head = head_of(raw + b"body")
    assert head is not None
    assert (head.raw, head.method, head.target) == (raw, "PUT", "/b/k%20x?partNumber=1")
    assert head.expects
    assert not head.closes
    assert head.request_framing() == 12


def test_the_end_between_messages_is_no_error_and_inside_a_head_it_is():
    assert head_of(b"") is None
    with pytest.raises(ConnectionError):
        head_of(b"GET / HTTP/1.1\r\nHost:")


@pytest.mark.parametrize(
    ("raw", "method", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", 5),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", 0),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", 0),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE", 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "PUT", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Framing.CHUNKED),
        (b"HTTP/1.1 200 OK\r\n\r\n", "GET", Framing.UNTIL_CLOSE),
    ],
)
def test_the_framing_of_an_answer_follows_from_status_method_and_headers(raw, method, framing):
    head = head_of(raw)
    assert head is not None
    assert head.response_framing(method) == framing


@pytest.mark.parametrize(
    ("raw", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", False),
    ],
)
def test_a_connection_ends_where_a_head_says_so(raw, closes):
    head = head_of(raw)
    assert head is not None
    assert head.closes is closes
