"""What to keep in the place of an object that is no plain value: said in refusals, and it works when it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Final

_BY_NAME: Final[Mapping[str, str]] = {
    "_io._IOBase": "save the pathlib.Path(….name) of its file",
    "argparse.Namespace": "keep its vars(…)",
    "builtins.bytearray": "keep its .hex()",
    "builtins.bytes": "keep its .hex()",
    "builtins.complex": "keep [z.real, z.imag]",
    "builtins.frozenset": "keep its list(…)",
    "builtins.generator": "keep its list(…)",
    "builtins.range": "keep its list(…)",
    "builtins.set": "keep its list(…)",
    "collections.deque": "keep its list(…)",
    "datetime.date": "keep its .isoformat()",
    "datetime.datetime": "keep its .isoformat()",
    "datetime.time": "keep its .isoformat()",
    "datetime.timedelta": "keep its .total_seconds()",
    "decimal.Decimal": "keep its str(…)",
    "fractions.Fraction": "keep its str(…)",
    "numpy.generic": "keep its .item()",
    "numpy.ndarray": "keep its .tolist()",
    "onnx.onnx_ml_pb2.ModelProto": "write it with onnx.save(…), and save the pathlib.Path of that file",
    "pathlib.PurePath": "keep its str(…)",
    "pathlib._local.PurePath": "keep its str(…)",
    "torch.device": "keep its str(…)",
    "torch.dtype": "keep its str(…)",
    "torch.nn.modules.module.Module": "keep its .state_dict()",
    "torch.optim.lr_scheduler.LRScheduler": "keep its .state_dict()",
    "torch.optim.optimizer.Optimizer": "keep its .state_dict()",
    "types.SimpleNamespace": "keep its vars(…)",
    "uuid.UUID": "keep its str(…)",
}
"""By the name of a class, or of one that it derives from."""
_COMPONENTS: Final = frozenset(
    {"numpy.random._generator.Generator", "numpy.random.mtrand.RandomState", "torch._C.Generator"}
)
"""What a codec stores, though not within something else."""
_PLAIN: Final = (bool, int, float, str, dict, list, tuple)


def kept_instead(value: object) -> str:
    """Return what to keep instead of an object within something else; it may derive from a plain one."""
    if any(name in _COMPONENTS for name in _names(value)):
        return "save it as a component of its own"
    return made_of(value) or "leave it out, save it as a component of its own, or keep what it is made of"


def made_of(value: object) -> str:
    """Return what to keep instead of an object that nothing stores, or no text if that is not known."""
    if isinstance(value, Enum):
        return "keep its .name"
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return "keep its .__name__"
    if dataclasses.is_dataclass(value):
        return "keep its dataclasses.asdict(…)"
    plain = next((kind.__name__ for kind in _PLAIN if isinstance(value, kind)), None)
    if plain is not None:
        return f"make it a plain {plain}(…)"
    return next((_BY_NAME[name] for name in _names(value) if name in _BY_NAME), "")


def as_mapping(value: object) -> str:
    """Return how an object becomes a mapping of names to values, or no text if that is not known."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return "give its dataclasses.asdict(…)"
    has_values = any(name in {"argparse.Namespace", "types.SimpleNamespace"} for name in _names(value))
    return "give its vars(…)" if has_values else ""


def _names(value: object) -> list[str]:
    """Return the dotted names of the class of an object, and of those that it derives from."""
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__]
