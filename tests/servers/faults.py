"""What can go wrong between a client and a server, and when it should."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class LostRequest:
    """The connection breaks before the server has seen anything. ``reset``: with a TCP reset, not an orderly end."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class LostReply:
    """The server executes the request, and the connection breaks instead of its answer."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class Delayed:
    """The connection breaks, and the request reaches the server ``seconds`` later all the same.

    Without ``seconds`` it waits for ``proxy.release()``.
    """

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The client gets this status with an S3 error body; the server sees the request only if ``executed``."""

    code: int
    error: str | None = None
    executed: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer is held back for ``seconds``, or until ``proxy.release()``."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer ever comes, and the connection stays open; the server sees the request only if ``executed``."""

    executed: bool = False


@dataclass(frozen=True, slots=True)
class CutBody:
    """The connection breaks after this part of the answer's body."""

    fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class Trickle:
    """The answer's body comes in drops: ``size`` bytes at once, and then nothing for ``seconds``.

    ``up``: the body of the request is taken in drops instead.
    """

    seconds: float = 0.1
    size: int = 1
    up: bool = False


@dataclass(frozen=True, slots=True)
class FlipBit:
    """One bit of the answer's body is turned over; an answer without a body passes unharmed."""


@dataclass(frozen=True, slots=True)
class WithoutRange:
    """The server sees the request, signed anew, without its Range: the answer is the whole object with status 200.

    Only for GET, and for a proxy in front of an S3 server of ours, of which it knows the credentials.
    """


@dataclass(frozen=True, slots=True)
class CalledWhole:
    """The answer to a request for a range is that range, with the status 200 of a whole object, as rclone's is."""


@dataclass(frozen=True, slots=True)
class NoUploads:
    """The list of unfinished uploads below a prefix is empty: the server sees, signed anew, a prefix that none has.

    So is MinIO's, whose prefix is a whole key.
    """


@dataclass(frozen=True, slots=True)
class Refuse:
    """The server is gone: this connection and all others break, and new ones are refused until ``proxy.listen()``."""


@dataclass(frozen=True, slots=True)
class Unconditional:
    """The server gets the request without its conditions, as if it knew none; the record shows what the client sent."""


Fault = (
    LostRequest
    | LostReply
    | Delayed
    | Status
    | Slow
    | Hang
    | CutBody
    | Trickle
    | FlipBit
    | Refuse
    | Unconditional
    | WithoutRange
    | CalledWhole
    | NoUploads
)

ERROR_CODES = {
    400: "BadRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}
KEPT_HEADERS = frozenset(
    {
        "content-length",
        "expect",
        "if-match",
        "if-none-match",
        "range",
        "x-amz-checksum-crc32",
        "x-amz-checksum-sha256",
        "x-amz-copy-source",
        "x-amz-copy-source-if-match",
    }
)


@dataclass(slots=True, eq=False)
class Record:
    """One request as it passed the proxy. Times are of ``time.monotonic``, as the client's end of the proxy sees them.

    ``status`` is the server's answer, also where the client did not get it, or that of a :class:`Status` fault
    where the server was not asked; ``None`` if there is none (yet). ``fault`` is what was done to the request.
    ``headers`` holds those of KEPT_HEADERS, in lower case: never a credential.
    """

    method: str
    target: str
    headers: dict[str, str]
    connection: int
    t0: float
    t1: float | None = None
    status: int | None = None
    up: int = 0
    down: int = 0
    fault: Fault | None = None
    forwarded: bool = False

    @property
    def key(self) -> str:
        """The bucket and the key, decoded: ``bucket/prefix/name``."""
        return unquote(urlsplit(self.target).path).lstrip("/")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(slots=True, eq=False)
class Rule:
    """A fault, the requests that it can hit, and which of those it does hit.

    ``method`` and ``key`` (a glob over ``bucket/prefix/name``) and ``when`` select; of the selected ones ``nth``
    names those that are hit, counted from 1; ``probability`` throws a die for each; after ``times`` hits it is over.
    """

    fault: Fault
    method: str | None = None
    key: str | None = None
    when: Callable[[Record], bool] | None = None
    nth: int | Collection[int] | None = None
    probability: float = 1.0
    times: int | None = None
    seen: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    def hits(self, request: Record, rng: random.Random) -> bool:
        if not self._selects(request):
            return False
        self.seen += 1
        if self.times is not None and self.fired >= self.times:
            return False
        if self.nth is not None and self.seen not in ((self.nth,) if isinstance(self.nth, int) else self.nth):
            return False
        if self.probability < 1.0 and rng.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def _selects(self, request: Record) -> bool:
        return (
            (self.method is None or self.method == request.method)
            and (self.key is None or fnmatchcase(request.key, self.key))
            and (self.when is None or self.when(request))
        )


def depth(records: Collection[Record]) -> int:
    """Return the length of the longest chain in which each request began after the one before it had ended.

    That is what is left of the client's time when parallelism is free. Meaningful behind a round trip of some
    milliseconds: without one, requests that were meant to run side by side may happen to follow each other.
    """
    ended, length = float("-inf"), 0
    spans = [(record.t0, record.t1) for record in records if record.t1 is not None]
    for t0, t1 in sorted(spans, key=lambda span: span[1]):
        if t0 >= ended:
            ended, length = t1, length + 1
    return length
