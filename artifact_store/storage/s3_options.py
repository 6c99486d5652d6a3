"""What the storage options of an S3 bucket mean, whichever engine serves it: no refusal repeats a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from artifact_store.errors import InvalidOption

T = TypeVar("T")


def one(name: str, *values: T | None) -> T | None:
    """Return the value, which may have been given in several places if it is the same."""
    given = [value for value in values if value is not None]
    if any(value != given[0] for value in given[1:]):
        raise InvalidOption(f"the storage options give two different values for {name}; give one")
    return given[0] if given else None


def check_identity(
    key: object, secret: object, token: object, *, profile: object = None, anonymous: bool = False
) -> None:
    """Raise ``InvalidOption`` unless these say in one way who asks: a key with its secret, a profile, or nobody."""
    if bool(key) != bool(secret) or (token and not key):
        raise InvalidOption("key and secret come together, token only with both; or give a profile, or none of them")
    if sum((bool(key), bool(profile), anonymous)) > 1:
        raise InvalidOption("key and secret, profile, and anon exclude each other: give one")


def checked_for_s3fs(
    given: Mapping[str, Any], client: Mapping[str, Any], botocore: Mapping[str, Any]
) -> dict[str, Any]:
    """Return options as s3fs takes them, with ``region``, which it does not, where it takes it.

    ``client`` and ``botocore`` are the options within ``client_kwargs`` and ``config_kwargs``.

    Raises:
        InvalidOption: they contradict each other.
    """
    check_identity(
        one("key", *_texts(given.get("key"), given.get("username"), client.get("aws_access_key_id"))),
        one("secret", *_texts(given.get("secret"), given.get("password"), client.get("aws_secret_access_key"))),
        one("token", *_texts(given.get("token"), client.get("aws_session_token"))),
        profile=given.get("profile"),
        anonymous=bool(given.get("anon")),
    )
    places = _texts(client.get("region_name"), botocore.get("region_name"), given.get("region"))
    region, rest = one("region_name", *places), {name: value for name, value in given.items() if name != "region"}
    return {**rest, "client_kwargs": {**client, "region_name": region}} if given.get("region") else rest


def _texts(*values: Any) -> list[Any]:
    """Return the values; an empty text counts as not given."""
    return [value or None for value in values]
