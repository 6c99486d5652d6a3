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
    bent, seen, waiting = False, {id(obj)}, [obj]
    while waiting:
        node = waiting.pop()
        bent = bent or type(node) not in (dict, list) or (type(node) is dict and {*map(type, node)} - {str} != set())
        parts: Any = node.values() if isinstance(node, dict) else node
        kinds = {*map(type, parts)}
        if kinds <= _PLAIN:  # most lists and dicts, at the speed of the interpreter's own loops
            bent = bent or (float in kinds and not all(math.isfinite(part) for part in parts if type(part) is float))
            continue
        for part in parts:
            if isinstance(part, tensor):
                return True
            if isinstance(part, dict | list | tuple):
                if id(part) not in seen:
                    seen.add(id(part))
                    waiting.append(part)
            elif type(part) is float:
                bent = bent or not math.isfinite(part)
    return bent and _is_state(obj)


def _is_state(obj: Any) -> bool:
    """Tell whether ``obj`` looks like the state of an optimizer or of a scheduler."""
    if type(obj) is not dict:
        return False
    groups = obj.get("param_groups")
    if obj.keys() == _OPTIMIZER and isinstance(groups, list) and groups:
        return all(isinstance(group, dict) and "params" in group for group in groups)
    return isinstance(obj.get(_SCHEDULER), list)
