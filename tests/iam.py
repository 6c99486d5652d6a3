"""The policies of ``deploy/s3`` as the tests need them: filled in, and asked about requests that a proxy saw.

Knows of IAM what those policies use, and refuses the rest: Allow and Deny, wildcards, ``StringLike``, ``Null``, ``Bool``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import Record

FOLDER = Path(__file__).parents[1] / "deploy" / "s3"


def policy(name: str, bucket: str, prefix: str) -> dict[str, Any]:
    """Read a policy, with the bucket and the prefix of a store in the place of ``BUCKET`` and ``PREFIX``."""
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text.replace("BUCKET", bucket).replace("PREFIX", prefix))


@dataclass(frozen=True, slots=True)
class Asked:
    """What IAM sees of a request: an action on a resource, and the values that conditions may look at."""

    action: str
    resource: str
    values: Mapping[str, str]


def asked(record: Record) -> Asked:
    """Tell which action a request to S3 is, as the documentation of each operation says."""
    query = {name: values[0] for name, values in record.query.items()}
    bucket, _, key = record.key.partition("/")
    values = {f"s3:{name}": record.headers[name] for name in ("if-match", "if-none-match") if name in record.headers}
    match record.method:
        case "GET" if "uploads" in query:
            action = "s3:ListBucketMultipartUploads"
        case "GET" if "list-type" in query:
            action = "s3:ListBucket"
            values["s3:prefix"] = query["prefix"]
        case "GET" | "HEAD" if key:
            action = "s3:GetObject"
        case "PUT" if key:
            action = "s3:PutObject"
            values["s3:ObjectCreationOperation"] = "false" if "partNumber" in query else "true"
        case "POST" if "uploads" in query or "uploadId" in query:
            action = "s3:PutObject"
            values["s3:ObjectCreationOperation"] = "false" if "uploads" in query else "true"
        case "DELETE" if "uploadId" in query:
            action = "s3:AbortMultipartUpload"
        case "DELETE" if key:
            action = "s3:DeleteObject"
        case _:
            raise AssertionError(f"nobody has said which action {record.method} {record.target} is")
    return Asked(action, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}", values)


def allows(document: Mapping[str, Any], request: Asked) -> bool:
    """Tell whether a policy allows a request: one statement has to, and none may deny it."""
    effects = {effect for effect, grants in granted(document) if any(covers(grant, request) for grant in grants)}
    return effects == {"Allow"}


@dataclass(frozen=True, slots=True)
class Grant:
    """One action on one kind of resource, out of a statement."""

    sid: str
    action: str
    resource: str
    condition: Mapping[str, Mapping[str, Any]]


def granted(document: Mapping[str, Any]) -> Iterable[tuple[str, list[Grant]]]:
    """Yield the effect of each statement with every single thing that it allows or denies."""
    for held in document["Statement"]:
        assert held.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}, held
        condition = held.get("Condition", {})
        grants = [
            Grant(held["Sid"], action, where, condition) for action in held["Action"] for where in held["Resource"]
        ]
        yield held["Effect"], grants


def covers(grant: Grant, request: Asked) -> bool:
    """Tell whether a grant is about this request."""
    return (
        grant.action == request.action
        and _like(grant.resource, request.resource)
        and all(_holds(operator, tests, request.values) for operator, tests in grant.condition.items())
    )


def _holds(operator: str, tests: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    match operator:
        case "Null":
            return all((name not in values) == (wanted == "true") for name, wanted in tests.items())
        case "Bool":
            return all(values.get(name) == wanted for name, wanted in tests.items())
        case "StringLike":
            return all(any(_like(one, values.get(name)) for one in wanted) for name, wanted in tests.items())
    raise AssertionError(f"the condition operator {operator} is not known here")


def _like(pattern: str, text: str | None) -> bool:
    return text is not None and re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text, re.DOTALL) is not None
