"""Which objects are torch's, though their types are Python's: whatever holds a tensor, and states of optimizers.

Imports no torch: while nobody else has, there is no tensor.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Final

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_OPTIMIZER: Final = {"state", "param_groups"}
_SCHEDULER: Final = "_last_lr"


def holds_torch(obj: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether there is a tensor anywhere in it, or it is a state of an optimizer or scheduler beyond JSON.

    Such a state has no tensors before the first step, but tuples, infinities and counters.
    """
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    if tensor is None:
        return False
    state, bent, seen, waiting = _is_state(obj), False, {id(obj)}, [obj]
    while waiting:
        node = waiting.pop()
        parts: Any = node.values() if isinstance(node, dict) else node
        kinds = {*map(type, parts)}  # most hold few kinds: what is asked of each kind is not asked of each part
        bent = bent or (state and _beyond_json(node, parts))
        if kinds <= _PLAIN:
            continue
        if any(issubclass(kind, tensor) for kind in kinds):
            return True
        inner = [part for part in parts if isinstance(part, dict | list | tuple) and id(part) not in seen]
        seen.update(map(id, inner))
        waiting += inner
    return bent


def _beyond_json(node: Any, parts: Any) -> bool:
    if type(node) not in (dict, list) or (type(node) is dict and not {*map(type, node)} <= {str}):
        return True
    return any(type(part) is float and not math.isfinite(part) for part in parts)


def _is_state(obj: Any) -> bool:
    """Tell whether ``obj`` looks like the state of an optimizer or of a scheduler."""
    if type(obj) is not dict:
        return False
    groups = obj.get("param_groups")
    if obj.keys() == _OPTIMIZER and isinstance(groups, list) and groups:
        return all(isinstance(group, dict) and "params" in group for group in groups)
    return isinstance(obj.get(_SCHEDULER), list)
