"""``python dev.py prove scale``, in a short form: 20,000 runs, in which times say little, and all else holds."""

import sys

import pytest

from tests.proofs.scale import __main__ as scale

if sys.platform != "linux":
    pytest.skip("asks the system for the peak of memory", allow_module_level=True)


def test_twenty_thousand_runs_are_asked_in_few_operations_and_little_memory(tmp_path):
    rows, violations = scale.prove(tmp_path, 20_000, 100)
    assert [text for text in violations if "a save takes" not in text] == []
    assert {(row["what"], row["how"]) for row in rows} >= {("best of each", "pyarrow"), ("best of each", "without")}
