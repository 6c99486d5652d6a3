"""Wherever bytes come in from outside there is a limit, and what is beyond it costs no memory and has a name.

``DOORS`` is the list of those places. For each of them a case below brings more than it takes: too long, too deep, too
many, or little that claims to be a lot. All of it is read in a child process whose memory is bounded, so that a limit
that came too late is a failure and not a slow test.
"""

from __future__ import annotations

import ast
import base64
import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artifact_store.codecs import arrays, documents, files, json_arrays, limits
from artifact_store.codecs.sklearn import skops
from artifact_store.codecs.torch import tensors
from artifact_store.core import manifest, pointer, statement, store_record, tombstone
from artifact_store.legacy.pickle_reader import limits as old
from artifact_store.legacy.trees import notes
from artifact_store.ops import index, keypairs, last_seen

if sys.platform == "win32":
    pytest.skip("bounds the memory of a process as POSIX does", allow_module_level=True)

CHECKOUT = Path(__file__).resolve().parents[2]
GROWTH = 400
"""Megabytes by which no case may grow the child: the largest document that is read takes some of it."""

DOORS: dict[str, tuple[str, int, str]] = {
    # what comes in: limit, and where it is set; what else holds
    "pointer": ("pointer.MAX_POINTER", pointer.MAX_POINTER, "before parsing; strict JSON, canonical, checksum, names"),
    "history block": ("pointer.MAX_BLOCK", pointer.MAX_BLOCK, "the same; 32 publishes without a hole"),
    "manifest": ("manifest.MAX_MANIFEST", manifest.MAX_MANIFEST, "the same; paths, keys, twins, components, sizes"),
    "tombstone": ("tombstone.MAX_TOMBSTONE", tombstone.MAX_TOMBSTONE, "the same; the manifest that it pins"),
    "_store.json": ("store_record.MAX_STORE_RECORD", store_record.MAX_STORE_RECORD, "the same"),
    "signature": ("statement.MAX_BUNDLE", statement.MAX_BUNDLE, "strict JSON; no unknown field; one base64 spelling"),
    "statement": ("statement.MAX_STATEMENT", statement.MAX_STATEMENT, "strict JSON; every file once"),
    "catalog index": (
        "index.MAX_BYTES",
        index.MAX_BYTES,
        "before reading; expands a hundredfold at most; rows are sound",
    ),
    "what a client has seen": ("last_seen._LIMIT", last_seen._LIMIT, "as _store.json"),
    "key file": ("keypairs.MAX_KEY_FILE", keypairs.MAX_KEY_FILE, "PEM, ECDSA, three curves"),
    "data file": ("FileEntry.size", 1 << 53, "streamed, hashed, stopped at its size; then its codec"),
    "json": ("documents.MAX_DOCUMENT", documents.MAX_DOCUMENT, "before reading; strict JSON, 32 deep"),
    "settings of codecs": ("files.MAX_SETTINGS", files.MAX_SETTINGS, "before reading; strict JSON, 32 deep"),
    "equal numbers": ("json_arrays.MAX_ELEMENTS", json_arrays.MAX_ELEMENTS, "all arrays of a document together"),
    "npz": (
        "arrays.MAX_ENTRIES",
        arrays.MAX_ENTRIES,
        "stored entries, no larger than the file; headers of 10,000 characters",
    ),
    "safetensors": ("tensors.MAX_HEADER", tensors.MAX_HEADER, "strict JSON; offsets without a gap, within the file"),
    "skops": (
        "sklearn.skops.MAX_SCHEMA",
        skops.MAX_SCHEMA,
        "stored entries; types from a list; trees lead on",
    ),
    "parquet": ("codecs.limits.MAX_RATIO", limits.MAX_RATIO, "what a table takes in memory, before it is read"),
    "old files": (
        "pickle_reader.limits.LIMITS.size",
        old.LIMITS.size,
        "steps, depth, expansion; no code, no names but a list",
    ),
    "old notes": ("notes.MAX_NOTES", notes.MAX_NOTES, "what stands before damage is kept"),
}


