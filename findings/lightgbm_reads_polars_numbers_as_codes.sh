#!/usr/bin/env bash
# lightgbm 4.7.0: a booster that was trained on a pandas frame whose categories are whole numbers predicts a polars table
# with the same numbers without an error or a warning, and takes each number for the code of a category (its position in
# the list of categories), not for the category. With the categories 1, 2 and 3 the rows "1" and "2" of a polars table get
# what "2" and "3" of a pandas frame get. A pandas frame with plain whole numbers is refused: "train and valid dataset
# categorical_feature do not match". (A numpy array, which has no types of columns, is read as codes too.)
#
# Why it matters: predict() takes polars as it takes pandas, and shop numbers, weekdays and ids are categories everywhere.
# A service that moves from pandas to polars predicts for the wrong category, and every number still looks plausible.
#
# Seen: with lightgbm 4.7.0, pandas 3.1.1, polars 2.1.0, numpy 2.4.6 on Python 3.11 (warnings are errors in this script)
#   pandas categories 1, 2, 3:               as trained
#   polars with the same numbers:            otherwise
#   polars 1, 2 against pandas 2, 3:         equal
#   pandas with plain numbers:               ValueError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile lightgbm==4.7.0 pandas==3.1.1 polars==2.1.0 numpy==2.4.6
cat >"$folder/seen.py" <<'PYTHON'
import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl

warnings.simplefilter("error")
SHOPS = {1: 0.0, 2: 10.0, 3: 20.0}
PARAMS = {"objective": "regression", "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 1}
PARAMS |= {"min_data_per_group": 1, "cat_smooth": 0}


def frame(values):
    return pd.DataFrame({"shop": pd.Categorical(values, categories=[*SHOPS])})


def verdict(data):
    try:
        predicted = booster.predict(data)
    except ValueError as error:
        return type(error).__name__
    return "as trained" if np.allclose(predicted, [*SHOPS.values()], atol=0.1) else "otherwise"


booster = lgb.train(PARAMS, lgb.Dataset(frame([*SHOPS] * 40), [*SHOPS.values()] * 40), 100)
same = np.array_equal(booster.predict(pl.DataFrame({"shop": [1, 2]})), booster.predict(frame([2, 3])))
print("pandas categories 1, 2, 3:              ", verdict(frame([*SHOPS])))
print("polars with the same numbers:           ", verdict(pl.DataFrame({"shop": [*SHOPS]})))
print("polars 1, 2 against pandas 2, 3:        ", "equal" if same else "differs")
print("pandas with plain numbers:              ", verdict(pd.DataFrame({"shop": [*SHOPS]})))
PYTHON
cat >"$folder/expected" <<'TEXT'
pandas categories 1, 2, 3:               as trained
polars with the same numbers:            otherwise
polars 1, 2 against pandas 2, 3:         equal
pandas with plain numbers:               ValueError
TEXT
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
