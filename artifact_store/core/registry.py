"""Which codec stores an object, and which one reads it back.

Codecs come from the entry points of the installed distributions (group ``artifact_store.codecs``, named
``{codec name}-{version}``), read once and imported only when they are needed, or from :meth:`CodecRegistry.register`.
Owns the choice. Does not know what codecs do, and imports none before it is asked for one.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from artifact_store.core.codec import Codec, CodecRef, Risk
from artifact_store.core.ways_out import made_of
from artifact_store.errors import CodecUnavailable, InvalidOption, NoCodec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "artifact_store.codecs"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_ENTRY = re.compile(r"([a-z][a-z0-9-]{0,63})-([1-9][0-9]{0,5})")


@runtime_checkable
class Selective(Protocol):
    """What a codec has besides if its ``types`` say too little: a check of the object itself.

    A dict of arrays and a dict of text have one type, and one codec each. ``accepts`` is asked on save only, must be
    quick, and imports no framework. A codec without it accepts every object of its types.
    """

    def accepts(self, obj: Any) -> bool:
        """Tell whether this codec should be chosen for ``obj``, which is of one of its ``types``."""
        ...


_Offer = tuple[CodecRef, Codec]
"""A codec that could be chosen. Two distributions may offer one ref; using it is then an error."""


class CodecRegistry:
    """The codecs that this process can use.

    Choosing on save goes by the type of the object: the most specific of its classes that a codec names wins, and the
    newest version of that codec. A codec that decodes by running code is never chosen so; it has to be named.
    Looking up on load takes exactly the recorded name and version, and imports nothing else.

    Safe to use from many threads.
    """

    def __init__(self) -> None:
        self._registered: dict[CodecRef, Codec] = {}
        self._loaded: dict[EntryPoint, Codec] = {}
        self._warned: set[EntryPoint] = set()

    def register(self, codec: Codec | type[Codec]) -> None:
        """Add a codec, or its class, by hand: for notebooks and tests. It takes precedence over an installed one.

        Raises:
            InvalidOption: it is not a codec, or another one was registered under the same name and version.
        """
        instance = codec() if isinstance(codec, type) else codec
        problem = _problem(instance)
        if problem:
            raise InvalidOption(f"{_named(type(instance))} is not a codec: {problem}")
        ref = CodecRef(instance.name, instance.version)
        earlier = self._registered.get(ref)
        if earlier is not None and type(earlier) is not type(instance):
            raise InvalidOption(f"{_named(type(earlier))} is {ref} already; give this one another version")
        self._registered[ref] = instance

    def for_ref(self, ref: CodecRef) -> Codec:
        """Return exactly the codec that was recorded.

        Raises:
            CodecUnavailable: it is not installed, cannot be imported, or two distributions claim to be it.
        """
        registered = self._registered.get(ref)
        if registered is not None:
            return registered
        entries = self._installed.get(ref, ())
        if not entries:
            raise CodecUnavailable(self._missing(ref))
        if len(entries) > 1:
            owners = " and ".join(sorted(owner_of(entry) for entry in entries))
            raise CodecUnavailable(f"{owners} both provide the codec {ref}, so neither is used: uninstall one of them")
        return self._load(ref, entries[0])

    def for_object(self, obj: Any, name: str | None = None) -> Codec:
        """Return the codec to store ``obj`` with: the newest one called ``name``, or the one for its type.

        Raises:
            NoCodec: no codec is registered for it, or only one that has to be named because it decodes by running code.
            InvalidOption: several fit equally well; name one.
            CodecUnavailable: it cannot be imported, or two distributions claim to be it.
        """
        if name is not None:
            return self.for_ref(self._newest_called(name))
        offers = list(self._offers())
        declined: list[_Offer] = []
        for kind in (_named(base) for base in type(obj).__mro__):
            takers = [(ref, codec) for ref, codec in offers if kind in codec.types]
            willing = {ref for ref, codec in takers if _willing(codec, obj)}
            if len(willing) > 1:
                names = " or ".join(f"codec={ref.name!r}" for ref in sorted(willing))
                raise InvalidOption(f"several codecs store a {kind}: say which with {names}")
            if willing:
                return self.for_ref(willing.pop())
            declined += takers
        raise NoCodec(_nothing_for(obj, declined))

    @cached_property
    def _installed(self) -> dict[CodecRef, tuple[EntryPoint, ...]]:
        from importlib.metadata import entry_points

        found: dict[CodecRef, tuple[EntryPoint, ...]] = {}
        for entry in entry_points(group=GROUP):
            match = _ENTRY.fullmatch(entry.name)
            if match is None:
                warnings.warn(
                    f"{owner_of(entry)} has the codec {entry.name!r}, which cannot be used: "
                    "the entry point has to be named {codec name}-{version}",
                    RuntimeWarning,
                    stacklevel=3,
                )
                continue
            ref = CodecRef(match[1], int(match[2]))
            found[ref] = (*found.get(ref, ()), entry)
        return found

    def _load(self, ref: CodecRef, entry: EntryPoint) -> Codec:
        if entry in self._loaded:
            return self._loaded[entry]
        try:
            made: Codec = entry.load()()
        except Exception as error:
            raise CodecUnavailable(
                f"the codec {ref} of {owner_of(entry)} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        problem = _problem(made)
        if not problem and CodecRef(made.name, made.version) != ref:
            problem = f"it calls itself {made.name}-{made.version}"
        if problem:
            raise CodecUnavailable(f"the codec {ref} of {owner_of(entry)} is not a codec: {problem}")
        return self._loaded.setdefault(entry, made)

    def _newest(self) -> dict[str, CodecRef]:
        newest: dict[str, CodecRef] = {}
        for ref in sorted({*self._installed, *self._registered}):
            newest[ref.name] = ref
        return newest

    def _newest_called(self, name: str) -> CodecRef:
        newest = self._newest()
        if name not in newest:
            close = difflib.get_close_matches(name, newest, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise NoCodec(f"no codec is called {name!r}{hint} Installed: {', '.join(sorted(newest)) or 'none'}")
        return newest[name]

    def _offers(self) -> Iterator[_Offer]:
        for ref in self._newest().values():
            if ref in self._registered:
                yield ref, self._registered[ref]
                continue
            for entry in self._installed[ref]:
                try:
                    yield ref, self._load(ref, entry)
                except CodecUnavailable as error:  # one broken plug-in must not keep all models from being saved
                    self._warn(entry, error)

    def _warn(self, entry: EntryPoint, error: CodecUnavailable) -> None:
        if entry not in self._warned:
            self._warned.add(entry)
            warnings.warn(f"{error}. It is left out", RuntimeWarning, stacklevel=5)

    def _missing(self, ref: CodecRef) -> str:
        known = sorted(other for other in {*self._installed, *self._registered} if other.name == ref.name)
        if not known:
            return (
                f"the codec {ref} is not installed. Install the distribution that the saver used "
                f"(one with the entry point {str(ref)!r} in {GROUP!r}); if artifact-store itself has it by now: "
                "pip install --upgrade artifact-store"
            )
        owners = sorted({owner_of(entry) for other in known for entry in self._installed.get(other, ())})
        who = " or ".join(owners) or "the distribution that it was registered from"
        if known[-1].version < ref.version:
            return f"the codec {ref} is newer than {known[-1]}, the newest installed here: upgrade {who}"
        return f"the codec {ref} is not installed, only {', '.join(map(str, known))}: install another release of {who}"


def _willing(codec: Codec, obj: Any) -> bool:
    if codec.risk is Risk.CODE:
        return False
    return codec.accepts(obj) if isinstance(codec, Selective) else True


def _nothing_for(obj: Any, declined: list[_Offer]) -> str:
    kind = _named(type(obj))
    dangerous = sorted({ref.name for ref, codec in declined if codec.risk is Risk.CODE})
    if dangerous:
        return (
            f"only {' and '.join(dangerous)} would store a {kind}, and reading that back can run code. "
            f"If you want that, say so with codec={dangerous[0]!r}"
        )
    if declined:
        names = ", ".join(sorted({ref.name for ref, _ in declined}))
        instead = f". To store what it is made of, {made_of(obj)}" if made_of(obj) else ""
        return f"no codec stores this {kind}: {names} would take some of that type, but not this one{instead}"
    instead = made_of(obj) or "save what it is made of"
    return f"no installed codec stores a {kind}: {instead}, or register a codec for it"


def _problem(codec: Any) -> str:
    """Return what keeps ``codec`` from being one, or nothing."""
    name, version, risk, types = (getattr(codec, part, None) for part in ("name", "version", "risk", "types"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"its name {name!r} is not lower case with digits and '-'"
    if not isinstance(version, int) or version < 1:
        return f"its version {version!r} is not 1 or more"
    if not isinstance(risk, Risk):
        return f"its risk {risk!r} is not one of {', '.join(Risk)}"
    if not _are_texts(types):
        return "its types are not a tuple of dotted names"
    return _lacking(codec)


def _lacking(codec: Any) -> str:
    if not _are_texts(getattr(codec, "libraries", ())):
        return "its libraries are not a tuple of names of distributions"
    if not hasattr(codec, "extra") or not callable(getattr(codec, "encode", None)):
        return "it lacks extra or encode"
    return "" if callable(getattr(codec, "decode", None)) else "it lacks decode"


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(part, str) for part in value)


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def owner_of(entry: EntryPoint) -> str:
    """Return the name of the distribution that an entry point is from."""
    return entry.dist.name if entry.dist is not None else "an unknown distribution"
