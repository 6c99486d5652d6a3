"""What a signature of a run says, and how it is written: the form that OpenSSF's ``model_signing`` verifies.

A Sigstore bundle (v0.3) holds a DSSE envelope, which holds an in-toto statement (v1) with the predicate
``https://model_signing/signature/v1.0``: every file of the run by name and sha256, ``manifest.json`` included.

Owns the form and what it has to say about a manifest. Knows no key and no storage: a statement that fits proves
nothing before its signature is verified.

Why: docs/decisions/0014-signatures-beside-the-run.md
Why: docs/decisions/0022-keys-before-certificates.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from artifact_store.canonical import canonical, parse_json
from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.errors import Corrupt, SignatureInvalid
from artifact_store.wording import brief

MAX_BUNDLE: Final = 12 << 20
"""Bytes; more is refused before it is parsed."""
MAX_STATEMENT: Final = 9 << 20

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
_IGNORED: Final = keys.SIGNATURES.rstrip("/")
_SERIALIZATION: Final = frozenset({"method", "hash_type", "allow_symlinks", "ignore_paths"})
_EMPTY: Final[Mapping[str, Sequence[object]]] = {
    "tlogEntries": ([],),
    "timestampVerificationData": ({}, {"rfc3161Timestamps": []}),
}
"""What a bundle may have that a signature by a key has no use for. Nothing checks it, so it must not say more."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A signature as it is stored: a statement, the signature over it, and the id of the key that made it."""

    key_id: str
    payload: bytes
    signature: bytes


