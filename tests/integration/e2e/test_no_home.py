"""A user without a home: no HOME, and an id that the system has no entry for, as containers and services have them.

There are no shared files of AWS then, which is nothing wrong: the environment says all that is needed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.storage.obstore.aws import identity, whereabouts
from artifact_store.storage.obstore.options import CloudConfig
from artifact_store.storage.open import open_backend
from tests.servers import SeaweedServer
from tests.servers.endpoint import REGION

pwd = pytest.importorskip("pwd", reason="users of this system have their home in the environment alone")
pytestmark = pytest.mark.xdist_group("test_no_home")


@pytest.fixture(autouse=True)
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: object) -> None:
        raise KeyError(f"there is no entry for {user}")

    for name in [name for name in os.environ if name.startswith("AWS_") or name == "HOME"]:
        monkeypatch.delenv(name)
    for look_up in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(pwd, look_up, unknown)
    with pytest.raises(RuntimeError):
        Path.home()


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_store_is_used_with_what_the_environment_says(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    with ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, timeout=20.0) as store:
        store.save({"n": 1}, "gru/BTCEUR")
        assert store.load("gru/BTCEUR") == {"n": 1}
        assert store.doctor().ok


@pytest.mark.parametrize("region", [REGION, ""])
def test_amazons_own_server_is_found_without_a_file(engine: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if region:
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    backend = open_backend("s3://bucket/x", filesystem=None, storage_options=None, engine=engine, timeout=5.0)
    assert backend.endpoint == "https://s3.amazonaws.com"
    assert whereabouts(CloudConfig("s3")).region == region


@pytest.mark.parametrize("variable", ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
def test_a_role_is_left_to_obstore(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/somewhere")
    assert identity(CloudConfig("s3")) == ({}, None)


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
def test_a_file_that_is_named_by_its_path_is_read_all_the_same(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials"
    path.write_text("[default]\nregion = eu-north-1\naws_access_key_id = K\naws_secret_access_key = S\n", "utf-8")
    monkeypatch.setenv(variable, str(path))
    assert whereabouts(CloudConfig("s3")).region == "eu-north-1"
    _, provider = identity(CloudConfig("s3"))
    assert provider is not None
    assert provider()["access_key_id"] == "K"


@pytest.mark.parametrize("path", ["~/config", "~nobody-of-this-name/config"])
def test_a_file_in_a_home_that_does_not_exist_is_no_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", path)
    assert whereabouts(CloudConfig("s3")).region == ""


def test_a_profile_that_nobody_wrote_is_an_error_that_says_so() -> None:
    with pytest.raises(errors.InvalidOption, match="profile 'work' is not in"):
        whereabouts(CloudConfig("s3", profile="work"))


def test_a_store_in_the_home_is_an_error_that_says_what_to_write() -> None:
    with pytest.raises(errors.InvalidOption, match="'~/models' begins with a home folder that this system does not"):
        ArtifactStore("~/models")
