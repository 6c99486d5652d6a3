"""Each publish policy says yes, or why not."""

import math

import pytest

from artifact_store.core.pointer import PublishInfo, advance
from artifact_store.core.policy import (
    Expect,
    IfBetter,
    IfNewer,
    Never,
    PublishAlways,
    decide,
    intent,
    metric_value,
    parse_policy,
    promotion_policy,
)
from artifact_store.errors import InvalidInput, InvalidOption, MetricMissing, PointerConflict
from tests.unit.samples import KEY, NOW, manifest

pytestmark = pytest.mark.windows

OLD, NEW = "20240101_000000", "20250101_000000"


def pointer_to(run):
    return advance(None, KEY, "latest", run, PublishInfo("0" * 32, NOW, "me")).pointer


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("always", PublishAlways()),
        ("never", Never()),
        ("if_newer", IfNewer()),
        ("if_better(sharpe)", IfBetter("sharpe")),
        ("if_better(sharpe, max)", IfBetter("sharpe", "max")),
        ("if_better( 'val loss' ,min)", IfBetter("val loss", "min")),
        ("expect=17", Expect(17)),
        (f"expect={OLD}", Expect(OLD)),
        (IfBetter("x"), IfBetter("x")),
    ],
)
def test_a_policy_is_read_as_it_is_documented(text, policy):
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    "text", ["", "sometimes", "if_better", "if_better()", "if_better(a, best)", "expect=", None, 3]
)
def test_another_policy_is_refused(text):
    with pytest.raises(InvalidOption, match="not a publish policy"):
        parse_policy(text)


def test_the_mode_is_min_or_max():
    with pytest.raises(InvalidOption, match="min"):
        IfBetter("x", "best")


@pytest.mark.parametrize("seen", [None, -1, True, 1.5, "latest"])
def test_what_is_expected_is_a_run_or_a_seq(seen):
    with pytest.raises(InvalidInput):
        Expect(seen)


def test_a_promotion_goes_by_what_is_expected_or_by_a_policy_that_publishes():
    assert promotion_policy(None, None) == parse_policy("always")
    assert promotion_policy(3, None) == Expect(3)
    assert promotion_policy(None, "if_newer") == parse_policy("if_newer")
    with pytest.raises(InvalidOption, match="not both"):
        promotion_policy(3, "always")
    with pytest.raises(InvalidOption, match="means nothing here"):
        promotion_policy(None, "never")


def test_the_wish_is_recorded():
    assert intent("latest", Never()).policy == "never"
    wish = intent("best_wf", IfBetter("sharpe", "min"))
    assert (wish.alias, wish.policy, wish.metric, wish.mode) == ("best_wf", "if_better", "sharpe", "min")


def test_always_means_always():
    assert decide(PublishAlways(), manifest(run_id=OLD), pointer_to(manifest(run_id=NEW)), None) is None
    assert decide(PublishAlways(), manifest(), None, None) is None


def test_newer_is_decided_by_the_run_id():
    old, new = manifest(run_id=OLD), manifest(run_id=NEW)
    assert decide(IfNewer(), new, pointer_to(old), None) is None
    assert decide(IfNewer(), new, None, None) is None
    assert decide(IfNewer(), new, pointer_to(None), None) is None
    for run in (old, new):
        assert isinstance(decide(IfNewer(), run, pointer_to(new), None), PointerConflict)


@pytest.mark.parametrize(("mode", "mine", "theirs", "wins"), [
    ("max", 2, 1, True), ("max", 1, 1, False), ("max", 0, 1, False),
    ("min", 1, 2, True), ("min", 2, 2, False), ("max", "Infinity", 5, True), ("min", "-Infinity", 5, True),
])  # fmt: skip
def test_better_is_strictly_better(mode, mine, theirs, wins):
    run, incumbent = manifest(run_id=NEW, metrics={"m": mine}), manifest(run_id=OLD, metrics={"m": theirs})
    refusal = decide(IfBetter("m", mode), run, pointer_to(incumbent), incumbent)
    assert (refusal is None) is wins
    assert wins or "not better" in str(refusal)


@pytest.mark.parametrize("metrics", [{}, {"m": "NaN"}, {"other": 1}])
def test_a_metric_that_is_missing_or_nan_is_never_better(metrics):
    without, sound = manifest(run_id=NEW, metrics=metrics), manifest(run_id=OLD, metrics={"m": 1})
    for run, incumbent in ((without, sound), (sound, without)):
        refusal = decide(IfBetter("m"), run, pointer_to(incumbent), incumbent)
        assert isinstance(refusal, MetricMissing)
        assert refusal.metric == "m"
    assert isinstance(decide(IfBetter("m"), without, None, None), MetricMissing)
    assert math.isnan(metric_value(without, "m"))


def test_the_first_run_with_a_metric_is_the_best_so_far():
    assert decide(IfBetter("m"), manifest(metrics={"m": -5}), None, None) is None


