"""Notes about a run: what one may say, and what several say together, in whatever order they were written."""

import copy
import json
import math
import pickle
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store import LoadPolicy
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.note import Note, RunNotes
from artifact_store.errors import (
    Corrupt,
    FormatUnsupported,
    InvalidInput,
    InvalidName,
    NotForTrading,
    SignatureInvalid,
    SignatureMissing,
    UntrustedKey,
)
from artifact_store.noting import Unchanging
from tests.keys import signer, strict
from tests.unit.samples import KEY, NOW, RUN_ID, resealed

REF = f"{KEY}:{RUN_ID}"


def note(number=1, **said):
    fields = {
        "model_type": "gru",
        "symbol": "BTCEUR",
        "run_id": RUN_ID,
        "manifest_sha256": "0" * 64,
        "by": "ann",
        "write_id": f"{number:032x}",
        "at": NOW + timedelta(seconds=number),
    }
    return Note(**(fields | said))


def signed(written, who="owner"):
    announced = written.announced(signer(who).key_id)
    return announced.signed(signer(who).sign(announced.signed_message()))


def together(*notes, policy=None):
    return RunNotes.of(REF, [(one.storage_key, one) for one in notes], policy or LoadPolicy())


def test_a_note_is_read_as_it_was_written():
    written = note(
        description="é", tags={"a": "b"}, metrics={"live": 1.5, "loss": "NaN"}, do_not_trade=True, reason="r"
    )
    read = Note.from_bytes(written.to_bytes(), what="it")
    assert read == written
    assert read.storage_key == f"_notes/gru/BTCEUR/{RUN_ID}/{1:032x}.json"
    assert set(json.loads(note(description="x").to_bytes())) == {
        *("checksum", "format", "kind", "model_type", "symbol", "run_id", "manifest_sha256", "write_id", "at", "by"),
        "description",
    }


def test_only_the_key_of_a_note_is_that_of_one():
    where = note().storage_key
    assert keys.note_of(where) == (KEY, RunId(RUN_ID), f"{1:032x}")
    assert keys.note_of(f"_notes/gru/{RUN_ID}/{1:032x}.json") == (ModelKey("gru"), RunId(RUN_ID), f"{1:032x}")
    for other in (where.removeprefix("_notes/"), where.upper(), f"{where}.tmp", f"_notes/{1:032x}.json", "_notes/x"):
        assert keys.note_of(other) is None
    assert keys.model_of(where) is None
    assert keys.run_of(where) is None


def test_a_note_says_where_it_belongs():
    written = note()
    written.check_about(written.storage_key, None)
    written.check_about(written.storage_key, "0" * 64)
    with pytest.raises(Corrupt, match="copied or swapped"):
        written.check_about(note(2).storage_key, "0" * 64)
    with pytest.raises(Corrupt, match="another manifest"):
        written.check_about(written.storage_key, "1" * 64)


def test_names_that_are_too_long_together_are_refused():
    long = {"model_type": "t" * 64, "symbol": "s" * 100, "run_id": "20240101_000000_" + "r" * 40}
    with pytest.raises(ValueError, match="longer than 240"):
        note(**long)
    with pytest.raises(InvalidName):
        keys.note(ModelKey("t" * 64, "s" * 100), RunId("20240101_000000_" + "r" * 40), "0" * 32)


def test_a_note_of_a_newer_release_may_be_a_mark():
    value = json.loads(note().to_bytes()) | {"must_understand": ["marks-by-hour"]}
    with pytest.raises(FormatUnsupported, match="marks-by-hour"):
        Note.from_bytes(resealed(value), what="it")
    assert not RunNotes.of(REF, [("x", FormatUnsupported("newer"))], LoadPolicy()).is_tradable


# ---------------------------------------------------------------- what they say together


def test_the_last_word_counts_and_nothing_is_lost():
    first = note(1, description="one", tags={"a": "1", "b": "1"}, metrics={"m": 1, "x": "Infinity"})
    second = note(2, description="two", tags={"a": "2"}, metrics={"m": 2.5})
    third = note(3, metrics={"y": "NaN"})
    for order in permutations((first, second, third)):
        found = together(*order)
        assert found.description == "two"
        assert found.tags == {"a": "2", "b": "1"}
        assert found.metrics.pop("y") != found.metrics["m"] == 2.5
        assert found.metrics["x"] == math.inf
        assert list(found) == [first, second, third]
        assert len(found) == 3
        assert found.is_tradable
        found.check_tradable()
        assert json.loads(json.dumps(found.to_json()))["metrics"] == {"m": 2.5, "x": "Infinity", "y": "NaN"}
    assert together().description == ""
    assert together().metrics == {}


