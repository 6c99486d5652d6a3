"""Every form of an old file is read without the library's loader, and predicts what it predicted."""

from __future__ import annotations

import datetime as dt
import io
import pickle
import re
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from artifact_store.codecs.lightgbm.sklearn import LightGBMSklearnCodec
from artifact_store.codecs.sb3.policy import build_algorithm as build_sb3
from artifact_store.errors import Corrupt, InvalidOption, RiskRefused
from artifact_store.legacy.formats import lightgbm, lightgbm_child
from artifact_store.legacy.formats.checkpoint import read_checkpoint, read_torch
from artifact_store.legacy.formats.lightgbm import build_lightgbm, normalised_text, read_lightgbm
from artifact_store.legacy.formats.preprocessors import read_preprocessor
from artifact_store.legacy.formats.sb3 import read_sb3
from artifact_store.legacy.formats.sb3_building import build_old
from artifact_store.legacy.formats.vecnormalize import read_vecnormalize
from tests.hostile import changed, with_data
from tests.legacy_cases import CASES, REFUSED, LegacyCase, of_type

named = pytest.mark.parametrize


def pickled(value: Any, *, protocol: int | None = None) -> bytes:
    return pickle.dumps(value, protocol)


def torch_bytes(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


class OldNetwork(torch.nn.Module):
    """The network of the old pipeline, its sizes taken from its tensors."""

    def __init__(self, state: dict[str, torch.Tensor], layers: int) -> None:
        super().__init__()
        hidden = state["gru.weight_hh_l0"].shape[1]
        self.gru = torch.nn.GRU(state["gru.weight_ih_l0"].shape[1], hidden, layers, batch_first=True)
        self.fc1 = torch.nn.Linear(hidden, state["fc1.weight"].shape[0])
        self.fc2 = torch.nn.Linear(state["fc1.weight"].shape[0], state["fc2.weight"].shape[0])
        self.load_state_dict(state)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.gru(x)
        return self.fc2(torch.relu(self.fc1(hidden[:, -1])))


class TestCheckpoints:
    @named("case", of_type("gru"), ids=lambda case: case.name)
    def test_old_networks_predict_what_they_predicted(self, case: LegacyCase) -> None:
        old, arrays = read_checkpoint(case.file.read_bytes(), what=case.file.name), case.expected()
        with torch.no_grad():
            y = OldNetwork(dict(old.state), old.config["num_layers"])(torch.from_numpy(arrays["network_input"]))
        assert np.abs(y.squeeze(-1).numpy() - arrays["y"]).max() <= case.tolerance
        assert not old.omitted

    @named("case", of_type("gru"), ids=lambda case: case.name)
    def test_tensors_are_those_that_torch_reads(self, case: LegacyCase) -> None:
        expected = torch.load(case.file, weights_only=True)
        old = read_checkpoint(case.file.read_bytes(), what=case.file.name)
        assert list(old.state) == list(expected["model_state_dict"])
        for name, tensor in expected["model_state_dict"].items():
            assert old.state[name].dtype == tensor.dtype
            assert torch.equal(old.state[name], tensor)
        assert old.config == expected["model_config"]
        assert old.training_config == expected["training_config"]
        assert old.metadata == {
            name: value
            for name, value in expected.items()
            if name not in {"model_state_dict", "model_config", "training_config"}
        }

    @named("options", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}], ids=["zip", "old", "4"])
    def test_every_kind_of_tensor_comes_back(self, options: dict[str, Any]) -> None:
        x = torch.arange(12.0).reshape(3, 4)
        state = {
            **torch.nn.Linear(3, 4).state_dict(),
            "x": x,
            "tied": x,
            "transposed": x.t(),
            "part": x[1:],
            "strided": x[:, ::2],
            "flags": torch.tensor([True, False]),
            "half": torch.ones(2).half(),
            "brain": torch.ones(2).bfloat16(),
            "empty": torch.empty(0, 3),
            "number": torch.tensor(5),
            "bytes": torch.tensor([1, 255], dtype=torch.uint8),
            "complex": torch.tensor([1 + 2j]),
            "parameter": torch.nn.Parameter(torch.ones(2)),
        }
        old = read_checkpoint(torch_bytes({"state_dict": state}, **options), what="model.pth").state
        assert list(old) == list(state)
        for name, tensor in state.items():
            assert old[name].dtype == tensor.dtype
            assert torch.equal(old[name], tensor)
            assert old[name].stride() == tensor.stride() or not tensor.numel()
        assert old["tied"].data_ptr() == old["x"].data_ptr() == old["transposed"].data_ptr()
        assert not old["parameter"].requires_grad

    @named("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "old"])
    def test_what_stands_beside_the_tensors_is_plain(self, options: dict[str, Any]) -> None:
        data = torch_bytes(
            {
                "model_state_dict": torch.nn.Linear(1, 1).state_dict(),
                "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}},
                "best": np.float64(0.25),
                "selected_features": np.array([0, 2]),
                "created_at": dt.datetime(2024, 8, 16, 14, 23, tzinfo=dt.UTC),
                "shape": torch.Size([1, 2]),
                "flags": {"a", "b"},
            },
            **options,
        )
        old = read_checkpoint(data, what="model.pth")
        assert old.metadata == {
            "best": 0.25,
            "selected_features": [0, 2],
            "created_at": "2024-08-16T14:23:00+00:00",
            "shape": [1, 2],
        }
        assert old.omitted == ("optimizer_state_dict", "flags")

    def test_numpy_1_spelled_its_names_otherwise(self) -> None:
        data = torch_bytes({"model_state_dict": torch.nn.Linear(1, 1).state_dict(), "best": np.float64(0.5)})
        older = changed(data, lambda name, content: content.replace(b"numpy._core", b"numpy.core"))
        assert older != data
        assert read_checkpoint(older, what="model.pth").metadata == {"best": 0.5}

    def test_a_bare_state_dict_is_a_checkpoint(self) -> None:
        old = read_checkpoint(torch_bytes(torch.nn.Linear(2, 1).state_dict()), what="model.pth")
        assert list(old.state) == ["weight", "bias"]
        assert old.config == old.metadata == {}

    @named("value", [{}, [torch.ones(1)], {"model_state_dict": {"a": 1}}, {"epoch": 3}], ids=str)
    def test_what_is_no_state_of_a_network_says_so(self, value: Any) -> None:
        with pytest.raises(Corrupt, match="state of a network"):
            read_checkpoint(torch_bytes(value), what="model.pth")

    def test_what_a_program_allows_torch_is_not_allowed_here(self) -> None:
        data = torch_bytes({"model_state_dict": {"a": torch.ones(1)}, "where": Path("x")})
        with torch.serialization.safe_globals([type(Path("x"))]), pytest.raises(RiskRefused, match=r"pathlib\."):
            read_torch(data, what="model.pth")


class TestPreprocessors:
    @named("case", [c for c in of_type("gru") if c.row["preprocessor"].startswith("dict")], ids=lambda case: case.name)
    def test_old_preprocessors_scale_as_they_scaled(self, case: LegacyCase) -> None:
        old = read_preprocessor(case.beside("preprocessor.pkl").read_bytes(), what="preprocessor.pkl")
        arrays = case.expected()
        rows = old.preprocessor.transform(arrays["X"]).astype(np.float32)
        width = int(arrays["sequence_length"])
        windows = np.stack([rows[at : at + width] for at in range(len(rows) - width + 1)])
        selected = arrays["selected"]
        assert np.array_equal(windows[..., selected] if len(selected) else windows, arrays["network_input"])
        assert old.names == tuple(arrays["preprocessor_input_columns"])

    def test_a_class_of_the_old_project_is_refused_by_name(self) -> None:
        data = CASES[REFUSED].beside("preprocessor.pkl").read_bytes()
        with pytest.raises(
            RiskRefused, match=r"preprocessor\.pkl names src\.data_pipeline\.preprocess\.DataPreprocessor"
        ):
            read_preprocessor(data, what="preprocessor.pkl")

    def test_bare_estimators_and_pipelines_are_read(self) -> None:
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import Pipeline, make_pipeline
        from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

        rows = np.random.default_rng(3).normal(size=(40, 3))
        rows[5, 1] = np.nan
        frame = pd.DataFrame(rows, columns=["a", "b", "c"])
        full = np.nan_to_num(rows)
        for estimator, given in (
            (StandardScaler(), full),
            (StandardScaler(with_mean=False, with_std=False), full),
            (MinMaxScaler((-1, 1), clip=True), full),
            (RobustScaler(with_centering=False), full),
            (SimpleImputer(strategy="most_frequent"), rows),
            (SimpleImputer(strategy="constant", fill_value=-1.0, add_indicator=True), rows),
            (make_pipeline(SimpleImputer(), "passthrough", make_pipeline(StandardScaler())), rows),
            (Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", MinMaxScaler())]), frame),
        ):
            estimator.fit(given)
            for data in (pickled(estimator, protocol=2), pickled(estimator, protocol=5), self.dumped(estimator)):
                old = read_preprocessor(data, what="preprocessor.pkl")
                assert np.array_equal(old.preprocessor.transform(given), estimator.transform(given))
                assert old.names == (("a", "b", "c") if given is frame else None)

    @staticmethod
    def dumped(value: Any) -> bytes:
        file = io.BytesIO()
        joblib.dump(value, file, compress=3)
        return file.getvalue()

    def test_an_imputer_of_an_old_version_lacks_private_attributes(self) -> None:
        from sklearn.impute import SimpleImputer

        rows = np.array([[1.0, np.nan], [3.0, 4.0], [np.nan, 8.0]])
        imputer = SimpleImputer(strategy="mean").fit(rows)
        expected = imputer.transform(rows)
        for attribute in ("_fill_dtype", "_fit_dtype", "keep_empty_features", "indicator_", "n_features_in_"):
            imputer.__dict__.pop(attribute)
        assert not hasattr(imputer, "_fill_dtype")  # so scikit-learn itself cannot transform any more
        old = read_preprocessor(pickled({"imputer": imputer, "scaler": None}), what="preprocessor.pkl")
        assert np.array_equal(old.preprocessor.transform(rows), expected)

    @named(
        ("value", "why"),
        [
            ({"scaler": None, "imputer": None, "is_fitted": False}, "before it was fitted"),
            ({"other": 1}, "neither a scaler nor an imputer"),
            ([1, 2], "holds a list"),
            ({"scaler": "standard"}, "holds a str"),
        ],
    )
    def test_what_is_no_preprocessor_says_so(self, value: Any, why: str) -> None:
        with pytest.raises(Corrupt, match=why):
            read_preprocessor(pickled(value), what="preprocessor.pkl")

    def test_an_unfitted_scaler_and_foreign_names_are_reported(self) -> None:
        from sklearn.preprocessing import StandardScaler

        with pytest.raises(Corrupt, match="was not fitted"):
            read_preprocessor(pickled(StandardScaler()), what="preprocessor.pkl")
        fitted = StandardScaler().fit(np.zeros((2, 2)))
        with pytest.raises(Corrupt, match="3 names and takes 2 columns"):
            read_preprocessor(pickled({"scaler": fitted, "feature_names": ["a", "b", "c"]}), what="preprocessor.pkl")

    def test_without_scaler_and_imputer_the_names_are_left(self) -> None:
        data = pickled({"scaler": None, "imputer": None, "feature_names": ["a", "b"]})
        old = read_preprocessor(data, what="preprocessor.pkl")
        assert old.preprocessor is None
        assert old.names == ("a", "b")


class TestVecNormalize:
    @named("case", [c for c in of_type("ppo") if c.row["vecnormalize"]], ids=lambda case: case.name)
    def test_observations_are_normalised_bit_for_bit(self, case: LegacyCase) -> None:
        normalizer = read_vecnormalize(case.beside("model_vecnormalize.pkl").read_bytes(), what="vecnormalize")
        arrays = case.expected()
        assert np.array_equal(normalizer.normalize_obs(arrays["raw_obs"]), arrays["policy_input"])
        for name in ("mean", "var"):
            assert np.array_equal(getattr(normalizer.obs_rms, name), arrays[f"obs_{name}"])
            assert np.array_equal(getattr(normalizer.ret_rms, name), arrays[f"ret_{name}"])

    def test_observations_in_parts_are_normalised_by_part(self) -> None:
        import gymnasium as gym
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        class Parts(gym.Env):
            observation_space = gym.spaces.Dict({"a": gym.spaces.Box(-9, 9, (2,)), "b": gym.spaces.Box(-9, 9, (1,))})
            action_space = gym.spaces.Discrete(2)

            def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
                super().reset(seed=seed)
                return self.observation_space.sample(), {}

            def step(self, action: int) -> Any:
                return self.observation_space.sample(), 1.0, False, False, {}

        venv = VecNormalize(DummyVecEnv([Parts]), norm_obs_keys=["a"], gamma=0.5, norm_reward=False)
        venv.reset()
        for _ in range(5):
            venv.step(np.array([0]))
        normalizer = read_vecnormalize(pickled(venv), what="vecnormalize")
        obs = {"a": np.array([[1.0, 2.0]], np.float32), "b": np.array([[3.0]], np.float32)}
        expected, found = venv.normalize_obs(obs), normalizer.normalize_obs(obs)
        assert {name: part.tobytes() for name, part in found.items()} == {n: p.tobytes() for n, p in expected.items()}
        assert (normalizer.gamma, normalizer.norm_reward, normalizer.norm_obs_keys) == (0.5, False, ("a",))

    @named("value", [None, {"obs_rms": 1}, [1.0]], ids=str)
    def test_what_is_no_vecnormalize_says_so(self, value: Any) -> None:
        with pytest.raises(Corrupt, match="not a VecNormalize"):
            read_vecnormalize(pickled(value), what="vecnormalize")


def input_of(case: LegacyCase) -> Any:
    arrays = case.expected()
    frame = case.frame()[[str(name) for name in arrays["column_order"]]]
    frame = frame.assign(**{name: frame[name].astype("category") for name in frame if frame[name].dtype.kind != "f"})
    return frame.iloc[:, arrays["selected"]] if len(arrays["selected"]) else frame


@pytest.fixture(scope="module")
def trained() -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(5).normal(size=(200, 4))
    return rows, rows[:, 0] * 2 + rows[:, 1]


class TestLightGBM:
    @named("case", of_type("lightgbm"), ids=lambda case: case.name)
    def test_old_models_predict_what_they_predicted(self, case: LegacyCase, tmp_path: Path) -> None:
        old = read_lightgbm(case.file.read_bytes(), what=case.file.name)
        model, arrays = build_lightgbm(old), case.expected()
        assert np.array_equal(model.predict(input_of(case)), arrays["y"])
        if "proba" in arrays:
            assert np.array_equal(model.predict_proba(input_of(case)), arrays["proba"])
        assert getattr(model, "booster_", model).feature_name() == case.row["booster_feature_names"]
        assert old.best_iteration == case.row["best_iteration"]
        assert old.kind == {"Booster": "booster"}.get(
            case.row["model_class"], case.row["model_class"].removeprefix("LGBM").lower()
        )
        if old.kind != "booster":
            LightGBMSklearnCodec().encode(model, tmp_path, "model")

    @named("kind", ["regressor", "linear", "dart", "multiclass", "ranker", "gain"])
    def test_new_estimators_are_read_exactly(self, kind: str, trained: tuple[np.ndarray, np.ndarray]) -> None:
        import lightgbm

        rows, y = trained
        common = {"n_estimators": 4, "num_leaves": 6, "verbose": -1, "n_jobs": 1}
        labels = np.array(["down", "flat", "up"])[np.digitize(y, [-1, 1])]
        estimator, target, options = {
            "regressor": (lightgbm.LGBMRegressor(**common), y, {}),
            "linear": (lightgbm.LGBMRegressor(**common, linear_tree=True), y, {}),
            "dart": (lightgbm.LGBMRegressor(**common, boosting_type="dart"), y, {}),
            "multiclass": (lightgbm.LGBMClassifier(**common), labels, {}),
            "ranker": (lightgbm.LGBMRanker(**common), (y > 0).astype(int), {"group": [100, 100]}),
            "gain": (lightgbm.LGBMRegressor(**common, importance_type="gain"), y, {}),
        }[kind]
        estimator.fit(rows, target, **options)
        model = build_lightgbm(read_lightgbm(pickled(estimator), what="model.pkl"))
        assert model.predict(rows).tolist() == estimator.predict(rows).tolist()
        assert model.feature_importances_ == pytest.approx(estimator.feature_importances_, rel=1e-5)
        assert model.params.get("num_leaves") == 6
        if kind == "multiclass":
            assert model.classes_.tolist() == ["down", "flat", "up"]
            assert np.array_equal(model.predict_proba(rows), estimator.predict_proba(rows))

    def test_a_booster_that_stopped_early_uses_its_best_iteration(self, trained: tuple[np.ndarray, np.ndarray]) -> None:
        import lightgbm

        rows, y = trained
        booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(rows, y), num_boost_round=8)
        booster.best_iteration = 3
        again = build_lightgbm(
            read_lightgbm(pickled({"model": booster, "decision_threshold": np.float64(0.5)}), what="model.pkl")
        )
        assert again.best_iteration == 3
        assert np.array_equal(again.predict(rows), booster.predict(rows))
        assert again.num_trees() == 8

    def test_text_goes_through_another_process_and_comes_back_the_same(self) -> None:
        text = read_lightgbm(CASES["lgbm_frame_selected"].file.read_bytes(), what="model.pkl").text
        own = normalised_text(text)
        assert own.split("parameters:")[0] == text.split("parameters:")[0]
        assert normalised_text(own) == own

    def test_a_parser_that_does_not_return_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lightgbm, "SECONDS", 0.001)
        text = read_lightgbm(CASES["lgbm_frame_selected"].file.read_bytes(), what="model.pkl").text
        with pytest.raises(Corrupt, match="did not finish"):
            normalised_text(text)

    @named(
        ("line", "value"),
        [
            ("threshold", "x"),
            ("leaf_value", "x"),
            ("leaf_weight", ""),
            ("objective", "nonsense"),
        ],
        ids=lambda value: value.strip()[:12],
    )
    def test_a_text_that_lightgbm_refuses_is_corrupt(self, line: str, value: str) -> None:
        text = read_lightgbm(CASES["lgbm_frame_selected"].file.read_bytes(), what="model.pkl").text
        found = re.search(rf"^{line}=(.*)$", text, re.MULTILINE)
        assert found is not None
        if value == "x":
            value = "x " * len(found[1].split())
        with pytest.raises(Corrupt, match="LightGBM cannot read an old model"):
            normalised_text(text.replace(found[0], f"{line}={value}", 1))

    @named("end", ["os.abort()", "os._exit(9)", "os.kill(os.getpid(), 9)"])
    def test_a_parser_that_dies_takes_another_process_with_it(
        self, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The parser of LightGBM 4.7 ends its process at some texts. A program in its place does so at any."""
        text = read_lightgbm(CASES["lgbm_frame_selected"].file.read_bytes(), what="model.pkl").text
        program = tmp_path / "dies.py"
        program.write_text(f"import os\n{end}\n")
        monkeypatch.setattr(lightgbm_child, "__file__", str(program))
        with pytest.raises(Corrupt, match="it crashed"):
            normalised_text(text)

    def test_what_is_no_model_says_so(self) -> None:
        import lightgbm

        for value, why in (
            ({"model": None}, "NoneType"),
            ({"model": lightgbm.LGBMRegressor()}, "never fitted"),
            ([1], "list"),
        ):
            with pytest.raises(Corrupt, match=why):
                read_lightgbm(pickled(value), what="model.pkl")

    def test_an_objective_that_is_a_function_is_refused_by_name(self, trained: tuple[np.ndarray, np.ndarray]) -> None:
        import lightgbm

        rows, y = trained
        estimator = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=1).fit(rows, y)
        estimator.set_params(objective=np.subtract)
        with pytest.raises(RiskRefused, match=r"model\.pkl names numpy\.subtract"):
            read_lightgbm(pickled(estimator), what="model.pkl")


class TestStableBaselines:
    @named("case", of_type("ppo"), ids=lambda case: case.name)
    def test_old_policies_act_as_they_acted(self, case: LegacyCase) -> None:
        old = read_sb3(case.file.read_bytes(), what=case.file.name)
        arrays = case.expected()
        algorithm = build_sb3(old.state)
        actions, _ = algorithm.predict(arrays["policy_input"], deterministic=True)
        assert np.abs(actions - arrays["actions"]).max() <= case.tolerance
        with torch.no_grad():
            values = algorithm.policy.predict_values(torch.from_numpy(arrays["policy_input"])).numpy()
        assert np.abs(values - arrays["values"]).max() <= case.tolerance
        assert old.inferred == ()
        assert old.version == "2.9.2"
        assert old.state.num_timesteps == 256

    @named("kind", ["PPO", "A2C", "DQN", "SAC", "TD3", "DDPG"])
    def test_every_algorithm_is_read(self, kind: str) -> None:
        import stable_baselines3 as sb3

        continuous = kind in {"SAC", "TD3", "DDPG"}
        options: dict[str, Any] = {"policy_kwargs": {"net_arch": [8], "activation_fn": torch.nn.ELU}}
        options |= {"buffer_size": 50} if continuous or kind == "DQN" else {"learning_rate": lambda left: left * 1e-3}
        algorithm = getattr(sb3, kind)("MlpPolicy", "Pendulum-v1" if continuous else "CartPole-v1", **options)
        file = io.BytesIO()
        algorithm.save(file)
        old = read_sb3(file.getvalue(), what="model.zip")
        assert old.state.algorithm == kind
        assert old.state.policy_kwargs["activation_fn"] == "ELU"
        again = build_sb3(old.state)
        obs = np.random.default_rng(1).normal(size=(20, *algorithm.observation_space.shape)).astype(np.float32)
        assert np.array_equal(again.predict(obs, deterministic=True)[0], algorithm.predict(obs, deterministic=True)[0])
        assert ("learning_rate" in old.inferred) == ("learning_rate" in options)
        assert again.action_space == algorithm.action_space

    def test_a_zip_of_an_older_version_is_read(self) -> None:
        """Spaces of gym, without ``start`` and masks, schedules as functions, a layout of layers as in version 1.7."""

        def older(data: dict[str, Any]) -> None:
            function = {":type:": "<class 'function'>", ":serialized:": "gASVAAA="}
            data |= {"clip_range": function, "lr_schedule": function, "stale": None}
            data["policy_kwargs"] = {"net_arch": [{"pi": [24, 24], "vf": [24, 24]}]}
            for name in ("observation_space", "action_space"):
                space = {
                    key: value for key, value in data[name].items() if not key.endswith(("_repr", "_below", "_above"))
                }
                kind = str(space[":type:"]).replace("gymnasium", "gym")
                data[name] = {**space, ":type:": kind, "shape": space.pop("_shape")}
            data["action_space"].pop("start", None)
            del data["normalize_advantage"], data["_num_timesteps_at_start"]

        for case in of_type("ppo")[:2]:
            old = read_sb3(with_data(older, case)(Path()), what="model.zip")
            arrays = case.expected()
            actions, _ = build_sb3(old.state).predict(arrays["policy_input"], deterministic=True)
            assert np.abs(actions - arrays["actions"]).max() <= case.tolerance
            assert old.inferred == ("clip_range",)
            assert "clip_range" not in old.state.hyperparameters

    def test_a_learning_rate_that_was_a_function_is_the_last_one(self) -> None:
        function = {":type:": "<class 'function'>", ":serialized:": "gASVAAA="}
        data = with_data(lambda data: data.update(learning_rate=function))(Path())
        old = read_sb3(data, what="model.zip")
        assert old.inferred == ("learning_rate",)
        assert old.state.hyperparameters["learning_rate"] == 0.0003

    @named(
        ("key", "value", "error", "why"),
        [
            ("policy_class", None, Corrupt, "does not name the class of its policy"),
            ("cg_max_steps", 15, RiskRefused, "unknown algorithm"),
            ("policy_kwargs", {"net_arch": [24, 24], "own": 1}, RiskRefused, "made with own"),
            (
                "policy_kwargs",
                {"activation_fn": "<class 'os.system'>"},
                RiskRefused,
                "activation_fn is <class 'os.system'>",
            ),
            ("policy_kwargs", {"net_arch": "wide"}, Corrupt, "net_arch"),
            ("action_space", {":type:": "<class 'own.spaces.Box'>"}, RiskRefused, "action_space that is <class 'own"),
            (
                "action_space",
                {":type:": "<class 'gym.spaces.dict.Dict'>"},
                InvalidOption,
                "in plain text what its action_space is, a Dict",
            ),
            ("observation_space", {":type:": "<class 'gym.spaces.box.Box'>"}, Corrupt, "description is damaged"),
            ("n_steps", -5, Corrupt, "not a sensible number"),
        ],
    )
    def test_what_cannot_be_told_is_refused(self, key: str, value: Any, error: type[Exception], why: str) -> None:
        data = with_data(lambda data: data.update({key: value}))(Path())
        with pytest.raises(error, match=why):
            read_sb3(data, what="model.zip")

    def test_bounds_that_are_not_shown_are_not_guessed(self) -> None:
        low = np.full((40, 30), -1.0, np.float32)
        data = self.without_pickle(self.zip_with_bounds(low, np.full((40, 30), np.inf, np.float32)))
        old = read_sb3(data, what="model.zip")  # the corners are all alike
        assert {"observation_space.low", "observation_space.high"} <= set(old.inferred)
        assert old.state.observation_space["low"]["values"] == -1.0
        low[0, 0] = -2.0
        data = self.zip_with_bounds(low, np.full((40, 30), np.inf, np.float32))
        with pytest.raises(InvalidOption, match="of its observation_space, and they differ: if you trust it, load it"):
            read_sb3(self.without_pickle(data), what="model.zip")

    def test_bounds_that_are_not_shown_are_read_without_unpickling(self) -> None:
        low = np.random.default_rng(1).uniform(-2, -1, (40, 30)).astype(np.float32)
        old = read_sb3(self.zip_with_bounds(low, low + np.float32(0.1)), what="model.zip")
        assert old.inferred == ()
        assert np.array_equal(build_old(old)[0].observation_space.low, low)

    @staticmethod
    def zip_with_bounds(low: np.ndarray, high: np.ndarray) -> bytes:
        import gymnasium as gym
        from stable_baselines3 import PPO

        space = gym.spaces.Box(low, high)
        space.low_repr = space.high_repr = None  # new releases leave them out, old ones would write them

        class Wide(gym.Env):
            observation_space = space
            action_space = gym.spaces.Discrete(2)

            def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
                super().reset(seed=seed)
                return np.zeros(low.shape, np.float32), {}

            def step(self, action: int) -> Any:
                return np.zeros(low.shape, np.float32), 1.0, False, False, {}

        file = io.BytesIO()
        PPO("MlpPolicy", Wide(), n_steps=2, batch_size=2, policy_kwargs={"net_arch": [4]}).save(file)
        return file.getvalue()

    @staticmethod
    def without_pickle(data: bytes) -> bytes:
        def change(entry: str, content: bytes) -> bytes:
            return content.replace(b":serialized:", b":lost:") if entry == "data" else content

        return changed(data, change)
