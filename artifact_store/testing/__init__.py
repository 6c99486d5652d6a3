"""What plug-ins prove themselves with: suites to subclass, and a backend that fails on demand.

``BackendSuite`` and ``CodecSuite`` need pytest and are imported when they are first asked for; ``FaultyBackend``
needs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from artifact_store.testing.faulty import Faults, FaultyBackend, SimulatedCrash

if TYPE_CHECKING:
    from artifact_store.testing.backend_suite import BackendSuite
    from artifact_store.testing.codec_suite import CodecSuite

_SUITES = {"BackendSuite": "artifact_store.testing.backend_suite", "CodecSuite": "artifact_store.testing.codec_suite"}
_ASSERTING = (
    *_SUITES.values(),
    "artifact_store.testing.backend_conditions",
    "artifact_store.testing.backend_files",
    "artifact_store.testing.backend_tools",
)

__all__ = ["BackendSuite", "CodecSuite", "Faults", "FaultyBackend", "SimulatedCrash"]


def __getattr__(name: str) -> object:
    if name not in _SUITES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    # so that a failing assertion shows its values, as in a test module
    pytest.register_assert_rewrite(*(module for module in _ASSERTING if module not in sys.modules))
    return getattr(importlib.import_module(_SUITES[name]), name)
