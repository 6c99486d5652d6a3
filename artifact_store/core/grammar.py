"""The patterns of names that several modules judge by: what a name looks like, not whether it may be used."""

from __future__ import annotations

import re
from typing import Final

MODEL_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
COMPONENT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
RUN_ID: Final = re.compile(r"([0-9]{8})_([0-9]{6})(?:_[a-z0-9][a-z0-9-]{0,39})?")  # \d are the digits of any script
RUN_PREFIX: Final = re.compile(r"[0-9]{8}(?:_(?:[0-9]{1,6}|[0-9]{6}_(?:[a-z0-9][a-z0-9-]{0,39})?)?)?")
"""The beginning of a run id: at least its whole date."""
BEFORE_A_RUN: Final = r":(?=[0-9]{8}(?:_|\Z))"
"""A ``:`` before a whole date selects a run; any other ``:`` belongs to the symbol."""
RUN_SELECTOR: Final = re.compile(rf"(.*){BEFORE_A_RUN}(.*)", re.DOTALL)
"""What stands before the last such sign, and what stands behind it."""
WINDOWS_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\..*)?", re.IGNORECASE
)
NO_DEVICE: Final = "Windows keeps this name for a device, and stores nothing under it"
