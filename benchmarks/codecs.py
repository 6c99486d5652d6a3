"""Size and time of models in the codecs, as ratios to what their own library writes and reads.

``python benchmarks/codecs.py``: one process, each time the best of several, models of some megabytes. A library that is
not installed is left out. ``pickle`` and ``joblib`` are what scikit-learn offers.
"""

from __future__ import annotations

import pickle
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS = np.random.default_rng(0).normal(size=(60_000, 20))
TARGET = ROWS[:, 0] * ROWS[:, 1] + np.random.default_rng(1).normal(size=60_000)
TIMES = 7


def best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def compare(name: str, codec: Any, model: Any, save: Callable[[Path], Any], load: Callable[[Path], Any]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        own, ours = Path(scratch) / "own", Path(scratch) / "ours"
        ours.mkdir()
        theirs = best(lambda: save(own)), best(lambda: load(own))
        options = codec.encode(model, ours, "model")
        here = best(lambda: codec.encode(model, ours, "model")), best(lambda: codec.decode(ours, "model", options))
        size = sum(path.stat().st_size for path in ours.iterdir())
        print(
            f"{name:32} {own.stat().st_size / 1e6:6.1f} MB   size x{size / own.stat().st_size:.2f}   "
            f"save {theirs[0] * 1e3:6.1f} ms x{here[0] / theirs[0]:.2f}   "
            f"load {theirs[1] * 1e3:6.1f} ms x{here[1] / theirs[1]:.2f}"
        )


def pickled(model: Any) -> tuple[Callable[[Path], Any], Callable[[Path], Any]]:
    return lambda path: path.write_bytes(pickle.dumps(model)), lambda path: pickle.loads(path.read_bytes())  # noqa: S301 -- what was written a moment ago


def xgboost() -> None:
    import xgboost as xgb

    from artifact_store.codecs.xgboost.booster import XGBoostCodec

    def load(path: Path) -> Any:
        return xgb.Booster(model_file=bytearray(path.read_bytes()))

    for name, rounds, depth in (("XGBoost, 1,500 small trees", 1500, 7), ("XGBoost, 250 large trees", 250, 11)):
        model = xgb.train({"nthread": 2, "max_depth": depth}, xgb.DMatrix(ROWS, TARGET), rounds)
        compare(name, XGBoostCodec(), model, lambda path, model=model: path.write_bytes(model.save_raw("ubj")), load)


def catboost() -> None:
    from catboost import CatBoostRegressor

    from artifact_store.codecs.catboost.model import CatBoostCodec

    model = CatBoostRegressor(iterations=300, depth=10, verbose=0, thread_count=2, allow_writing_files=False)
    model.fit(ROWS, TARGET)

    def load(path: Path) -> Any:
        return CatBoostRegressor().load_model(str(path))

    compare("CatBoost", CatBoostCodec(), model, lambda path: model.save_model(str(path)), load)


def estimators() -> None:
    import joblib
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.neighbors import KNeighborsRegressor

    from artifact_store.codecs.sklearn.estimators import EstimatorCodec

    boosting = HistGradientBoostingRegressor(max_iter=400, max_leaf_nodes=255, early_stopping=False)
    for name, model in (("histogram boosting", boosting), ("neighbours", KNeighborsRegressor())):
        model.fit(ROWS, TARGET)
        compare(f"{name}, pickle", EstimatorCodec(), model, *pickled(model))
        compare(
            f"{name}, joblib", EstimatorCodec(), model, lambda path, model=model: joblib.dump(model, path), joblib.load
        )


def checkpoint() -> None:
    import torch

    from artifact_store.codecs.torch.nested import TorchTreeCodec

    layers = [torch.nn.Linear(512, 512) for _ in range(3)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 512)).sum().backward()
    optimizer.step()
    held = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    many = {f"layer.{place}.weight": torch.ones(40, 40) for place in range(1600)}

    def load(path: Path) -> Any:
        return torch.load(path, weights_only=True)

    for name, tree in (("checkpoint with an optimizer", held), ("1,600 small tensors", many)):
        compare(name, TorchTreeCodec(), tree, lambda path, tree=tree: torch.save(tree, path), load)


def lightgbm() -> None:
    import lightgbm as lgb

    from artifact_store.codecs.lightgbm.booster import LightGBMCodec

    settings = {"verbose": -1, "num_threads": 2, "num_leaves": 255}
    model = lgb.train(settings, lgb.Dataset(ROWS, TARGET), 400)

    def load(path: Path) -> Any:
        return lgb.Booster(model_file=path)

    compare("LightGBM", LightGBMCodec(), model, model.save_model, load)


def main() -> None:
    warnings.simplefilter("ignore")
    for library in (xgboost, catboost, estimators, checkpoint, lightgbm):
        try:
            library()
        except ImportError as error:
            print(f"{library.__name__:32} left out: {error}")


if __name__ == "__main__":
    main()
