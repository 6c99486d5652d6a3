"""Files and folders as they are, ONNX among them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.zoo.making import Making, plain


def file(name: str, data: bytes) -> Making:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return Making(f"a file: {name}", make, "raw", look=content)


def content(value: Any) -> Any:
    """The bytes, by which name they ever lie."""
    if isinstance(value, Path):
        if value.is_file():
            return value.read_bytes()
        return {
            item.relative_to(value).as_posix(): item.read_bytes() for item in sorted(value.rglob("*")) if item.is_file()
        }
    return value


def folder(name: str, files: Mapping[str, bytes]) -> Making:
    def make(place: Path) -> Path:
        root = place / "model"
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return root

    return Making(f"a folder: {name}", make, "raw", look=content, into=lambda place: place)


def onnx(place: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph), place / "model.onnx")
    return place / "model.onnx"


MAKINGS: tuple[Making, ...] = (
    plain("bytes", b"\0\1\2" * 99, "raw"),
    file("model.bin", b"\0" * 1000),
    file("Modell (März).json", b'{"a": 1}'),
    file("empty.txt", b""),
    Making("ONNX", onnx, "raw", look=content),
    folder("as from a hub", {"config.json": b"{}", "weights/model-1.safetensors": b"\0" * 99, "README.md": b"# it"}),
    folder("names in other letters", {"重/a b.txt": b"1", "ünïcode": b"2"}),
)
