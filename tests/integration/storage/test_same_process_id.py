"""Forked children that have the process id of their parent, as the first process of a container has in its own."""

import atexit
import ctypes
import os
import sys
import tempfile
import warnings

import pytest

from artifact_store import ArtifactStore
from artifact_store.process import this_process
from artifact_store.storage.fsspec.filesystem import Recipe
from artifact_store.testing import backend_tools

KEY = "gru/BTCEUR"
CLONE_NEWPID = 0x20000000

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(backend_tools, "CHILD_SECONDS", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return ArtifactStore(tmp_path / "store" if request.param == "local" else "memory://same-process-id")


def in_a_fork_with_this_id(child):
    pid = os.getpid()

    def disguised():
        os.getpid = lambda: pid
        child()

    backend_tools.run_in_a_fork(disguised)


def in_a_namespace(child):
    """Run ``child`` as the first process of a namespace of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWPID):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    backend_tools.run_in_a_fork(child)


def staged(store):
    draft = store.new_run(KEY)
    draft.add("model", b"x" * 1000)
    return draft


def test_it_is_another_process():
    parent = this_process()

    def child():
        assert os.getpid() == parent[0]
        own = this_process()
        assert own != parent
        in_a_fork_with_this_id(lambda: _differs_from(own, parent))

    in_a_fork_with_this_id(child)
    assert this_process() == parent


def _differs_from(*others):
    assert this_process() not in others


def test_it_removes_nothing_of_its_parent(store):
    draft = staged(store)

    def child():
        draft.discard()
        atexit._run_exitfuncs()

    in_a_fork_with_this_id(child)
    assert draft.commit().load() == b"x" * 1000
    draft.discard()


def test_it_saves_with_threads_of_its_own(store):
    with store.new_run(KEY) as draft:  # all threads that it can have
        for number in range(100):
            draft.add(f"part{number}", number)

    def child():
        store.save({"n": 2}, KEY)
        assert store.load(KEY) == {"n": 2}
        store.close()

    in_a_fork_with_this_id(child)
    store.save({"n": 3}, KEY)
    assert store.load(KEY) == {"n": 3}


def test_it_never_uses_a_client_of_its_parent():
    recipe = Recipe.from_protocol("memory", {})
    before = recipe.get()

    def child():
        assert recipe.get() is not before

    in_a_fork_with_this_id(child)
    assert recipe.get() is before


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root makes namespaces")
def test_the_first_process_of_a_container_and_of_one_inside_of_it(store):
    def outer():
        assert os.getpid() == 1
        store.save({"n": 1}, KEY)
        draft = staged(store)

        def inner():
            assert os.getpid() == 1
            draft.discard()
            store.save({"n": 2}, KEY)
            assert store.load(KEY) == {"n": 2}
            atexit._run_exitfuncs()

        in_a_namespace(inner)
        assert draft.commit().load() == b"x" * 1000

    backend_tools.run_in_a_fork(lambda: in_a_namespace(outer))
