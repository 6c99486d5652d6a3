"""Where a report is written: a folder, a bucket, or ``_report/`` in the store itself. Never among the runs of a store.

``report.json`` tells a folder that holds a report from any other; a folder that holds something else is refused. Pages
that an earlier report had, and this one has not, are removed, and nothing else is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from artifact_store.canonical import canonical, sha256
from artifact_store.core import keys
from artifact_store.errors import ArtifactStoreError, ContainerNotFound, InvalidOption, ObjectNotFound
from artifact_store.ops.context import Context
from artifact_store.problems import Problem
from artifact_store.report.gather import Shown
from artifact_store.storage.base import Always, Backend
from artifact_store.storage.open import open_backend, opened_or_why_not
from artifact_store.storage.options import LOCAL, StorageOptions, parse_url
from artifact_store.storage.retry import with_retry
from artifact_store.wording import brief

Announce = Callable[[int, int], object]

_AT_ONCE: Final = 16
_LIMIT: Final = 64 << 20
_TIMEOUT: Final = 60.0
_LEFT_ALONE: Final = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", keys.LOCKS})


@dataclass(frozen=True, slots=True)
class Reported:
    """A report that was written: where, what is in it, and what could not be read."""

    url: str
    """The folder or the URL that it is in."""
    models: int
    runs: int
    files: Mapping[str, int]
    """Its files, with their sizes in bytes."""
    removed: Sequence[str] = ()
    """Pages of models that are not there any more."""
    problems: Sequence[Problem] = field(default=(), compare=False)

    @property
    def ok(self) -> bool:
        """Everything could be read."""
        return not self.problems

    @property
    def bytes(self) -> int:
        """The bytes of all its files."""
        return sum(self.files.values())

    @property
    def page(self) -> str:
        """Where to begin: the URL or the path of ``index.html``."""
        return keys.below(self.url, keys.REPORT_INDEX)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "url": self.url,
            "page": self.page,
            "models": self.models,
            "runs": self.runs,
            "files": len(self.files),
            "bytes": self.bytes,
            "removed": list(self.removed),
            "ok": self.ok,
            "problems": [{"where": problem.where, "error": str(problem.error)} for problem in self.problems],
        }


class ReportPlace:
    """Where a report is to be written; :meth:`check` tells whether it may be, before anything is read for it."""

    def __init__(self, context: Context, url: str, backend: Backend, prefix: str = "") -> None:
        self.url, self._context, self._backend, self._prefix = url, context, backend, prefix

    @classmethod
    def of(
        cls, context: Context, folder: str | os.PathLike[str], options: Mapping[str, Any] | StorageOptions | None
    ) -> ReportPlace:
        """Return the place of this folder or URL.

        Raises:
            InvalidOption: it means nothing, or is in the store, and not its own folder for a report.
        """
        inside = _inside(context.backend.url, folder)
        if inside is None:
            given = StorageOptions.of(options)
            opened = opened_or_why_not(
                partial(open_backend, folder, filesystem=None, storage_options=given, engine="auto", timeout=_TIMEOUT)
            )
            if isinstance(opened, ArtifactStoreError):
                raise opened
            return cls(context, opened.url, opened)
        if inside != keys.REPORT.rstrip("/"):
            raise InvalidOption(
                f"a report is not written among the runs of a store: write it beside {context.backend.url}, or to "
                f"{keys.below(context.backend.url, keys.REPORT)}, which no command takes for runs"
            )
        return cls(context, keys.below(context.backend.url, keys.REPORT), context.backend, keys.REPORT)

    def check(self) -> Mapping[str, str]:
        """Return the names and digests of the report that is there: none, if nothing is there.

        Raises:
            InvalidOption: something else is there, or nothing can be written there.
        """
        if self._backend.read_only:
            raise InvalidOption(self._backend.read_only)
        try:
            data = self._retried(lambda: self._backend.read(self._key(keys.REPORT_RECORD), limit=_LIMIT))
        except (ObjectNotFound, ContainerNotFound):
            data = None
        if data is not None:
            return self._recorded(data.data)
        there = self._retried(self._children)
        if there:
            raise InvalidOption(f"{self.url} holds something else than a report ({brief(there[0])}): name a new folder")
        return {}

    def write(
        self, files: Iterable[tuple[str, bytes]], count: int, shown: Shown, announce: Announce | None
    ) -> Reported:
        """Write a report over the one that is there; ``index.html`` and the record of all files come last.

        Raises:
            Unavailable, AccessDenied, StorageFull: what was written so far stays; the same call writes all of it again.
        """
        before = self.check()
        if not before:
            self._put(keys.REPORT_RECORD, self._record({}))
        written: dict[str, int] = {}
        digests: dict[str, str] = {}
        last: list[tuple[str, bytes]] = []

        def pages() -> Iterator[tuple[str, bytes]]:
            for name, data in files:
                written[name], digests[name] = len(data), sha256(data)
                if name == keys.REPORT_INDEX:
                    last.append((name, data))
                else:
                    yield name, data

        at_once = 1 if self._backend.is_near else _AT_ONCE
        with closing(self._context.tasks.ahead(pages(), lambda file: self._put(*file), at_once=at_once)) as writes:
            for place, (_, done) in enumerate(writes, start=1):
                done.result()
                if announce is not None:
                    announce(place, count)
        for name, data in last:
            self._put(name, data)
        removed = sorted(name for name in before.keys() - written.keys() if keys.page_in(name) is not None)
        for name in removed:
            self._retried(lambda name=name: self._backend.delete(self._key(name)))  # type: ignore[misc]
        self._put(keys.REPORT_RECORD, record := self._record(digests))
        written[keys.REPORT_RECORD] = len(record)
        return Reported(self.url, len(shown.models), shown.run_count, written, removed, shown.problems)

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _put(self, name: str, data: bytes) -> None:
        self._retried(lambda: self._backend.write(self._key(name), data, when=Always()))

    def _children(self) -> list[str]:
        with suppress(ContainerNotFound):  # then there is nothing
            return [name for name in self._backend.children(self._prefix) if name not in _LEFT_ALONE]
        return []

    def _retried(self, call: Callable[[], Any]) -> Any:
        return with_retry(call, self._context.retry)

    def _record(self, digests: Mapping[str, str]) -> bytes:
        return canonical({"files": dict(digests), "kind": "report", "store": self._context.backend.url})

    def _recorded(self, data: bytes) -> Mapping[str, str]:
        try:
            value = json.loads(data)
            found = value["files"] if value["kind"] == "report" else None
        except (ValueError, LookupError, TypeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InvalidOption(
                f"{keys.below(self.url, keys.REPORT_RECORD)} is not that of a report: name a new folder"
            )
        return found


def _inside(store: str, folder: str | os.PathLike[str]) -> str | None:
    """Return where below the root of the store a place is, ``""`` for the root itself, or ``None`` if it is not."""
    try:
        root, place = parse_url(store), parse_url(folder)
    except InvalidOption:
        if store != str(folder):
            return None
        return ""
    if (root.scheme, root.container) != (place.scheme, place.container):
        return None
    if root.scheme == LOCAL:
        above, below = Path(root.prefix).resolve(), Path(place.prefix).resolve()
        return below.relative_to(above).as_posix().removeprefix(".") if below.is_relative_to(above) else None
    above_parts, parts = ([part for part in each.prefix.split("/") if part] for each in (root, place))
    return "/".join(parts[len(above_parts) :]) if parts[: len(above_parts)] == above_parts else None
