"""An object from one GET that is read while it is used, for servers that serve no ranges.

Its pieces come through a thread of its own, as those of ranges do; what is not taken yet stays at the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from artifact_store.errors import PreconditionFailed
from artifact_store.storage.exact_size import wrong_size
from artifact_store.storage.http import Attempt
from artifact_store.storage.parts import replaced
from artifact_store.storage.patience import Patience, Watch
from artifact_store.storage.threads import check_stopped

_PIECE = 1 << 20
Answer = tuple[Mapping[str, Any], Iterator[bytes]]
Ask = Callable[[Callable[[Any, Any], Any]], Any]
"""Lets obstore work with the client for downloads, and translates what goes wrong."""
Apart = Callable[[Callable[[], Any]], Any]
"""Does some work in another thread, and waits for it so that Ctrl-C ends the wait."""


def begin_whole(
    ask: Ask, apart: Apart, patience: Patience, attempt: Attempt, path: str, *, size: int, etag: str | None
) -> Answer:
    """Ask for the object, of this ETag where one is given; return what describes it, and its pieces.

    Raises:
        DigestMismatch: it is another version, or of another size.
    """
    options = {} if etag is None else {"if_match": etag}

    def begin(obstore: Any, client: Any) -> Answer:
        answer = obstore.get(client, path, options=options)
        if answer.meta["size"] != size:
            raise wrong_size(attempt.key, expected=size, actual=answer.meta["size"])
        return answer.meta, iter(answer.stream(min_chunk_size=1))

    try:
        described, pieces = apart(partial(ask, begin))
    except PreconditionFailed:
        raise replaced(attempt.key, attempt.url) from None

    def take(*_: Any) -> bytes:
        held = bytearray()
        with Watch(patience, attempt, _PIECE) as watch:
            while len(held) < _PIECE and (piece := next(pieces, None)) is not None:
                held += piece
                watch.note(len(piece))
                check_stopped()
        return bytes(held)

    def following() -> Iterator[bytes]:
        while piece := apart(partial(ask, take)):
            yield piece

    return described, following()
