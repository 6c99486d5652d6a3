"""Amazon's rules about listings: how a page ends, and where the next one begins."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from tests.servers.strict.rule import Answer, Memory, Refused, Request, Rule


def _page(memory: Memory, request: Request) -> Answer | None:
    query = request.query
    if request.method != "GET" or request.key or query.get("list-type") != "2":
        return None
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after, blank = query.get("start-after", ""), memory.bucket.blank_pages
    token = query.get("continuation-token")
    if token is not None:
        if token not in memory.places:
            raise Refused("InvalidArgument", "The continuation token provided is incorrect")
        after, blank = memory.places[token]
    most = 0 if blank else min(int(query.get("max-keys", "1000")), memory.bucket.page)
    left = [item for item in _items(memory, prefix, delimiter) if item[0].encode() > after.encode()]
    shown, rest = left[:most], left[most:]
    following = ""
    if rest:
        following = secrets.token_urlsafe(24)
        memory.places[following] = shown[-1][0] if shown else after, memory.bucket.blank_pages and not blank
    memory.counts["pages"] += 1
    spell = quote if query.get("encoding-type") == "url" else str
    told = [
        f"<Name>{memory.upstream.bucket}</Name><Prefix>{escape(spell(prefix))}</Prefix><KeyCount>{len(shown)}</KeyCount>",
        f"<MaxKeys>1000</MaxKeys><IsTruncated>{'true' if rest else 'false'}</IsTruncated>",
        f"<Delimiter>{escape(spell(delimiter))}</Delimiter>" if delimiter else "",
        "<EncodingType>url</EncodingType>" if spell is quote else "",
        f"<NextContinuationToken>{following}</NextContinuationToken>" if rest else "",
        *(_entry(spell(name), held) for name, held in shown),
    ]
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {space}>{"".join(told)}</ListBucketResult>'
    return Answer.made(HTTPStatus.OK, body)


def _items(memory: Memory, prefix: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield what a listing without pages would hold, in order: objects, and common prefixes as ``None``."""
    pages = memory.client().get_paginator("list_objects_v2").paginate(Bucket=memory.upstream.bucket, Prefix=prefix)
    objects = {held["Key"]: held for page in pages for held in page.get("Contents", ())}
    last = ""
    for key in sorted(objects, key=str.encode):
        below, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        name = f"{prefix}{below}{delimiter}" if found else key
        if not found or name != last:
            yield name, None if found else objects[key]
        last = name


def _entry(name: str, held: dict[str, Any] | None) -> str:
    if held is None:
        return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
    at = held["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{escape(name)}</Key><LastModified>{at}</LastModified><ETag>{escape(held['ETag'])}</ETag>"
        f"<Size>{held['Size']}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


RULES = (
    Rule(
        "A listing has at most 1,000 entries a page, a common prefix counting as one. A page can be shorter, and even "
        "empty, though IsTruncated says that there are more; where the next one begins is in a token that means nothing "
        "else, and InvalidArgument answers any other.",
        "API reference, ListObjectsV2; TileDB-Inc/TileDB#1218 for the empty pages",
        instead=_page,
    ),
)
