"""The tensors in a tree: one that stands in two places is one tensor again, with the same name in both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import dotted
from artifact_store.codecs.trees import TreePacker, TreeUnpacker, invalid, only
from artifact_store.errors import Corrupt

_RESERVED: Final = "__metadata__"
_WAYS_OUT: Final = {
    "numpy.ndarray": "make it a tensor with torch.from_numpy(…)",
    "torch.Size": "make it a tuple(…)",
}


class TensorPacker(TreePacker):
    """Makes JSON of a tree of tensors; ``leaves`` are the tensors by name."""

    LEAVES: ClassVar[str] = "tensors, "

    def __init__(self, tensor: type, parameter: type) -> None:
        """Take the classes ``torch.Tensor`` and ``torch.nn.Parameter``."""
        super().__init__()
        self._tensor, self._parameter = tensor, parameter

    def _leaf(self, value: Any, where: str, name: str) -> dict[str, Any] | None:
        del where
        if not isinstance(value, self._tensor):
            return None
        kind = "parameter" if type(value) is self._parameter else "tensor"
        tensor: Any = value
        return {kind: self._named(tensor, name), **({"requires_grad": True} if tensor.requires_grad else {})}

    def _free(self, name: str) -> str:
        """Return a name that no other tensor has; it only has to be one, but is the path where that is possible."""
        wanted = name or "tensor"
        free, count = wanted, 1
        while free in self.leaves or free == _RESERVED:
            count += 1
            free = f"{wanted}#{count}"
        return free

    def _way_out(self, value: Any) -> str:
        return _WAYS_OUT.get(dotted(type(value))) or super()._way_out(value)


class TensorUnpacker(TreeUnpacker):
    """Makes what a :class:`TensorPacker` was given, of its JSON and the tensors that it named."""

    LEAF_KINDS: ClassVar[tuple[str, ...]] = ("tensor", "parameter")

    def __init__(self, tensors: Mapping[str, Any], parameter: Callable[..., Any]) -> None:
        """Take the tensors by name, and the class ``torch.nn.Parameter``."""
        super().__init__(tensors)
        self._parameter = parameter

    def _leaf(self, record: dict[str, Any], kind: str, where: str) -> Any:
        only(record, where, kind, "requires_grad")
        grad = record.get("requires_grad", False)
        if type(grad) is not bool:
            raise invalid(record, where)
        return self._once(record[kind], record, where, lambda tensor: self._with_grad(tensor, kind, where, grad=grad))

    def _with_grad(self, tensor: Any, kind: str, where: str, *, grad: bool) -> Any:
        if grad and not (tensor.is_floating_point() or tensor.is_complex()):
            raise Corrupt(f"{where} is recorded with a gradient, and is not made of floats")
        return self._parameter(tensor, requires_grad=grad) if kind == "parameter" else tensor.requires_grad_(grad)
