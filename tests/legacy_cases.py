"""Old model trees that tests read: small models, really trained, written as the old pipeline wrote them.

``data/legacy/manifest.json`` has a row for each case, ``data/legacy/expected`` its inputs and outputs, and
``data/legacy/links.json`` the symbolic links of the trees, which no checkout needs to hold. All pickles in there are
harmless.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "legacy"


@dataclass(frozen=True)
class LegacyCase:
    """One old model and what it has to predict. ``row`` is the whole row of the manifest."""

    name: str
    model_type: str
    path: str
    """The model file, relative to a copied tree's parent: ``trees/main/models/gru/...``, POSIX."""
    symbol: str | None
    run_id: str
    tolerance: float
    columns: tuple[str, ...]
    row: dict[str, Any]

    @property
    def tree(self) -> str:
        """``main``, or ``windows``."""
        return self.path.split("/")[1]

    @property
    def file(self) -> Path:
        """The model file in the data of the tests, only to be read."""
        return DATA / self.path

    @property
    def relative(self) -> str:
        """The model file relative to the root of its tree (the folder ``models``), POSIX."""
        return self.path.split("/", 3)[3]

    def beside(self, name: str) -> Path:
        """A file in the same folder."""
        return self.file.with_name(name)

    def expected(self) -> dict[str, Any]:
        """All arrays of the case: inputs and outputs."""
        import numpy as np

        with np.load(DATA / self.row["expected"], allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def frame(self) -> Any:
        """The input of a GRU or LightGBM case as a pandas frame, categories as text."""
        import pandas as pd

        arrays = self.expected()
        frame = pd.DataFrame(arrays["X"], columns=[str(name) for name in arrays["columns"]])
        for name, values in arrays.items():
            if name.startswith("cat__"):
                frame[name.removeprefix("cat__")] = [str(value) for value in values]
        return frame


def _cases() -> dict[str, LegacyCase]:
    rows = json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))["cases"]
    return {
        row["case"]: LegacyCase(
            name=row["case"],
            model_type=row["type"],
            path=row["path"],
            symbol=row["symbol"],
            run_id=row["run_id"],
            tolerance=row["tolerance"],
            columns=tuple(row["query_columns"]),
            row=row,
        )
        for row in rows
    }


CASES = _cases()
REFUSED = "gru_custom_class_preprocessor"
"""The case whose preprocessor is of a class of an old project: its network loads, its preprocessor is refused."""


def of_type(model_type: str) -> list[LegacyCase]:
    """The cases of one family."""
    return [case for case in CASES.values() if case.model_type == model_type]


def links(tree: str = "main") -> dict[str, str]:
    """The links of a tree: path relative to its root, and target, exactly as it was written."""
    every = json.loads((DATA / "links.json").read_text(encoding="utf-8"))
    prefix = f"trees/{tree}/models/"
    return {path.removeprefix(prefix): target for path, target in every.items() if path.startswith(prefix)}


def old_tree(target: Path, tree: str = "main") -> Path:
    """Make a fresh copy of a whole tree below ``target``, and return its root, the folder ``models``.

    ``latest`` is a symbolic link where the platform can make one, and else a ``latest_pointer.txt``, which the old
    pipeline wrote in that case.
    """
    root = target / "models"
    shutil.copytree(DATA / "trees" / tree / "models", root)
    for path, aim in links(tree).items():
        link = root / path
        try:
            link.symlink_to(aim, target_is_directory=True)
        except (OSError, NotImplementedError):  # Windows without the privilege
            link.with_name("latest_pointer.txt").write_text(aim, encoding="utf-8")
    return root
