"""Signatures that prove nothing, states that were put back, and the keys of strangers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, LoadPolicy, Run, errors
from artifact_store.canonical import canonical
from artifact_store.cli.app import app
from artifact_store.core import keys
from artifact_store.core.pointer import POINTER_TYPE
from artifact_store.core.statement import encode64, message
from tests.keys import public, signer, strict
from tests.proofs.replays.surroundings import untouched
from tests.unit.samples import resealed

KEY = "gru/BTCEUR"
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256."""


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store", signer=signer())


@pytest.fixture
def run(store: ArtifactStore) -> Run:
    return store.save({"a": 1}, KEY)


def reader(store: ArtifactStore, **more: Any) -> ArtifactStore:
    return ArtifactStore(store.url, policy=more.pop("policy", strict()), **more)


def where_signed(store: ArtifactStore, run: Run) -> Path:
    return Path(store.url, KEY, run.run_id, keys.signature_name(run.manifest.digest, public().key_id))


def der(r: int, s: int) -> bytes:
    """An ECDSA signature of these two numbers."""

    def number(value: int) -> bytes:
        data = value.to_bytes(max(1, (value.bit_length() + 8) // 8), "big", signed=False)
        return b"\x02" + bytes([len(data)]) + data

    body = number(r) + number(s)
    return b"\x30" + bytes([len(body)]) + body


def refused(store: ArtifactStore, ref: str = KEY, **more: Any) -> errors.Untrusted:
    """Assert that a reader who demands signatures takes nothing, and that the program says so, too."""
    with pytest.raises(errors.Untrusted) as caught:
        reader(store, **more).load(ref)
    return caught.value


def resigned(path: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change a stored signature; return what was there."""
    before = path.read_bytes()
    value = json.loads(before)
    change(value)
    path.write_bytes(canonical(value))
    return before


# ---------------------------------------------------------------- 14: an older state put back


@pytest.mark.parametrize("seen", [3, 70])
def test_row_14_an_older_signed_pointer_is_noticed(store: ArtifactStore, tmp_path: Path, run: Run, seen: int) -> None:
    older = store.save({"a": 2}, KEY)
    pointer = Path(store.url, KEY, "latest.json")
    old = pointer.read_bytes()
    for _ in range(seen - 2):
        store.promote(run, "latest")
    client = {"state": tmp_path / "state"}
    assert reader(store, **client).load(KEY) == {"a": 1}
    pointer.write_bytes(old)
    assert reader(store).get(KEY) == older  # genuine, as anybody would say who has not seen the other
    caught = refused(store, **client)
    assert isinstance(caught, errors.RolledBack)
    assert (caught.seen, caught.seq) == (seen, 2)
    writer = reader(store, signer=signer(), **client)
    for act in (
        lambda: writer.get(KEY),
        lambda: writer.find(KEY),
        lambda: writer.rollback(KEY),
        lambda: writer.retire(KEY),
        lambda: writer.promote(run, "latest"),
    ):
        with pytest.raises(errors.RolledBack):
            act()
    assert pointer.read_bytes() == old
    pointer.unlink()  # and none at all is older still
    with pytest.raises(errors.RolledBack):
        reader(store, **client).load(KEY)


def test_row_14_a_pointer_of_another_store_is_noticed(store: ArtifactStore, tmp_path: Path, run: Run) -> None:
    """The name of a bucket that was given up, and taken by somebody who has a store of the same owner."""
    other = ArtifactStore(tmp_path / "other", signer=signer())
    for _ in range(3):
        other.save({"a": 2}, KEY)
    client = {"state": tmp_path / "state"}
    assert reader(store, **client).load(KEY) == {"a": 1}
    Path(store.url).rename(tmp_path / "given up")
    Path(other.url).rename(store.url)
    assert reader(store).load(KEY) == {"a": 2}
    assert isinstance(refused(store, **client), errors.RolledBack)


def test_row_14_a_pointer_that_is_kept_back_grows_old(store: ArtifactStore, run: Run) -> None:
    late = datetime.now(UTC) + timedelta(days=8)
    policy = strict(max_age=timedelta(days=7))
    assert reader(store, policy=policy).load(KEY) == {"a": 1}
    assert isinstance(refused(store, policy=policy, clock=lambda: late), errors.Stale)


# ---------------------------------------------------------------- 32: one signature for two


def test_row_32_one_signature_given_twice_is_none(store: ArtifactStore, run: Run) -> None:
    path = where_signed(store, run)

    def twice(value: dict[str, Any]) -> None:
        value["dsseEnvelope"]["signatures"] *= 2

    before = resigned(path, twice)
    assert isinstance(refused(store), errors.SignatureInvalid)
    path.write_bytes(before)
    copy = path.with_name(keys.signature_name(run.manifest.digest, public("stranger").key_id).rpartition("/")[2])
    copy.write_bytes(before)  # under the name of another key it is not that one's
    assert isinstance(refused(store, policy=strict("stranger")), errors.Untrusted)
    assert reader(store, policy=strict("stranger", "owner")).load(KEY) == {"a": 1}
    report = store.verify(str(run.ref), keys=[public("stranger")])
    assert not report.ok


# ---------------------------------------------------------------- 33: numbers that nobody signed with

NUMBERS = {
    "ones": der(1, 1),
    "two numbers": der(2, 3),
    "large numbers": der(N - 1, N - 2),
    "no numbers": b"\x11" * 64,
    "nothing": b"",
    "an empty sequence": b"\x30\x00",
}


@pytest.mark.parametrize("numbers", NUMBERS)
def test_row_33_numbers_alone_are_no_signature(store: ArtifactStore, run: Run, numbers: str) -> None:
    text = encode64(NUMBERS[numbers])

    def forged(value: dict[str, Any]) -> None:
        value["dsseEnvelope"]["signatures"][0]["sig"] = text

    before = resigned(where_signed(store, run), forged)
    assert isinstance(refused(store), errors.SignatureInvalid)
    where_signed(store, run).write_bytes(before)
    pointer = Path(store.url, KEY, "latest.json")
    value = json.loads(pointer.read_bytes())
    value["signature"]["sig"] = text
    pointer.write_bytes(resealed({name: part for name, part in value.items() if name != "checksum"}))
    assert isinstance(refused(store), errors.SignatureInvalid)
    assert reader(store).load(str(run.ref)) == {"a": 1}  # it was the pointer


# ---------------------------------------------------------------- 34: a signature that says how to verify it


def own_mac(value: dict[str, Any]) -> None:
    """Sign with the public key as a shared secret, which is what taking the algorithm from the token led to."""
    payload = base64.b64decode(value["dsseEnvelope"]["payload"])
    mac = hmac.new(public().pem, message(payload), hashlib.sha256).digest()
    value["dsseEnvelope"]["signatures"][0].update(sig=encode64(mac))


CONFUSIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no algorithm": lambda value: value["dsseEnvelope"]["signatures"][0].update(alg="none", sig=""),
    "none at all": lambda value: value["dsseEnvelope"].update(signatures=[]),
    "the public key as a secret": own_mac,
    "a key of its own": lambda value: value["verificationMaterial"]["publicKey"].update(
        rawBytes=encode64(public("stranger").pem), hint=public().key_id
    ),
    "a certificate": lambda value: value["verificationMaterial"].update(certificate={"rawBytes": "AA=="}),
    "another key's name": lambda value: value["verificationMaterial"]["publicKey"].update(
        hint=public("stranger").key_id
    ),
    "another type": lambda value: value["dsseEnvelope"].update(payloadType=POINTER_TYPE),
    "a type of text": lambda value: value["dsseEnvelope"].update(payloadType="text/plain"),
    "a hash of its own": lambda value: restated(
        value, lambda statement: statement["predicate"]["serialization"].update(hash_type="md5")
    ),
    "a field that nobody reads": lambda value: value.update(algorithm="HS256"),
    "an entry of a log": lambda value: value["verificationMaterial"].update(tlogEntries=[{"logIndex": "1"}]),
    "two spellings": lambda value: value["dsseEnvelope"].update(payload=value["dsseEnvelope"]["payload"] + "\n"),
}


def restated(value: dict[str, Any], change: Callable[[dict[str, Any]], object], who: str = "stranger") -> None:
    """Change what is said, and let somebody sign that."""
    statement = json.loads(base64.b64decode(value["dsseEnvelope"]["payload"]))
    change(statement)
    payload = canonical(statement)
    value["dsseEnvelope"]["payload"] = encode64(payload)
    value["dsseEnvelope"]["signatures"][0]["sig"] = encode64(signer(who).sign(message(payload)))


@pytest.mark.parametrize("confusion", CONFUSIONS)
def test_row_34_the_reader_decides_how_and_by_which_key(store: ArtifactStore, run: Run, confusion: str) -> None:
    resigned(where_signed(store, run), CONFUSIONS[confusion])
    assert isinstance(refused(store), errors.SignatureInvalid)
    for more in ({"allow_code": True}, {"sha256": run.manifest.digest}):
        with pytest.raises(errors.SignatureInvalid):
            reader(store).load(KEY, **more)
    public_key = Path(store.url).parent / "owner.pub"
    public_key.write_bytes(public().pem)
    done = CliRunner().invoke(app, ["--store", store.url, "verify", str(run.ref), "--keys", str(public_key)])
    assert done.exit_code == 1
    assert "invalid" in done.output


def test_row_34_a_stranger_cannot_sign_by_changing_what_is_said(store: ArtifactStore, run: Run) -> None:
    path = where_signed(store, run)
    before = resigned(path, lambda value: restated(value, lambda statement: None))
    assert isinstance(refused(store), errors.SignatureInvalid)
    path.write_bytes(before)
    # the owner's signature of a pointer is no signature of a run, and the other way round
    pointer = json.loads(Path(store.url, KEY, "latest.json").read_bytes())
    resigned(path, lambda value: value["dsseEnvelope"]["signatures"][0].update(sig=pointer["signature"]["sig"]))
    assert isinstance(refused(store), errors.SignatureInvalid)


def test_row_34_a_key_from_the_store_is_no_trusted_one(store: ArtifactStore, run: Run) -> None:
    """A stranger may write his key and a good signature by it, wherever he likes."""
    stranger = ArtifactStore(store.url, signer=signer("stranger"), policy=LoadPolicy(trusted_keys=[public()]))
    stranger.save({"a": 666}, KEY)
    for name in ("owner.pub", "trusted_keys.json"):
        Path(store.url, name).write_bytes(public("stranger").pem)
    caught = refused(store)
    assert isinstance(caught, errors.UntrustedKey)
    with pytest.raises(errors.InvalidOption):
        LoadPolicy(trusted_keys=[Path(store.url, "owner.pub")], require_signature=True)


# ---------------------------------------------------------------- 35: names in what a client remembers


def test_row_35_a_signed_pointer_writes_into_no_other_folder(store: ArtifactStore, tmp_path: Path, run: Run) -> None:
    """Its owner may say that the store is called ../../outside: what is remembered is named after a digest."""
    (tmp_path / "outside").mkdir()
    pointer = Path(store.url, KEY, "latest.json")
    for store_id in ("../../outside/x", "/tmp/outside", "..\\x", "a" * 300, ""):
        value = {name: part for name, part in json.loads(pointer.read_bytes()).items() if name != "checksum"}
        value["signature"] = {"key_id": public().key_id, "store_id": store_id}
        value["signature"]["sig"] = encode64(signer().sign(message(canonical(value), POINTER_TYPE)))
        pointer.write_bytes(resealed(value))
        client = tmp_path / f"state-{len(store_id)}"
        with untouched(tmp_path / "outside", Path(store.url)):
            assert reader(store, state=client).load(KEY) == {"a": 1}
        assert {len(path.name) for path in client.glob("*.json")} == {64 + len(".json")}
