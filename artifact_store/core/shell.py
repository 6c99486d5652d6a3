"""Names in commands that people copy into a shell: quoted where the shell would read them as something else."""

from __future__ import annotations

import os
import re
import shlex

_PLAIN = re.compile(r"[A-Za-z0-9@%+=:,./_-]+", re.ASCII)


def quoted(text: str, *, windows: bool = os.name == "nt") -> str:
    """Return one word for the shell of this system: as it is, or in quotes.

    On Windows the quotes are double ones, which cmd.exe and PowerShell both understand.
    """
    if _PLAIN.fullmatch(text) and not (windows and text.startswith("@")):
        return text
    return '"' + text.replace('"', '\\"') + '"' if windows else shlex.quote(text)
