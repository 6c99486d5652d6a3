"""``artifact_store.cli.program``: a program of another distribution, made of public names alone."""

import json
import math
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli import program

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ArtifactStoreError)
]


@click.command(cls=program.Program, problems="the model has no runs", interrupted="interrupted; nothing was written")
@click.argument("key")
def main(*, key, as_json, **where):
    """Print the runs of a model."""
    with program.open_store(**where) as store:
        runs = [str(run.run_id) for run in store.runs(key)]
    program.answer({"runs": runs}, program.table(["run"], [[run] for run in runs]), as_json=as_json)
    return program.OK if runs else program.PROBLEMS


def run(*arguments, **environment):
    return CliRunner().invoke(main, arguments, env={program.VARIABLE: None, **environment})


@pytest.fixture
def root(tmp_path):
    with ArtifactStore(tmp_path / "store") as store:
        store.save({}, "gru/X", run_id="20240101_000000")
    return str(tmp_path / "store")


def test_the_store_is_an_option_or_a_variable(root):
    for done in (run("--store", root, "gru/X"), run("gru/X", ARTIFACT_STORE_URL=root)):
        assert (done.exit_code, done.stdout) == (0, "run\n---------------\n20240101_000000\n")
    done = run("--store", root, "gru/X", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"runs": ["20240101_000000"]})
    assert run("--store", root, "gru/Y").exit_code == 1


def test_without_a_store_it_says_where_to_name_one():
    done = run("gru/X")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Give --store URL, or set ARTIFACT_STORE_URL" in done.stderr


def test_the_options_of_the_store_reach_it(root):
    given = ["--endpoint-url", "https://example.org", "--profile", "p", "--option", "anon=true", "--option", "key=12"]
    done = run("--store", root, *given, "gru/X")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "it was given anon, endpoint_url, key, profile" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--timeout", "1e99", "timeout is"), ("--min-rate", "inf", "min_rate is"), ("--staging", "store/x", "staging=")],
)
def test_what_errors_advise_for_a_slow_line_or_a_full_folder_reaches_it(root, monkeypatch, option, value, said):
    monkeypatch.chdir(Path(root).parent)
    done = run("--store", root, option, value, "gru/X")
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize("wrong", ["name", "=value", "name={hunter2"])
def test_an_option_that_cannot_be_read_is_misuse_and_is_not_repeated(root, wrong):
    for extra in ([], ["--json"]):
        done = run("--store", root, "--option", wrong, "gru/X", *extra)
        assert done.exit_code == 2
        assert "--option" in done.stderr or extra
        assert "hunter2" not in done.stdout + done.stderr


def test_every_error_ends_with_the_status_of_its_family(root, monkeypatch):
    assert len(KINDS) > 30
    for kind in KINDS:
        error = kind.__new__(kind)
        error.args = ("a sentence",)

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(ArtifactStore, "runs", fail)
        status = next((status for family, status in program.FAMILIES.items() if issubclass(kind, family)), 2)
        plain, said = run("--store", root, "gru/X"), run("--store", root, "gru/X", "--json")
        assert (plain.exit_code, said.exit_code) == (status, status), kind
        assert plain.stderr.startswith("Error: "), kind
        document = json.loads(said.stderr)["error"]
        assert document["type"] == kind.__name__
        assert document == {**program.error_document(error)}


def test_a_fault_of_the_program_is_not_hidden(root, monkeypatch):
    monkeypatch.setattr(ArtifactStore, "runs", lambda *_: 1 / 0)
    assert isinstance(run("--store", root, "gru/X").exception, ZeroDivisionError)


def test_an_interruption_says_what_the_program_wants_said(root, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ArtifactStore, "runs", interrupted)
    plain, said = run("--store", root, "gru/X"), run("--store", root, "gru/X", "--json")
    assert (plain.exit_code, said.exit_code) == (130, 130)
    assert plain.stderr.strip() == "Interrupted; nothing was written."
    assert json.loads(said.stderr)["error"]["message"] == "interrupted; nothing was written"


def test_the_help_explains_every_exit_status():
    text = run("--help").stdout
    assert "1  the model has no runs" in text
    for family, status in program.FAMILIES.items():
        assert any(line.split()[:1] == [str(status)] and family.__name__ in line for line in text.splitlines()), family


def test_numbers_that_json_has_no_word_for_are_null():
    assert [program.finite(value) for value in (1.5, math.nan, math.inf, -math.inf)] == [1.5, None, None, None]
