"""What is read comes whole, however often it has to be begun again, and what is gone is said to be gone."""

import threading
import time
from dataclasses import replace

import pytest

from artifact_store import ArtifactStore, CodecRegistry, Risk
from artifact_store.core.files import Progress
from artifact_store.errors import AccessDenied, Corrupt, InvalidOption, RunDeleted, Unreachable
from artifact_store.ops import read as fetch
from artifact_store.ops import signing
from artifact_store.storage.memory import MemoryBackend
from tests.unit.samples import retry

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
        opened._context = replace(opened._context, retry=retry())
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
        store._context.opened.models.add(KEY)  # so that nothing waits for the pointer before the upload
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

    name, version, types, extra = "where", 1, ("builtins.bytearray",), None

    def __init__(self, risk):
        self.risk = risk

    def encode(self, obj, directory, stem):
        (directory / f"{stem}.bin").write_bytes(obj)
        return {}

    def decode(self, directory, stem, options, *, into=None):
        return directory


@pytest.mark.parametrize("risk", Risk)
def test_what_is_pinned_or_could_do_harm_is_decoded_from_a_copy_that_nobody_can_change(tmp_path, risk):
    registry = CodecRegistry()
    registry.register(Where(risk))
    with ArtifactStore(tmp_path / "store", registry=registry) as store:
        with store.new_run(KEY) as draft:
            draft.add("model", bytearray(b"x"), codec="where")
        run = draft.run
        own = tmp_path / "store" / KEY / run.run_id
        assert (run.load(allow_code=True) == own) is (risk is Risk.DATA)
        assert run.load(sha256=run.manifest.digest) != own


def test_a_file_that_is_missing_is_named(store):
    run = store.save(b"x", KEY)
    (key,) = [entry.key for entry in store._context.backend.list("") if entry.key.endswith("model.bin")]
    store._context.backend.delete(key)
    with pytest.raises(Corrupt, match="is missing") as caught:
        run.open("model.bin")
    assert caught.value.key == key


def test_opening_a_file_tells_how_far_it_is(store):
    told = []
    run = store.save(b"0123456789", KEY)
    store._context.backend.broken.update(entry.key for entry in store._context.backend.list(""))
    context = replace(store._context, report=told.append)
    fetch.open_file(context, run.manifest, run.manifest.file("model.bin")).close()
    assert told == [Progress("down", "model.bin", 10, 10)]


def test_a_manifest_that_may_not_be_read_says_nothing_about_a_deletion():
    class Closed(MemoryBackend):
        closed = False

        def read(self, key, **options):
            if self.closed:
                raise AccessDenied("no")
            return super().read(key, **options)

    backend = Closed()
    with ArtifactStore(backend) as store:
        run = store.save({"n": 1}, KEY)
        backend.closed = True
        signing._check_not_deleted(store._context, run.manifest)
        backend.closed = False
        store.delete(store.save({"n": 2}, KEY, run_id="20200101_000000", publish="never")).apply()
        gone = run.manifest.model_copy(update={"run_id": "20200101_000000"})
        with pytest.raises(RunDeleted):
            signing._check_not_deleted(store._context, gone)
