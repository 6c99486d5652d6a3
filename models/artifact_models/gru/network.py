"""The network: a GRU, and two linear layers on the last of its hidden states. The one module that defines it.

Its parameters have the names that all stored states use: ``gru.*``, ``fc1.*``, ``fc2.*``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from artifact_models.gru.architecture import Architecture


class GRUNetwork(nn.Module):
    """Windows of rows ``(n, sequence, input_size)`` in, ``(n, output_size)`` out."""

    def __init__(self, architecture: Architecture, *, dropout: float = 0.0) -> None:
        super().__init__()
        layers = architecture.num_layers
        self.gru = nn.GRU(
            architecture.input_size,
            architecture.hidden_size,
            num_layers=layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,  # torch drops out between layers, and warns if there is no between
        )
        self.fc1 = nn.Linear(architecture.hidden_size, architecture.fc_size)
        self.fc2 = nn.Linear(architecture.fc_size, architecture.output_size)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return one row of outputs for each window."""
        hidden, _ = self.gru(windows)
        outputs: torch.Tensor = self.fc2(torch.relu(self.fc1(hidden[:, -1])))
        return outputs


def restored(state: Mapping[str, Any]) -> GRUNetwork:
    """Return the network of a stored state, ready to predict.

    Raises:
        Corrupt: it is the state of another network.
    """
    network = GRUNetwork(Architecture.of(state))
    network.load_state_dict(dict(state))
    return network.eval()


def outputs(network: GRUNetwork, windows: Any, *, batch_size: int = 1024) -> Any:
    """Return the outputs for an array of windows as an array, batch by batch, without gradients."""
    import numpy as np

    made = []
    with torch.inference_mode():
        for start in range(0, len(windows), batch_size):
            batch = torch.from_numpy(windows[start : start + batch_size].copy())  # torch warns of read-only views
            made.append(network(batch).numpy())
    return np.concatenate(made)
