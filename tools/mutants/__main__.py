"""The command: ``python -m tools.mutants``."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from tools.mutants.baseline import Baseline, Kept, Stale
from tools.mutants.project import Candidate, Project
from tools.mutants.report import Report, Tried, accepted_reason
from tools.mutants.trial import SEED, Ended, Result, Server, ending, enter, load_libraries

HERE = Path(__file__).parent
_OFTEN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants, print the report, and return 1 if a group stays under the threshold."""
    asked = _parser().parse_args(arguments)
    project = Project.read(asked.project)
    project.kept_in.mkdir(parents=True, exist_ok=True)
    last = project.kept_in / "report.json"
    candidates = project.candidates()
    chosen = _chosen(candidates, asked)
    known = dict(_known(project, chosen, last)) if asked.again else {}
    tried = [Tried(each, known[each.number]) for each in chosen if each.number in known]
    enter(project)
    load_libraries(project)
    servers = [_start(Server(project, candidates, list(project.modules()))) for _ in range(asked.jobs)]
    try:
        kept = Kept(project, project.kept_in / "baseline.json")
        _learn(servers, kept)
        baseline = Baseline(project, kept.tests())
        _say(f"{len(chosen)} of {len(candidates)} mutants ({len(known)} are known), {len(baseline)} tests")
        left = [each for each in chosen if each.number not in known]
        random.Random(asked.seed).shuffle(left)  # noqa: S311 -- so that what is done at any moment is a sample, too
        for each in _tried(project, servers, baseline, left):
            tried += _counted(each)
            if len(tried) % _OFTEN == 0:
                _keep(project, tried, last)
    except (Stale, Ended) as error:
        _say(str(error))
        return 2
    finally:
        for server in servers:
            with suppress(OSError):  # it has ended, which was told
                server.send(None)
    report = Report(project, sorted(tried, key=lambda each: each.candidate.number))
    _keep(project, tried, last)
    if asked.json:
        print(json.dumps(report.to_json()))
    else:
        print("\n".join(report.lines()))
    if len(chosen) == len(candidates):
        for entry in report.needless():
            _say(f"accepted for nothing: {entry}")
    return 0 if report.good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants, chosen by the seed, instead of all")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the sample ({SEED})")
    parser.add_argument(
        "--file", metavar="TEXT", action="append", help="of these, only those in files with TEXT in their path"
    )
    parser.add_argument("--again", action="store_true", help="try only what the last report does not know as killed")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that try mutants (1)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--project", type=Path, default=HERE / "project.toml", help=argparse.SUPPRESS)
    return parser


def _chosen(candidates: Sequence[Candidate], asked: argparse.Namespace) -> list[Candidate]:
    chosen = list(candidates)
    if asked.sample is not None and asked.sample < len(chosen):
        sample = random.Random(asked.seed).sample(chosen, asked.sample)  # noqa: S311 -- guards nothing
        chosen = sorted(sample, key=lambda each: each.number)
    return [each for each in chosen if asked.file is None or any(text in each.module.file for text in asked.file)]


def _keep(project: Project, tried: Sequence[Tried], last: Path) -> None:
    """Write what is known by now."""
    value = Report(project, tried).to_json() | {"sources": project.sources()}
    last.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _known(project: Project, chosen: Sequence[Candidate], last: Path) -> Iterator[tuple[int, Result]]:
    """Yield what the last report saw killed, of sources that are still the same: more tests kill no less."""
    report = json.loads(last.read_text(encoding="utf-8"))
    sources = project.sources()
    found = {
        (each["number"], each["file"]): Result(each["outcome"], each["by"])
        for each in report["mutants"]
        if each["outcome"] != "survived" and report["sources"].get(each["file"]) == sources.get(each["file"])
    }
    for each in chosen:
        if (result := found.get((each.local, each.module.file))) is not None:
            yield each.number, result


def _start(server: Server) -> Connection:
    ours, theirs = Pipe()
    if os.fork() == 0:
        ours.close()
        with ending():
            server.serve(theirs)
    theirs.close()
    return ours


def _learn(servers: Sequence[Connection], kept: Kept) -> None:
    """Have the servers run every file of tests about which something has to be learned, without any change."""
    stale = kept.stale()
    if not stale:
        return
    _say(f"running {len(stale)} files of tests without any change, to learn which lines they run")
    waiting = iter(stale)
    busy: dict[Connection, str] = {}

    def give(server: Connection) -> None:
        if file := next(waiting, ""):
            busy[server] = file
            server.send([file])

    for server in servers:
        give(server)
    while busy:
        for server in _ready(busy):
            kept.add(busy.pop(server), _answer(server))
            give(server)


def _answer(server: Connection) -> Any:
    answer = server.recv()
    if isinstance(answer, Ended):
        raise answer
    return answer


def _ready(busy: Mapping[Connection, object]) -> list[Connection]:
    """Wait until some of the servers have an answer."""
    return [server for server in wait(list(busy)) if isinstance(server, Connection)]


def _tried(
    project: Project, servers: Sequence[Connection], baseline: Baseline, chosen: Sequence[Candidate]
) -> Iterator[Tried]:
    """Give each server the next mutant whenever it has done one, and yield what comes of them."""
    waiting = iter(chosen)
    busy: dict[Connection, Candidate] = {}
    start, done = time.monotonic(), 0

    def give(server: Connection) -> Iterator[Tried]:
        for candidate in waiting:
            if reason := accepted_reason(project, candidate):
                yield Tried(candidate, Result("survived", "not tried"), reason)
                continue
            if wanted := baseline.tests_for(candidate):
                busy[server] = candidate
                server.send((candidate.number, wanted))
                return
            yield Tried(candidate, Result("survived", "no test runs it"))

    for server in servers:
        yield from give(server)
    while busy:
        for server in _ready(busy):
            candidate, result = busy.pop(server), _answer(server)
            done += 1
            baseline.learn_from(candidate, result.by)
            if done % 100 == 0:
                _say(f"{done} of {len(chosen)} in {time.monotonic() - start:.0f} s: {candidate.module.file}")
            yield Tried(candidate, result)
            yield from give(server)


def _counted(tried: Tried) -> list[Tried]:
    """Return the mutant, unless it is none, and show it if no test saw it."""
    if tried.result.outcome != "survived" or tried.accepted:
        return [tried]
    if tried.candidate.is_none():
        return []
    _say("\n".join(tried.lines()))
    return [tried]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
