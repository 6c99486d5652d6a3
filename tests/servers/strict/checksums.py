"""Amazon's rules about checksums, which SeaweedFS and moto do not check."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from xml.etree import ElementTree as ET

from tests.servers.strict.rule import CHECKSUM, Answer, Memory, Refused, Request, Rule, Upload, local, texts


def _is_of_the_body(_: Memory, request: Request) -> None:
    if request.method != "PUT" or request.copies:
        return
    for algorithm, told in request.checksums.items():
        if request.checksum(algorithm) != told:
            raise Refused("BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum.")


def _one_alone(_: Memory, request: Request) -> None:
    if request.method == "PUT" and not request.copies and len(request.checksums) > 1:
        raise Refused("InvalidRequest", "Expecting a single x-amz-checksum- header")


def _demanded_by_a_lock(memory: Memory, request: Request) -> None:
    if not memory.bucket.locked or request.method != "PUT" or request.copies:
        return
    if not request.checksums and "content-md5" not in request.headers:
        what = "Put Part" if "partNumber" in request.query else "Put Object"
        raise Refused(
            "InvalidRequest",
            f"Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters",
        )


def _announced(memory: Memory, request: Request) -> None:
    upload = memory.upload_of(request)
    if request.method != "PUT" or upload is None:
        return
    for algorithm in request.checksums:
        if algorithm != upload.algorithm:
            expected = upload.algorithm or "null"
            raise Refused(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {algorithm}",
            )


def _remember(memory: Memory, request: Request, answer: Answer) -> Answer:
    """Keep how an upload was opened, and with what its parts were stored."""
    query, upload = request.query, memory.upload_of(request)
    if answer.head.status != HTTPStatus.OK:
        return answer
    if request.method == "POST" and "uploads" in query:
        algorithm = request.headers.get(f"{CHECKSUM}algorithm", "").lower() or None
        whole = request.headers.get(f"{CHECKSUM}type", "").upper() == "FULL_OBJECT" or algorithm == "crc64nvme"
        memory.uploads[texts(answer.data)["UploadId"]] = Upload(algorithm, whole)
    elif request.method == "PUT" and "partNumber" in query and upload is not None:
        made = {} if upload.algorithm is None else {upload.algorithm: request.checksum(upload.algorithm)}
        number = int(query["partNumber"])
        upload.parts[number] = {"etag": answer.head.headers["etag"].strip('"'), **made}
        upload.sizes[number] = request.size
    return answer


def _demanded(upload: Upload) -> bool:
    return upload.algorithm is not None and not upload.whole


def _repeated_for_each_part(memory: Memory, request: Request) -> None:
    upload = memory.upload_of(request)
    if not request.completes or upload is None:
        return
    for number, told in parts(request.data):
        if _demanded(upload) and upload.algorithm not in told:
            raise Refused(
                "InvalidRequest",
                f"The upload was created using a {upload.algorithm} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {number} in the request.",
            )


def _those_of_the_parts(memory: Memory, request: Request) -> None:
    upload = memory.upload_of(request)
    if not request.completes or upload is None:
        return
    for number, told in parts(request.data):
        held = upload.parts.get(number, {})
        if any(held.get(name) != value for name, value in told.items()):
            raise Refused(
                "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag.",
            )


def _without_a_gap(memory: Memory, request: Request) -> None:
    upload = memory.upload_of(request)
    if not request.completes or upload is None or not _demanded(upload):
        return
    numbers = [number for number, _ in parts(request.data)]
    if numbers != list(range(1, len(numbers) + 1)):
        raise Refused("InternalError", "We encountered an internal error. Please try again.", 500)


def parts(document: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield what a completion says of each part."""
    for part in ET.fromstring(document):
        told = {local(element.tag): (element.text or "").strip() for element in part}
        number = int(told.pop("PartNumber"))
        checksums = {name.removeprefix("Checksum").lower(): value for name, value in told.items() if name != "ETag"}
        yield number, {"etag": told["ETag"].strip('"'), **checksums}


RULES = (
    Rule(
        "One request has one checksum: InvalidRequest otherwise.",
        "API reference, PutObject and UploadPart",
        check=_one_alone,
    ),
    Rule(
        "A checksum belongs to the bytes that it came with, in a header or behind the body: BadDigest otherwise.",
        "user guide, Checking object integrity for data uploads in Amazon S3",
        check=_is_of_the_body,
    ),
    Rule(
        "A bucket with Object Lock and a default retention wants a checksum, or Content-MD5, with each object and each "
        "part: InvalidRequest otherwise.",
        "API reference, PutObject; apache/opendal#4533 for parts",
        check=_demanded_by_a_lock,
    ),
    Rule(
        "A part has a checksum of the algorithm with which its upload was opened, and none where it was opened without: "
        "InvalidRequest otherwise. Since 2025 Amazon takes such a part and refuses the completion instead.",
        "apache/opendal#4533, boto/botocore#3216, apache/arrow-rs#6793",
        check=_announced,
        follow=_remember,
    ),
    Rule(
        "Where an upload was opened with an algorithm, its completion repeats the checksum of each part, unless it is one "
        "of the whole object (FULL_OBJECT, always with CRC64NVME): InvalidRequest otherwise.",
        "aws/aws-sdk-php#2648, apache/opendal#4580",
        check=_repeated_for_each_part,
    ),
    Rule(
        "What a completion says of a part is what the part was stored with, ETag and checksum: InvalidPart otherwise, also "
        "for a checksum of an algorithm that was never announced.",
        "aws/aws-sdk-go-v2#3005, aws/aws-sdk-java-v2#6518",
        check=_those_of_the_parts,
    ),
    Rule(
        "With checksums of parts the parts are numbered 1, 2, 3 without a gap: a 500 otherwise.",
        "API reference, CompletedPart",
        check=_without_a_gap,
    ),
)
