"""Which storage options are known to be harmless. All others are secrets, whatever they are called.

Owns the list. A header, a cookie, a customer's encryption key, or an option of a filesystem that this library does not
know may be a credential. So nothing is guessed from a name: what is not listed is kept out of every message and pickle.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

_Names = Mapping[str, Any]  # to None for a value, to names for options within the option


def _plain(names: str) -> dict[str, None]:
    return dict.fromkeys(names.split())


_ADDRESSES = _plain("http https")
_BOTOCORE: _Names = {
    **_plain(
        "region_name signature_version user_agent user_agent_extra user_agent_appid connect_timeout read_timeout "
        "parameter_validation max_pool_connections tcp_keepalive inject_host_prefix use_dualstack_endpoint "
        "use_fips_endpoint ignore_configured_endpoint_urls disable_request_compression "
        "request_min_compression_size_bytes request_checksum_calculation response_checksum_validation "
        "sigv4a_signing_region_set http_session_cls"
    ),
    "s3": _plain(
        "addressing_style use_accelerate_endpoint use_arn_region payload_signing_enabled us_east_1_regional_endpoint"
    ),
    "retries": _plain("max_attempts total_max_attempts mode"),
    "proxies": _ADDRESSES,
    "proxies_config": _plain("proxy_ca_bundle proxy_use_forwarding_for_https"),
}
_REQUESTS = _plain(
    "ServerSideEncryption SSEKMSKeyId BucketKeyEnabled SSECustomerAlgorithm ChecksumAlgorithm ChecksumType "
    "StorageClass ACL RequestPayer ExpectedBucketOwner ContentType CacheControl ObjectLockMode "
    "ObjectLockRetainUntilDate ObjectLockLegalHoldStatus"
)
_HARMLESS: _Names = {
    **_plain("asynchronous skip_instance_cache use_listings_cache listings_expiry_time max_paths"),  # any filesystem
    **_plain("anon endpoint_url profile region use_ssl requester_pays version_aware cache_regions default_block_size"),
    **_plain("default_cache_type default_fill_cache max_concurrency fixed_upload_size"),
    "client_kwargs": _plain("region_name endpoint_url verify use_ssl api_version"),
    "config_kwargs": _BOTOCORE,
    "s3_additional_kwargs": _REQUESTS,
    **_plain("project access consistency cache_timeout requests_timeout default_location secure_serialize"),  # Google
    **_plain("account_name account_host tenant_id client_id location_mode blocksize"),  # Azure
    **_plain("auto_mkdir path host hostname port protocol timeout connection_timeout read_timeout block_size"),
}
_HARMLESS_TOKENS = frozenset({"anon", "cloud", "google_default", "cache", "browser"})
"""What gcsfs takes as ``token`` and is not secret; neither is the path of a key file."""

_HIDDEN: _Names = {}  # the known names below an option that is not known

_USERINFO = re.compile(
    r"""(?: :// (?: (?P<user>[^/\s@:]+) : )? (?P<password>[^/\s@]+) @
          | ^ (?P<bare_user>[^/\s@:]+) : (?P<bare_password>[^/\s@]+) @
          | ^ (?P<token>[^/\s@:]+) @ [^/\s@:]+ : \d+ )""",  # "me@home" is the name of a profile
    re.VERBOSE,
)
_QUERY = re.compile(r"://[^\s?#]*[?#](\S+)")
_NAME = re.compile(r"[A-Za-z_][\w.:/-]{0,63}")  # of an option or of a header
_PIECES = re.compile(r"[\s;,&]+")
_REMEMBERED = 12  # of temporary credentials the last four
_LONG_ENOUGH = 8  # characters from which a piece of a secret is hidden alone, too: not "Bearer"


class Secrets(tuple[str, ...]):
    """Secrets, of which only the number is shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


class Noted:
    """The last secrets that a client was seen to use, wherever it has them from."""

    __slots__ = ("secrets",)

    def __init__(self) -> None:
        self.secrets = Secrets()

    def note(self, *used: str) -> None:
        """Remember these, too; from any thread."""
        new = [secret for secret in used if secret and secret not in self.secrets]
        if new:
            self.secrets = Secrets((*self.secrets, *new)[-_REMEMBERED:])


def private_values(given: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield each value that is not known to be harmless, with the name of the option that it is somewhere in."""
    for name, value in given.items():
        known = None if _names_no_token(name, value) else _HARMLESS.get(name, _HIDDEN)
        for private in _below(value, known):
            yield name, private


def spellings(private: object) -> Iterator[str]:
    """Yield the texts that would tell a private value, and those of its pieces that are secrets by themselves."""
    match private:
        case str():
            yield private
            for inner in _in_json(private):
                yield from spellings(inner)
            for piece in _PIECES.split(private):
                yield from (part for part in (piece, piece.partition("=")[2]) if len(part) >= _LONG_ENOUGH)
        case bytes() | bytearray():
            yield from (private.decode("latin-1"), repr(bytes(private))[2:-1], private.hex())
            yield base64.b64encode(private).decode()
        case int() | float():
            yield str(private)
        case os.PathLike():
            yield str(private)
        case _:  # a client's object of unknown content: only kept out of pickles
            return


def _names_no_token(name: str, value: object) -> bool:
    """Tell whether this is what gcsfs takes for a token: the name of a method, or the path of a file with one."""
    return name == "token" and isinstance(value, str) and (value in _HARMLESS_TOKENS or value.endswith(".json"))


def _below(value: object, known: _Names | None) -> Iterator[object]:
    """Yield what is private in an option: nothing if ``known`` is ``None``, else what has other names than these."""
    match value:
        case None | bool():
            return
        case Mapping():
            names = known or _HIDDEN
            for name, below in value.items():
                if not (isinstance(name, str) and _NAME.fullmatch(name)):  # a token where a name belongs
                    yield name
                yield from _below(below, names.get(name, _HIDDEN))
        case list() | tuple() | set() | frozenset():
            for below in value:
                yield from _below(below, known)
        case str() if known is None:
            yield from in_an_address(value)
        case "":
            return
        case _ if known is not None:
            yield value
        case _:
            return


def _in_json(text: str) -> Iterator[object]:
    """Yield what a text holds that is JSON, as a service account may be given."""
    if text.lstrip()[:1] in {"{", "["}:
        with suppress(ValueError, RecursionError):  # it is text after all
            yield from _below(json.loads(text), _HIDDEN)


def in_an_address(text: str) -> Iterator[str]:
    """Yield a user with a password, and a query, in an address such as that of a proxy."""
    for found in _USERINFO.finditer(text):
        user = found["user"] or found["bare_user"]
        password = found["password"] or found["bare_password"] or found["token"]
        yield password
        if user:
            yield f"{user}:{password}"
    yield from _QUERY.findall(text)
