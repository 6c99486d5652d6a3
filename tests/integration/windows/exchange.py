"""One side of an exchange between systems: ``python exchange.py write|check PLACE``; prints JSON.

``PLACE`` is the JSON of the arguments that open the store. ``write`` saves runs of every kind of object. ``check`` reads
every byte, decodes every component and compares it with what ``write`` would have saved. Both end with one line: the
sha256 of every stored object by key, so that two systems can compare what they see.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

from artifact_store import ArtifactStore, Example, FeatureSchema

ROWS = 200
NAMES = ["ret_1", "ret_5", "vol_20", "größe"]
REPORT = b"one\r\ntwo\nthree\x00\xff"
DOCUMENT = {"weights": [1, 2.5, 1e-09], "name": "größe", "lines": "one\r\ntwo\n"}


def table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(rng.normal(size=(ROWS, len(NAMES))), columns=NAMES)
    return frame.assign(regime=pd.Categorical(["up", "down", "flat", "up"] * (ROWS // 4), ["down", "flat", "up"]))


def write(store: ArtifactStore) -> None:
    """Save three runs of two models, promote one of them, and roll back."""
    frame = table()
    inputs = frame[NAMES].to_numpy()
    settings = {"verbosity": -1, "seed": 7, "num_threads": 1, "deterministic": True, "force_row_wise": True}
    booster = lightgbm.train(settings, lightgbm.Dataset(inputs, inputs[:, 0] - inputs[:, 2]), 10)
    run = store.save(
        booster,
        "lightgbm/EURUSD",
        components={"expected": booster.predict(inputs), "importance": frame.head(4), "document": DOCUMENT},
        features=FeatureSchema(NAMES, dtypes="float64", nan="refuse"),
        metrics={"rmse": 0.5},
        tags={"system": sys.platform},
        example=Example(inputs[:8], booster.predict(inputs[:8])),
    )
    store.promote(run, "production", reason="größer")
    for number in (1, 2):
        store.save(REPORT, "gru/EURUSD", config={"number": number})
    store.rollback("gru/EURUSD", reason="the first one was better")


def check(store: ArtifactStore) -> None:
    """Read and compare everything."""
    report = store.verify()
    assert report.ok, report.problems
    assert len(report.runs) == 3
    frame = table()
    run = store.get("lightgbm/EURUSD@production")
    assert run == store.get("lightgbm/EURUSD")
    shuffled = frame[list(reversed(frame.columns))]
    assert run.features is not None
    prepared = run.features.prepare(shuffled)
    said = run.load().predict(prepared)
    assert said.tobytes() == run.load("expected").tobytes()
    pd.testing.assert_frame_equal(run.load("importance"), frame.head(4), check_exact=True)
    assert run.load("document") == DOCUMENT
    assert store.load("gru/EURUSD") == REPORT
    assert store.get("gru/EURUSD").config == {"number": 1}
    assert [entry.seq for entry in store.history("gru/EURUSD")] == [1, 2, 3]
    assert store.history("lightgbm/EURUSD@production")[0].reason == "größer"


def objects(store: ArtifactStore) -> dict[str, str]:
    """Return the digest of every object of the store, locks apart: those are of one machine."""
    backend = store._context.backend
    return {
        entry.key: hashlib.sha256(b"".join(backend.stream(entry.key, size=entry.size))).hexdigest()
        for entry in backend.list("")
        if not entry.key.startswith("_locks/")
    }


def main() -> None:
    """Do what the command line says."""
    command, place = sys.argv[1:]
    arguments: dict[str, Any] = json.loads(place)
    with ArtifactStore(**arguments) as store:
        {"write": write, "check": check}[command](store)
        print(json.dumps({"system": sys.platform, "objects": objects(store)}), flush=True)


if __name__ == "__main__":
    main()
