"""How a run came about, as a save records it: what, how often it is found out, how long that may take."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import wait
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.ops import provenance
from artifact_store.ops.imported import Distributions
from artifact_store.ops.provenance import PARTS, begin
from artifact_store.ops.repository import Repository
from artifact_store.process import this_process
from artifact_store.storage.workers import Workers

KEY = "gru/BTCEUR"
GIT = shutil.which("git")
ALL = frozenset(PARTS)
needs_git = pytest.mark.skipif(GIT is None, reason="there is no git here, and nothing to ask")

PROGRAM = """
import json, sys
from artifact_store import ArtifactStore
from artifact_store.ops import provenance

provenance.LIMIT = 60.0  # what is tried here is what is found, on however slow a machine
store = ArtifactStore("memory://x", provenance=json.loads(sys.argv[1]) if sys.argv[1:] else True)
run = store.save({"n": 1}, "gru/BTCEUR")
print(json.dumps({"provenance": run.provenance, "packages": run.manifest.environment["packages"]}))
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process that has gathered nothing yet, and time enough."""
    monkeypatch.setattr(provenance, "_processes", {})
    monkeypatch.setattr(provenance, "LIMIT", 60.0)


@pytest.fixture
def workers():
    made = Workers()
    yield made
    made.close()


def git(folder, *words):
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    done = subprocess.run([GIT, *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path):
    """A repository with the program ``jobs/train.py``, which is committed."""
    folder = tmp_path / "project"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "__init__.py").write_text("")
    (folder / "jobs" / "train.py").write_text(PROGRAM)
    (folder / ".gitignore").write_text("__pycache__/\n")
    if GIT is not None:
        git(folder, "init", "-q")
        git(folder, "checkout", "-q", "-b", "main")
        git(folder, "remote", "add", "origin", "https://ann:s3cret@example.com/x.git")
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", "first")
    return folder


def recorded(folder, *command):
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


# ---------------------------------------------------------------- what


@needs_git
def test_a_program_in_a_repository_is_told_from_its_root(project, tmp_path):
    found = recorded(tmp_path, project / "jobs" / "train.py")["provenance"]
    commit = git(project, "rev-parse", "HEAD")
    assert found.pop("user")
    assert found == {
        "git": {"commit": commit, "branch": "main", "dirty": False},
        "script": "jobs/train.py",
        "host": platform.node(),
    }
    assert recorded(project, "-m", "jobs.train")["provenance"]["script"] == "jobs/train.py"
    (project / "jobs" / "train.py").write_text(PROGRAM + "\n")
    assert recorded(tmp_path, project / "jobs" / "train.py")["provenance"]["git"]["dirty"] is True


@needs_git
def test_a_program_that_git_does_not_know_makes_the_commit_dirty(project):
    shutil.copy(project / "jobs" / "train.py", project / "new.py")
    assert recorded(project, "new.py")["provenance"]["git"]["dirty"] is True
    assert recorded(project, "jobs/train.py")["provenance"]["git"]["dirty"] is False


def test_a_program_outside_of_any_repository_is_told_by_its_name(tmp_path):
    (tmp_path / "alone.py").write_text(PROGRAM)
    found = recorded(tmp_path, tmp_path / "alone.py")["provenance"]
    assert found["script"] == "alone.py"
    assert "git" not in found
    assert str(tmp_path) not in json.dumps(found)


@needs_git
def test_what_is_typed_has_no_script_and_the_repository_of_its_folder(project):
    found = recorded(project, "-c", PROGRAM)["provenance"]
    assert "script" not in found
    assert found["git"]["branch"] == "main"


@needs_git
def test_a_module_of_a_distribution_is_told_by_its_name(project):
    """As ``python -m artifact_models.train`` would be: the program is not the project's, and its folder is."""
    start = f"import runpy, sys; sys.argv[1:] = []; runpy.run_module('site', run_name='elsewhere'); {PROGRAM}"
    assert "script" not in recorded(project, "-c", start)["provenance"]
    spec = importlib.util.find_spec("pytest.__main__")
    main = types.SimpleNamespace(__file__=spec.origin, __spec__=spec)  # what `python -m pytest` runs
    found = provenance._Main.of(main)
    assert found.installed
    assert found.text == "-m pytest"
    assert found.path_in(Repository(found.path.parent, found.path.parent, found.path.parent)) is None


def test_all_imported_distributions_are_told(tmp_path):
    (tmp_path / "a.py").write_text("import yaml, numpy\n" + PROGRAM)
    packages = recorded(tmp_path, "a.py")["packages"]
    assert {"artifact-store", "numpy", "pyyaml", "pydantic-core"} <= packages.keys()
    assert "lightgbm" not in packages


@pytest.mark.parametrize("chosen", [[], ["host"], ["script", "packages"], ["user", "git"]])
def test_what_is_recorded_can_be_chosen(tmp_path, chosen):
    (tmp_path / "a.py").write_text(PROGRAM)
    found = recorded(tmp_path, "a.py", json.dumps(chosen))
    assert set(found["provenance"]) == set(chosen) - {"packages", "git"}
    assert ("pydantic-core" in found["packages"]) is ("packages" in chosen)


def test_without_provenance_nothing_is_gathered(monkeypatch):
    monkeypatch.setattr(provenance, "begin", lambda *_: pytest.fail("it was asked for"))
    run = ArtifactStore("memory://x", provenance=False).save({"n": 1}, KEY)
    assert run.provenance == {}
    assert "provenance" not in run.manifest.to_json()
    assert set(run.manifest.environment["packages"]) == {"artifact-store"}


