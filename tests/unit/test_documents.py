"""What all documents of the store have in common: times, equality, and what may be written at all."""

import math
import re
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path

import pytest

import artifact_store
from artifact_store.canonical import MAX_DEPTH
from artifact_store.core.documents import (
    check_format,
    check_readable,
    check_writable,
    plain,
    read_time,
    write_time,
)
from artifact_store.core.keys import MAX_KEY
from artifact_store.core.manifest import MAX_MANIFEST, Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.note import MAX_NOTE_BYTES, NOTE_TYPE, Note
from artifact_store.core.pointer import (
    BLOCK,
    MAX_BLOCK,
    MAX_EMBEDDED,
    MAX_NOTE,
    MAX_POINTER,
    POINTER_TYPE,
    HistoryBlock,
    Pointer,
)
from artifact_store.core.statement import MAX_BUNDLE
from artifact_store.core.store_record import MAX_STORE_RECORD, StoreRecord
from artifact_store.core.tombstone import MAX_TOMBSTONE, Tombstone
from artifact_store.core.values import Value
from artifact_store.errors import Corrupt, FormatTooNew, InvalidOption, RunDeleted
from tests.unit.samples import KEY, NOW, manifest

pytestmark = pytest.mark.windows

WRITTEN = "2024-08-16T14:23:01.000000Z"


def test_an_instant_has_one_spelling_whatever_the_zone_it_was_told_in():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert write_time(NOW) == write_time(elsewhere) == WRITTEN
    assert read_time(WRITTEN) == read_time(elsewhere) == NOW
    assert read_time(elsewhere).tzinfo is read_time(WRITTEN).tzinfo is UTC


@pytest.mark.parametrize(
    "wrong",
    [
        f"{WRITTEN}\n",
        f"{WRITTEN}Z",
        f" {WRITTEN}",
        "2024-08-16T14:23:01Z",
        "2024-08-16 14:23:01.000000Z",
        "2024-13-16T14:23:01.000000Z",
        1723818181,
        None,
        datetime(2024, 8, 16),  # noqa: DTZ001 -- the very thing
    ],
)
def test_any_other_spelling_of_a_time_is_refused(wrong):
    with pytest.raises(ValueError):
        read_time(wrong)


def test_documents_are_equal_if_their_bytes_are():
    document = manifest()
    again = Manifest.from_bytes(document.to_bytes(), what="it")
    assert again == document
    assert hash(again) == hash(document)
    assert again != manifest(tags={"a": "b"})
    assert document != document.to_bytes()
    assert again.model_extra == {}


@pytest.mark.parametrize("read", [False, True], ids=["made here", "read"])
def test_who_changes_the_json_of_a_document_changes_no_document(read):
    document = manifest(config={"lr": {"start": 0.1}})
    if read:
        document = Manifest.from_bytes(document.to_bytes(), what="it")
    before = document.to_bytes()
    value = document.to_json()
    value["ref"] = "mine"
    value["config"]["lr"]["start"] = 0.2
    assert document.to_bytes() == before
    assert document.to_json()["config"] == {"lr": {"start": 0.1}}


def test_what_is_deep_is_refused_at_the_depth_at_which_it_could_not_be_read():
    for wrap in (lambda inner: [inner], lambda inner: {"a": inner}):
        value = 1
        for _ in range(31):
            value = wrap(value)
        assert plain(value, "it") == value
        with pytest.raises(InvalidOption, match="it.* is nested deeper than 32 levels"):
            plain(wrap(value), "it")


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_has_one_order(kind):
    assert plain(kind(["b", "c", "a"]), "it") == ["a", "b", "c"]
    assert plain(kind(range(100)), "it") == sorted(range(100), key=repr)


def test_numbers_that_json_has_no_word_for_are_spelled_out():
    assert plain([math.nan, math.inf, -math.inf, 0.5], "it") == ["NaN", "Infinity", "-Infinity", 0.5]
    assert plain((1 << 1024) - 1, "it") == (1 << 1024) - 1
    assert plain(1 - (1 << 1024), "it") == 1 - (1 << 1024)
    for large in (1 << 1024, -(1 << 1024)):
        with pytest.raises(InvalidOption, match="more than 1024 bits"):
            plain(large, "it")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, {"b": object()}]}, r"it\['a'\]\[1\]\['b'\] is a builtins.object"),
        ({"a": {1: 2}}, r"it\['a'\] has the key 1; in JSON keys are text: use '1'"),
        ({"a": "\ud800"}, r"it\['a'\] holds '\\ud800', which is not valid text"),
        ({"\ud800": 1}, r"it holds '\\ud800', which is not valid text"),
    ],
)
def test_what_json_has_no_word_for_is_named_with_its_place(value, said):
    with pytest.raises(InvalidOption, match=said):
        plain(value, "it")


def test_the_field_that_is_wrong_is_named():
    value = manifest().to_json()
    with pytest.raises(Corrupt, match="it is not as this format demands: store_id: "):
        Manifest.from_json(value | {"store_id": 3}, what="it")
    with pytest.raises(Corrupt, match=r"it is not as this format demands: files\.0\.size: "):
        Manifest.from_json(value | {"files": [value["files"][0] | {"size": -1}]}, what="it")
    with pytest.raises(InvalidOption, match="what was given cannot be stored: tags"):
        check_writable(Manifest, {**dict(manifest()), "tags": 3}, "what was given")


