"""Say in what two runs differ, by what their manifests record. Reads no file and decodes nothing.

What differs between any two runs is left out: id, times, and ``metadata.json``, which repeats the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from artifact_store.canonical import canonical
from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.features.schema import FeatureSchema
from artifact_store.ops import signing
from artifact_store.ops.context import Context


@dataclass(frozen=True, slots=True)
class Section:
    """The differences in one respect, by name. True as a value if there are any.

    ``added`` is what only the second run has, ``removed`` what only the first has, ``changed`` are pairs.
    """

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        pairs = {name: {"a": one, "b": other} for name, (one, other) in self.changed.items()}
        return {"added": dict(self.added), "removed": dict(self.removed), "changed": pairs}


@dataclass(frozen=True, slots=True)
class Difference:
    """In what two runs differ, one section for each respect. True as a value if they do at all.

    Names within a nested configuration are joined by dots. Files are compared by size and sha256, features by name and
    dtype, the selection by name. The origin is description, parent, data and provenance; what predicting needs is in
    the components.
    """

    a: str
    b: str
    files: Section
    features: Section
    selection: Section
    schema: Section
    config: Section
    training_config: Section
    metrics: Section
    tags: Section
    components: Section
    origin: Section
    environment: Section

    def __bool__(self) -> bool:
        return any(section for _, section in self.sections())

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield every section with its name, those without differences included."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Section):
                yield each.name, value

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        sections = {name: section.to_json() for name, section in self.sections()}
        return {"a": self.a, "b": self.b, "equal": not self, "sections": sections}


def compare_signed(context: Context, one: Manifest, other: Manifest) -> Difference:
    """Return in what two runs differ, or raise ``Untrusted`` if one is not signed as the policy demands."""
    for manifest in (one, other):
        signing.check_signed(context, manifest)
    return compare_manifests(one, other)


def compare_manifests(a: Manifest, b: Manifest) -> Difference:
    """Compare two runs, of any models and stores; ``Corrupt`` if the features of one of them contradict themselves."""
    one, other = sections_of(a), sections_of(b)
    return Difference(a.label, b.label, **{name: _section(one[name], other[name]) for name in one})


def sections_of(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return what a run is compared by: a name and a value in each section; ``Corrupt`` as above."""
    features = None if manifest.features is None else FeatureSchema.from_json(manifest.features)
    return {
        "files": {
            entry.path: {"size": entry.size, "sha256": entry.sha256}
            for entry in manifest.files
            if entry.path != keys.METADATA
        },
        "features": _features(features),
        "selection": {} if features is None else dict.fromkeys(features.selected_names, "selected"),
        "schema": _schema(features),
        "config": _flat(manifest.config),
        "training_config": _flat(manifest.training_config),
        "metrics": dict(manifest.metrics),
        "tags": dict(manifest.tags),
        "components": {
            name: {"codec": str(component.codec.ref), "type": component.type}
            for name, component in manifest.components.items()
        }
        | {f"requires.{name}": "needed to predict" for name in manifest.requires},
        "origin": _origin(manifest),
        "environment": _flat(manifest.environment),
    }


def _origin(manifest: Manifest) -> dict[str, Any]:
    """Return what is said of where a run comes from; what is not said has no name in it."""
    data = {name: {"size": found.size, "sha256": found.sha256} for name, found in manifest.data.items()}
    said = {
        "description": manifest.description,
        "parent": None if manifest.parent is None else manifest.parent.ref,
        **{f"data.{name}": found for name, found in data.items()},
        **_flat(manifest.provenance),
    }
    return {name: value for name, value in said.items() if value is not None and value != ""}


def _features(features: FeatureSchema | None) -> dict[str, Any]:
    if features is None:
        return {}
    dtypes = {name: features.dtypes.get(name, "any") for name in features.names}
    return {
        name: dtype if name not in features.categories else f"category of {list(features.categories[name])}"
        for name, dtype in dtypes.items()
    }


def _schema(features: FeatureSchema | None) -> dict[str, Any]:
    """Return what is said of the features as a whole; with the fingerprint a different order shows, too."""
    if features is None:
        return {}
    said = features.to_json()
    rest = ("selection_after_preprocessing", "nan", "inf", "unseen", "inferred", "reason")
    return {
        "fingerprint": features.fingerprint,
        "count": features.feature_count,
        "selected": features.input_size,
        "observation": said["observation"],
        "order": list(features.names),
        "selected order": list(features.selected_names),
        **{name: said[name] for name in rest},
    }


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, part in value.items():
        if isinstance(part, Mapping) and part:
            found.update(_flat(part, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = part
    return found


def _section(a: Mapping[str, Any], b: Mapping[str, Any]) -> Section:
    """Compare by the bytes of JSON: 1, 1.0 and true are three values."""
    return Section(
        added={name: value for name, value in b.items() if name not in a},
        removed={name: value for name, value in a.items() if name not in b},
        changed={
            name: (value, b[name]) for name, value in a.items() if name in b and canonical(value) != canonical(b[name])
        },
    )
