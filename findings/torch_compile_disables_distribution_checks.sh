#!/usr/bin/env bash
# torch 2.13.0: decorating any function with torch.compile turns the argument checks of torch.distributions off for the
# whole process. Nothing has to be compiled or called for that, and distributions that have nothing to do with the
# function are concerned: Normal(nan, 1) is refused with ValueError before, and accepted without a word afterwards.
#
# Why it matters: code that relies on the check to stop at NaN (an agent whose network has diverged, say) stops doing so
# as soon as another part of the program, or a library, uses torch.compile.
#
# Seen: with torch 2.13.0 (CPU) on Python 3.11
#   before:              refused
#   after decorating:    accepted
#   with validate_args:  refused
# The third line is the way out: pass validate_args=True to the distributions that have to check.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile torch==2.13.0 numpy==2.4.6
cat >"$folder/seen.py" <<'PYTHON'
import torch
from torch.distributions import Normal

NAN, ONE = torch.tensor(float("nan")), torch.tensor(1.0)


def verdict(**options):
    try:
        Normal(NAN, ONE, **options)
    except ValueError:
        return "refused"
    return "accepted"


print("before:             ", verdict())
torch.compile(lambda x: x)
print("after decorating:   ", verdict())
print("with validate_args: ", verdict(validate_args=True))
PYTHON
cat >"$folder/expected" <<'TEXT'
before:              refused
after decorating:    accepted
with validate_args:  refused
TEXT
"$folder/venv/bin/python" "$folder/seen.py" 2>/dev/null | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
