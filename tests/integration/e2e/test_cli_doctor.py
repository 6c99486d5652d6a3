"""The command doctor: what it prints, what it ends with, and that it changes nothing before it is told to."""

from __future__ import annotations

import json
import shlex

import pytest

from artifact_store import errors
from artifact_store.core import keys
from artifact_store.storage.base import Always
from tests.doctor_page import CODES, SEVERITIES
from tests.integration.e2e.test_cli import KEY, Cli, cli, filled  # noqa: F401 -- fixtures

OLDEST = "20240801_120000"


def damage(cli: Cli) -> bytes:  # noqa: F811
    """Cut the pointer of ``latest``, and spoil a manifest that no alias names."""
    backend = cli.store._context.backend
    run = cli.store.save({"n": 9}, KEY, run_id=OLDEST, publish="never")
    backend.write(keys.manifest(run.key, run.run_id), b"\x1b[31m{", when=Always())
    where = keys.pointer(run.key, "latest")
    data = backend.read(where, limit=1 << 20).data
    backend.write(where, data[:-30], when=Always())
    return data


def test_what_was_lost_with_a_pointer_is_one_line_of_the_history(cli: Cli) -> None:  # noqa: F811
    run = cli.store.save({"n": 1}, KEY)
    cli.store.retire(KEY, reason="lost count")
    cli.store.promote(run, "latest")
    where = keys.pointer(run.key, "latest")
    cli.store._context.backend.write(where, b"{", when=Always())
    assert cli("doctor", "--repair", "--apply", "--to", str(run.ref)).exit_code == 0
    cli.store.retire(KEY, reason="over")
    entries = cli.json("history", KEY)["history"]
    assert [entry["seq"] for entry in entries] == list(range(1, 68))
    rows = [line.split("  ") for line in cli("history", KEY).stdout.splitlines()[3:]]
    shown = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[0] for row in shown] == ["1-64", "65", "66", "67"]
    assert (shown[0][2], shown[0][4]) == ("(unknown)", "64 publishes lost with the damaged pointer, or fewer")
    assert [row[2] for row in shown[1:]] == [run.run_id, run.run_id, "(retired)"]
    assert shown[-1][-1] == "now"


def test_what_doctor_says_of_another_save_under_a_run_id_is_what_gc_does(cli: Cli) -> None:  # noqa: F811
    cli.store.save({"n": 1}, KEY, run_id=OLDEST)
    with pytest.raises(errors.RunExists):
        cli.store.save({"n": 2}, KEY, run_id=OLDEST)
    young = {found["target"]: found["remedy"] for found in cli.json("doctor")["findings"]}
    kept = {step["target"]: step["reason"] for step in cli.json("gc", "--apply")["steps"] if step["action"] == "keep"}
    assert kept.keys() == young.keys()
    for target, remedy in young.items():
        assert kept[target].endswith(f"it can be cleared from {remedy.removeprefix('gc clears it from ')}")
    for grace in ("0.001s", "0s"):
        (remedy,) = {found["remedy"] for found in cli.json("doctor", "--grace", grace)["findings"]}
        assert remedy == f"artifact-store gc --grace {grace} --apply"
    assert cli.json(*shlex.split(remedy)[1:])["changes"] == len(young)
    assert cli.json("doctor", "--grace", "0s")["findings"] == []


