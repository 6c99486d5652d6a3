"""What the documents show is what the code does: every Python block runs, every JSON block is read."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import artifact_store
from artifact_store import errors
from artifact_store.canonical import canonical
from artifact_store.cli.app import app
from artifact_store.core.index_rows import BlockHead, Row
from artifact_store.core.manifest import Manifest, Parent
from artifact_store.core.note import Note
from artifact_store.core.pointer import HistoryBlock, Pointer
from artifact_store.core.store_record import StoreRecord
from artifact_store.core.tombstone import Tombstone
from tests.integration.models.market_data import make_candles, write_csv
from tests.legacy_cases import old_tree

pytestmark = pytest.mark.xdist_group("test_documentation")  # its fixtures take long

ROOT = Path(__file__).parents[3]
FORMAT = Path(sys.modules["artifact_store"].__file__).parent / "FORMAT.md"


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(path):
    """Return the commands of the console blocks, without comments; those that install something are left out."""
    lines = "".join(blocks(path, "console")).splitlines()
    written = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words for words in written if words[0] == "artifact-store" or words[:2] == ["python", "-m"]]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Where a reader of the README sits: some candles, an old tree, and a store with what its Python has saved."""
    folder = tmp_path_factory.mktemp("desk")
    old_tree(folder / "old", "windows")
    write_csv(folder / "candles" / "EURUSD.csv", make_candles(600))
    script = folder / "readme.py"
    script.write_text("\n".join(blocks(ROOT / "README.md", "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=250, check=False
    )
    return folder, done


def test_the_python_of_the_readme_runs_from_top_to_bottom(desk):
    _, done = desk
    assert done.returncode == 0, done.stderr
    assert "published as 'latest', seq 1" in done.stdout
    assert "expected 3 features (or the 2 selected, with preselected=True); got 2" in done.stdout
    assert "committed, not published, because its val_loss 0.3 is not better" in done.stdout
    assert "24 gru/BTCEUR/20240816_142301" in done.stdout


def follow(page, folder):
    """Run the commands of a page; return what each said, by its first three words."""
    (folder / "home").mkdir(exist_ok=True)
    home = {"HOME": str(folder / "home"), "USERPROFILE": str(folder / "home"), "SHELL": "/bin/bash"}
    environ = {**os.environ, **home, "ARTIFACT_STORE_URL": "./store/models", "OMP_NUM_THREADS": "1"}
    said = {}
    for words in commands(page):
        program = ["-m", "artifact_store.cli", *words[1:]] if words[0] == "artifact-store" else words[1:]
        done = subprocess.run(
            [sys.executable, *program],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        said[" ".join(words[:3])] = done.stdout
    return said


def test_the_commands_of_the_readme_run_from_top_to_bottom(desk):
    folder, done = desk
    assert done.returncode == 0, done.stderr
    said = follow(ROOT / "README.md", folder)
    assert "best_wf" in said["python -m artifact_models.trade"]
    assert "1 already there" in said["artifact-store migrate ./old/models"]
    assert "none with problems" in said["artifact-store validate"]
    assert (folder / "exported" / "models" / "gru" / "BTCEUR" / "20240816_142301" / "model.pth").is_file()


def test_the_python_of_the_contributing_page_runs(tmp_path):
    script = tmp_path / "contributing.py"
    script.write_text("\n".join(blocks(ROOT / "CONTRIBUTING.md", "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_python_of_the_models_readme_runs_from_top_to_bottom(tmp_path):
    script = tmp_path / "models.py"
    script.write_text("\n".join(blocks(ROOT / "models" / "README.md", "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "(189,)" in done.stdout
    assert "\nTrue\n" in done.stdout
    assert "'close' (did you mean 'Close'?)" in done.stdout
    assert "expected 4 features (or the 2 selected, with preselected=True); got 3" in done.stdout
    assert "this GRU takes windows of 12 rows (sequence_length); got 11 rows" in done.stdout


def test_every_test_that_the_page_of_the_old_pipeline_names_is_there():
    page = (ROOT / "models" / "OLD-PIPELINE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests/[a-z0-9/]+/)?test_\w+\.py)((?:::\w+)*)`", page)
    assert len(named) > 30
    for file, names in named:
        text = (ROOT / (file if file.startswith("tests/") else f"tests/integration/models/{file}")).read_text(
            encoding="utf-8"
        )
        for name in names.split("::")[1:]:
            kind = "class" if name.startswith("Test") else "def"
            assert re.search(rf"^ *{kind} {name}\b", text, re.MULTILINE), (file, name)


def test_the_commands_of_the_models_readme_run_from_top_to_bottom(tmp_path):
    write_csv(tmp_path / "candles" / "EURUSD.csv", make_candles(600))
    said = follow(ROOT / "models" / "README.md", tmp_path)
    assert re.findall(r"EURUSD +(gru|lightgbm) .* (latest|best_wf) ", said["python -m artifact_models.trade"]) == [
        ("gru", "latest"),
        ("lightgbm", "best_wf"),
    ]


def test_what_the_security_page_shows_is_done_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Its keys are made by commands that its Python uses, so both run in the order in which they stand there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTIFACT_STORE_URL", "./store/models")
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    names, done = {}, {"python": 0, "console": 0}
    for found in re.finditer(r"^```(python|console)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        language, block = found.groups()
        done[language] += 1
        if language == "python":
            exec(compile(block, f"block {done[language]} of SECURITY.md", "exec"), names)
            continue
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            assert words[0] == "artifact-store"
            said = CliRunner().invoke(app, words[1:])
            assert said.exit_code == 0, (line, said.output)
    assert done == {"python": 10, "console": 2}
    assert capsys.readouterr().out == "refused: UntrustedKey\n"


def test_what_the_security_page_says_of_files_and_errors_is_so():
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    policies = {path.name for path in (ROOT / "deploy" / "s3").iterdir()}
    assert policies == set(re.findall(r"(?<![\w.])(?:deploy/s3/)?([a-z-]+\.json)\b", page)) - {
        "_store.json",
        "manifest.json",
    }
    (rule,) = blocks(ROOT / "SECURITY.md", "json")
    assert json.loads(rule) == json.loads((ROOT / "deploy" / "s3" / "lifecycle.json").read_text(encoding="utf-8"))
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", page)) - {"BUCKET", "PREFIX"}
    assert {name for name in named if not hasattr(errors, name) and not hasattr(artifact_store, name)} == set()
    floors = {
        name: re.search(rf'"{name}>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
        for name in ("lightgbm", "skops", "filelock")
    }
    said = "(LightGBM from {lightgbm}, skops from {skops}, filelock from {filelock})"
    assert said.format(**floors) in " ".join(page.split())


def test_the_json_of_the_readme_is_json():
    assert [json.loads(block) for block in blocks(ROOT / "README.md", "json")]


@pytest.mark.windows
def test_the_documents_of_the_format_are_real_ones():
    kinds = {
        "store": StoreRecord,
        "run": Manifest,
        "pointer": Pointer,
        "history": HistoryBlock,
        "tombstone": Tombstone,
        "note": Note,
    }
    seen = []
    *documents, head, row = (block.strip().encode() for block in blocks(FORMAT, "json"))
    for data in documents:
        kind = json.loads(data)["kind"]
        document = kinds[kind].from_bytes(data, what="the example")
        assert document.to_bytes() == data == canonical(json.loads(data))
        seen.append((kind, document))
    assert [kind for kind, _ in seen] == ["store", "run", "run", "pointer", "tombstone", "note"]
    (_, store), (_, manifest), (_, tuned), (_, pointer), (_, stone), (_, note) = seen
    assert pointer.embedded("the example") == manifest
    assert manifest.store_id == store.store_id
    assert pointer.manifest_sha256 == manifest.digest
    assert stone.restored() == manifest
    note.check_about(note.storage_key, manifest.digest)
    assert BlockHead.parse(head.decode(), 2, "the example").line == head
    assert Row.of(manifest).line == row
    assert tuned.parent == Parent(ref=manifest.label, store_id=store.store_id, manifest_sha256=manifest.digest)
    assert tuned.to_json().keys() - manifest.to_json().keys() == {"description", "parent", "data", "provenance"}
