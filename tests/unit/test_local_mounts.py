"""Which mount a folder is on, and whether that can be trusted, told from the text of the mount table."""

from __future__ import annotations

import sys

import pytest

from artifact_store.errors import ConditionsUnsupported
from artifact_store.storage.base import Always, IfAbsent, IfVersion
from artifact_store.storage.local import mounts
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.local.mounts import Mount, mount_of, network_reason, why_not_local

pytestmark = pytest.mark.windows

TABLE = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:30 / /home rw,relatime shared:1 master:2 - nfs4 server:/export/home rw,vers=4.2
31 30 254:1 / /home/me/local\040disk rw,noatime - xfs /dev/vdb rw
32 27 0:32 / /mnt/share rw,relatime - cifs //server/models\134x rw
33 27 0:33 / /mnt/auto rw - autofs systemd-1 rw
34 33 0:34 / /mnt/auto rw - lustre mds@tcp:/fs rw
35 27 0:35 / /mnt/remote rw,nosuid - fuse.sshfs me@host:/ rw
a line that says nothing
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/srv/store", "ext4"),
        ("/homework/store", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/store", "nfs4"),
        ("/home/me/local disk", "xfs"),
        ("/home/me/local disk/store/models", "xfs"),
        ("/home/me/local disks", "nfs4"),
        ("/mnt/share/a/b", "cifs"),
        ("/mnt/auto/x", "lustre"),
        ("/mnt/remote/x", "fuse.sshfs"),
    ],
)
def test_the_longest_and_last_mount_point_holds_a_path(path, kind):
    mount = mount_of(path, TABLE)
    assert mount is not None
    assert mount.kind == kind


def test_escapes_of_the_mount_table_are_read():
    assert mount_of("/mnt/share", TABLE) == Mount("/mnt/share", "cifs")


def test_a_table_that_says_nothing_gives_no_mount():
    assert mount_of("/srv", "") is None
    assert mount_of("/srv", "1 2 3\n- - -\n") is None


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "vfat", "fuseblk", "apfs", "hfs"])
def test_a_disk_of_this_machine_is_trusted(kind):
    assert why_not_local(kind) is None


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "9p", "virtiofs", "ceph", "NFS"),
        *("fuse", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs", "macfuse"),
    ],
)
def test_a_network_mount_is_not_trusted(kind):
    reason = why_not_local(kind)
    assert reason is not None
    assert kind.lower() in reason


@pytest.mark.parametrize("kind", ["fuse.gocryptfs", "fuse.mergerfs", "fuse.bindfs"])
def test_fuse_programs_that_keep_to_the_local_disk_are_trusted(kind):
    assert why_not_local(kind) is None


@pytest.mark.parametrize(("kind", "lost"), [("tmpfs", True), ("ramfs", True), ("ext4", False), ("nfs4", False)])
def test_what_is_in_memory_is_lost_in_a_power_cut(kind, lost):
    assert (Mount("/x", kind).volatile is not None) is lost


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mount table is a file on Linux only")
def test_what_is_mounted_below_a_folder_is_found_with_its_kind(tmp_path, monkeypatch):
    root = tmp_path.resolve() / "a store"
    root.mkdir()
    shown = str(root).replace(" ", r"\040")
    lines = [
        "27 1 254:0 / / rw - ext4 /dev/vda rw",
        f"30 27 0:30 / {shown} rw - xfs /dev/vdb rw",
        f"31 30 0:31 / {shown}/gru/BTC rw - tmpfs none rw",
        f"32 30 0:32 / {shown}/gru rw - autofs systemd-1 rw",
        f"33 32 0:33 / {shown}/gru rw - nfs4 server:/x rw",
        f"34 27 0:34 / {shown}s/gru rw - nfs4 server:/x rw",
    ]
    (tmp_path / "mountinfo").write_text("\n".join(lines))
    monkeypatch.setattr(mounts, "_MOUNTINFO", tmp_path / "mountinfo")
    below = [Mount(f"{root}/gru", "nfs4"), Mount(f"{root}/gru/BTC", "tmpfs")]
    assert mounts.mounts_below(root) == below
    (tmp_path / "link").symlink_to(root)
    assert mounts.mounts_below(tmp_path / "link") == below
    assert mounts.mounts_below(root / "gru" / "BTC") == []
    assert mounts.mount_at(root / "gru" / "BTC" / "x") == below[1]
    traits = [trait for trait in LocalBackend(root).traits(probes=False) if trait.name == "mount-below"]
    assert [trait.state for trait in traits] == ["warning", "warning"]
    monkeypatch.setattr(mounts, "_MOUNTINFO", tmp_path / "nothing")
    assert (mounts.mounts_below(root), mounts.mount_at(root)) == ([], None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mount table is a file on Linux only")
def test_a_root_in_memory_promises_no_durability(tmp_path, monkeypatch):
    (tmp_path / "mountinfo").write_text("27 1 254:0 / / rw - tmpfs none rw\n")
    monkeypatch.setattr(mounts, "_MOUNTINFO", tmp_path / "mountinfo")
    promised = LocalBackend(tmp_path).capabilities
    assert (promised.create_only, promised.compare_and_swap, promised.durable) == (True, True, False)
    assert "tmpfs" in promised.reason


def test_the_folder_of_this_test_is_on_a_disk(tmp_path):
    assert network_reason(tmp_path) is None
    assert network_reason(tmp_path / "not" / "there" / "yet") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mount table is a file on Linux only")
def test_a_symlink_to_a_network_mount_is_seen_through(tmp_path, monkeypatch):
    table = tmp_path / "mountinfo"
    target = tmp_path / "far"
    target.mkdir()
    table.write_text(f"27 1 254:0 / / rw - ext4 /dev/vda rw\n30 27 0:30 / {target} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(mounts, "_MOUNTINFO", table)
    (tmp_path / "near").symlink_to(target)
    assert "nfs4" in (network_reason(tmp_path / "near" / "store") or "")
    assert network_reason(tmp_path / "store") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mount table is a file on Linux only")
def test_on_a_network_mount_conditions_are_refused_and_plain_writes_work(tmp_path, monkeypatch):
    table = tmp_path / "mountinfo"
    root = tmp_path / "store"
    table.write_text(f"30 27 0:30 / {root} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(mounts, "_MOUNTINFO", table)
    backend = LocalBackend(root)
    assert not backend.capabilities.create_only
    assert not backend.capabilities.compare_and_swap
    assert "nfs4" in backend.capabilities.reason
    with pytest.raises(ConditionsUnsupported, match="nfs4"):
        backend.write("k", b"x", when=IfAbsent())
    assert not root.exists()
    version = backend.write("k", b"x", when=Always())
    with pytest.raises(ConditionsUnsupported, match="nfs4"):
        backend.write("k", b"y", when=IfVersion(version))
    with pytest.raises(ConditionsUnsupported, match="nfs4"):
        backend.put_file("f", [b"y"], size=1, when=IfAbsent())
    assert [path.name for path in root.iterdir()] == ["k"]