def test_what_could_not_be_read_again_is_not_written():
    deep = 1
    for _ in range(28):
        deep = [deep]
    check_readable(Manifest, manifest(config={"a": deep}).to_bytes())
    with pytest.raises(InvalidOption, match="could not be read again"):
        check_readable(Manifest, manifest(config={"a": [deep]}).to_bytes())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, Corrupt),
        ({"format": "1"}, Corrupt),
        ({"format": "1.0.0", "kind": "run"}, Corrupt),
        ({"format": "2.0", "kind": "run"}, FormatTooNew),
        ({"format": "2.0", "kind": "tombstone"}, FormatTooNew),
        ({"format": "1.0", "kind": "tombstone"}, RunDeleted),
        ({"format": "1.0", "kind": "pointer"}, Corrupt),
        ({"format": "1.0"}, Corrupt),
    ],
)
def test_a_document_of_another_kind_or_format_is_told_apart(value, kind):
    with pytest.raises(kind, match="it"):
        check_format(value, kind="run", what="it")


def test_every_minor_format_of_this_major_one_is_read():
    for minor in ("1.0", "1.7", "0.9"):
        check_format({"format": minor, "kind": "run"}, kind="run", what="it")
    with pytest.raises(Corrupt):
        check_format({"format": "1.0", "kind": "tombstone"}, kind="pointer", what="it")


@pytest.mark.parametrize("other", [ModelKey("gru", "ETHEUR"), ModelKey("gru"), ModelKey("ppo", "BTCEUR")])
def test_a_document_of_another_model_is_refused_by_name(other):
    manifest().check_key(KEY, "it")
    with pytest.raises(Corrupt, match="belongs to gru/BTCEUR"):
        manifest().check_key(other, "it")


def test_the_limits_are_those_that_the_format_states():
    text = " ".join((Path(artifact_store.__file__).parent / "FORMAT.md").read_text(encoding="utf-8").split())
    said = re.search(r"manifest (\d+) MiB, pointer and history block\s(\d+) KiB, `_store.json` (\d+) KiB", text)
    assert said is not None
    run, pointer, store = (int(number) for number in said.groups())
    assert (run << 20, pointer << 10, store << 10) == (MAX_MANIFEST, MAX_POINTER, MAX_STORE_RECORD)
    assert MAX_BLOCK == MAX_POINTER
    assert re.search(rf"`null` if that has more than {MAX_EMBEDDED >> 10} KiB", text)
    assert re.search(rf"At most {run} MiB and {(MAX_TOMBSTONE - MAX_MANIFEST) >> 10} KiB", text)
    assert re.search(rf"`by` and `reason` have at most {MAX_NOTE} characters", text)
    assert re.search(rf"exactly {BLOCK} publishes, as in", text)
    assert re.search(rf"writes and verifies, at most {MAX_BUNDLE >> 20} MiB", text)
    assert f"`DSSEv1 {len(POINTER_TYPE)} {POINTER_TYPE} " in text
    assert f"of the kind `note`, at most {MAX_NOTE_BYTES >> 10} KiB" in text
    assert f"`DSSEv1 {len(NOTE_TYPE)} {NOTE_TYPE} " in text
    assert re.search(rf"nesting deeper than {MAX_DEPTH}", text)
    assert re.search(rf"a whole key has at most {MAX_KEY} characters", text)
    assert {MAX_EMBEDDED % 1024, (MAX_TOMBSTONE - MAX_MANIFEST) % 1024, MAX_BUNDLE % (1 << 20)} == {0}


@pytest.mark.parametrize("limited", [Manifest, Pointer, HistoryBlock, Tombstone, StoreRecord])
def test_a_document_above_its_limit_is_refused_before_it_is_parsed(limited):
    with pytest.raises(Corrupt, match="more than"):
        limited.from_bytes(b"[" * (limited.LIMIT + 1), what="it")


def test_a_file_has_a_size_from_nothing_to_what_a_double_counts_exactly():
    value = manifest().to_json()
    for size in (0, 1 << 53):
        assert (
            Manifest.from_json(value | {"files": [value["files"][0] | {"size": size}]}, what="it").files[0].size == size
        )
    for size in (-1, (1 << 53) + 1):
        with pytest.raises(Corrupt):
            Manifest.from_json(value | {"files": [value["files"][0] | {"size": size}]}, what="it")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Manifest, "run"),
        (Pointer, "pointer"),
        (HistoryBlock, "history"),
        (Tombstone, "tombstone"),
        (StoreRecord, "store"),
        (Note, "note"),
    ],
)
def test_the_kinds_of_documents_are_those_of_the_format(kind, name):
    text = (Path(artifact_store.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")
    assert name == kind.KIND
    assert f'"{name}"' in text or f"`{name}`" in text


@pytest.mark.parametrize(
    "path",
    sorted(p for room in ("core", "features") for p in (Path(artifact_store.__file__).parent / room).glob("*.py")),
    ids=lambda path: path.stem,
)
def test_every_value_of_the_core_is_frozen(path):
    module = import_module(f"artifact_store.{path.parent.name}.{path.stem}")
    values = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    for value in values:
        if is_dataclass(value):
            assert value.__dataclass_params__.frozen
        if issubclass(value, Value):
            assert value.__setattr__ is Value.__setattr__
