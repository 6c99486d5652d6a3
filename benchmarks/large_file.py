"""One large file from SeaweedFS on this machine: this store, which compares every byte, beside boto3, which does not.

    python benchmarks/large_file.py [--size-mib 1024] [--repetitions 5]

By hand: ``download_file`` of boto3 with ten threads, and obstore streamed into a file. No line in between: what
counts here is CPU. ``benchmarks/memory.py`` has the memory.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
KEY = "gru/BIG"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    import boto3
    import obstore
    from obstore.store import S3Store

    from artifact_store import ArtifactStore
    from tests.servers import SeaweedServer

    with SeaweedServer() as server, tempfile.TemporaryDirectory() as folder:
        big, target = Path(folder) / "big.bin", Path(folder) / "out"
        with big.open("wb") as file:
            for _ in range(options.size_mib):
                file.write(os.urandom(1 << 20))
        stores = {}
        for engine in ("obstore", "fsspec"):
            place = {"url": server.url("b"), "engine": engine, "timeout": 300}
            stores[engine] = ArtifactStore(**place, storage_options=server.storage_options())
        with stores["obstore"].new_run(KEY) as draft:
            draft.add_file("big.bin", big)
        big.unlink()
        run = stores["obstore"].get(KEY)
        stored = run.url("big.bin").removeprefix(f"s3://{server.bucket}/")
        client = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1",
                              aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key)  # fmt: skip
        config = {"endpoint": server.endpoint, "access_key_id": server.access_key, "region": "us-east-1"}
        config |= {"secret_access_key": server.secret_key}
        raw = S3Store(server.bucket, config=config, client_options={"allow_http": True, "timeout": "10m"})

        def streamed(path):
            with path.open("wb") as sink:
                sink.writelines(obstore.get(raw, stored).stream(min_chunk_size=1 << 20))

        ways = {
            "boto3, not compared": lambda path: client.download_file(server.bucket, stored, str(path)),
            "obstore, not compared": streamed,
            **{f"artifact-store, {name}": lambda path, store=store: store.get(KEY).download(path)
               for name, store in stores.items()},
        }  # fmt: skip
        seen = {name: [] for name in ways}
        for _ in range(options.repetitions):
            for name, way in ways.items():
                began, cpu = time.perf_counter(), time.process_time()
                way(target)
                seen[name].append((time.perf_counter() - began, time.process_time() - cpu))
                remove(target)
    print(f"load {options.size_mib} MiB, median and best of {options.repetitions}")
    print(f"{'':26}{'MB/s':>7}{'best':>7}{'CPU s':>7}{'ratio':>7}{'of best':>9}")
    first = seen["boto3, not compared"]
    for name, rows in seen.items():
        seconds, best = statistics.median(row[0] for row in rows), min(row[0] for row in rows)
        ratios = statistics.median(row[0] for row in first) / seconds, min(row[0] for row in first) / best
        size = options.size_mib * (1 << 20) / 1e6
        print(f"{name:26}{size / seconds:7.0f}{size / best:7.0f}{statistics.median(row[1] for row in rows):7.2f}"
              f"{ratios[0]:7.2f}{ratios[1]:9.2f}")  # fmt: skip


def remove(path):
    if path.is_dir():
        for child in sorted(path.rglob("*"), reverse=True):
            child.rmdir() if child.is_dir() else child.unlink()
        path.rmdir()
    else:
        path.unlink()


if __name__ == "__main__":
    main()
