"""Save a trained model anywhere; load exactly what was trained: a folder or a bucket, no server, no database.

>>> from artifact_store import ArtifactStore, FeatureSchema
>>> store = ArtifactStore("./store/models")

Importing this loads no framework and no storage client; each is imported where it is first needed, and so is each name
below.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from artifact_store._version import __version__

if TYPE_CHECKING:
    from artifact_store import errors
    from artifact_store.codecs.torch.state import TorchState
    from artifact_store.core.codec import Codec, CodecRef, Risk
    from artifact_store.core.files import Digest, Progress
    from artifact_store.core.names import ModelKey, RunId
    from artifact_store.core.pointer import Pointer, Publish
    from artifact_store.core.policy import Expect, IfBetter
    from artifact_store.core.references import Location, RunRef
    from artifact_store.core.registry import CodecRegistry
    from artifact_store.core.trust import LoadPolicy
    from artifact_store.draft import Draft
    from artifact_store.errors import ArtifactStoreError
    from artifact_store.features.schema import FeatureSchema, Observation
    from artifact_store.loading import Loaded, LoadedMany
    from artifact_store.ops.cached import Cache
    from artifact_store.ops.keypairs import PublicKey, Signer
    from artifact_store.ops.remembering import OfflineWarning
    from artifact_store.run import Example, Run
    from artifact_store.store import ArtifactStore, StoreSpec
    from artifact_store.watching import Watched, Watcher

__all__ = [
    "ArtifactStore",
    "ArtifactStoreError",
    "Cache",
    "Codec",
    "CodecRef",
    "CodecRegistry",
    "Digest",
    "Draft",
    "Example",
    "Expect",
    "FeatureSchema",
    "IfBetter",
    "LoadPolicy",
    "Loaded",
    "LoadedMany",
    "Location",
    "ModelKey",
    "Observation",
    "OfflineWarning",
    "Pointer",
    "Progress",
    "PublicKey",
    "Publish",
    "Risk",
    "Run",
    "RunId",
    "RunRef",
    "Signer",
    "StoreSpec",
    "TorchState",
    "Watched",
    "Watcher",
    "__version__",
    "errors",
]

_HOMES = {
    "codecs.torch.state": ("TorchState",),
    "core.codec": ("Codec", "CodecRef", "Risk"),
    "core.files": ("Digest", "Progress"),
    "core.names": ("ModelKey", "RunId"),
    "core.pointer": ("Pointer", "Publish"),
    "core.policy": ("Expect", "IfBetter"),
    "core.references": ("Location", "RunRef"),
    "core.registry": ("CodecRegistry",),
    "core.trust": ("LoadPolicy",),
    "draft": ("Draft",),
    "errors": ("ArtifactStoreError",),
    "features.schema": ("FeatureSchema", "Observation"),
    "loading": ("Loaded", "LoadedMany"),
    "ops.cached": ("Cache",),
    "ops.keypairs": ("PublicKey", "Signer"),
    "ops.remembering": ("OfflineWarning",),
    "run": ("Example", "Run"),
    "store": ("ArtifactStore", "StoreSpec"),
    "watching": ("Watched", "Watcher"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Return a public name from the module where it is at home, which is imported now."""
    if name == "errors":
        return import_module("artifact_store.errors")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"artifact_store.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    """Return what the module has, what is not imported yet included."""
    return sorted({*globals(), *__all__})
