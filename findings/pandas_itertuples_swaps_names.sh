#!/usr/bin/env bash
# pandas 3.1.1: DataFrame.itertuples() gives the value of one column under the name of another, without an error, if
# columns are called _1, _2 … in another order than that. A name with a leading underscore is no name for a field of a
# namedtuple, so each such column is renamed to _ and its position (counted from the index, which is 0); where that is
# the name of another column, row._1 is the value of that column's neighbour.
#
# Why it matters: code that reads features from rows by name (row._1) gets those of other columns. Files of numbered
# features are often called so.
#
# Seen: with pandas 3.1.1, numpy 2.4.6
#   columns:       _2 = 1.0, _1 = 2.0
#   itertuples():  _1 = 1.0, _2 = 2.0
#   iterrows():    _2 = 1.0, _1 = 2.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile pandas==3.1.1 numpy==2.4.6
cat >"$folder/seen.py" <<'PYTHON'
import pandas as pd

frame = pd.DataFrame({"_2": [1.0], "_1": [2.0]})


def told(values):
    return ", ".join(f"{name} = {float(value)}" for name, value in values.items())


print("columns:      ", told({name: frame[name].iloc[0] for name in frame.columns}))
row = next(frame.itertuples())._asdict()
del row["Index"]
print("itertuples(): ", told(row))
print("iterrows():   ", told(next(frame.iterrows())[1].to_dict()))
PYTHON
cat >"$folder/expected" <<'TEXT'
columns:       _2 = 1.0, _1 = 2.0
itertuples():  _1 = 1.0, _2 = 2.0
iterrows():    _2 = 1.0, _1 = 2.0
TEXT
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
