"""``save(validate=True)``: what is published was loaded back from the storage before; and runs that are too old."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from artifact_store import ArtifactStore, CodecRegistry, Example, FeatureSchema, IfBetter, LoadPolicy, errors
from artifact_store.codecs.documents import DocumentCodec
from artifact_store.ops.verdict import Verdict
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests.keys import public, signer

ROWS = np.random.default_rng(0).normal(size=(60, 3))
KEY = "trees/EURUSD"
MODEL_FILES = f"{KEY}/2*/model*"


def booster() -> Any:
    data = lgb.Dataset(ROWS, ROWS @ np.array([1.0, -1.0, 0.5]))
    return lgb.train({"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}, data, num_boost_round=3)


MODEL = booster()
EXAMPLE = Example(ROWS[:5], MODEL.predict(ROWS[:5]))


def save(store: ArtifactStore, **options: Any) -> Any:
    return store.save(MODEL, KEY, validate=True, **{"example": EXAMPLE, **options})


class Interrupting(MemoryBackend):
    """Somebody presses Ctrl-C while the model is read."""

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        if key.startswith(KEY):
            raise KeyboardInterrupt
        return super().stream(key, size=size)


class Noting(MemoryBackend):
    """Remembers what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        self.seen.append(key)
        return super().stream(key, size=size)


def test_a_run_without_an_example_needs_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with ArtifactStore("memory://") as store:
        published = store.save({"a": 1}, "settings/X", validate=True).published
        assert published.pointer is not None, str(published)


def test_a_sound_run_is_published_and_says_that_it_was_compared() -> None:
    with ArtifactStore("memory://") as store:
        run = save(store)
        assert str(run.published) == "published as 'latest', seq 1; validated: sound"
        plain = save(store, example=None)
        assert str(plain.published).endswith("seq 2; validated: sound, not compared (it has no example)")
        assert plain.published.validation.verdict is Verdict.SOUND
        assert not plain.published.validation.compared
        assert store.save(MODEL, KEY).published.validation is None
        with store.new_run(KEY, validate=True) as draft:
            draft.add("model", MODEL)
        assert draft.run.published.validation.loaded == ("model",)


def test_every_file_is_read_back_from_the_storage_whatever_a_cache_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("fine")
    backend = Noting()
    store = ArtifactStore(backend, cache=tmp_path / "cache")
    store.load(store.save(MODEL, KEY).ref)
    backend.seen.clear()
    with store.new_run(KEY, validate=True) as draft:
        draft.add("model", MODEL)
        draft.add("weights", b"raw")
        draft.add_file("notes.txt", tmp_path / "notes.txt")
    prefix = f"{KEY}/{draft.run.run_id}/"
    assert {key.removeprefix(prefix) for key in backend.seen} == {entry.key for entry in draft.run.files.values()}


