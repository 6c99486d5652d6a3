"""obstore's clients: how one is made in this process, with which credentials, and for how long it may take.

Owns the construction of clients, one set per process, never pickled. This is where the conventions of the clouds'
own tools are followed: their environment variables and, for AWS, the shared files through botocore's chain.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from artifact_store.core.errors import EngineUnavailable, InvalidOption
from artifact_store.storage.obstore_config import CloudConfig, Credentials
from artifact_store.storage.options import AZURE, GCS, S3, StoreURL

Purpose = Literal["control", "download", "upload"]
Provider = Callable[[], Mapping[str, Any]]

_SLOWEST = 128 << 10  # bytes a second that an upload of one part may be expected to make
_PART = 8 << 20
_CONNECT = 10.0
_RETRIES = 3
_UNLIMITED = "24h"
# Shorter than the ten minutes before the end at which botocore renews temporary credentials.
_RENEW_AFTER = timedelta(minutes=5)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CLOUDS = {S3: "https://s3.amazonaws.com", GCS: "https://storage.googleapis.com"}
_SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)

_runtime_lost = threading.Event()


def _look_after_fork() -> None:
    """Note that obstore's runtime stayed behind: its threads are in the parent, and nobody can start others.

    Every call, of a new client too, would wait for ever. Whether obstore had been used, or only imported, before
    the fork cannot be told from outside; the second is taken for the first.
    """
    if "obstore._obstore" in sys.modules:
        _runtime_lost.set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look_after_fork)


def runtime_lost() -> bool:
    """Tell whether obstore can do nothing in this process, since it was forked from one that uses it."""
    return _runtime_lost.is_set()


def address(url: StoreURL, config: CloudConfig) -> str:
    """Return the address of the server, without credentials: what a verdict on its conditions holds for."""
    if url.scheme == AZURE:
        account = config.config.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        return config.endpoint or f"https://{account}.blob.core.windows.net"
    return (_s3_endpoint(config) if url.scheme == S3 else config.endpoint) or _CLOUDS[url.scheme]


class Clients:
    """The clients of one backend. Those of other processes are kept, never used, and never torn down here."""

    def __init__(self, url: StoreURL, config: CloudConfig, *, timeout: float) -> None:
        self._url, self._config, self._timeout = url, config, timeout
        self._made: dict[tuple[int, Purpose], Any] = {}
        self._locks: dict[int, threading.Lock] = {}

    def get(self, purpose: Purpose) -> Any:
        """Return this process's client for requests of this kind, which differ in their deadlines.

        Raises:
            EngineUnavailable: obstore, or botocore for a profile, is not installed.
            InvalidOption: the client does not take the options, or there is no such profile.
        """
        place = (os.getpid(), purpose)
        if place not in self._made:
            # a lock of this process: a thread that a fork left behind may hold the parent's for ever
            with self._locks.setdefault(os.getpid(), threading.Lock()):
                if place not in self._made:
                    self._made[place] = self._build(purpose)
        return self._made[place]

    def forget(self) -> None:
        """Let this process's clients go, and their connections with them."""
        for place in [place for place in self._made if place[0] == os.getpid()]:
            self._made.pop(place, None)

    def secrets(self) -> tuple[str, ...]:
        """Return the credentials of the environment, which the client may have taken."""
        return tuple(value for name in _SECRET_VARIABLES if (value := os.environ.get(name)))

    def _build(self, purpose: Purpose) -> Any:
        try:
            from obstore import store
        except ImportError as missing:
            raise EngineUnavailable(
                "the obstore engine needs obstore: pip install 'artifact-store[s3]', or choose engine='fsspec'"
            ) from missing
        kinds = {S3: store.S3Store, GCS: store.GCSStore, AZURE: store.AzureStore}
        config, provider = dict(self._config.config), None
        if self._url.scheme == S3:
            extra, provider = _s3_config(self._url, self._config)
            config = extra | config
        elif self._config.anonymous:
            config["skip_signature"] = True
        try:
            return kinds[self._url.scheme](
                self._url.container,
                config=config,
                client_options=self._client_options(purpose),
                retry_config=self._retries(),
                credential_provider=provider,
            )
        except Exception as error:  # noqa: BLE001 -- whatever it is, its text may quote the configuration
            trouble = type(error).__name__
        raise InvalidOption(
            f"obstore does not take the storage options for {self._url} ({trouble}); check each of them"
        )

    def _client_options(self, purpose: Purpose) -> dict[str, Any]:
        seconds = self._timeout
        told: dict[str, Any] = {"connect_timeout": _span(min(_CONNECT, seconds / 3)), "user_agent": "artifact-store"}
        if purpose == "download":  # as long as bytes arrive, time is no concern
            told |= {"read_timeout": _span(seconds), "timeout": _UNLIMITED}
        elif purpose == "upload":
            told |= {"timeout": _span(seconds + _PART / _SLOWEST)}
        else:
            told |= {"timeout": _span(seconds)}
        endpoint = address(self._url, self._config)
        if endpoint.startswith("http://"):
            told["allow_http"] = True
        else:
            told |= _authorities(self._config.ca_bundle)
        return told | dict(self._config.client)

    def _retries(self) -> dict[str, Any]:
        return {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=self._timeout),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=min(2.0, self._timeout)),
                "base": 2,
            },
        }


