"""Where a run is, said in the ways in which people say it: a folder, a URL, a path into a store, a run itself.

Owns the reading of such texts and the opening of the store behind them. Every name is judged by the store's own
grammar.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from artifact_models import families
from artifact_store import ArtifactStore, ModelKey, Run, RunId, RunRef, errors

_ALIAS_NAMES: Final = ("latest", "best_wf")
"""Aliases that a path may end in where it names no symbol; elsewhere any alias may stand behind the symbol."""

_MARKER: Final = "_store.json"


@dataclass(frozen=True, slots=True)
class Place:
    """What a path or URL says: the root of the store, and as much of the key, the alias and the run as it names."""

    root: str
    key: ModelKey | None = None
    alias: str | None = None
    run: str | None = None

    def ref(self) -> RunRef:
        """Return the run that is meant, the latest one where no other is named.

        Raises:
            InvalidReference: the place names no model.
        """
        if self.key is None:
            raise errors.InvalidReference(
                f"{self.root!r} names no model: end it in TYPE/SYMBOL, TYPE/SYMBOL/RUN_ID or TYPE/SYMBOL@ALIAS, "
                "or give the reference and the store: load('gru/BTCEUR@latest', store='./store/models')"
            )
        return RunRef(self.key, None, self.run) if self.run else RunRef(self.key, self.alias or "latest")


def read(text: str | Path, types: Sequence[str]) -> Place:
    """Read a path or URL that may go on behind the root with ``type/symbol``, and an alias or a run.

    The last part that is one of ``types`` is taken for the model type. ``type/symbol/type/run`` is the nesting of
    some old trees.
    """
    parts = _Parts.of(os.fspath(text))
    rest, alias, run = _selector(parts, types)
    if run and len(rest.names) > 2 and rest.names[-1] in types and rest.names[-3] == rest.names[-1]:  # noqa: PLR2004
        rest = rest.without_last(1)
    for named in (2, 1):  # type and symbol, or the type alone
        root = rest.without_last(named)
        if len(rest.names) >= named and rest.names[-named] in types and root.can_be_a_root:
            return Place(root.text or os.curdir, ModelKey(*rest.names[-named:]), alias, run)
    return Place(parts.text or os.curdir)


def to_save(output_dir: str | Path, model_type: str, run_id: str | None, symbol: str | None) -> Place:
    """Return where a run is to be saved; what the path says already is not nested into itself.

    Raises:
        InvalidOption: the path names one symbol or run, and the arguments another.
    """
    place = read(output_dir, [model_type])
    said = place.key.symbol if place.key else None
    for what, in_path, given in (("symbol", said, symbol), ("run id", place.run, run_id)):
        if None not in (in_path, given) and in_path != given:
            raise errors.InvalidOption(
                f"{os.fspath(output_dir)!r} ends in the {what} {in_path!r}, and {given!r} was given: leave one out"
            )
    if place.alias is not None:
        raise errors.InvalidOption(
            f"{os.fspath(output_dir)!r} names the alias {place.alias!r}; give the folder, and alias={place.alias!r}"
        )
    return Place(place.root, ModelKey(model_type, symbol or said), None, run_id or place.run)


@contextmanager
def opened(place: str | Path | ArtifactStore, storage_options: Mapping[str, Any] | None) -> Iterator[ArtifactStore]:
    """Give the store at ``place``: the caller's own, or one that is closed afterwards.

    Raises:
        InvalidOption: a ready store takes no storage options.
    """
    if not isinstance(place, ArtifactStore):
        with ArtifactStore(place, storage_options=storage_options) as store:
            yield store
        return
    if storage_options:
        raise errors.InvalidOption("a ready store takes no storage options: give them where the store is made")
    yield place


def find(
    source: Run | RunRef | ModelKey | str | Path,
    types: Sequence[str],
    *,
    store: ArtifactStore | str | Path | None,
    storage_options: Mapping[str, Any] | None,
) -> Run:
    """Return the run that ``source`` means: a run itself, a reference into ``store``, or a path or URL of its own.

    A path into an old tree, which is no store yet, is read in place.

    Raises:
        InvalidReference: it names no run.
        NotFound, Corrupt, Unavailable: as :meth:`artifact_store.ArtifactStore.get`.
    """
    if isinstance(source, Run):
        return source
    if store is not None:
        if isinstance(source, Path):
            raise errors.InvalidReference(
                f"with a store, a run is named by text such as 'gru/BTCEUR@latest', not {source}"
            )
        with opened(store, storage_options) as there:
            return there.get(source)
    if isinstance(source, RunRef | ModelKey):
        raise errors.InvalidReference(f"{source} says nothing about where the store is: give store=")
    place = read(source, types)
    if place.key is None:
        _explain(source)
    ref = place.ref()
    if is_old_tree(place.root):
        return ArtifactStore.open_legacy(place.root).get(ref)
    with opened(place.root, storage_options) as there:
        return there.get(ref)


def _explain(source: str | Path) -> None:
    """Raise for what is near to the name of a model, and say what to write instead."""
    other = read(source, families.names()).key
    if other is not None:
        raise errors.InvalidReference(
            f"{os.fspath(source)!r} names a model of the type {other.model_type!r}: load it with "
            f"{families.class_name(other.model_type)}, or a model of any type with BaseModelAdapter"
        )
    if "://" not in os.fspath(source) and Path(source).is_file():
        raise errors.InvalidReference(
            f"{os.fspath(source)!r} is a file: name the folder of the run, which holds all that belongs to the model; "
            "a best_wf file of an old tree is TYPE/SYMBOL@best_wf in the folder of the models"
        )


def is_old_tree(root: str) -> bool:
    """Tell a folder of models from before there were stores: each store has a marker at its root."""
    folder = Path(root)
    return "://" not in root and folder.is_dir() and not (folder / _MARKER).exists()


@dataclass(frozen=True, slots=True)
class _Parts:
    """A path or URL, cut at its slashes; ``head`` is what comes before the first name (``s3://``, ``/``, nothing)."""

    head: str
    names: tuple[str, ...]
    slash: str

    @classmethod
    def of(cls, text: str) -> _Parts:
        url = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text)
        if url is not None:
            return cls(url[0], tuple(name for name in text[url.end() :].split("/") if name), "/")
        body = text.replace(os.altsep, os.sep) if os.altsep else text
        below = body.lstrip(os.sep)
        names = tuple(name for name in re.split(re.escape(os.sep), below) if name not in {"", os.curdir})
        return cls(body[: len(body) - len(below)], names, os.sep)

    @property
    def text(self) -> str:
        return self.head + self.slash.join(self.names)

    @property
    def can_be_a_root(self) -> bool:
        return bool(self.names) or "://" not in self.head

    def without_last(self, count: int, instead: str = "") -> _Parts:
        kept = self.names[: len(self.names) - count] + ((instead,) if instead else ())
        return _Parts(self.head, kept, self.slash)


def _selector(parts: _Parts, types: Sequence[str]) -> tuple[_Parts, str | None, str | None]:
    """Return what stands before the alias or the run, the alias, and the run."""
    last = parts.names[-1] if parts.names else ""
    name, at, alias = last.partition("@")
    if at and name and alias:
        return parts.without_last(1, name), alias, None
    name, colon, run = last.rpartition(":")
    if colon and name and re.match(r"\d", run):
        return parts.without_last(1, name), None, run
    if _is_run_id(last):
        return parts.without_last(1), None, last
    before = parts.names[-2] if len(parts.names) > 1 else ""
    behind_symbol = before not in types and len(parts.names) > 2 and parts.names[-3] in types  # noqa: PLR2004
    if behind_symbol or (before in types and last in _ALIAS_NAMES):
        return parts.without_last(1), last, None
    return parts, None, None


def _is_run_id(name: str) -> bool:
    try:
        RunId(name)
    except errors.InvalidName:
        return False
    return True
