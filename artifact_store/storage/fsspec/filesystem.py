"""How to make an fsspec filesystem in any process, without ever passing a living client on.

Owns the construction of filesystem instances. A client that was made before a fork hangs or raises in the child,
and pickles of one carry its credentials: so what travels is the class and its arguments, and only where they hold
no credential.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from artifact_store.errors import EngineUnavailable, InvalidOption, Unavailable, Unsupported
from artifact_store.installing import pip_install
from artifact_store.process import Process, this_process
from artifact_store.storage.environment_secrets import secrets_around
from artifact_store.storage.option_secrets import Secrets, private_values, spellings
from artifact_store.storage.options import CLOUD_SCHEMES, StorageOptions
from artifact_store.storage.redaction import redact
from artifact_store.storage.threads import none_left, tells_of_no_thread

_ALONE = {"skip_instance_cache": True}
_NEAR = 0.8
"""How alike two names have to be, as difflib counts it, for one to be a misspelling of the other."""
_UNCACHED = {"use_listings_cache": False, "asynchronous": False}


class Recipe:
    """A filesystem class and its arguments, or an instance that the caller gave.

    ``get`` returns one instance per process. An instance that was handed over is used in its own process as it is
    (it may hold state that its arguments do not tell); elsewhere it is made anew from its class and arguments.
    """

    def __init__(self, kind: type[Any], options: StorageOptions | Mapping[str, Any], *, handed: bool = False) -> None:
        self.kind = kind
        self.options = StorageOptions.of(options)
        self._handed = handed
        self._instances: dict[Process, Any] = {}

    @classmethod
    def from_protocol(cls, protocol: str, options: Mapping[str, Any]) -> Recipe:
        """Find the class that serves ``protocol``.

        Raises:
            EngineUnavailable: none is known, or installed.
            InvalidOption: an option is written nearly as one of those that the class has, and would be ignored.
        """
        from fsspec import get_filesystem_class

        try:
            kind = get_filesystem_class(protocol)
        except (ImportError, ValueError) as missing:
            other = f"; or, for the engine 'obstore': {pip_install('s3')}" if protocol in CLOUD_SCHEMES else ""
            raise EngineUnavailable(f"no filesystem for {protocol}:// is installed here: {missing}{other}") from missing
        _refuse_misspelt(kind, options)
        return cls(kind, options)

    @classmethod
    def from_instance(cls, filesystem: Any, *, anew: bool = False) -> Recipe:
        """Use a ready filesystem; with ``anew`` only as the description of another one like it."""
        kind = type(filesystem)
        if not hasattr(filesystem, "storage_args"):
            raise InvalidOption(f"filesystem is a filesystem of fsspec, not a {kind.__qualname__}")
        # by name, so that a secret among the positional ones is known for one
        _, *names = inspect.signature(kind.__init__).parameters
        options = dict(zip(names, filesystem.storage_args, strict=False))
        options |= filesystem.storage_options
        options.pop("loop", None)  # an event loop belongs to its process
        recipe = cls(kind, options, handed=not anew)
        if not anew:
            recipe._instances[this_process()] = filesystem
        return recipe

    @property
    def secrets(self) -> Secrets:
        """All that no message may hold: of these options, of fsspec's configuration for this class, and around."""
        from fsspec.config import apply_config

        configured = private_values(apply_config(self.kind, {}))
        told = (text for _, value in configured for text in spellings(value) if text)
        return Secrets({*self.options.secrets, *told, *secrets_around()})

    def get(self) -> Any:
        """Return this process's instance. Instances of other processes are kept, never used, never closed.

        Raises:
            InvalidOption: the class does not take these options.
            Unsupported: an instance that was handed over before a fork cannot be made anew.
            Unavailable: no thread can be started for what the instance does.
        """
        found = self._instances.get(this_process())
        if found is None:
            # setdefault is one step: of two threads that build at once, both use the first one's
            found = self._instances.setdefault(this_process(), self._build())
        return found

    def arguments(self) -> dict[str, Any]:
        """Return what the class is called with, for no longer than that: it may hold credentials."""
        return self.options.plain()

    def forget(self) -> Any | None:
        """Drop and return the instance of this process, unless the caller gave it."""
        return None if self._handed else self._instances.pop(this_process(), None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.__name__}, {self.options!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as class and options; options with credentials refuse to be pickled."""
        return partial(type(self), handed=self._handed), (self.kind, self.options)

    def _build(self) -> Any:
        from fsspec import AbstractFileSystem

        if any(isinstance(value, AbstractFileSystem) for value in self.options.given.values()):
            raise Unsupported(f"{self._elsewhere}: it wraps another filesystem. Open the store in this process")
        _start_loop(self.kind)
        given, failure = self.arguments(), ""
        for ours in (_UNCACHED | _ALONE, _ALONE):  # some are strict, and take no argument but their own
            try:
                return self.kind(**{**given, **ours})
            except (TypeError, ValueError, KeyError) as error:
                failure = redact(str(error), self.secrets)
        if self._handed:
            raise Unsupported(f"{self._elsewhere}: {failure}. Open the store in this process")
        raise InvalidOption(f"{self.kind.__name__} does not take these storage options: {failure}")

    @property
    def _elsewhere(self) -> str:
        return f"a {self.kind.__name__} that was handed over in another process cannot be made anew in this one"


def _refuse_misspelt(kind: type[Any], options: Iterable[str]) -> None:
    """Raise ``InvalidOption`` for a name that is nearly one of the class's own: most classes ignore unknown ones.

    Names that are like none are passed on, since many classes hand them over to another library.
    """
    known = {
        name
        for base in kind.__mro__
        if "__init__" in vars(base) and base is not object
        for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items()
        if name != "self" and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    }
    for name in options:
        if name not in known and (near := difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)):
            raise InvalidOption(f"unknown storage option {name}; did you mean {near[0]}?")


def _start_loop(kind: type[Any]) -> None:
    """Let the event loop run that all asynchronous filesystems of this process share.

    Where its thread could not be started, fsspec keeps the loop all the same, and all calls would wait for ever.
    """
    from fsspec import asyn

    if not issubclass(kind, asyn.AsyncFileSystem):
        return
    failure: Unavailable | None = None
    while failure is None:
        try:
            asyn.get_loop()
        except RuntimeError as error:
            if not tells_of_no_thread(str(error)):
                raise
            failure = none_left(error)
        if _runs(asyn):
            return
        with asyn.get_lock():  # now nobody is between making a loop and starting its thread
            if _runs(asyn):
                return
            loop, asyn.loop[0] = asyn.loop[0], None
            if loop is not None:
                loop.close()
    raise failure


def _runs(asyn: Any) -> bool:
    return asyn.iothread[0] is not None or (asyn.loop[0] is not None and asyn.loop[0].is_running())
