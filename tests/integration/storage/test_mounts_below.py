"""Mounts below the root of a store, each a real one, in a mount namespace of their own (see :mod:`tests.mounted`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mounted import CASES, SKIPPED

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mount namespaces are Linux'"),
    pytest.mark.xdist_group("test_mounts_below"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of each case."""
    alone = ["unshare", "--mount", "--propagation", "private"]
    try:
        allowed = subprocess.run([*alone, "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs unshare and mount")
    if allowed.returncode:
        pytest.skip(f"may not mount here: {allowed.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("mounts").resolve()
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.mounted", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    assert str(folder) not in Path("/proc/self/mountinfo").read_text("utf-8")
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", CASES)
def test_a_mount_below_the_root(told: dict[str, str], name: str) -> None:
    if told[name].startswith(SKIPPED):
        pytest.skip(told[name])
    if told[name]:
        pytest.fail(told[name], pytrace=False)
