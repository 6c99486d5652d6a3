"""torch state dicts as safetensors, with a configuration in JSON beside them.

A checkpoint is numbers and a description, and neither needs a pickle: ``torch.save`` writes one, and reading it can run
anything. What is kept: every tensor bit for bit, the order of the names, which tensors are tied, and the configuration
from which the caller builds the network again. What is not: the class of the network, devices, memory order, and
whether a tensor was a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from artifact_store.codecs import files
from artifact_store.codecs.documents import check_json
from artifact_store.codecs.files import all_or_nothing, import_library, read_settings, write_settings
from artifact_store.codecs.torch.tensors import read_tensors, write_tensors
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import InvalidOption

_SHOWN = 20


@dataclass(frozen=True, eq=False)
class TorchState:
    """The tensors of a network by name, and in ``config`` (JSON) what it takes to build the network again."""

    state: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.state)} tensors, config={dict(self.config)!r})"


class TorchStateCodec:
    """Store a :class:`TorchState`, or a module's state dict, in ``{stem}.safetensors`` and ``{stem}.json``.

    A module comes back as a ``TorchState``, since its class is code: load it ``into=`` a module that you made. Tensors
    are on the CPU, contiguous, in memory of their own.
    """

    name: ClassVar[str] = "torch-state"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "artifact_store.codecs.torch.state.TorchState",
        "torch.nn.modules.module.Module",
    )
    extra: ClassVar[str | None] = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write tensors and configuration; refuse all but plain tensors, and a configuration that is not JSON."""
        kept = obj if isinstance(obj, TorchState) else TorchState(obj.state_dict())
        files.refuse_subclass(kept, TorchState)
        config = dict(kept.config)
        check_json(config, "config", depth=2)
        with all_or_nothing(directory, stem):
            tensors = write_tensors(self, dict(kept.state), directory / f"{stem}.safetensors")
            write_settings(directory / f"{stem}.json", {"config": config, "tensors": tensors})
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return a :class:`TorchState`, or ``into``, a module that has exactly these tensors, filled with them.

        Raises:
            InvalidOption: ``into`` is not a module, or has other tensors; it is as it was.
        """
        del options
        settings = read_settings(directory / f"{stem}.json")
        config = files.field(settings, "config", dict)
        if into is not None and not isinstance(into, import_library("torch.nn", self).Module):
            raise InvalidOption(f"into= is a {type(into).__qualname__}, and only a torch.nn.Module can be filled")
        state = read_tensors(self, files.field(settings, "tensors", dict), directory / f"{stem}.safetensors")
        if into is None:
            return TorchState(state, config)
        problems = differences(into.state_dict(), state)
        if problems:
            raise InvalidOption(f"into= does not fit what was saved: {'; '.join(problems)}. Nothing was loaded")
        into.load_state_dict(state, strict=True)
        return into


def differences(own: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """Return in words how the tensors of a module differ from those that were saved, or nothing."""
    unlike = [
        f"{name} is {_form(own[name])} here and {_form(tensor)} as saved"
        for name, tensor in saved.items()
        if name in own and _form(own[name]) != _form(tensor)
    ]
    found = {
        "missing (in the module, not saved)": [name for name in own if name not in saved],
        "unexpected (saved, not in the module)": [name for name in saved if name not in own],
        "other shape or dtype": unlike,
    }
    return [f"{what}: {_listed(names)}" for what, names in found.items() if names]


def _form(tensor: Any) -> str:
    if hasattr(tensor, "materialize"):  # of a lazy module, before its first input
        return "not initialised"
    shape, dtype = getattr(tensor, "shape", None), getattr(tensor, "dtype", None)
    if shape is None or dtype is None:  # what get_extra_state returns
        return f"a {type(tensor).__qualname__}"
    return f"{'meta ' if tensor.is_meta else ''}{str(dtype).removeprefix('torch.')}{list(shape)}"


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
