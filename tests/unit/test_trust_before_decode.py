"""Nothing is decoded before every byte that vouches for it was compared: a spy for a codec counts."""

import json
import random
import threading
import time
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, CodecRegistry, Risk, errors
from artifact_store.canonical import canonical, sha256
from artifact_store.core import keys
from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from tests.keys import public, signer, strict
from tests.unit.samples import resealed

KEY = "gru/BTCEUR"


class Spy:
    name, version, risk, types, extra = "spy", 1, Risk.DATA, ("builtins.bytearray",), None
    decoded = 0

    def encode(self, obj, directory: Path, stem):
        (directory / f"{stem}.bin").write_bytes(obj)
        return {}

    def decode(self, directory, stem, options, *, into=None):
        Spy.decoded += 1
        return (directory / f"{stem}.bin").read_bytes()


class World:
    """A store with one signed run, and readers that trust its owner."""

    def __init__(self):
        self.backend = MemoryBackend()
        self.run = self.open(signer=signer()).save(bytearray(b"model"), KEY)
        key, run_id = self.run.key, self.run.run_id
        self.places = {
            "manifest": (keys.manifest(key, run_id), str(self.run.ref)),
            "signature": (keys.signature(key, run_id, self.run.manifest.digest, public().key_id), str(self.run.ref)),
            "pointer": (keys.pointer(key, "latest"), KEY),
            "file": (keys.data_file(key, run_id, "model.bin"), KEY),
        }
        self.reader = self.open(policy=strict())
        Spy.decoded = 0

    def open(self, **more):
        registry = CodecRegistry()
        registry.register(Spy)
        return ArtifactStore(self.backend, registry=registry, **more)

    def read(self, where):
        return self.backend.read(where, limit=1 << 24).data

    def refuses(self, where, data, ref):
        """Assert that with these bytes there a load ends in our own error, and decodes nothing."""
        before = self.read(where)
        self.backend.write(where, data, when=Always())
        self.reader._context.verified.clear()
        with pytest.raises(errors.ArtifactStoreError):
            self.reader.load(ref)
        assert Spy.decoded == 0
        self.backend.write(where, before, when=Always())


@pytest.fixture
def world():
    world = World()
    yield world
    assert world.reader.load(KEY) == b"model"  # it was the change, and nothing else, that was refused
    assert Spy.decoded == 1


PLACES = ["manifest", "signature", "pointer", "file"]


def flipped(data, place, bit):
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_bit_in_any_byte(world, place):
    where, ref = world.places[place]
    data, chance = world.read(where), random.Random(7)
    for at in range(len(data)):
        world.refuses(where, flipped(data, at, chance.randrange(8)), ref)


@pytest.mark.nightly
@pytest.mark.parametrize("place", PLACES)
def test_every_flipped_bit(world, place):
    where, ref = world.places[place]
    data = world.read(where)
    for at in range(len(data)):
        for bit in range(8):
            world.refuses(where, flipped(data, at, bit), ref)


@pytest.mark.parametrize("place", PLACES)
def test_every_shorter_length(world, place):
    where, ref = world.places[place]
    data = world.read(where)
    for length in range(len(data)):
        world.refuses(where, data[:length], ref)


def changes(value, path=()):
    """Every leaf of a JSON value with something else in its place, and every field left out."""
    parts = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for name, part in parts:
        yield from changes(part, (*path, name))
        yield (*path, name), None
    if not parts:
        yield path, "a" if value != "a" else "b"


def changed(value, path, new):
    """Such a change, or ``None`` where it leaves the document as it was."""
    copy = json.loads(json.dumps(value))
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    if new is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = new if not isinstance(holder[path[-1]], int) else holder[path[-1]] + 1
    return copy


def test_any_field_of_the_manifest_changed_or_left_out_with_a_checksum_that_fits(world):
    """As by somebody who may write to the bucket, and knows the format (as in BentoML's CVE-2025-27520)."""
    where, ref = world.places["manifest"]
    value = json.loads(world.read(where))
    for path, new in changes(value):
        if path[0] != "checksum":
            other = changed(value, path, new)
            other.pop("checksum", None)
            data = canonical(other | {"checksum": sha256(canonical(other))})
            world.refuses(where, data, ref)


def test_any_field_of_the_pointer_changed_or_left_out_with_a_checksum_that_fits(world):
    where, ref = world.places["pointer"]
    value = json.loads(world.read(where))
    for path, new in changes(value):
        if path[0] not in {"checksum", "manifest"}:
            other = changed(value, path, new)
            other.pop("checksum", None)
            world.refuses(where, canonical(other | {"checksum": sha256(canonical(other))}), ref)
    manifest = dict(value["manifest"], config={"lr": 7})
    manifest = json.loads(resealed(manifest))
    forged = value | {"manifest": manifest, "manifest_sha256": sha256(canonical(manifest))}
    world.refuses(where, resealed(forged), ref)


def test_a_pin_and_consent_do_not_stand_in_for_a_signature(world):
    where, ref = world.places["signature"]
    data = world.read(where)
    world.backend.delete(where)
    for more in ({"allow_code": True}, {"sha256": world.run.manifest.digest}):
        with pytest.raises(errors.SignatureMissing):
            world.reader.load(ref, **more)
    assert Spy.decoded == 0
    world.backend.write(where, data, when=Always())


class Blocked(MemoryBackend):
    """The same objects, of which no signature comes before it is ``released``; Ctrl-C is pressed while a file comes."""

    def __init__(self, other):
        super().__init__()
        self._space = other._space
        self.asked, self.released = threading.Event(), threading.Event()

    def read(self, key, *, limit, unless=None):
        if "_signatures/" in key:
            self.asked.set()
            self.released.wait(30)
        return super().read(key, limit=limit, unless=unless)

    def stream(self, key, *, size):
        assert self.asked.wait(10)
        raise KeyboardInterrupt


@pytest.mark.parametrize("policy", [None, strict()], ids=["download", "load"])
def test_ctrl_c_waits_for_no_signature(world, policy, tmp_path):
    blocked = Blocked(world.backend)
    world.backend, before = blocked, world.backend
    store = world.open(policy=policy)
    world.backend = before
    blocked.released.set()
    run = store.get(str(world.run.ref))
    store._context.verified.clear()
    blocked.released.clear()
    blocked.asked.clear()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run.load() if policy else run.download(tmp_path / "copy")
    assert time.monotonic() - begun < 5
    blocked.released.set()
