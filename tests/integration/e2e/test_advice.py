"""What an error advises works when it is followed: the advice is taken out of the text of the error, and done.

A command goes to the program as a shell would hand it over; ``name=value`` and calls are evaluated as Python.
"""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.preprocessing import StandardScaler

import artifact_store
from artifact_store import ArtifactStore, Example, FeatureSchema, LoadPolicy, errors
from artifact_store.cli.app import app
from artifact_store.storage.base import Always
from tests.cases import each
from tests.keys import pem, signer

KEY = "gru/BTCEUR"


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = ArtifactStore(tmp_path / "store", provenance=False)
    first = found.save({"n": 1}, KEY, run_id="20240101_000000")
    found.promote(first, "production")
    found.save({"n": 2}, KEY, run_id="20240102_000000")
    found.save({"n": 3}, "gru/ETHEUR", publish="never", run_id="20240103_000000")
    return found


def text_of(failing: Callable[[], Any]) -> str:
    with pytest.raises(errors.ArtifactStoreError) as caught:
        failing()
    return str(caught.value)


def commands(text: str) -> list[list[str]]:
    """Return the commands of our program in a text, as a shell would hand them over."""
    return [shlex.split(found)[1:] for found in re.findall(r"`(artifact-store [^`]+)`", text)]


def run(store: ArtifactStore, command: list[str]) -> str:
    done = CliRunner().invoke(app, ["--store", store._context.backend.url, *command])
    assert done.exit_code == 0, (command, done.output)
    return done.output


def keywords(text: str) -> dict[str, Any]:
    """Return the arguments that a text tells to give, such as ``codec='json'``."""
    found = re.findall(r"(?<![\w.])([a-z_]+)=('[^']*'|True|False|\[[^\]]*\]|Path\('[^']*'\)|timedelta\([^)]*\))", text)
    names = {**vars(artifact_store), "Path": Path}
    return {name: eval(value, dict(names)) for name, value in found}


def meant(text: str) -> list[str]:
    """Return what ``did you mean`` offers."""
    found = re.search(r"did you mean ([^?]+)\?", text)
    assert found is not None, text
    return [one.strip("'") for one in found[1].split(" or ")]


# ---------------------------------------------------------------- references


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        (f"{KEY}@productoin", [f"{KEY}@production"]),
        ("gru/BTCEUr@production", [f"{KEY}@production"]),
        ("gru/BTCEU", [f"{KEY}@latest"]),
        ("gru/BTCEU@producton", [f"{KEY}@production"]),
        ("gru/BTCEU@candidate", [f"{KEY}@latest"]),
        ("gruu/BTCEUR", [f"{KEY}@latest"]),
    ],
)
def test_what_was_probably_meant_can_be_loaded(store, asked, offered):
    text = text_of(lambda: store.load(asked))
    assert meant(text) == offered
    for reference in meant(text):
        assert store.load(reference)["n"] in {1, 2}


def test_a_model_that_was_never_published_has_its_runs_listed_and_the_newest_published(store):
    text = text_of(lambda: store.load("gru/ETHEUR"))
    listing, promotion = commands(text)
    assert "20240103_000000" in run(store, listing)
    run(store, promotion)
    assert store.load("gru/ETHEUR") == {"n": 3}
    asked = commands(text_of(lambda: store.load("gru/ETHEUR:20990101_000000")))
    assert all("20240103_000000" in run(store, command) for command in asked)
    assert asked


def test_the_run_that_is_offered_for_publishing_is_there(store):
    store.save({"n": 4}, "gru/ETHEUR", publish="never", run_id="20240104_000000")
    store.delete("gru/ETHEUR:20240104_000000").apply()
    cut_short = "gru/ETHEUR/20240105_000000/model.json"
    store._context.backend.write(cut_short, b"{}", when=Always())
    _, promotion = commands(text_of(lambda: store.load("gru/ETHEUR@candidate")))
    run(store, promotion)
    assert store.load("gru/ETHEUR@candidate") == {"n": 3}


