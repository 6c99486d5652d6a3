"""What the documents show is what the code does: every Python block runs, every JSON block is read."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store.core.canonical import canonical
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import HistoryBlock, Pointer
from artifact_store.core.tombstone import Tombstone
from artifact_store.ops.marker import StoreRecord

ROOT = Path(__file__).parents[2]
FORMAT = Path(sys.modules["artifact_store"].__file__).parent / "FORMAT.md"


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme_runs_from_top_to_bottom(tmp_path):
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks(ROOT / "README.md", "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "published as 'latest', seq 1" in done.stdout
    assert "expected 3 features (or the 2 selected, with preselected=True); got 2" in done.stdout
    assert "committed, not published, because its val_loss 0.3 is not better" in done.stdout


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
