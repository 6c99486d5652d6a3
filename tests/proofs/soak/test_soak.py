"""A short soak, and the oracle of the long ones: each of these lies is found out."""

import json

import pytest

from artifact_store import ArtifactStore
from artifact_store.core.names import RunId
from tests.proofs.soak import writer
from tests.proofs.soak.__main__ import soak
from tests.proofs.soak.oracle import judge
from tests.proofs.soak.plot import svg
from tests.proofs.soak.writer import KEYS, Writer

SAMPLES = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return {"url": str(tmp_path_factory.mktemp("soak") / "store")}


@pytest.fixture(scope="module")
def told(place):
    """What two processes were told in some seconds."""
    return soak(place, 2, 4)


def violations(place, told):
    return judge(ArtifactStore(**place), told).violations


def test_a_short_soak_is_clean(place, told):
    verdict = judge(ArtifactStore(**place), told)
    assert verdict.violations == ()
    assert verdict.publishes > 0
    assert verdict.runs + verdict.deleted == sum("sha256" in line for one in told for line in one) > 0
    assert sum(verdict.operations.values()) > SAMPLES


def test_it_tells_whether_growth_was_judged(place, told):
    held = [{"at": float(at), "memory": 300.0, "descriptors": 20, "threads": 12} for at in range(SAMPLES)]
    assert judge(ArtifactStore(**place), [held]).growth_judged
    assert not judge(ArtifactStore(**place), told).growth_judged


def test_a_lost_publish_is_found_out(place, told):
    lost = {"op": "promote", "publish": f"{KEYS[0]}@latest", "write_id": "0" * 32}
    assert any("is 0 times there" in found for found in violations(place, [[*told[0], lost]]))


def test_a_lost_run_and_one_that_was_changed_are_found_out(place, told):
    saved = next(line for line in told[0] if "sha256" in line)
    gone = saved | {"run": f"{KEYS[0]}:{RunId('20200101_000000')}"}
    assert any("was acknowledged, and is" in found for found in violations(place, [[gone]]))
    other = ArtifactStore(**place).save(writer.content(5, 10), KEYS[0], publish="never")
    assert any("something else" in found for found in violations(place, [[saved | {"run": str(other.ref)}]]))


def test_a_run_that_goes_without_a_delete_is_found_out(place):
    store = ArtifactStore(**place)
    run = store.save(writer.content(6, 10), KEYS[0], publish="never")
    store.delete(run).apply()
    line = {"op": "save", "run": str(run.ref), "sha256": writer.digest(writer.content(6, 10))}
    assert any("no delete or prune said so" in found for found in violations(place, [[line]]))
    assert violations(place, [[line, {"op": "delete", "gone": [str(run.ref)]}]]) == ()


@pytest.mark.parametrize(
    "line",
    [
        {"op": "load", "whole": False},
        {"op": "load", "error": "Corrupt", "text": "damaged"},
        {"op": "verify", "errors": ["DigestMismatch"]},
        {"op": "save", "error": "OutcomeUnknown", "run_id": "x"},
    ],
)
def test_what_no_other_client_can_cause_is_found_out(place, line):
    assert len(violations(place, [[line]])) == 1


@pytest.mark.parametrize("name", ["memory", "descriptors", "threads"])
def test_what_grows_is_found_out(place, name):
    flat = [{"at": float(at), "memory": 300.0, "descriptors": 20, "threads": 12} for at in range(SAMPLES)]
    grown = [line | {name: line[name] + 30 * at} for at, line in enumerate(flat)]
    assert violations(place, [flat]) == ()
    [found] = violations(place, [flat, grown])
    assert found.startswith(f"process 1: {name} went from")
    assert '<polyline points="0.0' in svg("title", [flat, grown])


def test_a_value_tells_whether_it_is_whole(tmp_path, monkeypatch):
    value = writer.content(7, 100)
    assert writer.is_whole(value)
    value["values"][50] += 1e-9
    assert not writer.is_whole(value)
    one = Writer(json.dumps({"url": str(tmp_path / "store")}), 1)
    monkeypatch.setattr(writer, "SIZES", (10, 10, 10, 10))
    assert one.load_run(KEYS[0]) == {}
    one.save(KEYS[0])
    assert one.load_run(KEYS[0])["whole"]
