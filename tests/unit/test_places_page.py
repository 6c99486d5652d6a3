"""The pages about places are what is made of the data, and the data is of the places that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import artifact_store
from tests.proofs.places.__main__ import PLACES
from tools import places

FORMAT = (Path(artifact_store.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")
ROWS = places.measured()
RAN = [row for row in ROWS if not row["not_run"]]


def test_the_page_is_made_of_the_data() -> None:
    assert places.PAGE.read_text(encoding="utf-8") == places.page()


def test_the_table_of_the_format_is_made_of_the_data() -> None:
    assert places.format_page(FORMAT) == FORMAT
    assert places.format_table() in FORMAT


def test_the_pages_follow_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = [row | {"title": f"another {row['title']}"} for row in ROWS]
    monkeypatch.setattr(places, "measured", lambda: changed)
    assert all(row["title"] in places.page() for row in changed)
    assert all(row["title"] in places.format_page(FORMAT) for row in changed if not row["not_run"])
    assert places.PAGE.read_text(encoding="utf-8") != places.page()


def test_every_place_has_a_row_in_its_order() -> None:
    assert [(row["name"], row["title"]) for row in ROWS] == [(place.name, place.title) for place in PLACES]


def test_nothing_that_was_seen_contradicts_what_is_said() -> None:
    assert [row["wrong"] for row in ROWS if row["wrong"]] == []
    assert all(row["mode"] == row["predicted"] for row in RAN if "prediction" not in row["gaps"])
    assert all(row["refusal"] for row in RAN if row["mode"] != "safe")
    assert all(row["version"] for row in RAN)
    expected = {place.name: set(place.gaps) for place in PLACES}
    assert [row["name"] for row in ROWS if not set(row["gaps"]) <= expected[row["name"]]] == []


def test_no_write_that_was_acknowledged_is_lost_where_several_writers_are_let_in() -> None:
    for row in RAN:
        for what in ("creates", "swaps"):
            if row["mode"] == "safe" and what not in row["gaps"]:
                assert re.match(r"[1-9]\d* acknowledged, 0 lost", row[what]), row["name"]


def test_no_row_holds_a_port_or_a_folder_of_a_machine() -> None:
    text = places.DATA.read_text(encoding="utf-8")
    assert not re.search(r"127\.0\.0\.1:\d|/tmp/|/home/|/root/", text)


def test_every_rule_of_a_place_that_cannot_be_run_has_a_source() -> None:
    for row in places.elsewhere():
        assert row["why"]
        assert row["rules"], row["title"]
        assert all(source.startswith("https://") for _, source in row["rules"])
