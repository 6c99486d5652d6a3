"""Feed an upload that runs in a thread of its own from the thread that asked for it, and give it its time.

obstore drives an upload on the thread that calls it and reads the source from inside its runtime, where the source
could not use obstore itself (a copy from one store to another does) and Ctrl-C would wait for the network. So the
source is read here, in the caller's thread, and handed over piece by piece.

How far a body is cannot be seen from outside, and a client has one deadline for all that it sends: so the client is
chosen by how large the bodies are, and by how many there will be at once. A server that has died says nothing for all
of that time, so it is asked meanwhile whether it lives.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from artifact_store.errors import ArtifactStoreError, DeadlineExceeded, Unreachable
from artifact_store.storage.http import Attempt
from artifact_store.storage.obstore.client import SMALL, Clients
from artifact_store.storage.obstore.errors import is_answer
from artifact_store.storage.parts import SINGLE
from artifact_store.storage.patience import UP, Patience, Share, Silence
from artifact_store.storage.threads import (
    LEAVE_WITHIN,
    LOOK_UP,
    Threads,
    attended,
    check_stopped,
    is_interruption,
    result_of,
    until_done,
)

T = TypeVar("T")

_AHEAD = 2  # pieces handed over and not yet taken


class _Abandoned(Exception):
    """The source has failed: obstore passes this on and aborts the upload."""


class _Feed(Iterator[bytes]):
    """What the upload reads: pieces, then the end, or that it was cancelled."""

    def __init__(self) -> None:
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self.abandoned = threading.Event()

    def __next__(self) -> bytes:
        while not self.abandoned.is_set():
            try:
                piece = self._pieces.get(timeout=LOOK_UP)
            except queue.Empty:
                continue
            if piece is None:
                raise StopIteration
            return piece
        raise _Abandoned

    def hand_over(self, piece: bytes | None, *, to: Future[object]) -> bool:
        """Give a piece, or ``None`` for the end; tell whether the upload was there to take it."""
        while not to.done():
            check_stopped()
            try:
                self._pieces.put(piece, timeout=LOOK_UP)
            except queue.Full:
                continue
            return True
        return False


def feed(chunks: Iterable[bytes], send: Callable[[Iterator[bytes]], object]) -> None:
    """Call ``send`` with the chunks, in another thread, and wait for its end.

    What ``chunks`` raises is raised here once the upload is aborted; what ``send`` raises, too. After Ctrl-C an upload
    that waits for the network is left to abort when that gives up; it can no longer be completed.

    Raises:
        Unavailable: there is no such thread; nothing was read of ``chunks``, and nothing sent.
    """
    source, thread = _Feed(), Threads(1, "artifact-store-upload")
    upload = thread.submit(partial(send, source))
    thread.leave()
    try:
        for chunk in chunks:
            if not source.hand_over(chunk, to=upload):
                break
        source.hand_over(None, to=upload)
        until_done([upload])
    except BaseException as error:
        source.abandoned.set()  # the upload fails at its next look
        wait([upload], LEAVE_WITHIN / 2 if is_interruption(error) else None)
        raise
    finally:
        source.abandoned.set()  # what was left to itself uploads nothing more, should its server wake up
    result_of(upload)


def send_in_time(
    clients: Clients,
    patience: Patience,
    attempt: Attempt,
    put: Callable[[Any, Any], T],
    *,
    size: int,
    at_once: int = 1,
    ask: Callable[[Any, Any], object] | None = None,
) -> T:
    """Send bodies of ``size`` bytes, so many at once; each may take as long as its share of the line allows.

    While that lasts, the server is asked something small now and then, where ``ask`` is given. One that leaves it
    unanswered gets no more time, and the upload is left to itself: it may still land.

    Raises:
        DeadlineExceeded: one takes longer, or the server is silent.
    """
    begun = monotonic()
    with Share(UP, at_once) as share:
        allowed = _allowed(size, share, parts=at_once > 1)
        try:
            if allowed == SMALL:
                return clients.call("control", attempt, put)
            send = partial(clients.call, "upload", attempt, put, size=allowed)
            return send() if ask is None else _attended(clients, patience, attempt, send, ask)
        except DeadlineExceeded as error:
            cause, spent = error.__cause__, monotonic() - begun
            if spent < patience.seconds(allowed):  # another deadline: the caller may have set one
                raise
    raise patience.late(attempt, size=size, seconds=spent, at_once=share.at_once) from cause


def _attended(
    clients: Clients, patience: Patience, attempt: Attempt, send: Callable[[], T], ask: Callable[[Any, Any], object]
) -> T:
    """Send, and ask the server something small whenever it has said nothing for the timeout."""
    silence = Silence(attempt)

    def once(obstore: Any, client: Any) -> None:
        try:
            ask(obstore, client)
        except Exception as error:
            if not is_answer(error):
                raise

    def look() -> None:
        try:
            clients.call("control", attempt, once)
        except (Unreachable, DeadlineExceeded):
            silence.unanswered()
        except ArtifactStoreError:  # this machine lacks something, which says nothing about the server
            return
        else:
            silence.answered()

    return attended(send, look, every=patience.timeout)


def _allowed(size: int, share: Share, *, parts: bool) -> int:
    """Return for how many bytes a body of this size gets time: for all that share the line, and up to twice those.

    A client for each number would be many, and each has connections of its own; nearly all parts are of one size.
    """
    if parts and size <= SINGLE:
        return size * _round_up(share.at_once, 1)
    return _round_up(size * share.at_once, SMALL)


def _round_up(number: int, least: int) -> int:
    """Return the first of ``least``, twice that, four times that and so on that is not below ``number``."""
    while least < number:
        least *= 2
    return least
