"""``FORMAT.md`` is enough: a second implementation, made from it, reads what the library writes, and the other way."""

import ast
import json
import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from artifact_store import ArtifactStore, FeatureSchema, ModelKey, errors
from tests import format_reader
from tests.cases import each
from tests.exchanges import SYMBOLS
from tests.format_reader import Refused, Store
from tests.keys import public, signer, strict

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the other implementation is one for POSIX systems")

KEY, PLAIN = "gru/BTCEUR", "report"
NOW = "2026-01-01T12:00:00.000000Z"
NONE = timedelta(0)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store", signer=signer())


@pytest.fixture
def other(store, tmp_path):
    """The same folder, in the hands of the other implementation."""
    store.save({"weights": [1.5, 2]}, KEY, features=FeatureSchema(["a", "b"]), run_id="20240101_000000")
    store.save(
        {"weights": [1e-9]}, KEY, metrics={"loss": float("nan")}, tags={"é": "ü"}, components={"rest": b"\0" * 9}
    )
    store.save({"n": 1}, PLAIN, alias="best")
    return Store(tmp_path / "store")


def test_the_other_implementation_knows_nothing_of_the_library():
    tree = ast.parse(Path(format_reader.__file__).read_text(encoding="utf-8"))
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {name.partition(".")[0] for name in froms | plain} == {
        *("__future__", "base64", "fcntl", "hashlib", "json", "os", "re", "uuid", "pathlib", "typing"),
        "cryptography",
        *("compression", "backports"),
    }


def test_it_finds_what_is_there(other, store):
    assert other.models() == [KEY, PLAIN] == [str(key) for key in store.models()]
    assert other.aliases(KEY) == ["latest"]
    assert other.aliases(PLAIN) == ["best"]
    assert other.runs(KEY) == sorted(str(run.run_id) for run in store.runs(KEY))


@pytest.mark.parametrize("symbol", ["BTC/USDT:USDT", "EURUSD=X", "CON.DE", "BF.", "Müller AG", "20240816_142301"])
def test_each_takes_the_symbols_of_the_other(other, store, symbol):
    run = store.save({"n": 1}, ("gru", symbol))
    key = f"gru/{symbol}"
    assert key in other.models()
    assert other.runs(key) == [run.run_id]
    manifest = other.named(key, "latest")
    assert json.loads(other.files(manifest)["model.json"]) == {"n": 1}
    other.check_run(manifest, public().pem)
    about = {name: manifest[name] for name in ("components", "publish")}
    other.save(key, "20990101_000000", {"model.json": b'{"n":2}', "metadata.json": b"{}"}, about, NOW)
    other.publish(key, "latest", "20990101_000000", NOW)
    assert store.load(("gru", symbol)) == {"n": 2}
    assert [str(model) for model in store.models()].count(str(run.key)) == 1
    assert store.verify(str(run.key)).ok


def test_both_spell_every_symbol_alike():
    for case in each(SYMBOLS):
        with case as symbol:
            assert format_reader.spelled(symbol) == ModelKey.spell(symbol)
            assert format_reader.unspelled(ModelKey.spell(symbol)) == symbol


def test_it_reads_files_with_the_names_of_people(other, store, tmp_path):
    names = ["Modell (März).json", "重み/-1.bin", "a;28", "plain.txt"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name, encoding="utf-8")
    store.save(tmp_path / "in", "gru/NAMES")
    manifest = other.named("gru/NAMES", "latest")
    found = {path: data.decode() for path, data in other.files(manifest).items() if path != "metadata.json"}
    assert found == {f"model.dir/{name}": name for name in names}


def test_it_reads_files_that_are_stored_as_frames_of_zstd(other, store, tmp_path):
    text = "".join(f"leaf {n / 7}\n" for n in range(5000)).encode()
    with ArtifactStore(store.url, signer=signer(), compression="zstd") as packing:
        packing.save(text, "gru/PACKED", components={"small": b"a"})
    manifest = other.named("gru/PACKED", "latest")
    files = other.files(manifest)
    assert (files["model.bin"], files["small.bin"]) == (text, b"a")
    other.check_run(manifest, public().pem)
    (place,) = (other.root / "gru" / "PACKED" / manifest["run_id"]).glob("model.bin.zst")
    place.chmod(0o600)
    place.write_bytes(place.read_bytes() + b"x")
    with pytest.raises(Refused):
        other.files(manifest)


