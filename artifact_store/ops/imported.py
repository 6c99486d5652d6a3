"""Which installed distributions a process has imported, by the files that each of them says it has.

``importlib.metadata.packages_distributions`` answers the same and reads every path of every distribution into an
object first, which takes three times as long. Nothing is imported here.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_FIELD = re.compile(r"^(Name|Version):[ \t]*(\S{1,100})[ \t]*$", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}")
_MODULE = re.compile(r"[^\W\d]\w*")


def normalized(name: str) -> str:
    """Return the one spelling of a distribution's name: lower case, and ``-`` between its parts (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_plain(text: str | None) -> bool:
    """Tell whether a name or a version is one that is worth recording: short, and of plain signs."""
    return text is not None and _PLAIN.fullmatch(text) is not None


class Distributions:
    """The installed distributions by the names that they are imported by. Read once, a piece at a time.

    Safe to use from many threads.
    """

    def __init__(self) -> None:
        from importlib.metadata import distributions

        self._lock = threading.Lock()
        self._left: Iterator[Distribution] = iter(distributions())
        self._versions: dict[str, str] = {}
        self._owners: dict[str, list[str]] = {}
        self._edited: dict[Path, str] = {}
        self.complete = False
        """Whether all are read."""

    def read_until(self, moment: float) -> None:
        """Read on until that moment of ``time.monotonic``, infinity for all of it; what was read stays read."""
        with self._lock:
            while not self.complete and time.monotonic() < moment:
                found = next(self._left, None)
                if found is None:
                    self.complete = True
                else:
                    self._take(found)

    def owners(self, module: str) -> list[str]:
        """Return the distributions, by normalised names, that have a module or package of this name at the top."""
        own = normalized(module)
        return self._owners.get(module) or ([own] if own in self._versions else [])

    def imported(self, modules: Mapping[str, object]) -> dict[str, str]:
        """Return the versions of the distributions that these modules, by dotted names, belong to.

        One that is installed to be edited has every module in its folder.
        """
        tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
        found = {owner for top in tops for owner in self.owners(top)}
        if self._edited:
            found |= {owner for top in tops if not self.owners(top) for owner in self._editing(modules.get(top))}
        return {name: self._versions[name] for name in sorted(found)}

    def _editing(self, module: object) -> list[str]:
        """Return the distribution in whose folder a module lies: that of the innermost one."""
        try:
            place = object.__getattribute__(module, "__dict__").get("__file__")  # a lazy module must not be loaded
        except AttributeError:
            return []
        above = Path(place).parents if isinstance(place, str) else ()
        return [self._edited[folder] for folder in above if folder in self._edited][:1]

    def _take(self, found: Distribution) -> None:
        try:
            text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
            about = dict(reversed(_FIELD.findall(text.partition("\n\n")[0])))  # the first of each counts
            tops, edited = set(_tops(found)), _edited(found)
        except (OSError, ValueError):  # it is damaged, or being replaced: as if it were not there
            return
        name, version = normalized(about.get("Name", "")), about.get("Version", "")
        if not is_plain(name) or not is_plain(version) or name in self._versions:
            return  # in the last case one of that name comes earlier on the path, and is the one that is imported
        self._versions[name] = version
        for top in tops:
            self._owners.setdefault(top, []).append(name)
        if edited is not None:
            self._edited[edited] = name


def _tops(found: Distribution) -> Iterator[str]:
    """Yield the names that can be imported: as they are listed, or those of the files."""
    listed = found.read_text("top_level.txt")
    if listed:
        yield from listed.split()
        return
    for line in (found.read_text("RECORD") or "").splitlines():
        first, below, _ = line.partition(",")[0].partition("/")
        top = first if below else first.partition(".")[0]
        if _MODULE.fullmatch(top) and top != "__pycache__":
            yield top


def _edited(found: Distribution) -> Path | None:
    """Return the folder of a distribution that is installed to be edited (PEP 660), and nothing for any other one."""
    origin = json.loads(found.read_text("direct_url.json") or "null")
    if not isinstance(origin, dict) or not isinstance(origin.get("url"), str):
        return None
    about = origin.get("dir_info")
    if not isinstance(about, dict) or about.get("editable") is not True:
        return None
    place = unquote(urlsplit(origin["url"]).path)
    return Path(place.removeprefix("/") if re.match(r"/[A-Za-z]:", place) else place)
