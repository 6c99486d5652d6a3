"""The strict front for objects that no test should store: it hashes what is uploaded in parts, and lets it go.

A file of gigabytes is sent to it and counted, byte by byte, against the rules; what it holds afterwards is the numbers
and sizes of the parts. All other requests go to the server, so a run can be committed and published beside such a file,
which cannot be read.
"""

from __future__ import annotations

import secrets
import zlib
from http import HTTPStatus

from tests.servers.http1 import Body
from tests.servers.strict.front import RULES, StrictFront
from tests.servers.strict.rule import CHECKSUM, Answer, Memory, Request, Rule, Upload, spelled


def _let_go(memory: Memory, request: Request) -> Answer | None:
    query = request.query
    if request.method == "POST" and "uploads" in query:
        return _document("InitiateMultipartUploadResult", UploadId=secrets.token_hex(16))
    if memory.upload_of(request) is None:
        return None
    if request.method == "DELETE":
        return Answer.made(HTTPStatus.NO_CONTENT)
    if request.method == "PUT":
        told = {f"{CHECKSUM}{name}": value for name, value in request.checksums.items()}
        return Answer.made(HTTPStatus.OK, etag=f'"{request.checksum("crc32")}"', **told)
    if request.completes:
        return _document("CompleteMultipartUploadResult", ETag=f'"{query["uploadId"]}"', Key=request.key)
    return None


def _document(name: str, **texts: str) -> Answer:
    elements = "".join(f"<{each}>{text}</{each}>" for each, text in texts.items())
    return Answer.made(HTTPStatus.OK, f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}>{elements}</{name}>')


class SparseFront(StrictFront):
    """Keeps all the rules, and nothing that is uploaded in parts but its numbers and sizes."""

    rules = (*RULES, Rule("The bytes of parts are hashed and let go.", "this module, not Amazon", instead=_let_go))

    @property
    def uploads(self) -> list[Upload]:
        """Every upload that was opened, with the sizes of its parts."""
        return list(self._memory.uploads.values())

    async def _read(self, request: Request, body: Body) -> None:
        if "partNumber" not in request.query:
            await super()._read(request, body)
            return
        total = 0
        while (piece := await body.read()) is not None:
            if piece.payload:
                total = zlib.crc32(piece.data, total)
                request.length += len(piece.data)
        request.summed = {"crc32": spelled(total.to_bytes(4, "big"))}
