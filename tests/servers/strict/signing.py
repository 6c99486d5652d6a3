"""Sign a request anew of which headers were changed on the way."""

from __future__ import annotations

from collections.abc import Mapping

from tests.servers.endpoint import REGION, S3Server
from tests.servers.http1 import Head

_PAYLOAD = "x-amz-content-sha256"
_SIGNED_BY = {"authorization", "x-amz-date"}


def resigned(head: Head, changes: Mapping[str, str], server: S3Server) -> bytes:
    """Return the bytes of a head with other values of headers, signed with the credentials of ``server``."""
    from botocore.auth import S3SigV4Auth  # there is none where the Windows tests run
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class SamePayload(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
        """The body is what it was, so its hash is, too."""

        def payload(self, request: AWSRequest) -> str:
            return str(request.context[_PAYLOAD])

    headers = {name: value for name, value in {**head.headers, **changes}.items() if name not in _SIGNED_BY}
    request = AWSRequest(head.method, f"http://{headers['host']}{head.target}", headers)
    request.context[_PAYLOAD] = headers.get(_PAYLOAD, "UNSIGNED-PAYLOAD")
    SamePayload(Credentials(server.access_key, server.secret_key), "s3", REGION).add_auth(request)
    lines = [head.first, *(f"{name}: {value}" for name, value in request.headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")
