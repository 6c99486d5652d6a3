"""Models of some megabytes, written and read by a codec and by their own library: times and sizes."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.place import Place
from benchmarks.work import Work

ROWS, COLUMNS, THREADS = 60_000, 20, 2


Saves = Callable[[Any, Path], object]
Loads = Callable[[Path], object]


@dataclass(frozen=True)
class Model:
    """A codec, a model that is made when it is asked for, and how others write and read it as one file."""

    codec: str
    made: Callable[[float], Any]
    others: Mapping[str, tuple[Saves, Loads]]


def _data(scale: float) -> tuple[Any, Any]:
    rows = np.random.default_rng(0).normal(size=(max(200, int(ROWS * scale)), COLUMNS))
    return rows, rows[:, 0] * rows[:, 1] + np.random.default_rng(1).normal(size=len(rows))


def _times(rounds: int, scale: float) -> int:
    return max(3, int(rounds * scale))


def _xgboost(rounds: int, depth: int) -> Callable[[float], Any]:
    def made(scale: float) -> Any:
        import xgboost as xgb

        settings = {"nthread": THREADS, "max_depth": depth}
        return xgb.train(settings, xgb.DMatrix(*_data(scale)), _times(rounds, scale))

    return made


def _save_xgboost(model: Any, path: Path) -> object:
    return path.write_bytes(model.save_raw("ubj"))


def _load_xgboost(path: Path) -> object:
    import xgboost as xgb

    return xgb.Booster(model_file=bytearray(path.read_bytes()))


def _catboost(scale: float) -> Any:
    from catboost import CatBoostRegressor

    rounds = _times(300, scale)
    model = CatBoostRegressor(iterations=rounds, depth=10, verbose=0, thread_count=THREADS, allow_writing_files=False)
    return model.fit(*_data(scale))


def _save_catboost(model: Any, path: Path) -> object:
    return model.save_model(str(path))


def _load_catboost(path: Path) -> object:
    from catboost import CatBoostRegressor

    return CatBoostRegressor().load_model(str(path))


def _lightgbm(scale: float) -> Any:
    import lightgbm as lgb

    settings = {"verbose": -1, "num_threads": THREADS, "num_leaves": 255}
    return lgb.train(settings, lgb.Dataset(*_data(scale)), _times(400, scale))


def _save_lightgbm(model: Any, path: Path) -> object:
    return model.save_model(path)


def _load_lightgbm(path: Path) -> object:
    import lightgbm as lgb

    return lgb.Booster(model_file=path)


def _boosting(scale: float) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(max_iter=_times(400, scale), max_leaf_nodes=255, early_stopping=False)
    return model.fit(*_data(scale))


def _neighbours(scale: float) -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor().fit(*_data(scale))


def _pickle(model: Any, path: Path) -> object:
    return path.write_bytes(pickle.dumps(model))


def _unpickle(path: Path) -> object:
    return pickle.loads(path.read_bytes())  # noqa: S301 -- what was written a moment ago


def _joblib(model: Any, path: Path) -> object:
    return import_module("joblib").dump(model, path)


def _load_joblib(path: Path) -> object:
    return import_module("joblib").load(path)


def _checkpoint(scale: float) -> Any:
    import torch

    width = max(8, int(512 * scale))
    model = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(3)))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, width)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}


def _tensors(scale: float) -> Any:
    import torch

    return {f"layer.{place}.weight": torch.ones(40, 40) for place in range(_times(1600, scale))}


def _torch(model: Any, path: Path) -> object:
    return import_module("torch").save(model, path)


def _load_torch(path: Path) -> object:
    return import_module("torch").load(path, weights_only=True)


ESTIMATORS = "artifact_store.codecs.sklearn.estimators:EstimatorCodec"
XGBOOST = "artifact_store.codecs.xgboost.booster:XGBoostCodec"
CATBOOST = "artifact_store.codecs.catboost.model:CatBoostCodec"
LIGHTGBM = "artifact_store.codecs.lightgbm.booster:LightGBMCodec"
PICKLES = {"pickle": (_pickle, _unpickle), "joblib": (_joblib, _load_joblib)}
TREE = "artifact_store.codecs.torch.nested:TorchTreeCodec"
MODELS = {
    "xgboost": Model(XGBOOST, _xgboost(1500, 7), {"own": (_save_xgboost, _load_xgboost)}),
    "xgboost-large-trees": Model(XGBOOST, _xgboost(250, 11), {"own": (_save_xgboost, _load_xgboost)}),
    "catboost": Model(CATBOOST, _catboost, {"own": (_save_catboost, _load_catboost)}),
    "lightgbm": Model(LIGHTGBM, _lightgbm, {"own": (_save_lightgbm, _load_lightgbm)}),
    "boosting": Model(ESTIMATORS, _boosting, PICKLES),
    "neighbours": Model(ESTIMATORS, _neighbours, PICKLES),
    "checkpoint": Model(TREE, _checkpoint, {"own": (_torch, _load_torch)}),
    "many-tensors": Model(TREE, _tensors, {"own": (_torch, _load_torch)}),
}


def trained(place: Place, *, model: str, percent: int) -> dict[str, str]:
    """Fill: the model, pickled, so that it is trained once."""
    warnings.simplefilter("ignore")
    path = place.path("trained")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(MODELS[model].made(percent / 100)))
    return {"trained": str(path)}


def work(place: Place, *, model: str, percent: int, what: str, by: str = "") -> Work:
    """Write or read a model with its codec, or ``by`` other means. Returns the size of what was written."""
    del percent
    warnings.simplefilter("ignore")
    case, kept = MODELS[model], place.folder / "model"
    kept.mkdir()
    module, _, name = case.codec.partition(":")
    made, codec = _unpickle(Path(place.facts["trained"])), getattr(import_module(module), name)()
    options: dict[str, Any] = {}

    def save(_: int) -> dict[str, float]:
        if by:
            case.others[by][0](made, kept / by)
        else:
            options.update(codec.encode(made, kept, "model"))
        return {"bytes": float(sum(path.stat().st_size for path in kept.iterdir()))}

    def load(_: int) -> None:
        if by:
            case.others[by][1](kept / by)
        else:
            codec.decode(kept, "model", options)

    if what == "load":
        save(0)
    return Work(save if what == "save" else load)
