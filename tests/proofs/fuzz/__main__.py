"""``python -m tests.proofs.fuzz [--minutes 10] [--target json|references|urls|pickles|codecs|all] [--seed N]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from tests.proofs.fuzz.running import MAX_INPUT, Runner, Target, bound_memory, inputs, peak_megabytes

TARGETS = {
    "json": "tests.proofs.fuzz.documents",
    "references": "tests.proofs.fuzz.names",
    "urls": "tests.proofs.fuzz.urls",
    "pickles": "tests.proofs.fuzz.pickles",
    "codecs": "tests.proofs.fuzz.codec_files",
}
FIRST = ("json", "references", "urls", "pickles", "codecs")
HERE = Path(__file__).resolve().parents[3]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.fuzz", description="Search for inputs that are not handled."
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--target", choices=(*TARGETS, "all"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("atheris", "own"), help="default: atheris where it is installed")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="a folder; made when needed")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    parser.add_argument("--report", type=Path, help="where to write the account of one target", default=None)
    options = parser.parse_args()
    if options.report is not None:
        return child(options)
    names = FIRST if options.target == "all" else (options.target,)
    accounts = []
    for name in names:
        accounts.append(parent(name, options))
        if not options.json:
            print("\n".join(lines(accounts[-1])), flush=True)
    if options.json:
        print(json.dumps({"targets": accounts}))
    return 0 if all(is_sound(account) for account in accounts) else 1


def parent(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one target in a process of its own, which may be killed by what it reads, and return its account."""
    engine = options.engine or ("atheris" if find_spec("atheris") and name != "codecs" else "own")
    print(f"{name}: {options.minutes:g} minutes with {engine}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [
            *(sys.executable, "-m", "tests.proofs.fuzz", "--target", name, "--minutes", str(options.minutes)),
            *("--seed", str(options.seed), "--engine", engine, "--report", str(report)),
            *("--findings", str(options.findings.absolute())),
        ]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, errors="replace", check=False)
        account = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    known = {"target": name, "engine": engine, "seed": options.seed}
    return known | account | ({} if account.get("finished") else {"died": done.returncode, "said": done.stderr[-3000:]})


def is_sound(account: Mapping[str, Any]) -> bool:
    """Tell whether a target came to its end, and nothing was found."""
    return bool(account.get("finished")) and not account["findings"]


def lines(account: Mapping[str, Any]) -> Iterator[str]:
    """Yield the account of one target, for people."""
    rate = account.get("inputs", 0) / max(account.get("seconds", 0), 0.001)
    yield (
        f"{account['target']} ({account['engine']}, seed {account['seed']}): {account.get('inputs', 0):,} inputs, "
        f"{rate:,.0f} a second, {len(account.get('outcomes', {}))} outcomes, {len(account.get('findings', {}))} "
        f"findings, slowest {account.get('slowest', 0)} s, peak {account.get('peak_megabytes', 0):.0f} MB "
        f"(+{account.get('grown_megabytes', 0):.0f})"
    )
    for outcome, count in account.get("outcomes", {}).items():
        yield f"    {count:>10,}  {outcome}"
    for place, file in account.get("findings", {}).items():
        yield f"    FINDING {place}: {file}"
    if "died" in account:
        yield f"    the process ended early ({account['died']}):\n{account['said']}"


def child(options: argparse.Namespace) -> int:
    """Run one target here for its time, and write down what became of it, now and then and at the end."""
    if options.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["artifact_store"]):
            target = load(options.target)
    else:
        target = load(options.target)
    runner = Runner(target, options.findings)
    for data in target.corpus():
        runner.one(data)
    begun, before = time.monotonic(), peak_megabytes()
    bound_memory()

    def write(*, finished: bool) -> None:
        memory = {"peak_megabytes": peak_megabytes(), "grown_megabytes": peak_megabytes() - before}
        account = runner.account.as_json() | memory | {"finished": finished}
        options.report.write_text(json.dumps(account), encoding="utf-8")

    def over() -> bool:
        if runner.account.inputs % 1000 == 0:
            write(finished=False)
        return time.monotonic() - begun > options.minutes * 60

    if options.engine == "atheris":
        guided(runner, over, write, options.seed)
    for data in inputs(target, options.seed):
        runner.one(data)
        if over():
            break
    write(finished=True)
    return 0


def guided(runner, over, write, seed: int) -> None:
    """Let libFuzzer choose inputs by what they reach; does not return."""
    import os

    import atheris

    corpus = Path(tempfile.mkdtemp(prefix="fuzz-corpus-"))
    first = runner.target.corpus()
    for number, data in enumerate(first):
        (corpus / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        runner.one(data)
        if over():
            write(finished=True)
            os._exit(0)

    def change(data: bytes, largest: int, chosen: int) -> bytes:
        chance = Random(chosen)
        if chance.random() < 0.1:
            return atheris.Mutate(data, largest)
        if chance.random() < 0.5:  # what reaches much is mostly broken; sound inputs with one change go deeper
            data = chance.choice(first)
        return runner.target.mutate(data, chance)[:largest]

    corpus.joinpath("kept").mkdir()
    flags = [
        f"-seed={seed + 1}",
        f"-max_len={MAX_INPUT}",
        f"-artifact_prefix={corpus}/kept/",
        "-timeout=1200",
        "-rss_limit_mb=0",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one, custom_mutator=change)
    atheris.Fuzz()


def load(name: str) -> Target:
    found: Target = import_module(TARGETS[name]).TARGET
    return found


if __name__ == "__main__":
    sys.exit(main())
