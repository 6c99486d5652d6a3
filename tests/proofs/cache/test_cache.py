"""The short form: few processes for a few seconds, killed and damaged all the same."""

from pathlib import Path

import pytest

from tests.little_room import small_disk
from tests.proofs.cache import crew


@pytest.mark.timeout(300)
def test_no_wrong_byte_comes_out_of_a_cache_and_its_limit_holds(tmp_path: Path) -> None:
    total = crew.save_all(tmp_path / "store")
    result = crew.prove(tmp_path / "store", tmp_path / "cache", processes=3, seconds=4, limit=total // 3)
    assert list(result.violations) == []
    assert result.damages


@pytest.mark.timeout(300)
def test_nor_where_its_disk_is_full(tmp_path: Path) -> None:
    total = crew.save_all(tmp_path / "store")
    with small_disk(tmp_path / "disk", f"{total // 5 >> 10}k") as disk:
        result = crew.prove(tmp_path / "store", disk / "cache", processes=3, seconds=4, limit=total // 3)
    assert list(result.violations) == []
