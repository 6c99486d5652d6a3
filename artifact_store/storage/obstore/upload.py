"""Feed an upload that runs in a thread of its own from the thread that asked for it.

obstore drives an upload on the thread that calls it and reads the source from inside its runtime, where the source
could not use obstore itself (a copy from one store to another does) and Ctrl-C would wait for the network. So the
source is read here, in the caller's thread, and handed over piece by piece.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

_AHEAD = 2  # pieces handed over and not yet taken
_LOOK_UP = 0.5  # seconds between looks at whether the other side still lives


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
                piece = self._pieces.get(timeout=_LOOK_UP)
            except queue.Empty:
                continue
            if piece is None:
                raise StopIteration
            return piece
        raise _Abandoned

    def hand_over(self, piece: bytes | None, *, to: threading.Thread) -> bool:
        """Give a piece, or ``None`` for the end; tell whether anybody was there to take it."""
        while to.is_alive():
            try:
                self._pieces.put(piece, timeout=_LOOK_UP)
            except queue.Full:
                continue
            return True
        return False


def feed(chunks: Iterable[bytes], send: Callable[[Iterator[bytes]], object]) -> None:
    """Call ``send`` with the chunks, in another thread, and wait for its end.

    What ``chunks`` raises is raised here once the upload is aborted; what ``send`` raises, too.
    """
    source = _Feed()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            send(source)
        except BaseException as error:  # noqa: BLE001 -- handed to the caller, which waits for it
            failure.append(error)

    thread = threading.Thread(target=run, name="artifact-store-upload", daemon=True)
    thread.start()
    try:
        for chunk in chunks:
            if not source.hand_over(chunk, to=thread):
                break
        source.hand_over(None, to=thread)
        _wait(thread)
    except BaseException:
        source.abandoned.set()  # the upload fails at its next look
        _wait(thread)
        raise
    if failure:
        raise failure[0]


def _wait(thread: threading.Thread) -> None:
    while thread.is_alive():  # in steps: Windows delivers Ctrl-C only in between
        thread.join(_LOOK_UP)
