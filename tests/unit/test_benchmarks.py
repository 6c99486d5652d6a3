"""The program of the benchmarks without measuring: its rows, its page, its comparison and its picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("resource", reason="the benchmarks measure with getrusage, which Windows has not")

from benchmarks import plot, program, report
from benchmarks.model import Goal, Measured, Report, RowResult
from benchmarks.rows import BY_NAME, ROWS

FLOOR = Measured("floor", "", {"seconds": 2.0, "cpu": 1.0, "requests": 2}, ({"seconds": 2.0},))
OURS = Measured("ours", "floor", {"seconds": 3.0, "cpu": 2.0, "requests": 4}, ({"seconds": 3.0},))
ROW = RowResult(
    "row",
    "a title",
    "line",
    "seconds",
    {"runs": 5},
    (FLOOR, OURS, Measured("peer", "floor", left_out="measured with --peers"), Measured("bad", "floor", failed="a\nb")),
    (Goal("ours", "seconds", 1.6, "floor"), Goal("ours", "requests", 3), Goal("peer", "cpu", 1)),
    (),
    7.0,
)
TOLD = Report({"date": "today"}, quick=False, rows=(ROW,))


def test_rows_have_names_of_their_own_and_goals_name_ways_that_they_have() -> None:
    assert len(BY_NAME) == len(ROWS)
    for row in ROWS:
        ways = [way.name for way in row.ways]
        assert len(set(ways)) == len(ways), row.name
        assert {way.over for way in row.ways} | {row.offset} <= {"", *ways}, row.name
        assert {goal.way for goal in (*row.goals, *row.limits)} <= set(ways), row.name
        assert {goal.over for goal in row.goals} <= {"", *ways}, row.name
        assert {goal.measure for goal in row.limits}.isdisjoint({"seconds", "cpu"}), row.name
        assert row.kind == "line" or not {"requests", "depth"} & {goal.measure for goal in row.goals}, row.name


def test_the_page_has_ratios_verdicts_and_why_something_is_not_there() -> None:
    page = report.page(TOLD)
    assert "| `row` | a title | ours | 1.6 x floor (s) | 1.50 x | met |" in page
    assert "| `row` | a title | ours | 3 requests | 4 requests | **missed** |" in page
    assert "| not measured |" in page
    assert "| ours | 3.00 | 2.00 | 4 | 1.50 |" in page
    assert "- peer: left out: measured with --peers" in page
    assert "- bad: failed: b" in page
    assert "--quick" not in page
    assert "says nothing of speed" in report.page(replace(TOLD, quick=True))


def test_a_limit_that_is_exceeded_or_was_not_measured_is_told() -> None:
    wrong = (Goal("ours", "requests", 3), Goal("ours", "requests", 4), Goal("peer", "extra_mib", 64))
    result = replace(ROW, limits=wrong)
    assert [each.goal for each in result.exceeded()] == [wrong[0], wrong[2]]
    told = program.exceeded(result)
    assert told == "row: ours: 4 requests, at most 3; peer: not measured extra_mib, at most 64"
    assert program.complaints(replace(TOLD, rows=(replace(result, ways=(FLOOR, OURS)),))) == 1
    assert program.complaints(replace(TOLD, rows=(replace(ROW, ways=(FLOOR, OURS)),))) == 0


def test_two_runs_are_compared_way_by_way_where_the_sizes_are_the_same() -> None:
    slower = replace(OURS, figures={"seconds": 6.0, "cpu": 2.0, "requests": 4})
    before = replace(TOLD, rows=(replace(ROW, ways=(FLOOR, slower)),))
    assert "| `row` | ours | s | 6.00 | 3.00 | 0.50 | 3.00 | 1.50 |" in report.compared(before, TOLD)
    other = replace(TOLD, rows=(replace(before.rows[0], sizes={"runs": 6}),))
    assert "| ours |" not in report.compared(other, TOLD)
    assert "## Before and after" in report.page(TOLD, before)


def test_the_picture_has_a_bar_for_each_goal_that_was_measured() -> None:
    root = ET.fromstring(plot.svg(TOLD))
    fills = [bar.get("fill") for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert fills == ["white", plot.COLOURS[True], plot.COLOURS[False]]
    assert plot.x(0.01) == plot.LABEL
    assert plot.x(100.0) == plot.LABEL + plot.WIDTH


def test_what_is_kept_is_read_again_and_told_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, again, picture = (tmp_path / name for name in ("kept.json", "again.json", "goals.svg"))
    kept.write_text(json.dumps(TOLD.to_json()), encoding="utf-8")
    status = program.main(["--from", str(kept), "--json", str(again), "--compare", str(kept), "--plot", str(picture)])
    assert status == 1  # a way failed
    assert json.loads(again.read_text(encoding="utf-8")) == json.loads(kept.read_text(encoding="utf-8"))
    printed = capsys.readouterr()
    assert printed.out.strip() == report.page(TOLD, TOLD).strip()
    assert "row: bad: a" in printed.err
    assert picture.read_text(encoding="utf-8") == plot.svg(TOLD)


def test_the_list_names_every_row_and_goal(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert all(row.name in out and row.title in out for row in ROWS)
    assert "artifact-store: seconds at most 1.3 x obstore by hand" in out


def test_the_results_are_what_the_program_makes_of_what_was_kept() -> None:
    assert program.RESULTS.read_text(encoding="utf-8") == report.page(program.read(program.KEPT))
