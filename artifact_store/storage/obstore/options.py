"""Storage options in fsspec's spelling, translated for obstore's clients.

Owns the table of options. An option that obstore cannot honour is refused and the engine that can is named: none is
dropped in silence. Reads no file, no environment, and knows no client.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from artifact_store.errors import InvalidOption
from artifact_store.storage.options import AZURE, GCS, S3, StorageOptions, StoreURL, Unshown
from artifact_store.storage.s3_options import check_identity, one

T = TypeVar("T")

_S3FS_ONLY = {
    *("asynchronous", "cache_regions", "default_block_size", "default_cache_type", "default_fill_cache", "loop"),
    *("fixed_upload_size", "listings_expiry_time", "max_concurrency", "max_paths", "session", "use_listings_cache"),
    "version_aware",
}
_AS_WE_DO = {"skip_instance_cache": True} | dict.fromkeys(
    ("asynchronous", "cache_regions", "use_listings_cache", "version_aware"), False
)
_LONGEST = 1e9  # seconds: more than any wait, and a number that Rust's counters hold in milliseconds
_SSE = {"ServerSideEncryption": "server_side_encryption", "SSEKMSKeyId": "sse_kms_key_id"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """An explicit key pair; shown by nothing."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """What obstore is told: ``config`` and ``client`` in its own words, and where credentials come from.

    ``credentials``, ``profile`` and ``anonymous`` exclude each other; without any of them the environment, the
    shared files and the machine's role are asked. ``endpoint`` is empty where the cloud's own one is meant, and
    ``ca_bundle`` is the path of a PEM file.
    """

    scheme: str
    endpoint: str = ""
    config: Mapping[str, Any] = field(repr=False, default_factory=dict)
    client: Mapping[str, Any] = field(repr=False, default_factory=dict)
    credentials: Credentials | None = None
    profile: str | None = None
    anonymous: bool = False
    path_style: bool | None = None
    ca_bundle: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", Unshown(self.config))
        object.__setattr__(self, "client", Unshown(self.client))


def cloud_config(url: StoreURL, options: StorageOptions) -> CloudConfig:
    """Translate ``options`` for the cloud of ``url``; what is unknown, or another engine's, is ``InvalidOption``."""
    readers: dict[str, Callable[[StoreURL, _Left], CloudConfig]] = {S3: _s3, GCS: _gcs, AZURE: _azure}
    if url.scheme not in readers:
        raise InvalidOption(
            f"the obstore engine serves s3://, gs:// and az://, not {url.scheme}://; use engine='fsspec'"
        )
    left = _Left(options.given)
    config = readers[url.scheme](url, left)
    left.done()
    return config


class _Left:
    """The options that are not used yet."""

    def __init__(self, given: Mapping[str, Any], within: str = "") -> None:
        self._given = {name: value for name, value in given.items() if value is not None}
        self._within = within
        self._known: set[str] = set()
        self._nested: list[_Left] = []

    def take(self, name: str, kind: type[T]) -> T | None:
        """Take an option, which has to be of this type if it is given."""
        self._known.add(name)
        value = self._given.pop(name, None)
        if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
            return value
        raise InvalidOption(
            f"the storage option {self._named(name)} is a {kind.__name__}, not a {type(value).__name__}"
        )

    def text(self, name: str) -> str | None:
        """Take a text; an empty one counts as not given."""
        return self.take(name, str) or None

    def seconds(self, name: str) -> str | None:
        """Take a number of seconds and spell it as obstore does."""
        self._known.add(name)
        value = self._given.pop(name, None)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LONGEST:
            return f"{int(value * 1000)}ms"
        raise InvalidOption(f"the storage option {self._named(name)} is a positive number of seconds")

    def below(self, name: str) -> _Left:
        """Take an option that holds options."""
        found = _Left(self.take(name, dict) or {}, self._named(name))
        self._nested.append(found)
        return found

    def only(self, name: str, *allowed: object) -> None:
        """Take an option of which only these values can be honoured here."""
        self._known.add(name)
        value = self._given.get(name)
        if any(type(value) is type(one) and value == one for one in allowed):
            self._given.pop(name, None)

    def peek(self, name: str) -> object:
        """Look at an option without taking it."""
        return self._given.get(name)

    def done(self) -> None:
        """Refuse what is left."""
        for name, value in _AS_WE_DO.items():
            if not self._within and self._given.get(name) is value:
                del self._given[name]
        for nested in self._nested:
            nested.done()
        for name in self._given:
            near = difflib.get_close_matches(name, self._known, n=1, cutoff=0.7)
            if near and name not in _S3FS_ONLY | self._known:
                raise InvalidOption(f"unknown storage option {self._named(name)}; did you mean {self._named(near[0])}?")
            raise InvalidOption(
                f"the obstore engine cannot honour the storage option {self._named(name)}; leave it out, or choose "
                "engine='fsspec', which passes it on to the filesystem"
            )

    def _named(self, name: str) -> str:
        if not name.isidentifier():  # a token perhaps, where the name of a header belongs
            return f"within {self._within}, whose name has letters, digits and '_' only"
        return f"{self._within}.{name}" if self._within else name


