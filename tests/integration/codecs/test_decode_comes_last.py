"""Hashes and signatures come before decoding: with every codec, and through every door that leads to one.

The codecs, the comparison of digests and that of signatures are the real ones; each of them writes down when it was
there. What was damaged is decoded through no door at all.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner
from sb3_contrib import ARS
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecFrameStack

from artifact_store import ArtifactStore, CodecRegistry, Example, FeatureSchema, TorchState, errors
from artifact_store.cli.app import app
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer, RunningStatistics
from artifact_store.core import trust
from artifact_store.ops import read as fetch
from artifact_store.storage import transfer
from tests.environments import ACTIONS, BOX, tiny
from tests.keys import pem, signer, strict
from tests.legacy_cases import old_tree

pytestmark = [pytest.mark.xdist_group("decode"), pytest.mark.filterwarnings("ignore::UserWarning")]
KEY = "linear/BEST"
ROWS = np.arange(12.0).reshape(4, 3)
LABELS = np.array([0, 1, 0, 1])
CODECS = (
    *("arrays", "arrow", "joblib", "json", "lightgbm", "lightgbm-sklearn", "pandas", "polars", "raw", "sb3"),
    *("sb3-contrib", "sb3-replay", "sb3-wrappers", "sklearn", "skops", "torch-state", "torch-tree", "vecnormalize"),
)
PREDICTORS = """
class Linear:
    tolerance = 1e-6

    def __init__(self, run):
        self.weights = run.load()

    def predict(self, inputs):
        return inputs @ self.weights
"""


def objects() -> dict[str, Any]:
    """One object for each codec that is shipped, by its name."""
    rows = np.random.default_rng(7).normal(size=(60, 3))
    labels = (rows[:, 0] > 0).astype(int)
    quick = {"n_estimators": 2, "num_leaves": 3, "min_child_samples": 2, "verbose": -1, "n_jobs": 1}
    return {
        "arrays": {"a": ROWS, "b": LABELS},
        "arrow": pa.table({"a": [1, 2], "b": ["x", "y"]}),
        "joblib": {"anything": {1, 2}},
        "json": {"a": [1, 2.5, None]},
        "lightgbm": lgb.LGBMClassifier(**quick).fit(rows, labels).booster_,
        "lightgbm-sklearn": lgb.LGBMClassifier(**quick).fit(rows, labels),
        "pandas": pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}),
        "polars": pl.DataFrame({"a": [1, 2]}),
        "raw": b"bytes",
        "sb3": PPO("MlpPolicy", tiny(), n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]}, device="cpu"),
        "sb3-contrib": ARS("LinearPolicy", tiny(), n_delta=1, seed=1),
        "sb3-replay": ReplayBuffer(4, BOX, ACTIONS, device="cpu"),
        "sb3-wrappers": VecFrameStack(tiny(), 2),
        "sklearn": StandardScaler().fit(rows),
        "skops": DecisionTreeClassifier(max_depth=2).fit(rows, labels),
        "torch-state": TorchState({"weight": torch.ones(2, 3)}, {"size": 3}),
        "torch-tree": {"model": {"weight": torch.ones(2, 3)}, "epoch": 3},
        "vecnormalize": ObservationNormalizer(_statistics((3,)), _statistics(())),
    }


def _statistics(shape: tuple[int, ...]) -> RunningStatistics:
    return RunningStatistics(np.zeros(shape), np.ones(shape), 4.0)


class Events:
    """What happened, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def decoded(self) -> list[str]:
        return [name for what, name in self.all if what == "decoded"]

    def check(self, run: Any, *, signed: bool = True) -> None:
        """Assert that all files of a component were compared, and a signature was good, before it was decoded."""
        for place, (what, name) in enumerate(self.all):
            if what == "decoded":
                before = self.all[:place]
                assert {("hashed", path) for path in run.manifest.components[name].files} <= set(before), name
                assert not signed or any(what == "signed" for what, _ in before), name


