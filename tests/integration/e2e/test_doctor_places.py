"""What doctor says of the place of a store: real buckets with versions and locks, folders with wrong permissions."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.doctor.report import Diagnosis, Finding
from artifact_store.storage.local import backend as local
from artifact_store.storage.obstore import substitute
from tests.integration.conformance.test_doctor import RULE
from tests.legacy_cases import old_tree
from tests.servers import Proxy, SeaweedServer
from tests.servers.faults import NoUploads

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a server on Linux, and permissions and links of POSIX")

KEY = "gru/BTCEUR"
EXPIRE = {
    "ID": "expire",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
}
Make = Callable[..., ArtifactStore]


def of(report: Diagnosis, code: str) -> Finding:
    (found,) = [found for found in report if found.code == code]
    return found


def states(report: Diagnosis) -> dict[str, str]:
    return {fact.name: fact.state for fact in report.facts}


# ---------------------------------------------------------------- buckets


@pytest.fixture
def bucket(seaweed: SeaweedServer) -> Iterator[str]:
    """A bucket of its own, without any rules."""
    name = f"b{uuid.uuid4().hex[:12]}"
    with seaweed.client() as client:
        client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def in_bucket(seaweed: SeaweedServer) -> Iterator[Make]:
    """Open stores through obstore, which lets s3fs ask what it cannot ask itself."""
    made: list[ArtifactStore] = []

    def make(bucket: str, **changes: Any) -> ArtifactStore:
        options = {"engine": "obstore", "storage_options": seaweed.storage_options(), "timeout": 20.0, **changes}
        store = ArtifactStore(f"s3://{bucket}/models", **options)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


def rules(server: SeaweedServer, bucket: str, *several: dict[str, Any]) -> None:
    with server.client() as client:
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(several)})


def test_a_bucket_without_the_rule_for_uploads_gets_the_command_that_makes_it(
    seaweed: SeaweedServer, bucket: str, in_bucket: Make
) -> None:
    store = in_bucket(bucket)
    store.save({"n": 1}, KEY)
    report = store.doctor()
    assert report.codes == ("lifecycle",)
    assert report.ok
    found = of(report, "lifecycle")
    assert found.severity == "warning"
    for rule in (
        RULE | {"Status": "Disabled"},
        RULE | {"Filter": {"Prefix": "other/"}},
        {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 999}},
    ):
        rules(seaweed, bucket, rule)
        again = store.doctor(probes=False)
        assert again.codes == ("lifecycle",)  # it does not cover the store
        remedy = of(again, "lifecycle").remedy
        assert remedy.startswith("add this rule")  # the command would replace the one that is there
        assert "aws s3api put" not in remedy
    _, _, document = found.remedy.partition("--lifecycle-configuration ")
    rules(seaweed, bucket, *json.loads(document.strip("'"))["Rules"])
    report = store.doctor()
    assert report.findings == (), str(report)
    assert states(report) | {"lifecycle": "fine", "versioning": "fine", "object-lock": "fine"} == states(report)


def test_a_server_that_lists_no_uploads_below_a_prefix_is_told_and_keeps_nothing_of_the_probe(
    proxy: Proxy, seaweed: SeaweedServer, bucket: str
) -> None:
    rules(seaweed, bucket, RULE)
    store = ArtifactStore(f"s3://{bucket}/models", storage_options=proxy.storage_options(), timeout=20.0)
    store.save({"n": 1}, KEY)
    assert states(store.doctor())["uploads"] == "fine"
    proxy.on(NoUploads(), method="GET", when=lambda request: "uploads" in request.query)
    report = store.doctor()
    assert report.codes == ("uploads",)
    assert of(report, "uploads").severity == "warning"
    assert "MINIO_API_STALE_UPLOADS_EXPIRY" in of(report, "uploads").remedy
    assert store.doctor(probes=False).findings == ()  # which writes nothing, and so cannot know
    with seaweed.client() as client:
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    store.close()


def test_a_bucket_that_keeps_versions_costs_until_they_expire(
    seaweed: SeaweedServer, bucket: str, in_bucket: Make
) -> None:
    with seaweed.client() as client:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rules(seaweed, bucket, RULE)
    store = in_bucket(bucket)
    run, _ = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    store.delete(run).apply()
    assert store.gc(grace=timedelta(0)).apply().ok
    report = store.doctor(deep=True)
    assert report.codes == ("versioning",)
    found = of(report, "versioning")
    assert (found.severity, "NoncurrentVersionExpiration" in found.remedy) == ("warning", True)
    assert found.remedy.startswith("add this rule")  # there is one already
    with seaweed.client() as client:
        kept = client.list_object_versions(Bucket=bucket, Prefix=f"models/{KEY}/{run.run_id}/")
    assert {version["Key"].rpartition("/")[2] for version in kept["Versions"]} >= {"model.json"}  # as it says
    rules(seaweed, bucket, RULE, EXPIRE)
    report = store.doctor()
    assert report.findings == ()
    assert states(report)["versioning"] == "fine"


def test_a_bucket_with_an_object_lock_keeps_what_is_removed(seaweed: SeaweedServer, in_bucket: Make) -> None:
    bucket = f"b{uuid.uuid4().hex[:12]}"
    with seaweed.client() as client:
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rules(seaweed, bucket, RULE, EXPIRE)
    store = in_bucket(bucket)
    store.save({"n": 1}, KEY)
    report = store.doctor()
    assert [(found.code, found.severity) for found in report] == [("object-lock", "note")]
    with seaweed.client() as client:
        client.put_object_lock_configuration(
            Bucket=bucket,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}},
            },
        )
    run = store.save({"n": 2}, KEY)
    report = store.doctor(deep=True)
    assert [(found.code, found.severity) for found in report] == [("object-lock", "warning")]
    assert "3 days (governance)" in of(report, "object-lock").message
    assert store.promote(run, "production").seq == 1  # as it says, a store works there
    assert store.load(f"{KEY}@production") == {"n": 2}


def test_a_reader_learns_what_it_may_not_ask_and_that_it_cannot_write(
    seaweed: SeaweedServer, bucket: str, in_bucket: Make
) -> None:
    rules(seaweed, bucket, RULE)
    run = in_bucket(bucket).save({"n": 1}, KEY)
    reader = in_bucket(bucket, storage_options=seaweed.reader.storage_options())
    report = reader.doctor(deep=True)
    assert report.ok
    assert {(found.code, found.severity) for found in report} >= {("cannot-write", "note"), ("object-lock", "unknown")}
    assert states(report)["object-lock"] == "unknown"
    assert states(report)["conditions"] == "unknown"
    assert states(report)["clock"] == "fine"  # by the date of an answer
    assert "cannot-write" not in reader.doctor(probes=False).codes
    assert report.counts.bytes_read == sum(file.size for file in run.files.values())


def test_without_s3fs_what_obstore_cannot_ask_is_unknown(
    seaweed: SeaweedServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArtifactStore(f"s3://{bucket}/m", engine="obstore", storage_options=seaweed.storage_options()) as store:
        store.save({"n": 1}, KEY)
        monkeypatch.setattr(substitute, "find_spec", lambda _: None)
        report = store.doctor()
    assert {(found.code, found.severity) for found in report} == {
        (code, "unknown") for code in ("lifecycle", "versioning", "object-lock", "uploads")
    }


# ---------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path: Any) -> Iterator[ArtifactStore]:
    with ArtifactStore(tmp_path / "store") as store:
        store.save({"n": 1}, KEY)
        assert store.doctor().findings == ()
        yield store


def test_what_every_user_could_read_is_made_private(folder: ArtifactStore, tmp_path: Any) -> None:
    root = tmp_path / "store"
    outside = tmp_path / "outside"
    outside.write_text("not ours", encoding="utf-8")
    outside.chmod(0o644)
    (root / "gru" / "link").symlink_to(outside)
    (root / "gru").chmod(0o755)
    (root / "_store.json").chmod(0o644)
    through = tmp_path / "through"
    through.symlink_to(root)
    with ArtifactStore(through) as linked:
        assert of(linked.doctor(), "permissions").remedy == f"chmod -R go-rwx {through}"
    found = of(folder.doctor(), "permissions")
    assert (found.severity, found.remedy) == ("warning", f"chmod -R go-rwx {root}")
    assert "_store.json, gru can be reached" in found.message
    assert [done.result for done in folder.doctor().repair().apply()] == ["fixed"]
    assert stat.S_IMODE((root / "gru").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "_store.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    assert {found.code for found in folder.doctor()} == {"foreign-object"}  # the link


def test_a_group_that_was_let_in_is_not_locked_out(folder: ArtifactStore, tmp_path: Any) -> None:
    (tmp_path / "store").chmod(0o750)
    report = folder.doctor()
    assert [(found.code, found.severity, found.repairable) for found in report] == [("permissions", "note", False)]
    assert report.repair().apply().done == ()
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o750


def test_a_folder_that_is_somebody_elses_is_reported_when_it_cannot_be_mended(
    folder: ArtifactStore, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store" / "gru").chmod(0o755)

    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    applied = folder.doctor().repair().apply()
    assert not applied.ok
    assert "only the owner can" in str(applied.problems[0].error)


def test_a_network_mount_is_told_and_repairs_are_not_tried(
    folder: ArtifactStore, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "network_reason", lambda root: "nfs4 is a network or shared file system")
    with ArtifactStore(tmp_path / "store") as store:
        report = store.doctor()
    assert [(found.code, found.severity) for found in report] == [("network-mount", "warning")]
    assert states(report)["conditions"] == "note"


def test_a_file_system_without_hard_links_is_a_note(folder: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    report = folder.doctor()
    assert [(found.code, found.severity) for found in report] == [("hard-links", "note")]
    assert states(report)["conditions"] == "fine"  # by the rename that replaces nothing
    assert list(folder._context.backend.unfinished()) == []


def test_what_lies_among_the_locks_and_is_none(folder: ArtifactStore, tmp_path: Any) -> None:
    locks = tmp_path / "store" / "_locks"
    for name in (".tmp-probe-0123456789abcdef", "notes.txt"):
        (locks / name).write_bytes(b"")
        (locks / name).chmod(0o600)
    assert folder.doctor().findings == ()  # perhaps somebody is at it
    long_ago = time.time() - 100_000
    for name in (".tmp-probe-0123456789abcdef", "notes.txt"):
        os.utime(locks / name, (long_ago, long_ago))
    report = folder.doctor()
    assert [(found.code, found.severity) for found in report] == [("orphan-lock", "note")] * 2
    assert [done.result for done in report.repair().apply()] == ["fixed"]
    assert sorted(path.name for path in locks.iterdir() if "lock" not in path.name) == ["notes.txt"]


def test_a_command_that_is_to_be_copied_holds_names_as_names(tmp_path: Any) -> None:
    root = tmp_path / "a store; touch stolen"
    with ArtifactStore(root) as store:
        store.save({"n": 1}, KEY)
        evil = root / "_locks" / "x; touch $HOME 'stolen'"
        evil.write_bytes(b"")
        evil.chmod(0o600)
        (root / "gru").chmod(0o755)
        long_ago = time.time() - 100_000
        os.utime(evil, (long_ago, long_ago))
        report = store.doctor()
    for code, words in (("orphan-lock", ["rm", str(evil)]), ("permissions", ["chmod", "-R", "go-rwx", str(root)])):
        assert shlex.split(of(report, code).remedy) == words


def test_a_lock_that_is_a_link_stops_writers_and_is_an_error(folder: ArtifactStore, tmp_path: Any) -> None:
    locks = tmp_path / "store" / "_locks"
    victim = next(path for path in locks.iterdir())
    victim.unlink()
    victim.symlink_to(tmp_path / "outside")
    found = of(folder.doctor(), "broken-lock")
    assert found.severity == "error"
    assert victim.name in found.message
    assert not (tmp_path / "outside").exists()


def test_a_pointer_that_is_a_link_or_a_folder_is_told_and_not_written_over(
    folder: ArtifactStore, tmp_path: Any
) -> None:
    pointer = tmp_path / "store" / KEY / "latest.json"
    kept = tmp_path / "kept.json"
    pointer.rename(kept)
    pointer.symlink_to(kept)
    report = folder.doctor()
    assert report.codes == ("pointer-corrupt",)
    assert report.repair(quarantine=True).changes == ()
    assert kept.read_bytes()


def test_an_old_tree_can_be_examined_and_nothing_is_written(tmp_path: Any) -> None:
    tree = old_tree(tmp_path)
    for other in set(tree.iterdir()) - {tree / "ppo"}:
        shutil.rmtree(other)
    with ArtifactStore.open_legacy(tree) as store:
        report = store.doctor()
        assert states(report)["conditions"] == "note"
        assert states(report)["store"] == "fine"
        assert report.counts.runs == len(list(store.runs())) > 0
        assert report.findings == (), str(report)


@pytest.mark.skipif(os.name == "nt", reason="symlinks need a privilege there")
def test_a_model_behind_a_symlink_is_told(tmp_path: Path) -> None:
    """It is listed nowhere, and neither read nor written."""
    store = ArtifactStore(tmp_path / "store")
    for key in ("gru/BTCEUR", "lstm/BTCEUR"):
        store.save({"n": 1}, key)
    assert [found.code for found in store.doctor().findings if found.code == "link-below"] == []
    (tmp_path / "store" / "gru").rename(tmp_path / "away")
    (tmp_path / "store" / "gru").symlink_to(tmp_path / "away")
    for work in (store.load, store.check_writable, lambda key: store.save({"n": 2}, key)):
        with pytest.raises(errors.Corrupt, match="is a symlink"):
            work("gru/BTCEUR")
    (told,) = [found for found in store.doctor().findings if found.code == "link-below"]
    assert told.severity == "warning"
    assert str(tmp_path / "store" / "gru") in told.message
    (tmp_path / "store" / "gru").unlink()
    (tmp_path / "away").rename(tmp_path / "store" / "gru")
    assert store.load("gru/BTCEUR") == {"n": 1}
    assert [found.code for found in store.doctor().findings if found.code == "link-below"] == []
