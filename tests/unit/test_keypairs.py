"""A private key signs, stays where it is, and is of a kind that model_signing verifies."""

import pickle
import traceback
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from artifact_store import ArtifactStore, LoadPolicy, PublicKey, Signer, errors
from artifact_store.ops.keypairs import generate
from tests.keys import pem, public, signer

pytestmark = pytest.mark.windows


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_is_read_from_a_file_from_text_and_from_bytes(tmp_path):
    (tmp_path / "mine.key").write_bytes(pem())
    (tmp_path / "mine.pub").write_bytes(public().pem)
    for source in (pem(), pem().decode(), tmp_path / "mine.key", str(tmp_path / "mine.key")):
        assert Signer.from_pem(source).public_key == public()
    for source in (public().pem, public().pem.decode(), tmp_path / "mine.pub", str(tmp_path / "mine.pub")):
        assert PublicKey.from_pem(source) == public()
    assert len({public(), PublicKey.from_pem(public().pem), public("other")}) == 2


def test_only_its_own_signature_over_the_same_bytes_verifies():
    signature = signer().sign(b"bytes")
    assert public().verifies(signature, b"bytes")
    assert not public().verifies(signature, b"byteS")
    assert not public("other").verifies(signature, b"bytes")
    assert not public().verifies(b"", b"bytes")
    assert not public().verifies(signature + b"\0", b"bytes")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_the_three_curves_of_model_signing(curve):
    mine = Signer.from_pem(private_pem(ec.generate_private_key(curve)))
    assert mine.public_key.verifies(mine.sign(b"x"), b"x")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1|EllipticCurve|EC"),
    ],
    ids=["ed25519", "rsa", "bitcoin's curve"],
)
def test_keys_of_another_kind_are_refused_in_a_sentence(key, kind):
    for read in (lambda: Signer.from_pem(private_pem(key)), lambda: PublicKey.from_pem(public_pem(key))):
        with pytest.raises(errors.InvalidOption, match="signed with ECDSA on P-256") as caught:
            read()
        assert any(word in str(caught.value) for word in kind.split("|"))
        assert "keygen" in str(caught.value)


def test_what_is_no_key_is_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    for source in (tmp_path / "text", b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(errors.InvalidOption, match="not a private key"):
            Signer.from_pem(source)
        with pytest.raises(errors.InvalidOption, match="not a public key"):
            PublicKey.from_pem(source)
    with pytest.raises(errors.InvalidOption, match="cannot be read"):
        Signer.from_pem(tmp_path / "missing")
    with pytest.raises(errors.InvalidOption, match="keep it to yourself"):
        PublicKey.from_pem(pem())


def test_a_generated_signer_is_a_new_one():
    mine = Signer.generate()
    assert mine.public_key.verifies(mine.sign(b"x"), b"x")
    assert Signer.generate().key_id != mine.key_id


def test_a_password_opens_a_locked_key_and_nothing_else_does():
    locked, key = generate("tr0ub4dor")
    assert b"ENCRYPTED" in locked
    assert Signer.from_pem(locked, "tr0ub4dor").public_key == key
    assert Signer.from_pem(locked, b"tr0ub4dor").public_key == key
    with pytest.raises(errors.InvalidOption, match="needs a password"):
        Signer.from_pem(locked)
    with pytest.raises(errors.InvalidOption, match="password is wrong"):
        Signer.from_pem(locked, "hunter2")
    with pytest.raises(errors.InvalidOption, match="has no password"):
        Signer.from_pem(pem(), "hunter2")


def secrets_of(key):
    """The key in every spelling that could leak."""
    lines = [line for line in key.decode().splitlines() if not line.startswith("-----")]
    number = Signer.from_pem(key)._key.private_numbers().private_value
    return [*lines, str(number), f"{number:x}", f"{number:064x}"]


def test_a_private_key_is_in_no_repr_no_pickle_and_no_error(tmp_path):
    mine = signer()
    store = ArtifactStore(tmp_path / "store", signer=mine, policy=LoadPolicy(trusted_keys=[mine.public_key]))
    with pytest.raises(errors.InvalidOption) as caught:
        Signer.from_pem(pem() + b"x", "wrong-password")
    shown = [repr(mine), repr(store), repr(store._context), "".join(traceback.format_exception(caught.value))]
    shown += [pickle.dumps(thing).decode("latin-1") for thing in (mine, store, caught.value)]
    raw = f"{mine._key.private_numbers().private_value:064x}"
    shown += [bytes.hex(pickle.dumps(thing)) for thing in (mine, store)]
    for text in shown:
        assert not any(secret in text for secret in secrets_of(pem())), text[:200]
        assert raw not in text
    assert mine.key_id[:16] in repr(mine)


def test_a_copy_of_a_signer_names_its_key_and_signs_nothing(tmp_path):
    copy = pickle.loads(pickle.dumps(signer()))
    assert copy.key_id == signer().key_id
    with pytest.raises(errors.SigningUnavailable, match="was not sent"):
        copy.sign(b"x")
    store = pickle.loads(pickle.dumps(ArtifactStore(tmp_path / "store", signer=signer())))
    with pytest.raises(errors.SigningUnavailable, match="was not sent"):
        store.save({"a": 1}, "gru")
    assert not list(store.runs())
    assert pickle.loads(pickle.dumps(public())) == public()


@pytest.mark.parametrize("keys", ["mine.pub", [b"pem"], [None], 7, None])
def test_trusted_keys_are_keys(keys):
    with pytest.raises(errors.InvalidOption, match="from_pem"):
        LoadPolicy(trusted_keys=keys)


def test_a_policy_has_to_make_sense():
    with pytest.raises(errors.InvalidOption, match="whose signature"):
        LoadPolicy(require_signature=True)
    for wrong in ({"max_age": timedelta(1)}, {"max_age": 7, "require_signature": True, "trusted_keys": [public()]}):
        with pytest.raises(errors.InvalidOption, match="max_age is a timedelta"):
            LoadPolicy(**wrong)
    with pytest.raises(errors.InvalidOption, match="a signer, or a policy with require_signature"):
        ArtifactStore("memory://", state="seen")
    with pytest.raises(errors.InvalidOption, match="Signer.from_pem"):
        ArtifactStore("memory://", signer=pem())
