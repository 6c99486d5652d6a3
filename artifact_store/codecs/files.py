"""What all codecs do alike: import their library, read their files, and raise the same errors.

Owns no format.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from artifact_store.canonical import canonical, parse_json
from artifact_store.core.codec import JSON, Codec
from artifact_store.errors import AccessDenied, CodecUnavailable, Corrupt, InvalidOption, NotEncodable, Unavailable
from artifact_store.installing import pip_install

MAX_SETTINGS: Final = 64 << 20
"""Bytes of a JSON file; more is refused before it is parsed."""


def import_library(module: str, codec: Codec) -> Any:
    """Import ``module``, which ``codec`` cannot do without; the errors are those of :func:`imported`."""
    return imported(module, needed_by=f"the codec {codec.name}-{codec.version}", extra=codec.extra)


def imported(module: str, *, needed_by: str, extra: str | None) -> Any:
    """Import ``module``, which ``extra`` of this distribution installs, or else pip under its own name.

    Raises:
        CodecUnavailable: it is not installed, or broken; the text says what to install.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as missing:  # OSError: there is a module, but not the shared library below it
        package = module.partition(".")[0]
        command = pip_install(extra) if extra else f"pip install {package}"
        raise CodecUnavailable(
            f"{needed_by} needs {package}, which cannot be imported ({missing}): {command}"
        ) from missing


def dotted(kind: type) -> str:
    """Return the dotted name of a class: its module and its qualified name."""
    return f"{kind.__module__}.{kind.__qualname__}"


def all_arrays(obj: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether there is something in it, and all of it is arrays of numpy, which is not imported for that."""
    return {dotted(type(part)) for part in (obj.values() if isinstance(obj, dict) else obj)} == {"numpy.ndarray"}


def holds_arrays(obj: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether there is an array or a scalar of numpy anywhere in it; before numpy is imported there is none."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    if generic is None:
        return False
    kinds = (generic, sys.modules["numpy"].ndarray)
    seen, waiting = {id(obj)}, [obj]
    while waiting:
        node = waiting.pop()
        parts: Any = node.values() if isinstance(node, dict) else node
        found = {*map(type, parts)}
        if any(issubclass(kind, kinds) for kind in found):
            return True
        if any(issubclass(kind, dict | list | tuple) for kind in found):
            inner = [part for part in parts if isinstance(part, dict | list | tuple) and id(part) not in seen]
            seen.update(map(id, inner))
            waiting += inner
    return False


def refuse_into(codec: Codec, into: object) -> None:
    """Raise ``InvalidOption`` if the caller gave something to fill, which ``codec`` cannot."""
    if into is not None:
        raise InvalidOption(f"the codec {codec.name} always makes a new object: leave out into=")


def refuse_subclass(obj: object, *kinds: type) -> None:
    """Raise ``NotEncodable`` unless ``obj`` is exactly of one of ``kinds``, since a subclass would not come back."""
    if type(obj) not in kinds:
        known = " or ".join(map(dotted, kinds))
        raise NotEncodable(f"a {dotted(type(obj))} would come back as something else; convert it to a {known}")


@contextmanager
def all_or_nothing(directory: Path, stem: str) -> Iterator[None]:
    """Remove ``{stem}.*`` again if the body fails: what was refused must not be published by accident."""
    try:
        yield
    except BaseException:
        for path in directory.iterdir():
            if path.name.startswith(f"{stem}."):
                with suppress(OSError):  # the failure that is under way says more
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


@contextmanager
def opened(path: Path, *damage: type[BaseException]) -> Iterator[BufferedReader]:
    """Open a file that ``encode`` has written. ``damage`` is what its reader raises for anything else.

    Raises:
        Corrupt: it is not there, or the body raised one of ``damage``.
        AccessDenied, Unavailable: the operating system does not let it be read, or cannot read it now.
    """
    expected: tuple[type[BaseException], ...] = (OSError, *damage)
    try:
        with path.open("rb") as file:
            yield file
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise Corrupt(f"{path.name} is missing: the run is not whole") from error
    except expected as error:
        denied = isinstance(error, PermissionError)
        sought = isinstance(error, OSError) and error.errno == errno.EINVAL  # damage led to a place before the file
        if sought or (isinstance(error, damage) and not denied):
            raise Corrupt(f"{path.name} is damaged, or was written by something else: {error}") from error
        # Windows says "permission denied" also of a file that another program has open at the moment
        kind = AccessDenied if denied and os.name != "nt" else Unavailable
        raise kind(f"{path.name} cannot be read: {error}") from error


def read_encoded(path: Path, *, limit: int | None = None) -> bytes:
    """Return what is in a file that ``encode`` has written.

    Raises:
        Corrupt: it is not there, or has more than ``limit`` bytes; then nothing of it was read.
        AccessDenied, Unavailable: the operating system does not let it be read, or cannot read it now.
    """
    with opened(path) as file:
        if limit is not None and (size := os.fstat(file.fileno()).st_size) > limit:
            raise Corrupt(f"{path.name} has {size:,} bytes, more than the {limit:,} that one may have")
        return file.read()


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write a JSON object in canonical bytes, or raise ``NotEncodable`` if it could not be read back."""
    try:
        data = canonical(settings)
    except ValueError as error:
        raise NotEncodable(f"{path.name} cannot be written as JSON: {error}") from error
    if len(data) > MAX_SETTINGS:
        raise NotEncodable(f"{path.name} would have {len(data):,} bytes, more than the {MAX_SETTINGS:,} that are read")
    path.write_bytes(data)


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON object back; raise ``Corrupt`` if it is none."""
    value = parse_json(read_encoded(path, limit=MAX_SETTINGS), limit=MAX_SETTINGS, what=path.name)
    if not isinstance(value, dict):
        raise Corrupt(f"{path.name} does not hold a JSON object")
    return value


def field(settings: Mapping[str, JSON] | Mapping[str, Any], name: str, kind: type | types.UnionType) -> Any:
    """Return ``settings[name]``; raise ``Corrupt`` if it is not there, or not of that kind."""
    value = settings.get(name)
    if name not in settings or not isinstance(value, kind):
        raise Corrupt(f"what was recorded beside the files has no usable {name!r}: {str(value)[:60]!r}")
    return value