@pytest.fixture(scope="module")
def events() -> Iterator[Events]:
    """Listen to the real parts."""
    events = Events()
    with pytest.MonkeyPatch.context() as patch:
        check_digest, check_signature = transfer.check_digest, trust.check_signature

        def hashed(file: Any, found: Any) -> None:
            check_digest(file, found)
            events.all.append(("hashed", file.path))

        def signed(data: bytes, key: Any, manifest: Any, what: str) -> None:
            check_signature(data, key, manifest, what)
            events.all.append(("signed", manifest.label))

        patch.setattr(transfer, "check_digest", hashed)
        patch.setattr(fetch, "check_digest", hashed)
        patch.setattr(trust, "check_signature", signed)
        for ref in CodecRegistry()._installed:
            kind = type(CodecRegistry().for_ref(ref))
            patch.setattr(kind, "decode", heard(kind.decode, events))
        yield events


def heard(decode: Callable[..., Any], events: Events) -> Callable[..., Any]:
    def decoding(self: Any, directory: Path, stem: str, *args: Any, **more: Any) -> Any:
        events.all.append(("decoded", stem))
        return decode(self, directory, stem, *args, **more)

    return decoding


class World:
    def __init__(self, folder: Path, events: Events) -> None:
        self.url, self.events, self.folder = folder / "store", events, folder
        (folder / "owner.pem").write_bytes(pem())
        with ArtifactStore(self.url, signer=signer()) as store, store.new_run(KEY) as draft:
            draft.add("model", np.array([1.0, -1.0, 0.5]))
            draft.features = FeatureSchema(["a", "b", "c"])
            draft.add_example(Example(ROWS, ROWS @ np.array([1.0, -1.0, 0.5])))
            for name, value in objects().items():
                draft.add(name.replace("-", "_"), value, codec=name)
            self.run = draft.commit()
        assert {str(each.codec.name) for each in self.run.manifest.components.values()} >= set(CODECS)
        events.all.clear()

    def reader(self, *, signed: bool = True) -> ArtifactStore:
        return ArtifactStore(self.url, policy=strict()) if signed else ArtifactStore(self.url)

    def cli(self, *arguments: object) -> Any:
        return CliRunner().invoke(app, ["--store", str(self.url), *map(str, arguments)])


