"""The files that name stores: where they are, what they may say, and why one that says something else is refused.

A project's file comes with a clone, so it may be a stranger's: it names places, and never credentials, keys, policies
or folders of this machine. The user's own file may. Owns the grammar; who wins over whom is up to ``named``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from artifact_store.errors import InvalidOption
from artifact_store.storage.home import at_home
from artifact_store.storage.options import Unshown
from artifact_store.wording import brief

FILE: Final = "artifact_store.toml"
USER: Final = "ARTIFACT_STORE_CONFIG"
"""The environment variable that names the user's file where it is not in its usual place."""
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""Of a store: none is a path, a URL or a drive of Windows."""
_LARGEST: Final = 1 << 20
_PLACES: Final[dict[str, tuple[type, ...]]] = {
    "url": (str,),
    "endpoint_url": (str,),
    "region": (str,),
    "engine": (str,),
    "timeout": (int, float),
    "min_rate": (int, float),
    "compression": (str,),
}
_OWN: Final[dict[str, tuple[type, ...]]] = {
    "profile": (str,),
    "storage_options": (dict,),
    "cache": (str,),
    "cache_size": (str, int),
    "staging": (str,),
    "concurrency": (str,),
    "signer": (str,),
    "trusted_keys": (list,),
    "require_signature": (bool,),
}
"""What only the user's own file may say of a store."""
_PATHS: Final = ("cache", "staging", "signer")
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}")
"""It becomes a part of the name of a host, so it holds no dot and no slash."""
_WORDS: Final = {
    str: "text",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
    bool: "true or false",
}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file that names stores; ``project``: it comes with a project, and not from the user."""

    path: Path
    project: bool
    default: str | None = None
    stores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """By name, the settings of each, with whole paths."""

    @property
    def owner(self) -> str:
        """Whose it is, in a word."""
        return "project" if self.project else "user"


def project_file(folder: Path) -> Path | None:
    """Return the file of the project that a folder belongs to: there, or above, up to a repository or the home."""
    home = _home()
    for place in (folder, *folder.parents):
        if (place / FILE).is_file():
            return place / FILE
        if place == home or (place / ".git").exists():
            return None
    return None


def user_file() -> Path:
    """Return where the user's own file is, or would be."""
    told = os.environ.get(USER)
    if told:
        return at_home(told).absolute()
    return user_folder() / FILE


def user_folder() -> Path:
    """Return the folder of what a user has said once for all: below ``XDG_CONFIG_HOME``, on Windows ``APPDATA``."""
    base = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "artifact-store"
    return at_home("~") / ".config" / "artifact-store"


def read_configuration(path: Path, *, project: bool) -> ConfigFile:
    """Return what a file says.

    Raises:
        InvalidOption: it is no TOML, or says something that means nothing there; or it is a project's that another
            user of this machine could have put there.
    """
    if project:
        _check_owner(path)
    try:
        with path.open("rb") as opened:
            data = opened.read(_LARGEST + 1)
    except OSError as error:
        raise InvalidOption(f"{path} cannot be read: {error.strerror}; correct its permissions") from error
    if len(data) > _LARGEST:
        raise InvalidOption(f"{path} is larger than {_LARGEST >> 20} MiB: it is no list of stores")
    try:
        said = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidOption(f"{path} is no TOML: {brief(str(error))}") from error
    return _checked(path, said, project=project)


def _checked(path: Path, said: Mapping[str, Any], *, project: bool) -> ConfigFile:
    default, stores = said.get("default"), said.get("stores", {})
    unknown = sorted(said.keys() - {"default", "stores"})
    if unknown or not isinstance(stores, dict) or not isinstance(default, str | None):
        what = f"has {brief(unknown[0])}" if unknown else "says it otherwise"
        raise InvalidOption(f'{path} names stores as [stores.NAME], and one of them as default = "NAME"; it {what}')
    found = {}
    for name, settings in stores.items():
        if not NAME.fullmatch(name):
            raise InvalidOption(
                f"{path}: {brief(name)} is no name of a store: letters, digits, _ and -, a letter first"
            )
        if not isinstance(settings, dict):
            raise InvalidOption(f"{path}: a store is a table, as in [stores.{name}]")
        found[name] = dict(_settings(path, name, settings, project=project))
    return ConfigFile(path, project, default, found)


def _settings(path: Path, name: str, settings: Mapping[str, Any], *, project: bool) -> Iterator[tuple[str, Any]]:
    for setting, value in settings.items():
        if setting in _OWN and project:
            raise InvalidOption(
                f"{path}: [stores.{name}] has {setting}, which a file that comes with a project does not decide: put it"
                f" into [stores.{name}] of your own file, {user_file()}"
            )
        kinds = (_PLACES | _OWN).get(setting)
        if kinds is None:
            known = ", ".join(_PLACES if project else _PLACES | _OWN)
            raise InvalidOption(f"{path}: [stores.{name}] has {brief(setting)}, and not one of {known}")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise InvalidOption(
                f"{path}: {setting} of [stores.{name}] is {' or '.join(_WORDS[kind] for kind in kinds)}"
            )
        yield setting, _value(path, name, setting, value)


def _value(path: Path, name: str, setting: str, value: Any) -> Any:
    """Return a setting as it means the same from every folder."""
    if setting == "region" and not _REGION.fullmatch(value):
        raise InvalidOption(f"{path}: region of [stores.{name}] is written as eu-central-1 is")
    if setting in _PATHS or (setting == "url" and "://" not in value):
        return str(path.parent / at_home(value))
    if setting == "storage_options":
        return Unshown.of(value)
    if setting == "trusted_keys":
        if not all(isinstance(each, str) for each in value):
            raise InvalidOption(f"{path}: trusted_keys of [stores.{name}] is a list of paths")
        return [str(path.parent / at_home(each)) for each in value]
    return value


def _check_owner(path: Path) -> None:
    """Refuse a project's file that another user put above, as in ``/tmp``; Windows has no such owner."""
    own = getattr(os, "geteuid", None)
    if own is not None and path.stat().st_uid not in {own(), 0}:
        raise InvalidOption(
            f"{path} belongs to another user, so it is not read as the file of your project: work in a folder of your "
            f"own, or name the store by its URL"
        )


def _home() -> Path | None:
    try:
        return at_home("~")
    except InvalidOption:
        return None
