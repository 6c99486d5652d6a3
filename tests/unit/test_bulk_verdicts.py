"""Verdicts that travel: what comes back is what was found, errors included."""

from __future__ import annotations

import json
import math

import pytest

from artifact_store import errors
from artifact_store.bulk import checks
from artifact_store.bulk.verdicts import error_from_json, error_to_json
from artifact_store.core.compatibility import Compatibility, EnvironmentVerdict, Remark
from artifact_store.core.names import ModelKey
from artifact_store.errors import ArtifactStoreError
from artifact_store.legacy.formats.convert import ConversionReport
from artifact_store.legacy.report import Migrated, migrated_from_json, migrated_to_json
from artifact_store.ops.golden import Predictions
from artifact_store.ops.validate import ModelReport
from artifact_store.ops.verify import RunReport
from artifact_store.problems import Problem

DAMAGE = errors.DigestMismatch("it is damaged", key="gru/A/1/model.json", expected="a" * 64, actual="b" * 64)
FOUND = [
    None,
    Problem("gru/A@latest", DAMAGE),
    RunReport("gru/A:1", 3, 700, (Problem("gru/A:1 (model)", DAMAGE),), signed_by="a" * 64),
    RunReport("gru/A:1", 3, 700, predictions=Predictions("equal", 0.0, 1e-6)),
    RunReport("gru/A:1", 3, 700, predictions=Predictions("differ", math.inf, 0.0, errors.Corrupt("other"))),
]


def sent(error: ArtifactStoreError) -> ArtifactStoreError:
    return error_from_json(json.loads(json.dumps(error_to_json(error), allow_nan=False)))


@pytest.mark.parametrize(
    "error",
    [
        DAMAGE,
        errors.InvalidName("alias", "é", "it is not ASCII", suggestion="e"),
        errors.FeatureMismatch("no", missing=["a"], dtype={"b": ("float32", "text")}, suggestions={"a": "A"}),
        errors.TypeRefused("no", types=["os.system"]),
        errors.Unreachable("[Errno 111] refused"),
        errors.AccessDenied("no"),
        errors.ObjectNotFound("gru/A"),
    ],
    ids=lambda error: error.code,
)
def test_an_error_comes_back_with_its_class_text_and_attributes(error: ArtifactStoreError) -> None:
    back = sent(error)
    assert type(back) is type(error)
    assert (str(back), back.code, vars(back)) == (str(error), error.code, vars(error))


def test_the_run_that_an_error_left_behind_is_named() -> None:
    error = errors.Unreachable("gone")
    error.committed = "gru/A:1"
    assert str(sent(error)) == str(error)


def test_what_cannot_be_written_down_stays_behind() -> None:
    assert not hasattr(sent(errors.PointerConflict("moved", actual=object(), run_id="1")), "actual")


def test_a_class_that_is_not_known_comes_back_as_its_parent() -> None:
    told = error_to_json(errors.Corrupt("odd"))
    assert type(error_from_json({**told, "kinds": ["OfNoInstalledPlugIn", *told["kinds"]]})) is errors.Corrupt


@pytest.mark.parametrize("found", FOUND, ids=lambda found: type(found).__name__)
def test_a_finding_comes_back(found: checks.Finding) -> None:
    told = checks.VERIFY.to_json(found)
    back = checks.VERIFY.from_json(json.loads(json.dumps(told, allow_nan=False)))
    assert type(back) is type(found)
    assert str(back).replace("inf", "") == str(found).replace("inf", "")
    assert checks.VERIFY.to_json(back) == told


def test_a_report_on_a_model_comes_back() -> None:
    remark = Remark(Compatibility.RISKY, "numpy", "1.0", None, "it is not installed here")
    report = ModelReport(
        ModelKey("gru", "BTC/USDT"),
        "gru/BTC;2FUSDT:1",
        ("best_wf: it names it",),
        2,
        ("model",),
        Predictions("equal", 0.0, 0.0),
        (Problem("model", DAMAGE),),
        (Problem("scaler", errors.CodecUnavailable("install it")),),
        EnvironmentVerdict(Compatibility.RISKY, (remark,)),
        0.5,
        ("what 'model' was trained behind is not recorded",),
    )
    told = checks.VALIDATE.to_json(report)
    back = checks.VALIDATE.from_json(json.loads(json.dumps(told, allow_nan=False)))
    assert checks.VALIDATE.to_json(back) == told
    assert (back.key, back.environment, back.steps, back.verdict) == (
        report.key,
        report.environment,
        report.steps,
        report.verdict,
    )


def test_what_came_of_an_old_run_comes_back() -> None:
    conversion = ConversionReport("3 features", ("a",), ("b",), (Problem("scaler", DAMAGE),))
    run = Migrated("gru/A/1", "gru/A", "1", "refused", conversion, DAMAGE)
    told = migrated_to_json(run)
    back = migrated_from_json(json.loads(json.dumps(told, allow_nan=False)))
    assert migrated_to_json(back) == told
    assert back.to_json() == run.to_json()


@pytest.mark.parametrize(
    ("report", "kept"),
    [
        (ModelReport(ModelKey("gru"), "gru:1"), True),
        (ModelReport(ModelKey("gru"), steps=("nothing is published",)), False),
        (ModelReport(ModelKey("gru"), "gru:1", problems=(Problem("gru", errors.Unreachable("gone")),)), False),
        (ModelReport(ModelKey("gru"), "gru:1", problems=(Problem("gru", DAMAGE),)), True),
    ],
)
def test_what_may_be_otherwise_tomorrow_is_asked_again(report: ModelReport, kept: object) -> None:
    assert checks.VALIDATE.lasting(report) is kept
