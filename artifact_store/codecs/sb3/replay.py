"""Replay buffers of stable-baselines3 as arrays: what an off-policy algorithm learns from when it goes on.

A component of its own beside the algorithm, where one is wanted. Only the rows that were filled are written, from where
they lie, and read one array after the other. ``into=`` is a buffer of another size: of what does not fit, the newest
rows are kept.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.arrays import DAMAGE, ArrayCodec, check_entries, read_entry
from artifact_store.codecs.files import all_or_nothing, field, import_library, opened, refuse_subclass
from artifact_store.codecs.json_arrays import check_expansion, plain_float, read_float
from artifact_store.codecs.sb3.spaces import plain_space, read_plain_space
from artifact_store.codecs.sb3.values import MOST_ENVIRONMENTS
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable, Unavailable

_KINDS: Final = ("ReplayBuffer", "DictReplayBuffer", "NStepReplayBuffer")
_SPACES: Final = ("observation_space", "action_space")
_OF_OBSERVATIONS: Final = ("observations", "next_observations")
_PLAIN: Final = ("actions", "rewards", "dones", "timeouts")
_SWITCHES: Final = ("optimize_memory_usage", "handle_timeout_termination")
_PLACES: Final = ("buffer_size", "n_envs", "pos")
_MOST_ROWS: Final = 1 << 40


class ReplayBufferCodec:
    """Store the replay buffer of an off-policy algorithm in ``{stem}.npz`` and ``{stem}.json``."""

    name: ClassVar[str] = "sb3-replay"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = tuple(f"stable_baselines3.common.buffers.{kind}" for kind in _KINDS)
    extra: ClassVar[str | None] = "sb3"
    libraries: ClassVar[tuple[str, ...]] = ("stable-baselines3", "numpy", "gymnasium")

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the filled rows; refuse a subclass, such as one that needs its environment to be made again."""
        buffers = import_library("stable_baselines3.common.buffers", self)
        if type(obj).__name__ == "HerReplayBuffer":
            raise NotEncodable(
                "a HerReplayBuffer asks its environment for rewards, and cannot be made again without: use "
                "agent.save_replay_buffer, or go on without"
            )
        refuse_subclass(obj, *(getattr(buffers, kind) for kind in _KINDS))
        record = {**_making(self, obj), **{name: int(getattr(obj, name)) for name in _PLACES}, "full": bool(obj.full)}
        arrays = {name: array[: _Rows(record).stored(name)] for name, array in _arrays(obj)}
        with all_or_nothing(directory, stem):
            ArrayCodec().encode(arrays, directory, stem)
            files.write_settings(directory / f"{stem}.json", record)
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return a buffer on the CPU, as large as it was, or ``into``, one for the same spaces, of any size.

        Raises:
            InvalidOption: ``into`` is another kind of buffer, or for other spaces; it is as it was.
            Unavailable: a buffer of that size does not fit into memory.
        """
        del options
        path = directory / f"{stem}.json"
        record = files.read_settings(path)
        check_expansion(record, path.name)
        rows = _Rows(record)
        if into is None:
            target = _made(self, record, rows)
        else:
            target = into
            _check_fits(self, record, into)
        try:
            with opened(directory / f"{stem}.npz", *DAMAGE) as file, zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                check_entries(entries, file.seek(0, 2))
                self._fill(target, rows, archive, {entry.filename.removesuffix(".npy"): entry for entry in entries})
        except Corrupt:
            target.reset()
            raise
        return target

    def _fill(self, target: Any, rows: _Rows, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> None:
        np = import_library("numpy", self)
        own = dict(_arrays(target))
        if {*own} != {*entries}:
            raise Corrupt(f"it has the arrays {', '.join(own)}; stored are {', '.join(entries)}")
        kept, same = rows.kept(target.buffer_size), target.buffer_size == rows.size
        for name, array in own.items():
            saved = read_entry(archive, entries[name], np)
            if saved.dtype != array.dtype or saved.shape != (rows.stored(name), *array.shape[1:]):
                raise Corrupt(f"{name} is stored as {saved.dtype} of the shape {saved.shape}")
            moved = saved if same else saved[rows.newest(name, kept, np)]
            array[: len(moved)] = moved
        target.pos, target.full = rows.pos, rows.full
        if not same:
            target.pos, target.full = kept % target.buffer_size, kept == target.buffer_size


class _Rows:
    """Which rows of a buffer are filled, and in which order they were."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.size, self.n_envs, self.pos = (field(record, name, int) for name in _PLACES)
        self.full, self.shared = field(record, "full", bool), field(record, "optimize_memory_usage", bool)
        sound = 0 < self.size <= _MOST_ROWS and 0 < self.n_envs <= MOST_ENVIRONMENTS and 0 <= self.pos < self.size
        if not sound:
            raise Corrupt(f"a buffer of {self.size:,} rows cannot be at {self.pos:,} for {self.n_envs:,} environments")

    def stored(self, name: str) -> int:
        """Return how many rows of an array are stored. Where observations follow each other, there is one more."""
        count: int = self.size if self.full else self.pos
        return min(count + 1, self.size) if self._goes_on(name) and count else count

    def kept(self, size: int) -> int:
        """Return how many transitions a buffer of this size can take over."""
        return min(self._count, size - 1 if self.shared else size)

    def newest(self, name: str, kept: int, np: Any) -> Any:
        """Return the places of the newest rows, the oldest of them first."""
        first = (self.pos + self.shared if self.full else 0) + self._count - kept
        return (first + np.arange(kept + 1 if self._goes_on(name) and kept else kept)) % self.size

    @property
    def _count(self) -> int:
        """How many transitions there are; of observations that follow each other, a full buffer lost one."""
        count: int = self.size - self.shared if self.full else self.pos
        return count

    def _goes_on(self, name: str) -> bool:
        return self.shared and name.startswith("observations")


