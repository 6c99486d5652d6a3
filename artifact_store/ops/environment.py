"""Where a run was made: interpreter, platform and versions of libraries; and how that compares with this process."""

from __future__ import annotations

import math
import platform
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from artifact_store._version import __version__
from artifact_store.core.codec import Risk, libraries_of
from artifact_store.core.compatibility import Environment, EnvironmentVerdict, Need, compare_environments
from artifact_store.core.manifest import Component, Manifest
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import CodecUnavailable
from artifact_store.ops.imported import Distributions, is_plain


def describe_process(libraries: Iterable[str], imported: Mapping[str, str]) -> dict[str, Any]:
    """Return the interpreter, the platform, and the versions of ``libraries`` and of what else is ``imported``."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "packages": {**imported, **_installed(libraries), "artifact-store": __version__},
    }


def verdict(registry: CodecRegistry, manifest: Manifest) -> EnvironmentVerdict:
    """Compare where a run was saved with this process. Imports no library that its codecs depend on."""
    saved = Environment.recorded(manifest.environment)
    needs = [_need(registry, component, saved.packages) for component in manifest.components.values()]
    here = describe_process({name for need in needs for name in need.libraries}, {})
    return compare_environments(saved, Environment.recorded(here), needs)


def _need(registry: CodecRegistry, component: Component, packages: Collection[str]) -> Need:
    """Return what a component depends on: what its codec says, or what it records where there is no such codec here."""
    ref = component.codec.ref
    try:
        codec = registry.for_ref(ref)
    except CodecUnavailable:
        return Need(str(ref), component.risk, (), installed=False)
    own = libraries_of(codec)
    if codec.risk is not Risk.DATA:  # it makes objects of the library that the type is from
        top = component.type.partition(".")[0]
        own += tuple(name for name in _distributions().owners(top) or [top] if name in packages and name not in own)
    return Need(str(ref), codec.risk, own)


@cache
def _distributions() -> Distributions:
    found = Distributions()
    found.read_until(math.inf)
    return found


def _installed(names: Iterable[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        try:
            text = version(name)
        except PackageNotFoundError:
            continue
        if is_plain(text):
            found[name] = text
    return found
