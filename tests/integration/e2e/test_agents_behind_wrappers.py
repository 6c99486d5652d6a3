"""An agent is saved with what made its observations in training, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize, VecTransposeImage

from artifact_store import ArtifactStore, Example, errors
from artifact_store.bulk.checks import VALIDATE
from artifact_store.codecs.sb3.policy import SB3Codec, SB3ContribCodec
from artifact_store.core.manifest import Manifest
from artifact_store.core.observing import AGENTS, holder, unwrapped
from artifact_store.ops.verdict import Verdict
from tests.environments import tiny
from tests.unit.samples import resealed

pytestmark = [pytest.mark.xdist_group("predictors"), pytest.mark.filterwarnings("ignore:.*vec_env.*:UserWarning")]

KEY = "ppo/EURUSD"
BEHIND: dict[str, Callable[[Any], Any]] = {
    "statistics": VecNormalize,
    "statistics that are watched": lambda env: VecMonitor(VecNormalize(env)),
    "frames": lambda env: VecFrameStack(env, 3),
    "statistics of frames": lambda env: VecNormalize(VecFrameStack(env, 2), clip_obs=4.0),
    "frames of statistics": lambda env: VecFrameStack(VecNormalize(env), 2),
}
NOTHING: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda env: env,
    "what only watches": VecMonitor,
    "statistics of rewards": lambda env: VecNormalize(env, norm_obs=False),
}


@pytest.fixture
def store() -> Iterator[ArtifactStore]:
    with ArtifactStore("memory://") as store:
        yield store


def trained(around: Callable[[Any], Any]) -> Any:
    env = around(tiny())
    return PPO("MlpPolicy", env, n_steps=16, batch_size=8, policy_kwargs={"net_arch": [4]}, device="cpu").learn(16)


@pytest.mark.parametrize("around", BEHIND.values(), ids=BEHIND)
def test_an_agent_without_what_it_was_trained_behind_is_refused(store: ArtifactStore, around: Any) -> None:
    agent = trained(around)
    with pytest.raises(errors.InvalidInput, match=r"trained behind Vec.*no component of the run holds that"):
        store.save(agent, KEY)
    assert not store.exists()
    for name in ("model_vecnormalize", "statistics"):  # as the error says, and under another name
        run = store.save(agent, KEY, components={name: agent.get_env()})
        assert holder(run.manifest.components, "model") == name
        assert run.validate().verdict is Verdict.SOUND
    agent.env = None  # the other way out
    assert store.save(agent, KEY).components == ("model",)


@pytest.mark.parametrize("around", NOTHING.values(), ids=NOTHING)
def test_an_agent_that_sees_what_its_environments_show_needs_nothing(store: ArtifactStore, around: Any) -> None:
    run = store.save(trained(around), KEY)
    assert run.manifest.components["model"].options["behind"]["wrappers"] == []
    assert run.behind() is None
    found = run.validate()
    assert (found.verdict, found.notes) == (Verdict.SOUND, ())


class OwnNormalize(VecNormalize):
    """A class of somebody's own, which no codec stores."""


def in_single_precision(env: Any) -> Any:
    normal = VecNormalize(env)
    normal.obs_rms.mean = normal.obs_rms.mean.astype("float32")
    return normal


@pytest.mark.parametrize("around", [OwnNormalize, in_single_precision, lambda env: VecMonitor(OwnNormalize(env))])
def test_an_agent_behind_what_no_codec_stores_is_saved_only_as_it_is_told(store: ArtifactStore, around: Any) -> None:
    agent = PPO("MlpPolicy", around(tiny()), n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]}, device="cpu")
    with pytest.raises(errors.InvalidInput, match="trained behind .*Normalize, and no component") as refused:
        store.save(agent, KEY)
    with pytest.raises(errors.NotEncodable):
        store.save(agent, KEY, components={"model_vecnormalize": agent.get_env()})
    assert "agent.env = None" in str(refused.value)
    agent.env = None
    assert store.save(agent, KEY).published


def test_an_agent_without_environments_is_loaded_and_called_not_recorded(store: ArtifactStore) -> None:
    agent = store.save(trained(lambda env: env), KEY).load()
    run = store.save(agent, KEY, validate=True)  # as runs of earlier releases: nothing is recorded
    assert run.manifest.components["model"].options == {}
    assert run.published.validation.notes == ("what 'model' was trained behind is not recorded",)
    assert str(run.published.validation).endswith("is not recorded")
    for jobs in (None, 1):
        (report,) = store.validate(jobs=jobs)
        assert (report.verdict, report.notes) == (Verdict.SOUND, run.validate().notes)
    assert VALIDATE.from_json(VALIDATE.to_json(report)).notes == report.notes
    assert run.load().num_timesteps == agent.num_timesteps


def test_the_codecs_of_agents_are_known_by_their_names() -> None:
    assert {SB3Codec.name, SB3ContribCodec.name} == {*AGENTS}


def test_statistics_that_went_on_are_not_those_of_the_agent(store: ArtifactStore) -> None:
    agent = trained(VecNormalize)
    other = VecNormalize(tiny())
    for wrong in (other, VecNormalize(agent.get_env().venv, clip_obs=1.0)):
        with pytest.raises(errors.InvalidInput, match="what 'model_vecnormalize' holds is something else"):
            store.save(agent, KEY, components={"model_vecnormalize": wrong})
    run = store.save(agent, KEY, components={"other": other, "own": agent.get_env()})
    assert holder(run.manifest.components, "model") == "own"
    again = store.load(KEY, "own")
    assert store.save(agent, KEY, components={"model_vecnormalize": again}).published  # as it was loaded


def test_frames_of_an_image_that_the_library_turned_round_are_those_of_the_agent() -> None:
    from artifact_store.codecs.sb3.wrappers import Wrapper, mark_of

    frames = Wrapper("VecFrameStack", {"n_stack": 2, "channels_order": "last"})
    assert mark_of([frames, Wrapper("VecTransposeImage", {"skip": False})]) == mark_of([frames])
    assert mark_of([Wrapper("VecTransposeImage", {"skip": False})]) is None
    assert VecTransposeImage.__name__ == "VecTransposeImage"


def test_golden_predictions_find_the_statistics_under_any_name(store: ArtifactStore) -> None:
    agent = trained(VecNormalize)
    env = agent.get_env()
    raw = np.random.default_rng(0).normal(size=(6, *env.venv.observation_space.shape))
    actions = agent.predict(env.normalize_obs(raw), deterministic=True)[0]
    run = store.save(agent, KEY, components={"statistics": env}, example=Example(raw, actions))
    assert run.validate().compared


def test_a_run_that_lost_its_statistics_is_not_sound(store: ArtifactStore) -> None:
    agent = trained(VecNormalize)
    run = store.save(agent, KEY, components={"model_vecnormalize": agent.get_env()})
    value = run.manifest.to_json()
    lost = {name: part for name, part in value["components"].items() if name == "model"}
    files = [part for part in value["files"] if not part["path"].startswith("model_vecnormalize")]
    without = Manifest.from_bytes(resealed({**value, "components": lost, "files": files}), what="it")
    assert [str(found) for found in unwrapped(without.components)] == [
        "'model' was trained behind VecNormalize, and no component of the run holds that"
    ]
    strange = {**value["components"]["model"], "options": {"behind": ["text"]}}
    odd = Manifest.from_bytes(resealed({**value, "components": {"model": strange}, "files": files}), what="it")
    assert unwrapped(odd.components) == []
