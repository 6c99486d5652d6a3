"""The layout of a store: the one place that spells the keys of stored objects, and reads them in a listing.

``str`` of a :class:`~artifact_store.core.names.ModelKey` is what people type, :func:`model_prefix` is how it is stored.
Owns the names of stored objects, and which names the files of a run may have. Does not know storage or what the objects
hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from artifact_store.canonical import canonical, sha256
from artifact_store.core import file_names, symbols
from artifact_store.core.file_names import stored_name
from artifact_store.core.names import ModelKey, RunId, check_alias, check_model_type
from artifact_store.errors import InvalidName

Name = TypeVar("Name", bound=str)

MAX_KEY: Final = 240
"""Longest key below the root, in characters: with a short root it stays under Windows' limit of 260."""

STORE_MARKER: Final = "_store.json"
LOCKS: Final = "_locks/"
PROBES: Final = "_probe/"
INDEX: Final = "_index/"
REPORT: Final = "_report/"
REPORT_RECORD: Final = "report.json"
REPORT_INDEX: Final = "index.html"
REPORT_ASSETS: Final = ("assets/report.css", "assets/report.js")
REPORT_FILES: Final = (*REPORT_ASSETS, REPORT_INDEX, REPORT_RECORD)
"""What a report has besides the pages of the models."""
NOTES: Final = "_notes/"
NOTICES: Final = ("saved", "gone", "back")
"""What a notice in the index announces: a run is saved, deleted, or brought back."""
MANIFEST: Final = "manifest.json"
METADATA: Final = "metadata.json"
SIGNATURES: Final = "_signatures/"
PACKED: Final = ".zst"
"""Ends the name that a file is stored under whose bytes are a frame of zstd."""
ALIASES_BEGIN: Final = tuple("abcdefghijklmnopqrstuvwxyz")
RUNS_BEGIN: Final = tuple("0123456789")
"""With what the name of an alias or of a run may begin, so that a listing can leave out the others."""

_ATTEMPT = re.compile(r"[0-9a-f]{8}")
_PROBE = re.compile(r"[0-9a-f]{32}")
_VERDICT = re.compile(r"[0-9a-f]{64}\.json")
_BLOCK = re.compile(r"[0-9]{10}\.json")
_SIGNATURE = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{16})\.json")
_PAGE = re.compile(r"models/(.+)\.html")
_INDEX_BLOCK = re.compile(r"blocks/([0-9]{10})\.(jsonl\.gz|parquet)")
_NOTE = re.compile(r"([0-9a-f]{32})\.json")
_SHORT = 16


def check_path(path: object) -> str:
    """Return ``path`` if a file of a run may have it: names that every platform holds, and none that we use.

    Raises:
        InvalidName: a part is empty, hidden, a device, ends in a dot or a space, or the name is ours.
    """
    if not isinstance(path, str):
        raise InvalidName("file name", path, "it is not text")
    file_names.check_parts(path)
    first = path.partition("/")[0]
    if file_names.folded(first) in {MANIFEST, METADATA} or first.startswith("_"):
        raise InvalidName("file name", path, "the store itself writes this name")
    if len(stored := stored_name(path)) > MAX_KEY:
        why = "" if stored == path else ": each character other than a letter A-Z, a digit or ' ._+=@-' takes 3 to 12"
        raise InvalidName("file name", path, f"in a key it is longer than {MAX_KEY} characters{why}")
    return path


def check_twins(paths: Iterable[str]) -> None:
    """Raise ``InvalidName`` if Windows would merge two names, or if one is also the folder of another."""
    seen: dict[str, str] = {}
    for path in paths:
        name = file_names.folded(path)
        if name in seen:
            raise InvalidName("file name", path, f"Windows could not tell it from {seen[name]!r}")
        seen[name] = path
    for path in seen.values():
        parts = file_names.folded(path).split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in seen:
                raise InvalidName("file name", path, "another file of the run has the name of its folder")


