"""A writer behind a stretch of cable."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable

HIGH_WATER = 8 << 20  # bytes that one direction of one connection holds back before its source has to wait
LAST_BYTES_WITHIN = 2.0  # seconds that a peer has to take what was sent before an orderly end
LINGER = "hh" if os.name == "nt" else "ii"


class DelayLine:
    """Everything arrives later by the same time, so only latency is added and no throughput is lost."""

    def __init__(self, writer: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
        self._writer = writer
        self._delay = delay
        self._queue: deque[tuple[float, bytes, Callable[[], None] | None]] = deque()
        self._held = 0
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    async def send(self, data: bytes, *, arriving: Callable[[], None] | None = None, extra: float = 0.0) -> None:
        """Put ``data`` on its way; ``arriving`` is called just before the other end can see it.

        Raises:
            ConnectionError: the other end is gone.
        """
        delay = self._delay() + extra
        if delay <= 0 and not self._queue:
            await self._write(data, arriving)
            return
        due = time.monotonic() + delay
        if self._queue:  # nothing overtakes, also where the delay was made shorter meanwhile
            due = max(due, self._queue[-1][0])
        self._queue.append((due, data, arriving))
        self._held += len(data)
        if self._task is not None and self._task.done():
            self._task.result()  # raises what ended it, if it did not just run out of work
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._carry())
        while self._held > HIGH_WATER:
            await self._progress(self._task)

    async def flush(self) -> None:
        """Wait until everything has been handed over."""
        if self._task is not None:
            await self._task

    async def close(self, *, reset: bool = False) -> None:
        """End the connection; what is still on its way is lost. ``reset``: with a TCP reset.

        The end has begun before the first wait, so being cancelled while waiting leaves nothing open.
        """
        if self._task is not None:
            self._task.cancel()
        if reset:
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER, 1, 0))
            self._writer.transport.abort()
        self._writer.close()
        closed = False
        try:
            if self._task is not None:
                await asyncio.gather(self._task, return_exceptions=True)
            await asyncio.wait_for(self._writer.wait_closed(), LAST_BYTES_WITHIN)
            closed = True
        except ConnectionError:
            closed = True  # the peer was faster
        except TimeoutError:
            pass  # the peer does not take what was sent
        finally:
            if not closed:  # a transport that has closed after its last bytes fails when it is aborted (CPython 3.11)
                self._writer.transport.abort()

    async def _progress(self, task: asyncio.Task[None]) -> None:
        if task.done():
            await task  # it ended with bytes left over, and raises what ended it
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
        self._writer.write(data)
        await self._writer.drain()
