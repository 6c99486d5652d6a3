"""The manifest describes a run completely, and is believed only whole."""

import json
import math
from datetime import timedelta

import pytest
from pydantic_core import ValidationError

from artifact_store.core.documents import NON_FINITE, check_writable, plain
from artifact_store.core.files import Digest
from artifact_store.core.manifest import Manifest, summary
from artifact_store.core.names import ModelKey
from artifact_store.errors import (
    ComponentNotFound,
    Corrupt,
    FileNotInRun,
    FormatTooNew,
    InvalidOption,
    RunDeleted,
)
from artifact_store.features.schema import FeatureSchema
from tests.unit.samples import KEY, NOW, RUN_ID, manifest, resealed

pytestmark = pytest.mark.windows


def test_a_manifest_comes_back_as_the_same_bytes():
    data = manifest().to_bytes()
    again = Manifest.from_bytes(data, what="it")
    assert again.to_bytes() == data
    assert again.digest == manifest().digest
    assert (again.key, again.label) == (KEY, f"gru/BTCEUR:{RUN_ID}")


def test_manifests_are_equal_if_their_bytes_are():
    assert manifest() == Manifest.from_bytes(manifest().to_bytes(), what="it")
    assert len({manifest(), manifest(), manifest(tags={"a": "b"})}) == 2
    assert manifest() != manifest().to_bytes()


def test_a_manifest_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        manifest().run_id = "x"


def test_every_flipped_bit_of_a_manifest_is_noticed():
    data = manifest(metrics={"a": 1e-9, "b": 2}).to_bytes()
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(Corrupt):
            Manifest.from_bytes(bytes(flipped), what="it")


def test_every_truncated_manifest_is_noticed():
    data = manifest().to_bytes()
    for length in range(len(data)):
        with pytest.raises(Corrupt):
            Manifest.from_bytes(data[:length], what="it")


def test_every_missing_field_fails_closed():
    value = json.loads(manifest().to_bytes())
    optional = {"features", "is_fitted", "config", "training_config", "metrics", "tags", "environment", "checksum"}
    for name in set(value) - optional:
        with pytest.raises(Corrupt):
            Manifest.from_bytes(resealed({k: v for k, v in value.items() if k != name}), what="it")
    component = value["components"]["model"]
    for name in set(component) - {"options"}:
        broken = {k: v for k, v in component.items() if k != name}
        with pytest.raises(Corrupt):
            Manifest.from_bytes(resealed(value | {"components": {"model": broken}}), what="it")


FILE = {"path": "model.json", "key": "model.json", "size": 2, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "changes",
    [
        {"files": [FILE | {"path": "../x", "key": "../x"}]},
        {"files": [FILE | {"key": "../../other/model.json"}]},
        {"files": [FILE | {"key": "/etc/passwd"}]},
        {"files": [FILE | {"path": "manifest.json", "key": "manifest.json"}]},
        {"files": [FILE, FILE]},
        {"files": [FILE, FILE | {"path": "MODEL.json", "key": "MODEL.json"}]},
        {"files": [FILE | {"size": -1}]},
        {"files": [FILE | {"size": 2.0}]},
        {"files": [FILE | {"size": "2"}]},
        {"files": [FILE | {"sha256": "0" * 63}]},
        {"files": [FILE | {"sha256": "G" * 64}]},
        {"files": [FILE | {"sha256": "A" * 64}]},
        {"files": []},
        {"files": {}},
        {"symbol": "a\nb"},
        {"symbol": 3},
        {"model_type": "GRU"},
        {"run_id": "latest"},
        {"components": {"Model": {}}},
        {"components": {"model": {"codec": {"name": "x", "version": 1}, "risk": "none", "type": "t", "files": ["model.json"]}}},
        {"components": {"model": {"codec": {"name": "x", "version": 0}, "risk": "data", "type": "t", "files": ["model.json"]}}},
        {"components": {"model": {"codec": {"name": "../x", "version": 1}, "risk": "data", "type": "t", "files": ["model.json"]}}},
        {"components": {"model": {"codec": {"name": "x", "version": 1}, "risk": "data", "type": "t", "files": []}}},
        {"components": {"model": {"codec": {"name": "x", "version": 1}, "risk": "data", "type": "t", "files": ["other"]}}},
        {"components": {"Bad Name": {"codec": {"name": "x", "version": 1}, "risk": "data", "type": "t", "files": ["model.json"]}}},
        {"publish": {"alias": "latest", "policy": "sometimes"}},
        {"metrics": {"a": [1]}},
        {"metrics": {"a": "good"}},
        {"tags": {"a": 1}},
        {"created_at": "yesterday"},
        {"kind": "pointer"},
    ],
)  # fmt: skip
def test_a_manifest_that_leads_elsewhere_or_makes_no_sense_is_refused(changes):
    with pytest.raises(Corrupt):
        Manifest.from_bytes(resealed(json.loads(manifest().to_bytes()) | changes), what="it")