def test_both_refuse_what_a_newer_release_wrote(other, store):
    place = other.root / KEY / "latest.json"
    value = json.loads(place.read_bytes()) | {"must_understand": ["holograms"]}
    place.write_bytes(format_reader.canonical(format_reader.sealed(value)))
    with pytest.raises(Refused, match="not known here"):
        other.pointer(KEY, "latest")
    with pytest.raises(errors.FormatUnsupported, match="holograms"):
        store.get(KEY)


def test_it_resolves_latest_and_compares_every_byte(other, store):
    run = store.get(KEY)
    manifest = other.named(KEY, "latest")
    assert manifest["run_id"] == run.run_id
    files = other.files(manifest)
    assert files.keys() == run.files.keys()
    assert json.loads(files["model.json"]) == {"weights": [1e-9]}
    assert json.loads(files["metadata.json"]) == run.metadata
    place = other.root / KEY / str(run.run_id) / "model.json"
    place.chmod(0o600)
    place.write_bytes(place.read_bytes().replace(b"1e-09", b"1e-08"))
    with pytest.raises(Refused, match="was changed"):
        other.files(manifest)


def test_it_knows_where_a_run_comes_from(other, store, tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.csv").write_text("1\n", encoding="utf-8")
    (tmp_path / "data" / "deep" / "é.csv").write_text("2\n", encoding="utf-8")
    parent = store.get(KEY)
    data = {"all": tmp_path / "data", "one": tmp_path / "data" / "a.csv"}
    store.save({"weights": [2]}, KEY, parent=parent, data=data, description="tuned")
    manifest = other.named(KEY, "latest")
    assert manifest["data"] == {name: format_reader.digest_of(path) for name, path in data.items()}
    assert manifest["parent"] == {
        "ref": f"{KEY}:{parent.run_id}",
        "store_id": other.id,
        "manifest_sha256": format_reader.sha256(format_reader.canonical(other.manifest(KEY, parent.run_id))),
    }
    assert manifest["description"] == "tuned"


@pytest.mark.parametrize("key", [KEY, PLAIN, "gru/BTC/USDT"])
def test_each_takes_the_notes_of_the_other(other, store, key):
    run = store.save({"n": 1}, ("gru", "BTC/USDT") if key == "gru/BTC/USDT" else key)
    manifest = other.manifest(key, run.run_id)
    assert other.may_be_traded(manifest)
    run.annotate(do_not_trade=True, metrics={"live": 0.5}, reason="é")
    assert [note["metrics"] for note in other.notes(manifest)] == [{"live": 0.5}]
    assert not other.may_be_traded(manifest)
    other.annotate(manifest, {"lifts": [other.notes(manifest)[0]["write_id"]], "tags": {"by": "other"}}, NOW)
    assert run.notes().is_tradable
    assert run.notes().tags == {"by": "other"}
    assert other.may_be_traded(manifest)
    assert not other.may_be_traded(manifest, public().pem)
    owner = ArtifactStore(other.root, policy=strict(), signer=signer())
    assert not owner.get(run.ref).notes().is_tradable
    owner.get(run.ref).annotate(do_not_trade=False)
    assert owner.get(run.ref).notes().is_tradable
    assert other.may_be_traded(manifest, public().pem)


@pytest.mark.parametrize("name", ["_store.json", "gru/BTCEUR/latest.json", "gru/BTCEUR/20240101_000000/manifest.json"])
def test_it_refuses_what_was_changed(other, name):
    place = other.root / name
    place.write_bytes(place.read_bytes().replace(b'"1.0"', b'"1.1"'))
    with pytest.raises(Refused, match="changed after"):
        document = place.read_bytes()
        format_reader.document(document, "store", "pointer", "run")


def test_it_tells_the_whole_history_and_believes_no_changed_part(other, store):
    for number in range(100):
        store.promote(f"{KEY}:20240101_000000", "latest", reason=f"no {number}")
    told = other.history(KEY, "latest")
    assert [(entry["seq"], entry["run_id"], entry["reason"]) for entry in told] == [
        (entry.seq, entry.run_id, entry.reason) for entry in store.history(KEY)
    ]
    assert len(told) == 102
    place = other.root / KEY / "latest.history" / "0000000032.json"
    value = json.loads(place.read_bytes())
    value["entries"][0]["by"] = "nobody"
    place.write_bytes(format_reader.canonical(format_reader.sealed(value)))
    with pytest.raises(Refused, match="archive was changed"):
        other.history(KEY, "latest")


def test_it_knows_a_tombstone(other, store):
    run = f"{KEY}:20240101_000000"
    store.delete(run).apply()
    assert other.state(KEY, "20240101_000000") == "marked"
    assert len(other.runs(KEY)) == 1
    store.undelete(run)
    assert other.state(KEY, "20240101_000000") == "committed"
    store.delete(run).apply()
    store.gc(grace=NONE).apply()
    assert other.state(KEY, "20240101_000000") == "sealed"
    assert other.state(KEY, "20990101_000000") == "never committed"


def test_it_verifies_signatures(other, store):
    manifest = other.named(KEY, "latest")
    other.check_run(manifest, public().pem)
    other.check_pointer(other.pointer(KEY, "latest"), public().pem)
    with pytest.raises(FileNotFoundError):
        other.check_run(manifest, public("stranger").pem)
    with pytest.raises(Refused):
        other.check_pointer(other.pointer(KEY, "latest"), public("stranger").pem)
    forged = {**other.pointer(KEY, "latest"), "by": "somebody else"}
    with pytest.raises(Refused, match="does not fit"):
        other.check_pointer(forged, public().pem)
    with pytest.raises((Refused, FileNotFoundError)):
        other.check_run({**manifest, "tags": {}}, public().pem)


def test_the_library_reads_what_it_wrote(other, store):
    model = {"path": "model.json", "data": b'{"written":"elsewhere"}'}
    component = {"codec": {"name": "json", "version": 1}, "files": ["model.json"], "options": {}, "risk": "data"}
    about = {
        "components": {"model": {**component, "type": "builtins.dict"}},
        "publish": {"alias": "latest", "metric": None, "mode": None, "policy": "always"},
    }
    metadata = format_reader.canonical({"model_type": "gru"})
    other.save(KEY, "20260101_120000", {model["path"]: model["data"], "metadata.json": metadata}, about, NOW)
    with pytest.raises(FileExistsError):
        other.save(KEY, "20260101_120000", {model["path"]: model["data"]}, about, NOW)
    assert store.load(f"{KEY}:20260101_120000") == {"written": "elsewhere"}
    other.publish(KEY, "latest", "20260101_120000", NOW)
    assert store.load(KEY) == {"written": "elsewhere"}
    assert [entry.by for entry in store.history(KEY)][-1] == "the other implementation"
    assert store.verify().ok
    with pytest.raises(errors.SignatureMissing):  # it has no key
        ArtifactStore(other.root, policy=strict()).load(KEY)
    with pytest.raises(errors.UnverifiedHistory):  # nor does this library vouch for what it wrote
        store.rollback(KEY)
    assert ArtifactStore(other.root).rollback(KEY).seq == 4
    assert other.pointer(KEY, "latest")["seq"] == 4


def test_it_knows_what_predicting_needs_and_what_was_lost(other, store):
    def saved(requires, components, tags=None):
        with store.new_run(KEY) as draft:
            for name in components:
                draft.add(name, {"of": name})
            draft.requires, draft.tags = requires, tags or {}
        return other.needed(other.named(KEY, "latest"))

    assert saved([], ["model"]) == ([], [])
    assert saved(["preprocessor"], ["model", "preprocessor"]) == (["preprocessor"], [])
    assert saved(["preprocessor"], ["model"]) == (["preprocessor"], ["preprocessor"])
    assert saved([], ["model"], {"requires": "scaler, encoder"}) == (["scaler", "encoder"], ["scaler", "encoder"])


def test_it_reads_configurations_as_they_were_given(other, store):
    given = {"z": (1, float("inf")), "its text": "NaN", "a": {"y": {2, 1}, "x": np.array([[0.5], [-np.inf]])}}
    store.save({"a": 1}, "gru/FORMS", config=given, training_config={"b": 1, "a": frozenset({"x"})})
    manifest = other.named("gru/FORMS", "latest")
    read = other.configuration(manifest, "config")
    assert read == {**given, "a": {"y": {2, 1}, "x": [[0.5], [-np.inf]]}}
    assert [list(read), list(read["a"])] == [["z", "its text", "a"], ["y", "x"]]
    assert other.configuration(manifest, "training_config") == {"b": 1, "a": frozenset({"x"})}
    store.save({"a": 1}, "gru/PLAIN", config={"a": [1, 2]})
    assert other.configuration(other.named("gru/PLAIN", "latest"), "config") == {"a": [1, 2]}


def test_it_writes_what_predicting_needs(other, store):
    lost = {"requires": ["preprocessor"], "must_understand": ["requires"]}
    about = {"components": {}, "publish": {"alias": "latest", "policy": "always"}, **lost}
    other.save(KEY, "20240203_000000", {"model.json": b"{}"}, about, NOW)
    run = store.get(f"{KEY}:20240203_000000")
    assert (run.requires, run.manifest.lost) == (("preprocessor",), ("preprocessor",))
