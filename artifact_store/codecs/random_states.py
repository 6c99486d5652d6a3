"""Random generators of numpy and torch as the numbers that their state consists of, in ``{stem}.json``.

What comes back draws what the one that was saved would draw next, and numpy's spawn the same children. Each number that
compiled code follows is compared with what there is before it is put into a generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import (
    all_or_nothing,
    dotted,
    field,
    import_library,
    read_settings,
    refuse_into,
    write_settings,
)
from artifact_store.codecs.json_arrays import check_expansion, plain_array, plain_float, read_array, read_float
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, NotEncodable

_BIT_GENERATORS: Final = {
    "numpy.random._pcg64.PCG64": "PCG64",
    "numpy.random._pcg64.PCG64DXSM": "PCG64DXSM",
    "numpy.random._mt19937.MT19937": "MT19937",
    "numpy.random._philox.Philox": "Philox",
    "numpy.random._sfc64.SFC64": "SFC64",
}
_GENERATOR: Final = "numpy.random._generator.Generator"
_RANDOM_STATE: Final = "numpy.random.mtrand.RandomState"
_TORCH: Final = "torch._C.Generator"
_MOST: Final = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "has_gauss": 1, "uinteger": (1 << 32) - 1}
"""The largest of the numbers in a state: those that are a place are followed by compiled code without a look."""
_LARGEST: Final = (1 << 128) - 1
_MOST_WORDS: Final = 1 << 10
"""Of the entropy that a generator was seeded with."""
_TORCH_NUMBERS: Final = 624
"""Of them so many are left, the last of which torch takes for a sign that it has to make others."""
_SEED: Final = "numpy.random.bit_generator.SeedSequence"


class RandomStateCodec:
    """Store ``Generator``, ``RandomState`` and bit generators of numpy, and ``torch.Generator`` on the CPU."""

    name: ClassVar[str] = "random-state"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (*_BIT_GENERATORS, _GENERATOR, _RANDOM_STATE, _TORCH)
    extra: ClassVar[str | None] = None
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the state; refuse a subclass, one on another device, and one that something else has seeded."""
        kind = dotted(type(obj))
        if kind not in self.types:
            raise NotEncodable(f"a {kind} would come back as something else: save its state, which is plain data")
        record = _of_torch(obj) if kind == _TORCH else _of_numpy(obj, kind)
        with all_or_nothing(directory, stem):
            write_settings(directory / f"{stem}.json", record)
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return a new generator in the same state."""
        del options
        refuse_into(self, into)
        record = read_settings(directory / f"{stem}.json")
        check_expansion(record, f"{stem}.json")
        kind = field(record, "kind", str)
        try:
            if kind == "torch.Generator":
                return self._torch_generator(record)
            return self._numpy_generator(kind, record)
        except (ValueError, TypeError, KeyError, OverflowError, RuntimeError) as error:
            raise Corrupt(f"{stem}.json holds no state of a generator: {type(error).__name__}: {error}") from error

    def _torch_generator(self, record: Mapping[str, Any]) -> Any:
        torch = import_library("torch", self)
        made = torch.Generator()
        state = read_array(record.get("state"), "the state").copy()
        made.set_state(torch.from_numpy(state))
        left, following = int(state[8:12].view("i4")[0]), int(state[16:24].view("u8")[0])
        if left + following > _TORCH_NUMBERS + 1:  # torch compares each of them alone, and reads without a look
            raise Corrupt(f"{left} numbers from {following} on: it runs out of its numbers")
        return made

    def _numpy_generator(self, kind: str, record: Mapping[str, Any]) -> Any:
        random = import_library("numpy", self).random
        name = field(record, "bit_generator", str)
        if name not in _BIT_GENERATORS.values() or kind not in {"Generator", "RandomState", name}:
            raise Corrupt(f"{kind[:40]!r} of {name[:40]!r} is no generator of numpy")
        bits = _bits(random, name, field(record, "seed", dict | None))
        made = bits if kind == name else getattr(random, kind)(bits)
        fresh = made.get_state(legacy=False) if kind == "RandomState" else bits.state
        state = _read(record.get("state"), fresh, "the state")
        if kind == "RandomState":
            made.set_state(state)
        else:
            bits.state = state
        return made


# ---------------------------------------------------------------- what a state is


def _of_torch(generator: Any) -> dict[str, Any]:
    if generator.device.type != "cpu":
        raise NotEncodable(
            f"this generator is on {generator.device}, where there may be none: save generator.get_state(), a tensor, "
            "and give it to the set_state of another there"
        )
    return {"kind": "torch.Generator", "state": plain_array(generator.get_state().numpy(), "the state")}


def _of_numpy(obj: Any, kind: str) -> dict[str, Any]:
    bits = obj if kind in _BIT_GENERATORS else obj._bit_generator  # noqa: SLF001 -- a RandomState has no other door
    name = dotted(type(bits))
    if name not in _BIT_GENERATORS:
        raise NotEncodable(f"its bit generator is a {name}, which would not come back: use one of numpy's own")
    state = obj.get_state(legacy=False) if kind == _RANDOM_STATE else bits.state
    return {
        "kind": _BIT_GENERATORS.get(kind, kind.rpartition(".")[2]),
        "bit_generator": _BIT_GENERATORS[name],
        "state": _plain(state),
        "seed": _plain_seed(bits.seed_seq),
    }


def _plain_seed(seed: Any) -> dict[str, Any] | None:
    if seed is None:  # of np.random.RandomState(5), which spawns nothing
        return None
    if dotted(type(seed)) != _SEED:
        raise NotEncodable(f"a {dotted(type(seed))} has seeded it, and would not come back: use numpy's SeedSequence")
    return {
        "entropy": _plain_entropy(seed.entropy),
        "spawn_key": [int(part) for part in seed.spawn_key],
        "pool_size": int(seed.pool_size),
        "n_children_spawned": int(seed.n_children_spawned),
    }


def _plain_entropy(entropy: Any) -> Any:
    return int(entropy) if not hasattr(entropy, "__len__") else [int(part) for part in entropy]


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _plain(part) for name, part in state.items()}
    if hasattr(state, "dtype"):
        return plain_array(state, "the state")
    return plain_float(state) if isinstance(state, float) else state


def _read(record: Any, like: Any, what: str) -> Any:
    """Return a state that has the parts of one that there is, each within its bounds."""
    if isinstance(like, dict):
        if not isinstance(record, dict) or record.keys() != like.keys():
            raise Corrupt(f"{what} has other parts than {', '.join(like)}")
        return {name: _read(record[name], part, name) for name, part in like.items()}
    if getattr(like, "shape", ()):
        array = read_array(record, what)
        if array.dtype != like.dtype or array.shape != like.shape:
            raise Corrupt(f"{what} is an array of {array.dtype} of the shape {array.shape}")
        return array
    if isinstance(like, float):
        return float(read_float(record, what))
    if isinstance(like, str):
        if record != like:
            raise Corrupt(f"{what} is {str(record)[:40]!r}, and not {like!r}")
        return like
    return _whole(record, what, _MOST.get(what, _LARGEST))


def _whole(value: Any, what: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Corrupt(f"{what} is recorded as {str(value)[:60]!r}, which is no number from 0 to {most:,}")
    return value


def _bits(random: Any, name: str, seed: Mapping[str, Any] | None) -> Any:
    """Return a bit generator with this seed; one without is made as a RandomState makes it."""
    if seed is not None:
        return getattr(random, name)(_seed(random, seed))
    if name != "MT19937":
        raise Corrupt(f"a {name} has a seed")
    return random.RandomState(0)._bit_generator  # noqa: SLF001 -- it has no other door


def _seed(random: Any, record: Mapping[str, Any]) -> Any:
    entropy = record.get("entropy")
    words = entropy if isinstance(entropy, list) else [entropy]
    key, pool = field(record, "spawn_key", list), _whole(record.get("pool_size"), "pool_size", _MOST_WORDS)
    if len(words) > _MOST_WORDS or len(key) > _MOST_WORDS:
        raise Corrupt(f"it was seeded with {len(words):,} words and {len(key):,} keys")
    whole = [_whole(part, "its seed", (1 << (32 * _MOST_WORDS)) - 1) for part in words]
    return random.SeedSequence(
        whole if isinstance(entropy, list) else whole[0],
        spawn_key=tuple(_whole(part, "spawn_key", _LARGEST) for part in key),
        pool_size=pool,
        n_children_spawned=_whole(record.get("n_children_spawned"), "n_children_spawned", (1 << 32) - 1),
    )
