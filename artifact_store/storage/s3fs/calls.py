"""Requests through the botocore client of an s3fs filesystem: one attempt each, watched, and translated.

Owns the bridge from our threads to fsspec's event loop, the deadline and the number of attempts. s3fs's own calls
are not used: they repeat by themselves (25 PUTs in 34 s against a server that answers 503), put a HEAD before each
GET and hide the status of an answer behind unrelated exception types.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import random
import re
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from functools import partial
from json import JSONDecodeError
from math import inf
from typing import Any, TypeVar

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Corrupt,
    DeadlineExceeded,
    InvalidOption,
    Unreachable,
)
from artifact_store.storage.fsspec.errors import NOT_MODIFIED, status_of, translate_fsspec_error
from artifact_store.storage.http import Attempt
from artifact_store.storage.option_secrets import Noted, Secrets
from artifact_store.storage.patience import Patience, Share, Silence, Watch
from artifact_store.storage.redaction import redact
from artifact_store.storage.s3fs.client import CONNECT_WITHIN, tune
from artifact_store.storage.s3fs.recipe import S3Recipe
from artifact_store.storage.threads import LOOK_UP, check_stopped

T = TypeVar("T")

TRIES = 3
"""Attempts at a request that may be repeated: enough for a dropped connection, over in a second."""
_PAUSE = 0.1
_PIECE = 256 << 10
_TAKEN = 1 << 20  # at once from a body that is read while it is used
_CLIENT_WITHIN = 30.0
"""Seconds for what comes before the first request, if the timeout is shorter: botocore's tables, and credentials."""
_UNKNOWN = re.compile(r"^AioSession\S* got an unexpected keyword argument '(\w+)'")
_CHECKSUM = "CRC32"  # what botocore sends with each upload by itself
_CHECKSUMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "XXHASH3", "XXHASH64", "XXHASH128")


class NotModified(Exception):
    """The server answered 304: the object still is the version that was named."""


class Pulse:
    """When bytes last moved. A call may take long, but it may not stand still.

    ``seconds`` tells how long it may all the same: what the system took of a body is still on its way. Without it that
    is the timeout.
    """

    def __init__(self, seconds: Callable[[], float] | None = None) -> None:
        self.at, self.seconds = time.monotonic(), seconds

    def beat(self) -> None:
        """Note that something moved."""
        self.at = time.monotonic()


