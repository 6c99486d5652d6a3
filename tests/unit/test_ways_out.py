"""What is no plain value is refused with what to keep instead, and that is kept."""

from __future__ import annotations

import argparse
import datetime as dt
import enum
import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from artifact_store.codecs.documents import DocumentCodec
from artifact_store.codecs.nested import ArrayTreeCodec
from artifact_store.core.codec import Risk
from artifact_store.core.forms import configurations, restored
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import InvalidOption, NoCodec, NotEncodable
from tests.cases import each


@dataclass
class Settings:
    rate: float = 0.1


class Side(enum.Enum):
    BUY = 1


class Level(enum.IntEnum):
    HIGH = 3


class Kind(enum.StrEnum):
    GRU = "gru"


class OwnText(str):
    __slots__ = ()


Fold = namedtuple("Fold", "first last")  # noqa: PYI024 -- what may be in a configuration

INSTEAD: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "a path": (Path("runs/model.json"), r"keep its str\(…\)", str),
    "a day": (dt.date(2024, 1, 2), r"keep its \.isoformat\(\)", dt.date.isoformat),
    "a time of a day": (dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC), r"\.isoformat\(\)", dt.datetime.isoformat),
    "a duration": (dt.timedelta(hours=1), r"\.total_seconds\(\)", dt.timedelta.total_seconds),
    "a member": (Side.BUY, r"keep its \.name", lambda side: side.name),
    "a member that is a number": (Level.HIGH, r"keep its \.name", lambda level: level.name),
    "a member that is text": (Kind.GRU, r"keep its \.name", lambda kind: kind.name),
    "a dataclass": (Settings(), r"dataclasses\.asdict", asdict),
    "arguments": (argparse.Namespace(rate=0.1), r"vars\(…\)", vars),
    "a set": ({1, 2}, r"list\(…\)", list),
    "a frozen set": (frozenset("a"), r"list\(…\)", list),
    "a queue": (deque([1]), r"list\(…\)", list),
    "bytes": (b"x", r"\.hex\(\)", bytes.hex),
    "a complex number": (1j, r"\[z\.real, z\.imag\]", lambda z: [z.real, z.imag]),
    "a decimal": (Decimal("1.10"), r"str\(…\)", str),
    "a fraction": (Fraction(1, 3), r"str\(…\)", str),
    "an identity": (UUID(int=1), r"str\(…\)", str),
    "a class": (np.float32, r"\.__name__", lambda kind: kind.__name__),
    "a class of one's own": (Settings, r"\.__name__", lambda kind: kind.__name__),
    "a function": (len, r"\.__name__", lambda function: function.__name__),
    "a dict with a default": (defaultdict(int, a=1), r"plain dict\(…\)", dict),
    "text of one's own": (OwnText("a"), r"plain str\(…\)", str),
}
KEPT_IN_A_CONFIGURATION = {
    "a member that is a number",
    "a member that is text",
    "a set",
    "a frozen set",
    "a dict with a default",
    "text of one's own",
}
ONLY_JSON: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "an ordered dict": (OrderedDict(a=1), r"plain dict\(…\)", dict),
    "counts": (Counter("a"), r"plain dict\(…\)", dict),
    "a named tuple": (Fold(1, 2), r"use list\(…\)", list),
    "a number of numpy": (np.float32(0.5), r"\.item\(\)", np.float32.item),
    "an array": (np.ones(2), r"\.tolist\(\)", np.ndarray.tolist),
}


def test_json_refuses_with_what_to_keep_instead(tmp_path: Path) -> None:
    for case in each(INSTEAD | ONLY_JSON):
        with case as name:
            value, way_out, follow = (INSTEAD | ONLY_JSON)[name]
            with pytest.raises(NotEncodable, match=rf"the document\['it'\] .*{way_out}"):
                DocumentCodec().encode({"it": value}, tmp_path, "model")
            DocumentCodec().encode({"it": follow(value)}, tmp_path, "model")
            assert DocumentCodec().decode(tmp_path, "model", {}) == {"it": follow(value)}


def test_trees_refuse_with_what_to_keep_instead(tmp_path: Path) -> None:
    codec = ArrayTreeCodec()
    for case in each(INSTEAD):
        with case as name:
            value, way_out, follow = INSTEAD[name]
            with pytest.raises(NotEncodable, match=rf"the object\['it'\] .*{way_out}"):
                codec.encode({"w": np.ones(1), "it": value}, tmp_path, "model")
            codec.encode({"w": np.ones(1), "it": follow(value)}, tmp_path, "model")
            assert codec.decode(tmp_path, "model", {})["it"] == follow(value)


def test_configurations_refuse_with_what_to_keep_instead() -> None:
    for case in each({name: made for name, made in INSTEAD.items() if name not in KEPT_IN_A_CONFIGURATION}):
        with case as name:
            value, way_out, follow = INSTEAD[name]
            with pytest.raises(InvalidOption, match=rf"^config\['it'\] is a .*{way_out}"):
                configurations(config={"it": value})
            kept = configurations(config={"it": follow(value)})
            assert restored("config", kept["config"], kept["forms"]) == {"it": follow(value)}


WHOLE: dict[str, tuple[Any, str, Callable[[Any], dict[str, Any]]]] = {
    "a dataclass": (Settings(), r"dataclasses\.asdict\(…\)$", asdict),
    "arguments": (argparse.Namespace(rate=0.1), r"vars\(…\)$", vars),
    "a namespace": (SimpleNamespace(rate=0.1), r"vars\(…\)$", vars),
}


def test_a_configuration_that_is_no_mapping_is_refused_with_how_it_becomes_one() -> None:
    for case in each(WHOLE):
        with case as name:
            value, way_out, follow = WHOLE[name]
            with pytest.raises(InvalidOption, match=rf"^config is a mapping of names to values, not .*{way_out}"):
                configurations(config=value)
            assert configurations(config=follow(value))["config"] == follow(value)
    with pytest.raises(InvalidOption, match=r"not \[1, 2\]$"):
        configurations(config=[1, 2])


def test_what_no_codec_stores_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    registry = CodecRegistry()
    path = tmp_path / "notes.txt"
    path.write_text("a", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        instead: dict[str, tuple[Any, str, Any]] = {
            "a generator": ((n for n in range(2)), "keep its list(…)", [0, 1]),
            "a dataclass": (Settings(), "keep its dataclasses.asdict(…)", asdict(Settings())),
            "an open file": (file, "save the pathlib.Path(….name) of its file", Path(file.name)),
            "an object": (object(), "save what it is made of", {}),
        }
        for case in each(instead):
            with case as name:
                value, way_out, followed = instead[name]
                with pytest.raises(NoCodec, match=re.escape(f": {way_out}, or register a codec for it")):
                    registry.for_object(value)
                assert registry.for_object(followed).risk is Risk.DATA


def test_a_model_of_onnx_in_memory_is_refused_with_how_it_becomes_a_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    with pytest.raises(NoCodec, match=r"write it with onnx\.save\(…\), and save the pathlib\.Path of that file"):
        CodecRegistry().for_object(onnx.ModelProto())
    onnx.save(onnx.ModelProto(), tmp_path / "model.onnx")
    assert CodecRegistry().for_object(tmp_path / "model.onnx").name == "raw"
