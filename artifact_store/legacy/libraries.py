"""The libraries that old files need, imported when one of them is read or written."""

from __future__ import annotations

from typing import Any

from artifact_store.codecs.files import imported


def old_form_library(module: str, extra: str | None) -> Any:
    """Import what reading or writing the old form takes.

    Raises:
        CodecUnavailable: it is not installed, or broken; the text says what to install.
    """
    return imported(module, needed_by="the old form of a model", extra=extra)
