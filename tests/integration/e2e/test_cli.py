"""The command line: what it prints for people and for machines, how it ends, and that it agrees with the API."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from artifact_store import ArtifactStore, Digest, FeatureSchema, __version__, errors
from artifact_store.cli import output as text
from artifact_store.cli import program
from artifact_store.cli.annotate import noted_document, notes_of_run, notes_of_runs
from artifact_store.cli.app import app
from artifact_store.cli.files import _write_new
from artifact_store.cli.session import Bar
from artifact_store.core.files import Progress
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests.servers import SeaweedServer

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"


class Cli:
    """The command line on one store."""

    def __init__(self, url: Path) -> None:
        self.url = url
        self.store = ArtifactStore(url)

    def __call__(self, *arguments: object, **environment: str) -> Result:
        return CliRunner().invoke(app, ["--store", str(self.url), *map(str, arguments)], env=environment)

    def json(self, *arguments: object) -> Any:
        result = self(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout)

    def json_of_any_status(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def error(self, *arguments: object) -> tuple[int, Any]:
        result = self(*arguments, "--json")
        assert result.stdout == ""
        return result.exit_code, json.loads(result.stderr)["error"]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.delenv("ARTIFACT_STORE_URL", raising=False)
    cli = Cli(tmp_path / "store")
    yield cli
    cli.store.close()


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Three runs of one model, one of another, an alias that moved twice and one that was retired."""
    features = FeatureSchema(["open", "high", "low"], selected=[0, 2], reason="a hunch")
    metrics = {"sharpe": 1.25, "loss": float("nan")}
    for place in range(3):
        cli.store.save(
            {"weights": [place]},
            KEY,
            run_id=f"2024081{place}_120000",
            features=features,
            metrics=metrics,
            tags={"fold": str(place)},
            config={"layers": [1, 2]},
            training_config={"data": {"rows": 7}},
        )
    cli.store.save(b"whole", "ppo", run_id="20240901_000000")
    cli.store.promote(f"{KEY}:20240810_120000", "production", reason="first")
    cli.store.promote(f"{KEY}:20240812_120000", "production", reason="better")
    cli.store.promote(f"{KEY}:20240810_120000", "trial")
    cli.store.retire(f"{KEY}@trial", reason="over")
    return cli


def damage(cli: Cli, key: str, run_id: str, name: str) -> None:
    path = cli.url.joinpath(*key.split("/"), run_id, name)
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


