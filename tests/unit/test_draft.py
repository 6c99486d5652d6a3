"""A run that is being written: what a draft refuses, and under which names it stores its files."""

import re
import tempfile
from contextlib import ExitStack

import pytest

from artifact_store import ArtifactStore, CodecRegistry, Risk
from artifact_store.errors import (
    AccessDenied,
    FileNotInRun,
    InvalidName,
    InvalidOption,
    OutcomeUnknown,
    PointerConflict,
    Unreachable,
)
from artifact_store.storage.base import Always
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend
from tests.keys import signer, strict

KEY = "gru/BTCEUR"
RUN_ID = "20240816_142301"


@pytest.fixture
def begin():
    """Begin a run in a store (in a new one, with a codec) and clean up what it has staged."""
    with ExitStack() as stack:

        def begun(store=None, codec=None, **options):
            registry = CodecRegistry()
            if codec is not None:
                registry.register(codec)
            draft = (store or ArtifactStore(MemoryBackend(), registry=registry)).new_run(KEY, **options)
            stack.callback(draft.discard)
            return draft

        yield begun


def keys_of(run):
    return {entry.path: entry.key for entry in run.manifest.files}


class CreatesSmallOnly(MemoryBackend):
    """Creates nothing of more than a byte under a condition, as some engines cannot for large files."""

    create_limit = 1
    fails = 0

    def put_file(self, key, chunks, *, size, when):
        assert isinstance(when, Always)
        if self.fails:
            self.fails -= 1
            raise AccessDenied("not now")
        super().put_file(key, chunks, size=size, when=when)


class LosesReplies(LocalBackend):
    """Stores a manifest and says nothing of it, nor shows it, until it is ``back``."""

    back = False

    def write(self, key, data, *, when):
        version = super().write(key, data, when=when)
        self._answer(key)
        return version

    def read(self, key, *, limit, unless=None):
        self._answer(key)
        return super().read(key, limit=limit, unless=unless)

    def _answer(self, key):
        if key.endswith("/manifest.json") and not self.back:
            raise Unreachable("gone")


def attempts(run):
    return {key.removeprefix(path) for path, key in keys_of(run).items()}


def test_what_cannot_be_created_conditionally_keeps_its_name_only_if_nobody_else_can_have_the_id():
    store = ArtifactStore(CreatesSmallOnly())
    assert attempts(store.save({"n": 1}, KEY)) == {""}
    (attempt,) = attempts(store.save({"n": 1}, KEY, run_id=RUN_ID))
    assert re.fullmatch(r"\.[0-9a-f]{8}", attempt)


def test_a_second_attempt_of_a_draft_writes_over_nothing_of_the_first(begin):
    backend = CreatesSmallOnly()
    backend.fails = 2
    draft = begin(ArtifactStore(backend))
    draft.add("model", {"n": 1})
    with pytest.raises(AccessDenied):
        draft.commit()
    backend.fails = 0
    run = draft.commit()
    (attempt,) = attempts(run)
    assert re.fullmatch(r"\.[0-9a-f]{8}", attempt)
    assert run.load() == {"n": 1}


@pytest.mark.parametrize("name", ["manifest", "metadata"])
def test_no_component_is_called_as_a_file_of_the_store(begin, name):
    draft = begin()
    with pytest.raises(InvalidName, match="the store itself") as caught:
        draft.add(name, {"n": 1})
    assert (caught.value.kind, caught.value.name) == ("component", name)


class Stray:
    """A codec that writes where its test tells it to."""

    name, version, risk, types, extra = "stray", 1, Risk.DATA, (f"{__name__}.Thing",), None
    written = ("{stem}.json",)

    def encode(self, obj, directory, stem):
        for name in self.written:
            (directory / name.format(stem=stem)).write_bytes(b"{}")
        return {"a": (1, 2)}

    def decode(self, directory, stem, options, *, into=None):
        return options


class Thing:
    pass


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ((), "wrote nothing"),
        (("{stem}x.json",), "modelx.json"),
        (("other.json",), "other.json"),
        (("{stem}",), "'model'"),
    ],
)
def test_a_codec_that_writes_no_file_of_its_component_or_another_is_refused(begin, written, said):
    codec = Stray()
    codec.written = written
    with pytest.raises(InvalidOption, match=said):
        begin(codec=codec).add("model", Thing())


def test_what_a_codec_says_of_a_component_is_recorded(begin):
    codec = Stray()
    codec.written = ("{stem}.b", "{stem}.a", "{stem}.c")
    draft = begin(codec=codec)
    draft.add("model", Thing())
    committed = draft.commit()
    component = committed.manifest.component("model")
    assert (component.files, component.type) == (("model.a", "model.b", "model.c"), f"{__name__}.Thing")
    assert committed.load() == {"a": [1, 2]}


