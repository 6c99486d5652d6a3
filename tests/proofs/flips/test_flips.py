"""Any bit of any document flipped, any length cut, any byte added: found out before anything is decoded.

Through a real store, in memory and on disk. Flipped is one bit of each byte and tried each length of a sample: the first
and the last 64 bytes, every digest, and a seeded tenth of the rest. With ``--nightly`` it is every bit and every length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from artifact_store import ArtifactStore, CodecRegistry, errors
from artifact_store.core import keys
from artifact_store.core.codec import Codec, CodecRef
from artifact_store.core.pointer import GATHERED, PublishInfo
from artifact_store.core.tombstone import Tombstone
from artifact_store.ops.records import Records
from artifact_store.storage.base import Always, Backend
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from tests.keys import signer, strict
from tests.unit.samples import NOW

pytestmark = pytest.mark.xdist_group("flips")
KEY = "gru/BTCEUR"
LONG = 8192
"""Bytes of a document of which all digests take their time: a block of history has a hundred of them."""
PLACES = (
    "manifest",
    "pointer",
    "history",
    "marked",
    "sealed",
    "marker",
    "file",
    "metadata",
    "seen alias",
    "seen store",
)


class Listening:
    """A codec that writes down that it was asked to decode."""

    def __init__(self, codec: Codec, heard: list[str]) -> None:
        self._codec, self._heard = codec, heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, *args: Any, **more: Any) -> Any:
        self._heard.append("decode")
        return self._codec.decode(*args, **more)


class Registry(CodecRegistry):
    """The codecs that are installed, each of which is listened to."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def for_ref(self, ref: CodecRef) -> Any:
        return Listening(super().for_ref(ref), self.heard)