@pytest.mark.windows
class TestLooking:
    def test_ls_agrees_with_the_api(self, filled: Cli) -> None:
        document = filled.json("ls")
        assert document["store"] == filled.store.url
        assert document["problems"] == []
        assert [model["key"] for model in document["models"]] == [str(key) for key in filled.store.models()]
        for model in document["models"]:
            assert model["runs"] == len(list(filled.store.runs(model["key"])))
            pointers = filled.store.aliases(model["key"])
            assert model["aliases"] == {name: pointer.run_id for name, pointer in pointers.items()}
        assert document["models"][0]["aliases"] == {
            "latest": "20240812_120000",
            "production": "20240812_120000",
            "trial": None,
        }

    def test_ls_of_a_model_agrees_with_the_api(self, filled: Cli) -> None:
        document = filled.json("ls", KEY)
        runs = list(filled.store.runs(KEY))
        assert [run["run_id"] for run in document["runs"]] == [run.run_id for run in runs]
        assert [run["tags"] for run in document["runs"]] == [run.tags for run in runs]
        assert [run["aliases"] for run in document["runs"]] == [["latest", "production"], [], []]
        assert document["runs"][0]["metrics"] == {"sharpe": 1.25, "loss": "NaN"}
        assert document["runs"][0]["size"] == sum(file.size for file in runs[0].files.values())
        assert len(filled.json("ls", KEY, "--limit", 2)["runs"]) == 2

    def test_ls_prints_tables_for_people(self, filled: Cli) -> None:
        lines = filled("ls").stdout.splitlines()
        assert lines[0].split() == ["model", "runs", "newest", "run", "aliases"]
        assert lines[2] == "gru/BTCEUR     3  20240812_120000  latest, production, trial (retired)"
        lines = filled("ls", KEY).stdout.splitlines()
        assert lines[0].split() == ["run", "saved", "(UTC)", "aliases", "size", "loss", "sharpe"]
        assert lines[2].startswith("20240812_120000  ")
        assert lines[2].endswith(" nan    1.25")

    def test_ls_of_a_model_type_lists_its_models(self, filled: Cli) -> None:
        assert [model["key"] for model in filled.json("ls", "gru")["models"]] == [KEY]

    def test_ls_of_what_is_not_there_is_an_error(self, filled: Cli) -> None:
        for key in ("gru/NOTHING", "lstm"):
            status, error = filled.error("ls", key)
            assert (status, error["type"]) == (3, "ModelNotFound")

    @pytest.mark.parametrize(
        ("key", "advice"), [("gruu", "did you mean gru?"), ("lightgbm", "lists what there is (2 models of gru, ppo)")]
    )
    def test_ls_of_a_type_that_is_not_there_tells_those_that_are(self, filled: Cli, key: str, advice: str) -> None:
        _, error = filled.error("ls", key)
        assert error["message"].endswith(advice)

    def test_ls_shows_as_many_metrics_as_fit_the_page(self, cli: Cli) -> None:
        cli.store.save({}, KEY, metrics={f"metric_{place:02}": place for place in range(20)})
        lines = cli("ls", KEY).stdout.splitlines()
        assert 80 < max(map(len, lines)) <= 100
        assert lines[0].endswith("  metric_02")
        assert len(cli.json("ls", KEY)["runs"][0]["metrics"]) == 20

    def test_ls_of_an_empty_store_says_so(self, cli: Cli) -> None:
        assert cli("ls").stdout == f"No store is in {cli.url} yet.\n"
        assert cli.json("ls")["models"] == []

    def test_ls_goes_on_where_something_is_broken_and_tells_of_it(self, filled: Cli) -> None:
        damage(filled, KEY, "20240811_120000", "manifest.json")
        result = filled("ls", KEY)
        assert result.exit_code == 0
        assert "20240810_120000" in result.stdout
        assert "Problem:" in result.stderr
        assert "20240811_120000" in result.stderr
        document = json.loads(filled("ls", "--json").stdout)
        assert document["models"][0]["runs"] == 2
        assert len(document["problems"]) == 1

    def test_ls_shows_the_models_beside_a_broken_pointer(self, filled: Cli) -> None:
        (filled.url / "ppo" / "latest.json").write_text("{", encoding="utf-8")
        document = json.loads(filled("ls", "--json").stdout)
        assert [model["key"] for model in document["models"]] == [KEY, "ppo"]
        assert "the aliases of ppo" in document["problems"][0]

    def test_show_agrees_with_the_api(self, filled: Cli) -> None:
        document = filled.json("show", f"{KEY}@production")
        run = filled.store.get(f"{KEY}@production")
        assert document["ref"] == str(run.ref)
        assert document["manifest_sha256"] == run.manifest.digest
        assert document["url"] == run.url()
        assert tuple(document["components"]) == run.components
        assert document["components"]["model"]["risk"] == "data"
        assert {file["path"]: file["sha256"] for file in document["files"]} == {
            name: file.sha256 for name, file in run.files.items()
        }
        assert run.features is not None
        assert document["features"].pop("fingerprint") == run.features.fingerprint
        assert FeatureSchema.from_json(document["features"]) == run.features
        assert (document["config"], document["training_config"]) == (run.config, run.training_config)
        assert document["tags"] == run.tags
        assert document["environment"]["packages"]["artifact-store"] == __version__
        assert document["environment_verdict"] == run.environment_verdict.to_json()
        assert document["provenance"] == run.provenance
        assert (document["description"], document["parent"], document["data"]) == ("", None, {})

    def test_show_prints_everything_a_person_wants(self, filled: Cli) -> None:
        page = filled("show", KEY).stdout
        for expected in (
            "gru/BTCEUR:20240812_120000",
            "latest, production",
            "Components",
            "json-1",
            "Features, 3, 2 of them selected (*)",
            "open*, high, low*",
            "a hunch",
            "sharpe  1.25",
            "data.rows  7",
            "[1, 2]",
        ):
            assert expected in page
        assert max(map(len, page.splitlines())) <= 100 + len(str(filled.url))

    def test_show_tells_where_a_run_comes_from(self, filled: Cli) -> None:
        parent = filled.store.get(KEY)
        data = {"candles": Digest(2048, "ab" * 32)}
        with filled.store.new_run("gru/TUNED") as draft:
            draft.description, draft.parent, draft.data = "with more \x1b[2J data", parent, data
            draft.provenance = {"git": {"commit": "c" * 40, "branch": "main", "dirty": True}, "script": "jobs/train.py"}
            draft.environment = {"python": "3.1.0", "packages": {"\x1b[2Jodd": "1", "numpy": "2.0"}}
            draft.add("model", {"n": 1})
        page = " ".join(filled("show", "gru/TUNED").stdout.split())
        for expected in (
            "description with more \\x1b[2J data",
            f"parent {parent.ref}, sha256 {parent.manifest.digest}",
            f"candles 2.0 KiB, sha256 {'ab' * 32}",
            f"git.commit {'c' * 40}",
            "git.dirty true",
            "script jobs/train.py",
            "environment compatible compatible: python: the formats of the run do not depend on it (saved with 3.1.0, here 3.",
            "\\x1b[2Jodd 1, numpy 2.0",
        ):
            assert expected in page
        document = filled.json("show", "gru/TUNED")
        assert document["parent"]["ref"] == str(parent.ref)
        assert document["data"] == {"candles": {"size": 2048, "sha256": "ab" * 32}}
        assert document["environment_verdict"]["verdict"] == "compatible"

    @pytest.mark.parametrize("packages", [None, [], "text", {"numpy": ["2.0"]}, {}])
    def test_an_environment_of_another_form_is_shown_as_it_is(self, filled: Cli, packages: Any) -> None:
        with filled.store.new_run("gru/ODD") as draft:
            draft.environment = {"python": ["3"], "packages": packages}
            draft.add("model", {"n": 1})
        assert filled("show", "gru/ODD").exit_code == 0
        assert filled.json("show", "gru/ODD")["environment"]["packages"] == packages

    def test_get_tells_whether_the_environment_fits(self, filled: Cli, tmp_path: Path) -> None:
        assert "environment  same" in filled("get", KEY, tmp_path / "one").stdout
        with filled.store.new_run("gru/OLD") as draft:
            draft.environment = {}
            draft.add("model", {"n": 1})
        page = filled("get", "gru/OLD", tmp_path / "two").stdout
        assert "environment  unknown\n             unknown: python: where it was saved is not recorded" in page
        assert filled.json("get", "gru/OLD", tmp_path / "three")["environment_verdict"]["verdict"] == "unknown"

    def test_what_is_noted_is_shown_and_listed(self, filled: Cli) -> None:
        given = ("--description", "odd \x1b[2J fills", "--tag", "desk=x", "--metric", "live=0.4")
        note = filled.json("annotate", KEY, *given)
        assert (note["tags"], note["metrics"]) == ({"desk": "x"}, {"live": 0.4})
        assert "has the note" in filled("annotate", KEY, "--do-not-trade", "--reason", "a split").stdout
        page = " ".join(filled("show", KEY).stdout.split())
        for expected in (
            "do not trade a split",
            "Notes",
            "odd \\x1b[2J fills; desk=x; live=0.4",
            "do not trade (a split)",
        ):
            assert expected in page
        shown = filled.json("show", KEY)["notes"]
        assert (shown["metrics"], shown["do_not_trade"], len(shown["notes"])) == ({"live": 0.4}, True, 2)
        newest, *others = filled.json("ls", KEY)["runs"]
        assert newest["notes"] == shown
        assert [run["notes"]["notes"] for run in others] == [[], []]
        assert "do not trade" in filled("ls", KEY).stdout.splitlines()[2]
        filled("annotate", KEY, "--trade-again", "--reason", "adjusted")
        assert "do not trade" not in filled("ls", KEY).stdout
        page = filled("show", KEY).stdout
        assert "do not trade (lifted) (a split)" in page
        assert "trade again (adjusted)" in page

    def test_notes_that_cannot_be_read_are_told(self, filled: Cli) -> None:
        note = filled.store.get(KEY).annotate(tags={"a": "b"})
        place = filled.url / note.storage_key
        place.chmod(0o600)
        place.write_bytes(b"{}")
        for command in ("ls", "show"):
            result = filled(command, KEY)
            assert result.exit_code == 0
            assert note.storage_key in result.stderr
        assert "do not trade" in filled("ls", KEY).stdout  # it may say so

    def test_where_notes_cannot_be_listed_that_is_told(self) -> None:
        plan = Faults().on("list", key="_notes/*").fail(lambda op, key: errors.AccessDenied(f"{op} {key}"))
        store = ArtifactStore(FaultyBackend(MemoryBackend(), plan))
        run = store.save({"n": 1}, KEY)
        problems: list[str] = []
        assert notes_of_run(run, problems) is None
        notes = notes_of_runs(store, run.key, [run], problems)
        assert noted_document(notes, run) is None
        assert noted_document({run.run_id: None}, run) is None
        assert [problem.partition(":")[0] for problem in problems] == ["the notes about gru/BTCEUR"] * 2

    def test_a_note_has_to_say_something(self, filled: Cli) -> None:
        for given in ((), ("--reason", "why"), ("--trade-again",)):
            status, error = filled.error("annotate", KEY, *given)
            assert (status, error["type"]) == (2, "InvalidOption")

    def test_show_takes_a_unique_beginning_of_a_run_id(self, filled: Cli) -> None:
        assert filled.json("show", f"{KEY}:20240811")["run_id"] == "20240811_120000"
        filled.store.save({"n": 1}, KEY, run_id="20240811_130000")
        status, error = filled.error("show", f"{KEY}:20240811")
        assert (status, error["type"]) == (3, "AmbiguousRun")
        assert len(error["details"]["candidates"]) == 2

    def test_looking_decodes_nothing_and_writes_nothing(self, filled: Cli) -> None:
        for name in ("model.json", "metadata.json"):
            damage(filled, KEY, "20240812_120000", name)
        before = {path: path.stat().st_mtime_ns for path in filled.url.rglob("*")}
        for arguments in (("ls",), ("ls", KEY), ("show", KEY), ("history", KEY)):
            assert filled(*arguments).exit_code == 0
        assert {path: path.stat().st_mtime_ns for path in filled.url.rglob("*")} == before

    def test_history_agrees_with_the_api(self, filled: Cli) -> None:
        document = filled.json("history", f"{KEY}@trial")
        past = filled.store.history(f"{KEY}@trial")
        assert [(of["seq"], of["run_id"], of["by"], of["reason"]) for of in document["history"]] == [
            (of.seq, of.run_id, of.by, of.reason) for of in past
        ]
        lines = filled("history", f"{KEY}@trial").stdout.splitlines()
        assert lines[-1].startswith("  2  ")
        assert "(retired)" in lines[-1]
        assert lines[-1].endswith("now")
        assert lines[0] == f"digest of this history: {document['digest']}"
        assert document["digest"] == past.pointer.digest
        assert filled.json("history", KEY)["ref"] == f"{KEY}@latest"


