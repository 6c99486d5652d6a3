"""Modules, state dicts, checkpoints and tensors of torch, GRU networks among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from artifact_models.gru.architecture import Architecture
from artifact_models.gru.network import GRUNetwork
from torch import nn

from artifact_store import TorchState
from tests.zoo.making import Making, refused

WITHOUT = ("pandas", "sklearn", "lightgbm", "pyarrow", "polars", "scipy")


def seeded(make: Callable[[], Any]) -> Callable[[Path], Any]:
    def made(_: Path) -> Any:
        torch.manual_seed(3)
        return make()

    return made


def state(module: Any) -> Any:
    """The tensors of a module, or of what comes back in its place."""
    kept = module.state if isinstance(module, TorchState) else getattr(module, "module", module).state_dict()
    return {name: tensor.detach() for name, tensor in kept.items()}


def network(name: str, make: Callable[[], Any]) -> tuple[Making, Making]:
    """A module that comes back as its tensors, and one that is filled again."""
    return (
        Making(name, seeded(make), "torch-state", look=state, without=WITHOUT, kept="as a TorchState"),
        Making(
            f"{name}, filled again", seeded(make), "torch-state", look=state, without=WITHOUT, into=lambda _: make()
        ),
    )


class Tied(nn.Module):
    """An embedding whose weight is that of the layer that reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.out.weight = self.embedding.weight


def perceptron() -> Any:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))


def convolutions() -> Any:
    return nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.GELU(), nn.AdaptiveAvgPool1d(1))


def checkpoint(kind: Callable[..., Any], **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        model = perceptron()
        optimizer = kind(model.parameters(), lr=0.01, **options)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step()
            schedule.step()
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": schedule.state_dict(),
            "epoch": 3,
            "best": float("inf"),
            "shape": (2, 4),
        }

    return make


def tree(name: str, make: Callable[[], Any]) -> Making:
    return Making(name, seeded(make), "torch-tree", without=WITHOUT)


def averaged() -> Any:
    return torch.optim.swa_utils.AveragedModel(perceptron())


def gru(layers: int) -> Callable[[], Any]:
    return lambda: GRUNetwork(Architecture(input_size=3, hidden_size=6, num_layers=layers, fc_size=4, output_size=1))


DTYPES = ("float64", "float16", "bfloat16", "int8", "uint8", "int64", "bool", "complex64", "float8_e4m3fn")
OPTIMIZERS = {"SGD": {"momentum": 0.9}, "Adam": {}, "AdamW": {"amsgrad": True}, "RMSprop": {}, "Adagrad": {}}
MAKINGS: tuple[Making, ...] = (
    *network("a perceptron", perceptron),
    *network("convolutions with norms", convolutions),
    *network("a GRU of one layer", gru(1)),
    *network("a GRU of two layers", gru(2)),
    *network("a GRU in both directions", lambda: nn.GRU(3, 4, bidirectional=True)),
    *network("an LSTM", lambda: nn.LSTM(3, 4, num_layers=2)),
    *network("a transformer", lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
    *network("an embedding that is tied", Tied),
    *network("a module of DataParallel", lambda: nn.DataParallel(perceptron())),
    Making(
        "an average of modules",
        seeded(averaged),
        "torch-state",
        look=lambda m: m.state if isinstance(m, TorchState) else m.state_dict(),
    ),
    Making(
        "tensors with a configuration",
        seeded(lambda: TorchState(perceptron().state_dict(), {"layers": [4, 8, 1]})),
        "torch-state",
        look=lambda kept: {"config": dict(kept.config), **state(kept)},
    ),
    tree("a state dict", lambda: perceptron().state_dict()),
    *(
        tree(f"a checkpoint with {name}", checkpoint(getattr(torch.optim, name), **options))
        for name, options in OPTIMIZERS.items()
    ),
    *(
        tree(f"a tensor of {name}", lambda name=name: torch.tensor([[0, 1], [1, 1]]).to(getattr(torch, name)))
        for name in DTYPES
    ),
    tree("a parameter", lambda: nn.Parameter(torch.ones(2))),
    tree("a list of tensors", lambda: [torch.arange(3.0), torch.arange(4.0)[::2], torch.zeros(0, 2)]),
    tree("a view in two places", lambda: dict.fromkeys("ab", torch.ones(3))),
    refused("a sparse tensor", torch.eye(3).to_sparse(), "torch-tree", "sparse|layout", lambda t: t.to_dense()),
    refused(
        "arrays beside tensors",
        {"w": torch.ones(2), "a": torch.ones(2).numpy()},
        "torch-tree",
        r"\['a'\]",
        lambda d: {"w": d["w"], "a": torch.from_numpy(d["a"])},
    ),
    refused(
        "a dtype in a checkpoint",
        {"w": torch.ones(2), "dtype": torch.float32},
        "torch-tree",
        r"\['dtype'\]",
        lambda d: {**d, "dtype": str(d["dtype"])},
    ),
)
