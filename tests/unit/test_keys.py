"""The grammar of names is the same everywhere, and what it refuses it refuses with a way out."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.core import keys
from artifact_store.core.file_names import stored_name
from artifact_store.core.names import ModelKey, RunId, check_alias, check_component, check_model_type, random_suffix
from artifact_store.core.portable import why_not_on_windows
from artifact_store.errors import InvalidName
from tests.cases import each

pytestmark = pytest.mark.windows

HOSTILE = [
    "", ".", "..", "../x", "..\\x", "/abs", "a/b", "a\\b", "C:", "C:\\x", "file:x", "//x", ":x", "a;b", "a?b", "a#b",
    "%2e%2e", "%252e%252e", "a%b", "a\x00b", "a\nb", "a\tb", "a\x7fb", "a b", " a", "a ", "[1]", "a*", "{a}", "~", "a'b",
    'a"b', "é", "а", "\u202ea", "x" * 200, "nul", "NUL", "con", "COM1", "lpt9", "aux.txt", "com1.x", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("check", [check_model_type, check_alias, check_component])
def test_a_hostile_name_is_refused_in_every_place(check):
    for case in each(HOSTILE):
        with case as name:
            with pytest.raises(InvalidName) as caught:
                check(name)
            assert "\n" not in str(caught.value)
            assert "\x00" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, b"gru", ["gru"]])
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(InvalidName, match="not text"):
        check_alias(name)
    with pytest.raises(InvalidName, match="not text"):
        keys.check_path(name)


@pytest.mark.parametrize("alias", ["manifest", "metadata", "config"])
def test_an_alias_never_has_the_name_of_a_file_of_a_run(alias):
    with pytest.raises(InvalidName, match="files of a run"):
        check_alias(alias)


@pytest.mark.parametrize(
    "path",
    ["model.txt", "a/b/c.bin", "report 1.html", "x", "a b+c=d@e.txt", "x_/y", "é.txt", "(1).txt", "重み/-x", "a;b"],
)
def test_plain_file_names_are_taken(path):
    assert keys.check_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["manifest.json", "Metadata.JSON", "manifest.json/x", "_x", "_store.json", ".hidden", "a//b", "/a", "a/", "a/../b",
     "a/./b", "a\\b", "nul.txt", "nul .txt", "d/con", "d/COM1  .tar.gz", "x.", "x ", "a:b", "a*b", "x" * 101, "/".join(["x" * 60] * 5), "e\u0301.txt", "a\u200bb", "重" * 30, "MANIFEST.JSON/x", "MANIF~1.JSO", "man\u0131fest.json"],
)  # fmt: skip
def test_other_file_names_are_refused(path):
    with pytest.raises(InvalidName):
        keys.check_path(path)


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("model.txt", "model.txt"),
        ("a b+c=d@e_.txt", "a b+c=d@e_.txt"),
        ("März (1).txt", "M;C3;A4rz ;281;29.txt"),
        ("a;28", "a;3B28"),
        ("-x/+y/=z/@w", ";2Dx/;2By/;3Dz/;40w"),
        ("重/x", ";E9;87;8D/x"),
    ],
)
def test_a_file_has_one_name_in_keys(path, stored):
    assert stored_name(path) == stored
    assert keys.is_name_of(stored, path)
    assert keys.attempt_name(path, "0123abcd") == f"{stored}.0123abcd"
    assert keys.is_name_of(f"{stored}.0123abcd", path)
    assert keys.is_name_of(path, path) is (path == stored)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
def test_two_files_never_have_one_name_in_keys(one, other):
    assert (stored_name(one) == stored_name(other)) is (one == other)
    assert re.fullmatch(r"[A-Za-z0-9 ._+=@;/-]*", stored_name(one))


def test_names_that_windows_would_merge_are_refused_together():
    keys.check_twins(["a", "b", "d/e"])
    with pytest.raises(InvalidName, match="could not tell it from 'Model.txt'"):
        keys.check_twins(["Model.txt", "model.TXT"])
    with pytest.raises(InvalidName, match="name of its folder"):
        keys.check_twins(["a/b", "A"])


@pytest.mark.parametrize("text", ["20240816_142301", "20240816_142301_k3f8qz", "20240229_000000_a-b"])
def test_a_run_id_is_text_that_sorts_by_time(text):
    assert RunId(text) == text
    assert isinstance(RunId(text), str)


@pytest.mark.parametrize(
    "text",
    ["", "2024", "20240816-142301", "20240230_000000", "20240816_250000", "20240816_142301_", "20240816_142301_A",
     "20240816_142301_-a", "20240816_142301_" + "a" * 41, "20240816_142301/x", "99999999_999999"],
)  # fmt: skip
def test_other_run_ids_are_refused(text):
    with pytest.raises(InvalidName):
        RunId(text)


def test_a_run_id_is_made_in_utc():
    made = RunId.make(datetime(2024, 8, 16, 14, 23, 1, tzinfo=UTC), "f8qz")
    assert made == "20240816_142301_00f8qz"


def test_ids_of_one_second_sort_by_time():
    start = datetime(2024, 8, 16, 14, 23, 1, tzinfo=UTC)
    made = [RunId.make(start + timedelta(milliseconds=ms), random_suffix()) for ms in range(0, 1000, 7)]
    assert made == sorted(made)
    assert made[-1].startswith("20240816_142301_z")


def test_random_suffixes_differ_and_fit_the_grammar():
    suffixes = {random_suffix() for _ in range(200)}
    assert len(suffixes) > 190
    assert all(RunId(f"20240816_142301_{suffix}") for suffix in suffixes)


def test_keys_sort_as_they_read():
    assert sorted([ModelKey("gru", "B"), ModelKey("gru"), ModelKey("gbm", "Z")]) == [
        ModelKey("gbm", "Z"), ModelKey("gru"), ModelKey("gru", "B"),
    ]  # fmt: skip
    assert ModelKey.parse(ModelKey("gru")) == ModelKey("gru")


def test_the_layout_is_the_documented_one():
    key, run = ModelKey("gru", "BTCEUR"), RunId("20240816_142301_k3f8qz")
    assert keys.manifest(key, run) == "gru/BTCEUR/20240816_142301_k3f8qz/manifest.json"
    assert keys.data_file(key, run, "model.txt") == "gru/BTCEUR/20240816_142301_k3f8qz/model.txt"
    assert keys.pointer(key, "latest") == "gru/BTCEUR/latest.json"
    assert keys.pointer(ModelKey("gru"), "latest") == "gru/latest.json"
    assert keys.history_block(key, "latest", 32) == "gru/BTCEUR/latest.history/0000000032.json"
    assert keys.run_prefix(key, run) == "gru/BTCEUR/20240816_142301_k3f8qz/"
    assert keys.model_prefix(key) == "gru/BTCEUR/"
    assert keys.type_prefix("gru") == "gru/"
    assert keys.probe("x") == "_probe/x"
    assert keys.seen_alias("f" * 32, key, "latest").endswith(".json")


def test_a_key_has_an_address_below_that_of_its_root():
    assert keys.below("s3://bucket/models/", "gru/X/") == "s3://bucket/models/gru/X"


def test_a_key_that_windows_could_not_hold_is_refused():
    key = ModelKey("a" * 64, "B" * 100)
    with pytest.raises(InvalidName, match="240 characters"):
        keys.data_file(key, RunId("20240816_142301_k3f8qz"), "x" * 100)


def test_a_file_is_stored_under_its_own_name_or_that_of_an_attempt():
    assert keys.is_name_of("model.txt", "model.txt")
    assert keys.is_name_of(keys.attempt_name("model.txt", "0123abcd"), "model.txt")
    for name in (
        "model.txt.x",
        "other.txt",
        "../model.txt",
        "model.txt.0123ABCD",
        "model.txt/0123abcd",
        "model.txt.0123abcde",
    ):
        assert not keys.is_name_of(name, "model.txt")


def test_a_listing_is_read_by_the_same_grammar():
    assert keys.run_in("20240816_142301/") == "20240816_142301"
    assert keys.run_in("20240816_142301") is None
    assert keys.run_in("BTCEUR/") is None
    assert keys.symbol_in("BTCEUR/") == "BTCEUR"
    assert keys.symbol_in("20240816_142301/") is None
    assert keys.symbol_in("BTCEUR") is None
    assert keys.alias_in("latest.json") == "latest"
    assert keys.alias_in("metadata.json") is None
    assert keys.alias_in("latest") is None
    assert keys.model_type_in("gru/") == "gru"
    assert keys.model_type_in("_locks/") is None
    assert keys.model_type_in("gru") is None


@given(st.text(max_size=60))
def test_any_text_is_a_file_name_or_a_typed_error(text):
    try:
        keys.check_path(text)
    except InvalidName:
        return
    assert not set(text) & set('\\:*?"<>|\x00')
    assert re.fullmatch(r"[A-Za-z0-9 ._+=@;/-]+", stored_name(text))
    assert all(part not in {"", ".", ".."} for part in text.split("/"))


def test_the_archive_of_an_alias_is_read_by_the_same_grammar():
    assert keys.history_prefix(ModelKey("gru", "BTCEUR"), "latest") == "gru/BTCEUR/latest.history/"
    assert keys.history_in("latest.history/") == "latest"
    assert [keys.history_in(name) for name in ("latest.history", "metadata.history/", "X.history/", "latest/")] == [
        None
    ] * 4
    assert keys.block_in("0000000032.json") == 32
    others = "\u0660" * 8 + "\u0663\u0662.json"  # a number to Python, and to nobody else
    strangers = ("32.json", "0000000032", "0000000032.json/x", "notes.txt", others)
    assert [keys.block_in(name) for name in strangers] == [None] * 5


@pytest.mark.parametrize(
    ("key", "place", "why"),
    [
        ("gru/CON/x", "gru/CON", "device"),
        ("gru/aux.json", "gru/aux.json", "device"),
        ("gru/aux .json", "gru/aux .json", "device"),
        ("gru/a./x/y", "gru/a.", "dot"),
        ("gru/a /x", "gru/a ", "space"),
        ("a:b/x", "a:b", "character"),
        ("a/b\\c", "a/b\\c", "character"),
        ("a/b\x1f", "a/b\x1f", "character"),
        ("a/" + "x" * 256, "a/" + "x" * 256, "255"),
        ("a/" * 130 + "x", "a/" * 130 + "x", "240"),
    ],
)
def test_a_key_that_windows_could_not_hold_is_named_up_to_the_part_that_is_wrong(key, place, why):
    found = why_not_on_windows(key)
    assert found is not None
    assert found[0] == place
    assert why in found[1]


def test_what_a_store_writes_can_be_held_everywhere():
    written = ("gru/BTCEUR/20240816_142301_ab/model.json", "_store.json", "gru/BTCEUR/latest.history/0000000032.json")
    for key in (*written, "a" * 240, "gru/console/x"):
        assert why_not_on_windows(key) is None


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (check_model_type, "model type"),
        (check_alias, "alias"),
        (check_component, "component"),
        (keys.check_path, "file name"),
        (RunId, "run id"),
    ],
)
def test_an_error_says_what_the_name_was_for(check, kind):
    for wrong in ("a b/", "con", 3) if kind != "run id" else ("a b/", 3):
        with pytest.raises(InvalidName, match=f"cannot be an? {kind}") as caught:
            check(wrong)
        assert (caught.value.kind, caught.value.name) == (kind, wrong)


def test_models_sort_by_their_text():
    assert sorted([ModelKey("b"), ModelKey("a", "B"), ModelKey("a", "A"), ModelKey("a")]) == [
        ModelKey("a"), ModelKey("a", "A"), ModelKey("a", "B"), ModelKey("b"),
    ]  # fmt: skip
    assert not ModelKey("a") < ModelKey("a")


def test_a_type_without_a_symbol_covers_all_of_its_models_and_a_model_itself():
    assert ModelKey("gru").covers(ModelKey("gru", "BTCUSD"))
    assert ModelKey("gru", "BTCUSD").covers(ModelKey("gru", "BTCUSD"))
    assert not ModelKey("gru", "BTCUSD").covers(ModelKey("gru", "ETHUSD"))
    assert not ModelKey("gru", "BTCUSD").covers(ModelKey("gru"))
    assert not ModelKey("gru").covers(ModelKey("ppo", "BTCUSD"))


def test_the_two_characters_of_a_run_id_are_the_1024th_of_its_second():
    second = datetime(2024, 8, 16, 14, 23, 1, tzinfo=UTC)
    for microsecond, two in ((0, "00"), (976, "00"), (977, "01"), (31_249, "0z"), (31_250, "10"), (999_999, "zz")):
        assert RunId.make(second.replace(microsecond=microsecond), "abcd") == f"20240816_142301_{two}abcd"


def test_a_signature_is_known_by_its_whole_name():
    name = keys.signature_name("a" * 64, "b" * 64).removeprefix(keys.SIGNATURES)
    assert keys.signer_in(name, "a" * 64) == "b" * (len(name) - len(".json") - 1 - name.index("."))
    assert keys.signer_in(f"{name}.part", "a" * 64) is None
    assert keys.signer_in(name, "c" * 64) is None
    assert keys.is_signature(name)
    assert not keys.is_signature(f"{name}.part")


def test_a_key_may_be_as_long_as_windows_holds_and_no_longer():
    key, run = ModelKey("a" * 64, "B" * 100), RunId("20240816_142301_k3f8qz")
    room = keys.MAX_KEY - len(f"{key}/{run}/")
    assert len(keys.data_file(key, run, "x" * room)) == keys.MAX_KEY
    with pytest.raises(InvalidName, match="240 characters"):
        keys.data_file(key, run, "x" * (room + 1))


def test_an_alias_whose_history_would_not_fit_is_refused_from_the_beginning():
    key = ModelKey("a" * 64, "B" * 100)
    room = keys.MAX_KEY - len(keys.history_prefix(key, "")) - len("0000000032.json")
    assert len(keys.history_block(key, "c" * room, 32)) == keys.MAX_KEY
    assert keys.pointer(key, "c" * room) == f"{key}/{'c' * room}.json"
    with pytest.raises(InvalidName, match="240 characters"):
        keys.pointer(key, "c" * (room + 1))


# ---------------------------------------------------------------- the index


@pytest.mark.parametrize("key", [ModelKey("gru"), ModelKey("gru", "BTCEUR"), ModelKey("gru", "BTC/USDT@x")])
def test_a_notice_of_the_index_says_its_run_by_its_name(key):
    where = keys.index_notice("gone", key, "20240816_142301_k3f8qz", "5d3f0a6b")
    assert where.startswith(keys.INDEX)
    child = where.removeprefix(keys.INDEX)
    assert keys.index_notice_in(child) == ("gone", key, "20240816_142301_k3f8qz", "5d3f0a6b")
    assert keys.is_of_index(child)


def test_every_run_that_can_be_saved_can_be_announced():
    key = ModelKey("a" * 64, "B" * 100)
    room = keys.MAX_KEY - len(
        keys.data_file(key, RunId("20240816_142301"), keys.attempt_name("metadata.json", "0" * 8))
    )
    longest = f"20240816_142301_{'z' * min(40, room - 1)}"
    keys.data_file(key, RunId(longest), keys.attempt_name("metadata.json", "0" * 8))
    for kind in keys.NOTICES:
        assert keys.index_notice_in(keys.index_notice(kind, key, longest, "0" * 8).removeprefix(keys.INDEX))


@pytest.mark.parametrize(
    "child",
    [
        *("", "saved", "saved/", "saved/gru@BTCEUR", "saved/gru@BTCEUR@latest@5d3f0a6b"),
        *("saved/gru@BTCEUR@20240816_142301@5d3f0a6", "saved/gru@a@b@20240816_142301@5d3f0a6b"),
        *("saved/20240816_142301@5d3f0a6b", "other/gru@BTCEUR@20240816_142301@5d3f0a6b", "blocks/7.parquet"),
        "saved/GRU@BTCEUR@20240816_142301@5d3f0a6b",
    ],
)
def test_what_else_lies_in_the_index_is_nothing_of_ours(child):
    assert keys.index_notice_in(child) is None
    assert keys.index_block_in(child) is None
    assert not keys.is_of_index(child)


def test_a_block_of_the_index_says_its_generation_by_its_name():
    for form in ("jsonl.gz", "parquet"):
        child = keys.index_block(32, form).removeprefix(keys.INDEX)
        assert keys.index_block_in(child) == (32, form)
        assert keys.is_of_index(child)


# ---------------------------------------------------------------- a report


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (ModelKey("gru"), "models/gru.html"),
        (ModelKey("gru", "BTC/USDT"), "models/gru/BTC;2FUSDT.html"),
        (ModelKey("gru", "x.html"), "models/gru/x.html.html"),
    ],
)
def test_a_page_of_a_report_has_the_name_of_its_model(key, name):
    assert keys.page(key) == name
    assert keys.page_in(name) == key
    assert keys.is_of_report(name)


@pytest.mark.parametrize(
    "child",
    [
        "models/Gru.html",
        "models/gru.txt",
        "models/gru/a/b.html",
        "models/../gru.html",
        "models/gru/;2f.html",
        "models/.html",
        "gru.html",
        "../_store.json",
        "assets/other.js",
    ],
)
def test_what_no_report_has_is_none_of_its_files(child):
    assert keys.page_in(child) is None
    assert not keys.is_of_report(child)


def test_every_model_has_a_page_and_a_report_has_files_beside_them():
    assert all(map(keys.is_of_report, ["index.html", "report.json", "assets/report.css", "assets/report.js"]))
    assert len(keys.REPORT + keys.page(ModelKey("a" * 64, "B" * 100))) <= keys.MAX_KEY


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("gru/BTCEUR/20240816_142301/model.txt", "gru/BTCEUR"),
        ("gru/BTC;2FUSDT/latest.json", "gru/BTC;2FUSDT"),
        ("gru/BTCEUR/latest.history/0000000032.json", "gru/BTCEUR"),
        ("gru/20240816_142301/model.txt", "gru"),
        ("gru/latest.json", "gru"),
        ("gru/latest.history/0000000032.json", "gru"),
        ("_store.json", None),
        ("_index/blocks/0000000001.jsonl.gz", None),
        ("notes.txt", None),
        ("gru/b;74c/latest.json", None),
    ],
)
def test_an_object_is_stored_for_the_model_in_its_key(key, model):
    found = keys.model_of(key)
    assert (None if found is None else str(found)) == model


def test_a_file_may_lie_under_its_own_name_as_it_is_or_compressed():
    for name in ("model.txt", "model.txt.0123abcd", "model.txt.zst", "model.txt.zst.0123abcd"):
        assert keys.may_be_of(name, "model.txt")
    for name in ("model.txt.gz", "model.txt.zst.0123", "other.txt.zst"):
        assert not keys.may_be_of(name, "model.txt")
    assert keys.is_name_of("model.txt.zst", "model.txt", packed=True)
    assert not keys.is_name_of("model.txt.zst", "model.txt")
    assert not keys.is_name_of("model.txt", "model.txt", packed=True)


def test_the_notes_of_a_model_lie_below_one_prefix():
    model = ModelKey("gru", "BTC/USDT")
    assert keys.notes_of_model(model) == "_notes/gru/BTC;2FUSDT/"
    assert keys.notes_prefix(model, RunId("20240816_142301")).startswith(keys.notes_of_model(model))
    assert keys.notes_of_model(ModelKey("gru")) == "_notes/gru/"
