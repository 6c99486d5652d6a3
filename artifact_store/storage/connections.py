"""Why there is no connection to a server, told from what a client says of it: host, port, and what to check.

Knows the words of the clients and of the systems below them, and no client.
"""

from __future__ import annotations

import re
from typing import Final

from artifact_store.errors import ArtifactStoreError, InvalidOption, Unreachable
from artifact_store.storage.http import Attempt
from artifact_store.storage.options import AZURE, GCS, S3, cloud_of

_ADDRESS: Final = re.compile(r"https?://(?:[^/\s\"'@]*@)?([^/\s\"'@:\]]+|\[[^\]\s]+\])(:\d+)?")
_CERTIFICATE: Final = re.compile(
    r"(?:InvalidCertificate\(|invalid peer certificate: )\s*(?:Other\(\s*OtherError\(\s*)?(\w+)"
    r"|CERTIFICATE_VERIFY_FAILED\](?: certificate verify failed:)? ([^(\]\n]{3,60})"
)
"""What rustls calls the fault, and the sentence of OpenSSL."""
_EXPIRED: Final = re.compile(r"expired", re.IGNORECASE)
_OTHER_HOST: Final = re.compile(r"mismatch|NotValidForName", re.IGNORECASE)
_NO_NAME: Final = re.compile(
    r"dns error|name or service not known|nodename nor servname|getaddrinfo failed|name resolution"
    r"|no address associated",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(r"connection ?refused|connect call failed|actively refused", re.IGNORECASE)
_SILENT: Final = re.compile(r"ConnectTimeout|Connection timeout to host|kind: Connect\b.*\bTimedOut\b", re.DOTALL)
_AMAZON: Final = re.compile(r"\.amazonaws\.com(?:\.cn)?$")
_SETTINGS: Final = {S3: "endpoint_url (AWS_ENDPOINT_URL)", GCS: "endpoint_url", AZURE: "endpoint_url"}
"""By cloud, what says where the server is."""
_PROXY: Final = "the proxy if HTTPS_PROXY or HTTP_PROXY names one"


def no_connection(attempt: Attempt, said: str) -> ArtifactStoreError | None:
    """Return the error for a connection that never was, ``None`` if that is not what a client says.

    ``said`` may hold secrets: nothing of it is repeated but the host, the port and the fault of a certificate.
    """
    cloud = cloud_of(attempt.url)
    found = _ADDRESS.search(said)
    named = found[1] if found else "" if cloud else attempt.url.partition("://")[2].partition("/")[0]
    host = f"{named}{(found[2] or '') if found else ''}" or "its server"
    text, own = f"{attempt}: ", not _AMAZON.search(named)
    setting = _SETTINGS.get(cloud, "the URL of the store")
    place = f"correct {setting}" if own else "correct the region"
    if fault := _CERTIFICATE.search(said):
        # a write that the client repeated by itself may have been sent before
        kind = Unreachable if attempt.operation == "write" else InvalidOption
        return kind(f"{text}the certificate of {host} {_about(fault[1] or fault[2], attempt.url)}")
    if _NO_NAME.search(said):
        return Unreachable(f"{text}no host is called {host}: {place}, or check the network")
    if _REFUSED.search(said):
        return Unreachable(f"{text}nothing answers at {host}: start the server there, {place}, or check {_PROXY}")
    if _SILENT.search(said):
        return Unreachable(f"{text}no connection to {host} in time: {place}, or check network, firewall, and {_PROXY}")
    return None


def _about(fault: str, url: str) -> str:
    """Return what is wrong with a certificate, and what to do."""
    if _EXPIRED.search(fault):
        return "has expired: renew it on the server, or set the clock of this machine if that is wrong"
    if _OTHER_HOST.search(fault):
        return "was issued for another host: give the name that it was issued for in endpoint_url"
    if fault == "CaUsedAsEndEntity":
        return "is that of an authority: issue the server one of its own, or choose engine='fsspec', which takes it"
    if cloud_of(url) != S3:
        return "is of no authority that is trusted here: correct endpoint_url, or let the system trust that authority"
    return (
        "is of no authority that is trusted here. If it is the right server, name the file with the certificate of its "
        "authority: set AWS_CA_BUNDLE, or add storage_options={'client_kwargs': {'verify': 'FILE'}}"
    )
