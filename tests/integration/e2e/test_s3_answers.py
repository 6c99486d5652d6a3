"""What S3 refuses, in its own documents: both engines say what it is and what to do next, and they say the same.

A server of a few lines answers every request with the document; the words and numbers are those of Amazon.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.storage.http import Attempt, error_for_status
from tests.cases import each
from tests.proofs.replays.hostile_s3 import HostileS3, Reply, Request
from tests.servers import MotoServer

KEY = "gru/BTCEUR"


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server() -> Iterator[HostileS3]:
    with HostileS3() as server:
        yield server


def document(status: int, code: str, message: str, **headers: str) -> Reply:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>'
    return Reply(status, body.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


def store_at(server: HostileS3, engine: str, **options: Any) -> ArtifactStore:
    merged = server.options()
    for name, value in options.items():
        merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    return ArtifactStore(server.url("x"), engine=engine, storage_options=merged, timeout=20.0, provenance=False)


def told(text: str) -> dict[str, Any]:
    """Return the storage options that an error tells to add."""
    found = re.search(r"add storage_options=(\{.*\}\}?)", text)
    assert found is not None, text
    options: dict[str, Any] = eval(found[1])
    return options


MISSING_KEY = "The ciphertext refers to a customer master key that does not exist, or you are not allowed to access."
ARN = "arn:aws:kms:us-east-1:1:key/abc"
ANSWERS = [
    (document(301, "PermanentRedirect", "Use the specified endpoint."), errors.InvalidOption, "in another region"),
    (document(307, "TemporaryRedirect", "Please re-send."), errors.InvalidOption, "get-bucket-location --bucket"),
    (document(403, "InvalidObjectState", "Not valid."), errors.Archived, "`aws s3api restore-object --bucket"),
    (document(400, "KMS.DisabledException", f"{ARN} is disabled."), errors.AccessDenied, "enable it in KMS"),
    (document(400, "KMS.NotFoundException", f"{ARN} does not exist"), errors.AccessDenied, "in another region"),
    (document(400, "KMS.KMSInvalidStateException", f"{ARN} is pending"), errors.AccessDenied, "enable it in KMS"),
    (document(403, "AccessDenied", MISSING_KEY), errors.AccessDenied, "it takes kms:Decrypt on that key"),
    (document(400, "ExpiredToken", "The provided token has expired."), errors.AccessDenied, "log in again"),
    (document(403, "RequestTimeTooSkewed", "Too large."), errors.AccessDenied, "the clocks of this machine"),
    (document(404, "NoSuchBucket", "It does not exist"), errors.ContainerNotFound, "create it or correct the URL"),
    (document(403, "AccessDenied", "Access Denied"), errors.AccessDenied, "'requester_pays': True"),
    (document(403, "InvalidAccessKeyId", "No such key."), errors.AccessDenied, "check the access key"),
    (document(403, "AccountProblem", "There is a problem."), errors.AccessDenied, "do what its words ask for"),
]


def test_every_refusal_of_s3_says_what_it_is_and_what_to_do(server: HostileS3, engine: str) -> None:
    with store_at(server, engine) as store:
        for case in each(ANSWERS):
            with case as (answer, kind, advice):
                server.lie = lambda _, answer=answer: answer
                with pytest.raises(kind) as caught:  # before anything is trained for nothing
                    store.check_writable(KEY)
                assert type(caught.value) is kind
                assert advice in str(caught.value)


def region_of(request: Request) -> str:
    return request.headers["authorization"].split("/")[2]


def test_a_304_that_nobody_asked_for_says_of_nothing_that_it_is_not_there(server: HostileS3, engine: str) -> None:
    def lie(request: Request) -> Reply | None:
        return Reply(304) if request.method == "GET" and request.key.endswith(("manifest.json", "model.json")) else None

    with store_at(server, engine) as patient:
        saved = patient.save({"a": 1}, KEY, publish="never")
    before = set(server.objects)
    options = server.options()
    with ArtifactStore(server.url("x"), engine=engine, storage_options=options, timeout=0.5) as store:
        run = store.get(str(saved.ref))
        server.lie = lie
        listed = store.runs(KEY)
        assert list(listed) == []
        assert [isinstance(problem.error, errors.Unavailable) for problem in listed.problems] == [True]
        for act in (run.load, lambda: store.gc(grace=timedelta(0)).apply()):
            with pytest.raises(errors.Unavailable):
                act()
    assert set(server.objects) == before


def test_a_wrong_region_is_right_once_the_one_that_the_error_names_is_given(server: HostileS3, engine: str) -> None:
    said = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-north-1'"
    refusal = document(400, "AuthorizationHeaderMalformed", said)
    server.lie = lambda request: None if region_of(request) == "eu-north-1" else refusal
    with pytest.raises(errors.InvalidOption) as caught:
        store_at(server, engine).check_writable(KEY)
    store_at(server, engine, **told(str(caught.value))).check_writable(KEY)


def test_a_redirect_is_followed_to_the_region_in_its_header_or_names_it(server: HostileS3) -> None:
    answer = document(301, "PermanentRedirect", "Use the specified endpoint.", x_amz_bucket_region="eu-north-1")
    server.lie = lambda request: None if region_of(request) == "eu-north-1" else answer
    store_at(server, "fsspec").check_writable(KEY)
    server.lie = lambda _: answer
    with pytest.raises(errors.InvalidOption) as caught:
        store_at(server, "fsspec").check_writable(KEY)
    assert told(str(caught.value)) == {"client_kwargs": {"region_name": "eu-north-1"}}


def test_a_proxy_that_redirects_again_and_again_is_asked_twice(server: HostileS3) -> None:
    moved, times = Reply(307, b"<html>moved</html>", {"location": "https://127.0.0.1:1/"}), iter(range(5))
    server.lie = lambda _: moved if next(times, None) is not None else None
    with pytest.raises(errors.InvalidOption, match="on another server"):
        store_at(server, "fsspec").check_writable(KEY)
    assert len(server.seen) == 2


def test_a_bucket_whose_requesters_pay_is_used_once_the_option_is_given(server: HostileS3, engine: str) -> None:
    refusal = document(403, "AccessDenied", "Access Denied")
    server.lie = lambda request: None if request.headers.get("x-amz-request-payer") == "requester" else refusal
    with pytest.raises(errors.AccessDenied) as caught:
        store_at(server, engine).check_writable(KEY)
    options = re.search(r"takes storage_options=(\{[^}]*\})", str(caught.value))
    assert options is not None
    store_at(server, engine, **eval(options[1])).save({"n": 1}, KEY)


def test_a_bucket_that_wants_checksums_gets_them_as_told(server: HostileS3, engine: str) -> None:
    words = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
    refusal = document(400, "InvalidRequest", words)
    has = "x-amz-checksum-sha256"
    server.lie = lambda request: refusal if request.method == "PUT" and has not in request.headers else None
    with pytest.raises(errors.Unsupported) as caught:
        store_at(server, engine).check_writable(KEY)
    store_at(server, engine, **told(str(caught.value))).save({"n": 1}, KEY)


def test_an_object_with_a_key_of_the_caller_is_read_with_it_as_told(server: HostileS3, engine: str) -> None:
    words = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided"
    refusal = document(400, "InvalidRequest", words)
    has = "x-amz-server-side-encryption-customer-key"
    server.lie = lambda request: (
        refusal if request.method == "GET" and request.key and has not in request.headers else None
    )
    with pytest.raises(errors.InvalidOption) as caught:
        store_at(server, engine).check_writable(KEY)
    text = str(caught.value)
    assert "engine='fsspec'" in text
    options = re.search(r"add storage_options=(\{.*\}\})", text)
    assert options is not None
    given = eval(options[1].replace("...", repr("k" * 32)))
    store_at(server, "fsspec", **given).save({"n": 1}, KEY)


def test_without_credentials_a_public_bucket_is_read_as_told(
    server: HostileS3, engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    where = {"endpoint_url": server.endpoint}
    opened = partial(ArtifactStore, server.url("x"), engine=engine, timeout=20.0)
    with pytest.raises(errors.AccessDenied, match="anon=True"):
        opened(storage_options=where).models()
    assert opened(storage_options={**where, "anon": True}).models() == []


def test_a_server_without_conditions_is_used_by_one_writer_as_told(server: HostileS3, engine: str) -> None:
    refusal = document(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
    server.lie = lambda request: refusal if {"if-none-match", "if-match"} & set(request.headers) else None
    with pytest.raises(errors.ConditionsUnsupported, match="concurrency='single-writer'"):
        store_at(server, engine).check_writable(KEY)
    options = {"storage_options": server.options(), "concurrency": "single-writer"}
    ArtifactStore(server.url("y"), engine=engine, provenance=False, **options).save({"n": 1}, KEY)


def test_the_commands_of_amazon_do_what_they_are_said_to(moto: MotoServer, moto_prefix: str) -> None:
    with moto.client() as client:
        client.put_object(Bucket=moto.bucket, Key=f"{moto_prefix}/_store.json", Body=b"{}", StorageClass="GLACIER")
        options = moto.storage_options()
        store = ArtifactStore(moto.url(moto_prefix), engine="fsspec", storage_options=options)
        with pytest.raises(errors.Archived) as caught:
            store.exists()
        assert done(client, str(caught.value)) is not None
        restored = client.head_object(Bucket=moto.bucket, Key=f"{moto_prefix}/_store.json")["Restore"]
        assert "ongoing-request" in restored
        moved = error_for_status(301, Attempt("read", "k", f"s3://{moto.bucket}"), code="PermanentRedirect")
        assert "LocationConstraint" in done(client, str(moved))


def done(client: Any, text: str) -> Any:
    """Do what a command of Amazon's program does, which calls the operation of its name."""
    (command,) = re.findall(r"`aws s3api ([^`]+)`", text)
    name, *words = shlex.split(command)
    arguments: dict[str, Any] = {
        option.removeprefix("--").title().replace("-", ""): value
        for option, value in zip(words[::2], words[1::2], strict=True)
    }
    for option, value in arguments.items():
        if "=" in value:
            part, _, number = value.partition("=")
            arguments[option] = {part: int(number)}
    return getattr(client, name.replace("-", "_"))(**arguments)
