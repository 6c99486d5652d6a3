"""What to keep in the place of an object that is no plain value: said in refusals, and it works when it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Final

from artifact_store.codecs.files import dotted

_BY_NAME: Final[Mapping[str, str]] = {
    "argparse.Namespace": "keep its vars(…)",
    "builtins.bytearray": "keep its .hex()",
    "builtins.bytes": "keep its .hex()",
    "builtins.complex": "keep [z.real, z.imag]",
    "builtins.frozenset": "keep its list(…)",
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
    "numpy.random._generator.Generator": "save it as a component of its own",
    "numpy.random.mtrand.RandomState": "save it as a component of its own",
    "pathlib.PurePath": "keep its str(…)",
    "pathlib._local.PurePath": "keep its str(…)",
    "torch._C.Generator": "save it as a component of its own",
    "uuid.UUID": "keep its str(…)",
}
"""By the name of a class, or of one that it derives from."""
_PLAIN: Final = (bool, int, float, str, dict, list, tuple)


def kept_instead(value: object) -> str:
    """Return what to keep instead of an object, which may derive from a plain one."""
    if isinstance(value, Enum):
        return "keep its .name"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return "keep its dataclasses.asdict(…)"
    plain = next((kind.__name__ for kind in _PLAIN if isinstance(value, kind)), None)
    if plain is not None:
        return f"make it a plain {plain}(…)"
    known = (_BY_NAME[name] for name in map(dotted, type(value).__mro__) if name in _BY_NAME)
    return next(known, "leave it out, save it as a component of its own, or keep what it is made of")
