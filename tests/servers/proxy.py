"""A network in front of a server: it adds round trips, counts requests and loses, delays or damages what passes.

The proxy runs in a thread of the process that makes it, and is a plain TCP port for everybody else: rules set here
hold for clients in other processes too. The Host header is passed on as it came, so signatures stay valid.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from tests.servers.connection import Connection
from tests.servers.endpoint import S3Server
from tests.servers.faults import Fault, Record, Rule, depth
from tests.servers.http1 import HEAD_LIMIT

T = TypeVar("T")


class Proxy(S3Server):
    """A proxy in front of ``upstream``, an S3 server of ours or any ``http://host:port``.

    With an S3 server in the back it has that server's bucket and credentials: ``proxy.storage_options()`` is all
    that a client needs. Rules are tried in the order in which they were made; the first that hits decides.
    ``seed`` fixes every die that is thrown, so a client that sends the same requests meets the same faults.
    ``rtt_ms`` is the round trip; a new connection costs ``connect_rtts`` of them before its first request.
    """

    def __init__(
        self, upstream: S3Server | str, *, rtt_ms: float = 0.0, connect_rtts: float = 1.0, seed: int = 0
    ) -> None:
        if isinstance(upstream, S3Server):
            self.bucket = upstream.bucket
            self.access_key, self.secret_key = upstream.access_key, upstream.secret_key
            upstream = upstream.endpoint
        address = urlsplit(upstream)
        self.upstream = (address.hostname or "127.0.0.1", address.port or 80)
        self.rtt_ms = rtt_ms
        self.connect_rtts = connect_rtts
        self.rng = random.Random(seed)
        self._records: list[Record] = []
        self._connections = 0
        self._rules: tuple[Rule, ...] = ()
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._delayed: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._gate = asyncio.Event()  # opened by release, and a new one put up for those who come later

    def start(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT))
        host, port = self._server.sockets[0].getsockname()
        self.endpoint = f"http://{host}:{port}"
        return self

    def stop(self) -> None:
        """Cut every connection, forget what was still to be sent, and end the thread.

        Raises:
            ExceptionGroup: as :meth:`check`.
        """
        if self._loop.is_closed():
            return
        self._run(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.check()

    def check(self) -> None:
        """Raise what the proxy itself did wrong since it was asked last; what a test saw may be its doing.

        Raises:
            ExceptionGroup: something went wrong.
        """
        failures, self._failures = self._failures, []
        if failures:
            raise ExceptionGroup(f"the proxy went wrong: {failures!r}", failures)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # ---- faults

    def on(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        key: str | None = None,
        when: Callable[[Record], bool] | None = None,
        nth: int | Collection[int] | None = None,
        probability: float = 1.0,
        times: int | None = None,
    ) -> Rule:
        """Make ``fault`` happen to the requests that :class:`Rule` describes, from now on."""
        rule = Rule(fault, method, key, when, nth, probability, times)
        self._rules = (*self._rules, rule)
        return rule

    def off(self, *rules: Rule) -> None:
        """Forget these rules, or all of them."""
        self._rules = tuple(rule for rule in self._rules if rules and rule not in rules)

    def release(self) -> None:
        """Let go of everything that is held back without a time of its own."""
        self._loop.call_soon_threadsafe(self._release)

    def listen(self) -> None:
        """Take connections again, on the same port, after a :class:`Refuse`."""
        if not self._server.is_serving():
            self._server = self._run(self._listen())

    async def _listen(self) -> asyncio.Server:
        address = urlsplit(self.endpoint)
        return await asyncio.start_server(self._accept, address.hostname, address.port, limit=HEAD_LIMIT)

    def settle(self, timeout: float = 30.0) -> None:
        """Release what is held back and wait until the server has answered every delayed request."""
        self.release()
        self._run(self._settle(), timeout)

    # ---- what was seen

    @property
    def records(self) -> list[Record]:
        """The requests since the start or the last ``reset``, in the order in which they came."""
        return list(self._records)

    def reset(self) -> None:
        """Forget the records. The rules stay."""
        self._records = []
        self._connections = 0

    def stats(self) -> dict[str, Any]:
        """Sum up the records: how many requests, of which kind, and how many of them in a row (``depth``)."""
        records = self.records
        return {
            "requests": len(records),
            "by": dict(Counter(f"{record.method} {record.status or '-'}" for record in records)),
            "faults": dict(Counter(type(record.fault).__name__ for record in records if record.fault)),
            "connections": self._connections,
            "up": sum(record.up for record in records),
            "down": sum(record.down for record in records),
            "depth": depth(records),
        }

    # ---- for connections, in the proxy's thread

    def admit(self, request: Record) -> None:
        """Take down a request and decide what happens to it."""
        self._records.append(request)
        for rule in self._rules:
            if rule.hits(request, self.rng):
                request.fault = rule.fault
                return

    def refuse(self) -> None:
        """Close the port and cut every connection."""
        self._server.close()
        for connection in self._open.values():
            connection.stop()

    async def held(self, seconds: float | None) -> None:
        """Wait for so long, or to be released."""
        if seconds is None:
            await self._gate.wait()
        else:
            await asyncio.sleep(seconds)

    def _release(self) -> None:
        self._gate.set()
        self._gate = asyncio.Event()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this on its own, after the connection that asked for it is gone."""
        task = self._loop.create_task(work)
        self._delayed.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._delayed.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, ConnectionError):  # a server may be gone by then
            self._failures.append(error)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = Connection(self, self._connections, reader, writer)
        task = self._loop.create_task(self._serve(connection))
        self._open[task] = connection
        task.add_done_callback(self._open.pop)

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.serve()
        except Exception as error:  # noqa: BLE001 -- not the client's affair: kept, and raised when the proxy stops
            self._failures.append(error)

    async def _settle(self) -> None:
        while self._delayed:
            await asyncio.wait(self._delayed)

    async def _shut_down(self) -> None:
        self._server.close()
        for task in self._delayed:
            task.cancel()
        for connection in self._open.values():
            connection.stop()
        await asyncio.gather(*self._open, *self._delayed, return_exceptions=True)
        await self._server.wait_closed()

    def _run(self, work: Coroutine[Any, Any, T], timeout: float | None = 30.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)
