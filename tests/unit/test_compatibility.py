"""Whether the environment that a run was saved in fits this one: the rules, and what a stranger's record can do to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store import Risk
from artifact_store.core.compatibility import Compatibility, Environment, EnvironmentVerdict, Need, compare_environments

HERE = Environment("3.12.1", "CPython", "Linux-x86_64", {"numpy": "2.4.6"})
TEXT = Need("lightgbm-1", Risk.DATA, ("lightgbm",))
PARTS = Need("skops-1", Risk.VETTED, ("scikit-learn", "skops"))
PICKLE = Need("joblib-1", Risk.CODE, ("joblib",))
NUMBERS = Need("json-1", Risk.DATA, ())

pytestmark = pytest.mark.windows


def environment(**packages):
    names = {name.replace("_", "-"): version for name, version in packages.items()}
    return Environment("3.12.0", "CPython", "Linux-x86_64", names)


def versions(need, saved, here):
    """Judge one library in two versions; a version of ``None`` is none."""
    name = need.libraries[0]
    both = ({name: version} if version else {} for version in (saved, here))
    return compare_environments(*(Environment("3.12.0", "CPython", "Linux-x86_64", each) for each in both), [need])


@pytest.mark.parametrize(
    ("saved", "here", "own_format", "follows"),
    [
        ("4.5.0", "4.5.0", "same", "same"),
        ("4.5", "4.5.0", "compatible", "compatible"),
        ("4.5.0", "4.5.1", "compatible", "compatible"),
        ("4.5.1", "4.5.0", "compatible", "risky"),
        ("4.5.0", "4.6.0", "compatible", "risky"),
        ("4.6.0", "4.5.9", "compatible", "risky"),
        ("4.9.0", "4.10.0", "compatible", "risky"),
        ("4.5.0", "5.0.0", "risky", "risky"),
        ("5.0.0", "4.5.0", "risky", "risky"),
        ("2.13.0+cpu", "2.13.0+cu126", "compatible", "compatible"),
        ("1!2.0", "2.1", "compatible", "risky"),
        ("4.5.0", None, "risky", "risky"),
        (None, "4.5.0", "unknown", "unknown"),
        ("unreleased", "4.5.0", "unknown", "unknown"),
        ("4.5.0", "unreleased", "unknown", "unknown"),
    ],
)
def test_a_format_of_its_own_survives_what_one_that_follows_the_library_does_not(saved, here, own_format, follows):
    for need, expected in ((TEXT, own_format), (PARTS, follows), (PICKLE, follows)):
        found = versions(need, saved, here)
        assert found.verdict == expected
        assert [remark.library for remark in found.remarks] == ([] if expected == "same" else [need.libraries[0]])


def test_a_remark_names_library_versions_and_reason():
    found = versions(PARTS, "1.9.1", "1.8.0")
    assert str(found) == (
        "risky: scikit-learn: an older version than skops-1 wrote with, whose files follow the version "
        "(saved with 1.9.1, here 1.8.0)"
    )
    assert found.to_json() == {
        "verdict": "risky",
        "remarks": [
            {
                "verdict": "risky",
                "library": "scikit-learn",
                "saved": "1.9.1",
                "here": "1.8.0",
                "reason": "an older version than skops-1 wrote with, whose files follow the version",
            }
        ],
    }
    assert str(versions(TEXT, "4.5.0", "4.5.0")) == "same"
    assert "(saved with 4.5.0, here none)" in str(versions(TEXT, "4.5.0", None))
    assert "(saved with unknown, here 4.5.0)" in str(versions(TEXT, None, "4.5.0"))


def test_the_worst_remark_decides_and_comes_first_and_each_library_has_one():
    needs = [TEXT, Need("other-1", Risk.CODE, ("lightgbm",)), PARTS]
    saved = environment(lightgbm="4.5.0", scikit_learn="1.9.0", skops="0.14.0")
    here = environment(lightgbm="4.6.0", scikit_learn="1.9.1", skops="0.14.0")
    found = compare_environments(saved, here, needs)
    assert found.verdict is Compatibility.RISKY
    assert [(remark.library, remark.verdict) for remark in found.remarks] == [
        ("lightgbm", Compatibility.RISKY),
        ("scikit-learn", Compatibility.COMPATIBLE),
    ]


def test_what_no_codec_of_the_run_depends_on_does_not_count():
    assert (
        compare_environments(environment(torch="1.0"), environment(torch="9.0"), [NUMBERS]).verdict
        is Compatibility.SAME
    )


def test_a_library_that_was_not_imported_does_not_count_if_another_one_of_the_codec_was():
    assert compare_environments(environment(skops="1"), environment(skops="1"), [PARTS]) == EnvironmentVerdict(
        Compatibility.SAME
    )


@pytest.mark.parametrize(
    ("changes", "of_data", "of_code"),
    [
        ({"python": "3.12.9"}, "same", "same"),
        ({"python": "3.11.9"}, "compatible", "risky"),
        ({"python": None}, "unknown", "unknown"),
        ({"implementation": "PyPy"}, "compatible", "risky"),
        ({"platform": "Windows-AMD64"}, "compatible", "compatible"),
        ({"implementation": None, "platform": None}, "same", "same"),
    ],
)
def test_the_interpreter_counts_most_for_code(changes, of_data, of_code):
    fields = {"python": "3.12.0", "implementation": "CPython", "platform": "Linux-x86_64", "packages": {"joblib": "1"}}
    saved = Environment(**(fields | changes))
    here = Environment("3.12.1", "CPython", "Linux-x86_64", {"joblib": "1"})
    for need, expected in ((NUMBERS, of_data), (PICKLE, of_code)):
        found = compare_environments(saved, here, [need])
        assert found.verdict == expected
        differing = {"python": "python", "implementation": "implementation", "platform": "platform"}
        assert {remark.library for remark in found.remarks} <= {differing[name] for name in changes}


def test_a_codec_that_is_not_here_is_a_risk():
    found = compare_environments(environment(), HERE, [Need("fraction-1", Risk.DATA, (), installed=False)])
    assert (found.verdict, found.remarks[0].library) == (Compatibility.RISKY, "fraction-1")


def test_a_library_under_two_names_is_one() -> None:
    names = ("xgboost-cpu", "xgboost")
    saved, here = (Environment.recorded({"python": "3.12.0", "packages": {name: "3.2.0"}}) for name in names)
    need = Need("xgboost-1", Risk.DATA, ("xgboost", "xgboost-cpu"))
    assert compare_environments(saved, here, [need]).verdict is Compatibility.SAME


@pytest.mark.parametrize("recorded", [{}, {"packages": []}, {"python": 3, "packages": {"lightgbm": ["4.5.0"]}}])
def test_what_is_not_recorded_is_unknown_and_no_risk(recorded):
    found = compare_environments(Environment.recorded(recorded), HERE, [TEXT, PARTS, NUMBERS])
    assert found.verdict is Compatibility.UNKNOWN
    assert {remark.library for remark in found.remarks} == {"python", "lightgbm", "scikit-learn"}


def test_a_recorded_text_is_not_repeated_at_length():
    saved = Environment.recorded({"python": "3.12.0", "packages": {"lightgbm": "4" * 10_000}})
    assert all(len(str(remark)) < 300 for remark in compare_environments(saved, HERE, [TEXT]).remarks)


VERSIONS = st.text("0123456789.!+ab", max_size=12)
JSON = VERSIONS | st.sampled_from([None, True, 3, 1.5, [], ["4.5.0"], {}, {"lightgbm": "4.5.0"}, "\x1b[2J"])
RECORDS = st.dictionaries(st.sampled_from(["python", "implementation", "platform", "packages", "other"]), JSON)
PACKAGES = st.dictionaries(st.sampled_from(["lightgbm", "scikit-learn", "skops", "joblib"]), JSON)


@given(RECORDS, PACKAGES, PACKAGES, st.lists(st.sampled_from([TEXT, PARTS, PICKLE, NUMBERS]), max_size=4))
def test_whatever_is_recorded_gets_a_verdict_that_its_remarks_bear_out(saved, packages, here, needs):
    one = Environment.recorded({**saved, "packages": packages})
    other = Environment.recorded({"python": "3.12.0", "packages": here})
    found = compare_environments(one, other, needs)
    levels = [remark.verdict.level for remark in found.remarks]
    assert levels == sorted(levels, reverse=True)
    assert found.verdict.level == (levels[0] if levels else 0)
    assert len({remark.library for remark in found.remarks}) == len(levels)
    assert str(found).startswith(str(found.verdict))
    if one == other and one.python is not None:
        assert found.verdict in {Compatibility.SAME, Compatibility.UNKNOWN}