def test_nothing_is_left_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = ArtifactStore(MemoryBackend())
    draft = store.new_run(KEY)
    draft.add("model", {"n": 1})
    assert [path.name.startswith("artifact-store-") for path in tmp_path.iterdir()] == [True]
    draft.discard()
    store.save({"n": 1}, KEY)
    with pytest.raises(ZeroDivisionError), store.new_run(KEY) as other:
        other.add("model", {"n": 1})
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_added_under_a_name_that_is_free(begin, tmp_path):
    source = tmp_path / "notes.txt"
    source.write_text("hello", encoding="utf-8")
    draft = begin()
    draft.add("model", {"n": 1})
    draft.add_file("notes.txt", source)
    for taken in ("notes.txt", "model.json"):
        with pytest.raises(InvalidName, match="this run has one already") as caught:
            draft.add_file(taken, source)
        assert (caught.value.kind, caught.value.name) == ("file name", taken)
    assert set(keys_of(draft.commit())) == {"metadata.json", "model.json", "notes.txt"}


def test_a_name_that_a_codec_chose_and_no_platform_must_hold_is_refused_before_anything_is_stored(begin):
    codec = Stray()
    codec.written = ("{stem}." + "x" * 100,)
    draft = begin(codec=codec)
    draft.add("model", Thing())
    with pytest.raises(InvalidName, match="longer than 100"):
        draft.commit()
    assert list(draft._context.backend.list("")) == []


@pytest.mark.parametrize(("length", "fits"), [(204, True), (205, False)])
def test_a_file_has_room_for_the_name_of_an_attempt(begin, tmp_path, length, fits):
    source = tmp_path / "notes.txt"
    source.write_text("hello", encoding="utf-8")
    draft = begin(run_id=RUN_ID)
    name = f"{'a' * 98}/{'b' * 98}/{'c' * (length - 198)}"
    assert (len(f"{KEY}/{RUN_ID}/{name}.01234567") <= 240) is fits
    draft.add_file(name, source)
    if fits:
        assert name in keys_of(draft.commit())
        return
    with pytest.raises(InvalidName, match="longer than 240"):
        draft.commit()
    assert list(draft._context.backend.list("")) == []


@pytest.mark.parametrize("what", ["config", "training_config", "metrics", "tags", "environment"])
def test_what_is_wrong_with_a_run_is_named(begin, what):
    for wrong in (["a"], "a", {1: 2}):
        draft = begin()
        draft.add("model", {"n": 1})
        setattr(draft, what, wrong)
        with pytest.raises(InvalidOption, match=f"{what} is a mapping of names to values, not "):
            draft.commit()
    if what != "tags":  # anything has a text
        draft = begin()
        draft.add("model", {"n": 1})
        setattr(draft, what, {"a": {"b": object()}})
        with pytest.raises(InvalidOption, match=rf"^{what}\['a'\]\['b'\] is a builtins.object"):
            draft.commit()


@pytest.mark.parametrize("wrong", [None, "0.5", [1], "nan", b"1"])
def test_a_metric_is_a_number(begin, wrong):
    draft = begin()
    draft.add("model", {"n": 1})
    draft.metrics = {"loss": wrong}
    with pytest.raises(
        InvalidOption, match=r"'loss' is .*, which is not a number; put text in tags$|\['loss'\] is a builtins.bytes"
    ):
        draft.commit()


def test_metrics_are_kept_as_the_numbers_that_they_are():
    given = {"a": 1, "b": 0.5, "c": True, "d": float("nan"), "e": "Infinity", "f": False}
    metrics = ArtifactStore(MemoryBackend()).save({"n": 1}, KEY, metrics=given).manifest.to_json()["metrics"]
    assert metrics == {"a": 1, "b": 0.5, "c": 1, "d": "NaN", "e": "Infinity", "f": 0}
    assert [type(metrics[name]) for name in "acf"] == [int, int, int]


def test_a_save_says_whether_it_was_published_and_why_not():
    store = ArtifactStore(MemoryBackend())
    first = store.save({"n": 1}, KEY, run_id=RUN_ID)
    assert (first.published.pointer.seq, first.published.reason, first.published.error) == (1, "", None)
    again = store.save({"n": 1}, KEY, run_id=RUN_ID)
    assert again.published.pointer.seq == 1
    earlier = store.save({"n": 2}, KEY, run_id="20230816_142301", publish="if_newer")
    assert not earlier.published
    assert isinstance(earlier.published.error, PointerConflict)
    assert earlier.published.reason == str(earlier.published.error)
    assert "never" in store.save({"n": 3}, KEY, publish="never").published.reason


