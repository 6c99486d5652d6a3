"""Which variables that storage clients read are known to be harmless. All others of theirs are secrets.

Owns the list of the clouds' variables. What fsspec takes from its own variables and files, the engine asks fsspec.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from artifact_store.storage.option_secrets import Secrets, in_an_address, spellings


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OF_CLIENTS = re.compile(
    r"(?:aws|azure|b2|boto|cloudsdk|gcp|gcs|gcsfs|google|identity|msi|oci|oss|s3|s3fs)_\w+", re.IGNORECASE
)
_OF_PROXIES = re.compile(r"\w+_proxy", re.IGNORECASE)
_HARMLESS = _names(
    "aws_region aws_default_region aws_profile aws_default_profile aws_config_file aws_shared_credentials_file "
    "aws_ca_bundle aws_data_path aws_default_output aws_pager aws_execution_env aws_sdk_load_config aws_role_arn "
    "aws_role_session_name aws_web_identity_token_file aws_container_authorization_token_file aws_max_attempts "
    "aws_retry_mode aws_ec2_metadata_disabled aws_metadata_endpoint aws_metadata_service_timeout "
    "aws_metadata_service_num_attempts aws_sts_regional_endpoints aws_use_fips_endpoint aws_use_dualstack_endpoint "
    "aws_endpoint aws_endpoint_url aws_endpoint_url_s3 aws_endpoint_url_sts aws_ignore_configured_endpoint_urls "
    "aws_request_checksum_calculation aws_response_checksum_validation aws_checksum_algorithm aws_allow_http "
    "aws_skip_signature aws_bucket aws_bucket_name aws_server_side_encryption aws_sse_kms_key_id "
    "aws_sse_bucket_key_enabled aws_request_payer aws_s3_express aws_lambda_function_name azure_storage_account_name "
    "azure_storage_account azure_client_id azure_storage_client_id azure_tenant_id azure_storage_tenant_id "
    "azure_authority_host azure_federated_token_file azure_storage_endpoint azure_endpoint azure_storage_use_emulator "
    "azure_container_name azure_subscription_id azure_config_dir google_application_credentials google_cloud_project "
    "google_service_account google_service_account_path google_bucket google_bucket_name google_cloud_quota_project "
    "google_project_id gcp_project gcs_endpoint cloudsdk_config cloudsdk_core_project boto_config s3fs_logging_level"
)
_SWITCHES = frozenset(("", "0", "1", "false", "no", "off", "on", "true", "yes"))


def secrets_around() -> Secrets:
    """Return what a client may have taken from the environment as a credential, and no message may hold."""
    return Secrets(sorted(set(_texts())))


def _texts() -> Iterator[str]:
    for name, value in os.environ.items():
        if _OF_PROXIES.fullmatch(name) or name.lower() in _HARMLESS:
            for private in in_an_address(value):
                yield from spellings(private)
        elif _OF_CLIENTS.fullmatch(name) and value.lower() not in _SWITCHES:
            yield from spellings(value)