FAULTS: dict[str, tuple[Callable[[Faults], Faults], type[errors.ArtifactStoreError], Verdict | None]] = {
    "flipped": (lambda plan: plan.on("stream", key=MODEL_FILES).flip(), errors.DigestMismatch, Verdict.WRONG),
    "cut": (lambda plan: plan.on("stream", key=MODEL_FILES).cut(), errors.DigestMismatch, Verdict.WRONG),
    "other file": (
        lambda plan: plan.on("stream", key=f"{KEY}/2*/metadata*").flip(),
        errors.DigestMismatch,
        Verdict.WRONG,
    ),
    "manifest": (lambda plan: plan.on("read", key=f"{KEY}/2*/manifest.json").flip(), errors.Corrupt, None),
    "gone": (
        lambda plan: plan.on("stream", key=MODEL_FILES).fail(lambda _, key: errors.ObjectNotFound(key)),
        errors.Corrupt,
        Verdict.WRONG,
    ),
    "lost replies": (lambda plan: plan.on("stream", key=MODEL_FILES).lose_reply(), errors.Unavailable, None),
    "down": (lambda plan: plan.on("read", key=f"{KEY}/2*/manifest.json").unavailable(), errors.Unavailable, None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_back_stays_committed_and_is_not_published(fault: str) -> None:
    spoil, kind, verdict = FAULTS[fault]
    memory = MemoryBackend()
    good = save(ArtifactStore(memory))
    store = ArtifactStore(FaultyBackend(memory, spoil(Faults()), sleep=lambda _: None), timeout=0.3)
    run = save(store)
    assert not run.published
    assert isinstance(run.published.error, kind)
    assert str(run.published).startswith("committed, not published, because ")
    assert (run.published.validation and run.published.validation.verdict) == verdict
    calm = ArtifactStore(memory)
    assert calm.get(KEY) == good
    assert calm.get(run.ref) == run
    assert calm.promote(run, "latest").run_id == run.run_id


def test_ctrl_c_during_the_validation_leaves_a_run_that_is_committed_and_not_published() -> None:
    backend = Interrupting()
    store = ArtifactStore(backend)
    with pytest.raises(KeyboardInterrupt) as caught, store.new_run(KEY, validate=True) as draft:
        draft.add("model", MODEL)
    assert str(draft.run.published) == "committed, not published, because its validation was cut short"
    assert caught.value.__notes__ == [
        f"The run {draft.run.ref} is committed, and not published: its validation was cut short."
    ]
    assert store.get(draft.run.ref) == draft.run
    with pytest.raises(errors.AliasNotFound):
        store.get(KEY)


class Breaking(DocumentCodec):
    """A codec that cannot read what it writes."""

    name = "breaking"
    types = ("builtins.complex",)

    def accepts(self, obj: Any) -> bool:
        return isinstance(obj, complex)

    def encode(self, obj: Any, directory: Path, stem: str) -> Any:
        return super().encode([obj.real, obj.imag], directory, stem)

    def decode(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("nobody thought of that")


def broken() -> CodecRegistry:
    registry = CodecRegistry()
    registry.register(Breaking())
    return registry


def test_a_codec_that_cannot_read_what_it_wrote_publishes_nothing() -> None:
    with ArtifactStore("memory://", registry=broken()) as store, store.new_run("weights", validate=True) as draft:
        draft.add("model", 1j)
    assert not draft.run.published
    assert "ZeroDivisionError: nobody thought of that" in str(draft.run.published)
    with pytest.raises(errors.AliasNotFound):
        store.get("weights")


class Deleting(Breaking):
    """Somebody deletes the run while it is validated."""

    def __init__(self, where: str) -> None:
        self.where = where

    def decode(self, *_: Any, **__: Any) -> Any:
        with ArtifactStore(self.where) as other:
            for key in other.models():
                for run in other.runs(key):
                    with suppress(errors.RunInUse):
                        other.delete(run.ref).apply()
        return 1j


@pytest.mark.parametrize("before", [False, True])
def test_a_run_that_is_deleted_while_it_is_validated_leaves_the_alias_as_it_was(
    tmp_path: Path, *, before: bool
) -> None:
    where = str(tmp_path / "store")
    registry = CodecRegistry()
    registry.register(Deleting(where))
    with ArtifactStore(where, registry=registry) as store:
        first = store.save({"n": 1}, "weights").ref if before else None
        with pytest.raises(errors.RunDeleted), store.new_run("weights", validate=True) as draft:
            draft.add("model", 1j)
        if first is None:
            with pytest.raises(errors.AliasRetired):
                store.get("weights")
        else:
            assert store.get("weights").ref == first
        assert store.doctor().of("error") == ()


def test_with_an_example_it_does_not_even_store_it() -> None:
    with ArtifactStore("memory://", registry=broken()) as store:
        written = "the codec breaking-1 wrote of 'preprocessor' cannot be read back"
        with pytest.raises(errors.NotEncodable, match=written), store.new_run("lgb") as draft:
            draft.add("model", MODEL)
            draft.add("preprocessor", 1j)
            draft.add_example(EXAMPLE)
        assert store.models() == []


def test_a_model_of_another_width_than_its_features_is_not_published() -> None:
    model = DecisionTreeRegressor(max_depth=2).fit(ROWS, ROWS[:, 0])
    with ArtifactStore("memory://") as store:
        run = store.save(model, KEY, features=FeatureSchema(["a", "b"]), validate=True)
        assert isinstance(run.published.error, errors.FeatureMismatch)
        assert "takes 3 inputs, and the features that it is to get are 2" in str(run.published)
        for features, extra in ((["a", "b", "c"], {}), (["a", "b"], {"preprocessor": {"made": "columns"}})):
            assert store.save(model, KEY, features=FeatureSchema(features), components=extra, validate=True).published


def test_a_run_that_has_lost_what_it_needs_is_not_published() -> None:
    with ArtifactStore("memory://") as store:
        run = save(store, tags={"requires": "preprocessor"})
    assert isinstance(run.published.error, errors.ComponentNotFound)


def test_the_policy_is_asked_after_the_validation() -> None:
    with ArtifactStore("memory://") as store:
        save(store, metrics={"auc": 0.7})
        worse = save(store, metrics={"auc": 0.6}, publish=IfBetter("auc"))
        assert isinstance(worse.published.error, errors.PointerConflict)
        assert worse.published.validation.compared
        kept = save(store, publish="never")
        assert kept.published.reason == "publish='never' was asked for"
        assert kept.published.validation.compared


def test_signed_stores_validate_as_their_readers_do() -> None:
    policy = LoadPolicy(trusted_keys=[public()], require_signature=True)
    backend = MemoryBackend()
    assert save(ArtifactStore(backend, signer=signer(), policy=policy)).published
    unsigned = save(ArtifactStore(backend, policy=LoadPolicy(max_risk="data")))
    assert unsigned.published.validation.compared
    assert ArtifactStore(backend).get(KEY).validate().compared


def test_validate_tells_what_is_wrong_with_a_stored_run(tmp_path: Path) -> None:
    with ArtifactStore(tmp_path) as store:
        run = store.get(save(store).ref)
        assert str(run.validate()) == "sound"
        stored = tmp_path / "trees" / "EURUSD" / str(run.run_id) / "metadata.json"
        stored.chmod(0o600)
        stored.write_bytes(stored.read_bytes()[::-1])
        found = run.validate()
        assert [type(problem.error) for problem in found.problems] == [errors.DigestMismatch]
        assert str(found).startswith("wrong: ")
        assert set(found.loaded) == {"model", "example_inputs", "example_outputs"}


class TestAge:
    NOW = datetime(2024, 6, 1, tzinfo=UTC)

    @pytest.fixture
    def backend(self) -> MemoryBackend:
        backend = MemoryBackend()
        ArtifactStore(backend, clock=lambda: self.NOW - timedelta(days=40)).save({"a": 1}, KEY)
        return backend

    def store(self, backend: MemoryBackend) -> ArtifactStore:
        return ArtifactStore(backend, clock=lambda: self.NOW)

    @pytest.mark.parametrize("prefer", [("best_wf", "latest"), ()])
    def test_a_run_that_is_too_old_is_refused_by_name_and_number(
        self, backend: MemoryBackend, prefer: Sequence[str]
    ) -> None:
        store = self.store(backend)
        assert store.find(KEY, prefer=prefer, max_run_age=timedelta(days=41)).load() == {"a": 1}
        with pytest.raises(
            errors.RunTooOld, match=r"trees/EURUSD:2024\S+ was saved 40\.0 days ago .* allows 12\.0 hours"
        ) as caught:
            store.find(KEY, prefer=prefer, max_run_age=timedelta(hours=12))
        assert caught.value.ref == str(store.find(KEY).ref)
        assert (caught.value.age, caught.value.limit) == (timedelta(days=40), timedelta(hours=12))

    def test_a_younger_run_elsewhere_is_no_way_out(self, backend: MemoryBackend) -> None:
        store = self.store(backend)
        store.save({"a": 2}, KEY, alias="candidate")
        with pytest.raises(errors.RunTooOld):
            store.find(KEY, max_run_age=timedelta(days=1))

    @pytest.mark.parametrize("wrong", [30, timedelta(0), timedelta(days=-1), "30d"])
    def test_an_age_is_a_length_of_time(self, backend: MemoryBackend, wrong: Any) -> None:
        with pytest.raises(errors.InvalidOption, match="max_run_age is a timedelta above 0"):
            self.store(backend).find(KEY, max_run_age=wrong)
