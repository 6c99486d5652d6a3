"""Pieces that are hashed as they pass: here, or behind in another thread."""

import hashlib
import threading
import time

import pytest

from artifact_store.core.files import Digest
from artifact_store.storage import hashing
from artifact_store.storage.hashing import Hashed
from artifact_store.storage.threads import Cancelled

PIECES = [bytes([number % 251]) * (number * 997 % 300_000) for number in range(200)]


def hashed(pieces, **options):
    return Hashed(iter(pieces), options.pop("stop", threading.Event()), lambda _: None, **options)


def followers():
    return [thread for thread in threading.enumerate() if thread.name == "artifact-store-hash"]


@pytest.mark.parametrize("pieces", [[], [b""], [b"x"], PIECES], ids=["none", "empty", "one", "many"])
def test_behind_the_digest_is_the_same(pieces):
    behind = hashed(pieces, behind=True)
    assert list(behind) == pieces
    whole = b"".join(pieces)
    assert behind.digest == Digest(len(whole), hashlib.sha256(whole).hexdigest())
    assert behind.digest == behind.digest


def test_no_more_waits_to_be_hashed_than_there_is_room_for(monkeypatch):
    gate, seen = threading.Event(), []
    real = hashlib.sha256

    class Slow:
        def __init__(self):
            self._hash = real()

        def update(self, data):
            gate.wait(10)
            self._hash.update(data)

        def hexdigest(self):
            return self._hash.hexdigest()

    monkeypatch.setattr(hashing.hashlib, "sha256", Slow)
    behind = hashed([b"x" * (1 << 20)] * 40, behind=True)

    def read():
        seen.extend(behind)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.2)
    assert len(seen) <= 17
    gate.set()
    thread.join()
    assert behind.digest == Digest(40 << 20, real(b"x" * (40 << 20)).hexdigest())


def test_the_thread_ends_with_what_it_follows_whole_or_cut_short():
    stop = threading.Event()
    short = hashed(PIECES, stop=stop, behind=True)
    iterator = iter(short)
    next(iterator)
    stop.set()
    with pytest.raises(Cancelled):
        list(iterator)
    short.close()
    whole = hashed(PIECES, behind=True)
    for _ in whole:
        pass
    assert whole.digest.size == sum(map(len, PIECES))
    whole.close()
    end = time.monotonic() + 10
    while followers() and time.monotonic() < end:
        time.sleep(0.01)
    assert followers() == []


def test_without_a_thread_it_is_hashed_here(monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    here = hashed([b"abc"], behind=True)
    assert list(here) == [b"abc"]
    assert here.digest == Digest(3, hashlib.sha256(b"abc").hexdigest())
