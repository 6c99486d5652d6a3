"""Validated saves under faults, in a short form; ``python -m tests.proofs.publishes`` is the whole."""

from __future__ import annotations

import json

import pytest

from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend
from tests.proofs.publishes import __main__ as command
from tests.proofs.publishes.rounds import run_rounds

pytestmark = pytest.mark.xdist_group("publishes")


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_no_alias_is_left_on_a_model_that_does_not_load_and_predict(kind, tmp_path):
    backend = MemoryBackend() if kind == "memory" else LocalBackend(tmp_path)
    tally = run_rounds(kind, backend, publishes=60, say=print)
    assert tally.violations == []
    assert tally.publishes == 60
    assert tally.ends["published"] > 10
    assert tally.ends["wrong"] > 3
    assert tally.ends["failed"] > 3
    assert len(tally.faults) >= 4


def test_the_same_faults_without_a_validation_leave_aliases_on_broken_models():
    tally = run_rounds("memory", MemoryBackend(), publishes=60, validate=False, say=print)
    assert any("does not load" in violation for violation in tally.violations)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", command.BACKENDS)
def test_a_thousand_publishes(backend, capsys):
    assert command.main(["--backend", backend, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["publishes"]
    assert row["publishes"] == 1000
    assert row["published"] > 200


def test_the_command_prints_a_table(capsys):
    assert command.main(["--backend", "memory", "--publishes", "3"]) == 0
    printed = capsys.readouterr().out
    assert "memory" in printed
    assert printed.rstrip().endswith("0 violations")
