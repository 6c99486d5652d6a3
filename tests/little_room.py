"""Every codec without room for its files: what it was about to write is refused by name, and nothing short is stored.

A disk that is full is a real file system in memory, which root alone may mount; a limit of the process does the same to
everyone. Both are asked of each codec, by the classes that hold it to its contract.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core.codec import Codec
from artifact_store.testing import CodecSuite
from tests.cases import each

KEY = "rooms/SMALL"
PAGE = 4096


@contextlib.contextmanager
def small_disk(disk: Path, size: str = "16m") -> Iterator[Path]:
    """Mount a file system of its own in a new folder."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a file system")
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextlib.contextmanager
def filled(disk: Path, *, free: int = 0) -> Iterator[None]:
    """Leave only so many bytes, rounded up to whole pages, on a small disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * (1 << 20))
        with contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * PAGE)
        if free:
            file.truncate(file.tell() - (free + PAGE - 1) // PAGE * PAGE)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """Let this process write no file of more than ``size`` bytes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class LittleRoomSuite(CodecSuite):
    """The contract of codecs, and what a store makes of one where there is no room."""

    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Path]:
        with small_disk(tmp_path / "small") as disk:
            yield disk

    @pytest.fixture
    def sizes(self, codec: Codec, examples: Any, tmp_path: Path) -> dict[int, list[int]]:
        """The sizes of the files of two examples, by their places: those with the least bytes (but some) and the most."""
        found = {}
        for place, example in enumerate(examples):
            folder = tmp_path / f"sizes{place}"
            folder.mkdir()
            codec.encode(example, folder, "model")
            found[place] = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        order = sorted((place for place in found if any(found[place])), key=lambda place: sum(found[place]))
        return {place: found[place] for place in {order[0], order[-1]}}

    def test_a_full_disk_is_named_and_nothing_short_is_stored(
        self, codec: Codec, examples: Any, sizes: dict[int, list[int]], small: Path, tmp_path: Path
    ) -> None:
        for case in each(sizes):
            with case as place:
                example, room = examples[place], sum(sizes[place])
                store = ArtifactStore(f"memory://{uuid.uuid4().hex}", staging=small)
                with store.new_run(KEY) as draft:
                    draft.add("other", {"n": 1}, codec="json")
                    for free in sorted({0, room // 2 // PAGE * PAGE}):
                        with filled(small, free=free), pytest.raises(errors.StorageFull, match="staging="):
                            draft.add("model", example, codec=codec.name)
                    # a codec takes no more room, at any time, than its files have in the end
                    with filled(small, free=sum(PAGE * -(-size // PAGE) for size in sizes[place])):
                        draft.add("model", example, codec=codec.name)
                    run = draft.commit()
                with filled(small), pytest.raises(errors.StorageFull, match="staging="):
                    self._load(run, example, tmp_path / f"none{place}")
                assert self.equal(example, self._load(run, example, tmp_path / f"into{place}"))
                assert list(small.iterdir()) == []

    def test_the_full_disk_of_a_local_store_is_named_and_nothing_short_is_stored(
        self, codec: Codec, examples: Any, sizes: dict[int, list[int]], small: Path, tmp_path: Path
    ) -> None:
        """Another folder would not help: what is saved has to fit on that disk all the same."""
        place = max(sizes, key=lambda place: sum(sizes[place]))
        example = examples[place]
        store = ArtifactStore(small / "store")
        with store.new_run(KEY) as draft:
            draft.add("other", {"n": 1}, codec="json")
            with filled(small), pytest.raises(errors.StorageFull, match="disk of the store") as caught:
                draft.add("model", example, codec=codec.name)
            assert "staging=" not in str(caught.value)
            draft.add("model", example, codec=codec.name)
            run = draft.commit()
        assert self.equal(example, self._load(run, example, tmp_path / "into"))
        assert not (small / "store" / ".tmp-staging").exists()

    def test_a_limit_of_the_process_is_named_and_nothing_short_is_stored(
        self, codec: Codec, examples: Any, sizes: dict[int, list[int]], tmp_path: Path
    ) -> None:
        if sys.platform == "win32":
            pytest.skip("Windows has no such limit")
        for case in each(sizes):
            with case as place:
                example, largest = examples[place], max(sizes[place])
                store = ArtifactStore(f"memory://{uuid.uuid4().hex}", staging=tmp_path)
                for size in sorted({largest // 2, largest - 1}):
                    draft = store.new_run(KEY)
                    draft.add("other", {}, codec="json")
                    with limited(size), pytest.raises(errors.Unsupported, match="ulimit"):
                        draft.add("model", example, codec=codec.name)
                    draft.discard()

    def test_a_folder_that_is_missing_is_named(self, codec: Codec, examples: Any, tmp_path: Path) -> None:
        name, example = uuid.uuid4().hex, examples[0]
        missing = ArtifactStore(f"memory://{name}", staging=tmp_path / "missing")
        with pytest.raises(errors.StagingUnavailable, match=r"missing.*staging="), missing.new_run(KEY) as draft:
            draft.add("model", example, codec=codec.name)
        with ArtifactStore(f"memory://{name}", staging=tmp_path).new_run(KEY) as draft:
            draft.add("model", example, codec=codec.name)
        with pytest.raises(errors.StagingUnavailable, match=r"missing.*staging="):
            self._load(missing.get(KEY), example, tmp_path / "into")

    def _load(self, run: Any, example: Any, scratch: Path) -> Any:
        scratch.mkdir()
        return run.load(into=self.into(example, scratch), allow_code=True)
