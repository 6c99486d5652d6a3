"""torch state dicts as safetensors, with a configuration in JSON beside them.

A checkpoint is numbers and a description, and neither needs a pickle: ``torch.save`` writes one, and reading it can run
anything. What is kept: every tensor bit for bit, the order of the names, which tensors are tied, the versions of the
modules (``state_dict()._metadata``), and the configuration from which the caller builds the network again. What is not:
the class of the network, devices, memory order, and whether a tensor was a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from artifact_store.codecs import files
from artifact_store.codecs.documents import check_json
from artifact_store.codecs.files import all_or_nothing, dotted, import_library, read_settings, write_settings
from artifact_store.codecs.torch.filling import fill, layers_of
from artifact_store.codecs.torch.tensors import read_tensors, write_tensors
from artifact_store.codecs.torch.versions import versions_of, with_versions
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import InvalidOption


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
    are on the CPU, contiguous, in memory of their own. Of a module that ``torch.compile``, ``DataParallel`` or
    ``DistributedDataParallel`` returned, the module inside is stored, and the option ``unwrapped`` says so; ``into=``
    may be wrapped or not. An ``AveragedModel`` is stored as it is, with its count.
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
        layers = layers_of(obj)
        kept = obj if isinstance(obj, TorchState) else TorchState(layers[-1].state_dict())
        files.refuse_subclass(kept, TorchState)
        config = dict(kept.config)
        check_json(config, "config", depth=2)
        versions = versions_of(kept.state, "state")
        with all_or_nothing(directory, stem):
            tensors = write_tensors(self, dict(kept.state), directory / f"{stem}.safetensors")
            settings: dict[str, Any] = {"config": config, "tensors": tensors}
            if versions is not None:
                settings["versions"] = versions
            write_settings(directory / f"{stem}.json", settings)
        return {"unwrapped": [dotted(type(layer)) for layer in layers[:-1]]} if len(layers) > 1 else {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return a :class:`TorchState`, or ``into``, a module that has exactly these tensors, filled with them.

        Raises:
            InvalidOption: ``into`` is not a module, has other tensors, or some that share memory and for which
                different values were saved; it is as it was.
        """
        del options
        settings = read_settings(directory / f"{stem}.json")
        config = files.field(settings, "config", dict)
        torch = import_library("torch", self)
        if into is not None and not isinstance(into, torch.nn.Module):
            raise InvalidOption(f"into= is a {type(into).__qualname__}, and only a torch.nn.Module can be filled")
        state = read_tensors(self, files.field(settings, "tensors", dict), directory / f"{stem}.safetensors")
        if "versions" in settings:
            state = with_versions(state, settings["versions"], stem)
        if into is None:
            return TorchState(state, config)
        fill(into, state, torch)
        return into
