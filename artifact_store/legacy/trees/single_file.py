"""One old model file as a tree of one run: the file that a caller names, and what belongs to it in the same folder.

The caller has named the file, so links in its path are followed; those beside it are not. Opens no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from artifact_store.core.names import LATEST, ModelKey
from artifact_store.errors import ContainerNotFound, InvalidName, NotFound, Unsupported
from artifact_store.legacy.trees import file_names
from artifact_store.legacy.trees.layout import OldAlias, OldRun, Tree, as_key, scan
from artifact_store.storage.home import at_home
from artifact_store.storage.local.errors import translated

_SYMBOL_PARTS: Final = 2
"""Folders that a symbol may take, as in ``gru/BTC/EUR/20240816_142301/model.pth``."""


def scan_path(path: str | Path) -> Tree:
    """Return what there is at ``path``: an old tree, or one file of a model, which ``latest`` then names.

    In a tree ``path`` is its folder ``models``, the folder above, or that of one model type. A file gets its key and
    its run id from the folders that it lies in, as the tree would give them; elsewhere its model type alone.

    Raises:
        ContainerNotFound: there is nothing at ``path``.
        NotAStore: it is a folder without old models.
        Unsupported: it is a file with another suffix than old models have.
        AccessDenied: its folder may not be looked into.
        InvalidName: it is too long for the file system.
    """
    given = at_home(path)
    with translated(given):
        if not given.is_file():
            if not given.is_dir() and given.suffix in file_names.SUFFIXES:
                raise ContainerNotFound(f"there is no file {given}: name the file of an old model, or a folder of them")
            return scan(given)
        model_type = file_names.SUFFIXES.get(given.suffix)
        if model_type is None:
            known = ", ".join(file_names.SUFFIXES)
            raise Unsupported(f"{given} is not a model by its name: the files of old models end in {known}")
        return _tree(given.resolve(), model_type)


def old_models(path: str | Path) -> Tree | None:
    """Return what there is of old models at ``path``, or nothing where there is no model file in the old form."""
    try:
        found = scan_path(path)
    except (NotFound, Unsupported):
        return None
    return found if any(file_names.MODEL in run.files for run in found.runs) else None


def _tree(file: Path, model_type: str) -> Tree:
    root, run = _loose(file, model_type) or _in_its_folder(file, model_type)
    names = dict.fromkeys((run.alias or LATEST, LATEST))
    return Tree(root, [run], [OldAlias(run.key, name, run.source, run) for name in names])


def _loose(file: Path, model_type: str) -> tuple[Path, OldRun] | None:
    """Return a file that lies among others and says by its name what it is: ``best_wf_*``, ``gru_model_*``."""
    root, symbol = _place(file.parent, model_type)
    if file.parent.name == file_names.BESTS:
        root, symbol = file.parent.parent, ()
    named = file_names.loose_name(file.name, model_type, symbol)
    if named is None or file_names.loose_name(file.name) is None:
        return None
    _, symbol, time, alias = named
    files = _paths(file, file_names.beside_of(_names(file.parent), file.stem))
    run_id, source = file_names.as_run_id(time or ""), file.relative_to(root).as_posix()
    return root, OldRun(_key(model_type, symbol), run_id, source, files, alias=alias)


def _in_its_folder(file: Path, model_type: str) -> tuple[Path, OldRun]:
    """Return a file whose folder holds what belongs to it; of several models each has what is called after it."""
    (root, symbol), run_id = _place(file.parent, model_type), file_names.as_run_id(file.parent.name)
    names = _names(file.parent)
    if run_id is not None or file.stem == file_names.MODEL or file_names.only_model(names, model_type) == file.name:
        files = _paths(file, file_names.in_folder(names, model_type, file.name))
    else:
        files = _paths(file, file_names.beside_of(names, file.stem))
    left = tuple(sorted({*names} - {path.name for path in files.values()})) if run_id else ()
    source = (file.parent if run_id else file).relative_to(root).as_posix()
    return root, OldRun(_key(model_type, symbol), run_id, source, files, left)


def _place(folder: Path, model_type: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that holds the model types, and the symbol of what lies in ``folder``."""
    above = folder.parent if file_names.as_run_id(folder.name) else folder
    names = above.parts
    top = max((place for place, name in enumerate(names) if name == model_type), default=None)
    if top is None or len(names) - top - 1 > _SYMBOL_PARTS:  # no tree: the folder happens to be called so
        return above, ()
    symbol = names[top + 1 :]
    if top > 1 and names[top - 2] == model_type and symbol in {(), (names[top - 1],)}:  # type/symbol/type/run
        top, symbol = top - 2, (names[top - 1],)
    return Path(*names[:top]), symbol


def _key(model_type: str, symbol: tuple[str, ...]) -> ModelKey:
    try:
        return as_key(model_type, symbol)
    except InvalidName:  # which keeps the file from no reader that names the file itself
        return ModelKey(model_type)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_symlink() or not path.is_dir())


def _paths(file: Path, found: dict[str, str]) -> dict[str, Path]:
    return {file_names.MODEL: file, **{role: file.with_name(name) for role, name in found.items()}}
