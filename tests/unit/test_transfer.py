"""Files go up under the right key and come down as they were, or not at all."""

import errno
import io
import os
import queue
import threading
import time
from pathlib import Path

import pytest

from artifact_store.core import keys
from artifact_store.core.files import Digest, Outgoing, Progress
from artifact_store.core.names import ModelKey, RunId
from artifact_store.errors import (
    ConditionsUnsupported,
    Conflict,
    DigestMismatch,
    InvalidInput,
    ObjectNotFound,
    PreconditionFailed,
    Unreachable,
)
from artifact_store.storage.base import Always, IfAbsent
from artifact_store.storage.budget import HELD, LARGE, LARGE_AT_ONCE, MOST_AT_ONCE, SMALL_AT_ONCE
from artifact_store.storage.exact_size import exactly
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.stored_files import Incoming, check_digest
from artifact_store.storage.transfer import (
    PIECE,
    Cancelled,
    Destination,
    copy_verified,
    download,
    open_private,
    until,
    upload,
)
from artifact_store.storage.workers import Workers

pytestmark = pytest.mark.windows

KEY, RUN = ModelKey("gru"), RunId("20240101_000000")
RETRY = RetryPolicy(seconds=5, sleep=lambda _: None)


class Small(MemoryBackend):
    """Creates objects conditionally up to ten bytes only, as obstore does up to a limit."""

    create_limit = 10


class InParts(MemoryBackend):
    """Creates files above ten bytes in another way, as s3fs does above 8 MiB, and ``honours`` that condition or not."""

    parts_above = 10

    def __init__(self, *, honours):
        super().__init__()
        self.honours = honours
        self.asked = []

    def put_file(self, key, chunks, *, size, when):
        self.asked.append((key.rpartition("/")[2], when))
        if isinstance(self.honours, Exception) and when != Always():
            raise self.honours
        above = size > self.parts_above and not self.honours
        super().put_file(key, chunks, size=size, when=Always() if above else when)


REFUSED = ConditionsUnsupported("501")


def sent(backend, path, *, own=False):
    to = Destination(KEY, RUN, "0" * 8, own)
    return upload(backend, [Outgoing("a.bin", path)], to, workers=Workers(), retry=RETRY)[0]


def stored(backend, entry):
    return b"".join(backend.stream(keys.data_file(KEY, RUN, entry.key), size=entry.size))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(b"x" * 100)
    return path


def test_a_large_file_goes_to_a_name_that_nobody_else_uses(source):
    assert sent(Small(), source).key == "a.bin.00000000"
    assert sent(Small(), source, own=True).key == "a.bin"
    assert sent(MemoryBackend(), source).key == "a.bin"
    for honours in (True, False):
        assert sent(InParts(honours=honours), source).key == "a.bin.00000000"
        assert sent(InParts(honours=honours), source, own=True).key == "a.bin"


def test_a_condition_on_parts_is_sent_although_nothing_relies_on_it(source):
    backend = InParts(honours=True)
    sent(backend, source)
    assert backend.asked == [("a.bin.00000000", IfAbsent())]


@pytest.mark.parametrize("own", [True, False])
def test_a_condition_on_parts_that_is_refused_is_left_out(source, own):
    backend = InParts(honours=REFUSED)
    entry = sent(backend, source, own=own)
    assert entry.key == ("a.bin" if own else "a.bin.00000000")
    assert [when for _, when in backend.asked] == [IfAbsent(), Always()]
    assert stored(backend, entry) == b"x" * 100


@pytest.mark.parametrize("own", [True, False])
def test_any_other_condition_that_is_refused_is_an_error(source, own):
    source.write_bytes(b"x" * InParts.parts_above)
    backend = InParts(honours=REFUSED)
    with pytest.raises(ConditionsUnsupported):
        sent(backend, source, own=own)
    assert [when for _, when in backend.asked] == [IfAbsent()]
    assert list(backend.list("")) == []


@pytest.mark.parametrize(
    ("create", "parts", "limit"), [(None, None, None), (7, None, 7), (None, 8, 8), (7, 8, 7), (9, 8, 8)]
)
def test_the_smaller_of_two_limits_counts(source, create, parts, limit):
    backend = MemoryBackend()
    backend.create_limit, backend.parts_above = create, parts
    assert backend.exclusive_limit == limit
    for size in (limit or 7, (limit or 7) + 1):
        source.write_bytes(b"x" * size)
        assert (sent(backend, source).key == "a.bin") is (limit is None or size <= limit)
        backend.delete(keys.data_file(KEY, RUN, "a.bin"))
        backend.delete(keys.data_file(KEY, RUN, "a.bin.00000000"))


