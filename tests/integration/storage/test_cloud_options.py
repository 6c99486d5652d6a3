"""What a user of another library writes as storage options, and what is said of missing or wrong credentials by cloud."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import obstore
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from artifact_store import ArtifactStore, errors
from artifact_store.storage.http import Attempt, error_for_status
from artifact_store.storage.obstore.client import Clients
from artifact_store.storage.obstore.errors import translate_obstore_error
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.options import StorageOptions, parse_url
from artifact_store.storage.patience import MIN_RATE, Patience
from tests.cases import each

SECRET = "wJalrXUtn/K7MDENG+bPxRfiCY"
NO_ROLE = "Error performing GET http://169.254.169.254/metadata - Server returned non-2xx status code: 403"


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AZURE_", "GOOGLE_", "AWS_")):
            monkeypatch.delenv(name)


def refusal(url: str, engine: str = "obstore", /, **options: object) -> str:
    """Open a store and look into it; the options are refused before anything is sent."""
    with pytest.raises(errors.InvalidOption) as caught:
        ArtifactStore(url, engine=engine, storage_options=options).models()
    assert SECRET not in str(caught.value)
    return str(caught.value)


def client(url: str, **options: object) -> None:
    """Make a client, which sends nothing yet."""
    place = parse_url(url)
    Clients(place, cloud_config(place, StorageOptions(options)), patience=Patience(5.0, MIN_RATE)).get("control")


def rsa_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
@pytest.mark.parametrize(
    ("url", "options", "meant"),
    [
        ("s3://bucket/x", {"aws_access_key_id": "k", "aws_secret_access_key": SECRET}, "key, secret?"),
        ("s3://bucket/x", {"access_key": "k", "secret_key": SECRET, "session_token": SECRET}, "key, secret, token?"),
        ("s3a://bucket/x", {"access_key_id": "k", "secret_access_key": SECRET}, "key, secret?"),
        ("s3://bucket/x", {"key": "k", "secret": SECRET, "aws_session_token": SECRET}, "token?"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": SECRET}, "key?"),
        ("s3://bucket/x", {"endpoint": "http://127.0.0.1:9000"}, "endpoint_url?"),
        ("s3://bucket/x", {"region_name": "eu-north-1"}, "region?"),
        ("gs://bucket/x", {"google_application_credentials": "/key.json"}, "token?"),
        ("abfs://box/x", {"azure_storage_account_name": "a", "sas_key": SECRET}, "account_name, sas_token?"),
    ],
)
def test_the_names_of_other_libraries_get_ours_with_both_engines(
    engine: str, url: str, options: dict[str, object], meant: str
) -> None:
    assert refusal(url, engine, **options).endswith(f"did you mean {meant}")


OPTIONS_OF_OBSTORE = {
    "virtual_hosted_style_request": {"config_kwargs": {"s3": {"addressing_style": "virtual"}}},
    "unsigned_payload": {"config_kwargs": {"s3": {"payload_signing_enabled": False}}},
    "skip_signature": {"anon": True},
    "request_payer": {"requester_pays": True},
    "sse_bucket_key_enabled": {"s3_additional_kwargs": {"BucketKeyEnabled": True}},
}


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_an_option_of_obstore_gets_what_it_is_called_here_or_is_needless(engine: str) -> None:
    stub = Path(obstore.__file__).parent / "_store" / "_aws.pyi"
    text = stub.read_text(encoding="utf-8").partition("class S3Config(TypedDict")[2].partition("\nclass ")[0]
    names = re.findall(r"^    ([a-z]\w+): ", text, re.MULTILINE)
    assert len(names) > 25
    for case in each([name for name in (*names, *(f"aws_{name}" for name in names)) if name != "region"]):
        with case as name:
            said = refusal("s3://bucket/x", engine, **{name.replace("aws_aws", "aws"): SECRET})
            assert "did you mean" in said or said.endswith("leave it out")
            meant = OPTIONS_OF_OBSTORE.get(name.removeprefix("aws_"))
            if meant is not None:
                (spelled,) = re.findall(r"did you mean (.*)\?$", said)
                assert eval(f"dict({spelled})") == meant
                ArtifactStore("s3://bucket/x", engine=engine, storage_options=meant)


def test_an_option_that_nobody_knows_is_called_unknown_with_s3fs() -> None:
    assert "unknown storage option nonsense" in refusal("s3://bucket/x", "fsspec", nonsense=SECRET)


KEYS = {"key": "k", "secret": SECRET}


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": "k"}, "come together"),
        ({"secret": SECRET}, "come together"),
        ({"client_kwargs": {"aws_access_key_id": "k"}}, "come together"),
        ({"token": SECRET}, "come together"),
        ({**KEYS, "profile": "trading"}, "exclude each other"),
        ({**KEYS, "anon": True}, "exclude each other"),
        ({**KEYS, "client_kwargs": {"aws_access_key_id": "other"}}, "two different values for key"),
        ({"region": "eu-north-1", "client_kwargs": {"region_name": "us-east-1"}}, "two different values for region"),
    ],
)
def test_what_says_two_things_or_half_of_one_is_refused_alike_with_both_engines(
    engine: str, options: dict[str, object], why: str
) -> None:
    assert why in refusal("s3://bucket/x", engine, **options)


@pytest.mark.parametrize("options", [{"region": "eu-north-1"}, {"client_kwargs": {"region_name": "eu-north-1"}}])
def test_the_region_is_taken_at_the_top_and_below_with_both_engines(options: dict[str, Any]) -> None:
    place = parse_url("s3://bucket/x")
    assert cloud_config(place, StorageOptions({**KEYS, **options})).config["region"] == "eu-north-1"
    with ArtifactStore("s3://bucket/x", engine="fsspec", storage_options={**KEYS, **options}) as store:
        arguments = store._context.backend._calls.recipe.arguments()
    assert arguments["client_kwargs"]["region_name"] == "eu-north-1"
    assert "region" not in arguments


def test_azure_without_an_account_says_how_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({}, {"anon": True}, {"account_key": "a2V5"}):
        said = refusal("az://box/x", **options)
        assert "account_name and account_key, or connection_string" in said
        assert "AZURE_STORAGE_ACCOUNT_NAME" in said
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acct")
    assert refusal("az://box/x", account_key=f"no base64: {SECRET}").endswith("not base64, as Azure shows a key")
    assert "sas_token is the query" in refusal("az://box/x", sas_token=SECRET)


def test_what_azure_is_told_to_give_makes_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "AccountName=acct;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/acct"
    accepted = [("az://box/x", {"connection_string": told})]
    accepted += [("az://box@acct.blob.core.windows.net/x", {"account_key": "a2V5"})]
    accepted += [("az://box/x", {"account_name": "acct", "account_key": "a2V5"})]
    for url, options in accepted:
        client(url, **options)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acct")
    client("az://box/x")


def test_google_says_what_is_wrong_with_a_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, path = "gs://bucket/x", tmp_path / "key.json"
    assert "token names a file that does not exist" in refusal(url, token=str(path))
    path.write_text("{}", encoding="utf-8")
    assert "it lacks private_key, private_key_id, client_email" in refusal(url, token=str(path))
    path.write_text("[", encoding="utf-8")
    assert "it is not JSON" in refusal(url, token=str(path))
    assert "it lacks private_key, private_key_id" in refusal(url, token={"client_email": SECRET})
    assert "token names a file that does not exist" in refusal(url, token=SECRET)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert "GOOGLE_APPLICATION_CREDENTIALS names a file that does not exist" in refusal(url)


def test_what_google_is_told_to_give_makes_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"private_key": rsa_key(), "private_key_id": "1", "client_email": "me@example.com"}
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key), encoding="utf-8")
    for options in ({"token": str(path)}, {"token": key}, {"anon": True}):
        client("gs://bucket/x", **options)
    path.write_text(json.dumps(key | {"type": "service_account"}), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    client("gs://bucket/x")


@pytest.mark.parametrize(
    ("url", "told", "wrong"),
    [
        ("s3://bucket/x", "give key and secret, a profile, or anon=True", "the secret and the region"),
        ("gcs://bucket/x", "GOOGLE_APPLICATION_CREDENTIALS", "check token"),
        ("abfss://box/x", "account_key, sas_token or connection_string", "check account_name"),
    ],
)
def test_each_cloud_has_its_own_advice_on_credentials(url: str, told: str, wrong: str) -> None:
    attempt = Attempt("list", "", url)
    assert told in str(translate_obstore_error(OSError(NO_ROLE), attempt))
    assert wrong in str(error_for_status(401, attempt))
    with pytest.raises(errors.InvalidOption) as caught:
        ArtifactStore(url.replace("://", "://me:pw@"))
    assert ("key, secret" in str(caught.value)) is url.startswith("s3")
