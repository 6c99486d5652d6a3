"""The values that documents are made of: checked, frozen, and copied as they are."""

import copy
import pickle
from datetime import UTC, datetime

import pytest

from artifact_store.core import keys
from artifact_store.core.documents import read_time
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.names import RunId
from artifact_store.core.values import ValidationError
from artifact_store.errors import InvalidName
from tests.unit.samples import manifest

pytestmark = pytest.mark.windows


def entry(**changes):
    return FileEntry(**{"path": "a", "key": "a", "size": 1, "sha256": "0" * 64, "later": [1], **changes})


def test_a_value_cannot_be_changed():
    value = entry()
    with pytest.raises(ValidationError, match="frozen"):
        value.size = 2
    with pytest.raises(ValidationError, match="frozen"):
        del value.size
    assert value.size == 1


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_of_values_are_equal(made):
    assert made(entry()) == entry()
    assert made(manifest()).to_bytes() == manifest().to_bytes()
    read = Manifest.from_bytes(manifest().to_bytes(), what="it")
    assert made(read).to_bytes() == read.to_bytes()


def test_values_are_equal_if_all_their_fields_are():
    assert entry() == entry()
    assert hash(entry(size=2)) == hash(entry(size=2))
    assert entry() != entry(size=2)
    assert entry() != entry(later=[2])
    assert entry() != "a"


def test_a_value_has_its_fields_and_nothing_else_however_it_was_made():
    read = Manifest.from_bytes(manifest().to_bytes(), what="it")
    for value in (manifest(), read, read.model_copy(), *read.files, FileEntry.model_validate(dict(read.files[0]))):
        assert {name for name, _ in value} == value.FIELDS
        assert "pydantic" not in repr(value)


def test_a_copy_without_changes_is_written_as_it_was():
    read = Manifest.from_bytes(manifest().to_bytes(), what="it")
    assert read.model_copy().to_bytes() == read.to_bytes()
    assert manifest().model_copy().to_bytes() == manifest().to_bytes()
    changed = entry().model_copy(update={"size": 2, "another": 3})
    assert dict(changed) == {**dict(entry()), "size": 2, "another": 3}
    assert "size=2" in repr(changed)


@pytest.mark.parametrize(
    "wrong", ["2024-02-30T00:00:00.000000Z", "2024-01-01T24:00:00.000000Z", "2024-01-01T00:00:60.000000Z"]
)
def test_a_time_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match="day is out of range|does not match|second must be"):
        read_time(wrong)
    assert read_time("2024-02-29T23:59:59.999999Z") == datetime(2024, 2, 29, 23, 59, 59, 999999, UTC)


@pytest.mark.parametrize(
    "wrong", ["20240230_000000", "20240101_240000", "20240101_006000", "20240101_000060", "00000101_000000"]
)
def test_a_run_id_that_is_no_moment_is_refused(wrong):
    with pytest.raises(InvalidName, match="does not exist"):
        RunId(wrong)


def test_what_is_kept_of_an_endpoint_is_known_by_its_name():
    place = keys.kept_verdict("https://example.com", "obstore")
    assert keys.is_verdict(place.removeprefix(keys.PROBES))
    assert not keys.is_verdict("0" * 32)
    assert keys.probe_in(place.removeprefix(keys.PROBES)) is None
