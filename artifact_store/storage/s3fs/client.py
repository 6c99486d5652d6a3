"""What the botocore client of an s3fs filesystem is told: to try once, to follow no redirect, to ask for little."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from typing import Any

from artifact_store.storage.option_secrets import Noted
from artifact_store.storage.parts import SINGLE
from artifact_store.storage.patience import Patience
from artifact_store.storage.s3fs.session import direct_session

CONNECT_WITHIN = 5.0
"""Seconds for a connection, to make it or to close it."""
_CONNECTIONS = 64
_WORTH_ASKING = 1 << 20  # bytes from which asking the server first (Expect) costs less than sending in vain


def client_settings(patience: Patience, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return botocore settings under which a request is tried once, and never waits for ever.

    No redirect is followed either. What the user gave stays as it is.
    """
    return {
        "http_session_cls": direct_session(),
        "connect_timeout": min(patience.timeout, CONNECT_WITHIN),
        # an answer may come late, after a body on a slow line that others share: what we wait for ends by our own rule
        "read_timeout": patience.seconds(SINGLE, at_once=_CONNECTIONS),
        "max_pool_connections": _CONNECTIONS,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        **given,
    }


def tune(client: Any, noted: Noted) -> None:
    """Let a new client ask no more than it has to, and note the session tokens that it sends as secrets."""
    _ask_first_only_for_large_bodies(client)
    client.meta.events.register("before-send.s3", partial(_note_token, noted))
    client.meta.events.register("before-call.s3.HeadBucket", _ask_for_no_region_again)


def _note_token(noted: Noted, request: Any, **_: object) -> None:
    """Remember the session token of a request as a secret: that of a profile is in no option.

    The client keeps this, and s3fs keeps the client until its filesystem is gone: so it refers to neither.
    """
    token = request.headers.get("X-Amz-Security-Token") or b""
    noted.note(token.decode("latin-1") if isinstance(token, bytes) else str(token))


def _ask_for_no_region_again(context: dict[str, Any], **_: object) -> None:
    """Let botocore take a redirect of the request that asks where a bucket is for an answer: else it asks for ever."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _ask_first_only_for_large_bodies(client: Any) -> None:
    """Spare small uploads the round trip of ``Expect: 100-continue`` that botocore puts before each of them."""
    from botocore.handlers import add_expect_header

    def expect(model: Any, params: Mapping[str, Any], **_: object) -> None:
        body = params.get("body")
        if isinstance(body, io.BytesIO) and body.getbuffer().nbytes >= _WORTH_ASKING:
            add_expect_header(model, params)

    client.meta.events.unregister("before-call.s3", add_expect_header)
    client.meta.events.register("before-call.s3", expect)
