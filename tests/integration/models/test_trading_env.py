"""The environment keeps its promises: honest timing, exact accounts, equal episodes for equal seeds."""

import warnings

import gymnasium
import numpy as np
import pytest
from artifact_models.ppo.env import TradingEnv
from artifact_models.ppo.observation import Account, EnvSettings, observe, roll
from gymnasium.utils.env_checker import check_env as check_gymnasium
from stable_baselines3.common.env_checker import check_env as check_sb3

PRICES = np.array([100.0, 110.0, 99.0, 99.0, 108.9, 98.01])
ROWS = np.arange(12, dtype=np.float32).reshape(6, 2)


def make(**settings):
    return TradingEnv(ROWS, PRICES, EnvSettings(**{"window": 2, "cost": 0.001, "reward_scale": 1.0, **settings}))


def walk(env, seed, steps=200):
    observation, _ = env.reset(seed=seed)
    env.action_space.seed(seed)
    seen = [observation]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        seen += [observation, np.array([reward])]
        if terminated or truncated:
            observation, _ = env.reset()
            seen.append(observation)
    return np.concatenate(seen)


@pytest.mark.parametrize("positions", [(-1, 0, 1), (0, 1), None])
@pytest.mark.parametrize("episode_bars", [None, 20])
def test_both_libraries_find_nothing_wrong(positions, episode_bars):
    rng = np.random.default_rng(0)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 80)))
    env = TradingEnv(rng.normal(size=(80, 3)), prices, EnvSettings(positions=positions, episode_bars=episode_bars))
    with warnings.catch_warnings():  # features have no bounds, and the checker would rather have some
        warnings.filterwarnings("ignore", message=".*Box observation space m(ini|axi)mum value is -?infinity")
        check_gymnasium(env, skip_render_check=True)
    check_sb3(env)


def test_an_observation_is_the_window_and_the_account_and_nothing_later():
    env = make()
    observation, _ = env.reset(seed=0)
    assert observation.tolist() == [0, 1, 2, 3, 0, 0, 0]
    observation, *_ = env.step(2)
    assert observation == pytest.approx([2, 3, 4, 5, 1, -0.1, 0.5])
    later = TradingEnv(np.vstack([ROWS[:2], ROWS[2:] + 50]), PRICES, env.settings)
    assert later.reset(seed=0)[0].tolist() == [0, 1, 2, 3, 0, 0, 0]


def test_a_bar_earns_what_the_position_makes_of_it_after_costs():
    env = make()
    env.reset(seed=0)
    rewards = [env.step(action)[1] for action in (0, 0, 2)]
    assert rewards == pytest.approx([0.1 - 0.001, 0.0, 0.1 - 0.002])
    _, reward, terminated, truncated, info = env.step(1)
    assert reward == pytest.approx(-0.001)
    assert (terminated, truncated, info["position"]) == (False, True, 0.0)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(1)


def test_a_continuous_action_is_the_position_itself_and_no_larger_than_one():
    env = make(positions=None)
    env.reset(seed=0)
    assert env.step(np.array([0.5], dtype=np.float32))[1] == pytest.approx(-0.05 - 0.0005)
    assert env.step(np.array([-7.0], dtype=np.float32))[4]["position"] == -1.0


def test_the_gain_is_counted_anew_when_the_position_turns_and_not_when_it_shrinks():
    opened = Account().after(1.0, 0.1)
    assert opened == Account(1.0, 0.1, 1)
    assert opened.after(0.5, 0.1) == Account(0.5, pytest.approx(0.15), 2)
    assert opened.after(-1.0, 0.1) == Account(-1.0, -0.1, 1)
    assert opened.after(0.0, 0.1) == Account()


def test_equal_seeds_give_equal_episodes_bit_for_bit():
    rng = np.random.default_rng(0)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 300)))
    rows = rng.normal(size=(300, 3))
    env, twin = (TradingEnv(rows, prices, EnvSettings(episode_bars=30)) for _ in range(2))
    assert np.array_equal(walk(env, 3), walk(twin, 3))
    assert not np.array_equal(walk(env, 3), walk(env, 4))


def test_an_episode_is_as_long_as_it_should_be_and_begins_anywhere():
    env = make(episode_bars=2)
    starts = set()
    for seed in range(30):
        starts.add(env.reset(seed=seed)[1]["bar"])
        steps = 1
        while not env.step(1)[3]:
            steps += 1
        assert steps == 2
    assert starts == {1, 2, 3}
    assert make(episode_bars=50).reset(seed=1)[1]["bar"] == 1


@pytest.mark.parametrize("positions", [(-1, 0, 1), None])
def test_rolling_through_rows_sees_exactly_what_stepping_sees(positions):
    settings = EnvSettings(window=2, positions=positions)
    decisions = iter([0, 0, 2, 1, 2] if positions else [-0.3, -0.9, 0.4, 0.0, 1.0])
    stepped, rolled, taken = [], [], []

    def act(observation):
        rolled.append(observation)
        taken.append(next(decisions))
        return taken[-1]

    assert roll(settings, ROWS, PRICES, act) == taken
    env = TradingEnv(ROWS, PRICES, settings)
    stepped.append(env.reset()[0])
    stepped += [env.step(np.array([action]) if positions is None else action)[0] for action in taken[:-1]]
    assert len(rolled) == len(ROWS) - 2 + 1
    assert all(a.tobytes() == b.tobytes() for a, b in zip(rolled, stepped, strict=True))


def test_the_space_is_that_of_the_observations():
    env = make()
    assert env.observation_space.shape == (env.settings.size(2),) == observe(env.settings, ROWS[:2], Account()).shape
    assert env.action_space == gymnasium.spaces.Discrete(3)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"window": 0}, "window"),
        ({"cost": -0.1}, "cost"),
        ({"positions": (1,)}, "positions"),
        ({"positions": (0, 0, 1)}, "positions"),
        ({"positions": (0, 2)}, "positions"),
        ({"episode_bars": 0}, "episode_bars"),
        ({"reward_scale": 0}, "reward_scale"),
        ({"windows": 5}, "no setting 'windows' .did you mean 'window'"),
        ({"window": "5"}, "not settings"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        EnvSettings.from_json(wrong)


def test_settings_survive_json():
    for settings in (EnvSettings(), EnvSettings(positions=None, window=3, episode_bars=7)):
        assert EnvSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("rows", "prices", "why"),
    [
        (ROWS[:2], PRICES[:2], "too few"),
        (ROWS, PRICES[:5], "a price for each"),
        (ROWS[:, 0], PRICES, "a price for each"),
        (np.where(ROWS == 3, np.nan, ROWS), PRICES, "NaN"),
        (ROWS, np.where(PRICES == 110, 0, PRICES), "not above 0"),
    ],
)
def test_data_that_no_episode_can_be_made_of_are_refused(rows, prices, why):
    with pytest.raises(ValueError, match=why):
        TradingEnv(rows, prices, EnvSettings(window=2))
