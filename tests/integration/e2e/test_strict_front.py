"""Uploads at a server that holds them to Amazon's rules about checksums: every way in which a file gets to a bucket.

SeaweedFS and moto take what Amazon refuses, so a front of our own refuses it (``tests/servers/strict``). It is
tried first: a rule that is never broken there would prove nothing.
"""

from __future__ import annotations

import ipaddress
import os
import zlib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from artifact_store import ArtifactStore, errors
from artifact_store.cli.app import app
from artifact_store.storage.base import Always, IfAbsent
from artifact_store.testing.backend_tools import run_in_a_fork
from tests.bare import PART, Bare, bare_client, refusal
from tests.servers import Bucket, SeaweedServer, StrictFront
from tests.servers.endpoint import REGION
from tests.servers.strict.front import unwrapped

pytestmark = pytest.mark.xdist_group("test_strict_front")

KEY = "gru/BTCEUR"
LARGE = os.urandom(11 << 20)
"""Three parts, the last one shorter."""


def checksum(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


# ---------------------------------------------------------------- the front refuses what Amazon refuses


CRC = {"ChecksumCRC32": checksum(PART)}


def test_an_upload_without_any_checksum_is_fine(bare: Bare) -> None:
    upload = bare.open()
    bare.complete(upload, bare.part(upload, 1))


def test_an_upload_that_announces_and_repeats_its_checksums_is_fine(bare: Bare) -> None:
    upload = bare.open(ChecksumAlgorithm="CRC32")
    bare.complete(upload, bare.part(upload, 1, **CRC) | CRC)


def test_a_part_with_a_checksum_that_was_not_announced_is_refused(bare: Bare) -> None:
    upload = bare.open()
    code, message = refusal(lambda: bare.part(upload, 1, **CRC))
    assert code == "InvalidRequest"
    assert "expected checksum Type: null, actual checksum Type: crc32" in message


def test_so_is_one_of_another_algorithm(bare: Bare) -> None:
    upload = bare.open(ChecksumAlgorithm="SHA256")
    code, message = refusal(lambda: bare.part(upload, 1, **CRC))
    assert (code, "expected checksum Type: sha256" in message) == ("InvalidRequest", True)


def test_a_completion_with_a_checksum_that_was_not_announced_is_refused(bare: Bare) -> None:
    upload = bare.open()
    part = bare.part(upload, 1)
    assert refusal(lambda: bare.complete(upload, part | CRC))[0] == "InvalidPart"


def test_a_completion_without_the_checksums_that_were_announced_is_refused(bare: Bare) -> None:
    upload = bare.open(ChecksumAlgorithm="CRC32")
    part = bare.part(upload, 1, **CRC)
    code, message = refusal(lambda: bare.complete(upload, part))
    assert (code, "missing for part 1" in message) == ("InvalidRequest", True)


def test_a_completion_with_the_checksum_of_other_bytes_is_refused(bare: Bare) -> None:
    upload = bare.open(ChecksumAlgorithm="CRC32")
    part = bare.part(upload, 1, **CRC)
    assert refusal(lambda: bare.complete(upload, part | {"ChecksumCRC32": checksum(b"others")}))[0] == "InvalidPart"


def test_parts_with_a_gap_are_refused(bare: Bare) -> None:
    upload = bare.open(ChecksumAlgorithm="CRC32")
    parts = [bare.part(upload, number, **CRC) | CRC for number in (1, 3)]
    assert refusal(lambda: bare.complete(upload, *parts))[0] == "InternalError"


def test_a_checksum_of_other_bytes_is_refused(bare: Bare) -> None:
    upload = bare.open(ChecksumAlgorithm="CRC32")
    assert refusal(lambda: bare.part(upload, 1, ChecksumCRC32=checksum(b"others")))[0] == "BadDigest"
    wrong = {"Body": b"x", "ChecksumCRC32": checksum(b"y")}
    assert refusal(lambda: bare.client.put_object(**bare.place, **wrong))[0] == "BadDigest"


def test_two_checksums_are_refused(bare: Bare) -> None:
    both = {"ChecksumCRC32": checksum(b"x"), "ChecksumSHA1": "eA=="}
    assert refusal(lambda: bare.client.put_object(**bare.place, Body=b"x", **both))[0] == "InvalidRequest"


def test_a_locked_bucket_wants_a_checksum_with_everything(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    with StrictFront(seaweed, Bucket(locked=True)) as front, bare_client(front) as client:
        bare = Bare(client, front.bucket, f"{seaweed_prefix}/x")
        upload = bare.open()
        assert "Put Part requests with Object Lock" in refusal(lambda: bare.part(upload, 1))[1]
        assert "Put Object requests" in refusal(lambda: client.put_object(**bare.place, Body=b"x"))[1]
        client.put_object(**bare.place, Body=b"x", ChecksumCRC32=checksum(b"x"))


def test_a_checksum_behind_the_body_is_found() -> None:
    body = b"3\r\nabc\r\n2;chunk-signature=0\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"
    assert unwrapped(body) == (b"abcde", {"x-amz-checksum-crc32": "AAAA"})


# ---------------------------------------------------------------- what the store sends


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sha256": {"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA256"}},
    "sha1": {"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA1"}},
    "crc32, in small letters": {"s3_additional_kwargs": {"ChecksumAlgorithm": "crc32"}},
    "whole object": {"s3_additional_kwargs": {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}},
    "only where demanded": {"config_kwargs": {"request_checksum_calculation": "when_required"}},
}
BOTH = ("plain", "sha256")
"""What obstore can do, too."""