def test_a_mark_is_in_force_until_a_note_lifts_it():
    mark = note(1, do_not_trade=True, reason="a split")
    with pytest.raises(NotForTrading, match=r"by 'ann': a split; promote another run, or lift"):
        together(mark).check_tradable()
    with pytest.raises(NotForTrading, match="by 'ann'; promote"):
        together(note(1, do_not_trade=True)).check_tradable()
    lifted = together(mark, note(2, lifts=[mark.write_id]))
    assert lifted.is_tradable
    assert not lifted.do_not_trade
    assert lifted.to_json()["marks"] == []


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 7))), max_size=8), st.randoms())
def test_a_mark_that_nobody_saw_is_never_lifted(written, random):
    """Whatever the clocks say, and in whatever order the notes are listed."""
    notes = [
        note(number, do_not_trade=mark, lifts=[f"{each:032x}" for each in sorted(lifts)], at=NOW - timedelta(number))
        for number, (mark, lifts) in enumerate(written)
    ]
    seen = {each for _, lifts in written for each in lifts}
    random.shuffle(notes)
    in_force = {number for number, (mark, _) in enumerate(written) if mark and number not in seen}
    assert {int(mark.write_id, 16) for mark in together(*notes).marks} == in_force
    assert together(*notes).is_tradable is not bool(in_force)


def test_what_cannot_be_read_may_be_a_mark():
    damaged = RunNotes.of(REF, [("_notes/x", Corrupt("cut"))], LoadPolicy())
    assert not damaged.is_tradable
    assert not damaged.do_not_trade
    with pytest.raises(NotForTrading, match=r"cannot be read, and may say .*_notes/x: cut"):
        damaged.check_tradable()


# ---------------------------------------------------------------- signatures


def test_where_signatures_are_required_only_signed_notes_count():
    own = signed(note(1, tags={"a": "1"}))
    assert Note.from_bytes(own.to_bytes(), what="it") == own
    foreign, bare = signed(note(2, tags={"a": "2"}), "mallory"), note(3, tags={"a": "3"})
    forged = own.model_copy(update={"write_id": "4" * 32, "tags": {"a": "4"}})
    nonsense = own.model_copy(update={"signature": own.signature.model_copy(update={"sig": "?"})})
    found = together(own, foreign, bare, forged, nonsense, policy=strict())
    assert found.tags == {"a": "1"}
    assert [type(problem.error) for problem in found.problems] == [
        *(UntrustedKey, SignatureMissing, SignatureInvalid, SignatureInvalid)
    ]
    assert found.is_tradable
    found.check_tradable()
    assert len(together(own, foreign, bare)) == 3


def test_a_mark_counts_unsigned_and_only_a_signed_note_lifts_it():
    mark = note(1, do_not_trade=True)
    lift = note(2, lifts=[mark.write_id])
    assert not together(mark, policy=strict()).is_tradable
    assert not together(mark, lift, policy=strict()).is_tradable
    assert not together(mark, signed(lift, "mallory"), policy=strict()).is_tradable
    assert together(mark, signed(lift), policy=strict()).is_tradable


# ---------------------------------------------------------------- what never changes


def test_a_mapping_of_a_run_refuses_changes_and_its_copies_do_not():
    said = Unchanging({"fold": "7"})
    changes = (
        lambda: said.__setitem__("a", "b"),
        lambda: said.__delitem__("fold"),
        lambda: said.update(a="b"),
        lambda: said.setdefault("a", "b"),
        lambda: said.pop("fold"),
        said.popitem,
        said.clear,
        lambda: said.__ior__({"a": "b"}),
    )
    for change in changes:
        with pytest.raises(InvalidInput, match=r"run\.annotate"):
            change()
    assert said == {"fold": "7"}
    assert json.dumps(said) == '{"fold": "7"}'
    for plain in (dict(said), copy.copy(said), copy.deepcopy(said), pickle.loads(pickle.dumps(said)), said | {}):
        plain["a"] = "b"
        assert type(plain) is dict
