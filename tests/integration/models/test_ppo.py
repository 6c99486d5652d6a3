"""An agent goes from training to a store and back: the same actions, frozen statistics, and training that goes on."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from artifact_models import PPOAdapter, load_adapter
from artifact_models.ppo import trainer
from artifact_models.ppo.env import TradingEnv
from artifact_models.ppo.observation import EnvSettings
from artifact_models.trading.market import Market
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from artifact_store import ArtifactStore, Example, FeatureSchema, Observation, errors
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer, RunningStatistics
from tests.environments import tiny
from tests.integration.models.market_data import make_candles

pytestmark = pytest.mark.xdist_group("test_ppo")  # its fixtures take long

CONFIG = {"timesteps": 128, "n_steps": 32, "batch_size": 32, "n_epochs": 2, "environments": 2, "seed": 3}
ENV = {"window": 4, "episode_bars": 40}
KEY = "ppo/EURUSD"


@pytest.fixture(scope="module")
def frame():
    return Market.of("EURUSD", make_candles(200)).frame


def make(**changes):
    env = {**ENV, **changes.pop("env", {})}
    given = {
        "selected_features": changes.pop("selected", None),
        "selection_reason": changes.pop("selection_reason", ""),
    }
    return PPOAdapter({**CONFIG, "env": env, **changes}, **given)


@pytest.fixture(scope="module")
def agent(frame):
    return make().fit(frame, None, slice(0, 120), slice(121, 150))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store")


def walked(agent, frame):
    """Raw observations and actions, as the environment itself gives them, stepped by stable-baselines3's own objects."""
    rows = frame[list(agent.features.selected_names)].to_numpy("float32")
    env = TradingEnv(rows, frame["close"].to_numpy(), replace(agent.settings, episode_bars=None))
    observation, _ = env.reset()
    seen, actions = [], []
    over = False
    while True:
        seen.append(observation)
        normal = agent.normalizer.normalize_obs(observation) if agent.normalizer is not None else observation
        actions.append(agent.algorithm.predict(normal, deterministic=True)[0])
        if over:
            return np.stack(seen), np.asarray(actions)
        observation, _, _, over, _ = env.step(actions[-1])


# ---------------------------------------------------------------- the trainer


def arrays(frame):
    return frame.drop(columns="close").to_numpy(), frame["close"].to_numpy()


def weights(algorithm):
    return {name: tensor.numpy().tobytes() for name, tensor in algorithm.policy.state_dict().items()}


def test_the_trainer_takes_names_and_a_selection_and_tells_how_far_it_is(frame):
    features, prices = arrays(frame)
    steps = []
    trained = trainer.train_agent(
        features,
        prices,
        feature_names=list(frame.columns[:-1]),
        selected_features=[0, 3],
        settings=EnvSettings(**ENV),
        timesteps=128,
        hyperparameters={"n_steps": 32, "batch_size": 32},
        progress=lambda done, total: steps.append((done, total)),
    )
    assert trained.selected_features == (0, 3)
    assert trained.algorithm.observation_space.shape == (4 * 2 + 3,)
    assert steps[0] == (2, 128)
    assert steps[-1] == (128, 128)


