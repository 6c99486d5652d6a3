"""The HTTP session below s3fs, which follows no redirect.

A redirect is answered by another host than the one that the caller named and has credentials for. aiohttp would send
the request there, session token and body included, and what came back would count as the bucket's answer. S3 itself
says by the region in its answer where a bucket is, and botocore then signs anew. The one module that imports
aiobotocore.
"""

from __future__ import annotations

from typing import Any

from aiobotocore.httpsession import AIOHTTPSession


class DirectSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
    """Talks to the host that it was asked to talk to; a redirect is the answer, with its status."""

    async def _get_session(self, proxy_url: str | None) -> _Direct:
        return _Direct(await super()._get_session(proxy_url))


class _Direct:
    """A session of aiohttp whose requests stay where they are."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, *what: Any, **how: Any) -> Any:
        """Send one request."""
        return await self._session.request(*what, **{**how, "allow_redirects": False})
