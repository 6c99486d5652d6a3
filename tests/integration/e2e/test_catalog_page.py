"""What ``docs/catalog.md`` shows: questions to a store, and other programs that read the index as it lies."""

import re
from pathlib import Path

import pytest

from artifact_store import ArtifactStore

PAGE = (Path(__file__).parents[3] / "docs" / "catalog.md").read_text(encoding="utf-8")
BEST = {"gru/BTCEUR": 3.0, "gru/ETHEUR": 2.5}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with two blocks, of which the newer one says that the best run of the older one is gone."""
    store = ArtifactStore(tmp_path / "models")
    doomed = store.save({}, "gru/BTCEUR", metrics={"sharpe": 9}, tags={"fold": 7}, config={"lr": 0.1}, publish="never")
    for key, value in (("gru/BTCEUR", 3), ("gru/BTCEUR", 1), ("gru/ETHEUR", 2.5)):
        store.save({}, key, metrics={"sharpe": value, "rmse": 0.1}, tags={"fold": 7}, config={"lr": 0.001})
    store.index.compact()
    store.delete(doomed).apply()
    store.index.compact()
    monkeypatch.chdir(tmp_path)
    return store


def test_every_question_on_the_page_has_an_answer(store):
    questions = blocks("python")[0].splitlines()
    found = {line: eval(line.partition("#")[0], {"store": store}) for line in questions}
    assert {line: len(list(runs)) for line, runs in found.items()} == dict(zip(questions, (1, 2, 3, 3), strict=True))


def test_polars_reads_the_index_as_the_page_shows(store):
    pytest.importorskip("polars")
    names = {}
    exec(blocks("python")[1], names)
    assert dict(zip(names["best"]["model"], names["best"]["sharpe"], strict=True)) == BEST
    assert sorted(names["runs"]["run_id"]) == sorted(str(run.run_id) for run in store.runs())


def test_pyarrow_reads_the_index_as_the_page_shows(store):
    names = {}
    exec(blocks("python")[2], names)
    assert {row["run_id"] for row in names["rows"] if row["state"] == "live"} >= {run.run_id for run in store.runs()}


def test_duckdb_reads_the_index_as_the_page_shows(store):
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(blocks("sql")[0]).fetchall()
    assert {model: sharpe for model, _, sharpe in found} == BEST


def test_duckdb_and_polars_read_the_lines_as_well(store):
    polars = pytest.importorskip("polars")
    where = str(Path("models/_index/blocks/0000000001.jsonl.gz"))
    lines = polars.read_ndjson(where, infer_schema_length=None)
    assert lines.filter(polars.col("state") == "live").height == 4
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql(f"SELECT count(*) FROM '{where}' WHERE state = 'live'").fetchall() == [(4,)]
