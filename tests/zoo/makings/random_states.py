"""Random generators of numpy and torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making, plain

CODEC = "random-state"


def numpy(name: str, make: Callable[[], Any], draw: str = "random", **more: Any) -> Making:
    """One that has drawn a number already."""

    def started(_: Path) -> Any:
        generator = make()
        getattr(generator, draw)()
        return generator

    return Making(name, started, CODEC, look=partial(drawn, draw), **more)


def drawn(draw: str, generator: Any) -> Any:
    """What its copy draws next."""
    return np.asarray(getattr(copy.deepcopy(generator), draw)(3))


def drawn_from(state: Any) -> Any:
    generator = np.random.default_rng()
    generator.bit_generator.state = state
    return generator.random(3)


def torch(_: Path) -> Any:
    import torch

    generator = torch.Generator().manual_seed(5)
    torch.randn(3, generator=generator)
    return generator


def state(generator: Any) -> Any:
    return generator.get_state()


def spawned(generator: Any) -> Any:
    return [child.random(3) for child in copy.deepcopy(generator).spawn(2)]


class _Own(np.random.PCG64):
    """A bit generator of somebody's own."""


MAKINGS: tuple[Making, ...] = (
    numpy("Generator", lambda: np.random.default_rng(5)),
    Making("Generator, its children", lambda _: np.random.default_rng(5), CODEC, look=spawned),
    numpy("Generator of MT19937", lambda: np.random.Generator(np.random.MT19937(5))),
    numpy("Generator of Philox", lambda: np.random.Generator(np.random.Philox(5))),
    numpy("Generator of SFC64", lambda: np.random.Generator(np.random.SFC64(5))),
    numpy("RandomState", lambda: np.random.RandomState(5), "standard_normal"),
    numpy("PCG64DXSM", lambda: np.random.PCG64DXSM(5), "random_raw"),
    Making("torch.Generator", torch, CODEC, look=state),
    Making(
        *("a Generator of one's own", lambda _: np.random.Generator(_Own(5)), CODEC, partial(drawn, "random")),
        refused="_Own",
        follow=lambda _: np.random.default_rng(5),
    ),
    plain("the state of a Generator", np.random.default_rng(5).bit_generator.state, "json", look=drawn_from),
    plain("the state of a RandomState", np.random.RandomState(5).get_state(legacy=False), "array-tree"),
)
