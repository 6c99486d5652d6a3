"""What the documents show is what the code does: every Python block runs, every JSON block is read."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store.core.canonical import canonical
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import HistoryBlock, Pointer
from artifact_store.core.tombstone import Tombstone
from artifact_store.ops.marker import StoreRecord
from tests.legacy_cases import old_tree
from tests.models.market_data import make_candles, write_csv

pytestmark = pytest.mark.xdist_group("test_documentation")  # its fixtures take long

ROOT = Path(__file__).parents[2]
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
    environ = {**os.environ, "ARTIFACT_STORE_URL": "./store/models", "OMP_NUM_THREADS": "1"}
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
    assert "this GRU sees 12 rows at a time (sequence_length); got 11 rows" in done.stdout


def test_the_commands_of_the_models_readme_run_from_top_to_bottom(tmp_path):
    write_csv(tmp_path / "candles" / "EURUSD.csv", make_candles(600))
    said = follow(ROOT / "models" / "README.md", tmp_path)
    assert re.findall(r"EURUSD +(gru|lightgbm) .* (latest|best_wf) ", said["python -m artifact_models.trade"]) == [
        ("gru", "latest"),
        ("lightgbm", "best_wf"),
    ]


def test_the_json_of_the_readme_is_json():
    assert [json.loads(block) for block in blocks(ROOT / "README.md", "json")]


@pytest.mark.windows
def test_the_documents_of_the_format_are_real_ones():
    kinds = {"store": StoreRecord, "run": Manifest, "pointer": Pointer, "history": HistoryBlock, "tombstone": Tombstone}
    seen = []
    for block in blocks(FORMAT, "json"):
        data = block.strip().encode()
        kind = json.loads(data)["kind"]
        document = kinds[kind].from_bytes(data, what="the example")
        assert document.to_bytes() == data == canonical(json.loads(data))
        seen.append((kind, document))
    assert [kind for kind, _ in seen] == ["store", "run", "pointer", "tombstone"]
    (_, store), (_, manifest), (_, pointer), (_, stone) = seen
    assert pointer.embedded("the example") == manifest
    assert manifest.store_id == store.store_id
    assert pointer.manifest_sha256 == manifest.digest
    assert stone.restored() == manifest