# ---------------------------------------------------------------- the layout


def _bounded(key: str) -> str:
    if len(key) > MAX_KEY:
        raise InvalidName("key", key, f"it is longer than {MAX_KEY} characters; use shorter names")
    return key


def model_prefix(key: ModelKey) -> str:
    """Return the prefix of everything about one model: how it is stored, where ``str`` of it is how it is typed."""
    return f"{key.model_type}/" if key.symbol is None else f"{key.model_type}/{symbols.spelled(key.symbol)}/"


def type_prefix(model_type: str) -> str:
    """Return the prefix of everything of one model type."""
    return f"{model_type}/"


def run_prefix(key: ModelKey, run_id: RunId) -> str:
    """Return the prefix of everything of one run."""
    return f"{model_prefix(key)}{run_id}/"


def below(url: str, key: str) -> str:
    """Return the URL of a key below the URL of a root, for people and other programs."""
    return f"{url.rstrip('/')}/{key.rstrip('/')}"


def manifest(key: ModelKey, run_id: RunId) -> str:
    """Return the key of the commit record."""
    return _bounded(run_prefix(key, run_id) + MANIFEST)


def data_file(key: ModelKey, run_id: RunId, name: str) -> str:
    """Return the key of a file of a run, from the name that it is stored under."""
    return _bounded(run_prefix(key, run_id) + name)


def own_name(path: str, *, packed: bool = False) -> str:
    """Return the name within its run that the file ``path`` is stored under, as it is or ``packed`` by zstd."""
    return stored_name(path) + PACKED if packed else stored_name(path)


def attempt_name(path: str, attempt: str, *, packed: bool = False) -> str:
    """Return the name within its run that only this attempt uses for the file ``path``."""
    return f"{own_name(path, packed=packed)}.{attempt}"


def may_be_of(name: str, path: str) -> bool:
    """Tell whether the file ``path`` may be stored under ``name``, as it is or packed."""
    return is_name_of(name, path) or is_name_of(name, path, packed=True)


def is_name_of(name: str, path: str, *, packed: bool = False) -> bool:
    """Tell whether the file ``path`` may be stored under ``name``: its own, or one of an attempt."""
    own = own_name(path, packed=packed)
    return name == own or (name[: len(own) + 1] == f"{own}." and bool(_ATTEMPT.fullmatch(name[len(own) + 1 :])))


def signature_name(manifest_sha256: str, key_id: str) -> str:
    """Return the name within its run of the signature of a manifest by a key, so that both are enough to find it."""
    return f"{SIGNATURES}{manifest_sha256[:_SHORT]}.{key_id[:_SHORT]}.json"


def signature(key: ModelKey, run_id: RunId, manifest_sha256: str, key_id: str) -> str:
    """Return the key of the signature of a manifest by a key."""
    return data_file(key, run_id, signature_name(manifest_sha256, key_id))


def signatures_prefix(key: ModelKey, run_id: RunId) -> str:
    """Return the prefix of all signatures of a run."""
    return run_prefix(key, run_id) + SIGNATURES


def origin_name(manifest_sha256: str) -> str:
    """Return the name within its run of the record that it was copied here from another store.

    It lies beside the signatures, where nothing looks for files of the run, and no earlier release clears it away.
    """
    return f"{SIGNATURES}{manifest_sha256[:_SHORT]}.origin.json"


def origin(key: ModelKey, run_id: RunId, manifest_sha256: str) -> str:
    """Return the key of the record that a run was copied here from another store."""
    return data_file(key, run_id, origin_name(manifest_sha256))


def pointer(key: ModelKey, alias: str) -> str:
    """Return the key of the pointer object of an alias: it is too long if the key of a history block would be."""
    history_block(key, alias, 0)
    return _bounded(f"{model_prefix(key)}{alias}.json")


