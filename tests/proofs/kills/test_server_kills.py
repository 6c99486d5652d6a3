"""A server that is killed without warning and comes back: what was acknowledged is there, and what was begun can be cleared.

Writers save, publish and upload in parts the whole time. Beside them, objects are written by plain S3 requests: were one
of those lost, the server would have lost what it had acknowledged, and nothing could be said about the store.

A killed process is not a power cut. SeaweedFS 4.48 makes no ``fsync`` before it acknowledges a write, so that one outlives
the server but perhaps not the machine; ``fs.configure -locationPrefix=/buckets/ -fsync -apply`` in its shell makes it
sync the bytes (not the names, which are in the database of the filer).
"""

import hashlib
import itertools
import os
import random
import threading
import time
from collections import Counter
from datetime import timedelta

import pytest

from artifact_store import ArtifactStore, errors
from tests import invariants
from tests.servers import SeaweedServer

pytestmark = pytest.mark.xdist_group("server kills")

SMALL, LARGE = "gru/BTCEUR", "gbm/ETHEUR"
PARTS = 11 << 20
"""Bytes of a file that goes up in two or three parts."""
ENGINES = ("obstore", "fsspec")


class Load:
    """Clients that write, until they are told to stop; ``saved``, ``moved`` and ``probes`` hold what was acknowledged."""

    def __init__(self, server, prefix, directory):
        self.server, self.prefix, self.directory = server, prefix, directory
        self.saved, self.moved, self.probes = {}, {}, {}
        self.ends = Counter()
        self.failures = []
        self._over = threading.Event()
        work = [(self._save, "obstore"), (self._save, "fsspec"), (self._promote, "obstore"), (self._probe, None)]
        work += [(self._upload, engine) for engine in ENGINES]
        self._threads = [threading.Thread(target=self._run, args=one) for one in work]

    def __enter__(self):
        self.open("obstore").save({"n": 0}, SMALL, run_id="20240101_000000")  # makes the store
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def open(self, engine, **changes):
        place = {
            "url": self.server.url(self.prefix),
            "engine": engine,
            "storage_options": self.server.storage_options(),
        }
        return ArtifactStore(**{"timeout": 20.0, **place, **changes})

    def _run(self, work, engine):
        name = work.__name__.strip("_")
        try:
            with self.server.client() if engine is None else self.open(engine) as client:
                for number in itertools.takewhile(lambda _: not self._over.wait(0.02), itertools.count()):
                    try:
                        work(client, f"{engine}{number}")
                        self.ends[name] += 1
                    except (errors.Unavailable, errors.OutcomeUnknown) as error:
                        self.ends[f"{name}: {type(error).__name__}"] += 1
        except BaseException as error:
            self.failures.append(error)
            raise

    def _save(self, store, name):
        run = store.save({"name": name}, SMALL, components={"more": name.encode() * 100})
        self._acknowledged(run, {"model": {"name": name}, "more": name.encode() * 100})

    def _upload(self, store, name):
        path = self.directory / f"{name}.bin"
        block = random.Random(name).randbytes(1 << 20)
        path.write_bytes(block * (PARTS >> 20))
        try:
            with store.new_run(LARGE, alias=f"from-{store._context.backend.engine}") as draft:
                draft.add("model", {"name": name})
                draft.add_file("weights.bin", path)
                run = draft.commit()
            self._acknowledged(run, {"model": {"name": name}})
        finally:
            path.unlink()

    def _acknowledged(self, run, parts):
        pointer = run.published.pointer
        self.saved[str(run.ref)] = (run.manifest, parts)
        self.moved[pointer.write_id] = (str(run.key), pointer.alias, pointer.seq, pointer.run_id)

    def _promote(self, store, name):
        pointer = store.promote(f"{SMALL}:20240101_000000", "production", reason=name)
        self.moved[pointer.write_id] = (SMALL, "production", pointer.seq, pointer.run_id)

    def _probe(self, client, name):
        from botocore.exceptions import BotoCoreError, ClientError

        key, body = f"{self.prefix}-probes/{name}", os.urandom(5000)
        try:
            client.put_object(Bucket=self.server.bucket, Key=key, Body=body)
        except (BotoCoreError, ClientError) as error:
            raise errors.Unreachable(str(error)) from error
        self.probes[key] = hashlib.sha256(body).hexdigest()

    # ---- afterwards

    def lost_probes(self):
        """What the server acknowledged to plain requests and does not have."""
        lost = []
        with self.server.client() as client:
            for key, digest in self.probes.items():
                try:
                    body = client.get_object(Bucket=self.server.bucket, Key=key)["Body"].read()
                except client.exceptions.NoSuchKey:
                    body = None
                if body is None or hashlib.sha256(body).hexdigest() != digest:
                    lost.append(key)
        return lost

    def check(self):
        """Everything that was acknowledged is there, as it was, and everything that is there is whole."""
        store = self.open("obstore")
        for ref, (manifest, parts) in self.saved.items():
            run = store.get(ref)
            assert run.manifest == manifest
            assert {name: run.load(name) for name in parts} == parts
        aliases = {(key, alias) for key, alias, _, _ in self.moved.values()}
        there = {
            entry.write_id: (key, alias, entry.seq, entry.run_id)
            for key, alias in aliases
            for entry in store.history(f"{key}@{alias}")
        }
        assert {write_id: there.get(write_id) for write_id in self.moved} == self.moved
        invariants.check(store, SMALL, ("latest", "production"))  # which hashes every file of every run
        invariants.check(store, LARGE, ("from-obstore", "from-fsspec"))


