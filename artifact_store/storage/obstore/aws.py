"""AWS's conventions for who one is and where the server is, as obstore has to be told them.

obstore reads the ``AWS_*`` variables and asks a machine for its role. It does not read ``~/.aws``: region, endpoint and
what else is set there are read as botocore does, and credentials (profiles, SSO, assumed roles, helper programs) by
botocore's own chain, which is imported only when nothing nearer has any.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from artifact_store.errors import AccessDenied, EngineUnavailable, InvalidOption
from artifact_store.installing import pip_install
from artifact_store.storage.aws_settings import (
    Settings,
    environment_key,
    has_files_or_profile,
    settings,
    skips_signature,
)
from artifact_store.storage.http import NO_AWS_CREDENTIALS
from artifact_store.storage.obstore.options import CloudConfig, Credentials
from artifact_store.wording import brief

Provider = Callable[[], Mapping[str, Any]]

# Shorter than the ten minutes before the end at which botocore renews temporary credentials.
_RENEW_AFTER = timedelta(minutes=5)
_ROLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Region and server, and whether the bucket stands in the path of an address; without credentials.

    Region and server are empty where those of AWS's commercial partition are meant.
    """

    region: str = ""
    endpoint: str = ""
    path_style: bool | None = None
    """``None`` where that depends on the bucket, and on whether it is a server of its own."""
    own_server: bool = False
    signs_payload: bool = True
    ca_bundle: str = ""
    ca_bundle_named_by: str = ""


def whereabouts(config: CloudConfig) -> Whereabouts:
    """Return what options, environment and ``~/.aws`` say, in this order; ``InvalidOption`` if they mean nothing."""
    found = settings(config.profile)
    region = config.config.get("region") or found.region
    endpoint = config.endpoint or found.endpoint
    styles = {"path": True, "virtual": False}
    style = styles.get(found.addressing_style) if config.path_style is None else config.path_style
    if not endpoint and found.accelerate:
        style = False
    given = config.ca_bundle is not None
    return Whereabouts(
        region=region,
        endpoint=endpoint or _of_amazon(region, found),
        path_style=style,
        own_server=bool(endpoint),
        signs_payload=found.signs_payload,
        ca_bundle=config.ca_bundle or found.ca_bundle,
        ca_bundle_named_by="verify in client_kwargs names" if given else found.ca_bundle_named_by,
    )


def _of_amazon(region: str, found: Settings) -> str:
    """Return Amazon's server for a region, where it is none that obstore finds; of China it knows another domain."""
    dual = ".dualstack" if found.dualstack else ""
    if found.accelerate:
        return f"https://s3-accelerate{dual}.amazonaws.com"
    china = region.startswith("cn-")
    if not (china or region.startswith("us-gov-") or found.fips or dual or found.ignores_endpoints):
        return ""
    name = "s3-fips" if found.fips else "s3"
    return f"https://{name}{dual}.{region or 'us-east-1'}.amazonaws.com{'.cn' if china else ''}"


def identity(config: CloudConfig) -> tuple[dict[str, Any], Provider | None]:
    """Return how requests are signed, and who gives the credentials for it if obstore itself does not.

    Raises:
        AccessDenied: no credentials were found, or a half of them.
        InvalidOption: the profile does not exist, or its credentials cannot be read.
        EngineUnavailable: the profile needs botocore, which is not installed.
    """
    if config.anonymous:
        return {"skip_signature": True}, None
    if config.credentials is not None:
        # Not as configuration: obstore would add a session token of the environment to a key that is not its own.
        return {"skip_signature": False}, _fixed(config.credentials)
    profile = config.profile
    if profile is None and skips_signature():
        return {"skip_signature": True}, None
    if profile is None and (key := environment_key()):
        return {"skip_signature": False}, _fixed(Credentials(*key))
    if profile is None and not has_files_or_profile() and any(os.environ.get(name) for name in _ROLES):
        return {}, None
    return {"skip_signature": False}, _from_botocore(profile)


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
    except OSError as error:  # credential_process, or a file with a token
        failure = f"what gives the credentials cannot be used: {error}"
    except (ValueError, KeyError):  # what it answered may be a secret, and stands in the error
        failure = "what gives the credentials answers with something else"
    else:
        if credentials is not None:
            return _renewed(credentials)
        if profile is None:
            raise AccessDenied(NO_AWS_CREDENTIALS)
        failure = "it holds no credentials"
    named = f"the AWS profile {brief(profile)}" if profile else "AWS's shared configuration"
    raise InvalidOption(f"{named} cannot be used: {failure}; log in, or correct ~/.aws/config and ~/.aws/credentials")