def _address(endpoint: str | None) -> str:
    """Return the address of a server; what is not http(s), or holds a credential, is refused without repeating it."""
    if endpoint is None:
        return ""
    scheme, mark, rest = endpoint.partition("://")
    if "@" in rest:
        raise InvalidOption("endpoint_url holds no user and no password; give them as key and secret")
    if scheme not in {"http", "https"} or not mark or not rest or any(sign in rest for sign in "?# \t\r\n"):
        raise InvalidOption("endpoint_url is an address such as https://s3.example.com or http://127.0.0.1:9000")
    return endpoint.rstrip("/")


# ---------------------------------------------------------------- S3


def _s3(url: StoreURL, left: _Left) -> CloudConfig:
    inner, botocore = left.below("client_kwargs"), left.below("config_kwargs")
    endpoint = _address(one("endpoint_url", left.text("endpoint_url"), inner.text("endpoint_url")))
    who = _s3_identity(left, inner, botocore)
    client, ca_bundle = _tls(inner)
    client |= _client(botocore, endpoint)
    config: dict[str, Any] = {"conditional_put": "etag", "disable_bulk_delete": True}
    region = one("region_name", inner.text("region_name"), botocore.text("region_name"), left.text("region"))
    if region is not None:
        config["region"] = region
    if left.take("requester_pays", bool):
        config["request_payer"] = True
    if left.take("use_ssl", bool) is False and not endpoint:
        raise InvalidOption(
            "use_ssl=False needs endpoint_url='http://...' on the obstore engine; engine='fsspec' does not"
        )
    extra = left.below("s3_additional_kwargs")
    config |= {ours: value for theirs, ours in _SSE.items() if (value := extra.text(theirs)) is not None}
    if extra.peek("ChecksumAlgorithm") == "SHA256":  # a bucket with Object Lock and a default retention demands one
        config["checksum_algorithm"] = extra.text("ChecksumAlgorithm")
    if (enabled := extra.take("BucketKeyEnabled", bool)) is not None:
        config["sse_bucket_key_enabled"] = enabled
    s3 = botocore.below("s3")
    if s3.take("payload_signing_enabled", bool) is False:
        config["unsigned_payload"] = True
    style = s3.text("addressing_style")
    if style not in {None, "auto", "path", "virtual"}:
        raise InvalidOption("config_kwargs.s3.addressing_style is 'auto', 'path' or 'virtual'")
    path_style = None if style in {None, "auto"} else style == "path"
    return CloudConfig(url.scheme, endpoint, config, client, *who, path_style, ca_bundle)


def _s3_identity(left: _Left, inner: _Left, botocore: _Left) -> tuple[Credentials | None, str | None, bool]:
    key = one("key", left.text("key"), left.text("username"), inner.text("aws_access_key_id"))
    secret = one("secret", left.text("secret"), left.text("password"), inner.text("aws_secret_access_key"))
    token = one("token", left.text("token"), inner.text("aws_session_token"))
    profile, anonymous = left.text("profile"), left.take("anon", bool) or False
    botocore.only("signature_version", "s3v4", "v4")
    check_identity(key, secret, token, profile=profile, anonymous=anonymous)
    credentials = Credentials(key, secret, token) if key is not None and secret is not None else None
    return credentials, profile, anonymous


