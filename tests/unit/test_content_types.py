"""What a bucket is told of an object, for a browser that asks for it."""

from __future__ import annotations

import pytest

from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.storage.content_types import content_type


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("_report/index.html", "text/html; charset=utf-8"),
        ("_report/models/gru/BTC;2FUSDT.html", "text/html; charset=utf-8"),
        ("assets/report.css", "text/css; charset=utf-8"),
        ("_report/assets/report.js", "text/javascript; charset=utf-8"),
        ("report.json", "application/json"),
    ],
)
def test_a_file_of_a_report_has_its_type(key: str, kind: str) -> None:
    assert content_type(key) == kind


@pytest.mark.parametrize("name", ["index.html", "page.html", "code.js"])
@pytest.mark.parametrize(
    "model", [ModelKey("models"), ModelKey("models", "x"), ModelKey("assets", "x"), ModelKey("gru")]
)
def test_no_file_of_a_run_is_called_a_page_whatever_its_name_is(model: ModelKey, name: str) -> None:
    run_id = RunId("20240816_142301")
    assert content_type(keys.data_file(model, run_id, name)) is None
    assert content_type(keys.manifest(model, run_id)) is None
    assert content_type(keys.pointer(model, "latest")) is None