def test_a_large_file_is_sent_again_over_a_part_of_itself(source):
    class Cut(Small):
        cut = False

        def put_file(self, key, chunks, *, size, when):
            if not self.cut:
                self.cut = True
                self.write(key, b"half", when=when)
                raise Unreachable("cut")
            super().put_file(key, chunks, size=size, when=when)

    backend = Cut()
    assert stored(backend, sent(backend, source, own=True)) == b"x" * 100


def test_equal_bytes_under_the_name_are_used_and_others_are_left_alone(source):
    backend, key = MemoryBackend(), keys.data_file(KEY, RUN, "a.bin")
    backend.write(key, b"x" * 100, when=IfAbsent())
    assert sent(backend, source).key == "a.bin"
    backend.write(key, b"y" * 100, when=Always())
    entry = sent(backend, source)
    assert entry.key == "a.bin.00000000"
    assert stored(backend, entry) == b"x" * 100
    assert backend.read(key, limit=1000).data == b"y" * 100


def test_a_file_that_changes_while_it_is_saved_is_noticed(source):
    class Changing(MemoryBackend):
        def put_file(self, key, chunks, *, size, when):
            if key.endswith("a.bin"):
                raise PreconditionFailed(key)
            source.write_bytes(b"z" * 100)
            super().put_file(key, chunks, size=size, when=when)

    backend = Changing()
    backend.write(keys.data_file(KEY, RUN, "a.bin"), b"other", when=Always())
    with pytest.raises(Conflict, match="was changed"):
        sent(backend, source)


def test_a_source_that_cannot_be_read_is_named(tmp_path, source):
    class Vanishing(MemoryBackend):
        def put_file(self, key, chunks, *, size, when):
            source.unlink()
            super().put_file(key, chunks, size=size, when=when)

    with pytest.raises(InvalidInput, match="source cannot be read"):
        sent(Vanishing(), source)


class Watched(type(Path())):
    """A path that keeps what was opened through it."""

    def open(self, *arguments, **options):
        self.opened = super().open(*arguments, **options)
        return self.opened


def test_a_source_is_closed_when_the_upload_fails(source):
    class Refusing(MemoryBackend):
        def put_file(self, key, chunks, *, size, when):
            self.left = iter(chunks)
            next(self.left)
            raise PermissionError("no")

    backend, watched = Refusing(), Watched(source)
    with pytest.raises(PermissionError) as caught:  # which keeps all frames
        sent(backend, watched)
    assert watched.opened.closed
    with pytest.raises(Cancelled):  # not the end: what a thread still reads must not look whole
        next(backend.left)
    del caught


def test_a_source_that_a_thread_left_behind_is_reading_is_closed_by_it(source):
    reading, go_on = threading.Event(), threading.Event()
    ends = queue.SimpleQueue()

    class Slow(Watched):
        def open(self, *arguments, **options):
            file = super().open(*arguments, **options)
            self.opened = SlowFile(file)
            return self.opened

    class SlowFile:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def read(self, size):
            reading.set()
            assert go_on.wait(10)
            return self.file.read(size)

    class Leaving(MemoryBackend):
        def put_file(self, key, chunks, *, size, when):
            def read():
                try:
                    ends.put(list(chunks))
                except Cancelled as error:
                    ends.put(error)

            threading.Thread(target=read, daemon=True).start()
            assert reading.wait(10)
            raise PermissionError("no")

    slow = Slow(source)
    with pytest.raises(PermissionError):
        sent(Leaving(), slow)
    assert not slow.opened.file.closed
    go_on.set()
    assert isinstance(ends.get(timeout=10), Cancelled)
    assert slow.opened.file.closed


def test_a_download_that_cannot_be_written_reads_no_more():
    class Endless(MemoryBackend):
        def stream(self, key, *, size):
            try:
                while True:
                    yield b"x"
            finally:
                self.closed = True

    class Full(io.BytesIO):
        def writelines(self, lines):
            next(iter(lines))
            raise OSError(errno.ENOSPC, "full")

    backend = Endless()
    with pytest.raises(OSError, match="full") as caught:  # which keeps all frames
        copy_verified(backend, Incoming("gru/x", "x", Digest(3, "0" * 64)), Full())
    assert backend.closed
    del caught


