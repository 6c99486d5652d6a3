"""A fresh process that loads what another one saved: ``python -m tests.zoo.loading QUESTION``. Prints JSON."""

from __future__ import annotations

import json
import sys
import warnings
from importlib.abc import MetaPathFinder
from pathlib import Path


class Missing(MetaPathFinder):
    """Finds no module of some libraries, as if they were not installed. Compiled code asks for modules in other ways
    than Python, and takes ``None`` in ``sys.modules`` for one.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Raise ``ModuleNotFoundError`` for one of them."""
        del path, target
        if fullname in self._names:
            raise ModuleNotFoundError(f"{fullname} is not to be had here", name=fullname)


def main(question: str) -> int:
    """Answer the question in a file: which store, which makings, and which libraries cannot be imported."""
    asked = json.loads(Path(question).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, Missing(frozenset(asked["without"])))
    warnings.simplefilter("ignore")

    from artifact_store import ArtifactStore
    from tests.zoo.trial import loaded

    store = ArtifactStore(asked["store"])
    print(json.dumps([loaded(store, **one) for one in asked["loads"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
