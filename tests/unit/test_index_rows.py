"""Rows, notices and heads of the catalog index, as values: what is taken from outside, and what is refused."""

import json
import math
from datetime import timedelta

import pytest

from artifact_store.core import keys
from artifact_store.core.index_rows import (
    LARGEST,
    MAX_LINE,
    SMALL,
    BlockHead,
    Notice,
    Row,
    count_to_merge,
    is_sound,
    lines_of,
    merged,
    metric_number,
    needle,
    parse_lines,
)
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import PublishInfo
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import Corrupt, FormatTooNew
from tests.unit.samples import KEY, NOW, RUN_ID, manifest

pytestmark = pytest.mark.windows

DAY = timedelta(days=1)
INFO = PublishInfo("5d3f0a6b" + "0" * 24, NOW, "somebody", "")


def live(**changes):
    """The row of a sound run, as JSON, with ``changes``."""
    return {**json.loads(Row.of(manifest(metrics={"sharpe": 1.4}, tags={"fold": "7"})).line), **changes}


def run(number, state="live", model="gru/A"):
    return {"model": model, "run_id": f"2024010{number}_000000", "state": state}


# ---------------------------------------------------------------- rows


def test_a_row_says_what_a_listing_shows_of_a_run():
    run = manifest(metrics={"sharpe": 1.4, "loss": "NaN"}, tags={"fold": "7"}, description="a try")
    row = Row(json.loads(Row.of(run).line)).check()
    assert (row.key, row.run_id, row.label) == (KEY, RunId(RUN_ID), run.label)
    assert (row.created_at, row.metrics, row.tags) == (NOW, run.metrics, run.tags)
    assert (row.description, row.size, row.file_count) == ("a try", run.size, run.file_count) == ("a try", 2, 1)
    assert row.value["manifest_sha256"] == run.digest


def test_the_row_of_a_manifest_holds_it_and_any_other_reads_it_once():
    run, read = manifest(), []
    assert Row.of(run).is_read
    assert Row.of(run).manifest is run
    row = Row(live())
    row.load = lambda asked: read.append(asked) or run
    assert not row.is_read
    assert row.manifest is row.manifest is run
    assert read == [row]


def test_of_a_deleted_run_a_row_says_only_that():
    row = Row.of(Tombstone.mark(manifest(), INFO))
    assert json.loads(row.line) == {
        "model": "gru/BTCEUR",
        "model_type": "gru",
        "run_id": RUN_ID,
        "state": "gone",
        "symbol": "BTCEUR",
    }
    assert row.check() is row
    assert Row.none(("gru/BTCEUR", RUN_ID)).value["state"] == "gone"


def test_a_row_that_would_be_too_long_says_only_which_run_it_is():
    assert json.loads(Row.of(manifest(description="x" * MAX_LINE)).line)["state"] == "large"


@pytest.mark.parametrize(
    "wrong",
    [
        {"created_at": "yesterday"},
        {"created_at": 5},
        {"manifest_sha256": "f" * 63},
        {"manifest_sha256": None},
        {"metrics": ["sharpe"]},
        {"metrics": {"sharpe": "much"}},
        {"metrics": {"sharpe": 10**400}},
        {"metrics": {"sharpe": True}},
        {"tags": {"fold": 7}},
        {"tags": None},
        {"description": None},
        {"files": -1},
        {"size": 1.5},
        {"size": 1 << 63},
        {"size": True},
    ],
    ids=str,
)
def test_a_row_with_another_field_than_we_write_is_not_used(wrong):
    assert is_sound(live())
    assert not is_sound(live(**wrong))
    with pytest.raises(Corrupt, match="index --rebuild"):
        Row(live(**wrong)).check()


@pytest.mark.parametrize(
    "wrong", [{"model": "GRU/x y"}, {"run_id": "../latest"}, {"run_id": "20249999_000000"}], ids=str
)
def test_a_row_about_what_is_no_run_is_not_used(wrong):
    with pytest.raises(Corrupt, match="index --rebuild"):
        Row(live(**wrong)).check()