def fetched(backend, tmp_path, digest, key="gru/x"):
    files = [Incoming(key, "x", digest)]
    download(backend, files, tmp_path, workers=Workers(), retry=RETRY)


@pytest.mark.parametrize("digest", [Digest(3, "0" * 64), Digest(2, hash_pieces([b"ba"]).sha256), Digest(4, "0" * 64)])
def test_a_download_that_is_not_what_was_asked_for_leaves_no_file(tmp_path, digest):
    backend = MemoryBackend()
    backend.write("gru/x", b"bad", when=Always())
    with pytest.raises(DigestMismatch):
        fetched(backend, tmp_path, digest)
    with pytest.raises(ObjectNotFound):
        fetched(backend, tmp_path, digest, key="gru/y")
    assert list(tmp_path.iterdir()) == []


def test_the_first_failure_stops_the_others(tmp_path):
    class Broken(MemoryBackend):
        def put_file(self, key, chunks, *, size, when):
            for piece in chunks:
                assert piece
            if key.endswith("bad.bin"):
                raise PermissionError("no")
            raise Unreachable("again")

    files = []
    for name in ("bad.bin", *(f"{number}.bin" for number in range(30))):
        (tmp_path / name).write_bytes(b"x" * 1000)
        files.append(Outgoing(name, tmp_path / name))
    workers = Workers()
    with pytest.raises(PermissionError):
        upload(
            Broken(),
            files,
            Destination(KEY, RUN, "0" * 8, own_id=True),
            workers=workers,
            retry=RetryPolicy(seconds=30),
        )
    workers.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_private_file_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        open_private(tmp_path / "f").close()
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_few_threads_do_all_the_work_and_end_with_it():
    workers = Workers()
    seen = {workers.submit(threading.current_thread).result() for _ in range(3 * MOST_AT_ONCE)}
    assert len(seen) <= MOST_AT_ONCE
    workers.close()
    assert not any(thread.is_alive() for thread in seen)
    workers.close()
    assert workers.submit(lambda: 7).result() == 7
    workers.close()


def test_who_waits_to_try_again_hears_that_it_is_over():
    pauses, stop = [], threading.Event()
    retry = until(stop, RetryPolicy(seconds=5, sleep=pauses.append))
    retry.sleep(1)
    stop.set()
    with pytest.raises(Cancelled):
        retry.sleep(2)
    assert pauses == [1, 2]


def test_a_damaged_file_is_named_with_what_it_should_be():
    file = Incoming("gru/x", "x", Digest(3, "0" * 64))
    with pytest.raises(DigestMismatch) as caught:
        check_digest(file, Digest(3, "1" * 64))
    assert (caught.value.key, caught.value.expected, caught.value.actual) == ("gru/x", "0" * 64, "1" * 64)
    with pytest.raises(DigestMismatch) as caught:
        list(exactly([b"four"], size=3, key="gru/x"))
    assert (caught.value.key, caught.value.expected, caught.value.actual) == ("gru/x", "3", "4")


def most_at_once(sizes, *, calls=1):
    """Return how many items of these sizes are under way together at most, and how many bytes of them."""
    running, peak, lock = [], [0, 0], threading.Lock()

    def one(size, stop):
        with lock:
            running.append(size)
            peak[:] = max(peak[0], len(running)), max(peak[1], sum(running))
        time.sleep(0.02)
        with lock:
            running.remove(size)

    workers = Workers()
    begun = [
        threading.Thread(target=workers.every, args=(one, sizes), kwargs={"size": lambda size: size})
        for _ in range(calls)
    ]
    for thread in begun:
        thread.start()
    for thread in begun:
        thread.join()
    workers.close()
    return tuple(peak)


