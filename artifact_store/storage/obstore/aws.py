"""AWS's conventions for who one is and where the server is, which obstore knows only in part.

obstore reads the ``AWS_*`` variables and asks a machine for its role. It does not read ``~/.aws``: region and
endpoint are taken from there as every tool of AWS does, and credentials (profiles, SSO, assumed roles, helper
programs) by botocore's own chain, which is imported only when nothing nearer has any.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from artifact_store.errors import AccessDenied, EngineUnavailable, InvalidOption
from artifact_store.installing import pip_install
from artifact_store.storage.http import NO_AWS_CREDENTIALS
from artifact_store.storage.obstore.options import CloudConfig, Credentials
from artifact_store.storage.redaction import without_credentials

Provider = Callable[[], Mapping[str, Any]]

# Shorter than the ten minutes before the end at which botocore renews temporary credentials.
_RENEW_AFTER = timedelta(minutes=5)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_ROLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Region and server, without credentials; empty where those of AWS's commercial partition are meant."""

    region: str = ""
    endpoint: str = ""


def whereabouts(config: CloudConfig) -> Whereabouts:
    """Return what options, environment and ``~/.aws/config`` (``InvalidOption`` if unreadable) say, in this order."""
    region = config.config.get("region") or _first(_REGIONS)
    endpoint = config.endpoint or _first(_ENDPOINTS)
    if not (region and endpoint):
        settings = _profile_settings(config.profile)
        region, endpoint = region or settings.get("region", ""), endpoint or settings.get("endpoint_url", "")
    return Whereabouts(region, without_credentials(endpoint) or _of_partition(region))


def _of_partition(region: str) -> str:
    """Return the server of a region outside of AWS's commercial partition; of China, obstore knows another domain."""
    if region.startswith("cn-"):
        return f"https://s3.{region}.amazonaws.com.cn"
    return f"https://s3.{region}.amazonaws.com" if region.startswith("us-gov-") else ""


def identity(config: CloudConfig) -> tuple[dict[str, Any], Provider | None]:
    """Return how requests are signed, and who gives the credentials for it if obstore itself does not.

    Raises:
        AccessDenied: no credentials were found.
        InvalidOption: the profile does not exist, or its credentials cannot be read.
        EngineUnavailable: the profile needs botocore, which is not installed.
    """
    if config.anonymous:
        return {"skip_signature": True}, None
    if config.credentials is not None:
        # Not as configuration: obstore would add a session token of the environment to a key that is not its own.
        return {"skip_signature": False}, _fixed(config.credentials)
    profile = config.profile
    if profile is None and (os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_SKIP_SIGNATURE")):
        return {}, None
    if profile is None and not _has_files() and _first(_ROLES):
        return {}, None
    return {}, _from_botocore(profile)


def _fixed(pair: Credentials) -> Provider:
    """Give the caller's own key pair, for ever."""
    given = {"access_key_id": pair.key, "secret_access_key": pair.secret, "token": pair.token, "expires_at": None}
    return lambda: given


def _renewed(found: Any) -> Provider:
    """Give credentials that botocore found, and renews where they are temporary."""

    def now() -> Mapping[str, Any]:
        frozen = found.get_frozen_credentials()
        pair = Credentials(frozen.access_key, frozen.secret_key, frozen.token)
        return {**_fixed(pair)(), "expires_at": datetime.now(UTC) + _RENEW_AFTER}

    return now


def _from_botocore(profile: str | None) -> Provider:
    try:
        import botocore.exceptions
        import botocore.session
    except ImportError as missing:
        raise EngineUnavailable(
            "no AWS credentials in the options or the environment, and AWS profiles and roles need botocore: "
            f"{pip_install('s3')}"
        ) from missing
    try:
        credentials = botocore.session.Session(profile=profile).get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        failure = str(error)
    else:
        if credentials is not None:
            return _renewed(credentials)
        if profile is None:
            raise AccessDenied(NO_AWS_CREDENTIALS)
        failure = "it holds no credentials"
    named = f"the AWS profile {profile!r}" if profile else "AWS's shared configuration"
    raise InvalidOption(f"{named} cannot be used: {failure}; log in, or correct ~/.aws/config and ~/.aws/credentials")


def _profile_settings(profile: str | None) -> Mapping[str, str]:
    path = _file("AWS_CONFIG_FILE", "~/.aws/config")
    if path is None:
        return {}
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"AWS's configuration {str(path)!r} cannot be read ({type(error).__name__})") from None
    name = profile or _first(_PROFILES) or "default"
    sections = [section for section in (f"profile {name}", name) if parser.has_section(section)]
    return dict(parser.items(sections[0])) if sections else {}


def _has_files() -> bool:
    files = (_file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), _file("AWS_CONFIG_FILE", "~/.aws/config"))
    return bool(_first(_PROFILES)) or any(path is not None and path.is_file() for path in files)


def _file(variable: str, usual: str) -> Path | None:
    """Return the path of a shared file, or ``None`` where it would be in the home of a user who has none."""
    try:
        return Path(os.environ.get(variable) or usual).expanduser()
    except RuntimeError:  # no HOME, and no entry for the user either: containers and services run so
        return None


def _first(names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := os.environ.get(name))), "")
