"""What is no plain value is refused with what to keep instead, and that is kept."""

from __future__ import annotations

import argparse
import datetime as dt
import enum
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from artifact_store.codecs.documents import DocumentCodec
from artifact_store.codecs.nested import ArrayTreeCodec
from artifact_store.errors import NotEncodable
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
    "a dict with a default": (defaultdict(int, a=1), r"plain dict\(…\)", dict),
    "text of one's own": (OwnText("a"), r"plain str\(…\)", str),
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
