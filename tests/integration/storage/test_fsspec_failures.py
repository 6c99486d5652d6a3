"""What s3fs does when the network, the server or the credentials fail: typed, in time, and with few requests."""

from __future__ import annotations

import _thread
import logging
import pickle
import signal
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Contended,
    DeadlineExceeded,
    DigestMismatch,
    InvalidOption,
    PreconditionFailed,
    Unavailable,
    Unreachable,
)
from artifact_store.storage.base import Always, IfAbsent, IfVersion
from artifact_store.storage.fsspec.backend import open_filesystem
from artifact_store.storage.http import Attempt
from artifact_store.storage.parts import SINGLE
from artifact_store.storage.patience import Patience
from artifact_store.storage.s3fs.backend import S3fsBackend
from artifact_store.storage.s3fs.calls import Body, Pulse
from tests.servers import (
    CutBody,
    FlipBit,
    Hang,
    LostReply,
    LostRequest,
    MotoServer,
    Proxy,
    Record,
    S3Server,
    SeaweedServer,
    Slow,
    Status,
)

MIB = 1 << 20
LARGE = 20 * MIB
MARKER = "mArKeR-secret/with+signs=="


@pytest.fixture
def backend(proxy: Proxy, seaweed_prefix: str) -> Iterator[S3fsBackend]:
    backend = opened(proxy, seaweed_prefix, timeout=20.0)
    backend.write("warm", b"", when=Always())  # connections, credentials and endpoint rules are ready
    proxy.reset()
    yield backend
    proxy.off()
    backend.close()


def opened(server: S3Server, prefix: str, *, timeout: float) -> S3fsBackend:
    backend = open_filesystem(server.url(prefix), server.storage_options(), timeout=timeout)
    assert isinstance(backend, S3fsBackend)
    return backend


def at_address(port: int, *, timeout: float) -> S3fsBackend:
    options = {"key": "any", "secret": MARKER, "endpoint_url": f"http://127.0.0.1:{port}"}
    backend = open_filesystem("s3://bucket/models", options, timeout=60.0)
    assert isinstance(backend, S3fsBackend)
    backend._calls.address()  # makes the client, which takes as long as it takes on a busy machine
    backend._calls.patience = Patience(timeout)
    return backend


def every_call(backend: S3fsBackend) -> list[Callable[[], object]]:
    return [
        lambda: backend.read("k", limit=9),
        lambda: list(backend.stream("k", size=9)),
        lambda: list(backend.stream("k", size=LARGE)),
        lambda: backend.write("k", b"x", when=Always()),
        lambda: backend.write("k", b"x", when=IfAbsent()),
        lambda: backend.put_file("k", [b"x"], size=1, when=IfAbsent()),
        lambda: backend.put_file("k", [bytes(LARGE)], size=LARGE, when=IfAbsent()),
        lambda: list(backend.list("")),
        lambda: list(backend.children("")),
        lambda: backend.delete("k"),
    ]


def open_uploads(server: S3Server, prefix: str) -> list[str]:
    with server.client() as client:
        found = client.list_multipart_uploads(Bucket=server.bucket).get("Uploads", [])
    return [upload["Key"] for upload in found if upload["Key"].startswith(prefix)]


