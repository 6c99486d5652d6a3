"""What ``verify`` and ``sign`` do with a reference, and under whose keys: one reports damage, the other raises it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from artifact_store.core.keys import ModelKey
from artifact_store.core.manifest import Manifest
from artifact_store.core.references import RefLike, RunRef, has_selector
from artifact_store.core.trust import TrustedKey
from artifact_store.errors import InvalidOption, ModelNotFound
from artifact_store.ops import audit, listing, resolve, signing
from artifact_store.ops.context import Context
from artifact_store.ops.keypairs import PublicKey, Signer


def verify(
    context: Context,
    what: RefLike | Manifest | None,
    *,
    golden: audit.Golden | None,
    trusted: Sequence[TrustedKey] | None,
) -> audit.Report:
    """Check a run, a model or everything; with ``trusted``, that it is signed by one of these keys as well.

    Raises:
        NotFound: the reference names nothing.
        Unavailable: the storage does not answer.
    """
    if trusted is not None:
        policy = replace(context.policy, trusted_keys=trusted, require_signature=True)
        context = replace(context, policy=policy, vouched={})
    if isinstance(what, Manifest):
        return audit.Report([audit.verify_run(context, what, golden)])
    if what is None:
        return audit.verify_models(context, listing.models(context), golden)
    if not has_selector(what):
        return _verify_model(context, RunRef.parse(what).key, golden)
    parsed = RunRef.parse(what)
    if parsed.run_id is not None:
        return audit.Report([audit.verify_committed(context, parsed.key, parsed.run_id, golden)])
    # the answer is a report even if the pointer is not signed: it is a problem of the alias, and the run is read
    plain = replace(context, policy=replace(context.policy, require_signature=False, max_age=None))
    report = audit.Report([audit.verify_run(context, resolve.resolve(plain, parsed), golden)])
    if parsed.alias is not None and context.policy.require_signature:
        problem = audit.verify_pointer(context, parsed.key, parsed.alias)
        report.pointers += [] if problem is None else [problem]
    return report


def _verify_model(context: Context, key: ModelKey, golden: audit.Golden | None) -> audit.Report:
    """Check one model, or all of a type where only that is named."""
    known = listing.models(context) if key.symbol is None else [key]
    report = audit.verify_models(context, [model for model in known if key.covers(model)], golden)
    if not report.runs and not report.pointers and not any(map(key.covers, listing.models(context))):
        raise ModelNotFound(f"no run of {key.display_name} in {context.backend.url}; {listing.instead(context, key)}")
    return report


def sign(context: Context, manifest: Manifest, signer: object, key: PublicKey | None) -> None:
    """Store a signature of a run, or one that was made elsewhere by ``key``, after every byte of the run was compared.

    Raises:
        Corrupt: the run is damaged; nothing was signed.
        InvalidOption: what is given makes no signature.
    """
    if not isinstance(signer, Signer | bytes) or isinstance(signer, bytes) != (key is not None):
        raise InvalidOption("give a Signer, or the bytes of a signature together with the key that made it")
    unsigned = replace(context, policy=replace(context.policy, require_signature=False, max_age=None))
    for problem in audit.verify_run(unsigned, manifest).problems:
        raise problem.error
    if isinstance(signer, Signer):
        signing.sign(context, manifest, signer)
    else:
        assert key is not None
        signing.store(context, manifest, signer, key)
