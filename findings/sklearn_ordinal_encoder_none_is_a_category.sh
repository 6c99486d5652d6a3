#!/usr/bin/env bash
# scikit-learn 1.9.1: OrdinalEncoder(encoded_missing_value=-1) gives that value to NaN, and not to None. In a column of
# objects, None becomes a category of its own, behind all others, without an error or a warning, although scikit-learn's
# imputer can take both for missing, and pandas does.
#
# Why it matters: the same data have None where they come from a database, from JSON or from Arrow, and NaN where pandas
# read them. A model that was trained on codes of the one is given other codes for the other.
#
# Seen: with scikit-learn 1.9.1, pandas 3.1.1, numpy 2.4.6
#   fitted on 'a', NaN, 'b':   a -> 0, NaN -> -1, b -> 1
#   fitted on 'a', None, 'b':  a -> 0, None -> 2, b -> 1
#   pandas takes both for missing: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile scikit-learn==1.9.1 pandas==3.1.1 numpy==2.4.6
cat >"$folder/seen.py" <<'PYTHON'
import numpy as np
import pandas as pd
from sklearn.preprocessing import OrdinalEncoder


def codes(missing, name):
    column = np.array([["a"], [missing], ["b"]], dtype=object)
    made = OrdinalEncoder(encoded_missing_value=-1).fit_transform(column).ravel()
    return ", ".join(f"{value} -> {code:g}" for value, code in zip(("a", name, "b"), made))


print("fitted on 'a', NaN, 'b':  ", codes(np.nan, "NaN"))
print("fitted on 'a', None, 'b': ", codes(None, "None"))
print("pandas takes both for missing:", bool(pd.isna(None) and pd.isna(np.nan)))
PYTHON
cat >"$folder/expected" <<'TEXT'
fitted on 'a', NaN, 'b':   a -> 0, NaN -> -1, b -> 1
fitted on 'a', None, 'b':  a -> 0, None -> 2, b -> 1
pandas takes both for missing: True
TEXT
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
