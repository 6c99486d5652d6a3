"""JSON: configurations, results, lists of features."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.zoo.making import Making, plain, refused

CONFIG = {
    "model": "gru",
    "layers": [64, 32],
    "dropout": 0.1,
    "features": ["ret_1", "vol_20", "hour"],
    "scaler": None,
    "early_stopping": True,
    "nested": {"optimizer": {"name": "adam", "betas": [0.9, 0.999]}},
}


def _sorted(value: Any) -> Any:
    """A document without the order of its keys, which JSON has none of."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(part) for part in value] if isinstance(value, list) else value


@dataclass
class Fit:
    """How something is trained."""

    rate: float = 0.1


class Side(enum.Enum):
    """What an order does."""

    BUY = 1


DEEP: dict[str, Any] = {"deep": [[[{"deeper": [1e-300, -0.0, 2**70]}]]]}
MAKINGS: tuple[Making, ...] = (
    plain("a configuration of a training", CONFIG, "json", look=_sorted, kept="the order of keys is not kept"),
    plain("results of a search", [{"lr": 10.0**-n, "loss": n / 7} for n in range(5)], "json", look=_sorted),
    plain("a list of names", ["close", "volume", "häufigkeit"], "json"),
    plain("text", "a report\nwith lines and \u2028 \0", "json"),
    plain("a whole number", 7, "json"),
    plain("a large whole number", 2**200, "json"),
    plain("a number", 0.1 + 0.2, "json"),
    plain("true", True, "json"),
    plain("nothing", None, "json", refused="None", follow=lambda _: {}),
    plain("an empty list", [], "json"),
    plain("numbers beyond doubles, and a negative zero", DEEP, "json"),
    refused("a tuple", (1, 2), "json", r"list\(", list),
    refused(
        "a tuple inside", {"shape": (1, 2)}, "json", r"\['shape'\] is a tuple", lambda d: {"shape": list(d["shape"])}
    ),
    refused("NaN", {"loss": math.nan}, "json", r"\['loss'\] is nan", lambda _: {"loss": None}),
    refused("an infinity", [1.0, math.inf], "json", r"\[1\] is inf", lambda _: [1.0, "inf"]),
    refused("keys that are numbers", {1: "a"}, "json", "the key 1", lambda _: {"1": "a"}),
    refused("a date", {"day": dt.date(2024, 1, 1)}, "json", r"\['day'\]", lambda d: {"day": str(d["day"])}),
    refused("a path", {"to": Path("runs")}, "json", r"\['to'\].*str\(", lambda d: {"to": str(d["to"])}),
    refused("a member", {"side": Side.BUY}, "json", r"\['side'\].*\.name", lambda d: {"side": d["side"].name}),
    refused("a dataclass", {"fit": Fit()}, "json", r"\['fit'\].*asdict", lambda d: {"fit": asdict(d["fit"])}),
    refused("a set", {"names": {"a"}}, "json", r"\['names'\]", lambda d: {"names": sorted(d["names"])}),
    refused("text that is none", {"a": "\ud800"}, "json", r"\['a'\] holds a lone", lambda d: {"a": ascii(d["a"])}),
    refused("an ordered dict", OrderedDict(b=1, a=2), "json", "OrderedDict", lambda d: _sorted(dict(d))),
)
