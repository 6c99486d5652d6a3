"""Listing runs with their metrics: by the catalog index, without it, and beside reading one file of the index.

    python benchmarks/listing.py [--runs 10000] [--rtt-ms 20] [--times 5] [--place s3 local] [--json]

The store has manifests alone, of one model, and an index. On S3 each request takes a round trip of --rtt-ms. What is
compared is done in turns in one process; the medians, and ratios to reading one file: getting the newest block and
decoding its lines. The last row is a question to a tenth of the runs, of a model of their own.
"""

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from artifact_store import ArtifactStore  # noqa: E402
from artifact_store.core import keys  # noqa: E402
from artifact_store.core.manifest import Manifest  # noqa: E402
from artifact_store.storage.base import IfAbsent  # noqa: E402

MANY, FEW = "gru/MANY", "gru/FEW"


def fill(store, key, count):
    """Write manifests as saves would, of which listings read nothing else."""
    template = store.save({"n": 1}, key, config={"lr": 0.001}, metrics={"sharpe": 0.0}).manifest
    backend = store._context.backend  # noqa: SLF001 -- listings of many runs without saving them

    def write(number):
        moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        fields = dict(template) | {
            "run_id": f"{moment:%Y%m%d_%H%M%S}_{number:06d}",
            "write_id": f"{number:032x}",
            "created_at": moment,
            "metrics": {"sharpe": number % 997 / 100, "ic": 0.01, "loss": 1.5},
            "tags": {"fold": str(number % 7)},
        }
        manifest = Manifest(**fields)
        backend.write(manifest.storage_key, manifest.to_bytes(), when=IfAbsent())

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(count - 1)))


def one_file(store):
    """Read one file of the index, and decode it."""
    backend = store._context.backend  # noqa: SLF001 -- one file of the index, as it lies
    where = keys.index_block(1, "jsonl.gz")
    data = backend.read(where, limit=1 << 28).data
    return [json.loads(line) for line in gzip.decompress(data).splitlines()[1:]]


def documents(store):
    """Read every manifest of the model on a local disk, and decode it."""
    root = Path(store.url) / keys.model_prefix(store.get(MANY).key)
    return [json.loads((folder / "manifest.json").read_bytes()) for folder in root.iterdir() if folder.is_dir()]


def shown(runs):
    """Ask for what a table of runs shows."""
    return [(run.run_id, run.created_at, run.metrics, run.tags, run.description, run.size) for run in runs]


def measured(works, times, counted):
    """Return for each work the median of its times, and the requests of one."""
    seconds, requests = {name: [] for name in works}, {}
    for name, work in works.items():
        requests[name] = counted(work)  # warm, too
    for _ in range(times):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return {name: (statistics.median(found), requests[name]) for name, found in seconds.items()}


def works(store, local):
    found = {
        "one file": lambda: one_file(store),
        "by the index, checked": lambda: shown(store.runs(MANY)),
        "by the index only": lambda: shown(store.runs(MANY, index="only")),
        "where, a tenth": lambda: shown(store.runs(FEW, where=lambda run: run.metrics["sharpe"] > 5)),
        "best ten, a tenth": lambda: shown(store.runs(FEW, order_by="-sharpe", limit=10)),
        "every manifest": lambda: shown(store.runs(MANY, index="off")),
    }
    return {**found, "the same documents": lambda: documents(store)} if local else found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rtt-ms", type=float, default=20)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--place", nargs="+", choices=["s3", "local"], default=["s3", "local"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for place in options.place:
        with tempfile.TemporaryDirectory() as folder:
            found = (on_s3 if place == "s3" else on_disk)(options, Path(folder))
        base = found["one file"][0]
        results += [
            {"place": place, "what": name, "seconds": seconds, "ratio": seconds / base, "requests": requests}
            for name, (seconds, requests) in found.items()
        ]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for row in results:
        print("{place:6} {what:24} {seconds:8.3f} s  {ratio:7.2f} of one file  {requests} requests".format(**row))


def made(store, options):
    fill(store, MANY, options.runs)
    fill(store, FEW, options.runs // 10)
    store.index.rebuild()


def on_disk(options, folder):
    store = ArtifactStore(folder / "store", provenance=False)
    made(store, options)
    return measured(works(store, local=True), options.times, lambda work: (work(), 0)[1])


def on_s3(options, _):
    from tests.servers import Proxy, SeaweedServer

    with SeaweedServer() as server, Proxy(server, rtt_ms=options.rtt_ms) as proxy:
        direct = ArtifactStore(
            server.url("listing"), storage_options=server.storage_options(), provenance=False, timeout=300
        )
        made(direct, options)
        store = ArtifactStore(proxy.url("listing"), storage_options=proxy.storage_options(), timeout=300)

        def counted(work):
            proxy.reset()
            work()
            return proxy.stats()["requests"]

        return measured(works(store, local=False), options.times, counted)


if __name__ == "__main__":
    main()
