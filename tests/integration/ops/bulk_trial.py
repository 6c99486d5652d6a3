"""Work whose worker can be killed: what a pool of processes imports in a test, and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path

from artifact_store import ArtifactStore
from artifact_store.bulk.work import Work
from artifact_store.errors import Unavailable


@contextmanager
def asking(store: ArtifactStore, *, folder: str) -> Iterator[Callable[[str], str]]:
    """Answer for a thing, and note in ``folder`` that it was asked; one thing kills who is asked."""

    def ask(thing: str) -> str:
        with (Path(folder) / "asked").open("a") as file:
            file.write(f"{thing}\n")
        if thing == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        if thing == "outage" and not (Path(folder) / "repaired").exists():
            raise Unavailable("the storage does not answer")
        return f"{thing} of {Path(store.url).name}"

    yield ask


TRIAL: Work[ArtifactStore, str] = Work(
    "trial",
    opened=methodcaller("open"),
    asking=asking,
    to_json=str,
    from_json=str,
    lasting=str.islower,
    holds=lambda *_: True,
    lost="LOST {}: {}".format,
)
