"""What the rules of an S3 bucket mean for a store: versions that stay, objects that cannot go, endless uploads.

Asks and changes nothing. What the credentials may not ask, or the server does not know, is ``unknown``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from artifact_store.core.errors import ArtifactStoreError, NotFound
from artifact_store.storage.base import Trait

Ask = Callable[[str], Mapping[str, Any]]
Rules = Sequence[Mapping[str, Any]]

NAMES = ("lifecycle", "versioning", "object-lock")
_ABORT = {
    "ID": "abort-incomplete-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}
_EXPIRE = {
    "ID": "expire-old-versions",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    "Expiration": {"ExpiredObjectDeleteMarker": True},
}


def not_asked(why: str) -> Iterator[Trait]:
    """Yield that none of it was asked."""
    return iter([Trait(name, "unknown", why, "look at the rules of the bucket by hand") for name in NAMES])


def bucket_traits(ask: Ask, bucket: str, prefix: str) -> Iterator[Trait]:
    """Yield the traits of a bucket; ``ask`` sends a request by its name in botocore and returns the answer."""
    rules, trouble = _rules(ask, prefix)
    yield _lifecycle(rules, trouble, bucket)
    yield _versioning(ask, rules, bucket)
    yield _object_lock(ask)


def _rules(ask: Ask, prefix: str) -> tuple[Rules | None, str]:
    """Return the lifecycle rules in force for everything below ``prefix``, or why they are not known."""
    try:
        found = ask("get_bucket_lifecycle_configuration").get("Rules", ())
    except NotFound:  # the bucket is there, or else its listing has told: it has no rules
        return [], ""
    except ArtifactStoreError as error:
        return None, str(error)
    return [rule for rule in found if rule.get("Status") == "Enabled" and _covers(rule, prefix)], ""


def _covers(rule: Mapping[str, Any], prefix: str) -> bool:
    """Tell whether a rule is for all objects below ``prefix``: one for tags or sizes is not."""
    chosen = rule.get("Filter") or {"Prefix": rule.get("Prefix", "")}
    return set(chosen) <= {"Prefix"} and prefix.startswith(chosen.get("Prefix") or "")


def _lifecycle(rules: Rules | None, trouble: str, bucket: str) -> Trait:
    if rules is None:
        return Trait("lifecycle", "unknown", f"the lifecycle rules of the bucket could not be asked: {trouble}")
    days = [rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation") for rule in _with(rules, _ABORT)]
    if days:
        return Trait("lifecycle", "fine", f"uploads that nobody ends are aborted after {min(days)} days")
    told = "no lifecycle rule aborts uploads that nobody ends: those of processes that are killed take room for ever"
    return Trait("lifecycle", "warning", told, _command(bucket, [_ABORT]))


def _versioning(ask: Ask, rules: Rules | None, bucket: str) -> Trait:
    try:
        status = ask("get_bucket_versioning").get("Status", "")
    except ArtifactStoreError as error:
        return Trait("versioning", "unknown", f"whether the bucket keeps versions could not be asked: {error}")
    if status not in {"Enabled", "Suspended"}:
        return Trait("versioning", "fine", "the bucket keeps no old versions: what is deleted is gone")
    told = f"versioning is {status.lower()}: what gc removes and what a publish replaces stays as an old version"
    if rules is not None and any(True for _ in _with(rules, _EXPIRE)):
        return Trait("versioning", "fine", f"{told}, until a lifecycle rule lets it expire")
    told = f"{told}, and is paid for, until somebody removes it"
    return Trait("versioning", "warning", told, _command(bucket, [_ABORT, _EXPIRE]))


def _object_lock(ask: Ask) -> Trait:
    try:
        held = ask("get_object_lock_configuration").get("ObjectLockConfiguration", {})
    except NotFound:
        return Trait("object-lock", "fine", "no Object Lock: what is deleted can be removed")
    except ArtifactStoreError as error:
        return Trait("object-lock", "unknown", f"whether the bucket has an Object Lock could not be asked: {error}")
    if held.get("ObjectLockEnabled") != "Enabled":
        return Trait("object-lock", "fine", "no Object Lock: what is deleted can be removed")
    kept = held.get("Rule", {}).get("DefaultRetention")
    if kept is None:
        return Trait("object-lock", "note", "Object Lock is on without a default retention: only what is locked stays")
    span = f"{kept['Days']} days" if "Days" in kept else f"{kept.get('Years')} years"
    told = (
        f"Object Lock keeps every version for {span} ({str(kept.get('Mode', '')).lower()}): publishing and deleting "
        "work, and take no room away before that"
    )
    remedy = "let old versions expire by a lifecycle rule with NoncurrentVersionExpiration after that time"
    return Trait("object-lock", "warning", told, remedy)


def _with(rules: Rules, example: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Return the rules that do what the example does."""
    does = set(example) & {"AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"}
    return (rule for rule in rules if does <= set(rule))


def _command(bucket: str, rules: Rules) -> str:
    """Return what to type where there are no rules yet: the command replaces all."""
    document = json.dumps({"Rules": list(rules)})
    return f"aws s3api put-bucket-lifecycle-configuration --bucket {bucket} --lifecycle-configuration '{document}'"
