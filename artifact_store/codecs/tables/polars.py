"""Polars frames in Parquet, written and read by polars itself and compared before they count as stored.

The one module that imports polars.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from artifact_store.codecs.files import all_or_nothing, import_library, opened, refuse_into, refuse_subclass
from artifact_store.codecs.limits import ANY_WIDTH, check_expanded_size
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, NotEncodable

_WIDTHS: Final = (
    dict.fromkeys(("Boolean", "Null", "Int8", "UInt8"), 1)
    | dict.fromkeys(("Int16", "UInt16"), 2)
    | dict.fromkeys(("Int32", "UInt32", "Float32"), 4)
    | dict.fromkeys(("Int64", "UInt64", "Float64"), 8)
)


class PolarsCodec:
    """Store a ``polars.DataFrame`` in ``{stem}.parquet``: the same schema and equal values, NaN and null apart."""

    name: ClassVar[str] = "polars"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "polars.dataframe.frame.DataFrame",
        *("polars.series.series.Series", "polars.lazyframe.frame.LazyFrame"),  # to be refused with a reason
    )
    extra: ClassVar[str | None] = "polars"
    libraries: ClassVar[tuple[str, ...]] = ("polars",)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the frame, read it back and compare; refuse Python objects and extension types."""
        pl = import_library("polars", self)
        if isinstance(obj, pl.Series | pl.LazyFrame):
            way = "to_frame" if isinstance(obj, pl.Series) else "collect"
            raise NotEncodable(f"a polars {type(obj).__name__} would come back as a DataFrame: save its .{way}()")
        refuse_subclass(obj, pl.DataFrame)
        for name, dtype in obj.schema.items():
            if _is_open(dtype, pl):
                raise NotEncodable(
                    f"the column {name!r} is of the dtype {dtype}, which only code can give a meaning: make its "
                    "values text with map(str, …), or drop it"
                )
        path = directory / f"{stem}.parquet"
        with all_or_nothing(directory, stem):
            try:
                with path.open("wb") as file:
                    obj.write_parquet(file, compression="zstd")
                again = _read(path, pl)
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError, Corrupt) as error:
                where = _culprit(obj, pl)
                raise NotEncodable(
                    f"Parquet cannot hold {where}this frame: {error}. Make its values text with map(str, …), or drop it"
                ) from error
            if again.schema != obj.schema or not again.equals(obj, null_equal=True):
                raise NotEncodable(f"Parquet would change this frame: {obj.schema} becomes {again.schema}")
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the frame."""
        del options
        refuse_into(self, into)
        return _read(directory / f"{stem}.parquet", import_library("polars", self))


def _culprit(frame: Any, pl: Any) -> str:
    """Return in words the first column that cannot be written alone."""
    for name in frame.columns:
        try:
            frame.select(name).write_parquet(BytesIO())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError):
            return f"the column {name!r} of "
    return ""


def _read(path: Path, pl: Any) -> Any:
    # from an open file: a name could be a pattern or a URL to polars, and would be mapped into memory
    damage = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, TypeError)
    with opened(path, *damage) as file:
        _check_expansion(file, path, pl)
        frame = pl.read_parquet(file, glob=False, hive_partitioning=False)
    for name, dtype in frame.schema.items():
        if _is_open(dtype, pl):
            raise Corrupt(f"the column {name!r} of {path.name} is of the dtype {dtype}, which is never written")
    return frame


def _check_expansion(file: IO[bytes], path: Path, pl: Any) -> None:
    """Refuse a table that is a bomb, of which a run length stands for any number of rows. Texts share their bytes."""
    rows = pl.scan_parquet(file, glob=False).select(pl.len()).collect().item()
    file.seek(0)  # on Windows polars reads on from where the file stands, and leaves it at its end
    columns = pl.read_parquet_schema(file)
    file.seek(0)
    check_expanded_size(path, rows * sum(_WIDTHS.get(str(dtype), ANY_WIDTH) for dtype in columns.values()))


def _is_open(dtype: Any, pl: Any) -> bool:
    """Tell whether there are Python objects or extension types in it."""
    extension = getattr(pl, "BaseExtension", None)  # since polars 1.36
    if dtype == pl.Object or (extension is not None and isinstance(dtype, extension)):
        return True
    inner = [dtype.inner] if hasattr(dtype, "inner") else [field.dtype for field in getattr(dtype, "fields", ())]
    return any(_is_open(part, pl) for part in inner)
