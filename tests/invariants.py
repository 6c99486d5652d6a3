"""The invariants of ``FORMAT.md``, checked on whatever a store holds."""

from __future__ import annotations

from artifact_store import ArtifactStore, errors
from artifact_store.core.names import ModelKey


def check(store: ArtifactStore, key: str, aliases: tuple[str, ...] = ("latest",)) -> dict[str, int]:
    """Assert I1 to I3 and return the ``seq`` of every alias that was published."""
    report = store.verify(key)
    assert report.ok, [str(problem) for problem in report.problems]  # I1, and of I2 that pointers name sound runs
    visible = {str(run.run_id) for run in store.runs(key)}
    seqs = {}
    for alias in aliases:
        try:
            past = store.history(f"{key}@{alias}")
        except errors.AliasNotFound:
            continue
        assert [entry.seq for entry in past] == list(range(1, len(past) + 1))  # I3
        assert len({entry.write_id for entry in past}) == len(past)
        named = past[-1].run_id
        assert named is None or named in visible  # I2
        seqs[alias] = len(past)
    assert all(ModelKey.parse(key) == run.key for run in store.runs(key))
    return seqs
