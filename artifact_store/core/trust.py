"""What may be decoded: the policy of the caller, and nothing that an artifact says about itself.

Pure: it is asked before a codec runs and answers by raising, or not.

Why: docs/decisions/0013-trust-before-decode.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from artifact_store.core.codec import Risk
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Pointer
from artifact_store.core.statement import check_statement, decode64, message, read_bundle
from artifact_store.errors import (
    DigestMismatch,
    InvalidOption,
    RiskRefused,
    SignatureInvalid,
    SignatureMissing,
    UntrustedKey,
)


@runtime_checkable
class TrustedKey(Protocol):
    """What can tell whether a signature is its own. :class:`~artifact_store.PublicKey` is one."""

    key_id: str
    """The sha256 of the public key."""

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Tell whether this key made ``signature`` over ``signed``."""


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """What loading may do by default. ``max_risk="data"`` is the strict one; ``code`` is never a default.

    ``trusted_keys`` are public keys of your own choice, got from elsewhere than the store. A run that one of them
    signed may be decoded even if its codec runs code, and a signer publishes over what they have signed. With
    ``require_signature`` nothing else is decoded, opened or downloaded at all, and an alias counts only if its pointer
    is signed as well. ``max_age`` then is how long ago a pointer may have been signed.
    """

    max_risk: Risk | str = Risk.VETTED
    trusted_keys: Sequence[TrustedKey] = ()
    require_signature: bool = False
    max_age: timedelta | None = None

    def __post_init__(self) -> None:
        try:
            risk = Risk(self.max_risk)
        except ValueError as error:
            raise InvalidOption(f"max_risk is 'data' or 'vetted', not {self.max_risk!r}") from error
        if risk is Risk.CODE:
            raise InvalidOption("no policy allows code for every load; pass allow_code=True or sha256=... to one load")
        object.__setattr__(self, "max_risk", risk)
        object.__setattr__(self, "trusted_keys", _key_values(self.trusted_keys))
        if self.require_signature and not self.trusted_keys:
            raise InvalidOption("require_signature needs trusted_keys: whose signature would do?")
        if self.max_age is not None and not (self.require_signature and isinstance(self.max_age, timedelta)):
            raise InvalidOption("max_age is a timedelta, and means something only with require_signature=True")

    def key(self, key_id: str) -> TrustedKey | None:
        """Return the trusted key with this id."""
        return next((key for key in self.trusted_keys if key.key_id == key_id), None)


@dataclass(frozen=True, slots=True)
class Consent:
    """What the caller of one load accepts, beyond the policy."""

    allow_code: bool = False
    sha256: str | None = None
    """The digest of the run's manifest, or of the component's only file, that the caller got from elsewhere."""


def check_risk(name: str, manifest: Manifest, risk: Risk, policy: LoadPolicy, consent: Consent) -> bool:
    """Raise unless the component may be decoded with a codec of this risk; tell whether only after its signature.

    Where it returns true, decoding has to wait until a signature of the run by a trusted key was verified.
    ``risk`` is the one of the installed codec; what the manifest records can only make it stricter.

    Raises:
        DigestMismatch: ``consent.sha256`` is given and fits neither the manifest nor the file.
        RiskRefused: the policy does not allow the risk, and the caller did not consent.
    """
    component = manifest.component(name)
    if not isinstance(consent.sha256, str | None):
        raise InvalidOption(f"sha256 is a digest as text, not {consent.sha256!r}")
    single = [manifest.file(component.files[0]).sha256] if len(component.files) == 1 else []
    if consent.sha256 is not None and consent.sha256.lower() not in {manifest.digest, *single}:
        raise DigestMismatch(
            f"{manifest.label} is not what you pinned: neither its manifest nor the file of {name!r} has that sha256",
            expected=consent.sha256,
            actual=manifest.digest,
        )
    worst = max(risk, component.risk, key=lambda each: each.level)
    if worst.level <= Risk(policy.max_risk).level:
        return policy.require_signature
    if worst is Risk.CODE and (consent.allow_code or consent.sha256 is not None):
        return policy.require_signature
    if worst is Risk.CODE and policy.trusted_keys:
        return True
    remedy = (
        "only if you trust its author, pass allow_code=True (or --allow-code to the command validate), its sha256= "
        "from a source you trust, or a policy with the trusted_keys= of its signer"
        if worst is Risk.CODE
        else f"this store's policy is max_risk={str(policy.max_risk)!r}"
    )
    raise RiskRefused(
        f"decoding {name!r} of {manifest.label} with the codec {component.codec.ref} has the risk {worst.value!r}: "
        f"{remedy}"
    )


def check_signature(data: bytes, key: TrustedKey, manifest: Manifest, what: str) -> None:
    """Raise ``SignatureInvalid`` unless this is the key's signature, verified before it is read, of this very run."""
    check_statement(signed_payload(data, key, what), manifest, what)


def signed_payload(data: bytes, key: TrustedKey, what: str) -> bytes:
    """Return the statement in a bundle, or raise ``SignatureInvalid`` if the key did not sign it."""
    bundle = read_bundle(data, what)
    if bundle.key_id != key.key_id or not key.verifies(bundle.signature, message(bundle.payload)):
        raise SignatureInvalid(f"{what} was not made by the key {key.key_id[:16]}, or was changed afterwards")
    return bundle.payload


def check_pointer(pointer: Pointer, policy: LoadPolicy, what: str) -> str:
    """Return for which store a trusted key signed this pointer, or raise ``Untrusted`` if none did."""
    signature = pointer.signature
    if signature is None:
        raise SignatureMissing(
            f"{what} is not signed, and the policy requires that: publish again through a store with signer=..."
        )
    key = policy.key(signature.key_id)
    if key is None:
        raise UntrustedKey(
            f"{what} is signed by the key {signature.key_id[:16]}, which the policy does not trust",
            key_ids=[signature.key_id],
        )
    sig = decode64(signature.sig)
    if sig is None or not key.verifies(sig, pointer.signed_message()):
        raise SignatureInvalid(f"{what} was changed after the key {key.key_id[:16]} signed it, or never signed by it")
    return signature.store_id


def _key_values(given: object) -> tuple[TrustedKey, ...]:
    """Return the keys, or say how to make them."""
    if not isinstance(given, Sequence) or not all(isinstance(key, TrustedKey) for key in given):
        raise InvalidOption("trusted_keys is a list of keys: [PublicKey.from_pem('someone.pub')]")
    return tuple(given)
