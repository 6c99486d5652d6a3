"""Programs that start: imports, and the command line. Several in a turn, each a new process."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.place import Place
from benchmarks.work import Work, repeated

PROGRAMS = {
    "nothing": "pass",
    "store": "from artifact_store import ArtifactStore",
    "pydantic": "import pydantic\nclass Model(pydantic.BaseModel):\n    a: int = 1\n    b: str = ''",
    "version": "import sys\nsys.argv = ['artifact-store', '--version']\nfrom artifact_store.cli import main\nmain()",
    "click": "import click",
}


def started(_: Place, *, program: str, times: int) -> Work:
    """Run a program to its end, so often."""
    command = [sys.executable, "-c", PROGRAMS[program]]
    return repeated(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), times)
