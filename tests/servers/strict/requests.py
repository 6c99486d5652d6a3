"""Amazon's rules about one request: lengths, sizes, names, parts, times and tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.servers.strict.checksums import parts
from tests.servers.strict.rule import Memory, Refused, Request, Rule

LONGEST_KEY = 1024
MOST_METADATA = 2 << 10
LARGEST_PUT = 5 << 30
SMALLEST_PART = 5 << 20
MOST_PARTS = 10_000
_METADATA = "x-amz-meta-"
_SKEW = timedelta(minutes=15)


def _has_a_length(_: Memory, request: Request) -> None:
    if request.method == "PUT" and not request.copies and request.announced is None:
        raise Refused("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)


def _small_enough(_: Memory, request: Request) -> None:
    if request.method == "PUT" and (request.announced or 0) > LARGEST_PUT:
        raise Refused(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            more={"ProposedSize": str(request.announced), "MaxSizeAllowed": str(LARGEST_PUT)},
        )


def _short_key(_: Memory, request: Request) -> None:
    size = len(request.key.encode())
    if size > LONGEST_KEY:
        told = {"Size": str(size), "MaxSizeAllowed": str(LONGEST_KEY)}
        raise Refused("KeyTooLongError", "Your key is too long", more=told)


def _little_metadata(_: Memory, request: Request) -> None:
    size = sum(
        len(name.removeprefix(_METADATA)) + len(value.encode("latin-1"))
        for name, value in request.headers.items()
        if name.startswith(_METADATA)
    )
    if size > MOST_METADATA:
        told = {"Size": str(size), "MaxSizeAllowed": str(MOST_METADATA)}
        raise Refused("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", more=told)


def _a_number_of_a_part(_: Memory, request: Request) -> None:
    number = request.query.get("partNumber")
    if number is not None and not (number.isdecimal() and 1 <= int(number) <= MOST_PARTS):
        raise Refused("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")


def _large_parts_in_order(memory: Memory, request: Request) -> None:
    upload = memory.upload_of(request)
    if not request.completes or upload is None:
        return
    numbers = [number for number, _ in parts(request.data)]
    if numbers != sorted(set(numbers)):
        raise Refused("InvalidPartOrder", "The list of parts was not in ascending order.")
    if any(upload.sizes.get(number, SMALLEST_PART) < SMALLEST_PART for number in numbers[:-1]):
        raise Refused("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")


def _at_the_right_time(memory: Memory, request: Request) -> None:
    told = request.headers.get("x-amz-date")
    if told is None:
        return
    theirs = datetime.strptime(told, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = datetime.now(UTC) + timedelta(seconds=memory.bucket.clock)
    if abs(ours - theirs) > _SKEW:
        raise Refused(
            "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", 403
        )


def _with_a_valid_token(memory: Memory, request: Request) -> None:
    if memory.bucket.expired and "x-amz-security-token" in request.headers:
        raise Refused("ExpiredToken", "The provided token has expired.")


def _not_too_fast(memory: Memory, request: Request) -> None:
    del request
    if memory.bucket.slow_down and memory.chance.randrange(memory.bucket.slow_down) == 0:
        raise Refused("SlowDown", "Please reduce your request rate.", 503)


RULES = (
    Rule(
        "There is a limit to requests in a time: 503 SlowDown above it.",
        "API reference, Error: SlowDown",
        at_head=_not_too_fast,
    ),
    Rule(
        "A request was signed at most 15 minutes ago or ahead: 403 RequestTimeTooSkewed otherwise.",
        "API reference, Error: RequestTimeTooSkewed; for the minutes RequestExpired of the common errors",
        at_head=_at_the_right_time,
    ),
    Rule("A session token ends: 400 ExpiredToken.", "API reference, Error: ExpiredToken", at_head=_with_a_valid_token),
    Rule(
        "An upload says how long it is: 411 MissingContentLength otherwise.",
        "API reference, Error: MissingContentLength",
        at_head=_has_a_length,
    ),
    Rule(
        "A single PUT, also of a part, has 5 GiB at most: EntityTooLarge otherwise.",
        "API reference, Error: EntityTooLarge; user guide, Amazon S3 multipart upload limits",
        at_head=_small_enough,
    ),
    Rule(
        "A key has at most 1,024 bytes in UTF-8: KeyTooLongError otherwise.",
        "user guide, Naming Amazon S3 objects; API reference, Error: KeyTooLongError",
        at_head=_short_key,
    ),
    Rule(
        "The metadata of a caller, names and values, has at most 2 KB: MetadataTooLarge otherwise.",
        "API reference, Error: MetadataTooLarge; NetApp StorageGRID, PUT Object, for Amazon's limit and how it is counted",
        at_head=_little_metadata,
    ),
    Rule(
        "Parts are numbered from 1 to 10,000: InvalidArgument otherwise.",
        "API reference, UploadPart; user guide, Amazon S3 multipart upload limits",
        at_head=_a_number_of_a_part,
    ),
    Rule(
        "A completion names its parts in ascending order, and each but the last has at least 5 MiB: InvalidPartOrder, "
        "EntityTooSmall otherwise.",
        "API reference, CompleteMultipartUpload",
        check=_large_parts_in_order,
    ),
)