def test_training_leaves_nothing_on_this_machine_and_keeps_the_logger_of_the_caller(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    features, prices = arrays(frame)
    options = {"feature_names": list(frame.columns[:-1]), "settings": EnvSettings(**ENV), "timesteps": 32}
    algorithm = trainer.train_agent(
        features, prices, **options, hyperparameters={"n_steps": 32, "batch_size": 32}
    ).algorithm
    trainer.resume(algorithm, algorithm.get_env(), 32)
    assert [path for path in tmp_path.iterdir() if not path.name.startswith("torchinductor_")] == []  # of torch, once
    own = Logger(folder=None, output_formats=[])
    algorithm.set_logger(own)
    trainer.resume(algorithm, algorithm.get_env(), 32)
    assert algorithm.logger is own


def test_equal_seeds_train_equal_agents(frame):
    features, prices = arrays(frame)
    options = {"feature_names": list(frame.columns[:-1]), "settings": EnvSettings(**ENV), "timesteps": 64}
    options["hyperparameters"] = {"n_steps": 32, "batch_size": 32}
    one, two, other = (
        weights(trainer.train_agent(features, prices, **options, seed=seed).algorithm) for seed in (3, 3, 4)
    )
    assert one == two
    assert one != other


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"feature_names": ["a"]}, "1 features"),
        ({"selected_features": [0, 0]}, "different positions"),
        ({"selected_features": [99]}, "different positions"),
        ({"hyperparameters": {"gama": 0.9}}, "no setting 'gama' .did you mean 'gamma'"),
    ],
)
def test_the_trainer_refuses_what_does_not_fit(frame, change, why):
    features, prices = arrays(frame)
    with pytest.raises(ValueError, match=why):
        trainer.train_agent(features, prices, **{"feature_names": list(frame.columns[:-1]), **change})


# ---------------------------------------------------------------- predict


def test_a_table_is_rolled_through_the_environment_bar_by_bar(agent, frame):
    _, actions = walked(agent, frame)
    said = agent.predict(frame)
    assert said.shape == (len(frame) - 4 + 1,)
    np.testing.assert_array_equal(said, actions)


def test_columns_in_any_order_with_others_beside_them_change_nothing(agent, frame):
    shuffled = frame[frame.columns[::-1]].assign(comment="live")
    np.testing.assert_array_equal(agent.predict(shuffled), agent.predict(frame))
    np.testing.assert_array_equal(agent.predict(frame.to_numpy()), agent.predict(frame))


def test_observations_are_taken_one_by_one_or_many_at_once(agent, frame):
    observations, actions = walked(agent, frame.iloc[:40])
    np.testing.assert_array_equal(agent.predict(observations), actions)
    assert [int(agent.predict(of)) for of in observations] == actions.tolist()
    normal = agent.normalizer.normalize_obs(observations)
    np.testing.assert_array_equal(agent.predict(normal, preselected=True), actions)


def test_predicting_changes_no_statistics_and_is_deterministic(agent, frame):
    before = agent.normalizer.obs_rms.mean.copy(), agent.normalizer.obs_rms.count
    said = [agent.predict(frame) for _ in range(2)]
    np.testing.assert_array_equal(*said)
    assert (agent.normalizer.obs_rms.mean == before[0]).all()
    assert agent.normalizer.obs_rms.count == before[1]


def test_normalising_matters_so_forgetting_it_would_be_seen(agent, frame):
    observations, actions = walked(agent, frame)
    assert (agent.algorithm.predict(observations, deterministic=True)[0] != actions).any()


def test_positions_are_what_actions_mean(agent):
    assert agent.positions([0, 1, 2]).tolist() == [-1.0, 0.0, 1.0]


def test_the_price_is_a_column_of_the_data_and_not_observed_unless_it_is_selected(agent, frame):
    assert "close" in agent.features.names
    assert "close" not in agent.features.selected_names
    both = make(selected=["return_1", "close"]).fit(frame)
    assert both.features.selected_names == ("return_1", "close")
    assert both.algorithm.observation_space.shape == (4 * 2 + 3,)


def test_what_came_of_the_bars_held_out_is_told(agent):
    assert set(agent.metrics) == {"valid_gain", "valid_changes"}
    assert agent.training_config["train_rows"] == 120
    assert agent.training_config["valid_rows"] == 29


# ---------------------------------------------------------------- save and load


