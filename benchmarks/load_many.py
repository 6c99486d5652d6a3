"""A cold process loads many small models over S3, beside obstore alone at the same width.

    python benchmarks/load_many.py [--models 300] [--rtt-ms 20] [--repetitions 5]

Each way runs in a process of its own, from its first import. By hand: for each model a thread reads the pointer, the
file that it names, compares its sha256 and decodes it with numpy; with a loop of this store's ``load`` for comparison.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from link import ROOT, link, show, side_by_side


def child(way, place, count, width):
    if way == "obstore":
        found = by_hand(place, count, width)
    else:
        from artifact_store import ArtifactStore

        store = ArtifactStore(place["url"], engine="fsspec" if way == "fsspec" else "obstore",
                              storage_options=place["options"])  # fmt: skip
        names = [f"gru/S{number}" for number in range(count)]
        found = [store.load(name) for name in names] if way == "loop" else store.load_many(names).values()
    assert [array[0] for array in found] == list(range(count))


def by_hand(place, count, width):
    import numpy as np
    import obstore
    from obstore.store import S3Store

    options = place["options"]
    config = {"endpoint": options["endpoint_url"], "access_key_id": options["key"], "region": "us-east-1"}
    config |= {"secret_access_key": options["secret"]}
    client = S3Store(place["bucket"], config=config, client_options={"allow_http": True})

    def load(number):
        pointer = json.loads(bytes(obstore.get(client, f"m/gru/S{number}/latest.json").bytes()))
        (file,) = (entry for entry in pointer["manifest"]["files"] if entry["path"].startswith("model."))
        key = f"m/gru/S{number}/{pointer['run_id']}/{file['path']}"
        data = bytes(obstore.get(client, key).bytes())
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return archive[archive.files[0]]

    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(load, range(count)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--rtt-ms", type=float, default=20.0)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        way, place, count, width = options.child
        child(way, json.loads(place), int(count), int(width))
        return
    import numpy as np

    from artifact_store import ArtifactStore
    from artifact_store.storage.budget import SMALL_AT_ONCE

    with link(options.rtt_ms) as line:
        store = ArtifactStore(line.server.url("m"), storage_options=line.server.storage_options())
        for number in range(options.models):
            store.save(np.full(2000, float(number)), f"gru/S{number}")
        place = {"url": line.server.url("m"), "bucket": line.server.bucket, "options": line.options()}

        def cold(way):
            command = [sys.executable, __file__, "--child", way, json.dumps(place), str(options.models),
                       str(SMALL_AT_ONCE)]  # fmt: skip
            return lambda _: subprocess.run(command, cwd=ROOT, check=True)

        ways = {"obstore by hand": cold("obstore"), "load_many, obstore": cold("many"),
                "load_many, fsspec": cold("fsspec")}  # fmt: skip
        show(f"{options.models} small models, cold", side_by_side(line, options.repetitions, **ways))
        show("one after another", side_by_side(line, 1, **{"a loop of load": cold("loop")}))


if __name__ == "__main__":
    main()
