#!/usr/bin/env bash
# obstore 0.12.1 with fsspec 2026.9.0: pipe_file(path, data, mode="create") of obstore's fsspec filesystem overwrites an
# object that exists. fsspec documents mode="create" as "raise FileExistsError if it exists", and its own local and memory
# filesystems do so; obstore itself has the conditional write, which obstore.put(mode="create") uses. Only the way through
# fsspec drops the mode, without an error or a warning.
#
# Why it matters: a program that uses mode="create" as its lock or its "first writer wins" has neither on obstore.
#
# Seen: with obstore 0.12.1, fsspec 2026.9.0
#   fsspec local:          FileExistsError, holds first
#   fsspec memory:         FileExistsError, holds first
#   obstore's filesystem:  no error, holds second
#   obstore.put:           AlreadyExistsError, holds first
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile obstore==0.12.1 fsspec==2026.9.0
cat >"$folder/seen.py" <<'PYTHON'
import sys

import fsspec
import obstore
from obstore.fsspec import FsspecStore
from obstore.store import LocalStore

folder = sys.argv[1]


def outcome(create, read):
    try:
        create()
    except Exception as error:
        said = type(error).__name__
    else:
        said = "no error"
    return f"{said}, holds {read().decode()}"


for name, filesystem, path in (
    ("fsspec local:         ", fsspec.filesystem("file"), f"{folder}/one"),
    ("fsspec memory:        ", fsspec.filesystem("memory"), "/one"),
    ("obstore's filesystem: ", FsspecStore("file"), f"{folder}/two"),
):
    filesystem.pipe_file(path, b"first")
    create = lambda fs=filesystem, at=path: fs.pipe_file(at, b"second", mode="create")
    print(name, outcome(create, lambda fs=filesystem, at=path: fs.cat_file(at)))

store = LocalStore(folder)
obstore.put(store, "three", b"first")
create = lambda: obstore.put(store, "three", b"second", mode="create")
print("obstore.put:          ", outcome(create, lambda: bytes(obstore.get(store, "three").bytes())))
PYTHON
cat >"$folder/expected" <<'TEXT'
fsspec local:          FileExistsError, holds first
fsspec memory:         FileExistsError, holds first
obstore's filesystem:  no error, holds second
obstore.put:           AlreadyExistsError, holds first
TEXT
mkdir "$folder/files"
"$folder/venv/bin/python" "$folder/seen.py" "$folder/files" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
