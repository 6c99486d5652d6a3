"""Symbols are the exchange's own, each has one spelling in keys, and no two share one on any platform."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.core import keys, symbols
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.portable import why_not_on_windows
from artifact_store.errors import InvalidName
from tests.cases import each
from tests.exchanges import SYMBOLS, WORDS

pytestmark = pytest.mark.windows

PLAIN = ["BTCEUR", "btc-eur", "BRK.B", "EUR_USD", "3M", "a" * 100, "20240816", "20240816_142301.X", "x.JSON", "latest"]
SPELLED = {
    "BTC/USDT": "BTC;2FUSDT",
    "BTC/USDT:USDT": "BTC;2FUSDT;3AUSDT",
    "EURUSD=X": "EURUSD;3DX",
    "^GSPC": ";5EGSPC",
    "NQ1!": "NQ1;21",
    "M&M.NS": "M;26M.NS",
    "Müller AG": "M;C3;BCller;20AG",
    "币安人生": ";E5;B8;81;E5;AE;89;E4;BA;BA;E7;94;9F",
    "a;2Fb": "a;3B2Fb",
    "%2e%2e": ";252e;252e",
    # what would be something else to a store
    "20240816_142301": ";320240816_142301",
    "20240816_142301_k3f8qz": ";320240816_142301_k3f8qz",
    "x.json": "x;2Ejson",
    "latest.history": "latest;2Ehistory",
    "_locks": ";5Flocks",
    # what would be something else to a platform
    "BF.": "BF;2E",
    "x..": "x.;2E",
    ".": ";2E",
    "..": ";2E;2E",
    ".json": ";2Ejson",
    "../x": ";2E.;2Fx",
    "-x": ";2Dx",
    "CON": ";43ON",
    "con": ";63on",
    "CON.DE": ";43ON.DE",
    "aux.json": "aux;2Ejson",
    "COM1": ";43OM1",
    "CON.": "CON;2E",
    "COM¹": "COM;C2;B9",
}


def test_a_symbol_of_plain_characters_is_its_own_spelling():
    for case in each(PLAIN):
        with case as symbol:
            assert symbols.check_symbol(symbol) == symbols.spelled(symbol) == symbols.unspelled(symbol) == symbol
            assert symbols.typed(symbol) == symbol


def test_every_other_one_is_escaped():
    for case in each(SPELLED.items()):
        with case as (symbol, spelled):
            assert ModelKey.spell(symbol) == spelled
            assert symbols.unspelled(spelled) == symbol


def is_a_folder_everywhere(name):
    return (
        why_not_on_windows(name) is None
        and re.fullmatch(r"[A-Za-z0-9;][A-Za-z0-9._;-]*", name) is not None
        and keys.run_in(f"{name}/") is None
        and keys.history_in(f"{name}/") is None
        and keys.alias_in(name) is None
    )


def test_no_two_of_many_share_a_spelling():
    assert len(set(SYMBOLS)) == len(SYMBOLS) == 500
    spelled = {symbols.spelled(symbol) for symbol in SYMBOLS}
    assert len({name.casefold() for name in spelled}) == 500
    assert all(is_a_folder_everywhere(name) for name in spelled)
    assert [symbols.unspelled(symbols.spelled(symbol)) for symbol in SYMBOLS] == list(SYMBOLS)


A_SYMBOL = st.one_of(
    st.text(min_size=1, max_size=20),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("".join),
    st.text(string.ascii_letters + "./_-:;=^!20240816_142301", min_size=1, max_size=40),
)


def is_symbol(text):
    try:
        return bool(symbols.check_symbol(text))
    except InvalidName:
        return False


@given(A_SYMBOL)
def test_any_symbol_has_one_spelling_that_every_platform_holds(symbol):
    if not is_symbol(symbol):
        return
    name = symbols.spelled(symbol)
    assert symbols.unspelled(name) == symbol
    assert is_a_folder_everywhere(name)
    assert len(name) <= symbols.MAX_SYMBOL
    assert keys.symbol_in(f"{name}/") == symbol
    key = ModelKey("gru", symbol)
    run = RunId("20240816_142301")
    assert keys.run_of(keys.data_file(key, run, "model.txt")) == (key, run, "model.txt")
    assert ModelKey.parse(("gru", symbol)) == ModelKey.parse(str(key)) == key


@given(st.text(string.hexdigits + ";./_-xX", min_size=1, max_size=12))
def test_only_its_own_spelling_is_read_as_a_symbol(name):
    symbol = symbols.unspelled(name)
    assert symbol is None or symbols.spelled(symbol) == name


@given(A_SYMBOL, A_SYMBOL)
def test_two_symbols_that_windows_would_merge_differ_by_case_only(one, other):
    if is_symbol(one) and is_symbol(other) and symbols.spelled(one).casefold() == symbols.spelled(other).casefold():
        assert one.casefold() == other.casefold()


@pytest.mark.parametrize(
    "name",
    ["", ";", "a;", "a;2", "a;2f", "a;ZZ", "a;41", "BTC;2F", ";2E.", "CON", "x.json", "x.", "20240816_142301", "a/b",
     ";FF", ";C0;AF", ";ED;A0;80", "a;0A", ";20x", "EURUSD=X", "a" * 101],
)  # fmt: skip
def test_what_spells_no_symbol_is_none(name):
    assert symbols.unspelled(name) is None or name == "BTC;2F"
    assert keys.symbol_in(name) is None


@pytest.mark.parametrize("symbol", [None, 3, b"BTC", ["BTC"]])
def test_a_symbol_is_text(symbol):
    with pytest.raises(InvalidName, match="not text"):
        symbols.check_symbol(symbol)


@pytest.mark.parametrize(
    ("symbol", "suggestion"),
    [
        ("", None), (" ", None), ("\n", None), ("BTC\n", "BTC"), (" BTC ", "BTC"), ("BTC\x00EUR", "BTCEUR"), ("\x7fa", "a"),
        ("\u202eBTC", "BTC"), ("BTC\u00a0EUR", "BTCEUR"), ("BTC\u200b", "BTC"), ("\ufeffBTC", "BTC"), ("\ud800", None),
        ("a\ud800", "a"), ("\U000e0041BTC", "BTC"), ("é" * 20 + "\n", None),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_refused_with_what_can(symbol, suggestion):
    with pytest.raises(InvalidName) as caught:
        symbols.check_symbol(symbol)
    assert caught.value.suggestion == suggestion
    assert "\n" not in str(caught.value)
    if suggestion is not None:
        assert symbols.check_symbol(suggestion) == suggestion


def test_what_is_too_long_is_refused_with_the_limit():
    assert symbols.check_symbol("/" * 33 + "a") == "/" * 33 + "a"
    for symbol, length in (("a" * 101, 101), ("/" * 34, 102), ("币" * 12, 108)):
        with pytest.raises(InvalidName, match=f"takes {length} characters in a key, and 100 are allowed") as caught:
            ModelKey("gru", symbol)
        assert caught.value.suggestion is None


@pytest.mark.parametrize(
    ("symbol", "children", "sibling"),
    [
        ("btceur", ["BTCEUR/"], "BTCEUR"),
        ("btc/usdt", ["ETHEUR/", "BTC;2FUSDT/"], "BTC/USDT"),
        ("con.de", [";43ON.DE/"], "CON.DE"),
        ("MÜLLER", ["m;C3;BCller/"], "müller"),
        ("Mu\u0308ller", ["M;C3;BCller/"], "Müller"),
    ],
)
def test_a_symbol_that_differs_by_case_only_is_told_which_one_is_there(symbol, children, sibling):
    with pytest.raises(InvalidName, match="is there, which differs by case only") as caught:
        symbols.check_symbol_twin(symbol, children)
    assert (caught.value.kind, caught.value.name, caught.value.suggestion) == ("symbol", symbol, sibling)


@pytest.mark.parametrize(
    ("symbol", "child"), [("latest.JSON", "latest.json"), ("20240816_142301_ABC", "20240816_142301_abc/")]
)
def test_a_symbol_that_windows_takes_for_something_else_is_refused(symbol, child):
    with pytest.raises(InvalidName, match="could not tell them apart"):
        symbols.check_symbol_twin(symbol, [child])


def test_other_symbols_are_no_twins():
    symbols.check_symbol_twin("btceur", ["BTCEUR", "btceur/", "ETHEUR/", "btceur.json", "BTCEUR;2F/", "b;74ceur/"])
    symbols.check_symbol_twin("BTC/USDT", ["BTC;2FUSDT/", "BTCUSDT/", "BTC;2fUSD/", "latest.json", "latest.history/"])


def test_a_listing_holds_symbols_in_their_spelling():
    assert keys.symbol_in("BTC;2FUSDT/") == "BTC/USDT"
    assert [keys.symbol_in(name) for name in ("BTC;2fUSDT/", "B;54C/", "20240816_142301/", "BTCEUR", ";/")] == [
        None
    ] * 5
    assert keys.model_in(["gru/", "EURUSD;3DX/"]) == ModelKey("gru", "EURUSD=X")
    assert keys.model_in(["gru/"]) == ModelKey("gru")
    assert [keys.model_in(folders) for folders in (["GRU/"], ["gru/", "B;54C/"], ["_locks/", "A/"])] == [None] * 3
    assert keys.run_of("gru/B;54C/20240816_142301/model.txt") is None


def test_a_model_is_stored_under_the_spelling_and_shown_as_it_is():
    key, run = ModelKey("gru", "BTC/USDT"), RunId("20240816_142301")
    assert (str(key), key.display_name, ModelKey("gru").display_name) == ("gru/BTC;2FUSDT", "gru/BTC/USDT", "gru")
    future = ModelKey("gru", "BTC/USDT:USDT")
    assert str(future) == "gru/BTC;2FUSDT:USDT"
    assert keys.manifest(future, run) == "gru/BTC;2FUSDT;3AUSDT/20240816_142301/manifest.json"
    assert keys.pointer(future, "latest") == "gru/BTC;2FUSDT;3AUSDT/latest.json"
    assert keys.history_block(future, "latest", 32) == "gru/BTC;2FUSDT;3AUSDT/latest.history/0000000032.json"
    assert keys.signatures_prefix(future, run) == "gru/BTC;2FUSDT;3AUSDT/20240816_142301/_signatures/"
