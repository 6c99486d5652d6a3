"""What all codecs do alike: limits, files that cannot be read, and leaving nothing behind."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from artifact_store.codecs import documents, files
from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.documents import DocumentCodec
from artifact_store.codecs.lightgbm.booster import LightGBMCodec
from artifact_store.codecs.tables.pandas import PandasCodec
from artifact_store.codecs.tables.polars import PolarsCodec
from artifact_store.errors import AccessDenied, Corrupt, NotEncodable

pytestmark = pytest.mark.windows


def booster() -> Any:
    features = np.arange(80.0).reshape(40, 2)
    return lgb.train({"verbose": -1, "min_data_in_leaf": 2}, lgb.Dataset(features, features[:, 0]), 2)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's privileges for a while, since nothing is forbidden to root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_document_beyond_the_limit_is_refused_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = DocumentCodec()
    codec.encode(["x" * 100], tmp_path, "model")
    monkeypatch.setattr(documents, "MAX_DOCUMENT", 50)
    with pytest.raises(NotEncodable, match="104 bytes"):
        codec.encode(["x" * 100], tmp_path, "other")
    with pytest.raises(Corrupt, match="104 bytes"):
        codec.decode(tmp_path, "model", {})


def test_the_deepest_document_that_is_written_is_read(tmp_path: Path) -> None:
    codec = DocumentCodec()
    deep: list[Any] = []
    for _ in range(31):
        deep = [deep]
    assert codec.decode(tmp_path, "model", codec.encode(deep, tmp_path, "model")) == deep
    with pytest.raises(NotEncodable, match="nested deeper"):
        codec.encode([deep], tmp_path, "model")


@pytest.mark.parametrize("text", [b'{"a":1,"a":2}', b"[NaN]", b"\xef\xbb\xbf[]", b"[1e999]", b"{'a':1}"])
def test_a_document_that_two_readers_understand_in_two_ways_is_corrupt(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(text)
    with pytest.raises(Corrupt):
        DocumentCodec().decode(tmp_path, "model", {})


def test_settings_that_could_not_be_read_back_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_SETTINGS", 50)
    with pytest.raises(NotEncodable, match="more than the 50"):
        LightGBMCodec().encode(booster(), tmp_path, "model")
    assert list(tmp_path.iterdir()) == []  # the text, too, was taken away


def test_settings_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    odd = booster()
    odd.params["name"] = "\ud800"
    with pytest.raises(NotEncodable, match="JSON"):
        LightGBMCodec().encode(odd, tmp_path, "model")
    assert list(tmp_path.iterdir()) == []


def test_settings_of_another_shape_are_corrupt(tmp_path: Path) -> None:
    codec = LightGBMCodec()
    codec.encode(booster(), tmp_path, "model")
    settings = json.loads((tmp_path / "model.json").read_bytes())
    shapes: list[Any] = [[], 7, {}, settings | {"best_score": {"valid": 1}}, settings | {"best_iteration": "1"}]
    for value in shapes:
        (tmp_path / "model.json").write_bytes(json.dumps(value).encode())
        with pytest.raises(Corrupt):
            codec.decode(tmp_path, "model", {})


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are of another kind")
@pytest.mark.parametrize(
    ("codec", "obj"),
    [
        (DocumentCodec(), {}),
        (ArrayCodec(), np.ones(1)),
        (PandasCodec(), pd.DataFrame({"a": [1]})),
        (PolarsCodec(), pl.DataFrame({"a": [1]})),
    ],
)
def test_a_file_that_may_not_be_read_is_not_called_corrupt(codec: Any, obj: Any, tmp_path: Path) -> None:
    options = codec.encode(obj, tmp_path, "model")
    for path in tmp_path.iterdir():
        path.chmod(0)
    with as_nobody(), pytest.raises(AccessDenied):
        codec.decode(tmp_path, "model", options)


def test_a_refusal_takes_only_its_own_files_away(tmp_path: Path) -> None:
    for name in ("model.json", "model_2.json", "modelling.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "model.dir").mkdir()
    with pytest.raises(ValueError, match="refused"), files.all_or_nothing(tmp_path, "model"):
        raise ValueError("refused")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_2.json", "modelling.txt"]
