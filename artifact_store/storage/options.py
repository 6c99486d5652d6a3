"""Where a store is and how to reach it: store URLs and storage options, checked.

Owns the grammar of store URLs. Nothing is decoded, and nothing expanded but the home folder of a path; no
refusal repeats what may hold a credential. Which option means what to a client is the engine's business.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn

from artifact_store.errors import EngineUnavailable, InvalidOption
from artifact_store.storage.home import at_home, text_of
from artifact_store.storage.option_secrets import Secrets, private_values, spellings
from artifact_store.wording import brief

LOCAL, MEMORY, S3, GCS, AZURE = "file", "memory", "s3", "gs", "az"
"""The schemes that this library serves itself; any other one belongs to fsspec."""
_SPELLINGS = {
    **dict.fromkeys(("file", "local"), LOCAL),
    **dict.fromkeys(("memory",), MEMORY),
    **dict.fromkeys(("s3", "s3a"), S3),
    **dict.fromkeys(("gs", "gcs"), GCS),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), AZURE),
}
_WITHOUT_COLON = re.compile(r"([a-z0-9]+)//")
CLOUD_SCHEMES: Final = frozenset(scheme for scheme, ours in _SPELLINGS.items() if ours in {S3, GCS, AZURE})
"""Of the storage that each of both engines serves."""

_NAMES = {
    S3: " (key, secret, token, or a profile)",
    GCS: " (token)",
    AZURE: " (account_name, account_key)",
}
_MEANT = {"s3n": S3, "minio": S3, "r2": S3, "azure": AZURE, "wasb": AZURE, "wasbs": AZURE, "google": GCS, "mem": MEMORY}
"""What other programs call the schemes."""
_SCHEMES = "a store is a folder, or s3://, gs://, az://, memory://, or what fsspec serves"
_NEAR_SCHEME = 0.5
_LONGEST = 4096
"""Characters: more than any system takes as a path. Every message has the place in it."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_DRIVE = re.compile(r"[A-Za-z]:(?:[\\/]|$)")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*)(?::[0-9]{1,5})?")
_ACCOUNT = re.compile(r"([a-z0-9][a-z0-9-]*)@([a-z0-9]+)((?:\.[a-z0-9-]+)+)")
_REFUSED = {
    "?": "a query",
    "#": "a fragment",
    ";": "parameters",
    "%": "an escape, and nothing is decoded here",
    "\\": "a backslash",
    **dict.fromkeys("*[]", "a pattern"),
}


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A place for a store: ``scheme`` as in this module or fsspec's own, bucket or container, and a prefix in it.

    ``text`` is the caller's spelling without a trailing slash; it holds no credential. ``prefix`` is a path of the
    machine for ``file``, and ``/``-separated without slashes around it elsewhere. ``account`` is the storage
    account of an Azure URL that names one.
    """

    scheme: str
    container: str
    prefix: str
    text: str
    account: str = ""

    def __str__(self) -> str:
        return self.text


def parse_url(url: str | os.PathLike[str]) -> StoreURL:
    """Read a store URL or a path. A ``Path`` object is always a path; text is one if it has no scheme.

    A path that begins with ``~`` lies in the home folder; ``./~`` is a folder of that name.

    Raises:
        InvalidOption: the text could mean two things, or would have to be decoded, or holds a credential; or there is
            no such home.
        EngineUnavailable: fsspec does not know the scheme either.
    """
    if isinstance(url, os.PathLike):
        text = text_of(url)
        _refuse_control(text)
        return _path(text)
    if not isinstance(url, str):
        raise InvalidOption(f"a store URL is text or a path, not a {type(url).__name__}")
    _refuse_control(url)
    if not url.strip():
        raise InvalidOption(
            "an empty store URL; write a folder such as './models' or a URL such as 's3://bucket/models'"
        )
    scheme = _SCHEME.match(url)
    if scheme is None or _DRIVE.match(url):
        return _bare_path(url)
    return _with_scheme(url, scheme[1])


def cloud_of(url: str) -> str:
    """Return the scheme of this module that the text of a store URL begins with; empty where it is none of a cloud."""
    scheme = _SCHEME.match(url)
    found = "" if scheme is None else _SPELLINGS.get(scheme[1], "")
    return found if found in {S3, GCS, AZURE} else ""


def _bare_path(text: str) -> StoreURL:
    if text.startswith(("//", ":")):
        _refuse(text, "it begins like a URL without a scheme; write the path with one slash, or the whole URL")
    meant = _WITHOUT_COLON.match(text)
    if meant is not None and meant[1] in _SPELLINGS:
        _refuse(text, f"did you mean {meant[1]}://? A folder of this name is './{meant[1]}/...'")
    for sign in "?#;%":
        if sign in text:
            _refuse(text, f"{sign!r} means something in a URL; pass pathlib.Path(...) if the folder is really named so")
    return _path(text)


def _path(text: str) -> StoreURL:
    home = text.startswith("~")
    return StoreURL(LOCAL, "", str(at_home(text)) if home else text, text)


def _with_scheme(text: str, scheme: str) -> StoreURL:
    rest = text[len(scheme) + 1 :]
    if scheme != scheme.lower():
        _refuse(text, f"write the scheme in lower case, {scheme.lower()}://")
    if "::" in text:
        _refuse(text, "chained filesystems serve old pointers from their caches, so a store takes only one")
    if not rest.startswith("//"):
        _refuse(text, f"after '{scheme}:' two slashes are expected; a folder of this name is './{scheme}:...'")
    rest = rest[2:]
    authority, _, path = rest.partition("/")
    if "@" in authority and not (_SPELLINGS.get(scheme) == AZURE and _ACCOUNT.fullmatch(authority)):
        raise InvalidOption(
            f"the URL of a store ({scheme}://...) holds no user and no password; give them as storage options"
            f"{_NAMES.get(_SPELLINGS.get(scheme, ''), '')}, or by environment"
        )
    for sign, meaning in _REFUSED.items():
        if sign in rest:
            _refuse(text, f"{sign!r} is not allowed ({meaning})")
    if _SPELLINGS.get(scheme) == LOCAL:
        return _local(text, scheme, authority, path)
    prefix = _prefix(text, path)
    if scheme not in _SPELLINGS:
        return _foreign(text, scheme, authority, prefix)
    return _object_store(text, scheme, authority, prefix)


def _local(text: str, scheme: str, authority: str, path: str) -> StoreURL:
    if authority or not path:
        _refuse(text, f"a {scheme} URL has three slashes and a whole path: {scheme}:///home/me/models")
    _prefix(text, path)
    return StoreURL(LOCAL, "", path if _DRIVE.match(path) else f"/{path}", text)


def _object_store(text: str, scheme: str, authority: str, prefix: str) -> StoreURL:
    container, _, host = authority.partition("@")
    if not _CONTAINER.fullmatch(container) and (container or scheme != MEMORY):
        _refuse(text, f"{scheme}:// is followed by the name of a bucket or container: {scheme}://bucket/models")
    account = host.partition(".")[0]
    return StoreURL(_SPELLINGS[scheme], container, prefix, text.rstrip("/") if container else text, account)


def _foreign(text: str, scheme: str, authority: str, prefix: str) -> StoreURL:
    from fsspec.registry import available_protocols

    if scheme not in available_protocols():
        ours = difflib.get_close_matches(scheme, [S3, GCS, AZURE, *_SPELLINGS], n=1, cutoff=_NEAR_SCHEME)
        near = _MEANT.get(scheme) or next(
            iter(ours or difflib.get_close_matches(scheme, available_protocols(), n=1)), ""
        )
        place = "/".join(part for part in (authority, prefix) if part)
        meant = f"did you mean {near}://{'/' if near == LOCAL else ''}{place}?" if near else _SCHEMES
        raise EngineUnavailable(f"nothing here serves {brief(scheme)} URLs, and fsspec does not know them: {meant}")
    if authority and not _HOST.fullmatch(authority):
        _refuse(text, f"after {scheme}:// comes the name of a host or bucket, with a port if need be")
    return StoreURL(scheme, authority, prefix, text.rstrip("/") if authority else text)


def _prefix(text: str, path: str) -> str:
    """Return the path without a trailing slash, if every segment of it is a plain name."""
    path = path.removesuffix("/")
    for segment in path.split("/") if path else ():
        if segment in {"", ".", ".."}:
            _refuse(text, f"a segment is {segment!r}; name the place directly")
        if segment != segment.strip():
            _refuse(text, "a segment begins or ends with white space")
    return path


def _refuse_control(text: str) -> None:
    if len(text) > _LONGEST:
        raise InvalidOption(f"a store URL or path has at most {_LONGEST:,} characters, and {_shown(text)} has more")
    if any(unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} for sign in text):
        raise InvalidOption("a store URL or path holds a control character")


def _refuse(text: str, why: str) -> NoReturn:
    raise InvalidOption(f"{_shown(text)} cannot be the place of a store: {why}")


def _shown(text: str) -> str:
    """Return the text as far as it can hold no credential: no query, no escape, and nothing at all beside an ``@``."""
    if "@" in text:
        return "a store URL with an '@'"
    head = re.split(r"[?;#%]", text, maxsplit=1)[0]
    scheme, mark, rest = head.partition("://")
    if mark and ":" in rest.partition("/")[0]:
        return f"'{scheme}://...'"
    return brief(head if head == text else f"{head}...")


# ---------------------------------------------------------------- options


class Unshown(dict[Any, Any]):
    """Options, of which not even the names are shown: a report of an error prints what it finds on its way."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return ``value`` with each dictionary in it unshown; anything else is as it was."""
        return cls({name: cls.of(below) for name, below in value.items()}) if type(value) is dict else value

    @classmethod
    def plain(cls, value: Any) -> Any:
        """Return ``value`` as it was: some clients tell their options apart by the ``repr``."""
        return {name: cls.plain(below) for name, below in value.items()} if type(value) is cls else value

    def __repr__(self) -> str:
        return f"<{len(self)} options>"


