"""Where a run was made: interpreter, platform, and the versions of the libraries that were in use.

Recorded with every run, for people who want to know why a model behaves differently elsewhere. Nothing depends on it.
"""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from artifact_store._version import __version__

_LIBRARIES = {
    "gymnasium": "gymnasium",
    "lightgbm": "lightgbm",
    "numpy": "numpy",
    "pandas": "pandas",
    "polars": "polars",
    "pyarrow": "pyarrow",
    "sklearn": "scikit-learn",
    "stable_baselines3": "stable-baselines3",
    "torch": "torch",
}


def describe() -> dict[str, Any]:
    """Return the interpreter, the platform and the libraries that this process has imported."""
    packages = {"artifact-store": __version__}
    for module, distribution in _LIBRARIES.items():
        if module in sys.modules:
            try:
                packages[distribution] = version(distribution)
            except PackageNotFoundError:  # imported from a source tree: it has no version to tell
                continue
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "packages": packages,
    }