def kill_under_load(tmp_path, kills, dice):
    with SeaweedServer() as server:
        with Load(server, "store", tmp_path) as load:
            for _ in range(kills):
                time.sleep(dice.uniform(0.3, 1.5))
                server.kill()
                time.sleep(dice.uniform(0.0, 0.3))
                server.restart()
            time.sleep(0.5)
        assert load.failures == []
        leave_an_upload_open(server, load.prefix)
        server.restart()
        assert load.lost_probes() == []
        load.check()
        print(dict(load.ends), f"{len(load.saved)} runs, {len(load.moved)} publishes, {len(load.probes)} probes")
        clear(load)
        load.check()


def leave_an_upload_open(server, prefix):
    """Begin an upload in parts as a client does that dies in the middle."""
    with server.client() as client:
        place = {"Bucket": server.bucket, "Key": f"{prefix}/{LARGE}/20240101_000000/weights.bin"}
        upload = client.create_multipart_upload(**place)["UploadId"]
        client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x" * (5 << 20))


def clear(load):
    """``gc`` lists what was begun and never ended, and clears it away, and then there is nothing left to clear."""
    store = load.open("obstore")
    open_before = {(upload.key, upload.upload) for upload in store._context.backend.unfinished()}
    plan = store.gc(grace=timedelta(0))
    aborted = {(step.upload.key, step.upload.upload) for step in plan.changes if step.action == "abort"}
    assert aborted == open_before
    assert open_before
    print(f"open uploads: {len(open_before)}; the plan: {dict(Counter(step.action for step in plan.steps))}")
    assert plan.apply().ok
    assert list(store._context.backend.unfinished()) == []
    with load.server.client() as client:
        assert "Uploads" not in client.list_multipart_uploads(Bucket=load.server.bucket)
    store.gc(grace=timedelta(0)).apply()
    assert store.gc(grace=timedelta(0)).changes == ()


@pytest.mark.timeout(300)
def test_what_a_killed_server_had_acknowledged_is_there_and_open_uploads_are_cleared(tmp_path):
    kill_under_load(tmp_path, 2, random.Random(1))


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_what_a_server_killed_fifty_times_had_acknowledged_is_there_and_open_uploads_are_cleared(tmp_path):
    kill_under_load(tmp_path, 50, random.Random(2))
