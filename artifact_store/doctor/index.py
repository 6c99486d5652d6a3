"""The catalog index: whether it can be read, says what the manifests say, and has what was saved.

It is never the truth, so nothing in it is an error: at worst listings are slow, or show what is not there any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from artifact_store.core import keys
from artifact_store.core.index_rows import Row, RowDict, is_sound
from artifact_store.doctor.examination import Examination, shown
from artifact_store.doctor.report import BY_REPAIR, Repair
from artifact_store.errors import ArtifactStoreError, Corrupt
from artifact_store.ops import index_writing
from artifact_store.ops.delete import StepResult
from artifact_store.ops.index import Index, open_index, sorted_out, survey
from artifact_store.storage.base import Entry

_REMEDY: Final = f"{BY_REPAIR}, or `artifact-store index --rebuild`: it is made anew from the manifests"


def examine_index(
    exam: Examination, entries: Sequence[Entry], committed: Mapping[str, str], damaged: Collection[str]
) -> None:
    """Report what is wrong with the index, of a store with these runs: label and fingerprint of its row.

    Of ``damaged`` runs nothing is said here.
    """
    found = sorted_out(entries)
    index = exam.ask(lambda: open_index(exam.context, found))
    if isinstance(index, ArtifactStoreError):
        if not exam.refused(keys.INDEX, index, what="the index"):
            _corrupt(exam, index)
        return
    if index is None:
        _behind(exam, len(found.notices))
        return
    try:
        wrong, missing = _compared(index, committed, damaged)
    except Corrupt as error:
        _corrupt(exam, error)
        return
    if wrong:
        _wrong(exam, index, wrong)
    _behind(exam, len(index.doubtful) + missing)


def _compared(index: Index, committed: Mapping[str, str], damaged: Collection[str]) -> tuple[list[str], int]:
    """Return the runs of which the index says something else than their manifests, and how many it does not know."""
    left = len(committed) - sum(f"{model}:{run_id}" in committed for model, run_id in index.doubtful)
    wrong = []
    for model, rows in index.groups():
        for row in rows:
            label = f"{model}:{row['run_id']}"
            if (model, row["run_id"]) in index.doubtful:
                continue
            left -= label in committed
            if label not in damaged and _said(row, committed.get(label)) != committed.get(label):
                wrong.append(label)
    return wrong, left


def _said(row: RowDict, truth: str | None) -> str | None:
    """Return what a row says of its run, as far as it says it itself."""
    if row["state"] != "live":
        return None if row["state"] == "gone" else truth
    return Row(row).fingerprint if is_sound(row) else ""


def _wrong(exam: Examination, index: Index, labels: Sequence[str]) -> None:
    """Report what the index is wrong about, unless it was told so meanwhile."""
    now = exam.ask(lambda: survey(exam.context))
    later = {} if isinstance(now, ArtifactStoreError) else now.notices
    told = {":".join(notice.order) for name, (notice, _) in later.items() if name not in index.survey.notices}
    labels = [label for label in labels if label not in told]
    if labels:
        message = (
            f"it says something else of {len(labels)} runs ({shown(labels)}) than their manifests do: a client that "
            "does not know the index has deleted them or brought them back, or something has changed it"
        )
        _add(exam, "index-wrong", message)


def _corrupt(exam: Examination, error: ArtifactStoreError) -> None:
    _add(exam, "index-corrupt", f"listings do without it: {error}")


def _add(exam: Examination, code: str, message: str) -> None:
    def carry_out(_: datetime) -> StepResult:
        done = index_writing.build_anew(exam.context)
        return StepResult("rebuilt") if done else StepResult("kept", done.detail)

    repair = Repair("rebuild", "it is made anew from the manifests", carry_out)
    exam.add("warning", code, keys.INDEX, message, remedy=_REMEDY, repair=repair)


def _behind(exam: Examination, count: int) -> None:
    if count >= index_writing.PILED:
        message = f"{count} runs were saved or deleted since it was written, and each listing looks at them"
        exam.add("note", "index-behind", keys.INDEX, message, remedy="artifact-store index --rebuild")
