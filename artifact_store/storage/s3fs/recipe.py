"""An s3fs filesystem that is told what obstore would read of the environment, so that both engines mean one place.

botocore reads ``~/.aws`` and most variables by itself. Owns what it has to be told besides: ``AWS_REGION``, obstore's
own variables, and a bundle of certificates whose path was checked.
"""

from __future__ import annotations

from typing import Any

from artifact_store.storage.aws_settings import (
    Settings,
    asked_by_environment,
    certificates,
    environment_key,
    settings,
    skips_signature,
)
from artifact_store.storage.fsspec.filesystem import Recipe

_OF_WHOM = ("key", "username", "secret", "password", "token", "profile", "anon", "aws_access_key_id")


class S3Recipe(Recipe):
    """A recipe for a subclass of ``s3fs.S3FileSystem``. What the caller says counts before the environment."""

    def arguments(self) -> dict[str, Any]:
        """Return the caller's options, and what the environment adds.

        Raises:
            AccessDenied: the environment has half a key.
            InvalidOption: the environment, ``~/.aws`` or the path of a bundle means nothing.
        """
        given = super().arguments()
        found = settings(given.get("profile"))
        inner, botocore = dict(given.get("client_kwargs") or {}), dict(given.get("config_kwargs") or {})
        if found.endpoint and not (given.get("endpoint_url") or inner.get("endpoint_url")):
            given["endpoint_url"] = found.endpoint
        places = inner.get("region_name"), botocore.get("region_name"), given.get("cache_regions")
        if found.region and not any(places):
            inner["region_name"] = found.region
        inner |= _authorities(inner.get("verify"), str(given.get("endpoint_url") or inner.get("endpoint_url")), found)
        s3: dict[str, Any] = {} if found.signs_payload else {"payload_signing_enabled": False}
        s3 |= {"addressing_style": found.addressing_style} if found.addressing_style else {}
        if s3:
            botocore["s3"] = {**s3, **(botocore.get("s3") or {})}
        if not any(given.get(name) or inner.get(name) for name in _OF_WHOM):
            if skips_signature():
                given["anon"] = True
            else:
                environment_key()
        asked = {**asked_by_environment(), **(given.get("s3_additional_kwargs") or {})}
        return {**given, "client_kwargs": inner, "config_kwargs": botocore, "s3_additional_kwargs": asked}

    def asked(self) -> dict[str, Any]:
        """Return what goes with every request."""
        return {**asked_by_environment(), **(self.options.given.get("s3_additional_kwargs") or {})}


def _authorities(verify: object, endpoint: str, found: Settings) -> dict[str, str]:
    """Return the whole path of the bundle of certificates, if there is one and a server that shows some."""
    if endpoint.startswith("http://") or isinstance(verify, bool):
        return {}
    if verify:
        return {"verify": certificates(str(verify), "verify in client_kwargs names")[0]}
    return {"verify": certificates(found.ca_bundle, found.ca_bundle_named_by)[0]} if found.ca_bundle else {}
