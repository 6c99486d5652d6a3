"""What is read comes whole, however often it has to be begun again, and what is gone is said to be gone."""

import threading
import time
from dataclasses import replace

import pytest

from artifact_store import ArtifactStore, CodecRegistry, Risk
from artifact_store.core.errors import AccessDenied, InvalidOption, RunDeleted, Unreachable
from artifact_store.ops import fetch
from artifact_store.storage.memory import MemoryBackend
from tests.unit.samples import patience

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"


class BreaksOff(MemoryBackend):
    """The first stream of every file ends in its middle, with an error."""

    def __init__(self):
        super().__init__()
        self.broken = set()

    def stream(self, key, *, size):
        chunks = super().stream(key, size=size)
        if key in self.broken:
            yield from chunks
            return
        self.broken.add(key)
        yield b"".join(chunks)[: size // 2]
        raise Unreachable("cut")


@pytest.fixture
def store():
    with ArtifactStore(BreaksOff()) as opened:
        opened._context = replace(opened._context, patience=patience())
        yield opened


def test_a_file_that_is_read_again_after_a_part_of_it_comes_whole(store):
    run = store.save(b"0123456789", KEY)
    with run.open("model.bin") as file:
        assert file.read() == b"0123456789"
    assert run.load() == b"0123456789"


def test_a_file_of_a_run_that_was_deleted_is_said_to_be_deleted(store):
    run = store.save(b"x", KEY, publish="never")
    store.delete(run).apply()
    for entry in store._context.backend.list(""):
        if entry.key.endswith("model.bin"):
            store._context.backend.delete(entry.key)
    with pytest.raises(RunDeleted):
        run.open("model.bin")


def test_a_folder_that_holds_something_is_left_alone(store, tmp_path):
    run = store.save(b"x", KEY)
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InvalidOption, match="name a new or an empty folder"):
        run.download(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_nothing_of_a_save_that_failed_runs_any_more():
    class Slow(MemoryBackend):
        """The pointer is read long after the file was refused."""

        def __init__(self):
            super().__init__()
            self.refused, self.reads = threading.Event(), []

        def read(self, key, **options):
            if key.endswith("latest.json"):
                assert self.refused.wait(20)
                time.sleep(0.05)
                self.reads.append(key)
            return super().read(key, **options)

        def put_file(self, key, chunks, *, size, when):
            self.refused.set()
            raise AccessDenied("no")

    backend = Slow()
    with ArtifactStore(backend) as store:
        store._known_keys.add(KEY)  # so that nothing waits for the pointer before the upload
        with pytest.raises(AccessDenied):
            store.save({"n": 1}, KEY)
        assert len(backend.reads) == 1


def test_only_plain_files_are_read_where_they_lie(tmp_path):
    with ArtifactStore(tmp_path / "store") as store:
        run = store.save(b"x", KEY)
        manifest, own = run.manifest, tmp_path / "store" / KEY / run.run_id
        (file,) = [manifest.file(path) for path in manifest.component("model").files]
        attempt = file.model_copy(update={"key": f"{file.path}.0123abcd"})
        below = file.model_copy(update={"path": "a/model.bin", "key": "a/model.bin"})
        assert fetch._in_place(store._context, manifest, [file]) == own
        for other in (attempt, below):
            assert fetch._in_place(store._context, manifest, [file, other]) is None


class Where:
    """A codec that tells where it was given its files."""

    name, version, risk, types, extra = "where", 1, Risk.DATA, ("builtins.bytearray",), None

    def encode(self, obj, directory, stem):
        (directory / f"{stem}.bin").write_bytes(obj)
        return {}

    def decode(self, directory, stem, options, *, into=None):
        return directory


def test_what_is_pinned_is_decoded_from_a_copy_that_nobody_can_change(tmp_path):
    registry = CodecRegistry()
    registry.register(Where())
    with ArtifactStore(tmp_path / "store", registry=registry) as store:
        run = store.save(bytearray(b"x"), KEY)
        own = tmp_path / "store" / KEY / run.run_id
        assert run.load() == own
        assert run.load(sha256=run.manifest.digest) != own
