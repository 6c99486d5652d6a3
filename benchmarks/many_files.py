"""A run of many small files to SeaweedFS and back, beside the same files by obstore or s3fs alone.

    python benchmarks/many_files.py [--files 500] [--rtt-ms 20] [--repetitions 5] [--local]

obstore by hand: as many threads as the store has requests under way, each file hashed, then a list of the digests and a
pointer. s3fs by hand: its own calls for many files (``put`` and ``get``, as many at once as it likes), without a hash.
With ``--local`` a folder of this machine, beside one loop that hashes, writes and flushes.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from link import link, obstore_client, show, side_by_side

KEY = "gru/BTCEUR"
SIZE = 20_000


def ours(store, sources, base):
    """Return how this store saves the files as one run, and loads the newest."""

    def save(_):
        with store.new_run(KEY, run_id=None) as draft:
            for path in sources:
                draft.add_file(path.name, path)

    def load(_):
        target = base / uuid.uuid4().hex
        store.get(KEY).download(target)
        shutil.rmtree(target)

    return save, load


def raw_obstore(client, sources, base, width):
    import obstore

    def put(place, path):
        data = path.read_bytes()
        obstore.put(client, f"{place}/{path.name}", data, use_multipart=False, mode="create")
        return hashlib.sha256(data).hexdigest()

    def get(place, path, target, digests):
        data = bytes(obstore.get(client, f"{place}/{path.name}").bytes())
        assert hashlib.sha256(data).hexdigest() == digests[path.name]
        (target / path.name).write_bytes(data)

    def save(number):
        with ThreadPoolExecutor(width) as pool:
            digests = list(pool.map(lambda path: put(f"raw-{number}", path), sources))
        listed = json.dumps({path.name: digest for path, digest in zip(sources, digests, strict=True)}).encode()
        obstore.put(client, f"raw-{number}/manifest.json", listed, use_multipart=False, mode="create")
        obstore.put(client, "raw-latest.json", listed, use_multipart=False)

    def load(number):
        target = base / uuid.uuid4().hex
        target.mkdir()
        digests = json.loads(bytes(obstore.get(client, "raw-latest.json").bytes()))
        with ThreadPoolExecutor(width) as pool:
            list(pool.map(lambda path: get(f"raw-{number}", path, target, digests), sources))
        shutil.rmtree(target)

    return save, load


def raw_s3fs(link, sources, base):
    import s3fs

    fs = s3fs.S3FileSystem(**link.options(), skip_instance_cache=True)
    at = link.server.bucket

    def save(number):
        fs.put([str(path) for path in sources], [f"{at}/s3fs-{number}/{path.name}" for path in sources])

    def load(number):
        target = base / uuid.uuid4().hex
        target.mkdir()
        fs.get([f"{at}/s3fs-{number}/{path.name}" for path in sources], [str(target / path.name) for path in sources])
        shutil.rmtree(target)

    return save, load


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rtt-ms", type=float, default=20.0)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--width", type=int, default=0, help="threads of obstore by hand; as the store has, unless given"
    )
    parser.add_argument("--local", action="store_true")
    options = parser.parse_args()
    from artifact_store import ArtifactStore
    from artifact_store.storage.budget import SMALL_AT_ONCE

    width = options.width or SMALL_AT_ONCE
    with tempfile.TemporaryDirectory() as folder:
        base, sources = Path(folder), []
        (base / "sources").mkdir()
        for number in range(options.files):
            sources.append(base / "sources" / f"{number:03}.bin")
            sources[-1].write_bytes(os.urandom(SIZE))
        if options.local:
            local(ArtifactStore(base / "store"), sources, base, options.repetitions)
            return
        with link(options.rtt_ms) as line:
            ways = {}
            ways["obstore by hand"] = raw_obstore(obstore_client(line), sources, base, width)
            for engine in ("obstore", "fsspec"):
                place = {"url": line.server.url(engine), "engine": engine, "storage_options": line.options()}
                ways[f"artifact-store, {engine}"] = ours(ArtifactStore(**place), sources, base)
            ways["s3fs by hand"] = raw_s3fs(line, sources, base)
            for what, turn in (("save", 0), ("load", 1)):
                rows = side_by_side(line, options.repetitions, **{name: way[turn] for name, way in ways.items()})
                show(f"{what} {options.files} files of {SIZE} bytes, {options.rtt_ms:g} ms, {width} at once", rows)


def local(store, sources, base, repetitions):
    save, load = ours(store, sources, base)
    ways = {"one loop, flushed": loop(sources, base), "artifact-store": (save, load)}
    for what, turn in (("save", 0), ("load", 1)):
        seen = {name: [] for name in ways}
        for number in range(repetitions):
            for name, way in ways.items():
                began = time.perf_counter()
                way[turn](number)
                seen[name].append(time.perf_counter() - began)
        told = {name: statistics.median(seconds) for name, seconds in seen.items()}
        first = told["one loop, flushed"]
        for name, seconds in told.items():
            print(f"{what} {len(sources)} files, local, {name:20}{seconds:8.3f} s{seconds / first:8.2f}")


def loop(sources, base):
    """Return how one loop copies the files, flushes each and hashes it, and back without flushing."""

    def copy(target, paths, *, flushed):
        target.mkdir()
        for path in paths:
            data = path.read_bytes()
            hashlib.sha256(data).hexdigest()
            with (target / path.name).open("xb") as sink:
                sink.write(data)
                if flushed:
                    sink.flush()
                    os.fsync(sink.fileno())

    def save(number):
        copy(base / f"loop-{number}", sources, flushed=True)

    def load(number):
        target = base / uuid.uuid4().hex
        copy(target, sorted((base / f"loop-{number}").iterdir()), flushed=False)
        shutil.rmtree(target)

    return save, load


if __name__ == "__main__":
    main()
