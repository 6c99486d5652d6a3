"""The settings of a store by its name, each with where it comes from: what is given, the project's file, the user's.

Makes the arguments of a store out of them, and opens none.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from artifact_store.configuration.allowed import Endpoint
from artifact_store.configuration.files import FILE, NAME, ConfigFile, project_file, read_configuration, user_file
from artifact_store.core.trust import LoadPolicy
from artifact_store.errors import InvalidOption
from artifact_store.ops.keypairs import PublicKey, Signer
from artifact_store.storage.options import StorageOptions, Unshown
from artifact_store.wording import brief

URL: Final = "ARTIFACT_STORE_URL"
"""The environment variable that names a store, by its name or its URL, where no argument does."""
PASSWORD: Final = "ARTIFACT_STORE_KEY_PASSWORD"  # noqa: S105 -- the name of a variable
"""The environment variable that has the password of a private key."""
LoadSigner = Callable[[Path], Signer | None]
_OPTIONS: Final = ("endpoint_url", "region", "profile")
"""Settings that are storage options."""
_SAFE: Final = ("s3://", "s3a://", "gs://", "gcs://", "memory://", "file://")
"""Places whose host is that of a cloud, or none, whatever follows."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, and where it comes from: a file, or a variable of the environment."""

    value: Any
    source: str
    file: ConfigFile | None = None


