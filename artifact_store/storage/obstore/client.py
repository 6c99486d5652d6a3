"""obstore's clients: how one is made in this process, with which credentials, and for how long it may take.

Owns the construction of clients, one set per process, never pickled.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeVar

from artifact_store.errors import ArtifactStoreError, EngineUnavailable, InvalidOption, TooManyOpenFiles
from artifact_store.installing import pip_install
from artifact_store.process import Process, this_process
from artifact_store.storage import descriptors
from artifact_store.storage.aws_settings import certificates
from artifact_store.storage.environment_secrets import secrets_around
from artifact_store.storage.http import Attempt
from artifact_store.storage.obstore.aws import Provider, Whereabouts, identity, whereabouts
from artifact_store.storage.obstore.errors import translate_obstore_error
from artifact_store.storage.obstore.options import CloudConfig
from artifact_store.storage.obstore.refused import why_refused
from artifact_store.storage.option_secrets import Noted, Secrets
from artifact_store.storage.options import AZURE, GCS, S3, StoreURL, Unshown
from artifact_store.storage.patience import Patience
from artifact_store.storage.places import AWS, server
from artifact_store.storage.threads import Cancelled, interruptible, is_panic

T = TypeVar("T")
Purpose = Literal["control", "download", "upload"]

_CONNECT = 10.0
_RETRIES = 3
_BUILDS = 2
"""Times that a client is made: descriptors that had run out may have come back before that could be seen."""
_UNLIMITED = "24h"
SMALL = 64 << 10
"""Bytes up to which a request is as quick as one without a body."""
_CLOUDS = {S3: AWS, GCS: "https://storage.googleapis.com"}


class Clients:
    """The clients of one backend. Those of other processes are kept, never used, and never torn down here."""

    def __init__(
        self, url: StoreURL, config: CloudConfig, *, patience: Patience, secrets: tuple[str, ...] = ()
    ) -> None:
        self._url, self._config, self._patience, self._secrets = url, config, patience, secrets
        self._noted = Noted()
        self._made: dict[tuple[Process, Purpose, int], Any] = {}
        self._locks: dict[Process, threading.Lock] = {}
        self._found: dict[Process, Whereabouts] = {}

    def get(self, purpose: Purpose, size: int = SMALL) -> Any:
        """Return this process's client for requests of this kind and size, which differ in their deadlines.

        Raises:
            EngineUnavailable: obstore, or botocore for a profile, is not installed.
            InvalidOption: the client does not take the options, or the profile does not exist.
        """
        place = (this_process(), purpose, size)
        if place not in self._made:
            # a lock of this process: a thread that a fork left behind may hold the parent's for ever
            with self._locks.setdefault(this_process(), threading.Lock()):
                if place not in self._made:
                    self._made[place] = self._build(purpose, size)
        return self._made[place]

    def call(self, purpose: Purpose, attempt: Attempt, work: Callable[[Any, Any], T], *, size: int = SMALL) -> T:
        """Let obstore work with the client for this purpose, and translate what goes wrong.

        Ctrl-C ends the waiting for it, and so does the end of a transfer that this thread takes part in.

        Raises:
            Unavailable: obstore has failed within itself, as where it can start no thread.
        """
        client = self.get(purpose, size)
        import obstore

        try:
            return interruptible(partial(work, obstore, client))
        except (ArtifactStoreError, Cancelled):
            raise
        except BaseException as error:  # obstore raises its own kinds, builtin ones and panics, without a common base
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            # no secret in a variable of this frame: reports of errors show those
            failure = translate_obstore_error(
                error, attempt, Secrets((*self._secrets, *self._noted.secrets, *secrets_around()))
            )
        raise failure

    def address(self) -> str:
        """Return the address of the server, without credentials: what a verdict on its conditions holds for.

        May read ``~/.aws/config``, where the address of a profile's server is.
        """
        if self._url.scheme == AZURE:
            account = self._config.config.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
            return self._config.endpoint or f"https://{account}.blob.core.windows.net"
        endpoint = self._whereabouts().endpoint if self._url.scheme == S3 else self._config.endpoint
        cloud = _CLOUDS[self._url.scheme]
        return cloud if not endpoint or server(endpoint) == AWS else endpoint

    def _whereabouts(self) -> Whereabouts:
        """Return what this process found in the environment and in ``~/.aws`` first."""
        found = self._found.get(this_process())
        return found or self._found.setdefault(this_process(), whereabouts(self._config))

    def forget(self) -> None:
        """Let this process's clients go, and their connections with them."""
        self._found.pop(this_process(), None)
        for place in [place for place in self._made if place[0] == this_process()]:
            self._made.pop(place, None)

    def _build(self, purpose: Purpose, size: int) -> Any:
        try:
            from obstore import store
        except ImportError as missing:
            raise EngineUnavailable(
                f"the obstore engine needs obstore: {pip_install('s3')}; or choose engine='fsspec'"
            ) from missing
        kinds = {S3: store.S3Store, GCS: store.GCSStore, AZURE: store.AzureStore}
        config = Unshown(self._config.config)  # in a report of an error, too
        provider: Provider | None = None
        if self._url.scheme == S3:
            config |= self._s3_place()
            signing, provider = identity(self._config)
            config |= signing
        elif self._config.anonymous:
            config["skip_signature"] = True
        client_options, failure = Unshown(self._client_options(purpose, size)), ""
        for _ in range(_BUILDS):
            try:
                return kinds[self._url.scheme](
                    self._url.container,
                    config=Unshown.plain(config),
                    client_options=Unshown.plain(client_options),
                    retry_config=self._retries(),
                    credential_provider=None if provider is None else _noting(provider, self._noted),
                )
            except Exception as error:  # noqa: BLE001 -- whatever it is, its text may quote the configuration
                failure = type(error).__name__
            if descriptors.exhausted():  # the client says that there are no certificates, which it could not open
                raise TooManyOpenFiles(f"{self._url}: no client can be made. {descriptors.ADVICE}")
        raise InvalidOption(
            f"obstore does not take the storage options for {self._url} ({failure}): "
            + why_refused(self._url.scheme, config)
        )

    def _client_options(self, purpose: Purpose, size: int) -> dict[str, Any]:
        seconds = self._patience.timeout
        options: dict[str, Any] = {"connect_timeout": _span(min(_CONNECT, seconds / 3)), "user_agent": "artifact-store"}
        options["timeout"] = _span(self._patience.seconds(size))
        if purpose == "download":  # who reads the body watches how fast it comes
            options |= {"read_timeout": _span(seconds), "timeout": _UNLIMITED}
        if self.address().startswith("http://"):
            options["allow_http"] = True
        elif self._url.scheme == S3 and (found := self._whereabouts()).ca_bundle:
            options["root_certificate"] = certificates(found.ca_bundle, found.ca_bundle_named_by)[1]
        return options | dict(self._config.client)

    def _retries(self) -> dict[str, Any]:
        return {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=self._patience.timeout),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=min(2.0, self._patience.timeout)),
                "base": 2,
            },
        }

    def _s3_place(self) -> dict[str, Any]:
        """Return how bucket and server are put together in addresses."""
        place, bucket = self._whereabouts(), self._url.container
        path_style = place.path_style
        if path_style is None:
            path_style = place.own_server or "." in bucket  # a dot breaks the wildcard certificate
        options: dict[str, Any] = {"virtual_hosted_style_request": not path_style}
        if not place.signs_payload:
            options["unsigned_payload"] = True
        if place.region:
            options["region"] = place.region
        if place.endpoint:
            scheme, _, host = place.endpoint.partition("://")
            endpoint = place.endpoint if path_style else f"{scheme}://{bucket}.{host}"
            # Both names, or the environment's AWS_ENDPOINT_URL_S3 would outrank the caller's.
            options |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
        return options


def _span(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _noting(provider: Provider, noted: Noted) -> Provider:
    """Give the same credentials, and remember them as secrets: those of a profile are in no option.

    The client keeps the provider, and cannot be collected together with what the provider refers to.
    """

    def now() -> Mapping[str, Any]:
        given = provider()
        noted.note(*(told for told in given.values() if isinstance(told, str)))
        return given

    return now