def opened(front: StrictFront, prefix: str, engine: str, **more: Any) -> ArtifactStore:
    options = front.storage_options() | more
    return ArtifactStore(front.url(prefix), engine=engine, storage_options=options, timeout=30.0)


CASES = [("obstore", name) for name in BOTH] + [("fsspec", name) for name in OPTIONS]


@pytest.mark.parametrize(("engine", "asked"), CASES, ids=[" ".join(case) for case in CASES])
def test_a_file_in_parts_is_saved_and_loaded(front: StrictFront, seaweed_prefix: str, engine: str, asked: str) -> None:
    with opened(front, seaweed_prefix, engine, **OPTIONS[asked]) as store:
        store.save(LARGE, KEY)
        assert store.load(KEY) == LARGE
        assert store.verify().ok
        assert list(store._context.backend.unfinished()) == []
    assert front.refused == []


def test_a_file_that_is_uploaded_without_a_condition_too(front: StrictFront, seaweed_prefix: str, engine: str) -> None:
    with opened(front, seaweed_prefix, engine) as store:
        backend = store._context.backend
        for _ in range(2):
            backend.put_file("large", [LARGE], size=len(LARGE), when=Always())
        assert b"".join(backend.stream("large", size=len(LARGE))) == LARGE
    assert front.refused == []


def test_a_refused_completion_is_a_conflict_and_leaves_no_upload(front: StrictFront, seaweed_prefix: str) -> None:
    with opened(front, seaweed_prefix, "fsspec") as store:
        backend = store._context.backend
        backend.put_file("large", [LARGE], size=len(LARGE), when=IfAbsent())
        with pytest.raises(errors.PreconditionFailed):
            backend.put_file("large", [LARGE], size=len(LARGE), when=IfAbsent())
        assert list(backend.unfinished()) == []
    assert front.refused == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("asked", BOTH)
def test_so_does_a_forked_child(front: StrictFront, seaweed_prefix: str, engine: str, asked: str) -> None:
    with opened(front, seaweed_prefix, engine, **OPTIONS[asked]) as store:
        store.save({"n": 1}, KEY)

        def child() -> None:
            store.save(LARGE, KEY)
            assert store.load(KEY) == LARGE

        run_in_a_fork(child)
        assert store.load(KEY) == LARGE
    assert front.refused == []


