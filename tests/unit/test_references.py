"""What people type means one run: every reference comes back as it was, and what is none gets advice that works."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artifact_store.core import keys
from artifact_store.core.names import ModelKey, check_alias
from artifact_store.core.references import Location, RunRef, has_selector
from artifact_store.errors import InvalidName, InvalidReference
from tests.cases import each
from tests.exchanges import SYMBOLS, WORDS
from tests.unit.test_symbols import A_SYMBOL, is_symbol

pytestmark = pytest.mark.windows

RUN = "20240816_142301_k3f8qz"
TYPES = ["gru", "lightgbm"]


@pytest.mark.parametrize(
    "text",
    ["gru/BTCEUR@latest", "gru@production", "gru/BTCEUR:20240816_142301", "gru:20240816_142301_abc", "gru/X:20240816",
     "gru/X:20240816_1423", "gru/X:20240816_", "gru/X:20240816_142301_", "gru/EURUSD=X@latest", "gru/^GSPC@latest",
     "gru/BTC;2FUSDT:USDT@best", "gru/C:EURUSD:20240816", "gru/X::20240816", "gru/X:2024:20240816", "gru/M&M.NS@latest"],
)  # fmt: skip
def test_a_reference_comes_back_as_it_was_written(text):
    assert str(RunRef.parse(text)) == text
    assert RunRef.parse(RunRef.parse(text)) == RunRef.parse(text)


def test_that_of_every_symbol_means_it():
    for case in each(SYMBOLS):
        with case as symbol:
            key = ModelKey("gru", symbol)
            for ref in (RunRef(key), RunRef(key, "best_wf"), RunRef(key, None, "20240816"), RunRef(key, None, RUN)):
                assert RunRef.parse(str(ref)) == ref
                assert has_selector(str(ref))
            assert ModelKey.parse(str(key)) == key
            assert not has_selector(str(key))


@given(A_SYMBOL)
def test_that_of_any_symbol_means_it(symbol):
    if is_symbol(symbol):
        for ref in (RunRef(ModelKey("gru", symbol)), RunRef(ModelKey("gru", symbol), None, RUN)):
            assert RunRef.parse(str(ref)) == ref


def test_the_symbol_is_raw_but_for_three_characters_and_the_colon_of_a_run():
    raw = {symbol for symbol in SYMBOLS if str(ModelKey("gru", symbol)) == f"gru/{symbol}"}
    assert all(set(symbol) & set("/@;") or symbol.startswith("X:2024") for symbol in set(SYMBOLS) - raw)
    assert str(ModelKey("gru", "a/b@c;d:20240816:e")) == "gru/a;2Fb;40c;3Bd:20240816:e"
    assert str(ModelKey("gru", "X:20240816_x")) == "gru/X;3A20240816_x"


@pytest.mark.parametrize(
    ("text", "symbol", "run"),
    [
        ("gru/X:20240816", "X", "20240816"),
        ("gru/X:20240816_14", "X", "20240816_14"),
        ("gru/X:2024", "X:2024", None),
        ("gru/X:2024081", "X:2024081", None),
        ("gru/X:202408160", "X:202408160", None),
        ("gru/X:20240816x", "X:20240816x", None),
        ("gru/BTC;2FUSDT:USDT", "BTC/USDT:USDT", None),
        ("gru/BTC;2FUSDT;3AUSDT", "BTC/USDT:USDT", None),
        ("gru/X;3A20240816", "X:20240816", None),
        ("gru/a;3B2Fb", "a;2Fb", None),
        ("gru/%2e%2e", "%2e%2e", None),
        ("gru/X:２０２４０８１６_142301", "X:２０２４０８１６_142301", None),
    ],
)
def test_a_colon_selects_a_run_before_a_whole_date_only(text, symbol, run):
    ref = RunRef.parse(text)
    assert (ref.key.symbol, ref.run) == (symbol, run)


def test_a_key_alone_means_latest():
    assert RunRef.parse("gru/BTCEUR") == RunRef(ModelKey("gru", "BTCEUR"), "latest")
    assert RunRef.parse(ModelKey("gru")) == RunRef.parse("gru@latest")
    assert RunRef.parse(("gru", "BTC/USDT")) == RunRef(ModelKey("gru", "BTC/USDT"))
    assert [has_selector(ref) for ref in ("gru", "gru/C:X", ("gru", "X@y"), ModelKey("gru"))] == [False] * 4
    assert [has_selector(ref) for ref in ("gru@x", "gru/X:20240816", RunRef(ModelKey("gru")))] == [True] * 3


def test_only_a_full_run_id_is_one():
    assert RunRef.parse("gru:20240816_142301").run_id == "20240816_142301"
    assert RunRef.parse("gru:20240816").run_id is None
    assert RunRef.parse("gru@latest").run_id is None


def test_a_type_in_upper_case_is_told_from_a_symbol_without_a_type():
    with pytest.raises(InvalidReference) as caught:
        RunRef.parse("LightGBM/EUR/USD@best")
    assert "If LightGBM is the type, write 'lightgbm/EUR;2FUSD@best'" in str(caught.value)
    assert str(RunRef.parse("lightgbm/EUR;2FUSD@best")) == "lightgbm/EUR;2FUSD@best"
    assert caught.value.suggestion == "lightgbm/LightGBM;2FEUR;2FUSD@best"


def test_a_reference_in_the_place_of_an_alias_leads_to_its_alias():
    with pytest.raises(InvalidName, match="the alias alone is asked for") as caught:
        check_alias("gru/BTCEUR@production")
    assert caught.value.suggestion == "production"
    for text in ("gru/BTCEUR@", "@Best", "gru/X@Best"):
        with pytest.raises(InvalidName, match="use a-z"):
            check_alias(text)


@pytest.mark.parametrize("run", ["2024", "2024081", "x", "", "202408160", "20240816_1423011", "20240816_142301_A"])
def test_the_beginning_of_a_run_id_has_its_whole_date(run):
    with pytest.raises(InvalidReference, match="with its whole date"):
        RunRef(ModelKey("gru"), None, run)


ADVICE = {
    "gru/BTC/USDT": "gru/BTC;2FUSDT",
    "gru/BTC/USDT:USDT": "gru/BTC;2FUSDT:USDT",
    "gru/BTC/USDT:USDT@best": "gru/BTC;2FUSDT:USDT@best",
    f"gru/BTC/USDT:{RUN}": f"gru/BTC;2FUSDT:{RUN}",
    "gru/EURUSD/latest": "gru/EURUSD@latest",
    f"gru/EURUSD/{RUN}": f"gru/EURUSD:{RUN}",
    "gru/BTC/USDT/latest": "gru/BTC;2FUSDT@latest",
    "gru/BTC/USDT/20240816_142301": "gru/BTC;2FUSDT:20240816_142301",
    "gru//latest": "gru/latest",
    "gru//a/b": "gru/a;2Fb",
    "gru//": "gru",
    "gru///@best": "gru@best",
    "BTC/USDT": "lightgbm/BTC;2FUSDT",
    "eUR/USD@best": "lightgbm/eUR;2FUSD@best",
    "BINANCE:BTCUSDT": "lightgbm/BINANCE:BTCUSDT",
    "gru:EURUSD": "gru/EURUSD",
    "gru:2024": None,
    "gru/@107": "gru/;40107",
    "gru/@107@latest": "gru/;40107@latest",
    "gru/X@a@b": "gru/X;40a@b",
    "gru/X:20240816@best": "gru/X;3A20240816@best",
    "gru/X@": "gru/X;40",
    "gru/a;b": "gru/a;3Bb",
    "gru\\EURUSD": "gru/EURUSD",
    "gru\\BTC/USDT:USDT@best": "gru/BTC;2FUSDT:USDT@best",
    "gru\\": "gru",
    "gru/": "gru",
    "/gru": "gru",
    "/gru/": "gru",
    "/gru/EURUSD@best": "gru/EURUSD@best",
    "gru/@latest": "gru@latest",
    "gru/EURUSD/": "gru/EURUSD",
    f"gru/EURUSD/:{RUN}": f"gru/EURUSD:{RUN}",
    "gru/a;2f": "gru/a;2F",
    "gru/a;FF": "gru/a;3BFF",
    "gru/BTC;2FUSDT;x@best": "gru/BTC;2FUSDT;3Bx@best",
    "gru/BTC/;/x": "gru/BTC;2F;3B;2Fx",
    "gru/BTC;2FUSDT/a@b@best": "gru/BTC;2FUSDT;2Fa;40b@best",
    "gru/X;3BY@a@b": "gru/X;3BY;40a@b",
    "gru/" + "x/" * 60: None,
    "./store/models/gru/EURUSD": "gru/EURUSD",
    "../models/gru/EURUSD@best": "gru/EURUSD@best",
    f"~/models/gru/EURUSD/{RUN}/model.pth": f"gru/EURUSD:{RUN}",
    f"/data/models/gru/EURUSD/{RUN}": f"gru/EURUSD:{RUN}",
    "s3://bucket/models/gru/EURUSD": "gru/EURUSD",
    "./EURUSD": "lightgbm/EURUSD",
    f"./{RUN}": None,
}


@pytest.mark.parametrize(("text", "advice"), ADVICE.items())
def test_what_is_no_reference_gets_the_one_that_was_meant(text, advice):
    with pytest.raises(InvalidReference) as caught:
        RunRef.parse(text)
    assert caught.value.suggestion == advice
    if advice is not None:
        assert str(RunRef.parse(advice)).startswith(advice)


def test_a_path_in_the_place_of_a_reference_is_told_from_one():
    with pytest.raises(InvalidReference, match="is a path or URL: give the store's to ArtifactStore"):
        RunRef.parse("./store/models/gru/EURUSD")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("gru/X@latest", "gru/X"),
        (f"gru/X:{RUN}", "gru/X"),
        ("gru/@107", "gru/;40107"),
        ("gru/X/latest", "gru/X@latest"),
    ],
)
def test_a_model_is_named_without_a_run(text, advice):
    with pytest.raises(InvalidReference) as caught:
        ModelKey.parse(text)
    assert caught.value.suggestion == advice


@pytest.mark.parametrize(
    "text", ["", "@latest", "gru@", "gru:", "gru/@latest", "gru@A", "gru/", "GRU", "../x", "gru/a\nb"]
)
def test_other_references_are_refused(text):
    with pytest.raises((InvalidReference, InvalidName)):
        RunRef.parse(text)


@pytest.mark.parametrize("alias", ["Latest", "LATEST", "best wf", "Modèle", "manifest", "con", "x" * 80])
def test_an_alias_that_can_be_mended_is(alias):
    with pytest.raises(InvalidName) as caught:
        RunRef.parse(f"gru/X@{alias}")
    assert RunRef.parse(f"gru/X@{caught.value.suggestion}").alias == caught.value.suggestion


@pytest.mark.parametrize("thing", [None, 3, b"gru", ("gru",), ("gru", "X", "latest")])
def test_a_reference_that_is_no_text_is_refused(thing):
    with pytest.raises(InvalidReference, match="text such as"):
        RunRef.parse(thing)
    with pytest.raises(InvalidReference, match="text such as"):
        ModelKey.parse(thing)


def test_a_reference_has_an_alias_or_a_run_and_never_both():
    with pytest.raises(InvalidReference, match="either"):
        RunRef(ModelKey("gru"), "latest", "20240816_142301")
    with pytest.raises(InvalidReference, match="either"):
        RunRef(ModelKey("gru"), None)


A_TEXT = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from([*WORDS, "gru/", "gru", "GRU", "20240816"]), max_size=8).map("".join),
    st.lists(st.sampled_from(WORDS), max_size=5).map(lambda words: "gru/" + "".join(words)),
)


@given(A_TEXT)
@example("0:00000000_:")
def test_any_text_is_a_reference_or_an_error_whose_advice_is_taken(text):
    try:
        ref = RunRef.parse(text)
    except InvalidReference as error:
        if error.suggestion is not None:
            RunRef.parse(error.suggestion)
        return
    except InvalidName as error:
        if error.suggestion is not None:
            RunRef.parse(f"gru/X@{error.suggestion}" if error.kind != "symbol" else ("gru", error.suggestion))
        return
    assert RunRef.parse(str(ref)) == ref


# ---------------------------------------------------------------- paths


def test_a_path_holds_a_symbol_as_keys_do_and_as_people_type_it():
    typed = {str(ModelKey("gru", symbol)).removeprefix("gru/"): symbol for symbol in SYMBOLS}
    names = {ModelKey.spell(symbol): symbol for symbol in SYMBOLS} | typed
    clear = [name for name in names if name != "latest" and not keys.run_in(f"{name}/")]
    assert len(clear) > len(SYMBOLS)  # behind a type the others mean something else
    for case in each(clear):
        with case as name:
            key = ModelKey("gru", names[name])
            for run in (None, RUN):
                found = Location.parse(f"s3://bucket/models/gru/{name}" + ("" if run is None else f"/{run}"), TYPES)
                assert found == Location("s3://bucket/models", key, None, run)
            assert Location.parse(f"s3://bucket/models/gru/{name}@best", TYPES).ref() == RunRef(key, "best")
            assert Location.parse(f"s3://bucket/models/gru/{name}:{RUN}", TYPES).ref() == RunRef(key, None, RUN)


def test_a_path_may_end_in_a_type_a_run_or_an_alias():
    for text, root, rest in [
        ("store/gru/X", "store", "gru/X@latest"),
        (Path("store/gru/X/best"), "store", "gru/X@best"),
        ("gru/X", ".", "gru/X@latest"),
        ("./gru", ".", "gru@latest"),
        ("store/gru/latest", "store", "gru@latest"),
        (f"old/gru/X/gru/{RUN}", "old", f"gru/X:{RUN}"),
        ("store/gru/C:EURUSD", "store", "gru/C:EURUSD@latest"),
        ("file:///data/models/gru/X", "file:///data/models", "gru/X@latest"),
        ("/gru/X", str(Path("/")), "gru/X@latest"),
    ]:
        found = Location.parse(text, TYPES)
        assert (found.root, str(found.ref())) == (root, rest)


@pytest.mark.parametrize("text", ["store", "", "s3://gru/X", "store/gru/BTC/USDT", "store/other/X", "/data/models@v2"])
def test_a_path_that_names_no_model_is_a_root(text):
    found = Location.parse(text, TYPES)
    assert (found.key, found.alias, found.run) == (None, None, None)
    with pytest.raises(InvalidReference, match="';2F'"):
        found.ref()


def test_a_location_tells_a_url_from_a_path():
    for text in ("s3://bucket/models/gru/BTCEUR", "memory://x", "file:///srv/models", "az://c"):
        assert Location.parse(text, ["gru"]).is_url, text
    for text in (".", "models/gru/BTCEUR", "/srv/models", "~/models", "C:/models", "a:b", "./x://y", "c://models"):
        assert not Location.parse(text, ["gru"]).is_url, text
