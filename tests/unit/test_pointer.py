"""A pointer counts up, remembers everything, and is believed only whole."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.canonical import canonical, checksum, sha256
from artifact_store.core.documents import check_format
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import BLOCK, GATHERED, HistoryBlock, Pointer, PublishInfo, advance, block_of
from artifact_store.errors import Corrupt, FormatTooNew, InvalidOption
from tests.unit.samples import KEY, NOW, manifest, resealed

pytestmark = pytest.mark.windows


def note(number=0, reason=""):
    return PublishInfo(f"{number:032x}", NOW + timedelta(seconds=number), "me", reason)


def published(times):
    """The pointer after so many publishes, and the archive blocks that were written on the way."""
    pointer, blocks = None, []
    for number in range(times):
        step = advance(pointer, KEY, "latest", manifest() if number % 5 != 4 else None, note(number))
        pointer = Pointer.from_bytes(step.pointer.to_bytes(), what="the pointer")
        blocks += [HistoryBlock.from_bytes(block.to_bytes(), what="the block") for block in step.blocks]
    return pointer, blocks


def test_the_first_publish_has_seq_1_and_no_history():
    pointer, blocks = published(1)
    assert (pointer.seq, pointer.history, pointer.archived, blocks) == (1, (), 0, [])
    assert pointer.embedded("it") == manifest()


def test_what_is_printed_is_what_is_in_force_and_no_manifest():
    pointer, _ = published(2)
    assert str(pointer) == repr(pointer)
    assert str(pointer) == f"<Pointer {KEY}@latest, seq 2: {manifest().run_id}, at {pointer.at:%Y-%m-%d %H:%M:%S} UTC>"
    assert "latest, seq 5: retired, at " in str(published(5)[0])


def test_its_digest_is_that_of_the_stored_bytes_with_what_a_later_release_added():
    data = resealed({**published(2)[0].to_json(), "added_later": 1})
    pointer = Pointer.from_bytes(data, what="it")
    assert pointer.digest == sha256(data)
    assert pointer.digest != published(2)[0].digest


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 230))
def test_archive_and_pointer_together_tell_every_publish_exactly_once(times):
    pointer, blocks = published(times)
    told = [entry for block in blocks for entry in block.entries] + list(pointer.entries)
    assert [entry.seq for entry in told] == list(range(1, times + 1))
    assert [entry.write_id for entry in told] == [f"{number:032x}" for number in range(times)]
    assert [block.last_seq for block in blocks] == [BLOCK * (place + 1) for place in range(len(blocks))]
    assert len(pointer.entries) <= GATHERED
    assert pointer.archived == BLOCK * len(blocks)


def test_a_publish_is_found_in_the_block_that_it_went_to():
    assert [block_of(seq) for seq in (1, 32, 33, 64, 65)] == [32, 32, 64, 64, 96]


def test_a_block_is_the_same_bytes_whoever_writes_it():
    pointer, _ = published(GATHERED)
    mine = advance(pointer, KEY, "latest", manifest(), note(1000))
    theirs = advance(pointer, KEY, "latest", None, note(2000, "other"))
    assert mine.blocks[0].to_bytes() == theirs.blocks[0].to_bytes()
    assert mine.pointer.to_bytes() != theirs.pointer.to_bytes()


def test_the_pointer_pins_the_newest_block_and_each_block_the_one_before():
    pointer, blocks = published(GATHERED + 2 * BLOCK + 3)
    assert len(blocks) == 3
    assert pointer.archive == sha256(blocks[-1].to_bytes())
    assert [block.previous for block in blocks] == [None, *(sha256(block.to_bytes()) for block in blocks[:-1])]
    for entry in ("archive", "previous"):
        assert entry not in json.loads(published(2)[0].to_bytes())
    assert "previous" not in json.loads(blocks[0].to_bytes())


def test_a_pin_of_what_is_not_archived_is_refused():
    value = json.loads(published(3)[0].to_bytes()) | {"archive": "0" * 64}
    with pytest.raises(Corrupt, match="nothing is archived"):
        Pointer.from_bytes(resealed(value), what="it")
    block = json.loads(published(GATHERED + 1)[1][0].to_bytes()) | {"previous": "0" * 64}
    with pytest.raises(Corrupt, match="first block, and pins one before"):
        HistoryBlock.from_bytes(resealed(block), what="it")


def test_an_archive_that_an_older_release_began_is_carried_on():
    """Its pointer pins no block: what it archived is not vouched for, what follows is."""
    pointer, blocks = published(GATHERED + BLOCK)
    value = {name: part for name, part in json.loads(pointer.to_bytes()).items() if name != "archive"}
    step = advance(Pointer.from_bytes(resealed(value), what="it"), KEY, "latest", None, note(500))
    assert step.blocks[0].last_seq == blocks[-1].last_seq + BLOCK
    assert step.blocks[0].previous is None
    assert step.pointer.archive == sha256(step.blocks[0].to_bytes())


def test_retiring_names_no_run_and_counts_on():
    pointer, _ = published(5)
    assert (pointer.seq, pointer.run_id, pointer.manifest_sha256) == (5, None, None)
    assert pointer.embedded("it") is None


def test_a_large_manifest_is_pinned_and_not_copied():
    large = manifest(config={"text": "x" * 70_000})
    pointer = advance(None, KEY, "latest", large, note()).pointer
    assert pointer.manifest is None
    assert pointer.manifest_sha256 == large.digest
    assert pointer.embedded("it") is None


def test_long_notes_are_cut_and_notes_that_are_no_text_are_refused():
    pointer = advance(None, KEY, "latest", None, note(0, "y" * 500)).pointer
    assert len(pointer.reason) == 200
    with pytest.raises(InvalidOption, match="not valid text"):
        advance(None, KEY, "latest", None, note(0, "\ud800"))


def test_the_largest_pointer_stays_under_its_limit():
    pointer = None
    for number in range(GATHERED):
        big = PublishInfo(f"{number:032x}", NOW, "\U0001f600" * 300, "\U0001f600" * 300)
        pointer = advance(pointer, KEY, "a" * 64, manifest(config={"text": "x" * 64_000}), big).pointer
    assert Pointer.from_bytes(pointer.to_bytes(), what="it").seq == GATHERED


def test_every_flipped_bit_of_a_pointer_is_noticed():
    data = published(3)[0].to_bytes()
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(Corrupt):
            Pointer.from_bytes(bytes(flipped), what="the pointer")


@pytest.mark.parametrize("length", [0, 1, 10, -1])
def test_a_truncated_pointer_is_noticed(length):
    data = published(3)[0].to_bytes()
    with pytest.raises(Corrupt):
        Pointer.from_bytes(data[:length], what="the pointer")


def test_a_pointer_of_100_mb_is_refused_before_it_is_parsed():
    with pytest.raises(Corrupt, match="104,857,600 bytes"):
        Pointer.from_bytes(b" " * (100 << 20), what="the pointer")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seq": 0}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": 7}, "history"),
        ({"run_id": None}, "come together"),
        ({"run_id": "../x"}, "run id"),
        ({"write_id": "x"}, "write_id"),
        ({"at": "2024-01-01"}, "YYYY-MM-DD"),
        ({"at": 5}, "YYYY-MM-DD"),
        ({"at": "2024-13-01T00:00:00.000000Z"}, "at"),
        ({"manifest_sha256": "0" * 64}, "embedded manifest"),
        ({"manifest": {"a": 1}}, "embedded manifest"),
        ({"history": "x"}, "history"),
        ({"alias": 3}, "alias"),
        ({"kind": "run"}, "not a 'pointer' document"),
        ({"kind": None}, "not a 'pointer' document"),
        ({"format": "x"}, "which format"),
        ({"format": 1}, "which format"),
        ({"format": None}, "which format"),
    ],
)
def test_a_pointer_with_the_right_checksum_and_the_wrong_content_is_refused(changes, text):
    value = json.loads(published(3)[0].to_bytes())
    with pytest.raises(Corrupt, match=text):
        Pointer.from_bytes(resealed(value | changes), what="the pointer")


def test_every_missing_field_is_refused():
    value = json.loads(published(3)[0].to_bytes())
    for name in set(value) - {"checksum"}:
        with pytest.raises(Corrupt):
            Pointer.from_bytes(resealed({k: v for k, v in value.items() if k != name}), what="the pointer")


def test_a_newer_major_format_is_named():
    value = json.loads(published(1)[0].to_bytes()) | {"format": "2.0"}
    with pytest.raises(FormatTooNew, match=r"2\.0.*upgrade"):
        Pointer.from_bytes(resealed(value), what="the pointer")


def test_what_a_newer_minor_format_adds_survives():
    value = json.loads(published(2)[0].to_bytes())
    value |= {"format": "1.7", "colour": {"a": [1.0, 1e-9]}}
    value["history"][0]["mood"] = "good"
    data = resealed(value)
    pointer = Pointer.from_bytes(data, what="the pointer")
    assert pointer.to_bytes() == data
    after = advance(pointer, KEY, "latest", None, note(9)).pointer
    assert json.loads(after.to_bytes())["history"][0]["mood"] == "good"


def test_a_pointer_of_another_model_or_alias_is_refused():
    pointer, _ = published(1)
    pointer.check_identity(KEY, "latest", "it")
    for key, alias in ((ModelKey("gru"), "latest"), (ModelKey("gbm", "BTCEUR"), "latest"), (KEY, "production")):
        with pytest.raises(Corrupt, match=r"belongs to .*copied or swapped"):
            pointer.check_identity(key, alias, "it")
    keyless = advance(None, ModelKey("gru"), "latest", None, note()).pointer
    with pytest.raises(Corrupt, match="belongs to gru:"):
        keyless.check_identity(KEY, "latest", "it")


def test_a_block_of_another_place_or_with_a_hole_is_refused():
    block = published(GATHERED + 1)[1][0]
    block.check_identity(KEY, "latest", 32, "it")
    for alias, seq in (("latest", 64), ("production", 32)):
        with pytest.raises(Corrupt, match="elsewhere"):
            block.check_identity(KEY, alias, seq, "it")
    with pytest.raises(Corrupt, match="belongs to gru/BTCEUR"):
        block.check_identity(ModelKey("gru", "ETHEUR"), "latest", 32, "it")
    value = json.loads(block.to_bytes())
    swapped = [*value["entries"][:5], value["entries"][6], value["entries"][5], *value["entries"][7:]]
    for entries in ([], value["entries"][1:], value["entries"][::-1], swapped):
        with pytest.raises(Corrupt, match="without a hole"):
            HistoryBlock.from_bytes(resealed(value | {"entries": entries}), what="it")


def test_a_history_begins_after_a_whole_block():
    value = json.loads(published(40)[0].to_bytes())
    for dropped in (1, 31, 33):
        with pytest.raises(Corrupt, match="does not lead up"):
            Pointer.from_bytes(resealed(value | {"history": value["history"][dropped:]}), what="it")
    assert Pointer.from_bytes(resealed(value | {"history": value["history"][32:]}), what="it").archived == 32


def test_a_history_with_two_publishes_swapped_is_refused():
    value = json.loads(published(5)[0].to_bytes())
    first, second, *rest = value["history"]
    for history in ([second, first, *rest], [first, first, *rest], [first | {"seq": 2}, second, *rest]):
        with pytest.raises(Corrupt, match="does not lead up"):
            Pointer.from_bytes(resealed(value | {"history": history}), what="it")


def test_a_block_begins_after_a_whole_block():
    pointer, blocks = published(GATHERED + 1)
    later = [json.loads(canonical(entry.model_dump(mode="json"))) for entry in pointer.entries]
    value = json.loads(blocks[0].to_bytes())
    with pytest.raises(Corrupt, match="without a hole"):
        HistoryBlock.from_bytes(resealed(value | {"entries": [*value["entries"][1:], later[0]]}), what="it")


def test_a_pointer_keeps_what_is_not_archived_and_nothing_else():
    for times, kept in ((63, 63), (64, 64), (65, 33), (96, 64), (97, 33)):
        pointer, blocks = published(times)
        assert (len(pointer.entries), len(blocks)) == (kept, (times - kept) // BLOCK)


def test_the_largest_manifest_that_is_copied_has_64_kib():
    size = len(manifest(config={"a": ""}).to_bytes())
    for length, copied in ((65_536 - size, True), (65_537 - size, False)):
        run = manifest(config={"a": "x" * length})
        assert (advance(None, KEY, "latest", run, note()).pointer.manifest is not None) is copied


def test_words_of_a_publish_are_cut_after_200_characters():
    words = PublishInfo("0" * 32, NOW, "b" * 300, "r" * 300)
    pointer = advance(None, KEY, "latest", manifest(), words).pointer
    assert (pointer.by, pointer.reason) == ("b" * 200, "r" * 200)


def test_an_embedded_manifest_of_another_run_is_refused():
    other = json.loads(manifest(run_id="20240101_000000").to_bytes())
    value = json.loads(published(1)[0].to_bytes())
    value |= {"manifest": other, "manifest_sha256": sha256(canonical(other))}
    pointer = Pointer.from_bytes(resealed(value), what="it")
    with pytest.raises(Corrupt, match="belongs to the run 20240101_000000"):
        pointer.embedded("it")


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="zone"):
        advance(None, KEY, "latest", None, PublishInfo("0" * 32, datetime(2024, 1, 1), "me"))  # noqa: DTZ001
    assert manifest().created_at.tzinfo is UTC


def test_the_checksum_covers_what_a_reader_does_not_know():
    value = json.loads(published(1)[0].to_bytes()) | {"new": 1}
    assert value["checksum"] != checksum(value)
    with pytest.raises(Corrupt, match="changed after"):
        Pointer.from_bytes(canonical(value), what="it")
    check_format({"format": "1.99", "kind": "pointer"}, kind="pointer", what="it")
    assert isinstance(manifest(), Manifest)


def test_a_note_gives_no_reason_unless_it_is_told_one():
    assert PublishInfo("a" * 32, NOW, "me").reason == ""
