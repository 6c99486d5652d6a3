"""Files that are stored as frames of zstd: what comes back is what was saved, on every backend and by every way out."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import numpy as np
import pytest

from artifact_store import ArtifactStore, Cache, LoadPolicy, Progress, errors
from artifact_store.core import keys
from artifact_store.core.names import RunId
from artifact_store.storage import zstd
from artifact_store.storage.base import Always
from tests.keys import public, signer

pytestmark = pytest.mark.windows

KEY = "lightgbm/BTCEUR"
NOW = timedelta(0)
TEXT = "".join(f"leaf_value={n / 7:.17g}\n" for n in range(6000)).encode()
NOISE = np.random.default_rng(0).bytes(100_000)


@pytest.fixture
def packing(open_store):
    """The store of this test, with compression."""
    return open_store(compression="zstd")


def saved(store, tmp_path, **given):
    """Save a file of text as the model, and beside it what is not worth it."""
    (tmp_path / "model.txt").write_bytes(TEXT)
    others = {"noise": NOISE, "small": b"a" * 1000, "array": np.random.default_rng(1).random(10_000)}
    return store.save(tmp_path / "model.txt", KEY, components=others, **given)


def text_of(run):
    return next(entry for entry in run.manifest.files if entry.path == "model.txt")


def stored_key(run):
    return keys.data_file(run.key, RunId(run.run_id), text_of(run).key)


def backend(store):
    return store._context.backend


def stored(store, run):
    return b"".join(backend(store).stream(stored_key(run), size=text_of(run).stored_size))


def test_only_what_becomes_much_smaller_is_stored_as_a_frame(packing, tmp_path):
    run = saved(packing, tmp_path)
    packed = {entry.path: entry.zstd for entry in run.manifest.files if entry.zstd is not None}
    assert list(packed) == ["model.txt"]
    assert text_of(run).key == "model.txt.zst"
    assert packed["model.txt"] < 0.4 * len(TEXT)
    assert json.loads(run.manifest.to_bytes())["must_understand"] == ["zstd"]
    assert run.files["model.txt"].size == len(TEXT)
    assert run.files["model.txt"].sha256 == hashlib.sha256(TEXT).hexdigest()
    library = zstd.library()
    assert library.decompress(stored(packing, run)) == TEXT


def test_every_way_out_gives_the_plain_file_to_a_client_that_asked_for_nothing(packing, open_store, tmp_path):
    run = saved(packing, tmp_path)
    store = open_store()
    again = store.get(KEY)
    with again.open("model.txt") as opened:
        assert opened.read() == TEXT
    assert (again.download(tmp_path / "out") / "model.txt").read_bytes() == TEXT
    assert again.download(tmp_path / "out", exist_ok=True)
    assert again.path("model").read_bytes() == TEXT
    assert store.verify(KEY).ok
    assert [found.value for found in store.load_many([KEY, KEY], "noise")] == [NOISE, NOISE]
    assert store.doctor(deep=True).ok
    assert list(store.gc(grace=NOW)) == []
    assert next(iter(store.runs(KEY))).size == run.size


def test_a_save_that_is_repeated_is_the_same_run(packing, tmp_path):
    first = saved(packing, tmp_path, run_id="20240101_000000")
    assert saved(packing, tmp_path, run_id="20240101_000000").manifest.files == first.manifest.files
    with pytest.raises(errors.RunExists):
        packing.save(b"other" * 10_000, KEY, run_id="20240101_000000")


def test_what_another_attempt_left_at_the_name_of_the_frame_is_left_alone(packing, tmp_path):
    run_id = RunId("20240101_000000")
    where = keys.data_file(saved(packing, tmp_path, publish="never").key, run_id, "model.txt.zst")
    backend(packing).write(where, b"another", when=Always())
    run = saved(packing, tmp_path, run_id=run_id)
    assert text_of(run).key.startswith("model.txt.zst.")
    assert packing.get(KEY).path("model").read_bytes() == TEXT
    assert backend(packing).read(where, limit=9).data == b"another"
    packing.gc(grace=NOW).apply()
    assert packing.verify(KEY).ok


def test_a_name_that_is_taken_or_too_long_is_not_given(packing, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "a.txt.zst", f"{'b' * 96}.txt", "c.NPY"):
        (tmp_path / "in" / name).write_bytes(TEXT)
    run = packing.save(tmp_path / "in", KEY)
    packed = [entry.path for entry in run.manifest.files if entry.zstd is not None]
    assert packed == ["model.dir/a.txt.zst", f"model.dir/{'b' * 96}.txt"]
    with packing.get(KEY).open("model.dir/a.txt") as plain, packing.get(KEY).open("model.dir/a.txt.zst") as packed_too:
        assert plain.read() == packed_too.read() == TEXT


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda frame: frame[:-9], errors.Corrupt),
        (lambda frame: frame + b"more", errors.Corrupt),
        (lambda frame: frame + frame, errors.Corrupt),
        (lambda frame: b"text" * (len(frame) // 4) + frame[: len(frame) % 4], errors.Corrupt),
        (lambda frame: b"".join(zstd.packed([TEXT[:-1]])), errors.Corrupt),
        (lambda frame: b"".join(zstd.packed([TEXT + b"more"])), errors.Corrupt),
        (lambda frame: b"".join(zstd.packed([TEXT[:-2] + b"x\n"])), errors.Corrupt),
    ],
    ids=["cut", "longer", "twice", "no frame", "less in it", "more in it", "something else in it"],
)
def test_a_frame_that_is_not_the_one_that_was_stored_is_refused_everywhere(packing, tmp_path, damage, error):
    run = saved(packing, tmp_path)
    backend(packing).write(stored_key(run), damage(stored(packing, run)), when=Always())
    for call in (
        lambda: run.open("model.txt"),
        lambda: run.download(tmp_path / "out"),
        lambda: packing.load(KEY),
        lambda: run.path("model"),
        lambda: packing.export(KEY, tmp_path / "out.zip"),
    ):
        with pytest.raises(error):
            call()
    assert not packing.verify(KEY).ok
    assert not packing.doctor(deep=True).ok
    assert not (tmp_path / "out.zip").exists()
    report = packing.copy(KEY, ArtifactStore(tmp_path / "other"))
    assert not report.ok
    assert ArtifactStore(tmp_path / "other").models() == []


@pytest.mark.parametrize("same_length", [True, False])
def test_a_frame_of_the_right_length_and_other_content_is_refused_by_its_digest(packing, tmp_path, same_length):
    run = saved(packing, tmp_path)
    frame = bytearray(stored(packing, run))
    frame[len(frame) // 2] ^= 1
    backend(packing).write(stored_key(run), bytes(frame), when=Always())
    with pytest.raises(errors.Corrupt):
        packing.load(KEY)


def test_a_run_moves_with_its_frames_as_they_are(packing, open_store, tmp_path):
    run = saved(packing, tmp_path)
    other = ArtifactStore(tmp_path / "other")
    assert packing.copy(KEY, other).ok
    assert other.get(KEY).manifest.to_bytes() == run.manifest.to_bytes()
    assert stored(other, run) == stored(packing, run)
    assert other.verify().ok
    assert other.copy(KEY, open_store()).counts["already there"] >= 1
    packing.export(KEY, tmp_path / "a.zip")
    other.export(KEY, tmp_path / "b.zip")
    (tmp_path / "third").mkdir()
    with ArtifactStore(tmp_path / "a.zip") as exported:
        assert exported.get(KEY).path("model").read_bytes() == TEXT
        assert exported.verify().ok
    third = ArtifactStore(tmp_path / "third")
    assert third.import_from(tmp_path / "a.zip").ok
    assert stored(third, run) == stored(packing, run)


def test_a_copy_that_was_cut_short_uses_the_frame_that_is_there(packing, tmp_path):
    run = saved(packing, tmp_path)
    other = ArtifactStore(tmp_path / "other")
    other.save({}, "gru/X")
    backend(other).write(stored_key(run), stored(packing, run), when=Always())
    assert packing.copy(KEY, other).ok
    assert other.get(KEY).path("model").read_bytes() == TEXT


def test_the_cache_keeps_plain_files_and_serves_them_offline(packing, open_store, tmp_path):
    if backend(packing).is_near:
        pytest.skip("a store of this machine is read where it is, and uses no cache")
    run = saved(packing, tmp_path)
    cached = open_store(cache=tmp_path / "cache")
    assert cached.get(KEY).download(tmp_path / "one")
    held = [entry for entry in Cache(tmp_path / "cache").entries() if entry.kind == "file"]
    assert text_of(run).sha256 in {entry.sha256 for entry in held}
    backend(packing).delete(stored_key(run))
    offline = open_store(cache=tmp_path / "cache", offline=True)
    with pytest.warns(UserWarning, match="offline|seen"):
        assert (offline.get(KEY).download(tmp_path / "two") / "model.txt").read_bytes() == TEXT


def test_a_signature_covers_the_plain_files(open_store, tmp_path):
    store = open_store(compression="zstd", signer=signer())
    run = saved(store, tmp_path)
    strict = open_store(policy=LoadPolicy(trusted_keys=[public()], require_signature=True))
    assert (strict.get(KEY).download(tmp_path / "out") / "model.txt").read_bytes() == TEXT
    assert strict.verify(KEY).ok
    assert run.manifest.file("model.txt").zstd is not None


def test_progress_counts_the_bytes_of_the_plain_file(open_store, tmp_path):
    seen: list[Progress] = []
    saved(open_store(compression="zstd", progress=seen.append), tmp_path)
    last = {each.path: (each.done, each.total) for each in seen}
    assert last["model.txt"] == (len(TEXT), len(TEXT))


def test_doctor_tells_of_a_frame_that_is_missing_or_has_another_size(packing, tmp_path):
    run = saved(packing, tmp_path)
    frame = stored(packing, run)
    backend(packing).write(stored_key(run), frame + b"x", when=Always())
    assert {"file-size"} <= {finding.code for finding in packing.doctor().findings}
    backend(packing).delete(stored_key(run))
    assert {"file-missing"} <= {finding.code for finding in packing.doctor().findings}


def test_what_is_asked_for_and_does_not_exist_is_refused(place):
    with pytest.raises(errors.InvalidOption, match="compression is 'zstd' or None, not 'gzip'"):
        ArtifactStore(**{**place, "compression": "gzip"})
