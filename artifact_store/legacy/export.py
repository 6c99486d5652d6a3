"""Write a run in the form of the old trees, for programs that still read it.

The files of the models are pickles in that form, and loading a pickle runs whatever is in it: so none is written unless
the caller says so. What is written is made with the libraries' own means, and reads again as the same model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from artifact_store import private_files
from artifact_store.core.grammar import RUN_ID
from artifact_store.core.names import ModelKey
from artifact_store.core.portable import why_not_on_windows
from artifact_store.errors import InvalidOption, Unsupported
from artifact_store.features.schema import FeatureSchema
from artifact_store.legacy import old_objects
from artifact_store.legacy.best_model import MODEL_FILE, check_replaceable, write_best
from artifact_store.legacy.trees import file_names
from artifact_store.run import Run
from artifact_store.storage.staging import folder_in

_VECNORMALIZE_FILE: Final = "model_vecnormalize.pkl"
_PREPROCESSOR_FILE: Final = "preprocessor.pkl"
_LINK, _POINTER = "latest", "latest_pointer.txt"
_NOTES: Final = "metadata.json"


def export_run(run: Run, directory: str | Path, *, pickles: bool = False, alias: str | None = None) -> Path:
    """Write ``run`` below ``directory``, the folder ``models`` of an old tree, and return the run's own folder.

    The folder of the model is called like its symbol, or, if no folder can have that name everywhere, as keys spell
    it. The folder of the run is new, and appears whole or not at all; then ``latest`` of its model names it, as the
    old trainer did: by a symbolic link, or by ``latest_pointer.txt`` where the platform makes none. Where an earlier
    export of the same run wrote the folder, and ``latest`` names another, only ``latest`` is changed.

    ``alias`` is the one that the run was found by. What is ``best_wf`` is written once more where old programs look
    first, as ``metadata/best_wf_{type}_{symbol}`` with what belongs to it, and a ``latest`` that is there stays as it
    is. A ``best_wf`` of an earlier export gives way; any other is never touched.

    Raises:
        InvalidOption: files would be pickles and ``pickles`` is not set; or something is there already. Nothing is
            written.
        Unsupported: old trees hold no models of this type or symbol, or no model with such a part.
        SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature. Nothing is written.
        Corrupt, RiskRefused, CodecUnavailable: as for :meth:`~artifact_store.Run.load`.
    """
    run.check_signature()
    if run.key.model_type not in MODEL_FILE:
        raise Unsupported(f"old trees hold models of the types {', '.join(MODEL_FILE)}; {run.ref} is of another type")
    if run.key.model_type == "ppo" and file_names.PREPROCESSOR in run.components:
        raise Unsupported(f"old trees hold no preprocessor beside an agent; {run.ref} predicts with one")
    dangerous = _pickles(run)
    if not pickles:
        raise InvalidOption(
            f"{', '.join(dangerous)} of {run.ref} would be pickles, which run code when they are loaded; nothing was "
            "written. For the old form all the same: pickles=True, or --pickles"
        )
    home = Path(directory, run.key.model_type, *([_folder_of(run.key.symbol)] if run.key.symbol else []))
    target, link = home / run.run_id, home / _LINK
    if link.exists() and not link.is_symlink():
        raise InvalidOption(f"{link} is not a link, and cannot be changed to name this run; move it out of the way")
    if alias == file_names.BEST_WF:
        check_replaceable(run.key, home)
        if not _is_written(run, target):
            _write(run, home, target)
        write_best(run.key, home, target)
        if any(os.path.lexists(home / name) for name in (_LINK, _POINTER)):
            return target
    elif _is_latest(home, target) or not _is_written(run, target):  # else it was killed before, or another one came
        _write(run, home, target)
    _name_latest(home, target)
    return target


def _folder_of(symbol: str) -> str:
    """Return the folder of a symbol: one name, not that of a run, that is not read as another symbol.

    Raises:
        Unsupported: it is a name by which old trees say which run is the latest.
    """
    if symbol.casefold() in {_LINK, _POINTER}:
        raise Unsupported(f"{_LINK} and {_POINTER} are the names of pointers in old trees, which hold no such symbol")
    is_folder = "/" not in symbol and not symbol.startswith(".") and why_not_on_windows(symbol) is None
    is_itself = is_folder and not RUN_ID.fullmatch(symbol) and file_names.symbol_of(symbol) == symbol
    return symbol if is_itself else ModelKey.spell(symbol)


def _write(run: Run, home: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise InvalidOption(f"{target} is there already, and nothing is overwritten")
    private_files.make_folder(home)
    with folder_in(home) as staging:
        folder = staging / run.run_id
        folder.mkdir()
        _WRITERS[run.key.model_type](run, folder)
        _write_json(folder / "config.json", _plain(run)["config"])
        _write_json(folder / _NOTES, _notes(run))
        # they are pickles: a user who can write to them can run code when they are read
        private_files.keep_others_from_writing(folder)
        folder.rename(target)


def _pickles(run: Run) -> list[str]:
    found = [MODEL_FILE[run.key.model_type]]
    found += [_PREPROCESSOR_FILE] if file_names.PREPROCESSOR in run.components else []
    found += [_VECNORMALIZE_FILE] if file_names.VECNORMALIZE in run.components else []
    return found


def _is_written(run: Run, target: Path) -> bool:
    """Tell whether an export of this run wrote its folder: the notes in it are the last files."""
    return not target.is_symlink() and _holds(target / _NOTES, _json(_notes(run)))


def _is_latest(home: Path, target: Path) -> bool:
    """Tell whether ``latest`` names the run already, in either form."""
    link = home / _LINK
    if link.is_symlink():
        return link.readlink().name == target.name
    return not link.exists() and _holds(home / _POINTER, str(target).encode())


def _holds(path: Path, data: bytes) -> bool:
    """Tell whether this is a file with just these bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(data) + 1) == data


