"""What was stored is still there: after doubts, repetitions, kills, copies, and somebody else's tidying."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli.app import app
from artifact_store.storage.base import Backend
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.open import open_backend
from artifact_store.testing import Faults, FaultyBackend, SimulatedCrash
from tests.proofs.replays.hostile_s3 import HostileS3
from tests.proofs.replays.surroundings import photograph

KEY = "gru/BTCEUR"
ENGINES = ["obstore", "fsspec"]


def local(path: Path) -> Backend:
    return open_backend(path, filesystem=None, storage_options=None, engine="local", timeout=5.0)


def bucket(server: HostileS3, engine: str, prefix: str = "models", **more: Any) -> ArtifactStore:
    return ArtifactStore(
        server.url(prefix), engine=engine, storage_options=server.options(), **{"timeout": 30.0, **more}
    )


# ---------------------------------------------------------------- 15: no clean-up after an unknown commit


@pytest.mark.parametrize("place", ["*/manifest.json", "*/latest.json", "*/model.json"])
@pytest.mark.parametrize("landed", [True, False])
def test_row_15_nothing_is_cleaned_up_after_an_unknown_outcome(place: str, *, landed: bool) -> None:
    """The reply is lost, and the look afterwards fails as well: whoever cleans up now destroys a commit."""
    inner = MemoryBackend()
    ArtifactStore(inner).save({"a": 0}, KEY, run_id="20240101_000000")
    on = Faults(seed=1).on("write", "put_file", key=place)
    plan = on.lose_reply() if landed else on.lose_request()
    plan = plan.on("read", "stream", key=place, after=1 if place == "*/latest.json" else 0).unavailable()
    store = ArtifactStore(FaultyBackend(inner, plan), timeout=0.3)
    with pytest.raises(errors.OutcomeUnknown):
        store.save({"a": 1}, KEY, run_id="20240102_000000")
    held = {entry.key for entry in inner.list("")}
    sound = ArtifactStore(inner)
    if place == "*/manifest.json" and landed:
        assert sound.load(f"{KEY}:20240102_000000") == {"a": 1}  # it had landed, and it is all there
    if place == "*/latest.json":
        assert sound.load(f"{KEY}:20240102_000000") == {"a": 1}
        assert sound.load(KEY) == {"a": 1 if landed else 0}
    assert sound.load(f"{KEY}:20240101_000000") == {"a": 0}
    assert {f"{KEY}/20240101_000000/model.json", f"{KEY}/20240101_000000/manifest.json"} <= held
    assert not sound.gc().changes  # within the grace period nobody else cleans up either
    assert {entry.key for entry in inner.list("")} == held
    again = sound.save({"a": 1}, KEY, run_id="20240103_000000")  # and repeating it is safe
    assert sound.load(KEY) == {"a": 1}
    assert sound.verify().ok
    assert again.published


# ---------------------------------------------------------------- 16: identical content


@pytest.mark.parametrize("run_id", [None, "20240101_000000"])
def test_row_16_saving_the_same_twice_loses_neither(tmp_path: Path, run_id: str | None) -> None:
    for store in (ArtifactStore(tmp_path / "store"), ArtifactStore("memory://twice" + str(run_id))):
        first = store.save(b"weights", KEY, run_id=run_id)
        before = store.get(str(first.ref)).manifest.digest
        second = None
        with suppress(errors.RunExists):
            second = store.save(b"weights", KEY, run_id=run_id)
        assert store.get(str(first.ref)).manifest.digest == before
        assert store.load(str(first.ref)) == store.load(KEY) == b"weights"
        assert len(list(store.runs(KEY))) == (1 if run_id else 2)
        assert store.verify().ok
        if second is not None and second.ref != first.ref:
            assert store.delete(str(first.ref)).apply().ok  # and one can go without the other
            store.gc(grace=timedelta(0)).apply()
            assert store.load(KEY) == b"weights"
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    for _ in range(2):
        assert CliRunner().invoke(app, ["--store", str(tmp_path / "store"), "put", "gru/CLI", str(file)]).exit_code == 0
    assert len(list(ArtifactStore(tmp_path / "store").runs("gru/CLI"))) == 2


# ---------------------------------------------------------------- 17: one id, two uploads


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Do these at the same moment; return what each gave or raised."""
    ready, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int, act: Callable[[], Any]) -> None:
        ready.wait()
        try:
            results[place] = act()
        except errors.ArtifactStoreError as error:
            results[place] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_row_17_of_two_uploads_of_one_id_one_wins(tmp_path: Path) -> None:
    for round_ in range(13):
        run_id = f"20240101_0000{round_:02d}"
        acts = [
            lambda n=n, run_id=run_id: ArtifactStore(tmp_path / "store").save({"writer": n}, KEY, run_id=run_id)
            for n in range(2)
        ]
        results = at_once(*acts)
        won = [result for result in results if not isinstance(result, Exception)]
        assert len(won) == 1, results
        (lost,) = (result for result in results if isinstance(result, Exception))
        assert isinstance(lost, errors.RunExists)
        winner = results.index(won[0])
        assert ArtifactStore(tmp_path / "store").load(f"{KEY}:{run_id}") == {"writer": winner}
    assert ArtifactStore(tmp_path / "store").verify().ok


