"""A statement about a run says what model_signing says, and is believed only if it is about exactly that run."""

import base64
import json
from pathlib import Path

import pytest

from artifact_store import PublicKey
from artifact_store.canonical import canonical
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.statement import (
    Bundle,
    check_statement,
    decode64,
    encode64,
    message,
    read_bundle,
    statement,
    write_bundle,
)
from artifact_store.core.trust import check_signature
from artifact_store.errors import SignatureInvalid
from tests.keys import public, signer
from tests.unit.samples import manifest

pytestmark = pytest.mark.windows

DATA = Path(__file__).parents[1] / "data" / "signing"


def entry(path, digit="0"):
    return FileEntry(path=path, key=path, size=1, sha256=digit * 64)


RUN = manifest(files=tuple(entry(path, "7") for path in ("model.json", "metadata.json", "a-b/x", "a/x")))


def bundle_of(run=RUN, who="owner"):
    payload = statement(run)
    return write_bundle(Bundle(public(who).key_id, payload, signer(who).sign(message(payload))))


def signed(value, who="owner"):
    """A bundle that somebody really signed, whatever it says."""
    payload = json.dumps(value).encode()
    return write_bundle(Bundle(public(who).key_id, payload, signer(who).sign(message(payload))))


class TestTheForm:
    def test_the_encoding_to_sign_is_the_one_of_dsse(self):
        sample = message(b"hello world", "http://example.com/HelloWorld")  # from the protocol's own page
        assert sample == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"

    def test_a_statement_lists_every_file_and_the_manifest_in_the_order_of_code_points(self):
        said = json.loads(statement(RUN))
        names = [each["name"] for each in said["predicate"]["resources"]]
        assert names == ["a-b/x", "a/x", "manifest.json", "metadata.json", "model.json"]
        assert said["predicate"]["resources"][2]["digest"] == RUN.digest
        assert said["predicate"]["serialization"]["ignore_paths"] == ["_signatures"]
        assert said["subject"][0]["name"] == "gru/BTCEUR:20240816_142301_k3f8qz"

    def test_what_is_written_is_read(self):
        data = bundle_of()
        bundle = read_bundle(data, "it")
        assert write_bundle(bundle) == data
        assert bundle.payload == statement(RUN)
        check_signature(data, public(), RUN, "it")

    @pytest.mark.parametrize("text", ["QQ", "QR==", "QQ==\n", " QQ==", "Q===", "ä", "QQ=", 7, None, b"QQ=="])
    def test_only_one_spelling_of_base64_is_read(self, text):
        assert decode64("QQ==") == b"A"
        assert encode64(b"A") == "QQ=="
        assert decode64(text) is None


class TestASignatureOfModelSigning:
    """Made by ``model_signing sign key`` 1.1.1 in the folder of a downloaded run."""

    KEY = PublicKey.from_pem(DATA / "key.pub")
    SIGNATURE = (DATA / "model_signing-1.1.1.sig").read_bytes()
    RUN = Manifest.from_bytes((DATA / "manifest.json").read_bytes(), what="the manifest")

    def test_is_accepted(self):
        check_signature(self.SIGNATURE, self.KEY, self.RUN, "it")

    def test_says_what_ours_says(self):
        theirs, ours = json.loads(read_bundle(self.SIGNATURE, "it").payload), json.loads(statement(self.RUN))
        assert by_name(theirs) == by_name(ours)  # it orders by the segments of the names
        assert theirs["subject"][0]["digest"]["sha256"] == root(theirs["predicate"]["resources"])
        assert (theirs["_type"], theirs["predicateType"]) == (ours["_type"], ours["predicateType"])
        assert set(theirs) == set(ours)
        assert read_bundle(self.SIGNATURE, "it").key_id == self.KEY.key_id

    def test_of_another_run_is_refused(self):
        with pytest.raises(SignatureInvalid, match="covers other bytes of manifest.json"):
            check_signature(self.SIGNATURE, self.KEY, manifest(files=self.RUN.files), "it")