def test_a_type_without_the_symbol_lists_what_there_is(store):
    for command in commands(text_of(lambda: store.load("transformer/X"))):
        assert "gru/BTCEUR" in run(store, command)


def test_a_run_that_an_alias_names_can_be_deleted_once_the_alias_is_moved_or_retired(store):
    text = text_of(lambda: store.delete(f"{KEY}:20240102_000000"))
    assert "retire" in text
    assert "promote" in text
    store.retire(f"{KEY}@latest")
    assert store.delete(f"{KEY}:20240102_000000").apply().ok
    gone = text_of(lambda: store.load(f"{KEY}:20240102_000000"))
    for command in commands(gone):
        run(store, command)
    assert store.undelete(f"{KEY}:20240102_000000").load() == {"n": 2}


def test_a_symbol_that_cannot_be_typed_is_suggested_as_it_can(store):
    for case in each(["gru/BTC/USDT", "gru/BTC/USDT:USDT", "gru/a@b/c"]):
        with case as key:
            text = text_of(lambda key=key: store.save({"n": 1}, key))
            (suggested,) = re.findall(r"try '([^']+)'", text)
            assert store.load(store.save({"n": 1}, suggested).ref) == {"n": 1}


# ---------------------------------------------------------------- codecs


class Own:
    """What no codec knows."""

    n = 1


def test_a_codec_that_is_misspelt(store):
    (name,) = meant(text_of(lambda: store.save({"a": 1}, KEY, codec="jsno")))
    assert store.save({"a": 1}, KEY, codec=name).load() == {"a": 1}


def test_text_that_names_a_file_and_nothing_at_all(store, tmp_path):
    (tmp_path / "m.bin").write_bytes(b"x")
    text = text_of(lambda: store.save("m.bin", KEY))
    (path,) = re.findall(r"give (Path\('[^']*'\))", text)
    assert store.save(eval(path, {"Path": Path}), KEY).load() == b"x"
    assert store.save("m.bin", KEY, **keywords(text)).load() == "m.bin"
    assert store.save(None, KEY, **keywords(text_of(lambda: store.save(None, KEY)))).load() is None


def test_what_reads_back_by_running_code_is_saved_and_loaded_only_as_told(store):
    text = text_of(lambda: store.save(Own(), KEY))
    assert "register a codec" in text
    run_ = store.save(Own(), KEY, codec="joblib")
    refused = text_of(run_.load)
    assert "allow_code=True" in refused
    assert run_.load(**keywords(refused)).n == 1
    digest = run_.manifest.digest
    assert run_.load(sha256=digest).n == 1


def test_a_transformer_with_attributes_that_arrays_cannot_hold_is_stored_itself(store):
    odd = StandardScaler().set_output(transform="pandas").fit(np.arange(20.0).reshape(10, 2))
    told = keywords(text_of(lambda: store.save(odd, KEY)))
    assert store.save(odd, KEY, codec=told.pop("codec")).manifest.component("model").codec.name == "skops"
    assert store.save(odd.set_output(**told), KEY).load() is not None


def test_a_folder_with_a_name_that_cannot_be_kept_is_saved_without_it(store, tmp_path):
    (tmp_path / "in").mkdir()
    for name in (".env", "model.bin"):
        (tmp_path / "in" / name).write_bytes(b"x")
    text = text_of(lambda: store.save(tmp_path / "in", KEY))
    saved = store.save(tmp_path / "in", KEY, **keywords(text))
    assert [name for name in saved.files if name.startswith("model")] == ["model.dir/model.bin"]


# ---------------------------------------------------------------- features


def test_a_column_that_is_misspelt_is_found_under_the_name_that_is_offered(store):
    schema = FeatureSchema(["close", "volume"])
    frame = pd.DataFrame({"Close": [1.0], "volume": [2.0]})
    text = text_of(lambda: schema.align(frame))
    (offered,) = meant(text)
    assert schema.align(frame.rename(columns={offered: "close"})).shape == (1, 2)


