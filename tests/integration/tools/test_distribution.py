"""What is published: the source distribution can run its checks, and Wine as Windows stays in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    not (ROOT / "tools" / "windows").is_dir(), reason="this is the source distribution already"
)


def shipped(builder):
    return {Path(file.distribution_path).as_posix() for file in builder(str(ROOT)).recurse_included_files()}


def test_the_source_distribution_holds_the_tools_of_its_checks_but_not_wine():
    found = shipped(SdistBuilder)
    assert {
        "dev.py",
        "constraints.txt",
        "tools/environment.py",
        "tests/conftest.py",
        "artifact_store/store.py",
    } <= found
    assert not [name for name in found if name.startswith("tools/windows")]


def test_the_wheel_holds_the_package_and_nothing_else():
    found = shipped(WheelBuilder)
    assert "artifact_store/store.py" in found
    assert {name.partition("/")[0] for name in found} == {"artifact_store"}
