"""The unpickler that runs nothing, and the readers of old files that are built on it.

While an input is read nothing may be looked up, opened, started or compiled: an audit hook listens.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import threading
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from artifact_store.errors import CodecUnavailable, Corrupt, RiskRefused
from artifact_store.legacy.formats.checkpoint import read_checkpoint
from artifact_store.legacy.formats.joblib import read_joblib
from artifact_store.legacy.formats.lightgbm import read_lightgbm
from artifact_store.legacy.formats.preprocessors import read_preprocessor
from artifact_store.legacy.formats.sb3 import read_sb3
from artifact_store.legacy.formats.vecnormalize import read_vecnormalize
from artifact_store.legacy.pickle_reader.limits import Limits
from artifact_store.legacy.pickle_reader.machine import loads
from tests.hostile import CORPUS as HOSTILE
from tests.legacy_cases import DATA
from tests.proofs.fuzz.changing import change_bytes, change_pickle
from tests.proofs.fuzz.running import Target

LIMITS = Limits(size=4 << 20, steps=200_000, depth=100, expanded=64 << 20)
_LARGEST = 24 << 10
_TYPED = (Corrupt, RiskRefused, CodecUnavailable)
_FORBIDDEN = {
    *("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir"),
    *("subprocess.Popen", "exec", "compile", "open", "import", "ctypes.dlopen", "socket.connect", "shutil.rmtree"),
}  # fmt: skip
_listening = threading.local()
READERS: dict[str, Callable[..., Any]] = {
    "plain": loads,
    "joblib": read_joblib,
    "preprocessor": read_preprocessor,
    "vecnormalize": read_vecnormalize,
    "lightgbm": read_lightgbm,
    "checkpoint": read_checkpoint,
}


@cache
def corpus() -> list[bytes]:
    """Old files as they were really written, small ones; strange ones; and plain pickles."""
    files = sorted(DATA.glob("trees/main/**/*"))
    old = [path.read_bytes() for path in files if path.suffix in {".pkl", ".pth", ".zip", ".pt"}]
    hostile = [case.make(Path("/nonexistent/marker")) for case in HOSTILE]
    plain = [pickle.dumps(value, protocol) for value in _VALUES for protocol in (0, 2, 4, 5)]
    parts = [_part(data, name) for data in old if data.startswith(b"PK") for name in (".pkl", ".pth", "data")]
    return [data for data in (*old, *hostile, *plain, *parts) if 0 < len(data) <= _LARGEST]


_VALUES: tuple[Any, ...] = (
    {"scaler": None, "imputer": None, "feature_names": ["a", "b"], "is_fitted": True},
    [
        1,
        -2,
        3 << 80,
        2.5,
        1 + 2j,
        "text",
        b"bytes",
        bytearray(b"x"),
        None,
        True,
        (1, (2, (3,))),
        {1, 2},
        frozenset("ab"),
    ],
)


def _part(data: bytes, ending: str) -> bytes:
    """Return the first entry of a zip with such a name, so that changes of it are not hidden by a checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return next((archive.read(name) for name in archive.namelist() if name.endswith(ending)), b"")


def read(data: bytes) -> str:
    """Read the bytes as every kind of old file that they could be."""
    _listen()
    readers = {"sb3": read_sb3, "checkpoint": read_checkpoint} if data.startswith(b"PK\x03\x04") else READERS
    told = []
    for name, reader in readers.items():
        _listening.events = []
        try:
            reader(data, what="old.pkl", limits=LIMITS)
        except _TYPED as error:
            told.append(type(error).__name__)
            _names_the_file(error)
        else:
            told.append(name)
        finally:
            events, _listening.events = _listening.events, None
        assert not events, events
    return "read: " + "+".join(sorted({*told} - {"Corrupt", "RiskRefused"})) if {*told} & {*readers} else min(told)


def _names_the_file(error: BaseException) -> None:
    assert "old.pkl" in str(error) or isinstance(error, CodecUnavailable), str(error)


@cache
def _listen() -> None:
    """Hang the hook on this interpreter, once, and import everything that the readers import when first used."""
    for data in corpus()[:40]:
        for reader in (*READERS.values(), read_sb3):
            try:
                reader(data, what="old.pkl", limits=LIMITS)
            except _TYPED:
                continue
    "".encode("raw-unicode-escape")

    def heard(event: str, _args: tuple[Any, ...]) -> None:
        events = getattr(_listening, "events", None)
        if events is not None and event in _FORBIDDEN:
            events.append(event)

    sys.addaudithook(heard)


