"""Buckets that keep every version, and such as let no version go: what changes for a store, on a real server."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.storage.base import IfAbsent, IfVersion
from tests.servers import ADMIN, Proxy, Status

pytestmark = pytest.mark.xdist_group("test_versioned_buckets")

KEY, OLD, GONE = "gru/BTCEUR", "20240101_000000", "20240102_000000"
NONE = timedelta(0)
LARGE = os.urandom(9_000_000)  # too large for one request
RETENTION = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}
CHECKSUMS = {"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA256"}}


@pytest.fixture(scope="module")
def buckets(seaweed):
    """One bucket of each kind."""
    names = {kind: f"{kind}-{os.urandom(4).hex()}" for kind in ("versioned", "suspended", "locked")}
    with seaweed.client() as client:
        for kind, name in names.items():
            client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=kind == "locked")
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        suspended = {"Status": "Suspended"}
        client.put_bucket_versioning(Bucket=names["suspended"], VersioningConfiguration=suspended)
        client.put_object_lock_configuration(Bucket=names["locked"], ObjectLockConfiguration=RETENTION)
    return names


class Bucket:
    """A store in a bucket of this kind, and a look behind its back."""

    def __init__(self, server, client, engine):
        self.server, self.client, self.engine = server, client, engine
        self.name, self.prefix = server.bucket, f"models-{os.urandom(4).hex()}"

    def open(self, endpoint=None, **more):
        options = {**self.server.storage_options(endpoint=endpoint), **more}
        url = self.server.url(self.prefix)
        return ArtifactStore(url, engine=self.engine, storage_options=options, timeout=20.0)

    def versions(self, below=""):
        """Return every version that is kept, newest first within a key, and the delete markers that are in force."""
        start = f"{self.prefix}/{below}"
        held = self.client.list_object_versions(Bucket=self.name, Prefix=start)
        assert not held["IsTruncated"]
        markers = [marker for marker in held.get("DeleteMarkers", []) if marker["IsLatest"]]
        return held.get("Versions", []), markers

    def body(self, version):
        return self.client.get_object(**self.place(version))["Body"].read()

    def place(self, version):
        return {"Bucket": self.name, "Key": version["Key"], "VersionId": version["VersionId"]}


@pytest.fixture(params=["versioned", pytest.param("suspended", marks=pytest.mark.nightly), "locked"])
def kind(request):
    return request.param


@pytest.fixture(params=["obstore", "fsspec"])
def bucket(request, seaweed, buckets, kind):
    server = seaweed.seen_by(ADMIN, bucket=buckets[kind])
    with server.client() as client:
        yield Bucket(server, client, request.param)


def test_a_store_lives_its_whole_life_there(bucket):
    store = bucket.open(**CHECKSUMS)
    store.save({"n": 1}, KEY, run_id=OLD)
    store.save(LARGE, KEY, run_id=GONE)
    with pytest.raises(errors.RunExists):
        store.save({"n": 3}, KEY, run_id=OLD)
    assert store.load(KEY) == LARGE
    store.rollback(KEY)
    store.delete(f"{KEY}:{GONE}").apply()
    assert store.undelete(f"{KEY}:{GONE}").load() == LARGE
    store.delete(f"{KEY}:{GONE}").apply()
    assert store.gc(grace=NONE).apply().ok
    assert not store.gc(grace=NONE).changes
    with pytest.raises(errors.RunDeleted):
        store.load(f"{KEY}:{GONE}")
    with pytest.raises((errors.RunDeleted, errors.RunExists)):
        store.save({"n": 4}, KEY, run_id=GONE)
    assert bucket.open().load(KEY) == {"n": 1}
    assert [entry.run_id for entry in store.history(KEY)] == [OLD, GONE, OLD]
    assert store.verify().ok
    assert store.guarantees.probed


def test_conditions_are_about_the_version_in_force(bucket):
    backend = bucket.open()._context.backend
    first = backend.write("gru/x.json", b"1", when=IfAbsent())
    second = backend.write("gru/x.json", b"2", when=IfVersion(first))
    for when in (IfAbsent(), IfVersion(first)):
        with pytest.raises(errors.PreconditionFailed):
            backend.write("gru/x.json", b"3", when=when)
    backend.delete("gru/x.json")
    with pytest.raises(errors.ObjectNotFound):
        backend.read("gru/x.json", limit=9)
    with pytest.raises(errors.PreconditionFailed):
        backend.write("gru/x.json", b"3", when=IfVersion(second))
    backend.write("gru/x.json", b"4", when=IfAbsent())
    assert backend.read("gru/x.json", limit=9).data == b"4"
    assert [entry.key for entry in backend.list("gru/")] == ["gru/x.json"]


@pytest.mark.parametrize("kind", ["versioned", "locked"])
def test_what_was_swept_is_still_there_and_can_be_brought_back_by_hand(bucket):
    """The bucket is the backup: the delete markers are taken away, and the manifest is put on top of its tombstone."""
    store = bucket.open()
    store.save({"n": 1}, KEY, run_id=OLD)
    store.save({"secret": "of the second run"}, KEY, run_id=GONE, publish="never")
    store.delete(f"{KEY}:{GONE}").apply()
    assert store.gc(grace=NONE).apply().ok
    run = f"{KEY}/{GONE}/"
    kept, markers = bucket.versions(run)
    assert {marker["Key"].rpartition("/")[2] for marker in markers} == {"model.json", "metadata.json"}
    assert b'"of the second run"' in b"".join(bucket.body(version) for version in kept)
    records = [bucket.body(version) for version in kept if version["Key"].endswith(keys.MANIFEST)]
    manifest = next(data for data in records if json.loads(data)["kind"] == "run")  # the others are tombstones
    for marker in markers:
        bucket.client.delete_object(**bucket.place(marker))
    bucket.client.put_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{run}manifest.json", Body=manifest)
    again = bucket.open()
    assert again.load(f"{KEY}:{GONE}") == {"secret": "of the second run"}
    assert again.verify().ok
    assert not again.gc(grace=NONE).changes


@pytest.mark.parametrize("kind", ["locked"])
def test_no_version_of_a_locked_bucket_goes_whoever_asks(bucket):
    store = bucket.open()
    store.save({"n": 1}, KEY, run_id=OLD)
    store.save({"n": 2}, KEY, run_id=GONE)
    store.rollback(KEY)
    store.delete(f"{KEY}:{GONE}").apply()
    store.gc(grace=NONE).apply()
    before, _ = bucket.versions("gru/")
    for version in before:
        with pytest.raises(bucket.client.exceptions.ClientError) as refused:
            bucket.client.delete_object(**bucket.place(version))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert bucket.versions("gru/")[0] == before
    assert bucket.open().verify().ok


@pytest.mark.parametrize("kind", ["versioned"])
def test_a_sweep_that_is_refused_leaves_a_sound_store_and_is_made_good_later(bucket):
    with Proxy(bucket.server) as proxy:
        store = bucket.open(proxy.endpoint)
        store.save({"n": 1}, KEY, run_id=OLD)
        store.save({"n": 2}, KEY, run_id=GONE, publish="never")
        store.delete(f"{KEY}:{GONE}").apply()
        proxy.on(Status(403, "AccessDenied"), method="DELETE", key=f"*/{GONE}/model.json")
        done = store.gc(grace=NONE).apply()
        assert not done.ok
        (problem,) = done.problems
        assert isinstance(problem.error, errors.AccessDenied)
        assert problem.error.permission == "s3:DeleteObject"
        left = [entry.key.rpartition("/")[2] for entry in store._context.backend.list(f"{KEY}/{GONE}/")]
        assert left == ["manifest.json", "model.json"]
        with pytest.raises(errors.RunDeleted):  # it was sealed before anything was removed
            store.undelete(f"{KEY}:{GONE}")
        assert store.load(KEY) == {"n": 1}
        assert store.verify().ok
        proxy.off()
        (again,) = store.gc(grace=NONE).apply()
        assert (again.result, again.step.reason) == ("swept", "an earlier sweep was cut short")
    left = bucket.open()._context.backend.list(f"{KEY}/{GONE}/")
    assert [entry.key for entry in left] == [f"{KEY}/{GONE}/{keys.MANIFEST}"]


@pytest.mark.parametrize("kind", ["locked"])
def test_every_upload_has_a_checksum_where_that_is_asked_for(bucket):
    """AWS refuses uploads without one to a bucket with Object Lock and a default retention; SeaweedFS takes them."""
    with Proxy(bucket.server) as proxy:
        store = bucket.open(proxy.endpoint, **CHECKSUMS)
        store.save(LARGE, KEY)
        assert store.load(KEY) == LARGE
        sent = [record for record in proxy.records if record.method == "PUT"]
        assert any("partNumber" in record.query for record in sent)
        assert [record for record in sent if "x-amz-checksum-sha256" not in record.headers] == []
        proxy.reset()
        bucket.open(proxy.endpoint).save(LARGE, KEY)
        sent = [record for record in proxy.records if record.method == "PUT"]
        with_one = [record for record in sent if "x-amz-checksum-crc32" in record.headers]
        assert with_one == (sent if bucket.engine == "fsspec" else [])
