"""Errors carry data, say what to do, and survive the way from another process."""

import inspect
import pickle
from datetime import timedelta

import pytest

from artifact_store import errors
from artifact_store.errors import ArtifactStoreError

pytestmark = pytest.mark.windows

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ArtifactStoreError)]
MADE = [
    errors.InvalidName("symbol", "a b", "it has a blank", suggestion="a-b"),
    errors.FeatureMismatch(
        "no", missing=["a"], extra=["b"], duplicate=["c"], dtype={"a": ("f", "i")}, suggestions={"a": "b"}
    ),
    errors.MetricMissing("no", metric="m", run_id="r"),
    errors.ObjectNotFound("k"),
    errors.AmbiguousRun("no", candidates=["a", "b"]),
    errors.PreconditionFailed("k"),
    errors.RunInUse("no", aliases=["latest"]),
    errors.PointerConflict("no", actual=None, run_id="r"),
    errors.OutcomeUnknown("no", key="k", write_id="w", run_id="r"),
    errors.Corrupt("no", key="k"),
    errors.DigestMismatch("no", key="k", expected="a", actual="b"),
    errors.Unreachable("no"),
    errors.DeadlineExceeded("no"),
    errors.AccessDenied("no"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_its_attributes(error):
    error.committed = "gru/X:20240101_000000"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.__dict__ == error.__dict__
    assert str(again) == str(error)
    assert "The run gru/X:20240101_000000 is committed" in str(again)


def made():
    """Errors, made anew, and the data that each carries."""
    return [
        (
            errors.InvalidName("symbol", "a b", "it has a blank", suggestion="a-b"),
            {"kind": "symbol", "name": "a b", "why": "it has a blank", "suggestion": "a-b"},
        ),
        (errors.FeatureMismatch("no", missing=["a"], extra="b"), {"missing": ("a",), "extra": ("b",), "dtype": {}}),
        (errors.MetricMissing("no", metric="m", run_id="r"), {"metric": "m", "run_id": "r"}),
        (errors.AmbiguousRun("no", candidates=["a", "b"]), {"candidates": ("a", "b")}),
        (errors.RunInUse("no", aliases=["latest"]), {"aliases": ("latest",)}),
        (errors.PointerConflict("no", actual=3, run_id="r"), {"actual": 3, "run_id": "r"}),
        (
            errors.OutcomeUnknown("no", key="k", write_id="w", run_id="r"),
            {"key": "k", "write_id": "w", "run_id": "r"},
        ),
        (errors.Corrupt("no"), {"key": None}),
        (errors.DigestMismatch("no", key="k"), {"key": "k", "expected": "", "actual": ""}),
        (errors.DigestMismatch("no", expected="a", actual="b"), {"key": None, "expected": "a", "actual": "b"}),
        (errors.TypeRefused("no", types=["os.system"]), {"types": ("os.system",), "key": None}),
        (errors.UntrustedKey("no", key_ids=["abc"]), {"key_ids": ("abc",)}),
        (errors.RolledBack("no", seen=7, seq=3), {"seen": 7, "seq": 3}),
        (
            errors.StoreReplaced("no", seen=7, seq=3, known="a", found="b"),
            {"seen": 7, "seq": 3, "known": "a", "found": "b"},
        ),
        (
            errors.RunTooOld("no", ref="gru/A:1", age=timedelta(days=3), limit=timedelta(days=2)),
            {"ref": "gru/A:1", "age": timedelta(days=3), "limit": timedelta(days=2)},
        ),
    ]


def test_an_error_carries_data_and_not_only_words():
    for error, data in made():
        assert {name: getattr(error, name) for name in data} == data
        assert str(error)


@pytest.mark.parametrize("kind", [errors.ObjectNotFound, errors.PreconditionFailed])
def test_an_error_about_a_key_names_it_if_it_is_told_nothing_better(kind):
    assert "'a/b'" in str(kind("a/b"))
    assert " " in str(kind("a/b"))
    assert str(kind("a/b", "the folder is gone")) == "the folder is gone"


def test_a_lack_of_rights_names_no_permission_where_none_is_known():
    assert errors.AccessDenied("no").permission == ""


def test_a_name_that_is_far_too_long_is_shown_in_brief():
    assert len(str(errors.InvalidName("symbol", "a" * 10_000, "it is too long"))) < 200
    assert str(errors.InvalidName("symbol", "a", "it is taken")) == "'a' cannot be a symbol: it is taken"


class OfAPlugIn(errors.Unavailable):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def test_an_error_of_a_plug_in_with_arguments_of_its_own_survives_as_well():
    again = pickle.loads(pickle.dumps(OfAPlugIn("busy", 503)))
    assert (type(again), str(again), again.args, again.code) == (OfAPlugIn, "busy", ("busy",), 503)


def test_builtins_are_mixed_in_where_callers_expect_them():
    assert issubclass(errors.InvalidInput, ValueError)
    assert issubclass(errors.NotFound, LookupError)
    assert issubclass(errors.Unavailable, OSError)
    assert issubclass(errors.DeadlineExceeded, TimeoutError)
    assert issubclass(errors.AccessDenied, PermissionError)


def test_a_very_long_name_is_shortened():
    assert len(str(errors.InvalidName("symbol", "x" * 10_000, "it is too long"))) < 250
