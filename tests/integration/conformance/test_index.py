"""The catalog index, on every backend alike: listings are the same with it and without, whatever becomes of it."""

import gzip
import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from artifact_store import LoadPolicy, errors
from artifact_store.core import keys
from artifact_store.ops import index_parquet, index_writing
from artifact_store.storage.base import Always
from tests.keys import signer, strict

pytestmark = pytest.mark.windows

KEY, OTHER = "gru/BTCEUR", "gbm/ETH;2FEUR"
QUESTIONS = (
    {},
    {"limit": 2},
    {"tags": {"fold": 1}},
    {"where": "sharpe > 0.5"},
    {"where": ["sharpe < 2", "tags.fold = 0"]},
    {"where": lambda run: run.metrics.get("sharpe", 0) > 0.5},
    {"where": lambda run: run.config.get("number", 0) % 2 == 0, "limit": 1},
    {"order_by": "-sharpe", "limit": 3},
    {"order_by": "loss", "per_model": 1},
    {"order_by": "-created_at", "per_model": 1, "where": "sharpe >= 0"},
    {"per_model": 1},
)


def fill(store, count=4):
    runs = []
    for number in range(count):
        for key in (KEY, OTHER):
            metrics = {"sharpe": (number * 7) % 5 / 2, "loss": math.nan if number == 1 else -number, "n": number}
            runs.append(
                store.save({"n": number}, key, config={"number": number}, metrics=metrics, tags={"fold": number % 2})
            )
    return runs


def compare(store, *modes):
    """Compare what a listing shows of runs with what the manifests say, for many questions."""
    for question in QUESTIONS:
        for key in (None, KEY):
            truth = [described(run) for run in store.runs(key, index="off", **question)]
            for mode in modes or ("checked", "only"):
                found = store.runs(key, index=mode, **question)
                assert [described(run) for run in found] == truth, (key, question, mode)
                assert found.problems == []


def described(run):
    metrics = {name: repr(float(value)) for name, value in run.metrics.items()}
    return str(run.ref), run.created_at, metrics, run.tags, run.description, run.size, run.file_count


def objects(store, folder=""):
    backend = store._context.backend
    return {entry.key.removeprefix(keys.INDEX): entry.size for entry in backend.list(f"{keys.INDEX}{folder}")}


def newest_block(store):
    return keys.index_block(store.index.status().generation, "jsonl.gz")


def write(store, key, data):
    store._context.backend.write(key, data, when=Always())


# ---------------------------------------------------------------- the same with it and without


def test_a_listing_is_the_same_by_the_index_and_without(store, open_store):
    runs = fill(store)
    compare(store, "checked")  # there is none yet
    assert store.index.compact().rows == len(runs)
    compare(store)
    fill(store, 1)
    doomed = runs[2]
    store.delete(doomed).apply()
    compare(open_store())
    assert store.index.compact()
    compare(open_store())
    store.undelete(doomed)
    compare(open_store())
    assert store.index.compact()
    assert store.index.status().unsettled == 0
    compare(open_store())
    assert not store.index.compact()  # nothing new
    assert store.index.rebuild()
    compare(open_store())


def test_the_copies_in_parquet_and_the_lines_give_the_same_answers(store, monkeypatch):
    fill(store)
    store.index.compact()
    store.delete(fill(store, 2)[0]).apply()
    store.index.compact()
    assert {form.partition(".")[2] for form in objects(store, "blocks/")} == {"jsonl.gz", "parquet"}
    compare(store, "only")
    monkeypatch.setattr(index_parquet, "can_copy", lambda: False)
    compare(store, "only")
    fill(store, 1)
    store.index.rebuild()  # without pyarrow
    compare(store, "only")
    monkeypatch.undo()
    compare(store, "only")


def test_a_run_from_the_index_is_a_run_like_any_other(store, open_store):
    fill(store)
    store.index.compact()
    other = open_store()
    run = next(iter(other.runs(KEY)))
    assert run == store.get(KEY)
    assert run.manifest.digest == store.get(KEY).manifest.digest
    assert run.load() == {"n": 3}
    assert [run.config["number"] for run in other.runs(KEY)] == [3, 2, 1, 0]
    listed = list(other.runs(KEY))
    assert [run.config["number"] for run in reversed(listed)] == [0, 1, 2, 3]
    if store._context.backend.engine == "local":  # the others do not go to another process, or not with credentials
        assert pickle.loads(pickle.dumps(next(iter(other.runs(KEY))))).load() == {"n": 3}


