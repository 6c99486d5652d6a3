"""Many runs, asked about in many processes and threads: the same answer, whatever dies on the way."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, StoreSpec, errors
from artifact_store.bulk import checks, pool
from artifact_store.bulk.journal import line, lines
from artifact_store.bulk.work import Bulk, Inquiry
from artifact_store.cli.app import app
from artifact_store.errors import InvalidOption, Unavailable, Unsupported, WorkerLost
from artifact_store.legacy.migrate import migrate_tree
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests.integration.ops.bulk_trial import TRIAL
from tests.keys import public, signer
from tests.legacy_cases import old_tree

joblib = pytest.importorskip("joblib")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A store with sound runs, a damaged one, a deleted one, one that was never committed, and a damaged alias."""
    store = ArtifactStore(tmp_path / "store", provenance=False)
    for number in range(12):
        store.save({"w": [number]}, f"linear/S{number % 3}")
    (damaged, gone) = (store.save({"w": [1]}, "linear/S1", publish="never") for _ in range(2))
    folder = Path(store.url) / "linear" / "S1"
    next((folder / damaged.run_id).glob("*.json")).with_name("model.json").write_bytes(b'{"w": [2]}')
    store.delete(gone).apply()
    (folder / "20200101_000000_aaaaaa").mkdir()
    (Path(store.url) / "linear" / "S2" / "latest.json").write_bytes(b"{}")
    return store


@pytest.fixture
def threads() -> Iterator[None]:
    with joblib.parallel_config(backend="threading", n_jobs=3):
        yield


def told(report: Any) -> Any:
    """A report of ``verify`` without its exceptions, which are never equal."""
    return [checks.VERIFY.to_json(found) for found in (*report.runs, *report.pointers)]


# ---------------------------------------------------------------- the same answer


def test_threads_find_the_same_as_one_by_one(store: ArtifactStore, threads: None) -> None:
    steps: list[tuple[int, int]] = []
    assert told(store.verify(announce=lambda *step: steps.append(step))) == told(store.verify(jobs=1))
    assert steps[0] == (0, steps[-1][1])
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    many, one = store.validate(), store.validate(jobs=1)
    assert [report.problems != () for report in one] == [False, False, True]
    for found, expected in zip(many, one, strict=True):
        assert {**checks.VALIDATE.to_json(found), "seconds": 0} == {**checks.VALIDATE.to_json(expected), "seconds": 0}


def test_whose_signatures_count_is_sent_along(tmp_path: Path, threads: None) -> None:
    place = tmp_path / "store"
    signed = ArtifactStore(place, signer=signer("alice"))
    for store in (signed, ArtifactStore(place), signed):
        store.save({"w": [1]}, "linear/A", publish="never")
    unsigned = ArtifactStore(place)
    for keys in ([public("alice")], [public("bob")], None):
        assert told(unsigned.verify(keys=keys)) == told(unsigned.verify(keys=keys, jobs=1))
    assert len(unsigned.verify(keys=[public("alice")]).problems) == 1