class World:
    """A store with everything in it that a store can hold, and what reads each of the documents."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend, self.registry = backend, Registry()
        self.store = self.opened(signer=signer())
        one, two, marked, sealed = (
            self.store.save({"number": n}, KEY, run_id=f"2024081{n}_142301", publish="never") for n in range(4)
        )
        for turn in range(GATHERED + 1):  # the first block of history is written
            self.store.promote((one, two)[turn % 2].ref, "latest")
        self.store.promote(one.ref, "best")
        for run in (marked, sealed):
            self.store.delete(str(run.ref)).apply()
        self._seal(sealed)
        self.reader = self.opened(policy=strict(), state=folder / "seen")
        self.reader.load(f"{KEY}@best")
        key, run_id = one.key, one.run_id
        seen = LocalBackend(folder / "seen")
        store_id = one.manifest.store_id
        read: dict[str, tuple[Backend, str, Callable[[], object]]] = {
            "manifest": (backend, keys.manifest(key, run_id), lambda: self.store.load(str(one.ref))),
            "pointer": (backend, keys.pointer(key, "best"), lambda: self.store.load(f"{KEY}@best")),
            "history": (backend, keys.history_block(key, "latest", 32), lambda: self.store.history(KEY)),
            "marked": (backend, keys.manifest(key, marked.run_id), lambda: self.store.load(str(marked.ref))),
            "sealed": (backend, keys.manifest(key, sealed.run_id), lambda: self.store.load(str(sealed.ref))),
            "marker": (backend, keys.STORE_MARKER, lambda: Records(backend, RetryPolicy()).store()),
            "file": (backend, keys.data_file(key, run_id, "model.json"), lambda: self.store.load(str(one.ref))),
            "metadata": (backend, keys.data_file(key, run_id, "metadata.json"), self._read_metadata(one)),
            "seen alias": (seen, keys.seen_alias(store_id, key, "best"), lambda: self.reader.load(f"{KEY}@best")),
            "seen store": (seen, keys.seen_store(backend.places[0]), lambda: self.reader.load(f"{KEY}@best")),
        }
        self.places = read
        self.registry.heard.clear()

    def opened(self, **more: Any) -> ArtifactStore:
        return ArtifactStore(self.backend, registry=self.registry, **more)

    def _seal(self, run: Any) -> None:
        """Put a sealed tombstone where a marked one is: sweeping would ask for a week of patience."""
        where = keys.manifest(run.key, run.run_id)
        tombstone = Tombstone.from_bytes(self.backend.read(where, limit=1 << 20).data, what="it")  # type: ignore[union-attr]
        note = PublishInfo(write_id="e" * 32, at=NOW, by="janitor")
        self.backend.write(where, tombstone.sealed(note).to_bytes(), when=Always())

    def _read_metadata(self, run: Any) -> Callable[[], object]:
        def read() -> None:
            with run.open("metadata.json") as file:
                file.read()

        return read

    def refuses(self, place: str, changes: Iterator[bytes]) -> int:
        """Assert that with any of these bytes in the place of the document, whoever reads it says that it is damaged."""
        backend, where, read = self.places[place]
        before = backend.read(where, limit=1 << 24)
        assert before is not None
        count = 0
        for count, data in enumerate(changes, 1):  # noqa: B007 -- the count is the result
            assert data != before.data
            backend.write(where, data, when=Always())
            self.reader._context.verified.clear()
            with pytest.raises(errors.Corrupt):
                read()
            assert self.registry.heard == []
        backend.write(where, before.data, when=Always())
        return count

    def document(self, place: str) -> bytes:
        backend, where, _ = self.places[place]
        blob = backend.read(where, limit=1 << 24)
        assert blob is not None
        return blob.data


@pytest.fixture(scope="module", params=["memory", "local"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("flips")
    return World(MemoryBackend() if request.param == "memory" else LocalBackend(folder / "store"), folder)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Random:
    return Random(f"{request.config.getoption('--seed')} {request.node.name}")


def sample(world: World, data: bytes, chance: Random) -> list[int]:
    """Places in a document: both ends, each digest, a tenth of the rest. On a disk, and where it is long, a tenth of those."""
    digests = [range(*found.span()) for found in re.finditer(rb"[0-9a-f]{64}", data)]
    sure = {at for part in (range(64), range(len(data) - 64, len(data)), *digests) for at in part}
    sure &= set(range(len(data)))
    rest = sorted(set(range(len(data))) - sure)
    chosen = sorted(sure) + chance.sample(rest, len(rest) // 10)
    if isinstance(world.backend, MemoryBackend) and len(data) < LONG:
        return chosen
    return [0, len(data) - 1, *chance.sample(chosen, len(chosen) // 10)]


def flips(data: bytes, places: Iterable[int], bits: Callable[[], Iterable[int]]) -> Iterator[bytes]:
    for at in places:
        for bit in bits():
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            yield bytes(changed)


def cuts(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    yield from (data[:length] for length in places)


def additions(data: bytes, values: Iterable[int]) -> Iterator[bytes]:
    for value in values:
        yield data + bytes([value])
    for value in b" \n\xef{[\0":
        yield bytes([value]) + data


def test_the_sample_holds_both_ends_and_every_digest_and_a_tenth_of_the_rest(world: World, chance: Random) -> None:
    data = world.document("manifest")
    places = set(sample(world, data, chance))
    assert {0, len(data) - 1} <= places
    if not isinstance(world.backend, MemoryBackend):
        assert len(data) / 100 < len(places) < len(data) / 4
        return
    digests = list(re.finditer(rb"[0-9a-f]{64}", data))
    assert len(digests) >= 3
    sure = {at for found in digests for at in range(*found.span())} | {*range(64), *range(len(data) - 64, len(data))}
    assert sure <= places
    assert len(places - sure) == (len(data) - len(sure)) // 10


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_bit(world: World, place: str, chance: Random) -> None:
    data = world.document(place)
    places = sample(world, data, chance)
    assert world.refuses(place, flips(data, places, lambda: [chance.randrange(8)])) == len(places)


@pytest.mark.nightly
@pytest.mark.parametrize("place", PLACES)
def test_every_flipped_bit(world: World, place: str) -> None:
    data = world.document(place)
    assert world.refuses(place, flips(data, range(len(data)), lambda: range(8))) == 8 * len(data)


@pytest.mark.parametrize("place", PLACES)
def test_a_shorter_length(world: World, place: str, chance: Random) -> None:
    data = world.document(place)
    places = sample(world, data, chance)
    assert world.refuses(place, cuts(data, places)) == len(places)


@pytest.mark.nightly
@pytest.mark.parametrize("place", PLACES)
def test_every_shorter_length_on_disk_as_well(world: World, place: str) -> None:
    data = world.document(place)
    assert world.refuses(place, cuts(data, range(len(data)))) == len(data)


@pytest.mark.parametrize("place", PLACES)
def test_any_byte_more(world: World, place: str) -> None:
    values = range(0, 256, 5 if isinstance(world.backend, MemoryBackend) else 85)
    assert world.refuses(place, additions(world.document(place), values)) == len(values) + 6


def test_it_was_the_change_and_nothing_else(world: World) -> None:
    """The documents are as they were, and every one of them is read."""
    for place, (_, _, read) in world.places.items():
        if place in {"marked", "sealed"}:
            with pytest.raises(errors.RunDeleted):
                read()
        else:
            read()
    assert world.registry.heard == ["decode"] * 5
    world.registry.heard.clear()
