"""Listings through obstore, bounded: obstore itself follows whatever token a server gives, for as long as it gives one.

A server whose token does not advance would keep it busy for ever, without a way to stop it from another thread. So a
listing is awaited, and ends with an error if nothing comes, or nothing new.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from artifact_store.errors import Corrupt, DeadlineExceeded
from artifact_store.storage.threads import LOOK_UP, Threads, check_stopped, no_thread_left, none_left, result_of

T = TypeVar("T")

_PAGE = 1000
_REPEATED = 3  # times the deadline of a request that a page may take, since obstore repeats those
_LEVEL = 10  # times that a level of a listing may take, of which obstore shows no single page


async def objects(client: Any, prefix: str, timeout: float) -> list[Any]:  # noqa: ASYNC109 -- that of a request
    """Return what obstore tells of every object below ``prefix``.

    Raises:
        DeadlineExceeded: nothing came for some times ``timeout``.
        Unavailable: nothing came for ``timeout``, and no thread can be started that could bring it.
        Corrupt: the server tells the same again and again.
    """
    import obstore

    found: list[Any] = []
    seen: set[str] = set()
    pages = aiter(obstore.list(client, prefix or None, chunk_size=_PAGE))
    while True:
        try:
            page = await _within(timeout, _REPEATED, anext(pages))
        except StopAsyncIteration:
            return found
        except TimeoutError as error:
            raise _endless(prefix, timeout * _REPEATED) from error
        new = [held for held in page if held["path"] not in seen]
        if page and not new:
            raise Corrupt(f"the listing of {prefix!r} repeats: the server does not advance")
        seen.update(held["path"] for held in new)
        found += new


async def level(client: Any, prefix: str, timeout: float) -> Any:  # noqa: ASYNC109 -- that of a request
    """Return objects and common prefixes directly below ``prefix``; ``DeadlineExceeded`` after some ``timeout``."""
    import obstore

    try:
        return await _within(timeout, _LEVEL, obstore.list_with_delimiter_async(client, prefix or None))
    except TimeoutError as error:
        raise _endless(prefix, timeout * _LEVEL) from error


async def _within(seconds: float, times: int, answer: Awaitable[T]) -> T:
    """Await what the client will tell; ``TimeoutError`` after so long, ``Cancelled`` once this thread is stopped."""
    import asyncio

    waiting, late = asyncio.ensure_future(answer), monotonic() + seconds
    try:
        async with asyncio.timeout(seconds * times):
            while not (await asyncio.wait({waiting}, timeout=LOOK_UP))[0]:
                check_stopped()
                if monotonic() > late and no_thread_left():  # without one, obstore cannot hand the answer over
                    raise none_left("obstore waits for one")
            return await waiting
    finally:
        waiting.cancel()


def _endless(prefix: str, seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"the listing of {prefix!r} did not end within {seconds:g} seconds, and was cancelled")


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Wait for ``work`` on a loop of its own; in another thread where this one has a loop, as in a notebook."""
    import asyncio  # takes longer than the rest of a load, which lists nothing

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    thread = Threads(1, "artifact-store-listing")
    try:
        return result_of(thread.submit(partial(asyncio.run, work)))
    finally:
        thread.leave()
