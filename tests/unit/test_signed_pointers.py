"""A signed pointer is one of a store, an alias and a moment; what is changed in it, or put back, is noticed."""

import json
import threading
from datetime import timedelta

import pytest

from artifact_store.canonical import canonical
from artifact_store.core import keys
from artifact_store.core.documents import write_time
from artifact_store.core.pointer import Pointer, PublishInfo, advance
from artifact_store.core.statement import encode64
from artifact_store.core.store_record import StoreRecord
from artifact_store.core.trust import check_pointer
from artifact_store.errors import (
    ArtifactStoreError,
    Contended,
    Corrupt,
    PreconditionFailed,
    RolledBack,
    SignatureInvalid,
    SignatureMissing,
    StoreReplaced,
    UntrustedKey,
)
from artifact_store.ops.context import OpenedStore
from artifact_store.ops.last_seen import LastSeen, SeenStore
from artifact_store.ops.publish import swap
from artifact_store.ops.records import Stored
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from tests.keys import public, signer, strict
from tests.unit.samples import KEY, NOW, context, manifest, resealed

pytestmark = pytest.mark.windows

STORE, OTHER = "f" * 32, "e" * 32
RECORD = {"store_id": STORE, "created_at": NOW, "concurrency": "safe"}
HERE, THERE = MemoryBackend(), MemoryBackend()


def published(times=1, who="owner", store=STORE, salt=0):
    """The pointer after so many signed publishes, as it is read back."""
    pointer = None
    for number in range(times):
        mark = PublishInfo(f"{number + (salt << 64):032x}", NOW + timedelta(seconds=number), "me", "why")
        pointer = advance(pointer, KEY, "latest", manifest(), mark).pointer
        pointer = read((pointer if who is None else signed(pointer, who, store)).to_bytes())
    return pointer


def signed(pointer, who, store=STORE):
    announced = pointer.announced(public(who).key_id, store)
    return announced.signed(signer(who).sign(announced.signed_message()))


def read(data):
    return Pointer.from_bytes(data, what="the pointer")


def test_a_signed_pointer_says_for_which_store():
    assert check_pointer(published(70), strict(), "it") == STORE


def test_an_unsigned_pointer_is_the_same_bytes_as_ever():
    assert "signature" not in published(who=None).to_json()
    assert read(published(who=None).to_bytes()).signature is None
    with pytest.raises(SignatureMissing, match="not signed"):
        check_pointer(published(who=None), strict(), "it")


def test_the_signature_of_a_stranger_is_not_trusted():
    with pytest.raises(UntrustedKey, match="does not trust") as caught:
        check_pointer(published(who="stranger"), strict(), "it")
    assert caught.value.key_ids == (public("stranger").key_id,)
    assert check_pointer(published(who="stranger"), strict("owner", "stranger"), "it") == STORE


def test_a_stranger_cannot_sign_in_the_name_of_another():
    value = published(who="stranger").to_json()
    value["signature"]["key_id"] = public().key_id
    with pytest.raises(SignatureInvalid, match="changed after"):
        check_pointer(read(resealed(value)), strict(), "it")


def test_every_flipped_bit_of_a_pointer_is_noticed():
    data = published(2).to_bytes()
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(ArtifactStoreError):
                check_pointer(read(bytes(flipped)), strict(), "it")


def test_every_shorter_length_of_a_pointer_is_noticed():
    data = published().to_bytes()
    for length in range(len(data)):
        with pytest.raises(Corrupt):
            read(data[:length])


def test_any_field_changed_with_a_checksum_that_fits_is_noticed():
    original = published(3).to_json()
    changes = {
        "seq": 6,
        "run_id": "20240816_142309_k3f8qz",
        "manifest_sha256": "1" * 64,
        "manifest": None,
        "write_id": "b" * 32,
        "at": write_time(NOW + timedelta(days=365)),
        "by": "somebody",
        "reason": "",
        "alias": "production",
        "symbol": None,
        "model_type": "ppo",
        "format": "1.7",
        "unknown": 1,
    }
    assert set(original) - set(changes) == {"kind", "checksum", "history", "signature"}
    for name, value in changes.items():
        with pytest.raises((SignatureInvalid, Corrupt)):
            check_pointer(read(resealed(original | {name: value})), strict(), "it")
    past = json.loads(canonical(original["history"]))
    past[0]["run_id"] = "20240816_142309_k3f8qz"
    with pytest.raises(SignatureInvalid):
        check_pointer(read(resealed(original | {"history": past})), strict(), "it")
    for part in ({"store_id": "e" * 32}, {"sig": ""}, {"sig": "no base64"}, {"more": 1}):
        with pytest.raises(SignatureInvalid):
            check_pointer(read(resealed(original | {"signature": original["signature"] | part})), strict(), "it")


