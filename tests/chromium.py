"""A Chromium that is installed on this machine, for the tests that look at pages; nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Return where it is, or ``None``."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def why_not() -> str:
    """Say why no page can be looked at; empty where it can."""
    if find_spec("playwright") is None:
        return "playwright's Python package is not installed, so no page is looked at"
    if find_chromium() is None:
        return "there is no Chromium on the path (Debian: apt-get install chromium), so no page is looked at"
    return ""


needs_chromium = pytest.mark.skipif(bool(why_not()), reason=why_not())


@contextmanager
def chromium() -> Iterator[Any]:
    """Start it without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
