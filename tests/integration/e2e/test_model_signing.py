"""OpenSSF's ``model_signing`` verifies what we sign, and we take what it signs. Its own command is run."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from artifact_store import ArtifactStore, LoadPolicy, Signer, errors

KEY = "gru/BTCEUR"


@pytest.fixture
def curve():
    return ec.SECP256R1()


@pytest.fixture
def owner(curve, tmp_path):
    """Somebody with a pair of keys in files."""
    private = ec.generate_private_key(curve)
    (tmp_path / "mine.key").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signer = Signer.from_pem(tmp_path / "mine.key")
    (tmp_path / "mine.pub").write_bytes(signer.public_key.pem)
    return signer


def model_signing(action, folder, signature, keys):
    key = ["--private_key", keys / "mine.key"] if action == "sign" else ["--public_key", keys / "mine.pub"]
    command = [sys.executable, "-m", "model_signing", action, "key", folder, "--signature", signature, *key]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def saved(store, tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    with store.new_run(KEY) as draft:
        draft.add("model", {"weights": [1, 2.5]})
        draft.add("report", b"bytes")
        for name in ("a-b/c.txt", "a/z.txt", "a.txt"):  # whose order is not that of their text
            draft.add_file(name, tmp_path / "notes.txt")
    return draft.run


def signature_in(folder):
    (found,) = (folder / "_signatures").iterdir()
    return found


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
def test_it_verifies_a_run_that_was_signed_and_downloaded(owner, tmp_path):
    store = ArtifactStore(tmp_path / "store", signer=owner)
    folder = saved(store, tmp_path).download(tmp_path / "out")
    done = model_signing("verify", folder, signature_in(folder), tmp_path)
    assert (done.returncode, done.stdout) == (0, "Verification succeeded\n"), done.stderr
    (folder / "report.bin").write_bytes(b"Bytes")
    done = model_signing("verify", folder, signature_in(folder), tmp_path)
    assert done.returncode == 1
    assert "report.bin" in done.stderr


def test_it_verifies_a_run_that_several_signed_and_one_that_lies_in_the_store(owner, tmp_path):
    store = ArtifactStore(tmp_path / "store", signer=owner)
    run = saved(store, tmp_path)
    other = Signer.from_pem(ec_pem())
    store.sign(run, other)
    for folder in (run.download(tmp_path / "out", all_signatures=True), Path(run.url())):
        mine = next(path for path in (folder / "_signatures").iterdir() if owner.key_id[:16] in path.name)
        done = model_signing("verify", folder, mine, tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(list((folder / "_signatures").iterdir())) == 2


@pytest.mark.parametrize("beside", [True, False])
def test_what_it_signed_is_taken(owner, tmp_path, beside):
    store = ArtifactStore(tmp_path / "store")
    run = saved(store, tmp_path)
    folder = run.download(tmp_path / "out")
    signature = (folder if beside else tmp_path) / "model.sig"
    done = model_signing("sign", folder, signature, tmp_path)
    assert done.returncode == 0, done.stderr
    reader = ArtifactStore(
        tmp_path / "store", policy=LoadPolicy(trusted_keys=[owner.public_key], require_signature=True)
    )
    with pytest.raises(errors.SignatureMissing):
        reader.load(str(run.ref))
    store.sign(run, signature.read_bytes(), owner.public_key)
    assert reader.load(str(run.ref)) == {"weights": [1, 2.5]}
    another = saved(store, tmp_path)
    with pytest.raises(errors.SignatureInvalid, match=r"other bytes of manifest.json"):
        store.sign(another, signature.read_bytes(), owner.public_key)


def test_what_it_signs_in_a_folder_with_our_signatures_is_taken(owner, tmp_path):
    store = ArtifactStore(tmp_path / "store", signer=Signer.from_pem(ec_pem()))
    run = saved(store, tmp_path)
    folder = run.download(tmp_path / "out")
    assert model_signing("sign", folder, tmp_path / "model.sig", tmp_path).returncode == 0
    store.sign(run, (tmp_path / "model.sig").read_bytes(), owner.public_key)
    assert store.verify(str(run.ref), keys=[owner.public_key]).ok


def ec_pem():
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
