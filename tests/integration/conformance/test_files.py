"""Files and folders as people have them, on every backend alike: what is stored, under which names, and what is not."""

import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from artifact_store import errors
from artifact_store.codecs.raw import LEFT_OUT
from artifact_store.core import keys
from tests.keys import strict

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"
NAMES = (
    "Modell (März).json",
    "データ/重み.bin",
    "a, b & c;d.txt",
    "-1.txt",
    "notes/[draft] #1 100%.md",
    "naïve/{x}~'y'!.bin",
    "plain.txt",
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="a name that Windows cannot hold")


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    return root


def contents(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in root.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- names


def test_names_of_people_come_back_and_lie_under_plain_keys(store, open_store, tmp_path):
    run = store.save(folder(tmp_path / "in", *NAMES), KEY)
    again = open_store().get(KEY)
    assert contents(again.load(into=tmp_path / "out")) == {name: name for name in NAMES}
    assert {name.removeprefix("model.dir/") for name in again.files} == {*NAMES, "metadata.json"}
    stored = [entry.key for entry in store._context.backend.list(f"{keys.model_prefix(run.key)}{run.run_id}/")]
    assert all(key.isascii() and not set("()[]{}&,#%~'!") & set(key) for key in stored)
    assert again.manifest.to_json()["must_understand"] == ["file-names"]
    assert again.verify().ok
    found = open_store().doctor(deep=True, probes=False)
    assert [one for one in found if one.code not in {"lifecycle", "permissions"}] == []  # which are not of the files
    assert contents(again.download(tmp_path / "all") / "model.dir") == {name: name for name in NAMES}
    with again.open("model.dir/Modell (März).json") as file:
        assert file.read().decode() == "Modell (März).json"
    store.delete(store.save({"n": 1}, KEY, publish="never")).apply()
    assert not [step for step in store.gc() if step.action != "keep"]


def test_a_run_with_plain_names_says_nothing_of_names(store, tmp_path):
    run = store.save(folder(tmp_path / "in", "a b+c=d@e.txt", "x/y.bin"), KEY)
    assert "must_understand" not in run.manifest.to_json()
    assert all(entry.key == path for path, entry in run.files.items())


@posix
def test_both_forms_of_an_accent_are_one_name_that_is_stored_composed(store, tmp_path):
    composed, apart = "März.txt", unicodedata.normalize("NFD", "März.txt")
    run = store.save(folder(tmp_path / "in", apart), KEY)
    assert "model.dir/" + composed in run.files
    folder(tmp_path / "in", composed)
    if len(list((tmp_path / "in").iterdir())) == 2:  # on a Mac they are one file
        with pytest.raises(errors.NotEncodable, match="could not tell"):
            store.save(tmp_path / "in", KEY)


def test_names_that_differ_by_case_only_are_refused_in_every_alphabet(store, tmp_path):
    draft = store.new_run(KEY)
    (tmp_path / "a").write_text("x", encoding="utf-8")
    draft.add_file("Ärger.txt", tmp_path / "a")
    draft.add_file("ärger.txt", tmp_path / "a")
    with pytest.raises(errors.InvalidName, match="could not tell"):
        draft.commit()
    draft.discard()


@posix
@pytest.mark.parametrize("name", ["a:b", "what?", "x.", "x ", " x", "tab\there", "nul.bin", ".env", "bell\x07"])
def test_a_name_that_some_system_cannot_hold_is_refused_and_can_be_left_out(store, tmp_path, name):
    place = folder(tmp_path / "in", name, "model.bin")
    with pytest.raises(errors.NotEncodable, match="ignore=") as caught:
        store.save(place, KEY)
    advised = str(caught.value).rpartition("ignore=")[2]
    run = store.save(place, KEY, ignore=json.loads(advised.replace("'", '"').replace("\\x07", "\\u0007")))
    assert contents(run.load(into=tmp_path / "out")) == {"model.bin": "model.bin"}


def test_a_name_that_is_too_long_for_a_key_is_refused_before_anything_is_stored(store, tmp_path):
    with pytest.raises(errors.NotEncodable, match="240 characters"):
        store.save(folder(tmp_path / "in", "重" * 30), KEY)
    assert list(store.runs()) == []


# ---------------------------------------------------------------- what is left out


def test_what_systems_and_tools_leave_behind_is_left_out_and_told(store, tmp_path):
    litter = [
        *(".DS_Store", "sub/.DS_Store", "._model.bin", "Thumbs.db", "desktop.ini", ".gitattributes"),
        *(".git/HEAD", "code/__pycache__/a.pyc", "only/.ipynb_checkpoints/a.ipynb", ".cache/huggingface/x"),
    ]
    place = folder(tmp_path / "in", *litter, "model.bin", "sub/x.bin", "code/a.py")
    run = store.save(place, KEY)
    out = run.load(into=tmp_path / "out")
    assert contents(out) == {name: name for name in ("model.bin", "sub/x.bin", "code/a.py")}
    assert (out / "only").is_dir()
    options = run.manifest.component("model").options
    assert options["ignored"] == len(litter)
    assert ".git" in options["ignored_names"]
    assert set(LEFT_OUT) >= {".DS_Store", ".git", "__pycache__", ".ipynb_checkpoints", ".cache", ".gitattributes"}


def test_patterns_say_what_else_is_left_out(store, tmp_path):
    place = folder(tmp_path / "in", "model.bin", "a.tmp", "logs/1.txt", "deep/logs/2.txt", "deep/a.tmp")
    run = store.save(place, KEY, ignore=["*.tmp", "logs/*"])
    assert set(contents(run.load(into=tmp_path / "out"))) == {"model.bin", "deep/logs/2.txt"}
    with store.new_run(KEY) as draft:
        draft.add("model", place, ignore=["logs", "*.tmp"])
    assert draft.run is not None
    assert set(contents(draft.run.load(into=tmp_path / "again"))) == {"model.bin"}


def test_what_cannot_be_left_out_is_told(store, tmp_path):
    place = folder(tmp_path / "in", "model.bin")
    with pytest.raises(errors.NotEncodable, match="is a file"):
        store.save(place / "model.bin", KEY, ignore=["*"])
    with pytest.raises(errors.NotEncodable, match=r"no file in it but what is left out: model\.bin"):
        store.save(place, KEY, ignore=["*"])
    with pytest.raises(errors.InvalidOption, match="'model' is a dict"):
        store.save({"a": 1}, KEY, ignore=["*"])
    for patterns in ("*.tmp", 3, [3]):
        with pytest.raises(errors.InvalidOption, match=r"\['\*\.tmp'\]"):
            store.save(place, KEY, ignore=patterns)
    assert list(store.runs()) == []


# ---------------------------------------------------------------- model files


def test_an_onnx_file_tells_what_it_takes_and_gives(store, tmp_path):
    onnx = pytest.importorskip("onnx")
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2, 1], [1.0, 2.0])
    rows = onnx.helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, ["n", 2])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", 1])
    node = onnx.helper.make_node("MatMul", ["rows", "w"], ["out"])
    graph = onnx.helper.make_graph([node], "linear", [rows], [out], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], producer_name="ours")
    place = tmp_path / "m.onnx"
    onnx.save(model, place)
    run = store.save(place, KEY)
    about = run.manifest.component("model").options["about"]
    assert about["kind"] == "onnx"
    assert about["opset"] == {"ai.onnx": 17}
    assert about["inputs"] == [{"name": "rows", "type": "float", "shape": ["n", 2]}]
    assert about["outputs"] == [{"name": "out", "type": "float", "shape": ["n", 1]}]
    assert onnx.load(run.path()) == model
    assert run.load() == place.read_bytes()


