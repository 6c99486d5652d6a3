"""Stores with other file systems mounted below their roots: ``python -m tests.mounted FOLDER`` in a mount namespace.

Run by ``unshare --mount``, so that no mount outlives this process, whatever becomes of it. Prints one JSON object: the
name of each case, and what went wrong in it. Every mount is a real one. A network cannot be mounted without a server:
for its cases only the word in the mount table is another, and all devices are as they are.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from artifact_store import ArtifactStore, errors
from artifact_store.storage.base import Always, IfAbsent, IfVersion
from artifact_store.storage.local import mounts
from artifact_store.storage.local.backend import LocalBackend

KEY = "gru/BTCEUR"
SKIPPED = "skipped: "
CASES: dict[str, Callable[[Path], None]] = {}


class NoDisk(Exception):
    """This machine has no loop devices, or no mkfs, as in many containers."""


def case(function: Callable[[Path], None]) -> Callable[[Path], None]:
    CASES[function.__name__] = function
    return function


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def tmpfs(point: Path) -> None:
    point.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", "size=4m", "none", point)


def disk(folder: Path, point: Path) -> None:
    """A second disk: ext4 in a file, by a loop device that goes with the mount."""
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    point.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
        mount("-o", "loop", image, point)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise NoDisk(str(error)) from error


def called(kind: str, point: Path) -> None:
    """Let the mount table say that the file system at this point is of another kind."""
    table = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    changed = [
        f"{left} - {kind} {right.partition(' ')[2]}" if left.split(" ")[4] == str(point) else line
        for line in table
        for left, _, right in [line.partition(" - ")]
    ]
    assert changed != table
    copy = point.parent / f"{point.name}-mountinfo"
    copy.write_text("\n".join(changed) + "\n", "utf-8")
    mounts._MOUNTINFO = copy


def raised(kind: type[BaseException], work: Callable[[], object]) -> BaseException:
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def found(store: ArtifactStore, code: str) -> list[tuple[str, str]]:
    return [(each.severity, each.message) for each in store.doctor().findings if each.code == code]


# ---------------------------------------------------------------- what is mounted there


@case
def test_a_network_below_the_root_is_refused_by_its_name(folder: Path) -> None:
    point = folder / "store" / "gru"
    store = ArtifactStore(folder / "store")
    store.save({"n": 1}, "lstm/BTCEUR")
    tmpfs(point)
    called("nfs4", point)
    store = ArtifactStore(folder / "store")
    for work in (
        lambda: store.save({"n": 1}, KEY),
        lambda: store.save(b"x" * 3_000_000, KEY),
        lambda: store.save({"n": 1}, "gru/NEW/".rstrip("/")),
    ):
        error = raised(errors.ConditionsUnsupported, work)
        assert str(point) in str(error), error
        assert "nfs4" in str(error), error
        assert "single-writer" in str(error), error
    assert list(point.iterdir()) == [], "nothing was made there, not even a folder"
    store.save({"n": 2}, "lstm/BTCEUR")
    assert store.load("lstm/BTCEUR") == {"n": 2}
    ((severity, message),) = found(store, "mount-below")
    assert severity == "warning"
    assert str(point) in message, message
    assert "nfs4" in message, message


@case
def test_what_lies_on_a_network_below_the_root_can_be_read_and_not_moved(folder: Path) -> None:
    point = folder / "store" / "gru"
    tmpfs(point)
    (folder / "store" / "gru").parent.mkdir(exist_ok=True)
    other = ArtifactStore(folder / "other")
    run = other.save({"n": 1}, KEY)
    subprocess.run(["cp", "-r", f"{folder}/other/gru/BTCEUR", f"{point}/"], check=True)
    subprocess.run(["cp", f"{folder}/other/_store.json", f"{folder}/store/"], check=True)
    called("cifs", point)
    store = ArtifactStore(folder / "store")
    assert store.load(KEY) == {"n": 1}
    for work in (
        lambda: store.promote(run.ref, "latest"),
        lambda: store.promote(run.ref, "production"),
        lambda: store.rollback(KEY, to=run.run_id),
        lambda: store.retire(KEY),
    ):
        error = raised(errors.ConditionsUnsupported, work)
        assert "cifs" in str(error), error
    assert len(store.history(KEY)) == 1


@case
def test_the_only_writer_may_write_to_a_network_below_the_root(folder: Path) -> None:
    tmpfs(folder / "store" / "gru")
    called("nfs4", folder / "store" / "gru")
    backend = LocalBackend(folder / "store")
    backend.write("gru/k", b"x", when=Always())
    raised(errors.ConditionsUnsupported, lambda: backend.write("gru/k2", b"x", when=IfAbsent()))
    version = backend.read("gru/k", limit=9).version  # type: ignore[union-attr]
    raised(errors.ConditionsUnsupported, lambda: backend.write("gru/k", b"y", when=IfVersion(version)))
    raised(errors.ConditionsUnsupported, lambda: backend.put_file("gru/f", [b"x"], size=1, when=IfAbsent()))
    assert [path.name for path in (folder / "store" / "gru").iterdir()] == ["k"]
    single = ArtifactStore(folder / "single", concurrency="single-writer")
    single.save({"n": 0}, "lstm/BTCEUR")
    mounts._MOUNTINFO = Path("/proc/self/mountinfo")
    tmpfs(folder / "single" / "gru")
    called("nfs4", folder / "single" / "gru")
    single.save({"n": 1}, KEY)
    assert single.load(KEY) == {"n": 1}


@case
def test_the_advice_is_to_unmount_it_or_to_give_it_a_store_of_its_own(folder: Path) -> None:
    ArtifactStore(folder / "store").save({"n": 0}, "lstm/BTCEUR")
    point = folder / "store" / "gru"
    tmpfs(point)
    called("nfs4", point)
    error = raised(errors.ConditionsUnsupported, lambda: ArtifactStore(folder / "store").save({"n": 1}, KEY))
    assert "concurrency='single-writer'" in str(error), error
    subprocess.run(["umount", str(point)], check=True)
    mounts._MOUNTINFO = Path("/proc/self/mountinfo")
    ArtifactStore(folder / "store").save({"n": 1}, KEY)
    tmpfs(folder / "outside")
    called("nfs4", folder / "outside")
    raised(errors.ConditionsUnsupported, lambda: ArtifactStore(folder / "outside").save({"n": 1}, KEY))
    own = ArtifactStore(folder / "outside", concurrency="single-writer")
    own.save({"n": 1}, KEY)
    assert own.load(KEY) == {"n": 1}


@case
def test_who_asks_before_a_training_is_told(folder: Path) -> None:
    store = ArtifactStore(folder / "store")
    store.check_writable(KEY)
    tmpfs(folder / "store" / "gru")
    store.check_writable(KEY)
    called("nfs4", folder / "store" / "gru")
    for key in (KEY, "gru/NEW", "gru"):
        error = raised(errors.ConditionsUnsupported, partial(store.check_writable, key))
        assert "nfs4" in str(error), error
    store.check_writable("lstm/BTCEUR")
    assert list((folder / "store" / "gru").iterdir()) == []


@case
def test_locks_on_a_mount_of_their_own_are_refused(folder: Path) -> None:
    """A writer that does not see the mount has other locks: two containers that share the root alone."""
    store = ArtifactStore(folder / "store")
    store.save({"n": 1}, KEY)
    tmpfs(folder / "store" / "_locks")
    for opened in (store, ArtifactStore(folder / "store")):
        error = raised(errors.ConditionsUnsupported, partial(opened.retire, KEY))
        assert "_locks" in str(error), error
    assert store.load(KEY) == {"n": 1}


@case
def test_another_disk_below_the_root_is_written_to_and_named(folder: Path) -> None:
    point = folder / "store" / "gru"
    disk(folder, folder / "away")
    ArtifactStore(folder / "store").save({"n": 0}, "lstm/BTCEUR")
    point.mkdir()
    mount("--bind", folder / "away", point)
    subprocess.run(["rmdir", str(point / "lost+found")], check=True)
    assert point.stat().st_dev != (folder / "store").stat().st_dev
    store = ArtifactStore(folder / "store")
    for n in range(3):
        run = store.save({"n": n}, KEY, components={"more": b"x" * 100_000})
    assert store.load(KEY) == {"n": 2}
    store.promote(run, "production")
    store.rollback(KEY)
    assert store.load(KEY) == {"n": 1}
    error = raised(errors.RunExists, lambda: store.save({"n": 9}, KEY, run_id=run.run_id))
    assert "untouched" in str(error)
    assert store.guarantees.durable
    assert store.verify().ok
    assert not list((folder / "store").rglob(".tmp-*"))
    ((severity, message),) = found(store, "mount-below")
    assert severity == "note"
    assert "ext4" in message, message
    assert str(point) in message, message


@case
def test_memory_below_the_root_is_not_durable_and_the_store_says_so(folder: Path) -> None:
    point = folder / "store" / "gru" / "BTCEUR"
    ArtifactStore(folder / "store").save({"n": 0}, "lstm/BTCEUR")
    tmpfs(point)
    store = ArtifactStore(folder / "store")
    store.save({"n": 1}, "lstm/BTCEUR")
    assert store.guarantees.durable
    store.save({"n": 1}, KEY)
    assert store.load(KEY) == {"n": 1}
    assert not store.guarantees.durable
    assert store.guarantees.create_only
    assert "tmpfs" in store.guarantees.reason
    assert str(point) in store.guarantees.reason
    reason = store.guarantees.reason
    store.save({"n": 2}, KEY)
    assert store.guarantees.reason == reason, "said once"
    ((severity, message),) = found(store, "mount-below")
    assert severity == "warning"
    assert "tmpfs" in message, message


@case
def test_a_root_in_memory_is_not_durable(folder: Path) -> None:
    tmpfs(folder / "memory")
    store = ArtifactStore(folder / "memory" / "store")
    store.save({"n": 1}, KEY)
    assert not store.guarantees.durable
    assert "tmpfs" in store.guarantees.reason
    assert found(store, "mount-below") == []


@case
def test_a_disk_below_a_root_in_memory_is_used(folder: Path) -> None:
    tmpfs(folder / "store")
    disk(folder, folder / "store" / "gru" / "BTCEUR")
    subprocess.run(["rmdir", str(folder / "store" / "gru" / "BTCEUR" / "lost+found")], check=True)
    backend = LocalBackend(folder / "store")
    backend.write("gru/BTCEUR/k", b"x", when=IfAbsent())
    raised(errors.PreconditionFailed, lambda: backend.write("gru/BTCEUR/k", b"y", when=IfAbsent()))
    assert not backend.capabilities.durable


@case
def test_the_same_disk_bound_below_the_root_is_used_and_listed(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    ArtifactStore(folder / "store").save({"n": 0}, "lstm/BTCEUR")
    point = folder / "store" / "gru"
    point.mkdir()
    mount("--bind", folder / "elsewhere", point)
    store = ArtifactStore(folder / "store")
    store.save({"n": 1}, KEY)
    assert store.load(KEY) == {"n": 1}
    assert (folder / "elsewhere" / "BTCEUR" / "latest.json").exists()
    ((severity, message),) = found(store, "mount-below")
    assert severity == "note"
    assert str(point) in message, message


@case
def test_a_mount_that_comes_while_a_store_is_open_is_noticed(folder: Path) -> None:
    store = ArtifactStore(folder / "store")
    store.save({"n": 1}, KEY)
    point = folder / "store" / "gru"
    tmpfs(point)
    called("fuse.sshfs", point)
    error = raised(errors.ConditionsUnsupported, lambda: store.save({"n": 2}, KEY))
    assert "fuse.sshfs" in str(error), error
    subprocess.run(["umount", str(point)], check=True)
    mounts._MOUNTINFO = Path("/proc/self/mountinfo")
    store.save({"n": 2}, KEY)
    assert store.load(KEY) == {"n": 2}


@case
def test_a_file_that_something_is_mounted_over_is_called_so(folder: Path) -> None:
    """A rename cannot replace a mount point: no other try ever helps."""
    store = ArtifactStore(folder / "store")
    store.save({"n": 1}, KEY)
    pointer = folder / "store" / KEY / "latest.json"
    copy = folder / "copy.json"
    copy.write_bytes(pointer.read_bytes())
    mount("--bind", copy, pointer)
    error = raised(errors.Corrupt, lambda: store.retire(KEY))
    assert "mounted" in str(error), error
    assert str(pointer) in str(error), error
    assert copy.read_bytes() == pointer.read_bytes()
    assert not list((folder / "store").rglob(".tmp-*"))


@case
def test_nothing_is_ever_renamed_or_linked_from_one_device_to_another(folder: Path) -> None:
    """Which the system would refuse; so it would be seen as an error."""
    point = folder / "store" / "gru" / "BTCEUR"
    disk(folder, point)
    subprocess.run(["rmdir", str(point / "lost+found")], check=True)
    failed = []
    for name in ("link", "replace", "rename"):
        real = getattr(os, name)

        def watched(*arguments: object, real: Callable[..., object] = real, **more: object) -> object:
            try:
                return real(*arguments, **more)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    failed.append(arguments)
                raise

        setattr(os, name, watched)
    backend = LocalBackend(folder / "store")
    for n in range(3):
        key = f"gru/BTCEUR/a/k{n}"
        version = backend.write(key, b"x", when=IfAbsent())
        backend.write(key, b"y", when=IfVersion(version))
        backend.put_file(f"{key}-f", [b"z"], size=1, when=IfAbsent())
    assert failed == []


@case
def test_mounts_are_named_where_the_root_is_behind_a_symlink(folder: Path) -> None:
    ArtifactStore(folder / "real").save({"n": 0}, "lstm/BTCEUR")
    point = folder / "real" / "gru"
    tmpfs(point)
    called("nfs", point)
    (folder / "link").symlink_to(folder / "real")
    store = ArtifactStore(folder / "link")
    error = raised(errors.ConditionsUnsupported, lambda: store.save({"n": 1}, KEY))
    assert str(point) in str(error), error
    assert len(found(store, "mount-below")) == 1


def main() -> None:
    told = {}
    for name, function in CASES.items():
        folder = Path(sys.argv[1]) / name[:40]
        folder.mkdir(parents=True)
        mounts._MOUNTINFO = Path("/proc/self/mountinfo")
        try:
            function(folder)
            told[name] = ""
        except NoDisk as error:
            told[name] = f"{SKIPPED}{error}"
        except BaseException:  # noqa: BLE001 -- told to the test, which shows it
            told[name] = traceback.format_exc()
        finally:
            for line in reversed(Path("/proc/self/mountinfo").read_text("utf-8").splitlines()):
                if (point := line.split(" ")[4]).startswith(str(folder)):
                    subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
