"""Symbols as exchanges spell them, on every backend: each under a name of its own, and the same when it is read."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from artifact_store import ModelKey, RunRef, errors
from artifact_store.core import keys
from artifact_store.core.names import RunId
from artifact_store.ops import opening
from artifact_store.storage.base import IfAbsent, IfVersion
from tests.exchanges import SYMBOLS
from tests.keys import public, signer, strict

pytestmark = pytest.mark.windows

RUN = RunId("20240816_142301")
SOME = ["BTC/USDT:USDT", "EURUSD=X", "CON.DE", "Müller AG", "20240816_142301"]


def test_five_hundred_symbols_are_five_hundred_folders(store):
    """By the keys alone: each object is written under a condition, read, and found again in listings."""
    opening.ensure_open(store._context)
    backend = store._context.backend

    def write(symbol):
        where = keys.manifest(ModelKey("gru", symbol), RUN)
        backend.write(where, symbol.encode(), when=IfAbsent())
        with pytest.raises(errors.PreconditionFailed):
            backend.write(where, b"another", when=IfAbsent())
        found = backend.read(where, limit=1000)
        backend.write(where, found.data, when=IfVersion(found.version))
        return found.data.decode()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, SYMBOLS)) == list(SYMBOLS)
    names = list(backend.children("gru/"))
    assert sorted(map(keys.symbol_in, names)) == sorted(SYMBOLS)
    assert len({name.casefold() for name in names}) == 500
    listed = [keys.run_of(entry.key) for entry in backend.list("gru/")]
    assert sorted(key.symbol for key, _, _ in listed) == sorted(SYMBOLS)
    assert {(run, name) for _, run, name in listed} == {(RUN, "manifest.json")}
    assert [key.symbol for key in store.models()] == sorted(SYMBOLS, key=lambda symbol: str(ModelKey("gru", symbol)))


@pytest.mark.parametrize("symbol", SOME)
def test_a_symbol_goes_the_whole_way(store, open_store, symbol):
    first = store.save({"n": 1}, ("gru", symbol), run_id="20240101_000000")
    second = store.save({"n": 2}, ModelKey("gru", symbol), components={"report": b"text"})
    ref = f"{first.key}@latest"
    other = open_store()
    assert other.models() == [ModelKey("gru", symbol)]
    assert other.load(ref) == other.load(("gru", symbol)) == {"n": 2}
    assert other.get(str(second.ref)) == second
    assert other.get(f"{first.key}:20240101") == first
    assert [run.run_id for run in other.runs(("gru", symbol))] == [second.run_id, first.run_id]
    assert store.rollback(ref).symbol == symbol
    assert [entry.run_id for entry in other.history(ref)] == [first.run_id, second.run_id, first.run_id]
    assert other.verify(str(first.key)).ok
    assert list(other.aliases(("gru", symbol))) == ["latest"]
    worse = {found.code for found in other.doctor(probes=False) if found.severity in {"error", "warning"}}
    assert worse <= {"lifecycle"}  # which is about the bucket
    with second.open("metadata.json") as file:
        assert json.loads(file.read())["symbol"] == second.manifest.symbol == symbol
    assert second.manifest.to_json()["must_understand"] == ["symbols"]
    assert second.url().endswith(f"/gru/{ModelKey.spell(symbol)}/{second.run_id}")
    store.delete(str(second.ref)).apply()
    assert store.undelete(second.ref) == second
    store.delete(str(second.ref)).apply()
    store.gc(grace=timedelta(0)).apply()
    with pytest.raises(errors.RunDeleted, match="20240101|gone"):
        other.get(str(second.ref))
    assert other.load(ref) == {"n": 1}


def test_a_symbol_is_signed_and_seen(open_store, tmp_path):
    store = open_store(signer=signer())
    run = store.save({"n": 1}, ("gru", "BTC/USDT"))
    reader = open_store(policy=strict(), state=tmp_path / "state")
    assert reader.load(("gru", "BTC/USDT")) == {"n": 1}
    assert reader.load(str(run.ref)) == {"n": 1}
    assert reader.verify(keys=[public()]).ok


def test_a_symbol_that_differs_by_case_only_is_refused_by_name(store):
    store.save({"n": 1}, ("gru", "BTC/USDT"))
    store.save({"n": 1}, ("gru", "CON"))
    for symbol, there in (("btc/usdt", "BTC/USDT"), ("con", "CON")):
        with pytest.raises(errors.InvalidName, match=f"'{there}' is there, which differs by case only"):
            store.save({"n": 2}, ("gru", symbol))
    assert store.models() == [ModelKey("gru", "BTC/USDT"), ModelKey("gru", "CON")]
    store.save({"n": 2}, ("ppo", "btc/usdt"))


def test_folders_that_spell_no_symbol_are_no_models_and_belong_to_nobody(store):
    store.save({"n": 1}, ("gru", "BTC/USDT"))
    backend = store._context.backend
    strangers = ["gru/ETH;2fUSDT/20240101_000000/manifest.json", "gru/;42TC/latest.json", "gru/;FF/latest.json"]
    for key in strangers:
        backend.write(key, b"{}", when=IfAbsent())
    assert store.models() == [ModelKey("gru", "BTC/USDT")]
    found = [finding for finding in store.doctor(probes=False) if finding.code == "foreign-object"]
    assert len(found) == len(strangers)
    plan = store.gc(grace=timedelta(0))
    assert not plan.changes
    assert {entry.key for entry in backend.list("gru/")} >= set(strangers)


def test_what_is_written_of_other_symbols_is_what_it_was(store):
    run = store.save({"n": 1}, "gru/BTCEUR")
    for key in (keys.manifest(run.key, run.run_id), keys.pointer(run.key, "latest")):
        assert b"must_understand" not in store._context.backend.read(key, limit=1 << 20).data


def test_what_a_newer_release_wrote_is_refused_by_name_and_left_alone(store):
    from tests.unit.samples import resealed

    run = store.save({"n": 1}, "gru/BTCEUR", run_id="20240101_000000")
    backend, where = store._context.backend, keys.pointer(run.key, "latest")
    blob = backend.read(where, limit=1 << 20)
    newer = resealed(json.loads(blob.data) | {"must_understand": ["symbols", "holograms"]})
    backend.write(where, newer, when=IfVersion(blob.version))
    for refused in (store.load, store.history, store.rollback, lambda key: store.save({"n": 2}, key)):
        with pytest.raises(errors.FormatUnsupported, match="'holograms': upgrade artifact-store"):
            refused("gru/BTCEUR")
    assert "format-too-new" in store.doctor(probes=False).codes
    assert not store.doctor(probes=False).repair(quarantine=True).changes
    assert backend.read(where, limit=1 << 20).data == newer
    assert store.load(str(RunRef(run.key, None, run.run_id))) == {"n": 1}


def test_a_store_can_be_asked_before_the_work(store):
    assert not store.exists()
    store.check_writable(("gru", "BTC/USDT"))
    assert store.exists()
    assert store.models() == []
    store.save({"n": 1}, ("gru", "BTC/USDT"))
    with pytest.raises(errors.InvalidName, match="differs by case only"):
        store.check_writable(("gru", "btc/usdt"))
    with pytest.raises(errors.InvalidName, match="100 are allowed"):
        store.check_writable(("gru", "x" * 101))
    backend = store._context.backend
    where = keys.pointer(ModelKey("gru", "BTC/USDT"), "latest")
    backend.write(where, b"{}", when=IfVersion(backend.read(where, limit=1 << 20).version))
    with pytest.raises(errors.Corrupt):
        store.check_writable(("gru", "BTC/USDT"))
    assert not list(backend.children(keys.PROBES))
    marker = backend.read(keys.STORE_MARKER, limit=1 << 20)
    backend.write(keys.STORE_MARKER, b"no marker", when=IfVersion(marker.version))
    assert store.exists()
