"""scikit-learn estimators that arrays alone do not hold, in ``{stem}.skops``, restricted to a fixed list of types.

skops trusts every estimator of scikit-learn, and advises its users to trust whatever a file names. So the file is
audited here before skops sees it: each node may only ask for the types in
:mod:`artifact_store.codecs.sklearn.skops_types`, the archive is stored and not compressed, arrays are arrays, and the
nodes of decision trees lead to nodes. What is refused is refused: nothing is tried a second time in another way.

Not promised. Equal estimators give different bytes, since skops names its entries by chance. A file is bound to the
scikit-learn that wrote it, more or less. And the *values* in an untrusted file may be such that compiled code
misbehaves when the estimator predicts; ``LoadPolicy(max_risk="data")`` refuses such files.
The one module that imports skops.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.arrays import DAMAGE, read_entry
from artifact_store.codecs.files import all_or_nothing, dotted, import_library, read_encoded, refuse_into
from artifact_store.codecs.limits import check_stored
from artifact_store.codecs.sklearn.estimator_checks import check_widths
from artifact_store.codecs.sklearn.skops_types import ESTIMATORS, TYPES
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import CodecUnavailable, Corrupt, NotEncodable, TypeRefused

MAX_SCHEMA: Final = 64 << 20
"""Bytes of the description of an estimator; a larger one is refused before it is parsed."""

_SCHEMA: Final = "schema.json"
_PROTOCOL: Final = 2
"""The first protocol of skops that this codec has written; with a lower one older and weaker loaders would be used."""
_SHORT: Final = b'"__module__": "_loss"'
"""Within a text of JSON, the quotation marks would be others."""
_FULL: Final = b'"__module__": "sklearn._loss._loss"'
_NO_CHILD: Final = -1
_OTHERWISE: Final = "store what it has learned as arrays, use LightGBM"
_INSTEAD: Final = {
    "sklearn.model_selection._classification_threshold.TunedThresholdClassifierCV": (
        "save FixedThresholdClassifier(FrozenEstimator(model.estimator_), threshold=model.best_threshold_).fit(X, y)"
    )
}
_TRUSTED: Final = tuple(sorted(frozenset[str]().union(*TYPES.values())))


class SkopsCodec:
    """Store estimators in ``{stem}.skops``. Not deterministic: the bytes differ from one time to the next."""

    name: ClassVar[str] = "skops"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.VETTED
    types: ClassVar[tuple[str, ...]] = ("sklearn.base.BaseEstimator",)
    extra: ClassVar[str | None] = "skops"
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn", "skops")
    deterministic: ClassVar[bool] = False
    """skops names entries by the addresses of objects and by chance."""

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the estimator, and read it back once; refuse it if any part of it is of a type not on our list."""
        kind = dotted(type(obj))
        if kind not in ESTIMATORS:
            raise NotEncodable(_refusal(f"a {kind}", [kind], _INSTEAD.get(kind, _OTHERWISE)))
        skops = import_library("skops.io", self)
        try:
            data = named_in_full(skops.dumps(obj))
            audit(data, self)
            check_widths(skops.loads(data, trusted=list(_TRUSTED)), import_library("numpy", self))
        except TypeRefused as error:
            raise NotEncodable(_refusal(f"this {kind}", error.types)) from error
        except Exception as error:  # whatever the state of any object in there makes skops stumble over
            raise NotEncodable(f"skops cannot store this {kind}: {type(error).__name__}: {error}") from error
        with all_or_nothing(directory, stem):
            (directory / f"{stem}.skops").write_bytes(data)
        return {"scikit_learn": import_library("sklearn", self).__version__}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return the estimator.

        Raises:
            TypeRefused: the file asks for a type that is not on our list; nothing was made of it.
            CodecUnavailable: skops is not installed, or this scikit-learn cannot take what another one wrote.
        """
        refuse_into(self, into)
        path = directory / f"{stem}.skops"
        data = read_encoded(path)
        audit(data, self)
        skops, here = import_library("skops.io", self), import_library("sklearn", self).__version__
        try:
            found = skops.loads(data, trusted=list(_TRUSTED))
        except Exception as error:  # as above
            written = str(options.get("scikit_learn"))[:40]
            if written == here:
                raise Corrupt(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
            raise CodecUnavailable(
                f"{path.name} was written with scikit-learn {written}, and {here}, which is installed here, cannot "
                f"load it ({type(error).__name__}: {error}); install that version, or save the estimator anew"
            ) from error
        check_widths(found, import_library("numpy", self))
        return found


def named_in_full(data: bytes) -> bytes:
    """Return a file in which losses are named by the module that they are in.

    scikit-learn 1.8 calls it ``_loss``, which another release would look for among all modules that are installed.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {each.filename: archive.read(each) for each in archive.infolist()}
    if _SHORT not in entries[_SCHEMA]:
        return data
    entries[_SCHEMA] = entries[_SCHEMA].replace(_SHORT, _FULL)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def audit(data: bytes, codec: SkopsCodec) -> None:
    """Look through a whole file; nothing is imported for it and no object made.

    Raises:
        TypeRefused: it asks for a type, or a way to make one, that is not on our list.
        Corrupt: it is not what skops writes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(data))
            schema = json.loads(archive.read(_SCHEMA), object_pairs_hook=_unique)
            np = import_library("numpy", codec)
            arrays = {each.filename: read_entry(archive, each, np) for each in entries if each.filename != _SCHEMA}
        protocol = schema.get("protocol")
        if type(protocol) is not int or protocol < _PROTOCOL:
            raise ValueError(f"the protocol is {str(protocol)[:40]!r}")
        refused = _audit_nodes(schema, arrays)
    except (*DAMAGE, AttributeError, TypeError, IndexError, MemoryError) as error:
        raise Corrupt(f"a .skops file is damaged, or was written by something else: {error}") from error
    if refused:
        raise TypeRefused(
            f"a .skops file asks for {', '.join(sorted(refused)[:5])}, which this codec never writes: "
            "nothing was made of it. Do not trust its author",
            types=sorted(refused),
        )


def _audit_nodes(schema: Mapping[str, Any], arrays: Mapping[str, Any]) -> set[str]:
    """Return what the file asks for beyond our list."""
    refused: set[str] = set()
    trees: list[Mapping[str, Any]] = []
    by_id: dict[object, list[Mapping[str, Any]]] = {}
    for node in _nodes(schema):
        loader, kind = node["__loader__"], f"{node['__module__']}.{node['__class__']}"
        if kind not in TYPES.get(loader, ()):
            refused.add(f"{kind} ({loader})")
        by_id.setdefault(node.get("__id__"), []).append(node)
        trees += [node] if loader == "TreeNode" else []
    for tree in trees:
        _check_tree(tree, arrays, by_id)
    return refused


def _nodes(schema: object) -> Iterator[Mapping[str, Any]]:
    """Yield every object that could be read as a node, wherever it is."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if part.keys() & {"__loader__", "__class__", "__module__"}:
                if not all(isinstance(part[name], str) for name in ("__loader__", "__class__", "__module__")):
                    raise ValueError("a node without loader, class or module")
                yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _check_tree(
    tree: Mapping[str, Any], arrays: Mapping[str, Any], by_id: Mapping[object, list[Mapping[str, Any]]]
) -> None:
    """Refuse a decision tree whose nodes lead out of it, or back: scikit-learn follows them without looking.

    skops takes a node for the first one that had its id, so what is checked here has to be the same wherever it is.
    """
    content, args = tree["content"], tree["__reduce__"]["args"]
    inside = content["content"]
    parts = [content, args, *inside.values(), *args["content"]]
    if any(other != part for part in parts for other in by_id[part["__id__"]]):
        raise ValueError("a part of a decision tree shares its id with something else")
    width, nodes = json.loads(args["content"][0]["content"]), arrays[inside["nodes"]["file"]]
    count = len(nodes)
    inner = nodes["left_child"] != _NO_CHILD
    places = inner.nonzero()[0]
    for side in ("left_child", "right_child"):
        children = nodes[side][inner]
        if not ((children > places) & (children < count)).all():
            raise ValueError("a decision tree leads to a node that does not exist")
    asked = nodes["feature"][inner]
    if not count or not ((asked >= 0) & (asked < width)).all() or json.loads(inside["node_count"]["content"]) != count:
        raise ValueError("a decision tree uses a feature that does not exist")


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what skops does not write."""
    check_stored(entries, size)
    for entry in entries:
        if entry.filename != _SCHEMA and not entry.filename.endswith(".npy"):
            kind = "a sparse matrix" if entry.filename.endswith(".npz") else entry.filename[:40]
            raise TypeRefused(f"a .skops file holds {entry.filename[:40]!r}, which is not an array", types=[kind])
        if entry.filename == _SCHEMA and entry.file_size > MAX_SCHEMA:
            raise ValueError(f"a description of {entry.file_size:,} bytes")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _refusal(what: str, types: Sequence[str], instead: str = _OTHERWISE) -> str:
    return (
        f"{what} is not made of vetted types only ({', '.join(types[:5])}): {instead}, or, if every reader may trust "
        "you, name codec='joblib'"
    )
