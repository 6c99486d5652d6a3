"""Temporary space that several processes share: what a killed one left is cleared, what a living one uses is not."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli.app import app
from artifact_store.storage.staging import Staging
from artifact_store.testing import backend_tools
from tests.little_room import filled, small_disk

KEY = "gru/BTCEUR"
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
STAGE = """
import sys, time
from artifact_store import ArtifactStore
draft = ArtifactStore(sys.argv[1]).new_run("gru/BTCEUR")
draft.add("model", b"x" * 1000)
print("here", flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path):
    return str(tmp_path / "store") if request.param == "local" else "memory://staging"


def files_of(*folders):
    return sorted(path for folder in folders for path in folder.rglob("model.bin") if folder.exists())


@pytest.mark.windows
def test_a_killed_process_is_cleared_after_and_a_living_one_is_not(url, temporary, tmp_path):
    def begun():
        process = subprocess.Popen([sys.executable, "-c", STAGE, url], stdout=subprocess.PIPE)
        assert process.stdout.readline().strip() == b"here"
        return process

    first, second = begun(), begun()
    try:
        places = (temporary, tmp_path / "store" / ".tmp-staging")
        assert len(files_of(*places)) == 2
        first.kill()
        first.wait(60)
        with ArtifactStore(url) as store:
            store.save({"n": 1}, KEY)
            assert len(files_of(*places)) == 1
            assert [step for step in store.gc().steps if step.leftover] == []
            second.kill()
            second.wait(60)
            assert [one.code for one in store.doctor() if "staging" in one.code] == ["leftover-staging"]
            assert store.gc().apply().ok
            assert files_of(*places) == []
    finally:
        for process in (first, second):
            process.kill()
            process.wait(60)
            process.stdout.close()


@posix
def test_a_forked_child_removes_nothing_of_its_parent_and_stages_for_itself(url, temporary, tmp_path):
    store = ArtifactStore(url)
    draft = store.new_run(KEY)
    draft.add("model", b"x" * 1000)

    def child():
        draft.discard()
        store.save({"n": 1}, KEY)
        assert store.gc().changes == ()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        backend_tools.run_in_a_fork(child)
    assert len(files_of(temporary, tmp_path / "store")) == 1
    assert draft.commit().load() == b"x" * 1000
    draft.discard()
    assert files_of(temporary, tmp_path / "store" / ".tmp-staging") == []


@posix
def test_a_child_that_outlives_its_parent_keeps_the_folder_until_it_ends(temporary):
    read, write = os.pipe()
    parent = os.fork()
    if not parent:
        staged = Staging().folder()
        child = os.fork()
        os.write(write, f"{child or 0}\n".encode() if child else b"")
        if not child:
            time.sleep(600)
        assert staged.path.is_dir()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    child = int(os.read(read, 100))
    os.close(read)
    os.close(write)
    try:
        assert Staging().leftovers(beside=None) == []
    finally:
        os.kill(child, signal.SIGKILL)
    end = time.monotonic() + 30
    while not Staging().leftovers(beside=None) and time.monotonic() < end:
        time.sleep(0.05)
    assert [left.is_dead for left in Staging().leftovers(beside=None)] == [True]


def save_often(url, number):
    with ArtifactStore(url) as store:
        for turn in range(15):
            store.save(bytes([number]) * 1000, f"gru/S{number}", tags={"turn": turn})


