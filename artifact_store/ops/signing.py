"""Sign runs and pointers, and hold what is read to the signatures that the policy demands.

A signature lies beside the files of its run, under a name made of the digest of the manifest and the id of the key:
so a reader asks for exactly those of the keys it trusts, and never for a key that the store offers. Owns when and
where signatures are written and read; what they say is in ``core``, who can make them in ``keypairs``.

Why: docs/decisions/0014-signatures-beside-the-run.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from artifact_store.core import keys, trust
from artifact_store.core.files import Outgoing
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.names import RunId
from artifact_store.core.shell import quoted
from artifact_store.core.statement import Bundle, message, statement, write_bundle
from artifact_store.core.tombstone import Tombstone
from artifact_store.core.trust import TrustedKey
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Conflict,
    Corrupt,
    NotFound,
    RunExists,
    SignatureInvalid,
    SignatureMissing,
    Unsupported,
    UntrustedKey,
)
from artifact_store.ops import remembering
from artifact_store.ops.context import Context
from artifact_store.ops.keypairs import Signer
from artifact_store.ops.records import deleted, signature_key
from artifact_store.storage.conditional_write import Outcome
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.stored_files import entry_of
from artifact_store.storage.threads import result_of
from artifact_store.storage.transfer import pieces_of

_REMEMBERED = 4096
"""Runs whose signature a store needs not fetch again: the bytes that were verified are those with this digest."""


def sign_ahead(
    context: Context, signer: Signer, files: Sequence[Outgoing], describe: Callable[[list[FileEntry]], Manifest]
) -> Manifest:
    """Sign the run that these files will most likely become, while they are still being stored, and return it.

    A file that has to go to another name than its own makes another manifest: then the signature of that one is
    written before it is committed, and this one is never looked at.
    """
    entries = []
    for file in files:
        name = keys.own_name(file.path, packed=file.unpacked is not None)
        entries.append(entry_of(file, name, hash_pieces(pieces_of(file))))
    manifest = describe(entries)
    sign_run(context, manifest, signer)
    return manifest


def sign_run(context: Context, manifest: Manifest, signer: Signer) -> None:
    """Store a signature of the run, unless there is one by the same key.

    Raises:
        Conflict: something else lies where it belongs.
        OutcomeUnknown: it may be stored.
    """
    payload = statement(manifest)
    signature = signer.sign(message(payload))
    store_signature(context, manifest, write_bundle(Bundle(signer.key_id, payload, signature)), signer.public_key)


def store_signature(context: Context, manifest: Manifest, bundle: bytes, key: TrustedKey) -> None:
    """Store a signature that this key made of the run, wherever it was made; create-only.

    Raises:
        SignatureInvalid: it is not a signature of this run by this key; nothing was written.
        Conflict, OutcomeUnknown: as for :func:`sign_run`.
    """
    trust.check_signature(bundle, key, manifest, "the signature to store")
    is_ours = partial(_is_signature, key, manifest)
    if context.records.create_signature(manifest, key.key_id, bundle, is_ours=is_ours) is Outcome.LOST:
        raise Conflict(
            f"{_where(manifest, key)} holds something else than the signature of {manifest.label} by the key "
            f"{key.key_id[:16]}: find out who wrote it, remove it, and sign again"
        )


def _is_signature(key: TrustedKey, manifest: Manifest, data: bytes) -> bool:
    try:
        trust.check_signature(data, key, manifest, _where(manifest, key))
    except SignatureInvalid:
        return False
    return True


def check_own(context: Context, manifest: Manifest, signer: Signer) -> None:
    """Raise ``RunExists`` unless the run that another saver committed with the same content is signed by our key.

    It is not signed now: some of what it says, such as its ``metadata.json``, is not ours.
    """
    try:
        data = _read(context, manifest, signer.key_id) or b""  # which is not a signature either
        trust.check_signature(data, signer.public_key, manifest, "its signature")
    except SignatureInvalid as error:
        raise RunExists(
            f"a run with the same content was committed as {manifest.label}, and not by the owner of the key "
            f"{signer.key_id[:16]}: {error}. It is untouched, and not published by this save. Look at it, then sign "
            "and promote it, or save under another run id"
        ) from error


# ---------------------------------------------------------------- runs


def check_run(context: Context, manifest: Manifest) -> str:
    """Return the id of a trusted key that signed this run, or raise ``Untrusted``. Waits for no other worker."""
    known = _known(context, manifest)
    if context.policy.key(known) is not None:
        return known
    reads = [(key, partial(_read, context, manifest, key.key_id)) for key in context.policy.trusted_keys]
    return _verified(context, manifest, reads)


def check_signed(context: Context, manifest: Manifest) -> str | None:
    """Return what :func:`check_run` does where the policy requires a signature: before any byte is handed out."""
    return check_run(context, manifest) if context.policy.require_signature else None


@contextmanager
def check_run_concurrently(context: Context, manifest: Manifest, *, needed: bool) -> Iterator[Callable[[], str]]:
    """Fetch the signatures of a run while the body runs; the function that is yielded waits for them and verifies.

    It returns the id of a trusted key that signed, nothing where that is not ``needed``, or raises what
    :func:`check_run` does.
    """
    trusted = context.policy.trusted_keys
    known = _known(context, manifest) if needed else ""
    wanted = trusted if needed and context.policy.key(known) is None else ()
    with _reading(context, manifest, [key.key_id for key in wanted]) as results:

        def verified_key() -> str:
            return _verified(context, manifest, list(zip(wanted, results, strict=True))) if wanted else known

        yield verified_key


def _known(context: Context, manifest: Manifest) -> str:
    """Return the id of the key whose signature of this run was verified before, or nothing."""
    known = context.verified.get(manifest.digest, "")
    if known:
        remembering.still_used(context, signature_key(manifest, known))
    return known


def _verified(
    context: Context, manifest: Manifest, reads: Sequence[tuple[TrustedKey, Callable[[], bytes | None]]]
) -> str:
    problem: ArtifactStoreError | None = None
    for key, read in reads:
        try:
            data = read()
            if data is None:
                continue
            trust.check_signature(data, key, manifest, f"the signature {_where(manifest, key)}")
        except ArtifactStoreError as error:  # another trusted key may have signed as well
            problem = problem or error
            continue
        if len(context.verified) >= _REMEMBERED:
            context.verified.clear()
        context.verified[manifest.digest] = key.key_id
        remembering.remember_document(context, signature_key(manifest, key.key_id), data)
        return key.key_id
    raise problem or _unsigned(context, manifest)


def _unsigned(context: Context, manifest: Manifest) -> SignatureMissing | UntrustedKey:
    """Return the error for a run that no trusted key signed, with those that did; ``RunDeleted`` if it is gone."""
    _check_not_deleted(context, manifest)
    text = f"{manifest.label} is not signed by any key that the policy trusts"
    try:
        found = signers(context, manifest)
    except AccessDenied:
        return SignatureMissing(f"{text}, and its signatures may not be listed")
    trusted = [key.key_id for key in context.policy.trusted_keys]
    others = [signer for signer in found if not any(key_id.startswith(signer) for key_id in trusted)]
    if others:
        return UntrustedKey(
            f"{text}; it is signed by {', '.join(others)}. If you trust that key, add it to trusted_keys",
            key_ids=others,
        )
    how = f"store.sign, or `artifact-store --signer FILE sign {quoted(manifest.label)}`"
    return SignatureMissing(f"{text}, nor by another: its owner signs it with {how}")


def _check_not_deleted(context: Context, manifest: Manifest) -> None:
    """Raise ``RunDeleted`` if there is a tombstone in the place of the manifest."""
    key, run_id = manifest.key, RunId(manifest.run_id)
    try:
        record = context.records.run(key, run_id).value
    except (NotFound, Corrupt, Unsupported, AccessDenied):  # which say nothing about a deletion
        return
    if isinstance(record, Tombstone):
        raise deleted(record)


def signers(context: Context, manifest: Manifest) -> list[str]:
    """Return how the ids of all keys begin that signed the run, by the names of its signatures; none is verified."""
    prefix = keys.signatures_prefix(manifest.key, RunId(manifest.run_id))
    children = context.records.children(prefix)
    return sorted(signer for child in children if (signer := keys.signer_in(child, manifest.digest)) is not None)


@contextmanager
def read_signatures_concurrently(
    context: Context, manifest: Manifest, *, every: bool
) -> Iterator[Callable[[], dict[str, bytes]]]:
    """Fetch stored signatures while the body runs; the function that is yielded returns them by name, not verified.

    They are those that the saver announced and those by trusted keys, or with ``every`` all that a listing shows.
    """
    trusted = [key.key_id for key in context.policy.trusted_keys]
    key_ids = signers(context, manifest) if every else dict.fromkeys([*manifest.signed_by, *trusted])
    names = [keys.signature_name(manifest.digest, key_id) for key_id in key_ids]
    with _reading(context, manifest, key_ids) as results:
        yield lambda: {name: data for name, read in zip(names, results, strict=True) if (data := read()) is not None}


def stored_signatures(context: Context, manifest: Manifest) -> dict[str, bytes]:
    """Return every signature of a run by name, not verified: without the right to list, those that are announced."""
    try:
        with read_signatures_concurrently(context, manifest, every=True) as read_all:
            return read_all()
    except AccessDenied:
        with read_signatures_concurrently(context, manifest, every=False) as read_announced:
            return read_announced()


@contextmanager
def _reading(
    context: Context, manifest: Manifest, key_ids: Iterable[str]
) -> Iterator[Sequence[Callable[[], bytes | None]]]:
    """Read signatures by these keys while the body runs; each function that is yielded waits for one of them."""
    with context.workers.all_beside(partial(_read, context, manifest, key_id) for key_id in key_ids) as reads:
        try:
            yield [partial(result_of, read) for read in reads]
        finally:
            for read in reads:
                read.cancel()  # what has not begun by now is not needed


def _read(context: Context, manifest: Manifest, key_id: str) -> bytes | None:
    """Return what is stored as a signature, or ``None`` if nothing is."""
    try:
        return context.records.signature(manifest, key_id)
    except Corrupt as error:
        raise SignatureInvalid(str(error)) from error


def _where(manifest: Manifest, key: TrustedKey) -> str:
    """Return where the signature of a run by a key is stored, as errors name it."""
    return repr(signature_key(manifest, key.key_id))
