"""Choose the backend for a store URL by its scheme, the options and what is installed, and import that engine only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from artifact_store.errors import ArtifactStoreError, InvalidOption, NotAStore
from artifact_store.storage.archive import ARCHIVE, open_archive
from artifact_store.storage.base import Backend
from artifact_store.storage.home import at_home
from artifact_store.storage.local import open_folder
from artifact_store.storage.obstore import is_installed, open_bucket
from artifact_store.storage.option_names import refuse_other_names
from artifact_store.storage.options import AZURE, GCS, LOCAL, MEMORY, S3, StorageOptions, StoreURL, parse_url
from artifact_store.storage.patience import MIN_RATE, Patience
from artifact_store.storage.staging import Staging
from artifact_store.wording import brief

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

GROUP: Final = "artifact_store.backends"
"""Entry points named after a URL scheme: callables ``(url: StoreURL, options: StorageOptions, timeout) -> Backend``."""
_ENGINES = ("auto", "local", "memory", "obstore", "fsspec")


def opened_or_why_not(opening: Callable[[], T]) -> T | ArtifactStoreError:
    """Return what ``opening`` returns or raises, for a caller that forgets its arguments before it raises that.

    The frames below are forgotten here: their variables hold credentials, and reports of errors may show those.
    """
    try:
        return opening()
    except ArtifactStoreError as refusal:
        link: BaseException | None = refusal
        while link is not None:
            link.__traceback__, link = None, link.__cause__ or link.__context__
        return refusal


def open_backend(
    url: str | os.PathLike[str] | Backend | None,
    *,
    filesystem: Any | None,
    storage_options: Mapping[str, Any] | StorageOptions | None,
    engine: str,
    timeout: float,
    staging: Staging | None = None,
    min_rate: float = MIN_RATE,
) -> Backend:
    """Return the backend that serves ``url``; nothing is sent and nothing is made. ``staging`` is its temporary space.

    Raises:
        InvalidOption: the URL or an option means nothing, or not to this engine.
        EngineUnavailable: the client that it needs is not installed.
        NotAStore: it is a file.
    """
    if engine not in _ENGINES:
        raise InvalidOption(f"engine is one of {', '.join(_ENGINES)}, not {brief(engine)}")
    patience = Patience(timeout, min_rate)
    if url is None:
        raise InvalidOption("name the root of the store: a folder, 's3://bucket/models', 'memory://name'")
    options = StorageOptions.of(storage_options)
    if isinstance(url, Backend):
        if options.given or filesystem is not None or engine != "auto":
            raise InvalidOption("a ready backend takes no filesystem, no engine and no storage options")
        return url
    if filesystem is not None:
        if engine not in {"auto", "fsspec"}:
            raise InvalidOption(f"a ready filesystem is served by the engine 'fsspec', not by {engine!r}")
        return _fsspec(url, options, patience, filesystem, staging=staging)
    place = parse_url(url)
    if place.scheme == GCS and isinstance(token := options.given.get("token"), str) and token.startswith("~"):
        options = StorageOptions({**options.plain(), "token": str(at_home(token))})  # the path of a key file
    return _build(_engine_for(place, engine), place, options, patience, staging)


def _engine_for(place: StoreURL, engine: str) -> str:
    """Return the engine, and refuse one that cannot serve the scheme."""
    if engine == "fsspec":
        return engine
    if place.scheme in {S3, GCS, AZURE}:
        natural = "obstore" if engine == "obstore" or is_installed() else "fsspec"
    else:
        natural = {LOCAL: "local", MEMORY: "memory"}.get(place.scheme, "fsspec")
        if natural == "fsspec" and _plug_ins(place.scheme):
            natural = "plug-in"
    if engine not in {"auto", natural}:
        raise InvalidOption(f"the engine {engine!r} does not serve {place.text}; leave engine='auto', or use 'fsspec'")
    return natural


def _build(
    engine: str, place: StoreURL, options: StorageOptions, patience: Patience, staging: Staging | None
) -> Backend:
    refuse_other_names(place.scheme, options.given)
    match engine:
        case "fsspec":
            return _fsspec(place, options, patience, staging=staging)
        case "obstore":
            return open_bucket(place, options, **patience.options())
        case "plug-in":
            return _plug_in(place, options, patience.timeout)
    if options.given:
        given = ", ".join(sorted(options.given))
        raise InvalidOption(f"{place.text} takes no storage options; it was given {given}")
    if engine == "local":
        root = Path(place.prefix)
        if root.is_file() and root.suffix == ARCHIVE:
            return open_archive(root)
        if root.is_file():
            raise NotAStore(f"{place.text} is a file, and a store is a folder: name the folder, or a bucket")
        return open_folder(root, timeout=patience.timeout)
    from artifact_store.storage.memory import MemoryBackend

    return MemoryBackend("/".join(part for part in (place.container, place.prefix) if part))


def _fsspec(
    url: StoreURL | str | os.PathLike[str],
    options: StorageOptions,
    patience: Patience,
    filesystem: Any | None = None,
    *,
    staging: Staging | None = None,
) -> Backend:
    from artifact_store.storage.fsspec.backend import open_filesystem

    return open_filesystem(url, options, filesystem=filesystem, **patience.options(), staging=staging)


def _plug_ins(scheme: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return list(entry_points(group=GROUP, name=scheme))


def _plug_in(place: StoreURL, options: StorageOptions, timeout: float) -> Backend:
    found = _plug_ins(place.scheme)
    if len(found) > 1:
        names = ", ".join(sorted(entry.value for entry in found))
        raise InvalidOption(f"several installed backends claim {place.scheme}://: {names}; uninstall all but one")
    backend: Backend = found[0].load()(place, options, timeout)
    return backend
