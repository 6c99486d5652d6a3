"""What an error advises is taken out of its text and done: one line for each, beside the scenarios of test_advice.py.

``tests/advice.py`` lists every advice of the package, and which test follows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from artifact_store import ArtifactStore, CodecRegistry, LoadPolicy, Risk, Signer, errors
from artifact_store.cli.app import app
from tests.integration.e2e.test_advice import Own, keywords
from tests.keys import pem, signer

KEY = "gru/BTCEUR"
RUN = "20240102_000000"


@dataclass(frozen=True, slots=True)
class World:
    """A store with two runs, and a folder to work in."""

    store: ArtifactStore
    folder: Path

    def opened(self, **options: Any) -> ArtifactStore:
        return ArtifactStore(self.folder / "store", provenance=False, **options)

    def run(self, *arguments: str, url: str | None = None) -> Result:
        before = ["--store", url or str(self.folder / "store")]
        return CliRunner().invoke(app, [*before, *arguments])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    store = ArtifactStore(tmp_path / "store", provenance=False)
    store.save({"n": 1}, KEY, run_id="20240101_000000", metrics={"sharpe": 1.0})
    store.save({"n": 2}, KEY, run_id=RUN, metrics={"sharpe": 2.0})
    (tmp_path / "mine.pem").write_bytes(pem())
    (tmp_path / "mine.pub").write_bytes(signer().public_key.pem)
    return World(store, tmp_path)


def shown(text: str, pattern: str) -> Any:
    """Return what a text shows, as the value that it is in Python."""
    found = re.search(pattern, text)
    assert found is not None, text
    return eval(found[0], {"timedelta": timedelta, "datetime": datetime, "UTC": UTC})


def mine() -> LoadPolicy:
    return LoadPolicy(trusted_keys=[signer().public_key], require_signature=True)


def other_key() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def keygen(world: World, text: str) -> object:
    (command,) = re.findall(r"`artifact-store ([a-z]+)`", text)
    assert world.run(command, str(world.folder / "new")).exit_code == 0
    return Signer.from_pem(world.folder / "new.key")


def listed(world: World, text: str) -> bool:
    (command,) = re.findall(r"`artifact-store ([^`]+)`", text)
    return RUN in world.run(*command.split()).output


def other_folder(world: World, text: str) -> object:
    assert "staging=FOLDER" in text
    (world.folder / "other").mkdir()
    return world.opened(staging=world.folder / "other").save({"n": 3}, KEY)


def signed(world: World, text: str) -> object:
    assert "signer=..." in text
    world.store.sign(f"{KEY}:{RUN}", signer())
    return world.opened(signer=signer()).promote(f"{KEY}:{RUN}", "live")


class RunsCode:
    """A codec of a plug-in that decodes by running code."""

    name, version, risk, extra = "own-code", 1, Risk.CODE, None
    types = (f"{Own.__module__}.{Own.__qualname__}",)

    def encode(self, obj: object, directory: Path, stem: str) -> dict[str, Any]:
        (directory / f"{stem}.txt").write_text(type(obj).__name__)
        return {}

    def decode(self, directory: Path, stem: str, options: object, *, into: object = None) -> object:
        raise AssertionError("nothing is decoded here")


def running_code() -> CodecRegistry:
    registry = CodecRegistry()
    registry.register(RunsCode())
    return registry


def s3(**options: Any) -> ArtifactStore:
    engine = options.pop("engine", "obstore")
    return ArtifactStore("s3://bucket/x", engine=engine, storage_options=options)


Failing = Callable[[World], object]
Following = Callable[[World, str], object]
ADVICE: dict[str, tuple[Failing, Following]] = {
    "state": (
        lambda w: w.opened(state="seen"),
        lambda w, text: w.opened(state="seen", policy=LoadPolicy(trusted_keys=[signer().public_key], **keywords(text))),
    ),
    "max age": (
        lambda _: LoadPolicy(max_age=timedelta(days=1)),
        lambda _, text: LoadPolicy(max_age=timedelta(days=1), trusted_keys=[signer().public_key], **keywords(text)),
    ),
    "a key of another kind": (lambda _: Signer.from_pem(other_key()), keygen),
    "age of a run": (
        lambda w: w.store.find(KEY, max_run_age=3),  # type: ignore[arg-type]
        lambda w, text: w.store.find(KEY, max_run_age=1000 * shown(text, r"timedelta\([^)]*\)")),
    ),
    "time of a listing": (
        lambda w: w.store.runs(KEY, since=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda w, text: w.store.runs(KEY, since=shown(text, r"datetime\([^)]*\)")),
    ),
    "time of a prune": (
        lambda w: w.store.prune(KEY, older_than=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda w, text: w.store.prune(KEY, older_than=shown(text, r"datetime\([^)]*\)")),
    ),
    "codec that runs code": (
        lambda w: w.opened(registry=running_code()).save(Own(), KEY),
        lambda w, text: w.opened(registry=running_code()).save(Own(), KEY, **keywords(text)),
    ),
    "mode of a store": (
        lambda w: w.opened(concurrency="single-writer").save({"n": 3}, KEY),
        lambda w, text: w.opened(**keywords(text)).save({"n": 3}, KEY),
    ),
    "an alias that is not signed": (
        lambda w: w.opened(policy=mine()).load(f"{KEY}@latest"),
        signed,
    ),
    "a vouch without a signer": (
        lambda w: w.store.promote(f"{KEY}:{RUN}", "live", vouch=w.store.history(f"{KEY}@latest").pointer),
        signed,
    ),
    "a run by less than its id": (lambda w: w.store.delete(f"{KEY}:1"), listed),
    "a policy without a signer": (
        lambda w: w.opened(policy=mine()).save({"n": 3}, "gru/NEW"),
        lambda w, _: w.opened(policy=mine(), signer=Signer.from_pem(w.folder / "mine.pem")).save({"n": 3}, "gru/NEW"),
    ),
    "staging inside": (
        lambda w: w.opened(staging=w.folder / "store" / "tmp").save({"n": 3}, KEY),
        lambda w, text: "leave it out" in text and w.opened().save({"n": 3}, KEY),
    ),
    "no staging": (lambda w: w.opened(staging=w.folder / "none").save({"n": 3}, KEY), other_folder),
    "engine of a scheme": (
        lambda _: ArtifactStore("memory://x", engine="obstore"),
        lambda _, text: ArtifactStore("memory://x", **keywords(text)),
    ),
    "option of the other engine": (
        lambda _: s3(version_aware=True),
        lambda _, text: s3(version_aware=True, **keywords(text)),
    ),
    "without encryption": (
        lambda _: s3(use_ssl=False),
        lambda _, text: s3(use_ssl=False, endpoint_url=keywords(text)["endpoint_url"].replace("...", "127.0.0.1:9")),
    ),
    "region": (
        lambda _: s3(region_name="eu-north-1"),
        lambda _, text: s3(**eval(f"dict({shown_text(text)})", {"region": "eu-north-1"})),
    ),
}


def shown_text(text: str) -> str:
    return text.rpartition("did you mean ")[2].rstrip("?").replace("...", "region")


@pytest.mark.parametrize("name", ADVICE)
def test_an_advice_works_when_it_is_followed(world: World, name: str) -> None:
    failing, following = ADVICE[name]
    with pytest.raises(errors.ArtifactStoreError) as caught:
        failing(world)
    assert following(world, str(caught.value))


COMMANDS: list[tuple[list[str], list[str], str]] = [
    (["doctor", "--apply"], ["doctor", "--apply", "--repair"], "belong to --repair"),
    (
        ["get", KEY, "out", "--component", "model", "--file", "model.json"],
        ["get", KEY, "out", "--component", "model"],
        "not both",
    ),
    (["prune", KEY], ["prune", KEY, "--keep-last", "10"], "--keep-last 10,"),
    (["prune", KEY], ["prune", KEY, "--keep-best", "sharpe:3"], "--keep-best sharpe:3,"),
    (["prune", KEY], ["prune", KEY, "--older-than", "90d", "--apply"], "--older-than 90d,"),
    (["sign", KEY], ["sign", KEY, "--key", "mine.pem"], "Give --key FILE"),
    (["sign", KEY], ["--signer", "mine.pem", "sign", KEY], "--signer FILE before the command"),
    (["validate", f"{KEY}:{RUN}", "--prefer", "latest"], ["validate", f"{KEY}:{RUN}"], "leave out --prefer"),
    (["validate", "gru/NONE"], ["ls"], "`artifact-store ls` lists"),
    (["ls", "--timeout", "5"], ["--timeout", "5", "--min-rate", "1000", "ls"], "--timeout stands before the command"),
]


@pytest.mark.parametrize(
    ("wrong", "right", "says"), COMMANDS, ids=lambda value: value if isinstance(value, str) else None
)
def test_what_a_command_lacks_is_given_as_it_tells(world: World, wrong: list[str], right: list[str], says: str) -> None:
    failed = world.run(*wrong)
    assert failed.exit_code != 0
    assert says in " ".join(failed.output.split())
    done = world.run(*right)
    assert done.exit_code == 0, done.output