def test_an_onnx_file_without_its_tensors_is_refused_and_its_folder_is_taken(store, tmp_path):
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.zeros((64, 64), "float32"), "w")
    graph = onnx.helper.make_graph([], "held", [], [], [weights])
    place = folder(tmp_path / "in") / "in" / "m.onnx"
    place.parent.mkdir(parents=True)
    onnx.save(onnx.helper.make_model(graph), place, save_as_external_data=True, location="m.data", size_threshold=0)
    with pytest.raises(errors.NotEncodable, match=r"m\.data") as caught:
        store.save(place, KEY)
    assert f"Path({str(place.parent)!r})" in str(caught.value)
    copy = store.save(place.parent, KEY).path()
    (found,) = onnx.load(copy / "m.onnx").graph.initializer
    assert np.array_equal(onnx.numpy_helper.to_array(found), np.zeros((64, 64), "float32"))


@pytest.mark.parametrize(("name", "kind"), [("m.pt2", "torch.export"), ("m.PKL", "pickle"), ("m.gguf", "gguf")])
def test_a_model_file_is_stored_as_it_is_with_its_kind(store, tmp_path, name, kind):
    place = folder(tmp_path / "in", name) / name
    run = store.save(place, KEY)
    assert run.manifest.component("model").options["about"] == {"kind": kind}
    assert run.load() == place.read_bytes()


