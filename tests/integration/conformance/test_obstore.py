"""The obstore engine on the contract: a real S3 server, moto, and what only this engine can get wrong."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from obstore import store

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    ContainerNotFound,
    Contended,
    Corrupt,
    DeadlineExceeded,
    EngineUnavailable,
    InvalidOption,
    PreconditionFailed,
    Unavailable,
    Unreachable,
)
from artifact_store.storage.base import Always, Backend, IfAbsent, IfVersion, Version
from artifact_store.storage.obstore.backend import ObstoreBackend
from artifact_store.storage.obstore.client import Clients
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.options import StorageOptions, parse_url
from artifact_store.storage.patience import Patience
from artifact_store.testing.backend_suite import MIB, BackendSuite, pieces, run_in_a_fork, some_bytes
from tests.servers import ADMIN, MotoServer, Proxy, S3Server, SeaweedServer
from tests.servers.faults import CutBody, Hang, LostReply, Status


def opened(server: S3Server, prefix: str, *, timeout: float = 20.0) -> ObstoreBackend:
    return ObstoreBackend(parse_url(server.url(prefix)), server.storage_options(), timeout=timeout)


def open_uploads(server: S3Server, prefix: str) -> Sequence[str]:
    with server.client() as client:
        found = client.list_multipart_uploads(Bucket=server.bucket).get("Uploads", [])
    return [upload["Key"] for upload in found if upload["Key"].startswith(prefix)]


class TestObstoreOnSeaweed(BackendSuite):
    secrets = (ADMIN.secret_key,)

    @pytest.fixture
    def backend(self, seaweed: SeaweedServer, seaweed_prefix: str) -> Iterator[Backend]:
        backend = opened(seaweed, seaweed_prefix)
        yield backend
        backend.close()

    @pytest.fixture
    def other(self, seaweed: SeaweedServer, seaweed_prefix: str) -> Iterator[Backend]:
        backend = opened(seaweed, seaweed_prefix)
        yield backend
        backend.close()

    @pytest.fixture(autouse=True)
    def _server(self, seaweed: SeaweedServer, seaweed_prefix: str) -> None:
        self.server, self.prefix = seaweed, seaweed_prefix

    def leftovers(self, backend: Backend) -> Sequence[str]:
        return open_uploads(self.server, self.prefix)


class TestObstoreOnMoto(BackendSuite):
    """Plumbing: moto checks a condition and writes in two steps."""

    @pytest.fixture
    def backend(self, moto: MotoServer, moto_prefix: str) -> Iterator[Backend]:
        backend = opened(moto, moto_prefix)
        yield backend
        backend.close()

    @pytest.fixture
    def other(self, moto: MotoServer, moto_prefix: str) -> Iterator[Backend]:
        backend = opened(moto, moto_prefix)
        yield backend
        backend.close()

    @pytest.fixture(autouse=True)
    def _server(self, moto: MotoServer, moto_prefix: str, request: pytest.FixtureRequest) -> None:
        self.server, self.prefix = moto, moto_prefix
        if "one_of_many" in request.node.name or "no_increment" in request.node.name:
            pytest.skip("moto lets two writers through now and then: no fault of ours")

    def leftovers(self, backend: Backend) -> Sequence[str]:
        return open_uploads(self.server, self.prefix)


# ---------------------------------------------------------------- what only this engine can get wrong


@pytest.fixture
def proxy(seaweed: SeaweedServer) -> Iterator[Proxy]:
    with Proxy(seaweed) as proxy:
        yield proxy


@pytest.fixture
def backend(proxy: Proxy, seaweed_prefix: str) -> Iterator[ObstoreBackend]:
    backend = opened(proxy, seaweed_prefix, timeout=3.0)
    yield backend
    backend.close()


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away every credential that this machine may hold."""
    for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def requests(proxy: Proxy) -> list[str]:
    return [record.method for record in proxy.records]


def at(server: S3Server, prefix: str, timeout: float = 3.0, **options: object) -> ObstoreBackend:
    given = {"endpoint_url": server.endpoint, "client_kwargs": {"region_name": "us-east-1"}} | options
    return ObstoreBackend(parse_url(server.url(prefix)), given, timeout=timeout)


