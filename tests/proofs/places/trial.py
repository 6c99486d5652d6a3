"""What is tried on a place, by clients in processes of their own, and how that compares with what was predicted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.proofs.places.place import Opened, Place
from tests.proofs.places.room import ROOT

SAFE, SINGLE, REFUSED = "safe", "single-writer", "refused"
WITHIN = 420.0
STEPS = 40  # more storage operations than a save has
Task = tuple[str, dict[str, Any]]
Told = dict[str, Any]


class Broken(Exception):
    """A client ended in a way that it should not have; the text says how."""


@dataclass
class Row:
    """What was seen at one place. ``wrong`` is what contradicts the prediction or a promise, and was not expected."""

    name: str
    title: str
    day: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")
    version: str = ""
    engine: str = ""
    not_run: str = ""
    predicted: str = ""
    mode: str = ""
    refusal: str = ""
    creates: str = ""
    swaps: str = ""
    kills: str = ""
    large: str = ""
    doctor: list[str] = field(default_factory=list)
    gaps: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Size:
    """How much is tried."""

    processes: int = 4
    threads: int = 2
    runs: int = 6
    each: int = 6


def try_out(place: Place, opened: Opened, size: Size) -> Row:
    """Find out what the place does, and compare it with what is said of it."""
    expected = {what: f"{why} (not seen this time)" for what, why in place.gaps.items()}
    row = Row(place.name, place.title, version=opened.version, gaps=expected)
    trial = _Trial(place, opened, size, row)
    try:
        trial.run()
    except Broken as error:
        trial.note("works", str(error))
    return row


class _Trial:
    def __init__(self, place: Place, opened: Opened, size: Size, row: Row) -> None:
        self._place, self._opened, self._size, self._row = place, opened, size, row
        self._arguments: Mapping[str, Any] = opened.arguments

    def note(self, what: str, text: str) -> None:
        """Take down what contradicts a promise: a gap where it was expected, wrong elsewhere."""
        text = _shown(text)
        if what in self._place.gaps:
            self._row.gaps[what] = f"{self._place.gaps[what]} (seen: {text})"
        else:
            self._row.wrong.append(f"{what}: {text}")

    def run(self) -> None:
        self._begin()
        if self._row.mode == REFUSED:
            return
        if self._opened.shared:
            self._race()
            self._kill()
            self._large()
        else:
            self._alone()

    # ---- prediction, and how a store opens

    def _begin(self) -> None:
        """Open the store for several writers, or else for one, and compare that with what is said of the place."""
        row = self._row
        (promised,) = self._client(("predict", {}))
        if "refused" in promised:  # before a request is sent: there is nothing to compare
            row.mode = row.predicted = REFUSED
            row.refusal = _shown(f"{promised['refused']}: {promised['text']}")
            return
        row.engine = promised["engine"]
        (told,) = self._client(("begin", {}))
        row.mode = SAFE
        if not told["made"]:
            row.refusal = _shown(f"{told['code']}: {told['text']}")
            if told["code"] not in {"conditions-unsupported", "unsupported"}:
                self.note("refusal", row.refusal)
            self._arguments = {**self._arguments, "concurrency": SINGLE}
            (told,) = self._client(("begin", {}))
            row.mode = SINGLE if told["made"] else REFUSED
        if row.mode == REFUSED:
            row.predicted = SAFE if promised["able"] else SINGLE
            row.refusal = _shown(f"{told['code']}: {told['text']}")
            self.note("prediction", f"predicted {row.predicted}, seen {row.mode}")
            return
        row.doctor = sorted(told["findings"])
        row.predicted = SAFE if promised["able"] and _conditions_hold(told, row.mode) else SINGLE
        if not told["loaded"] or told["probed"] != (row.mode == SAFE):
            self.note("begin", f"the first save did not come back, or guarantees are wrong about the probe: {told}")
        if row.mode != row.predicted:
            self.note("prediction", f"predicted {row.predicted}, seen {row.mode}")

    # ---- races, kills, large files

    def _alone(self) -> None:
        """Try everything in one process, where no other one sees the bytes."""
        names = [_run_id(number) for number in range(self._size.runs)]
        threads = self._size.processes * self._size.threads
        start = time.time()
        tasks: list[Task] = [
            ("begin", {}),
            ("creates", {"name": "p", "threads": threads, "runs": names, "start": start}),
            ("swaps", {"name": "p", "threads": threads, "each": self._size.each, "start": start}),
            ("look", {}),
            ("large", {}),
            ("back", {}),
        ]
        _, created, swapped, seen, saved, loaded = self._client(*tasks)
        self._judge_races([created], [swapped], seen)
        self._judge_large(saved, loaded)
        self._row.kills = "the bytes end with the process"

    def _race(self) -> None:
        several = self._row.mode == SAFE
        processes, threads = (self._size.processes, self._size.threads) if several else (1, 1)
        names = [_run_id(number) for number in range(self._size.runs)]
        start = time.time() + 6.0
        with ThreadPoolExecutor(processes) as pool:
            jobs = [
                pool.submit(
                    self._client,
                    ("creates", {"name": f"p{number}", "threads": threads, "runs": names, "start": start}),
                    ("swaps", {"name": f"p{number}", "threads": threads, "each": self._size.each, "start": 0.0}),
                )
                for number in range(processes)
            ]
            told = [job.result() for job in jobs]
        (seen,) = self._client(("look", {}))
        self._judge_races([created for created, _ in told], [swapped for _, swapped in told], seen)

    def _judge_races(self, created: Sequence[Told], swapped: Sequence[Told], seen: Told) -> None:
        row = self._row
        acks = [tuple(ack) for told in created for ack in told["created"]]
        lost = [ack for ack in acks if seen["kept"].get(ack[0]) != ack[1]]
        unheard = sum(len(told["other"]) for told in created)
        row.creates = f"{len(acks)} acknowledged, {len(lost)} lost" + f", {unheard} not acknowledged" * bool(unheard)
        if lost or not acks:
            self.note("creates", row.creates)
        swaps = [tuple(ack) for told in swapped for ack in told["swapped"]]
        history = {tuple(entry) for entry in seen["history"]}
        gone = [ack for ack in swaps if ack not in history]
        unheard = sum(len(told["other"]) for told in swapped)
        row.swaps = f"{len(swaps)} acknowledged, {len(gone)} lost" + f", {unheard} not acknowledged" * bool(unheard)
        if gone or not swaps:
            self.note("swaps", row.swaps)
        if [entry[0] for entry in seen["history"]] != list(range(1, len(seen["history"]) + 1)):
            self.note("swaps", "the history has a gap")
        if seen["errors"]:
            self.note("doctor", "; ".join(seen["errors"]))

    def _kill(self) -> None:
        deaths, tasks = 0, []
        for at in range(STEPS):
            told, status = self._process(*tasks, ("kill", {"at": at}))
            if tasks and not any(line.get("sound") for line in told):
                raise Broken(f"after a kill before operation {at - 1} of a save: {_last(told)}")
            if status == 0:
                break
            if status != -signal.SIGKILL:
                raise Broken(f"a save that was to be killed ended otherwise ({status}): {_last(told)}")
            deaths += 1
            tasks = [("sound", {"n": at})]
        self._client(("sound", {"n": STEPS}))
        self._row.kills = f"{deaths} deaths, sound after each"

    def _large(self) -> None:
        (saved,) = self._client(("large", {}))
        (loaded,) = self._client(("back", {}))
        self._judge_large(saved, loaded)

    def _judge_large(self, saved: Told, loaded: Told) -> None:
        whole = saved["saved"] == loaded["loaded"]
        self._row.large = "20 MiB came back whole" if whole else "20 MiB came back damaged"
        if not whole:
            self.note("large", self._row.large)

    # ---- clients

    def _client(self, *tasks: Task) -> list[Told]:
        """Do the tasks in a process of their own, all of them, and return what it told."""
        told, status = self._process(*tasks)
        if status or len(told) != len(tasks):
            raise Broken(f"{tasks[min(len(told), len(tasks) - 1)][0]} ended with {status}: {_last(told)}")
        return told

    def _process(self, *tasks: Task) -> tuple[list[Told], int]:
        words = [json.dumps(self._arguments), *map(json.dumps, tasks)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_"))}
        try:
            done = subprocess.run(
                [str(self._opened.python), "-m", "tests.proofs.places.worker", *words],
                cwd=ROOT,
                env=kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "models")])},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=WITHIN,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Broken(f"{tasks[0][0]} did not end within {WITHIN:.0f} s") from error
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode and not told:
            told = [{"text": " | ".join(done.stderr.strip().splitlines()[-2:])}]
        return told, done.returncode


def _conditions_hold(told: Told, mode: str) -> bool:
    """Return what ``doctor`` says of conditional writes here; in a store for one writer a note says that they hold."""
    state = told["facts"].get("conditions")
    return state == "fine" if mode == SAFE else told["findings"].get("conditions") == "note"


def _run_id(number: int) -> str:
    return f"20240101_{number:06d}"


def _shown(text: str) -> str:
    """Return the text without what is another one in each run: ports, temporary folders."""
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/place-[^/\s]+", "…", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", text)


def _last(told: Sequence[Told]) -> str:
    return str(told[-1].get("text", told[-1]))[:400] if told else "it said nothing"
