"""What normalises with numpy alone returns what stable-baselines3 returns, bit for bit."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from artifact_store import ArtifactStore
from artifact_store.canonical import canonical
from artifact_store.codecs.json_arrays import plain_array, read_array
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer, RunningStatistics, VecNormalizeCodec
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable
from tests.environments import ACTIONS, BOX, DICT, UNBOUNDED, tiny

CODEC = VecNormalizeCodec()
RANDOM = np.random.default_rng(5)


def used(env: Any, *, steps: int = 30, **settings: Any) -> VecNormalize:
    return play(VecNormalize(env, **settings), steps)


def play(env: VecNormalize, steps: int = 30) -> VecNormalize:
    env.seed(3)
    env.reset()
    env.action_space.seed(3)
    for _ in range(steps):
        env.step(np.array([env.action_space.sample() for _ in range(env.num_envs)]))
    return env


def there_and_back(obj: Any, directory: Path, *, into: Any = None) -> Any:
    return CODEC.decode(directory, "model", CODEC.encode(obj, directory, "model"), into=into)


def same_array(one: Any, other: Any) -> bool:
    return (
        type(one) is type(other)
        and one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
    )


def observations(dtype: Any, shape: tuple[int, ...]) -> Any:
    return (RANDOM.normal(size=shape) * 20).astype(dtype)


@pytest.mark.parametrize(
    "settings", [{}, {"clip_obs": 0.5}, {"epsilon": 0.1}, {"norm_obs": False}, {"training": False}], ids=str
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.float16])
def test_observations_and_rewards_are_normalised_the_same(settings: Any, dtype: Any, tmp_path: Path) -> None:
    env = used(tiny(), **settings)
    normalizer = there_and_back(env, tmp_path)
    assert type(normalizer) is ObservationNormalizer
    for shape in ((3,), (1, 3), (50, 3)):
        obs = observations(dtype, shape)
        before = obs.copy()
        assert same_array(normalizer.normalize_obs(obs), env.normalize_obs(obs))
        assert np.array_equal(obs, before)
    for rewards in (observations(dtype, (50,)), observations(dtype, (1,)), np.float64(3), np.float32(-2)):
        assert same_array(normalizer.normalize_reward(rewards), env.normalize_reward(rewards))


def test_rewards_that_are_not_normalised_are_only_cast(tmp_path: Path) -> None:
    env = used(tiny(), norm_reward=False)
    rewards = observations(np.float64, (20,))
    assert same_array(there_and_back(env, tmp_path).normalize_reward(rewards), env.normalize_reward(rewards))


@pytest.mark.parametrize("keys", [None, ["window"]])
def test_parts_of_a_dict_are_normalised_the_same(keys: list[str] | None, tmp_path: Path) -> None:
    plain = spaces.Dict({name: space for name, space in DICT.items() if name != "held"})
    env = used(tiny(DICT if keys else plain), norm_obs_keys=keys)
    normalizer = there_and_back(env, tmp_path)
    obs = {
        "window": observations(np.float32, (4, 2, 2)),
        "account": observations(np.float32, (4, 2)),
        "held": np.arange(4),
    }
    mine, theirs = normalizer.normalize_obs(obs), env.normalize_obs(obs)
    assert list(mine) == list(theirs)
    assert all(same_array(mine[key], theirs[key]) for key in obs)
    assert mine["held"] is not obs["held"]
    assert normalizer.norm_obs_keys == (("window",) if keys else ("account", "window"))
    assert normalizer.shape == {key: DICT[key].shape for key in normalizer.norm_obs_keys}


def test_a_normalizer_can_be_made_of_plain_arrays(tmp_path: Path) -> None:
    env = used(tiny())
    made = ObservationNormalizer(
        RunningStatistics(env.obs_rms.mean, env.obs_rms.var, env.obs_rms.count),  # type: ignore[union-attr]
        RunningStatistics(env.ret_rms.mean, env.ret_rms.var, env.ret_rms.count),
    )
    back = there_and_back(made, tmp_path)
    assert back == made == there_and_back(env, tmp_path)
    assert hash(back.ret_rms) == hash(made.ret_rms)
    assert back != ObservationNormalizer(made.obs_rms, RunningStatistics(0, 1, 1))
    obs = observations(np.float32, (9, 3))
    assert same_array(back.normalize_obs(obs), env.normalize_obs(obs))
    with pytest.raises(ValueError, match="read-only"):
        made.ret_rms.mean[...] = 1


def test_it_goes_through_a_store_beside_its_policy(tmp_path: Path) -> None:
    env = VecNormalize(tiny())
    policy = PPO("MlpPolicy", env, n_steps=16, batch_size=8, device="cpu", policy_kwargs={"net_arch": [4]}).learn(16)
    run = ArtifactStore(tmp_path.as_uri()).save(policy, "ppo/GOOGL", components={"model_vecnormalize": env})
    obs = observations(np.float32, (9, 3))
    expected, _ = policy.predict(env.normalize_obs(obs), deterministic=True)
    again, _ = run.load().predict(run.load("model_vecnormalize").normalize_obs(obs), deterministic=True)
    assert np.array_equal(again, expected)


def test_an_observation_of_another_form_is_refused(tmp_path: Path) -> None:
    flat, parts = (
        there_and_back(used(tiny()), tmp_path),
        there_and_back(used(tiny(DICT), norm_obs_keys=["window"]), tmp_path),
    )
    with pytest.raises(InvalidOption, match=r"shape \(3,\).*\(5, 4\)"):
        flat.normalize_obs(np.zeros((5, 4)))
    with pytest.raises(InvalidOption, match="shape"):
        flat.normalize_obs(1.0)
    with pytest.raises(InvalidOption, match="dict with window"):
        parts.normalize_obs(np.zeros(3))
    with pytest.raises(InvalidOption, match="lacks window; it has windows"):
        parts.normalize_obs({"windows": np.zeros((2, 2))})


def test_statistics_that_contradict_each_other_are_refused() -> None:
    one = RunningStatistics(0.0, 1.0, 1)
    with pytest.raises(InvalidOption, match="no variance"):
        RunningStatistics([0.0, 1.0], [1.0], 1)
    with pytest.raises(InvalidOption, match="statistics are missing"):
        ObservationNormalizer(None, one)
    with pytest.raises(InvalidOption, match="not of all"):
        ObservationNormalizer({"a": one}, one, norm_obs_keys=("a", "b"))


# ---------------------------------------------------------------- training on


@pytest.mark.parametrize("space", [BOX, UNBOUNDED, DICT], ids=str)
def test_statistics_go_on_as_if_they_had_never_been_saved(space: Any, tmp_path: Path) -> None:
    keys = ["window", "account"] if space is DICT else None
    env = used(tiny(space, n_envs=2), gamma=0.8, clip_obs=3, epsilon=1e-3, norm_obs_keys=keys)
    into = VecNormalize(tiny(space, n_envs=2), norm_obs_keys=["window"] if keys else None)
    assert there_and_back(env, tmp_path, into=into) is into
    assert CODEC.encode(play(into), tmp_path, "one") == CODEC.encode(play(env), tmp_path, "two")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_normalizer_is_put_around_environments_again(tmp_path: Path) -> None:
    env = used(tiny())
    again = there_and_back(env, tmp_path).wrap(tiny())
    assert type(again) is VecNormalize
    assert CODEC.encode(again, tmp_path, "again") == CODEC.encode(env, tmp_path, "model2")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "model2.json").read_bytes()
    with pytest.raises(InvalidOption):
        CODEC.decode(tmp_path, "again", {}).wrap(tiny(DICT))


def test_what_is_under_way_stays_under_way(tmp_path: Path) -> None:
    into = used(tiny(length=90))
    returns, seen = into.returns.copy(), into.get_original_obs()
    there_and_back(used(tiny()), tmp_path, into=into)
    assert np.array_equal(into.returns, returns)
    assert np.array_equal(into.get_original_obs(), seen)


def test_settings_that_were_switched_afterwards_are_kept(tmp_path: Path) -> None:
    env = used(tiny(DICT), norm_obs_keys=["window", "account"])
    env.norm_obs, env.training, env.norm_reward, env.norm_obs_keys = False, False, False, ["account"]
    into = VecNormalize(tiny(DICT), norm_obs_keys=["window"])
    there_and_back(env, tmp_path, into=into)
    assert (into.norm_obs, into.training, into.norm_reward, into.norm_obs_keys) == (False, False, False, ["account"])
    assert sorted(into.obs_rms) == ["account", "window"]  # type: ignore[arg-type]


def test_images_keep_the_bounds_that_follow_from_the_clipping(tmp_path: Path) -> None:
    image = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    env = used(tiny(image), steps=2, clip_obs=4.0)
    into = there_and_back(env, tmp_path, into=VecNormalize(tiny(image)))
    assert into.observation_space == env.observation_space


@pytest.mark.parametrize(
    ("into", "words"),
    [
        (lambda: VecNormalize(tiny(UNBOUNDED)), r"\(2, 3\).*\(3,\)"),
        (lambda: VecNormalize(tiny(DICT), norm_obs_keys=["window"]), "other observations"),
        (lambda: VecNormalize(tiny(spaces.Discrete(3)), norm_obs=False), "other observations"),
        (tiny, "DummyVecEnv"),
        (lambda: 7, "int"),
    ],
)
def test_what_does_not_fit_is_left_alone(into: Callable[[], Any], words: str, tmp_path: Path) -> None:
    other = into()
    before = copy.deepcopy(vars(other).get("ret_rms")) if other != 7 else None
    with pytest.raises(InvalidOption, match=words):
        there_and_back(used(tiny()), tmp_path, into=other)
    assert before is None or before.count == other.ret_rms.count


def test_a_dict_does_not_fit_other_keys(tmp_path: Path) -> None:
    other = VecNormalize(tiny(spaces.Dict({"price": ACTIONS})))
    with pytest.raises(InvalidOption, match="other observations"):
        there_and_back(used(tiny(DICT), norm_obs_keys=["window"]), tmp_path, into=other)


# ---------------------------------------------------------------- files that lie

STATISTICS = {
    "mean": {"dtype": "float64", "shape": [3], "values": 0},
    "var": {"dtype": "float64", "shape": [3], "values": 1},
    "count": 1,
}
LIES: list[dict[str, Any]] = [
    {"kind": "os"},
    {"kind": 1},
    {"kind": "dict"},
    {"kind": "none"},
    {"kind": "dict", "obs_rms": {"parts": [["a"]]}},
    {"kind": "dict", "obs_rms": {"parts": [["a", 7]]}},
    {"kind": "dict", "obs_rms": {"parts": [["a", STATISTICS]]}, "norm_obs_keys": ["b"]},
    {"norm_obs_keys": [1]},
    {"norm_obs_keys": "ab"},
    {"ret_rms": None},
    {"obs_rms": {**STATISTICS, "count": "many"}},
    {"obs_rms": {**STATISTICS, "count": True}},
    {"obs_rms": {**STATISTICS, "mean": {"dtype": "float64", "shape": [2], "values": 0}}},
    {"obs_rms": {**STATISTICS, "var": {"dtype": "float32", "shape": [3], "values": 0}}},
    {"obs_rms": {**STATISTICS, "var": {"dtype": "object", "shape": [3], "values": 0}}},
    {"obs_rms": {**STATISTICS, "var": {"dtype": "float64", "shape": [1 << 50], "values": 0}}},
    {"obs_rms": {**STATISTICS, "var": {"dtype": "float64", "shape": [3], "values": [0, 1]}}},
    {"obs_rms": {**STATISTICS, "var": {"dtype": "float64", "shape": [3], "values": ["1", 0, 0]}}},
    {"obs_rms": {**STATISTICS, "var": {"dtype": "float64", "shape": ["3"], "values": 0}}},
    {"clip_obs": None},
    {"clip_obs": (1 << 1024) - 1},
    {"epsilon": "1"},
    {"training": 1},
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_record_that_lies_is_corrupt(lie: dict[str, Any], tmp_path: Path) -> None:
    CODEC.encode(used(tiny()), tmp_path, "model")
    path = tmp_path / "model.json"
    path.write_bytes(canonical({**json.loads(path.read_bytes()), **lie}))
    with pytest.raises(Corrupt):
        CODEC.decode(tmp_path, "model", {})


# ---------------------------------------------------------------- arrays as JSON

ARRAYS = [
    np.array([0.1, 1e-320, -0.0, np.inf, -np.inf, np.nan, -np.nan]),
    np.float32([1 / 3, 1e-45, 3.4e38]),
    np.array(7.5),
    np.zeros((0, 2), np.float16),
    np.full((2, 3), -np.inf),
    np.array([0.0, -0.0]),
    np.array([2**64 - 1, 0], np.uint64),
    np.array([[True, False]]),
    np.arange(6, dtype=np.int8).reshape(2, 3)[:, ::2],
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_an_array_keeps_every_bit(array: Any) -> None:
    back = read_array(json.loads(canonical(plain_array(array, "it"))), "it")
    assert same_array(back, np.ascontiguousarray(array).reshape(array.shape))


def test_an_array_of_one_number_is_one_number() -> None:
    assert plain_array(np.full((9, 9), np.inf), "it")["values"] == "inf"


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a"]),
        np.array([None]),
        np.array([1j]),
        np.array([1.0], np.longdouble),
        np.array([1.0], ">f8"),
        np.array([0x7FF8000000000001], np.uint64).view(np.float64),
    ],
    ids=repr,
)
def test_an_array_that_would_be_bent_is_refused(array: Any) -> None:
    with pytest.raises(NotEncodable, match="it"):
        plain_array(array, "it")


@pytest.mark.parametrize("values", [[300], [1.5], [-1], ["inf"], [None], 300, "inf"])
def test_a_number_that_is_not_of_the_dtype_is_corrupt(values: Any) -> None:
    with pytest.raises(Corrupt):
        read_array({"dtype": "uint8", "shape": [1], "values": values}, "it")


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ([0], 1),
        ([3, 0], 1),
        ([0], [1]),
        ([2], [1]),
        ([2], []),
        ([1 << 62, 1 << 62, 0], []),
        ([1] * 65, [1]),
        ([1] * 65, 1),
        ([-1], [1]),
        ([True], [1]),
        ([1 << 40], 1),
    ],
    ids=repr,
)
def test_a_shape_that_does_not_fit_is_corrupt(shape: list[int], values: Any) -> None:
    with pytest.raises(Corrupt, match="it is recorded with"):
        read_array({"dtype": "uint8", "shape": shape, "values": values}, "it")
