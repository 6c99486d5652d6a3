"""What looks like one of our names, numbers or options and is none is refused, in words of our own."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from click.testing import CliRunner

from artifact_store.canonical import canonical, checksum
from artifact_store.cli.app import app
from artifact_store.codecs.json_arrays import MAX_ELEMENTS, check_expansion
from artifact_store.codecs.lightgbm.text import parsable
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import HistoryBlock, Pointer, PublishInfo, advance
from artifact_store.core.references import RunRef
from artifact_store.errors import Corrupt, InvalidName, InvalidOption, InvalidReference
from artifact_store.ops.keypairs import MAX_KEY_FILE, PublicKey
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.options import StorageOptions, parse_url
from artifact_store.storage.redaction import redact
from tests.unit.samples import KEY, NOW, manifest


@pytest.mark.parametrize("run_id", ["２０２４０８１６_142301", "20240816_14230١", "2024081६_142301_a"])
def test_digits_of_another_script_are_no_run_id(run_id: str) -> None:
    with pytest.raises(InvalidName, match="YYYYMMDD"):
        RunId(run_id)
    assert keys.run_in(f"{run_id}/") is None
    assert keys.run_of(f"gru/BTCEUR/{run_id}/manifest.json") is None
    with pytest.raises(InvalidReference):
        RunRef(ModelKey("gru"), None, run_id)


@pytest.mark.parametrize(("field", "value"), [("format", "١.٠"), ("created_at", "２０２４-08-16T14:23:01.000000Z")])
def test_nor_a_format_or_a_time(field: str, value: str) -> None:
    document = json.loads(manifest().to_bytes()) | {field: value}
    data = canonical(document | {"checksum": checksum(document)})
    with pytest.raises(Corrupt):
        type(manifest()).from_bytes(data, what="it")


@pytest.mark.parametrize("field", ["model_type", "symbol", "alias"])
@pytest.mark.parametrize("kind", [Pointer, HistoryBlock])
def test_a_pointer_of_something_that_has_no_name_is_damaged(field: str, kind: Any) -> None:
    note = PublishInfo(write_id="b" * 32, at=NOW, by="us")
    step = advance(None, KEY, "latest", None, note)
    while kind is HistoryBlock and not step.blocks:
        step = advance(step.pointer, KEY, "latest", None, note)
    sound = step.pointer if kind is Pointer else step.blocks[0]
    assert sound is not None
    document = json.loads(sound.to_bytes()) | {field: "../else\nwhere"}
    with pytest.raises(Corrupt):
        kind.from_bytes(canonical(document | {"checksum": checksum(document)}), what="it")


@pytest.mark.parametrize("text", ["GRU/" + "x" * 100_000, "gru/" + "x/" * 50_000, "gru:" + "\U000e0001" * 50_000])
def test_a_long_reference_makes_a_short_message(text: str) -> None:
    with pytest.raises((InvalidReference, InvalidName)) as caught:
        RunRef.parse(text)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300, -1.0, 0, True])
def test_a_time_out_without_end_is_none(seconds: Any) -> None:
    options = StorageOptions({"config_kwargs": {"read_timeout": seconds}})
    with pytest.raises(InvalidOption, match="read_timeout"):
        cloud_config(parse_url("s3://bucket/x"), options)


def test_a_secret_that_is_no_text_is_hidden_all_the_same() -> None:
    secret = "abcdefgh\udcff\ud800"
    assert "abcdefgh" not in redact(f"the key {secret} is wrong", [secret])


def test_the_password_in_an_address_is_a_secret_whatever_the_option_is_called() -> None:
    options = StorageOptions({"config_kwargs": {"proxies": {"http": "http://me:p4ssw0rd-of-mine@proxy:3128"}}})
    assert "p4ssw0rd-of-mine" in options.secrets
    assert "p4ssw0rd" not in f"{options.secrets!r} {options.given!r} {options!r}"
    with pytest.raises(InvalidOption, match="not pickled"):
        pickle.dumps(options)
    assert StorageOptions({"endpoint_url": "http://127.0.0.1:9000", "profile": "me@home"}).secrets == ()


@pytest.mark.parametrize("value", ["[" * 100_000, "[" + "9" * 5_000 + "]", "{secret"])
def test_an_option_on_the_command_line_that_begins_like_json(value: str) -> None:
    result = CliRunner().invoke(app, ["--store", "memory://x", "--option", f"secret={value}", "ls"])
    assert result.exit_code == 2
    assert value[:200] not in result.stderr


def test_a_count_on_the_command_line_that_no_number_is_for() -> None:
    result = CliRunner().invoke(app, ["--store", "memory://x", "prune", "gru", "--keep-best", "sharpe:" + "9" * 5_000])
    assert result.exit_code == 2


def test_a_key_file_has_an_end(tmp_path: Any) -> None:
    path = tmp_path / "large.pem"
    path.write_bytes(b"-----BEGIN PUBLIC KEY-----\n" + b"A" * MAX_KEY_FILE)
    with pytest.raises(InvalidOption, match="not a key in PEM form"):
        PublicKey.from_pem(path)


def test_equal_numbers_are_counted_over_a_whole_document() -> None:
    one = {"dtype": "float64", "shape": [MAX_ELEMENTS // 2], "values": 0.0}
    check_expansion({"low": one, "high": one}, "it")
    with pytest.raises(Corrupt, match="equal numbers"):
        check_expansion({"low": one, "high": [one, {"deep": one}]}, "it")
    hidden = {"dtype": "float64", "shape": [-MAX_ELEMENTS], "values": 0.0}  # takes nothing off the sum
    with pytest.raises(Corrupt, match="equal numbers"):
        check_expansion({"low": one, "high": [one, hidden, {"deep": one}]}, "it")


_TREE = """Tree=0
num_leaves=1
num_cat=0
split_feature=
split_gain=
threshold=
decision_type=
left_child=
right_child=
leaf_value=1
leaf_weight=
leaf_count=20
internal_value=
internal_weight=
internal_count=
is_linear=0
shrinkage=1


