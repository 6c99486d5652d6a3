"""Check what is stored against what the manifests and pointers say, and sign a run of which that is true.

Reads every byte. Damage is reported, not raised; only ``sign_verified`` raises it, and writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from artifact_store.core import keys
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.names import LATEST, ModelKey, RunId
from artifact_store.core.references import RefLike, RunRef, has_selector
from artifact_store.core.trust import TrustedKey, check_pointer
from artifact_store.errors import (
    ArtifactStoreError,
    InvalidOption,
    NotAStore,
    NotFound,
    Unavailable,
    Unsupported,
)
from artifact_store.ops import listing, opening, publish, resolve, signing
from artifact_store.ops.context import Context
from artifact_store.ops.golden import Predictions
from artifact_store.ops.keypairs import PublicKey, Signer
from artifact_store.ops.read import compare_file, incoming
from artifact_store.ops.verdict import Checked, Verdict
from artifact_store.problems import Problem

_AT_HAND: Final = 256 << 10
"""Bytes of a file that is read from a disk of this machine faster than another thread could be asked to."""

Golden = Callable[[Manifest], Predictions]
"""Tells whether the run still predicts what it did when it was saved."""


@dataclass(frozen=True, slots=True)
class RunReport(Checked):
    """What came of checking one run: its files and bytes that were read, and what is wrong with them.

    ``predictions`` are ``None`` where they were not asked for, or where the files are damaged; ``unchecked`` says why
    they could not be compared.
    """

    label: str
    files: int
    bytes: int
    problems: tuple[Problem, ...] = ()
    unchecked: tuple[Problem, ...] = ()
    predictions: Predictions | None = None
    signed_by: str | None = None
    """The id of the trusted key that signed the run, where signatures were asked for and one is good."""


@dataclass(slots=True)
class Report(Checked):
    """What came of checking several runs and the pointers to them. Iterates per run."""

    runs: list[RunReport] = field(default_factory=list)
    pointers: list[Problem] = field(default_factory=list)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, anywhere."""
        return (*self.pointers, *(problem for run in self.runs for problem in run.problems))

    @property
    def unchecked(self) -> tuple[Problem, ...]:
        """Everything that cannot be checked here."""
        return tuple(problem for run in self.runs for problem in run.unchecked)

    def __iter__(self) -> Iterator[RunReport]:
        return iter(self.runs)


Finding = RunReport | Problem | None
"""On a run, its report; on an alias, what is wrong; ``None`` where nothing is, or where no run was ever committed."""
Check = Callable[[Sequence[RunRef]], Iterable[Finding]]
"""Checks runs named by id, and aliases, and returns the findings in their order."""


def verify(
    context: Context,
    what: RefLike | Manifest | None,
    *,
    golden: Golden | None,
    check: Check | None = None,
) -> Report:
    """Check a run, a model or everything; ``check`` does so for many unless they are to be checked one by one, here.

    Raises:
        NotFound: the reference names nothing, or there is no store.
        Unavailable: the storage does not answer.
    """
    many = check or (lambda refs: (verify_stored(context, ref, golden) for ref in refs))
    if isinstance(what, Manifest):
        return Report([verify_run(context, what, golden)])
    if what is None:
        return _verify_all(context, many)
    if not has_selector(what):
        return _verify_models_of(context, RunRef.parse(what).key, many)
    parsed = RunRef.parse(what)
    if parsed.run_id is not None:
        return Report([verify_committed(context, parsed.key, parsed.run_id, golden)])
    # the answer is a report even if the pointer is not signed: it is a problem of the alias, and the run is read
    plain = replace(context, policy=replace(context.policy, require_signature=False, max_age=None))
    report = Report([verify_run(context, resolve.resolve(plain, parsed), golden)])
    if parsed.alias is not None and context.policy.require_signature:
        problem = verify_pointer(context, parsed.key, parsed.alias)
        report.pointers += [] if problem is None else [problem]
    return report


def trusting(context: Context, trusted: Sequence[TrustedKey]) -> Context:
    """Return the context in which runs and aliases have to be signed by one of these keys."""
    policy = replace(context.policy, trusted_keys=trusted, require_signature=True)
    return replace(context, policy=policy, verified={})


def _verify_all(context: Context, check: Check) -> Report:
    report = verify_models(context, listing.models(context), check)
    if not report.runs and not report.pointers and not opening.check_store(context.records):
        raise NotAStore(f"{context.backend.url} is not a store yet, so nothing was verified: check the path")
    return report


def _verify_models_of(context: Context, key: ModelKey, check: Check) -> Report:
    """Check one model, or all of a type where only that is named."""
    known = listing.models(context) if key.symbol is None else [key]
    report = verify_models(context, [model for model in known if key.covers(model)], check)
    if not report.runs and not report.pointers and not any(map(key.covers, listing.models(context))):
        raise listing.no_model(context, key)
    return report


