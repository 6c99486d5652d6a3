"""Sparse matrices: what comes back, what is refused, and that scipy sees no index that was not checked."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from artifact_store.codecs.arrays import write_arrays
from artifact_store.codecs.sparse import SparseCodec
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import Corrupt, NotEncodable
from artifact_store.testing import CodecSuite
from tests import format_arrays

pytestmark = pytest.mark.windows

DENSE = np.array([[1.5, 0, 0, 0], [0, 0, -0.0, 2], [0, 0, 0, 0], [np.nan, 0, np.inf, 0]])
FORMATS = ("csr", "csc", "coo", "bsr", "dia")


def made(kind: str, what: str, dtype: str = "float64") -> Any:
    return getattr(sparse, f"{kind}_{what}")(np.nan_to_num(DENSE, posinf=7).astype(dtype))


def same(one: Any, other: Any) -> bool:
    parts = [(values, getattr(other, name)) for name, values in vars(one).items() if isinstance(values, np.ndarray)]
    parts += zip(one.coords, other.coords, strict=True) if one.format == "coo" else ()
    return (
        type(one) is type(other)
        and one.shape == other.shape
        and all(left.dtype == right.dtype and left.tobytes() == right.tobytes() for left, right in parts)
    )


class TestSparse(CodecSuite):
    @pytest.fixture
    def codec(self) -> SparseCodec:
        return SparseCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        twice = sparse.coo_array(([1.0, 2], ([0, 0], [1, 1])), shape=(2, 2))
        unsorted = sparse.csr_array((np.array([1.0, 2]), np.array([3, 0]), np.array([0, 2])), shape=(1, 4))
        zeros = sparse.csr_array((np.array([0.0]), np.array([1]), np.array([0, 1])), shape=(1, 2))
        wide = sparse.csr_array(DENSE)
        wide.indices, wide.indptr = wide.indices.astype("int64"), wide.indptr.astype("int64")
        return [
            *(made(kind, what) for kind in FORMATS for what in ("matrix", "array")),
            *(made("csr", "array", dtype) for dtype in ("bool", "int8", "uint64", "float32", "complex128")),
            *(sparse.csr_matrix(DENSE), sparse.bsr_array(DENSE, blocksize=(2, 2)), sparse.bsr_array(DENSE)),
            *(
                twice,
                unsorted,
                zeros,
                wide,
                sparse.coo_array(np.array([0, 1, 0])),
                sparse.csr_array(np.array([0, 7, 0])),
            ),
            *(
                sparse.csr_array((0, 3)),
                sparse.csc_matrix((3, 0)),
                sparse.coo_array((2**40, 2**40)),
                sparse.dia_array((2, 3)),
            ),
            sparse.coo_array(np.ones((2, 1, 3))),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(sparse.csr_array):  # type: ignore[misc]
            pass

        outside, short = made("csr", "array"), made("csr", "array")
        outside.indices[0] = outside.shape[1]  # a place of the next row
        short.indptr[0] = 1
        return [
            *(made(kind, what) for kind in ("lil", "dok") for what in ("matrix", "array")),
            Derived(DENSE),
            sparse.csr_array(DENSE.astype("longdouble")),
            outside,
            short,
        ]

    def equal(self, one: Any, other: Any) -> bool:
        return same(one, other)


@pytest.mark.parametrize("kind", ["lil", "dok"])
def test_what_is_made_of_objects_is_refused_with_a_way_out(kind: str, tmp_path: Path) -> None:
    matrix = made(kind, "array")
    codec = CodecRegistry().for_object(matrix)
    assert codec.name == "sparse"
    with pytest.raises(NotEncodable, match=r"\.tocsr\(\)"):
        codec.encode(matrix, tmp_path, "model")
    kept = matrix.tocsr()
    assert same(codec.decode(tmp_path, "model", codec.encode(kept, tmp_path, "model")), kept)


def test_room_behind_the_values_is_left_out(tmp_path: Path) -> None:
    roomy = sparse.csr_array((np.arange(1.0), np.zeros(1, "int32"), np.array([0, 1, 1], "int32")), shape=(2, 3))
    roomy.data, roomy.indices = np.arange(9.0), np.zeros(9, "int32")
    back = SparseCodec().decode(tmp_path, "model", SparseCodec().encode(roomy, tmp_path, "model"))
    assert back.data.tolist() == [0.0]
    assert back.indices.tolist() == [0]
    assert len(roomy.data) == 9


CSR = {"format": "csr", "class": "array", "shape": [2, 3]}
COO, DIA = {**CSR, "format": "coo"}, {**CSR, "format": "dia"}
BSR = {**CSR, "format": "bsr", "shape": [2, 4]}
GOOD = {"data": [1.0, 2.0], "indices": [0, 2], "indptr": [0, 1, 2]}
BLOCKS = {"data": [[[1.0, 2.0]]], "indices": [1], "indptr": [0, 1, 1]}
HOSTILE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an index beyond the row": (CSR, GOOD | {"indices": [0, 3]}),
    "an index before the row": (CSR, GOOD | {"indices": [0, -1]}),
    "an index that wraps around": (CSR, GOOD | {"indices": [0, 2**40]}),
    "an indptr that decreases": (CSR, GOOD | {"indptr": [0, 3, 2]}),
    "an indptr beyond the indices": (CSR, GOOD | {"indptr": [0, 1, 9]}),
    "an indptr before the indices": (CSR, GOOD | {"indptr": [-1, 1, 2]}),
    "an indptr of too many rows": (CSR, GOOD | {"indptr": [0, 1, 1, 2]}),
    "an indptr without rows": (CSR, GOOD | {"indptr": []}),
    "fewer values than indices": (CSR, GOOD | {"data": [1.0]}),
    "values of two sides": (CSR, GOOD | {"data": [[1.0], [2.0]]}),
    "indices that are floats": (CSR, GOOD | {"indices": np.array([0.0, 2.0])}),
    "indices of two sides": (CSR, GOOD | {"indices": [[0, 2]]}),
    "indices of another width": (CSR, GOOD | {"indices": np.array([0, 2], "int32")}),
    "no indices": (CSR, {"data": [1.0], "indptr": [0, 1, 1]}),
    "an entry too many": (CSR, GOOD | {"more": [1]}),
    "a shape of numbers below zero": ({**CSR, "shape": [2, -3]}, GOOD),
    "a shape that is no shape": ({**CSR, "shape": [2, "3"]}, GOOD),
    "a shape of booleans": ({**CSR, "shape": [True, 3]}, GOOD | {"indptr": [0, 2]}),
    "a shape without sides": ({**CSR, "shape": []}, GOOD),
    "a shape of sides beyond any integer": ({**CSR, "shape": [2, 2**64]}, GOOD),
    "a matrix of three sides": ({**COO, "class": "matrix", "shape": [1, 1, 1]}, {"data": [1.0]}),
    "a format that is none": ({**CSR, "format": "lil"}, GOOD),
    "a class that is none": ({**CSR, "class": "tensor"}, GOOD),
    "blocks that do not fill the shape": ({**BSR, "shape": [2, 5]}, BLOCKS),
    "blocks without sides": (BSR, BLOCKS | {"data": [1.0]}),
    "a block beyond the row": (BSR, BLOCKS | {"indices": [2]}),
    "empty blocks": (BSR, BLOCKS | {"data": np.ones((1, 0, 2))}),
    "a coordinate beyond the side": (COO, {"data": [1.0], "coords_0": [2], "coords_1": [0]}),
    "a coordinate before the side": (COO, {"data": [1.0], "coords_0": [0], "coords_1": [-1]}),
    "fewer coordinates than values": (COO, {"data": [1.0, 2.0], "coords_0": [0], "coords_1": [0]}),
    "coordinates of one side only": (COO, {"data": [1.0], "coords_0": [0]}),
    "a diagonal twice": (DIA, {"data": [[1.0], [2.0]], "offsets": [0, 0]}),
    "more diagonals than offsets": (DIA, {"data": [[1.0], [2.0]], "offsets": [0]}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_matrix_that_is_not_sound_never_comes_to_scipy(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, parts = HOSTILE[kind]
    write_arrays(tmp_path / "model.npz", {name: np.asarray(part) for name, part in parts.items()}, np)
    for name in ("csr_array", "coo_array", "coo_matrix", "dia_array", "bsr_array"):
        monkeypatch.setattr(sparse, name, lambda *_, **__: pytest.fail("scipy was given it"))
    with pytest.raises(Corrupt):
        SparseCodec().decode(tmp_path, "model", options)


@pytest.mark.parametrize("lacking", ["format", "class", "shape"])
def test_options_that_lack_something_are_corrupt(lacking: str, tmp_path: Path) -> None:
    options = dict(SparseCodec().encode(made("csr", "array"), tmp_path, "model"))
    del options[lacking]
    with pytest.raises(Corrupt, match=lacking):
        SparseCodec().decode(tmp_path, "model", options)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", ["float64", "int16", "complex64", "bool"])
def test_the_format_page_is_enough_to_read_it(kind: str, dtype: str, tmp_path: Path) -> None:
    matrix = made(kind, "array", dtype)
    options = SparseCodec().encode(matrix, tmp_path, "model")
    found = format_arrays.sparse(tmp_path, "model", options)
    dense = matrix.toarray()
    assert {place: number for place, number in found.items() if number != 0} == {
        place: dense[place] for place in zip(*map(list, np.nonzero(dense)), strict=True)
    }


def test_the_other_reader_knows_nothing_of_the_libraries() -> None:
    nodes = list(ast.walk(ast.parse(Path(format_arrays.__file__).read_text(encoding="utf-8"))))
    froms = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert not {name.partition(".")[0] for name in froms | plain} & {"numpy", "scipy", "artifact_store"}