@pytest.fixture(scope="module")
def world(events: Events, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("decode")
    site = folder / "site" / "toys-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text("[artifact_store.predictors]\nlinear = toy_linear:Linear\n")
    (folder / "site" / "toy_linear.py").write_text(PREDICTORS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "site")
        yield World(folder, events)


@pytest.fixture(autouse=True)
def _nothing_yet(events: Events) -> Iterator[None]:
    events.all.clear()
    yield
    events.all.clear()


def component(codec: str) -> str:
    return codec.replace("-", "_")


# ---------------------------------------------------------------- in this order


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_each_codec_decodes_what_was_compared(world: World, codec: str, *, signed: bool) -> None:
    with world.reader(signed=signed) as reader:
        more = {"allow_code": True} if codec == "joblib" and not signed else {}
        reader.load(KEY, component(codec), **more)
    assert {*world.events.decoded()} == {component(codec)}
    world.events.check(world.run, signed=signed)


def through_get(world: World, reader: ArtifactStore) -> None:
    reader.get(str(world.run.ref)).load("json")


def through_the_example(world: World, reader: ArtifactStore) -> None:
    assert reader.get(KEY).load_example() is not None


def through_predictions(world: World, reader: ArtifactStore) -> None:
    assert reader.verify(KEY, predict=True).ok


def through_predictions_of_a_run(world: World, reader: ArtifactStore) -> None:
    assert reader.get(KEY).verify(predict=True).ok


def through_the_command_verify(world: World, reader: ArtifactStore) -> None:
    assert world.cli("verify", KEY, "--predict").exit_code == 0


def through_the_command_validate(world: World, reader: ArtifactStore) -> None:
    found = json.loads(world.cli("validate", "--json").stdout)
    assert "arrow" in json.dumps(found)


DOORS = {
    through_get: True,
    through_the_example: True,
    through_predictions: True,
    through_predictions_of_a_run: True,
    through_the_command_verify: False,  # without keys it asks for no signature
    through_the_command_validate: False,
}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_door_that_decodes(world: World, door: Callable[[World, ArtifactStore], None]) -> None:
    with world.reader() as reader:
        door(world, reader)
    assert world.events.decoded()
    world.events.check(world.run, signed=DOORS[door])


def test_doors_that_decode_nothing(world: World, tmp_path: Path) -> None:
    with world.reader() as reader:
        run = reader.get(KEY)
        for shown in (run.metadata, run.files, run.features, str(run.ref), run.components):
            assert shown
        assert reader.verify(KEY).ok
        assert not reader.diff(KEY, str(run.ref))
        run.check_signature()
        run.download(tmp_path / "copy")
        run.open("json.json").close()
        assert list(reader.models())
        assert reader.history(KEY)
    for command in (["ls"], ["show", KEY], ["diff", KEY, str(world.run.ref)], ["history", KEY], ["verify", KEY]):
        assert world.cli(*command).exit_code == 0, command
    assert world.events.decoded() == []


def test_an_old_tree_is_migrated_and_exported_in_this_order(world: World, tmp_path: Path) -> None:
    root = old_tree(tmp_path)
    with ArtifactStore.open_legacy(root) as old:
        old.load("lightgbm/BTCEUR")
    target = tmp_path / "new"
    migrated = CliRunner().invoke(app, ["--store", str(target), "migrate", str(root)])
    assert migrated.exit_code in {0, 1}, migrated.output
    with ArtifactStore(target) as store:
        run = store.get("lightgbm/BTCEUR")
        world.events.all.clear()
        exported = CliRunner().invoke(
            app, ["--store", str(target), "export", "--legacy", "--pickles", str(run.ref), str(tmp_path / "again")]
        )
        assert exported.exit_code == 0, exported.output
        assert "model" in world.events.decoded()
        world.events.check(run, signed=False)


# ---------------------------------------------------------------- and nothing that was damaged


def all_doors(world: World, reader: ArtifactStore, name: str, folder: Path) -> Iterator[Callable[[], object]]:
    run = str(world.run.ref)
    yield lambda: reader.load(KEY, name, allow_code=True)
    yield lambda: reader.get(run).load(name, sha256=world.run.manifest.digest)
    yield lambda: reader.verify(KEY, predict=True)
    yield lambda: reader.get(run).verify(predict=True)
    yield lambda: reader.get(run).download(Path(tempfile.mkdtemp(dir=folder), "copy"))
    yield lambda: world.cli("verify", KEY, "--predict")
    yield lambda: world.cli("validate")
    yield lambda: world.cli("show", KEY)


@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_file_is_decoded_through_no_door(world: World, codec: str, tmp_path: Path) -> None:
    name = component(codec)
    for path in world.run.manifest.components[name].files:
        stored = Path(world.run.url(path))
        before = stored.read_bytes()
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        for data in (bytes(changed), before[:-1], before + b"\0"):
            stored.write_bytes(data)
            with world.reader() as reader:
                for door in all_doors(world, reader, name, tmp_path):
                    outcome: Any = None
                    try:
                        outcome = door()
                    except errors.DigestMismatch:
                        continue
                    assert getattr(outcome, "ok", None) is not True or hasattr(outcome, "exit_code")
            assert name not in world.events.decoded(), codec
        stored.write_bytes(before)


@pytest.mark.parametrize("signed", [True, False], ids=["another key", "no signature"])
def test_nor_what_nobody_vouches_for(world: World, *, signed: bool) -> None:
    policy = strict("stranger") if signed else strict()
    where = Path(world.run.url("json.json")).with_name("_signatures")
    hidden = where.with_name("_away")
    if not signed:
        where.rename(hidden)
    try:
        with ArtifactStore(world.url, policy=policy) as reader:
            for codec in CODECS:
                for ref in (KEY, str(world.run.ref)):
                    with pytest.raises(errors.Untrusted):
                        reader.load(ref, component(codec), allow_code=True)
    finally:
        if not signed:
            hidden.rename(where)
    assert world.events.decoded() == []
