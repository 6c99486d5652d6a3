"""Peak memory above the baseline while a 1 GiB file is saved to SeaweedFS and loaded back; median of three.

    python benchmarks/memory.py [--size-mib 1024] [--engine obstore fsspec] [--json]

Each measurement runs in a process of its own; the baseline is that process after a small save and load, its peak is
what the operating system says of it (``VmHWM``, reset before). Linux only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def peak_mib():
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def now_mib():
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def child(action, place, path):
    from artifact_store import ArtifactStore

    store = ArtifactStore(**json.loads(place))
    small = Path(path).with_name(f"small-{os.getpid()}")
    small.write_bytes(b"x" * 100_000)
    with store.new_run("gru/WARM") as draft:
        draft.add_file("small.bin", small)
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as warm:
        store.get("gru/WARM").download(Path(warm) / "out")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    base = now_mib()
    if action == "save":
        with store.new_run("gru/BIG") as draft:
            draft.add_file("big.bin", path)
    else:
        store.get("gru/BIG").download(path)
    print(json.dumps({"base": base, "extra": peak_mib() - base}))


def measured(action, place, path):
    done = subprocess.run(
        [sys.executable, __file__, "--child", action, json.dumps(place), str(path)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)["extra"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--engine", nargs="+", default=["obstore", "fsspec"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    sys.path.insert(0, str(ROOT))
    from tests.servers import SeaweedServer

    results = []
    with SeaweedServer() as server, tempfile.TemporaryDirectory() as directory:
        big = Path(directory) / "big.bin"
        with big.open("wb") as file:
            for _ in range(options.size_mib):
                file.write(os.urandom(1 << 20))
        for engine in options.engine:
            place = {"url": server.url(engine), "engine": engine, "timeout": 300}
            place["storage_options"] = server.storage_options()
            saves = [measured("save", place, big) for _ in range(3)]
            loads = [measured("load", place, Path(directory) / f"out-{engine}-{number}") for number in range(3)]
            results.append({"engine": engine, "size_mib": options.size_mib,
                            "save_mib": statistics.median(saves), "load_mib": statistics.median(loads)})  # fmt: skip
    if options.json:
        print(json.dumps(results))
        return
    print(f"extra memory in MiB for a file of {options.size_mib} MiB, median of three")
    print(f"{'engine':10}{'save':>8}{'load':>8}")
    for row in results:
        print(f"{row['engine']:10}{row['save_mib']:>8.1f}{row['load_mib']:>8.1f}")


if __name__ == "__main__":
    main()
