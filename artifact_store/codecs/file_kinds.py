"""What a model file is, by its suffix; and what an ONNX file says of itself, where the library ``onnx`` is installed.

Recorded beside the file for people and programs that look for a model. Information only: a file is stored as it is, and
nothing of this is needed to read it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from artifact_store.core.codec import JSON
from artifact_store.errors import NotEncodable

KINDS: Final = {
    ".onnx": "onnx",
    ".pt2": "torch.export",
    ".safetensors": "safetensors",
    ".gguf": "gguf",
    ".tflite": "tflite",
    ".keras": "keras",
    ".h5": "hdf5",
    ".pmml": "pmml",
    ".ubj": "xgboost",
    ".cbm": "catboost",
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt"), "pickle"),
}
"""The kind of a file by its suffix. Programs that open a ``pickle`` may run what is in it; this store opens none."""

LARGEST: Final = 256 << 20
"""Bytes of the largest ONNX file that is looked into: a parsed one takes several times its size in memory."""
_SHOWN: Final = 64


def about_file(path: Path) -> dict[str, JSON]:
    """Return what is known of a file that is to be stored, beginning with its ``kind``; nothing for any other suffix.

    Raises:
        NotEncodable: it is an ONNX file whose tensors are in other files.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        return {}
    return {"kind": kind, **(_about_onnx(path) if kind == "onnx" else {})}


def _about_onnx(path: Path) -> dict[str, JSON]:
    try:
        import onnx
    except ImportError:
        return {}
    if path.stat().st_size > LARGEST:
        return {}
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # noqa: BLE001 -- whatever its parser raises: the file is stored as it is
        return {"unread": f"{type(error).__name__}: {error}"[:200]}
    others = {
        entry.value
        for tensor in _tensors(model.graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    if others:
        raise NotEncodable(
            f"{path} has its tensors in other files ({', '.join(sorted(others)[:3])}): save the folder that holds them "
            f"all, Path({str(path.parent)!r})"
        )
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    return {
        "ir_version": model.ir_version,
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "inputs": _values(onnx, (value for value in graph.input if value.name not in weights)),
        "outputs": _values(onnx, graph.output),
    }


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield the tensors of a graph, and of the graphs in its nodes."""
    pending = [graph]
    while pending:
        one = pending.pop()
        yield from one.initializer
        for attribute in (attribute for node in one.node for attribute in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            pending += (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs)


def _values(onnx: Any, values: Iterable[Any]) -> list[dict[str, JSON]]:
    return [_value(onnx, value) for value, _ in zip(values, range(_SHOWN), strict=False)]


def _value(onnx: Any, value: Any) -> dict[str, JSON]:
    """Return the name of an input or output and, of a tensor, its type and shape: a size, a name or ``None`` each."""
    if value.type.WhichOneof("value") != "tensor_type":
        return {"name": value.name, "type": str(value.type.WhichOneof("value"))}
    tensor = value.type.tensor_type
    shape = [one.dim_value if one.HasField("dim_value") else one.dim_param or None for one in tensor.shape.dim]
    return {
        "name": value.name,
        "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(),
        "shape": shape if tensor.HasField("shape") else None,
    }