@posix
def test_many_who_save_and_clear_at_once_take_nothing_from_each_other(temporary, tmp_path):
    root = tmp_path / "store"
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        processes = [context.Process(target=save_often, args=(str(root), number)) for number in range(4)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    store = ArtifactStore(root)
    assert [len(list(store.runs(f"gru/S{number}"))) for number in range(4)] == [15] * 4
    assert store.verify().ok
    assert not (root / ".tmp-staging").exists()


class TestSmallDisks:
    """Real file systems that are full, or mounted read-only."""

    @pytest.fixture
    def small(self, tmp_path):
        with small_disk(tmp_path / "small", "24m") as disk:
            yield disk

    def test_a_read_only_folder_is_named(self, small):
        store = ArtifactStore("memory://read-only", staging=small)
        store.save({"n": 1}, KEY)
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        for attempt in (
            lambda: store.save({"n": 1}, KEY),
            lambda: store.load(KEY),
            lambda: store.get(KEY).open("model.json"),
        ):
            with pytest.raises(errors.StagingUnavailable, match="small.*staging="):
                attempt()

    def test_a_file_that_is_opened_needs_room(self, small):
        store = ArtifactStore("memory://opened", staging=small)
        run = store.save(b"x" * 100_000, KEY)
        with filled(small), pytest.raises(errors.StorageFull, match="staging="):
            run.open("model.bin")
        with run.open("model.bin") as file:
            assert len(file.read()) == 100_000

    @pytest.mark.parametrize("room", [0, 4 << 20])
    def test_an_upload_that_is_gathered_needs_room_and_is_not_repeated(self, small, tmp_path, room):
        source = tmp_path / "large.bin"
        source.write_bytes(b"x" * (9 << 20))
        options = {"engine": "fsspec", "concurrency": "single-writer", "staging": small}
        with ArtifactStore("memory://gathered", **options) as store:
            store.save({"n": 1}, KEY)
            draft = store.new_run(KEY)
            draft.add("small", {"n": 1})
            draft.add_file("large.bin", source)
            began = time.monotonic()
            # metadata.json takes a page, and the folder for the upload another one
            with filled(small, free=room or 2 * 4096), pytest.raises(errors.StorageFull, match="staging="):
                draft.commit()
            assert time.monotonic() - began < 15
            assert draft.commit().published
            draft.discard()
        assert list(small.iterdir()) == []

    def test_a_store_on_a_full_disk_says_so(self, small):
        store = ArtifactStore(small / "store")
        store.save({"n": 1}, KEY)
        with filled(small), pytest.raises(errors.StorageFull):
            store.save(b"x" * 100_000, KEY)
        store.save(b"x" * 100_000, KEY)
        assert not (small / "store" / ".tmp-staging").exists()

    def test_a_local_save_takes_the_room_of_its_files_once(self, small):
        store = ArtifactStore(small / "store")
        store.save(b"x" * (14 << 20), KEY)  # of 24 MiB
        assert store.load(KEY) == b"x" * (14 << 20)

    @pytest.mark.parametrize("copies", [0, 1])
    def test_an_old_text_of_lightgbm_needs_room_and_is_not_called_damaged(self, small, monkeypatch, copies):
        import lightgbm
        import numpy as np

        from artifact_store.legacy.formats.lightgbm import normalised_text

        rows = np.random.default_rng(7).normal(size=(300, 4))
        text = lightgbm.train({"verbose": -1}, lightgbm.Dataset(rows, rows[:, 0]), 50).model_to_string()
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        size = -(-len(text) // 4096) * 4096
        assert size > 4096
        with filled(small, free=4096 + copies * size), pytest.raises(errors.StorageFull, match="TMPDIR"):
            normalised_text(text)
        assert normalised_text(text).startswith("tree")

    def test_the_command_line_takes_the_folder(self, small, tmp_path):
        (tmp_path / "model.json").write_text("{}")
        (tmp_path / "more.json").write_text("{}")
        files = [str(tmp_path / "model.json"), str(tmp_path / "more.json")]
        command = ["--store", str(tmp_path / "store"), "--json", "--staging", str(small), "put", KEY, *files]
        with filled(small):
            full = CliRunner().invoke(app, command)
        assert '"code":"storage-full"' in full.output.replace(" ", "")
        assert CliRunner().invoke(app, command).exit_code == 0
        missing = CliRunner().invoke(app, [*command[:4], str(small / "missing"), *command[5:]])
        assert '"code":"staging-unavailable"' in missing.output.replace(" ", "")
