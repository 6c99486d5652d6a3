"""The page of what is kept is made of the data, and the data is of the makings that there are."""

from __future__ import annotations

import re

import pytest

from tests.zoo.makings import families
from tools import zoo

ROWS = zoo.measured()["makings"]


def test_the_page_is_made_of_the_data() -> None:
    assert zoo.PAGE.read_text(encoding="utf-8") == zoo.page()


def test_the_page_follows_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**zoo.measured(), "makings": [row | {"name": f"another {row['name']}"} for row in ROWS]}
    monkeypatch.setattr(zoo, "measured", lambda: changed)
    assert zoo.PAGE.read_text(encoding="utf-8") != zoo.page()


def test_there_are_many_makings_of_every_family_and_none_twice() -> None:
    assert len(ROWS) >= 150
    assert {row["family"] for row in ROWS} == set(families())
    names = [(row["family"], row["name"]) for row in ROWS]
    assert sorted(set(names)) == sorted(names)


def test_everything_came_back_equal_or_was_refused_with_a_way_out_that_worked() -> None:
    assert [row["name"] for row in ROWS if row["wrong"] or not row["result"]] == []


def test_the_data_has_nothing_of_a_machine() -> None:
    text = zoo.DATA.read_text(encoding="utf-8")
    assert not re.search(r"/tmp/|/home/|/root/|0x[0-9a-f]{6}", text)
