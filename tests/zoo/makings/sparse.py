"""Sparse matrices and arrays of scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from tests.zoo.making import Making, plain, refused

DENSE = np.where(np.random.default_rng(2).random((8, 6)) < 0.3, np.random.default_rng(3).normal(size=(8, 6)), 0.0)
WITHOUT = ("torch", "pandas", "sklearn", "lightgbm", "pyarrow", "polars")


def made(name: str, value: Any) -> Making:
    return plain(name, value, "sparse", without=WITHOUT)


def _wide() -> Any:
    matrix = sparse.csr_array(DENSE)
    matrix.indices, matrix.indptr = matrix.indices.astype("int64"), matrix.indptr.astype("int64")
    return matrix


MAKINGS: tuple[Making, ...] = (
    *(
        made(f"{kind}_{what}", getattr(sparse, f"{kind}_{what}")(DENSE))
        for kind in ("csr", "csc", "coo", "bsr", "dia")
        for what in ("matrix", "array")
    ),
    *(
        made(f"csr of {kind}", sparse.csr_array((DENSE != 0).astype(kind)))
        for kind in ("bool", "int8", "float32", "complex128")
    ),
    made("blocks of two by three", sparse.bsr_array(DENSE, blocksize=(2, 3))),
    made("entries that are there twice", sparse.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 2))),
    made(
        "zeros that are stored",
        sparse.csr_array((np.array([0.0, 1.0]), np.array([1, 0]), np.array([0, 2])), shape=(1, 2)),
    ),
    made("indices of 64 bits", _wide()),
    made("one side", sparse.coo_array(np.array([0.0, 1, 0]))),
    made("three sides", sparse.coo_array(np.ones((2, 1, 3)))),
    made("counts of words", sparse.csr_matrix(np.array([[0, 2, 1], [3, 0, 0]]))),
    made("nothing in it", sparse.csr_matrix((1000, 2000))),
    refused("lil_matrix", sparse.lil_matrix(DENSE), "sparse", "lil", lambda m: m.tocsr()),
    refused("dok_array", sparse.dok_array(DENSE), "sparse", "dok", lambda m: m.tocsr()),
)
