"""What the storage options of each cloud are called: the advice where they have the names of another library, or none.

Owns those names. Repeats no value, and knows no client.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from artifact_store.errors import InvalidOption
from artifact_store.storage.options import AZURE, GCS, S3, cloud_of

_NEEDLESS: Final = frozenset(
    {
        *("allow_http", "conditional_put", "copy_if_not_exists", "disable_bulk_delete", "disable_tagging"),
        *("imdsv1_fallback", "s3_express"),
    }
)
"""Options of obstore for S3 that a store decides, or never needs: what they do depends on the address alone."""


def _both(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names of obstore's options as they are, and with ``aws_`` before them."""
    return {f"{before}{name}": meant for name, meant in names.items() for before in ("", "aws_")}


_MEANT: Final[Mapping[str, Mapping[str, str]]] = {
    S3: {
        **dict.fromkeys(("aws_access_key_id", "access_key_id", "access_key", "accesskey", "key_id"), "key"),
        **dict.fromkeys(("aws_secret_access_key", "secret_access_key", "secret_key", "secretkey"), "secret"),
        **dict.fromkeys(("aws_session_token", "session_token", "aws_security_token", "security_token"), "token"),
        **dict.fromkeys(("endpoint", "aws_endpoint", "aws_endpoint_url", "aws_endpoint_url_s3"), "endpoint_url"),
        **dict.fromkeys(("region_name", "aws_region", "aws_default_region", "default_region"), "region"),
        **dict.fromkeys(("aws_profile", "profile_name"), "profile"),
        **_both(
            {
                "virtual_hosted_style_request": "config_kwargs={'s3': {'addressing_style': 'virtual'}}",
                "unsigned_payload": "config_kwargs={'s3': {'payload_signing_enabled': False}}",
                "skip_signature": "anon=True",
                "request_payer": "requester_pays=True",
                "server_side_encryption": "s3_additional_kwargs={'ServerSideEncryption': ...}",
                "sse_kms_key_id": "s3_additional_kwargs={'SSEKMSKeyId': ...}",
                "sse_bucket_key_enabled": "s3_additional_kwargs={'BucketKeyEnabled': True}",
                "checksum_algorithm": "s3_additional_kwargs={'ChecksumAlgorithm': ...}",
                "sse_customer_key_base64": "s3_additional_kwargs={'SSECustomerKey': ...} and engine='fsspec'",
                "role_arn": "profile, which names a profile of ~/.aws/config that has it",
                "role_session_name": "profile, which names a profile of ~/.aws/config that has it",
                "web_identity_token_file": "the variable AWS_WEB_IDENTITY_TOKEN_FILE",
                "container_credentials_relative_uri": "the variable AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "container_credentials_full_uri": "the variable AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "container_authorization_token_file": "the variable AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                "metadata_endpoint": "the variable AWS_EC2_METADATA_SERVICE_ENDPOINT",
                "sts_endpoint": "the variable AWS_ENDPOINT_URL_STS",
                "bucket": "the URL of the store, s3://bucket/prefix",
                "bucket_name": "the URL of the store, s3://bucket/prefix",
            }
        ),
    },
    GCS: dict.fromkeys(
        (
            *("google_application_credentials", "application_credentials", "credentials", "service_account_file"),
            *("service_account", "service_account_path", "service_account_key", "google_service_account", "key_file"),
        ),
        "token",
    ),
    AZURE: {
        **dict.fromkeys(("azure_storage_account_name", "account", "storage_account"), "account_name"),
        **dict.fromkeys(("azure_storage_account_key", "azure_storage_access_key", "access_key", "key"), "account_key"),
        **dict.fromkeys(("azure_storage_sas_token", "azure_storage_sas_key", "sas_key", "sas"), "sas_token"),
        **dict.fromkeys(("azure_storage_connection_string", "conn_str"), "connection_string"),
        **dict.fromkeys(("azure_tenant_id", "azure_storage_tenant_id"), "tenant_id"),
        **dict.fromkeys(("azure_client_id", "azure_storage_client_id"), "client_id"),
        **dict.fromkeys(("azure_client_secret", "azure_storage_client_secret"), "client_secret"),
    },
}
"""By cloud, what others call an option, in small letters, and what it is called here, with every engine."""

CREDENTIALS: Final[Mapping[str, str]] = {
    S3: "give key and secret, a profile, or anon=True",
    GCS: (
        "give token, which is the path of a service account's key file or its content as a dict, or anon=True; or set "
        "GOOGLE_APPLICATION_CREDENTIALS, or log in with `gcloud auth application-default login`"
    ),
    AZURE: (
        "give account_key, sas_token or connection_string, or tenant_id with client_id and client_secret, or "
        "anon=True; or set AZURE_STORAGE_ACCOUNT_KEY"
    ),
}
"""By cloud, where credentials can come from."""
_WRONG: Final[Mapping[str, str]] = {
    S3: "check the access key, the secret and the region",
    GCS: "check token, or the file that GOOGLE_APPLICATION_CREDENTIALS names",
    AZURE: "check account_name, and account_key or sas_token",
}


def refuse_other_names(scheme: str, names: Collection[str]) -> None:
    """Raise ``InvalidOption`` for options that have the names of other libraries, and say what they are called here."""
    meant = _MEANT.get(scheme, {})
    needless = [name for name in names if scheme == S3 and name.lower().removeprefix("aws_") in _NEEDLESS]
    if needless:
        raise InvalidOption(f"a store has no storage option {', '.join(needless)}: leave it out")
    found = {name: meant[name.lower()] for name in names if name.lower() in meant}
    if found:
        several = "s" if len(found) > 1 else ""
        said = ", ".join(dict.fromkeys(found.values()))
        raise InvalidOption(f"unknown storage option{several} {', '.join(found)}; did you mean {said}?")


def wrong_credentials(url: str) -> str:
    """Return what to check where a server refuses the credentials for this store."""
    return _WRONG.get(cloud_of(url), "check each of them")


def missing_credentials(url: str) -> str:
    """Return where credentials for this store can come from."""
    return CREDENTIALS.get(cloud_of(url), "give them as storage options")
