"""Arrow tables in Parquet, and the reading and writing of Parquet that pandas tables share.

Parquet alone bends some types (seconds become milliseconds, names of list items change); the schema that pyarrow
writes beside the data tells what they were, and every table is read back before it counts as stored. Chunks are not
kept. Extension types are refused on both sides: what they mean is decided by code that happens to be registered.
The one module that imports pyarrow.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from artifact_store.codecs.files import all_or_nothing, import_library, opened, refuse_into, refuse_subclass
from artifact_store.codecs.limits import ANY_WIDTH, check_expanded_size, expanded_limit
from artifact_store.core.codec import JSON, Codec, Risk
from artifact_store.errors import Corrupt, NotEncodable

_SCHEMA = b"ARROW:schema"
_WIDTHS: Final = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "FLOAT": 4, "DOUBLE": 8, "INT96": 12}


class ArrowCodec:
    """Store a ``pyarrow.Table`` in ``{stem}.parquet``: the same schema, metadata included, and equal values."""

    name: ClassVar[str] = "arrow"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "pyarrow.lib.Table",
        *(f"pyarrow.lib.{kind}" for kind in ("RecordBatch", "Array", "ChunkedArray")),  # to be refused with a reason
    )
    extra: ClassVar[str | None] = "tables"
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the table, read it back and compare; refuse extension types."""
        refuse_subclass(obj, import_library("pyarrow", self).Table)
        path = directory / f"{stem}.parquet"
        if obj.num_rows and not obj.num_columns:
            raise NotEncodable(
                f"a table of {obj.num_rows} rows without columns would lose its rows: add a column, or store the number"
            )
        with all_or_nothing(directory, stem):
            _compare(obj, write_parquet(self, obj, path))
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the table."""
        del options
        refuse_into(self, into)
        return read_parquet(self, directory / f"{stem}.parquet")


def write_parquet(codec: Codec, table: Any, path: Path) -> Any:
    """Write a table, and return what is read back; equal tables give equal bytes with one version of pyarrow.

    Raises:
        NotEncodable: Parquet does not support a type, or it is an extension type.
    """
    pa, parquet = import_library("pyarrow", codec), import_library("pyarrow.parquet", codec)
    for column in table.schema:
        if has_extension(column.type, pa):
            raise NotEncodable(
                f"the column {column.name!r} has the extension type {column.type}, which only code can give a meaning: "
                f"store its plain values, table[{column.name!r}].combine_chunks().storage"
            )
    if len(set(table.column_names)) != len(table.column_names):
        raise NotEncodable(
            f"several columns have one name: {table.column_names}; give each its own with rename_columns"
        )
    try:
        # the file is ours: a writer that failed keeps its own open, and Windows removes no such file
        with path.open("wb") as handle:
            parquet.write_table(table, handle, compression="zstd", write_page_checksum=True)
        return read_parquet(codec, path)
    except (pa.ArrowException, OSError, ValueError, TypeError, NotImplementedError, Corrupt) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, and not the table
            raise
        held = [column for column in table.schema if pa.types.is_dictionary(column.type) and not _is_text(column.type)]
        if held:
            name, kind = held[0].name, held[0].type.value_type
            raise NotEncodable(
                f"Parquet keeps a dictionary of text, and that of the column {name!r} holds {kind}: cast the column to "
                f"{kind}, or its values to text"
            ) from error
        where = _culprit(table, pa, parquet)
        raise NotEncodable(
            f"Parquet cannot hold {where}this table: {error}. Make its values text with map(str, …), or drop it"
        ) from error


def _culprit(table: Any, pa: Any, parquet: Any) -> str:
    """Return in words the first column that cannot be written alone."""
    for name in table.column_names:
        try:
            parquet.write_table(table.select([name]), pa.BufferOutputStream())
        except (pa.ArrowException, OSError, ValueError, TypeError, NotImplementedError):
            return f"the column {name!r} of "
    return ""


def _is_text(dictionary: Any) -> bool:
    return str(dictionary.value_type) in {"string", "large_string", "binary", "large_binary"}


def read_parquet(codec: Codec, path: Path) -> Any:
    """Read a table with the schema that it had, compared with the checksums of its pages.

    Raises:
        Corrupt: it is not such a file, or has extension types.
        AccessDenied, Unavailable: the operating system does not let it be read, or cannot read it now.
    """
    pa, parquet = import_library("pyarrow", codec), import_library("pyarrow.parquet", codec)
    damage = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, NotImplementedError)
    with opened(path, *damage) as handle, parquet.ParquetFile(handle, page_checksum_verification=True) as file:
        schema = _original_schema(file.metadata.metadata or {}, pa)
        for column in (*schema, *file.schema_arrow):
            if has_extension(column.type, pa):
                raise Corrupt(f"the column {column.name!r} of {path.name} has the extension type {column.type}")
        _check_expansion(handle, file, path, codec)
        table = file.read()
        return table if table.schema.equals(schema, check_metadata=True) else table.cast(schema)


def _check_expansion(handle: IO[bytes], file: Any, path: Path, codec: Codec) -> None:
    """Refuse a table that is a bomb: a run length, or one long text in a dictionary, may stand for any number of rows.

    Texts are read with their dictionary first where all of them could be the longest there can be. Of columns only the
    schema is asked: what else describes a damaged one ends the process. So numbers in lists are not reckoned with.
    """
    parquet, compute = import_library("pyarrow.parquet", codec), import_library("pyarrow.compute", codec)
    groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
    rows, stored = sum(group.num_rows for group in groups), sum(group.total_byte_size for group in groups)
    columns = [file.schema.column(place) for place in range(len(file.schema))]
    limit = expanded_limit(path)
    size = stored + rows * sum(_WIDTHS.get(column.physical_type, ANY_WIDTH) for column in columns)
    texts = sorted({column.path for column in columns if column.physical_type == "BYTE_ARRAY"})
    many = rows * stored > limit - size or any(column.max_repetition_level for column in columns)
    if size <= limit and texts and many:
        handle.seek(0)
        with parquet.ParquetFile(handle, read_dictionary=texts, page_checksum_verification=True) as again:
            tops = sorted({name.partition(".")[0] for name in texts})
            size += sum(_written_out(column, compute) for column in again.read(columns=tops).columns)
    check_expanded_size(path, size)


def _written_out(column: Any, compute: Any) -> int:
    """Return how many bytes of text a column has when each value is written out, wherever its dictionary is."""
    total, waiting = 0, list(column.chunks)
    while waiting:
        part = waiting.pop()
        if hasattr(part, "dictionary"):
            lengths = compute.take(compute.binary_length(part.dictionary), part.indices)
            total += compute.sum(lengths.cast("int64")).as_py() or 0
        elif hasattr(part, "items"):  # a map
            waiting += [part.keys, part.items]
        elif hasattr(part, "flatten"):
            inner = part.flatten()
            waiting.extend(inner if isinstance(inner, list) else [inner])
    return total


def _original_schema(metadata: Mapping[bytes, bytes], pa: Any) -> Any:
    if _SCHEMA not in metadata:
        raise ValueError("the schema of the table is not in it")
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata[_SCHEMA])))


def has_extension(kind: Any, pa: Any) -> bool:
    """Tell whether a type is, or has in it, one whose meaning is decided by code that is registered."""
    if isinstance(kind, pa.BaseExtensionType):
        return True
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    if pa.types.is_dictionary(kind):
        inner.append(kind.value_type)
    return any(has_extension(part, pa) for part in inner)


def _compare(table: Any, again: Any) -> None:
    """Raise ``NotEncodable`` unless both have the same schema and equal values."""
    if not again.schema.equals(table.schema, check_metadata=True):
        raise NotEncodable(f"Parquet would turn the schema into another one: {_difference(table, again)}")
    for name, column, back in zip(table.column_names, table.columns, again.columns, strict=True):
        if not equal_columns(column, back):
            raise NotEncodable(f"Parquet would change values of the column {name!r} ({column.type})")


def _difference(one: Any, other: Any) -> str:
    for before, after in zip(one.schema, other.schema, strict=False):
        if not before.equals(after, check_metadata=True):
            return f"{before!r} into {after!r}"
    return "its metadata"


def equal_columns(one: Any, other: Any) -> bool:
    """Tell whether two columns of one type hold the same, NaN being equal to NaN."""
    if one.equals(other):
        return True
    return len(one) == len(other) and all(map(_same, one.to_pylist(), other.to_pylist()))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return bool(one == other)