@pytest.mark.parametrize("env", [{}, {"positions": None}])
@pytest.mark.parametrize("normalize", [True, False])
def test_what_is_loaded_does_the_same(frame, store, env, normalize):
    agent = make(env=env, normalize=normalize).fit(frame, None, slice(0, 120))
    agent.save(store, symbol="EURUSD")
    run = store.get(KEY)
    assert ("model_vecnormalize" in run.components) == normalize
    assert run.requires == (("model_vecnormalize",) if normalize else ())
    assert run.config["env"]["window"] == 4
    assert run.features.observation == Observation((4 * 20 + 3,), "float32")
    loaded = load_adapter(run)
    assert isinstance(loaded, PPOAdapter)
    assert type(loaded.normalizer).__module__.startswith("artifact_store") or not normalize
    np.testing.assert_allclose(loaded.predict(frame), agent.predict(frame), atol=1e-6)
    observations, actions = walked(agent, frame)
    np.testing.assert_allclose(loaded.predict(observations), actions, atol=1e-6)


@pytest.mark.parametrize(
    ("positions", "space"),
    [([-1, 0, 0.5, 1], {"type": "discrete", "n": 4}), (None, {"type": "continuous", "shape": [1]})],
)
def test_the_metadata_tell_what_it_observes_and_what_its_actions_are(frame, store, positions, space):
    make(env={"positions": positions}).fit(frame).save(store, symbol="EURUSD")
    with store.get(KEY).open("metadata.json") as file:
        told = json.load(file)["training_config"]
    assert (told["observation_shape"], told["action_space_info"]) == ([4 * 20 + 3], space)
    assert store.get(KEY).training_config == told


def test_features_that_are_not_those_of_the_agent_are_logged(agent, frame, store, caplog):
    agent.save(store, symbol="EURUSD")
    with pytest.raises(errors.FeatureMismatch):
        agent.predict(frame.to_numpy()[:, :5])
    (record,) = caplog.records
    assert (
        record.getMessage()
        == f"{agent.run.ref}: expected observations of the shape (83,), or bars of 21 features; got {(len(frame), 5)}"
    )


def test_the_reason_of_a_selection_is_kept(frame):
    assert make(selected=["return_1"], selection_reason="a hunch").fit(frame).features.reason == "a hunch"


def test_a_golden_example_of_observations_is_stored_and_checked(agent, frame, store):
    agent.save(store, symbol="EURUSD")
    example = store.get(KEY).load_example()
    assert example.inputs.shape == (32, 83)
    observations, actions = walked(agent, frame.iloc[:35])
    np.testing.assert_array_equal(example.inputs, observations)
    np.testing.assert_array_equal(example.outputs, actions)
    assert store.verify(predict=True).ok


def test_predictions_that_are_not_those_of_the_model_are_refused(agent, store):
    agent.save(store, symbol="EURUSD", validate=True)
    run = store.get(KEY)
    example = run.load_example()
    saving = {"features": agent.features, "components": {"model_vecnormalize": agent.normalizer}}
    for outputs, method in ((np.roll(example.outputs + 1, 1), "predict"), (example.outputs, "transform")):
        wrong = Example(example.inputs, outputs, method)
        if method == "predict":
            with pytest.raises(errors.InvalidInput, match="predicts something else"):
                store.save(agent.model, KEY, config=agent.config, example=wrong, **saving)
        else:
            saved = store.save(agent.model, KEY, config=agent.config, example=wrong, publish="never", **saving)
            assert saved.verify(predict=True).predictions.outcome == "no predictor"
    assert store.get(KEY) == run