# ---------------------------------------------------------------- opcodes by grammar


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


_NAMES = (
    *("numpy\ndtype", "numpy\nndarray", "numpy.core.multiarray\n_reconstruct", "numpy._core.multiarray\n_reconstruct"),
    *("numpy.core.multiarray\nscalar", "numpy._core.numeric\n_frombuffer", "collections\nOrderedDict", "datetime\ndatetime"),
    *("datetime\ntimezone", "datetime\ntimedelta", "_codecs\nencode", "builtins\nset", "builtins\nbytearray", "builtins\ncomplex"),
    *("sklearn.preprocessing._data\nStandardScaler", "sklearn.impute._base\nSimpleImputer", "sklearn.pipeline\nPipeline"),
    *("lightgbm.basic\nBooster", "lightgbm.sklearn\nLGBMClassifier", "torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage"),
    *("joblib.numpy_pickle\nNumpyArrayWrapper", "copyreg\n_reconstructor", "copy_reg\n_reconstructor", "__builtin__\nobject"),
    *(f"{os.system.__module__}\nsystem", "builtins\neval", "numpy\nload", "os.path\njoin", "collections\ndefaultdict"),
)  # fmt: skip
PARTS: list[bytes] = [
    *(b"c" + name.encode() + b"\n" for name in _NAMES),
    *(_text(module) + _text(name) + b"\x93" for module, name in (each.split("\n") for each in _NAMES)),
    *(b"(", b"0", b"1", b"2", b"N", b"\x88", b"\x89", b")", b"]", b"}", b"\x8f", b"\x85", b"\x86", b"\x87", b"t", b"l", b"d"),
    *(b"\x91", b"a", b"e", b"s", b"u", b"\x90", b"R", b"\x81", b"\x92", b"o", b"b", b"\x94", b".", b"Q", b"\x97", b"\x98"),
    *(b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"r\x05\0\0\0", b"j\x00\x00\x00\x00", b"p0\n", b"g0\n", b"p99\n"),
    *(b"K\x01", b"M\x00\x01", b"J\xff\xff\xff\xff", b"I01\n", b"I00\n", b"I7\n", b"L9L\n", b"F1e400\n", b"G\x7f\xf8" + b"\0" * 6),
    *(b"\x8a\x00", b"\x8a\xff" + b"\xff" * 255, b"\x8b\x00\x10\x00\x00", b"\x8d" + b"\xff" * 8, b"\x95" + b"\xff" * 8, b"\x82\x01"),
    *(b"S'a'\n", b"V\\ud800\n", b"U\x01a", b"T\x01\0\0\0a", b"C\x04\0\0\0\0", b"B\x04\0\0\0abcd", b"\x96\x04" + b"\0" * 7 + b"abcd"),
    *(_text(text) for text in ("", "f8", "<f8", ">U3", "O8", "V8", "|b1", "scaler", "imputer", "a\ud800", "dtype", "shape")),
    b")" + b"2\x86" * 8,  # of which each is twice the one before
    *(pickle.dumps(value, 2)[2:-1] for value in ((0,), (1 << 10,), (2, 3), (), {"a": 1}, [1, 2], "C", "latin1", 1.5, b"b" * 8)),
]  # fmt: skip


def mutate(data: bytes, chance: Random) -> bytes:
    """Change a file; sometimes write a new pickle from opcodes alone."""
    if chance.random() < 0.15:
        count = 1 + int(chance.expovariate(0.05))
        return b"\x80\x04" + b"".join(chance.choices(PARTS, k=count)) + b"."
    if data.startswith(b"PK\x03\x04"):
        return _change_zip(data, chance) if chance.random() < 0.6 else change_bytes(data, chance)
    return change_pickle(data, chance, PARTS)


def _change_zip(data: bytes, chance: Random) -> bytes:
    """Change one entry and write the archive anew, with checksums that fit."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # noqa: BLE001 -- a changed archive breaks in many ways, and is changed as bytes then
        return change_bytes(data, chance)
    if not entries or sum(map(len, entries.values())) > (1 << 20):
        return change_bytes(data, chance)
    name = chance.choice(list(entries))
    content = entries[name]
    entries[name] = change_pickle(content, chance, PARTS) if b"\x80" in content[:1] else change_bytes(content, chance)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for each, written in entries.items():
            archive.writestr(zipfile.ZipInfo(each), written)
    return made.getvalue()


TARGET = Target("pickles", read, corpus, mutate, typed=_TYPED)
