"""A server that cannot be reached, or whose certificate is not trusted: host, port, why, and what to do, on both engines."""

from __future__ import annotations

import datetime as dt
import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from artifact_store import errors
from artifact_store.storage.base import Backend
from artifact_store.storage.open import open_backend
from tests.proofs.replays.hostile_s3 import HostileS3

DAY = dt.timedelta(days=1)


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def backend_at(endpoint: str, engine: str, **options: Any) -> Backend:
    given = {"key": "s3", "secret": "a secret of a test", "endpoint_url": endpoint, **options}
    return open_backend("s3://artifacts/x", filesystem=None, storage_options=given, engine=engine, timeout=3.0)


def refusal(endpoint: str, engine: str, kind: type[errors.ArtifactStoreError], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        backend_at(endpoint, engine, **options).read("k", limit=100)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert len(text) < 400
    assert "***" not in text
    return text


def test_a_port_where_nothing_listens_is_named(engine: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    text = refusal(f"http://{host}", engine, errors.Unreachable)
    assert f"nothing answers at {host}: start the server there, correct endpoint_url" in text


def test_a_host_that_does_not_exist_is_named(engine: str) -> None:
    text = refusal("http://s3.nowhere.invalid:9000", engine, errors.Unreachable)
    assert "no host is called s3.nowhere.invalid:9000: correct endpoint_url" in text


def test_a_region_that_does_not_exist_is_to_be_corrected(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-nroth-1")
    options = {"key": "k", "secret": "a secret of a test"}
    backend = open_backend("s3://artifacts/x", filesystem=None, storage_options=options, engine=engine, timeout=3.0)
    with pytest.raises(errors.Unreachable, match=r"no host is called \S+eu-nroth-1\S+: correct the region"):
        backend.read("k", limit=100)


# ---------------------------------------------------------------- certificates


def made(name: str, issuer: Any = None, *, days: int = 1) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make a certificate for a host, or for an authority without an issuer."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed_by, signing = (subject, key) if issuer is None else (issuer[0].subject, issuer[1])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(signed_by).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - 9 * DAY).not_valid_after(now + days * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(signing, hashes.SHA256()), key


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@contextmanager
def secure(folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Iterator[str]:
    """Serve S3 with this certificate, and yield the address."""
    (folder / "server.pem").write_bytes(
        pem(certificate) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    with HostileS3() as server:
        server._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up
        server._server.socket = context.wrap_socket(
            server._server.socket, server_side=True, do_handshake_on_connect=False
        )
        server.objects["x/k"] = b"v"
        yield f"https://localhost:{server._server.server_address[1]}"


def test_an_unknown_authority_is_trusted_once_it_is_named_as_told(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = made("an authority of a test")
    (tmp_path / "ca.pem").write_bytes(pem(authority[0]))
    monkeypatch.setenv("HOME", str(tmp_path))
    with secure(tmp_path, *made("localhost", authority)) as address:
        text = refusal(address, engine, errors.InvalidOption)
        assert f"the certificate of {address.removeprefix('https://')} is of no authority that is trusted here" in text
        assert "set AWS_CA_BUNDLE" in text
        (told,) = re.findall(r"add storage_options=(\{.*\}\})", text)
        options = eval(told.replace("FILE", "~/ca.pem"))
        assert backend_at(address, engine, **options).read("k", limit=10) is not None
        monkeypatch.setenv("AWS_CA_BUNDLE", "~/ca.pem")
        assert backend_at(address, engine).read("k", limit=10) is not None


def test_a_certificate_that_has_expired_or_is_of_another_host_says_so(engine: str, tmp_path: Path) -> None:
    authority = made("an authority of a test")
    (tmp_path / "ca.pem").write_bytes(pem(authority[0]))
    trusted = {"client_kwargs": {"verify": str(tmp_path / "ca.pem")}}
    with secure(tmp_path, *made("localhost", authority, days=-1)) as address:
        assert "has expired: renew it on the server" in refusal(address, engine, errors.InvalidOption, **trusted)
    with secure(tmp_path, *made("s3.example.test", authority)) as address:
        assert "was issued for another host" in refusal(address, engine, errors.InvalidOption, **trusted)