def test_another_process_needs_no_environment_and_no_vecnormalize(agent, frame, tmp_path):
    agent.save(tmp_path / "store", symbol="EURUSD")
    frame.to_parquet(tmp_path / "frame.parquet")
    program = f"""
import sys
import pandas as pd
from artifact_models import PPOAdapter
agent = PPOAdapter.load({str(tmp_path / "store" / "ppo" / "EURUSD")!r})
print(*agent.predict(pd.read_parquet({str(tmp_path / "frame.parquet")!r})))
assert "artifact_models.ppo.env" not in sys.modules
assert "artifact_models.ppo.trainer" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [int(word) for word in done.stdout.split()] == agent.predict(frame).tolist()


def test_what_cannot_be_validated_leaves_the_agent_as_it_was(frame):
    trained = make().fit(frame, None, slice(0, 120), slice(121, 150))
    before = dict(vars(trained))
    with pytest.raises(errors.InvalidInput, match="valid_idx leaves some out"):
        trained.fit(frame, None, slice(0, 120), [130, 135])
    assert all(vars(trained)[name] is value for name, value in before.items())


# ---------------------------------------------------------------- train on


def test_training_goes_on_from_a_run_with_its_own_statistics(agent, frame, store):
    agent.save(store, symbol="EURUSD")
    loaded = load_adapter(store.get(KEY))
    before = store.get(KEY).load("model_vecnormalize")
    steps = []
    loaded.resume(frame, timesteps=64, progress=lambda step, total, measured: steps.append((step, total)))
    assert steps[-1] == (64, 64)
    assert loaded.algorithm.num_timesteps == agent.algorithm.num_timesteps + 64
    assert loaded.normalizer.obs_rms.count > before.obs_rms.count
    assert loaded.normalizer.clip_obs == before.clip_obs
    loaded.save(store, symbol="EURUSD")
    run = store.get(KEY)
    assert run.training_config["resumed_from"].startswith(f"{KEY}:")
    assert agent.metrics
    assert run.metrics == {}  # those were of the agent that it was
    assert store.verify(predict=True).ok


def test_training_goes_on_in_the_same_way_whether_it_was_reloaded_or_not(frame, store):
    kept = make().fit(frame)
    kept.save(store, symbol="EURUSD")
    loaded = load_adapter(store.get(KEY)).resume(frame, timesteps=64, seed=1)
    rows = frame[list(kept.features.selected_names)].to_numpy("float32")
    kept.normalizer.venv = trainer.make_environments(rows, frame["close"].to_numpy(), kept.settings, 2)
    kept.algorithm.set_env(kept.normalizer)
    kept.algorithm.set_random_seed(1)
    kept.algorithm.learn(64, reset_num_timesteps=False)
    assert weights(loaded.algorithm) == weights(kept.algorithm)
    assert loaded.normalizer.obs_rms.mean.tobytes() == kept.normalizer.obs_rms.mean.tobytes()
    assert loaded.normalizer.ret_rms.var.tobytes() == kept.normalizer.ret_rms.var.tobytes()


def test_training_can_be_continued_by_hand(agent, frame, store):
    from stable_baselines3.common.vec_env import VecNormalize

    agent.save(store, symbol="EURUSD")
    run = store.get(KEY)
    rows = frame[list(run.features.selected_names)].to_numpy("float32")
    venv = trainer.make_environments(rows, frame["close"].to_numpy(), EnvSettings.from_json(run.config["env"]), 2)
    normalized = run.load("model_vecnormalize", into=VecNormalize(venv))
    algorithm = load_adapter(run).algorithm
    algorithm.set_env(normalized)
    algorithm.learn(64, reset_num_timesteps=False)
    assert weights(algorithm) != weights(agent.algorithm)


def test_an_agent_that_was_never_saved_has_nothing_to_go_on_from(frame):
    with pytest.raises(errors.InvalidOption, match="save the agent, or load one"):
        make().fit(frame).resume(frame, timesteps=64)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda f: f.drop(columns="close"), errors.FeatureMismatch, "close"),
        (lambda f: f.rename(columns={"volatility_20": "volatility-20"}), errors.FeatureMismatch, "volatility-20"),
        (lambda f: f.assign(gap=np.nan), errors.FeatureMismatch, "gap"),
        (lambda f: f.iloc[:3], errors.FeatureMismatch, "looks at 4 bars at once; got 3"),
        (lambda f: np.zeros((5, 82), "float32"), errors.FeatureMismatch, r"shape \(83,\), or bars of 21 features"),
        (lambda f: np.zeros(21), errors.FeatureMismatch, r"got \(21,\)"),
        (lambda f: np.full((2, 83), np.nan, "float32"), errors.FeatureMismatch, "166 values .* NaN"),
        (lambda f: np.full(83, np.inf, "float32"), errors.FeatureMismatch, "NaN or infinite"),
    ],
)
def test_wrong_input_is_refused_with_what_is_wrong(agent, frame, change, kind, says):
    with pytest.raises(kind, match=says):
        agent.predict(change(frame))


@pytest.mark.parametrize(
    ("options", "train", "says"),
    [
        ({"env": {"price": "last"}}, slice(0, 50), "price column 'last'"),
        ({}, [0, 1, 2, 5, 6], "leaves some out"),
        ({}, slice(0, 4), "too few"),
        ({"batch_size": 0}, slice(0, 50), "batch_size"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_and_leaves_the_adapter_as_it_was(frame, options, train, says):
    adapter = make(**options)
    with pytest.raises(errors.InvalidInput, match=says):
        adapter.fit(frame, None, train)
    assert not adapter.is_fitted
    assert adapter.features is None


def test_a_preprocessor_is_refused_since_observations_are_normalised(frame):
    with pytest.raises(errors.InvalidOption, match="leave out preprocessor"):
        PPOAdapter(preprocessor=lambda rows: rows, config=CONFIG).fit(frame)


def without(store, agent, *, config=None, normalizer=False, **changes):
    """A run as others may have written it: without statistics, or without settings of the environment."""
    parts = {"model_vecnormalize": agent.normalizer} if normalizer else {}
    options = {"features": agent.features, "tags": {"requires": "model_vecnormalize"}, **changes}
    model = agent.model if normalizer else alone(agent.model)
    return store.save(model, KEY, components=parts, config=agent.config if config is None else config, **options)


def alone(model):
    """The agent as a run of an earlier release has it: nothing says what it was trained behind."""
    model = copy.copy(model)
    model.env = None
    return model


def test_a_run_that_lost_its_statistics_loads_and_says_what_is_missing(agent, frame, store):
    loaded = load_adapter(without(store, agent))
    for given in (frame, np.zeros(83, "float32")):
        with pytest.raises(errors.ComponentNotFound, match="'model_vecnormalize'.*preselected=True"):
            loaded.predict(given)
    with pytest.raises(errors.ComponentNotFound):
        loaded.resume(frame, timesteps=64)
    observations, actions = walked(agent, frame.iloc[:20])
    normal = agent.normalizer.normalize_obs(observations)
    np.testing.assert_array_equal(loaded.predict(normal, preselected=True), actions)


def test_an_old_run_takes_ready_observations_only_and_says_so(agent, frame, store):
    old = {name: value for name, value in agent.config.items() if name != "env"}
    loaded = load_adapter(without(store, agent, config=old, normalizer=True))
    observations, actions = walked(agent, frame.iloc[:20])
    np.testing.assert_array_equal(loaded.predict(observations), actions)
    for ask in (
        lambda: loaded.predict(frame),
        lambda: loaded.positions([1]),
        lambda: loaded.resume(frame, timesteps=64),
    ):
        with pytest.raises(errors.FeatureMismatch, match=r"give ready observations of the shape \(83,\)"):
            ask()


def test_features_of_another_agent_are_found_when_it_is_loaded(agent, store):
    names = agent.features.names
    wrong = FeatureSchema(names, selected=names[:5], observation=Observation((4 * 5 + 3,)))
    with pytest.raises(errors.FeatureMismatch, match=r"\(83,\).*policy.*\(23,\)"):
        load_adapter(without(store, agent, normalizer=True, features=wrong))
    silent = FeatureSchema(names, selected=names[:5])
    with pytest.raises(errors.FeatureMismatch, match=r"\(83,\).*5 features in a window of 4 make 23"):
        load_adapter(without(store, agent, normalizer=True, features=silent))


@pytest.mark.parametrize("shape", [(), (82,)])
def test_statistics_of_another_agent_are_found_when_it_is_loaded(agent, store, shape):
    one = RunningStatistics(np.zeros(shape), np.ones(shape), 1.0)
    other = ObservationNormalizer(one, RunningStatistics(0.0, 1.0, 1.0))
    run = store.save(alone(agent.model), KEY, components={"model_vecnormalize": other}, features=agent.features)
    with pytest.raises(errors.FeatureMismatch, match=r"\(83,\).*policy.*model_vecnormalize.*shape \(82,\)|shape \(\)"):
        load_adapter(run)


def test_an_agent_of_another_trainer_that_sees_frames_takes_stacked_observations(store):
    env = VecNormalize(VecFrameStack(tiny(), 4))
    agent = PPO("MlpPolicy", env, n_steps=8, batch_size=4, device="cpu").learn(16)
    loaded = load_adapter(store.save(agent, KEY, components={"model_vecnormalize": agent.get_env()}))
    observations = np.random.default_rng(0).normal(size=(6, 12)).astype(np.float32)
    expected, _ = agent.predict(env.normalize_obs(observations), deterministic=True)
    np.testing.assert_array_equal(loaded.predict(observations), expected)
    around = loaded.normalizer.wrap(tiny())
    assert around.reset().shape == (1, 12)


def test_a_run_without_any_features_takes_observations(agent, store, frame):
    old = {name: value for name, value in agent.config.items() if name != "env"}
    loaded = load_adapter(without(store, agent, config=old, normalizer=True, features=None))
    observations, actions = walked(agent, frame.iloc[:20])
    np.testing.assert_array_equal(loaded.predict(observations), actions)
    assert loaded.features.names_inferred


def test_settings_of_an_environment_that_nobody_knows_are_refused(agent, store):
    config = {**agent.config, "env": {**agent.config["env"], "leverage": 5}}
    with pytest.raises(errors.InvalidOption, match="leverage"):
        load_adapter(without(store, agent, config=config, normalizer=True))


def test_what_could_be_an_observation_or_a_bar_is_asked_for():
    rng = np.random.default_rng(0)
    data = np.column_stack([rng.normal(size=(60, 6)), 100 + rng.normal(size=60)])
    names = [f"f{place}" for place in range(6)] + ["close"]
    agent = PPOAdapter({**CONFIG, "env": {"window": 1}}, feature_names=names, selected_features=names[:4]).fit(data)
    assert agent.algorithm.observation_space.shape == (7,)
    with pytest.raises(errors.FeatureMismatch, match="may be an observation or all features of a bar"):
        agent.predict(data)
    assert agent.predict(data[0]).shape == ()


class TestComponentsOfAnotherKind:
    def test_a_model_that_is_no_agent_is_corrupt(self, store):
        with pytest.raises(errors.Corrupt, match="the model of ppo/EURUSD:.* holds a dict; expected an agent"):
            load_adapter(store.save({"a": 1}, KEY))

    def test_statistics_that_are_none_are_corrupt(self, agent, store):
        with store.new_run(KEY) as draft:
            draft.features = agent.features
            draft.add("model", agent.algorithm)
            draft.add("model_vecnormalize", {"a": 1})
        with pytest.raises(errors.Corrupt, match="the model_vecnormalize of ppo/EURUSD:.* holds a dict"):
            load_adapter(draft.run)

    def test_an_agent_that_observes_several_arrays_is_unsupported(self, store):
        class Two(gymnasium.Env):
            observation_space = gymnasium.spaces.Dict({"a": gymnasium.spaces.Box(-1, 1, (2,))})
            action_space = gymnasium.spaces.Discrete(2)

        run = store.save(PPO("MultiInputPolicy", Two(), n_steps=8, batch_size=8), KEY)
        with pytest.raises(errors.Unsupported, match=r"observes a Dict of spaces.*run\.load\('model'\)"):
            load_adapter(run)
