"""Random generators go on where they were: the next draws are the same, and so are the children that they spawn."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artifact_store import CodecRegistry
from artifact_store.canonical import canonical
from artifact_store.codecs import random_states
from artifact_store.codecs.random_states import RandomStateCodec
from artifact_store.errors import Corrupt, NotEncodable
from tests.cases import each

CODEC = RandomStateCodec()
BITS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def started(generator: Any) -> Any:
    """One that has drawn numbers of each size, of which it keeps a half."""
    generator.standard_normal()
    generator.random()
    if hasattr(generator, "integers"):
        generator.integers(9, dtype=np.uint32)
    return generator


def spawned() -> np.random.Generator:
    parent = np.random.default_rng([7, 1 << 40])
    return parent.spawn(3)[2].spawn(2)[1]


GENERATORS: dict[str, Callable[[], Any]] = {
    **{
        f"Generator of {name}": lambda name=name: started(np.random.Generator(getattr(np.random, name)(5)))
        for name in BITS
    },
    **{name: lambda name=name: getattr(np.random, name)(5) for name in BITS},
    "a child": spawned,
    "seeded with large numbers": lambda: np.random.default_rng(1 << 200),
    "seeded by chance": np.random.default_rng,
    "RandomState": lambda: started(np.random.RandomState(5)),
    "RandomState of PCG64": lambda: started(np.random.RandomState(np.random.PCG64(5))),
}


def there_and_back(obj: Any, directory: Path) -> Any:
    return CODEC.decode(directory, "model", CODEC.encode(obj, directory, "model"))


def drawn(generator: Any) -> list[Any]:
    if hasattr(generator, "random_raw"):
        return [generator.random_raw(5).tolist(), repr(generator.state)]
    found = [generator.standard_normal(5).tolist(), generator.permutation(9).tolist()]
    if hasattr(generator, "spawn"):
        children = generator.spawn(2) + generator.bit_generator.seed_seq.spawn(1)
        found += [child.random(3).tolist() for child in children[:2]]
        found.append(children[2].generate_state(3).tolist())
    return found


def test_every_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    for case in each(GENERATORS):
        with case as name:
            generator = GENERATORS[name]()
            again = there_and_back(generator, tmp_path)
            assert type(again) is type(generator)
            assert there_and_back(again, tmp_path) is not again
            before = (tmp_path / "model.json").read_bytes()
            CODEC.encode(generator, tmp_path, "model")
            assert (tmp_path / "model.json").read_bytes() == before
            assert drawn(again) == drawn(generator)


def test_a_generator_of_torch_goes_on_where_it_was(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    torch.randn(3, generator=generator)
    again = there_and_back(generator, tmp_path)
    assert again.initial_seed() == 5
    assert torch.equal(torch.randn(99, generator=again), torch.randn(99, generator=generator))


def test_the_codec_is_chosen_for_them() -> None:
    registry = CodecRegistry()
    registry.register(RandomStateCodec)
    for generator in (*(make() for make in GENERATORS.values()), torch.Generator()):
        assert registry.for_object(generator).name == "random-state"


class OwnBits(np.random.PCG64):
    pass


class OwnSeed(np.random.SeedSequence):
    pass


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OwnBits(5), "OwnBits would come back as something else"),
        (lambda: np.random.Generator(OwnBits(5)), "its bit generator is a .*OwnBits.*use one of numpy's own"),
        (lambda: np.random.Generator(np.random.PCG64(OwnSeed(5))), "OwnSeed has seeded it.*use numpy's SeedSequence"),
        (lambda: np.random.default_rng(1 << 20_000), "cannot be written as JSON"),
    ],
)
def test_what_would_not_come_back_is_refused(make: Callable[[], Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match=words):
        CODEC.encode(make(), tmp_path, "model")
    assert not [*tmp_path.iterdir()]


def test_a_generator_on_another_device_is_refused_with_what_to_do(tmp_path: Path) -> None:
    class Elsewhere:
        device = torch.device("cuda")

    Elsewhere.__module__, Elsewhere.__qualname__ = "torch._C", "Generator"
    with pytest.raises(NotEncodable, match=r"on cuda.*save generator\.get_state\(\), a tensor"):
        CODEC.encode(Elsewhere(), tmp_path, "model")


LIES: list[tuple[str, Any]] = [
    ("kind", "torch.Generator"),
    ("kind", "PCG64"),
    ("kind", "os"),
    ("bit_generator", "SFC64"),
    ("bit_generator", "default_rng"),
    ("state", None),
    ("state/bit_generator", "PCG64"),
    ("state/state/pos", 1 << 40),
    ("state/state/pos", -(1 << 40)),
    ("state/state/pos", True),
    ("state/state/key", {"dtype": "uint32", "shape": [9], "values": 0}),
    ("state/state/key", {"dtype": "int64", "shape": [624], "values": 0}),
    ("state/gauss", "many"),
    ("state/has_gauss", 2),
    ("seed", {}),
    ("seed", 5),
    ("seed/entropy", "1"),
    ("seed/entropy", [1] * 2000),
    ("seed/entropy", -1),
    ("seed/spawn_key", [None]),
    ("seed/pool_size", 1 << 40),
    ("seed/pool_size", 1),
    ("seed/n_children_spawned", -1),
]


def test_a_record_that_lies_is_corrupt(tmp_path: Path) -> None:
    for case in each(LIES):
        with case as (place, value):
            CODEC.encode(np.random.RandomState(np.random.MT19937(5)), tmp_path, "model")
            path = tmp_path / "model.json"
            record = json.loads(path.read_bytes())
            *folders, last = place.split("/")
            inner = record
            for folder in folders:
                inner = inner[folder]
            inner[last] = value
            path.write_bytes(canonical(record))
            with pytest.raises(Corrupt):
                CODEC.decode(tmp_path, "model", {})


def test_a_state_of_torch_that_leads_out_of_itself_is_corrupt(tmp_path: Path) -> None:
    CODEC.encode(torch.Generator(), tmp_path, "model")
    path = tmp_path / "model.json"
    record = json.loads(path.read_bytes())
    for values in (0, 255, record["state"]["values"][:-1]):
        shape = [len(values)] if isinstance(values, list) else record["state"]["shape"]
        path.write_bytes(canonical({**record, "state": {**record["state"], "values": values, "shape": shape}}))
        if values != 0:
            with pytest.raises(Corrupt, match="no state of a generator"):
                CODEC.decode(tmp_path, "model", {})


def test_a_place_in_a_state_of_torch_that_runs_out_of_it_is_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held with a bound that is far below that of torch, which has as many numbers as this asks for."""
    monkeypatch.setattr(random_states, "_TORCH_NUMBERS", 100)
    CODEC.encode(torch.Generator(), tmp_path, "model")
    path = tmp_path / "model.json"
    record = json.loads(path.read_bytes())
    for left, following in ((99, 3), (3, 99)):
        state = np.array(record["state"]["values"], np.uint8)
        state[8:12], state[16:24] = (
            np.frombuffer(struct.pack(*part), np.uint8) for part in (("<i", left), ("<Q", following))
        )
        path.write_bytes(canonical({**record, "state": {**record["state"], "values": state.tolist()}}))
        with pytest.raises(Corrupt, match="runs out of its numbers"):
            CODEC.decode(tmp_path, "model", {})


