"""What may be decoded is decided by the caller, and never by the artifact."""

import pytest

from artifact_store.core.codec import CodecRef, Risk
from artifact_store.core.errors import DigestMismatch, InvalidOption, RiskRefused
from artifact_store.core.manifest import CodecRecord, Component, FileEntry
from artifact_store.core.trust import Consent, LoadPolicy, check
from tests.unit.samples import manifest

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
        check("model", run, Risk(installed), policy, Consent())
        return
    with pytest.raises(RiskRefused, match="x-1"):
        check("model", run, Risk(installed), policy, Consent())


def test_code_needs_the_consent_of_the_very_call():
    run = run_of("code")
    check("model", run, Risk.CODE, LoadPolicy(), Consent(allow_code=True))
    check("model", run, Risk.CODE, LoadPolicy("data"), Consent(sha256=run.digest.upper()))
    check("model", run, Risk.CODE, LoadPolicy(), Consent(sha256="b" * 64))
    with pytest.raises(RiskRefused, match="allow_code=True"):
        check("model", run, Risk.CODE, LoadPolicy(), Consent())


def test_consent_to_code_is_none_to_a_stricter_policy_on_vetted():
    with pytest.raises(RiskRefused, match="max_risk='data'"):
        check("model", run_of("vetted"), Risk.VETTED, LoadPolicy("data"), Consent(allow_code=True))


def test_a_pin_that_does_not_fit_refuses_even_harmless_data():
    with pytest.raises(DigestMismatch, match="not what you pinned"):
        check("model", run_of("data"), Risk.DATA, LoadPolicy(), Consent(sha256="0" * 64))


def test_the_digest_of_one_file_pins_no_component_of_two():
    run = run_of("data", ("model.a", "model.b"))
    with pytest.raises(DigestMismatch):
        check("model", run, Risk.DATA, LoadPolicy(), Consent(sha256="b" * 64))


@pytest.mark.parametrize("risk", ["code", "none", "", None])
def test_no_policy_allows_code_for_every_load(risk):
    with pytest.raises(InvalidOption):
        LoadPolicy(max_risk=risk)


def test_risks_are_ordered_and_refs_are_readable():
    assert [risk.level for risk in (Risk.DATA, Risk.VETTED, Risk.CODE)] == [0, 1, 2]
    assert str(CodecRef("lightgbm", 1)) == "lightgbm-1"
