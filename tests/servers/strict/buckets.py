"""Amazon's rules about buckets that are not plain ones: elsewhere, encrypted with KMS, locked, paid for by the caller."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus

from tests.servers.strict.rule import Answer, Memory, Refused, Request, Rule

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/s3/")
_CALLER = "arn:aws:sts::111122223333:assumed-role/trainer/session"
_ETAGS = re.compile(r'"[^"]*"')


def _in_its_region(memory: Memory, request: Request) -> None:
    bucket, signed = memory.bucket, _SCOPE.search(request.headers.get("authorization", ""))
    if not bucket.region or signed is None or signed[1] == bucket.region:
        return
    told = {"x-amz-bucket-region": bucket.region}
    endpoint = {"Endpoint": f"{memory.upstream.bucket}.s3.{bucket.region}.amazonaws.com"}
    match bucket.misplaced:
        case 301:
            message = (
                "The bucket you are attempting to access must be addressed using the specified endpoint. Please send "
                "all future requests to this endpoint."
            )
            raise Refused("PermanentRedirect", message, 301, more=endpoint, headers=told)
        case 307:
            message = (
                "Please re-send this request to the specified temporary endpoint. Continue to use the original request "
                "endpoint for future requests."
            )
            host = request.headers["host"].replace("127.0.0.1", "localhost")  # another name, and no host outside
            location = {"Location": f"http://{host}{request.head.target}"}
            raise Refused("TemporaryRedirect", message, 307, more=endpoint, headers=told | location)
        case _:
            message = (
                f"The authorization header is malformed; the region '{signed[1]}' is wrong; expecting '{bucket.region}'"
            )
            raise Refused("AuthorizationHeaderMalformed", message, more={"Region": bucket.region}, headers=told)


def _paid_for(memory: Memory, request: Request) -> None:
    if memory.bucket.requester_pays and request.headers.get("x-amz-request-payer") != "requester":
        raise Refused("AccessDenied", "Access Denied", 403)


def _with_its_key(memory: Memory, request: Request) -> None:
    if not memory.bucket.kms or not request.key:
        return
    needed = set()
    if request.uploads_object:
        needed.add("kms:GenerateDataKey")
    if request.method == "GET" or "uploads" in request.query or "uploadId" in request.query:
        needed.add("kms:Decrypt")
    for action in sorted(needed & memory.bucket.lacks):
        raise Refused(
            "AccessDenied",
            f"User: {_CALLER} is not authorized to perform: {action} on this resource because the resource does not "
            "exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly "
            "denies access",
            403,
        )


def _real_etags(memory: Memory, request: Request) -> Mapping[str, str]:
    real, told = memory.etags.get(request.key, ("", ""))
    if not memory.bucket.kms or not told:
        return {}
    conditions = {name: request.headers[name] for name in ("if-match", "if-none-match") if name in request.headers}
    return {
        name: _ETAGS.sub(lambda found: real if found[0] == told else '"0"', value) for name, value in conditions.items()
    }


def _told_etags(memory: Memory, request: Request, answer: Answer) -> Answer:
    etag = answer.head.headers.get("etag", "")
    if not memory.bucket.kms or not request.key or "partNumber" in request.query or not etag:
        return answer
    real, told = memory.etags.get(request.key, ("", ""))
    written = request.method == "PUT" and answer.head.status == HTTPStatus.OK
    if written or real != etag:  # a new one for each write, also of the same bytes
        memory.counts["encrypted"] += 1
        digest = hashlib.sha256(f"{memory.counts['encrypted']} {etag}".encode()).hexdigest()
        told = f'"{digest[:32]}"'
        memory.etags[request.key] = etag, told
    return answer.with_header("etag", told)


def _kept_versions(memory: Memory, request: Request) -> None:
    if memory.bucket.locked and request.method == "DELETE" and "versionId" in request.query:
        raise Refused("AccessDenied", "Access Denied because object protected by object lock.", 403)


RULES = (
    Rule(
        "A request is signed for the region of its bucket: 400 AuthorizationHeaderMalformed with the right one, 301 "
        "PermanentRedirect with x-amz-bucket-region, or, while names spread, 307 TemporaryRedirect with a Location.",
        "API reference, Request routing, and Error; jsoma/flatware#10 for the words and headers of the 400",
        at_head=_in_its_region,
    ),
    Rule(
        "In a bucket whose requesters pay each request says that they will: 403 AccessDenied otherwise, without a word "
        "about it.",
        "user guide, Downloading objects from Requester Pays buckets; boto/boto3#4138",
        at_head=_paid_for,
    ),
    Rule(
        "Objects that are encrypted with a key of KMS take kms:GenerateDataKey to be written and kms:Decrypt to be read, "
        "and both for uploads in parts: 403 AccessDenied otherwise, which names the permission.",
        "API reference, CreateMultipartUpload; buildkite/docs#2344 for the words",
        at_head=_with_its_key,
    ),
    Rule(
        "Their ETags are no MD5 of their bytes.",
        "API reference, Object, ETag",
        towards=_real_etags,
        follow=_told_etags,
    ),
    Rule(
        "A version that Object Lock keeps is not deleted: 403 AccessDenied. A deletion that names none leaves a marker.",
        "scality/cloudserver#4860; versity/versitygw#1330 for the words",
        at_head=_kept_versions,
    ),
)