def sign_verified(context: Context, manifest: Manifest, signer: object, key: PublicKey | None) -> None:
    """Store a signature of a run, or one that was made elsewhere by ``key``, after every byte of the run was compared.

    Raises:
        Corrupt: the run is damaged; nothing was signed.
        InvalidOption: what is given cannot make a signature.
    """
    if not isinstance(signer, Signer | bytes) or isinstance(signer, bytes) != (key is not None):
        raise InvalidOption("give a Signer, or the bytes of a signature together with the key that made it")
    unsigned = replace(context, policy=replace(context.policy, require_signature=False, max_age=None))
    for problem in verify_run(unsigned, manifest).problems:
        raise problem.error
    if isinstance(signer, Signer):
        signing.sign_run(context, manifest, signer)
    else:
        assert key is not None
        signing.store_signature(context, manifest, signer, key)


def verify_run(context: Context, manifest: Manifest, golden: Golden | None = None) -> RunReport:
    """Read every byte of a run and compare it; then, if nothing is wrong, let ``golden`` compare its predictions.

    Under a policy that requires signatures, a run without a good one is a problem. ``Unavailable`` is raised: that the
    storage does not answer says nothing about the run.
    """
    problems = compare_files(context, manifest, manifest.files)
    signed_by = None
    try:
        signed_by = signing.check_signed(context, manifest)
    except Unavailable:
        raise
    except ArtifactStoreError as error:
        problems.append(Problem(keys.below(manifest.label, "signature"), error))
    predictions = golden(manifest) if golden is not None and not problems else None
    unchecked: list[Problem] = []
    if predictions is not None and predictions.error is not None:
        where = problems if predictions.verdict is Verdict.WRONG else unchecked
        where.append(Problem(f"{manifest.label} (predictions)", predictions.error))
    size = sum(entry.size for entry in manifest.files)
    return RunReport(
        manifest.label, len(manifest.files), size, tuple(problems), tuple(unchecked), predictions, signed_by
    )


def compare_files(context: Context, manifest: Manifest, entries: Sequence[FileEntry]) -> list[Problem]:
    """Read every byte of some files of a run, and return those that are not as saved; ``Unavailable`` is raised."""

    def one(entry: FileEntry, stop: threading.Event | None = None) -> Problem | None:
        try:
            compare_file(context, incoming(manifest, entry), stop)
        except Unavailable:
            raise
        except ArtifactStoreError as error:
            return Problem(keys.below(manifest.label, entry.path), error)
        return None

    at_hand = _AT_HAND if context.backend.is_near else -1
    found = [one(entry) for entry in entries if entry.size <= at_hand]
    if len(found) < len(entries):
        others = [entry for entry in entries if entry.size > at_hand]
        found += context.workers.every(one, others, size=lambda entry: entry.size)
    return [problem for problem in found if problem is not None]


def verify_committed(context: Context, key: ModelKey, run_id: RunId, golden: Golden | None = None) -> RunReport:
    """Read the manifest of a run and check the run; a damaged manifest is a problem in the report."""
    try:
        manifest = context.records.manifest(key, run_id)
    except (Unavailable, NotFound):
        raise
    except ArtifactStoreError as error:
        return RunReport(f"{key}:{run_id}", 0, 0, (Problem(f"{key}:{run_id}", error),))
    return verify_run(context, manifest, golden)


def verify_pointer(context: Context, key: ModelKey, alias: str) -> Problem | None:
    """Check that a pointer is sound, its history whole, the run that it names committed, and all signed as required."""
    where = f"{key}@{alias}"
    try:
        seen = context.records.pointer(key, alias)
        context.records.history(seen)
        if seen is not None and context.policy.require_signature:
            check_pointer(seen.value, context.policy, f"the pointer {where}")
        if seen is not None and seen.value.run_id is not None:
            manifest = context.records.manifest(key, RunId(seen.value.run_id))
            if manifest.digest != seen.value.manifest_sha256:
                raise publish.other_manifest(manifest, alias)
    except (Unavailable, Unsupported):
        raise
    except ArtifactStoreError as error:
        return Problem(where, error)
    return None


def verify_stored(context: Context, ref: RunRef, golden: Golden | None) -> Finding:
    """Check what is stored under a run's id or an alias; what was never committed is passed over."""
    if ref.run_id is None:
        return verify_pointer(context, ref.key, ref.alias or LATEST)
    with suppress(NotFound):  # it was never committed
        return verify_committed(context, ref.key, ref.run_id, golden)
    return None


def verify_models(context: Context, models: Iterable[ModelKey], check: Check) -> Report:
    """Check every run and every pointer of several models; what was never committed is passed over."""
    report = Report()
    for finding in check([ref for key in models for ref in _stored(context, key)]):
        if isinstance(finding, RunReport):
            report.runs.append(finding)
        elif finding is not None:
            report.pointers.append(finding)
    return report


def _stored(context: Context, key: ModelKey) -> Iterator[RunRef]:
    """Yield every run of a model by its id, whether it was committed or not, and every alias."""
    for child in context.records.children(keys.model_prefix(key)):
        run_id, alias = keys.run_in(child), keys.alias_in(child)
        if run_id is not None:
            yield RunRef(key, None, run_id)
        elif alias is not None:
            yield RunRef(key, alias, None)
