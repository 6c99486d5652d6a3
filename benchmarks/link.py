"""A server behind a line that adds a round trip: the proxy of the tests, in a process of its own.

What the benchmarks of storage share. The proxy counts requests and how many of them came one after another (depth).
"""

import multiprocessing
import os
import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "models")]


def _serve(pipe, upstream, rtt_ms):
    from tests.servers import Proxy

    with Proxy(upstream, rtt_ms=rtt_ms) as proxy:
        pipe.send(proxy.endpoint)
        while (asked := pipe.recv()) != "end":
            pipe.send(proxy.reset() if asked == "reset" else proxy.stats())


class Link:
    """An S3 server as it is seen through the line."""

    def __init__(self, server, pipe):
        self.server, self._pipe = server, pipe
        self.endpoint = pipe.recv()

    def options(self):
        return self.server.storage_options(endpoint=self.endpoint)

    def counted(self, work):
        """Do ``work`` and return its seconds, those of CPU, child processes included, its requests and their depth."""
        self._ask("reset")
        began = time.perf_counter(), sum(os.times()[:4])
        work()
        seconds, cpu = time.perf_counter() - began[0], sum(os.times()[:4]) - began[1]
        stats = self._ask("stats")
        return seconds, cpu, stats["requests"], stats["depth"]

    def _ask(self, what):
        self._pipe.send(what)
        return self._pipe.recv()


@contextmanager
def link(rtt_ms):
    """Yield SeaweedFS behind a line with this round trip."""
    from tests.servers import SeaweedServer

    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with SeaweedServer() as server:
        proxy = spawn.Process(target=_serve, args=(theirs, server.endpoint, rtt_ms), daemon=True)
        proxy.start()
        try:
            yield Link(server, ours)
        finally:
            ours.send("end")
            proxy.join(10)


def obstore_client(link):
    """Return obstore's own client for the bucket behind the line."""
    from obstore.store import S3Store

    config = {"endpoint": link.endpoint, "access_key_id": link.server.access_key}
    config |= {"secret_access_key": link.server.secret_key, "region": "us-east-1"}
    return S3Store(link.server.bucket, config=config, client_options={"allow_http": True})


def side_by_side(link, repetitions, **ways):
    """Do each of ``ways`` in turn, so often; return name, median and least seconds, CPU, requests and depth of each."""
    seen = {name: [] for name in ways}
    for number in range(repetitions):
        for name, work in ways.items():
            seen[name].append(link.counted(lambda work=work: work(number)))  # noqa: B023 -- called at once
    return [
        (name, statistics.median(row[0] for row in rows), min(row[0] for row in rows),
         statistics.median(row[1] for row in rows), *rows[-1][2:])
        for name, rows in seen.items()
    ]  # fmt: skip


def show(title, rows):
    """Print the rows with the ratios of their medians and of their best to those of the first one."""
    print(f"\n{title}")
    print(f"{'':34}{'median s':>9}{'best s':>8}{'CPU s':>7}{'requests':>10}{'depth':>7}{'ratio':>8}{'of best':>9}")
    for name, seconds, least, cpu, requests, depth in rows:
        ratios = f"{seconds / rows[0][1]:8.2f}{least / rows[0][2]:9.2f}"
        print(f"{name:34}{seconds:9.3f}{least:8.3f}{cpu:7.2f}{requests:10}{depth:7}{ratios}", flush=True)