def _span(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _authorities(bundle: str | None) -> dict[str, bytes]:
    """Return the certificates to trust besides the system's: the caller's, or those of ``AWS_CA_BUNDLE``."""
    path = bundle or os.environ.get("AWS_CA_BUNDLE")
    if not path:
        return {}
    try:
        return {"root_certificate": Path(path).read_bytes()}
    except OSError as error:
        raise InvalidOption(f"the CA bundle {path!r} cannot be read: {error.strerror}") from error


# ---------------------------------------------------------------- S3


def _s3_endpoint(config: CloudConfig) -> str:
    given = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    scheme, mark, rest = (config.endpoint or given).partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


def _s3_config(url: StoreURL, config: CloudConfig) -> tuple[dict[str, Any], Provider | None]:
    """Return obstore's configuration beside the options, and who gives the credentials."""
    endpoint = _s3_endpoint(config)
    found: dict[str, Any] = {}
    provider: Provider | None = None
    if config.anonymous:
        found["skip_signature"] = True
    elif config.credentials is not None:
        # Not as configuration: obstore would add a session token of the environment to a key that is not its own.
        provider = _Fixed(config.credentials)
        found["skip_signature"] = False
    elif config.profile is not None or _asks_botocore():
        provider, found = _from_botocore(config.profile)
        endpoint = endpoint or found.pop("endpoint", "")
    path_style = config.path_style
    if path_style is None:
        path_style = bool(endpoint) or "." in url.container  # a dot breaks the wildcard certificate
    found["virtual_hosted_style_request"] = not path_style
    if endpoint:
        if not path_style:
            scheme, _, host = endpoint.partition("://")
            endpoint = f"{scheme}://{url.container}.{host}"
        # Both names, or the environment's AWS_ENDPOINT_URL_S3 would outrank the caller's.
        found |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
    return found, provider


class _Fixed:
    """The caller's own key pair, for ever."""

    def __init__(self, pair: Credentials) -> None:
        self._pair = pair

    def __call__(self) -> Mapping[str, Any]:
        pair = self._pair
        return {"access_key_id": pair.key, "secret_access_key": pair.secret, "token": pair.token, "expires_at": None}


class _Chain:
    """Credentials that botocore found, and renews where they are temporary."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __call__(self) -> Mapping[str, Any]:
        frozen = self._found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _RENEW_AFTER,
        }


def _asks_botocore() -> bool:
    """Tell whether AWS's shared files are what this machine is set up with; obstore itself does not read them."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return False
    if os.environ.get("AWS_PROFILE"):
        return True
    files = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
    return any(Path(os.environ.get(name) or usual).expanduser().is_file() for name, usual in files.items())


def _from_botocore(profile: str | None) -> tuple[Provider | None, dict[str, Any]]:
    """Return who gives the credentials of a profile, or none, with the profile's region and endpoint."""
    try:
        import botocore.exceptions
        import botocore.session
    except ImportError as missing:
        raise EngineUnavailable("AWS profiles need botocore: pip install 'artifact-store[s3]'") from missing
    session = botocore.session.Session(profile=profile)
    try:
        scoped = session.get_scoped_config()
        region = session.get_config_variable("region")
        credentials = session.get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise InvalidOption(f"AWS's shared configuration cannot be used: {error}") from None
    found = {"region": region, "endpoint": scoped.get("endpoint_url")}
    if credentials is None and profile is not None:
        raise InvalidOption(f"the AWS profile {profile!r} holds no credentials; log in, or mend ~/.aws/credentials")
    provider = None if credentials is None else _Chain(credentials)
    return provider, {name: value for name, value in found.items() if value}