def test_the_summary_is_a_file_like_the_others():
    files = [FILE, FILE | {"path": "metadata.json", "key": "metadata.json"}]
    value = json.loads(manifest().to_bytes()) | {"files": files}
    assert Manifest.from_bytes(resealed(value), what="it").file("metadata.json").size == 2


def test_a_deleted_run_says_so():
    value = json.loads(manifest().to_bytes()) | {"kind": "tombstone"}
    with pytest.raises(RunDeleted):
        Manifest.from_bytes(resealed(value), what="it")


def test_newer_formats_survive_or_are_named():
    value = json.loads(manifest().to_bytes())
    newer = resealed(value | {"format": "1.9", "new": {"x": [1, 2.50, "é"]}})
    assert Manifest.from_bytes(newer, what="it").to_bytes() == newer
    with pytest.raises(FormatTooNew, match="format 2.0"):
        Manifest.from_bytes(resealed(value | {"format": "2.0"}), what="it")


def test_a_manifest_of_another_run_is_refused():
    manifest().check_identity(KEY, RUN_ID, "it")
    for key, run_id in ((ModelKey("gru"), RUN_ID), (KEY, "20240816_142301")):
        with pytest.raises(Corrupt, match="copied or swapped"):
            manifest().check_identity(key, run_id, "it")


def test_what_is_not_in_a_run_is_answered_with_what_is():
    assert manifest().component("model").codec.ref.name == "json"
    with pytest.raises(ComponentNotFound, match="it has: model"):
        manifest().component("scaler")
    assert manifest().file("model.json").size == 2
    with pytest.raises(FileNotInRun, match=r"it has: model\.json"):
        manifest().file("x")


def test_the_summary_has_the_documented_fields():
    fields = dict(manifest(config={"lr": 0.1}))
    schema = FeatureSchema(["a", "b", "c"], selected=[0, 2])
    assert summary(fields, schema) == {
        "model_type": "gru",
        "run_id": RUN_ID,
        "symbol": "BTCEUR",
        "created_at": "2024-08-16T14:23:01.000000Z",
        "config": {"lr": 0.1},
        "is_fitted": True,
        "feature_names": ["a", "b", "c"],
        "selected_features": [0, 2],
        "feature_count": 3,
        "input_size_actual": 2,
        "training_config": {},
    }
    assert summary(fields, None)["feature_names"] == []
    assert summary(fields, None)["input_size_actual"] is None


def test_plain_values_are_kept_and_others_are_named():
    value = {"a": (1, 2.5, None, True), "b": {"c": "x"}, "s": {3, 1}}
    assert plain(value, "config") == {"a": [1, 2.5, None, True], "b": {"c": "x"}, "s": [1, 3]}
    for thing, where in ((object(), "config"), ({"f": print}, r"config\['f'\]"), ([b""], r"config\[0\]")):
        with pytest.raises(InvalidOption, match=where):
            plain(thing, "config")
    with pytest.raises(InvalidOption, match="keys are text"):
        plain({1: 2}, "config")


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [deep(40), deep(5000), {"\ud800": 1}, ["\ud800"], 1 << 2000, -(1 << 2000)])
def test_values_that_could_not_be_read_again_are_refused(value):
    with pytest.raises(InvalidOption, match="config"):
        plain(value, "config")


def test_what_could_not_be_read_again_is_not_written():
    fields = dict(manifest())
    check_writable(Manifest, fields, "it")
    for wrong in ({"config": {"a": deep(30)}}, {"config": {"a": "x" * (9 << 20)}}, {"tags": {"a": 1}}):
        with pytest.raises(InvalidOption, match="it cannot be stored|read again"):
            check_writable(Manifest, fields | wrong, "it")


def test_numpy_values_become_numbers():
    np = pytest.importorskip("numpy")
    value = plain({"a": np.int64(3), "b": np.float32(0.5), "c": np.arange(3), "d": np.bool_(True)}, "config")
    assert value == {"a": 3, "b": 0.5, "c": [0, 1, 2], "d": True}
    assert {type(part) for part in value.values()} == {int, float, list, bool}