@pytest.mark.windows
class TestPublishing:
    def test_promote_publishes_under_an_alias(self, filled: Cli) -> None:
        document = filled.json("promote", f"{KEY}:20240811", "production", "--reason", "calmer")
        assert (document["key"], document["alias"], document["seq"]) == (KEY, "production", 3)
        assert (document["run_id"], document["before"]) == ("20240811_120000", "20240812_120000")
        assert filled.store.history(f"{KEY}@production")[-1].reason == "calmer"

    @pytest.mark.parametrize("expect", ["2", "20240812_120000"])
    def test_promote_expects_a_seq_or_a_run(self, filled: Cli, expect: str) -> None:
        assert filled("promote", f"{KEY}:20240811", "production", "--expect", expect).exit_code == 0
        status, error = filled.error("promote", f"{KEY}:20240810", "production", "--expect", expect)
        assert (status, error["type"], error["family"]) == (4, "PointerConflict", "Conflict")
        assert filled.store.get(f"{KEY}@production").run_id == "20240811_120000"

    def test_expecting_0_means_that_nothing_was_ever_published(self, filled: Cli) -> None:
        assert filled("promote", KEY, "fresh", "--expect", "0").exit_code == 0
        assert filled("promote", KEY, "fresh", "--expect", "0").exit_code == 4

    def test_a_mistyped_store_is_no_new_store(self, cli: Cli) -> None:
        for command in (
            ("promote", f"{KEY}:20240810_120000", "production"),
            ("rollback", KEY),
            ("rollback", KEY, "--to", "20240810_120000"),
            ("retire", KEY),
        ):
            status, error = cli.error(*command)
            assert (status, error["type"], "is not a store" in error["message"]) == (3, "NotAStore", True)
            assert not cli.url.exists()

    def test_rollback_goes_one_run_back_or_to_the_one_that_is_named(self, filled: Cli) -> None:
        result = filled("rollback", f"{KEY}@production")
        assert result.stdout == (
            "gru/BTCEUR@production names 20240810_120000 now, seq 3; it named 20240812_120000 before.\n"
        )
        assert filled.json("rollback", f"{KEY}@production", "--to", "20240811_120000")["run_id"] == "20240811_120000"
        assert filled.error("rollback", "ppo")[1]["type"] == "NothingToRollBackTo"

    def test_retire_lets_an_alias_name_no_run(self, filled: Cli) -> None:
        assert filled.json("retire", f"{KEY}@production", "--reason", "pause")["run_id"] is None
        status, error = filled.error("show", f"{KEY}@production")
        assert (status, error["type"]) == (3, "AliasRetired")
        assert "pause" in error["message"]


