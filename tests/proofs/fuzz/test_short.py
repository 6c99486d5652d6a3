"""The short form: what was found once stays mended, and some hundred inputs of each target, always the same ones."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.proofs.fuzz import codec_files, documents, names, pickles, urls
from tests.proofs.fuzz.__main__ import HERE
from tests.proofs.fuzz.changing import change_bytes, change_pickle
from tests.proofs.fuzz.running import MAX_INPUT, REGRESSIONS, Runner, Target, TooSlow, inputs, within

pytestmark = pytest.mark.xdist_group("fuzz")
TARGETS = {target.name: target for target in (documents.TARGET, names.TARGET, urls.TARGET, pickles.TARGET)}
COUNTS = {"json": 400, "references": 2000, "urls": 1000, "pickles": 150}
FOUND = sorted(path for path in REGRESSIONS.rglob("*") if path.is_file())


def told(runner: Runner) -> str:
    return f"{runner.account.findings} {dict(runner.account.outcomes)}"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_handled(path: Path) -> None:
    target = {**TARGETS, "codecs": codec_files.TARGET}[path.parent.name]
    runner = Runner(target, None)
    runner.one(path.read_bytes())
    assert not runner.account.findings, told(runner)


@pytest.mark.parametrize("name", TARGETS)
def test_some_inputs_of_each_target(name: str) -> None:
    """Only errors of our own, and within seconds. There are many ways to end, or the inputs would be dull."""
    runner = Runner(TARGETS[name], None)
    corpus = TARGETS[name].corpus()
    begin = inputs(TARGETS[name], seed=7)
    whole = len(corpus) if len(corpus) < COUNTS[name] else 0
    for data in itertools.islice(begin, 0 if whole else len(corpus), (0 if whole else len(corpus)) + COUNTS[name]):
        runner.one(data)
    assert not runner.account.findings, told(runner)
    assert runner.account.inputs == COUNTS[name]
    assert len(runner.account.outcomes) >= 5, told(runner)


@pytest.mark.nightly
def test_some_files_of_the_codecs(tmp_path: Path) -> None:
    runner = Runner(codec_files.TARGET, tmp_path)
    for data in itertools.islice(inputs(codec_files.TARGET, seed=7), 1500):
        runner.one(data)
    assert not runner.account.findings, told(runner)
    assert len(runner.account.outcomes) >= 8, told(runner)


def test_the_command_tells_machines_what_it_did() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.proofs.fuzz",
        "--minutes",
        "0.005",
        "--target",
        "references",
        "--engine",
        "own",
    ]
    done = subprocess.run([*command, "--json"], cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (account,) = json.loads(done.stdout)["targets"]
    assert (account["target"], account["findings"], account["finished"]) == ("references", {}, True)
    assert sum(account["outcomes"].values()) == account["inputs"] > 0
    assert "references: 0.005 minutes with own" in done.stderr


# ---------------------------------------------------------------- the search itself


def broken(data: bytes) -> str:
    if data.startswith(b"e"):
        raise KeyError(data)
    if data.startswith(b"s"):
        while True:
            pass
    if data.startswith(b"t"):
        raise ValueError(data)
    return "read"


BROKEN = Target("broken", broken, lambda: [b"e1", b"e2", b"s", b"t", b"fine"], change_bytes, typed=(ValueError,))


def test_a_mistake_is_found_kept_once_and_can_be_repeated(tmp_path: Path) -> None:
    runner = Runner(BROKEN, tmp_path, seconds=0.2)
    for data in itertools.islice(inputs(BROKEN, seed=1), 5):
        runner.one(data)
    assert runner.account.outcomes == {"finding: KeyError": 2, "finding: TooSlow": 1, "ValueError": 1, "read": 1}
    kept = [path for path in runner.account.findings.values() if path is not None]
    assert sorted(path.read_bytes() for path in kept) == [b"e1", b"s"]
    assert "KeyError" in "".join(path.with_suffix(".txt").read_text() for path in kept)
    again = Runner(BROKEN, None)
    again.one(kept[0].read_bytes())
    assert again.account.findings


def test_the_same_seed_gives_the_same_inputs() -> None:
    for target in (documents.TARGET, names.TARGET, urls.TARGET):
        one, other, third = ([*itertools.islice(inputs(target, seed), 90)] for seed in (5, 5, 6))
        assert one == other
        assert one != third


def test_time_is_bounded() -> None:
    with pytest.raises(TooSlow), within(0.05):
        while True:
            pass


def test_mutators_take_anything() -> None:
    chance = Random(3)
    for target in (*TARGETS.values(), BROKEN):
        for data in (b"", b"\0", b"\xff" * 9, b"{", b"[]", b"PK\x03\x04", b"\x80\x04."):
            for _ in range(40):
                assert isinstance(target.mutate(data, chance), bytes)


def test_a_child_that_waits_in_vain_is_tried_again(tmp_path: Path) -> None:
    def once() -> None:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            time.sleep(60)

    codec_files.survived(once, seconds=1)
    with pytest.raises(AssertionError, match="killed by signal 14"):
        codec_files.survived(lambda: time.sleep(60), seconds=1, tries=1)


def test_no_change_makes_much_more_of_an_input() -> None:
    chance = Random(4)
    data = pickle.dumps({"large": b"x" * (MAX_INPUT // 3), "small": [1, 2, 3]})
    longest = max(len(change_pickle(data, chance, pickles.PARTS)) for _ in range(2000))
    assert len(data) < longest <= len(data) + MAX_INPUT