def test_a_generator_of_torch_goes_on_at_every_place(tmp_path: Path) -> None:
    for drawn in (1, 17, 623, 624, 625):
        generator = torch.Generator()
        generator.manual_seed(5)
        torch.rand(drawn, generator=generator)
        back = there_and_back(generator, tmp_path)
        assert torch.equal(torch.rand(700, generator=back), torch.rand(700, generator=generator))


@pytest.mark.parametrize("generator", [np.random.default_rng(5), np.random.RandomState(5), torch.Generator()])
def test_within_something_else_a_generator_is_refused_and_a_component_of_its_own_works(
    generator: Any, tmp_path: Path
) -> None:
    for beside in (np.zeros(2), torch.zeros(2)):
        codec = CodecRegistry().for_object({"model": beside, "chance": generator})
        with pytest.raises(NotEncodable, match=r"\['chance'\] is a .*: save it as a component of its own"):
            codec.encode({"model": beside, "chance": generator}, tmp_path, "model")
    assert type(there_and_back(generator, tmp_path)) is type(generator)


def test_the_format_page_is_enough_to_go_on_with_a_generator(tmp_path: Path) -> None:
    """Python's own Mersenne Twister takes over, with what section 2.12 says of the JSON."""
    generator = np.random.Generator(np.random.MT19937(8))
    generator.random(5)
    CODEC.encode(generator, tmp_path, "model")
    record = json.loads((tmp_path / "model.json").read_bytes())
    assert (record["kind"], record["bit_generator"]) == ("Generator", "MT19937")
    state = record["state"]["state"]
    other = random.Random()
    other.setstate((3, (*state["key"]["values"], state["pos"]), None))
    assert [other.getrandbits(32) for _ in range(700)] == generator.bit_generator.random_raw(700).tolist()