def open_uploads_at_last(server: S3Server, prefix: str) -> list[str]:
    """What is open once all is tidied up: after Ctrl-C that goes on for a moment behind the caller."""
    end = time.monotonic() + 10
    while (left := open_uploads(server, prefix)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def completion(request: Record) -> bool:
    return request.method == "POST" and "uploadId" in request.query


def chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


# ---------------------------------------------------------------- no server, or a silent one


def test_a_server_that_is_not_there_is_unreachable_within_seconds():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        backend = at_address(unused.getsockname()[1], timeout=60.0)
        for call in every_call(backend):
            with pytest.raises(Unreachable):
                call()
        backend.close()


def test_a_server_that_never_answers_is_given_up_when_the_time_is_over():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        backend = at_address(silent.getsockname()[1], timeout=0.4)
        for call in every_call(backend):
            with pytest.raises(DeadlineExceeded):
                call()
        backend.close()


def test_a_server_that_stops_in_the_middle_of_a_body_is_given_up():
    held: list[socket.socket] = []
    with socket.socket() as stalling:
        stalling.bind(("127.0.0.1", 0))
        stalling.listen(10)

        def serve() -> None:
            connection, _ = stalling.accept()
            held.append(connection)
            connection.recv(65536)
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 1000\r\n\r\nonly this')

        threading.Thread(target=serve, daemon=True).start()
        backend = at_address(stalling.getsockname()[1], timeout=1.0)
        with pytest.raises(DeadlineExceeded):
            backend.read("k", limit=1000)
        backend.close()
    for connection in held:
        connection.close()


def test_a_call_that_moves_is_not_given_up_and_one_that_stops_is():
    class Lively(Pulse):
        at = property(lambda _: time.monotonic(), lambda _self, _at: None)

    calls, attempt = at_address(1, timeout=0.2)._calls, Attempt("write", "k", "s3://bucket/models")
    slow: Future[str] = Future()
    threading.Timer(1.0, lambda: slow.set_result("done, after five times the timeout")).start()
    assert calls.wait(slow, Lively(), attempt).startswith("done")
    with pytest.raises(DeadlineExceeded, match=r"no data for 0\.2 seconds"):
        calls.wait(Future(), Pulse(), attempt)
    calls.close()


def test_every_piece_that_leaves_is_a_sign_of_life(seaweed: SeaweedServer, seaweed_prefix: str):
    class Counted(Pulse):
        beats = 0

        def beat(self) -> None:
            self.beats += 1
            super().beat()

    backend = opened(seaweed, seaweed_prefix, timeout=20)
    body = Body(bytes(4 * MIB))
    body.pulse = pulse = Counted()
    attempt = Attempt("write", "k", backend.url)
    backend._calls.run(backend._calls.request("put_object", attempt, **backend._at("k"), Body=body), pulse, attempt)
    assert pulse.beats > 16  # signing and its checksum read megabytes: a dozen
    backend.close()


# ---------------------------------------------------------------- few requests


def test_every_simple_call_is_one_request(backend: S3fsBackend, proxy: Proxy):
    version = backend.write("k", b"one", when=IfAbsent())
    calls: list[Callable[[], object]] = [
        lambda: backend.read("k", limit=9),
        lambda: backend.read("k", limit=9, unless=version),
        lambda: list(backend.stream("k", size=3)),
        lambda: backend.write("k", b"two", when=IfVersion(version)),
        lambda: backend.put_file("new", [bytes(SINGLE)], size=SINGLE, when=IfAbsent()),
        lambda: list(backend.stream("new", size=SINGLE)),
        lambda: list(backend.list("")),
        lambda: list(backend.children("")),
        lambda: backend.delete("k"),
    ]
    for call in calls:
        proxy.reset()
        call()
        assert len(proxy.records) == 1


def test_a_small_write_does_not_ask_first(backend: S3fsBackend, proxy: Proxy):
    backend.write("k", b"small", when=IfAbsent())
    backend.put_file("large", [bytes(2 * MIB)], size=2 * MIB, when=IfAbsent())
    small, large = proxy.records
    assert "expect" not in small.headers
    assert large.headers["expect"] == "100-continue"


def test_an_overloaded_server_sees_a_conditional_write_once_and_others_three_times(backend: S3fsBackend, proxy: Proxy):
    proxy.on(Status(503))
    for call, requests in [
        (lambda: backend.write("k", b"x", when=IfAbsent()), 1),
        (lambda: backend.put_file("k", [b"x"], size=1, when=IfAbsent()), 1),
        (lambda: backend.write("k", b"x", when=Always()), 3),
        (lambda: backend.read("k", limit=9), 3),
        (lambda: list(backend.list("")), 3),
        (lambda: backend.delete("k"), 3),
    ]:
        proxy.reset()
        with pytest.raises(Unreachable, match="503"):
            call()
        assert len(proxy.records) == requests


def test_a_contended_write_is_told_from_a_lost_one(backend: S3fsBackend, proxy: Proxy):
    proxy.on(Status(409))
    with pytest.raises(Contended):
        backend.write("k", b"x", when=IfAbsent())
    assert len(proxy.records) == 1


# ---------------------------------------------------------------- lost and damaged bytes


def test_a_lost_reply_is_never_taken_for_a_success(backend: S3fsBackend, proxy: Proxy):
    """It may be an echo (the client below sends a PUT again) or no answer at all: the store then reads back."""
    proxy.on(LostReply(), method="PUT", times=1)
    with pytest.raises((PreconditionFailed, Unreachable)):
        backend.write("k", b"mine", when=IfAbsent())
    assert backend.read("k", limit=9).data == b"mine"


def test_a_lost_request_leaves_nothing(backend: S3fsBackend, proxy: Proxy):
    rule = proxy.on(LostRequest(), method="PUT")
    with pytest.raises(Unreachable):
        backend.write("k", b"mine", when=IfAbsent())
    proxy.off(rule)
    assert [entry.key for entry in backend.list("")] == ["warm"]


@pytest.mark.parametrize("size", [100_000, LARGE])
def test_a_body_that_breaks_off_once_is_asked_for_again(backend: S3fsBackend, proxy: Proxy, size: int):
    data = bytes(range(250)) * (size // 250)
    backend.put_file("k", [data], size=len(data), when=Always())
    proxy.on(CutBody(), method="GET", nth={1, 3})
    assert b"".join(backend.stream("k", size=len(data))) == data


@pytest.mark.parametrize("size", [100_000, LARGE])
def test_a_body_that_always_breaks_off_is_unreachable(backend: S3fsBackend, proxy: Proxy, size: int):
    backend.put_file("k", [bytes(size)], size=size, when=Always())
    proxy.on(CutBody(), method="GET")
    with pytest.raises(Unreachable):
        list(backend.stream("k", size=size))
    with pytest.raises(Unreachable):
        backend.read("k", limit=size)


def test_a_large_object_is_fetched_in_ranges_of_one_version(backend: S3fsBackend, proxy: Proxy):
    backend.put_file("k", [bytes(LARGE)], size=LARGE, when=Always())
    proxy.reset()
    assert sum(map(len, backend.stream("k", size=LARGE))) == LARGE
    first, *others = proxy.records
    assert "if-match" not in first.headers
    assert len({request.headers["if-match"] for request in others}) == 1
    assert all("range" in request.headers for request in proxy.records)


def test_an_object_replaced_between_two_ranges_is_a_mismatch(backend: S3fsBackend):
    size = 60 * MIB
    backend.put_file("k", [b"a" * size], size=size, when=Always())
    stream = backend.stream("k", size=size)
    next(stream)
    backend.put_file("k", [b"b" * size], size=size, when=Always())
    with pytest.raises(DigestMismatch, match="replaced"):
        list(stream)


# ---------------------------------------------------------------- uploads in parts


def test_a_part_whose_reply_is_lost_is_sent_again(backend: S3fsBackend, proxy: Proxy, seaweed_prefix: str):
    proxy.on(LostReply(), method="PUT", nth=2)
    backend.put_file("k", [bytes(LARGE)], size=LARGE, when=IfAbsent())
    assert sum(map(len, backend.stream("k", size=LARGE))) == LARGE


@pytest.mark.parametrize("fault", [Status(503), Status(403), LostRequest(), Hang()], ids=str)
def test_an_upload_whose_parts_fail_is_aborted(
    backend: S3fsBackend, proxy: Proxy, seaweed: SeaweedServer, seaweed_prefix: str, fault
):
    proxy.on(fault, method="PUT")
    if isinstance(fault, Hang):
        backend._calls.patience = Patience(2.0, min_rate=LARGE)  # the server answers else: only the rate ends it
    with pytest.raises((Unavailable, AccessDenied)):
        backend.put_file("k", [bytes(LARGE)], size=LARGE, when=IfAbsent())
    assert open_uploads(seaweed, seaweed_prefix) == []


InterruptWhen = Callable[[Callable[[], bool]], None]


@pytest.fixture
def interrupt_when() -> Iterator[InterruptWhen]:
    """Send Ctrl-C to this thread once something is so, even where the suite was started with Ctrl-C turned off."""

    def begin(ready: Callable[[], bool]) -> None:
        def watch() -> None:
            while not ready():
                time.sleep(0.01)
            time.sleep(0.1)
            _thread.interrupt_main()

        threading.Thread(target=watch, daemon=True).start()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield begin
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_the_middle_of_an_upload_aborts_it(
    backend: S3fsBackend, proxy: Proxy, seaweed: SeaweedServer, seaweed_prefix: str
):
    def source() -> Iterator[bytes]:
        for turn in range(LARGE // MIB):
            if turn == 12:
                raise KeyboardInterrupt
            yield bytes(MIB)

    with pytest.raises(KeyboardInterrupt):
        backend.put_file("k", source(), size=LARGE, when=IfAbsent())
    assert open_uploads_at_last(seaweed, seaweed_prefix) == []


def test_ctrl_c_while_waiting_for_a_part_aborts_the_upload(
    backend: S3fsBackend, proxy: Proxy, seaweed: SeaweedServer, seaweed_prefix: str, interrupt_when: InterruptWhen
):
    proxy.on(Hang(), method="PUT")
    interrupt_when(lambda: any(request.method == "PUT" for request in proxy.records))
    with pytest.raises(KeyboardInterrupt):
        backend.put_file("k", [bytes(LARGE)], size=LARGE, when=IfAbsent())
    assert open_uploads_at_last(seaweed, seaweed_prefix) == []


def test_ctrl_c_while_the_upload_is_being_opened_aborts_it(
    backend: S3fsBackend, proxy: Proxy, seaweed: SeaweedServer, seaweed_prefix: str, interrupt_when: InterruptWhen
):
    proxy.on(Slow(1.0), method="POST")
    interrupt_when(lambda: any(request.method == "POST" for request in proxy.records))
    with pytest.raises(KeyboardInterrupt):
        backend.put_file("k", [bytes(LARGE)], size=LARGE, when=IfAbsent())
    assert open_uploads_at_last(seaweed, seaweed_prefix) == []


def test_ctrl_c_while_the_upload_is_being_completed_leaves_the_whole_file_or_nothing(
    backend: S3fsBackend, proxy: Proxy, seaweed: SeaweedServer, seaweed_prefix: str, interrupt_when: InterruptWhen
):
    proxy.on(Slow(1.0), when=completion)
    interrupt_when(lambda: any(completion(request) for request in proxy.records))
    with pytest.raises(KeyboardInterrupt):
        backend.put_file("k", [b"a" * LARGE], size=LARGE, when=IfAbsent())
    assert b"".join(backend.stream("k", size=LARGE)) == b"a" * LARGE
    assert open_uploads_at_last(seaweed, seaweed_prefix) == []


def test_ctrl_c_before_a_refused_completion_aborts_the_upload(
    backend: S3fsBackend, proxy: Proxy, seaweed: SeaweedServer, seaweed_prefix: str, interrupt_when: InterruptWhen
):
    backend.write("k", b"first", when=Always())
    proxy.on(Slow(1.0), when=completion)
    interrupt_when(lambda: any(completion(request) for request in proxy.records))
    with pytest.raises(KeyboardInterrupt):
        backend.put_file("k", [b"a" * LARGE], size=LARGE, when=IfAbsent())
    assert backend.read("k", limit=9).data == b"first"
    assert open_uploads_at_last(seaweed, seaweed_prefix) == []


def test_a_lost_completion_leaves_the_whole_file(backend: S3fsBackend, proxy: Proxy):
    proxy.on(LostReply(), when=completion, times=1)
    with pytest.raises(PreconditionFailed):  # the echo: asked again, the server finds our own file
        backend.put_file("k", [b"a" * LARGE], size=LARGE, when=IfAbsent())
    assert b"".join(backend.stream("k", size=LARGE)) == b"a" * LARGE


def test_an_upload_whose_completion_is_unknown_is_not_aborted(
    backend: S3fsBackend, proxy: Proxy, seaweed: SeaweedServer, seaweed_prefix: str
):
    proxy.on(LostRequest(), when=completion)
    with pytest.raises(Unreachable):
        backend.put_file("k", [bytes(LARGE)], size=LARGE, when=IfAbsent())
    assert open_uploads(seaweed, seaweed_prefix) == [f"{seaweed_prefix}/k"]
    assert not [request for request in proxy.records if request.method == "DELETE"]


def test_a_large_file_goes_and_comes_in_bounded_memory(backend: S3fsBackend):
    size = 96 * MIB
    piece = bytes(MIB)
    tracemalloc.start()
    try:
        backend.put_file("k", (piece for _ in range(size // MIB)), size=size, when=IfAbsent())
        for _ in backend.stream("k", size=size):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * MIB


# ---------------------------------------------------------------- credentials


@pytest.mark.parametrize("wrong", [{"secret": MARKER}, {"key": "nobody-known", "secret": MARKER}])
def test_wrong_credentials_are_access_denied(seaweed: SeaweedServer, wrong: dict[str, str]):
    backend = open_filesystem(seaweed.url("models"), seaweed.storage_options() | wrong)
    for call in every_call(backend):
        with pytest.raises(AccessDenied):
            call()
    backend.close()


def test_a_reader_may_read_and_not_write(seaweed: SeaweedServer, seaweed_prefix: str):
    writer, reader = opened(seaweed, seaweed_prefix, timeout=20), opened(seaweed.reader, seaweed_prefix, timeout=20)
    writer.write("k", b"one", when=Always())
    assert reader.read("k", limit=9).data == b"one"
    for call in (
        lambda: reader.write("k", b"two", when=Always()),
        lambda: reader.write("new", b"two", when=IfAbsent()),
        lambda: reader.put_file("new", [bytes(LARGE)], size=LARGE, when=IfAbsent()),
        lambda: reader.delete("k"),
    ):
        with pytest.raises(AccessDenied):
            call()
    assert [entry.key for entry in writer.list("")] == ["k"]
    writer.close()
    reader.close()


def test_no_credentials_at_all_are_access_denied(seaweed: SeaweedServer, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    backend = open_filesystem(seaweed.url("models"), {"endpoint_url": seaweed.endpoint})
    with pytest.raises(AccessDenied, match="no AWS credentials were found"):
        backend.read("k", limit=9)
    backend.close()


def test_a_profile_comes_from_the_shared_files(seaweed: SeaweedServer, seaweed_prefix: str, monkeypatch, tmp_path):
    shared = tmp_path / "credentials"
    shared.write_text(
        f"[trading]\naws_access_key_id = {seaweed.access_key}\naws_secret_access_key = {seaweed.secret_key}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    options = {"profile": "trading", "endpoint_url": seaweed.endpoint, "client_kwargs": {"region_name": "us-east-1"}}
    backend = open_filesystem(seaweed.url(seaweed_prefix), options)
    backend.write("k", b"one", when=IfAbsent())
    assert backend.read("k", limit=9).data == b"one"
    revived = pickle.loads(pickle.dumps(backend))  # without credentials of its own it may travel
    assert revived.read("k", limit=9).data == b"one"
    backend.close()
    revived.close()


def test_the_endpoint_is_the_one_that_the_client_found(monkeypatch, tmp_path):
    """A verdict on one server's conditions must not be taken for another's."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    options = {"key": "any", "secret": MARKER, "client_kwargs": {"region_name": "eu-central-1"}}
    plain = open_filesystem("s3://bucket/models", options)
    assert plain.endpoint == "https://s3.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:password@127.0.0.1:9/base/")
    told = open_filesystem("s3://bucket/models", options)
    assert told.endpoint == "http://127.0.0.1:9/base"
    plain.close()
    told.close()


@pytest.mark.parametrize(
    "wrong",
    [{"no_such_option": 1}, {"profile": "no-such-profile"}, {"endpoint_url": "not an address"}],
)
def test_options_that_mean_nothing_are_named_so(seaweed: SeaweedServer, wrong: dict[str, object]):
    options = seaweed.storage_options()
    if "profile" in wrong:  # beside keys it is refused before anything is looked for
        options = {name: value for name, value in options.items() if name not in {"key", "secret"}}
    backend = open_filesystem(seaweed.url("models"), {**options, **wrong})
    with pytest.raises(InvalidOption):
        backend.read("k", limit=9)
    backend.close()


def test_the_secret_is_nowhere_to_be_seen(seaweed: SeaweedServer, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    options = {
        "key": seaweed.access_key,
        "secret": MARKER,
        "endpoint_url": seaweed.endpoint,
        "client_kwargs": {"region_name": "us-east-1", "aws_secret_access_key": MARKER},
    }
    backend = open_filesystem(seaweed.url("models"), options)
    shown = [repr(backend), str(backend), repr(vars(backend)), backend.url, backend.endpoint]
    for call in every_call(backend):
        with pytest.raises(ArtifactStoreError) as caught:
            call()
        shown += [repr(link) + str(link) + repr(vars(link)) for link in chain(caught.value)]
    with pytest.raises(InvalidOption) as refused:
        pickle.dumps(backend)
    shown += [str(refused.value), *(record.getMessage() for record in caplog.records), *capfd.readouterr()]
    backend.close()
    assert not [text for text in shown if MARKER in text]


def test_the_cause_of_an_error_tells_what_the_client_said_and_holds_no_object_of_it(moto: MotoServer):
    backend = open_filesystem("s3://no-such-bucket/models", moto.storage_options())
    with pytest.raises(ArtifactStoreError) as caught:
        backend.read("k", limit=9)
    _, *causes = chain(caught.value)
    assert [type(cause).__name__ for cause in causes] == ["ForeignError"]
    assert "NoSuchBucket" in str(causes[0])
    backend.close()


def test_a_flipped_bit_on_the_way_is_seen_or_left_to_the_hash(backend: S3fsBackend, proxy: Proxy):
    """Where the server sends no checksum, a changed body arrives: that is what the manifest's sha256 is for."""
    backend.write("k", b"a" * 1000, when=Always())
    proxy.on(FlipBit(), method="GET")
    try:
        blob = backend.read("k", limit=1000)
    except ArtifactStoreError:
        return
    assert len(blob.data) == 1000
