"""The checks that can be asked about many runs at once: whether they are as saved, and whether they can be used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from artifact_store.bulk.spec import Spec
from artifact_store.bulk.verdicts import (
    JSON,
    error_from_json,
    error_to_json,
    number_from_json,
    number_to_json,
    problems_from_json,
    problems_to_json,
)
from artifact_store.bulk.work import Bulk, Inquiry, Work
from artifact_store.core.compatibility import Compatibility, EnvironmentVerdict, Remark
from artifact_store.core.names import ModelKey
from artifact_store.core.references import RefLike, RunRef, has_selector
from artifact_store.errors import ArtifactStoreError, ModelNotFound, Unavailable, WorkerLost
from artifact_store.ops import listing, resolve, validate
from artifact_store.ops.context import Context
from artifact_store.ops.golden import Predictions, check_example
from artifact_store.ops.validate import ModelReport
from artifact_store.ops.verify import Finding, RunReport, verify_stored
from artifact_store.problems import Problem
from artifact_store.run import Run


def place_of(context: Context) -> dict[str, JSON]:
    """Return what tells the store of a question from others: where it is, how it is asked, whom its reader trusts."""
    policy = context.policy
    trusted = sorted(key.key_id for key in policy.trusted_keys)
    return {
        "store": context.backend.places[0],
        "policy": {
            "trusted_keys": trusted,
            "require_signature": policy.require_signature,
            "max_risk": str(policy.max_risk),
            "max_age": None if policy.max_age is None else policy.max_age.total_seconds(),
        },
        "offline": context.is_offline,
    }


# ---------------------------------------------------------------- verify


def verify_many(
    context: Context, spec: Callable[[], Spec], refs: Sequence[RunRef], *, predict: bool, how: Bulk
) -> list[Finding]:
    """Return what is found of runs, named by id, and of aliases."""

    def trusting() -> Spec:
        return replace(spec(), policy=context.policy)

    inquiry = Inquiry(VERIFY, place_of(context), {"predict": predict}, context, trusting)
    return inquiry.ask({str(ref): str(ref) for ref in refs}, how)


@contextmanager
def _verifying(context: Context, *, predict: bool) -> Iterator[Callable[[str], Finding]]:
    golden = (lambda manifest: check_example(Run(context, manifest))) if predict else None
    yield lambda ref: verify_stored(context, RunRef.parse(ref), golden)


def _finding_to_json(found: Finding) -> JSON:
    match found:
        case RunReport():
            return {
                "label": found.label,
                "files": found.files,
                "bytes": found.bytes,
                "signed_by": found.signed_by,
                "predictions": _predictions_to_json(found.predictions),
                **_problems(found),
            }
        case Problem():
            return {"problem": problems_to_json([found])}
        case None:
            return None


def _finding_from_json(value: JSON) -> Finding:
    if value is None:
        return None
    if "problem" in value:
        return problems_from_json(value["problem"])[0]
    return RunReport(
        value["label"],
        value["files"],
        value["bytes"],
        predictions=_predictions_from_json(value["predictions"]),
        signed_by=value["signed_by"],
        **_problems_of(value),
    )


def _lost_run(ref: str, error: WorkerLost) -> Finding:
    problem = Problem(ref, error)
    return problem if RunRef.parse(ref).run is None else RunReport(ref, 0, 0, (problem,))


VERIFY: Work[Context, Finding] = Work(
    "verify",
    opened=Spec.opened,
    asking=_verifying,
    to_json=_finding_to_json,
    from_json=_finding_from_json,
    lasting=lambda found: isinstance(found, RunReport) and _is_final(found.problems),
    holds=lambda _context, _arguments, ref, found: isinstance(found, RunReport) and found.label == ref,
    lost=_lost_run,
)


# ---------------------------------------------------------------- validate


def validated_refs(context: Context, ref: RefLike | None) -> list[str]:
    """Return the references that a validation of ``ref`` is about: a run, or the models that a key stands for, or all.

    Raises:
        ModelNotFound: there is no such model.
    """
    if ref is not None and has_selector(ref):
        return [str(RunRef.parse(ref))]
    key = None if ref is None else RunRef.parse(ref).key
    refs = [str(each) for each in listing.models_of_store(context) if key is None or key.covers(each)]
    if not refs:
        raise ModelNotFound(
            f"there is no model{f' {key}' if key else ''} to validate in {context.backend.url}; `artifact-store ls` "
            "lists what there is"
        )
    return refs


def validate_many(
    context: Context,
    spec: Callable[[], Spec],
    refs: Sequence[str],
    *,
    prefer: Sequence[str],
    allow_code: bool = False,
    how: Bulk,
) -> list[ModelReport]:
    """Return what came of checking the run that each reference names, or, of a key alone, the one that is taken."""
    arguments = {"prefer": list(prefer), **({"allow_code": True} if allow_code else {})}  # as journals have them
    inquiry = Inquiry(VALIDATE, place_of(context), arguments, context, spec)
    return inquiry.ask({ref: ref for ref in refs}, how)


@contextmanager
def _validating(
    context: Context, *, prefer: Sequence[str], allow_code: bool = False
) -> Iterator[Callable[[str], ModelReport]]:
    yield partial(_validated, context, prefer, allow_code=allow_code)


def _validated(context: Context, prefer: Sequence[str], ref: str, *, allow_code: bool) -> ModelReport:
    begun = time.perf_counter()
    report = validate.validate(RunRef.parse(ref).key, lambda _: _named(context, prefer, ref), allow_code=allow_code)
    return replace(report, seconds=time.perf_counter() - begun)


def _named(context: Context, prefer: Sequence[str], ref: str) -> Run:
    """Return the run that is validated for a reference."""
    if has_selector(ref):
        return Run(context, resolve.resolve(context, RunRef.parse(ref)))
    found = listing.find_run(context, RunRef.parse(ref).key, prefer, newest=True, max_run_age=None)
    return Run(context, found.manifest, found_by=found.steps)


def _is_named_still(context: Context, arguments: Mapping[str, JSON], ref: str, report: ModelReport) -> bool:
    try:
        return str(_named(context, arguments["prefer"], ref).ref) == report.run
    except Unavailable:
        raise
    except ArtifactStoreError:  # which the next look reports
        return False


def _report_to_json(report: ModelReport) -> JSON:
    return {
        "key": str(report.key),
        "run": report.run,
        "steps": list(report.steps),
        "files": report.files,
        "loaded": list(report.loaded),
        "predictions": _predictions_to_json(report.predictions),
        "environment": None if report.environment is None else report.environment.to_json(),
        "notes": list(report.notes),
        "seconds": report.seconds,
        **_problems(report),
    }


def _report_from_json(value: JSON) -> ModelReport:
    return ModelReport(
        ModelKey.parse(value["key"]),
        value["run"],
        tuple(value["steps"]),
        value["files"],
        tuple(value["loaded"]),
        _predictions_from_json(value["predictions"]),
        environment=_environment_from_json(value["environment"]),
        notes=tuple(value.get("notes", ())),
        seconds=value["seconds"],
        **_problems_of(value),
    )


VALIDATE: Work[Context, ModelReport] = Work(
    "validate",
    opened=Spec.opened,
    asking=_validating,
    to_json=_report_to_json,
    from_json=_report_from_json,
    lasting=lambda report: bool(report.run) and _is_final(report.problems),
    holds=_is_named_still,
    lost=lambda ref, error: ModelReport(RunRef.parse(ref).key, steps=(str(error),), problems=(Problem(ref, error),)),
)


# ---------------------------------------------------------------- parts of both


def _is_final(problems: Sequence[Problem]) -> bool:
    """Whether none of the problems says that the storage, or a worker, did not answer this time."""
    return not any(isinstance(problem.error, Unavailable) for problem in problems)


def _problems(report: RunReport | ModelReport) -> dict[str, JSON]:
    return {"problems": problems_to_json(report.problems), "unchecked": problems_to_json(report.unchecked)}


def _problems_of(value: Mapping[str, JSON]) -> dict[str, tuple[Problem, ...]]:
    return {name: problems_from_json(value[name]) for name in ("problems", "unchecked")}


def _predictions_to_json(predictions: Predictions | None) -> JSON:
    if predictions is None:
        return None
    return {
        "outcome": predictions.outcome,
        "difference": number_to_json(predictions.difference),
        "tolerance": number_to_json(predictions.tolerance),
        "error": None if predictions.error is None else error_to_json(predictions.error),
    }


def _predictions_from_json(value: JSON) -> Predictions | None:
    if value is None:
        return None
    error = None if value["error"] is None else error_from_json(value["error"])
    difference, tolerance = (number_from_json(value[name]) for name in ("difference", "tolerance"))
    return Predictions(value["outcome"], difference, tolerance, error)


def _environment_from_json(value: Any) -> EnvironmentVerdict | None:
    if value is None:
        return None
    remarks = (Remark(**remark | {"verdict": Compatibility(remark["verdict"])}) for remark in value["remarks"])
    return EnvironmentVerdict(Compatibility(value["verdict"]), tuple(remarks))