@pytest.mark.parametrize("door", DOORS)
def test_the_list_names_the_limits_that_there_are(door: str) -> None:
    """Each of them is that number, in the module that it names."""
    place, limit, _ = DOORS[door]
    if place == "FileEntry.size":
        with pytest.raises(ValueError, match="less than or equal"):
            manifest.FileEntry(path="a", key="a", size=limit + 1, sha256="0" * 64)
        return
    module, names = place, list[str]()
    while not (modules := [found for name, found in sys.modules.items() if name.endswith(f".{module}")]):
        module, _, name = module.rpartition(".")
        names.insert(0, name)
        assert module, f"no module of {place}"
    ours = (one for one in modules if one.__name__.startswith("artifact_store."))
    found: Any = next(one for one in ours if hasattr(one, names[0]))
    for name in names:
        found = getattr(found, name)
    assert found == limit


def test_every_module_that_reads_files_is_on_the_list_or_bounded_by_its_caller() -> None:
    """``read_bytes`` and ``read()`` without a bound stand only where something else has set one."""
    bounded = {
        ("artifact_store/codecs/files.py", "read"): "by its limit, or the size of the file in the manifest",
        ("artifact_store/codecs/raw.py", "read"): "the size in the manifest, and it is what was asked for",
        ("artifact_store/codecs/tables/arrow.py", "read"): "after its expansion was reckoned",
        ("artifact_store/legacy/formats/families.py", "read"): "the names of features alone, with their dictionary",
        ("artifact_store/ops/index_parquet.py", "read"): "two columns, after the sizes of its row groups were checked",
        ("artifact_store/storage/local/mounts.py", "read_text"): "the mount table of this system",
        ("artifact_store/storage/owned_folder.py", "read_text"): "the id that the kernel gives this boot",
        ("artifact_store/storage/aws_settings.py", "read"): "certificates that the caller names",
        ("artifact_store/storage/obstore/refused.py", "read_text"): "the key file that the caller names",
        ("artifact_store/legacy/formats/lightgbm.py", "read_bytes"): "what our own child wrote",
        ("artifact_store/legacy/formats/lightgbm_child.py", "read_bytes"): "what our own parent wrote",
    }
    found = set()
    for path in sorted((CHECKOUT / "artifact_store").rglob("*.py")):
        if "testing" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = node.func if isinstance(node, ast.Call) and not node.args else None
                if isinstance(called, ast.Attribute) and called.attr in {"read_bytes", "read_text", "read"}:
                    found.add((path.relative_to(CHECKOUT).as_posix(), called.attr))
    assert found <= set(bounded), found - set(bounded)


# ---------------------------------------------------------------- in a child with little memory