def test_a_run_of_which_a_row_would_be_too_long_is_looked_at(store):
    store.save({"n": 1}, KEY, description="x" * 100_000, metrics={"sharpe": 1})
    store.save({"n": 2}, KEY, metrics={"sharpe": 2})
    store.index.compact()
    compare(store)


# ---------------------------------------------------------------- kept fresh


def test_a_save_tells_the_index_and_so_does_a_deletion_before_it_happens(store):
    run = fill(store, 1)[0]
    store.save({"n": 2}, KEY)
    name = f"gru@BTCEUR@{run.run_id}@"
    assert [key.rpartition("@")[0] + "@" for key in objects(store, "saved/") if name in key] == [f"saved/{name}"]
    assert objects(store, "gone/") == {}
    store.delete(run).apply()
    (gone,) = objects(store, "gone/")
    assert gone.startswith(f"gone/{name}")
    stone = store._context.records.run(run.key, run.run_id).value
    assert stone.write_id.startswith(gone.rpartition("@")[2])
    store.undelete(run)
    assert len(objects(store, "back/")) == 1


def test_a_notice_of_a_save_that_never_was_committed_shows_no_run(store):
    fill(store, 1)
    store.index.compact()
    write(store, f"{keys.INDEX}saved/gru@BTCEUR@20240101_000000@00000000", b"{}")
    write(store, f"{keys.INDEX}saved/gru@LTC@20240101_000000@00000000", b"{}")
    compare(store)
    assert not store.index.compact()  # it may still come
    compare(store)


def test_what_the_index_was_not_told_is_listed_all_the_same_and_a_rebuild_finds_it(store):
    fill(store, 1)
    store.index.compact()
    run = store.save({"n": 2}, KEY, metrics={"sharpe": 9})
    for name in objects(store, "saved/"):
        store._context.backend.delete(keys.INDEX + name)
    compare(store, "checked")
    assert str(run.ref) not in {str(found.ref) for found in store.runs(index="only")}
    assert store.index.rebuild()
    compare(store)


def test_a_deletion_that_may_still_come_is_believed_by_no_block(store):
    """The notice of a mark stays until that very mark is there: a deleted run is never listed from the index."""
    run = fill(store, 1)[0]
    store.retire(f"{KEY}@latest")
    store.index.compact()
    stone = []
    records = type(store._context.records)
    whole = records.write

    def late(self, document, *, over):
        if not stone:  # another client compacts between the notice and the mark
            stone.append(document)
            store.index.compact()
        return whole(self, document, over=over)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "write", late)
        store.delete(run).apply()
    assert stone
    compare(store)
    assert store.index.compact()
    compare(store)


def test_of_several_clients_that_compact_one_writes_the_block(store, open_store):
    fill(store, 2)
    clients = [open_store() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda client: client.index.rebuild(), clients))
    assert any(found)
    assert all(one or "another client" in one.detail for one in found)  # or has written the very same
    assert store.index.status().rows == 4
    compare(store)


def test_gc_takes_in_what_has_piled_up_and_removes_what_is_not_needed_any_more(store, monkeypatch):
    monkeypatch.setattr(index_writing, "PILED", 3)
    fill(store, 2)
    (step,) = [step for step in store.gc().changes if step.target == keys.INDEX]
    assert (step.action, "4 saves" in step.reason) == ("fix", True)
    assert [one.result for one in store.gc().apply()] == ["fixed"]
    assert store.gc().changes == ()  # not yet: who lists at this moment may need them
    store.save({"n": 9}, KEY)
    store.index.rebuild()
    monkeypatch.setattr(index_writing, "REMOVED_AFTER", timedelta(0))
    targets = {step.target.removeprefix(keys.INDEX) for step in store.gc().changes}
    newest = {name for name in objects(store, "blocks/") if "0000000002" in name}
    assert targets == objects(store).keys() - newest
    assert {one.result for one in store.gc().apply()} == {"cleared"}
    assert objects(store).keys() == newest
    compare(store)


# ---------------------------------------------------------------- never the truth