def history_block(key: ModelKey, alias: str, last_seq: int) -> str:
    """Return the key of the block of history that ends with ``last_seq``."""
    return _bounded(f"{history_prefix(key, alias)}{last_seq:010d}.json")


def history_prefix(key: ModelKey, alias: str) -> str:
    """Return the prefix of the archive of an alias."""
    return f"{model_prefix(key)}{alias}.history/"


def probe(token: str) -> str:
    """Return a throw-away key for finding out what a storage can do."""
    return f"{PROBES}{token}"


def kept_verdict(endpoint: str, engine: str) -> str:
    """Return the key under which is kept what an engine found out about an endpoint."""
    return f"{PROBES}{sha256(canonical([endpoint, engine]))}.json"


def index_block(generation: int, form: str) -> str:
    """Return the key of a block of the index, in the form ``jsonl.gz`` or ``parquet``."""
    return f"{INDEX}blocks/{generation:010d}.{form}"


def index_notice(kind: str, key: ModelKey, run_id: str, token: str) -> str:
    """Return the key of a notice: that the manifest of a run is about to be written, or to be replaced."""
    return _bounded(f"{INDEX}{kind}/{'@'.join([*model_prefix(key).rstrip('/').split('/'), run_id, token])}")


def page(key: ModelKey) -> str:
    """Return the name of the page of a model, below the folder of a report."""
    return f"models/{model_prefix(key).rstrip('/')}.html"


def notes_prefix(key: ModelKey, run_id: RunId) -> str:
    """Return the prefix of the notes about a run."""
    return NOTES + run_prefix(key, run_id)


def notes_of_model(key: ModelKey) -> str:
    """Return the prefix of the notes about all runs of a model; without a symbol, about those of its type."""
    return NOTES + model_prefix(key)


def note(key: ModelKey, run_id: RunId, write_id: str) -> str:
    """Return the key of a note about a run."""
    return _bounded(f"{notes_prefix(key, run_id)}{write_id}.json")


def seen_alias(store_id: str, key: ModelKey, alias: str) -> str:
    """Return under which name a client remembers what it saw of an alias."""
    return f"{sha256(canonical([store_id, str(key), alias]))}.json"


def seen_store(place: str) -> str:
    """Return under which name a client remembers which store it saw at a place."""
    return f"{sha256(canonical([place]))}.json"


# ---------------------------------------------------------------- reading a listing


def _named(child: str, ending: str, check: Callable[[str], Name]) -> Name | None:
    """Return what stands before the ending, if that is a name as ``check`` wants it."""
    try:
        return check(child.removesuffix(ending)) if child.endswith(ending) else None
    except InvalidName:
        return None


def run_in(child: str) -> RunId | None:
    """Return the run id if this child of a model (``name/``) is a run."""
    return _named(child, "/", RunId)


def run_named(folder: str) -> RunId | None:
    """Return the run id if a folder of this name is a run."""
    return _named(folder, "", RunId)


def is_signature(child: str) -> bool:
    """Tell whether this child of the signatures of a run has the name of one, of whatever manifest."""
    return _SIGNATURE.fullmatch(child) is not None


def signer_in(child: str, manifest_sha256: str) -> str | None:
    """Return the beginning of the key id if this child of the signatures of a run is one of that manifest."""
    match = _SIGNATURE.fullmatch(child)
    return match[2] if match is not None and match[1] == manifest_sha256[:_SHORT] else None


def symbol_in(child: str) -> str | None:
    """Return the symbol if this child of a model type (``name/``) is the spelling of one."""
    return symbols.unspelled(child.removesuffix("/")) if child.endswith("/") else None


def alias_in(child: str) -> str | None:
    """Return the alias if this child of a model (``name.json``) is a pointer."""
    return _named(child, ".json", check_alias)


def history_in(child: str) -> str | None:
    """Return the alias if this child of a model (``name.history/``) is the archive of one."""
    return _named(child, ".history/", check_alias)


