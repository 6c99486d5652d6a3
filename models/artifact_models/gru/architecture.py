"""What a stored state says about the network that it belongs to. The shapes of its tensors are the truth.

Knows names and shapes; imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from artifact_store import errors

INPUT_WEIGHT = "gru.weight_ih_l0"


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of a network: all that there is to know to build it, but for ``dropout``, which predicting ignores."""

    input_size: int
    hidden_size: int
    num_layers: int
    fc_size: int
    output_size: int

    def to_config(self) -> dict[str, int]:
        """Return the sizes by the names that they have in a run's ``config``."""
        return asdict(self)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Read the sizes from the shapes of a state's tensors.

        Raises:
            Corrupt: it is not the state of this network; the text says what is missing or left over.
        """
        layers = sum(name.startswith("gru.weight_ih_l") for name in state)
        expected = {
            *(f"gru.{kind}_l{layer}" for layer in range(layers) for kind in _KINDS),
            *(f"{layer}.{kind}" for layer in ("fc1", "fc2") for kind in ("weight", "bias")),
        }
        if not layers or set(state) != expected:
            missing, left = sorted(expected - set(state)), sorted(set(state) - expected)
            raise errors.Corrupt(
                f"this is not the state of a GRU with fc1 and fc2: missing {missing or 'nothing'}, "
                f"not known {left or 'nothing'}"
            )
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if any(len(shape) != 1 + ("weight" in name) for name, shape in shapes.items()):
            raise errors.Corrupt(f"the weights of a GRU are matrices and its biases vectors, and not {shapes}")
        found = cls(
            input_size=shapes[INPUT_WEIGHT][1],
            hidden_size=shapes["gru.weight_hh_l0"][1],
            num_layers=layers,
            fc_size=shapes["fc1.weight"][0],
            output_size=shapes["fc2.weight"][0],
        )
        wrong = {name: shape for name, shape in shapes.items() if shape != found._shape(name)}
        if wrong or 0 in asdict(found).values():
            raise errors.Corrupt(f"the tensors of this GRU do not fit together: {wrong or asdict(found)}")
        return found

    def _shape(self, name: str) -> tuple[int, ...]:
        gates = 3 * self.hidden_size
        match name.split("."):
            case ["fc1", "weight"]:
                return (self.fc_size, self.hidden_size)
            case ["fc2", "weight"]:
                return (self.output_size, self.fc_size)
            case ["fc1", "bias"]:
                return (self.fc_size,)
            case ["fc2", "bias"]:
                return (self.output_size,)
        if "bias" in name:
            return (gates,)
        return (gates, self.input_size if name == INPUT_WEIGHT else self.hidden_size)


_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
