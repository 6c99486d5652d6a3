"""SeaweedFS behind a proxy that breaks what passes, with both engines: what real clients make of real connections."""

from __future__ import annotations

import copy
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, Self
from urllib.parse import unquote

from artifact_store import ArtifactStore
from artifact_store.core import keys
from artifact_store.errors import Corrupt, ObjectNotFound, Unavailable
from artifact_store.storage.base import Always, Backend
from artifact_store.storage.obstore.backend import ObstoreBackend
from artifact_store.storage.open import open_backend
from artifact_store.storage.parts import part_size
from tests.proofs.matrix.bench import TIMEOUT, Aim, Bench, Fault, Point, Strike, Told, Trial, examine
from tests.proofs.matrix.operations import CRASHED, KEY, LARGE, Operation, objects_of
from tests.proofs.matrix.views import REGISTRY, Snapshot, reader, steady
from tests.servers import (
    CutBody,
    Delayed,
    FlipBit,
    Hang,
    LostReply,
    LostRequest,
    Proxy,
    Record,
    Refuse,
    SeaweedServer,
    Slow,
    Status,
    Trickle,
)

SHORT, LONG = 3.0, 20.0
"""The timeouts of the clients: against what hangs, which costs as much; and against everything else."""
SLOWEST = 8 << 20
"""Bytes a second that the backends are told to expect of a slow line."""
SHARING = 16
"""Bodies for which a client gives time: the benches of a process, each with the parts and files of one save, share it."""
WRITES = frozenset({"PUT", "POST", "DELETE", "CREATE", "PART", "COMPLETE", "ABORT"})
DAMAGED = (Unavailable, Corrupt)
_RANDOM = re.compile(r"^_probe/[0-9a-f]{32}$")

FAULTS = (
    Fault("lost reply", (Unavailable,), LostReply()),
    Fault("reset reply", (Unavailable,), LostReply(reset=True)),
    Fault("lost request", (Unavailable,), LostRequest()),
    Fault("delayed", (Unavailable,), Delayed(), late="before"),
    Fault("delayed long", (Unavailable,), Delayed(), late="after"),
    Fault("409", (Unavailable,), Status(409)),
    Fault("409 landed", (Unavailable,), Status(409, executed=True)),
    Fault("412", (Unavailable,), Status(412)),
    Fault("412 landed", (Unavailable,), Status(412, executed=True)),
    Fault("500", (Unavailable,), Status(500)),
    Fault("500 landed", (Unavailable,), Status(500, executed=True)),
    Fault("503", (Unavailable,), Status(503)),
    Fault("slow", (Unavailable,), Slow(0.2)),
    Fault("hang", (Unavailable,), Hang()),
    Fault("hang landed", (Unavailable,), Hang(executed=True)),
    Fault("trickle", (Unavailable,), Trickle()),
    Fault("cut body", (Unavailable,), CutBody()),
    Fault("flipped byte", DAMAGED, FlipBit()),
    Fault("dead: refuses", (Unavailable,), Refuse(), sticky=True),
    Fault("dead: hangs", (Unavailable,), Hang(), sticky=True),
    Fault("dead: 503", (Unavailable,), Status(503), sticky=True),
)
ATTEMPT = ("lost reply", "lost request", "delayed", "409", "409 landed", "412 landed", "500 landed", "503")
RECOVERY = ("lost reply", "lost request", "delayed", "409 landed", "412 landed", "503", "cut body", "flipped byte")