def test_a_later_minor_format_may_add_fields_and_sign_them():
    value = {name: part for name, part in published().to_json().items() if name != "checksum"}
    value |= {"format": "1.4", "witness": {"log": 7}}
    value["signature"] = {"key_id": public().key_id, "store_id": STORE, "scheme": "new"}
    unsigned = read(resealed(value | {"signature": value["signature"] | {"sig": ""}}))
    value["signature"]["sig"] = encode64(signer().sign(unsigned.signed_message()))
    later = read(resealed(value))
    assert check_pointer(later, strict(), "it") == STORE
    assert later.to_json()["witness"] == {"log": 7}


def test_what_is_not_believed_is_not_carried_on():
    backend = MemoryBackend()
    here = context(backend, policy=strict(), signer=signer(), opened=OpenedStore(StoreRecord.model_validate(RECORD)))
    seen = Stored(published(2, who=None), "0")
    with pytest.raises(SignatureMissing, match="not signed"):
        swap(here, KEY, "latest", manifest(), here.publish_info(), seen=seen)
    assert list(backend.list("")) == []
    made = swap(here, KEY, "latest", manifest(), here.publish_info(), seen=None)
    assert check_pointer(made, strict(), "it") == STORE


# ---------------------------------------------------------------- what a client has seen


@pytest.fixture
def marks(tmp_path):
    return LastSeen(tmp_path / "seen", RetryPolicy(seconds=5))


def test_a_later_pointer_is_remembered_and_an_older_one_refused(marks, tmp_path):
    for times in (1, 1, 3, 3):
        marks.see(HERE, STORE, published(times))
    again = LastSeen(tmp_path / "seen", RetryPolicy(seconds=5))
    with pytest.raises(RolledBack, match="an older state was put back") as caught:
        again.see(HERE, STORE, published(2))
    assert (caught.value.seen, caught.value.seq) == (3, 2)
    again.see(HERE, STORE, published(4))


def test_another_publish_with_the_same_seq_is_a_second_history(marks):
    marks.see(HERE, STORE, published(2))
    with pytest.raises(RolledBack, match="another publish"):
        marks.see(HERE, STORE, published(2, salt=1))


def test_another_store_at_the_same_place_is_refused(marks):
    marks.see(HERE, STORE, published(2))
    with pytest.raises(StoreReplaced, match="is of another store") as caught:
        marks.see(HERE, OTHER, published(9, store=OTHER))
    assert (caught.value.known, caught.value.found, caught.value.seq) == (STORE, OTHER, 9)
    marks.see(THERE, OTHER, published(9, store=OTHER))


def nothing():
    """What a root without a store says that it is."""


def test_an_alias_that_was_seen_cannot_be_gone(marks):
    marks.check_absence(HERE, KEY, "latest", nothing)
    marks.see(HERE, STORE, published(2))
    marks.check_absence(HERE, KEY, "production", nothing)
    marks.check_absence(THERE, KEY, "latest", nothing)
    with pytest.raises(RolledBack, match="is gone") as caught:
        marks.check_absence(HERE, KEY, "latest", nothing)
    assert (caught.value.seen, caught.value.seq) == (2, 0)


def test_the_alias_of_a_store_that_was_replaced_is_not_merely_gone(marks):
    marks.see(HERE, STORE, published(2))
    with pytest.raises(StoreReplaced) as caught:
        marks.check_absence(HERE, KEY, "latest", lambda: OTHER)
    assert (caught.value.known, caught.value.found, caught.value.seen, caught.value.seq) == (STORE, OTHER, 2, 0)
    with pytest.raises(RolledBack, match="is gone"):
        marks.check_absence(HERE, KEY, "latest", lambda: STORE)


def test_a_store_that_was_replaced_on_purpose_is_accepted_and_the_other_one_not_forgotten(marks):
    marks.see(HERE, STORE, published(5))
    marks.accept(HERE, OTHER)
    marks.accept(HERE, OTHER)
    marks.check_absence(HERE, KEY, "latest", lambda: OTHER)
    marks.see(HERE, OTHER, published(1, store=OTHER))
    with pytest.raises(StoreReplaced):
        marks.see(HERE, STORE, published(6))
    marks.accept(HERE, STORE)
    with pytest.raises(RolledBack, match="older state"):
        marks.see(HERE, STORE, published(4))
    marks.see(HERE, STORE, published(6))


