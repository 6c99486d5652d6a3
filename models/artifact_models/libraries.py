"""The libraries that training takes, imported when it begins. What loading takes the store imports, and says so."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from artifact_store import errors
from artifact_store.installing import pip_install


def library(module: str, family: str) -> Any:
    """Import ``module``, which a family of models cannot be trained without.

    Raises:
        Unsupported: it is not installed, or broken; the text says what to install.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as missing:  # OSError: there is a module, but not the shared library below it
        raise errors.Unsupported(
            f"a library for training is not installed ({missing}): {pip_install(family, of='artifact-store-models')}"
        ) from missing