class NetworkBench(Bench):
    """One engine. Its clients go through the proxy; who looks goes to the server."""

    faults = FAULTS
    pairs = (ATTEMPT, RECOVERY)

    def __init__(self, engine: str, server: SeaweedServer) -> None:
        self.name = engine
        self._server = server
        self._engine = {"obstore": "obstore", "s3fs": "fsspec"}[engine]

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._proxy = self._stack.enter_context(Proxy(self._server))
        options = self._proxy.storage_options()
        self._through = {timeout: self._open(options, timeout, self._engine) for timeout in (SHORT, LONG)}
        self._direct = self._open(self._server.storage_options(), TIMEOUT, "obstore")
        self._client = self._stack.enter_context(self._server.client())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, options: dict[str, Any], timeout: float, engine: str) -> Backend:
        backend = open_backend(
            self._server.url("matrix"),
            filesystem=None,
            storage_options=options,
            engine=engine,
            timeout=timeout,
            min_rate=SLOWEST,
        )
        self._stack.callback(backend.close)
        calls = getattr(backend, "_calls", None)
        if calls is not None:  # the client of s3fs takes seconds to be made on a busy machine, which is no request
            patience, calls.patience = calls.patience, replace(calls.patience, timeout=120.0)
            with suppress(ObjectNotFound):
                backend.read("nothing", limit=1)
            calls.patience = patience
        return backend

    def fits(self, operation: Operation) -> bool:
        return True

    def run(self, operation: Operation, strikes: tuple[Strike, ...]) -> Trial:
        prefix = f"m{uuid.uuid4().hex[:12]}"
        direct = moved(self._direct, prefix)
        self._fill(operation, direct, prefix)
        aim = Aim(strikes)
        waits = any(strike.fault.sticky or _takes_time(strike.fault) for strike in strikes)
        timeout = SHORT if waits and not self.patient else LONG
        backend = moved(self._through[timeout], prefix)
        spent: list[float] = []

        def act() -> Told:
            store = ArtifactStore(backend, timeout=timeout, registry=REGISTRY)
            begun = time.monotonic()
            try:
                with self._aimed(aim, prefix):
                    return Told.by(operation, steady(store, "a"))
            finally:
                spent.append(time.monotonic() - begun)
                store._context.workers.close()

        trial = examine(
            operation,
            strikes,
            act,
            snapshot=lambda: self._snapshot(operation, direct, prefix),
            deliver=self._proxy.settle,
            again=lambda: Told.by(operation, reader(direct)),
        )
        self._proxy.check()
        aim.report(trial)
        trial.seconds = spent[0]
        if any(strike.fault.sticky for strike in strikes):
            trial.limit = limit_of(operation, timeout)
        return trial

    @contextmanager
    def _aimed(self, aim: Aim, prefix: str) -> Iterator[None]:
        """Let the strikes of ``aim`` hit the requests below ``prefix``, and nobody else's."""
        proxy = self._proxy
        proxy.reset()
        due: dict[int, Strike] = {}

        def take(request: Record) -> bool:
            if prefix not in request.target:  # a connection of an earlier cell that was still open
                return False
            what, where = asked(request, prefix)
            conditional = what in WRITES and bool(request.headers.keys() & {"if-match", "if-none-match"})
            strike = aim.at(what, where, conditional=conditional)
            if strike is not None:
                due[id(request)] = strike
            return strike is not None

        def chosen(fault: object) -> Callable[[Record], bool]:
            return lambda request: id(request) in due and due[id(request)].fault.make is fault

        proxy.off()
        # the first rule only counts and chooses; those after it carry out what was chosen
        proxy.on(LostRequest(), when=lambda request: take(request) and False)
        for fault in {id(strike.fault): strike.fault.make for strike in aim.strikes}.values():
            proxy.on(fault, when=chosen(fault))
        try:
            yield
        finally:
            proxy.off()
            proxy.listen()
            answered = {}
            for request in proxy.records:
                if prefix in request.target:
                    answered[asked(request, prefix)] = request.down > 0
            aim.trace[:] = [replace(point, body=answered.get((point.what, point.where), True)) for point in aim.trace]

    def _fill(self, operation: Operation, direct: Backend, prefix: str) -> None:
        """Make the world, of which both addresses of the server are known to honour conditions."""
        for key, data in objects_of(operation.name, self._server.endpoint, self._proxy.endpoint):
            direct.put_file(key, [data], size=len(data), when=Always())
        if operation.name == "gc":
            place = f"{prefix}/{KEY}/{CRASHED}/weights.bin"
            self._client.create_multipart_upload(Bucket=self._server.bucket, Key=place)

    def _snapshot(self, operation: Operation, direct: Backend, prefix: str) -> Snapshot:
        found = Snapshot.of(direct)
        if operation.name != "gc":
            return found
        answer = self._client.list_multipart_uploads(Bucket=self._server.bucket, Prefix=f"{prefix}/")
        return replace(found, unfinished=tuple(held["Key"] for held in answer.get("Uploads", ())))

    def why_not(self, operation: Operation, fault: Fault, point: Point) -> str:
        name, writes = fault.name, point.what.split()[0] in WRITES
        if name.startswith("412") and not point.conditional:
            return "only a write with a condition is answered so"
        if name.startswith("409") and not writes:
            return "only a write is answered so"
        if name.startswith("delayed") and not writes:
            return "a read that arrives late changes nothing: a lost request"
        if name.endswith("landed") and not writes:
            return "a read changes nothing, so it is the same whether it was executed"
        if name in {"cut body", "flipped byte", "trickle"} and not point.body:
            return "the answer has no body"
        return ""


def _takes_time(fault: Fault) -> bool:
    """Whether only a deadline ends it."""
    return "hang" in fault.name or fault.name == "trickle"


def limit_of(operation: Operation, timeout: float) -> tuple[float, int]:
    """What an operation may cost against a dead server: four timeouts and what a busy machine adds, and 240 requests.

    Uploading in parts may take longer by the time that the bytes need on a slow line, twice, since it is tried again;
    through obstore this holds for what ends such an upload as well, which sends none.
    """
    uploads = 4 * SHARING * part_size(LARGE) / SLOWEST if operation.large and not operation.reads_only else 0.0
    return 4 * timeout + 15.0 + uploads, 240


def moved(backend: Backend, prefix: str) -> Any:
    """The same clients and connections, below another prefix: a new client would take longer than most cells."""
    other = copy.copy(backend)
    if isinstance(other, ObstoreBackend):
        place = replace(other._place, prefix=prefix, text=f"s3://{other._place.container}/{prefix}")
        other._place, other.url = place, place.text
        other._substitute = copy.copy(backend._substitute)
        other._substitute.get = lambda: moved(backend._substitute.get(), prefix)
    else:
        other._prefix = f"{prefix}/"
        other.url = f"s3://{other._bucket}/{prefix}"
    return other


def asked(request: Record, prefix: str) -> tuple[str, str]:
    """What a request asks and of which key: the same in every run."""
    query = request.query
    key = request.key.partition("/")[2].removeprefix(prefix).lstrip("/")
    if "list-type" in query:
        return "LIST", unquote(query.get("prefix", [""])[0]).removeprefix(prefix).lstrip("/")
    if "uploads" in query:
        return ("CREATE" if request.method == "POST" else "UPLOADS"), key
    if "partNumber" in query:
        return f"PART {query['partNumber'][0]}", key
    if "uploadId" in query:
        return {"POST": "COMPLETE", "DELETE": "ABORT"}.get(request.method, request.method), key
    ranged = request.headers.get("range", "")
    return f"{request.method} {ranged}".strip(), f"{keys.PROBES}*" if _RANDOM.match(key) else key
