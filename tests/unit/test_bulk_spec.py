"""What is sent of a store: enough to open it elsewhere, and no secret."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, CodecRegistry, LoadPolicy, StoreSpec
from artifact_store.errors import InvalidOption
from artifact_store.storage.memory import MemoryBackend
from tests.keys import public, signer, strict

pytestmark = pytest.mark.windows

SECRET = "wJalrXUtn/K7MDENG+bPxRfiCY"
BUCKET = "s3://models/live"


def travelled(spec: StoreSpec) -> list[StoreSpec]:
    """The spec by each way in which it can be sent."""
    return [pickle.loads(pickle.dumps(spec)), StoreSpec.from_json(json.loads(json.dumps(spec.to_json())))]


class TestWhatIsSent:
    def test_a_folder_is_opened_from_anywhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        spec = ArtifactStore("models").spec()
        run = spec.open().save({"w": [1]}, "linear/A")
        monkeypatch.chdir(tmp_path.parent)
        for other in travelled(spec):
            assert other == spec
            assert other.open().get("linear/A") == run

    def test_a_path_may_hold_any_sign(self, tmp_path: Path) -> None:
        spec = ArtifactStore(tmp_path / "100% #1").spec()
        run = spec.open().save({"w": [1]}, "linear/A")
        assert [other.open().get("linear/A") for other in travelled(spec)] == [run, run]

    def test_all_that_decides_what_a_check_finds_is_in_it(self, tmp_path: Path) -> None:
        policy = LoadPolicy(
            trusted_keys=[public("alice")], require_signature=True, max_age=timedelta(days=2), max_risk="data"
        )
        given: dict[str, Any] = {
            "storage_options": {"endpoint_url": "http://localhost:1", "client_kwargs": {"region_name": "eu-west-1"}},
            "policy": policy,
            "cache": tmp_path / "cache",
            "staging": tmp_path / "staging",
            "timeout": 3.0,
            "min_rate": 7.0,
            "actor": "night",
            "provenance": ["git"],
            "concurrency": "single-writer",
        }
        spec = ArtifactStore(BUCKET, **given).spec()
        for other in travelled(spec):
            assert other == spec
            context = other.open()._context
            assert context.policy == policy
            assert context.retry.seconds == 3.0
            assert (context.actor, context.concurrency, context.provenance) == ("night", "single-writer", {"git"})
            assert context.staging.chosen == tmp_path / "staging"

    def test_a_store_that_was_opened_by_a_spec_has_the_same(self) -> None:
        spec = StoreSpec("memory://specs")
        assert spec.open().spec() is spec

    def test_a_profile_is_named(self) -> None:
        spec = ArtifactStore(BUCKET, storage_options={"profile": "models"}).spec()
        assert spec.storage_options == {"profile": "models"}

    def test_a_variable_is_named_and_read_where_the_store_is_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = StoreSpec(BUCKET, variables={"key": "MODELS_KEY", "secret": "MODELS_SECRET"})
        monkeypatch.setenv("MODELS_KEY", "me")
        with pytest.raises(InvalidOption, match="MODELS_SECRET is not set in the environment"):
            spec.open()
        monkeypatch.setenv("MODELS_SECRET", SECRET)
        store = spec.open()
        assert SECRET in spec.given().storage_options.plain().values()  # type: ignore[union-attr]
        for shown in (repr(spec), pickle.dumps(spec).decode("latin-1"), json.dumps(spec.to_json()), repr(store)):
            assert SECRET not in shown
        assert store.spec() is spec


class TestWhatIsRefused:
    def test_a_secret_among_the_options_with_both_ways_out(self) -> None:
        store = ArtifactStore(BUCKET, storage_options={"key": "me", "secret": SECRET})
        with pytest.raises(InvalidOption, match="key, secret are, or may be, credentials") as caught:
            store.spec()
        told = "".join(traceback.format_exception(caught.value))
        assert "variables=" in told
        assert "profile" in told
        assert SECRET not in told

    @pytest.mark.parametrize(
        "arguments",
        [
            {"storage_options": {"secret": SECRET}},
            {"storage_options": {"client_kwargs": {"aws_session_token": SECRET}}},
            {"variables": {"secret": SECRET}},
            {"variables": {"key": "AKIAIOSFODNN7EXAMPLE"}},
            {"variables": {"secret": None}},
            {"variables": {"profile": "MY_PROFILE"}, "storage_options": {"profile": "x"}},
            {"storage_options": {"max_paths": {1}}},
        ],
        ids=str,
    )
    def test_a_spec_is_not_made_of_secrets_or_nonsense(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(InvalidOption) as caught:
            StoreSpec(BUCKET, **arguments)
        assert SECRET not in str(caught.value)
        assert "AKIA" not in str(caught.value)

    def test_credentials_in_the_url(self) -> None:
        with pytest.raises(InvalidOption) as caught:
            StoreSpec(f"s3://me:{SECRET}@models")
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"url": MemoryBackend()},
            {"url": "memory://specs", "signer": signer("alice")},
            {"url": "memory://specs", "registry": CodecRegistry()},
            {"url": "memory://specs", "clock": lambda: None},
            {"url": "memory://specs", "state": "seen", "signer": signer("alice")},
        ],
        ids=["backend", "signer", "registry", "clock", "state"],
    )
    def test_what_only_this_process_has(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(InvalidOption, match="stays in this process"):
            ArtifactStore(**arguments).spec()

    @pytest.mark.parametrize("document", [{}, {"url": "memory://specs", "key": SECRET}, ["memory://specs"], None])
    def test_json_of_something_else(self, document: Any) -> None:
        with pytest.raises(InvalidOption, match="no StoreSpec"):
            StoreSpec.from_json(document)

    @pytest.mark.parametrize("name", StoreSpec("memory://specs", policy=strict()).to_json())
    def test_json_in_which_a_field_is_something_else(self, name: str) -> None:
        document = StoreSpec("memory://specs", policy=strict()).to_json()
        for wrong in (7, "x", [7], {"x": 7}, True, 1e300):
            with contextlib.suppress(InvalidOption):
                StoreSpec.from_json({**document, name: wrong}).open()
            if name == "policy":
                for part in document[name]:
                    with contextlib.suppress(InvalidOption):
                        StoreSpec.from_json({**document, name: {**document[name], part: wrong}}).open()


def test_the_environment_is_not_asked_before_the_store_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELS_KEY", raising=False)
    assert "MODELS_KEY" not in os.environ
    assert StoreSpec(BUCKET, variables={"key": "MODELS_KEY"}).variables == {"key": "MODELS_KEY"}
