"""The rows of the benchmarks in their quick form: requests, steps and memory stay within what the rows say; never time."""

import pytest

from artifact_store.storage import budget
from benchmarks.measuring import Driver, Options
from benchmarks.peers.raw_obstore import WIDTH
from benchmarks.places import Places
from benchmarks.program import exceeded
from benchmarks.rows import BY_NAME, ROWS
from benchmarks.workloads import aliases

RTT_MS = 100  # so long that what is sent together overlaps, however busy the machine is
SHORT = ("load-500", "list-20ms", "history", "load-1gib")
"""What each change is tried with: many files, a listing, a history, memory."""


@pytest.fixture(scope="module")
def places(seaweed, tmp_path_factory):
    with Places(tmp_path_factory.mktemp("bench"), rtt_ms=RTT_MS, server=seaweed) as places:
        yield places


def held(places, name, *ways):
    """Measure what has limits of a row, or these ways of it."""
    row = BY_NAME[name]
    chosen = ways or sorted({limit.way for limit in row.limits})
    result = Driver(places, Options(repeat=1, quick=True, ways=chosen), print).measure(row)
    assert [way.failed or way.left_out for way in result.ways if not way.figures] == []
    assert result.limits
    assert not result.exceeded(), exceeded(result)


@pytest.mark.parametrize("name", SHORT)
def test_through_obstore_a_row_keeps_its_limits_of_requests_steps_and_memory(places, name):
    held(places, name, "artifact-store")


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.limits])
def test_every_row_keeps_its_limits_of_requests_steps_and_memory(places, name):
    held(places, name)


def test_the_floor_has_as_many_requests_under_way_as_the_store():
    assert (WIDTH, aliases.WIDTH) == (budget.SMALL_AT_ONCE, budget.MOST_AT_ONCE)
