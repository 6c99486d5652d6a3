"""Real servers for the tests and benchmarks: S3 as SeaweedFS and moto speak it, and a proxy that breaks it."""

from tests.servers.endpoint import S3Server
from tests.servers.moto_server import MotoServer
from tests.servers.seaweed import ADMIN, READER, Identity, SeaweedServer, SeaweedUnavailable, find_weed

__all__ = ["ADMIN", "READER", "Identity", "MotoServer", "S3Server", "SeaweedServer", "SeaweedUnavailable", "find_weed"]
