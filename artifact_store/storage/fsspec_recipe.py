"""How to make an fsspec filesystem in any process, without ever passing a living client on.

Owns the construction of filesystem instances and what of their options is secret. A client that was made before a
fork hangs or raises in the child, and pickles of one carry its credentials: so what travels is the class and its
arguments, and only where they hold no credential.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from artifact_store.core.errors import EngineUnavailable, InvalidOption, Unsupported

_SENSITIVE = re.compile(
    r"secret|token|passw|passphrase|credential|connection_string|.+_key$|(^|_)auth$|(^|_)sas(_|$)", re.IGNORECASE
)
_OURS = {"skip_instance_cache": True, "use_listings_cache": False, "asynchronous": False}


class Recipe:
    """A filesystem class and its arguments, or an instance that somebody handed over.

    ``get`` returns one instance per process. An instance that was handed over is used in its own process as it is
    (it may hold state that its arguments do not tell); elsewhere it is made anew from its class and arguments.
    """

    def __init__(self, kind: type[Any], options: Mapping[str, Any], *, args: tuple[Any, ...] = ()) -> None:
        self.kind = kind
        self.args = args
        self.options = dict(options)
        self._handed = False
        self._instances: dict[int, Any] = {}

    @classmethod
    def from_protocol(cls, protocol: str, options: Mapping[str, Any]) -> Recipe:
        """Find the class that serves ``protocol``.

        Raises:
            EngineUnavailable: fsspec knows no such protocol, or the package that serves it is not installed.
        """
        from fsspec import get_filesystem_class

        try:
            kind = get_filesystem_class(protocol)
        except (ImportError, ValueError) as missing:
            raise EngineUnavailable(f"no filesystem for {protocol}:// is installed here: {missing}") from missing
        return cls(kind, options)

    @classmethod
    def from_instance(cls, filesystem: Any, *, anew: bool = False) -> Recipe:
        """Use a ready filesystem; with ``anew`` only as the description of another one like it."""
        recipe = cls(type(filesystem), filesystem.storage_options, args=tuple(filesystem.storage_args))
        recipe.options.pop("loop", None)  # an event loop belongs to its process
        if not anew:
            recipe._handed = True
            recipe._instances[os.getpid()] = filesystem
        return recipe

    def get(self) -> Any:
        """Return this process's instance. Instances of other processes are kept, never used, never closed.

        Raises:
            InvalidOption: the class does not take these options.
            Unsupported: an instance that was handed over before a fork cannot be made anew.
        """
        found = self._instances.get(os.getpid())
        # setdefault is one step: of two threads that build at once, both use the first one's
        return found or self._instances.setdefault(os.getpid(), self._build())

    def forget(self) -> Any | None:
        """Drop and return the instance of this process, unless it is somebody else's."""
        return None if self._handed else self._instances.pop(os.getpid(), None)

    def secrets(self) -> tuple[str, ...]:
        """Return every value that must appear in no text that we write."""
        return tuple(sorted({secret for secret in _sensitive(self.options) if secret}))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.__name__}, options={sorted(self.options)})"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as class and arguments.

        Raises:
            InvalidOption: the options hold credentials, which no pickle of ours may carry.
        """
        if self.secrets():
            raise InvalidOption(
                f"a {self.kind.__name__} with credentials in its options is not pickled, since the pickle would hold "
                "them; let each process open the store, or give credentials by profile or environment"
            )
        return _restore, (self.kind, self.args, self.options, self._handed)

    def _build(self) -> Any:
        try:
            return self.kind(*self.args, **self.options | _OURS)
        except (TypeError, ValueError, KeyError) as error:
            trouble = str(error)
        if self._handed:
            raise Unsupported(
                f"the {self.kind.__name__} that was handed over was made in another process and cannot be made anew "
                f"here ({trouble}); open the store in this process"
            )
        raise InvalidOption(f"{self.kind.__name__} does not take these storage options: {trouble}")


def _restore(kind: type[Any], args: tuple[Any, ...], options: Mapping[str, Any], handed: bool) -> Recipe:  # noqa: FBT001 -- pickle passes by position
    recipe = Recipe(kind, options, args=args)
    recipe._handed = handed  # noqa: SLF001 -- this is the other half of __reduce__
    return recipe


def _sensitive(value: object, *, named: bool = False) -> Iterator[str]:
    match value:
        case Mapping():
            for name, below in value.items():
                yield from _sensitive(below, named=named or bool(_SENSITIVE.search(str(name))))
        case list() | tuple():
            for below in value:
                yield from _sensitive(below, named=named)
        case str() if named:
            yield value
        case _:
            return
