"""What ``docs/doctor.md`` lists: the severities of findings, and their codes, each with what it means."""

import re
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8"), re.MULTILINE)
SEVERITIES = dict(ROWS[:4])
CODES = dict(ROWS[4:])
