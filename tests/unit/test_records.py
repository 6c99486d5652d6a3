"""The stored documents: what a read takes for one, and how a write ends when its reply is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from artifact_store.core import keys
from artifact_store.core.names import RunId
from artifact_store.core.pointer import GATHERED, HistoryBlock, Pointer, PublishInfo, advance
from artifact_store.core.store_record import StoreRecord
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import ContainerNotFound, Corrupt, OutcomeUnknown, RunDeleted, Unreachable
from artifact_store.ops.records import Records, Stored
from artifact_store.storage.base import Always
from artifact_store.storage.conditional_write import Outcome
from artifact_store.storage.memory import MemoryBackend
from tests.unit.samples import KEY, NOW, RUN_ID, manifest, records

RUN = RunId(RUN_ID)


def note(number: int = 1) -> PublishInfo:
    return PublishInfo(f"{number:032x}", NOW, "somebody")


def block() -> HistoryBlock:
    pointer: Pointer | None = None
    for number in range(1, GATHERED + 2):
        step = advance(pointer, KEY, "latest", manifest(), note(number))
        pointer = step.pointer
    (block,) = step.blocks
    return block


CREATED: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    # a document, and another one for the same place
    "manifest": (manifest, lambda: manifest(tags={"a": "b"})),
    "tombstone": (lambda: Tombstone.never_committed(KEY, RUN, note()), manifest),
    "history block": (block, lambda: block().model_copy(update={"previous": None})),
    "store record": (
        lambda: StoreRecord(store_id="a" * 32, created_at=NOW, concurrency="safe"),
        lambda: StoreRecord(store_id="b" * 32, created_at=NOW, concurrency="safe"),
    ),
}


class Unheard(MemoryBackend):
    """Loses the reply to the first write, after it has landed or not, and after something has happened meanwhile."""

    def __init__(self, *, landed: bool, meanwhile: Callable[[MemoryBackend], object] = lambda _: None) -> None:
        super().__init__()
        self.landed, self.meanwhile, self.armed = landed, meanwhile, False

    def write(self, key: str, data: bytes, *, when: Any) -> Any:
        if not self.armed:
            return super().write(key, data, when=when)
        self.armed = False
        if self.landed:
            super().write(key, data, when=when)
        self.meanwhile(self)
        raise Unreachable("the reply is lost")


@pytest.mark.parametrize("kind", CREATED)
@pytest.mark.parametrize("landed", [True, False])
def test_a_document_that_was_created_is_there_whatever_became_of_the_reply(kind: str, *, landed: bool) -> None:
    document = CREATED[kind][0]()
    backend = Unheard(landed=landed)
    backend.armed = True
    assert records(backend).write(document, over=None) is Outcome.WON
    stored = backend.read(document.storage_key, limit=1 << 20)
    assert stored is not None
    assert stored.data == document.to_bytes()
    assert records(backend).write(document, over=None) is Outcome.WON, "equal bytes count as ours"


@pytest.mark.parametrize("kind", CREATED)
def test_what_stands_there_is_not_created_over(kind: str) -> None:
    ours, theirs = (make() for make in CREATED[kind])
    place = ours.storage_key
    other = b"{}" if theirs.to_bytes() == ours.to_bytes() else theirs.to_bytes()
    for backend in (MemoryBackend(), Unheard(landed=False, meanwhile=lambda it: it.write(place, other, when=Always()))):
        if isinstance(backend, Unheard):
            backend.armed = True
        else:
            backend.write(place, other, when=Always())
        assert records(backend).write(ours, over=None) is Outcome.LOST
        found = backend.read(place, limit=1 << 20)
        assert found is not None
        assert found.data == other


def test_a_mark_that_was_sealed_meanwhile_is_still_our_mark() -> None:
    run, mark = manifest(), Tombstone.mark(manifest(), note(2))

    def sealing(backend: MemoryBackend) -> None:
        backend.write(mark.storage_key, mark.sealed(note(3)).to_bytes(), when=Always())

    assert _replaced(run, mark, sealing) is Outcome.WON


def test_a_seal_is_only_taken_for_the_very_seal() -> None:
    mark = Tombstone.mark(manifest(), note(2))
    ours, theirs = mark.sealed(note(3)), mark.sealed(note(4))

    def put(document: Any) -> Callable[[MemoryBackend], object]:
        return lambda backend: backend.write(document.storage_key, document.to_bytes(), when=Always())

    assert _replaced(mark, ours, put(ours)) is Outcome.WON
    assert _replaced(mark, ours, put(theirs)) is Outcome.LOST
    assert _replaced(mark, ours, put(manifest())) is Outcome.LOST, "it was brought back"


def test_a_run_that_was_brought_back_over_our_mark_is_not_our_mark() -> None:
    run, mark = manifest(), Tombstone.mark(manifest(), note(2))

    def bringing_back(backend: MemoryBackend) -> None:
        backend.write(run.storage_key, manifest(tags={"a": "b"}).to_bytes(), when=Always())

    assert _replaced(run, mark, bringing_back) is Outcome.LOST


def test_what_was_replaced_and_is_gone_cannot_have_been_ours() -> None:
    assert _replaced(manifest(), Tombstone.mark(manifest(), note()), lambda it: it.delete(manifest().storage_key)) is (
        Outcome.LOST
    )


def test_a_pointer_that_cannot_be_read_back_leaves_the_outcome_unknown() -> None:
    before = advance(None, KEY, "latest", manifest(), note(1)).pointer
    after = advance(before, KEY, "latest", manifest(), note(2)).pointer
    place = before.storage_key
    backend = Unheard(landed=True, meanwhile=lambda it: it.write(place, b"?", when=Always()))
    version = backend.write(place, before.to_bytes(), when=Always())
    backend.armed = True
    with pytest.raises(OutcomeUnknown) as caught:
        records(backend).write(after, over=Stored(before, version))
    assert (caught.value.key, caught.value.write_id) == (place, after.write_id)


def _replaced(before: Any, after: Any, meanwhile: Callable[[MemoryBackend], object]) -> Outcome:
    """Replace one document by another over a storage that loses the reply, while something else happens."""
    backend = Unheard(landed=True, meanwhile=meanwhile)
    version = backend.write(before.storage_key, before.to_bytes(), when=Always())
    backend.armed = True
    return records(backend).write(after, over=Stored(before, version))


class NoContainer(MemoryBackend):
    """Nothing is there, not even the root."""

    def read(self, key: str, *, limit: int, unless: Any = None) -> Any:
        raise ContainerNotFound("no such bucket")

    def list(self, prefix: str) -> Any:
        raise ContainerNotFound("no such bucket")

    def children(self, prefix: str) -> Any:
        raise ContainerNotFound("no such bucket")


READS: dict[str, tuple[Callable[[Records], object], object]] = {
    "pointer": (lambda it: it.pointer(KEY, "latest"), None),
    "store record": (lambda it: it.store(), None),
    "signature": (lambda it: it.signature(manifest(), "0" * 64), None),
    "bytes": (lambda it: it.raw("a", limit=1), None),
    "names": (lambda it: it.children(""), []),
    "objects": (lambda it: it.objects(""), []),
}


@pytest.mark.parametrize("read", READS)
def test_a_container_that_the_first_write_makes_is_empty_and_any_other_is_missed(read: str) -> None:
    call, empty = READS[read]
    folder, bucket = NoContainer(), NoContainer()
    folder.makes_root = True
    bucket.makes_root = False
    assert call(records(folder)) == empty
    with pytest.raises(ContainerNotFound):
        call(records(bucket))


def test_a_read_waits_for_a_storage_that_does_not_answer_for_the_moment() -> None:
    class Silent(MemoryBackend):
        silent = 3

        def read(self, key: str, *, limit: int, unless: Any = None) -> Any:
            self.silent -= 1
            if self.silent >= 0:
                raise Unreachable("away")
            return super().read(key, limit=limit, unless=unless)

    backend = Silent()
    backend.write(manifest().storage_key, manifest().to_bytes(), when=Always())
    assert records(backend).manifest(KEY, RUN) == manifest()
    backend.silent = 1 << 20
    with pytest.raises(Unreachable):
        records(backend).manifest(KEY, RUN)


def test_a_tombstone_in_the_place_of_a_manifest_says_that_the_run_was_deleted() -> None:
    backend = MemoryBackend()
    stone = Tombstone.mark(manifest(), note())
    backend.write(stone.storage_key, stone.to_bytes(), when=Always())
    assert records(backend).run(KEY, RUN).value == stone
    with pytest.raises(RunDeleted, match="undelete brings it back"):
        records(backend).manifest(KEY, RUN)


def test_a_damaged_document_is_replaced_only_as_it_was_seen() -> None:
    backend, place = MemoryBackend(), keys.manifest(KEY, RUN)
    backend.write(place, b"damaged", when=Always())
    with pytest.raises(Corrupt):
        records(backend).run(KEY, RUN)
    seen = records(backend).raw(place, limit=100)
    assert seen is not None
    assert seen.value == b"damaged"
    body = manifest().to_bytes()
    backend.write(place, b"damaged again", when=Always())
    assert records(backend).replace_raw(place, seen, body, limit=1 << 20, write_id="0" * 32) is Outcome.LOST
    seen = records(backend).raw(place, limit=100)
    assert records(backend).replace_raw(place, seen, body, limit=1 << 20, write_id="0" * 32) is Outcome.WON
    assert records(backend).manifest(KEY, RUN) == manifest()
