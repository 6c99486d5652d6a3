"""A store that was used, and then children of every kind: they read and write, and never on a connection of their parent."""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.testing.backend_tools import run_in_a_fork
from tests import invariants
from tests.forked import CHILDREN, KINDS, SHARED
from tests.servers.endpoint import REGION
from tests.stores import place_of

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here"),
    pytest.mark.xdist_group("forks"),
    pytest.mark.timeout(900),
]

ROOT = Path(__file__).parents[3]
LIMIT = 700.0
"""Seconds after which a program hangs; on a quiet machine each kind takes one or two."""
FORKS = frozenset({"by hand", "ending normally", "fork", "grandchild", "at work"})
SHORT = {
    "memory": ["threads", "by hand"],
    "local": ["threads", "fork", "at work"],
    "obstore": ["threads", "by hand"],
    "s3fs": ["ending normally", "spawn"],
}
"""What the normal run tries, in one program for each engine; the long one tries every kind on every engine."""


@dataclass
class Site:
    """Where a program finds the store, with credentials in its environment, so that the store may be sent on."""

    engine: str
    place: dict[str, object]
    environment: dict[str, str]
    proxy: object = None

    def store(self):
        return ArtifactStore(**self.place)


@pytest.fixture
def site(request):
    """A store that the program reaches through a proxy, if through a network at all."""

    def made(engine):
        place = place_of(engine, request)
        if engine in {"memory", "local"}:
            return Site(engine, place, {})
        proxy = request.getfixturevalue("proxy")
        keys = {"AWS_ACCESS_KEY_ID": proxy.access_key, "AWS_SECRET_ACCESS_KEY": proxy.secret_key}
        for name, value in keys.items():
            request.getfixturevalue("monkeypatch").setenv(name, value)
        place["storage_options"] = {"endpoint_url": proxy.endpoint, "client_kwargs": {"region_name": REGION}}
        return Site(engine, place, keys, proxy)

    return made


def outcomes(site, kinds):
    """Run the program, and return what it tells of each kind; whoever hangs is killed, with all of its children."""
    command = [sys.executable, "-m", "tests.forked", json.dumps(site.place), *kinds]
    environment = os.environ | site.environment
    program = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        stdout, stderr = program.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        stdout, stderr = program.communicate()
        pytest.fail(f"it hangs after {[json.loads(line)['kind'] for line in stdout.splitlines()]}:\n{stderr}")
    assert program.returncode == 0, stderr
    return [json.loads(line) for line in stdout.splitlines()]


def check(site, kinds):
    found = {outcome["kind"]: outcome for outcome in outcomes(site, kinds)}
    assert list(found) == kinds
    for kind, outcome in found.items():
        assert [child.get("text") for child in outcome["told"]] == [None] * CHILDREN, kind
        assert all(child.get("status", 0) == 0 for child in outcome["told"])
        parent = outcome["mine"]["pid"]
        assert (parent in {child["pid"] for child in outcome["told"]}) is (kind == "threads")
    if site.engine != "memory":
        check_what_is_there(site, found)
    if site.proxy is not None:
        for kind, outcome in found.items():
            if kind != "threads":
                check_connections(site.proxy, outcome)


def check_what_is_there(site, found):
    """Every child's save is there, as itself, and each publish that it was told of, once."""
    for outcome in found.values():
        assert outcome["values"] == {child["name"]: child["name"] for child in outcome["told"]}
    told = [child["write_id"] for outcome in found.values() for child in (*outcome["told"], outcome["mine"])]
    store = site.store()
    past = [entry.write_id for entry in store.history(f"{SHARED}@children")]
    assert sorted(past) == sorted(told)
    invariants.check(store, SHARED, ("latest", "children"))


def check_connections(proxy, outcome):
    """No request of a child came by a connection that its parent had used, or used afterwards."""
    children, parent = set(), set()
    names = [child["name"] for child in outcome["told"]]
    for record in proxy.records:
        if not outcome["begun"] <= record.t0 <= outcome["ended"] or "PARENT" in record.key:
            parent.add(record.connection)
        elif outcome["kind"] != "at work" or any(name in record.key for name in names):
            children.add(record.connection)  # a parent at work also lists, which names no model
    assert children
    assert not children & parent


@pytest.mark.parametrize("engine", SHORT)
def test_children_use_the_store_of_their_parent(site, engine):
    check(site(engine), SHORT[engine])


@pytest.mark.nightly
@pytest.mark.parametrize("engine", ["local", "obstore", "s3fs"])
def test_children_of_every_kind_use_the_store_of_their_parent(site, engine):
    check(site(engine), list(KINDS))


@pytest.mark.parametrize("engine", ["obstore", "s3fs"])
def test_a_store_with_credentials_is_not_sent_and_says_what_to_do(site, engine, seaweed):
    place = site(engine).place | {"storage_options": seaweed.storage_options()}
    store = ArtifactStore(**place)
    with pytest.raises(errors.InvalidOption, match="let each process"):
        pickle.dumps(store)


def test_a_memory_store_that_was_sent_elsewhere_is_empty_there_and_says_so():
    store = ArtifactStore("memory://")
    store.save({"n": 1}, "gru/BTCEUR")
    with pytest.raises(TypeError, match="private to its process"):
        pickle.dumps(store)


def test_google_cloud_in_a_forked_child_is_refused_at_once_and_says_what_to_do():
    import obstore  # noqa: F401 -- what a program does that uses it

    store = ArtifactStore("gs://bucket/models", engine="obstore", storage_options={"anon": True})

    def child():
        with pytest.raises(errors.EngineUnavailable, match="spawn"):
            store.load("gru/BTCEUR")

    run_in_a_fork(child)
