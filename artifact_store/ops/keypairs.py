"""Keys that sign and verify: ECDSA on P-256 (or P-384, P-521) with ``cryptography``, which only this module imports.

Reads keys that its caller names, and makes new ones. A private key never leaves its object: it is in no ``repr``,
no pickle and no error. Knows nothing of what is signed.

Why: docs/decisions/0014-signatures-beside-the-run.md
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from artifact_store.errors import InvalidOption, SigningUnavailable
from artifact_store.installing import pip_install
from artifact_store.storage.home import at_home

Pem = str | Path | bytes
"""A file with a key in PEM form, or the PEM text itself."""

_HASHES: Final = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_BEGIN: Final = "-----BEGIN"
_KEY_ALONE: Final = re.compile(r"[A-Za-z0-9+/=\s]{100,}")  # of a key, without the lines around it
MAX_KEY_FILE: Final = 64 << 10
"""Bytes; a key has a few hundred, perhaps with a certificate or a comment around it."""


class PublicKey:
    """A key that verifies. Get it from its owner, never from the store whose runs it is to verify."""

    __slots__ = ("_key", "key_id", "pem")

    def __init__(self, key: Any) -> None:
        self._key = key
        form = _crypto().serialization
        self.pem: bytes = key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = hashlib.sha256(self.pem).hexdigest()
        """The sha256 of the key in PEM form, as ``model_signing`` names it."""

    @classmethod
    def from_pem(cls, source: Pem) -> PublicKey:
        """Return the key in a file, or in PEM text.

        Raises:
            InvalidOption: there is no key, or one that does not verify such signatures.
            SigningUnavailable: ``cryptography`` is not installed.
        """
        data, what = _bytes_of(source)
        try:
            key = _crypto().serialization.load_pem_public_key(data)
        except (ValueError, TypeError, _crypto().exceptions.UnsupportedAlgorithm):
            hint = "; it is a private key, keep it to yourself" if b"PRIVATE KEY" in data else ""
            raise InvalidOption(f"{what} is not a public key in PEM form{hint}") from None
        return cls(_checked(key, what))

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Tell whether the private half of this key made ``signature`` over ``signed``."""
        try:
            self._key.verify(signature, signed, _algorithm(self._key))
        except _crypto().exceptions.InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"<PublicKey {self.key_id[:16]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.pem == other.pem

    def __hash__(self) -> int:
        return hash(self.pem)

    def __reduce__(self) -> tuple[object, ...]:
        return PublicKey.from_pem, (self.pem,)


class Signer:
    """A key that signs. A copy in another process can name its key and sign nothing: the private key stays here."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: Any, public_key: PublicKey) -> None:
        self._key = key
        self.public_key = public_key

    @classmethod
    def from_pem(cls, source: Pem, password: str | bytes | None = None) -> Signer:
        """Return the signer whose private key is in a file, or in PEM text.

        Raises:
            InvalidOption: there is no key, the password does not open it, or it is not one for ECDSA.
            SigningUnavailable: ``cryptography`` is not installed.
        """
        found = _private_key(source, password)
        del source, password  # a report of an error may show the variables of each frame
        if isinstance(found, InvalidOption):
            raise found
        return cls(found, PublicKey(found.public_key()))

    @classmethod
    def generate(cls) -> Signer:
        """Return a signer with a new key, gone with this process; `artifact-store keygen` makes one that stays."""
        key = _new_key()
        return cls(key, PublicKey(key.public_key()))

    @property
    def key_id(self) -> str:
        """The id of its public key."""
        return self.public_key.key_id

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``.

        Raises:
            SigningUnavailable: this is a copy without the private key.
        """
        if self._key is None:
            raise SigningUnavailable(
                f"the private key {self.key_id[:16]} was not sent to this process, and never is: "
                "open the store here with a signer of this process"
            )
        signature: bytes = self._key.sign(data, _algorithm(self._key))
        return signature

    def __repr__(self) -> str:
        return f"<Signer {self.key_id[:16]}>"

    def __reduce__(self) -> tuple[object, ...]:
        return Signer, (None, self.public_key)


def generate(password: str | bytes | None = None) -> tuple[bytes, PublicKey]:
    """Return a new private key on P-256 in PEM form, encrypted if there is a password, and its public key."""
    form, key = _crypto().serialization, _new_key()
    secret = password.encode() if isinstance(password, str) else password
    lock = form.NoEncryption() if secret is None else form.BestAvailableEncryption(secret)
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock), PublicKey(key.public_key())


def _new_key() -> Any:
    return _crypto().ec.generate_private_key(_crypto().ec.SECP256R1())


def _checked(key: Any, what: str) -> Any:
    """Return the key if it is one for ECDSA on a curve that ``model_signing`` knows."""
    if getattr(getattr(key, "curve", None), "name", "") not in _HASHES or not hasattr(key, "key_size"):
        kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
        raise InvalidOption(
            f"{what} is a key of the kind {kind}; runs are signed with ECDSA on P-256, which model_signing verifies "
            "as well: `artifact-store keygen` makes such a key"
        )
    return key


def _algorithm(key: Any) -> Any:
    return _crypto().ec.ECDSA(getattr(_crypto().hashes, _HASHES[key.curve.name])())


def _private_key(source: Pem, password: str | bytes | None) -> Any:
    """Return the key, or why there is none, as an error without the frames that hold what was read."""
    secret = password.encode() if isinstance(password, str) else password
    try:
        data, what = _bytes_of(source)
        return _checked(_crypto().serialization.load_pem_private_key(data, secret), what)
    except InvalidOption as refused:
        return refused.with_traceback(None)
    except TypeError:
        return InvalidOption(f"the private key in {what} {'needs a' if secret is None else 'has no'} password")
    except (ValueError, _crypto().exceptions.UnsupportedAlgorithm):  # their text may quote what was read
        return InvalidOption(f"{what} is not a private key in PEM form, or the password is wrong")


def _bytes_of(source: Pem) -> tuple[bytes, str]:
    """Return the PEM text and what to call it, which never is the text itself."""
    if isinstance(source, bytes):
        return source, "the PEM text"
    if isinstance(source, str) and _BEGIN in source:
        return source.encode(), "the PEM text"
    if isinstance(source, str) and _KEY_ALONE.fullmatch(source):
        del source
        raise InvalidOption(
            "a key is given as the path of a file, or as PEM text, which has a line -----BEGIN ...; this is neither, "
            "and is not repeated here, since it may be a private key"
        )
    return read_key_file(at_home(source)), str(source)


def read_key_file(path: Path) -> bytes:
    """Return what is in the file of a key, which may be anything; ``InvalidOption`` if it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise InvalidOption(f"the key {path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_KEY_FILE:
        raise InvalidOption(f"{path} has more than {MAX_KEY_FILE:,} bytes, so it is not a key in PEM form")
    return data


@cache
def _crypto() -> SimpleNamespace:
    """Return what is used of ``cryptography``, imported with the first key."""
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as missing:
        raise SigningUnavailable(f"signatures need another library: {pip_install('sign')}") from missing
    return SimpleNamespace(exceptions=exceptions, hashes=hashes, serialization=serialization, ec=ec)
