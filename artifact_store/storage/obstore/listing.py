"""Listings through obstore, bounded: obstore itself follows whatever token a server gives, for as long as it gives one.

A server whose token does not advance would keep it busy for ever, without a way to stop it from another thread. So a
listing is awaited, and ends with an error if nothing comes, or nothing new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from artifact_store.errors import Corrupt, DeadlineExceeded

T = TypeVar("T")

_PAGE = 1000
_REPEATED = 3  # times the deadline of a request that a page may take, since obstore repeats those
_LEVEL = 10  # times that a level of a listing may take, of which obstore shows no single page


async def objects(client: Any, prefix: str, timeout: float) -> list[Any]:  # noqa: ASYNC109 -- that of a request
    """Return what obstore tells of every object below ``prefix``.

    Raises:
        DeadlineExceeded: nothing came for some times ``timeout``.
        Corrupt: the server tells the same again and again.
    """
    import obstore

    found: list[Any] = []
    seen: set[str] = set()
    pages = aiter(obstore.list(client, prefix or None, chunk_size=_PAGE))
    while True:
        try:
            async with asyncio.timeout(timeout * _REPEATED):
                page = await anext(pages)
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
        async with asyncio.timeout(timeout * _LEVEL):
            return await obstore.list_with_delimiter_async(client, prefix or None)
    except TimeoutError as error:
        raise _endless(prefix, timeout * _LEVEL) from error


def _endless(prefix: str, seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"the listing of {prefix!r} did not end within {seconds:g} seconds, and was cancelled")


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Wait for ``work`` on a loop of its own; in another thread where this one has a loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1, thread_name_prefix="artifact-store-listing") as pool:
        return pool.submit(asyncio.run, work).result()