class TestRequests:
    def test_each_small_operation_is_one_request(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        first = backend.write("k", b"one", when=IfAbsent())
        second = backend.write("k", b"two", when=IfVersion(first))
        backend.write("k", b"three", when=Always())
        assert requests(proxy) == ["PUT"] * 3
        assert [record.headers.get("if-none-match") for record in proxy.records] == ["*", None, None]
        assert [record.headers.get("if-match") for record in proxy.records] == [None, first, None]
        proxy.reset()
        blob = backend.read("k", limit=10)
        assert blob is not None
        assert blob.version not in {first, second}
        assert backend.read("k", limit=10, unless=blob.version) is None
        assert b"".join(backend.stream("k", size=5)) == b"three"
        assert requests(proxy) == ["GET"] * 3
        proxy.reset()
        backend.put_file("k", [b"fo", b"ur"], size=4, when=Always())
        backend.delete("k")
        list(backend.list(""))
        list(backend.children(""))
        assert requests(proxy) == ["PUT", "DELETE", "GET", "GET"]

    def test_eight_mebibytes_are_one_request_each_way(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        data = some_bytes(8 * MIB)
        backend.put_file("k", pieces(data), size=len(data), when=IfAbsent())
        assert b"".join(backend.stream("k", size=len(data))) == data
        assert requests(proxy) == ["PUT", "GET"]

    def test_an_object_above_the_limit_is_not_transferred(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        backend.write("k", bytes(20 * MIB), when=Always())
        proxy.reset()
        with pytest.raises(Corrupt):
            backend.read("k", limit=1000)
        backend.close()
        assert requests(proxy) == ["GET"]

    def test_a_large_object_is_fetched_in_ranges_side_by_side(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        data = some_bytes(21 * MIB)
        backend.put_file("k", pieces(data), size=len(data), when=Always())
        proxy.rtt_ms = 50
        proxy.reset()
        assert b"".join(backend.stream("k", size=len(data))) == data
        assert requests(proxy) == ["GET"] * 6
        assert all("range" in record.headers for record in proxy.records)

    def test_later_ranges_are_bound_to_the_version_of_the_first(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        data = some_bytes(33 * MIB)
        backend.put_file("k", pieces(data), size=len(data), when=Always())
        proxy.reset()
        assert b"".join(backend.stream("k", size=len(data))) == data
        assert len([record for record in proxy.records if "if-match" in record.headers]) == 3


class TestTrouble:
    def test_a_range_that_breaks_off_is_asked_for_again(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        data = some_bytes(20 * MIB)
        backend.put_file("k", pieces(data), size=len(data), when=Always())
        proxy.on(CutBody(), method="GET", nth=(2, 4))
        assert b"".join(backend.stream("k", size=len(data))) == data

    def test_a_stream_that_always_breaks_off_ends(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        data = some_bytes(9 * MIB)
        backend.put_file("k", pieces(data), size=len(data), when=Always())
        proxy.on(CutBody(), method="GET")
        with pytest.raises(Unavailable):
            list(backend.stream("k", size=len(data)))

    def test_a_failing_part_fails_the_upload_and_aborts_it(
        self, proxy: Proxy, backend: ObstoreBackend, seaweed: SeaweedServer, seaweed_prefix: str
    ) -> None:
        seen: list[str] = []

        def source() -> Iterator[bytes]:
            yield from pieces(some_bytes(29 * MIB))
            seen.extend(open_uploads(seaweed, seaweed_prefix))
            yield bytes(MIB)

        proxy.on(Status(403), method="PUT", when=lambda request: "partNumber" in request.query)
        with pytest.raises(AccessDenied):
            backend.put_file("k", source(), size=30 * MIB, when=Always())
        assert open_uploads(seaweed, seaweed_prefix) == []
        assert list(backend.list("")) == []
        # and a listing would have shown one
        proxy.off()
        backend.put_file("k", source(), size=30 * MIB, when=Always())
        assert f"{seaweed_prefix}/k" in seen

    def test_a_conflict_of_concurrent_requests_is_contended(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        proxy.on(Status(409), method="PUT")
        with pytest.raises(Contended):
            backend.write("k", b"x", when=IfAbsent())
        with pytest.raises(Contended):
            backend.write("k", b"x", when=IfVersion(Version('"abc"')))

    def test_a_lost_reply_is_reported_as_a_conflict_or_as_unproven(self, proxy: Proxy, backend: ObstoreBackend) -> None:
        proxy.on(LostReply(), method="PUT", times=1)
        with pytest.raises((PreconditionFailed, Unavailable)):
            backend.write("k", b"mine", when=IfAbsent())
        blob = backend.read("k", limit=100)
        assert blob is not None
        assert blob.data == b"mine"

    @pytest.mark.parametrize("code", [429, 500, 503])
    def test_an_overloaded_server_is_unreachable_within_the_deadline(
        self, proxy: Proxy, backend: ObstoreBackend, code: int
    ) -> None:
        proxy.on(Status(code))
        with pytest.raises(Unreachable):
            backend.read("k", limit=100)
        with pytest.raises(Unreachable):
            backend.write("k", b"x", when=IfAbsent())
        assert len(proxy.records) <= 8

    def test_a_server_that_hangs_exceeds_the_deadline(self, proxy: Proxy, seaweed_prefix: str) -> None:
        backend = opened(proxy, seaweed_prefix, timeout=0.7)
        proxy.on(Hang())
        calls: list[Callable[[], object]] = [
            lambda: backend.read("k", limit=100),
            lambda: backend.write("k", b"x", when=IfAbsent()),
            lambda: list(backend.stream("k", size=10)),
            lambda: list(backend.stream("k", size=20 * MIB)),
            lambda: list(backend.list("")),
            lambda: list(backend.children("")),
            lambda: backend.delete("k"),
        ]
        for call in calls:
            with pytest.raises(DeadlineExceeded):
                call()

    def test_a_server_that_is_down_is_unreachable(self, seaweed: SeaweedServer, seaweed_prefix: str) -> None:
        backend = at(seaweed, seaweed_prefix, key="k" * 8, secret="s" * 8, endpoint_url="http://127.0.0.1:1")
        for call in (
            lambda: backend.read("k", limit=100),
            lambda: backend.write("k", b"x", when=IfAbsent()),
            lambda: backend.put_file("k", pieces(bytes(9 * MIB)), size=9 * MIB, when=Always()),
            lambda: list(backend.stream("k", size=9 * MIB)),
            lambda: list(backend.list("")),
            lambda: backend.delete("k"),
        ):
            with pytest.raises(Unreachable):
                call()

    def test_a_missing_bucket_is_named(self, seaweed: SeaweedServer) -> None:
        backend = ObstoreBackend(parse_url("s3://no-such-bucket/x"), seaweed.storage_options(), timeout=3.0)
        for call in (
            lambda: backend.read("k", limit=100),
            lambda: backend.write("k", b"x", when=IfAbsent()),
            lambda: backend.write("k", b"x", when=Always()),
            lambda: backend.put_file("k", pieces(bytes(9 * MIB)), size=9 * MIB, when=Always()),
            lambda: list(backend.stream("k", size=1)),
            lambda: list(backend.list("")),
            lambda: list(backend.children("")),
            lambda: backend.delete("k"),
        ):
            with pytest.raises(ContainerNotFound, match="no-such-bucket"):
                call()

    def test_who_may_only_read_is_told_so(self, seaweed: SeaweedServer, seaweed_prefix: str) -> None:
        opened(seaweed, seaweed_prefix).write("k", b"x", when=Always())
        backend = opened(seaweed.reader, seaweed_prefix, timeout=3.0)
        assert backend.read("k", limit=10) is not None
        for call in (
            lambda: backend.write("k", b"y", when=IfAbsent()),
            lambda: backend.put_file("k", pieces(bytes(9 * MIB)), size=9 * MIB, when=Always()),
            lambda: backend.delete("k"),
        ):
            with pytest.raises(AccessDenied, match="do not have the permission"):
                call()

    def test_a_folder_made_by_a_console_is_no_object(self, moto: MotoServer, moto_prefix: str) -> None:
        backend = opened(moto, moto_prefix)
        with moto.client() as client:
            for key in ("", "a/", "a/b/"):
                client.put_object(Bucket=moto.bucket, Key=f"{moto_prefix}/{key}", Body=b"")
        backend.write("a/b/c", b"", when=Always())
        assert [entry.key for entry in backend.list("")] == ["a/b/c"]
        assert [list(backend.children(prefix)) for prefix in ("", "a/", "a/b/")] == [["a/"], ["b/"], ["c"]]

    def test_a_key_that_obstore_cannot_spell_hides_nothing_and_is_listed(
        self, moto: MotoServer, moto_prefix: str
    ) -> None:
        backend = opened(moto, moto_prefix)
        backend.write("a/k", b"", when=Always())
        with moto.client() as client:
            client.put_object(Bucket=moto.bucket, Key=f"{moto_prefix}/a//b", Body=b"")
        assert [entry.key for entry in backend.list("")] == ["a//b", "a/k"]

    def test_a_source_may_use_the_engine_itself(self, seaweed: SeaweedServer, seaweed_prefix: str) -> None:
        backend = opened(seaweed, seaweed_prefix)
        data = some_bytes(20 * MIB)
        backend.put_file("from", pieces(data), size=len(data), when=Always())
        backend.put_file("to", backend.stream("from", size=len(data)), size=len(data), when=Always())
        assert b"".join(backend.stream("to", size=len(data))) == data


class TestCredentials:
    SECRET = "Marker+Secret/0123456789"

    @pytest.mark.parametrize("known", [True, False])
    def test_wrong_credentials_are_named_and_never_told(
        self,
        seaweed: SeaweedServer,
        seaweed_prefix: str,
        caplog: pytest.LogCaptureFixture,
        known: bool,  # noqa: FBT001 -- parametrized by pytest
    ) -> None:
        caplog.set_level(0)
        backend = at(
            seaweed,
            seaweed_prefix,
            key=ADMIN.access_key if known else "NOBODY0123",
            secret=self.SECRET,
            token="tokEN-01",
        )
        shown = [repr(backend), str(backend), backend.url, backend.endpoint]
        for call in (
            lambda: backend.read("k", limit=100),
            lambda: backend.write("k", b"x", when=IfAbsent()),
            lambda: backend.put_file("k", pieces(bytes(9 * MIB)), size=9 * MIB, when=Always()),
            lambda: list(backend.stream("k", size=1)),
            lambda: list(backend.list("")),
            lambda: backend.delete("k"),
        ):
            with pytest.raises(AccessDenied, match="credentials") as caught:
                call()
            shown += traceback.format_exception(caught.value)
            shown += everything_about(caught.value)
            assert isinstance(pickle.loads(pickle.dumps(caught.value)), AccessDenied)
            shown.append(str(pickle.dumps(caught.value)))
        with pytest.raises(InvalidOption) as refused:
            pickle.dumps(backend)
        shown += [str(refused.value), caplog.text]
        assert not [text for text in shown if self.SECRET in text or "tokEN-01" in text]

    def test_without_credentials_in_the_options_it_can_be_pickled(
        self, seaweed: SeaweedServer, seaweed_prefix: str, no_aws: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ADMIN.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ADMIN.secret_key)
        backend = at(seaweed, seaweed_prefix)
        backend.write("k", b"x", when=Always())
        pickled = pickle.dumps(backend)
        assert ADMIN.secret_key.encode() not in pickled
        blob = pickle.loads(pickled).read("k", limit=10)
        assert blob.data == b"x"

    def test_the_environment_gives_credentials_and_endpoint(
        self, seaweed: SeaweedServer, seaweed_prefix: str, no_aws: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ADMIN.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ADMIN.secret_key)
        monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.endpoint)
        backend = ObstoreBackend(parse_url(seaweed.url(seaweed_prefix)), timeout=3.0)
        assert backend.endpoint == seaweed.endpoint
        backend.write("k", b"x", when=IfAbsent())

    def test_given_credentials_are_not_mixed_with_the_environment(
        self, seaweed: SeaweedServer, seaweed_prefix: str, no_aws: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "belongs to another key")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
        monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
        backend = opened(seaweed, seaweed_prefix, timeout=3.0)
        backend.write("k", b"x", when=IfAbsent())
        with pytest.raises(PreconditionFailed):
            backend.write("k", b"y", when=IfAbsent())

    @pytest.mark.parametrize("how", ["profile option", "AWS_PROFILE", "default profile"])
    def test_a_profile_gives_credentials_region_and_endpoint(
        self,
        seaweed: SeaweedServer,
        seaweed_prefix: str,
        no_aws: None,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        how: str,
    ) -> None:
        name = "default" if how == "default profile" else "trading"
        section = "default" if name == "default" else f"profile {name}"
        (tmp_path / "credentials").write_text(
            f"[{name}]\naws_access_key_id={ADMIN.access_key}\naws_secret_access_key={ADMIN.secret_key}\n"
        )
        (tmp_path / "config").write_text(f"[{section}]\nregion=us-east-1\nendpoint_url={seaweed.endpoint}\n")
        if how == "AWS_PROFILE":
            monkeypatch.setenv("AWS_PROFILE", name)
        options = {"profile": name} if how == "profile option" else {}
        backend = ObstoreBackend(parse_url(seaweed.url(seaweed_prefix)), options, timeout=3.0)
        assert backend.endpoint == seaweed.endpoint
        backend.write("k", b"x", when=IfAbsent())
        assert ADMIN.secret_key not in repr(pickle.dumps(backend))

    def test_a_profile_that_does_not_exist_is_named(
        self, seaweed: SeaweedServer, seaweed_prefix: str, no_aws: None
    ) -> None:
        with pytest.raises(InvalidOption, match="nobody"):
            at(seaweed, seaweed_prefix, profile="nobody").read("k", limit=10)

    def test_without_any_credentials_it_says_how_to_give_some(
        self, seaweed: SeaweedServer, seaweed_prefix: str, no_aws: None
    ) -> None:
        with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID"):
            at(seaweed, seaweed_prefix).read("k", limit=10)

    def test_anonymous_requests_are_not_signed(
        self, seaweed: SeaweedServer, seaweed_prefix: str, no_aws: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ADMIN.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ADMIN.secret_key)
        with pytest.raises(AccessDenied):
            at(seaweed, seaweed_prefix, anon=True).read("k", limit=10)


def everything_about(error: BaseException | None) -> list[str]:
    """Return all texts of an exception and of everything that hangs on it, causes and contexts alike."""
    found: list[str] = []
    while error is not None:
        found += [repr(error), str(error), repr(error.args), repr(vars(error))]
        assert (
            error.__context__ is None
            or error.__context__ is error.__cause__
            or isinstance(error.__context__, ArtifactStoreError)
        )
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_swaps_what_its_parent_wrote(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    backend = opened(seaweed, seaweed_prefix)
    seen = backend.write("k", b"one", when=IfAbsent())

    def child() -> None:
        assert backend.read("k", limit=10, unless=seen) is None
        backend.write("k", b"two", when=IfVersion(seen))
        # a backend that was made after the fork is in the same situation
        mine = opened(seaweed, seaweed_prefix)
        blob = mine.read("k", limit=10)
        assert blob is not None
        assert blob.data == b"two"
        with pytest.raises(PreconditionFailed):
            mine.write("k", b"three", when=IfVersion(seen))
        with pytest.raises(EngineUnavailable, match="spawn"):
            ObstoreBackend(parse_url("gs://bucket/x"), {"anon": True}).read("k", limit=10)

    run_in_a_fork(child)
    with pytest.raises(PreconditionFailed):
        backend.write("k", b"four", when=IfVersion(seen))


@pytest.mark.parametrize(
    ("url", "options", "endpoint"),
    [
        ("s3://bucket/models", {"key": "k", "secret": "s"}, "https://s3.amazonaws.com"),
        ("gs://bucket/models", {"token": "anon"}, "https://storage.googleapis.com"),
        ("az://box/models", {"account_name": "acct", "account_key": "c2VjcmV0"}, "https://acct.blob.core.windows.net"),
        ("abfss://box@acct.dfs.core.windows.net/models", {"anon": True}, "https://acct.blob.core.windows.net"),
    ],
)
def test_a_client_for_every_cloud_can_be_made_offline(
    url: str, options: dict[str, object], endpoint: str, no_aws: None
) -> None:
    place = parse_url(url)
    backend = ObstoreBackend(place, options)
    assert backend.endpoint == endpoint
    assert backend.url == url
    clients = Clients(place, cloud_config(place, StorageOptions(options)), patience=Patience(5.0))
    for purpose in ("control", "download", "upload"):
        assert clients.get(purpose) is clients.get(purpose)


def test_options_that_obstore_does_not_take_are_refused_without_their_values(no_aws: None) -> None:
    backend = ObstoreBackend(parse_url("az://box/x"), {"account_name": "acct", "account_key": "no base64 secret"})
    with pytest.raises(InvalidOption, match="storage options") as caught:
        backend.read("k", limit=10)
    assert "no base64 secret" not in "".join(traceback.format_exception(caught.value))


def test_a_client_that_could_not_be_made_for_a_moment_is_made_again(
    no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, options = parse_url("s3://bucket/x"), StorageOptions({"key": "k", "secret": "s"})
    clients = Clients(place, cloud_config(place, options), patience=Patience(5.0))
    made = store.S3Store
    answers = [RuntimeError("No CA certificates were loaded from the system"), made]

    def make(*arguments: object, **settings: object) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(*arguments, **settings)

    monkeypatch.setattr(store, "S3Store", make)
    assert isinstance(clients.get("control"), made)
    assert answers == []


def test_certificates_that_cannot_be_read_are_named(no_aws: None, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    options = {"key": "k", "secret": "s", "client_kwargs": {"verify": missing}}
    with pytest.raises(InvalidOption, match="certificate authorities") as caught:
        ObstoreBackend(parse_url("s3://bucket/x"), options).read("k", limit=10)
    assert missing in str(caught.value)