def test_a_file_that_only_has_the_suffix_of_onnx_is_stored_as_it_is(store, tmp_path):
    place = tmp_path / "m.onnx"
    place.write_bytes(b"\xff" * 20)
    run = store.save(place, KEY)
    assert run.manifest.component("model").options["about"]["kind"] == "onnx"
    assert run.load() == b"\xff" * 20


# ---------------------------------------------------------------- text and nothing, in the place of a model


def test_text_that_names_a_file_is_refused_and_both_ways_out_work(store, tmp_path, monkeypatch):
    monkeypatch.chdir(folder(tmp_path / "in", "m.onnx", "sub/model"))
    for text in ("m.onnx", "sub/model", str(tmp_path / "in")):
        with pytest.raises(errors.NotEncodable) as caught:
            store.save(text, KEY)
        assert f"Path({text!r})" in str(caught.value)
        assert store.save(Path(text), KEY).manifest.component("model").codec.name == "raw"
        assert store.save(text, KEY, codec="json").load() == text
    for text in ("plain words", "no/such/file.bin", "a\nb", "x" * 10_000, "m"):
        assert store.save(text, KEY).load() == text


def test_none_is_refused_unless_it_is_meant(store):
    with pytest.raises(errors.NotEncodable, match="is None"):
        store.save(None, KEY)
    assert store.save(None, KEY, codec="json").load() is None


def test_a_codec_is_named_in_a_save(store):
    run = store.save({"a": 1}, KEY, codec="json")
    assert run.manifest.component("model").codec.name == "json"
    with pytest.raises(errors.NoCodec, match="did you mean 'json'"):
        store.save({"a": 1}, KEY, codec="jsno")


# ---------------------------------------------------------------- a path for libraries that open files themselves


def test_a_component_has_a_path_on_this_machine(store, open_store, tmp_path):
    store.save(Path(folder(tmp_path / "in", "m.bin") / "m.bin"), KEY)
    path = open_store().get(KEY).path()
    assert path.is_file()
    assert path.read_text("utf-8") == "m.bin"
    assert open_store().get(KEY).path() == path


def test_a_folder_has_a_path_and_its_names(store, open_store, tmp_path):
    store.save(folder(tmp_path / "in", *NAMES), KEY, components={"notes": {"a": 1}})
    assert contents(open_store().get(KEY).path()) == {name: name for name in NAMES}
    assert json.loads(open_store().get(KEY).path("notes").read_text("utf-8")) == {"a": 1}
    with pytest.raises(errors.ComponentNotFound):
        open_store().get(KEY).path("nothing")


def test_a_copy_that_was_changed_is_made_again(store, open_store, tmp_path):
    store.save(folder(tmp_path / "in", "sub/a.bin", "b.bin"), KEY)
    path = open_store().get(KEY).path()
    (path / "b.bin").chmod(0o600)
    (path / "b.bin").write_text("changed", encoding="utf-8")
    assert contents(open_store().get(KEY).path()) == {"sub/a.bin": "sub/a.bin", "b.bin": "b.bin"}


def test_nothing_has_a_path_that_is_damaged_or_not_signed_as_required(store, open_store, tmp_path):
    run = store.save({"n": 1}, KEY)
    trusted = strict("owner")
    with pytest.raises(errors.SignatureMissing):
        open_store(policy=trusted).get(KEY).path()
    entry = run.files["model.json"]
    key = keys.data_file(run.key, run.run_id, entry.key)
    backend = store._context.backend
    backend.delete(key)
    with pytest.raises(errors.Corrupt):
        open_store().get(KEY).path()