class Configuration:
    """The stores that a project and its user have named.

    ``folder`` is where the project is looked for, upwards; the working directory unless given. What is wrong with a
    file raises ``InvalidOption`` as soon as it is read.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.user = user_file()
        project = project_file(Path.cwd() if folder is None else folder.absolute())
        self.project = None if project == self.user else project
        files = [] if self.project is None else [read_configuration(self.project, project=True)]
        self.files = (*files, *([read_configuration(self.user, project=False)] if self.user.is_file() else []))
        """Those that there are, the one that wins first."""

    @property
    def names(self) -> list[str]:
        """The names of all stores, in order."""
        return sorted({name for file in self.files for name in file.stores})

    @property
    def default(self) -> Setting | None:
        """The name of the store that is meant where none is named; the only one needs not be said."""
        for file in self.files:
            if file.default is not None:
                return Setting(file.default, f"{file.owner} {file.path}", file)
        names = self.names
        return Setting(names[0], "the only one") if len(names) == 1 else None

    def settings(self, name: str) -> dict[str, Setting]:
        """Return what is said of a store: each setting from the first file that has it.

        Raises:
            InvalidOption: no file names this store, or none says where it is.
        """
        found: dict[str, Setting] = {}
        for file in reversed(self.files):
            for setting, value in file.stores.get(name, {}).items():
                found[setting] = Setting(value, f"{file.owner} {file.path}", file)
        if name not in self.names:
            raise InvalidOption(f"no store is called {brief(name)}: {self._known(name)}")
        if "url" not in found:
            raise InvalidOption(f"nothing says where the store {name} is: give url in [stores.{name}] of {self.user}")
        return found

    def _known(self, name: str) -> str:
        names = self.names
        if not names:
            return f"write [stores.NAME] with its url into {FILE} of the project, or into {self.user}"
        return _near(name, names) or f"there are {', '.join(names)}"

    def endpoint(self, name: str) -> Endpoint | None:
        """Return where a project's file wants this store to be reached, if that takes the user's yes."""
        found = self.settings(name)
        url = found["url"]
        told = found.get("endpoint_url")
        if told is not None and told.file is not None and told.file.project:
            return Endpoint(told.file.path, name, url.value, told.value)
        if url.file is None or not url.file.project:
            return None
        own = {file.stores[name].get("url", url.value) for file in self.files if name in file.stores}
        return Endpoint(url.file.path, name, url.value, url.value) if _is_far(url.value) or own != {url.value} else None

    def arguments(
        self, name: str, load_signer: LoadSigner, *, ask: Callable[[str], bool | None] | None = None
    ) -> dict[str, Any]:
        """Return the arguments of :class:`~artifact_store.ArtifactStore`. Reads the keys, and opens no store.

        ``ask`` asks the user whether an endpoint is allowed, and returns ``None`` if nobody is there.

        Raises:
            InvalidOption: no file names this store, or what is said of it means nothing.
            EndpointNotAllowed: a project's file names an endpoint that the user has not allowed.
        """
        values = Unshown({setting: found.value for setting, found in self.settings(name).items()})
        endpoint = self.endpoint(name)
        if endpoint is not None:
            endpoint.check(ask)
        named = {key: values.pop(key) for key in _OPTIONS if key in values}
        options = Unshown({**values.pop("storage_options", {}), **named})
        keys, demanded = values.pop("trusted_keys", []), values.pop("require_signature", False)
        signer = values.pop("signer", None)
        if keys or demanded:
            trusted = [PublicKey.from_pem(Path(path)) for path in keys]
            values["policy"] = LoadPolicy(trusted_keys=trusted, require_signature=demanded)
        if signer is not None:
            values["signer"] = load_signer(Path(signer))
        return Unshown({**values, "storage_options": options} if options else values)


def arguments(
    told: str | None, load_signer: LoadSigner, *, ask: Callable[[str], bool | None] | None = None
) -> dict[str, Any]:
    """Return the arguments of a store by its name in a configuration, or by its place.

    Raises:
        InvalidOption: nothing is told, and no file says which store is meant; or a folder has the same name; or a file
            means nothing.
        EndpointNotAllowed: as :meth:`Configuration.arguments`.
    """
    if told and not NAME.fullmatch(told):
        return {"url": told}
    configuration = Configuration()
    name = chosen(told, configuration)
    return {"url": told} if name is None else configuration.arguments(name, load_signer, ask=ask)


def chosen(told: str | None, configuration: Configuration) -> str | None:
    """Return the name of the store that is meant, or ``None`` if ``told`` is a place.

    Raises:
        InvalidOption: nothing is told, and no file says which store is meant; or a folder has the same name.
    """
    if not told:
        default = configuration.default
        if default is None:
            raise InvalidOption(_which(configuration.names))
        return str(default.value)
    is_path, is_name = Path(told).exists(), told in configuration.names
    if is_path and is_name:
        raise InvalidOption(f"{told} is a folder here, and the name of a store too: write ./{told} for the folder")
    near = None if is_path or is_name else _near(told, configuration.names)
    if near:
        raise InvalidOption(f"no store and no folder here is called {told}: {near}; for a new folder write ./{told}")
    return told if is_name else None


def opened_by(name: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a store for a library: its name or the environment's, and what is given before all.

    Raises:
        InvalidOption, EndpointNotAllowed: as :func:`arguments`.
    """

    def load_signer(path: Path) -> Signer:
        return Signer.from_pem(path, os.environ.get(PASSWORD))

    given = Unshown(given)
    if name is None:
        found = arguments(os.environ.get(URL), load_signer)
    else:
        found = Configuration().arguments(name, load_signer)
    options = StorageOptions.of(given.pop("storage_options", None))
    merged = Unshown({**found.pop("storage_options", {}), **options.given})
    return Unshown({**found, **given, **({"storage_options": StorageOptions(merged)} if merged else {})})


def _is_far(url: str) -> bool:
    """Tell whether a URL names a host of its own: by its scheme, behind another one, or as Windows names a share."""
    if "://" in url:
        return "::" in url or not url.startswith(_SAFE)
    return url.startswith(("//", "\\\\"))


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else ""


def _which(names: Sequence[str]) -> str:
    if names:
        return f'which store? Name one of {", ".join(names)}, or write default = "NAME" into a configuration'
    return (
        f"which store? Give --store URL, or set {URL}: a folder, s3://bucket/prefix, gs://... or az://...; or name one"
        f" in {FILE}"
    )