"""
# No LightGBM knows the objective, so its parser refuses the text, and all that is made of it here, with an error.
TEXT = f"""tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=0
feature_names=a
feature_infos=[0:1]
objective=of_a_test
tree_sizes={len(_TREE)}

{_TREE}end of trees

parameters:
[boosting: gbdt]
[metric: ]
end of parameters
"""


def test_a_text_for_lightgbm_has_no_sizes_and_only_sound_parameters() -> None:
    assert "tree_sizes" not in parsable(TEXT, what="it")
    assert parsable(TEXT, what="it") == TEXT.replace(f"tree_sizes={len(_TREE)}\n", "")
    for line in ("[metric ]", "metric: ", "[a: b", "garbage", "[metric\r: ]", "[metric:]"):
        with pytest.raises(Corrupt, match="parameters|carriage return"):
            parsable(TEXT.replace("[metric: ]", line), what="it")


def test_lightgbm_itself_refuses_the_text_of_these_tests() -> None:
    import lightgbm

    with pytest.raises(lightgbm.basic.LightGBMError, match="objective"):
        lightgbm.Booster(model_str=TEXT)


@pytest.mark.parametrize("sizes", ["", "5", f"{len(_TREE)} {len(_TREE)}", f"{len(_TREE) + 1}", "-1", "many"])
def test_sizes_that_are_not_those_of_the_trees_are_refused(sizes: str) -> None:
    with pytest.raises(Corrupt):
        parsable(TEXT.replace(f"tree_sizes={len(_TREE)}", f"tree_sizes={sizes}"), what="it")


@pytest.mark.parametrize("name", ["a\tb", "a b", "a\x0bb", ""])
def test_a_name_that_lightgbm_would_divide_otherwise_is_refused(name: str) -> None:
    with pytest.raises(Corrupt):
        parsable(TEXT.replace("feature_names=a", f"feature_names={name}"), what="it")


@pytest.mark.parametrize(
    "row", ["split_gain", "leaf_weight", "leaf_count", "internal_value", "internal_count", "is_linear"]
)
def test_a_row_that_lightgbm_always_writes_is_never_missing(row: str) -> None:
    """Without it LightGBM guesses, and fails later than it could."""
    tree = "".join(line for line in _TREE.splitlines(keepends=True) if not line.startswith(row))
    text = TEXT.replace(_TREE, tree).replace(f"tree_sizes={len(_TREE)}", f"tree_sizes={len(tree)}")
    with pytest.raises(Corrupt, match=row):
        parsable(text, what="it")


@pytest.mark.parametrize("digits", ["1" * 5_000 + "x", "1 " * 5_000 + "x", "1" * 40 + " " * 5_000 + "x"])
def test_a_row_of_coefficients_that_is_none_is_refused_at_once(digits: str) -> None:
    """A pattern that tries every way to cut a row into numbers takes too long."""
    text = TEXT.replace(_TREE, _TREE.replace("leaf_value=1", f"leaf_value=1\nleaf_coeff={digits}"))
    with pytest.raises(Corrupt, match="leaf_coeff|not where it should be"):
        parsable(text.replace(f"tree_sizes={len(_TREE)}", f"tree_sizes={len(_TREE) + len(digits) + 12}"), what="it")


@pytest.mark.parametrize("line", ["num_class=1", "label_index=0", "max_feature_idx=0", "feature_infos=[0:1]"])
def test_digits_of_other_scripts_are_no_numbers_to_lightgbm(line: str) -> None:
    """Python reads them as numbers and LightGBM does not, so the two would speak of different models."""
    other = line.translate({ord("0"): "\u0660", ord("1"): "\u0661"})
    with pytest.raises(Corrupt):
        parsable(TEXT.replace(line, other), what="it")


def test_a_model_key_still_is_what_it_was() -> None:
    assert str(ModelKey.parse("gru/BTCEUR")) == "gru/BTCEUR"
    assert RunId("20240816_142301_k3f8qz") == "20240816_142301_k3f8qz"
    for run in ("20240816", "20240816_", "20240816_14", "20240816_142301_", "20240816_142301_k3"):
        assert RunRef(KEY, None, run).run == run
