"""The journal of bulk work: whatever happens to the file, an answer in it is one that was given."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.bulk.journal import MAX_LINE, Journal, line, lines
from artifact_store.errors import InvalidOption
from tests.slices import examples

pytestmark = pytest.mark.windows

QUESTION = {"work": "verify", "store": "file:///models"}
REFS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
VERDICTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(REFS, below, max_size=3),
    max_leaves=5,
)
ANSWERS = st.dictionaries(REFS, VERDICTS, max_size=6)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal") / "answers.jsonl"


@settings(max_examples=examples(25, 1000))
@given(rounds=st.lists(ANSWERS, max_size=4))
def test_what_was_answered_last_is_known_to_the_next_driver(path: Path, rounds: list[dict[str, object]]) -> None:
    path.unlink(missing_ok=True)
    known: dict[str, object] = {}
    for answers in rounds:
        with Journal(path, QUESTION) as journal:
            assert journal.answers == known
            journal.add(answers.items())
        known = {**known, **answers}
    with Journal(path, QUESTION) as journal:
        assert journal.answers == known


@settings(max_examples=examples(25, 1000))
@given(before=ANSWERS, after=ANSWERS, data=st.data())
def test_wherever_a_driver_is_killed_the_next_one_goes_on(
    path: Path, before: dict[str, object], after: dict[str, object], data: st.DataObject
) -> None:
    path.unlink(missing_ok=True)
    with Journal(path, QUESTION) as journal:
        journal.add(before.items())
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with Journal(path, QUESTION) as journal:
        kept = journal.answers
        journal.add(after.items())
    assert kept.items() <= before.items()
    with Journal(path, QUESTION) as journal:
        assert journal.answers == {**kept, **after}


@settings(max_examples=examples(25, 1000))
@given(answers=ANSWERS, data=st.data())
def test_a_line_that_was_damaged_is_dropped_and_no_other(
    path: Path, answers: dict[str, object], data: st.DataObject
) -> None:
    path.unlink(missing_ok=True)
    with Journal(path, QUESTION) as journal:
        journal.add(answers.items())
    whole = bytearray(path.read_bytes())
    start = len(line({"question": QUESTION}))
    if start == len(whole):
        return
    place = data.draw(st.integers(start, len(whole) - 1))
    whole[place] = (whole[place] + data.draw(st.integers(1, 255))) % 256
    path.write_bytes(whole)
    with Journal(path, QUESTION) as journal:
        assert journal.answers.items() <= answers.items()
        assert len(journal.answers) >= len(answers) - 2  # the end of a line joins it to the next one


def test_every_line_is_json(path: Path) -> None:
    path.unlink(missing_ok=True)
    with Journal(path, QUESTION) as journal:
        journal.add([("linear/Ä:1", {"ok": True})])
    asked, answered = (json.loads(text) for text in path.read_text(encoding="utf-8").splitlines())
    assert asked[1] == {"question": QUESTION}
    assert answered[1] == {"ref": "linear/Ä:1", "verdict": {"ok": True}}


def test_another_question_is_refused_and_both_are_named(path: Path) -> None:
    path.unlink(missing_ok=True)
    Journal(path, QUESTION).close()
    before = path.read_bytes()
    with pytest.raises(InvalidOption, match="answers to another question.*verify"):
        Journal(path, {**QUESTION, "work": "validate"})
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"my diary", b"\n", b"{}\n", line({"ref": "a", "verdict": None})], ids=repr)
def test_a_file_of_something_else_stays_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidOption, match="no journal"):
        Journal(path, QUESTION)
    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name")
def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InvalidOption, match="no journal"):
            Journal(place, QUESTION)


def test_a_line_beyond_all_measure_is_passed_over(path: Path) -> None:
    path.write_bytes(b'["' + b"x" * (MAX_LINE + 5) + b"]\n" + line({"ref": "a"}))
    assert list(lines(path)) == [{"ref": "a"}]


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    Journal(tmp_path / "answers", QUESTION).close()
    assert (tmp_path / "answers").stat().st_mode & 0o077 in {0, 0o066}  # Windows has no modes


def test_a_journal_in_no_folder_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(InvalidOption, match="there is no folder .*missing for the journal j: make it"):
        Journal(tmp_path / "missing" / "j", {"q": 1})
