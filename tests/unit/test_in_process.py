"""That a test of this folder can open no socket and start no process, and what it still can do."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

COMMAND = [sys.executable, "-c", ""]
EVERYWHERE: dict[str, Callable[[], object]] = {
    "subprocess": lambda: subprocess.run(COMMAND, check=True),
    "asyncio": lambda: asyncio.run(asyncio.create_subprocess_exec(*COMMAND)),  # type: ignore[arg-type]
    "system": lambda: os.system("exit"),
    "multiprocessing": lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
    "bind": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "a name": lambda: socket.getaddrinfo("localhost", 80),
    "a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
}
POSIX: dict[str, Callable[[], object]] = {
    "fork": lambda: os.fork() or os._exit(0),
    "posix_spawn": lambda: os.posix_spawn(sys.executable, COMMAND, os.environ),
    "a forked process": lambda: multiprocessing.get_context("fork").Process(target=print).start(),
    "a local socket": lambda: socket.socket(socket.AF_UNIX).bind("s"),
}


@pytest.mark.windows
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", EVERYWHERE)
def test_what_leaves_the_process_is_refused(way: str, refused: list[str]) -> None:
    with pytest.raises(pytest.fail.Exception, match="tests/integration"):
        EVERYWHERE[way]()
    assert len(refused) == 1
    refused.clear()


@pytest.mark.skipif(os.name == "nt", reason="ways that Windows does not have")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", POSIX)
def test_what_leaves_the_process_is_refused_on_posix(
    way: str, refused: list[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="tests/integration"):
        POSIX[way]()
    assert len(refused) == 1
    refused.clear()


def test_a_refusal_that_was_swallowed_is_remembered(refused: list[str]) -> None:
    with ThreadPoolExecutor(1) as threads:
        assert isinstance(threads.submit(EVERYWHERE["system"]).exception(), pytest.fail.Exception)
    assert refused == ["os.system"]
    refused.clear()


@pytest.mark.windows
def test_what_stays_inside_is_allowed(refused: list[str]) -> None:
    async def nothing() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert asyncio.run(nothing()) == 7
    one, other = socket.socketpair()
    with one, other:
        one.send(b"x")
        assert other.recv(1) == b"x"
    assert refused == []
