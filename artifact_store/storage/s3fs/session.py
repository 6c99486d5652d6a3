"""The HTTP session below s3fs, which follows no redirect.

A redirect is answered by another host than the one that the caller named and has credentials for. aiohttp would send
the request there, session token and body included, and what came back would count as the bucket's answer. S3 itself
says by the region in its answer where a bucket is, and botocore then signs anew. The one module that imports
aiobotocore.
"""

from __future__ import annotations

from functools import cache
from typing import Any


def __getattr__(name: str) -> Any:
    """Find ``DirectSession`` by its name, as a process does that was sent a backend."""
    if name == "DirectSession":
        return direct_session()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def direct_session() -> type[Any]:
    """Return a session that talks to the host it was asked to talk to: a redirect is the answer, with its status."""
    from aiobotocore.httpsession import AIOHTTPSession

    class DirectSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
        async def _get_session(self, proxy_url: str | None) -> _Direct:
            return _Direct(await super()._get_session(proxy_url))

    DirectSession.__qualname__ = "DirectSession"
    return DirectSession


class _Direct:
    """A session of aiohttp whose requests stay where they are."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, *what: Any, **how: Any) -> Any:
        """Send one request."""
        return await self._session.request(*what, **{**how, "allow_redirects": False})
