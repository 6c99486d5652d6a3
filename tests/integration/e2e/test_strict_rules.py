"""Amazon's rules about requests, conditions, listings and buckets, which SeaweedFS does not enforce: the front does.

``tests/servers/strict`` prints them with their sources; ``test_strict_front.py`` has those about checksums, and
``test_strict_stores.py`` what the store makes of all. A rule that is never broken here would prove nothing there.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.bare import Bare, bare_client, refusal
from tests.servers import Bucket, SeaweedServer, StrictFront
from tests.servers.strict import RULES
from tests.servers.strict.rule import printed, texts

pytestmark = pytest.mark.xdist_group("test_strict_front")


def test_every_rule_says_where_it_is_written() -> None:
    assert all(rule.source and rule.says.endswith(".") for rule in RULES)
    assert printed(RULES).count("\n") == 2 * len(RULES) - 1


@contextlib.contextmanager
def head_of_a_put(bare: Bare, headers: Mapping[str, str], **more: str) -> Iterator[http.client.HTTPConnection]:
    """Send the head of a PUT as it is, and no body."""
    place = urlsplit(bare.client.generate_presigned_url("put_object", Params=bare.place | more))
    with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=30)) as connection:
        connection.putrequest("PUT", f"{place.path}?{place.query}")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        yield connection


def answered(connection: http.client.HTTPConnection) -> tuple[int, str]:
    """Return status and code of the answer."""
    with connection.getresponse() as answer:
        return answer.status, texts(answer.read())["Code"]


def test_an_upload_without_a_length_is_refused(bare: Bare) -> None:
    with head_of_a_put(bare, {}) as connection:
        assert answered(connection) == (411, "MissingContentLength")


def test_a_single_put_above_five_gibibytes_is_refused(bare: Bare) -> None:
    with head_of_a_put(bare, {"Content-Length": str((5 << 30) + 1), "Expect": "100-continue"}) as connection:
        assert answered(connection) == (400, "EntityTooLarge")


def test_a_key_has_1024_bytes_at_most(bare: Bare) -> None:
    place = {"Bucket": bare.place["Bucket"], "Key": "é" * 512 + "x"}
    assert refusal(lambda: bare.client.put_object(**place, Body=b"x"))[0] == "KeyTooLongError"


def test_metadata_has_two_kilobytes_at_most(bare: Bare) -> None:
    bare.client.put_object(**bare.place, Body=b"x", Metadata={"name": "x" * 2044})
    assert refusal(lambda: bare.client.put_object(**bare.place, Body=b"x", Metadata={"name": "x" * 2045})) == (
        "MetadataTooLarge",
        "Your metadata headers exceed the maximum allowed metadata size",
    )


@pytest.mark.parametrize("number", [0, 10_001])
def test_parts_are_numbered_from_one_to_ten_thousand(bare: Bare, number: int) -> None:
    upload = bare.open()
    assert refusal(lambda: bare.part(upload, number, b"x"))[0] == "InvalidArgument"


def test_only_the_last_part_may_be_small_and_they_come_in_order(bare: Bare) -> None:
    upload = bare.open()
    parts = [bare.part(upload, 1), bare.part(upload, 2, b"small"), bare.part(upload, 3, b"last")]
    assert refusal(lambda: bare.complete(upload, *parts))[0] == "EntityTooSmall"
    assert refusal(lambda: bare.complete(upload, *reversed(parts)))[0] == "InvalidPartOrder"
    bare.complete(upload, *parts[:2])


def test_a_create_during_which_the_key_is_deleted_is_a_409(bare: Bare) -> None:
    headers = {"If-None-Match": "*", "Content-Length": "1", "Expect": "100-continue"}
    with head_of_a_put(bare, headers, IfNoneMatch="*") as connection:
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 100")
        bare.client.delete_object(**bare.place)
        connection.send(b"x")
        assert answered(connection) == (409, "ConditionalRequestConflict")


def test_creates_that_meet_are_a_409(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    with StrictFront(seaweed, Bucket(pace=1.0)) as front, bare_client(front) as client:
        place = {"Bucket": front.bucket, "Key": f"{seaweed_prefix}/x", "Body": b"x", "IfNoneMatch": "*"}
        both = threading.Barrier(2)

        def create() -> str:
            both.wait()
            try:
                client.put_object(**place)
            except ClientError as error:
                return str(error.response["Error"]["Code"])
            return "created"

        with ThreadPoolExecutor(2) as pool:
            told = [future.result() for future in [pool.submit(create) for _ in range(2)]]
        assert sorted(told) == ["ConditionalRequestConflict", "created"]


def test_a_swap_of_what_vanished_is_a_404(bare: Bare) -> None:
    etag = bare.client.put_object(**bare.place, Body=b"x")["ETag"]
    bare.client.delete_object(**bare.place)
    assert refusal(lambda: bare.client.put_object(**bare.place, Body=b"y", IfMatch=etag))[0] == "NoSuchKey"


@pytest.mark.parametrize("repeats", [True, False])
def test_a_completion_is_repeated(seaweed: SeaweedServer, seaweed_prefix: str, *, repeats: bool) -> None:
    with StrictFront(seaweed, Bucket(repeats=repeats)) as front, bare_client(front) as client:
        bare = Bare(client, front.bucket, f"{seaweed_prefix}/x")
        upload = bare.open()
        part = bare.part(upload, 1)
        bare.complete(upload, part)
        if repeats:
            bare.complete(upload, part)
        else:
            assert refusal(lambda: bare.complete(upload, part))[0] == "NoSuchUpload"


def test_a_completion_and_a_copy_fail_with_status_200(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    with StrictFront(seaweed, Bucket(late_errors=2)) as front, bare_client(front) as client:
        bare = Bare(client, front.bucket, f"{seaweed_prefix}/x")
        upload = bare.open()
        part = bare.part(upload, 1)
        assert refusal(lambda: bare.complete(upload, part))[0] == "InternalError"
        source = f"{front.bucket}/{seaweed_prefix}/other"
        assert refusal(lambda: client.copy_object(**bare.place, CopySource=source))[0] == "InternalError"
        bare.complete(upload, part)


def test_a_page_counts_common_prefixes_and_may_be_empty(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    names = ["a b/1", "a b/2", "c", "d/1", "é/1", "é/2"]
    with StrictFront(seaweed, Bucket(page=2, blank_pages=True)) as front, bare_client(front) as client:
        for name in names:
            client.put_object(Bucket=front.bucket, Key=f"{seaweed_prefix}/{name}", Body=b"x")
        place = {"Bucket": front.bucket, "Prefix": f"{seaweed_prefix}/"}
        pages = list(client.get_paginator("list_objects_v2").paginate(**place, Delimiter="/"))
        sizes = [len(page.get("Contents", ())) + len(page.get("CommonPrefixes", ())) for page in pages]
        assert sizes == [0, 2, 0, 2]
        assert [page["IsTruncated"] for page in pages] == [True, True, True, False]
        found = [below["Prefix"] for page in pages for below in page.get("CommonPrefixes", ())]
        assert found == [f"{seaweed_prefix}/{name}/" for name in ("a b", "d", "é")]
        assert refusal(lambda: client.list_objects_v2(**place, ContinuationToken="c"))[0] == "InvalidArgument"
        flat = [
            held["Key"]
            for page in client.get_paginator("list_objects_v2").paginate(**place)
            for held in page.get("Contents", ())
        ]
        assert flat == [f"{seaweed_prefix}/{name}" for name in names]


def test_encrypted_objects_have_etags_of_their_own(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    with StrictFront(seaweed, Bucket(kms=True)) as front, bare_client(front) as client:
        place = {"Bucket": front.bucket, "Key": f"{seaweed_prefix}/x"}
        first = client.put_object(**place, Body=b"x")["ETag"]
        second = client.put_object(**place, Body=b"x", IfMatch=first)["ETag"]
        assert len({first, second, seaweed_etag(seaweed, place)}) == 3
        assert client.get_object(**place, IfMatch=second)["ETag"] == second
        assert refusal(lambda: client.put_object(**place, Body=b"x", IfMatch=first))[0] == "PreconditionFailed"


def seaweed_etag(seaweed: SeaweedServer, place: dict[str, str]) -> str:
    with seaweed.client() as client:
        return str(client.head_object(**place)["ETag"])


def test_a_version_that_is_locked_is_not_deleted(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    with StrictFront(seaweed, Bucket(locked=True)) as front, bare_client(front) as client:
        place = {"Bucket": front.bucket, "Key": f"{seaweed_prefix}/x"}
        assert refusal(lambda: client.delete_object(**place, VersionId="1"))[1].endswith("protected by object lock.")
        client.delete_object(**place)


BUCKETS = {
    "RequestTimeTooSkewed": Bucket(clock=901.0),
    "SlowDown": Bucket(slow_down=1),
    "AccessDenied": Bucket(requester_pays=True),
    "kms:GenerateDataKey": Bucket(kms=True, lacks=frozenset({"kms:GenerateDataKey"})),
}


@pytest.mark.parametrize("told", BUCKETS)
def test_a_bucket_or_a_clock_refuses(seaweed: SeaweedServer, seaweed_prefix: str, told: str) -> None:
    with StrictFront(seaweed, BUCKETS[told]) as front, bare_client(front) as client:
        place = {"Bucket": front.bucket, "Key": f"{seaweed_prefix}/x", "Body": b"x"}
        code, message = refusal(lambda: client.put_object(**place))
        assert told in {code, *message.split()}
    with StrictFront(seaweed, Bucket(clock=890.0, requester_pays=True)) as front, bare_client(front) as client:
        client.put_object(**place, RequestPayer="requester")


@pytest.mark.parametrize(
    ("status", "code", "header"),
    [
        (400, "AuthorizationHeaderMalformed", "x-amz-bucket-region"),
        (301, "PermanentRedirect", "x-amz-bucket-region"),
        (307, "TemporaryRedirect", "location"),
    ],
)
def test_a_request_for_another_region_is_told_where_to_go(
    seaweed: SeaweedServer, status: int, code: str, header: str
) -> None:
    with StrictFront(seaweed, Bucket(region="eu-central-1", misplaced=status)) as front:
        place = urlsplit(front.endpoint)
        with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=30)) as connection:
            signed = {
                "Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, Signature=0"
            }
            connection.request("GET", f"/{front.bucket}/x", headers=signed)
            with connection.getresponse() as answer:
                assert (answer.status, texts(answer.read())["Code"]) == (status, code)
                assert answer.getheader(header)
