"""Signatures over a backend that fails: what is visible is signed, and a reply that got lost is no conflict."""

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.errors import AccessDenied, ObjectNotFound, OutcomeUnknown
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend, SimulatedCrash
from tests.keys import public, signer, strict

KEY = "gru/BTCEUR"
SIGNATURE = "*/_signatures/*"


def faulty(inner, plan, **more):
    return ArtifactStore(FaultyBackend(inner, plan, sleep=lambda _: None), timeout=2.0, **more)


def all_keys(inner):
    return sorted(entry.key for entry in inner.list(""))


PLANS = {
    "lost reply": lambda on: on.lose_reply(),
    "lost request": lambda on: on.lose_request(),
    "echo": lambda on: on.echo(),
    "409": lambda on: on.contend(),
    "409 that landed": lambda on: on.contend(landed=True),
    "503": lambda on: on.unavailable(),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_fault_at_the_signature_once_is_no_failure(name):
    inner = MemoryBackend()
    store = faulty(inner, PLANS[name](Faults().on("write", key=SIGNATURE, times=1)), signer=signer())
    run = store.save({"a": 1}, KEY)
    assert ArtifactStore(inner, policy=strict()).load(KEY) == {"a": 1}
    other = faulty(inner, PLANS[name](Faults().on("write", key=SIGNATURE, times=1)))
    other.sign(str(run.ref), signer("second"))
    assert ArtifactStore(inner, policy=strict("second")).load(str(run.ref)) == {"a": 1}


def test_a_save_whose_signature_cannot_be_written_leaves_nothing_visible():
    for plan, error in (
        (Faults().on("write", key=SIGNATURE).lose_request(), OutcomeUnknown),
        (Faults().on("write", key=SIGNATURE).fail(lambda _, key: AccessDenied(key)), AccessDenied),
    ):
        inner = MemoryBackend()
        with pytest.raises(error) as caught:
            faulty(inner, plan, signer=signer()).save({"a": 1}, KEY)
        assert caught.value.committed is None
        assert not list(ArtifactStore(inner).runs())
        assert not [key for key in all_keys(inner) if key.endswith(("manifest.json", "latest.json"))]


def test_a_crash_at_any_operation_of_a_signed_save_shows_no_unsigned_run():
    for number in range(1, 30):
        for landed in (False, True):
            inner = MemoryBackend()
            ArtifactStore(inner, signer=signer()).save({"a": 0}, KEY)
            try:
                faulty(inner, Faults().crash_at(number, landed=landed), signer=signer()).save({"a": 1}, KEY)
            except SimulatedCrash:
                crashed = True
            else:
                crashed = False
            reader = ArtifactStore(inner, policy=strict())
            assert all(run.load()["a"] in {0, 1} for run in ArtifactStore(inner, policy=strict()).runs(KEY))
            assert reader.load(KEY) in ({"a": 0}, {"a": 1})
            assert reader.verify(KEY).ok
        if not crashed:
            break
    assert not crashed
    assert number > 6


def test_signatures_that_may_not_be_listed_are_no_other_answer():
    inner = MemoryBackend()
    run = ArtifactStore(inner).save({"a": 1}, KEY)
    plan = Faults().on("children", key=SIGNATURE.removesuffix("*")).fail(lambda _, key: AccessDenied(key))
    with pytest.raises(errors.SignatureMissing, match="may not be listed"):
        faulty(inner, plan, policy=strict()).load(str(run.ref))


def test_a_signature_that_cannot_be_fetched_is_not_one_that_is_missing():
    inner = MemoryBackend()
    run = ArtifactStore(inner, signer=signer()).save({"a": 1}, KEY)
    down = Faults().on("read", key=SIGNATURE).unavailable()
    with pytest.raises(errors.Unavailable):
        faulty(inner, down, policy=strict()).load(KEY)
    denied = Faults().on("read", key=SIGNATURE).fail(lambda _, key: AccessDenied(key))
    with pytest.raises(errors.AccessDenied):
        faulty(inner, denied, policy=strict()).load(KEY)
    one_of_two = Faults().on("read", key=f"*.{public('second').key_id[:16]}.json").fail(lambda _, k: AccessDenied(k))
    assert faulty(inner, one_of_two, policy=strict("second", "owner")).load(KEY) == {"a": 1}
    gone = Faults().on("read", key=SIGNATURE).fail(lambda _, key: ObjectNotFound(key))
    with pytest.raises(errors.SignatureMissing):  # it shows in the listing, and is not there when it is asked for
        faulty(inner, gone, policy=strict()).load(str(run.ref))
    assert keys.signer_in("latest.json", run.manifest.digest) is None


def test_a_store_remembers_only_so_many_good_signatures(monkeypatch):
    from artifact_store.ops import signing

    monkeypatch.setattr(signing, "_REMEMBERED", 2)
    inner = MemoryBackend()
    saver, reader = ArtifactStore(inner, signer=signer()), ArtifactStore(inner, policy=strict())
    for number in range(4):
        saver.save({"n": number}, KEY)
        assert reader.load(KEY) == {"n": number}
        assert len(reader._context.verified) <= 2
