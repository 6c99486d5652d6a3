"""The jobs of continuous integration are data; they are held against the commands that they call."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / ".github").exists():
    pytest.skip("a source distribution has no jobs", allow_module_level=True)

import yaml  # noqa: E402

import dev  # noqa: E402 -- beside the jobs, and only there
from tools.versions import PYTHONS  # noqa: E402

FILES = {name: ROOT / ".github" / "workflows" / f"{name}.yml" for name in ("ci", "nightly")}
SYSTEMS = {"ubuntu-latest", "macos-latest", "windows-latest"}


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILES[name].read_text(encoding="utf-8"))["jobs"]
    return found


def commands(job: dict[str, Any]) -> Iterator[list[str]]:
    """The words of each command of a job, once for each combination of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    for values in itertools.product(*matrix.values()):
        chosen = dict(zip(matrix, values, strict=True))
        for step in job["steps"]:
            if "run" in step:
                text = re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda found, chosen=chosen: chosen[found[1]], step["run"])
                yield shlex.split(re.sub(r"\$\{\{ github\.\w+ \}\}", "7", text))


def every_command() -> list[tuple[str, str, list[str]]]:
    return [(file, name, words) for file in FILES for name, job in jobs(file).items() for words in commands(job)]


def readable(value: object) -> str:
    return " ".join(value[2:]) if isinstance(value, list) else str(value)


@pytest.mark.parametrize(("file", "name", "words"), every_command(), ids=readable)
def test_a_job_runs_a_command_that_dev_takes(file: str, name: str, words: list[str]) -> None:
    assert words[:2] == ["python", "dev.py"]
    _, further = dev.parser().parse_known_args(words[2:])
    for word in further:
        if word.startswith("tests"):
            assert (ROOT / word).exists(), word
    assert not further or words[2] in {"test", "prove"}


@pytest.mark.parametrize("file", FILES)
def test_every_job_has_an_end_and_reads_only(file: str) -> None:
    page = yaml.safe_load(FILES[file].read_text(encoding="utf-8"))
    assert page["permissions"] == {"contents": "read"}
    for name, job in page["jobs"].items():
        assert 0 < job["timeout-minutes"] <= (15 if file == "ci" else 350), name
        assert {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step} == {
            "actions/checkout",
            "actions/setup-python",
        }


def test_the_unit_tests_run_on_three_systems_and_every_python() -> None:
    matrix = jobs("ci")["unit"]["strategy"]["matrix"]
    assert set(matrix["os"]) == SYSTEMS
    assert tuple(matrix["python"]) == PYTHONS


def test_every_proof_runs_at_night() -> None:
    proved = {words[3] for _, _, words in every_command() if words[2] == "prove"}
    assert proved == set(dev.PROOFS)


def test_the_readme_lists_every_proof() -> None:
    rows = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Evidence")[2]
    listed = {line.split("`")[1].split()[0] for line in rows.splitlines() if line.startswith("| `")}
    assert listed == {"python", *dev.PROOFS}  # the heading, and a row for each


def test_every_folder_of_tests_runs_for_every_change() -> None:
    run = {word for file, _, words in every_command() if file == "ci" for word in words if word.startswith("tests/")}
    run |= {"tests/proofs"} if any(words[2:4] == ["prove", "slice"] for _, _, words in every_command()) else set()
    folders = {path.parts[1] for path in (item.relative_to(ROOT) for item in (ROOT / "tests").rglob("test_*.py"))}
    assert {f"tests/{name}" for name in folders} <= run


def test_the_local_door_calls_the_default_run() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "dev.py test" in script
    assert [words for _, _, words in every_command() if words == ["python", "dev.py", "test"]]


def imported_at_once(path: Path, seen: set[Path]) -> Iterator[str]:
    """The top names of what a test file imports when it is loaded, and what the files of tests do that it imports."""
    if path in seen:
        return
    seen.add(path)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield name.partition(".")[0]
            folder = ROOT / name.replace(".", "/")
            for own in (folder.with_suffix(".py"), folder / "__init__.py"):
                if name.startswith("tests.") and own.exists():
                    yield from imported_at_once(own, seen)


def test_what_runs_on_windows_is_loaded_without_what_is_not_installed_there() -> None:
    marked = [
        path for path in (ROOT / "tests").rglob("test_*.py") if "mark.windows" in path.read_text(encoding="utf-8")
    ]
    assert len(marked) > 10
    marked += (ROOT / "tests").rglob("conftest.py")
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in marked
        if path != Path(__file__)
        for name in imported_at_once(path, set())
        if name in {"torch", "stable_baselines3", "gymnasium", "moto", "botocore", "aiobotocore", "boto3"}
    }
    assert wrong == set()
