"""What is asked of many runs at once: a part of each manifest, taken from its bytes in a part of the time of the whole.

That the bytes are those that a writer took the checksum of is found out here, and that the parts which are used are as
the format demands. The rest is checked when the manifest itself is asked for. Whatever is not plainly so is left to
:class:`~artifact_store.core.manifest.Manifest`, which says what is wrong.

Why: docs/decisions/0028-documents-are-checked-once.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from pydantic_core import CoreConfig, SchemaValidator, ValidationError, core_schema

from artifact_store.canonical import has_own_checksum, sha256
from artifact_store.core.documents import FORMAT, PACKED_FILES, read_time
from artifact_store.core.manifest import FileEntry, Manifest, PublishIntent, check_files
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.values import fields_of
from artifact_store.errors import InvalidName

_ZSTD: Final = [PACKED_FILES]
"""The only thing to be understood that is all said by the files, which are checked here."""
_TEXTS: Final = ("kind", "format", "checksum")
_FIELDS: Final = (
    *("model_type", "symbol", "run_id", "store_id", "files"),
    *("metrics", "tags", "publish", "description"),
)


class Outline:
    """The part of a manifest that listings, ``prune``, ``gc`` and ``doctor`` go by. Its names are those of a manifest.

    Holds the bytes of the manifest, and no more of its parts than stand here.
    """

    __slots__ = ("_data", "_value", "key", "run_id")

    def __init__(self, key: ModelKey, run_id: RunId, value: Mapping[str, Any], data: bytes) -> None:
        self.key, self.run_id = key, run_id
        self._value, self._data = value, data

    @classmethod
    def read(cls, data: bytes, key: ModelKey, run_id: RunId) -> Outline | None:
        """Return the outline of the manifest of this very run, or ``None``: read it as a document.

        ``None`` for a tombstone, another format, another run, and for whatever may be damaged.
        """
        try:
            value = _validator().validate_json(data)
            check_files(value["files"])
        except (ValidationError, ValueError, InvalidName):
            return None
        known = value.get("must_understand", _ZSTD) == _ZSTD
        is_plain = value["kind"] == Manifest.KIND and value["format"] == FORMAT and known
        is_its = (value["model_type"], value["symbol"], value["run_id"]) == (key.model_type, key.symbol, run_id)
        sound = is_plain and is_its and len(data) <= Manifest.LIMIT and has_own_checksum(value, data)
        return cls(key, run_id, value, data) if sound else None

    def to_bytes(self) -> bytes:
        """Return the bytes of the manifest."""
        return self._data

    @property
    def digest(self) -> str:
        """The sha256 of the bytes of the manifest."""
        return sha256(self._data)

    @property
    def model_type(self) -> str:
        """Its model type."""
        return self.key.model_type

    @property
    def symbol(self) -> str | None:
        """Its symbol."""
        return self.key.symbol

    @property
    def label(self) -> str:
        """``type/symbol:run_id``, as references are written."""
        return f"{self.key}:{self.run_id}"

    @property
    def store_id(self) -> str:
        """Of which store it is."""
        return self._value["store_id"]  # type: ignore[no-any-return]

    @property
    def written_at(self) -> str:
        """When it was saved, as the manifest writes it."""
        return self._value["created_at"]  # type: ignore[no-any-return]

    @property
    def created_at(self) -> datetime:
        """When it was saved."""
        moment = read_time(self.written_at)
        assert isinstance(moment, datetime)
        return moment

    @property
    def files(self) -> Sequence[FileEntry]:
        """Its files."""
        return self._value["files"]  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(entry.size for entry in self.files)

    @property
    def file_count(self) -> int:
        """How many files it has."""
        return len(self.files)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Its metrics."""
        return self._value["metrics"]  # type: ignore[no-any-return]

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags."""
        return self._value["tags"]  # type: ignore[no-any-return]

    @property
    def publish(self) -> PublishIntent:
        """What its saver wanted to publish."""
        return self._value["publish"]  # type: ignore[no-any-return]

    @property
    def description(self) -> str:
        """What its saver wants people to know about it."""
        return self._value["description"]  # type: ignore[no-any-return]


def _time(text: object) -> object:
    read_time(text)
    return text


@lru_cache(maxsize=1)
def _validator() -> SchemaValidator:
    fields = {name: core_schema.typed_dict_field(schema) for name, schema in fields_of(Manifest, _FIELDS).items()}
    fields |= dict.fromkeys(_TEXTS, core_schema.typed_dict_field(core_schema.str_schema()))
    fields["created_at"] = core_schema.typed_dict_field(core_schema.no_info_plain_validator_function(_time))
    fields["must_understand"] = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
    schema = core_schema.typed_dict_schema(fields, extra_behavior="ignore")
    return SchemaValidator(schema, config=CoreConfig(strict=True, allow_inf_nan=False))