@pytest.mark.windows
class TestVerifying:
    def test_what_is_sound_ends_with_0(self, filled: Cli) -> None:
        document = filled.json("verify")
        assert document["ok"]
        assert len(document["runs"]) == 4
        assert filled("verify", KEY).stdout.endswith(": all as saved.\n")
        assert len(filled.json("verify", f"{KEY}@production")["runs"]) == 1
        assert len(filled.json("verify", KEY.partition("/")[0])["runs"]) == 3

    def test_damage_ends_with_1_and_is_named(self, filled: Cli) -> None:
        damage(filled, KEY, "20240811_120000", "model.json")
        result = filled("verify", "--json")
        document = json.loads(result.stdout)
        assert (result.exit_code, result.stderr, document["ok"]) == (1, "", False)
        assert [(problem["where"], problem["type"], problem["family"]) for problem in document["problems"]] == [
            (f"{KEY}:20240811_120000/model.json", "DigestMismatch", "Corrupt")
        ]
        people = filled("verify", KEY)
        assert people.exit_code == 1
        assert "DAMAGED" in people.stdout
        assert people.stdout.endswith("3 runs, 6 files, " + people.stdout.rpartition("files, ")[2])
        assert filled("verify", f"{KEY}:20240810_120000").exit_code == 0

    def test_to_verify_nothing_is_no_success(self, filled: Cli, cli: Cli) -> None:
        assert filled("verify", "gru/NOTHING").exit_code == 3
        assert Cli(cli.url.with_name("elsewhere"))("verify").exit_code == 3

    def test_predictions_that_nothing_can_repeat_are_said_to_be_unchecked(self, cli: Cli) -> None:
        from artifact_store import Example

        cli.store.save({"a": 1}, "unheard_of", example=Example([1, 2], [3, 4]))
        assert cli("verify").exit_code == 0
        result = cli("verify", "--predict", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["unchecked"][0]["type"] == "PredictorUnavailable"
        assert cli("verify", "--predict", "--strict").exit_code == 1


@pytest.mark.windows
class TestFiles:
    def test_a_single_file_becomes_the_model_and_comes_back(self, cli: Cli, tmp_path: Path) -> None:
        source = tmp_path / "weights.onnx"
        source.write_bytes(b"\0weights")
        document = cli.json("put", KEY, source, "--metric", "sharpe=1.5", "--metric", "n=3", "--tag", "fold=a=b")
        run = cli.store.get(KEY)
        assert document["ref"] == str(run.ref)
        assert document["published"]["alias"] == "latest"
        assert document["manifest_sha256"] == run.manifest.digest
        assert (run.components, run.metrics, run.tags) == (("model",), {"sharpe": 1.5, "n": 3.0}, {"fold": "a=b"})
        assert run.load() == b"\0weights"
        fetched = cli.json("get", KEY, tmp_path / "back", "--component", "model")
        assert [Path(file["saved_as"]).read_bytes() for file in fetched["files"]] == [b"\0weights"]

    def test_a_folder_becomes_the_model(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "saved_model" / "variables").mkdir(parents=True)
        (tmp_path / "saved_model" / "variables" / "one.bin").write_bytes(b"1")
        assert cli("put", KEY, tmp_path / "saved_model").exit_code == 0
        restored = cli.store.get(KEY).load(into=tmp_path / "restored")
        assert (restored / "variables" / "one.bin").read_bytes() == b"1"

    def test_several_files_stay_files(self, cli: Cli, tmp_path: Path) -> None:
        for name in ("a.bin", "b.txt"):
            (tmp_path / name).write_text(name, encoding="utf-8")
        cli.json("put", KEY, tmp_path / "a.bin", tmp_path / "b.txt", "--run-id", "20240101_000000_mine")
        run = cli.store.get(KEY)
        assert run.run_id == "20240101_000000_mine"
        assert (run.components, set(run.files)) == ((), {"a.bin", "b.txt", "metadata.json"})

    def test_put_says_where_the_run_comes_from(self, cli: Cli, tmp_path: Path) -> None:
        source = tmp_path / "a.bin"
        source.write_bytes(b"1")
        first = cli.json("put", KEY, source, "--no-provenance")["ref"]
        cli.json("put", "gru/TUNED", source, "--description", "with more data", "--parent", first)
        run = cli.store.get("gru/TUNED")
        assert (run.description, str(run.parent)) == ("with more data", first)
        assert run.provenance["host"]
        assert cli.store.get(KEY).provenance == {}
        assert "gru/NONE@latest was never published" in cli("put", KEY, source, "--parent", "gru/NONE").stderr

    def test_put_publishes_as_the_policy_says(self, cli: Cli, tmp_path: Path) -> None:
        source = tmp_path / "m.bin"
        source.write_bytes(b"1")
        better = ("--alias", "best", "--publish", "if_better(auc)")
        assert cli.json("put", KEY, source, *better, "--metric", "auc=0.6")["published"]["alias"] == "best"
        document = cli.json("put", KEY, source, *better, "--metric", "auc=0.5")
        assert document["published"] is None
        assert "not better" in document["reason"]
        assert cli("put", KEY, source, "--publish", "never").stdout.count("not published") == 1
        assert len(list(cli.store.runs(KEY))) == 3
        assert cli("put", KEY, source, "--publish", "sometimes").exit_code == 2

    @pytest.mark.parametrize(
        "content", [["open", "close"], {"names": ["open", "close"]}, {"names": ["open", "close"], "selected": None}]
    )
    def test_put_records_feature_names(self, cli: Cli, tmp_path: Path, content: object) -> None:
        (tmp_path / "m.bin").write_bytes(b"1")
        (tmp_path / "names.json").write_text(json.dumps(content), encoding="utf-8")
        cli.json("put", KEY, tmp_path / "m.bin", "--feature-names", tmp_path / "names.json")
        assert cli.store.get(KEY).features == FeatureSchema(["open", "close"])

    def test_put_records_a_selection(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "m.bin").write_bytes(b"1")
        (tmp_path / "names.json").write_text('{"names": ["a", "b"], "selected": ["b"]}', encoding="utf-8")
        cli.json("put", KEY, tmp_path / "m.bin", "--feature-names", tmp_path / "names.json")
        assert cli.store.get(KEY).features == FeatureSchema(["a", "b"], selected=[1])

    @pytest.mark.parametrize("content", ["{", '"a"', "[1, 2]", '{"names": "ab"}', '{"names": ["a"], "more": 1}', "[]"])
    def test_feature_names_that_are_none_are_refused_before_anything_is_written(
        self, cli: Cli, tmp_path: Path, content: str
    ) -> None:
        (tmp_path / "m.bin").write_bytes(b"1")
        (tmp_path / "names.json").write_text(content, encoding="utf-8")
        result = cli("put", KEY, tmp_path / "m.bin", "--feature-names", tmp_path / "names.json")
        assert result.exit_code == 2
        assert not cli.url.exists()

    def test_get_brings_the_whole_run(self, filled: Cli, tmp_path: Path) -> None:
        document = filled.json("get", KEY, tmp_path / "run")
        run = filled.store.get(KEY)
        assert {file["path"] for file in document["files"]} == set(run.files)
        for file in document["files"]:
            with run.open(file["path"]) as stored:
                assert Path(file["saved_as"]).read_bytes() == stored.read()
        assert (tmp_path / "run" / "manifest.json").read_bytes() == run.manifest.to_bytes()

    def test_get_brings_a_file_under_its_name_or_another(self, filled: Cli, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        assert filled("get", KEY, tmp_path / "folder", "--file", "model.json").exit_code == 0
        assert filled("get", KEY, tmp_path / "other.json", "--file", "model.json").exit_code == 0
        two = ("--file", "model.json", "--file", "metadata.json")
        assert filled("get", KEY, tmp_path / "two", *two).exit_code == 0
        assert filled("get", KEY, f"{tmp_path / 'new'}/", "--file", "model.json").exit_code == 0
        assert (tmp_path / "new" / "model.json").is_file()
        assert (tmp_path / "folder" / "model.json").read_bytes() == (tmp_path / "other.json").read_bytes()
        assert {path.name for path in (tmp_path / "two").iterdir()} == {"model.json", "metadata.json"}

    def test_get_overwrites_nothing(self, filled: Cli, tmp_path: Path) -> None:
        target = tmp_path / "mine"
        target.mkdir()
        (target / "model.json").write_text("mine", encoding="utf-8")
        for arguments in ([], ["--component", "model"], ["--file", "model.json"]):
            assert filled("get", KEY, target, *arguments).exit_code == 2
        assert filled("get", KEY, target / "model.json", "--file", "model.json").exit_code == 2
        assert [path.read_text(encoding="utf-8") for path in target.iterdir()] == ["mine"]

    def test_get_uses_what_is_there_if_it_may(self, filled: Cli, tmp_path: Path) -> None:
        assert filled("get", KEY, tmp_path / "out").exit_code == 0
        status, error = filled.error("get", KEY, tmp_path / "out")
        assert (status, "--exist-ok" in error["message"]) == (2, True)
        assert "all as saved" in filled("get", KEY, tmp_path / "out", "--exist-ok").stdout
        assert filled("get", KEY, tmp_path / "out", "--exist-ok", "--component", "model").exit_code == 2

    def test_get_leaves_nothing_of_a_damaged_file(self, filled: Cli, tmp_path: Path) -> None:
        damage(filled, KEY, "20240812_120000", "model.json")
        status, error = filled.error("get", KEY, tmp_path / "one", "--file", "model.json")
        assert (status, error["type"]) == (8, "DigestMismatch")
        assert not (tmp_path / "one").exists()
        assert filled("get", KEY, tmp_path / "all").exit_code == 8
        assert not (tmp_path / "all" / "model.json").exists()

    def test_a_copy_that_breaks_off_is_removed(self, tmp_path: Path) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _write_new(Broken(), tmp_path / "copy")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("wrong", ["--metric=a", "--metric==1", "--metric=a=b", "--tag=a", "--tag==b"])
    def test_put_refuses_what_is_no_pair(self, cli: Cli, tmp_path: Path, wrong: str) -> None:
        (tmp_path / "m.bin").write_bytes(b"1")
        result = cli("put", KEY, tmp_path / "m.bin", wrong)
        assert result.exit_code == 2
        assert wrong.partition("=")[0] in result.stderr
        assert not cli.url.exists()

    def test_get_tells_what_there_is(self, filled: Cli, tmp_path: Path) -> None:
        status, error = filled.error("get", KEY, tmp_path / "x", "--component", "scaler")
        assert (status, error["type"]) == (3, "ComponentNotFound")
        assert "it has: model" in error["message"]
        assert filled("get", KEY, tmp_path / "x", "--component", "model", "--file", "model.json").exit_code == 2
        assert filled("get", KEY, tmp_path / "x", "--file", "nothing").exit_code == 3
        assert not (tmp_path / "x").exists()


def families() -> list[type[errors.ArtifactStoreError]]:
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, errors.ArtifactStoreError)]


