"""The process of one way: it is prepared once and then timed turn by turn, as JSON lines on standard input ask for.

Runs in the environment of the way, which may be that of another program: it needs the standard library only. What a way
prints goes to standard error, the answers to standard output. With ``--once`` it does one turn and ends: its driver
measures the whole process, from its start to its end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.place import Place
from benchmarks.work import LeftOut, Work

STATUS = Path("/proc/self/status")


def named(function: str) -> Any:
    """Return the function of ``module:function``."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)


def prepared(asked: Mapping[str, Any]) -> Any:
    """Return what the function that was asked for makes of its place and its arguments."""
    return named(asked["function"])(Place(**asked["place"]), **asked["arguments"])


def memory_mib(field: str) -> float:
    """Return a field of what Linux says of this process's memory; nothing elsewhere."""
    if not STATUS.exists():
        return 0.0
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the children that it waited for."""
    told = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in told)


def timed(work: Work, turn: int) -> dict[str, float]:
    """Do one turn, and return its figures: seconds, those of CPU (children too), and memory above what was held."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5", encoding="ascii")  # the peak begins anew
    held = memory_mib("VmRSS")
    cpu, began = cpu_seconds(), time.perf_counter()
    figures = work.run(turn)
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    extra = max(0.0, memory_mib("VmHWM") - held)
    return {"seconds": seconds, "cpu": cpu, "extra_mib": extra, "per": work.per, **(figures or {})}


def serve(asked: Mapping[str, Any], answer: Any) -> None:
    """Prepare, and do what is asked until nothing more comes."""
    work: Work = prepared(asked)
    answer({"ready": True})
    steps = {"before": work.before, "after": work.after}
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "run":
            answer(timed(work, order["turn"]))
        else:
            steps[order["do"]](order["turn"])
            answer({})


def main() -> None:
    """Serve, do one turn, or prepare alone (``--fill``) and answer what that returned."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: Mapping[str, Any]) -> None:
        channel.write(json.dumps(value) + "\n")
        channel.flush()

    try:
        asked = json.loads(sys.stdin.readline())
        if sys.argv[1:] == ["--once"]:
            prepared(asked).run(asked["turn"])
            answer({})
        elif sys.argv[1:] == ["--fill"]:
            answer({"facts": prepared(asked) or {}})
        else:
            serve(asked, answer)
    except (LeftOut, ImportError) as error:
        answer({"left_out": str(error)})
        sys.exit(3)


if __name__ == "__main__":
    main()