def damaged(data):
    yield "empty", b""
    yield "cut", data[: len(data) // 2]
    yield "flipped", data[:-6] + bytes([data[-6] ^ 1]) + data[-5:]
    yield "text", b"what is this"
    yield "no rows", gzip.compress(b'{"index":{}}\n')
    yield "bomb", gzip.compress(bytes(50_000_000))


def test_a_damaged_index_is_passed_over_and_made_anew(store):
    runs = fill(store)
    store.index.compact()
    place = newest_block(store)
    data = store._context.backend.read(place, limit=1 << 20).data
    for name in objects(store, "blocks/"):
        if name.endswith("parquet"):
            store._context.backend.delete(keys.INDEX + name)
    for name, wrong in damaged(data):
        write(store, place, wrong)
        compare(store, "checked")
        with pytest.raises(errors.Corrupt, match="index --rebuild"):
            list(store.runs(index="only"))
        status = store.index.status()
        assert not status.ok, name
        report = store.doctor(probes=False)
        assert report.ok
        assert "index-corrupt" in report.codes, name
    assert {one.result for one in report.repair().apply()} == {"rebuilt"}
    assert (store.index.status().generation, store.index.status().rows) == (2, len(runs))
    assert store.doctor(probes=False).codes.count("index-corrupt") == 0
    compare(store)
    assert len(list(store.runs(index="only"))) == len(runs)


def rewritten(store, change):
    """Let every row of the newest block be what ``change`` makes of it."""
    place = newest_block(store)
    head, *rows = gzip.decompress(store._context.backend.read(place, limit=1 << 20).data).splitlines()
    lines = [json.dumps(change(json.loads(row)), separators=(",", ":")).encode() for row in rows]
    write(store, place, gzip.compress(b"\n".join([head, *lines, b""])))
    for name in objects(store, "blocks/"):
        if name.endswith("parquet"):
            store._context.backend.delete(keys.INDEX + name)


@pytest.mark.parametrize(
    "wrong",
    [{"metrics": {"sharpe": [1]}}, {"metrics": {"sharpe": 10**400}}, {"created_at": 7}, {"tags": 7}, {"size": "all"}],
    ids=str,
)
def test_a_row_that_is_none_of_ours_is_looked_at_and_never_used(store, wrong):
    fill(store, 2)
    store.index.compact()
    rewritten(store, lambda row: {**row, **wrong})
    compare(store, "checked")
    for question in ({}, {"order_by": "-sharpe", "limit": 1}, {"where": lambda run: run.metrics["sharpe"] > 0}):
        with pytest.raises(errors.Corrupt, match="index --rebuild"):
            list(store.runs(index="only", **question))


def test_a_copy_that_pyarrow_refuses_is_passed_over(store):
    fill(store)
    store.index.compact()
    (copy,) = [name for name in objects(store, "blocks/") if name.endswith("parquet")]
    data = store._context.backend.read(keys.INDEX + copy, limit=1 << 20).data
    for wrong in (b"", b"PAR1", data[:-9], data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :]):
        write(store, keys.INDEX + copy, wrong)
        compare(store, "only")


@pytest.mark.parametrize("column", ["model", "run_id", "state"])
def test_a_copy_with_a_row_that_names_no_run_is_passed_over(store, column):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    fill(store)
    store.index.compact()
    place = keys.index_block(1, "parquet")
    table = pq.read_table(pa.BufferReader(store._context.backend.read(place, limit=1 << 20).data))
    number, out = table.schema.get_field_index(column), pa.BufferOutputStream()
    holes = pa.nulls(table.num_rows, pa.string())
    pq.write_table(table.set_column(number, table.schema.field(column), holes), out)
    write(store, place, out.getvalue().to_pybytes())
    compare(store)


def test_what_is_loaded_goes_by_the_manifest_whatever_the_index_says(store):
    run = fill(store, 1)[0]
    store.index.compact()
    rewritten(store, lambda row: {**row, "manifest_sha256": "0" * 64, "metrics": {"sharpe": 99}})
    found = next(iter(store.runs(KEY)))
    assert found.metrics == {"sharpe": 99}
    with pytest.raises(errors.Corrupt, match="index --rebuild"):
        found.load()
    assert store.load(KEY) == {"n": 0}
    assert store.get(str(run.ref)).metrics["sharpe"] == 0
    report = store.doctor(probes=False)
    assert report.ok
    (finding,) = [finding for finding in report if finding.code == "index-wrong"]
    assert "2 runs" in finding.message
    assert report.repair().apply().ok
    compare(store)


