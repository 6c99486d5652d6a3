"""A front before SeaweedFS that holds its clients to Amazon's rules, each with its source.

``python -m tests.servers.strict`` prints the rules. ``buckets``, ``checksums``, ``conditions``, ``listings`` and
``requests`` have them, ``rule`` what they are made of, ``front`` the server.
"""

from tests.servers.strict.front import RULES, StrictFront
from tests.servers.strict.rule import Bucket

__all__ = ["RULES", "Bucket", "StrictFront"]
