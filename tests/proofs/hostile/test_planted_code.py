"""Code planted into every place of the files that codecs write: nothing of it ever runs.

Each making of the zoo is written, and then read again with one place changed: each text of its JSON names a function
of a module that leaves a marker when it is imported, each file and each array in it is a pickle that leaves one, and
so is what torch and joblib would read. Reading ends in a value or in an error of ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import pickle
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from artifact_store.canonical import canonical, checksum
from artifact_store.core.codec import CodecRef, Risk
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import ArtifactStoreError
from tests.hostile import Canary
from tests.zoo.making import Making
from tests.zoo.makings import families, makings

MODULE = "planted_module"
PLANTED = (f"{MODULE}.run", f"{MODULE}:run", MODULE)
PLACES = 40
"""So many texts of one file are changed: those of a sample that is the same each time, where there are more."""
MAX_DEPTH = 40
OF_DATA = frozenset({Risk.DATA, Risk.VETTED})


def _cases() -> Iterator[Any]:
    for family in families():
        for making in makings(family):
            if not making.refused and making.into is None:
                yield pytest.param(making, id=f"{family}: {making.name}")


class Planted:
    """A module that can be imported and makes a marker then, and pickles that make it."""

    def __init__(self, folder: Path) -> None:
        self.marker = folder / "marker"
        text = f"import pathlib\npathlib.Path({str(self.marker)!r}).touch()\n\ndef run(*given, **named):\n    pass\n"
        (folder / f"{MODULE}.py").write_text(text, encoding="utf-8")
        canary = Canary(self.marker)
        self.pickle = pickle.dumps(canary)
        tensors, models, arrays = io.BytesIO(), io.BytesIO(), io.BytesIO()
        torch.save(canary, tensors)
        joblib.dump(canary, models)
        np.lib.format.write_array(arrays, np.array([canary], object), allow_pickle=True)
        self.array = arrays.getvalue()
        self.files = (self.pickle, tensors.getvalue(), models.getvalue(), self.array)

    def ran(self) -> bool:
        """Return whether anything did, and forget it."""
        ran = self.marker.exists()
        self.marker.unlink(missing_ok=True)
        sys.modules.pop(MODULE, None)
        return ran


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Planted(tmp_path)


@pytest.mark.parametrize(
    "load",
    [
        lambda planted: pickle.loads(planted.pickle),
        lambda planted: torch.load(io.BytesIO(planted.files[1]), weights_only=False),
        lambda planted: joblib.load(io.BytesIO(planted.files[2])),
        lambda planted: np.load(io.BytesIO(planted.array), allow_pickle=True),
        lambda planted: importlib.import_module(MODULE),
    ],
    ids=["pickle", "torch", "joblib", "numpy", "import"],
)
def test_what_is_planted_does_run_where_it_is_let(planted: Planted, load: Callable[[Planted], Any]) -> None:
    assert not planted.ran()
    load(planted)
    assert planted.ran()


@pytest.mark.parametrize("making", tuple(_cases()))
def test_no_place_of_a_file_runs_code(making: Making, planted: Planted, tmp_path: Path) -> None:
    sound, changed, given = tmp_path / "sound", tmp_path / "changed", tmp_path / "given"
    sound.mkdir()
    given.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obj, registry = making.make(given), CodecRegistry()
        codec = registry.for_object(obj, making.named)
        if codec.risk not in OF_DATA:
            pytest.skip("the codec says that it does more than read data")
        options = codec.encode(obj, sound, "model")
        reader = registry.for_ref(CodecRef(codec.name, codec.version))
        tried = 0
        for path, data in _plantings(sound, planted):
            shutil.rmtree(changed, ignore_errors=True)
            shutil.copytree(sound, changed)
            (changed / path).write_bytes(data)
            with contextlib.suppress(ArtifactStoreError):
                reader.decode(changed, "model", options)
            assert not planted.ran(), f"{path} ran what was planted in it: {data[:400]!r}"
            tried += 1
        for name, text in options.items():
            if isinstance(text, str):
                with contextlib.suppress(ArtifactStoreError):
                    reader.decode(sound, "model", {**options, name: PLANTED[0]})
                assert not planted.ran(), f"the option {name} ran what was planted in it"
    assert tried


def _plantings(folder: Path, planted: Planted) -> Iterator[tuple[Path, bytes]]:
    """Yield each file with what stands in the place of its bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        short = path.relative_to(folder)
        yield from ((short, data) for data in planted.files)
        if path.suffix == ".json":
            yield from ((short, data) for data in _named(path.read_bytes()))
        elif zipfile.is_zipfile(path):
            yield from ((short, data) for data in _in_archive(path, planted))


def _named(data: bytes) -> Iterator[bytes]:
    """Yield the document with one text changed, for a sample of its texts and of its keys."""
    document = json.loads(data)
    places = sorted(_texts(document), key=lambda place: hashlib.sha256(repr(place).encode()).digest())
    for number, place in enumerate(places[:PLACES]):
        copy = json.loads(data)
        inner = copy
        for step in place[:-1]:
            inner = inner[step]
        if isinstance(inner, dict) and number % 5 == 0:
            inner[PLANTED[0]] = inner.pop(place[-1])
        else:
            inner[place[-1]] = PLANTED[number % len(PLANTED)]
        if isinstance(copy, dict) and "checksum" in copy:  # whoever plants something makes it fit
            copy["checksum"] = checksum({name: part for name, part in copy.items() if name != "checksum"})
        yield canonical(copy)


def _texts(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and len(place) < MAX_DEPTH:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, (*place, key))
    elif isinstance(value, str) and place:
        yield place


def _in_archive(path: Path, planted: Planted) -> Iterator[bytes]:
    """Yield the archive with one of its arrays as objects, and with a pickle beside them."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    for name in [*list(held)[:10], "data.pkl"]:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for other, data in (held | {name: planted.array if name.endswith(".npy") else planted.pickle}).items():
                archive.writestr(other, data)
        yield made.getvalue()
