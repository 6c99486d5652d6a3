#!/usr/bin/env bash
# polars 2.1.0 with lightgbm 4.7.0: a column of type Enum becomes, by to_pandas(), an *ordered* pandas Categorical, and
# LightGBM's default (categorical_feature="auto") takes only unordered ones as categories: it trains on the codes of the
# Enum as on numbers, without a warning. The same column as pl.Categorical is a category. Up to polars 1.40.1 to_pandas()
# gave an unordered Categorical for an Enum, so the same script trains another kind of model after an update of polars.
# LightGBM documents its half ("pandas unordered categorical columns are used"); the booster holds pandas_categorical
# for the column in all cases, so nothing shows that it was not used.
#
# Why it matters: Enum is polars' type for a fixed set of categories, in no order that a model should know. What is split
# off is then a range of the order in which the list was written, and a single category in its middle cannot be.
#
# Seen: with lightgbm 4.7.0, pandas 3.1.1, pyarrow 26.0.1, numpy 2.4.6 on Python 3.11 (warnings are errors in this script)
#   polars 1.40.1  Categorical  ordered False  decision ==  one split sets the middle apart: True
#   polars 1.40.1  Enum         ordered False  decision ==  one split sets the middle apart: True
#   polars 2.1.0   Categorical  ordered False  decision ==  one split sets the middle apart: True
#   polars 2.1.0   Enum         ordered True   decision <=  one split sets the middle apart: False
# The way out: categorical_feature=["color"], by name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
install="$folder/venv/bin/python -m pip install -q --no-compile"
$install lightgbm==4.7.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
for version in 1.40.1 2.1.0; do
    $install --no-deps --target "$folder/$version" "polars==$version" "polars-runtime-32==$version"
done
cat >"$folder/seen.py" <<'PYTHON'
import warnings

import lightgbm as lgb
import polars as pl

warnings.simplefilter("error")
COLORS = {"red": 10.0, "green": 0.0, "blue": 10.0}
PARAMS = {"objective": "regression", "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 1}
PARAMS |= {"min_data_per_group": 1, "cat_smooth": 0, "num_leaves": 2}

for name, kind in (("Categorical", pl.Categorical()), ("Enum", pl.Enum([*COLORS]))):
    frame = pl.DataFrame({"color": pl.Series([*COLORS] * 40, dtype=kind)}).to_pandas()
    booster = lgb.train(PARAMS, lgb.Dataset(frame, [*COLORS.values()] * 40), 1)
    decision = booster.dump_model()["tree_info"][0]["tree_structure"]["decision_type"]
    red, green, blue = booster.predict(frame[:3])
    apart = bool(red == blue != green)
    assert booster.pandas_categorical == [[*COLORS]]
    print(f"polars {pl.__version__:<7} {name:<11}  ordered {frame.color.cat.ordered!s:<5}", end="  ")
    print(f"decision {decision}  one split sets the middle apart: {apart}")
PYTHON
cat >"$folder/expected" <<'TEXT'
polars 1.40.1  Categorical  ordered False  decision ==  one split sets the middle apart: True
polars 1.40.1  Enum         ordered False  decision ==  one split sets the middle apart: True
polars 2.1.0   Categorical  ordered False  decision ==  one split sets the middle apart: True
polars 2.1.0   Enum         ordered True   decision <=  one split sets the middle apart: False
TEXT
for version in 1.40.1 2.1.0; do
    PYTHONPATH="$folder/$version" "$folder/venv/bin/python" "$folder/seen.py"
done | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
