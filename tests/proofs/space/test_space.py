"""The short form: few processes and little data, killed all the same."""

import pytest

from tests.proofs.space.killed import kill_savers
from tests.stores import place_of


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["local", "obstore", "s3fs"])
def test_temporary_space_is_back_after_the_next_save(engine, request, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    result = kill_savers(place_of(engine, request), temporary, processes=4, megabytes=11)
    assert list(result.violations) == []
