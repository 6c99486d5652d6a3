"""Each figure counts: on a package of a few lines, where all that it should find is known, and on this one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools import figures

FILES = {
    "artifact_store/__init__.py": "from artifact_store.store import ArtifactStore\n",
    "artifact_store/store.py": (
        "from artifact_store.core.manifest import Manifest, check\n"
        "from artifact_store.ops import publish\n"
        "\n"
        "class ArtifactStore:\n"
        "    def __init__(self, url):\n"
        "        self.url = url\n"
        "    def save(self, obj, key):\n"
        "        manifest = Manifest(key)\n"
        "        check(manifest)\n"
        "        publish.publish(manifest)\n"
        "        check(manifest=manifest)\n"
        "        return manifest.label()\n"
    ),
    "artifact_store/core/__init__.py": "",
    "artifact_store/core/manifest.py": (
        '"""Whoever reads this: a name that is\nnone."""\n'
        "class Manifest:\n"
        "    def __init__(self, key):\n"
        "        self.key = key\n"
        "    def label(self):\n"
        "        return self.key\n"
        "\n"
        "def check(manifest):\n"
        "    assert manifest is not None\n"
        "\n"
        "def shared():\n"
        "    return 1 is None\n"
    ),
    "artifact_store/ops/__init__.py": "",
    "artifact_store/ops/publish.py": (
        "from typing import TYPE_CHECKING\n"
        "from artifact_store.core.manifest import check\n"
        "if TYPE_CHECKING:\n"
        "    from artifact_store.ops import stored\n"
        "\n"
        "def publish(*both):\n"
        "    (manifest,) = both\n"
        "    check(manifest)\n"
        "    def send():\n"
        "        return manifest\n"
        "    return send()\n"
    ),
    "artifact_store/ops/stored.py": (
        "def read(context, backend):\n"
        "    from artifact_store.ops import publish\n"
        "    context._backend.write('probe', b'?')\n"
        "    file = open('x'); file.read()\n"
        "    return backend.read('key'), context.backend.write('key', publish)\n"
        "\n"
        "def unfinished():\n"
        '    """Not yet."""\n'
        "    raise NotImplementedError\n"
        "\n"
        "def shared():  # nobody, nor Somebody\n"
        "    if read: raise NotImplementedError\n"
    ),
    "artifact_store/storage/__init__.py": "",
    "artifact_store/storage/folder.py": (
        "import artifact_store.storage.lonely\ndef look(backend):\n    return backend.read('key')\ndef _shared(): ...\n"
    ),
    "artifact_store/storage/lonely.py": "def _shared(): ...\n",
    "models/artifact_models/__init__.py": "",
    "models/artifact_models/one.py": 'import artifact_models.far.two\nimport artifact_models.far.three\nclass Same: ...\nTEXT = f"{1} is none"\n',
    "models/artifact_models/far/__init__.py": "",
    "models/artifact_models/far/two.py": "class Same: ...\nsomebodys = whoevers = 1\n",
    "models/artifact_models/far/three.py": "",
    "models/pyproject.toml": '[project.entry-points."artifact_models.families"]\nx = "artifact_models.far.three:X"\n',
    "tools/one.py": "\n\n\n",
    "tools/windows/many.py": "\n" * 100,
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8", newline="\n")
    return root.resolve()


@pytest.fixture(scope="module")
def found(checkout: Path) -> dict[str, tuple[int, list[str]]]:
    return figures.measure(checkout)


def lines(*names: str) -> int:
    return sum(FILES[f"artifact_store/{name}.py"].count("\n") for name in names)


LOADED = ("__init__", "store", "core/__init__", "core/manifest", "ops/__init__", "ops/publish")
STORE = (*LOADED, "ops/stored", "storage/__init__", "storage/folder", "storage/lonely")
STORED = "artifact_store/ops/stored.py"

PLACES = {
    "modules that pass documents' keys to a backend": ["artifact_store.ops.stored"],
    "reads and writes of documents through a backend": [
        f"{STORED}:5 backend.read",
        f"{STORED}:5 context.backend.write",
    ],
    "public names defined twice in artifact_store": ["shared: artifact_store.core.manifest artifact_store.ops.stored"],
    "public names defined twice in models": ["Same: artifact_models.far.two artifact_models.one"],
    "import circles": ["artifact_store.ops.publish artifact_store.ops.stored"],
    "functions look and send outside storage": ["artifact_store/ops/publish.py:9 def send():"],
    "functions that only raise NotImplementedError": [f"{STORED}:7 def unfinished():"],
    "modules with one user, in another folder": ["artifact_models.far.two < artifact_models.one"],
    "is none, nobody, somebody, whoever": [
        "artifact_store/core/manifest.py: Whoever",
        "artifact_store/core/manifest.py: is none",
        f"{STORED}: Somebody",
        f"{STORED}: nobody",
        "models/artifact_models/one.py: is none",
    ],
    "manifest as argument: functions": [
        "artifact_store/core/manifest.py check",
        "artifact_store/ops/publish.py publish",
    ],
    "manifest as argument: files": ["artifact_store/core/manifest.py", "artifact_store/ops/publish.py"],
    "manifest as argument: returns": ["artifact_store/core/manifest.py"],
    "manifest as argument, self or closure: functions": [
        "artifact_store/core/manifest.py Manifest.__init__",
        "artifact_store/core/manifest.py Manifest.label",
        "artifact_store/core/manifest.py check",
        "artifact_store/ops/publish.py publish",
        "artifact_store/ops/publish.py publish.<locals>.send",
    ],
    "manifest as argument, self or closure: files": [
        "artifact_store/core/manifest.py",
        "artifact_store/ops/publish.py",
    ],
    "manifest as argument, self or closure: returns": [
        "artifact_store/core/manifest.py",
        "artifact_store/core/manifest.py",
        "artifact_store/ops/publish.py",
    ],
}
NUMBERS = {
    "lines of artifact_store": lines(*STORE),
    "lines of its largest module": 13,
    "lines loaded by import artifact_store": lines(*LOADED),
    "lines of tools without windows": 3,
    "modules loaded by import artifact_store": len(LOADED),
}


def test_there_is_a_case_for_every_figure(found: dict[str, tuple[int, list[str]]]) -> None:
    assert found.keys() == PLACES.keys() | NUMBERS.keys()


@pytest.mark.parametrize("name", PLACES)
def test_a_figure_counts_these_places(name: str, found: dict[str, tuple[int, list[str]]]) -> None:
    value, places = found[name]
    assert sorted(" ".join(place.replace("\\", "/").split()) for place in places) == PLACES[name]
    assert value == len(places)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_figure_is_this_number(name: str, found: dict[str, tuple[int, list[str]]]) -> None:
    assert found[name][0] == NUMBERS[name]


@pytest.mark.parametrize(
    ("files", "again"),
    [([], []), (["a", "a", "b"], []), (["a", "b", "a", "a", "b"], ["a", "b"]), (["a", "b", "c", "b"], ["b"])],
)
def test_a_return_is_to_a_file_that_was_left(files: list[str], again: list[str]) -> None:
    assert figures.returns(files) == again


def test_this_checkout_is_measured_as_a_table_and_as_json() -> None:
    def printed(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, figures.__file__, *arguments], check=True, capture_output=True, text=True
        ).stdout

    told = json.loads(printed("--json"))
    assert told.keys() == PLACES.keys() | NUMBERS.keys()
    assert told["manifest as argument: functions"][0] > 0
    table = dict(line.rsplit(maxsplit=1) for line in printed().splitlines())
    assert {name: int(value.replace(",", "")) for name, value in table.items()} == {
        name: value for name, (value, _) in told.items()
    }
