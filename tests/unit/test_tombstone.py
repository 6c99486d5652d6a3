"""A tombstone hides a run, can bring it back byte for byte, and is believed only whole."""

import json
from datetime import timedelta

import pytest

from artifact_store.core import keys
from artifact_store.core.manifest import MAX_MANIFEST
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import PublishInfo
from artifact_store.core.statement import decode64
from artifact_store.core.tombstone import MAX_QUARANTINE, MAX_TOMBSTONE, Tombstone
from artifact_store.errors import Corrupt, FormatTooNew, InvalidOption
from tests.unit.samples import KEY, NOW, RUN_ID, manifest, resealed

pytestmark = pytest.mark.windows


def note(number=0, reason="no good"):
    return PublishInfo(f"{number:032x}", NOW + timedelta(days=number), "me", reason)


def marked(**changes):
    return Tombstone.mark(manifest(**changes), note(1))


def read(data):
    return Tombstone.from_bytes(data, what="the tombstone")


def test_a_mark_gives_the_manifest_back_byte_for_byte():
    newer = json.loads(manifest().to_bytes()) | {"format": "1.9", "mood": [1.0, 1e-9]}
    from artifact_store.core.manifest import Manifest

    for original in (manifest(), Manifest.from_bytes(resealed(newer), what="it")):
        stone = read(Tombstone.mark(original, note()).to_bytes())
        assert stone.state == "marked"
        assert stone.restored().to_bytes() == original.to_bytes()
        assert stone.manifest_sha256 == original.digest
        assert (stone.key, stone.run_id, stone.label) == (KEY, RUN_ID, f"{KEY}:{RUN_ID}")


def test_a_seal_keeps_who_deleted_it_and_says_who_sealed_it():
    stone = read(read(marked().to_bytes()).sealed(note(9, "x" * 500)).to_bytes())
    assert (stone.state, stone.write_id, stone.reason, stone.at) == ("sealed", f"{1:032x}", "no good", note(1).at)
    assert (stone.seal.write_id, stone.seal.at, stone.seal.by) == (f"{9:032x}", note(9).at, "me")
    assert stone.restored() == manifest()


def test_a_seal_keeps_what_this_release_does_not_know():
    value = json.loads(marked().to_bytes()) | {"format": "1.7", "mood": "sad"}
    sealed = read(resealed(value)).sealed(note(2))
    assert json.loads(sealed.to_bytes())["mood"] == "sad"
    assert read(sealed.to_bytes()) == sealed


def test_what_was_never_committed_is_sealed_at_once_and_gives_nothing_back():
    stone = read(Tombstone.never_committed(KEY, RunId(RUN_ID), note()).to_bytes())
    assert (stone.state, stone.manifest, stone.seal.write_id) == ("sealed", None, stone.write_id)
    with pytest.raises(Corrupt, match="never committed"):
        stone.restored()
    assert "never having been committed" in str(stone)


def test_it_says_when_by_whom_and_why():
    assert str(marked()) == f"{KEY}:{RUN_ID} was deleted at 2024-08-17 14:23:01 UTC by 'me': 'no good'"
    assert str(Tombstone.mark(manifest(), note(1, ""))).endswith("by 'me'")


def test_long_notes_are_cut():
    stone = Tombstone.mark(manifest(), PublishInfo("0" * 32, NOW, "b" * 500, "r" * 500))
    assert (len(stone.by), len(stone.reason)) == (200, 200)
    assert len(stone.sealed(PublishInfo("0" * 32, NOW, "b" * 500)).seal.by) == 200
    assert len(Tombstone.never_committed(KEY, RunId(RUN_ID), PublishInfo("0" * 32, NOW, "b" * 500)).seal.by) == 200


def test_the_largest_manifest_fits_into_one():
    large = manifest(config={"text": "x" * (MAX_MANIFEST - 2_000)})
    assert len(large.to_bytes()) <= MAX_MANIFEST
    sealed = Tombstone.mark(large, PublishInfo("0" * 32, NOW, "\U0001f600" * 300, "\U0001f600" * 300)).sealed(note())
    assert len(sealed.to_bytes()) <= MAX_TOMBSTONE
    assert read(sealed.to_bytes()).restored() == large
    with pytest.raises(Corrupt, match="more than"):
        read(b" " * (MAX_TOMBSTONE + 1))


def test_every_flipped_bit_of_a_tombstone_is_noticed():
    data = marked().sealed(note(2)).to_bytes()
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(Corrupt):
            read(bytes(flipped))


@pytest.mark.parametrize("length", [0, 1, 10, -1])
def test_a_truncated_tombstone_is_noticed(length):
    with pytest.raises(Corrupt):
        read(marked().to_bytes()[:length])


