"""Save a trained model anywhere; load exactly what was trained: a folder or a bucket, no server, no database.

>>> from artifact_store import ArtifactStore, FeatureSchema
>>> store = ArtifactStore("./store/models")

Importing this loads no framework and no storage client; each is imported where it is first needed.
"""

from artifact_store import errors
from artifact_store._version import __version__
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
from artifact_store.ops.keypairs import PublicKey, Signer
from artifact_store.run import Example, Run
from artifact_store.store import ArtifactStore, StoreSpec

__all__ = [
    "ArtifactStore",
    "ArtifactStoreError",
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
    "Location",
    "ModelKey",
    "Observation",
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
    "__version__",
    "errors",
]
