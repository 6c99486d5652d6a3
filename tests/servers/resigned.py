"""A request to S3 without some of its headers, or to another address, signed again, since the signature covers them:
what a server would see that knows no conditions, or no ranges. Knows the header form of AWS Signature Version 4 and the payload hash that the client sent along.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import urlsplit

from tests.servers.http1 import Head

CONDITIONS = frozenset({"if-match", "if-none-match"})
_AUTHORIZATION = re.compile(
    r"(AWS4-HMAC-SHA256 Credential=[^/]+/([^,]+)), ?SignedHeaders=([^,]+), ?Signature=[0-9a-f]+"
)


def without_conditions(head: Head, secret: str) -> bytes:
    """Return the head without its conditions, signed with the secret of the client that sent it; see :func:`changed`."""
    return changed(head, secret, without=CONDITIONS) if CONDITIONS & head.headers.keys() else head.raw


def changed(head: Head, secret: str, *, without: Collection[str] = (), target: str = "") -> bytes:
    """Return the head without these headers, and to this target, signed with the secret of the client that sent it.

    Raises:
        ValueError: it is signed in another way, or not at all.
    """
    told = _AUTHORIZATION.fullmatch(head.headers.get("authorization", ""))
    if told is None:
        raise ValueError(f"{head.first} is not signed by a header of Signature Version 4")
    beginning, scope, listed = told.groups()
    signed = [name for name in listed.split(";") if name not in without]
    first = head.first.replace(head.target, target) if target else head.first
    signature = _signature(replace(head, first=first), signed, scope, secret)
    lines = [
        line
        for line in head.raw.decode("latin-1").rstrip("\r\n").split("\r\n")[1:]
        if line.partition(":")[0].lower() not in {*without, "authorization"}
    ]
    lines.append(f"Authorization: {beginning}, SignedHeaders={';'.join(signed)}, Signature={signature}")
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def _signature(head: Head, signed: list[str], scope: str, secret: str) -> str:
    target, headers = urlsplit(head.target), head.headers
    pairs = [pair.partition("=") for pair in target.query.split("&") if pair]
    request = "\n".join(
        [
            head.method,
            target.path,
            "&".join(sorted(f"{name}={value}" for name, _, value in pairs)),
            *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            headers["x-amz-content-sha256"],
        ]
    )
    digest = hashlib.sha256(request.encode("latin-1")).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    return _mac(key, "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])).hex()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
