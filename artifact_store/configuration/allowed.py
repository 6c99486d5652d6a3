"""The endpoints of project files that the user said yes to: asked once for each file, store, place and endpoint.

A project's file may come from a stranger, and a client signs its requests for whatever endpoint it is given. So nothing
is sent to one before the user has allowed it.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artifact_store import private_files
from artifact_store.canonical import canonical, sha256
from artifact_store.configuration.files import user_file
from artifact_store.errors import EndpointNotAllowed, InvalidOption

_FILE = "allowed-endpoints.json"
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a project's file wants a store to be reached."""

    file: Path
    store: str
    url: str
    endpoint: str

    @property
    def digest(self) -> str:
        """What is remembered of it: another place or another endpoint is asked for anew."""
        return sha256(canonical([str(self.file), self.store, self.url, self.endpoint]))

    @property
    def is_allowed(self) -> bool:
        """Whether the user has said yes."""
        return self.digest in _allowed()

    def check(self, ask: Callable[[str], bool | None] | None = None) -> None:
        """Return if the user has allowed it, or does so now, asked by ``ask``.

        Raises:
            EndpointNotAllowed: neither; ``ask`` returns ``None`` if nobody is there.
        """
        if self.is_allowed:
            return
        through = f", reached through {self.endpoint}" if self.endpoint != self.url else ""
        what = f"{self.file}, which comes with the project, has the store {self.store} at {self.url}{through}"
        if ask is not None and ask(f"{what}. Send your models and requests with your credentials there?"):
            self.allow()
            return
        raise EndpointNotAllowed(
            f"{what}, and you have not allowed that. If you trust it, run once: artifact-store config "
            f"allow {self.store}"
        )

    def allow(self) -> None:
        """Remember that the user allows it.

        Raises:
            InvalidOption: that cannot be written down.
        """
        path = _path()
        known = {**_allowed(), self.digest: {"file": str(self.file), "store": self.store, "endpoint": self.endpoint}}
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            private_files.make_folder(path.parent, private_files.PRIVATE)
            with private_files.create(temporary) as opened:
                opened.write(json.dumps(known, indent=2).encode())
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                temporary.unlink()
            raise InvalidOption(f"{path} cannot be written: {error.strerror}; correct its permissions") from error


def _path() -> Path:
    return user_file().with_name(_FILE)


def _allowed() -> dict[str, object]:
    """Return what was allowed; a file that is damaged allows nothing."""
    try:
        with _path().open("rb") as opened:
            known = json.loads(opened.read(_MOST))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
