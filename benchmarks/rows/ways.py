"""What many rows have in common: how their ways are called."""

from __future__ import annotations

from typing import Any

from benchmarks.model import Way

OURS, OURS_FSSPEC = "artifact-store", "artifact-store, fsspec"
OBSTORE, S3FS, BOTO3, DISK = "obstore by hand", "s3fs by hand", "boto3 by hand", "a loop by hand"
HAND = "by hand"


def hand(function: str, name: str = HAND, **args: Any) -> Way:
    """Return the way that others are compared with."""
    return Way(name, f"benchmarks.workloads.{function}", args)


def ours(function: str, name: str = OURS, *, over: str = "", cold: bool = False, **args: Any) -> Way:
    """Return the way of this store."""
    return Way(name, f"benchmarks.workloads.{function}", args, over=over, cold=cold)


def fsspec(function: str, *, over: str = "", cold: bool = False, **args: Any) -> Way:
    """Return the way of this store through its engine ``fsspec``."""
    return ours(function, OURS_FSSPEC, over=over, cold=cold, engine="fsspec", **args)
