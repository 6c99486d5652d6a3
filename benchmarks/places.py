"""The places of a run of the driver: folders, SeaweedFS, and SeaweedFS behind a line that adds a round trip.

The server starts when a row first needs it. The line is the proxy of the tests, in a process of its own: it counts
requests, and how many of them came one after another (depth).
"""

from __future__ import annotations

import multiprocessing
import shutil
import uuid
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.model import Kind
from benchmarks.place import Place
from tests.servers import S3Server, SeaweedServer


class Line:
    """A server as it is seen through a line. A context manager."""

    def __init__(self, server: S3Server, rtt_ms: float) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, server.endpoint, rtt_ms), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.endpoint: str = self._pipe.recv()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):  # it may be gone by then, after Ctrl-C
            self._pipe.send("end")
        self._process.join(10)
        self._pipe.close()

    def reset(self) -> None:
        """Begin to count anew."""
        self._ask("reset")

    def counted(self) -> dict[str, float]:
        """Return how many requests there were, and how many of them in a row."""
        stats = self._ask("stats")
        return {"requests": stats["requests"], "depth": stats["depth"]}

    def _ask(self, what: str) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


def _serve(pipe: Connection, upstream: str, rtt_ms: float) -> None:
    from tests.servers import Proxy

    with Proxy(upstream, rtt_ms=rtt_ms) as proxy:
        pipe.send(proxy.endpoint)
        while (asked := pipe.recv()) != "end":
            if asked == "reset":
                proxy.reset()
            pipe.send(proxy.stats())


class Places:
    """Makes places, all below one folder. A context manager; ``server`` is one that runs already."""

    def __init__(self, root: Path, *, rtt_ms: float, server: S3Server | None = None) -> None:
        self._root, self._rtt_ms, self._given = root, rtt_ms, server
        self._server: S3Server | None = None
        self._line: Line | None = None
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    @property
    def line(self) -> Line:
        """The line in front of the server."""
        if self._line is None:
            self._line = self._held.enter_context(Line(self.server, self._rtt_ms))
        return self._line

    @property
    def server(self) -> S3Server:
        """The server."""
        if self._server is None:
            self._server = self._given or self._held.enter_context(SeaweedServer())
        return self._server

    def renew(self) -> None:
        """Give up the server with all that it holds; the next row that needs one gets another."""
        self._held.close()
        self._held, self._server, self._line = ExitStack(), None, None

    def new(self, kind: Kind) -> Place:
        """Return a place with a prefix that nothing else has; on the line it is the one without."""
        prefix = uuid.uuid4().hex[:12]
        place = Place(kind, str(self._root), prefix, str(self._root / prefix / "scratch"))
        if kind in ("memory", "local"):
            return place
        server = self.server
        return replace(
            place,
            endpoint=server.endpoint,
            bucket=server.bucket,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )

    def seen(self, place: Place) -> Place:
        """Return a place as its ways see it: those on the line through the line."""
        return replace(place, endpoint=self.line.endpoint) if place.kind == "line" else place

    def scratch(self, place: Place, row: str, number: int) -> Place:
        """Return a place for one way of a row, with a folder of its own."""
        folder = Path(place.scratch, f"{row}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        return replace(place, scratch=str(folder), row=row)

    def forget(self, place: Place) -> None:
        """Remove what is on this disk of a place."""
        shutil.rmtree(self._root / place.prefix, ignore_errors=True)
