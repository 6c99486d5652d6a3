#!/usr/bin/env bash
# lightgbm 4.7.0: Dataset.subset() that is called before the Dataset was constructed loses the lists of pandas categories,
# without an error or a warning. The booster that is trained on the subset has pandas_categorical None, also in the file
# that it saves, and maps the categories of every frame that it predicts by that frame's own list: the same values with
# their categories in another order get other predictions. construct() before subset() keeps the lists.
#
# Why it matters: a frame for prediction is often made anew, from a query or a file, with its categories in the order in
# which they happen to come. The booster predicts wrongly for it, and nothing says so. With the lists LightGBM brings the
# categories into the order of the training.
#
# Seen: with lightgbm 4.7.0, pandas 3.1.1, numpy 2.4.6 on Python 3.11 (warnings are errors in this script)
#   subset() first:     pandas_categorical None
#     categories in the order of the training: as trained
#     the same values, categories in another:  otherwise
#   construct() first:  pandas_categorical [['red', 'green', 'blue']]
#     categories in the order of the training: as trained
#     the same values, categories in another:  as trained
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile lightgbm==4.7.0 pandas==3.1.1 numpy==2.4.6
cat >"$folder/seen.py" <<'PYTHON'
import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd

warnings.simplefilter("error")
COLORS = {"red": 0.0, "green": 10.0, "blue": 20.0}
PARAMS = {"objective": "regression", "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 1}
PARAMS |= {"min_data_per_group": 1, "cat_smooth": 0}


def frame(values, categories):
    return pd.DataFrame({"color": pd.Categorical(values, categories=categories)})


def verdict(booster, categories):
    predicted = booster.predict(frame(list(COLORS), categories))
    return "as trained" if np.allclose(predicted, list(COLORS.values()), atol=0.1) else "otherwise"


for way in ("subset() first:    ", "construct() first: "):
    whole = lgb.Dataset(frame([*COLORS] * 40, [*COLORS]), [*COLORS.values()] * 40, params=PARAMS)
    if way.startswith("construct"):
        whole.construct()
    booster = lgb.train(PARAMS, whole.subset(list(range(90))), 100)
    print(way, "pandas_categorical", booster.pandas_categorical)
    print("  categories in the order of the training:", verdict(booster, [*COLORS]))
    print("  the same values, categories in another: ", verdict(booster, [*COLORS][::-1]))
PYTHON
cat >"$folder/expected" <<'TEXT'
subset() first:     pandas_categorical None
  categories in the order of the training: as trained
  the same values, categories in another:  otherwise
construct() first:  pandas_categorical [['red', 'green', 'blue']]
  categories in the order of the training: as trained
  the same values, categories in another:  as trained
TEXT
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
