"""A root becomes a store once, in an empty root only, and only where the storage keeps its word."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from artifact_store import ArtifactStore
from artifact_store.canonical import canonical, checksum
from artifact_store.core import keys
from artifact_store.core.store_record import MAX_STORE_RECORD, StoreRecord
from artifact_store.errors import (
    AccessDenied,
    ConditionsUnsupported,
    ContainerNotFound,
    Corrupt,
    InvalidOption,
    NotAStore,
    PreconditionFailed,
    Unreachable,
    Unsupported,
)
from artifact_store.ops.context import OpenedStore
from artifact_store.ops.opening import check_store, guarantees, open_for_writing
from artifact_store.storage.base import Always, Capabilities, IfAbsent, IfVersion
from artifact_store.storage.memory import MemoryBackend
from tests.unit.samples import context, records

MARKER = "_store.json"
NOW = datetime(2024, 8, 16, tzinfo=UTC)


def opened(backend, concurrency="safe"):
    return open_for_writing(records(backend), concurrency, now=lambda: NOW)


def everything(backend):
    return [entry.key for entry in backend.list("")]


class Dishonest(MemoryBackend):
    """Honours conditions as its subclass says."""

    def honours(self, when):
        raise NotImplementedError

    def write(self, key, data, *, when):
        return super().write(key, data, when=when if self.honours(when) else Always())


class HonoursTheFirstRefusalOnly(Dishonest):
    """Refuses to create a second time, and not a third time."""

    asked = 0

    def honours(self, when):
        self.asked += isinstance(when, IfAbsent)
        return self.asked % 3 != 0


class TakesAnyVersionThatWasOnceThere(Dishonest):
    """Knows the versions of an object, and forgets which is the last."""

    def __init__(self):
        super().__init__()
        self.known = []

    def write(self, key, data, *, when):
        version = super().write(key, data, when=when)
        self.known.append(version)
        return version

    def honours(self, when):
        return not (isinstance(when, IfVersion) and when.version in self.known)


class TakesAVersionThatNeverWas(Dishonest):
    """Compares versions only if it has seen them."""

    def honours(self, when):
        return not (isinstance(when, IfVersion) and when.version == '"none"')


class CreatesOverWhatIsThere(Dishonest):
    """Compares versions, and does not look whether there is an object."""

    def honours(self, when):
        return not isinstance(when, IfAbsent)


@pytest.mark.parametrize(
    ("dishonest", "broken"),
    [
        (CreatesOverWhatIsThere, "create_only"),
        (HonoursTheFirstRefusalOnly, "create_only"),
        (TakesAnyVersionThatWasOnceThere, "compare_and_swap"),
        (TakesAVersionThatNeverWas, "compare_and_swap"),
    ],
)
def test_a_storage_that_honours_a_condition_once_is_found_out_and_nothing_is_left_there(dishonest, broken):
    backend = dishonest()
    with pytest.raises(ConditionsUnsupported, match=rf"does not honour them \(.*{broken}"):
        opened(backend)
    assert everything(backend) == []


def test_a_storage_that_looked_broken_once_is_asked_again():
    class Stumbles(Dishonest):
        writes = 0

        def honours(self, when):
            self.writes += 1
            return self.writes > 3

    backend = Stumbles()
    assert opened(backend).probed == {"memory": {"create_only": True, "compare_and_swap": True}}
    assert everything(backend) == [MARKER]


def test_a_refusal_that_nothing_justifies_is_no_verdict():
    class RefusesTheSwap(MemoryBackend):
        def write(self, key, data, *, when):
            if data == b"3":
                raise PreconditionFailed(key)
            return super().write(key, data, when=when)

    backend = RefusesTheSwap()
    with pytest.raises(Unreachable, match="whose condition held"):
        opened(backend)
    assert everything(backend) == []


@pytest.mark.parametrize("able", [(True, False), (False, True), (False, False)])
def test_a_storage_that_cannot_do_both_conditions_is_not_written_safely(able):
    backend = MemoryBackend()
    backend.capabilities = Capabilities(*able, durable=False, reason="old server")
    with pytest.raises(ConditionsUnsupported, match="old server"):
        opened(backend)
    backend.capabilities = dataclasses.replace(backend.capabilities, reason="")
    with pytest.raises(ConditionsUnsupported, match="no conditional writes"):
        opened(backend)
    assert everything(backend) == []
    assert opened(backend, "single-writer").probed == {}


def test_a_store_that_exists_is_opened_with_one_read():
    backend = MemoryBackend()
    made = opened(backend)
    assert (made.created_at, made.concurrency) == (NOW, "safe")

    class ReadsOnly(MemoryBackend):
        def write(self, key, data, *, when):
            raise AssertionError(key)

    again = ReadsOnly()
    again._space = backend._space
    assert opened(again) == made
    assert not guarantees(context(again)).probed
    assert not guarantees(context(again, opened=OpenedStore(made), concurrency="single-writer")).probed
    known = guarantees(context(again, opened=OpenedStore(made)))
    assert known.probed
    assert (known.engine, known.url, known.concurrency, known.durable) == ("memory", "memory://", "safe", False)
    assert known.reason == "memory is lost when the process ends"
    assert known.large_files == "as-others"
    again.create_limit = 10
    assert guarantees(context(again)).large_files == "own-name"


def test_another_endpoint_is_probed_before_it_is_written_through():
    backend = MemoryBackend()
    opened(backend)
    dishonest = HonoursTheFirstRefusalOnly()
    dishonest._space, dishonest.endpoint = backend._space, "elsewhere"
    with pytest.raises(ConditionsUnsupported, match="elsewhere"):
        opened(dishonest)


def asked_by(engine, space, *, dishonest=True):
    backend = HonoursTheFirstRefusalOnly() if dishonest else MemoryBackend()
    backend._space, backend.engine = space, engine
    return backend


def test_another_engine_tries_for_itself_and_the_same_one_does_not():
    backend = MemoryBackend()
    made = opened(backend)
    assert made.probed_by == "memory"
    with pytest.raises(ConditionsUnsupported, match="does not honour them"):
        opened(asked_by("another", backend._space))
    assert opened(asked_by("another", backend._space, dishonest=False)) == made
    assert opened(asked_by("memory", backend._space)) == made


class CountsWrites(MemoryBackend):
    writes = 0

    def write(self, key, data, *, when):
        self.writes += 1
        return super().write(key, data, when=when)


def test_what_held_at_another_endpoint_is_not_tried_again_by_the_next_process():
    backend, writes = MemoryBackend(), []
    made = opened(backend)
    for endpoint in ("elsewhere", "elsewhere", "a third"):
        other = CountsWrites()
        other._space, other.endpoint = backend._space, endpoint
        assert opened(other) == made
        writes.append(other.writes)
    assert [count > 0 for count in writes] == [True, False, True]
    assert len([key for key in everything(backend) if key.startswith("_probe/")]) == 2


@pytest.mark.parametrize("what", ["damaged", "of another store", "of another endpoint", "of another engine"])
def test_a_verdict_is_tried_again_where_what_was_kept_of_it_is(what):
    backend, spoilt = MemoryBackend(), MemoryBackend()
    opened(backend)
    opened(asked_by("another", backend._space, dishonest=False))
    (place,) = (key for key in everything(backend) if key.startswith("_probe/"))
    kept = backend.read(place, limit=MAX_STORE_RECORD).data
    opened(spoilt)
    if what == "damaged":
        kept = kept[:-1]
    elif what != "of another store":
        spoilt = backend
        change = {"probed": {"elsewhere": {"create_only": True, "compare_and_swap": True}}, "probed_by": "another"}
        change = change if what == "of another endpoint" else {"probed_by": "a third"}
        kept = StoreRecord.from_bytes(kept, what="it").model_copy(update=change).to_bytes()
    spoilt.write(place, kept, when=Always())
    with pytest.raises(ConditionsUnsupported, match="does not honour them"):
        opened(asked_by("another", spoilt._space))


def test_that_a_condition_failed_is_believed_of_nobody():
    backend = MemoryBackend()
    made = opened(backend)
    failed = {"create_only": True, "compare_and_swap": False}
    kept = made.model_copy(update={"probed": {backend.endpoint: failed}, "probed_by": "another"})
    backend.write(keys.kept_verdict(backend.endpoint, "another"), kept.to_bytes(), when=Always())
    assert opened(asked_by("another", backend._space, dishonest=False)) == made


def test_who_may_not_keep_a_verdict_writes_all_the_same():
    class KeepsNothing(MemoryBackend):
        endpoint = "elsewhere"

        def write(self, key, data, *, when):
            if key.endswith(".json"):
                raise AccessDenied("this writer may not")
            return super().write(key, data, when=when)

    backend = MemoryBackend()
    made = opened(backend)
    other = KeepsNothing()
    other._space = backend._space
    assert opened(other) == made


def rewritten(backend, **changes):
    """Replace fields of the record; ``None`` leaves one out."""
    value = {**records(backend).store().to_json(), **changes}
    written = {name: part for name, part in value.items() if part is not None and name != "checksum"}
    backend.write(MARKER, canonical(written | {"checksum": checksum(written)}), when=Always())


def test_a_verdict_of_an_older_record_counts_for_any_engine():
    backend = MemoryBackend()
    opened(backend)
    rewritten(backend, probed_by=None)
    record = opened(asked_by("another", backend._space))
    assert record.probed_by == ""
    assert "probed_by" not in record.to_json()


@pytest.mark.parametrize("verdict", [{}, {"create_only": True}, {"compare_and_swap": True, "in_future": True}])
def test_a_verdict_that_leaves_something_out_does_not_count(verdict):
    backend = MemoryBackend()
    opened(backend)
    rewritten(backend, probed={"memory": verdict})
    with pytest.raises(ConditionsUnsupported, match="does not honour them"):
        opened(asked_by("memory", backend._space))
    assert records(backend).store().to_json()["probed"] == {"memory": verdict}


def test_a_record_keeps_what_a_newer_release_has_found():
    backend = MemoryBackend()
    opened(backend)
    held = {"memory": {"compare_and_swap": True, "create_only": True, "in_future": True}}
    rewritten(backend, probed=held, tried={"in future": 1})
    record = opened(asked_by("memory", backend._space))
    assert record.probed == held
    assert record.to_bytes() == backend.read(MARKER, limit=MAX_STORE_RECORD).data
    assert record.to_json()["tried"] == {"in future": 1}


def test_a_single_writer_records_no_engine():
    assert "probed_by" not in opened(MemoryBackend(), "single-writer").to_json()


def test_the_mode_of_a_store_does_not_change():
    backend = MemoryBackend()
    opened(backend, "single-writer")
    with pytest.raises(InvalidOption, match="concurrency='single-writer'"):
        opened(backend)


def test_a_storage_that_only_reads_says_why():
    backend = MemoryBackend()
    backend.read_only = "it is an old tree"
    with pytest.raises(Unsupported, match="it is an old tree"):
        opened(backend)
    assert everything(backend) == []


def test_litter_of_the_system_makes_a_root_no_less_empty():
    backend = MemoryBackend()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "lost+found/x", "_locks/x", "_probe/x"):
        backend.write(name, b"", when=Always())
    check_store(records(backend))
    opened(backend)
    check_store(records(backend))
    assert records(backend).store() is not None


def test_three_of_the_strangers_in_a_root_are_named():
    backend = MemoryBackend()
    for name in "abcd":
        backend.write(name, b"", when=Always())
        with pytest.raises(NotAStore, match={"c": r"holds a, b, c\. N", "d": "holds a, b, c, …"}.get(name, "holds a")):
            opened(backend)
    with pytest.raises(NotAStore):
        check_store(records(backend))
    assert everything(backend) == ["a", "b", "c", "d"]


class NoRoot(MemoryBackend):
    """A folder or a bucket that is not there."""

    def children(self, prefix):
        raise ContainerNotFound("no such bucket")


def test_a_folder_that_is_not_there_is_an_empty_root_and_a_bucket_is_none():
    folder, bucket = NoRoot(), NoRoot()
    folder.makes_root = True
    check_store(records(folder))
    assert opened(folder).concurrency == "safe"
    with pytest.raises(ContainerNotFound):
        check_store(records(bucket))


def test_a_marker_that_is_too_large_is_not_parsed():
    backend = MemoryBackend()
    record = StoreRecord(store_id="x", created_at=NOW, concurrency="safe", more="x" * MAX_STORE_RECORD)
    backend.write(MARKER, record.to_bytes(), when=Always())
    with pytest.raises(Corrupt, match="65536"):
        records(backend).store()


class Beaten(MemoryBackend):
    """Somebody else makes the store between our look at the root and our write of the marker."""

    removed = False

    def write(self, key, data, *, when):
        if key == MARKER and not self._space.objects.get(key):
            record = StoreRecord(store_id="theirs", created_at=NOW, concurrency="safe", probed={})
            super().write(key, record.to_bytes(), when=Always())
        return super().write(key, data, when=when)

    def read(self, key, *, limit, unless=None):
        found = super().read(key, limit=limit, unless=unless)
        if self.removed:
            self.delete(key)
        return found


def test_who_comes_second_takes_the_store_of_the_first():
    assert opened(Beaten()).store_id == "theirs"


def test_a_marker_that_goes_away_at_once_makes_no_store():
    backend = Beaten()
    backend.removed = True
    with pytest.raises(NotAStore, match="another program clears this root"):
        opened(backend)


# ---------------------------------------------------------------- a root that has changed since it was opened


@pytest.mark.parametrize("change", ["gone", "damaged"])
@pytest.mark.parametrize("action", ["delete", "undelete", "prune", "gc", "planned gc"])
def test_nothing_is_removed_or_brought_back_in_a_root_that_is_no_store_any_more(change, action):
    backend = MemoryBackend()
    store = ArtifactStore(backend)
    old, swept, latest = (store.save({"n": number}, "gru/X") for number in range(3))
    store.delete(swept.ref).apply()
    planned = store.gc(grace=timedelta(0))
    if change == "gone":
        backend.delete(MARKER)
    else:
        backend.write(MARKER, b"{", when=Always())
    before = everything(backend)
    actions = {
        "delete": lambda: store.delete(old.ref).apply(),
        "undelete": lambda: store.undelete(swept.ref),
        "prune": lambda: store.prune("gru/X", keep_last=1, grace=timedelta(0)).apply(),
        "gc": lambda: store.gc(grace=timedelta(0)).apply(),
        "planned gc": planned.apply,
    }
    with pytest.raises(NotAStore if change == "gone" else Corrupt):
        actions[action]()
    assert everything(backend) == before
    assert store.load(latest.ref) == {"n": 2}