def test_a_row_of_a_day_that_does_not_exist_is_corrupt_when_it_is_asked_for():
    with pytest.raises(Corrupt, match="index --rebuild"):
        _ = Row(live(created_at="2024-02-31T00:00:00.000000Z")).created_at


@pytest.mark.parametrize(
    "wrong",
    [
        {"description": "\ud800"},
        {"metrics": {"sharpe": math.inf}},
        {"metrics": {"sharpe": math.nan}},
        {"tags": None},
        {"created_at": "2024-02-31T00:00:00.000000Z"},
        {"state": "gone", "more": "x" * MAX_LINE},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_row_that_is_none_of_ours_goes_into_no_block_and_its_manifest_is_read(wrong):
    (line,) = lines_of([live(**wrong)])
    assert json.loads(line) == {
        **{name: live()[name] for name in ("model", "model_type", "run_id", "symbol")},
        "state": "large",
    }


def test_a_row_about_no_run_that_cannot_be_written_is_left_out():
    assert list(lines_of([live(model="gru/\ud800"), live(run_id="\ud800"), live()])) == [Row(live()).line]


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"sharpe": 1.5}},
        {"metrics": {}},
        {"tags": {}},
        {"description": "another"},
        {"size": 3},
        {"files": 2},
        {"created_at": "2024-02-01T00:00:00.000000Z"},
        {"manifest_sha256": "0" * 64},
    ],
    ids=str,
)
def test_whatever_else_a_row_says_shows_in_its_fingerprint(changes):
    assert Row(live(**changes)).fingerprint != Row(live()).fingerprint


def test_the_form_of_a_number_makes_no_other_fingerprint():
    written = Row.of(manifest(metrics={"a": 1, "b": "NaN", "c": "-Infinity", "d": -0.0, "e": 2**60}))
    as_doubles = {**written.value, "metrics": {"e": 2.0**60, "d": 0.0, "c": -math.inf, "b": math.nan, "a": 1.0}}
    assert Row(as_doubles).fingerprint == Row(json.loads(written.line)).fingerprint == written.fingerprint


def test_metrics_are_numbers_or_the_texts_that_stand_for_some():
    assert [metric_number(value) for value in (1, 1.5, "Infinity")] == [1.0, 1.5, math.inf]
    assert math.isnan(metric_number("NaN"))
    assert [metric_number(value) for value in (True, None, "1", [1], 10**400)] == [None] * 5


# ---------------------------------------------------------------- lines and blocks