class StorageOptions:
    """The caller's storage options, kept from sight: no ``repr`` and no pickle holds what may be a credential.

    That is everything which is not known to be harmless. ``given`` is what the caller wrote, for the client that it is
    meant for; ``private`` names the options that hold such a thing, and ``secrets`` are the texts in them that must
    appear in no message.
    """

    __slots__ = ("given", "private", "secrets")

    def __init__(self, given: object = None) -> None:
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            raise InvalidOption(f"storage_options is a mapping, not a {type(given).__name__}")
        for name in given:
            if not isinstance(name, str):
                raise InvalidOption(f"the names of storage options are text, not {type(name).__name__}")
            if not name.isidentifier():  # part of a URL perhaps, with a signature in it: so it is not repeated
                raise InvalidOption(
                    "the name of a storage option has letters, digits and '_' only, and one of those given has others; "
                    "it is not repeated here, since it may hold a credential"
                )
        self.given: Mapping[str, Any] = MappingProxyType(Unshown.of(dict(given)))
        hidden = list(private_values(self.given))
        self.private: tuple[str, ...] = tuple(sorted({name for name, _ in hidden}))
        told = {text for _, value in hidden for text in spellings(value) if text}
        self.secrets = Secrets(sorted(told))

    @classmethod
    def of(cls, options: StorageOptions | Mapping[str, Any] | None) -> StorageOptions:
        """Return ``options`` themselves, or make them from what the caller wrote."""
        return options if isinstance(options, StorageOptions) else cls(options)

    def plain(self) -> dict[str, Any]:
        """Return what the caller wrote, for the client that it is meant for: not to be kept in a variable."""
        return {name: Unshown.plain(value) for name, value in self.given.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self.given))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageOptions) and dict(self.given) == dict(other.given)

    __hash__ = None  # type: ignore[assignment]  # the values may be lists and dicts

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as what the caller wrote.

        Raises:
            InvalidOption: there are credentials in it, or what may be some: no pickle of ours may carry them.
        """
        if self.private:
            raise InvalidOption(
                f"storage options that are, or may be, credentials ({', '.join(self.private)}) are not pickled, since "
                "the pickle would hold them; let each process open the store, or give credentials by profile or "
                "environment"
            )
        return StorageOptions, (self.plain(),)
