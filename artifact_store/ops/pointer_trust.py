"""Signed pointers: which of them a client believes, carries on and signs, and what it has seen of them before.

Owns when a pointer is signed and checked, and the rule of what a signer vouches for: nothing that neither its own key
nor a trusted one has signed, unless its caller says so. What a signature of a pointer covers is in ``core``, what a
client has seen in :mod:`artifact_store.ops.last_seen`.

Why: docs/decisions/0014-signatures-beside-the-run.md
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from artifact_store.core import keys, trust
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import Pointer
from artifact_store.core.shell import quoted
from artifact_store.errors import (
    AccessDenied,
    Conflict,
    Corrupt,
    InvalidOption,
    NotAStore,
    NotFound,
    PointerConflict,
    RolledBack,
    SignatureInvalid,
    Stale,
    Unsupported,
    Untrusted,
    UnverifiedHistory,
)
from artifact_store.ops import opening, remembering, signing
from artifact_store.ops.context import Context
from artifact_store.ops.records import SeenPointer

_DIGEST: Final = re.compile("[0-9a-f]{64}")


def sign_pointer(context: Context, pointer: Pointer) -> Pointer:
    """Return the pointer with the signature of this store's signer, if it has one."""
    signer = context.signer
    if signer is None:
        return pointer
    announced = pointer.announced(signer.key_id, opening.ensure_open(context).store_id)
    return announced.signed(signer.sign(announced.signed_message()))


def open_to_publish(context: Context) -> None:
    """Open an existing store for writing, or raise ``NotAStore``, once this client may publish (:func:`check_able`)."""
    check_able(context)
    if context.opened.record is None:
        opening.ensure_open_existing(context)


def check_able(context: Context) -> None:
    """Raise ``InvalidOption`` if this store would not read what it would write.

    That is so where its policy requires signatures, and it has no signer, or one that it does not trust.
    """
    if not context.policy.require_signature:
        return
    if context.signer is None:
        raise InvalidOption("this store's policy requires signatures: to write, it needs signer=Signer.from_pem(...)")
    if context.policy.key(context.signer.key_id) is None:
        raise InvalidOption(
            f"this store's policy does not trust its own signer: add {context.signer.public_key!r} to trusted_keys"
        )


def vouching(context: Context) -> Context:
    """Return the context as a publish sees it: what a signer signs over has to be signed already.

    By its own key, or by one that the policy trusts, whether or not the policy requires that of what is read.
    """
    if context.signer is None:
        return context
    trusted = [*context.policy.trusted_keys, context.signer.public_key]
    return replace(context, policy=replace(context.policy, require_signature=True, trusted_keys=trusted))


def check_run_for_publish(context: Context, manifest: Manifest) -> None:
    """Raise ``Untrusted`` where this client may not publish the run: a signed pointer names only a signed run."""
    signing.check_signed(vouching(context), manifest)


def check_pointer_for_publish(context: Context, key: ModelKey, alias: str, seen: SeenPointer) -> None:
    """Raise unless this client may carry on the history in this pointer, and sign it; it may be of any age.

    A caller that has ``vouched`` for a pointer has looked at its history: then a signature of it is not asked for, and
    no other one is carried on.

    Raises:
        PointerConflict: another pointer is there than the caller has vouched for.
        UnverifiedHistory: this client signs, and neither its key nor a trusted one signed the pointer for this store.
        Untrusted: as for :func:`check_pointer_for_load`.
    """
    _check_looked_at(context, key, alias, seen)
    if seen is None:
        _check_absence(context, key, alias)
        return
    pointer, strict = seen.value, vouching(context)
    if not strict.policy.require_signature:
        return
    store_id = opening.ensure_open(context).store_id
    try:
        check_pointer_history(strict, pointer)
        if pointer.signature is not None and pointer.signature.store_id != store_id:
            raise SignatureInvalid(f"the pointer {pointer.label} is signed for another store: it was copied here")
    except RolledBack:
        raise
    except Untrusted as error:
        if context.vouched:
            _check_not_older(context, pointer)
        elif context.policy.require_signature:
            raise
        else:
            raise _unverified(pointer, store_id, error) from error


def vouched_digest(vouch: object) -> str:
    """Return the digest of the pointer that a caller vouches for, given as that or as the pointer, or nothing.

    Raises:
        InvalidOption: it is neither, such as a ``seq``, which histories can share.
    """
    if vouch is None:
        return ""
    digest = vouch.digest if isinstance(vouch, Pointer) else vouch
    if isinstance(digest, str) and _DIGEST.fullmatch(digest):
        return digest
    raise InvalidOption(
        f"vouch names the pointer that was looked at, or its whole digest, not {digest!r}: a seq or a run does not pin "
        "the history. Look at history = store.history(ref), or at store.aliases(key)[alias], and pass "
        "vouch=history.pointer; `artifact-store history` prints the digest for --vouch"
    )


def _check_looked_at(context: Context, key: ModelKey, alias: str, seen: SeenPointer) -> None:
    found = None if seen is None else seen.value
    if not context.vouched or (found is not None and found.digest == context.vouched):
        return
    there = "was never published" if found is None else f"has the digest {found.digest} now, at seq {found.seq}"
    raise PointerConflict(
        f"{key}@{alias} {there}, and you vouched for {context.vouched}: it was published again, or changed. Nothing "
        "was signed; look at its history and decide again",
        actual=found,
    )


