"""What the rules of an S3 bucket mean for a store: versions that stay, objects that cannot go, endless uploads.

Asks and changes nothing, but for the upload that :func:`listed_uploads` begins and aborts. What the credentials may not
ask, or the server does not know, is ``unknown``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from artifact_store.errors import ArtifactStoreError, NotFound
from artifact_store.storage.base import Trait

Ask = Callable[..., Mapping[str, Any]]
"""Sends a request by its name in botocore, told what that does (an ``Operation``), with further parameters."""
Rules = Sequence[Mapping[str, Any]]
_ALWAYS = {"Status": "Enabled", "Filter": {"Prefix": ""}}
_ABORT = {"ID": "abort-incomplete-uploads", **_ALWAYS, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
_EXPIRE = {
    "ID": "expire-old-versions",
    **_ALWAYS,
    "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    "Expiration": {"ExpiredObjectDeleteMarker": True},
}


def bucket_traits(ask: Ask, bucket: str, prefix: str) -> Iterator[Trait]:
    """Yield the traits of a bucket; ``ask`` sends a request by its name in botocore, told what that does."""
    try:
        held = ask("get_bucket_lifecycle_configuration", "read the lifecycle rules of")
        rules: Rules | ArtifactStoreError = held.get("Rules", ())
    except NotFound:  # the bucket is there, or else its listing has told: it has no rules
        rules = ()
    except ArtifactStoreError as error:
        rules = error
    yield _lifecycle(rules, bucket, prefix)
    yield _versioning(ask, rules, bucket, prefix)
    yield _object_lock(ask)


def listed_uploads(ask: Ask, prefix: str, key: str) -> Trait:
    """Begin an upload of ``key`` below ``prefix``, look whether the list of unfinished ones shows it, and abort it.

    MinIO's list shows the uploads of one whole key, and below a prefix none (minio/minio#20989).
    """
    try:
        upload = ask("create_multipart_upload", "write", Key=key)["UploadId"]
        try:
            found = ask("list_multipart_uploads", "list uploads below", Prefix=prefix).get("Uploads", ())
        finally:
            ask("abort_multipart_upload", "abort the upload of", Key=key, UploadId=upload)
    except ArtifactStoreError as error:
        return Trait("uploads", "unknown", f"whether unfinished uploads are listed could not be tried: {error}")
    if any(held.get("Key") == key for held in found):
        return Trait("uploads", "fine", "unfinished uploads are listed")
    message = (
        "the server does not list unfinished uploads below a prefix, so neither gc nor this report finds those of "
        "killed processes"
    )
    remedy = (
        "let the server remove them: by a lifecycle rule, or on MinIO, which takes no such rule, by "
        "MINIO_API_STALE_UPLOADS_EXPIRY (24 hours unless it was changed)"
    )
    return Trait("uploads", "warning", message, remedy)


def _in_force(rules: Rules, prefix: str, example: Mapping[str, Any]) -> Rules:
    """Return the rules that do, for everything below ``prefix``, what the example does."""
    does = set(example) & {"AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"}
    return [rule for rule in rules if rule.get("Status") == "Enabled" and _covers(rule, prefix) and does <= set(rule)]


def _covers(rule: Mapping[str, Any], prefix: str) -> bool:
    """Tell whether a rule is for all objects below ``prefix``: one for tags or sizes is not."""
    chosen = rule.get("Filter") or {"Prefix": rule.get("Prefix", "")}
    return set(chosen) <= {"Prefix"} and prefix.startswith(chosen.get("Prefix") or "")


def _lifecycle(rules: Rules | ArtifactStoreError, bucket: str, prefix: str) -> Trait:
    if isinstance(rules, ArtifactStoreError):
        return Trait("lifecycle", "unknown", f"the lifecycle rules of the bucket could not be read: {rules}")
    ending = _in_force(rules, prefix, _ABORT)
    days = [rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation") for rule in ending]
    if days:
        return Trait("lifecycle", "fine", f"unfinished uploads are aborted after {min(days)} days")
    message = "no lifecycle rule aborts unfinished uploads: those of killed processes take space for ever"
    return Trait("lifecycle", "warning", message, _to_add(bucket, rules, _ABORT))


def _versioning(ask: Ask, rules: Rules | ArtifactStoreError, bucket: str, prefix: str) -> Trait:
    try:
        status = ask("get_bucket_versioning", "read the versioning of").get("Status", "")
    except ArtifactStoreError as error:
        return Trait("versioning", "unknown", f"the versioning of the bucket could not be read: {error}")
    if status not in {"Enabled", "Suspended"}:
        return Trait("versioning", "fine", "the bucket keeps no old versions: what is deleted is gone")
    message = f"versioning is {status.lower()}: what gc removes and what a publish replaces stays as an old version"
    if not isinstance(rules, ArtifactStoreError) and _in_force(rules, prefix, _EXPIRE):
        return Trait("versioning", "fine", f"{message}, until a lifecycle rule lets it expire")
    message = f"{message}, and is paid for, until it is removed"
    return Trait("versioning", "warning", message, _to_add(bucket, rules, _ABORT, _EXPIRE))


def _object_lock(ask: Ask) -> Trait:
    try:
        held = ask("get_object_lock_configuration", "read the Object Lock of").get("ObjectLockConfiguration", {})
    except NotFound:
        return Trait("object-lock", "fine", "no Object Lock: what is deleted can be removed")
    except ArtifactStoreError as error:
        return Trait("object-lock", "unknown", f"the Object Lock of the bucket could not be read: {error}")
    if held.get("ObjectLockEnabled") != "Enabled":
        return Trait("object-lock", "fine", "no Object Lock: what is deleted can be removed")
    kept = held.get("Rule", {}).get("DefaultRetention")
    if kept is None:
        return Trait("object-lock", "note", "Object Lock is on without a default retention: only what is locked stays")
    span = f"{kept['Days']} days" if "Days" in kept else f"{kept.get('Years')} years"
    message = (
        f"Object Lock keeps every version for {span} ({str(kept.get('Mode', '')).lower()}): publishing and deleting "
        "work, and take no room away before that"
    )
    remedy = "let old versions expire by a lifecycle rule with NoncurrentVersionExpiration after that time"
    return Trait("object-lock", "warning", message, remedy)


def _to_add(bucket: str, rules: Rules | ArtifactStoreError, *wanted: Mapping[str, Any]) -> str:
    """Return the command that makes the rules, which are the only ones then; or words, where there may be others."""
    if isinstance(rules, ArtifactStoreError) or rules:
        return f"add this rule to those of the bucket: {json.dumps(wanted[-1])}"
    document = json.dumps({"Rules": wanted})
    return f"aws s3api put-bucket-lifecycle-configuration --bucket {bucket} --lifecycle-configuration '{document}'"
