"""Hostile files under the names of an old tree: refused or read around, and nothing of them ever runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store.errors import Corrupt, RiskRefused
from artifact_store.legacy.formats.checkpoint import read_checkpoint
from artifact_store.legacy.formats.joblib import read_joblib
from artifact_store.legacy.formats.lightgbm import read_lightgbm
from artifact_store.legacy.formats.preprocessors import read_preprocessor
from artifact_store.legacy.formats.sb3 import read_sb3
from artifact_store.legacy.formats.vecnormalize import read_vecnormalize
from tests.hostile import CORPUS, Hostile

CHECKOUT = Path(__file__).resolve().parents[3]
READERS = {
    "model.pkl": read_lightgbm,
    "preprocessor.pkl": read_preprocessor,
    "model_vecnormalize.pkl": read_vecnormalize,
    "model.pth": read_checkpoint,
    "model.zip": read_sb3,
}

WHY = {
    "zip-wide-pickled-space": "has the size 4,096 in its observation_space",
    "name-from-the-memo": "names string.capwords",
    "reconstruct-no-array": "an array of the class",
    "dotted-name": "names collections.OrderedDict.fromkeys",
    "instance-opcode": "names string.capwords",
    "object-opcode": "names string.capwords",
    "eval": "names builtins.eval",
    "getattr": "names builtins.getattr",
    "extension-code": "uses an extension code",
    "persistent-id": "has a persistent id",
    "foreign-buffer": "uses an out-of-band buffer",
    "shared-lists": "repeats its parts so often",
    "list-in-itself": "contains itself",
    "deep-lists": "nested more than 100 deep",
    "deep-marks": "nested more than 100 deep",
    "numbers-as-keys": "keys that are not text",
    "zlib-expanding": "expands to more than",
    "gzip-expanding": "expands to more than",
    "xz-expanding": "expands to more than",
    "long-text": "ends early",
    "long-bytes": "ends early",
    "long-bytearray": "ends early",
    "long-number": "too many digits",
    "long-frame": "ends early",
    "unknown-memo": "refers to a memo entry that does not exist",
    "large-array": "an array of 1024 times float64, and there are 3 bytes",
    "large-array-in-joblib": "ends early",
    "cut-pickle": "ends early",
    "cut-zlib": "ends early",
    "cut-vecnormalize": "ends early",
    "tree-without-end": "a node with two parents",
    "tree-beyond-its-nodes": "a child beyond its nodes",
    "tree-of-unknown-features": "uses feature 99 of 5",
    "tree-of-too-many-leaves": "a tree of 99 leaves",
    "tree-of-unknown-categories": "a set of categories that does not exist",
    "text-that-is-none": "no text of a LightGBM model",
    "checkpoint-of-a-module": "names torch.nn.modules.linear.Linear",
    "checkpoint-short-storage": "a storage of another size",
    "checkpoint-stretched": "a tensor that lies outside of its storage",
    "checkpoint-expanding": "would expand to more than",
    "checkpoint-cut": "not a zip archive",
    "checkpoint-leads-outside": "which leads outside of the archive",
    "zip-policy": "policy.pth in model.zip names",
    "zip-policy-old": "policy.pth in model.zip names",
    "zip-optimizer": "policy.optimizer.pth in model.zip names",
    "zip-variables": "pytorch_variables.pth in model.zip names",
    "zip-wide-network": "4,096 in its policy_kwargs",
    "zip-wide-space": "4,096 in its observation_space",
    "zip-long-rollout": "rollouts too long",
    "zip-nested-data": "nested deeper",
    "zip-leads-outside": "which leads outside of the archive",
    "zip-absolute": "which leads outside of the archive",
    "zip-backslash": "which leads outside of the archive",
    "zip-of-two-minds": "two entries of one name",
    "zip-behind-something": "data before its first entry",
    "zip-encrypted": "encrypted",
    "zip-expanding": "would expand to more than",
    "zip-cut": "cut",
}
"""What each of the strange files is refused for, so that no other refusal hides one that is missing."""

LIVE = """
import contextlib, io, json, pickle, sys, warnings
from pathlib import Path
import joblib, torch
from stable_baselines3 import PPO
from tests.hostile import CORPUS