def sparse(path: Path, size: int, begin: bytes = b"") -> None:
    """Write a file that is large and takes no room."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)


def documents_that_are_too_much(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    from artifact_store.canonical import parse_json
    from artifact_store.core.manifest import Manifest
    from artifact_store.core.pointer import Pointer
    from artifact_store.core.statement import read_bundle
    from artifact_store.ops.keypairs import PublicKey, Signer
    from artifact_store.storage.local.backend import LocalBackend

    for name, data in {
        "deep": b"[" * 1_000_000,
        "deep objects": b'{"a":' * 1_000_000,
        "long number": b"9" * 2_000_000,
        "long fraction": b"0." + b"9" * 500_000 + b"e400",
        "twice": b'{"a":1,' * 1 + b'"a":2}',
        "NaN": b"[NaN]",
        "another encoding": "{}".encode("utf-16"),
    }.items():
        yield f"JSON, {name}", lambda data=data: parse_json(data, limit=8 << 20, what="it")
    yield "a manifest", lambda: Manifest.from_bytes(bytes(manifest.MAX_MANIFEST + 1), what="it")
    yield "a pointer", lambda: Pointer.from_bytes(b"[" * (pointer.MAX_POINTER + 1), what="it")
    yield "a signature", lambda: read_bundle(b" " * (statement.MAX_BUNDLE + 1), "it")
    sparse(folder / "model.json", 8 << 30)
    store = LocalBackend(folder)
    yield "an object in a folder", lambda: store.read("model.json", limit=manifest.MAX_MANIFEST)
    bomb = gzip.compress(bytes(500 << 20))
    yield "a block of the index", lambda: list(index.Index.block_rows(1, bomb))
    many = gzip.compress(b'{"model":"m","run_id":"r","state":"gone"}\n' * 5_000_000)
    yield "a block of the index of equal lines", lambda: list(index.Index.block_rows(1, many))
    yield "a public key", lambda: PublicKey.from_pem(folder / "model.json")
    yield "a private key", lambda: Signer.from_pem(Path("/dev/zero"))


def npz(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return made.getvalue()


def npy(descr: object = "<f8", shape: object = (1,), data: bytes = b"\0" * 8) -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + data


def overlapping(count: int, size: int) -> bytes:
    """An archive whose entries are all the same bytes, so that it holds more than it has."""
    inner = npy(shape=(size // 8,), data=bytes(size))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("arr_0.npy", inner)
        for place in range(1, count):
            info = zipfile.ZipInfo(f"arr_{place}.npy")
            first = archive.infolist()[0]
            info.file_size, info.compress_size, info.CRC = first.file_size, first.compress_size, first.CRC
            info.header_offset = 0
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
            archive._didModify = True
    return made.getvalue()


def arrays_that_are_too_much(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    from artifact_store.codecs.arrays import ArrayCodec
    from artifact_store.codecs.documents import DocumentCodec

    options = {"kind": "array", "count": 1}
    cases = {
        "a huge shape": npz({"arr_0.npy": npy(shape=(1 << 40,))}),
        "shapes whose product overflows": npz({"arr_0.npy": npy(shape=(1 << 62, 1 << 62, 0, 1 << 62))}),
        "a huge item": npz({"arr_0.npy": npy("<V99999", (1,))}),
        "a nested header": npz({"arr_0.npy": npy(shape="(" * 300 + "1" + ")" * 9)}),
        "a long header": npz({"arr_0.npy": npy(shape=f"({'1,' * 30_000})")}),
        "a header of objects": npz({"arr_0.npy": npy("|O", (1,))}),
        "compressed": npz({"arr_0.npy": npy(shape=(1 << 17,), data=bytes(1 << 20))}, zipfile.ZIP_DEFLATED),
        "entries on top of each other": overlapping(3, 1 << 16),
        "a header that ends early": npz({"arr_0.npy": b"\x93NUMPY\x03\x00\xff\xff\xff\x7f{"}),
    }
    for number, (name, data) in enumerate(cases.items()):
        (folder / f"m{number}.npz").write_bytes(data)
        yield f"npz, {name}", lambda number=number: ArrayCodec().decode(folder, f"m{number}", options)
    sparse(folder / "big.json", 9 << 30, b"[")
    yield "json, a large file", lambda: DocumentCodec().decode(folder, "big", {})
    sparse(folder / "settings.json", 9 << 30, b"{")
    yield "settings, a large file", lambda: files.read_settings(folder / "settings.json")
    one = {"dtype": "float64", "shape": [1 << 20, 1 << 20], "values": 0.0}
    yield "numbers, a shape", lambda: json_arrays.read_array(one, "it")
    many = {"spaces": [[str(n), {"low": {"dtype": "float64", "shape": [1 << 20], "values": 0.0}}] for n in range(900)]}
    yield "numbers, many shapes", lambda: json_arrays.check_expansion(many, "it")


def tables_that_are_too_much(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    import pyarrow as pa
    from pyarrow import parquet

    from artifact_store.codecs.tables.arrow import ArrowCodec
    from artifact_store.codecs.tables.pandas import PandasCodec
    from artifact_store.codecs.tables.polars import PolarsCodec

    # In this child little is allowed, so that tables of forty megabytes are too much already.
    limits.ALWAYS_ALLOWED = 16 << 20  # type: ignore[misc]
    rows = pa.nulls(1 << 16, pa.float64())
    with parquet.ParquetWriter(folder / "rows.parquet", pa.schema([("a", rows.type)]), compression="zstd") as writer:
        table = pa.table({"a": pa.chunked_array([rows] * 80)})  # the same memory, again and again
        writer.write_table(table, row_group_size=1 << 26)
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int32()), pa.array(["x" * 50_000]))
    nested = pa.ListArray.from_arrays(pa.array([0, 1_000], pa.int32()), text)
    for name, array, kind in (("text", text, pa.string()), ("nested", nested, pa.list_(pa.string()))):
        schema = base64.b64encode(pa.schema([("a", kind)]).serialize().to_pybytes()).decode()
        table = pa.table({"a": array})
        with parquet.ParquetWriter(folder / f"{name}.parquet", table.schema, store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"ARROW:schema": schema})
    notes = {"kind": "frame", "notes": {"data": {}}}
    for name in ("rows", "text", "nested"):
        yield f"arrow, {name}", lambda name=name: ArrowCodec().decode(folder, name, {})
        yield f"pandas, {name}", lambda name=name: PandasCodec().decode(folder, name, notes)
    parquet.write_table(pa.table({"a": [1.0]}), folder / "one.parquet")
    PolarsCodec().decode(folder, "one", {})  # its threads begin with the first table, and each wants room of its own
    yield "polars, rows", lambda: PolarsCodec().decode(folder, "rows", {})


def tensors_that_are_too_much(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    from artifact_store.codecs.torch.state import TorchStateCodec

    header = {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    lying = {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}
    empty = {"a": {"dtype": "F32", "shape": [0, 1 << 62, 1 << 62], "data_offsets": [0, 0]}}
    cases = {
        "a huge tensor": _framed(json.dumps(header)),
        "a tensor that lies": _framed(json.dumps(lying)),
        "a shape that overflows": _framed(json.dumps(empty), b""),
        "a long header": (1 << 62).to_bytes(8, "little") + b"{}",
        "a header beyond the limit": (tensors.MAX_HEADER + 1).to_bytes(8, "little") + b" " * (tensors.MAX_HEADER + 2),
        "a deep header": _framed('{"a":' * 100_000),
        "names twice": _framed('{"a":{},"a":{}}'),
    }
    for number, (name, data) in enumerate(cases.items()):
        (folder / f"t{number}.safetensors").write_bytes(data)
        record = {"names": ["a"], "aliases": {}}
        yield (
            f"safetensors, {name}",
            lambda number=number, record=record: tensors.read_tensors(
                TorchStateCodec(), record, folder / f"t{number}.safetensors"
            ),
        )


def _framed(header: str, data: bytes = bytes(4)) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + data


GROUPS: dict[str, Callable[[Path], Iterator[tuple[str, Callable[[], object]]]]] = {
    "documents": documents_that_are_too_much,
    "arrays": arrays_that_are_too_much,
    "tables": tables_that_are_too_much,
    "tensors": tensors_that_are_too_much,
}


def child(group: str, folder: str) -> None:
    """Try all cases of a group with little memory, and print what became of them, and how much it took."""
    from artifact_store.errors import ArtifactStoreError
    from tests.proofs.fuzz.running import bound_memory, peak_megabytes

    cases = list(GROUPS[group](Path(folder)))
    before = peak_megabytes()
    bound_memory(2 * GROWTH)
    told: list[Any] = []
    for name, case in cases:
        try:
            case()
        except ArtifactStoreError as error:
            told.append((name, type(error).__name__, str(error)[:300]))
        except BaseException as error:  # noqa: BLE001 -- exactly that is to be shown
            told.append((name, f"untyped {type(error).__name__}", str(error)[:300]))
        else:
            told.append((name, "read", ""))
    print(json.dumps({"told": told, "grown": peak_megabytes() - before}))


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_too_much_is_refused_by_name_and_costs_nothing(group: str, tmp_path: Path) -> None:
    program = f"from tests.integration.test_limits import child; child({group!r}, {str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = [case for case in found["told"] if case[1] not in {"Corrupt", "SignatureInvalid", "InvalidOption"}]
    assert not wrong
    assert len(found["told"]) > 5
    assert found["grown"] < GROWTH


def test_the_largest_document_that_is_read_takes_a_known_amount_of_memory(tmp_path: Path) -> None:
    """Eight megabytes of the costliest JSON that there is, refused or not: some fifty times as much, and no more."""
    program = (
        "from tests.proofs.fuzz.running import peak_megabytes as peak\n"
        "from artifact_store.canonical import parse_json\n"
        "data = b'[' + b'{},' * ((8 << 20) // 3 - 1) + b'1]'\n"
        "before = peak()\n"
        "parse_json(data, limit=8 << 20, what='it')\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 8 * 60