def test_better_than_a_run_that_is_gone_cannot_be_decided():
    run, gone = manifest(run_id=NEW, metrics={"m": 1}), manifest(run_id=OLD)
    assert isinstance(decide(IfBetter("m"), run, pointer_to(gone), None), MetricMissing)


def test_expect_compares_with_the_seq_or_the_run():
    seen = pointer_to(manifest(run_id=OLD))
    for policy, pointer in ((Expect(1), seen), (Expect(OLD), seen), (Expect(0), None)):
        assert decide(policy, manifest(), pointer, None) is None
    for policy, pointer in (
        (Expect(2), seen),
        (Expect(NEW), seen),
        (Expect(0), seen),
        (Expect(1), None),
        (Expect(OLD), None),
    ):
        refusal = decide(policy, manifest(), pointer, None)
        assert isinstance(refusal, PointerConflict)
        assert refusal.actual is pointer


@pytest.mark.parametrize(
    ("policy", "seen", "run"),
    [
        (IfNewer(), manifest(run_id=NEW), manifest(run_id=OLD)),
        (IfBetter("m"), manifest(run_id=NEW, metrics={"m": 2}), manifest(run_id=OLD, metrics={"m": 1})),
        (IfBetter("m", "min"), manifest(run_id=NEW, metrics={"m": 1}), manifest(run_id=OLD, metrics={"m": 2})),
        (Expect(7), manifest(run_id=NEW), manifest(run_id=OLD)),
        (Expect(OLD), manifest(run_id=NEW), manifest(run_id=OLD)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_refusal_tells_what_is_published_and_which_run_was_refused(policy, seen, run):
    pointer = pointer_to(seen)
    refusal = decide(policy, run, pointer, seen)
    assert isinstance(refusal, PointerConflict)
    assert (refusal.actual, refusal.run_id) == (pointer, OLD)
    assert NEW in str(refusal) or policy == Expect(7)


def test_a_refusal_for_want_of_a_metric_names_the_metric_and_the_run_that_lacks_it():
    without, sound = manifest(run_id=NEW), manifest(run_id=OLD, metrics={"m": 1})
    for run, incumbent, lacking in ((without, sound, NEW), (sound, without, NEW)):
        refusal = decide(IfBetter("m"), run, pointer_to(incumbent), incumbent)
        assert (refusal.metric, refusal.run_id) == ("m", lacking)
        assert f"{lacking} is missing" in str(refusal)
    gone = decide(IfBetter("m"), sound, pointer_to(without), None)
    assert (gone.metric, gone.run_id) == ("m", OLD)
    assert "is NaN" in str(decide(IfBetter("m"), manifest(metrics={"m": "NaN"}), None, None))


def test_nothing_that_was_ever_published_is_said_to_be_nothing():
    assert str(decide(Expect(1), manifest(), None, None)) == "nothing is published, not 1"
    assert str(decide(Expect(OLD), manifest(), pointer_to(None), None)) == f"nothing is published, not {OLD}"
    assert decide(Expect(1), manifest(), pointer_to(None), None) is None


def test_a_whole_number_that_no_float_holds_is_as_good_as_an_infinity():
    run = manifest(metrics={"a": 2**1024 - 1, "b": 1 - 2**1024})
    assert [metric_value(run, name) for name in "ab"] == [math.inf, -math.inf]
    better = manifest(run_id=NEW, metrics={"a": 5})
    assert decide(IfBetter("a", "min"), better, pointer_to(run), run) is None
    assert decide(IfBetter("a", "max"), better, pointer_to(run), run) is not None


def test_a_metric_is_a_number_whatever_its_spelling():
    run = manifest(metrics={"a": 3, "b": "Infinity", "c": "-Infinity", "d": 0.5})
    assert [metric_value(run, name) for name in "abcd"] == [3.0, math.inf, -math.inf, 0.5]
    assert type(metric_value(run, "a")) is float
    assert math.isnan(metric_value(run, "e"))


@pytest.mark.parametrize("seen", [-1, True, 1.0, None, "2024", "latest"])
def test_what_is_expected_is_the_id_of_a_run_or_a_count(seen):
    with pytest.raises(InvalidInput):
        Expect(seen)
    assert Expect(0).seen == 0


@pytest.mark.parametrize(
    "text",
    ["if_better", "if_better()", "if_better(a, b)", "if_better(a, max) ", "expect=", "expect= 1", " always", None, 3],
)
def test_what_only_looks_like_a_policy_is_none(text):
    with pytest.raises(InvalidOption, match="is not a publish policy"):
        parse_policy(text)


def test_the_mode_of_better_is_max_unless_it_is_said_to_be_min():
    assert parse_policy("if_better('a')") == IfBetter("a", "max")
    assert parse_policy('if_better("a",min)') == IfBetter("a", "min")
    recorded = intent("best", IfBetter("a", "min"))
    assert (recorded.alias, recorded.policy, recorded.metric, recorded.mode) == ("best", "if_better", "a", "min")
    assert (intent("latest", Never()).metric, intent("latest", Never()).mode) == (None, None)