@pytest.mark.parametrize(
    "changes",
    [{"metrics": {"sharpe": 99}}, {"tags": {"fold": "9"}}, {"description": "the best"}, {"size": 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_run_that_was_chosen_by_what_its_manifest_does_not_say_is_not_opened(store, changes):
    fill(store, 1)
    store.index.compact()
    rewritten(store, lambda row: {**row, **changes})
    for mode in ("checked", "only"):
        for act in (lambda run: run.load(), lambda run: store.promote(run, "best")):
            with pytest.raises(errors.Corrupt, match="index --rebuild"):
                act(next(iter(store.runs(KEY, order_by="-sharpe", limit=1, index=mode))))
    report = store.doctor(probes=False)
    assert "index-wrong" in report.codes
    assert report.repair().apply().ok
    assert next(iter(store.runs(KEY, order_by="-sharpe", limit=1))).load() == {"n": 0}


def test_rows_that_are_none_of_ours_are_carried_into_no_block(store):
    fill(store, 1)
    store.index.compact()
    rewritten(
        store, lambda row: {**row, "description": "\ud800"} if row["symbol"] == "BTCEUR" else {**row, "size": 1e999}
    )
    fill(store, 1)
    assert store.index.compact().rows == 4
    assert store.index.status().ok
    assert "blocks/0000000002.parquet" in objects(store)
    compare(store)


def test_after_the_last_number_a_rebuild_says_how_to_begin_anew(store):
    fill(store, 1)
    store.index.compact()
    write(store, keys.index_block(10**10 - 1, "jsonl.gz"), b"what is this")
    compare(store, "checked")
    with pytest.raises(errors.Corrupt, match="remove '_index/' as a whole"):
        store.index.rebuild()
    assert not store.doctor(probes=False).repair().apply().ok
    for name in objects(store):
        store._context.backend.delete(keys.INDEX + name)
    assert store.index.rebuild()
    compare(store)


def test_a_run_that_a_client_without_an_index_has_deleted_is_found_by_doctor(store):
    run = fill(store, 2)[0]
    store.index.compact()
    store.delete(run).apply()
    for name in objects(store, "gone/"):  # as if it had told nobody
        store._context.backend.delete(keys.INDEX + name)
    assert "index-wrong" in store.doctor(probes=False).codes
    assert store.index.rebuild()
    assert "index-wrong" not in store.doctor(probes=False).codes
    compare(store)


def test_an_index_of_a_newer_release_is_left_alone(store):
    fill(store, 1)
    store.index.compact()
    write(store, keys.index_block(2, "jsonl.gz"), gzip.compress(b'{"index":{"format":"2.0"}}\n'))
    compare(store, "checked")
    with pytest.raises(errors.FormatTooNew):
        store.index.compact()
    assert "format-too-new" in store.doctor(probes=False).codes


def test_where_signatures_are_required_the_index_is_not_asked(store, open_store):
    open_store(signer=signer()).save({"n": 1}, KEY)
    store.save({"n": 2}, KEY, publish="never")
    store.index.compact()
    listing = open_store(policy=strict()).runs(KEY)
    assert len(list(listing)) == 1
    assert len(listing.problems) == 1
    with pytest.raises(errors.InvalidOption, match="proves nothing"):
        list(open_store(policy=strict()).runs(KEY, index="only"))
    assert len(list(open_store(policy=LoadPolicy()).runs(KEY))) == 2


# ---------------------------------------------------------------- without


def test_without_an_index_a_listing_by_it_alone_says_how_to_make_one(store):
    fill(store, 1)
    with pytest.raises(errors.NotFound, match="index --rebuild"):
        list(store.runs(index="only"))
    assert store.index.status().generation is None
    with pytest.raises(errors.InvalidOption, match="checked"):
        store.runs(index="maybe")


def test_a_root_without_a_store_gets_no_index(store):
    for write_index in (store.index.compact, store.index.rebuild):
        with pytest.raises(errors.NotAStore):
            write_index()
    assert not store.exists()