def _unverified(pointer: Pointer, store_id: str, error: Untrusted) -> UnverifiedHistory:
    signature = pointer.signature
    who = "is not signed" if signature is None else f"is signed by the key {signature.key_id[:16]}"
    if signature is not None and signature.store_id != store_id:
        who += f" for the store {signature.store_id}"
    return UnverifiedHistory(
        f"{pointer.label} {who}, and a publish by this store's signer would sign its whole history, for which neither "
        f"its own key nor a trusted one vouches ({type(error).__name__}). Nothing was published. First compare the id "
        f"of the store: _store.json, which is not signed, says {store_id}; if yours is another one, that file was "
        f"replaced: restore it. Then look at history = store.history({pointer.label!r}), and add the key that signed "
        "it to the trusted_keys of the policy (--trusted-key), or vouch for this very history once: sign the run that "
        "it is to name, with store.sign(run, signer), then store.promote(run, alias, vouch=history.pointer). As "
        f"commands: {_commands(pointer)}"
    )


def _commands(pointer: Pointer) -> str:
    """Return the commands by which a signer takes over an alias, in their order."""
    label = quoted(pointer.label)
    run = "RUN" if pointer.run_id is None else quoted(f"{pointer.key}:{pointer.run_id}")
    return (
        f"`artifact-store history {label}`, which prints the DIGEST; `artifact-store --signer FILE sign {run}`; then "
        f"`artifact-store --signer FILE promote {run} {pointer.alias} --vouch DIGEST`"
    )


def check_pointer_history(context: Context, pointer: Pointer) -> None:
    """Raise unless the policy trusts the history in this pointer, which may be of any age.

    Raises:
        Untrusted: as for :func:`check_pointer_for_load`.
    """
    if context.policy.require_signature:
        _check_trusted_and_newest(context, pointer)


def check_pointer_for_load(context: Context, key: ModelKey, alias: str, pointer: Pointer | None) -> None:
    """Raise unless the policy lets this pointer decide what is loaded; ``None`` is an alias that is not there.

    The highest ``seq`` is remembered in the folder of the client, if it has one, and what the alias names in its cache.

    Raises:
        SignatureMissing, UntrustedKey, SignatureInvalid: no trusted key signed it.
        RolledBack: this client has seen a later one, or another store at this place (``StoreReplaced``).
        Stale: it is older than the policy allows.
    """
    if context.policy.require_signature:
        _check_for_load(context, key, alias, pointer)
    remembering.remember_pointer(context, key, alias, pointer)


def _check_for_load(context: Context, key: ModelKey, alias: str, pointer: Pointer | None) -> None:
    if pointer is None:
        _check_absence(context, key, alias)
        return
    _check_trusted_and_newest(context, pointer)
    age, limit = context.now() - pointer.at, context.policy.max_age
    if limit is not None and age > limit:
        raise Stale(
            f"{key}@{alias} was signed {age} ago, and the policy allows {limit}: either there was no publish since, or "
            "newer ones are withheld. Its owner publishes it again to say that it still holds"
        )


def _check_trusted_and_newest(context: Context, pointer: Pointer) -> None:
    store_id = trust.check_pointer(pointer, context.policy, f"the pointer {pointer.label}")
    if context.last_seen is not None:
        context.last_seen.see(context.backend, store_id, pointer)


def _check_absence(context: Context, key: ModelKey, alias: str) -> None:
    """Raise ``RolledBack`` if this client has seen the alias, which is not there."""
    if context.last_seen is not None:
        context.last_seen.check_absence(context.backend, key, alias, lambda: _store_there(context))


def _store_there(context: Context) -> str | None:
    """Return which store the root says that it is, if that can be read; nothing proves it."""
    try:
        record = context.records.store()
    except (NotFound, Corrupt, Unsupported, AccessDenied):
        return None
    return None if record is None else record.store_id


def _check_not_older(context: Context, pointer: Pointer) -> None:
    """Raise ``RolledBack`` if this client has seen a later one; what is not signed is not remembered."""
    seen = 0 if context.last_seen is None else context.last_seen.highest(context.backend, pointer.key, pointer.alias)
    if seen > pointer.seq:
        raise RolledBack(
            f"{pointer.label} is at seq {pointer.seq}, and this client has seen {seen}: an older state was put back. "
            "Restore the pointer",
            seen=seen,
            seq=pointer.seq,
        )


def accept_store(context: Context, store_id: str) -> None:
    """Remember that this store is the one at this root from now on, where another one was seen.

    Raises:
        InvalidOption: this client remembers nothing.
        NotAStore: there is no store at all.
        Conflict: the root says that it is another one.
    """
    if context.last_seen is None:
        raise InvalidOption("this client remembers no stores: open the store with state=, a folder of its own")
    record, url = context.records.store(), context.backend.url
    if record is None:
        raise NotAStore(f"{url} is not a store: it has no {keys.STORE_MARKER}. Nothing was accepted")
    if record.store_id != store_id:
        raise Conflict(
            f"{url} says that it is the store {record.store_id}, not {store_id}: nothing was accepted. If both "
            "names are right, what was found there was copied from another store, and has to be restored"
        )
    context.last_seen.accept(context.backend, store_id)
    context.opened.record = None  # which may be that of the store before
