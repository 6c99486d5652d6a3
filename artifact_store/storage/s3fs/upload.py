"""Upload in parts: bounded memory, parts in parallel, aborted unless it was completed.

Owns the life of one multipart upload. What cannot be known is left alone: if it is unknown whether the completion
arrived, the upload is not aborted, and ``gc`` finds it later.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from artifact_store.errors import ArtifactStoreError, Contended, PreconditionFailed, Unavailable
from artifact_store.storage.exact_size import exactly
from artifact_store.storage.http import Attempt
from artifact_store.storage.parts import part_size
from artifact_store.storage.patience import UP, Share
from artifact_store.storage.s3fs.calls import Body, Calls, Pulse
from artifact_store.storage.threads import LEAVE_WITHIN, Cancelled, is_interruption

_HELD = 32 << 20


def cut(chunks: Iterable[bytes], size: int, part: int, key: str) -> Iterator[Body]:
    """Gather ``chunks`` into bodies of ``part`` bytes, the last one shorter; an empty file is one empty body.

    Raises:
        DigestMismatch: they are not ``size`` bytes. The last body is given out only once that is known.
    """
    left = size
    body = Body.of_size(min(part, left))
    for chunk in exactly(chunks, size=size, key=key):
        view = memoryview(chunk)
        while view:
            if body.tell() == part:
                yield body
                body = Body.of_size(min(part, left))
            taken = body.write(view[: part - body.tell()])
            left -= taken
            view = view[taken:]
    yield body


class Upload:
    """One multipart upload, as a context: ``send`` each part, then ``complete``; anything else aborts it.

    It is opened with the checksum algorithm that its parts will have, and its completion repeats their checksums:
    Amazon refuses checksums that were not announced, and announced ones that are missing in the end.
    """

    def __init__(self, calls: Calls, place: Mapping[str, str], attempt: Attempt, *, size: int) -> None:
        self.part = part = part_size(size)
        self._calls, self._place, self._attempt = calls, dict(place), attempt
        # the request that creates or fills an upload carries no condition, so a 404 there means the bucket
        self._unconditional = Attempt(attempt.operation, attempt.key, attempt.url)
        self._ahead = max(1, _HELD // part - 1)  # one more is being filled
        self._share = Share(UP, min(self._ahead, -(-size // part)))
        self._pulse = calls.pulse_of(part, self._share)
        self._sent = 0
        self._under_way: deque[Future[dict[str, Any]]] = deque()
        self._done: list[dict[str, Any]] = []
        self._open = False
        self._checksum: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._share.__enter__()
        try:
            return self._opened()
        except BaseException:
            self._share.__exit__()
            raise

    def _opened(self) -> Self:
        future = self._calls.submit(self._create())
        try:
            self._name_it(self._calls.wait(future, Pulse(), self._unconditional, finish=True))
        except BaseException as error:
            if not is_interruption(error):
                raise
            self._tidy_later(self._abort_if_opened(future))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._share.__exit__()
        if not self._open:
            return
        if error is None or not is_interruption(error):
            self._abort()
            return
        self._open = False
        self._tidy_later(self._remove())

    def send(self, body: Body) -> None:
        """Start to send the next part, as soon as there is room for it in memory."""
        while len(self._under_way) >= self._ahead:
            self._collect()
        self._sent += 1
        self._under_way.append(self._calls.submit(self._send(self._sent, body)))

    def complete(self, condition: Mapping[str, str]) -> None:
        """Make one object of the parts, if ``condition`` holds.

        Raises:
            PreconditionFailed: it does not; the upload is aborted.
            Unavailable: unproven; the upload is left as it is.
        """
        while self._under_way:
            self._collect()
        future = self._calls.submit(self._complete(condition))
        try:
            self._calls.wait(future, Pulse(), self._attempt, finish=True)
        except (PreconditionFailed, Contended):
            raise  # the server did not make the object, so the parts can go
        except ArtifactStoreError as error:
            self._open = not isinstance(error, Unavailable)
            raise
        except BaseException:
            self._open = False
            self._tidy_later(self._abort_if_refused(future))
            raise
        self._open = False

    def _name_it(self, upload_id: str) -> None:
        self._place["UploadId"] = upload_id
        self._open = True

    def _collect(self) -> None:
        self._done.append(self._calls.wait(self._under_way.popleft(), self._pulse, self._unconditional))

    def _abort(self) -> None:
        self._open = False
        with suppress(ArtifactStoreError, Cancelled):  # the caller must hear of what led here; gc finds what is left
            self._calls.wait(self._calls.submit(self._remove()), Pulse(), self._unconditional, finish=True)

    async def _remove(self) -> None:
        for future in self._under_way:
            future.cancel()
        once = partial(self._calls.request, "abort_multipart_upload", self._unconditional, **self._place)
        # a part that the server was just storing survives the first abort: S3 asks for a second one
        for _ in range(2 if self._sent > len(self._done) else 1):
            with suppress(ArtifactStoreError):  # as above
                await self._calls.repeated(once)

    def _tidy_later(self, work: Coroutine[Any, Any, None]) -> None:
        """Clean up after Ctrl-C, for a moment here, and then behind the back of the caller, who wants to go on."""
        concurrent.futures.wait([self._calls.submit(work)], timeout=LEAVE_WITHIN)

    async def _abort_if_opened(self, opening: Future[str]) -> None:
        with suppress(ArtifactStoreError, asyncio.CancelledError):  # then there is nothing to abort
            self._name_it(await asyncio.wrap_future(opening))
            await self._remove()

    async def _abort_if_refused(self, completing: Future[None]) -> None:
        """Remove the parts if the server is known to have made no object of them."""
        try:
            await asyncio.wrap_future(completing)
        except (Unavailable, asyncio.CancelledError):
            return
        except ArtifactStoreError:
            await self._remove()

    async def _create(self) -> str:
        algorithm = await self._calls.checksum(self._place["Bucket"], self._unconditional)
        self._checksum = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
        wanted = {**self._place, **self._checksum}
        once = partial(self._calls.request, "create_multipart_upload", self._unconditional, **wanted)
        return str((await self._calls.repeated(once))["UploadId"])

    async def _send(self, number: int, body: Body) -> dict[str, Any]:
        body.pulse = self._pulse
        wanted = {**self._place, **self._checksum, "PartNumber": number, "Body": body}
        told = f"Checksum{self._checksum.get('ChecksumAlgorithm')}"

        async def once() -> dict[str, Any]:
            body.seek(0)
            answer = await self._calls.request("upload_part", self._unconditional, **wanted)
            checksum = {told: answer[told]} if told in answer else {}
            return {"PartNumber": number, "ETag": answer["ETag"], **checksum}

        send = partial(self._calls.repeated, once)
        return await self._calls.in_time(body, self._share, self._unconditional, send, self._place)

    async def _complete(self, condition: Mapping[str, str]) -> None:
        wanted = {**self._place, "MultipartUpload": {"Parts": self._done}, **condition}
        once = partial(self._calls.request, "complete_multipart_upload", self._attempt, **wanted)
        # asking twice is safe: the second time the server says that it is done, gone, or that the key is taken
        await self._calls.repeated(once)
