"""What may be decoded: the policy of the caller, and nothing that an artifact says about itself.

Pure: it is asked before a codec runs and answers by raising, or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from artifact_store.core.codec import Risk
from artifact_store.core.errors import DigestMismatch, InvalidOption, RiskRefused
from artifact_store.core.manifest import Component, Manifest


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """What loading may do by default. ``max_risk="data"`` is the strict one; ``code`` is never a default."""

    max_risk: Risk | str = Risk.VETTED

    def __post_init__(self) -> None:
        try:
            risk = Risk(self.max_risk)
        except ValueError as error:
            raise InvalidOption(f"max_risk is 'data' or 'vetted', not {self.max_risk!r}") from error
        if risk is Risk.CODE:
            raise InvalidOption("no policy allows code for every load; pass allow_code=True or sha256=... to one load")
        object.__setattr__(self, "max_risk", risk)


@dataclass(frozen=True, slots=True)
class Consent:
    """What the caller of one load vouches for, beyond the policy."""

    allow_code: bool = False
    sha256: str | None = None
    """The digest of the run's manifest, or of the component's only file, that the caller got from elsewhere."""


def check(name: str, manifest: Manifest, risk: Risk, policy: LoadPolicy, consent: Consent) -> None:
    """Raise unless the component may be decoded with a codec of this risk.

    ``risk`` is the one of the installed codec; what the manifest records can only make it stricter.

    Raises:
        DigestMismatch: ``consent.sha256`` is given and fits neither the manifest nor the file.
        RiskRefused: the policy does not allow the risk, and the caller did not consent.
    """
    component = manifest.component(name)
    if consent.sha256 is not None and consent.sha256.lower() not in _pins(manifest, component):
        raise DigestMismatch(
            f"{manifest.label} is not what you pinned: neither its manifest nor the file of {name!r} has that sha256",
            expected=consent.sha256,
            actual=manifest.digest,
        )
    worst = max(risk, component.risk, key=lambda each: each.level)
    if worst.level <= Risk(policy.max_risk).level:
        return
    if worst is Risk.CODE and (consent.allow_code or consent.sha256 is not None):
        return
    remedy = (
        "only if you trust whoever wrote it, pass allow_code=True, or its sha256= from a source you trust"
        if worst is Risk.CODE
        else f"this store's policy is max_risk={str(policy.max_risk)!r}"
    )
    raise RiskRefused(
        f"decoding {name!r} of {manifest.label} with the codec {component.codec.ref} has the risk {worst.value!r}: "
        f"{remedy}"
    )


def _pins(manifest: Manifest, component: Component) -> set[str]:
    pins = {manifest.digest}
    if len(component.files) == 1:
        pins.add(manifest.file(component.files[0]).sha256)
    return pins