class TestDoctor:
    def test_a_healthy_store_ends_with_0_and_says_so(self, filled: Cli) -> None:  # noqa: F811
        result = filled("doctor")
        assert result.exit_code == 0, result.output
        assert "nothing is wrong." in result.stdout
        assert "--deep compares every byte" in result.stdout
        assert "create-only holds, compare-and-swap holds" in result.stdout
        deep = filled("doctor", "--deep")
        assert deep.exit_code == 0
        assert "of them compared" in deep.stdout
        assert filled("doctor", "--no-probes").exit_code == 0

    def test_the_document_is_stable(self, filled: Cli) -> None:  # noqa: F811
        document = filled.json("doctor", "--deep")
        assert list(document) == ["store", "ok", "deep", "counts", "looked_at", "place", "findings", "repair"]
        assert document["counts"] == dict.fromkeys(SEVERITIES, 0)
        assert set(document["looked_at"]) == {"objects", "bytes", "models", "runs", "aliases", "bytes_read"}
        assert (document["ok"], document["deep"], document["findings"], document["repair"]) == (True, True, [], None)
        assert {"engine", "store", "clock", "conditions", "durability"} <= {fact["name"] for fact in document["place"]}

    def test_errors_end_with_1_and_every_finding_has_its_remedy(self, filled: Cli) -> None:  # noqa: F811
        damage(filled)
        result = filled("doctor")
        assert result.exit_code == 1
        assert "Errors (2)" in result.stdout
        assert f"pointer-corrupt  {KEY}@latest" in result.stdout
        assert f"doctor --repair --apply --to {KEY}:RUN_ID`" in " ".join(result.stdout.split())
        assert "\x1b" not in result.stdout
        document = json.loads(filled("doctor", "--json").stdout)
        assert [found["code"] for found in document["findings"]] == ["manifest-corrupt", "pointer-corrupt"]
        for found in document["findings"]:
            assert set(found) == {"code", "severity", "target", "message", "remedy", "repairable"}
            assert found["code"] in CODES
            assert found["remedy"]

    def test_warnings_count_only_if_they_are_to_count(self, filled: Cli) -> None:  # noqa: F811
        filled.store._context.opened.models.add("gru/btceur")
        filled.store.save({"n": 1}, "gru/btceur")
        result = filled("doctor")
        assert (result.exit_code, "Warnings (1)" in result.stdout) == (0, True)
        assert filled("doctor", "--strict").exit_code == 1

    def test_a_repair_is_a_plan_first(self, filled: Cli) -> None:  # noqa: F811
        damage(filled)
        backend = filled.store._context.backend
        before = {entry.key: backend.read(entry.key, limit=1 << 24).data for entry in backend.list("")}
        named = f"{KEY}:{next(iter(filled.store.runs(KEY))).run_id}"
        result = filled("doctor", "--repair", "--quarantine", "--to", named)
        assert result.exit_code == 1
        assert "Nothing has happened yet: --apply does it." in result.stdout
        assert f"rebuild  {KEY}@latest" in result.stdout
        document = json.loads(filled("doctor", "--repair", "--to", named, "--json").stdout)
        assert document["repair"]["applied"] is False
        assert [step["action"] for step in document["repair"]["steps"]] == ["rebuild"]
        assert {entry.key: backend.read(entry.key, limit=1 << 24).data for entry in backend.list("")} == before

    def test_what_is_repaired_is_looked_at_again(self, filled: Cli) -> None:  # noqa: F811
        data = damage(filled)
        asked = filled("doctor", "--repair", "--apply")
        assert asked.exit_code == 1
        assert f"not done  {KEY}@latest" in asked.stdout
        assert "--to RUN" in asked.stdout
        result = filled("doctor", "--repair", "--apply", "--to", f"{KEY}:{json.loads(data)['run_id']}")
        assert result.exit_code == 1  # the damaged manifest is left
        assert f"rebuilt  {KEY}@latest" in result.stdout
        assert "1 of 1 repair made." in result.stdout
        assert "After the repairs" in result.stdout
        assert filled.store.aliases(KEY)["latest"].run_id == json.loads(data)["run_id"]
        left = filled("doctor", "--repair")
        assert f"not done  {KEY}:{OLDEST}" in left.stdout
        assert "There is nothing that can be repaired without a decision." in left.stdout
        done = json.loads(filled("doctor", "--repair", "--quarantine", "--apply", "--json").stdout)
        assert [step["result"] for step in done["repair"]["steps"]] == ["quarantined"]
        assert [found["code"] for found in done["before"]] == ["manifest-corrupt"]
        assert [found["severity"] for found in done["findings"]] == ["note"]
        assert done["ok"]
        assert filled("doctor").exit_code == 0

    def test_words_that_belong_together(self, filled: Cli) -> None:  # noqa: F811
        for words in (["--apply"], ["--quarantine"], ["--to", f"{KEY}:{OLDEST}"]):
            assert filled("doctor", *words).exit_code == 2
        assert filled("doctor", "--grace", "soon").exit_code == 2

    def test_where_no_store_is(self, cli: Cli) -> None:  # noqa: F811
        result = cli("doctor")
        assert result.exit_code == 1
        assert "no-store" in result.stdout
