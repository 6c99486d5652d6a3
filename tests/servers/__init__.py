"""Real servers for the tests and benchmarks: S3 as SeaweedFS and moto speak it, and a proxy that breaks it.

Why: docs/decisions/0016-real-servers-instead-of-mocks.md
"""

from tests.servers.endpoint import S3Server
from tests.servers.faults import (
    CutBody,
    Delayed,
    Fault,
    FlipBit,
    Hang,
    LostReply,
    LostRequest,
    Record,
    Refuse,
    Rule,
    Slow,
    Status,
    Trickle,
    Unconditional,
)
from tests.servers.moto_server import MotoServer
from tests.servers.proxy import Proxy
from tests.servers.seaweed import ADMIN, READER, Identity, SeaweedServer, SeaweedUnavailable, find_weed
from tests.servers.strict import Bucket, StrictFront

__all__ = [
    "ADMIN",
    "READER",
    "Bucket",
    "CutBody",
    "Delayed",
    "Fault",
    "FlipBit",
    "Hang",
    "Identity",
    "LostReply",
    "LostRequest",
    "MotoServer",
    "Proxy",
    "Record",
    "Refuse",
    "Rule",
    "S3Server",
    "SeaweedServer",
    "SeaweedUnavailable",
    "Slow",
    "Status",
    "StrictFront",
    "Trickle",
    "Unconditional",
    "find_weed",
]