SEAL = {"write_id": "0" * 32, "at": "2024-08-16T14:23:01.000000Z", "by": "me"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": "sealed"}, "exactly if it is sealed"),
        ({"seal": SEAL}, "exactly if it is sealed"),
        ({"state": "gone"}, "state"),
        ({"manifest": None, "manifest_sha256": None}, "brought back has a manifest"),
        ({"manifest": None, "state": "sealed", "seal": SEAL}, "not the one that was deleted"),
        ({"manifest_sha256": "0" * 64}, "not the one that was deleted"),
        ({"manifest": {"a": 1}}, "not the one that was deleted"),
        ({"run_id": "../x"}, "run id"),
        ({"symbol": "a\nb"}, "symbol"),
        ({"write_id": "x"}, "write_id"),
        ({"at": "now"}, "YYYY-MM-DD"),
        ({"reason": 1}, "reason"),
        ({"kind": "run"}, "not a 'tombstone' document"),
        ({"format": "x"}, "which format"),
    ],
)
def test_a_tombstone_with_the_right_checksum_and_the_wrong_content_is_refused(changes, text):
    value = json.loads(marked().to_bytes())
    with pytest.raises(Corrupt, match=text):
        read(resealed(value | changes))


def test_every_missing_field_is_refused():
    value = json.loads(marked().to_bytes())
    for name in set(value) - {"checksum"}:
        with pytest.raises(Corrupt):
            read(resealed({k: v for k, v in value.items() if k != name}))


def test_a_newer_major_format_is_named():
    with pytest.raises(FormatTooNew, match=r"2\.0"):
        read(resealed(json.loads(marked().to_bytes()) | {"format": "2.0"}))


def test_a_tombstone_of_another_run_or_with_anothers_manifest_is_refused():
    stone = marked()
    stone.check_identity(KEY, RUN_ID, "it")
    with pytest.raises(Corrupt, match="copied or swapped"):
        stone.check_identity(ModelKey("gru"), RUN_ID, "it")
    with pytest.raises(Corrupt, match=f"belongs to the run {RUN_ID}"):
        stone.check_identity(KEY, "20240101_000000", "it")
    other = Tombstone.mark(manifest(run_id="20240101_000000"), note())
    value = json.loads(stone.to_bytes())
    value |= {name: json.loads(other.to_bytes())[name] for name in ("manifest", "manifest_sha256")}
    with pytest.raises(Corrupt, match="belongs to the run 20240101_000000"):
        read(resealed(value)).restored()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("gru/BTCEUR/20240816_142301/model.json", (ModelKey("gru", "BTCEUR"), "20240816_142301", "model.json")),
        ("gru/20240816_142301_ab/plots/a.png", (ModelKey("gru"), "20240816_142301_ab", "plots/a.png")),
        ("gru/BTCEUR/20240816_142301/", None),
        ("gru/BTCEUR/20240816_142301", None),
        ("gru/BTCEUR/latest.json", None),
        ("gru/BTCEUR/latest.history/0000000032.json", None),
        ("gru/a/b/20240816_142301/model.json", None),
        ("GRU/BTCEUR/20240816_142301/model.json", None),
        ("gru/con/20240816_142301/model.json", None),
        ("20240816_142301/model.json", None),
        ("_store.json", None),
        ("", None),
    ],
)
def test_an_object_belongs_to_the_run_whose_prefix_it_is_below(key, expected):
    assert keys.run_of(key) == expected


def test_only_our_own_probes_are_taken_for_probes():
    assert keys.probe_in("0" * 32) == f"_probe/{'0' * 32}"
    assert [keys.probe_in(name) for name in ("0" * 31, "notes.txt", "", "0" * 32 + "/x")] == [None] * 4


def test_damaged_bytes_are_kept_in_quarantine_and_never_come_back_as_a_run():
    bad = bytes(range(256))
    stone = read(Tombstone.quarantined(KEY, RunId(RUN_ID), bad, note()).to_bytes())
    assert (stone.state, stone.manifest, decode64(stone.quarantine.data)) == ("sealed", None, bad)
    assert "put into quarantine, its manifest being damaged, at 2024" in stone.summary
    with pytest.raises(Corrupt):
        stone.restored()
    assert "quarantine" not in json.loads(marked().to_bytes())
    empty = read(Tombstone.quarantined(KEY, RunId(RUN_ID), b"", note()).to_bytes())
    assert decode64(empty.quarantine.data) == b""


def test_the_largest_damaged_manifest_that_is_kept_fits_and_a_larger_one_is_refused():
    stone = Tombstone.quarantined(KEY, RunId(RUN_ID), b"x" * MAX_QUARANTINE, note(reason="x" * 999))
    assert len(stone.to_bytes()) <= MAX_TOMBSTONE
    with pytest.raises(InvalidOption, match="tombstone keeps"):
        Tombstone.quarantined(KEY, RunId(RUN_ID), b"x" * (MAX_QUARANTINE + 1), note())


@pytest.mark.parametrize(
    "change",
    [
        {"quarantine": {"data": "eA==", "sha256": "0" * 64}},
        {"quarantine": {"data": "no base64", "sha256": "0" * 64}},
        {"quarantine": {"data": "eA=="}},
    ],
)
def test_a_quarantine_that_does_not_hold_what_it_says_is_not_believed(change):
    value = json.loads(Tombstone.quarantined(KEY, RunId(RUN_ID), b"x", note()).to_bytes())
    with pytest.raises(Corrupt):
        read(resealed(value | change))


def test_a_manifest_that_can_be_read_is_in_no_quarantine():
    value = json.loads(Tombstone.quarantined(KEY, RunId(RUN_ID), b"x", note()).to_bytes())
    sealed = json.loads(marked().sealed(note(2)).to_bytes())
    with pytest.raises(Corrupt, match="not in quarantine"):
        read(resealed(sealed | {"quarantine": value["quarantine"]}))
