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
_ASSERTING = ("backend_suite", "backend_conditions", "backend_files", "backend_tools", "codec_suite")

__all__ = ["BackendSuite", "CodecSuite", "Faults", "FaultyBackend", "SimulatedCrash"]


def __getattr__(name: str) -> object:
    if name not in _SUITES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    # so that a failing assertion shows its values, as in a test module
    modules = (f"{__name__}.{part}" for part in _ASSERTING)
    pytest.register_assert_rewrite(*(module for module in modules if module not in sys.modules))
    return getattr(importlib.import_module(_SUITES[name]), name)
