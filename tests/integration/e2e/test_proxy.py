"""The proxy in front of a real server does to a request what a rule says, and nothing to the others."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.servers import (
    CutBody,
    Delayed,
    FlipBit,
    Hang,
    LostReply,
    LostRequest,
    Proxy,
    S3Server,
    SeaweedServer,
    Slow,
    Status,
)

BROKEN = (http.client.RemoteDisconnected, ConnectionError)


def presigned(server: S3Server, method: str, key: str) -> str:
    """Sign a request as S3 wants it, host included, and return its target."""
    request = AWSRequest(method, f"{server.endpoint}/{server.bucket}/{quote(key)}")
    credentials = Credentials(server.access_key, server.secret_key)
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=600).add_auth(request)
    url = urlsplit(request.url)
    return f"{url.path}?{url.query}"


class Wire:
    """A client that sends what it is told once and hides nothing: http.client with presigned URLs."""

    def __init__(self, server, prefix: str) -> None:
        self.server = server
        self.prefix = prefix
        address = urlsplit(server.endpoint)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)

    def send(self, method: str, name: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        spelled = {header.replace("_", "-"): value for header, value in headers.items()}
        target = presigned(self.server, method, f"{self.prefix}/{name}")
        self.connection.request(method, target, body=body, headers=spelled)
        with self.connection.getresponse() as response:
            return response.status, response.read()

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def wire(proxy: Proxy, seaweed_prefix: str) -> Iterator[Wire]:
    """Give a client of the proxy."""
    with closing(Wire(proxy, seaweed_prefix)) as wire:
        yield wire


@pytest.fixture
def direct(seaweed: SeaweedServer, seaweed_prefix: str) -> Iterator[Wire]:
    """Give a client that goes past the proxy, to see what is really stored."""
    with closing(Wire(seaweed, seaweed_prefix)) as wire:
        yield wire


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def refused_with(status: int) -> Iterator[None]:
    with pytest.raises(ClientError) as refused:
        yield
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


class TestPassingThrough:
    def test_a_signed_request_is_accepted_although_it_names_the_proxy_as_its_host(self, wire, direct):
        assert wire.send("PUT", "a", b"one")[0] == 200
        assert direct.send("GET", "a") == (200, b"one")

    def test_many_requests_share_one_connection(self, proxy, wire):
        for number in range(5):
            wire.send("PUT", "a", b"%d" % number)
            assert wire.send("GET", "a") == (200, b"%d" % number)
        assert proxy.stats()["connections"] == 1

    def test_large_bodies_arrive_unchanged_both_ways(self, wire, direct):
        body = bytes(range(256)) * (32 << 12)
        assert wire.send("PUT", "large", body)[0] == 200
        assert direct.send("GET", "large")[1] == body
        assert wire.send("GET", "large")[1] == body

    def test_a_head_answer_has_no_body_whatever_its_length_says(self, wire):
        wire.send("PUT", "a", b"one")
        assert wire.send("HEAD", "a") == (200, b"")
        assert wire.send("GET", "a") == (200, b"one")

    def test_an_empty_object_passes(self, wire):
        assert wire.send("PUT", "empty", b"")[0] == 200
        assert wire.send("GET", "empty") == (200, b"")

    def test_botocore_waits_for_continue_and_gets_it(self, proxy, seaweed_prefix):
        with proxy.client() as client:
            client.put_object(Bucket=proxy.bucket, Key=f"{seaweed_prefix}/a", Body=b"one")
        (record,) = proxy.records
        assert record.headers["expect"] == "100-continue"
        assert (record.status, record.up) == (200, 3)

    def test_a_failed_condition_comes_through(self, proxy, seaweed_prefix):
        with proxy.client() as client:
            client.put_object(Bucket=proxy.bucket, Key=f"{seaweed_prefix}/a", Body=b"one", IfNoneMatch="*")
            with refused_with(412):
                client.put_object(Bucket=proxy.bucket, Key=f"{seaweed_prefix}/a", Body=b"two", IfNoneMatch="*")
        assert [record.status for record in proxy.records] == [200, 412]

    def test_an_upload_in_parts_passes(self, proxy, seaweed_prefix):
        place = {"Bucket": proxy.bucket, "Key": f"{seaweed_prefix}/parts"}
        part = b"x" * (5 << 20)
        with proxy.client() as client:
            upload = client.create_multipart_upload(**place)["UploadId"]
            first = client.upload_part(**place, UploadId=upload, PartNumber=1, Body=part)
            second = client.upload_part(**place, UploadId=upload, PartNumber=2, Body=b"end")
            parts = [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": second["ETag"]}]
            client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
            with client.get_object(**place)["Body"] as body:
                assert body.read() == part + b"end"
        assert [record.query.get("partNumber") for record in proxy.records if record.method == "PUT"] == [["1"], ["2"]]

    def test_many_clients_at_once_get_each_their_own_answer(self, proxy, seaweed_prefix):
        def round_trip(number: int) -> tuple[int, bytes]:
            with closing(Wire(proxy, seaweed_prefix)) as wire:
                wire.send("PUT", f"n{number}", b"%d" % number)
                return wire.send("GET", f"n{number}")

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(round_trip, range(40))) == [(200, b"%d" % number) for number in range(40)]
        assert proxy.stats()["by"] == {"PUT 200": 40, "GET 200": 40}

    def test_obstore_and_s3fs_work_through_it(self, proxy, seaweed_prefix):
        import obstore
        import s3fs
        from obstore.store import S3Store

        store = S3Store(
            proxy.bucket,
            prefix=seaweed_prefix,
            endpoint=proxy.endpoint,
            access_key_id=proxy.access_key,
            secret_access_key=proxy.secret_key,
            region="us-east-1",
            client_options={"allow_http": True},
        )
        obstore.put(store, "a", b"one")
        fs = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False, **proxy.storage_options())
        assert fs.cat_file(f"{proxy.bucket}/{seaweed_prefix}/a") == b"one"
        assert fs.ls(f"{proxy.bucket}/{seaweed_prefix}", detail=False) == [f"{proxy.bucket}/{seaweed_prefix}/a"]

    def test_moto_can_stand_behind_it_too(self, moto, moto_prefix):
        with Proxy(moto) as proxy, closing(Wire(proxy, moto_prefix)) as wire:
            assert wire.send("PUT", "a", b"one")[0] == 200
            assert wire.send("GET", "a") == (200, b"one")

    def test_a_server_that_looks_for_a_part_of_it_on_this_port_is_no_client(self, proxy):
        address = urlsplit(proxy.endpoint)
        with socket.create_connection((address.hostname, address.port), timeout=10) as found:
            found.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert found.recv(100) == b""
        proxy.check()
        assert proxy.records == []

    def test_a_server_that_comes_back_is_found_again(self, seaweed):
        with SeaweedServer() as server, Proxy(server) as proxy, closing(Wire(proxy, "p")) as wire:
            wire.send("PUT", "a", b"one")
            server.kill()
            with pytest.raises(BROKEN):
                wire.send("GET", "a")
            server.restart()
            assert wire.send("GET", "a") == (200, b"one")


class TestRecords:
    def test_a_record_tells_what_was_asked_and_answered(self, proxy, wire, seaweed_prefix):
        wire.send("PUT", "a b", b"one", If_None_Match="*")
        wire.send("GET", "a b", Range="bytes=1-2")
        put, get = proxy.records
        assert (put.method, put.key, put.status) == ("PUT", f"{proxy.bucket}/{seaweed_prefix}/a b", 200)
        assert put.headers == {"if-none-match": "*", "content-length": "3"}
        assert (get.method, get.status, get.headers, get.down) == ("GET", 206, {"range": "bytes=1-2"}, 2)
        assert put.t0 <= put.t1 <= get.t0 <= get.t1
        assert put.connection == get.connection

    def test_a_record_holds_no_credential_header(self, proxy, seaweed_prefix):
        with proxy.client() as client:
            client.put_object(Bucket=proxy.bucket, Key=f"{seaweed_prefix}/a", Body=b"one")
        assert proxy.secret_key not in repr(proxy.records)
        assert "authorization" not in repr(proxy.records).lower()

    def test_reset_forgets_the_records_and_keeps_the_rules(self, proxy, wire):
        proxy.on(Status(503), method="GET")
        wire.send("PUT", "a", b"one")
        proxy.reset()
        assert proxy.stats()["requests"] == 0
        assert wire.send("GET", "a")[0] == 503
        assert proxy.stats()["faults"] == {"Status": 1}

    def test_requests_in_a_row_are_as_deep_as_they_are_many(self, proxy, wire):
        for _ in range(4):
            wire.send("PUT", "a", b"one")
        assert proxy.stats()["depth"] == 4

    def test_requests_side_by_side_are_one_deep(self, proxy, seaweed_prefix):
        proxy.on(Slow())

        def put(number: int) -> None:
            with closing(Wire(proxy, seaweed_prefix)) as wire:
                wire.send("PUT", f"n{number}", b"one")

        with ThreadPoolExecutor(6) as pool:
            puts = [pool.submit(put, number) for number in range(6)]
            eventually(lambda: [record.status for record in proxy.records] == [200] * 6)
            proxy.release()
            for each in puts:
                each.result()
        stats = proxy.stats()
        assert (stats["requests"], stats["depth"]) == (6, 1)

    def test_a_round_trip_is_added_to_every_request(self, seaweed, seaweed_prefix):
        with Proxy(seaweed, rtt_ms=100, connect_rtts=2) as proxy, closing(Wire(proxy, seaweed_prefix)) as wire:
            started = time.monotonic()
            wire.send("PUT", "a", b"one")
            first = time.monotonic() - started
            wire.send("GET", "a")
            put, get = proxy.records
        assert first >= 0.3
        assert put.t1 - put.t0 >= 0.3
        assert get.t1 - get.t0 >= 0.1

    def test_a_round_trip_does_not_change_what_arrives(self, seaweed, seaweed_prefix):
        body = bytes(range(256)) * (20 << 12)
        with Proxy(seaweed, rtt_ms=10) as proxy, closing(Wire(proxy, seaweed_prefix)) as wire:
            assert wire.send("PUT", "large", body)[0] == 200
            assert wire.send("GET", "large")[1] == body


class TestFaults:
    @pytest.mark.parametrize("reset", [False, True])
    def test_a_lost_reply_is_a_broken_connection_and_a_stored_object(self, proxy, wire, direct, reset):
        proxy.on(LostReply(reset=reset), method="PUT")
        with pytest.raises(BROKEN):
            wire.send("PUT", "a", b"one")
        assert direct.send("GET", "a") == (200, b"one")
        (record,) = proxy.records
        assert (record.status, record.forwarded, record.down) == (200, True, 0)

    def test_a_lost_reply_also_comes_after_the_body_that_the_client_was_asked_for(self, proxy, direct, seaweed_prefix):
        from botocore.exceptions import HTTPClientError

        proxy.on(LostReply(), method="PUT")
        with proxy.client() as client, pytest.raises(HTTPClientError):
            client.put_object(Bucket=proxy.bucket, Key=f"{seaweed_prefix}/a", Body=b"one")
        assert direct.send("GET", "a") == (200, b"one")

    @pytest.mark.parametrize("reset", [False, True])
    def test_a_lost_request_is_a_broken_connection_and_nothing_stored(self, proxy, wire, direct, reset):
        proxy.on(LostRequest(reset=reset), method="PUT")
        with pytest.raises(BROKEN):
            wire.send("PUT", "a", b"one")
        assert direct.send("GET", "a")[0] == 404
        (record,) = proxy.records
        assert (record.status, record.forwarded) == (None, False)

    def test_a_reset_is_seen_as_one(self, proxy, wire):
        proxy.on(LostRequest(reset=True))
        with pytest.raises(ConnectionResetError) as broken:
            wire.send("PUT", "a", b"one")
        assert not isinstance(broken.value, http.client.RemoteDisconnected)

    def test_a_delayed_request_lands_after_its_client_was_cut_off(self, proxy, wire, direct):
        proxy.on(Delayed(), method="PUT")
        with pytest.raises(BROKEN):
            wire.send("PUT", "a", b"late")
        assert direct.send("GET", "a")[0] == 404
        proxy.settle()
        assert direct.send("GET", "a") == (200, b"late")
        assert proxy.records[0].status == 200

    def test_a_delayed_request_overwrites_what_was_written_meanwhile(self, proxy, wire, direct):
        proxy.on(Delayed(), method="PUT", nth=1)
        with pytest.raises(BROKEN):
            wire.send("PUT", "a", b"first")
        assert wire.send("PUT", "a", b"second")[0] == 200
        proxy.settle()
        assert direct.send("GET", "a") == (200, b"first")

    def test_a_delayed_request_of_botocore_is_asked_for_its_body(self, proxy, direct, seaweed_prefix):
        from botocore.exceptions import HTTPClientError

        proxy.on(Delayed(0.1), method="PUT")
        with proxy.client() as client, pytest.raises(HTTPClientError):
            client.put_object(Bucket=proxy.bucket, Key=f"{seaweed_prefix}/a", Body=b"late")
        proxy.settle()
        assert direct.send("GET", "a") == (200, b"late")

    @pytest.mark.parametrize("code", [409, 412, 500, 503])
    def test_a_status_is_answered_without_the_server(self, proxy, wire, direct, code):
        proxy.on(Status(code), method="PUT")
        status, body = wire.send("PUT", "a", b"one")
        assert status == code
        assert body.startswith(b"<?xml")
        assert direct.send("GET", "a")[0] == 404
        assert not proxy.records[0].forwarded

    @pytest.mark.parametrize(
        ("code", "name"),
        [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed"), (500, "InternalError"), (503, "SlowDown")],
    )
    def test_a_client_of_s3_understands_the_status(self, proxy, seaweed_prefix, code, name):
        proxy.on(Status(code), method="PUT")
        with proxy.client() as client, pytest.raises(ClientError) as refused:
            client.put_object(Bucket=proxy.bucket, Key=f"{seaweed_prefix}/a", Body=b"one")
        assert refused.value.response["Error"]["Code"] == name
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == code

    def test_a_status_can_hide_a_write_that_landed(self, proxy, wire, direct):
        proxy.on(Status(500, executed=True), method="PUT")
        assert wire.send("PUT", "a", b"one")[0] == 500
        assert direct.send("GET", "a") == (200, b"one")
        assert proxy.records[0].status == 200

    def test_a_status_leaves_the_connection_usable(self, proxy, wire):
        proxy.on(Status(503), nth=[1, 3])
        assert [wire.send("PUT", "a", b"one")[0] for _ in range(4)] == [503, 200, 503, 200]
        assert proxy.stats()["connections"] == 1

    def test_a_status_for_head_has_no_body(self, proxy, wire):
        wire.send("PUT", "a", b"one")
        proxy.on(Status(503), method="HEAD")
        assert wire.send("HEAD", "a") == (503, b"")
        assert wire.send("GET", "a") == (200, b"one")

    def test_a_slow_answer_comes_late_and_whole(self, proxy, wire):
        wire.send("PUT", "a", b"one")
        proxy.on(Slow(0.3), method="GET")
        assert wire.send("GET", "a") == (200, b"one")
        record = proxy.records[-1]
        assert record.t1 - record.t0 >= 0.3

    @pytest.mark.parametrize(("executed", "stored"), [(False, 404), (True, 200)])
    def test_a_hanging_request_is_never_answered(self, proxy, wire, direct, executed, stored):
        proxy.on(Hang(executed=executed), method="PUT")
        wire.connection.timeout = 1.0
        with pytest.raises(TimeoutError):
            wire.send("PUT", "a", b"one")
        eventually(lambda: proxy.records[0].status == (200 if executed else None))
        assert direct.send("GET", "a")[0] == stored
        assert proxy.records[0].t1 is None

    def test_a_proxy_stops_although_a_client_hangs(self, seaweed, seaweed_prefix):
        with Proxy(seaweed) as proxy, closing(Wire(proxy, seaweed_prefix)) as wire:
            proxy.on(Hang())
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(wire.send, "PUT", "a", b"one")
                eventually(lambda: proxy.records)
                proxy.stop()
                with pytest.raises(BROKEN):
                    waiting.result()

    @pytest.mark.parametrize("size", [1, 1000, 3 << 20])
    def test_a_cut_body_ends_in_the_middle(self, proxy, wire, size):
        wire.send("PUT", "a", b"x" * size)
        proxy.on(CutBody(), method="GET")
        with pytest.raises(http.client.IncompleteRead) as cut:
            wire.send("GET", "a")
        assert len(cut.value.partial) == size // 2

    def test_a_flipped_bit_is_exactly_one(self, proxy, wire):
        body = bytes(range(256)) * 40
        wire.send("PUT", "a", body)
        proxy.on(FlipBit(), method="GET")
        status, damaged = wire.send("GET", "a")
        assert status == 200
        difference = int.from_bytes(body, "big") ^ int.from_bytes(damaged, "big")
        assert len(damaged) == len(body)
        assert difference.bit_count() == 1

    def test_the_connection_is_usable_after_a_flipped_bit(self, proxy, wire):
        wire.send("PUT", "a", b"one")
        proxy.on(FlipBit(), method="GET", times=1)
        assert wire.send("GET", "a")[1] != b"one"
        assert wire.send("GET", "a")[1] == b"one"


class TestRules:
    def test_a_rule_names_the_keys_it_hits(self, proxy, wire):
        proxy.on(Status(503), key="*/latest.json")
        assert wire.send("PUT", "latest.json", b"one")[0] == 503
        assert wire.send("PUT", "manifest.json", b"one")[0] == 200

    def test_a_rule_can_look_at_the_headers(self, proxy, wire):
        proxy.on(Status(409), when=lambda request: "if-none-match" in request.headers)
        assert wire.send("PUT", "a", b"one", If_None_Match="*")[0] == 409
        assert wire.send("PUT", "a", b"one")[0] == 200

    def test_the_nth_request_counts_only_those_that_are_meant(self, proxy, wire):
        rule = proxy.on(Status(503), method="PUT", nth=2)
        wire.send("PUT", "a", b"one")
        wire.send("GET", "a")
        assert wire.send("PUT", "a", b"two")[0] == 503
        assert wire.send("PUT", "a", b"three")[0] == 200
        assert (rule.seen, rule.fired) == (3, 1)

    def test_a_rule_is_over_after_so_many_times(self, proxy, wire):
        proxy.on(Status(503), times=2)
        assert [wire.send("PUT", "a", b"one")[0] for _ in range(4)] == [503, 503, 200, 200]

    def test_the_first_rule_that_hits_decides(self, proxy, wire):
        proxy.on(Status(409), nth=1)
        proxy.on(Status(503))
        assert [wire.send("PUT", "a", b"one")[0] for _ in range(2)] == [409, 503]

    def test_a_rule_that_is_taken_back_hits_nothing(self, proxy, wire):
        first, _ = proxy.on(Status(409), method="PUT"), proxy.on(Status(503), method="PUT")
        proxy.off(first)
        assert wire.send("PUT", "a", b"one")[0] == 503
        proxy.off()
        assert wire.send("PUT", "a", b"one")[0] == 200

    def test_the_same_seed_throws_the_same_dice(self, seaweed, seaweed_prefix):
        def outcomes(seed: int) -> list[int]:
            with Proxy(seaweed, seed=seed) as proxy, closing(Wire(proxy, seaweed_prefix)) as wire:
                proxy.on(Status(503), probability=0.5)
                return [wire.send("PUT", "a", b"one")[0] for _ in range(30)]

        first = outcomes(7)
        assert set(first) == {200, 503}
        assert outcomes(7) == first
        assert outcomes(8) != first

    def test_a_rule_holds_for_clients_in_other_processes(self, proxy, direct, wire, seaweed_prefix):
        proxy.on(LostReply(), method="PUT")
        address = urlsplit(proxy.endpoint)
        target = presigned(proxy, "PUT", f"{seaweed_prefix}/a")
        script = (
            "import http.client\n"
            f"client = http.client.HTTPConnection({address.hostname!r}, {address.port})\n"
            f"client.request('PUT', {target!r}, body=b'one')\n"
            "try:\n    client.getresponse()\nexcept http.client.RemoteDisconnected:\n    print('broken')\n"
        )
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert ran.stdout.strip() == "broken"
        assert direct.send("GET", "a") == (200, b"one")

    def test_a_mistake_in_a_rule_is_not_taken_for_a_fault_of_the_network(self, seaweed, seaweed_prefix):
        proxy = Proxy(seaweed).start()
        proxy.on(Status(503), when=lambda request: request.no_such_attribute)
        with closing(Wire(proxy, seaweed_prefix)) as wire, pytest.raises(BROKEN):
            wire.send("PUT", "a", b"one")
        with pytest.raises(ExceptionGroup) as told:
            proxy.stop()
        assert told.group_contains(AttributeError)


def test_a_client_that_leaves_in_the_middle_of_an_upload_stores_nothing(proxy, direct, seaweed_prefix):
    address = urlsplit(proxy.endpoint)
    target = presigned(proxy, "PUT", f"{seaweed_prefix}/a")
    head = f"PUT {target} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((address.hostname, address.port)) as client_socket:
        client_socket.sendall(head.encode() + b"x" * 500)
        eventually(lambda: proxy.records and proxy.records[0].up == 500)
    time.sleep(0.5)  # what was cut off must not turn up later either
    assert direct.send("GET", "a")[0] == 404