def test_processes_find_the_same_and_the_command_says_so(store: ArtifactStore, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> Any:
        result = CliRunner().invoke(app, ["--store", store.url, *map(str, arguments), "--json"])
        assert result.exit_code == 1, result.output
        return json.loads(result.stdout)

    journal = tmp_path / "answers"
    expected = run("verify")
    assert run("verify", "--jobs", "2", "--resume", journal) == expected
    assert run("verify", "--resume", journal) == expected
    result = CliRunner().invoke(app, ["--store", store.url, "verify", "--predict", "--resume", str(journal)])
    assert result.exit_code == 2
    assert "another question" in result.stderr


def test_an_old_tree_is_migrated_by_threads_as_one_by_one(tmp_path: Path, threads: None) -> None:
    tree = old_tree(tmp_path)
    for folder in (*tree.glob("[gp]*"), tree / "metadata", *(tree / "lightgbm").glob("*")):
        if folder.name != "BTCEUR":
            shutil.rmtree(folder)
    one, many = (ArtifactStore(tmp_path / name) for name in ("one", "many"))
    expected = migrate_tree(tree, one, jobs=1)
    found = migrate_tree(tree, many, resume=tmp_path / "answers")
    assert {**found.to_json(), "store": ""} == {**expected.to_json(), "store": ""}
    assert told(many.verify()) != []
    assert many.verify().ok
    again = migrate_tree(tree, many, resume=tmp_path / "answers")
    assert [run.outcome for run in again] == ["copied"] * len(again.runs)  # as the journal has it
    renamed = {"created": "already there"}
    assert [alias.outcome for alias in again.aliases] == [renamed.get(a.outcome, a.outcome) for a in expected.aliases]


# ---------------------------------------------------------------- a journal is no truth


def test_a_journal_says_nothing_of_a_run_that_an_alias_names_since(store: ArtifactStore, tmp_path: Path) -> None:
    journal = tmp_path / "answers"
    first = {report.key: report.run for report in store.validate(resume=journal)}
    published = store.save({"w": [7]}, "linear/S0")
    for _ in range(2):  # what was asked again is kept as well
        second = {report.key: report.run for report in store.validate(resume=journal)}
        assert second == first | {published.key: str(published.ref)}
    store.retire("linear/S0")
    assert store.validate("linear/S0", resume=journal)[0].run == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        lambda _: 7,
        lambda _: {"problem": []},
        lambda verdict: {**verdict, "label": "linear/S0:20240101_000000_aaaaaa"},
        lambda verdict: {name: part for name, part in verdict.items() if name != "bytes"},
    ],
    ids=["gone", "number", "nothing", "of another run", "of another release"],
)
def test_what_is_no_verdict_on_its_run_is_asked_again(store: ArtifactStore, tmp_path: Path, change: Any) -> None:
    expected = told(store.verify(resume=tmp_path / "answers"))
    question, *answers = lines(tmp_path / "answers")
    for answer in answers:
        answer["verdict"] = change(answer["verdict"])
    (tmp_path / "others").write_bytes(b"".join(map(line, [question, *answers])))
    assert told(store.verify(resume=tmp_path / "others")) == expected


def test_what_was_migrated_into_a_store_that_was_made_anew_is_migrated_again(tmp_path: Path) -> None:
    tree, place = old_tree(tmp_path), tmp_path / "store"
    for folder in (*tree.glob("[gp]*"), tree / "metadata", *(tree / "lightgbm").glob("*")):
        if folder.name != "BTCEUR":
            shutil.rmtree(folder)
    for _ in range(2):
        store = ArtifactStore(place)
        found = migrate_tree(tree, store, resume=tmp_path / "answers")
        assert [run.outcome for run in found] == ["copied"] * len(found.runs)
        assert len(list(store.runs())) == len(found.runs) > 0
        shutil.rmtree(place)


# ---------------------------------------------------------------- what is refused


def test_a_store_in_memory_is_checked_by_threads_and_not_by_processes() -> None:
    store = ArtifactStore("memory://bulk")
    for number in range(4):
        store.save({"w": [number]}, "linear/A", publish="never")
    with pytest.raises(InvalidOption, match="memory of this process"):
        store.verify(jobs=2)
    with joblib.parallel_config(backend="threading"):
        assert len(store.verify(jobs=2).runs) == 4


def test_a_store_that_cannot_be_sent_is_refused_before_anything_is_asked(store: ArtifactStore) -> None:
    other = ArtifactStore(store.url, clock=lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidOption, match="clock= and|clock=, which stays"):
        other.verify(jobs=2)
    assert not other.verify().ok


