"""What S3 refuses, in its own documents: both engines say what it is and what to do next, and they say the same.

A server of a few lines answers every request with the document; the words and numbers are those of Amazon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest

from artifact_store import ArtifactStore, errors
from tests.cases import each
from tests.proofs.replays.hostile_s3 import HostileS3, Reply, Request

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
    return ArtifactStore(server.url("x"), engine=engine, storage_options=merged, timeout=2.0, provenance=False)


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


def test_a_proxy_that_redirects_everything_is_not_asked_for_ever(server: HostileS3) -> None:
    server.lie = lambda _: Reply(307, b"<html>moved</html>", {"location": "https://127.0.0.1:1/"})
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