@pytest.mark.parametrize("calls", [1, 3])
def test_as_many_files_are_on_their_way_at_once_as_there_is_room_for_whoever_asks(calls):
    assert most_at_once([0] * 100, calls=calls)[0] == SMALL_AT_ONCE
    assert most_at_once([LARGE + 1] * 6, calls=calls)[0] == LARGE_AT_ONCE
    count, held = most_at_once([LARGE] * 20, calls=calls)
    assert (count, held) == (HELD // LARGE, HELD)
    assert most_at_once([1 << 40], calls=calls)[0] == min(calls, LARGE_AT_ONCE)


def test_the_first_failure_lets_no_other_file_begin():
    begun, workers = [], Workers()

    def one(item, stop):
        begun.append(item)
        if item == 3:
            raise ValueError(item)
        stop.wait(10)

    with pytest.raises(ValueError, match="3"):
        workers.every(one, range(1000), size=lambda _: 0)
    assert len(begun) <= SMALL_AT_ONCE + 1
    assert workers.every(lambda item, _: item, range(40), size=lambda _: LARGE) == list(range(40))  # all room is back
    workers.close()


def test_progress_is_told_in_bytes_of_the_file(tmp_path):
    path, told, backend = tmp_path / "source", [], MemoryBackend()
    size = (2 << 20) + 5
    path.write_bytes(b"x" * size)
    to = Destination(KEY, RUN, "0" * 8, True)
    options = {"workers": Workers(), "retry": RETRY, "report": told.append}
    (entry,) = upload(backend, [Outgoing("a.bin", path)], to, **options)
    assert Progress("up", "a.bin", PIECE, size) in told
    assert told[-1] == Progress("up", "a.bin", size, size)
    told.clear()
    file = Incoming(keys.data_file(KEY, RUN, entry.key), "a.bin", hash_pieces([path.read_bytes()]))
    download(backend, [file], tmp_path / "out", **options)
    assert told[-1] == Progress("down", "a.bin", size, size)
    assert all(one.path == "a.bin" and one.total == size for one in told)
    assert [one.done for one in told] == sorted({one.done for one in told})


class Counted(type(Path())):
    """A path that counts how often it was opened."""

    opens = 0

    def open(self, *arguments, **options):
        self.opens += 1
        return super().open(*arguments, **options)


@pytest.fixture(params=["hard links", "no hard links"])
def local(request, tmp_path, monkeypatch):
    """A local store, on a disk with hard links or without them."""

    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", refuse)
    backend = LocalBackend(tmp_path / "store")
    backend.staging_place.mkdir(parents=True)
    return backend


def staged(backend, told, *, own=True):
    path = Counted(backend.staging_place / "source")
    path.write_bytes(b"x" * (3 * PIECE + 5))
    path.opens = 0
    files = [Outgoing("a.bin", path, staged=True)]
    to = Destination(KEY, RUN, "0" * 8, own)
    (entry,) = upload(backend, files, to, workers=Workers(), retry=RETRY, report=told.append)
    assert b"".join(backend.stream(keys.data_file(KEY, RUN, entry.key), size=entry.size)) == path.read_bytes()
    assert Digest(entry.size, entry.sha256) == hash_pieces([path.read_bytes()])
    assert all((one.direction, one.path, one.total) == ("up", "a.bin", entry.size) for one in told)
    return entry, path


def test_a_staged_file_is_read_once_whether_it_is_linked_or_copied(local):
    told = []
    entry, path = staged(local, told)
    assert entry.key == "a.bin"
    assert path.opens - 2 == 1  # two are those of the comparisons
    assert [one.done for one in told] == [PIECE, 2 * PIECE, 3 * PIECE, entry.size]


def test_progress_never_goes_back_where_a_file_needs_another_name(local):
    local.write(keys.data_file(KEY, RUN, "a.bin"), b"y" * (3 * PIECE + 5), when=IfAbsent())
    told = []
    entry, _ = staged(local, told, own=False)
    assert entry.key == "a.bin.00000000"
    assert [one.done for one in told] == sorted({one.done for one in told})
    assert told[-1].done == entry.size


def test_progress_never_goes_back_where_a_file_is_sent_again(source):
    class Cut(MemoryBackend):
        tries = 0

        def put_file(self, key, chunks, *, size, when):
            self.tries += 1
            if self.tries == 1:
                list(chunks)
                raise Unreachable("cut")
            super().put_file(key, chunks, size=size, when=when)

    told, to = [], Destination(KEY, RUN, "0" * 8, own_id=True)
    size = source.write_bytes(b"x" * (2 * PIECE))
    upload(Cut(), [Outgoing("a.bin", source)], to, workers=Workers(), retry=RETRY, report=told.append)
    assert [one.done for one in told] == [PIECE, size]