class Place(MemoryBackend):
    """A root with these names, opened by this URL."""

    def __init__(self, url, *places):
        super().__init__()
        self.url, self.names = url, places

    @property
    def places(self):
        return self.names


@pytest.mark.parametrize("known", ["/real", "/link"])
def test_another_store_is_noticed_under_each_name_of_a_root(marks, known):
    """A symlink on the way that leads elsewhere now is as much of a swap as another folder in the old place."""
    marks.see(Place("one", known), STORE, published(2))
    with pytest.raises(StoreReplaced):
        marks.see(Place("two", "/real", "/link"), OTHER, published(9, store=OTHER))
    marks.see(
        Place("three", "/real"), *((STORE, published(2)) if known == "/real" else (OTHER, published(9, store=OTHER)))
    )


def test_a_root_is_remembered_under_each_of_its_names(marks):
    marks.see(Place("one", "/real", "/link"), STORE, published(2))
    for name in ("/real", "/link"):
        with pytest.raises(StoreReplaced):
            marks.see(Place("two", name), OTHER, published(9, store=OTHER))
    assert marks.highest(Place("two", "/link", "/third"), KEY, "latest") == 2


def test_a_folder_of_an_earlier_version_is_read_on(tmp_path, marks):
    """It has the URL as it was spelled, where there are names of places now."""
    old = {"url": "s3://bucket/models", "store_id": STORE}
    marks.see(Place("s3://bucket/models", "/unused"), STORE, published(3))  # the mark of the alias is as ever
    (tmp_path / "seen" / keys.seen_store("/unused").rpartition("/")[2]).unlink()
    where = tmp_path / "seen" / keys.seen_store(old["url"])
    where.write_bytes(SeenStore.model_validate(old).to_bytes())
    root = Place("s3://bucket/models", "s3://bucket/models at aws")
    with pytest.raises(RolledBack, match="is gone"):
        marks.check_absence(root, KEY, "latest", nothing)
    with pytest.raises(StoreReplaced):
        marks.see(root, OTHER, published(9, store=OTHER))
    with pytest.raises(RolledBack, match="older state"):
        marks.see(root, STORE, published(2))
    where.unlink()
    with pytest.raises(StoreReplaced):  # under its own name from now on
        marks.see(root, OTHER, published(9, store=OTHER))


def test_two_projects_with_one_spelling_are_two_stores(marks):
    marks.see(Place("./store", "/one/store"), STORE, published(2))
    marks.see(Place("./store", "/two/store"), OTHER, published(1, store=OTHER))


def test_what_cannot_be_remembered_is_not_believed(marks, tmp_path):
    (tmp_path / "seen").write_text("a file, not a folder")
    with pytest.raises(ArtifactStoreError):
        marks.see(HERE, STORE, published(2))


def test_a_folder_that_was_tampered_with_is_not_believed(marks, tmp_path):
    marks.see(HERE, STORE, published(2))
    for path in (tmp_path / "seen").glob("*.json"):
        path.write_bytes(path.read_bytes().replace(b'"seq":2', b'"seq":1').replace(b"memory://", b"memorx://"))
    with pytest.raises(Corrupt):
        marks.see(HERE, STORE, published(2))


def test_many_readers_at_once_leave_the_highest_seq(tmp_path):
    pointers = [published(times) for times in range(1, 9)]
    start = threading.Barrier(len(pointers))
    wrong = []

    def reader(pointer):
        marks = LastSeen(tmp_path / "seen", RetryPolicy(seconds=20))
        start.wait()
        try:
            marks.see(HERE, STORE, pointer)
        except RolledBack:
            pass  # somebody saw a later one first
        except ArtifactStoreError as error:
            wrong.append(error)

    threads = [threading.Thread(target=reader, args=(pointer,)) for pointer in pointers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    with pytest.raises(RolledBack) as caught:
        LastSeen(tmp_path / "seen", RetryPolicy(seconds=5)).see(HERE, STORE, pointers[0])
    assert caught.value.seen == 8


def test_a_mark_that_never_gets_through_is_said_to_be_contended(tmp_path):
    marks = LastSeen(tmp_path / "seen", RetryPolicy(seconds=0.2))
    marks.see(HERE, STORE, published(1))

    class Busy:
        """A folder in which somebody else is always faster."""

        url = "busy"

        def __init__(self, real):
            self.read, self.real = real.read, real

        def write(self, key, data, *, when):
            raise PreconditionFailed(key)

    marks._files = Busy(marks._files)
    with pytest.raises(Contended):
        marks.see(HERE, STORE, published(2))
