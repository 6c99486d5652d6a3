"""What only Windows does: files in use, names that mean devices, names without case, line ends, drive letters.

Run by `python dev.py test` on Windows, and by `python dev.py test --windows` elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from artifact_store import ArtifactStore, Example, FeatureSchema, ModelKey, errors
from artifact_store.core.keys import check_path
from artifact_store.storage.base import Always, Backend, IfAbsent
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend

pytestmark = [pytest.mark.windows, pytest.mark.skipif(os.name != "nt", reason="is about Windows")]

KEY = "gru/BTCEUR"
HOLD = "import sys; held = open(sys.argv[1], 'rb'); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> ArtifactStore:
    return ArtifactStore(str(root))


def pointer(root: Path) -> Path:
    return root / "gru" / "BTCEUR" / "latest.json"


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Another program has the file open for reading, as a virus scanner would."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline().strip() == b"held"
        yield
        program.communicate()


class TestFilesInUse:
    def test_windows_refuses_to_replace_a_file_in_use(self, tmp_path: Path) -> None:
        for name in ("new", "old"):
            (tmp_path / name).write_bytes(name.encode())
        with held_open(tmp_path / "old"), pytest.raises(PermissionError):
            (tmp_path / "new").replace(tmp_path / "old")

    def test_a_publish_waits_until_a_reader_lets_go(self, store: ArtifactStore, root: Path) -> None:
        store.save({"n": 1}, KEY)
        with held_open(pointer(root)):
            saver = threading.Thread(target=store.save, args=({"n": 2}, KEY))
            saver.start()
            while len(list(pointer(root).parent.iterdir())) < 3:  # the pointer and two runs: it is about to publish
                saver.join(0.01)
            assert ArtifactStore(str(root)).load(KEY) == {"n": 1}
        saver.join()
        assert ArtifactStore(str(root)).load(KEY) == {"n": 2}

    def test_a_write_that_waited_in_vain_says_so_and_changes_nothing(self, root: Path) -> None:
        backend = LocalBackend(root)
        backend.write("a/k", b"old", when=Always())
        with held_open(root / "a" / "k"), pytest.raises(errors.Unavailable, match="Another program"):
            backend.write("a/k", b"new", when=Always())
        assert [entry.key for entry in backend.list("")] == ["a/k"]
        assert [path.name for path in (root / "a").iterdir()] == ["k"]
        backend.write("a/k", b"new", when=Always())
        assert stored(backend) == {"a/k": b"new"}

    def test_a_removal_that_waited_in_vain_says_so(self, root: Path) -> None:
        backend = LocalBackend(root)
        backend.write("a/k", b"old", when=Always())
        with held_open(root / "a" / "k"), pytest.raises(errors.Unavailable, match="Another program"):
            backend.delete("a/k")
        backend.delete("a/k")
        assert stored(backend) == {}

    def test_nothing_is_left_open_after_saving_loading_and_checking(self, store: ArtifactStore, root: Path) -> None:
        table, answer = np.arange(300.0).reshape(100, 3), np.arange(100.0)
        booster = lightgbm.train({"verbosity": -1, "min_data_in_leaf": 1}, lightgbm.Dataset(table, answer), 5)
        expected = booster.predict(table)
        run = store.save(
            booster,
            "lightgbm/BTCEUR",
            features=FeatureSchema(["a", "b", "c"]),
            components={"scale": np.ones(3)},
            example=Example(table[:8], expected[:8]),
        )
        loaded = store.get("lightgbm/BTCEUR")
        assert np.array_equal(loaded.load().predict(table), expected)
        kept = loaded.load("scale")
        with loaded.open(next(iter(run.files))) as file:
            file.read(1)
        assert store.verify().ok
        shutil.rmtree(root)  # fails on Windows while a single file is open or mapped
        assert kept.tolist() == [1, 1, 1]


class TestNames:
    @pytest.mark.parametrize(
        "symbol",
        ["NUL", "nul.json5", "aux.x", "COM1", "LPT9.a", "con", "CON.DE", "BF.", "BTC/USDT:USDT", "^GSPC", "C:EURUSD"],
    )
    def test_a_symbol_that_windows_cannot_spell_has_a_folder_of_another_name(
        self, store: ArtifactStore, root: Path, symbol: str
    ) -> None:
        store.save({"n": 1}, ("gru", symbol))
        assert store.load(("gru", symbol)) == {"n": 1}
        assert [folder.name for folder in (root / "gru").iterdir()] == [ModelKey.spell(symbol)]
        assert store.models() == [ModelKey("gru", symbol)]

    def test_no_spelling_is_the_short_name_of_another(self, store: ArtifactStore, root: Path) -> None:
        for symbol in ("BTCUSDTPERP", "BTCUSD~1", "BTCUSDTPERPETUAL", "BTCUSD~2"):
            store.save({"n": symbol}, ("gru", symbol))
        assert len(list((root / "gru").iterdir())) == 4
        for symbol in ("BTCUSDTPERP", "BTCUSD~1", "BTCUSDTPERPETUAL", "BTCUSD~2"):
            assert store.load(("gru", symbol)) == {"n": symbol}

    def test_windows_would_keep_nothing_under_such_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "NUL").write_bytes(b"lost")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("path", ["a:b", "a?b", "a<b", "a|b", 'a"b', "dot.", "space "])
    def test_what_windows_cannot_spell_is_no_file_of_a_run(self, path: str) -> None:
        with pytest.raises(errors.InvalidName):
            check_path(path)

    def test_a_symbol_that_differs_in_case_alone_is_refused_and_nothing_is_mixed(self, store: ArtifactStore) -> None:
        store.save({"n": 1}, KEY)
        with pytest.raises(errors.InvalidName, match="BTCEUR"):
            store.save({"n": 2}, "gru/btceur")
        assert [str(key) for key in store.models()] == [KEY]
        assert store.load(KEY) == {"n": 1}

    def test_the_tree_is_the_one_of_every_other_platform(self, root: Path) -> None:
        trees = []
        for backend in (LocalBackend(root), MemoryBackend("windows")):
            ArtifactStore(backend).save({"n": 1}, KEY, components={"report": b"text"}, run_id="20240816_142301")
            trees.append(sorted(stored(backend)))
        assert trees[0] == trees[1]

    def test_nothing_is_written_with_line_ends_of_windows(self, store: ArtifactStore, root: Path) -> None:
        store.save({"text": "one\ntwo"}, KEY, components={"report": b"1\n2\n"})
        assert b"\r" not in b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


class TestPlaces:
    def test_drive_letters_slashes_and_file_urls_name_one_place(self, store: ArtifactStore, root: Path) -> None:
        store.save({"n": 1}, KEY)
        assert root.drive
        for place in (str(root), root.as_posix(), root.as_uri(), root):
            assert ArtifactStore(place).load(KEY) == {"n": 1}

    def test_a_created_file_is_never_overwritten(self, root: Path) -> None:
        backend = LocalBackend(root)
        backend.write("k", b"first", when=IfAbsent())
        with pytest.raises(errors.PreconditionFailed):
            backend.write("k", b"second", when=IfAbsent())
        assert stored(backend) == {"k": b"first"}


def stored(backend: Backend) -> dict[str, bytes]:
    found = {entry.key: backend.read(entry.key, limit=1 << 20) for entry in backend.list("")}
    return {key: blob.data for key, blob in found.items() if blob is not None}
