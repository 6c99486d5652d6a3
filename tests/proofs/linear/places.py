"""Where the pointers of these runs live, and what goes wrong on the way there: three calls of ten."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from artifact_store.testing import Faults
from tests.servers import Delayed, LostReply, LostRequest, Proxy, SeaweedServer, Status
from tests.servers.faults import Fault

BACKENDS = ("memory", "local", "obstore", "s3fs")
SHARE = 0.30
"""How many of all calls go wrong."""

_WRITES: Mapping[Fault, float] = {
    LostReply(): 0.06,
    LostReply(reset=True): 0.02,
    LostRequest(): 0.06,
    Status(409): 0.03,
    Status(409, executed=True): 0.03,
    Status(503): 0.04,
    Delayed(0.05): 0.02,
    Delayed(0.4): 0.02,
    Status(412, executed=True): 0.02,  # the echo: a client that sent it twice by itself and met its own write
}
_READS: Mapping[Fault, float] = {LostReply(): 0.1, LostRequest(): 0.1, Status(503): 0.1}


@dataclass(frozen=True)
class Place:
    """A backend for these runs: ``lossy`` is the way through the faults, ``direct`` the one past them."""

    backend: str
    processes: int
    direct: Mapping[str, Any]
    lossy: Mapping[str, Any]
    proxy: Proxy | None = None
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def faulty(self) -> bool:
        """Whether the clients have to bring the faults with them, since no proxy stands between."""
        return self.proxy is None

    def settle(self) -> None:
        """Let everything that is still under way arrive."""
        if self.proxy is not None:
            self.proxy.settle()
            self.proxy.reset()


@contextmanager
def open_place(backend: str, server: SeaweedServer | None = None) -> Iterator[Place]:
    """Yield a new, empty place of this kind; ``server`` is started where none is given."""
    name = uuid.uuid4().hex
    if backend == "memory":
        place = {"url": f"memory://{name}"}
        yield Place(backend, 1, place, place)
    elif backend == "local":
        with tempfile.TemporaryDirectory(prefix="linear-") as root:
            place = {"url": f"{root}/store"}
            yield Place(backend, 4, place, place)
    elif server is None:
        with SeaweedServer() as started, open_place(backend, started) as place:
            yield place
    else:
        engine = {"obstore": "obstore", "s3fs": "fsspec"}[backend]
        common = {"url": server.url(name), "engine": engine}
        with Proxy(server, seed=1) as proxy:
            lose(proxy)
            direct = common | {"storage_options": server.storage_options()}
            yield Place(backend, 2, direct, common | {"storage_options": proxy.storage_options()}, proxy)


def faulty() -> Faults:
    """The same faults for a backend without a network, where a delayed write lands some calls later."""
    writes = _conditional([0.08, 0.06, 0.03, 0.03, 0.04, 0.02, 0.02, 0.02])
    reads = _conditional([0.1, 0.1, 0.1])
    ops = ("write", "put_file")
    plan = Faults().on(*ops).lose_reply(writes[0])
    plan = plan.on(*ops).lose_request(writes[1])
    plan = plan.on(*ops).contend(writes[2])
    plan = plan.on(*ops).contend(writes[3], landed=True)
    plan = plan.on(*ops).unavailable(writes[4])
    plan = plan.on(*ops).delay(writes[5], operations=2)
    plan = plan.on(*ops).delay(writes[6], operations=9)
    plan = plan.on(*ops).echo(writes[7])
    plan = plan.on("read", "stream").lose_reply(reads[0])
    plan = plan.on("read", "stream").lose_request(reads[1])
    return plan.on("read", "stream").unavailable(reads[2])


def lose(proxy: Proxy) -> None:
    """Make the proxy break what passes."""
    for method, faults in (("PUT", _WRITES), ("GET", _READS)):
        for fault, chance in zip(faults, _conditional(list(faults.values())), strict=True):
            proxy.on(fault, method=method, probability=chance)


def _conditional(shares: list[float]) -> list[float]:
    """Rules are asked one after the other: return each one's chance where those before it did not strike."""
    assert round(sum(shares), 6) == SHARE
    return [share / (1 - sum(shares[:place])) for place, share in enumerate(shares)]