def _name_latest(home: Path, target: Path) -> None:
    """Let ``latest`` name the run; a concurrent reader sees the run before or this one."""
    with folder_in(home) as staging:
        made = staging / _LINK
        try:
            made.symlink_to(target.name, target_is_directory=True)
            made.replace(home / _LINK)
        except (OSError, NotImplementedError):  # Windows without the privilege, and some file systems
            made = staging / _POINTER
            made.write_text(str(target), encoding="utf-8")
            made.replace(home / _POINTER)


# ---------------------------------------------------------------- one writer for each family


def _write_gru(run: Run, folder: Path) -> None:
    found = run.load()
    if not (hasattr(found, "config") and hasattr(found, "state")):
        raise Unsupported(
            f"{run.ref} holds a {type(found).__name__}, and a gru of the old form is the state of a network: save "
            "TorchState(network.state_dict(), config), and export that run"
        )
    described = {
        **_about(run),
        "model_config": dict(found.config),
        "training_config": _plain(run)["training_config"],
    }
    described |= run.metrics
    old_objects.save_checkpoint(folder / MODEL_FILE["gru"], {"model_state_dict": dict(found.state), **described})
    _write_preprocessor(run, folder)


def _write_lightgbm(run: Run, folder: Path) -> None:
    model = old_objects.estimator(run.load())
    around = {"model": model, **_about(run), "config": _plain(run)["config"]}
    if file_names.IMPORTANCE in run.components:
        table = run.load(file_names.IMPORTANCE)
        around["feature_importance"] = table["importance"].to_numpy()
        table.to_parquet(folder / "feature_importance.parquet")
    old_objects.dump(around, folder / MODEL_FILE["lightgbm"])
    _write_preprocessor(run, folder)


def _write_ppo(run: Run, folder: Path) -> None:
    algorithm = run.load()
    algorithm.save(folder / MODEL_FILE["ppo"])
    seen = algorithm.observation_space.shape  # none of several inputs
    about = {
        **_about(run),
        "model_config": _plain(run)["config"],
        "observation_shape": None if seen is None else list(seen),
    }
    about |= {"action_space_info": old_objects.action_space_info(algorithm.action_space), "vecnormalize_path": None}
    if file_names.VECNORMALIZE in run.components:
        normalizer = old_objects.vecnormalize(algorithm)
        run.load(file_names.VECNORMALIZE, into=normalizer)
        normalizer.save(str(folder / _VECNORMALIZE_FILE))
        about["vecnormalize_path"] = _VECNORMALIZE_FILE
    _write_json(folder / "model_metadata.json", about)


_WRITERS: Final[Mapping[str, Callable[[Run, Path], None]]] = {
    "gru": _write_gru,
    "lightgbm": _write_lightgbm,
    "ppo": _write_ppo,
}


def _write_preprocessor(run: Run, folder: Path) -> None:
    if file_names.PREPROCESSOR in run.components:
        names = list(run.features.names) if run.features is not None and not run.features.names_inferred else None
        old = old_objects.preprocessor(run.load(file_names.PREPROCESSOR), names)
        old_objects.dump(old, folder / _PREPROCESSOR_FILE)


def _plain(run: Run) -> dict[str, Any]:
    """Return the configurations as the JSON that old programs read."""
    return {"config": dict(run.manifest.config), "training_config": dict(run.manifest.training_config)}


def _notes(run: Run) -> dict[str, Any]:
    settings = {"run_id": str(run.run_id), "config": _plain(run)["config"], "is_fitted": run.manifest.is_fitted}
    return {
        **_about(run),
        **settings,
        "training_config": _plain(run)["training_config"],
        "metrics": dict(run.manifest.metrics),
    }


def _about(run: Run) -> dict[str, Any]:
    """Return what all old files say of a run: its name, its time, its features."""
    about = {
        "model_type": run.key.model_type,
        "symbol": run.key.symbol,
        "created_at": run.created_at.replace(tzinfo=None).isoformat(),
    }
    return about if run.features is None else {**about, **_features(run.key.model_type, run.features)}


def _features(model_type: str, schema: FeatureSchema) -> dict[str, Any]:
    """Return the features as the old trainers wrote them: those of LightGBM are the selected ones already."""
    chosen = model_type == "lightgbm" and schema.has_selection and not schema.names_inferred
    return {
        "feature_names": list(schema.selected_names if chosen else schema.names),
        "selected_features": list(schema.selected) if schema.has_selection else None,
        "feature_count": schema.feature_count,
        "input_size_actual": schema.input_size,
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_bytes(_json(value))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()