def message(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return what is really signed: DSSE's pre-authentication encoding of a payload and its type."""
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def encode64(data: bytes) -> str:
    """Return the one base64 spelling of ``data``."""
    return base64.b64encode(data).decode("ascii")


def decode64(text: object) -> bytes | None:
    """Return the bytes that ``text`` is the one base64 spelling of, or ``None``: other spellings are refused."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None
    return data if data is not None and encode64(data) == text else None


def statement(manifest: Manifest) -> bytes:
    """Return the statement about a run. Equal manifests give equal bytes."""
    return statement_of(manifest.label, _digests(manifest), ignored=[_IGNORED])


def statement_of(label: str, digests: Mapping[str, str], *, ignored: Sequence[str]) -> bytes:
    """Return the statement that these files, by name, have these sha256, in a folder where others are ignored."""
    resources = [{"name": name, "algorithm": "sha256", "digest": digests[name]} for name in sorted(digests)]
    form = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(ignored)}
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": label, "digest": {"sha256": _root(resources)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"serialization": form, "resources": resources},
        }
    )


def write_bundle(bundle: Bundle) -> bytes:
    """Return the bytes of a signature."""
    signatures = [{"sig": encode64(bundle.signature), "keyid": ""}]
    envelope = {"payload": encode64(bundle.payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    material = {"publicKey": {"hint": bundle.key_id}, "tlogEntries": []}
    return canonical({"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def read_bundle(data: bytes, what: str) -> Bundle:
    """Decode a signature from outside, of which nothing is true yet; raise ``SignatureInvalid`` for any other form."""
    outer = _fields(_parsed(data, MAX_BUNDLE, what), what, "mediaType", "verificationMaterial", "dsseEnvelope")
    material = _fields(outer["verificationMaterial"], what, "publicKey", optional=tuple(_EMPTY))
    envelope = _fields(outer["dsseEnvelope"], what, "payload", "payloadType", "signatures")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise SignatureInvalid(f"{what} has to hold one signature")
    signature = _fields(signatures[0], what, "sig", optional=("keyid",))
    key_id = _key_id(material["publicKey"], what)
    payload, sig = _decode_either(envelope["payload"]), _decode_either(signature["sig"])
    types = (outer["mediaType"], envelope["payloadType"])
    said = all(material[name] in empty for name, empty in _EMPTY.items() if name in material)
    if types != (MEDIA_TYPE, PAYLOAD_TYPE) or not said or signature.get("keyid") not in (None, "") or key_id is None:
        raise SignatureInvalid(f"{what} is not a signature bundle of a key as model_signing 1.1 writes it")
    if payload is None or sig is None:
        raise SignatureInvalid(f"{what} is damaged: what should be base64 is not")
    return Bundle(key_id, payload, sig)


def _key_id(public_key: Any, what: str) -> str | None:
    """Return which key is named: by its id or, as ``model_signing`` before 1.1 did, by its PEM form."""
    if isinstance(public_key, dict) and "hint" in public_key:
        hint = _fields(public_key, what, "hint")["hint"]
        return hint if isinstance(hint, str) else None
    pem = decode64(_fields(public_key, what, "rawBytes", optional=("keyDetails",))["rawBytes"])
    return None if pem is None else hashlib.sha256(pem).hexdigest()


def _decode_either(text: object) -> bytes | None:
    """Return what the one base64 spelling in the usual or the URL-safe alphabet says: DSSE allows either, not both."""
    if isinstance(text, str) and not set("+/") & set(text):
        text = text.replace("-", "+").replace("_", "/")
    return decode64(text)


def check_statement(payload: bytes, manifest: Manifest, what: str) -> None:
    """Raise ``SignatureInvalid`` unless this is a statement about exactly the files of this run and its manifest.

    Signatures that lie beside the files are not part of the run: a statement may list them.
    """
    said = read_statement(payload, what)
    listed = {name: digest for name, digest in said.items() if not name.startswith(keys.SIGNATURES)}
    check_listed(listed, _digests(manifest), manifest.label, what)


def read_statement(payload: bytes, what: str) -> dict[str, str]:
    """Return the files that a statement lists, and their sha256; raise ``SignatureInvalid`` for any other statement."""
    value = _parsed(payload, MAX_STATEMENT, what)
    try:
        subjects, predicate = value["subject"], value["predicate"]
        serialization, resources = predicate["serialization"], predicate["resources"]
        method, hash_type = serialization["method"], serialization["hash_type"]
        if (value["_type"], value["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise SignatureInvalid(f"{what} is a statement of another kind than one of files")
        if (method, hash_type) != ("files", "sha256"):
            raise SignatureInvalid(f"{what} lists {brief(method)} of {brief(hash_type)}: sign whole files by sha256")
        _check_predicate(predicate, what)
        said = [(each["name"], each["algorithm"], each["digest"]) for each in resources]
        if not said or not isinstance(resources, list) or {algorithm for _, algorithm, _ in said} != {hash_type}:
            raise SignatureInvalid(f"{what} lists no file, or one by another digest than sha256")
        if len(subjects) != 1 or not isinstance(subjects[0]["name"], str) or not subjects[0]["name"]:
            raise SignatureInvalid(f"{what} names no subject, or several")
        if subjects[0]["digest"]["sha256"] != _root(resources):
            raise SignatureInvalid(f"{what} contradicts itself: its root is not the digest of what it lists")
        listed = {name: digest for name, _, digest in said if isinstance(name, str)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SignatureInvalid(f"{what} is not a statement about files: {type(error).__name__} {error}") from error
    if len(listed) != len(said):
        raise SignatureInvalid(f"{what} lists a file twice, or one without a name")
    return listed


def _check_predicate(predicate: Mapping[str, Any], what: str) -> None:
    """Raise unless it has the fields of this form and no others: another could say how the digests were made."""
    form = predicate["serialization"]
    ignored = form.get("ignore_paths", [])
    known = set(predicate) == {"serialization", "resources"} and set(form) <= _SERIALIZATION
    paths = isinstance(ignored, list) and all(isinstance(path, str) and path for path in ignored)
    if not (known and paths and isinstance(form["allow_symlinks"], bool)):
        raise SignatureInvalid(f"{what} has not the fields of the predicate {PREDICATE_TYPE}, or others as well")


def check_listed(listed: Mapping[str, str], digests: Mapping[str, str], label: str, what: str) -> None:
    """Raise ``SignatureInvalid`` unless the files that a statement lists are these, with these digests."""
    missing, extra = sorted(digests.keys() - listed.keys()), sorted(listed.keys() - digests.keys())
    other = sorted(name for name in digests.keys() & listed.keys() if digests[name] != listed[name])
    found = (("is not about", missing), ("is about what the run has not:", extra), ("covers other bytes of", other))
    wrong = "; ".join(f"{verb} {', '.join(names[:3])}{', ...' * (len(names) > 3)}" for verb, names in found if names)  # noqa: PLR2004 -- a glimpse
    if wrong:
        raise SignatureInvalid(f"{what} is not a signature of {label} as it is: it {wrong}")


def _digests(manifest: Manifest) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in manifest.files} | {keys.MANIFEST: manifest.digest}


def _root(resources: list[dict[str, str]]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(each["digest"]) for each in resources)).hexdigest()


def _parsed(data: bytes, limit: int, what: str) -> Any:
    try:
        return parse_json(data, limit=limit, what=what)
    except Corrupt as error:
        raise SignatureInvalid(str(error)) from error


def _fields(value: Any, what: str, *needed: str, optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return an object that has these fields and no others; a field that is not read could hide a change."""
    if not isinstance(value, dict) or not set(needed) <= set(value) <= {*needed, *optional}:
        raise SignatureInvalid(f"{what} is not a signature bundle of a key: it needs {', '.join(needed)}")
    return value
