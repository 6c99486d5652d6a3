"""A history that was copied is the one that would be there if each publish had been made there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.core.names import ModelKey
from artifact_store.core.origin import Origin
from artifact_store.core.pointer import PublishInfo, advance
from artifact_store.core.replay import parting, replay
from tests.unit.samples import NOW, manifest

pytestmark = pytest.mark.windows

KEY = ModelKey("gru", "BTCEUR")
RUNS = [manifest(run_id=f"2024010{day}_000000") for day in (1, 2, 3)]


def published(times, seed):
    """The pointers and the blocks of an alias that was moved so often, retired now and then."""
    pointer, blocks, pointers, past = None, [], [], []
    for number in range(times):
        run = ([*RUNS, None])[(seed + number * number) % 4]
        step = advance(pointer, KEY, "latest", run, PublishInfo(f"{number:032x}", NOW, "ann", f"turn {number}"))
        pointer, blocks = step.pointer, [*blocks, *step.blocks]
        pointers.append((pointer, len(blocks), run))
        past.append(pointer.current)
    return pointers, blocks, past


@given(times=st.integers(1, 140), seen=st.integers(0, 139), seed=st.integers(0, 7))
def test_what_is_replayed_is_what_would_have_been_published(times, seen, seed):
    seen = min(seen, times - 1)
    pointers, blocks, past = published(times, seed)
    there, archived, _ = pointers[seen - 1] if seen else (None, 0, None)
    wanted, _, run = pointers[-1]
    step = replay(there, KEY, "latest", past, run)
    assert step.pointer.to_bytes() == wanted.to_bytes()
    assert [block.to_bytes() for block in step.blocks] == [block.to_bytes() for block in blocks[archived:]]


@given(times=st.integers(1, 8), common=st.integers(0, 8), more=st.integers(0, 3))
def test_two_histories_part_where_they_begin_to_differ(times, common, more):
    _, _, past = published(times, 0)
    common = min(common, times)
    other = [
        *past[:common],
        *(entry.model_copy(update={"reason": "another"}) for entry in past[common : common + more]),
    ]
    assert parting(past, other) == parting(other, past) == common


@pytest.mark.parametrize("field", ["model_type", "symbol", "run_id", "store_id", "origin", "manifest_sha256"])
def test_a_record_of_origin_is_about_one_run_in_one_store(field):
    run = RUNS[0]
    about = {"model_type": "gru", "symbol": "BTCEUR", "run_id": run.run_id, "store_id": "here", "origin": run.store_id}
    record = Origin(**about, manifest_sha256=run.digest, at=NOW, by="ann")
    assert record.admits(run, "here")
    assert not record.admits(run, "elsewhere")
    other = {"run_id": "20240109_000000", "manifest_sha256": "0" * 64}.get(field, "other")
    assert not record.model_copy(update={field: other}).admits(run, "here")
    assert Origin.from_bytes(record.to_bytes(), what="it") == record
    assert record.storage_key == f"gru/BTCEUR/{run.run_id}/_signatures/{run.digest[:16]}.origin.json"
