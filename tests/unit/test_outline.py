"""The outline of a manifest says what the manifest says, or leaves the document to be read as a whole."""

import math

import pytest

from artifact_store.canonical import canonical, checksum
from artifact_store.core.index_rows import Row
from artifact_store.core.manifest import MAX_MANIFEST, FileEntry
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.outline import Outline
from artifact_store.core.pointer import PublishInfo
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import Corrupt
from tests.unit.samples import KEY, NOW, RUN_ID, manifest

ITS = RunId(RUN_ID)
NAMES = (
    *("key", "run_id", "label", "model_type", "symbol", "store_id", "created_at", "files", "size", "file_count"),
    *("metrics", "tags", "publish", "description", "digest"),
)
FULL = {
    "metrics": {"sharpe": 1.5, "trades": 3, "lost": "NaN", "large": 2**60, "small": 1e-300},
    "tags": {"fold": "1", "ü": "ä"},
    "description": "of March",
    "files": tuple(FileEntry(path=name, key=name, size=7, sha256="1" * 64) for name in ("model.json", "metadata.json")),
}


def sealed(value):
    """The bytes of a document that was changed, with a checksum that fits."""
    return canonical(value | {"checksum": checksum(value)})


PACKED = {"files": (FileEntry(path="model.json", key="model.json.zst", size=70_000, sha256="1" * 64, zstd=9_000),)}


@pytest.mark.parametrize("changes", [{}, FULL, {**FULL, **PACKED}], ids=["plain", "full", "compressed"])
def test_an_outline_says_what_the_manifest_says(changes):
    whole = manifest(**changes)
    found = Outline.read(whole.to_bytes(), KEY, ITS)
    assert found is not None
    for name in NAMES:
        assert getattr(found, name) == getattr(whole, name), name
    assert found.to_bytes() == whole.to_bytes()
    assert {name: type(part) for name, part in found.metrics.items()} == {
        name: type(part) for name, part in whole.metrics.items()
    }


@pytest.mark.parametrize("changes", [{}, FULL], ids=["plain", "full"])
def test_a_row_of_an_outline_is_that_of_the_manifest_and_opens_it_without_reading_it(changes):
    whole = manifest(**changes)
    found = Outline.read(whole.to_bytes(), KEY, ITS)
    row = Row.of(found)
    assert row.value == Row.of(whole).value
    assert row.is_read
    assert row.manifest == whole
    assert row.manifest is row.manifest


def test_what_the_outline_lacks_is_checked_when_it_is_asked_for():
    data = sealed(manifest().to_json() | {"components": {"model": "nonsense"}})
    found = Outline.read(data, KEY, ITS)
    assert Row.of(found).label == f"{KEY}:{RUN_ID}"
    with pytest.raises(Corrupt, match=f"the manifest of {KEY}:{RUN_ID} is not as this format demands: components"):
        _ = Row.of(found).manifest


def test_a_model_without_a_symbol_has_an_outline():
    data = manifest(symbol=None).to_bytes()
    assert Outline.read(data, ModelKey("gru"), ITS) is not None
    assert Outline.read(data, KEY, ITS) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "pointer"},
        {"format": "1.1"},
        {"format": "2.0"},
        {"must_understand": ["requires"]},
        {"model_type": "gbm"},
        {"symbol": "ETHEUR"},
        {"run_id": "20240816_142302_k3f8qz"},
        {"created_at": "2024-02-30T00:00:00.000000Z"},
        {"created_at": 3},
        {"store_id": None},
        {"files": [{"path": "a", "key": "a", "size": -1, "sha256": "0" * 64}]},
        {"files": "model.json"},
        {"metrics": {"sharpe": "good"}},
        {"metrics": {"sharpe": None}},
        {"tags": {"fold": 1}},
        {"publish": {"alias": "latest", "policy": "sometimes"}},
        {"description": None},
    ],
    ids=str,
)
def test_what_is_not_plainly_so_is_left_to_the_whole_document(changes):
    data = sealed(manifest(**FULL).to_json() | changes)
    assert Outline.read(data, KEY, ITS) is None


def test_bytes_that_were_changed_have_no_outline():
    data = manifest(**FULL).to_bytes()
    for place in range(len(data)):
        flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert Outline.read(flipped, KEY, ITS) is None, place
    for other in (b"", b"{", b"[]", b"null", data[:-1], data + b" ", b"\xff", data.replace(b"1.5", b"NaN")):
        assert Outline.read(other, KEY, ITS) is None, other[:20]


def test_a_manifest_that_is_too_large_has_no_outline():
    padding = {"config": {"text": "x" * MAX_MANIFEST}}
    assert Outline.read(sealed(manifest().to_json() | padding), KEY, ITS) is None


def test_a_tombstone_has_no_outline():
    stone = Tombstone.mark(manifest(), PublishInfo("b" * 32, NOW, "somebody", "old"))
    assert Outline.read(stone.to_bytes(), KEY, ITS) is None


def test_numbers_that_json_does_not_have_are_texts_in_an_outline_too():
    found = Outline.read(manifest(metrics={"a": "NaN", "b": "-Infinity"}).to_bytes(), KEY, ITS)
    assert found.metrics == {"a": "NaN", "b": "-Infinity"}
    assert not any(isinstance(value, float) and math.isnan(value) for value in found.metrics.values())


@pytest.mark.parametrize("name", ["../model.json", "", "/model.json", "model.json\0", "manifest.json"])
@pytest.mark.parametrize("where", ["path", "key"])
def test_a_file_that_leads_elsewhere_has_no_outline(where, name):
    value = manifest().to_json()
    value["files"][0] |= {where: name}
    assert Outline.read(sealed(value), KEY, ITS) is None