def test_row_17_deleting_the_newest_leaves_latest_as_it_is(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    old, new = (store.save({"a": n}, KEY) for n in (1, 2))
    with pytest.raises(errors.RunInUse):
        store.delete(str(new.ref))
    store.promote(old, "latest")
    assert store.delete(str(new.ref)).apply().ok
    store.gc(grace=timedelta(0)).apply()
    assert store.load(KEY) == store.find(KEY).load() == {"a": 1}
    assert [run.run_id for run in store.runs(KEY)] == [old.run_id]
    third = store.save({"a": 3}, KEY)
    assert store.get(KEY) == third
    assert store.rollback(KEY).run_id == old.run_id  # past the one that is gone


# ---------------------------------------------------------------- 19: copies


def test_row_19_a_copy_between_storages_is_a_whole_store(tmp_path: Path) -> None:
    first = ArtifactStore(tmp_path / "store")
    runs = [first.save({"a": n}, KEY, components={"weights": bytes([n]) * 1000}) for n in range(3)]
    first.promote(runs[0], "production")
    first.delete(str(runs[1].ref)).apply()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    copies = [ArtifactStore(tmp_path / "copy")]
    with HostileS3() as server:
        for name, path in (
            (path.relative_to(tmp_path / "store").as_posix(), path) for path in sorted(Path(first.url).rglob("*"))
        ):
            if path.is_file() and not name.startswith("_locks/"):
                server.objects[f"models/{name}"] = path.read_bytes()
        copies += [bucket(server, engine) for engine in ENGINES]
        for store in copies:
            assert store.load(KEY) == {"a": 2}
            assert store.load(f"{KEY}@production", "weights") == bytes(1000)
            assert store.verify().ok
            for grace in (timedelta(0), timedelta(days=7)):
                plan = store.gc(grace=grace)
                named = {step.target for step in plan.changes}
                assert not any(run.run_id in what for run in (runs[0], runs[2]) for what in named), named
        copies[1].gc(grace=timedelta(0)).apply()
        assert copies[1].load(f"{KEY}@production") == {"a": 0}
        for store in copies:
            assert store.save({"a": 9}, KEY).published
        back = tmp_path / "back"
        for name, data in server.objects.items():
            path = back / name.removeprefix("models/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    assert ArtifactStore(back).load(KEY) == {"a": 9}
    assert ArtifactStore(back).verify().ok


# ---------------------------------------------------------------- 40, 42: somebody else's things


def test_row_40_no_name_is_a_pattern(tmp_path: Path) -> None:
    """Beside a deleted run lie things whose names fit it, or which it fits, if either were a pattern."""
    naive = fsspec.filesystem("memory")
    naive.pipe({"/naive/test?file": b"", "/naive/test_file": b""})
    naive.rm("/naive/test?file")
    assert not naive.exists("/naive/test_file")  # what was hit
    twins = [
        "20240101_00000?",
        "20240101_00000*",
        "20240101_00000[0]",
        "2024010[1]_000000",
        "*",
        "20240101_000000x",
        "20240101_00000",
    ]
    for engine in ENGINES:
        with HostileS3() as server:
            store = bucket(server, engine)
            store.save({"a": 1}, KEY, run_id="20240101_000000", publish="never")
            kept = store.save({"a": 2}, KEY, run_id="20240102_000000")
            theirs = {f"models/{KEY}/{twin}/model.json": b"theirs" for twin in twins}
            server.objects |= theirs
            assert store.delete(f"{KEY}:20240101_000000").apply().ok
            assert store.gc(grace=timedelta(0)).apply().ok
            removed = {request.key for request in server.seen if request.method == "DELETE"}
            assert all(key.startswith((f"models/{KEY}/20240101_000000/", "models/_probe/")) for key in removed), removed
            assert theirs.items() <= server.objects.items()
            assert store.load(str(kept.ref)) == {"a": 2}
    store = ArtifactStore(tmp_path / "store")
    kept, doomed = store.save({"a": 1}, KEY), store.save({"a": 2}, "gru/BTC*", publish="never")  # a symbol as any other
    assert store.delete(str(doomed.ref)).apply().ok
    assert store.gc(grace=timedelta(0)).apply().ok
    assert store.load(str(kept.ref)) == {"a": 1}
    with pytest.raises(errors.InvalidReference):
        store.delete(f"{KEY}:2024010?_000000")


def test_row_42_tidying_one_store_leaves_the_others_in_the_bucket(tmp_path: Path) -> None:
    """Equal contents, prefixes that begin alike, and one store within the prefix of another's parent."""
    with HostileS3() as server:
        for engine in ENGINES:
            prefixes = [f"{engine}/models", f"{engine}/models-2", f"{engine}/mod", engine + "x/models"]
            stores = [bucket(server, "obstore", prefix) for prefix in prefixes]
            for store in stores:
                for number in range(3):
                    store.save({"same": number}, KEY, run_id=f"2024010{number + 1}_000000")
            others = {key: data for key, data in server.objects.items() if not key.startswith(f"{engine}/models/")}
            mine = bucket(server, engine, prefixes[0])
            assert mine.prune(KEY, keep_last=0, grace=timedelta(0)).apply().ok
            assert mine.gc(grace=timedelta(0)).apply().ok
            gone = {request.key for request in server.seen if request.method == "DELETE" and engine in request.key}
            assert any(key.startswith(f"{engine}/models/{KEY}/20240101_000000/") for key in gone)
            assert {key: data for key, data in server.objects.items() if key in others} == others
            assert all(store.verify().ok for store in stores[1:])
    one, two = (ArtifactStore(tmp_path / name) for name in ("a", "a b"))
    for store in (one, two):
        store.save({"same": 1}, KEY, run_id="20240101_000000", publish="never")
    before = photograph(Path(two.url))
    one.delete(f"{KEY}:20240101_000000").apply()
    one.gc(grace=timedelta(0)).apply()
    assert photograph(Path(two.url)) == before


def test_row_42_nothing_is_tidied_where_no_store_is(tmp_path: Path) -> None:
    for name in ("weights.bin", "gru/BTCEUR/20200101_000000/model.pkl", "notes/a.json"):
        (tmp_path / "theirs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "theirs" / name).write_text("theirs")
    before = photograph(tmp_path)
    store = ArtifactStore(tmp_path / "theirs")
    for act in (
        lambda: store.gc(grace=timedelta(0)).apply(),
        lambda: store.delete("gru/BTCEUR:20200101_000000").apply(),
        lambda: store.prune(keep_last=0, grace=timedelta(0)).apply(),
        lambda: store.save({"a": 1}, KEY),
    ):
        with suppress(errors.NotAStore, errors.NotFound):
            act()
    for command in (["gc", "--grace", "0s", "--apply"], ["prune", "--keep-last", "0", "--apply"]):
        CliRunner().invoke(app, ["--store", store.url, *command])
    assert photograph(tmp_path) == before


# ---------------------------------------------------------------- 41: storage without put-if-absent


@pytest.mark.parametrize("engine", ENGINES)
def test_row_41_storage_that_ignores_conditions_is_not_written_to(engine: str) -> None:
    with HostileS3(conditions=False) as server:
        assert (
            server._put("x", b"1", {"if-none-match": "*"}).status
            == server._put("x", b"2", {"if-none-match": "*"}).status
        )
        server.objects.clear()
        store = bucket(server, engine)
        with pytest.raises(errors.ConditionsUnsupported, match="single-writer"):
            store.save({"a": 1}, KEY)
        assert not {key for key in server.objects if not key.startswith("models/_probe/")}
        alone = bucket(server, engine, concurrency="single-writer")
        assert alone.save({"a": 1}, KEY).published
    with HostileS3() as honest:
        backend = bucket(honest, engine)._context.backend
        results = at_once(
            *(lambda n=n: ArtifactStore(backend).save({"n": n}, KEY, run_id="20240101_000000") for n in range(4))
        )
        won = [result for result in results if not isinstance(result, Exception)]
        assert len(won) == 1, results
        assert all(isinstance(result, errors.RunExists) for result in results if result is not won[0])


# ---------------------------------------------------------------- 43: killed while saving


@pytest.mark.parametrize("landed", [False, True])
def test_row_43_a_kill_at_any_moment_leaves_what_was_there(tmp_path: Path, *, landed: bool) -> None:
    """Nothing is removed before the new one is whole, and a torn one is no run."""
    for number in range(1, 40):
        root = tmp_path / f"{number}-{landed}"
        before = ArtifactStore(root).save({"a": 0}, KEY, components={"weights": b"old"})
        crashing = FaultyBackend(local(root), Faults(seed=1).crash_at(number, landed=landed))
        died = False
        try:
            ArtifactStore(crashing).save({"a": 1}, KEY, components={"weights": b"new"})
        except SimulatedCrash:
            died = True
        store = ArtifactStore(root)
        assert store.load(str(before.ref)) == {"a": 0}
        now = store.get(KEY)
        assert (now.load(), now.load("weights")) in [({"a": 0}, b"old"), ({"a": 1}, b"new")]
        assert store.verify().ok
        if not died:
            assert now.load() == {"a": 1}
            break
    else:
        pytest.fail("a save of three files takes more than 39 operations")
    assert number > 6
