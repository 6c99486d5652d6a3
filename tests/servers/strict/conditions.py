"""Amazon's rules about writes that meet each other, and about answers that say success and mean none."""

from __future__ import annotations

from http import HTTPStatus

from tests.servers.strict.rule import Answer, Memory, Refused, Request, Rule, error_document

_CONFLICT = "The conditional request cannot succeed due to a conflicting operation against this resource."


def _alone(memory: Memory, request: Request) -> None:
    if request.replaces and request.conditional and memory.under_way[request.key]:
        raise Refused("ConditionalRequestConflict", _CONFLICT, 409)


def _without_a_deletion(memory: Memory, request: Request) -> None:
    deleted = memory.deleted.get(request.key, -1) > request.began
    if deleted and request.replaces and "if-none-match" in request.headers:
        raise Refused("ConditionalRequestConflict", _CONFLICT, 409)


def _over_something(memory: Memory, request: Request) -> None:
    if not request.replaces or request.method == "DELETE" or "if-match" not in request.headers:
        return
    from botocore.exceptions import ClientError  # there is none where the Windows tests run

    try:
        memory.client().head_object(Bucket=memory.upstream.bucket, Key=request.key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        raise Refused("NoSuchKey", "The specified key does not exist.", 404, more={"Key": request.key}) from None


def _note_deletion(memory: Memory, request: Request, answer: Answer) -> Answer:
    if request.replaces and request.method == "DELETE" and answer.head.status < HTTPStatus.BAD_REQUEST:
        memory.now += 1
        memory.deleted[request.key] = memory.now
    return answer


def _again(memory: Memory, request: Request) -> Answer | None:
    upload = memory.upload_of(request)
    if not request.completes or upload is None or upload.finished is None:
        return None
    memory.counts["repeated completions"] += 1
    if memory.bucket.repeats:
        return upload.finished
    raise Refused(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
        404,
    )


def _note_success(memory: Memory, request: Request, answer: Answer) -> Answer:
    upload = memory.upload_of(request)
    if (
        request.completes
        and upload is not None
        and answer.head.status == HTTPStatus.OK
        and b"<Error>" not in answer.data
    ):
        upload.finished = answer
    return answer


def _late(memory: Memory, request: Request) -> Answer | None:
    if not (request.completes or request.copies) or memory.counts["late errors"] >= memory.bucket.late_errors:
        return None
    memory.counts["late errors"] += 1
    document = error_document("InternalError", "We encountered an internal error. Please try again.")
    start, _, end = document.partition("\n")
    return Answer.made(HTTPStatus.OK, f"{start}\n   {end}")  # with the blanks that keep a connection alive


RULES = (
    Rule(
        "A conditional write that meets another write or deletion of its key: 409 ConditionalRequestConflict. The user "
        "guide lets the later of two writes fail with 412, as SeaweedFS does; the API reference allows a 409.",
        "API reference, PutObject and CompleteMultipartUpload, If-Match and If-None-Match",
        check=_alone,
    ),
    Rule(
        "A write that is to create its key, of which the key is deleted before it ends: 409 ConditionalRequestConflict.",
        "user guide, How to prevent object overwrites with conditional writes",
        check=_without_a_deletion,
        follow=_note_deletion,
    ),
    Rule(
        "A write over a version (If-Match) of a key that holds nothing, from the beginning or since a deletion: 404 "
        "NoSuchKey, not 412.",
        "user guide, How to prevent object overwrites with conditional writes",
        instead=_over_something,
    ),
    Rule(
        "A completion that is repeated after its success succeeds again; the API reference also allows NoSuchUpload.",
        "adobe/S3Mock#2586 and minio/minio#13318, tried with Amazon; API reference, CompleteMultipartUpload",
        instead=_again,
        follow=_note_success,
    ),
    Rule(
        "A completion and a copy can fail after their answer began: status 200, blanks, and an Error in the body.",
        "API reference, CompleteMultipartUpload and CopyObject",
        instead=_late,
    ),
)
