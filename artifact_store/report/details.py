"""What a page has of one run besides its row in the index: texts made of its manifest, and importances.

No component is decoded. Importances are read where a codec records them: in the text of a LightGBM model, and beside a
CatBoost model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from artifact_store.canonical import canonical
from artifact_store.core.compatibility import EnvironmentVerdict
from artifact_store.core.manifest import Component, Manifest
from artifact_store.core.references import RunRef
from artifact_store.features.schema import FeatureSchema
from artifact_store.ops import environment
from artifact_store.ops import read as fetch
from artifact_store.ops.context import Context
from artifact_store.ops.diff import sections_of

MAX_READ: Final = 2 << 20
"""Bytes of a file that is read for its importances; larger ones are left alone."""
MAX_SHOWN: Final = 10_000
"""Importances of one model that are shown."""

_DIGITS: Final = 15
_MARK: Final = "\nfeature_importances:\n"
_IN_TEXT: Final = ("lightgbm", "lightgbm-sklearn")
_BESIDE: Final = ("catboost",)
_NOT_SHOWN: Final = ("order", "selected order")
"""Of a schema: the order is that of the features, and is in the fingerprint."""


class Describer:
    """Makes what pages have of runs; remembers verdicts, which many runs share."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._verdicts: dict[bytes, EnvironmentVerdict] = {}

    def details(self, manifest: Manifest, importances: Mapping[str, Any]) -> dict[str, Any]:
        """Return the details of a run as JSON; ``Corrupt``: its features contradict themselves."""
        sections = sections_of(manifest)
        for name in _NOT_SHOWN:
            sections["schema"].pop(name, None)
        shown = {
            section: {name: shown_text(value) for name, value in values.items()}
            for section, values in sections.items()
            if section not in {"metrics", "tags"}  # which the row has
        }
        shown["files"] = {
            name: f"{value['size']:,} bytes, sha256 {value['sha256']}" for name, value in sections["files"].items()
        }
        found: dict[str, Any] = {
            "sections": shown,
            "facts": [*_facts(manifest)],
            "components": [
                [name, str(part.codec.ref), str(part.risk), part.type, list(part.files)]
                for name, part in manifest.components.items()
            ],
            "files": [[entry.path, entry.size, entry.sha256] for entry in manifest.files],
            "made": {name: shown_text(value) for name, value in _flat(manifest.provenance)},
            "data": {name: f"{data.size:,} bytes, sha256 {data.sha256}" for name, data in manifest.data.items()},
            "parent": _parent(manifest),
            "environment": self._environment(manifest),
        }
        return found | ({"importances": importances} if importances else {})

    def importances(self, manifest: Manifest) -> dict[str, Any]:
        """Return the importances of the features, where they are recorded in a small file; else nothing.

        Raises:
            DigestMismatch, Corrupt: the file is not the one that was saved.
        """
        for part in sorted(manifest.components.items(), key=lambda part: (part[0] != "model", part[0])):
            if values := self._recorded(manifest, part[1]):
                return values
        return {}

    def _recorded(self, manifest: Manifest, part: Component) -> dict[str, Any]:
        if part.codec.name in _IN_TEXT and (text := self._text(manifest, part, ".txt")):
            values: dict[str, float] = dict(_in_text(text[1]))
            kind = "how many splits use it"
        elif part.codec.name in _BESIDE and (text := self._text(manifest, part, ".json")):
            values = _beside(text[1], manifest)
            kind = "change of the prediction"
        else:
            return {}
        return {"kind": kind, "file": text[0], "values": values} if values else {}

    def _text(self, manifest: Manifest, part: Component, ending: str) -> tuple[str, str] | None:
        """Return name and text of the file of a component with this ending, if it is small."""
        for name in part.files:
            entry = manifest.file(name)
            if name.endswith(ending) and entry.size <= MAX_READ:
                with fetch.open_file(self._context, manifest, entry) as stored:
                    return name, stored.read().decode("utf-8", "replace")
        return None

    def _environment(self, manifest: Manifest) -> dict[str, Any]:
        parts = [[str(part.codec.ref), str(part.risk), part.type] for part in manifest.components.values()]
        known = canonical([dict(manifest.environment), parts])
        verdict = self._verdicts.get(known)
        if verdict is None:
            verdict = self._verdicts[known] = environment.verdict(self._context.registry, manifest)
        remarks = [
            [remark.library, f"{remark.verdict}: {remark.reason} (saved with {remark.saved}, here {remark.here})"]
            for remark in verdict.remarks
        ]
        return {"verdict": str(verdict.verdict), "remarks": remarks}


def shown_text(value: object) -> str:
    """Return a value as text, each value another one: a text as it is, or as JSON where it could be taken for that."""
    if not isinstance(value, str):
        return canonical(value).decode()
    try:
        json.loads(value)
    except ValueError:
        return value
    return canonical(value).decode()


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, part in value.items():
        if isinstance(part, Mapping) and part:
            yield from _flat(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _facts(manifest: Manifest) -> Iterator[list[str]]:
    wish = manifest.publish
    yield ["Saved for", f"{wish.alias}, {wish.policy.replace('_', ' ')}"]
    if not manifest.is_fitted:
        yield ["Fitted", "no"]
    if manifest.needed:
        lost = manifest.lost
        yield ["Needs", ", ".join(f"{name} (lost)" if name in lost else name for name in manifest.needed)]
    yield ["Golden predictions", _golden(manifest)]
    if manifest.signed_by:
        yield ["Signed by", ", ".join(manifest.signed_by)]


def _golden(manifest: Manifest) -> str:
    if "example_inputs" not in manifest.components:
        return "none recorded"
    files = ", ".join(manifest.components["example_inputs"].files)
    return f"recorded ({files}); `artifact-store verify {manifest.label} --predict` repeats them"


def _parent(manifest: Manifest) -> dict[str, str | None] | None:
    if manifest.parent is None:
        return None
    ref = RunRef.parse(manifest.parent.ref)
    own = ref.run_id if ref.key == manifest.key else None
    return {"ref": manifest.parent.ref, "run": own, "manifest": manifest.parent.manifest_sha256}


def _in_text(text: str) -> Iterator[tuple[str, float]]:
    """Yield the features and in how many splits each is, as LightGBM writes them behind its trees."""
    _, _, rest = text.rpartition(_MARK)
    for line in rest.splitlines()[:MAX_SHOWN]:
        name, equals, count = line.rpartition("=")
        if not equals or not count.isascii() or not count.isdecimal() or len(count) > _DIGITS:
            return
        yield name, int(count)


def _beside(text: str, manifest: Manifest) -> dict[str, float]:
    """Return the importances that are beside a CatBoost model, by the names that the run has of its features."""
    schema = None if manifest.features is None else FeatureSchema.from_json(manifest.features)
    try:
        found = json.loads(text)["importances"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    if schema is None or not isinstance(found, list) or len(found) != len(schema.selected_names):
        return {}
    if len(found) > MAX_SHOWN or not all(isinstance(value, int | float) and value - value == 0 for value in found):
        return {}
    return {name: float(value) for name, value in zip(schema.selected_names, found, strict=True)}
