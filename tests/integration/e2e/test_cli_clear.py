"""The commands that take away: each shows its plan, does it only when told to, and agrees with the API."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from artifact_store import errors
from artifact_store.cli import housekeeping
from artifact_store.cli.housekeeping import parse_span
from artifact_store.core import keys
from tests.integration.e2e.test_cli import KEY, Cli, cli, filled  # noqa: F401 -- fixtures

pytestmark = pytest.mark.windows

OLDEST, MIDDLE, NEWEST = (f"2024081{day}_120000" for day in range(3))


def run_ids(cli: Cli) -> list[str]:  # noqa: F811
    return [str(run.run_id) for run in cli.store.runs(KEY)]


class TestDelete:
    def test_it_shows_what_it_would_do_and_does_nothing(self, filled: Cli) -> None:  # noqa: F811
        result = filled("delete", f"{KEY}:{MIDDLE}")
        assert result.exit_code == 0
        assert f"delete  {KEY}:{MIDDLE}" in result.stdout
        assert "Nothing has happened yet: --apply does it." in result.stdout
        assert run_ids(filled) == [NEWEST, MIDDLE, OLDEST]

    @pytest.mark.parametrize("word", ["--apply", "--yes"])
    def test_it_hides_a_run_and_undelete_brings_it_back(self, filled: Cli, word: str) -> None:  # noqa: F811
        assert "1 change of 1 made" in filled("delete", f"{KEY}:{MIDDLE}", "--reason", "diverged", word).stdout
        assert run_ids(filled) == [NEWEST, OLDEST]
        status, error = filled.error("show", f"{KEY}:{MIDDLE}")
        assert (status, error["type"]) == (3, "RunDeleted")
        assert "diverged" in error["message"]
        assert filled.json("undelete", f"{KEY}:{MIDDLE}")["ref"] == f"{KEY}:{MIDDLE}"
        assert "complete as it was" in filled("undelete", f"{KEY}:{MIDDLE}").stdout
        assert run_ids(filled) == [NEWEST, MIDDLE, OLDEST]

    def test_what_cannot_be_deleted_ends_with_the_status_of_its_family(self, filled: Cli) -> None:  # noqa: F811
        status, error = filled.error("delete", f"{KEY}:{NEWEST}", "--apply")
        assert (status, error["type"], error["details"]["aliases"]) == (4, "RunInUse", ["latest", "production"])
        assert filled("delete", KEY, "--apply").exit_code == 2
        assert filled("delete", f"{KEY}:2024", "--apply").exit_code == 2
        assert filled("delete", f"{KEY}:20200101_000000").exit_code == 3
        assert filled("undelete", f"{KEY}:20200101_000000").exit_code == 3


class TestPrune:
    def test_the_document_is_the_plan_of_the_api(self, filled: Cli) -> None:  # noqa: F811
        document = filled.json("prune", KEY, "--keep-last", 1, "--grace", "0s")
        plan = filled.store.prune(KEY, keep_last=1, grace=timedelta(0))
        assert document["steps"] == [
            {"target": step.target, "action": step.action, "reason": step.reason, "bytes": step.bytes} for step in plan
        ]
        assert (document["applied"], document["problems"], document["notes"]) == (False, [], [])
        assert (document["changes"], document["bytes"]) == (len(plan.changes), plan.bytes)
        assert len(run_ids(filled)) == 3

    def test_it_deletes_what_nothing_keeps(self, filled: Cli) -> None:  # noqa: F811
        extra = filled.store.save({"n": 1}, KEY, run_id="20240101_000000", publish="never", metrics={"sharpe": 9.0})
        other = filled.store.save({"n": 2}, KEY, run_id="20240102_000000", publish="never", metrics={"sharpe": 0.5})
        best = filled.json("prune", KEY, "--keep-best", "sharpe:1", "--older-than", "0s", "--grace", "0s")
        assert {step["target"] for step in best["steps"] if step["action"] == "delete"} == {str(other.ref)}
        worst = filled.json("prune", KEY, "--keep-best", "sharpe:1:min", "--grace", "0s")
        assert {step["target"] for step in worst["steps"] if step["action"] == "delete"} == {str(extra.ref)}
        young = filled.json("prune", KEY, "--older-than", "30d", "--grace", "0s")
        assert young["changes"] == 0
        done = filled.json("prune", "--keep-last", 0, "--grace", "0s", "--apply")
        assert done["applied"]
        assert {step["target"]: step["result"] for step in done["steps"] if "result" in step} == {
            str(extra.ref): "deleted",
            str(other.ref): "deleted",
        }
        assert set(run_ids(filled)) == {NEWEST, MIDDLE, OLDEST}
        assert "Nothing to do" in filled("prune", KEY, "--keep-last", 0).stdout

    def test_the_grace_period_is_seven_days_unless_said_otherwise(self, filled: Cli) -> None:  # noqa: F811
        assert filled.json("prune", "--keep-last", 0)["changes"] == 0
        assert "less than 7 days ago" in filled("prune", "--keep-last", 0).stdout

    @pytest.mark.parametrize(
        "wrong",
        [
            (), ("--keep-last", "-1"), ("--keep-last", "x"), ("--keep-best", "sharpe"), ("--keep-best", "sharpe:x"),
            ("--keep-best", ":3"), ("--keep-best", "m:3:most"), ("--older-than", "30"), ("--older-than", "30y"),
            ("--older-than", "-3d"), ("--keep-last", "1", "--grace", "soon"), ("--keep-last", "1", "--grace", "9" * 30 + "w"),
        ],
    )  # fmt: skip
    def test_rules_that_mean_nothing_are_misuse(self, filled: Cli, wrong: tuple[str, ...]) -> None:  # noqa: F811
        result = filled("prune", KEY, *wrong, "--apply")
        assert result.exit_code == 2
        assert len(run_ids(filled)) == 3

    def test_what_cannot_be_read_ends_with_1_and_is_named(self, filled: Cli) -> None:  # noqa: F811
        (filled.url / KEY / OLDEST / "manifest.json").write_bytes(b"{")
        result = filled("prune", KEY, "--keep-last", 0, "--json")
        assert result.exit_code == 1
        assert [problem["where"] for problem in json.loads(result.stdout)["problems"]] == [f"{KEY}:{OLDEST}"]
        assert "Problem:" in filled("prune", KEY, "--keep-last", 0).stderr

    def test_spans_are_read_in_their_units(self) -> None:
        option = housekeeping.prune_command.params[3]
        read = [parse_span(None, option, text) for text in ("90s", "45m", "12h", "1.5d", "2w", None)]
        assert read == [*(timedelta(seconds=s) for s in (90, 2_700, 43_200, 129_600, 1_209_600)), None]


class TestGc:
    def test_it_removes_what_was_deleted_and_what_was_never_finished(self, filled: Cli) -> None:  # noqa: F811
        filled("delete", f"{KEY}:{MIDDLE}", "--apply")
        dead = filled.store.save({"n": 1}, "gbm", run_id="20240101_000000", publish="never")
        (filled.url / "gbm" / "20240101_000000" / "manifest.json").unlink()
        waiting = filled("gc")
        assert waiting.exit_code == 0
        assert "can be brought back until" in waiting.stdout
        assert "2 things kept" in waiting.stdout
        planned = filled.json("gc", "--grace", "0s")
        assert {step["target"]: step["action"] for step in planned["steps"]} == {
            str(dead.ref): "clear",
            f"{KEY}:{MIDDLE}": "sweep",
        }
        assert (filled.url / KEY / MIDDLE / "model.json").is_file()
        done = filled.json("gc", "--grace", "0s", "--yes")
        assert [step["result"] for step in done["steps"]] == ["cleared", "swept"]
        assert sorted(path.name for path in (filled.url / KEY / MIDDLE).iterdir()) == ["manifest.json"]
        assert "Nothing to do" in filled("gc", "--grace", "0s").stdout
        assert filled.store.verify().ok
        with pytest.raises(errors.RunDeleted):
            filled.store.undelete(f"{KEY}:{MIDDLE}")

    def test_a_folder_that_is_no_store_is_left_alone(self, cli: Cli) -> None:  # noqa: F811
        folder = cli.url / "gru" / "20240101_000000"
        folder.mkdir(parents=True)
        (folder / "model.pth").write_bytes(b"somebody's")
        status, error = cli.error("gc", "--grace", "0s", "--apply")
        assert (status, error["type"]) == (3, "NotAStore")
        assert (folder / "model.pth").read_bytes() == b"somebody's"

    def test_a_step_that_fails_ends_with_1(self, filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
        from artifact_store.storage.local.backend import LocalBackend

        filled("delete", f"{KEY}:{MIDDLE}", "--apply")
        real = LocalBackend.delete

        def refuse(self: LocalBackend, key: str) -> None:
            if key.endswith(keys.METADATA):
                raise errors.AccessDenied(f"{key} is in use")
            real(self, key)

        monkeypatch.setattr(LocalBackend, "delete", refuse)
        result = filled("gc", "--grace", "0s", "--apply")
        assert result.exit_code == 1
        assert "is in use" in result.stderr
        monkeypatch.undo()
        assert filled("gc", "--apply").exit_code == 0
        assert sorted(path.name for path in (filled.url / KEY / MIDDLE).iterdir()) == ["manifest.json"]