def test_without_joblib_the_extra_is_named(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(Unsupported, match=r"jobs= needs joblib: pip install .*joblib"):
        store.verify(jobs=2)
    assert not store.verify().ok


# ---------------------------------------------------------------- what dies


@pytest.fixture
def trial(tmp_path: Path) -> Inquiry[ArtifactStore, str]:
    store = ArtifactStore(tmp_path / "place")
    return Inquiry(TRIAL, {"store": store.url}, {"folder": str(tmp_path)}, store, store.spec)


def asked(folder: Path) -> Counter[str]:
    return Counter((folder / "asked").read_text().split())


def things(*names: str) -> dict[str, str]:
    return {name: name for name in names}


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process as POSIX does")
def test_workers_are_killed_and_every_answer_is_given_once(
    trial: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "TOGETHER", 1)  # as each pool takes its time to start; the proof leaves it as it is
    monkeypatch.setattr(pool, "ALONE", 1)
    names = [f"n{number}" for number in range(40)]
    all_of_them = things(*names[:3], "deadly", *names[3:])
    found = trial.ask(all_of_them, Bulk(jobs=2, resume=tmp_path / "answers"))
    expected = [f"{name} of place" for name in all_of_them]
    place = list(all_of_them).index("deadly")
    assert found[:place] + found[place + 1 :] == expected[:place] + expected[place + 1 :]
    assert found[place].startswith("LOST deadly: every worker that was given it ended")
    assert "TerminatedWorkerError" in found[place] or "BrokenProcessPool" in found[place]
    assert 2 <= asked(tmp_path)["deadly"] <= 4
    before = asked(tmp_path)
    assert trial.ask(things(*names), Bulk(resume=tmp_path / "answers")) == [f"{name} of place" for name in names]
    assert asked(tmp_path) == before


def test_what_ends_the_work_one_by_one_ends_it_with_workers_and_the_journal_goes_on(
    trial: Any, tmp_path: Path, threads: None
) -> None:
    every = things(*map(str, range(20)), "outage", *map(str, range(20, 40)))
    for jobs in (None, 1):
        with pytest.raises(Unavailable, match="does not answer"):
            trial.ask(every, Bulk(jobs, resume=tmp_path / "answers"))
    before = asked(tmp_path)
    (tmp_path / "repaired").touch()
    assert trial.ask(every, Bulk(jobs=1, resume=tmp_path / "answers")) == [f"{name} of place" for name in every]
    assert set((asked(tmp_path) - before).values()) == {1}
    assert not (asked(tmp_path) - before).keys() & {"0", "1"}


def test_a_driver_that_is_stopped_goes_on_where_it_was(trial: Any, tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    every = things(*map(str, range(20)))
    with pytest.raises(KeyboardInterrupt):
        trial.ask(every, Bulk(resume=tmp_path / "answers", announce=stop))
    assert len(trial.ask(every, Bulk(resume=tmp_path / "answers"))) == 20
    assert asked(tmp_path) == Counter(every.keys())


def test_a_lost_worker_is_a_problem_of_its_run_and_of_its_model() -> None:
    error = WorkerLost("killed")
    assert checks.VERIFY.lost("gru/A:20200101_000000_aaaaaa", error).problems[0].error is error  # type: ignore[union-attr]
    assert checks.VERIFY.lost("gru/A@latest", error).error is error  # type: ignore[union-attr]
    report = checks.VALIDATE.lost("gru/A", error)
    assert not report.ok
    assert not checks.VALIDATE.lasting(report)
    assert isinstance(error, errors.Unavailable)


def test_nothing_of_a_store_is_left_in_a_worker(store: ArtifactStore, threads: None) -> None:
    opened: list[Any] = []

    class Watching(StoreSpec):
        __slots__ = ()

        def context(self) -> Any:
            opened.append(super().context())
            return opened[-1]

    assert not Watching.from_json(store.spec().to_json()).open().verify().ok
    assert len(opened) > 2
    assert all(context.workers._pool is None for context in opened[1:])


def test_a_ready_backend_stays_here() -> None:
    store = ArtifactStore(FaultyBackend(MemoryBackend(), Faults()))
    for _ in range(2):
        store.save({"w": [1]}, "linear/A")
    with pytest.raises(InvalidOption, match="a ready backend"):
        store.verify(jobs=2)
