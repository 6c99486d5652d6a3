"""Trying makings: saved here, loaded in processes of their own, and what is seen of both compared."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore
from artifact_store.errors import InvalidInput, NoCodec, NotEncodable
from tests.zoo.making import WAY_OUT, Making
from tests.zoo.makings import makings
from tests.zoo.seen import seen
from tools.processes import HERE

EQUAL, FOLLOWED = "equal", "refused, and equal as it says"
LIBRARIES = (
    *("numpy", "pandas", "polars", "pyarrow", "scipy", "torch", "safetensors", "lightgbm", "scikit-learn", "skops"),
    *("stable-baselines3", "sb3-contrib", "gymnasium", "xgboost-cpu", "onnx"),
)


@dataclass
class Row:
    """What came of one making."""

    family: str
    name: str
    codec: str
    result: str = ""
    refusal: str = ""
    kept: str = ""
    without: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def environment() -> dict[str, str]:
    """Return what the makings were tried with."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def try_out(chosen: Iterable[tuple[str, Making]], say: Callable[[str], None]) -> list[Row]:
    """Save all of them, load them in a process for each list of libraries to do without, and compare."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as name:
        root = Path(name)
        rows, waiting = [], defaultdict(list)
        for place, (family, making) in enumerate(chosen):
            say(f"{family}: {making.name}")
            row, before = _saved(family, making, root, f"zoo/N{place}")
            rows.append(row)
            if not row.wrong:
                waiting[tuple(row.without)].append((row, before, f"zoo/N{place}"))
        for without, loads in waiting.items():
            say(f"loading {len(loads)} without {', '.join(without) or 'nothing'}")
            _compare(loads, without, root)
    return rows


def _saved(family: str, making: Making, root: Path, key: str) -> tuple[Row, Any]:
    row = Row(family, making.name, making.codec, kept=making.kept, without=list(making.without))
    store = ArtifactStore(root / "store")
    scratch = root / key.replace("/", "-")
    scratch.mkdir()
    before: Any = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            obj = making.make(scratch)
            if making.refused:
                obj = _followed(making, obj, store, key, row)
            before = seen(_looked(making, obj))
            run = store.save(obj, key, codec=making.named)
            row.codec = run.manifest.components["model"].codec.name
            _check_run(making, run, row)
            if seen(_looked(making, obj)) != before:
                row.wrong.append("saving changed it")
        except Exception as error:  # noqa: BLE001 -- a making that fails is a row
            row.wrong.append(f"{type(error).__name__}: {error}"[:600])
    return row, before


def _followed(making: Making, obj: Any, store: ArtifactStore, key: str, row: Row) -> Any:
    """Return what the refusal says to save instead."""
    try:
        store.save(obj, key)
    except (NotEncodable, NoCodec, InvalidInput) as error:
        row.refusal = str(error)
    else:
        row.wrong.append("it is not refused")
    if not re.search(making.refused, row.refusal):
        row.wrong.append(f"the refusal does not say {making.refused!r}: {row.refusal}")
    if not re.search(WAY_OUT, row.refusal, re.IGNORECASE):
        row.wrong.append(f"the refusal names no way out: {row.refusal}")
    return making.follow(obj) if making.follow is not None else obj


def _check_run(making: Making, run: Any, row: Row) -> None:
    if row.codec != making.codec and not making.refused:
        row.wrong.append(f"the codec {row.codec} was chosen, and not {making.codec}")
    recorded = run.manifest.environment
    if not recorded.get("python") or "artifact-store" not in recorded.get("packages", {}):
        row.wrong.append("the run does not record its environment")


def _looked(making: Making, obj: Any) -> Any:
    return obj if making.look is None else making.look(obj)


def _compare(loads: Sequence[tuple[Row, Any, str]], without: tuple[str, ...], root: Path) -> None:
    asked = [{"family": row.family, "name": row.name, "key": key} for row, _, key in loads]
    question = root / "question.json"
    question.write_text(json.dumps({"store": str(root / "store"), "without": without, "loads": asked}))
    command = [sys.executable, "-m", "tests.zoo.loading", str(question)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    try:
        answers = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        answers = [{"error": f"the process ended with {done.returncode}: {done.stderr[-500:]}"}] * len(loads)
    for (row, before, _), answer in zip(loads, answers, strict=True):
        if "error" in answer:
            row.wrong.append(answer["error"])
        elif answer["seen"] != json.loads(json.dumps(before)):
            row.wrong.append(f"it came back changed: {difference(json.loads(json.dumps(before)), answer['seen'])}")
        else:
            row.result = FOLLOWED if row.refusal else EQUAL


def difference(one: Any, other: Any, where: str = "") -> str:
    """Return the first place where two things that were seen differ."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            if left != right:
                return difference(left, right, f"{where}[{place}]")
    return f"{where or 'all of it'}: {str(one)[:200]} becomes {str(other)[:200]}"


def loaded(store: ArtifactStore, family: str, name: str, key: str) -> dict[str, Any]:
    """Load one of them and return what is seen of it."""
    making = next(making for making in makings(family) if making.name == name)
    try:
        with tempfile.TemporaryDirectory(prefix="zoo-into-") as folder:
            obj = store.get(key).load(into=making.into(Path(folder)) if making.into is not None else None)
            return {"seen": seen(_looked(making, obj))}
    except Exception as error:  # noqa: BLE001 -- told in the row
        return {"error": f"loading: {type(error).__name__}: {error}"[:600]}


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rows and what they were tried with."""
    return {"environment": environment(), "makings": [asdict(row) for row in rows]}