@pytest.mark.windows
class TestFailing:
    @pytest.mark.parametrize("kind", families(), ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("as_json", [False, True])
    def test_each_family_has_its_status(
        self, kind: type[errors.ArtifactStoreError], capsys: pytest.CaptureFixture[str], *, as_json: bool
    ) -> None:
        error = kind.__new__(kind, "it went wrong")
        error.args = ("it went wrong",)

        def fail() -> None:
            raise error

        status = program.exit_status(fail, as_json=as_json)
        told = capsys.readouterr()
        known = [code for family, code in program.FAMILIES.items() if issubclass(kind, family)]
        assert (kind is errors.ArtifactStoreError) == (not known)
        assert status == (known[0] if known else 2)
        assert told.out == ""
        if as_json:
            assert json.loads(told.err)["error"]["type"] == kind.__name__
        else:
            assert told.err == "Error: it went wrong\n"

    def test_the_statuses_are_written_in_the_help(self) -> None:
        page = CliRunner().invoke(app, ["--help"]).stdout
        for family, status in program.FAMILIES.items():
            assert any(
                line.split()[:1] == [str(status)] and line.endswith(f"({family.__name__})")
                for line in page.splitlines()
            )

    @pytest.mark.parametrize(
        "option", ["--timeout=5", "--min-rate=1", "--signer=x", "--engine=local", "--option=a=b", "--profile=p"]
    )
    def test_an_option_that_stands_before_the_command_is_led_there(self, filled: Cli, option: str) -> None:
        status, error = filled.error("ls", option)
        name = option.partition("=")[0]
        assert status == 2
        assert error["message"].startswith(f"{name} stands before the command: ")
        assert f" {name} ... ls ..." in error["message"]
        assert "No such option" in filled("ls", "--limits", "5").stderr

    def test_what_stands_there_in_the_advice_is_taken(self, filled: Cli) -> None:
        assert filled("--timeout", "5", "ls").exit_code == 0

    def test_prune_asks_for_its_options_as_they_are_typed(self, filled: Cli) -> None:
        status, error = filled.error("prune")
        assert (status, "keep_" in error["message"]) == (2, False)
        advised = re.findall(r"--[a-z-]+ [^,.]+", error["message"].partition(", or")[0])
        assert [option.split()[0] for option in advised] == ["--keep-last", "--keep-best", "--older-than"]
        for option in advised:
            assert filled("prune", *option.split()).exit_code in {0, 1}, "1: no run has this metric"

    def test_it_asks_for_a_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ARTIFACT_STORE_URL", raising=False)
        result = CliRunner().invoke(app, ["ls"])
        assert result.exit_code == 2
        assert "ARTIFACT_STORE_URL" in result.stderr

    def test_the_store_may_stand_before_or_behind_the_command_or_in_the_environment(self, filled: Cli) -> None:
        runner, url = CliRunner(), str(filled.url)
        outputs = {
            runner.invoke(app, ["--store", url, "ls"]).stdout,
            runner.invoke(app, ["ls", "--store", url]).stdout,
            runner.invoke(app, ["ls"], env={"ARTIFACT_STORE_URL": url}).stdout,
            runner.invoke(app, ["ls", "--store", url], env={"ARTIFACT_STORE_URL": "memory://other"}).stdout,
        }
        assert len(outputs) == 1
        assert KEY in outputs.pop()

    def test_json_may_stand_before_or_behind_the_command(self, filled: Cli) -> None:
        assert filled("--json", "ls").stdout == filled("ls", "--json").stdout
        assert json.loads(filled("--json", "show", "gru/NONE").stderr)["error"]["type"] == "AliasNotFound"

    def test_a_wrong_command_line_is_told_in_json_too(self, cli: Cli) -> None:
        for arguments in (["bogus"], ["show"], ["ls", "--limit", "0"], ["put", KEY, "no-such-file"]):
            status, error = cli.error(*arguments)
            assert (status, error["family"]) == (2, "InvalidInput")

    def test_options_that_may_be_secret_are_never_repeated(self, cli: Cli) -> None:
        for given in ("hunter2", "=hunter2", "secret=hunter2", "token={hunter2"):
            for extra in ([], ["--json"]):
                result = cli("--option", given, *extra, "ls")
                assert result.exit_code == 2
                assert "hunter2" not in result.stdout + result.stderr

    def test_a_path_that_cannot_be_written_is_a_sentence(self, filled: Cli, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("", encoding="utf-8")
        status, error = filled.error("get", KEY, tmp_path / "file" / "below")
        assert status == 2
        assert "file" in error["message"]

    @pytest.mark.parametrize("as_json", [False, True])
    def test_an_interruption_ends_with_130(self, cli: Cli, monkeypatch: pytest.MonkeyPatch, *, as_json: bool) -> None:
        def interrupted(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(ArtifactStore, "models", interrupted)
        result = cli("ls", *(["--json"] if as_json else []))
        assert result.exit_code == 130
        assert result.stdout == ""
        assert "nterrupted" in result.stderr

    def test_a_fault_of_the_program_is_not_hidden(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(ArtifactStore, "models", broken)
        assert isinstance(cli("ls").exception, ZeroDivisionError)


@pytest.mark.windows
class TestText:
    def test_nothing_from_a_store_commands_the_terminal(self, cli: Cli) -> None:
        cli.store.save(
            {}, KEY, tags={"colour": "\x1b[31mred\x9b2J\u202e"}, metrics={"a\x1b[2J": 1.0}, config={"x\n": ["\x07"]}
        )
        cli.store.promote(KEY, "production", reason="fine\r\x1b]0;title\x07")
        for arguments in (("ls", KEY), ("show", KEY), ("history", f"{KEY}@production")):
            output = cli(*arguments).stdout
            assert output
            assert all(sign.isprintable() or sign == "\n" for sign in output)
            assert "\\x1b" in output

    def test_a_table_aligns_numbers_to_the_right(self) -> None:
        lines = list(text.table(("name", "n", "size"), [["a", "1", "9 B"], ["bb", "12", "1.5 MiB"]], indent=1))
        assert lines == [" name   n     size", " ----  --  -------", " a      1      9 B", " bb    12  1.5 MiB"]

    @pytest.mark.parametrize(
        ("value", "shown"),
        [(3, "3"), (0.5, "0.5"), (1.23456, "1.2346"), (2e-7, "2e-07"), (3.2e9, "3.2e+09"), (float("inf"), "inf")],
    )
    def test_numbers_are_shown_with_the_digits_one_compares(self, value: float, shown: str) -> None:
        assert text.format_number(value) == shown

    @pytest.mark.parametrize(
        ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB")]
    )
    def test_sizes_have_the_unit_that_suits_them(self, count: int, shown: str) -> None:
        assert text.size(count) == shown

    def test_a_bar_counts_the_bytes_of_all_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        bar = Bar("Uploading")
        for _ in range(2):  # as doctor does, which looks again after its repairs
            with bar:
                bar(Progress("up", "early", 1, 2))  # before anybody knows the total
                bar.begin(30)
                for path, done in (("a", 5), ("b", 10), ("a", 20)):
                    bar(Progress("up", path, done, 20))
                assert bar._bar.pos == 30
        with bar:
            pass


def entry(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ARTIFACT_STORE")}
    return subprocess.run(
        [sys.executable, "-m", "artifact_store.cli", *arguments],
        env={**inherited, **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.windows
class TestProgram:
    def test_it_is_installed_as_a_script(self) -> None:
        (script,) = entry_points(group="console_scripts", name="artifact-store")
        assert script.value == "artifact_store.cli:main"
        assert callable(script.load())

    def test_it_saves_and_shows_in_processes_of_their_own(self, tmp_path: Path) -> None:
        source, store = tmp_path / "m.bin", str(tmp_path / "store")
        source.write_bytes(b"1")
        saved = entry("--store", store, "put", KEY, str(source), "--json")
        shown = entry("--json", "show", KEY, ARTIFACT_STORE_URL=store)
        assert [(done.returncode, done.stderr) for done in (saved, shown)] == [(0, b""), (0, b"")]
        assert json.loads(saved.stdout)["ref"] == json.loads(shown.stdout)["ref"]

    @pytest.mark.parametrize(
        ("status", "arguments"),
        [(2, ["ls"]), (2, ["--store", "x?y", "ls"]), (2, ["nothing"]), (3, ["--store", "memory://m", "show", KEY])],
    )
    def test_a_mistake_ends_with_its_status_and_without_a_traceback(self, status: int, arguments: list[str]) -> None:
        done = entry(*arguments)
        assert (done.returncode, done.stdout) == (status, b"")
        assert b"Error: " in done.stderr
        assert b"Traceback" not in done.stderr

    @pytest.mark.parametrize("encoding", ["cp1252", "cp850", "utf-8"])
    def test_a_console_that_cannot_show_a_character_shows_its_code(self, tmp_path: Path, encoding: str) -> None:
        store = ArtifactStore(tmp_path / "store")
        store.save({}, KEY, tags={"place": "Zürich \u03b1 \u65e5\u672c \U0001f600"})
        done = entry("--store", str(tmp_path / "store"), "show", KEY, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert (done.returncode, done.stderr) == (0, b"")
        page = done.stdout.decode(encoding)
        assert ("Zürich \u03b1" if encoding == "utf-8" else "Zürich \\u03b1") in page
        machine = entry("--store", str(tmp_path / "store"), "show", KEY, "--json", PYTHONIOENCODING=encoding)
        assert json.loads(machine.stdout)["tags"] == {"place": "Zürich \u03b1 \u65e5\u672c \U0001f600"}

    def test_the_version_is_told(self) -> None:
        assert entry("--version").stdout.decode().split() == ["artifact-store,", "version", __version__]

    def test_help_imports_no_framework_and_no_storage_client(self) -> None:
        program = (
            "import sys\nfrom artifact_store.cli import main\nsys.argv = ['artifact-store', '--help']\n"
            "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
        loaded = {name.partition(".")[0] for name in done.stderr.split()}
        assert "click" in loaded
        assert not loaded & {
            "numpy",
            "pandas",
            "lightgbm",
            "torch",
            "fsspec",
            "s3fs",
            "obstore",
            "botocore",
            "narwhals",
        }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminal to look at")
class TestTerminal:
    def on_a_terminal(self, *arguments: str) -> str:
        """Run the program with a terminal for stderr, and return what it shows there."""
        shown = bytearray()
        ours, theirs = os.openpty()
        command = [sys.executable, "-m", "artifact_store.cli", *arguments]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as program:
            os.close(theirs)
            with contextlib.suppress(OSError):  # EIO: the other end was closed
                while piece := os.read(ours, 4096):
                    shown += piece
            os.close(ours)
        assert program.returncode == 0
        return shown.decode()

    def test_a_person_sees_how_far_it_is_and_a_machine_does_not(self, tmp_path: Path) -> None:
        source, store = tmp_path / "m.bin", str(tmp_path / "store")
        source.write_bytes(os.urandom(1 << 20))
        put, get = ("--store", store, "put", KEY, str(source)), ("--store", store, "get", KEY)
        assert "Uploading" in (shown := self.on_a_terminal(*put))
        assert "100%" in shown
        assert "Downloading" in (shown := self.on_a_terminal(*get, str(tmp_path / "all")))
        assert "100%" in shown
        assert "Downloading" in self.on_a_terminal(*get, str(tmp_path / "one"), "--component", "model")
        assert self.on_a_terminal(*put, "--json") == ""


class TestOnS3:
    def s3(self, seaweed: SeaweedServer, prefix: str, *arguments: str, secret: str | None = None) -> Result:
        where = ["--store", seaweed.url(prefix), "--endpoint-url", seaweed.endpoint]
        where += ["--option", f"key={seaweed.access_key}", "--option", f"secret={secret or seaweed.secret_key}"]
        where += ["--option", 'client_kwargs={"region_name": "us-east-1"}', "--timeout", "20"]
        return CliRunner().invoke(app, [*where, *arguments])

    @pytest.mark.parametrize("engine", ["obstore", "fsspec"])
    def test_files_go_to_a_bucket_and_come_back(
        self, engine: str, seaweed: SeaweedServer, seaweed_prefix: str, tmp_path: Path
    ) -> None:
        (tmp_path / "m.bin").write_bytes(b"weights")
        steps = (
            ["put", KEY, str(tmp_path / "m.bin")],
            ["ls", KEY],
            ["verify"],
            ["get", KEY, str(tmp_path / "back.bin"), "--file", "model.bin"],
        )
        for step in steps:
            result = self.s3(seaweed, seaweed_prefix, "--engine", engine, *step)
            assert (result.exit_code, result.stderr) == (0, "")
            assert seaweed.secret_key not in result.stdout
        assert (tmp_path / "back.bin").read_bytes() == b"weights"

    def test_a_wrong_secret_ends_with_7_and_is_not_repeated(self, seaweed: SeaweedServer, seaweed_prefix: str) -> None:
        result = self.s3(seaweed, seaweed_prefix, "ls", secret="hunter2-hunter2")
        assert result.exit_code == 7
        assert "hunter2" not in result.stdout + result.stderr

    def test_a_server_that_is_not_there_ends_with_6(self, tmp_path: Path) -> None:
        where = ["--store", "s3://bucket/models", "--endpoint-url", "http://127.0.0.1:9", "--timeout", "2"]
        where += ["--option", "key=a", "--option", "secret=b"]
        result = CliRunner().invoke(app, [*where, "ls"])
        assert result.exit_code == 6
        assert result.stderr.startswith("Error: ")
