"""What a status of an object store means, and that no text of ours holds a credential."""

from __future__ import annotations

import pytest

from artifact_store.errors import (
    AccessDenied,
    Archived,
    ArtifactStoreError,
    ConditionsUnsupported,
    ContainerNotFound,
    Contended,
    DigestMismatch,
    InvalidOption,
    ObjectNotFound,
    PreconditionFailed,
    StorageFull,
    Unavailable,
    Unreachable,
    Unsupported,
)
from artifact_store.storage.http import Attempt, Operation, error_for_status
from artifact_store.storage.redaction import clean_copy, one_line, redact


def error(
    status: int, code: str = "", detail: str = "", operation: Operation = "read", *, conditional: bool = False
) -> ArtifactStoreError:
    return error_for_status(status, Attempt(operation, "a/k", "s3://b/r", conditional), code=code, detail=detail)


@pytest.mark.parametrize(
    ("status", "code", "operation", "conditional", "expected"),
    [
        (301, "PermanentRedirect", "read", False, InvalidOption),
        (304, "", "read", False, Unreachable),
        (307, "", "read", False, InvalidOption),
        (400, "", "read", False, Unsupported),
        (400, "RequestTimeout", "write", False, Unreachable),
        (400, "BadDigest", "write", False, Unreachable),
        (400, "ExpiredToken", "read", False, AccessDenied),
        (400, "AuthorizationHeaderMalformed", "read", False, AccessDenied),
        (400, "MetadataTooLarge", "write", False, InvalidOption),
        (400, "KeyTooLongError", "write", True, InvalidOption),
        (400, "EntityTooLarge", "write", True, Unsupported),
        (400, "EntityTooSmall", "write", True, Unsupported),
        (401, "", "read", False, AccessDenied),
        (403, "", "read", False, AccessDenied),
        (403, "AccessDenied", "write", False, AccessDenied),
        (403, "SignatureDoesNotMatch", "read", False, AccessDenied),
        (403, "InvalidAccessKeyId", "read", False, AccessDenied),
        (403, "RequestTimeTooSkewed", "read", False, AccessDenied),
        (403, "QuotaExceeded", "write", False, StorageFull),
        (403, "InvalidObjectState", "read", False, Archived),
        (400, "KMS.DisabledException", "read", False, AccessDenied),
        (400, "KMS.ThrottlingException", "write", False, Unreachable),
        (403, "AccountProblem", "write", False, AccessDenied),
        (404, "NoSuchKey", "read", False, ObjectNotFound),
        (404, "", "read", False, ObjectNotFound),
        (404, "", "delete", False, ObjectNotFound),
        (404, "NoSuchBucket", "read", False, ContainerNotFound),
        (404, "NoSuchBucket", "write", True, ContainerNotFound),
        (404, "ContainerNotFound", "list", False, ContainerNotFound),
        (404, "", "write", False, ContainerNotFound),
        (404, "", "list", False, ContainerNotFound),
        (404, "NoSuchKey", "write", True, PreconditionFailed),
        (404, "", "write", True, PreconditionFailed),
        (404, "NoSuchUpload", "write", False, Contended),
        (405, "MethodNotAllowed", "write", False, Unsupported),
        (408, "", "read", False, Unreachable),
        (409, "", "write", True, Contended),
        (409, "ConditionalRequestConflict", "write", True, Contended),
        (409, "BlobAlreadyExists", "write", True, PreconditionFailed),
        (411, "MissingContentLength", "write", False, Unsupported),
        (412, "PreconditionFailed", "write", True, PreconditionFailed),
        (412, "", "write", True, PreconditionFailed),
        (413, "", "write", False, Unsupported),
        (416, "InvalidRange", "read", False, DigestMismatch),
        (429, "", "read", False, Unreachable),
        (500, "InternalError", "write", False, Unreachable),
        (501, "NotImplemented", "write", True, ConditionsUnsupported),
        (501, "", "write", False, Unsupported),
        (502, "", "read", False, Unreachable),
        (503, "SlowDown", "write", False, Unreachable),
        (504, "", "read", False, Unreachable),
        (507, "", "write", False, StorageFull),
        (599, "", "read", False, Unreachable),
        (418, "", "read", False, Unsupported),
        (999, "", "read", False, Unreachable),
    ],
)
def test_every_status_has_one_meaning(
    status: int,
    code: str,
    operation: Operation,
    conditional: bool,  # noqa: FBT001 -- parametrized by pytest
    expected: type[ArtifactStoreError],
) -> None:
    found = error(status, code, operation=operation, conditional=conditional)
    assert type(found) is expected
    assert all(part in str(found) for part in ("s3://b/r", "'a/k'", str(status), code, operation))