def _tls(inner: _Left) -> tuple[dict[str, Any], str | None]:
    inner.only("verify", True)
    verify = inner.take("verify", bool) if isinstance(inner.peek("verify"), bool) else inner.text("verify")
    inner.only("use_ssl", True)
    if verify is False:
        return {"allow_invalid_certificates": True}, None
    return {}, verify if isinstance(verify, str) else None


def _client(botocore: _Left, endpoint: str) -> dict[str, Any]:
    scheme = endpoint.partition("://")[0] or "https"
    told = {
        **{name: botocore.seconds(name) for name in ("connect_timeout", "read_timeout")},
        "user_agent": botocore.text("user_agent"),
        "proxy_url": botocore.below("proxies").text(scheme),
    }
    return {name: value for name, value in told.items() if value is not None}


# ---------------------------------------------------------------- Google and Azure


def _gcs(url: StoreURL, left: _Left) -> CloudConfig:
    left.text("project")  # only needed to make buckets, which a store does not
    endpoint = _address(left.text("endpoint_url"))
    config: dict[str, Any] = {"base_url": endpoint} if endpoint else {}
    anonymous = left.take("anon", bool) or False
    left.only("token", "google_default")
    if isinstance(left.peek("token"), dict):
        config["service_account_key"] = json.dumps(left.take("token", dict))
    elif isinstance(method := left.peek("token"), str) and method not in {"cloud", "cache", "browser"}:
        token = left.text("token")
        anonymous = anonymous or token == "anon"  # noqa: S105 -- gcsfs's word for none at all
        if token != "anon":  # noqa: S105 -- as above
            config["service_account"] = token
    if anonymous and config.keys() & {"service_account", "service_account_key"}:
        raise InvalidOption("token and anon exclude each other: give one")
    return CloudConfig(url.scheme, endpoint, config, anonymous=anonymous)


_AZURE_NAMES = {"sas_token": "sas_key"} | {
    name: name for name in ("account_key", "tenant_id", "client_id", "client_secret")
}
_CONNECTION = {
    "AccountName": "account_name",
    "AccountKey": "account_key",
    "SharedAccessSignature": "sas_key",
    "BlobEndpoint": "endpoint",
}


def _azure(url: StoreURL, left: _Left) -> CloudConfig:
    config: dict[str, Any] = {ours: value for theirs, ours in _AZURE_NAMES.items() if (value := left.text(theirs))}
    if isinstance(left.peek("credential"), str) and (credential := left.text("credential")) is not None:
        config["sas_key" if "sig=" in credential else "account_key"] = credential
    for name, value in _connection(left.text("connection_string")).items():
        config[name] = one(name, config.get(name), value)
    account = one("account_name", left.text("account_name"), url.account or None, config.get("account_name"))
    if account is not None:
        config["account_name"] = account
    endpoint = _address(one("endpoint_url", left.text("endpoint_url"), config.pop("endpoint", None)))
    if endpoint:
        config["endpoint"] = endpoint
    anonymous = left.take("anon", bool) or False
    if anonymous and config.keys() & {"account_key", "sas_key", "client_secret"}:
        raise InvalidOption("a credential and anon exclude each other: give one")
    return CloudConfig(url.scheme, endpoint, config, anonymous=anonymous)


def _connection(text: str | None) -> dict[str, str]:
    """Read what an Azure connection string says about blobs; nothing of it is ever repeated."""
    if text is None:
        return {}
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part)
    if parts.pop("DefaultEndpointsProtocol", "https") != "https" and "BlobEndpoint" not in parts:
        raise InvalidOption("connection_string: plain http needs a BlobEndpoint")
    if parts.pop("EndpointSuffix", "core.windows.net") != "core.windows.net" and "BlobEndpoint" not in parts:
        raise InvalidOption("connection_string: another EndpointSuffix needs a BlobEndpoint")
    known = {ours: parts[theirs] for theirs, ours in _CONNECTION.items() if parts.get(theirs)}
    if not known:
        raise InvalidOption("connection_string names no account: it looks like 'AccountName=...;AccountKey=...'")
    return known
