"""A fork in the middle of something: what another thread of the parent holds does not stop the child."""

import importlib
import os
import pkgutil
import threading
import warnings

import pytest

import artifact_store
from artifact_store import ArtifactStore
from artifact_store.testing import backend_tools

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


def forked_beside(lock, child):
    """Fork while another thread holds the lock, as it does for a moment of each of its calls."""
    held, over = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what this is about
            backend_tools.run_in_a_fork(child)
    finally:
        over.set()
        thread.join()


def test_a_child_saves_although_a_thread_of_its_parent_was_about_to(tmp_path, monkeypatch):
    monkeypatch.setattr(backend_tools, "CHILD_SECONDS", 10)
    store = ArtifactStore(tmp_path / "store")
    store.save({"n": 1}, "gru/BTCEUR")
    workers = store._context.workers

    def child():
        store.save({"n": 2}, "gru/BTCEUR")
        assert store.load("gru/BTCEUR") == {"n": 2}
        store.close()

    forked_beside(workers._lock, child)
    assert store.load("gru/BTCEUR") == {"n": 2}
    assert len(store.history("gru/BTCEUR")) == 2


def test_no_module_holds_a_lock_for_all_processes():
    names = [found.name for found in pkgutil.walk_packages(artifact_store.__path__, "artifact_store.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    locks = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore)
    held = [
        f"{module.__name__}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, locks)
    ]
    assert held == []
