"""The store under Amazon's rules about requests, conditions, listings and buckets: it works, or says what to do.

A front of our own keeps the rules (``tests/servers/strict``, which prints them with their sources).
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.storage.base import Always, Backend, IfAbsent, IfVersion
from artifact_store.storage.conditional_write import Outcome, write_settled
from artifact_store.storage.retry import RetryPolicy
from tests.bare import bare_client
from tests.servers import Bucket, LostReply, Proxy, S3Server, SeaweedServer, StrictFront

pytestmark = pytest.mark.xdist_group("test_strict_front")

KEY = "gru/BTCEUR"
LARGE = os.urandom(11 << 20)
ELSEWHERE = "eu-central-1"


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(server: S3Server, prefix: str, engine: str, *, timeout: float = 30.0, **more: Any) -> ArtifactStore:
    options = server.storage_options() | more
    return ArtifactStore(server.url(prefix), engine=engine, storage_options=options, timeout=timeout)


def backend_of(store: ArtifactStore) -> Backend:
    return store._context.backend


def live(store: ArtifactStore) -> None:
    """Save, publish, load, roll back, list, delete and collect, with a file in parts among it."""
    first, second = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    store.save(LARGE, "raw/FILE")
    assert (store.load(KEY), store.load("raw/FILE")) == ({"n": 2}, LARGE)
    store.rollback(KEY)
    assert store.load(KEY) == {"n": 1}
    assert {run.run_id for run in store.runs(KEY)} == {first.run_id, second.run_id}
    assert not store.delete(second).apply().problems
    assert [step.step.action for step in store.gc(grace=timedelta()).apply()] == ["sweep"]
    assert [run.run_id for run in store.runs(KEY)] == [first.run_id]
    assert [publish.seq for publish in store.history(KEY)] == [1, 2, 3]
    assert store.verify().ok
    assert list(backend_of(store).unfinished()) == []


AT_HOME = {"client_kwargs": {"region_name": ELSEWHERE}}
WORKS: dict[str, tuple[Bucket, dict[str, Any]]] = {
    "pages of three": (Bucket(page=3), {}),
    "empty pages": (Bucket(page=3, blank_pages=True), {}),
    "its region": (Bucket(region=ELSEWHERE), AT_HOME),
    "a key of KMS": (Bucket(kms=True), {}),
    "requester pays": (Bucket(requester_pays=True), {"requester_pays": True}),
    "Object Lock": (Bucket(locked=True), {"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA256"}}),
    "one in ten told to slow down": (Bucket(slow_down=10), {}),
    "two completions failed late": (Bucket(late_errors=2), {}),
    "conflicts": (Bucket(pace=0.02), {}),
    "a minute too late": (Bucket(clock=60.0), {}),
}


@pytest.mark.parametrize("place", WORKS)
def test_a_store_lives_under_the_rules(seaweed: SeaweedServer, seaweed_prefix: str, engine: str, place: str) -> None:
    bucket, more = WORKS[place]
    with StrictFront(seaweed, bucket) as front:
        with opened(front, seaweed_prefix, engine, **more) as store:
            live(store)
        assert set(front.codes()) == ({"SlowDown"} if bucket.slow_down else set())
        assert front.seen["late errors"] == bucket.late_errors
        if bucket.page == 3:
            assert front.seen["pages"] > 15


LACKS_KEY = Bucket(kms=True, lacks=frozenset({"kms:GenerateDataKey"}))
LACKS_READING = Bucket(kms=True, lacks=frozenset({"kms:Decrypt"}))
KEY_POLICY = "which the policy of the key has to allow as well"
REFUSED: dict[str, tuple[Bucket, dict[str, Any], type[errors.ArtifactStoreError], str]] = {
    "no requester_pays": (Bucket(requester_pays=True), {}, errors.AccessDenied, "'requester_pays': True"),
    "no kms:GenerateDataKey": (LACKS_KEY, {}, errors.AccessDenied, f"it takes kms:GenerateDataKey, {KEY_POLICY}"),
    "no kms:Decrypt": (LACKS_READING, {}, errors.AccessDenied, f"it takes kms:Decrypt, {KEY_POLICY}"),
    "a clock ahead": (
        Bucket(clock=-1200.0),
        {},
        errors.AccessDenied,
        "the clocks of this machine and the server differ",
    ),
    "a clock behind": (
        Bucket(clock=1200.0),
        {},
        errors.AccessDenied,
        "the clocks of this machine and the server differ",
    ),
    "a token that is over": (Bucket(expired=True), {"token": "x" * 30}, errors.AccessDenied, "log in again"),
    "told to slow down": (Bucket(slow_down=1), {}, errors.Unreachable, "try again later"),
}


@pytest.mark.parametrize("place", REFUSED)
def test_a_refusal_says_what_to_do(seaweed: SeaweedServer, seaweed_prefix: str, engine: str, place: str) -> None:
    bucket, more, kind, words = REFUSED[place]
    with StrictFront(seaweed, bucket) as front, opened(front, seaweed_prefix, engine, timeout=3.0, **more) as store:
        with pytest.raises(kind, match=words) as refused:
            store.save({"n": 1}, KEY)
        assert type(refused.value) is kind
        assert front.refused
    with opened(seaweed, seaweed_prefix, engine) as store:
        assert store.models() == []


@pytest.mark.parametrize(("status", "told"), [(400, ELSEWHERE), (301, "...")])
def test_a_bucket_in_another_region_is_found_or_the_region_is_asked_for(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str, status: int, told: str
) -> None:
    with StrictFront(seaweed, Bucket(region=ELSEWHERE, misplaced=status)) as front:
        with opened(front, seaweed_prefix, engine) as store:
            if engine == "fsspec":  # botocore learns the region and signs anew
                live(store)
                return
            with pytest.raises(errors.InvalidOption, match=f"'region_name': '?{told}'?"):
                store.save({"n": 1}, KEY)
        with opened(front, seaweed_prefix, engine, **AT_HOME) as store:
            live(store)


def test_a_temporary_redirect_is_followed_with_a_signature_or_refused(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str
) -> None:
    with (
        StrictFront(seaweed, Bucket(region=ELSEWHERE, misplaced=307)) as front,
        opened(front, seaweed_prefix, engine) as store,
    ):
        if engine == "fsspec":
            live(store)
        else:  # it follows without a signature, so the other host denies what has no signature
            with pytest.raises(errors.AccessDenied):
                store.save({"n": 1}, KEY)


def test_metadata_of_the_caller_that_is_too_long_is_an_option_to_correct(
    front: StrictFront, seaweed_prefix: str
) -> None:
    long, short = ({"s3_additional_kwargs": {"Metadata": {"name": "x" * size}}} for size in (2045, 2044))
    with (
        opened(front, seaweed_prefix, "fsspec", **long) as store,
        pytest.raises(errors.InvalidOption, match="shorten Metadata"),
    ):
        store.save({"n": 1}, KEY)
    with opened(front, seaweed_prefix, "fsspec", **short) as store:
        live(store)


def test_a_key_that_is_too_long_says_what_to_shorten(front: StrictFront, seaweed_prefix: str, engine: str) -> None:
    deep = "/".join(["x" * 100] * 10)
    with (
        opened(front, f"{seaweed_prefix}/{deep}", engine) as store,
        pytest.raises(errors.InvalidOption, match="shorter path in the URL of the store"),
    ):
        store.save({"n": 1}, KEY)
    assert "KeyTooLongError" in front.codes()


def test_every_one_of_writers_that_meet_is_published_or_told(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str
) -> None:
    with StrictFront(seaweed, Bucket(pace=0.03)) as front:
        with opened(front, seaweed_prefix, engine) as store:
            store.save({"n": -1}, KEY)

        def write(number: int) -> list[str]:
            with opened(front, seaweed_prefix, engine) as mine:
                return [mine.save({"n": number}, KEY).run_id for _ in range(2)]

        with ThreadPoolExecutor(4) as pool:
            saved = [run for told in pool.map(write, range(4)) for run in told]
        with opened(front, seaweed_prefix, engine) as store:
            history = store.history(KEY)
        assert sorted(publish.run_id for publish in history[1:]) == sorted(saved)
        assert [publish.seq for publish in history] == list(range(1, 10))
        assert "ConditionalRequestConflict" in front.codes()


def test_one_of_two_writers_of_one_run_wins(seaweed: SeaweedServer, seaweed_prefix: str, engine: str) -> None:
    with StrictFront(seaweed, Bucket(pace=0.3)) as front:
        both = threading.Barrier(2)

        def write(number: int) -> str:
            with opened(front, seaweed_prefix, engine) as store:
                both.wait()
                try:
                    store.save({"n": number}, KEY, run_id="20260101_000000_one")
                except errors.RunExists:
                    return "exists"
                return f"saved {number}"

        with ThreadPoolExecutor(2) as pool:
            told = sorted(pool.map(write, range(2)))
        with opened(front, seaweed_prefix, engine) as store:
            assert told == ["exists", f"saved {store.load(KEY)['n']}"]


def test_a_write_over_what_vanished_is_lost(front: StrictFront, seaweed_prefix: str, engine: str) -> None:
    with opened(front, seaweed_prefix, engine) as store:
        backend = backend_of(store)
        seen = backend.write("a/key", b"1", when=Always())
        backend.delete("a/key")
        with pytest.raises(errors.PreconditionFailed):
            backend.write("a/key", b"2", when=IfVersion(seen))
        told = write_settled(backend, "a/key", b"2", over=seen, limit=100, retry=RetryPolicy(seconds=5.0))
        assert told is Outcome.LOST
    assert set(front.codes()) == {"NoSuchKey"}


@pytest.mark.parametrize("repeats", [True, False])
def test_a_completion_of_which_the_answer_is_lost_is_a_success(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str, *, repeats: bool
) -> None:
    with StrictFront(seaweed, Bucket(repeats=repeats)) as front, Proxy(front) as proxy:
        proxy.on(LostReply(), method="POST", when=lambda request: "uploadId" in request.query, nth=1)
        with opened(proxy, seaweed_prefix, engine) as store:
            store.save(LARGE, "raw/FILE")
            assert store.load("raw/FILE") == LARGE
            assert list(backend_of(store).unfinished()) == []
        assert front.seen["repeated completions"] >= 1


@pytest.mark.parametrize("below", ["", "/name"])
def test_a_listing_goes_on_after_a_real_page(seaweed: SeaweedServer, seaweed_prefix: str, below: str) -> None:
    names = [f"{number:04}" for number in range(1050)]
    with bare_client(seaweed) as client, ThreadPoolExecutor(8) as pool:
        place = {"Bucket": seaweed.bucket, "Body": b"x"}
        list(pool.map(lambda name: client.put_object(**place, Key=f"{seaweed_prefix}/all/{name}{below}"), names))
    for engine in ("obstore", "fsspec"):
        with StrictFront(seaweed) as front:
            with opened(front, seaweed_prefix, engine) as store:
                backend = backend_of(store)
                assert [entry.key for entry in backend.list("all/")] == [f"all/{name}{below}" for name in names]
                assert list(backend.children("all/")) == [f"{name}{'/' if below else ''}" for name in names]
            assert front.seen["pages"] == 4


def test_a_file_is_created_in_parts_beside_a_rival(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    """Its completion meets another one with the same condition: 409, and then what is stored decides."""
    with StrictFront(seaweed, Bucket(pace=1.0)) as front, opened(front, seaweed_prefix, "fsspec") as store:
        backend, both = backend_of(store), threading.Barrier(2)

        def create(_: int) -> str:
            both.wait()
            try:
                backend.put_file("large", [LARGE], size=len(LARGE), when=IfAbsent())
            except (errors.Contended, errors.PreconditionFailed) as error:
                return type(error).__name__
            return "created"

        with ThreadPoolExecutor(2) as pool:
            assert "created" in set(pool.map(create, range(2)))
        assert b"".join(backend.stream("large", size=len(LARGE))) == LARGE
        assert list(backend.unfinished()) == []


OWN_KEY = {"s3_additional_kwargs": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}}


def test_a_store_with_a_key_of_the_caller_is_sound_to_who_has_not_got_it(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str
) -> None:
    with opened(seaweed, seaweed_prefix, "fsspec", **OWN_KEY) as store:
        live(store)
    with opened(seaweed, seaweed_prefix, engine) as store:
        with pytest.raises(errors.InvalidOption, match="'SSECustomerKey'"):
            store.load(KEY)
        report = store.doctor()
        assert {found.code for found in report if found.severity == "error"} == {"cannot-read"}
        assert report.repair(quarantine=True).changes == ()
    with opened(seaweed, seaweed_prefix, "fsspec", **OWN_KEY) as store:
        assert store.load(KEY) == {"n": 1}


def test_a_store_in_another_region_is_no_damaged_one(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    with opened(seaweed, seaweed_prefix, "obstore") as store:
        store.save({"n": 1}, KEY)
    with (
        StrictFront(seaweed, Bucket(region=ELSEWHERE)) as front,
        opened(front, seaweed_prefix, "obstore") as store,
    ):
        report = store.doctor()
        assert {found.code for found in report if found.severity == "error"} == {"cannot-read", "cannot-list"}
        assert report.repair(quarantine=True).changes == ()


def test_rules_of_the_bucket_that_may_not_be_read_say_what_that_takes(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str
) -> None:
    """No option makes the requests for them ones that are paid for, so Amazon answers the owner alone."""
    bucket = Bucket(requester_pays=True)
    with (
        StrictFront(seaweed, bucket) as front,
        opened(front, seaweed_prefix, engine, requester_pays=True) as store,
    ):
        store.save({"n": 1}, KEY)
        told = {found.code: found.message for found in store.doctor() if found.severity == "unknown"}
    assert "it takes s3:GetLifecycleConfiguration" in told["lifecycle"]
    assert "it takes s3:GetBucketVersioning" in told["versioning"]
    assert "it takes s3:GetBucketObjectLockConfiguration" in told["object-lock"]
