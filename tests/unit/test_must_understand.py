"""What a reader has to know stands in each document that needs it; who does not know it says so, and never "damaged"."""

import json

import pytest

from artifact_store.canonical import canonical, checksum
from artifact_store.core.documents import UNDERSTOOD, check_format
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.origin import Origin
from artifact_store.core.pointer import HistoryBlock, Pointer, PublishInfo, advance
from artifact_store.core.store_record import StoreRecord
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import Corrupt, FormatTooNew, FormatUnsupported, RunDeleted, Unsupported
from artifact_store.ops.last_seen import SeenAlias, SeenStore
from tests.cases import each
from tests.unit.samples import NOW, manifest, resealed

NOTE = PublishInfo(write_id="b" * 32, at=NOW, by="us")


def documents(symbol):
    """One document of every kind that names its symbol."""
    run = manifest(symbol=symbol)
    key = ModelKey("gru", symbol)
    step = first = advance(None, key, "latest", run, NOTE)
    while not step.blocks:
        step = advance(step.pointer, key, "latest", run, NOTE)
    stone = Tombstone.mark(run, NOTE)
    origin = Origin(
        model_type="gru",
        symbol=symbol,
        run_id=run.run_id,
        store_id="f" * 32,
        origin=run.store_id,
        manifest_sha256=run.digest,
        at=NOW,
        by="us",
    )
    never = Tombstone.never_committed(key, RunId("20240101_000000"), NOTE)
    return [run, first.pointer, step.pointer, *step.blocks, origin, stone, stone.sealed(NOTE), never]


EVERY = [
    *documents("BTCEUR"),
    StoreRecord(store_id="f" * 32, created_at=NOW, concurrency="safe"),
    SeenStore(url="s3://bucket/models", store_id="f" * 32),
    SeenAlias(store_id="f" * 32, ref="gru/BTC;2FUSDT@latest", seq=3, write_id="a" * 32),
]


@pytest.mark.parametrize("symbol", [None, "BTCEUR", "BRK.B", "20240816"])
def test_documents_of_symbols_of_always_are_what_they_were(symbol):
    for document in documents(symbol):
        assert "must_understand" not in document.to_json()


@pytest.mark.parametrize("symbol", ["BTC/USDT", "EURUSD=X", "CON.DE", "BF.", "20240816_142301"])
def test_a_symbol_that_is_escaped_has_to_be_understood(symbol):
    for document in documents(symbol):
        value = json.loads(document.to_bytes())
        assert value["must_understand"] == ["symbols"]
        assert value["symbol"] == symbol
        again = type(document).from_bytes(document.to_bytes(), what="it")
        assert again == document
        assert again.symbol == symbol


def test_what_is_inside_of_a_document_has_to_be_understood_as_well():
    run, pointer, *_, sealed, _ = documents("BTC/USDT")
    assert pointer.embedded("it") == sealed.restored() == run
    strange = json.loads(run.to_bytes()) | {"must_understand": ["symbols", "unheard-of"]}
    strange = json.loads(resealed(strange))
    holder = advance(None, ModelKey("gru", "BTC/USDT"), "latest", Manifest.from_json(strange, what="it"), NOTE).pointer
    assert Pointer.from_bytes(holder.to_bytes(), what="it") == holder
    with pytest.raises(FormatUnsupported, match="'unheard-of'"):
        holder.embedded("it")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"symbol": 3, "store_id": [], "seq": "x"},
        {"kind": "unheard-of"},
        {"symbol": "a\nb", "format": "1.9"},
    ],
)
def test_what_is_not_known_is_told_by_name_before_anything_else_is_judged(more):
    for case in each(EVERY):
        with case as document:
            data = resealed(
                json.loads(document.to_bytes()) | {"must_understand": ["symbols", "holograms", "a\nb"]} | more
            )
            with pytest.raises(
                FormatUnsupported, match=r"knows 'holograms', 'a\\nb': upgrade artifact-store"
            ) as caught:
                type(document).from_bytes(data, what="it")
            assert caught.value.names == ("holograms", "a\nb")
            assert not isinstance(caught.value, Corrupt)


@pytest.mark.parametrize("names", ["symbols", None, 3, {"symbols": 1}, [3], ["symbols", None]])
def test_what_is_no_list_of_names_is_damaged(names):
    for case in each(EVERY):
        with case as document:
            value = json.loads(document.to_bytes()) | {"must_understand": names}
            with pytest.raises(Corrupt, match="must understand"):
                type(document).from_bytes(canonical(value | {"checksum": checksum(value)}), what="it")


@pytest.mark.parametrize("kind", [Manifest, Pointer, HistoryBlock, Tombstone])
def test_a_document_that_was_changed_is_damaged_whatever_it_says(kind):
    document = next(each for each in EVERY if type(each) is kind)
    value = json.loads(document.to_bytes()) | {"must_understand": ["holograms"]}
    with pytest.raises(Corrupt):
        kind.from_bytes(canonical(value), what="it")


def test_names_that_are_known_are_read_wherever_they_stand():
    for names in ([], ["symbols"], sorted(UNDERSTOOD)):
        check_format({"format": "1.0", "kind": "run", "must_understand": names}, kind="run", what="it")


def test_the_major_format_comes_first_and_a_tombstone_last():
    with pytest.raises(FormatTooNew):
        check_format({"format": "2.0", "must_understand": ["x"]}, kind="run", what="it")
    with pytest.raises(FormatUnsupported):
        check_format({"format": "1.0", "kind": "tombstone", "must_understand": ["x"]}, kind="run", what="it")
    with pytest.raises(RunDeleted):
        check_format({"format": "1.0", "kind": "tombstone", "must_understand": ["symbols"]}, kind="run", what="it")
    assert issubclass(FormatTooNew, FormatUnsupported)
    assert issubclass(FormatUnsupported, Unsupported)
