"""What may be decoded is decided by the caller, and never by the artifact."""

from datetime import timedelta

import pytest

from artifact_store.core.codec import CodecRef, Risk
from artifact_store.core.manifest import CodecRecord, Component, FileEntry
from artifact_store.core.pointer import PublishInfo, advance
from artifact_store.core.trust import Consent, LoadPolicy, check_pointer, check_risk
from artifact_store.errors import (
    DigestMismatch,
    InvalidOption,
    RiskRefused,
    SignatureInvalid,
    SignatureMissing,
    UntrustedKey,
)
from tests.keys import public, signer, strict
from tests.unit.samples import KEY, NOW, manifest

pytestmark = pytest.mark.windows


def run_of(risk, files=("model.json",)):
    entries = tuple(FileEntry(path=name, key=name, size=1, sha256="b" * 64) for name in files)
    component = Component(codec=CodecRecord(name="x", version=1), risk=risk, type="t", files=files)
    return manifest(files=entries, components={"model": component})


@pytest.mark.parametrize(
    ("recorded", "installed", "most", "allowed"),
    [
        ("data", "data", "data", True),
        ("vetted", "data", "data", False),
        ("data", "vetted", "data", False),
        ("data", "vetted", "vetted", True),
        ("data", "code", "vetted", False),
        ("code", "data", "vetted", False),
    ],
)
def test_the_stricter_of_the_recorded_and_the_installed_risk_counts(recorded, installed, most, allowed):
    run, policy = run_of(recorded), LoadPolicy(max_risk=most)
    if allowed:
        check_risk("model", run, Risk(installed), policy, Consent())
        return
    with pytest.raises(RiskRefused, match="x-1"):
        check_risk("model", run, Risk(installed), policy, Consent())


def test_code_needs_the_consent_of_the_very_call():
    run = run_of("code")
    check_risk("model", run, Risk.CODE, LoadPolicy(), Consent(allow_code=True))
    check_risk("model", run, Risk.CODE, LoadPolicy("data"), Consent(sha256=run.digest.upper()))
    check_risk("model", run, Risk.CODE, LoadPolicy(), Consent(sha256="b" * 64))
    with pytest.raises(RiskRefused, match="allow_code=True"):
        check_risk("model", run, Risk.CODE, LoadPolicy(), Consent())


def test_consent_to_code_is_none_to_a_stricter_policy_on_vetted():
    with pytest.raises(RiskRefused, match="max_risk='data'"):
        check_risk("model", run_of("vetted"), Risk.VETTED, LoadPolicy("data"), Consent(allow_code=True))


def test_a_pin_that_does_not_fit_refuses_even_harmless_data():
    with pytest.raises(DigestMismatch, match="not what you pinned"):
        check_risk("model", run_of("data"), Risk.DATA, LoadPolicy(), Consent(sha256="0" * 64))


def test_the_digest_of_one_file_pins_no_component_of_two():
    run = run_of("data", ("model.a", "model.b"))
    with pytest.raises(DigestMismatch):
        check_risk("model", run, Risk.DATA, LoadPolicy(), Consent(sha256="b" * 64))


@pytest.mark.parametrize("risk", ["code", "none", "", None])
def test_no_policy_allows_code_for_every_load(risk):
    with pytest.raises(InvalidOption):
        LoadPolicy(max_risk=risk)


def test_a_risk_may_be_given_as_text_and_is_one():
    assert LoadPolicy(max_risk="data").max_risk is Risk.DATA


def test_risks_are_ordered_and_refs_are_readable():
    assert [risk.level for risk in (Risk.DATA, Risk.VETTED, Risk.CODE)] == [0, 1, 2]
    assert str(CodecRef("lightgbm", 1)) == "lightgbm-1"


def test_a_pin_that_does_not_fit_tells_both_digests():
    run = run_of("data")
    with pytest.raises(DigestMismatch) as caught:
        check_risk("model", run, Risk.DATA, LoadPolicy(), Consent(sha256="0" * 64))
    assert (caught.value.expected, caught.value.actual) == ("0" * 64, run.digest)


def test_decoding_waits_for_a_signature_only_where_the_policy_relies_on_one():
    trusting, careful = LoadPolicy(trusted_keys=[public()]), strict()
    data, code = run_of("data"), run_of("code")
    assert not check_risk("model", data, Risk.DATA, LoadPolicy(), Consent())
    assert not check_risk("model", data, Risk.DATA, trusting, Consent())
    assert check_risk("model", data, Risk.DATA, careful, Consent())
    assert check_risk("model", code, Risk.CODE, trusting, Consent())
    assert check_risk("model", code, Risk.CODE, careful, Consent(allow_code=True))
    for consent in (Consent(allow_code=True), Consent(sha256=code.digest)):
        assert not check_risk("model", code, Risk.CODE, trusting, consent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"require_signature": True},
        {"max_age": timedelta(1)},
        {"trusted_keys": "ab"},
        {"trusted_keys": ["ab"]},
        {"trusted_keys": {"a"}},
        {"trusted_keys": None},
    ],
)
def test_a_policy_that_means_nothing_is_refused(wrong):
    with pytest.raises(InvalidOption):
        LoadPolicy(**wrong)


def test_an_age_is_a_timedelta_and_needs_signatures():
    keys = [public()]
    assert LoadPolicy(trusted_keys=keys, require_signature=True, max_age=timedelta(1)).max_age == timedelta(1)
    for wrong in ({"require_signature": True, "max_age": 3600}, {"max_age": timedelta(1)}):
        with pytest.raises(InvalidOption, match="max_age"):
            LoadPolicy(trusted_keys=keys, **wrong)


def test_a_key_is_found_by_its_id():
    policy = strict("owner", "other")
    assert policy.key(public("other").key_id) == public("other")
    assert policy.key("0" * 64) is None
    assert isinstance(policy.trusted_keys, tuple)


def test_a_pointer_counts_if_a_trusted_key_signed_it_as_it_is():
    unsigned = advance(None, KEY, "latest", manifest(), PublishInfo("0" * 32, NOW, "me")).pointer
    announced = unsigned.announced(public().key_id, "s" * 32)
    pointer = announced.signed(signer().sign(announced.signed_message()))
    assert check_pointer(pointer, strict(), "it") == "s" * 32
    plain = advance(None, KEY, "latest", manifest(), PublishInfo("0" * 32, NOW, "me")).pointer
    with pytest.raises(SignatureMissing, match="it is not signed"):
        check_pointer(plain, strict(), "it")
    with pytest.raises(UntrustedKey) as caught:
        check_pointer(pointer, strict("other"), "it")
    assert caught.value.key_ids == (public().key_id,)
    for changed in (
        pointer.model_copy(update={"reason": "another"}),
        pointer.model_copy(update={"signature": pointer.signature.model_copy(update={"sig": "!"})}),
        pointer.model_copy(update={"signature": pointer.signature.model_copy(update={"store_id": "t" * 32})}),
    ):
        with pytest.raises(SignatureInvalid, match="was changed after the key"):
            check_pointer(changed, strict(), "it")