class TestWhatIsNotBelieved:
    def test_every_flipped_bit(self):
        data = bundle_of()
        for place in range(len(data)):
            for bit in range(8):
                flipped = bytearray(data)
                flipped[place] ^= 1 << bit
                with pytest.raises(SignatureInvalid):
                    check_signature(bytes(flipped), public(), RUN, "it")

    def test_every_shorter_length(self):
        data = bundle_of()
        for length in range(len(data)):
            with pytest.raises(SignatureInvalid):
                check_signature(data[:length], public(), RUN, "it")

    def test_a_wrong_key_and_a_key_that_comes_with_the_artifact(self):
        with pytest.raises(SignatureInvalid, match="not made by the key"):
            check_signature(bundle_of(who="stranger"), public(), RUN, "it")
        forged = json.loads(bundle_of(who="stranger"))
        forged["verificationMaterial"]["publicKey"]["hint"] = public().key_id
        with pytest.raises(SignatureInvalid, match="not made by the key"):
            check_signature(canonical(forged), public(), RUN, "it")
        forged["verificationMaterial"]["publicKey"]["rawBytes"] = encode64(public("stranger").pem)
        with pytest.raises(SignatureInvalid, match="not a signature bundle"):
            check_signature(canonical(forged), public(), RUN, "it")

    def test_a_signature_of_another_run(self):
        other = manifest(run_id="20240816_142302_k3f8qz", files=RUN.files)
        with pytest.raises(SignatureInvalid, match="covers other bytes of manifest.json"):
            check_signature(bundle_of(other), public(), RUN, "it")

    def test_a_missing_file_an_extra_one_and_other_bytes(self):
        fewer = manifest(files=RUN.files[:-1])
        with pytest.raises(SignatureInvalid, match="is not about a/x"):
            check_signature(bundle_of(fewer), public(), RUN, "it")
        with pytest.raises(SignatureInvalid, match="what the run has not: a/x"):
            check_signature(bundle_of(), public(), fewer, "it")
        many = manifest(files=tuple(entry(f"{name}.bin") for name in "abcde") + RUN.files)
        with pytest.raises(SignatureInvalid, match=r"not about a.bin, b.bin, c.bin, \.\.\."):
            check_signature(bundle_of(), public(), many, "it")
        other = manifest(files=(entry("model.json", "8"), *RUN.files[1:]))
        with pytest.raises(SignatureInvalid, match="other bytes of manifest.json, model.json"):
            check_signature(bundle_of(other), public(), RUN, "it")

    def test_other_signatures_beside_the_run_may_be_listed_and_mean_nothing(self):
        said = json.loads(statement(RUN))
        resources = said["predicate"]["resources"]
        resources.insert(0, {"name": "_signatures/x.json", "algorithm": "sha256", "digest": "ab" * 32})
        with pytest.raises(SignatureInvalid, match="contradicts itself"):
            check_statement(canonical(said), RUN, "it")
        said["subject"][0]["digest"]["sha256"] = root(resources)
        check_statement(canonical(said), RUN, "it")
        assert read_bundle(signed(said), "it").payload

    def test_a_file_that_is_listed_twice(self):
        said = json.loads(statement(RUN))
        resources = said["predicate"]["resources"]
        resources.append(dict(resources[0]))
        said["subject"][0]["digest"]["sha256"] = root(resources)
        with pytest.raises(SignatureInvalid, match="twice"):
            check_statement(canonical(said), RUN, "it")

    def test_a_digest_that_is_none(self):
        said = json.loads(statement(RUN))
        said["predicate"]["resources"][0]["digest"] = "z" * 64
        with pytest.raises(SignatureInvalid, match="not a statement about files: ValueError"):
            check_statement(canonical(said), RUN, "it")

    @pytest.mark.parametrize("value", [None, 7, "text", [], {}, [[]], {"subject": 7}])
    def test_signed_nonsense(self, value):
        with pytest.raises(SignatureInvalid):
            check_signature(signed(value), public(), RUN, "it")

    def test_any_part_of_a_statement_left_out_or_of_another_kind(self):
        for path in leaves(json.loads(statement(RUN))):
            for change in (remove, lambda holder, name: holder.__setitem__(name, 7)):
                said = json.loads(statement(RUN))
                holder = said
                for step in path[:-1]:
                    holder = holder[step]
                change(holder, path[-1])
                if change is remove and path[-2:] == ("ignore_paths", 0):
                    check_statement(canonical(said), RUN, "it")  # says how to read a folder
                    continue
                with pytest.raises(SignatureInvalid):
                    check_statement(canonical(said), RUN, "it")

    @pytest.mark.parametrize(
        "change",
        [
            lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1"),
            lambda b: b.update(extra=1),
            lambda b: b.pop("dsseEnvelope"),
            lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
            lambda b: b["dsseEnvelope"].update(signatures=[]),
            lambda b: b["dsseEnvelope"].update(signatures=b["dsseEnvelope"]["signatures"] * 2),
            lambda b: b["dsseEnvelope"].update(signatures={"0": 1}),
            lambda b: b["dsseEnvelope"].update(signatures=["x"]),
            lambda b: b["dsseEnvelope"].update(payload="not base64"),
            lambda b: b["dsseEnvelope"]["signatures"][0].update(sig=7),
            lambda b: b["dsseEnvelope"]["signatures"][0].update(sig=base64.b64encode(b"short").decode()),
            lambda b: b["dsseEnvelope"]["signatures"][0].update(keyid="x"),
            lambda b: b["verificationMaterial"].update(tlogEntries=[1]),
            lambda b: b["verificationMaterial"].update(certificate={}),
            lambda b: b["verificationMaterial"]["publicKey"].update(hint=None),
            lambda b: b["verificationMaterial"]["publicKey"].update(hint=""),
        ],
    )
    def test_a_bundle_of_another_shape(self, change):
        bundle = json.loads(bundle_of())
        change(bundle)
        with pytest.raises(SignatureInvalid):
            check_signature(canonical(bundle), public(), RUN, "it")

    def test_a_list_is_no_bundle(self):
        with pytest.raises(SignatureInvalid):
            read_bundle(canonical(list(json.loads(bundle_of()))), "it")

    def test_a_bundle_without_the_optional_parts_is_as_good(self):
        bundle = json.loads(bundle_of())
        del bundle["verificationMaterial"]["tlogEntries"], bundle["dsseEnvelope"]["signatures"][0]["keyid"]
        check_signature(json.dumps(bundle).encode(), public(), RUN, "it")