def block_in(child: str) -> int | None:
    """Return the last ``seq`` of the block if this child of an archive has the name of one."""
    return int(child.removesuffix(".json")) if _BLOCK.fullmatch(child) else None


def run_of(key: str) -> tuple[ModelKey, RunId, str] | None:
    """Return which run an object belongs to, and its name below the run; ``None`` if it belongs to none."""
    parts = key.split("/")
    for depth in (1, 2):
        name = "/".join(parts[depth + 1 :])
        run_id = run_in(f"{parts[depth]}/") if name else None
        if run_id is not None:
            model = model_in([f"{part}/" for part in parts[:depth]])
            return None if model is None else (model, run_id, name)
    return None


def model_of(key: str) -> ModelKey | None:
    """Return which model an object is stored for, by its key; ``None`` if it belongs to none."""
    first, *below = key.split("/")
    below = [f"{name}/" for name in below[:-1]]
    if below and run_in(below[0]) is None and history_in(below[0]) is None:
        return model_in([f"{first}/", below[0]])
    return model_in([f"{first}/"]) if "/" in key else None


def model_in(folders: Sequence[str]) -> ModelKey | None:
    """Return the model if these folders (``type/``, ``symbol/``) below the root are those of one."""
    model_type = model_type_in(folders[0])
    symbol = symbol_in(folders[1]) if len(folders) > 1 else None
    if model_type is None or (symbol is None and len(folders) > 1):
        return None
    return ModelKey(model_type, symbol)


def probe_in(child: str) -> str | None:
    """Return the key of a throw-away object, if this child of the folder of probes is one of ours."""
    return probe(child) if _PROBE.fullmatch(child) else None


def is_verdict(child: str) -> bool:
    """Tell whether this child of the folder of probes is kept there: what an engine found out about an endpoint."""
    return _VERDICT.fullmatch(child) is not None


def index_block_in(child: str) -> tuple[int, str] | None:
    """Return generation and form of a block, if this name below the folder of the index is that of one."""
    match = _INDEX_BLOCK.fullmatch(child)
    return (int(match[1]), match[2]) if match is not None else None


def index_notice_in(child: str) -> tuple[str, ModelKey, RunId, str] | None:
    """Return kind, model, run id and token of a notice, if this name below the folder of the index is that of one."""
    kind, _, rest = child.partition("/")
    parts = rest.split("@")
    if kind not in NOTICES or len(parts) not in {3, 4}:
        return None
    *folders, run, token = parts
    model, run_id = model_in([f"{folder}/" for folder in folders]), run_in(f"{run}/")
    if model is None or run_id is None or _ATTEMPT.fullmatch(token) is None:
        return None
    return kind, model, run_id, token


def is_of_index(child: str) -> bool:
    """Tell whether this name below the folder of the index is one that a store writes there."""
    return index_block_in(child) is not None or index_notice_in(child) is not None


def page_in(child: str) -> ModelKey | None:
    """Return the model if this name below the folder of a report is that of its page."""
    match = _PAGE.fullmatch(child)
    folders = [] if match is None else [f"{part}/" for part in match[1].split("/")]
    return model_in(folders) if len(folders) in {1, 2} else None


def is_of_report(child: str) -> bool:
    """Tell whether this name below the folder of a report is one that a report has."""
    return child in REPORT_FILES or page_in(child) is not None


def note_of(key: str) -> tuple[ModelKey, RunId, str] | None:
    """Return which run a note is about, and its write id, if this is the key of one."""
    found = run_of(key.removeprefix(NOTES)) if key.startswith(NOTES) else None
    match = None if found is None else _NOTE.fullmatch(found[2])
    return None if found is None or match is None else (found[0], found[1], match[1])


def model_type_in(child: str) -> str | None:
    """Return the model type if this child of the root (``name/``) is one."""
    return _named(child, "/", check_model_type)