def test_the_command_line_does_it_too(front: StrictFront, seaweed_prefix: str, engine: str, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(LARGE)
    options = ["--option", f"key={front.access_key}", "--option", f"secret={front.secret_key}"]
    options += [
        "--option",
        f"endpoint_url={front.endpoint}",
        "--option",
        f'client_kwargs={{"region_name": "{REGION}"}}',
    ]
    command = ["--store", front.url(seaweed_prefix), "--engine", engine, *options, "put", "reports/EURUSD", str(file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    with opened(front, seaweed_prefix, engine) as store:
        store.get("reports/EURUSD").download(tmp_path / "again")
    assert LARGE in [path.read_bytes() for path in (tmp_path / "again").rglob("*") if path.is_file()]
    assert front.refused == []


@pytest.mark.parametrize("asked", BOTH)
def test_a_bucket_with_object_lock_gets_its_checksums(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str, asked: str
) -> None:
    with (
        StrictFront(seaweed, Bucket(locked=True)) as front,
        opened(front, seaweed_prefix, engine, **OPTIONS[asked]) as store,
    ):
        if (engine, asked) == ("obstore", "plain"):  # it sends none by itself, and the error says what to add
            with pytest.raises(errors.Unsupported, match="ChecksumAlgorithm"):
                store.save(LARGE, KEY)
            return
        store.save(LARGE, KEY)
        assert store.load(KEY) == LARGE
        assert front.refused == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make an authority, and with it a certificate for this machine's own address: what clients trust, and the server has."""
    authority, private = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    above, name = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("tests", "127.0.0.1"))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

    def signed(subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(above, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        made = builder.add_extension(extension, critical=True).sign(authority, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    trusted, served = (tmp_path_factory.mktemp("tls") / name for name in ("ca.pem", "server.pem"))
    trusted.write_bytes(signed(above, authority, x509.BasicConstraints(ca=True, path_length=None)))
    plain = serialization.NoEncryption()
    key = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    served.write_bytes(signed(name, private, here) + key)
    return trusted, served


@pytest.mark.parametrize(("engine", "asked"), CASES, ids=[" ".join(case) for case in CASES])
def test_over_tls_where_checksums_come_behind_the_body(
    seaweed: SeaweedServer, seaweed_prefix: str, certificates: tuple[Path, Path], engine: str, asked: str
) -> None:
    trusted, served = certificates
    with StrictFront(seaweed, certificate=served) as front:
        more = OPTIONS[asked] | {"client_kwargs": {"region_name": REGION, "verify": str(trusted)}}
        with opened(front, seaweed_prefix, engine, **more) as store:
            store.save(LARGE, KEY)
            assert store.load(KEY) == LARGE
        assert front.refused == []
        assert bool(front.trailers) is (engine == "fsspec" and asked != "only where demanded")


@pytest.mark.parametrize("algorithm", ["CRC32C", "CRC64NVME"])
@pytest.mark.skipif(bool(find_spec("awscrt")), reason="awscrt is installed, which knows them")
def test_an_algorithm_that_takes_another_package_is_named_and_leaves_no_upload(
    front: StrictFront, seaweed_prefix: str, algorithm: str
) -> None:
    with opened(front, seaweed_prefix, "fsspec", s3_additional_kwargs={"ChecksumAlgorithm": algorithm}) as store:
        backend = store._context.backend
        for data in (b"small", LARGE):
            with pytest.raises(errors.Unsupported, match=rf"{algorithm}.*install"):
                backend.put_file("file", [data], size=len(data), when=Always())
        assert list(backend.unfinished()) == []


@pytest.mark.parametrize("algorithm", ["ROT13", "", 32, ["SHA256"]])
def test_an_algorithm_that_does_not_exist_is_refused_at_once(algorithm: object) -> None:
    options = {"s3_additional_kwargs": {"ChecksumAlgorithm": algorithm}}
    with pytest.raises(errors.InvalidOption, match="ChecksumAlgorithm is one of CRC32"):
        ArtifactStore("s3://bucket/models", engine="fsspec", storage_options=options)