def test_an_outcome_that_is_unproven_is_never_called_a_lost_race():
    for status, code in [(404, "NoSuchUpload"), (409, ""), (500, ""), (503, ""), (400, "RequestTimeout")]:
        assert isinstance(error(status, code, operation="write", conditional=True), Unavailable)


@pytest.mark.parametrize("words", ["No space left on device", "the disk is full", "Storage quota is used up"])
def test_a_full_disk_is_recognized_by_its_words(words: str) -> None:
    assert isinstance(error(500, "InternalError", words, "write"), StorageFull)
    assert isinstance(error(503, "SlowDown", words, "write"), Unreachable)


def test_a_refused_read_names_both_possibilities():
    assert "does not exist" in str(error(403))
    assert "does not exist" not in str(error(403, operation="write"))


@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("read", "s3:GetObject"),
        ("write", "s3:PutObject"),
        ("list", "s3:ListBucket"),
        ("delete", "s3:DeleteObject"),
        ("list uploads below", "s3:ListBucketMultipartUploads"),
        ("abort the upload of", "s3:AbortMultipartUpload"),
        ("read the lifecycle rules of", "s3:GetLifecycleConfiguration"),
        ("read the versioning of", "s3:GetBucketVersioning"),
        ("read the Object Lock of", "s3:GetBucketObjectLockConfiguration"),
    ],
)
def test_a_lack_of_rights_names_the_permission_on_s3(operation: Operation, permission: str) -> None:
    found = error(403, "AccessDenied", operation=operation)
    assert isinstance(found, AccessDenied)
    assert found.permission == permission
    assert permission in str(found)
    elsewhere = error_for_status(403, Attempt(operation, "a/k", "az://c/r"))
    assert isinstance(elsewhere, AccessDenied)
    assert elsewhere.permission == ""
    assert "s3:" not in str(elsewhere)


@pytest.mark.parametrize("operation", ["read", "write", "list"])
def test_the_permission_that_a_server_names_is_the_one_that_is_told(operation: Operation) -> None:
    words = (
        "User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on this resource because " + "x" * 400
    )
    found = error(403, "AccessDenied", words, operation)
    assert isinstance(found, AccessDenied)
    assert found.permission == "kms:Decrypt"
    assert "it takes kms:Decrypt, which the policy of the key has to allow as well" in str(found)
    assert not any(other in str(found) for other in ("s3:Get", "s3:Put", "s3:List", "does not exist", "requester_pays"))
    named = error(403, "AccessDenied", words.replace("kms:Decrypt", "s3:PutObjectTagging"), operation)
    assert isinstance(named, AccessDenied)
    assert named.permission == "s3:PutObjectTagging"
    assert "policy of the key" not in str(named)


def test_a_read_that_is_denied_for_the_listing_may_be_of_nothing():
    words = "User: arn:aws:iam::1:user/x is not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::b"
    assert "does not exist" in str(error(403, "AccessDenied", words))
    assert "does not exist" not in str(error(403, "AccessDenied", words, "list"))


