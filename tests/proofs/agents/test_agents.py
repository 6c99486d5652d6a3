"""The proof about agents that others trained, with small ones that are made here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecNormalize

from tests.environments import DICT, THREE, tiny
from tests.hostile import changed
from tests.proofs.agents.collection import LIST, listed, zips
from tools.processes import HERE

ROOM: dict[str, Any] = {"device": "cpu", "policy_kwargs": {"net_arch": [8]}}


def saved(agent: Any, path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        agent.save(file)
    return path.read_bytes()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Agents with and without statistics beside them, one of which is broken."""
    folder = tmp_path_factory.mktemp("collection")
    env = VecNormalize(tiny())
    saved(PPO("MlpPolicy", env, n_steps=16, batch_size=8, **ROOM).learn(32), folder / "ppo" / "Tiny-v1.zip")
    (folder / "ppo" / "Tiny-v1").mkdir()
    env.save(str(folder / "ppo" / "Tiny-v1" / "vecnormalize.pkl"))
    saved(DQN("MultiInputPolicy", tiny(DICT, THREE), buffer_size=50, **ROOM), folder / "dqn" / "Tiny-v1.zip")
    return folder


def proved(folder: Path, *more: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "tests.proofs.agents", "--from", str(folder), "--json", *more]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_agents_are_the_same_as_in_their_own_library(collection: Path) -> None:
    status, told = proved(collection)
    assert [(row["zip"], row["verdict"]) for row in told["rows"]] == [
        ("dqn/Tiny-v1.zip", "same"),
        ("ppo/Tiny-v1.zip", "same"),
    ]
    assert (status, told["unpicklings"]) == (0, 0)


def test_an_agent_that_is_not_the_listed_one_is_told(collection: Path, tmp_path: Path) -> None:
    path = next(path for path, known in listed().items() if known.sha256)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes((collection / "ppo" / "Tiny-v1.zip").read_bytes())
    status, told = proved(tmp_path)
    assert [row["verdict"] for row in told["rows"]] == ["other bytes"]
    assert status == 1


def test_an_agent_that_is_refused_although_its_library_loads_it_is_told(collection: Path, tmp_path: Path) -> None:
    whole = (collection / "ppo" / "Tiny-v1.zip").read_bytes()

    def told_otherwise(entry: str, content: bytes) -> bytes:
        return (
            content.replace(b"ActorCriticPolicy.__init__", b"SomebodysPolicy.__init__") if entry == "data" else content
        )

    (tmp_path / "Tiny-v1.zip").write_bytes(changed(whole, told_otherwise))
    status, told = proved(tmp_path)
    assert [row["verdict"] for row in told["rows"]] == ["refused"]
    assert status == 1


def test_a_bare_repository_is_a_collection_too(collection: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for path, data, _ in zips(collection):
        assert data is not None
        (tmp_path / "work" / Path(path).name).write_bytes(data)
    commands = (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x"])
    for command in commands:
        subprocess.run(["git", *command], cwd=tmp_path / "work", check=True)
    subprocess.run(["git", "clone", "-q", "--bare", "work", "bare"], cwd=tmp_path, check=True)
    assert [(path, data) for path, data, _ in zips(tmp_path / "bare")] == [
        (path, data) for path, data, _ in zips(tmp_path / "work")
    ]


def test_without_a_folder_it_says_how_to_get_one() -> None:
    command = [sys.executable, "-m", "tests.proofs.agents"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "git clone https://github.com/DLR-RM/rl-trained-agents" in done.stderr
    assert len(listed()) == 209
    assert LIST.stat().st_size < 40_000
