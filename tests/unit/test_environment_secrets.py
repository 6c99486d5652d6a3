"""What a client takes from the environment is a secret, unless it is known to be harmless."""

from __future__ import annotations

import json

import pytest

from artifact_store.storage.environment_secrets import secrets_around
from artifact_store.storage.fsspec.filesystem import Recipe
from artifact_store.storage.redaction import redact
from tests.cases import each

pytestmark = pytest.mark.windows

SECRET = "mArKeR-s3cret/with+signs=="
PRIVATE = {
    "AWS_ACCESS_KEY_ID": SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": SECRET,
    "aws_session_token": SECRET,
    "AWS_SOMETHING_NEW": SECRET,
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": SECRET,
    "AWS_SSE_CUSTOMER_KEY_BASE64": SECRET,
    "AZURE_STORAGE_ACCOUNT_KEY": SECRET,
    "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={SECRET}",
    "AZURE_CLIENT_SECRET": SECRET,
    "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps({"private_key": SECRET}),
    "MSI_SECRET": SECRET,
    "HTTPS_PROXY": "http://me:mArKeR-s3cret@proxy:3128",
    "https_proxy": "me:mArKeR-s3cret@proxy:3128",
    "AWS_ENDPOINT_URL": "https://me:mArKeR-s3cret@host",
    "AWS_ENDPOINT_URL_S3": "https://host/?token=mArKeR-s3cret",
}
HARMLESS = {
    "AWS_REGION": "eu-north-1",
    "AWS_PROFILE": "me@home",
    "AWS_ENDPOINT_URL": "https://s3.example.com",
    "AWS_SOMETHING_NEW": "true",
    "AZURE_STORAGE_ACCOUNT_NAME": "account",
    "GOOGLE_APPLICATION_CREDENTIALS": "/keys/me.json",
    "HTTPS_PROXY": "http://proxy:3128",
    "PATH": "/usr/bin",
    "AWSOME": "a word",
}


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {*PRIVATE, *HARMLESS}:
        monkeypatch.delenv(name, raising=False)


def test_what_is_not_known_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in each(PRIVATE):
        with case as name, monkeypatch.context() as here:
            here.setenv(name, PRIVATE[name])
            said = "mArKeR-s3cret" if "@" in PRIVATE[name] or "?" in PRIVATE[name] else SECRET
            assert redact(f"the server says {said}.", secrets_around()) == "the server says ***."
            assert "mArKeR" not in repr(secrets_around())


def test_what_is_known_to_be_harmless_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    before = secrets_around()
    for case in each(HARMLESS):
        with case as name, monkeypatch.context() as here:
            here.setenv(name, HARMLESS[name])
            assert secrets_around() == before


def test_what_fsspec_is_configured_with_is_hidden_and_does_not_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    from fsspec import AbstractFileSystem, config

    class Configured(AbstractFileSystem):
        protocol = "configured"

    monkeypatch.setattr(config, "conf", {"configured": {"zzz": {"deep": SECRET}, "endpoint_url": "https://host"}})
    recipe = Recipe(Configured, {})
    assert recipe.get().storage_options["zzz"] == {"deep": SECRET}
    assert SECRET in recipe.secrets
    assert "https://host" not in recipe.secrets
    recipe = Recipe(AbstractFileSystem, {"region": "r"})
    assert pickle.loads(pickle.dumps(recipe)).options.given["region"] == "r"
