"""CPU time of what does not wait for storage: imports, documents, small loads, listings and rows.

    python benchmarks/cpu.py [--rows imports documents loads growth save rows] [--repetitions 9]

Each row is a ratio to the least that anyone could do, measured by turns in the same run: medians of the CPU time of
this process, or of a child process for imports. ``save`` waits for the disk, so it goes by the clock.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

MODEL = "import pydantic\nclass Model(pydantic.BaseModel):\n    a: int = 1\n    b: str = ''"
VERSION = "import sys\nsys.argv = ['artifact-store', '--version']\nfrom artifact_store.cli import main\nmain()"


def median_of(works, repetitions, clock=time.process_time):
    """Return the median time of each of ``works`` in milliseconds, called by turns."""
    taken = [[] for _ in works]
    for work in works:
        work()
    for _ in range(repetitions):
        for work, times in zip(works, taken, strict=True):
            begin = clock()
            work()
            times.append((clock() - begin) * 1e3)
    return [statistics.median(times) for times in taken]


def tell(name, ours, floor, what):
    print(f"{name:46} {ours:9.2f} ms   {what} {floor:8.2f} ms   x{ours / floor:.2f}", flush=True)


def compared(name, ours, floor, what, repetitions, clock=time.process_time):
    tell(name, *median_of([ours, floor], repetitions, clock), what)


def of_children():
    found = os.times()
    return found.children_user + found.children_system


def imports(repetitions):
    def child(program):
        return lambda: [subprocess.run([sys.executable, "-c", program], check=True, stdout=-3) for _ in range(10)]

    programs = ["pass", "from artifact_store import ArtifactStore", MODEL, VERSION, "import click"]
    bare, ours, model, version, click = median_of(list(map(child, programs)), repetitions, of_children)
    tell("from artifact_store import ArtifactStore", (ours - bare) / 10, (model - bare) / 10, "pydantic with a model")
    tell("artifact-store --version", (version - bare) / 10, (click - bare) / 10, "import click")


def documents(folder, repetitions):
    from artifact_store import ArtifactStore

    store = ArtifactStore(folder)
    run = store.save({"a": 1}, "m", alias="once")
    for _ in range(64):
        store.promote(run, "often")
    for _ in range(5000):
        store.promote(run, "always")
    read = {alias: folder / "m" / f"{alias}.json" for alias in ("once", "often", "always")}
    blocks = sorted((folder / "m" / "always.history").iterdir())

    def parsed(*paths):
        for path in paths:
            data = path.read_bytes()
            hashlib.sha256(data).hexdigest()
            json.loads(data)

    def times(work, count=200):
        return lambda: [work() for _ in range(count)]

    what = "read, sha256, json.loads"
    for alias, told in (("once", "200 x get"), ("often", "200 x get, 64 publishes in the pointer")):
        ours, floor = times(lambda alias=alias: store.get(f"m@{alias}")), times(lambda alias=alias: parsed(read[alias]))
        compared(told, ours, floor, what, repetitions)
    compared("history of 5,000", lambda: store.history("m@always"), lambda: parsed(*blocks), what, repetitions)


def loads(folder, repetitions):
    import numpy as np

    from artifact_store import ArtifactStore

    store = ArtifactStore(folder)
    runs = [store.save(np.arange(100.0), f"array/S{number}") for number in range(100)]
    files = [next((folder / "array" / f"S{number}" / run.run_id).glob("model*")) for number, run in enumerate(runs)]

    def by_hand():
        for path in files:
            hashlib.sha256(path.read_bytes()).hexdigest()
            list(np.load(path).values())

    def ours():
        for number in range(100):
            store.load(f"array/S{number}")

    compared("load of 100 small arrays", ours, by_hand, "read, sha256, np.load", repetitions)
    boosters(store, folder, repetitions)


def boosters(store, folder, repetitions):
    import lightgbm as lgb
    import numpy as np

    from artifact_store.codecs.lightgbm.text import check_written

    rows = np.random.default_rng(0).normal(size=(20_000, 20))
    params = {"objective": "regression", "verbose": -1, "num_threads": 1}
    small = lgb.train(params | {"num_leaves": 15}, lgb.Dataset(rows[:3000], rows[:3000, 0]), 30)
    large = lgb.train(params | {"num_leaves": 255}, lgb.Dataset(rows, rows[:, 0] * rows[:, 1]), 360)
    runs = [store.save(small, f"gbm/S{number}") for number in range(100)]
    files = [folder / "gbm" / f"S{number}" / run.run_id / "model.txt" for number, run in enumerate(runs)]

    def by_hand():
        for path in files:
            data = path.read_bytes()
            hashlib.sha256(data).hexdigest()
            lgb.Booster(model_str=data.decode())

    def ours():
        for number in range(100):
            store.load(f"gbm/S{number}")

    size = files[0].stat().st_size // 1000
    compared(f"load of 100 LightGBM models of {size} KB", ours, by_hand, "read, sha256, decode", repetitions)
    text = large.model_to_string()
    name = f"check of a LightGBM text of {len(text) / 1e6:.0f} MB"
    compared(name, lambda: check_written(text, what="it"), lambda: lgb.Booster(model_str=text), "decode", repetitions)


def growth(folder, repetitions):
    from artifact_store import ArtifactStore
    from artifact_store.canonical import canonical, checksum

    store = ArtifactStore(folder)
    run = store.save({"a": 1}, "m")
    first = json.loads((folder / "m" / run.run_id / "manifest.json").read_bytes())
    made = 0
    for count in (30, 300, 3_000, 20_000, 100_000):
        for number in range(made, count):
            begun = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
            value = first | {"run_id": f"{begun:%Y%m%d_%H%M%S}_aaaaaa"}
            home = folder / "m" / value["run_id"]
            home.mkdir()
            home.joinpath("manifest.json").write_bytes(canonical(value | {"checksum": checksum(value)}))
        made = count
        works = {
            "runs(limit=10)": lambda: list(store.runs("m", limit=10)),
            "find without an alias": lambda: store.find("m", prefer=()),
            "get by a part of an id": lambda: store.get(f"m:{run.run_id[:13]}"),
            "aliases": lambda: store.aliases("m"),
            "names alone": lambda: list((folder / "m").iterdir()),
        }
        taken = median_of(list(works.values()), repetitions)
        left = iter(sorted(home.name for home in (folder / "m").iterdir())[: repetitions + 1])
        (deletion,) = median_of([lambda left=left: _deleted(store, folder, next(left))], repetitions)
        told = ", ".join(f"{name} {each:.1f}" for name, each in zip(works, taken, strict=True))
        print(f"{count:,} runs, ms: {told}, delete {deletion:.1f}", flush=True)


def _deleted(store, folder, name):
    store.delete(f"m:{name}").apply()
    shutil.rmtree(folder / "m" / name)  # so that the next count begins with what is there


def save(folder, repetitions):
    from artifact_store import ArtifactStore

    store = ArtifactStore(folder / "store")
    run = store.save({"a": 1}, "m")
    bodies = {path.name: path.read_bytes() for path in (folder / "store" / "m" / run.run_id).iterdir()}
    pointer = (folder / "store" / "m" / "latest.json").read_bytes()
    plain = folder / "plain"
    plain.mkdir()

    def flushed(path, data):
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def settled(path):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def by_hand():
        for _ in range(10):
            home = Path(tempfile.mkdtemp(dir=plain))
            for name, data in bodies.items():
                flushed(home / name, data)
            settled(home)
            settled(plain)
            flushed(plain / "new", pointer)
            (plain / "new").replace(plain / "latest.json")
            settled(plain)

    def ours():
        for _ in range(10):
            store.save({"a": 1}, "m")

    compared("10 small saves, durable", ours, by_hand, "the same files, flushed", repetitions, time.perf_counter)


def rows(repetitions):
    import numpy as np
    import polars as pl

    from artifact_store import FeatureSchema

    names = [f"f{number}" for number in range(20)]
    values = np.random.default_rng(0).normal(size=(1_000_000, 20))
    wide, narrow = (FeatureSchema(names, dtypes=dict.fromkeys(names, kind)) for kind in ("float64", "float32"))
    row = pl.DataFrame(values[:1], schema=names, orient="row")
    ours, floor = median_of(
        [lambda: [wide.prepare(row) for _ in range(200)], lambda: [row.select(names).to_numpy() for _ in range(200)]],
        repetitions,
    )
    tell("200 x one row of polars", ours, floor, "select, to_numpy")
    compared(
        "array 1M x 20, float64 to float32",
        lambda: narrow.prepare(values), lambda: values.astype(np.float32), "astype", repetitions,
    )  # fmt: skip


ROWS = {"documents": documents, "loads": loads, "growth": growth, "save": save}
ALL = ["imports", *ROWS, "rows"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where the stores are made; a disk, for the row save")
    given = parser.parse_args()
    for name in given.rows:
        if name not in ROWS:
            {"imports": imports, "rows": rows}[name](given.repetitions)
            continue
        with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
            ROWS[name](Path(scratch), given.repetitions)


if __name__ == "__main__":
    main()
