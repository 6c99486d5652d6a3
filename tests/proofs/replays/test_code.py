"""Files that want to run code: refused by what they may do, before anything looks into them."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from artifact_store import ArtifactStore, CodecRegistry, LoadPolicy, Risk, Run, TorchState, errors
from artifact_store.cli.app import app
from artifact_store.legacy.migrate import migrate_tree
from tests.hostile import CORPUS, Canary, Hostile, command
from tests.keys import public, signer
from tests.legacy_cases import CASES
from tests.proofs.replays.attacker import Attacker
from tests.proofs.replays.surroundings import photograph, untouched
from tests.watched import nothing_unpickled

pytestmark = pytest.mark.xdist_group("replays_code")

KEY = "gru/BTCEUR"
REFUSED = (errors.Untrusted, errors.Corrupt)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """Where a file appears if a canary sings; and it must not, whatever the test does."""
    (tmp_path / "canary").mkdir()
    marker = tmp_path / "canary" / "marker"
    yield marker
    assert not marker.exists()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


@pytest.fixture
def attacker(store: ArtifactStore) -> Attacker:
    return Attacker(store)


def sings(kind: str, path: Path, marker: Path) -> None:
    """Assert that the careless loader of this kind runs the canary in a file, and take its mark away."""
    sing([(kind, path)])
    assert marker.exists(), f"{path.name} is a blunt canary: {kind} does not run it"
    marker.unlink()


def sing(files: list[tuple[str, Path]]) -> None:
    words = [word for kind, path in files for word in (kind, str(path))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.proofs.replays.victims", *words]
    subprocess.run(command, env=environment, check=False, capture_output=True, cwd=Path(__file__).parents[3])


def run_of(store: ArtifactStore, key: str, **parts: tuple[Any, str | None]) -> Run:
    """Save a run of components, each an object and the codec that has to take it, or none."""
    with store.new_run(key) as draft:
        for name, (part, codec) in parts.items():
            draft.add(name, part, codec=codec)
        return draft.commit()


# ---------------------------------------------------------------- 5: a model file is a pickle

PARTS = {
    "gru": ("model", "preprocessor"),
    "lightgbm": ("model", "preprocessor"),
    "ppo": ("model", "model_vecnormalize"),
}
LOOKS = {
    "load": lambda store, run, part: store.load(str(run.key), part),
    "load by id": lambda store, run, part: store.load(str(run.ref), part),
    "run.load": lambda store, run, part: store.get(str(run.key)).load(part),
    "find": lambda store, run, part: store.find(run.key).load(part),
    "runs": lambda store, run, part: next(iter(store.runs(run.key))).load(part),
    "strict": lambda store, run, part: ArtifactStore(store.url, policy=LoadPolicy("data")).load(str(run.ref), part),
    "a key": lambda store, run, part: ArtifactStore(store.url, policy=LoadPolicy(trusted_keys=[public()])).load(
        str(run.ref), part
    ),
}


def everything_but_loading(store: ArtifactStore, run: Run, folder: Path) -> None:
    """Do all that can be done with a run without decoding it."""
    ref, key = str(run.ref), str(run.key)
    assert store.models()
    assert store.get(ref).metadata
    assert store.find(run.key).found_by
    assert store.history(key)
    assert store.verify().ok
    assert not store.verify(predict=True).problems
    assert not store.diff(ref, key)
    store.sign(ref, signer())
    store.promote(ref, "production")
    store.get(ref).download(folder / "copy")
    with store.get(ref).open(next(iter(run.files))) as file:
        assert file.read()
    for arguments in (
        ["ls"],
        ["ls", key],
        ["show", ref],
        ["history", key],
        ["diff", ref, f"{key}@production"],
        ["verify", "--predict"],
        ["get", ref, str(folder / "got")],
        ["get", ref, str(folder / "part"), "--component", "model"],
        ["promote", ref, "staging"],
        ["retire", f"{key}@staging"],
        ["gc", "--grace", "0s", "--apply"],
        ["prune", key, "--keep-last", "1", "--apply"],
    ):
        done = CliRunner().invoke(app, ["--store", store.url, *arguments])
        assert done.exit_code == 0, (arguments, done.output)


@pytest.mark.parametrize("family", PARTS)
@pytest.mark.parametrize("lie", [False, True], ids=["honest", "said to be data"])
def test_row_05_a_pickle_sings_at_no_entry(
    store: ArtifactStore, attacker: Attacker, tmp_path: Path, marker: Path, family: str, *, lie: bool
) -> None:
    from artifact_models import load_adapter

    key, hostile = f"{family}/BTCEUR", Canary(marker)
    run = run_of(store, key, **dict.fromkeys(PARTS[family], (hostile, "joblib")))
    if lie:
        for part in PARTS[family]:
            attacker.change_manifest(run, lambda manifest, part=part: manifest["components"][part].update(risk="data"))
        run = store.get(key)
    before = store.get(key).manifest.digest
    with nothing_unpickled():
        for name, load in LOOKS.items():
            for part in PARTS[family]:
                with pytest.raises(errors.RiskRefused):
                    load(store, run, part)
                    pytest.fail(f"{name} took it")
        everything_but_loading(store, run, tmp_path)
        with pytest.raises(errors.RiskRefused):
            load_adapter(store.get(key))
        for arguments in (
            ["validate", "--strict"],
            ["export", "--legacy", "--pickles", str(run.ref), str(tmp_path / "old")],
        ):
            done = CliRunner().invoke(app, ["--store", store.url, *arguments])
            assert done.exit_code in {1, 10}, done.output
            assert "RiskRefused" in done.output or "has the risk 'code'" in done.output
        assert not (tmp_path / "old" / family / "BTCEUR" / run.run_id).exists()
        store.retire(f"{key}@production")
        store.retire(key)
        assert store.delete(str(run.ref)).apply().ok
        assert store.undelete(str(run.ref)).manifest.digest == before
        store.delete(str(run.ref)).apply()
        assert store.gc(grace=timedelta(0)).apply().ok
    assert not attacker.folder(run).joinpath("model.joblib").exists()


OLD = ("pickle-4", "bare-canary", "joblib-object-array", "checkpoint-canary", "vecnormalize-canary", "zip-serialized")
SOUND = {"gru": "gru_full_selected", "lightgbm": "lgbm_frame_selected", "ppo": "ppo_vecnorm_box"}
BY_NAME = {hostile.name: hostile for hostile in CORPUS}


def old_tree(root: Path, hostiles: list[Hostile], marker: Path) -> Path:
    """An old tree with a run for each of these files, sound but for that file."""
    for hostile in hostiles:
        folder = root / hostile.model_type / hostile.name / "20240816_142301"
        shutil.copytree(CASES[SOUND[hostile.model_type]].file.parent, folder)
        (folder / hostile.file).write_bytes(hostile.make(marker))
    return root


def replayed_as_old(names: tuple[str, ...], tmp_path: Path, marker: Path) -> None:
    """None of these files sings when an old tree is read in place, looked at, loaded or moved."""
    hostiles = [BY_NAME[name] for name in names]
    tree = old_tree(tmp_path / "models", hostiles, marker)
    with untouched(tree), nothing_unpickled():
        opened = ArtifactStore.open_legacy(tree)
        assert list(opened.runs()) or opened.runs().problems
        opened.verify()
        for hostile in hostiles:
            ref = f"{hostile.model_type}/{hostile.name}:20240816_142301"
            for part in PARTS[hostile.model_type]:
                with suppress(*REFUSED, errors.ComponentNotFound):
                    opened.load(ref, part)
        new = ArtifactStore(tmp_path / "new")
        report = migrate_tree(tree, new)
        assert len(report.runs) == len(hostiles)
        assert new.verify().ok
        done = CliRunner().invoke(app, ["migrate", str(tree), str(tmp_path / "another")])
        assert done.exit_code in {0, 1}, done.output


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Which of the old files their own libraries run: all of them in one process, since that imports torch."""
    home = tmp_path_factory.mktemp("songs")
    files = []
    for name in OLD:
        path = home / f"{name}.file"
        path.write_bytes(BY_NAME[name].make(home / name))
        files.append((str(BY_NAME[name].live), path))
    sing(files)
    return {name for name in OLD if (home / name).exists()}