class Interrupted(MemoryBackend):
    """Ctrl-C comes while a pointer is written."""

    def write(self, key, data, *, when):
        if key.endswith("latest.json"):
            raise KeyboardInterrupt
        return super().write(key, data, when=when)


def test_a_publish_gives_no_reason_unless_it_is_told_one():
    store = ArtifactStore(MemoryBackend())
    for reason in ("", "better"):
        with store.new_run(KEY) as draft:
            draft.reason = reason or draft.reason
            draft.add("model", {"n": reason})
    assert [publish.reason for publish in store.history(KEY)] in (["", "better"], ["better", ""])


class NoCase(MemoryBackend):
    """Takes names that differ by case for one, as the file systems of Windows do."""

    def read(self, key, **options):
        known = {entry.key.casefold(): entry.key for entry in self.list("")}
        return super().read(known.get(key.casefold(), key), **options)


def test_a_symbol_that_differs_by_case_only_is_refused_where_the_pointer_of_the_other_is_found():
    backend = NoCase()
    ArtifactStore(backend).save({"n": 1}, "gru/BTC")
    before = list(backend.list(""))
    with pytest.raises(InvalidName, match="BTC"):
        ArtifactStore(backend).save({"n": 1}, "gru/btc")
    assert list(backend.list("")) == before


def test_the_first_publish_needs_no_pointer_that_can_be_believed():
    store = ArtifactStore(MemoryBackend(), signer=signer(), policy=strict())
    assert store.save({"n": 1}, KEY).published.pointer.seq == 1


def test_who_interrupts_a_publish_is_told_that_the_run_is_committed():
    store = ArtifactStore(Interrupted())
    with pytest.raises(KeyboardInterrupt) as caught:
        store.save({"n": 1}, KEY, run_id=RUN_ID)
    assert caught.value.__notes__ == [
        f"The run {KEY}:{RUN_ID} is committed; look at its alias to see whether it is published."
    ]
    assert store.load(f"{KEY}:{RUN_ID}") == {"n": 1}


class Counting(MemoryBackend):
    """Counts the listings."""

    def __init__(self):
        super().__init__()
        self.listings = []

    def children(self, prefix):
        self.listings.append(prefix)
        return super().children(prefix)


def test_siblings_of_a_symbol_are_listed_on_its_first_use_only():
    backend = Counting()
    store = ArtifactStore(backend)
    store.save({"n": 1}, KEY)
    assert "gru/" in backend.listings
    backend.listings.clear()
    store.save({"n": 2}, KEY)
    store.save({"n": 3}, KEY, alias="staging")
    ArtifactStore(backend).save({"n": 4}, KEY)
    assert "gru/" not in backend.listings


def test_a_signed_run_has_room_for_the_name_of_its_signature():
    store = ArtifactStore(MemoryBackend(), signer=signer())
    long = f"{'m' * 64}/{'S' * 100}"
    with pytest.raises(InvalidName, match="longer than 240"):
        store.save({"n": 1}, long, run_id=f"{RUN_ID}_{'x' * 8}")
    assert list(store._context.backend.list("")) == []
    assert store.save({"n": 1}, long, run_id=f"{RUN_ID}_{'x' * 7}")
    assert ArtifactStore(MemoryBackend()).save({"n": 1}, long, run_id=f"{RUN_ID}_{'x' * 8}")


def test_what_is_no_file_is_not_added(begin, tmp_path):
    draft = begin()
    for source in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotInRun, match="nothing is at|is a folder"):
            draft.add_file("x", source)


def test_nothing_is_added_to_a_draft_that_was_discarded(begin):
    draft = begin()
    draft.discard()
    with pytest.raises(InvalidOption, match="discarded"):
        draft.add("model", {})


def test_the_files_of_a_run_are_in_the_order_of_their_names():
    run = ArtifactStore(MemoryBackend()).save({"n": 1}, KEY, components={name: {} for name in "zcmxabk"})
    paths = [entry.path for entry in run.manifest.files]
    assert paths == sorted(paths)


def test_a_draft_that_is_asked_again_leaves_what_it_may_have_committed_alone(begin, tmp_path):
    backend = LosesReplies(tmp_path / "store")
    draft = begin(ArtifactStore(backend, timeout=0.2))
    draft.add("model", {"a": 1})
    with pytest.raises(OutcomeUnknown):
        draft.commit()
    backend.back = True
    draft.check_writable()
    store = ArtifactStore(tmp_path / "store")
    (run,) = store.runs(KEY)
    assert store.verify(run.ref).ok