warnings.simplefilter("ignore")
load = {
    "pickle": pickle.load,
    "joblib": joblib.load,
    "torch": lambda file: torch.load(file, weights_only=False),
    "sb3": PPO.load,
}
made = []
for case in CORPUS:
    if case.live:
        marker = Path(sys.argv[1], case.name)
        with contextlib.suppress(Exception):  # many break off behind the payload
            load[case.live](io.BytesIO(case.make(marker)))
        if marker.exists():
            made.append(case.name)
print("made", json.dumps(made))
"""

AUDITED = """
import json, sys
from pathlib import Path
import joblib, lightgbm, sklearn.preprocessing, stable_baselines3, torch
from tests.legacy_cases import CASES
from tests.proofs.hostile.test_old_files import CORPUS, READERS
from artifact_store.errors import Corrupt, RiskRefused
from artifact_store.legacy.pickle_reader.limits import LIMITS

hostile = [(case.file, case.make(Path(sys.argv[1], case.name)), case.limits) for case in CORPUS]
old = [(path.name, path.read_bytes(), LIMITS) for case in CASES.values() for path in case.file.parent.iterdir()]
old += [({".pt": "model.pth", ".pkl": "model.pkl", ".zip": "model.zip"}[path.suffix], path.read_bytes(), LIMITS)
        for path in CASES["wf_gru_pt"].file.parent.iterdir()]
"".encode("raw-unicode-escape")  # Python imports a codec when it is first used
counts = {}
sys.addaudithook(lambda event, args: counts.__setitem__(event, counts.get(event, 0) + 1))
read = refused = 0
for name, data, limits in old + hostile:
    if name in READERS:
        try:
            READERS[name](data, what=name, limits=limits)
        except (Corrupt, RiskRefused):
            refused += 1
        else:
            read += 1
watched = ("pickle.find_class", "os.system", "subprocess.Popen", "exec", "compile", "open", "ctypes.dlopen")
events = {event: counts.get(event, 0) for event in watched}
print("counted", json.dumps({"read": read, "refused": refused, "events": events}))
"""


def child(program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].partition(" ")[2]


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_nothing_of_a_hostile_file_runs(case: Hostile, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    data = case.make(marker)
    if case.refused:
        with pytest.raises((Corrupt, RiskRefused)) as refused:
            READERS[case.file](data, what=case.file, limits=case.limits)
        assert case.file in str(refused.value)
        assert WHY.get(case.name, "") in str(refused.value)
    else:
        READERS[case.file](data, what=case.file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", [case for case in CORPUS if case.live], ids=lambda case: case.name)
def test_nor_under_another_name(case: Hostile, tmp_path: Path) -> None:
    data = case.make(tmp_path / "marker")
    for name, reader in READERS.items():
        if name != case.file:
            with pytest.raises((Corrupt, RiskRefused)):
                reader(data, what=name)
    assert list(tmp_path.iterdir()) == []


def test_each_strange_file_is_refused_for_a_reason_of_its_own() -> None:
    assert set(WHY) == {case.name for case in CORPUS if case.refused and not case.live}


def test_what_names_code_says_which(tmp_path: Path) -> None:
    for case in CORPUS:
        if case.live in {"pickle", "joblib", "torch"}:
            with pytest.raises(RiskRefused, match=r"names \w[\w.]*\.system: nothing of it was run"):
                READERS[case.file](case.make(tmp_path / "marker"), what=case.file)


def test_the_corpus_is_live(tmp_path: Path) -> None:
    """The same bytes run under the libraries' own loaders, so the tests above test something."""
    assert json.loads(child(LIVE, tmp_path)) == [case.name for case in CORPUS if case.live]


def test_no_real_unpickling_happens(tmp_path: Path) -> None:
    """Over all old and all hostile files: no name is looked up, no process started, no file opened."""
    counted = json.loads(child(AUDITED, tmp_path))
    assert counted["read"] > 25
    assert counted["refused"] >= sum(case.refused for case in CORPUS)
    assert set(counted["events"].values()) == {0}, counted["events"]
    assert list(tmp_path.iterdir()) == []


def test_the_plain_reader_expands_no_further_than_it_may() -> None:
    expanding = [case for case in CORPUS if case.name.endswith("expanding") and case.file == "model.pkl"]
    assert len(expanding) == 3
    for case in expanding:
        with pytest.raises(Corrupt, match="expands to more than"):
            read_joblib(case.make(Path("marker")), what=case.file, limits=case.limits)
