"""Save, load and compare preprocessors with the scikit-learn that is installed; print what came of it as JSON.

Needs the package, scikit-learn and skops, and no library of tests: it runs in the environments of the proof. A saved
preprocessor has to give the bits that the fitted one gives; what is refused has to do so when it is saved as the error
says.
"""

from __future__ import annotations

import itertools
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import sklearn
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from artifact_store import ArtifactStore
from artifact_store.errors import NotEncodable

WIDTH = 5
COUNTS = (1, 2, 1000)
DTYPES = ("float64", "float32")
LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
}


def preprocessors() -> Iterator[tuple[Any, bool]]:
    """What is fitted, and whether it takes NaN and passes on no more than it was given."""
    for with_shift, with_scale in itertools.product((True, False), repeat=2):
        yield StandardScaler(with_mean=with_shift, with_std=with_scale), True
        yield RobustScaler(with_centering=with_shift, with_scaling=with_scale, unit_variance=with_scale), True
    for spread, clip in itertools.product(((0, 1), (-1, 0.3)), (False, True)):
        yield MinMaxScaler(spread, clip=clip), True
    for strategy, keep in itertools.product(("mean", "median", "most_frequent", "constant"), (False, True)):
        yield SimpleImputer(strategy=strategy, keep_empty_features=keep, add_indicator=keep), True
        yield SimpleImputer(strategy=strategy, missing_values=-1, fill_value=0.1, keep_empty_features=keep), False
    yield make_pipeline(SimpleImputer(), StandardScaler()), True
    yield make_pipeline(RobustScaler(), make_pipeline("passthrough", SimpleImputer(strategy="median"))), True


def tables(rng: np.random.Generator, *, nan: bool) -> Iterator[Any]:
    """Rows of every dtype, layout and number; some with holes, a column that is constant, and one of small numbers."""
    for dtype, count, holes in itertools.product(DTYPES, COUNTS, (False, True)):
        rows = rng.normal(size=(count, WIDTH)) * [1, 1e-6, 1e5, 0, 3] + [0.1, 0, 1e5, 2.5, -7]
        if holes:
            rows[rng.random(rows.shape) < 0.2] = np.nan if nan else -1
        for lay_out in LAYOUTS.values():
            yield lay_out(rows.astype(dtype))


def same_bits(one: Any, other: Any) -> bool:
    """Tell whether dtype, shape and bits are the same, whichever NaN it is."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    word = f"u{one.itemsize}"
    equal = np.ascontiguousarray(one).view(word) == np.ascontiguousarray(other).view(word)
    return bool((equal | (np.isnan(one) & np.isnan(other))).all())


def main() -> None:
    """Compare everything once and print the counts."""
    warnings.simplefilter("ignore")  # of scikit-learn, about columns without values
    rng = np.random.default_rng(5)
    store, counts = ArtifactStore("memory://scalers"), Counter[str]()
    for preprocessor, nan in preprocessors():
        for fitted_on in DTYPES:
            with_holes = [rows for rows in tables(rng, nan=nan) if rows.dtype == fitted_on and len(rows) == max(COUNTS)]
            preprocessor.fit(with_holes[-1])
            try:
                run, column = store.save(preprocessor, "scalers/ALL"), "same"
            except NotEncodable as error:
                if not {sklearn.__version__, "codec='skops'"} <= set(re.split(r"[ )]", str(error))):
                    raise
                with store.new_run("scalers/ALL") as draft:
                    draft.add("model", preprocessor, codec="skops")
                    run, column = draft.commit(), "through skops"
                counts["refused"] += 1
            loaded = run.load()
            for rows in tables(rng, nan=nan):
                equal = same_bits(preprocessor.transform(rows), loaded.transform(rows))
                counts[column if equal else "different"] += 1
            counts["fitted"] += 1
    print(json.dumps({"scikit-learn": sklearn.__version__, "numpy": np.__version__, **counts}))


if __name__ == "__main__":
    main()
