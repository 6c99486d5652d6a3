"""The files of the codecs, one of which the first byte of an input chooses: npz, safetensors, JSON, Parquet, boosters.

Some of them are read by compiled code. What LightGBM, XGBoost, CatBoost and scikit-learn do with them is tried in a
process of its own, since it may not survive; for the others the whole target runs in one, and the input that ended it is
kept. CatBoost's own file is not changed: its reader does not survive that, so the codec compares its digest first.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.catboost.model import CatBoostCodec
from artifact_store.codecs.documents import DocumentCodec
from artifact_store.codecs.lightgbm.booster import LightGBMCodec, read_booster
from artifact_store.codecs.nested import ArrayTreeCodec
from artifact_store.codecs.random_states import RandomStateCodec
from artifact_store.codecs.sb3.policy import SB3ContribCodec
from artifact_store.codecs.sb3.replay import ReplayBufferCodec
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer, RunningStatistics, VecNormalizeCodec
from artifact_store.codecs.sb3.wrappers import WrapperCodec
from artifact_store.codecs.sklearn.estimators import EstimatorCodec
from artifact_store.codecs.sklearn.scalers import ScalerCodec
from artifact_store.codecs.sparse import SparseCodec
from artifact_store.codecs.tables.arrow import ArrowCodec
from artifact_store.codecs.tables.pandas import PandasCodec
from artifact_store.codecs.torch.nested import TorchTreeCodec
from artifact_store.codecs.torch.state import TorchState, TorchStateCodec
from artifact_store.codecs.xgboost.booster import XGBoostCodec
from artifact_store.errors import CodecUnavailable, Corrupt, Unavailable
from tests.proofs.fuzz.changing import change_bytes, change_json, change_text
from tests.proofs.fuzz.running import Target

STEM = "m"
_TYPED = (Corrupt, CodecUnavailable, Unavailable)
_HEADER = 8


def _rows() -> tuple[Any, Any]:
    import numpy as np

    rows = np.random.default_rng(7).normal(size=(60, 3))
    return rows, (rows[:, 0] > 0).astype(int)


def _arrays() -> Any:
    rows, labels = _rows()
    return {"a": rows[:3], "b": labels[:4]}


def _tree() -> Any:
    rows, labels = _rows()
    return {"w": [rows[:3], labels[:2]], "b": {1: labels[:4], "n": (1, float("nan"), rows[0, 0])}}


def _sparse() -> Any:
    from scipy import sparse

    return sparse.csr_array(_rows()[0][:6] > 0.5)


def _tensors() -> Any:
    import torch

    return TorchState({"w": torch.ones(2, 3), "b": torch.zeros(2)}, {"n": 3})


def _normalizer() -> Any:
    import numpy as np

    statistics = (RunningStatistics(np.zeros(shape), np.ones(shape), 4.0) for shape in ((3,), ()))
    return ObservationNormalizer(*statistics)


def _scaler() -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(_rows()[0])


def _table() -> Any:
    import pyarrow as pa

    return pa.table({"a": [1, 2, None], "b": ["x", "y", "x"], "c": [[1], [], None]})


def _frame() -> Any:
    import pandas as pd

    return pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})


def _booster() -> Any:
    import lightgbm

    quick = {"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 2, "verbose": -1, "num_threads": 1}
    return lightgbm.train(quick, lightgbm.Dataset(*_rows()), 2)


def _xgboost() -> Any:
    import xgboost

    return xgboost.XGBClassifier(n_estimators=2, max_depth=2, n_jobs=1).fit(*_rows())


def _catboost() -> Any:
    import catboost

    quick = {"iterations": 2, "depth": 2, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    return catboost.CatBoostClassifier(**quick).fit(*_rows())


def _boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # a child that is forked cannot use the threads of its parent
    members = [
        ("boosting", HistGradientBoostingClassifier(max_iter=2, max_depth=2, random_state=1)),
        ("neighbours", KNeighborsClassifier(3, leaf_size=9)),
        ("forest", RandomForestClassifier(2, max_depth=2, random_state=1)),
    ]
    return VotingClassifier(members, voting="soft").fit(*_rows())


def _agent() -> Any:
    from sb3_contrib import QRDQN

    from tests.environments import THREE, tiny

    env = tiny(action_space=THREE)
    kwargs = {"net_arch": [4], "n_quantiles": 3}
    return QRDQN("MlpPolicy", env, buffer_size=9, learning_starts=4, batch_size=4, policy_kwargs=kwargs).learn(8)


def _replay() -> Any:
    return _agent().replay_buffer


def _wrappers() -> Any:
    from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

    from tests.environments import tiny

    return VecFrameStack(VecNormalize(tiny()), 4)


def _generator() -> Any:
    import numpy as np

    return np.random.RandomState(5)


_EXAMPLES: dict[str, tuple[Any, Callable[[], Any], str]] = {
    # a codec, something that it stores, and the ending of the file that is changed
    "arrays": (ArrayCodec(), _arrays, "npz"),
    "array tree": (ArrayTreeCodec(), _tree, "json"),
    "sparse": (SparseCodec(), _sparse, "npz"),
    "json": (DocumentCodec(), lambda: {"a": [1, 2.5, None, {"b": "c"}]}, "json"),
    "tensors": (TorchStateCodec(), _tensors, "safetensors"),
    "torch settings": (TorchStateCodec(), _tensors, "json"),
    "torch tree": (TorchTreeCodec(), lambda: {"model": _tensors().state, "epoch": 3, "best": (float("inf"),)}, "json"),
    "normalizer": (VecNormalizeCodec(), _normalizer, "json"),
    "scaler": (ScalerCodec(), _scaler, "json"),
    "arrow": (ArrowCodec(), _table, "parquet"),
    "pandas": (PandasCodec(), _frame, "parquet"),
    "lightgbm": (LightGBMCodec(), _booster, "txt"),
    "xgboost": (XGBoostCodec(), _xgboost, "ubj"),
    "xgboost settings": (XGBoostCodec(), _xgboost, "json"),
    "estimators": (EstimatorCodec(), _boosting, "json"),
    "arrays of estimators": (EstimatorCodec(), _boosting, "npz"),
    "agent": (SB3ContribCodec(), _agent, "json"),
    "tensors of an agent": (SB3ContribCodec(), _agent, "safetensors"),
    "replay buffer": (ReplayBufferCodec(), _replay, "json"),
    "arrays of a replay buffer": (ReplayBufferCodec(), _replay, "npz"),
    "wrappers": (WrapperCodec(), _wrappers, "json"),
    "random state": (RandomStateCodec(), _generator, "json"),
}
if find_spec("catboost"):  # at the end: the places of the others stay
    _EXAMPLES["catboost settings"] = (CatBoostCodec(), _catboost, "json")
NAMES = tuple(_EXAMPLES)
_NATIVE = ("xgboost", "estimators", "arrays of estimators", "random state", "catboost settings")


class _Sample:
    """What a codec wrote, and how its file is read when it has changed."""

    def __init__(self, name: str) -> None:
        codec, make, ending = _EXAMPLES[name]
        self.name, self.codec, self.ending, self.file = name, codec, ending, f"{STEM}.{ending}"
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-codec-"))
        self.options: Mapping[str, Any] = codec.encode(make(), self.folder, STEM)
        self.content = (self.folder / self.file).read_bytes()

    def read(self, data: bytes) -> None:
        (self.folder / self.file).write_bytes(data)
        if self.name == "lightgbm":
            survived(lambda: self._booster(data))
        elif self.name in _NATIVE:
            survived(self._native)
        else:
            self.codec.decode(self.folder, STEM, self.options)

    def _native(self) -> None:
        """Read the file, and ask what was read of some rows; it may refuse, and not die."""
        model = self.codec.decode(self.folder, STEM, self.options)
        for ask in ("predict", "predict_proba", "permutation", "random_raw"):
            with suppress(Exception):
                getattr(model, ask)(_rows()[0][:5] if ask.startswith("predict") else 700)

    def _booster(self, data: bytes) -> None:
        """Read a text whose digest fits: as if whoever changed it could change that as well."""
        settings = json.loads((self.folder / f"{STEM}.json").read_bytes())
        settings["sha256"] = hashlib.sha256(data).hexdigest()
        _use(read_booster(self.codec, settings, self.folder / self.file))


def _use(booster: Any) -> None:
    """Ask the booster for all that it can say of some rows and of itself.

    LightGBM may refuse, and not die. What it says of itself is no JSON where a number is none.
    """
    import lightgbm

    rows = _rows()[0][:5]
    for ask in (
        lambda: booster.predict(rows, num_threads=1),
        lambda: booster.predict(rows, num_threads=1, pred_leaf=True),
        lambda: booster.predict(rows, num_threads=1, pred_contrib=True),
        lambda: booster.feature_importance("gain"),
        booster.model_to_string,
        booster.dump_model,
        booster.trees_to_dataframe,
    ):
        with suppress(lightgbm.basic.LightGBMError, json.JSONDecodeError):
            ask()


def survived(call: Callable[[], None], *, seconds: int = 20, tries: int = 3) -> None:
    """Make the call in a child: what it raises is raised here, and how it died is told.

    A child that is forked while another thread holds a lock waits for it in vain, so one that does not end is tried
    again: a call that never ends never does.
    """
    for _ in range(tries):
        status = _in_child(call, seconds)
        if status != -signal.SIGALRM:
            break
    assert status >= 0, f"the process was killed by signal {-status}"
    assert status < 2, "something else than our own errors was raised"
    if status:
        raise Corrupt("in the child")


def _in_child(call: Callable[[], None], seconds: int) -> int:
    child = os.fork()
    if not child:
        status = 3
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            call()
        except _TYPED:
            status = 1
        except BaseException:  # noqa: BLE001 -- told by the status
            status = 2
        else:
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@cache
def sample(name: str) -> _Sample:
    return _Sample(name)


def corpus() -> list[bytes]:
    return [bytes([place]) + sample(name).content for place, name in enumerate(NAMES)]


def read(data: bytes) -> str:
    chosen = sample(NAMES[data[0] % len(NAMES)] if data else NAMES[0])
    chosen.read(data[1:])
    return f"{chosen.name}: read"


def mutate(data: bytes, chance: Random) -> bytes:
    """Change a file as what it is: the JSON of a header, words of a text, the metadata of a table, or any byte."""
    place, content = data[:1] or b"\0", data[1:]
    name = NAMES[place[0] % len(NAMES)]
    ending = _EXAMPLES[name][2]
    if ending == "json":
        return place + change_json(content, chance)
    if ending == "npz" and chance.random() < 0.8:
        return place + _change_entry(content, chance)
    if ending == "safetensors" and len(content) > _HEADER and chance.random() < 0.7:
        return place + _change_header(content, chance)
    if name == "lightgbm":
        return place + change_text(content, chance, _WORDS)
    return place + change_bytes(content, chance)


_WORDS = (
    "=",
    "-1",
    "99",
    "num_leaves=3\n",
    "nan",
    "tree_sizes=",
    "Tree=0\n",
    "end of trees\n",
    " ",
)


def _change_entry(content: bytes, chance: Random) -> bytes:
    """Change the bytes of one array, with a checksum that fits."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {each.filename: archive.read(each) for each in archive.infolist()}
        name = chance.choice(list(entries))
    except Exception:  # noqa: BLE001 -- it was changed before
        return change_bytes(content, chance)
    entries[name] = change_bytes(entries[name], chance)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for each, data in entries.items():
            archive.writestr(each, data)
    return file.getvalue()


def _change_header(content: bytes, chance: Random) -> bytes:
    size = struct.unpack("<Q", content[:_HEADER])[0]
    header = change_json(content[_HEADER : _HEADER + size], chance)
    return struct.pack("<Q", len(header)) + header + content[_HEADER + size :]


TARGET = Target("codecs", read, corpus, mutate, typed=_TYPED, isolated=True)