def test_row_05_old_trees_are_read_and_moved_without_running_them(
    tmp_path: Path, marker: Path, songs: set[str]
) -> None:
    replayed_as_old(OLD[:4], tmp_path, marker)
    assert songs >= {*OLD[:4]}


def test_row_12_a_policy_and_its_normaliser_are_read_without_running_them(
    tmp_path: Path, marker: Path, songs: set[str]
) -> None:
    replayed_as_old(OLD[4:], tmp_path, marker)
    assert songs >= {*OLD[4:]}


# ---------------------------------------------------------------- 8: floors below which the libraries are broken

FLOORS = {"torch": "2.10", "lightgbm": "4.6", "filelock": "3.20.3", "skops": "0.13", "pyarrow": "14.0.1"}


@pytest.mark.parametrize("library", FLOORS)
@pytest.mark.parametrize("broken", ["below"])
def test_row_08_no_broken_version_is_asked_for(library: str, broken: str) -> None:
    """The versions before these floors had the holes of rows 8, 9, 13 and 28, and LightGBM CVE-2024-43598."""
    del broken
    asked = [Requirement(line) for line in requires("artifact-store") or ()]
    named = [each for each in asked if each.name == library]
    assert named
    floor = FLOORS[library]
    parts = [int(part) for part in floor.split(".")]
    parts[-1] -= 1
    before = ".".join(map(str, parts)) + (".999" if len(parts) < 3 else "")
    for each in named:
        assert floor in each.specifier or any(spec.operator == ">=" for spec in each.specifier), each
        assert before not in each.specifier, each