def test_a_denial_without_reasons_names_the_bucket_whose_requesters_pay():
    assert "storage_options={'requester_pays': True}" in str(error(403, "AccessDenied", "Access Denied"))
    elsewhere = error_for_status(403, Attempt("read", "a/k", "gs://b/r"))
    assert "requester_pays" not in str(elsewhere)


@pytest.mark.parametrize("told", ["the region 'us-east-1' is wrong", "the region is wrong"])
def test_a_wrong_region_is_no_wrong_key_and_the_right_one_is_named(told: str) -> None:
    words = f"The authorization header is malformed; {told}; expecting 'eu-central-1'"
    found = error(400, "AuthorizationHeaderMalformed", words)
    assert isinstance(found, InvalidOption)
    assert "'client_kwargs': {'region_name': 'eu-central-1'}" in str(found)
    other = error(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the Credential is odd")
    assert isinstance(other, AccessDenied)


@pytest.mark.parametrize(
    "words",
    [
        "The object was stored using a form of Server Side Encryption. The correct parameters must be provided",
        "Requests specifying Server Side Encryption with Customer provided keys must provide the customer key.",
    ],
)
def test_an_object_with_a_key_of_the_caller_asks_for_it(words: str) -> None:
    found = error(400, "InvalidRequest", words)
    assert isinstance(found, InvalidOption)
    assert "'SSECustomerKey'" in str(found)
    assert isinstance(error(400, "InvalidRequest", words, "write"), Unsupported)


def test_a_bucket_that_wants_checksums_is_told_how_to_get_them():
    words = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
    found = error(400, "InvalidRequest", words, operation="write", conditional=True)
    assert isinstance(found, Unsupported)
    assert "'ChecksumAlgorithm': 'SHA256'" in str(found)
    assert "ChecksumAlgorithm" not in str(error(400, "InvalidRequest", "something else", operation="write"))


def test_a_bucket_elsewhere_is_looked_for_where_the_server_says_or_by_a_command() -> None:
    attempt = Attempt("read", "k", "s3://my-bucket")
    told = error_for_status(301, attempt, code="PermanentRedirect", region="eu-north-1")
    assert str(told).endswith("add storage_options={'client_kwargs': {'region_name': 'eu-north-1'}}")
    for region in ("", "<odd>", "x" * 100):
        said = str(error_for_status(301, attempt, code="PermanentRedirect", region=region))
        assert said.endswith("`aws s3api get-bucket-location --bucket my-bucket` tells which")
    assert "aws" not in str(error_for_status(301, Attempt("read", "k", "gs://b")))


@pytest.mark.parametrize(("key", "spelled"), [("a/k", "r/a/k"), ("a b", "'r/a b'")])
def test_an_archived_object_is_restored_by_a_command(key: str, spelled: str) -> None:
    found = error_for_status(403, Attempt("read", key, "s3://b/r"), code="InvalidObjectState")
    assert f"`aws s3api restore-object --bucket b --key {spelled} --restore-request Days=7`" in str(found)
    elsewhere = error_for_status(409, Attempt("read", key, "az://b/r"), code="BlobArchived")
    assert type(elsewhere) is Archived
    assert "aws" not in str(elsewhere)


@pytest.mark.parametrize(("operation", "permission"), [("read", "kms:Decrypt"), ("write", "kms:GenerateDataKey")])
def test_a_denial_that_speaks_of_a_kms_key_names_the_use_of_it(operation: Operation, permission: str) -> None:
    words = "The ciphertext refers to a customer master key that does not exist or you are not allowed to access."
    found = error(403, "AccessDenied", words, operation)
    assert isinstance(found, AccessDenied)
    assert found.permission == permission
    assert not any(other in str(found) for other in ("s3:Get", "s3:Put", "requester_pays"))
    assert "kms:" not in str(error(403, "AccessDenied", words, "delete"))


def test_a_denial_for_another_reason_is_not_blamed_on_permissions() -> None:
    said = str(error(403, "AccountProblem", "There is a problem with your account"))
    assert not any(word in said for word in ("s3:Get", "requester_pays", "does not exist"))


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_a_wrong_key_is_called_wrong_credentials(code: str) -> None:
    assert "wrong credentials" in str(error(403, code))


def test_the_key_is_told_as_data_too():
    assert error(404).__dict__["key"] == "a/k"
    assert error(412, conditional=True).__dict__["key"] == "a/k"
    assert error(416).__dict__["key"] == "a/k"


def test_the_servers_words_are_told_once_and_shortened():
    text = str(error(500, "InternalError", "line\n  one " + "x" * 1000))
    assert "HTTP 500 InternalError: line one xxx" in text
    assert len(text) < 600
    assert str(error(403, "AccessDenied", "AccessDenied")).count("AccessDenied") == 1


# ---------------------------------------------------------------- redaction

SECRET = "wJalrXUtn/K7MDENG+bPxRfiCY"


@pytest.mark.parametrize(
    "text",
    [
        f"bad key {SECRET}!",
        "bad key " + SECRET.replace("/", "%2F").replace("+", "%2B"),
        "{'k': '" + SECRET.replace("/", "\\/") + "'}",
        f"https://user:{SECRET}@host/x",
    ],
)
def test_a_secret_is_hidden_in_every_spelling(text: str) -> None:
    found = redact(text, [SECRET])
    assert "wJalrXUtn" not in found
    assert "***" in found


@pytest.mark.parametrize(
    "text",
    [
        "GET /k?X-Amz-Signature=MARKER&X-Amz-Date=2",
        "GET /k?X-Amz-Credential=MARKER%2F20260101&x=1",
        "x-amz-security-token: MARKER",
        '"X-Amz-Security-Token": "MARKER"',
        "Authorization: AWS4-HMAC-SHA256 Credential=MARKER/x, SignedHeaders=host, Signature=MARKER",
        "{'Authorization': 'Bearer MARKER'}",
        "https://a.blob.core.windows.net/c?sv=1&sig=MARKER&se=2",
        "<AWSAccessKeyId>MARKER</AWSAccessKeyId>",
        "<SignatureProvided>MARKER</SignatureProvided>",
        "<StringToSign>AWS4\nMARKER</StringToSign>",
        "aws_secret_access_key=MARKER",
        "'account_key': 'MARKER'",
        "AccountName=a;AccountKey=MARKER;x=1",
        "s3://MARKER@bucket/x",
        "ftp://me:MARKER@host",
    ],
)
def test_what_gives_a_request_away_is_hidden_though_nobody_told_the_secret(text: str) -> None:
    assert "MARKER" not in redact(text)


def test_harmless_text_stays_as_it_is():
    text = "cannot read 'a/k' at http://127.0.0.1:9000/bucket?list-type=2&prefix=a%2F (me@example.com)"
    assert redact(text, [SECRET]) == text
    assert redact(text, ["", "any"]) == text


def test_a_short_secret_is_hidden_as_a_word_only():
    assert redact("any company: key=any", ["any"]) == "*** company: key=***"


def test_a_longer_secret_is_hidden_before_one_that_is_part_of_it():
    assert redact("0123456789abcdef", ["01234567", "0123456789abcdef"]) == "***"


def test_a_clean_copy_keeps_words_and_nothing_else():
    class Chatty(Exception):
        headers = SECRET

    def fail() -> None:
        try:
            int(SECRET)
        except ValueError as inner:
            raise Chatty(f"no: {SECRET}") from inner

    with pytest.raises(Chatty) as caught:
        fail()
    copy = clean_copy(caught.value, [SECRET])
    assert str(copy).endswith("Chatty: no: ***")
    assert (copy.__cause__, copy.__context__, copy.__traceback__, vars(copy)) == (None, None, None, {})


def test_one_line_is_one_line():
    assert one_line(" a\n b\t c ") == "a b c"
    assert one_line("x" * 50, limit=10) == "xxxxxxx..."