def test_lines_are_decoded_at_once():
    assert parse_lines(
        '{"model":"m","run_id":"r","state":"live"}\n{"model":"n","run_id":"r","state":"gone"}', "it"
    ) == [
        {"model": "m", "run_id": "r", "state": "live"},
        {"model": "n", "run_id": "r", "state": "gone"},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 50_000,
        "1" * 5_000,
        "7",
        '{"model":"m"}',
        '{"model":"m","run_id":7,"state":"live"}',
        '{"model":"m","run_id":"r","state":["live"]}',
        '{"model":"m","run_id":"r","state":"live"},{"model":"m","run_id":"r","state":"live"}',
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_lines_about_runs_is_corrupt(text):
    with pytest.raises(Corrupt, match="index --rebuild"):
        parse_lines(text, "it")


def test_a_line_about_a_model_is_found_by_a_text_in_it():
    for key in (KEY, ModelKey("gru"), ModelKey("gru", "BTC/USDT"), ModelKey("gru", 'quo"ted')):
        assert needle(key) in Row.of(manifest(model_type="gru", symbol=key.symbol)).line.decode()
    assert needle(ModelKey("gru", "BTC")) not in Row.of(manifest()).line.decode()


def test_the_newest_block_says_what_is_so_of_a_run():
    old = [run(1), run(2), run(1, model="gru/B")]
    new = [run(2, "gone"), run(3)]
    assert list(merged([new, old])) == [
        ("gru/A", [run(1), run(2, "gone"), run(3)]),
        ("gru/B", [run(1, model="gru/B")]),
    ]
    assert next(iter(merged([old, new]))) == ("gru/A", [run(1), run(2), run(3)])
    assert list(merged([])) == []


def test_small_blocks_are_merged_and_large_ones_left_alone():
    assert count_to_merge([], 0) == 0
    assert count_to_merge([SMALL, SMALL, 3 * SMALL, 100 * SMALL], 0) == 3
    assert count_to_merge([SMALL, LARGEST + 1, SMALL], LARGEST) == 1


# ---------------------------------------------------------------- notices


def notice(kind="saved", token="5d3f0a6b"):
    return Notice.named(keys.index_notice(kind, KEY, RUN_ID, token).removeprefix(keys.INDEX))


def test_a_notice_is_known_by_its_name():
    found = notice("gone")
    assert (found.kind, found.key, found.run_id, found.token) == ("gone", KEY, RUN_ID, "5d3f0a6b")
    assert found.order == ("gru/BTCEUR", RUN_ID)
    assert Notice.named("saved/something") is None


def test_a_save_is_settled_when_there_is_a_run_or_there_will_be_none():
    assert not notice().is_settled(None, DAY, 7 * DAY)
    assert notice().is_settled(None, 7 * DAY, 7 * DAY)
    assert notice().is_settled(manifest(), 0 * DAY, 7 * DAY)
    assert notice().is_settled(Tombstone.never_committed(KEY, RUN_ID, INFO), 0 * DAY, 7 * DAY)


def test_a_deletion_is_settled_by_its_own_tombstone_and_by_no_other():
    stone = Tombstone.mark(manifest(), INFO)
    assert notice("gone").is_settled(stone, 0 * DAY, 7 * DAY)
    assert notice("gone").is_settled(stone.sealed(PublishInfo("f" * 32, NOW, "gc", "")), 0 * DAY, 7 * DAY)
    assert not notice("gone", "ffffffff").is_settled(stone, 0 * DAY, 7 * DAY)
    assert not notice("gone").is_settled(manifest(), 0 * DAY, 7 * DAY)
    assert notice("gone").is_settled(manifest(), 7 * DAY, 7 * DAY)


def test_bringing_back_is_settled_when_the_run_is_there():
    assert notice("back").is_settled(manifest(), 0 * DAY, 7 * DAY)
    assert not notice("back").is_settled(Tombstone.mark(manifest(), INFO), 0 * DAY, 7 * DAY)


# ---------------------------------------------------------------- heads


def test_a_head_comes_back_as_it_was():
    head = BlockHead(7, NOW, (5, 2), {"saved/b": NOW, "saved/a": NOW, "gone/c": NOW + DAY})
    assert BlockHead.parse(head.line.decode(), 7, "it") == head


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 8},
        {"generation": None},
        {"blocks": [7]},
        {"blocks": [2, 5]},
        {"blocks": [5, 5]},
        {"blocks": [-1]},
        {"blocks": ["x"]},
        {"blocks": [math.inf]},
        {"blocks": None},
        {"at": "now"},
        {"at": None},
        {"settled": []},
        {"settled": {"now": []}},
        {"settled": {"2024-01-01T00:00:00.000000Z": 5}},
        {"format": None},
    ],
    ids=str,
)
def test_a_head_that_is_none_of_ours_is_corrupt(changes):
    value = json.loads(BlockHead(7, NOW, (5, 2)).line)["index"]
    with pytest.raises(Corrupt, match="index --rebuild"):
        BlockHead.parse(json.dumps({"index": {**value, **changes}}), 7, "it")


@pytest.mark.parametrize("line", ["", "7", "[]", "{}", '{"index":7}', "[" * 50_000], ids=lambda line: line[:20])
def test_a_first_line_that_is_no_head_is_corrupt(line):
    with pytest.raises(Corrupt, match="index --rebuild"):
        BlockHead.parse(line, 7, "it")


def test_the_head_of_a_newer_release_is_known_as_that():
    with pytest.raises(FormatTooNew, match=r"2\.0"):
        BlockHead.parse('{"index":{"format":"2.0"}}', 7, "it")
