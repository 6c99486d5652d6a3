"""What is read of a git repository, and that nothing which its folder brings along is ever run."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from artifact_store.ops.repository import Head, Repository

GIT = shutil.which("git")
LONG = 60
pytestmark = [
    pytest.mark.skipif(GIT is None, reason="there is no git here, and nothing to ask"),
    pytest.mark.skipif(os.name == "nt", reason="the canaries are shell scripts"),
]


def soon():
    return time.monotonic() + LONG


def run(folder, *words):
    settings = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "protocol.file.allow=always"]
    done = subprocess.run([GIT, *settings, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user without settings of git, who is in no hook of git either."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


@pytest.fixture
def tree(tmp_path):
    """A working tree with one commit of ``train.py`` and ``data.txt`` on the branch ``feat/one``."""
    folder = tmp_path / "tree"
    folder.mkdir()
    run(folder, "init", "-q")
    run(folder, "checkout", "-q", "-b", "feat/one")
    (folder / "train.py").write_text("1\n")
    (folder / "data.txt").write_text("1\n")
    (folder / "deep").mkdir()
    run(folder, "add", ".")
    run(folder, "commit", "-q", "-m", "first")
    return folder


def found(folder):
    repo = Repository.around(folder)
    assert repo is not None
    return repo


def is_changed(folder, script=None):
    return found(folder).is_changed(script, soon())


def edit(folder, name="data.txt", text="2\n"):
    """Change a file, so that git cannot tell by its size or time that it is as it was."""
    (folder / name).write_text(text)
    os.utime(folder / name, (0, 0))


# ---------------------------------------------------------------- reading


def test_commit_and_branch_are_those_that_git_tells(tree):
    commit = run(tree, "rev-parse", "HEAD")
    assert found(tree / "deep").root == tree
    assert found(tree).head(soon()) == Head(commit, "feat/one")
    run(tree, "pack-refs", "--all")
    assert not (tree / ".git/refs/heads/feat/one").exists()
    assert found(tree).head(soon()) == Head(commit, "feat/one")
    run(tree, "checkout", "-q", "--detach")
    assert found(tree).head(soon()) == Head(commit, None)


def test_a_worktree_and_a_submodule_have_their_own(tree, tmp_path):
    run(tree, "worktree", "add", "-q", "-b", "other", str(tmp_path / "second"))
    run(tmp_path / "second", "commit", "-q", "--allow-empty", "-m", "second")
    second = found(tmp_path / "second")
    assert second.head(soon()) == Head(run(tmp_path / "second", "rev-parse", "HEAD"), "other")
    assert second.head(soon()).commit != found(tree).head(soon()).commit
    assert second.is_changed("train.py", soon()) is False
    run(tree, "submodule", "add", "-q", str(tmp_path / "second"), "part")
    assert found(tree / "part").root == tree / "part"
    assert found(tree / "part").head(soon()).commit == second.head(soon()).commit


def test_a_branch_without_a_commit_is_told_without_one(tmp_path):
    run(tmp_path, "init", "-q")
    run(tmp_path, "checkout", "-q", "-b", "empty")
    assert found(tmp_path).head(soon()) == Head(None, "empty")


def test_where_the_files_tell_nothing_git_is_asked(tree, monkeypatch):
    """As with references that are kept in another form than files."""
    commit = run(tree, "rev-parse", "HEAD")
    run(tree, "checkout", "-q", "--detach")
    monkeypatch.setattr(Repository, "_commit", lambda *_: None)
    assert found(tree).head(soon()) == Head(commit, None)
    (tree / ".git/HEAD").write_text("ref: refs/heads/.invalid")
    assert found(tree).head(soon()) == Head(None, None)
    monkeypatch.setenv("PATH", "")
    assert found(tree).head(soon()) == Head(None, None)


def test_outside_of_a_repository_there_is_none(tmp_path):
    assert Repository.around(tmp_path) is None


@pytest.mark.parametrize(
    "head",
    ["", "nonsense", "ref: refs/../../secret", "ref: /etc/hostname", "ref: HEAD", "ref: refs/heads/none", "f" * 39],
)
def test_a_head_that_leads_nowhere_has_no_commit(tree, head):
    (tree / "secret").write_text("not a commit")
    (tree / ".git/HEAD").write_text(head)
    assert found(tree).head(soon()).commit is None


def test_a_reference_that_leads_in_a_circle_ends(tree):
    (tree / ".git/refs/heads/feat/one").write_text("ref: refs/heads/feat/one")
    assert found(tree).head(soon()).commit is None


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.write_bytes(b"a" * 5000)])
def test_what_is_no_small_file_is_not_read(tree, make):
    (tree / ".git/HEAD").unlink()
    make(tree / ".git/HEAD")
    with pytest.raises(ValueError, match=r"HEAD (is not a file|has more than 4096 bytes)"):
        found(tree).head(soon())


# ---------------------------------------------------------------- was it changed?


def test_only_what_git_knows_counts_and_the_script(tree):
    assert is_changed(tree, "train.py") is False
    (tree / "notes.txt").write_text("new")
    assert is_changed(tree, "train.py") is False
    assert is_changed(tree, "notes.txt") is True  # the program itself is not in the commit
    assert is_changed(tree, ":(exclude)*") is True
    edit(tree)
    assert is_changed(tree, "train.py") is True
    run(tree, "add", "data.txt")
    assert is_changed(tree) is True
    run(tree, "commit", "-q", "-m", "second")
    assert is_changed(tree) is False
    (tree / "data.txt").unlink()
    assert is_changed(tree) is True


def test_a_time_that_changed_alone_is_no_change(tree):
    edit(tree, text="1\n")
    assert is_changed(tree) is False


def test_without_git_or_time_the_question_is_left_open(tree, monkeypatch):
    assert found(tree).is_changed(None, time.monotonic()) is None
    monkeypatch.setenv("PATH", str(tree / "deep"))
    assert is_changed(tree) is None
    assert found(tree).head(soon()).branch == "feat/one"


def test_a_folder_that_git_refuses_is_left_at_that(tree):
    (tree / ".git/config").write_text("[core]\n\trepositoryformatversion = 99\n")
    assert is_changed(tree) is None
    shutil.rmtree(tree / ".git")
    (tree / ".git").mkdir()
    run(tree.parent, "init", "-q")  # another one further up, which is none of its
    assert is_changed(tree) is None


def test_git_that_takes_too_long_is_given_up(tree, tmp_path, monkeypatch):
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (slow / "git").chmod(0o700)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    begun = time.monotonic()
    assert found(tree).is_changed(None, begun + 0.2) is None
    assert time.monotonic() - begun < 10


def test_filters_of_the_user_do_not_matter_where_no_file_has_one(tree, home):
    (home / ".gitconfig").write_text('[filter "lfs"]\n\tclean = false\n\tprocess = false\n\trequired = true\n')
    assert is_changed(tree, "train.py") is False
    edit(tree)
    assert is_changed(tree) is True
    (tree / ".gitattributes").write_text("*.txt filter=lfs\n")
    assert is_changed(tree) is None


# ---------------------------------------------------------------- nothing of the folder runs


def test_the_environment_of_the_caller_is_not_passed_on(tree, canary, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(canary.script))
    run(tree, "status")
    assert canary.sang()
    assert is_changed(tree) is False
    monkeypatch.setenv("GIT_DIR", str(tree / "nowhere"))
    assert is_changed(tree) is False
    assert not canary.sang()


class Canary:
    """A helper in the folder that leaves a mark when it is run."""

    def __init__(self, tree: Path) -> None:
        self.mark = tree.parent / "mark"
        self.script = tree / "deep" / "canary"
        self.script.write_text(f"#!/bin/sh\necho ran >> {self.mark}\nexit 1\n")
        self.script.chmod(0o700)

    def sang(self) -> bool:
        """Tell whether it was run since it was last asked."""
        there = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return there


@pytest.fixture
def canary(tree):
    return Canary(tree)


def monitor(tree, canary):
    run(tree, "config", "core.fsmonitor", str(canary.script))


def hook(tree, canary):
    shutil.copy(canary.script, tree / ".git/hooks/post-index-change")
    edit(tree, text="1\n")


def hooks_elsewhere(tree, canary):
    shutil.copy(canary.script, tree / "deep/post-index-change")
    run(tree, "config", "core.hooksPath", str(tree / "deep"))
    edit(tree, text="1\n")


def filter_by(part):
    def prepare(tree, canary):
        run(tree, "config", f"filter.mine.{part}", str(canary.script))
        (tree / ".gitattributes").write_text("*.txt filter=mine\n")
        edit(tree, text="1\n")

    return prepare


def filter_of_info_and_macro(tree, canary):
    run(tree, "config", "filter.mine.clean", str(canary.script))
    (tree / ".git/info/attributes").write_text("[attr]strange filter=mine\n*.txt strange\n")
    edit(tree, text="1\n")


def filter_in_an_included_file(tree, canary):
    (tree / "deep/config").write_text(f'[filter "a.b=c"]\n\tclean = {canary.script}\n')
    run(tree, "config", "include.path", "../deep/config")
    (tree / ".gitattributes").write_text("*.txt filter=a.b=c\n")
    edit(tree, text="1\n")


def submodule(tree, canary):
    part = tree.parent / "part"
    shutil.copytree(tree, part)
    run(tree, "submodule", "add", "-q", str(part), "part")
    run(tree, "commit", "-q", "-m", "with a part")
    run(tree / "part", "config", "core.fsmonitor", str(canary.script))


def missing_object(tree, canary):
    """A partial clone, whose remote would be asked for what is missing, by a program that the settings name."""
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": str(tree.parent),
        "remote.origin.promisor": "true",
        "remote.origin.partialCloneFilter": "blob:none",
        "remote.origin.uploadPack": str(canary.script),
        "protocol.file.allow": "always",
    }.items():
        run(tree, "config", name, value)
    top = run(tree, "rev-parse", "HEAD^{tree}")
    (tree / ".git/objects" / top[:2] / top[2:]).unlink()
    (tree / ".git/index").unlink()


def differ(tree, canary):
    run(tree, "config", "diff.external", str(canary.script))
    run(tree, "config", "diff.mine.textconv", str(canary.script))
    run(tree, "config", "diff.mine.command", str(canary.script))
    (tree / ".gitattributes").write_text("*.txt diff=mine\n")
    edit(tree)


def others(tree, canary):
    """What only runs on other occasions, and must not on ours."""
    for name in ("core.pager", "pager.status", "core.editor", "core.sshCommand", "core.askPass", "credential.helper"):
        run(tree, "config", name, str(canary.script))
    run(tree, "config", "alias.status", f"!{canary.script}")
    run(tree, "config", "status.submoduleSummary", "true")


@pytest.mark.parametrize(
    ("prepare", "git_runs_it", "changed"),
    [
        (monitor, True, False),
        (hook, True, False),
        (hooks_elsewhere, True, False),
        (filter_by("clean"), True, None),
        (filter_by("process"), True, None),
        (filter_of_info_and_macro, True, None),
        (filter_in_an_included_file, True, None),
        (submodule, True, False),
        (missing_object, True, None),
        (differ, False, True),
        (others, False, False),
    ],
)
def test_nothing_that_the_folder_brings_along_is_run(tree, canary, prepare, git_runs_it, changed):
    prepare(tree, canary)
    canary.sang()
    assert is_changed(tree, "train.py") is changed
    assert found(tree).head(soon()).branch == "feat/one"
    assert not canary.sang()
    subprocess.run([GIT, "status"], cwd=tree, capture_output=True, check=False)
    assert canary.sang() is git_runs_it  # the canary can sing: it is git's settings that keep it quiet


@pytest.mark.parametrize("where", ["{tree}/deep", ".", "", "deep", "{link}"])
def test_a_program_called_git_in_the_folder_is_not_run(tree, canary, monkeypatch, tmp_path, where):
    shutil.copy(canary.script, tree / "deep/git")
    shutil.copy(canary.script, tree / "git")
    (tmp_path / "link").symlink_to(tree / "deep")
    monkeypatch.chdir(tree)
    monkeypatch.setenv("PATH", where.format(tree=tree, link=tmp_path / "link") + os.pathsep + os.environ["PATH"])
    assert is_changed(tree, "train.py") is False
    assert not canary.sang()
