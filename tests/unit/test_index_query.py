"""Questions to a listing: which rows fit, and in which order they come."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.core.index_query import Condition, OrderBy, Question
from artifact_store.errors import InvalidOption

pytestmark = pytest.mark.windows


def row(model="gru/A", created="2024-01-01T00:00:00.000000Z", tags=(), **metrics):
    return {"model": model, "created_at": created, "metrics": metrics, "tags": dict(tags)}


def asked(where=None, order_by=None, per_model=None, limit=None, since=None, until=None):
    return Question.of(where, order_by, per_model, limit, since, until)


def chosen(rows, **question):
    return list(asked(**question).choose(rows, lambda one: one))


# ---------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("sharpe > 1", True),
        ("sharpe>1.4", False),
        ("metrics.sharpe >= 1.4", True),
        (" sharpe < 2 ", True),
        ("sharpe <= 1", False),
        ("sharpe = 1.4", True),
        ("sharpe == 1.4", True),
        ("sharpe != 1.4", False),
        ("loss > 1", False),
        ("loss != 1", True),
        ("unknown != 1", False),
        ("tags.fold = 7", True),
        ("tags.fold != 7", False),
        ("tags.unknown != 7", False),
        ("tags.note = a b", True),
        ("sharpe < inf", True),
    ],
)
def test_a_condition_compares_a_metric_or_a_tag(text, fits):
    found = row(sharpe=1.4, loss="NaN", tags={"fold": "7", "note": "a b"})
    assert asked(where=text).admits(found) is fits
    assert asked(where=[text]).admits(found) is fits
    assert not asked(where=text).admits({"model": "gru/A", "metrics": 7, "tags": None})


@pytest.mark.parametrize("text", ["", "sharpe", "> 1", "sharpe > much", "sharpe >", "tags.fold > 7", 7, None, b"a = 1"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(InvalidOption):
        Condition.parse(text)


@pytest.mark.parametrize("where", [7, {"sharpe": 1}, {"sharpe > 1"}, ["sharpe > 1", 7]])
def test_what_is_no_list_of_conditions_is_refused(where):
    with pytest.raises(InvalidOption, match=r"sharpe > 1\.2"):
        asked(where=where)


def test_times_bound_a_question_from_the_first_up_to_and_without_the_last():
    year = datetime(2024, 1, 1, tzinfo=UTC)
    assert asked(since=year).admits(row())
    assert not asked(until=year).admits(row())
    assert not asked(since=datetime(2024, 1, 2, tzinfo=UTC)).admits(row())
    assert asked(until=datetime(2024, 1, 2, tzinfo=UTC)).admits(row())
    assert asked(since=year).narrows
    assert asked(until=year).narrows
    assert asked(where="a > 1").narrows
    assert not asked(order_by="a", limit=1).narrows


# ---------------------------------------------------------------- orders


@pytest.mark.parametrize("text", ["", "-", 7, b"sharpe", "- sharpe", " "])
def test_what_is_no_order_is_refused(text):
    with pytest.raises(InvalidOption, match="order_by"):
        OrderBy.parse(text)


def test_an_order_names_a_metric_or_the_time():
    assert OrderBy.parse("sharpe") == OrderBy.parse("metrics.sharpe") == OrderBy("sharpe", descending=False)
    assert OrderBy.parse("-created_at") == OrderBy(None, descending=True)
    assert OrderBy.parse("metrics.created_at") == OrderBy("created_at", descending=False)
    assert OrderBy.parse("-a b") == OrderBy("a b", descending=True)


def test_the_best_come_first_and_what_has_no_such_number_last():
    rows = [row(s=1), row(s="NaN"), row(), row(s=3.5), row(s="Infinity"), {"model": "m", "metrics": 7}]
    assert chosen(rows, order_by="-s") == [rows[4], rows[3], rows[0], rows[1], rows[2], rows[5]]
    assert chosen(rows, order_by="s") == [rows[0], rows[3], rows[4], rows[1], rows[2], rows[5]]
    assert chosen(rows, order_by="-s", limit=2) == [rows[4], rows[3]]
    assert chosen(rows, order_by="-s", limit=0) == []


def test_times_are_compared_to_the_microsecond():
    rows = [row(created=f"2024-01-01T00:00:00.00000{number}Z") for number in (3, 1, 2)]
    rows.append(row(created="9" * 5_000))
    rows.append(row(created=None))
    assert chosen(rows[:3], order_by="created_at") == [rows[1], rows[2], rows[0]]
    assert chosen(rows, order_by="-created_at") == [rows[3], rows[0], rows[2], rows[1], rows[4]]


def test_each_model_has_its_own_best():
    rows = [row("a", s=1), row("a", s=2), row("b", s=5), row("b", s=4), row("c")]
    assert chosen(rows, order_by="-s", per_model=1) == [rows[2], rows[1], rows[4]]
    assert chosen(rows, order_by="-s", per_model=1, limit=1) == [rows[2]]
    assert chosen(rows, order_by="-s", per_model=0) == []


def test_without_an_order_the_newest_come_first_as_they_are_found():
    rows = [row("a"), row("a"), row("b")]
    assert chosen(iter(rows), per_model=1) == [rows[0], rows[2]]
    assert chosen(iter(rows), limit=1) == rows[:1]
    assert chosen(iter(rows), limit=0) == []
    assert chosen(iter(rows)) == rows


def test_no_more_is_read_than_a_limit_wants():
    left = iter([row("a"), row("b"), row("c")])
    assert len(chosen(left, limit=2)) == 2
    assert next(left)["model"] == "c"


@pytest.mark.parametrize("number", [-1, 1.5, "1"])
def test_how_many_of_each_model_is_a_number(number):
    with pytest.raises(InvalidOption, match="per_model"):
        asked(per_model=number)


NUMBERS = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([math.nan, math.inf, "NaN", "-Infinity", 0.5]))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), NUMBERS), max_size=30),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 4)),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_choosing_is_sorting_and_cutting(found, descending, per_model, limit):
    rows = [{"model": model, "metrics": {} if number is None else {"s": number}, "n": n}
            for n, (model, number) in enumerate(sorted(found, key=lambda pair: pair[0]))]  # fmt: skip
    order = OrderBy("s", descending=descending)
    whole = sorted(rows, key=lambda one: tuple(-part for part in order.value(one)))
    if per_model is not None:
        whole = [one for one in whole if sum(o["model"] == one["model"] for o in whole[: whole.index(one)]) < per_model]
    question = Question(order=order, per_model=per_model, limit=limit)
    assert list(question.choose(rows, lambda one: one)) == whole[:limit]
