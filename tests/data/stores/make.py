"""Write a store with whatever version is installed: ``python make.py FOLDER``; what is in it goes to ``FOLDER.json``.

It holds a bit of everything that FORMAT.md has: runs of three models with and without signatures, an example, archived
histories, a retired alias, and runs that were deleted, brought back, swept and quarantined.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from artifact_store import ArtifactStore, Digest, Example, FeatureSchema, Run, Signer, __version__, errors

HERE = Path(__file__).parent
PLAIN, SIGNED, ALONE = "rules/BTCEUR", ("lgbm", "BTC/USDT"), "walk"
NAMES = ["close", "volume", "rsi_14"]
ALWAYS = timedelta(0)
WHO = {"user": "trainer", "host": "workstation", "script": "train.py", "git": {"commit": "0" * 40, "dirty": False}}
DATA = {"candles.csv": Digest(1234, "ab" * 32)}


def opened(folder: Path, **options: Any) -> ArtifactStore:
    """Open the store for a client that records nothing of this machine's user."""
    return ArtifactStore(folder, actor="workstation", provenance=False, **options)


def save(store: ArtifactStore, key: Any, run_id: str, model: Any, **fields: Any) -> Run:
    """Save a run with all that can be said about one."""
    with store.new_run(key, run_id=run_id, publish=fields.pop("publish", "always")) as draft:
        draft.provenance, draft.data = WHO, DATA
        draft.description, draft.tags = f"the run {run_id}", {"desk": "spot", "größe": "klein"}
        draft.config, draft.training_config = {"lookback": 64, "rate": 0.1}, {"folds": [1, 2, 3], "seed": None}
        draft.metrics = {"sharpe": 1.25, "loss": float("nan"), "trades": 7}
        draft.add("model", model)
        for name, part in fields.pop("components", {}).items():
            draft.add(name, part)
        if "example" in fields:
            draft.add_example(fields.pop("example"))
        for name, value in fields.items():
            setattr(draft, name, value)
        return draft.commit()


def write_plain(folder: Path) -> None:
    """Runs of JSON documents and arrays, without signatures; ``latest`` has two blocks of history in the archive."""
    store = opened(folder)
    weights = np.arange(6, dtype="<f4").reshape(2, 3)
    first = save(
        store, PLAIN, "20260101_000001_first", {"buy": [1, 2.5], "sell": None}, components={"weights": weights}
    )
    second = save(store, PLAIN, "20260101_000002_second", {"buy": [3]}, components={"weights": -weights}, parent=first)
    save(store, PLAIN, "20260101_000003_kept", {"buy": []}, publish="never")
    for number in range(98):
        store.promote((first, second)[number % 2], "latest", reason=f"turn {number}")
    store.promote(first, "best_wf", reason="walk forward")
    store.promote(first, "trial")
    store.promote(second, "trial")
    store.retire(f"{PLAIN}@trial", reason="it was a trial")

    swept, damaged, deleted, undeleted = (
        save(store, PLAIN, f"20260101_00001{number}_{name}", {"name": name}, publish="never")
        for number, name in enumerate(("swept", "damaged", "deleted", "undeleted"))
    )
    store.delete(swept, reason="it diverged").apply()
    store.gc(grace=ALWAYS).apply()
    with (folder / PLAIN / str(damaged.run_id) / "manifest.json").open("r+b") as file:
        file.write(b"?")
    store.doctor(grace=ALWAYS).repair(quarantine=True).apply()
    store.delete(deleted, reason="it is no good").apply()
    store.delete(undeleted, reason="a slip").apply()
    store.undelete(undeleted)

    save(store, ALONE, "20260101_000001", [0.5, None])


def write_signed(folder: Path) -> None:
    """Runs of LightGBM with golden predictions; ``latest`` has one block of a signed history in the archive."""
    store = opened(folder, signer=Signer.from_pem(HERE / "owner.key"))
    rows = np.random.default_rng(1).normal(size=(60, len(NAMES)))
    runs = []
    for number, name in enumerate(("first", "second", "deleted")):
        target = rows[:, number] > 0
        settings = {"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
        model = lightgbm.train(settings, lightgbm.Dataset(rows, target, feature_name=NAMES), num_boost_round=3)
        known = {"example": Example(rows[:4], model.predict(rows[:4])), "features": FeatureSchema(NAMES)}
        runs.append(save(store, SIGNED, f"20260101_00000{number}_{name}", model, **known))
    for number in range(66):
        store.promote(runs[number % 2], "latest", reason=f"turn {number}")
    store.promote(runs[0], "trial")
    store.retire("lgbm/BTC;2FUSDT@trial", reason="it was a trial")
    store.delete(runs[2], reason="it is no good").apply()

    unsigned = save(opened(folder), SIGNED, "20260101_000009_late", {"signed": "later"}, publish="never")
    store.sign(unsigned, Signer.from_pem(HERE / "owner.key"))


def contents(folder: Path) -> dict[str, Any]:
    """Return what this version finds in the store."""
    store = opened(folder)
    runs = list(store.runs())
    gone = {}
    for path in sorted(folder.glob("**/manifest.json")):
        *key, run_id = path.parent.relative_to(folder).parts
        try:
            store.get(f"{'/'.join(key)}:{run_id}")
        except errors.NotFound as error:
            gone[f"{'/'.join(key)}:{run_id}"] = type(error).__name__
    return {
        "version": __version__,
        "models": [str(key) for key in store.models()],
        "runs": {str(run.ref): run.manifest.digest for run in runs},
        "components": {str(run.ref): sorted(run.manifest.components) for run in runs},
        "gone": gone,
        "aliases": {
            f"{key}@{alias}": [[entry.seq, entry.run_id, entry.reason] for entry in store.history(f"{key}@{alias}")]
            for key in store.models()
            for alias in store.aliases(key)
        },
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_plain(target)
    write_signed(target)
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in contents(target).items())
    told = "{\n" + ",\n".join(lines) + "\n}\n"
    target.with_name(f"{target.name}.json").write_text(told, encoding="utf-8", newline="\n")
