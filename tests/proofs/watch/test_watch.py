"""The short form: few watchers, few publishes, and a server that is killed all the same."""

import pytest

from tests.proofs.watch.trading import trade


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_every_watcher_ends_on_the_last_good_run_and_no_prediction_fails(engine):
    result = trade(engine, watchers=8, publishes=5, kills=1)
    assert result.violations == []
    assert (result.publishes, result.broken, result.kills) == (5, 1, 1)
    assert result.predictions > 0
    assert result.changes >= 5
