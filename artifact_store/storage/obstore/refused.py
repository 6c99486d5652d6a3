"""Why obstore makes no client of storage options: looked up afterwards, since its own words may quote a credential.

Reads the environment and the files that obstore itself reads. Repeats no value.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from artifact_store.storage.option_names import CREDENTIALS
from artifact_store.storage.options import AZURE, GCS

ACCOUNT: Final = "AZURE_STORAGE_ACCOUNT_NAME"
_KEY_FILES: Final = (
    ("service_account", "token"),
    ("GOOGLE_SERVICE_ACCOUNT", ""),
    ("GOOGLE_SERVICE_ACCOUNT_PATH", ""),
    ("GOOGLE_APPLICATION_CREDENTIALS", ""),
)


def why_refused(scheme: str, config: Mapping[str, Any]) -> str:
    """Return what is wrong with this configuration of a client, as far as that can be seen, and what to do."""
    if scheme == AZURE:
        return _azure(config)
    if scheme == GCS:
        return _google(config)
    return "check each of them"


def _azure(config: Mapping[str, Any]) -> str:
    if not (config.get("account_name") or os.environ.get(ACCOUNT)):
        return (
            "no storage account is named: give account_name and account_key, or connection_string, or write "
            f"az://CONTAINER@ACCOUNT.blob.core.windows.net/..., or set {ACCOUNT}"
        )
    given = "account_key" in config
    key = config.get("account_key") or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY", "")
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return f"{'account_key' if given else 'AZURE_STORAGE_ACCOUNT_KEY'} is not base64, as Azure shows a key"
    if "sas_key" in config and "=" not in str(config["sas_key"]):
        return "sas_token is the query that Azure shows, such as 'sv=...&sig=...'"
    return f"check each of them: {CREDENTIALS[AZURE]}"


def _google(config: Mapping[str, Any]) -> str:
    if "service_account_key" in config:
        return (
            f"token as a dict is the content of a service account's key file; {_lacks(config['service_account_key'])}"
        )
    for name, option in _KEY_FILES:
        path = config.get(name) if option else os.environ.get(name)
        if path:
            return f"{option or name} names {_wrong_file(Path(path))}; {CREDENTIALS[GCS]}"
    return f"check each of them: {CREDENTIALS[GCS]}"


def _wrong_file(path: Path) -> str:
    """Return what is wrong with a key file, whose path is not repeated: it may be a token that stands in its place."""
    try:
        return f"a file that is no key file of a service account: {_lacks(path.read_text(encoding='utf-8'))}"
    except FileNotFoundError:
        return "a file that does not exist"
    except (OSError, ValueError) as error:
        return f"a file that cannot be read ({type(error).__name__})"


def _lacks(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if not isinstance(found, dict):
        return "it is no JSON object"
    missing = [name for name in ("private_key", "private_key_id", "client_email") if name not in found]
    return f"it lacks {', '.join(missing)}" if missing else "its private_key cannot be read"
