"""What one engine writes every other one reads, byte for byte, also after a plain copy of the whole store."""

import os
import shutil

import pytest

from artifact_store import ArtifactStore, FeatureSchema, errors
from artifact_store.core.keys import data_file
from artifact_store.storage.base import Always
from tests.stores import write_files

KEY = "gru/BTCEUR"


def stores_of(seaweed, prefix):
    options = seaweed.storage_options()
    return {
        name: ArtifactStore(seaweed.url(prefix), engine=name, storage_options=options) for name in ("obstore", "fsspec")
    }


def objects(store):
    backend = store._context.backend
    return {
        entry.key: b"".join(backend.stream(entry.key, size=entry.size))
        for entry in backend.list("")
        if not entry.key.startswith("_locks/")
    }


def fill(store, tmp_path):
    files = write_files(tmp_path / "in", {"small.txt": b"x", "empty.bin": b"", "large.bin": os.urandom(9_000_000)})
    with store.new_run(KEY) as draft:
        draft.add("model", {"weights": [1.5, 2]})
        draft.features = FeatureSchema(["a", "b"])
        for name, path in files.items():
            draft.add_file(f"files/{name}", path)
    store.promote(draft.run, "production")
    return draft.run


@pytest.mark.parametrize("writer", ["obstore", "fsspec"])
def test_each_s3_engine_reads_what_the_other_wrote(writer, seaweed, seaweed_prefix, tmp_path):
    stores = stores_of(seaweed, seaweed_prefix)
    run = fill(stores[writer], tmp_path)
    other = stores["fsspec" if writer == "obstore" else "obstore"]
    assert other.get(KEY) == run
    assert other.load(KEY) == {"weights": [1.5, 2]}
    assert other.verify().ok
    assert objects(other) == objects(stores[writer])
    assert other.save({"n": 2}, KEY).published.pointer.seq == 2
    assert stores[writer].rollback(KEY).seq == 3


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_a_store_may_be_copied_to_s3_and_back(engine, seaweed, seaweed_prefix, tmp_path):
    local = ArtifactStore(tmp_path / "store")
    run = fill(local, tmp_path)
    remote = stores_of(seaweed, seaweed_prefix)[engine]
    for key, data in objects(local).items():
        remote._context.backend.write(key, data, when=Always())
    assert remote.get(f"{KEY}@production") == run
    assert remote.verify().ok
    assert remote.save({"n": 2}, KEY).published
    back = tmp_path / "back"
    for key, data in objects(remote).items():
        (back / key).parent.mkdir(parents=True, exist_ok=True)
        (back / key).write_bytes(data)
    again = ArtifactStore(back)
    assert again.load(KEY) == {"n": 2}
    assert again.verify().ok
    assert [entry.seq for entry in again.history(KEY)] == [1, 2]


def test_a_folder_copied_with_the_tools_of_the_system_stays_a_store(tmp_path):
    run = fill(ArtifactStore(tmp_path / "store"), tmp_path)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    copy = ArtifactStore(tmp_path / "copy")
    assert copy.get(KEY) == run
    assert copy.verify().ok
    assert copy.save({"n": 2}, KEY).published


def test_every_flipped_bit_of_a_data_file_is_noticed_before_it_is_decoded(tmp_path):
    from artifact_store.codecs.documents import DocumentCodec
    from artifact_store.core.registry import CodecRegistry

    decoded = []

    class Spy(DocumentCodec):
        def decode(self, directory, stem, options, *, into=None):
            decoded.append(stem)
            return super().decode(directory, stem, options, into=into)

    registry = CodecRegistry()
    registry.register(Spy())
    store = ArtifactStore("memory://flips", registry=registry)
    run = store.save({"weights": [1, 2, 3]}, KEY)
    key, backend = data_file(run.key, run.run_id, "model.json"), store._context.backend
    data = backend.read(key, limit=1 << 20).data
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        backend.write(key, bytes(flipped), when=Always())
        with pytest.raises(errors.DigestMismatch):
            store.load(KEY)
    assert decoded == []
    backend.write(key, data, when=Always())
    assert store.load(KEY) == {"weights": [1, 2, 3]}
    assert decoded == ["model"]