class TestWhatTheStandardLetsOthersWrite:
    """The specification of OpenSSF Model Signing, 1.0: each of these says the same as what we write."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda b: b["dsseEnvelope"]["signatures"][0].update(keyid=None),
            lambda b: b["verificationMaterial"].update(timestampVerificationData={}),
            lambda b: b["verificationMaterial"].update(timestampVerificationData={"rfc3161Timestamps": []}),
            lambda b: b["verificationMaterial"].update(publicKey={"rawBytes": encode64(public().pem)}),
            lambda b: b["verificationMaterial"].update(
                publicKey={"rawBytes": encode64(public().pem), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
            ),
            lambda b: b["dsseEnvelope"].update(payload=url_safe(b["dsseEnvelope"]["payload"])),
            lambda b: b["dsseEnvelope"]["signatures"][0].update(
                sig=url_safe(b["dsseEnvelope"]["signatures"][0]["sig"])
            ),
        ],
    )
    def test_a_bundle_in_another_spelling_is_as_good(self, change):
        bundle = json.loads(bundle_of())
        change(bundle)
        check_signature(canonical(bundle), public(), RUN, "it")

    @pytest.mark.parametrize(
        "change",
        [
            lambda b: b["verificationMaterial"].update(timestampVerificationData=None),
            lambda b: b["verificationMaterial"].update(timestampVerificationData={"rfc3161Timestamps": [{}]}),
            lambda b: b["dsseEnvelope"]["signatures"][0].update(keyid=[]),
            lambda b: b["verificationMaterial"].update(publicKey={}),
            lambda b: b["verificationMaterial"].update(publicKey={"rawBytes": encode64(public("stranger").pem)}),
            lambda b: b["verificationMaterial"].update(publicKey={"rawBytes": "no base64"}),
            lambda b: b["verificationMaterial"].update(publicKey={"hint": public().key_id, "rawBytes": ""}),
            lambda b: b["verificationMaterial"].update(publicKey=[public().key_id]),
            lambda b: b["verificationMaterial"].update(publicKey={"keyDetails": "PKIX_ECDSA_P256_SHA_256"}),
        ],
    )
    def test_what_says_something_else_is_not(self, change):
        bundle = json.loads(bundle_of())
        change(bundle)
        with pytest.raises(SignatureInvalid):
            check_signature(canonical(bundle), public(), RUN, "it")

    def test_base64_of_both_alphabets_is_none(self):
        bundle = Bundle(public().key_id, b"\xfb\xff\xbf" * 20, b"\xfb\xff")
        data = json.loads(write_bundle(bundle))
        assert data["dsseEnvelope"]["payload"] == "+/+/" * 20
        data["dsseEnvelope"]["payload"] = "-_-_" * 20
        assert read_bundle(canonical(data), "it") == bundle
        for text in ("+_+/" * 20, "-_-/" * 20, "-_-_" * 20 + "=", "-_-_-"):
            data["dsseEnvelope"]["payload"] = text
            with pytest.raises(SignatureInvalid, match="damaged"):
                read_bundle(canonical(data), "it")

    @pytest.mark.parametrize(
        "change",
        [
            lambda said: said["subject"][0].update(name="another"),
            lambda said: said["subject"][0].update(annotations={}),
            lambda said: said["predicate"]["resources"][0].update(mediaType="text/plain"),
            lambda said: said["predicate"]["serialization"].pop("ignore_paths"),
            lambda said: said["predicate"]["serialization"].update(ignore_paths=[]),
            lambda said: said["predicate"]["serialization"].update(allow_symlinks=True),
        ],
    )
    def test_a_statement_in_other_words_is_as_good(self, change):
        said = json.loads(statement(RUN))
        change(said)
        check_statement(canonical(said), RUN, "it")

    def test_files_in_another_order_are_the_same_files(self):
        said = json.loads(statement(RUN))
        said["predicate"]["resources"].sort(key=lambda each: each["name"].split("/"))  # as model_signing 1.1 does
        said["subject"][0]["digest"]["sha256"] = root(said["predicate"]["resources"])
        assert canonical(said) != statement(RUN)
        check_statement(canonical(said), RUN, "it")

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda said: said["subject"][0].update(name=""), "names no subject"),
            (lambda said: said["subject"].clear(), "names no subject"),
            (lambda said: said["subject"].append(said["subject"][0]), "names no subject"),
            (lambda said: said["predicate"].update(more=1), "fields of the predicate"),
            (lambda said: said["predicate"]["serialization"].update(more=1), "fields of the predicate"),
            (lambda said: said["predicate"]["serialization"].update(shard_size=10), "fields of the predicate"),
            (lambda said: said["predicate"]["serialization"].update(ignore_paths=[""]), "fields of the predicate"),
            (lambda said: said["predicate"]["serialization"].update(ignore_paths="x"), "fields of the predicate"),
            (lambda said: said["predicate"]["serialization"].update(allow_symlinks="no"), "fields of the predicate"),
            (lambda said: said["predicate"]["serialization"].update(method="shards"), "'shards' of 'sha256'"),
            (lambda said: said["predicate"]["serialization"].update(hash_type="blake2b"), "'files' of 'blake2b'"),
            (lambda said: said["predicate"]["resources"].clear(), "lists no file"),
            (lambda said: said["predicate"].update(resources={}), "lists no file"),
        ],
    )
    def test_what_the_standard_forbids_is_refused_and_named(self, change, says):
        said = json.loads(statement(RUN))
        change(said)
        with pytest.raises(SignatureInvalid, match=says):
            check_statement(canonical(said), RUN, "it")


def url_safe(text):
    return text.replace("+", "-").replace("/", "_")


def by_name(said):
    return sorted(said["predicate"]["resources"], key=lambda each: each["name"])


def root(resources):
    import hashlib

    return hashlib.sha256(b"".join(bytes.fromhex(each["digest"]) for each in resources)).hexdigest()


def leaves(value, path=()):
    """The paths to everything in a JSON value that holds nothing else."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for name, part in parts for leaf in leaves(part, (*path, name))]
    return found or [path]


def remove(holder, name):
    del holder[name]