def test_numbers_that_json_has_no_word_for_are_written_as_text():
    assert plain([math.nan, math.inf, -math.inf], "config") == list(NON_FINITE)


def test_times_are_written_in_utc():
    later = manifest(created_at=NOW + timedelta(microseconds=5))
    assert json.loads(later.to_bytes())["created_at"] == "2024-08-16T14:23:01.000005Z"


def test_a_file_may_be_stored_under_the_name_of_an_attempt():
    (file,) = manifest().files
    attempt = file.model_copy(update={"key": f"{file.path}.0123abcd"})
    made = manifest(files=(attempt,))
    assert Manifest.from_bytes(made.to_bytes(), what="it").files == (attempt,)
    with pytest.raises(ValidationError, match="said to be stored at"):
        manifest(files=(file.model_copy(update={"key": "other.json"}),))


def test_a_file_may_be_stored_as_a_frame_and_says_so():
    (file,) = (each for each in manifest().files if each.path != "metadata.json")
    packed = file.model_copy(update={"key": f"{file.path}.zst", "zstd": 7})
    made = manifest(files=(packed,))
    assert Manifest.from_bytes(made.to_bytes(), what="it").files == (packed,)
    assert (made.size, packed.stored_size, file.stored_size) == (file.size, 7, file.size)
    value = json.loads(made.to_bytes())
    assert (value["files"][0]["zstd"], value["must_understand"]) == (7, ["zstd"])
    assert "zstd" not in json.loads(manifest().to_bytes())["files"][0]
    for wrong in ({"key": file.path}, {"key": f"{file.path}.zst.0123"}, {"zstd": None}, {"zstd": -1}):
        with pytest.raises(ValidationError):
            Manifest.model_validate({**dict(made), "files": [dict(packed.model_copy(update=wrong))]})
    other = {"path": f"{file.path}.zst", "key": f"{file.path}.zst", "size": 1, "sha256": "1" * 64}
    with pytest.raises(ValidationError, match="at the same place"):
        Manifest.model_validate({**dict(made), "files": [dict(packed), other]})


PARENT = {"ref": "gru/BTCEUR:20240101_000000_abcdef", "store_id": "f" * 32, "manifest_sha256": "1" * 64}
LATER = {
    "description": "with more data",
    "parent": PARENT,
    "data": {"candles": {"size": 3, "sha256": "2" * 64}},
    "provenance": {"git": {"commit": "3" * 40, "dirty": False}, "user": "ann"},
}


def test_fields_that_came_later_are_written_only_where_they_say_something():
    value = json.loads(manifest().to_bytes())
    assert not value.keys() & {*LATER, "signed_by"}
    empty = {"description": "", "parent": None, "data": {}, "provenance": {}}
    assert manifest(**empty).to_bytes() == manifest().to_bytes()
    for name, said in LATER.items():
        data = manifest(**{name: said}).to_bytes()
        again = Manifest.from_bytes(data, what="it")
        assert again.to_bytes() == data
        assert json.loads(data).keys() - value.keys() == {name}
        assert json.loads(data)[name] == said


def test_a_parent_is_one_exact_run_and_data_is_a_digest():
    found = manifest(**LATER)
    assert found.parent.ref == PARENT["ref"]
    assert found.data["candles"].digest == Digest(3, "2" * 64)
    assert manifest(parent={"ref": "report:20240101_000000"}).parent.manifest_sha256 is None


@pytest.mark.parametrize(
    "changes",
    [
        {"parent": PARENT | {"ref": ref}}
        for ref in ("gru/BTCEUR", "gru/BTCEUR@latest", "gru/BTCEUR:2024", "../x:20240101_000000", "", "a" * 999, 5)
    ]
    + [
        {"parent": PARENT | {"manifest_sha256": "1" * 63}},
        {"parent": {}},
        {"parent": "gru/BTCEUR:20240101_000000_abcdef"},
        {"data": {"candles": {"size": -1, "sha256": "2" * 64}}},
        {"data": {"candles": {"size": 1, "sha256": "X" * 64}}},
        {"data": {"candles": "2" * 64}},
        {"data": ["candles"]},
        {"description": ["text"]},
        {"provenance": "text"},
    ],
)
def test_what_is_no_parent_no_digest_and_no_text_is_refused(changes):
    value = json.loads(manifest().to_bytes())
    with pytest.raises(Corrupt):
        Manifest.from_bytes(resealed(value | changes), what="it")
