"""What watching costs while nothing is published: 200 aliases over S3, beside the same conditional requests by obstore.

    python benchmarks/watching.py [--aliases 200] [--every 1] [--seconds 15] [--rtt-ms 20]

By hand: 16 threads that ask for each alias with its ETag, as often.
"""

import argparse
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

from link import link, obstore_client


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aliases", type=int, default=200)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rtt-ms", type=float, default=20.0)
    options = parser.parse_args()
    import obstore

    from artifact_store import ArtifactStore

    with link(options.rtt_ms) as line:
        names = [f"gru/S{number}" for number in range(options.aliases)]
        direct = ArtifactStore(line.server.url("w"), storage_options=line.server.storage_options())
        for name in names:
            direct.save({"n": 1}, name)
        client = obstore_client(line)
        etags = {name: obstore.head(client, f"w/{name}/latest.json")["e_tag"] for name in names}

        def ask(name):
            with contextlib.suppress(obstore.exceptions.NotModifiedError):
                obstore.get(client, f"w/{name}/latest.json", options={"if_none_match": etags[name]})

        def by_hand():
            end = time.monotonic() + options.seconds
            with ThreadPoolExecutor(16) as pool:
                while (begun := time.monotonic()) < end:
                    list(pool.map(ask, names))
                    time.sleep(max(0.0, begun + options.every * 1.125 - time.monotonic()))

        print(f"{options.aliases} aliases, every {options.every:g} s, {options.seconds:g} s, {options.rtt_ms:g} ms")
        show("obstore by hand", *measured(line, by_hand))
        for engine in ("obstore", "fsspec"):
            store = ArtifactStore(line.server.url("w"), engine=engine, storage_options=line.options())
            with store.watcher(every=options.every) as watcher:
                watcher.add_many(names)
                time.sleep(options.every * 1.25)
                show(f"watcher, {engine}", *measured(line, lambda: time.sleep(options.seconds)))
                assert all(one.error is None for one in watcher)


def measured(line, work):
    cpu = sum(os.times()[:2])
    seconds, _, requests, _ = line.counted(work)
    return seconds, sum(os.times()[:2]) - cpu, requests


def show(name, seconds, cpu, requests):
    print(
        f"{name:20}{requests / seconds:8.0f} requests a second{1000 * cpu / requests:8.2f} ms of CPU a request",
        flush=True,
    )


if __name__ == "__main__":
    main()
