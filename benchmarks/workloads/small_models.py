"""Many small models: loaded from a folder, by a cold process over S3, and one of them saved durably."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.raw_obstore import WIDTH
from benchmarks.place import Place
from benchmarks.work import Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STORE = "small"


def arrays(place: Place, *, models: int, numbers: int) -> dict[str, list[str]]:
    """Fill: models that are small arrays; return where their files are on a disk."""
    import numpy as np

    return _saved(place, models, lambda number: np.full(numbers, float(number)))


def boosters(place: Place, *, models: int, trees: int) -> dict[str, list[str]]:
    """Fill: models that are small boosters of LightGBM; return where their files are."""
    import lightgbm as lgb
    import numpy as np

    rows = np.random.default_rng(0).normal(size=(3_000, 20))
    params = {"objective": "regression", "verbose": -1, "num_threads": 1, "num_leaves": 15}
    model = lgb.train(params, lgb.Dataset(rows, rows[:, 0]), trees)
    return _saved(place, models, lambda _: model)


def _saved(place: Place, models: int, made: Callable[[int], Any]) -> dict[str, list[str]]:
    store = place.store(STORE, provenance=False)
    runs = [store.save(made(number), f"gru/S{number}") for number in range(models)]
    if place.kind != "local":
        return {}
    homes = [place.path(STORE) / "gru" / f"S{number}" / run.run_id for number, run in enumerate(runs)]
    return {"files": [str(max(home.glob("model*"), key=_size)) for home in homes]}


def _size(path: Path) -> int:
    return path.stat().st_size


def load(place: Place, *, models: int, **_: int) -> Work:
    """Load each model with the store."""
    store = place.store(STORE)

    def run(_: int) -> None:
        for number in range(models):
            store.load(f"gru/S{number}")

    return Work(run)


def load_by_hand(place: Place, *, models: int, booster: bool = False, **_: int) -> Work:
    """Read each file, hash it, and decode it with the library that owns it."""
    assert len(place.facts["files"]) == models
    decode = _booster if booster else _array

    def run(_: int) -> None:
        for name in place.facts["files"]:
            data = Path(name).read_bytes()
            hashlib.sha256(data).hexdigest()
            decode(data)

    return Work(run)


def _array(data: bytes) -> NDArray[np.float64]:
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        found: NDArray[np.float64] = archive[archive.files[0]]
        return found


def _booster(data: bytes) -> object:
    import lightgbm as lgb

    return lgb.Booster(model_str=data.decode())


def many_cold(place: Place, *, models: int, numbers: int, engine: str = "obstore") -> Work:
    """Load all models at once with the store; in a new process."""
    del numbers

    def run(_: int) -> None:
        store = place.store(STORE, engine=engine)
        found = store.load_many(f"gru/S{number}" for number in range(models)).values()
        assert [array[0] for array in found] == list(range(models))

    return Work(run)


def many_cold_by_hand(place: Place, *, models: int, numbers: int) -> Work:
    """Load all models with obstore, as many at once as the store: pointer, file, sha256, numpy."""
    del numbers

    def run(_: int) -> None:
        import numpy as np  # noqa: F401 -- once, not in each thread
        import obstore

        client = place.obstore()

        def one(number: int) -> NDArray[np.float64]:
            model = place.key(f"{STORE}/gru/S{number}")
            pointer = json.loads(bytes(obstore.get(client, f"{model}/latest.json").bytes()))
            (file,) = (entry for entry in pointer["manifest"]["files"] if entry["path"].startswith("model."))
            data = bytes(obstore.get(client, f"{model}/{pointer['run_id']}/{file['path']}").bytes())
            assert hashlib.sha256(data).hexdigest() == file["sha256"]
            return _array(data)

        with ThreadPoolExecutor(WIDTH) as pool:
            assert [array[0] for array in pool.map(one, range(models))] == list(range(models))

    return Work(run)


def durable_save(place: Place, *, times: int) -> Work:
    """Save a small object in a folder, so often."""
    store = place.store(STORE)

    def run(_: int) -> None:
        for _ in range(times):
            store.save({"a": 1}, "gru/DURABLE")

    return Work(run, per=times)


def durable_save_by_hand(place: Place, *, times: int) -> Work:
    """Write the same files, and flush each of them and each folder once."""
    store = place.store(STORE)
    run_id = store.save({"a": 1}, "gru/DURABLE").run_id
    model, plain = place.path(STORE) / "gru" / "DURABLE", place.folder / "plain"
    bodies = {path.name: path.read_bytes() for path in (model / run_id).iterdir()}
    pointer = (model / "latest.json").read_bytes()
    plain.mkdir()

    def run(_: int) -> None:
        for _ in range(times):
            home = Path(tempfile.mkdtemp(dir=plain))
            for name, data in bodies.items():
                _flushed(home / name, data)
            _settled(home)
            _settled(plain)
            _flushed(plain / "new", pointer)
            (plain / "new").replace(plain / "latest.json")
            _settled(plain)

    return Work(run, per=times)


def _flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _settled(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
