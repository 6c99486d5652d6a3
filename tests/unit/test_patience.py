"""How long a body may take where others share its line, and what is announced before a save sends anything."""

import math

import pytest

from artifact_store.core.files import Outgoing
from artifact_store.core.names import ModelKey, RunId
from artifact_store.errors import DeadlineExceeded, InvalidOption
from artifact_store.storage.budget import LARGE, LARGE_AT_ONCE, SMALL_AT_ONCE
from artifact_store.storage.http import Attempt
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.obstore.client import Clients
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.options import StorageOptions, parse_url
from artifact_store.storage.parts import PARTS_AHEAD
from artifact_store.storage.patience import DOWN, LONGEST, UP, Line, Patience, Share, Silence, Watch
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.transfer import Destination, upload
from artifact_store.storage.workers import Workers

pytestmark = pytest.mark.windows

ATTEMPT = Attempt("read", "the/key", "s3://b")


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("artifact_store.storage.patience.monotonic", lambda: now[0])
    return now


def test_a_server_is_silent_once_it_leaves_two_small_requests_in_a_row_unanswered(clock):
    silence = Silence(ATTEMPT)
    silence.unanswered()
    silence.answered()
    silence.unanswered()
    clock[0] += 90
    with pytest.raises(DeadlineExceeded, match="has said nothing for 90 seconds"):
        silence.unanswered()


@pytest.mark.parametrize("others", [0, 1, 5])
def test_a_body_makes_its_part_of_the_rate(clock, others):
    patience = Patience(1.0, min_rate=1000)
    with Watch(patience, ATTEMPT, 2000) as watch, Share(DOWN, others), Share(UP, 50):
        clock[0] += 1 + 0.5 * (1 + others)
        watch.note(500)
        clock[0] += 0.1
        with pytest.raises(DeadlineExceeded) as caught:
            watch.note(0)
    assert ("bodies shared" in str(caught.value)) == bool(others)
    assert not DOWN.under_way
    assert not UP.under_way


def test_a_body_of_which_nothing_comes_is_late_however_many_there_are(clock):
    with Share(DOWN, 100), Watch(Patience(1.0), ATTEMPT, 2000) as watch:
        clock[0] += 1.1
        with pytest.raises(DeadlineExceeded):
            watch.note(0)


def test_bodies_that_have_shared_the_line_count_until_the_end_and_no_longer():
    line = Line()
    with Share(line) as first:
        with Share(line, 2) as second:
            assert (first.at_once, second.at_once) == (3, 3)
        assert first.at_once == 3
    with Share(line) as third:
        assert third.at_once == 1


def test_what_is_announced_counts_from_the_first_body():
    line = Line()
    with line.announce(8), Share(line) as first:
        assert first.at_once == 8
    with Share(line) as second:
        assert second.at_once == 1


def test_what_the_parent_has_under_way_does_not_count_in_a_child(monkeypatch):
    with Share(UP, 7), UP.announce(9):
        monkeypatch.setattr("artifact_store.storage.patience.this_process", lambda: (-1, 1))
        with Share(UP) as share:
            assert share.at_once == 1
        monkeypatch.undo()
    assert not UP.under_way


class Counting(MemoryBackend):
    """Notes how many bodies each file is told of when it is sent."""

    def __init__(self):
        super().__init__("announced")
        self.told = []

    def put_file(self, key, chunks, *, size, when):
        with Share(UP) as share:
            self.told.append(share.at_once)
            super().put_file(key, chunks, size=size, when=when)


@pytest.mark.parametrize(
    ("sizes", "at_once"),
    [
        ([1], 1),
        ([1] * 3, 3),
        ([1] * 40, SMALL_AT_ONCE),
        ([LARGE + 1], PARTS_AHEAD),
        ([1, *[LARGE + 1] * 3], 1 + LARGE_AT_ONCE * PARTS_AHEAD),
    ],
)
def test_a_save_announces_what_it_sends_at_once(tmp_path, sizes, at_once):
    files = []
    for number, size in enumerate(sizes):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes(size))
        files.append(Outgoing(path.name, path))
    backend, workers = Counting(), Workers()
    to = Destination(ModelKey("gru", "x"), RunId("20250101_000000"), "0" * 8, own_id=True)
    upload(backend, files, to, workers=workers, retry=RetryPolicy())
    workers.close()
    assert len(backend.told) >= len(sizes)
    assert set(backend.told) == {at_once}
    assert UP.announced == 0


@pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan, 1e300, LONGEST + 1, "5", None])
def test_a_timeout_is_a_number_of_seconds_that_ends(timeout):
    with pytest.raises(InvalidOption, match="timeout"):
        Patience(timeout)


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan, "5"])
def test_a_rate_is_a_finite_number_above_0(rate):
    with pytest.raises(InvalidOption, match="min_rate"):
        Patience(1.0, rate)


@pytest.mark.parametrize("patience", [Patience(LONGEST), Patience(1.0, min_rate=5e-324), Patience(1e-300, 1e300)])
def test_a_client_takes_the_longest_and_the_shortest_times(patience, monkeypatch):
    pytest.importorskip("obstore")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)  # that of this machine may be none for another system's TLS
    place, options = parse_url("s3://bucket/models"), StorageOptions({"key": "k", "secret": "s"})
    clients = Clients(place, cloud_config(place, options), patience=patience)
    for purpose in ("control", "download", "upload"):
        assert clients.get(purpose, 5 << 40) is not None