def test_a_draft_can_say_it_instead(monkeypatch):
    monkeypatch.setattr(provenance, "begin", lambda *_: pytest.fail("it was asked for"))
    store = ArtifactStore("memory://x")
    for said in ({}, {"git": {"commit": "f" * 40}}):
        with store.new_run(KEY) as draft:
            draft.provenance = said
            draft.add("model", {"n": 1})
        assert draft.run.provenance == said
    with store.new_run(KEY) as draft:
        draft.environment = {"python": "3.8"}
        draft.add("model", {"n": 1})
    assert (draft.run.provenance, draft.run.manifest.environment) == ({}, {"python": "3.8"})


@pytest.mark.parametrize("chosen", ["git", ["everything"], {"git": True, "mail": True}])
def test_what_there_is_not_cannot_be_chosen(chosen):
    with pytest.raises(errors.InvalidOption, match="provenance is True, False, or some of git, script"):
        ArtifactStore("memory://x", provenance=chosen)


@pytest.mark.parametrize("value", ["text", [1], {1: 2}])
def test_a_draft_is_told_so_by_a_mapping(value):
    with ArtifactStore("memory://x").new_run(KEY) as draft:
        draft.add("model", {"n": 1})
        draft.provenance = value
        with pytest.raises(errors.InvalidOption, match="provenance"):
            draft.commit()
        draft.provenance = {}


# ---------------------------------------------------------------- how often, how long


def test_it_is_gathered_once_a_process_and_folder(workers, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(provenance, "_describe", lambda _, place: asked.append(place))
    begins = [threading.Thread(target=begin, args=(workers, ALL)) for _ in range(8)]
    for each in begins:
        each.start()
    for each in begins:
        each.join()
    begin(workers, ALL).provenance()
    assert asked == [str(Path.cwd())]
    monkeypatch.chdir(tmp_path)
    begin(workers, ALL).provenance()
    assert asked[1:] == [str(tmp_path)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_gathers_for_itself():
    """What a thread of the parent holds, or was about to find out, is not there in a child."""
    with provenance._processes.setdefault(this_process(), provenance._Process()).lock:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(writer, ArtifactStore("memory://x").save({"n": 1}, KEY).provenance["host"].encode())
            finally:
                os._exit(0)
        os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read().decode() == platform.node()
    assert os.waitpid(pid, 0)[1] == 0


def test_what_takes_too_long_is_left_out_and_told_later(workers, monkeypatch):
    monkeypatch.setattr(provenance, "LIMIT", 0.2)
    go = threading.Event()

    def slow(found, place):
        found["host"] = "here"
        go.wait()
        found["user"] = f"ann of {place}"

    monkeypatch.setattr(provenance, "_describe", slow)
    begun = time.monotonic()
    gathering = begin(workers, ALL)
    assert gathering.provenance() == {"host": "here"}
    assert gathering.provenance() == {"host": "here"}
    assert time.monotonic() - begun < 5
    go.set()
    wait(gathering._pending, 30)
    assert begin(workers, ALL).provenance() == {"host": "here", "user": f"ann of {Path.cwd()}"}


def test_distributions_that_take_too_long_are_read_on_by_the_next_save(workers, monkeypatch):
    class Slow(Distributions):
        seconds = 0.15

        def _take(self, found):
            time.sleep(self.seconds)
            super()._take(found)

    monkeypatch.setattr(provenance, "Distributions", Slow)
    monkeypatch.setattr(provenance, "LIMIT", 0.2)
    assert begin(workers, ALL).packages() == {}
    monkeypatch.setattr(Slow, "seconds", 0)
    monkeypatch.setattr(provenance, "LIMIT", 60.0)
    assert {"pytest", "artifact-store"} <= begin(workers, ALL).packages().keys()


@pytest.mark.parametrize(
    "part", ["getpass.getuser", f"{provenance.__name__}._describe_code", f"{provenance.__name__}._describe"]
)
@pytest.mark.parametrize("error", [OSError, ValueError, KeyError, ImportError, RuntimeError])
def test_a_save_never_fails_for_it(monkeypatch, part, error):
    def fail(*_):
        raise error("no")

    monkeypatch.setattr(part, fail)
    run = ArtifactStore("memory://x").save({"n": 1}, KEY)
    assert run.published
    assert ("user" if part == "getpass.getuser" else "git") not in run.provenance
    assert run.manifest.environment["packages"]["artifact-store"]


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that somebody stands in")
def test_a_folder_that_is_gone_has_no_repository(tmp_path):
    (tmp_path / "gone").mkdir()
    program = f"import os; os.chdir('gone'); os.rmdir('../gone'); {PROGRAM}"
    assert recorded(tmp_path, "-c", program)["provenance"].keys() == {"host", "user"}


@pytest.mark.parametrize("name", ["", "x" * 241, "a\nb", "\udcff", "\x1b[2J"])
def test_names_that_are_odd_are_left_out(monkeypatch, name):
    monkeypatch.setattr("artifact_store.ops.provenance.platform.node", lambda: name)
    run = ArtifactStore("memory://x", actor="test").save({"n": 1}, KEY)
    assert "host" not in run.provenance
    assert "user" in run.provenance
