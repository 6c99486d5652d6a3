"""The examples of CONTRIBUTING.md as they stand there, for the tests that hold them to what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def block(language: str, holding: str) -> str:
    """Return the one block in this language that holds these words."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (found,) = [one for one in blocks if holding in one]
    return str(found)


def defined(holding: str, name: str) -> Any:
    """Return what the Python block with these words defines under a name."""
    names: dict[str, Any] = {}
    exec(compile(block("python", holding), "CONTRIBUTING.md", "exec"), names)
    return names[name]
