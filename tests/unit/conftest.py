"""The tests of this folder open no socket and start no process: what does either belongs to ``tests/integration``.

Whatever a test here does to that end is refused, and fails it even if something in between swallows the refusal. What
stays inside of the process is allowed: threads, pipes, and the pair of sockets with which an event loop wakes itself up.
"""

from __future__ import annotations

import contextlib
import multiprocessing.process
import os
import platform
import socket
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

with contextlib.suppress(ImportError):
    import urllib3.util.connection  # noqa: F401 -- tries out, while it is imported, whether a socket can have IPv6

_ = platform.uname().processor  # which stable-baselines3 writes into its files, and Python asks a program for, once
REFUSED = frozenset(
    ("socket.bind", "socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")
) | frozenset(
    ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "os.startfile")
)
"""The audit events of Python that tell of a socket in use, or of a process."""
SERVERS = frozenset(("seaweed", "moto", "proxy"))
"""Fixtures of servers: a client that is no Python code is not audited."""


class Refusal:
    """Refuses while a test runs, and remembers what."""

    def __init__(self) -> None:
        self.running = False
        self.refused: list[str] = []
        self._path = ""
        sys.addaudithook(self._hear)  # for good: Python has no way to take one off
        multiprocessing.process.BaseProcess.start = self._started(multiprocessing.process.BaseProcess.start)  # type: ignore[method-assign]

    def begin(self) -> None:
        """Refuse from now on. Programs are not found either: a save does without git where there is none."""
        self.refused.clear()
        self._path, os.environ["PATH"] = os.environ.get("PATH", ""), ""
        self.running = True

    def end(self) -> None:
        """Allow everything again."""
        self.running = False
        os.environ["PATH"] = self._path

    def refuse(self, what: str) -> None:
        self.refused.append(what)
        pytest.fail(f"{what}: a test of tests/unit stays in its process; its place is tests/integration")

    def _hear(self, event: str, _: tuple[Any, ...]) -> None:
        if self.running and event in REFUSED and not _makes_a_pair(sys._getframe(1)):
            self.refuse(event)

    def _started(self, start: Any) -> Any:
        """Refuse a ``multiprocessing.Process``: not every way to start one is audited."""

        def refusing(process: Any) -> None:
            if self.running:
                self.refuse("multiprocessing.Process.start")
            start(process)

        return refusing


def _makes_a_pair(frame: FrameType | None) -> bool:
    """Whether this is ``socket.socketpair``, which Windows makes of two sockets that connect to each other."""
    return frame is not None and frame.f_code.co_filename == socket.__file__ and "socketpair" in frame.f_code.co_name


REFUSAL = Refusal()


@pytest.fixture
def refused() -> Iterator[list[str]]:
    """What was refused in this test; one that expects a refusal takes it out."""
    return REFUSAL.refused


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Refuse from before the first fixture; a fixture would leave out those of modules."""
    REFUSAL.begin()
    if servers := SERVERS.intersection(getattr(item, "fixturenames", ())):
        pytest.fail(f"asks for {', '.join(sorted(servers))}: its place is tests/integration")
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Allow everything again after the last fixture, and fail if a refusal was swallowed."""
    try:
        yield
    finally:
        REFUSAL.end()
    if REFUSAL.refused:
        pytest.fail(f"{', '.join(REFUSAL.refused)}: its place is tests/integration", pytrace=False)
