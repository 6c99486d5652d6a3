"""Keys for tests, made once: real ones, since nothing here can be shown with made-up signatures."""

from functools import cache

from artifact_store import LoadPolicy, PublicKey, Signer
from artifact_store.ops.keypairs import generate


@cache
def _pem(name: str) -> bytes:
    return generate()[0]


def pem(name: str = "owner") -> bytes:
    """The private key of somebody, in PEM form; the same for the whole run."""
    return _pem(name)


def signer(name: str = "owner") -> Signer:
    return Signer.from_pem(pem(name))


def public(name: str = "owner") -> PublicKey:
    return signer(name).public_key


def strict(*names: str, **more: object) -> LoadPolicy:
    """A policy that takes only what one of these people signed."""
    return LoadPolicy(trusted_keys=[public(name) for name in names or ("owner",)], require_signature=True, **more)