# ---------------------------------------------------------------- signatures


def test_an_unsigned_run_is_signed_as_told_and_loads(store, tmp_path):
    (tmp_path / "mine.pem").write_bytes(pem())
    strict = ArtifactStore(
        tmp_path / "store",
        policy=LoadPolicy(require_signature=True, trusted_keys=[signer().public_key]),
        provenance=False,
    )
    text = text_of(lambda: strict.load(f"{KEY}:20240101_000000"))
    (command,) = commands(text)
    run(store, [word if word != "FILE" else str(tmp_path / "mine.pem") for word in command])
    assert strict.load(f"{KEY}:20240101_000000") == {"n": 1}


# ---------------------------------------------------------------- places and options


def test_an_option_that_is_misspelt():
    for engine in ("obstore", "fsspec"):
        text = text_of(
            lambda engine=engine: ArtifactStore("s3://bucket/x", engine=engine, storage_options={"endpoint_ulr": "u"})
        )
        (name,) = meant(text)
        assert ArtifactStore("s3://bucket/x", engine=engine, storage_options={name: "http://127.0.0.1:9"})


def test_a_folder_that_is_no_store_but_holds_one(store, tmp_path):
    text = text_of(lambda: ArtifactStore(tmp_path).save({"n": 1}, KEY))
    (named,) = re.findall(r"Name the store itself: (\S+)", text)
    assert ArtifactStore(named).load(KEY) == {"n": 2}


def test_a_storage_without_conditions_is_used_by_one_writer():
    store = ArtifactStore("advice-without-conditions", filesystem=fsspec.filesystem("memory", skip_instance_cache=True))
    text = text_of(lambda: store.save({"n": 1}, KEY))
    told = keywords(text)
    assert told == {"concurrency": "single-writer"}
    again = ArtifactStore(
        "advice-without-conditions", filesystem=fsspec.filesystem("memory", skip_instance_cache=True), **told
    )
    assert again.save({"n": 1}, KEY).load() == {"n": 1}


def test_ages_and_rules_are_given_as_the_error_shows_them(store):
    from datetime import timedelta

    text = text_of(lambda: store.gc(grace=3))
    assert store.gc(grace=eval(re.findall(r"timedelta\([^)]*\)", text)[0], {"timedelta": timedelta})) is not None
    text = text_of(lambda: store.prune(KEY))
    for name, value in re.findall(r"(keep_last|keep_best|older_than)=(\d+|\([^)]*\)|timedelta\([^)]*\))", text):
        given = eval(value, {"timedelta": timedelta})
        assert store.prune(KEY, **{name: given}) is not None
    text = text_of(lambda: store.find(KEY, max_run_age=3))
    assert "timedelta(days=30)" in text


def test_an_example_is_made_as_the_error_shows(store):
    text = text_of(lambda: store.save({"n": 1}, KEY, example=([1], [2])))
    assert "Example(inputs, outputs)" in text
    assert store.save({"n": 1}, "plain/X", example=Example([1], [2])) is not None


def test_the_remedies_of_doctor_are_commands_that_run(store, tmp_path):
    place = tmp_path / "store" / "gru" / "BTCEUR" / "production.json"
    place.write_text("{", encoding="utf-8")
    report = json.loads(_of_any_status(store, ["--json", "doctor"]))
    (found,) = [one for one in report["findings"] if one["code"] == "pointer-corrupt"]
    told = found["remedy"] + found["message"]
    done = [[word.replace("RUN_ID", "20240101_000000") for word in command] for command in commands(told)]
    assert done
    for command in done:
        run(store, command)
    assert store.load(f"{KEY}@production") == {"n": 1}


def _of_any_status(store: ArtifactStore, command: list[str]) -> str:
    return CliRunner().invoke(app, ["--store", store._context.backend.url, *command]).stdout
