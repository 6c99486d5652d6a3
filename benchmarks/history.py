"""The whole history of an alias over S3, beside the same blocks fetched by obstore alone, all at once.

    python benchmarks/history.py [--publishes 5000] [--rtt-ms 20] [--repetitions 5]

By hand: the pointer is read, the names of the blocks follow from it, each is fetched in a thread and parsed as JSON.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor

from link import link, obstore_client, show, side_by_side

KEY = "gru/BTCEUR"


def published(times):
    """Return the objects of a store in which an alias was published so often."""
    from artifact_store import ArtifactStore
    from artifact_store.storage.memory import MemoryBackend

    backend = MemoryBackend("published")
    store = ArtifactStore(backend)
    runs = [store.save({"n": number}, KEY, publish="never").ref for number in range(2)]
    for number in range(times):
        store.promote(runs[number % 2], "production")
    return {entry.key: backend.read(entry.key, limit=1 << 30).data for entry in backend.list("")}


def by_hand(client, prefix, width):
    import obstore

    def get(key):
        return json.loads(bytes(obstore.get(client, f"{prefix}/{key}").bytes()))

    def history(_):
        pointer = get(f"{KEY}/production.json")
        last = pointer["seq"] - len(pointer["history"]) - 1
        names = [f"{KEY}/production.history/{seq:010}.json" for seq in range(32, last + 1, 32)]
        with ThreadPoolExecutor(width) as pool:
            blocks = list(pool.map(get, names))
        return sum(len(block["entries"]) for block in blocks) + len(pointer["history"]) + 1

    return history


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishes", type=int, default=5000)
    parser.add_argument("--rtt-ms", type=float, default=20.0)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    import obstore

    from artifact_store import ArtifactStore
    from artifact_store.storage.budget import MOST_AT_ONCE

    objects = published(options.publishes)
    with link(options.rtt_ms) as line:
        client = obstore_client(line)
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            list(pool.map(lambda key: obstore.put(client, f"h/{key}", objects[key]), objects))
        ways = {"obstore by hand": by_hand(client, "h", MOST_AT_ONCE)}
        for engine in ("obstore", "fsspec"):
            place = {"url": line.server.url("h"), "engine": engine, "storage_options": line.options()}
            store = ArtifactStore(**place)
            ways[f"artifact-store, {engine}"] = lambda _, store=store: store.history(f"{KEY}@production")
        assert ways["obstore by hand"](0) == options.publishes
        assert all(len(way(0)) == options.publishes for way in list(ways.values())[1:])
        show(f"history of {options.publishes} publishes", side_by_side(line, options.repetitions, **ways))


if __name__ == "__main__":
    main()