class Body(io.BytesIO):
    """Bytes on their way out; each piece that the socket takes is a sign of life."""

    pulse: Pulse | None = None

    @classmethod
    def of_size(cls, size: int) -> Body:
        """Return an empty body with exactly the memory for ``size`` bytes: growing would take an eighth more."""
        body = cls()
        if size:
            body.seek(size - 1)
            body.write(b"\0")
            body.seek(0)
        return body

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and beat."""
        if self.pulse is not None:
            self.pulse.beat()
        return super().read(size)


class Calls:
    """What a backend can ask of one S3 endpoint, from any thread, in any process."""

    def __init__(self, recipe: S3Recipe, *, url: str, patience: Patience) -> None:
        self.recipe = recipe
        self.url = url
        self.patience = patience
        _asked_checksum((recipe.options.given.get("s3_additional_kwargs") or {}).get("ChecksumAlgorithm"))
        self._noted = Noted()
        self._is_asked, self._client_made_at = False, -inf
        self._tuned: weakref.WeakSet[Any] = weakref.WeakSet()

    def pulse_of(self, size: int, share: Share) -> Pulse:
        """Return what to wait with for bodies that :meth:`in_time` ends: longer, lest the loop does not turn."""
        return Pulse(lambda: self.patience.timeout + self.patience.seconds(size, at_once=share.at_once))

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a call on the event loop of this process."""
        try:
            loop = self.recipe.get().loop
        except BaseException:
            coroutine.close()
            raise
        self._is_asked = True
        return asyncio.run_coroutine_threadsafe(coroutine, loop)

    def wait(self, future: concurrent.futures.Future[T], pulse: Pulse, attempt: Attempt, *, finish: bool = False) -> T:
        """Return the result, or cancel the call once it has stood still for too long.

        Ctrl-C cancels it too, as does the end of a transfer that this thread takes part in, unless ``finish`` has to
        wait for its outcome.
        """
        still = self.patience.timeout
        pulse.beat()  # the time that our own caller took is not the server's, nor is that for a client
        try:
            while not future.done():
                check_stopped()
                still = self.patience.timeout if pulse.seconds is None else pulse.seconds()
                if self._is_asked and self._client_made_at == -inf:
                    still = max(still, _CLIENT_WITHIN)
                left = max(pulse.at, self._client_made_at) + still - time.monotonic()
                if left <= 0:
                    future.cancel()
                    break
                concurrent.futures.wait([future], timeout=min(left, LOOK_UP))
        except BaseException:
            if not finish:
                future.cancel()
            raise
        if future.cancelled():
            raise DeadlineExceeded(
                f"{attempt}: no data for {still:g} seconds; try again later, or give a longer timeout"
            )
        return future.result()

    def run(self, coroutine: Coroutine[Any, Any, T], pulse: Pulse, attempt: Attempt) -> T:
        """Start a call and wait for it."""
        return self.wait(self.submit(coroutine), pulse, attempt)

    def ask(self, method: str, attempt: Attempt, **parameters: Any) -> Mapping[str, Any]:
        """Send a request that does no harm twice, and return the answer."""
        return self.run(self.repeated(partial(self.request, method, attempt, **parameters)), Pulse(), attempt)

    def address(self) -> str:
        """Return the address that the client has found in the environment, in ``~/.aws`` or in its own tables.

        Sends nothing to it.
        """
        attempt = Attempt("read", "", self.url)
        client, _ = self.run(self.translated(partial(self._client, None), attempt), Pulse(), attempt)
        return str(client.meta.endpoint_url)

    async def checksum(self, bucket: str, attempt: Attempt) -> str | None:
        """Return the algorithm of the checksum that goes with each upload, or ``None`` where none does."""
        asked = _asked_checksum(self.recipe.asked().get("ChecksumAlgorithm"))
        if asked is not None:
            return asked
        client, _ = await self.translated(partial(self._client, bucket), attempt)
        return _CHECKSUM if client.meta.config.request_checksum_calculation == "when_supported" else None

    async def request(self, method: str, attempt: Attempt, **parameters: Any) -> Mapping[str, Any]:
        """Send one request, once. What goes wrong is translated; ``NotModified`` is raised where it was asked for."""

        async def send() -> Mapping[str, Any]:
            client, filesystem = await self._client(parameters["Bucket"])
            call = getattr(client, method)
            # adds what the user wants on every request: encryption, requester pays
            complete = filesystem._get_s3_method_kwargs(call, **parameters)  # noqa: SLF001 -- pinned by a test
            answer: Mapping[str, Any] = await call(**complete)
            return answer

        return await self.translated(send, attempt, unless="IfNoneMatch" in parameters)

    async def translated(self, call: Callable[[], Awaitable[T]], attempt: Attempt, *, unless: bool = False) -> T:
        """Await ``call`` and turn what it raises into our errors."""
        try:
            return await call()
        except ArtifactStoreError:
            raise
        except Exception as error:  # noqa: BLE001 -- botocore, aiohttp and ssl share no base class
            answered = status_of(error)
            if unless and answered is not None and answered.number == NOT_MODIFIED:
                failure: Exception = NotModified()
            elif answered is None and isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
                failure = self._no_credentials(attempt, error)  # of credential_process, or a file with a token
            else:
                failure = translate_fsspec_error(error, attempt, self._secrets())
        raise failure

    def _no_credentials(self, attempt: Attempt, error: OSError) -> AccessDenied:
        return AccessDenied(
            f"{attempt}: what gives the credentials cannot be used: {redact(str(error), self._secrets())}; log in, or "
            "correct ~/.aws/config and ~/.aws/credentials"
        )

    async def repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await ``call`` again while the server cannot be reached. Only for what does no harm twice."""
        for number in range(TRIES - 1):
            try:
                return await call()
            except Unreachable:
                await asyncio.sleep(_PAUSE * 3**number * random.uniform(0.5, 1.5))  # noqa: S311 -- spreads clients
        return await call()

    async def drain(self, answer: Mapping[str, Any], size: int, pulse: Pulse, attempt: Attempt) -> list[bytes]:
        """Read a body of ``size`` bytes, in the pieces in which they arrived.

        Raises:
            Unreachable: it breaks off.
            DeadlineExceeded: it is too slow.
        """
        body, watch = answer["Body"], Watch(self.patience, attempt, size)
        pieces: list[bytes] = []
        try:
            with watch:
                while piece := await self.translated(partial(body.read, _PIECE), attempt):
                    pulse.beat()
                    pieces.append(piece)
                    watch.note(len(piece))
                    if watch.moved > size:
                        raise Corrupt(
                            f"{self.url}: the body of {attempt.key!r} is longer than announced", key=attempt.key
                        )
        finally:
            body.close()  # a body that was read to its end gives its connection back all the same
        if watch.moved != size:
            raise Unreachable(
                f"{self.url}: the connection broke after {watch.moved} of {size} bytes of {attempt.key!r}"
            )
        return pieces

    async def in_time(
        self,
        body: Body,
        share: Share,
        attempt: Attempt,
        call: Callable[[], Coroutine[Any, Any, T]],
        place: Mapping[str, str],
    ) -> T:
        """Await a call that sends ``body``; ``DeadlineExceeded`` if that takes too long for its share of the line.

        Meanwhile the server is asked now and then what is at ``place``: if it is silent, the call is over.
        """
        made = partial(self.translated, partial(self._client, None), attempt)
        await self.repeated(made)  # in a time of its own
        size, begun, sending = body.getbuffer().nbytes, time.monotonic(), asyncio.ensure_future(call())
        silence = Silence(attempt)
        try:
            while (left := begun + self.patience.seconds(size, at_once=share.at_once) - time.monotonic()) > 0:
                await asyncio.wait([sending], timeout=min(left, self.patience.timeout))
                if sending.done():
                    return sending.result()
                if left > self.patience.timeout:
                    await self._look(place, silence)
        except BaseException:
            sending.cancel()
            raise
        sending.cancel()
        await asyncio.wait([sending])  # its connection is closed
        seconds, moved = time.monotonic() - begun, min(body.tell(), size)
        raise self.patience.late(attempt, moved=moved, size=size, seconds=seconds, at_once=share.at_once)

    async def _look(self, place: Mapping[str, str], silence: Silence) -> None:
        """Ask the server something small, and note whether it says anything; ``DeadlineExceeded`` if it is silent."""
        try:
            client, _ = await self._client(place["Bucket"])
            named = {name: place[name] for name in ("Bucket", "Key")}
            async with asyncio.timeout(self.patience.timeout):
                await client.head_object(**named)
        except Exception as error:  # noqa: BLE001 -- botocore, aiohttp and ssl share no base class
            if status_of(error) is None:
                silence.unanswered()
                return
        silence.answered()

    def pieces(self, answer: Mapping[str, Any], pulse: Pulse, attempt: Attempt) -> Iterator[bytes]:
        """Yield a body as it is taken, in pieces of about a mebibyte; more of it stays at the server."""
        body = answer["Body"]

        async def piece() -> bytes:
            held = b""
            with Watch(self.patience, attempt, _TAKEN) as watch:
                while len(held) < _TAKEN and (more := await self.translated(partial(body.read, _PIECE), attempt)):
                    pulse.beat()
                    watch.note(len(more))
                    held += more
            return held

        try:
            while taken := self.run(piece(), pulse, attempt):
                yield taken
        finally:
            body.close()

    def close(self) -> None:
        """Close the connections of this process."""
        filesystem, self._client_made_at = self.recipe.forget(), -inf
        creator = getattr(filesystem, "_s3creator", None)
        if filesystem is None or creator is None:
            return
        future = asyncio.run_coroutine_threadsafe(creator.__aexit__(None, None, None), filesystem.loop)
        concurrent.futures.wait([future], timeout=CONNECT_WITHIN)

    def _secrets(self) -> Secrets:
        return Secrets((*self.recipe.secrets, *self._noted.secrets))

    async def _client(self, bucket: str | None) -> tuple[Any, Any]:
        filesystem, failure = self.recipe.get(), ""
        try:
            await filesystem.set_session()
        except JSONDecodeError:  # its text may be a secret
            failure = "what gives the credentials answers with something else"
        except (TypeError, ValueError) as error:  # an unknown option, an invalid address
            failure = redact(str(error), self._secrets())
        if unknown := _UNKNOWN.search(failure):
            raise InvalidOption(
                f"{self.url}: unknown storage option {unknown[1]}: leave it out, or put it into client_kwargs or "
                "config_kwargs if it is one of botocore's"
            )
        if failure:
            raise InvalidOption(f"{self.url}: the storage options do not make an S3 client: {failure}")
        if self._client_made_at == -inf:
            self._client_made_at = time.monotonic()
        client = await filesystem.get_s3(bucket)
        if client not in self._tuned:
            tune(client, self._noted)
            self._tuned.add(client)
        return client, filesystem


def _asked_checksum(told: object) -> str | None:
    """Return the algorithm that the caller wants, as the API spells it; ``InvalidOption`` if it does not exist."""
    if told is None:
        return None
    if not isinstance(told, str) or told.upper() not in _CHECKSUMS:
        raise InvalidOption(f"s3_additional_kwargs.ChecksumAlgorithm is one of {', '.join(_CHECKSUMS)}")
    return told.upper()
