"""Tensors in nested dicts and lists, as training scripts save them: a state dict, a checkpoint, an optimizer's state.

The tensors are in safetensors, and the tree that holds them is JSON: ``FORMAT.md`` has it. All comes back as it was,
the order of keys, integer keys, tuples, NaN, the versions of modules, ties and ``requires_grad`` included; tensors are
on the CPU and contiguous. Gradients, the graph that they come from, and attributes that somebody gave a tensor (as
``torch.nn.Buffer`` does) are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, import_library, read_settings, write_settings
from artifact_store.codecs.torch.held import holds_torch
from artifact_store.codecs.torch.packing import TensorPacker, TensorUnpacker
from artifact_store.codecs.torch.tensors import read_tensors, write_tensors
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import InvalidOption


class TorchTreeCodec:
    """Store a tensor, or dicts, lists and tuples that hold some, in ``{stem}.safetensors`` and ``{stem}.json``."""

    name: ClassVar[str] = "torch-tree"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "torch.Tensor",
        "collections.OrderedDict",
        *(f"builtins.{name}" for name in ("dict", "list", "tuple")),
    )
    extra: ClassVar[str | None] = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def accepts(self, obj: Any) -> bool:
        """Take what holds a tensor, and states of optimizers and schedulers that JSON cannot hold."""
        return not isinstance(obj, dict | list | tuple) or holds_torch(obj)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write tensors and tree; refuse what would come back as something else, with its path."""
        torch = import_library("torch", self)
        packer = TensorPacker(torch.Tensor, torch.nn.Parameter)
        tree = packer.pack(obj, "the object")
        with all_or_nothing(directory, stem):
            tensors = write_tensors(self, packer.leaves, directory / f"{stem}.safetensors")
            write_settings(directory / f"{stem}.json", {"tensors": tensors, "tree": tree})
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return the same nested dicts and lists.

        Raises:
            InvalidOption: there is something to fill; that is up to its ``load_state_dict``.
        """
        del options
        if into is not None:
            raise InvalidOption(
                "what was saved is dicts, lists or tensors, and makes new ones: leave out into=, and give the part "
                "that belongs there to load_state_dict of the module or optimizer"
            )
        settings = read_settings(directory / f"{stem}.json")
        torch = import_library("torch", self)
        tensors = read_tensors(self, files.field(settings, "tensors", dict), directory / f"{stem}.safetensors")
        return TensorUnpacker(tensors, torch.nn.Parameter).whole(settings.get("tree"), stem)