def _arrays(buffer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a buffer by name; those of dicts by the place of the key, which may be any text."""
    for name in _OF_OBSERVATIONS:
        found = getattr(buffer, name, None)
        if isinstance(found, dict):
            yield from ((f"{name}.{place}", array) for place, array in enumerate(found.values()))
        elif found is not None:
            yield name, found
    for name in _PLAIN:
        yield name, getattr(buffer, name)


def _making(codec: ReplayBufferCodec, buffer: Any) -> dict[str, Any]:
    """Return what a buffer is made with, but for its size."""
    return {
        "kind": type(buffer).__name__,
        **{name: plain_space(codec, getattr(buffer, name), name) for name in _SPACES},
        **{name: bool(getattr(buffer, name)) for name in _SWITCHES},
        "n_steps": int(getattr(buffer, "n_steps", 1)),
        "gamma": plain_float(getattr(buffer, "gamma", 1.0)),
    }


def _made(codec: ReplayBufferCodec, record: Mapping[str, Any], rows: _Rows) -> Any:
    kind = field(record, "kind", str)
    if kind not in _KINDS:
        raise Corrupt(f"{kind[:40]!r} is no replay buffer of stable-baselines3")
    spaces = [read_plain_space(codec, record.get(name), name) for name in _SPACES]
    given: dict[str, Any] = {name: field(record, name, bool) for name in _SWITCHES}
    if kind == "NStepReplayBuffer":
        given |= {"n_steps": field(record, "n_steps", int), "gamma": read_float(record.get("gamma"), "gamma")}
    buffers = import_library("stable_baselines3.common.buffers", codec)
    try:
        return getattr(buffers, kind)(rows.size * rows.n_envs, *spaces, device="cpu", n_envs=rows.n_envs, **given)
    except MemoryError as error:
        raise Unavailable(
            f"a replay buffer of {rows.size:,} rows does not fit into memory ({error}): load it into= a smaller one"
        ) from error
    except (ValueError, TypeError, AssertionError, NotImplementedError, ArithmeticError) as error:
        raise Corrupt(f"there cannot be a {kind} that is made so: {error}") from error


def _check_fits(codec: ReplayBufferCodec, record: Mapping[str, Any], into: Any) -> None:
    if type(into).__name__ not in _KINDS:
        raise InvalidOption(f"into= is a {type(into).__qualname__}, and not a replay buffer: give agent.replay_buffer")
    making = {**_making(codec, into), "n_envs": int(into.n_envs)}
    for name, own in making.items():
        if own != record.get(name):
            raise InvalidOption(f"into= has the {name} {str(own)[:200]}, and saved is {str(record.get(name))[:200]}")
