"""The best model of a walk-forward where old programs look for it: ``metadata/best_wf_gru_BTCEUR.pt`` and its parts.

All of them are copies of files in the folder of an exported run. Only such copies are replaced: any other file
was not written by an export, and stays.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path
from typing import Final

from artifact_store import private_files
from artifact_store.core.names import ModelKey
from artifact_store.errors import InvalidOption
from artifact_store.legacy.trees import file_names
from artifact_store.storage.staging import folder_in

MODEL_FILE: Final = {"gru": "model.pth", "lightgbm": "model.pkl", "ppo": "model.zip"}
"""What the model is called in the folder of a run, by its type."""
_OTHER_SUFFIXES: Final = frozenset({".pth", ".joblib"})
"""Those that a best model may have, and is not written with."""
_BESIDE: Final = {
    "_preprocessor.pkl": "preprocessor.pkl",
    "_vecnormalize.pkl": "model_vecnormalize.pkl",
    "_metadata.json": "model_metadata.json",
}
"""What comes behind ``best_wf_gru_BTCEUR``, and what it is called in the folder of a run."""


def check_replaceable(key: ModelKey, home: Path) -> None:
    """Refuse to replace what no export wrote. ``home`` is the folder of the runs of the model.

    Raises:
        InvalidOption: there is such a file; nothing is changed.
    """
    for path, name in _places(key, home):
        copied = any(_are_same(path, other / name) for other in (home.iterdir() if home.is_dir() else ()))
        if os.path.lexists(path) and not copied:
            raise InvalidOption(
                f"{path} exists, and is not a copy of an exported run: it is not overwritten. Move it "
                "out of the way, or export the run by its id"
            )


def write_best(key: ModelKey, home: Path, run: Path) -> None:
    """Copy the files of the run's folder to where the best model is looked for.

    The old model goes first and the new one comes last, so that a crash leaves no best model, and never the parts of
    two.
    """
    places = [(path, run / name) for path, name in _places(key, home)]
    wanted = [(path, source) for path, source in places if source.is_file() and path.suffix not in _OTHER_SUFFIXES]
    if all(_are_same(*each) for each in wanted) and len(wanted) == sum(path.exists() for path, _ in places):
        return
    folder = _folder(key, home)
    private_files.make_folder(folder)
    with folder_in(folder) as staging:
        for path, source in wanted:
            shutil.copyfile(source, staging / path.name)
        private_files.keep_others_from_writing(staging)
        for path, _ in places:
            path.unlink(missing_ok=True)
        for path, _ in reversed(wanted):
            (staging / path.name).replace(path)


def _places(key: ModelKey, home: Path) -> list[tuple[Path, str]]:
    """Return where each file of a best model may be, the model first, and what it is called in the folder of a run."""
    stem = "_".join((file_names.BEST_WF, key.model_type, *([home.name] if key.symbol else [])))
    ends = dict.fromkeys(file_names.FAMILIES[key.model_type], MODEL_FILE[key.model_type]) | _BESIDE
    return [(_folder(key, home) / (stem + end), name) for end, name in ends.items()]


def _folder(key: ModelKey, home: Path) -> Path:
    return (home.parent if key.symbol else home).parent / file_names.BESTS


def _are_same(path: Path, other: Path) -> bool:
    """Tell whether both are files, and hold the same bytes."""
    files = path.is_file() and other.is_file() and not path.is_symlink()
    return files and filecmp.cmp(path, other, shallow=False)