def test_row_08_bytes_are_compared_before_any_library_sees_them(
    store: ArtifactStore, attacker: Attacker, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapped bytes do not reach the parser; bytes with the right digest reach one that knows no pickles."""
    import safetensors.torch
    import torch

    run = store.save(TorchState({"w": torch.ones(3)}, {}), KEY)
    hostile = BY_NAME["checkpoint-canary"].make(marker)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was asked"))
    file = attacker.folder(run) / "model.safetensors"
    file.write_bytes(hostile)
    with monkeypatch.context() as patched:
        patched.setattr(safetensors.torch, "load", lambda *_, **__: pytest.fail("it was parsed"))
        patched.setattr(safetensors, "safe_open", lambda *_, **__: pytest.fail("it was parsed"))
        with pytest.raises(errors.DigestMismatch):
            store.load(KEY)
    attacker.replace(run, "model.safetensors", hostile)
    with nothing_unpickled(), pytest.raises(errors.Corrupt):
        store.load(KEY)


# ---------------------------------------------------------------- 9: no second attempt


class Stubborn:
    """A codec that refuses to decode, and counts how often it is asked."""

    name, version, risk, types, extra = "stubborn", 1, Risk.DATA, ("builtins.bytearray",), None
    asked = 0

    def __init__(self, error: type[Exception] = errors.Corrupt) -> None:
        self.error = error

    def encode(self, obj: Any, directory: Path, stem: str) -> dict[str, Any]:
        (directory / f"{stem}.pkl").write_bytes(obj)
        return {}

    def decode(self, directory: Path, stem: str, options: Any, *, into: Any = None) -> Any:
        Stubborn.asked += 1
        raise self.error("no")


@pytest.mark.parametrize("error", [errors.Corrupt, errors.TypeRefused, ValueError, ImportError, pickle.UnpicklingError])
def test_row_09_a_refusal_is_not_repeated_in_another_way(tmp_path: Path, marker: Path, error: type[Exception]) -> None:
    registry = CodecRegistry()
    registry.register(Stubborn(error))
    store = ArtifactStore(tmp_path / "store", registry=registry)
    store.save(bytearray(pickle.dumps(Canary(marker))), KEY)
    for more in ({}, {"allow_code": True}):
        Stubborn.asked = 0
        with nothing_unpickled(), pytest.raises(error):
            store.load(KEY, **more)
        assert Stubborn.asked == 1


def test_row_09_a_file_that_is_no_skops_goes_to_no_other_loader(
    store: ArtifactStore, attacker: Attacker, tmp_path: Path, marker: Path
) -> None:
    import joblib
    from sklearn.linear_model import LinearRegression

    run = run_of(store, KEY, model=(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), "skops"))
    joblib.dump(Canary(marker), tmp_path / "hostile.skops")
    attacker.replace(run, "model.skops", (tmp_path / "hostile.skops").read_bytes())
    for more in ({}, {"allow_code": True}):
        with nothing_unpickled(), pytest.raises(errors.Corrupt):
            store.load(KEY, **more)
    sings("joblib", tmp_path / "hostile.skops", marker)


# ---------------------------------------------------------------- 10: harmless suffixes


def harmless(marker: Path) -> dict[str, bytes]:
    """A pickle as it is, and in an archive."""
    plain = pickle.dumps(Canary(marker))
    entry = io.BytesIO()
    with zipfile.ZipFile(entry, "w") as archive:
        archive.writestr("arr_0.npy", plain)
        archive.writestr("archive/data.pkl", plain)
    return {"a pickle": plain, "a zip": entry.getvalue()}


def sound_objects() -> dict[str, tuple[Any, str | None]]:
    """An object for each codec that a load may use without anybody's consent, and the file that it makes."""
    import pandas as pd
    from sklearn.preprocessing import StandardScaler

    return {
        "arrays.npz": (np.arange(3.0), None),
        "document.json": ({"a": 1}, None),
        "table.parquet": (pd.DataFrame({"a": [1.0]}), None),
        "scaler.npz": (StandardScaler().fit([[0.0], [1.0]]), None),
        "raw.bin": (b"bytes", None),
    }


@pytest.mark.parametrize("shape", ["a pickle", "a zip"])
def test_row_10_no_suffix_makes_a_pickle_harmless(
    store: ArtifactStore, attacker: Attacker, marker: Path, shape: str
) -> None:
    data = harmless(marker)[shape]
    objects = sound_objects()
    with nothing_unpickled():
        run = run_of(store, KEY, **{name.partition(".")[0]: part for name, part in objects.items()})
        for name in objects:
            attacker.replace(run, next(path for path in run.files if path.startswith(name.partition(".")[0])), data)
        for name in objects:
            component = name.partition(".")[0]
            if component == "raw":
                assert store.load(KEY, component) == data  # bytes are bytes, and nothing looks into them
            else:
                with pytest.raises(errors.Corrupt):
                    store.load(KEY, component)


def test_row_10_no_suffix_makes_code_data(
    store: ArtifactStore, attacker: Attacker, tmp_path: Path, marker: Path
) -> None:
    """The codec decides, not the name: a pickle in model.json is refused as code, and named as what it is."""
    run = run_of(store, KEY, model=({"a": 1}, None))

    def joblib_in_json(manifest: dict[str, Any]) -> None:
        manifest["components"]["model"].update(codec={"name": "joblib", "version": 1}, risk="data")

    hostile = pickle.dumps(Canary(marker))
    attacker.replace(run, "model.json", hostile)
    attacker.change_manifest(run, joblib_in_json)
    with nothing_unpickled(), pytest.raises(errors.RiskRefused, match="joblib-1 has the risk 'code'"):
        store.load(KEY)
    (tmp_path / "model.json").write_bytes(hostile)
    sings("pickle", tmp_path / "model.json", marker)


# ---------------------------------------------------------------- 11: LightGBM's parser

TEXTS = """
import random, sys
sys.modules.update(dict.fromkeys(("sklearn", "pandas")))  # optional for LightGBM, and slow to import
from pathlib import Path
from artifact_store import errors
from artifact_store.codecs.lightgbm.booster import LightGBMCodec
import hashlib, json, tempfile
import numpy as np
source, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sound, settings = source.read_bytes(), json.loads(source.with_suffix(".json").read_bytes())
chance, tally = random.Random(seed), {"read": 0, "refused": 0}
rows = np.zeros((3, settings["num_feature"]))
numbers = [b"-1", b"0", b"7", b"nan", b"0.5"]
def damaged():
    data, kind = bytearray(sound), chance.randrange(5)
    if kind == 0:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 1:
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return bytes(data)
    lines = sound.split(b"\\n")
    place = chance.choice([n for n, line in enumerate(lines) if b"=" in line])
    name, _, value = lines[place].partition(b"=")
    parts = value.split(b" ")
    if kind == 2:
        parts[chance.randrange(len(parts))] = chance.choice(numbers)
    elif kind == 3:
        parts = parts[: chance.randrange(len(parts))] + [chance.choice(numbers)] * chance.randrange(3)
    else:
        return b"\\n".join(lines[:place] + lines[place + 1 :])
    lines[place] = name + b"=" + b" ".join(parts)
    return b"\\n".join(lines)
with tempfile.TemporaryDirectory() as folder:
    for number in range(count):
        data = damaged()
        (Path(folder) / "m.txt").write_bytes(data)
        (Path(folder) / "m.json").write_text(json.dumps({**settings, "sha256": hashlib.sha256(data).hexdigest()}))
        print(number, flush=True)
        try:
            booster = LightGBMCodec().decode(Path(folder), "m", {})
        except errors.Corrupt:
            tally["refused"] += 1
        else:
            booster.predict(rows, num_threads=1)
            tally["read"] += 1
print(json.dumps(tally))
"""


def lightgbm_survives(tmp_path: Path, seed: int, count: int) -> dict[str, int]:
    """Give damaged texts with fitting digests to the codec, in a process that may die; and it does not."""
    import lightgbm

    from artifact_store.codecs.lightgbm.booster import LightGBMCodec

    chance = np.random.default_rng(1)
    table = chance.normal(size=(200, 5))
    table[:, 4] = chance.integers(0, 9, 200)
    data = lightgbm.Dataset(table, table[:, 0] + (table[:, 4] > 3), categorical_feature=[4])
    booster = lightgbm.train({"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 6}, data, 4)
    LightGBMCodec().encode(booster, tmp_path, "sound")
    words = [sys.executable, "-c", TEXTS, str(tmp_path / "sound.txt"), str(seed), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 0, f"the process died at text {last}: {done.stderr[-2000:]}"
    found: dict[str, int] = json.loads(last)
    return found


def test_row_11_a_damaged_text_is_refused_or_predicts(tmp_path: Path) -> None:
    tally = lightgbm_survives(tmp_path, seed=1, count=400)
    assert tally["refused"] > 200
    assert tally["read"] > 20  # what changes a number at a leaf makes another model, and no harm


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 8))
def test_row_11_many_damaged_texts_are_refused_or_predict(tmp_path: Path, seed: int) -> None:
    assert sum(lightgbm_survives(tmp_path, seed=seed, count=2_000).values()) == 2_000


# ---------------------------------------------------------------- 27, 28, 47: data formats


def test_row_27_objects_in_an_array_file_are_not_unpickled(
    store: ArtifactStore, attacker: Attacker, tmp_path: Path, marker: Path
) -> None:
    run = store.save({"a": np.arange(3.0)}, KEY)
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, a=np.array([None, Canary(marker)], dtype=object))
    (tmp_path / "hostile.npz").write_bytes(file.getvalue())
    attacker.replace(run, "model.npz", file.getvalue())
    with nothing_unpickled(), pytest.raises(errors.Corrupt):
        store.load(KEY)
    sings("numpy", tmp_path / "hostile.npz", marker)


def test_row_28_an_extension_type_in_a_table_is_refused(store: ArtifactStore, attacker: Attacker) -> None:
    """The name of a type whose parameters old pyarrow unpickled. One that is registered is asked to read them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked: list[bytes] = []

    class Registered(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no types
        def __init__(self) -> None:
            super().__init__(pa.int64(), "arrow.py_extension_type")

        def __arrow_ext_serialize__(self) -> bytes:
            return b"a note"

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> Any:
            asked.append(serialized)
            return cls()

    pa.register_extension_type(Registered())
    try:
        table = pa.table({"a": pa.ExtensionArray.from_storage(Registered(), pa.array([1, 2]))})
        file = io.BytesIO()
        pq.write_table(table, file)
        run = store.save(pa.table({"a": [1, 2]}), KEY)
        attacker.replace(run, "model.parquet", file.getvalue())
        with nothing_unpickled(), pytest.raises(errors.Corrupt, match="extension type"):
            store.load(KEY)
        assert set(asked) <= {b"a note"}
    finally:
        pa.unregister_extension_type("arrow.py_extension_type")
    with nothing_unpickled():
        found = None
        with suppress(errors.Corrupt):
            found = store.load(KEY)
        assert found is None or found.column("a").to_pylist() == [1, 2]


def tensors(header: bytes, data: bytes = b"\0" * 12, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


ONE = b'{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'
ODD_TENSORS = {
    "bytes behind": tensors(ONE, b"\0" * 34),
    "bytes between": tensors(b'{"w":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}}', b"\0" * 16),
    "twice": tensors(ONE[:-1] + b"," + ONE[1:]),
    "twice in one": tensors(b'{"w":{"dtype":"F32","shape":[3],"shape":[1],"data_offsets":[0,12]}}'),
    "overlapping": tensors(ONE[:-1] + b',"v":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'),
    "beyond": tensors(b'{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,1200]}}'),
    "enormous": tensors(b'{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,12]}}'),
    "negative": tensors(b'{"w":{"dtype":"F32","shape":[-3],"data_offsets":[0,12]}}'),
    "long header": tensors(ONE, length=(1 << 63) - 1),
    "longest header": tensors(ONE, length=(1 << 64) - 1),
    "header of 100 MB": tensors(ONE, length=100_000_000),
    "short": b"\x01",
    "empty": b"",
    "no JSON": tensors(b"\x80\x04pickle."),
    "deep": tensors(b"[" * 1_000),
}


@pytest.mark.parametrize("odd", ODD_TENSORS)
def test_row_47_tensors_have_one_reading(store: ArtifactStore, attacker: Attacker, odd: str) -> None:
    import torch

    run = store.save(TorchState({"w": torch.zeros(3)}, {}), KEY)
    attacker.replace(run, "model.safetensors", tensors(ONE))
    assert store.load(KEY).state["w"].tolist() == [0.0, 0.0, 0.0]
    attacker.replace(run, "model.safetensors", ODD_TENSORS[odd])
    with pytest.raises(errors.Corrupt):
        store.load(KEY)


# ---------------------------------------------------------------- 29, 46: names of modules and functions


def test_row_29_no_name_in_a_configuration_is_imported(
    store: ArtifactStore, attacker: Attacker, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    module = tmp_path / "modules" / "evil_canary.py"
    module.parent.mkdir()
    module.write_text(f"import os\nos.system({command(marker)!r})\n\nclass Layer:\n    pass\n")
    monkeypatch.syspath_prepend(str(module.parent))
    evil = {
        "module": "evil_canary",
        "class_name": "Layer",
        "registered_name": "evil_canary>Layer",
        "py/object": "evil_canary.Layer",
    }
    run = store.save(TorchState({"w": torch.zeros(3)}, evil), KEY, config=evil, tags={"predictor": "evil_canary:Layer"})

    def names(manifest: dict[str, Any]) -> None:
        part = manifest["components"]["model"]
        part.update(type="evil_canary.Layer", options=evil)
        manifest["environment"] = evil

    attacker.change_manifest(run, names)
    with nothing_unpickled():
        assert store.load(KEY).config == evil  # kept, as the words that they are
        everything_but_loading(store, store.get(KEY), tmp_path)
        CliRunner().invoke(app, ["--store", store.url, "validate"])
    for codec in (
        "evil_canary",
        "evil-canary",
        "os",
        "evil_canary:Layer",
        "artifact_store.codecs.sklearn.joblib:JoblibCodec",
    ):
        attacker.change_manifest(
            run,
            lambda manifest, codec=codec: manifest["components"]["model"].update(codec={"name": codec, "version": 1}),
        ) if codec in {"os", "evil-canary"} else None
        if codec in {"os", "evil-canary"}:
            with pytest.raises(errors.CodecUnavailable):
                store.load(KEY)
    assert "evil_canary" not in sys.modules
    sings("import", module, marker)


def operator_node(schema: dict[str, Any]) -> None:
    """A function of ``operator`` in the place of a coefficient."""
    word = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "__id__": 901, "content": '"upper"', "is_json": True}  # fmt: skip
    schema["content"]["content"]["coef_"] = {
        "__class__": "methodcaller", "__module__": "operator", "__loader__": "OperatorFuncNode", "__id__": 900,
        "attrs": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "__id__": 902, "content": [word]},
    }  # fmt: skip


def method_node(schema: dict[str, Any]) -> None:
    """A method of the coefficient in its place."""
    inner = schema["content"]["content"]["coef_"]
    schema["content"]["content"]["coef_"] = {
        "__class__": "LinearRegression", "__module__": "sklearn.linear_model._base", "__loader__": "MethodNode", "__id__": 900,
        "content": {"func": "get_params", "obj": inner},
    }  # fmt: skip


@pytest.mark.parametrize("node", [operator_node, method_node])
def test_row_46_a_node_of_skops_calls_nothing(
    store: ArtifactStore, attacker: Attacker, node: Callable[[dict[str, Any]], None]
) -> None:
    from sklearn.linear_model import LinearRegression

    run = run_of(store, KEY, model=(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), "skops"))
    file = io.BytesIO()
    with zipfile.ZipFile(attacker.folder(run) / "model.skops") as source, zipfile.ZipFile(file, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename == "schema.json":
                schema = json.loads(data)
                node(schema)
                data = json.dumps(schema).encode()
            target.writestr(info.filename, data)
    attacker.replace(run, "model.skops", file.getvalue())
    before = photograph(attacker.root)
    for more in ({}, {"allow_code": True}):
        with nothing_unpickled(), pytest.raises(errors.TypeRefused):
            store.load(KEY, **more)
    assert photograph(attacker.root) == before
