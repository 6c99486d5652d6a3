"""Frozen values whose fields are checked as their annotations say: what the documents of the store are made of.

The checks are those of pydantic-core, on schemas that are made of the annotations when a class is used first. pydantic
itself would take most of the time that ``from artifact_store import ArtifactStore`` takes, and is not imported.

Why: docs/decisions/0028-documents-are-checked-once.md
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from operator import attrgetter
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NoReturn,
    Self,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator, ValidationError, core_schema

__all__ = ["Check", "ValidationError", "Value", "at_least", "fields_of", "made", "pattern", "read_by"]

_PLAIN: Final[Mapping[Any, Callable[[], CoreSchema]]] = {
    str: core_schema.str_schema,
    int: core_schema.int_schema,
    float: core_schema.float_schema,
    bool: core_schema.bool_schema,
    Any: core_schema.any_schema,
}


class Check:
    """In ``Annotated``: how a type is checked, in place of what it says by itself."""

    def __init__(self, schema: CoreSchema) -> None:
        self.schema = schema


def pattern(regex: str) -> Check:
    """Return the check of text by a regular expression."""
    return Check(core_schema.str_schema(pattern=regex))


def at_least(least: int, most: int | None = None) -> Check:
    """Return the check of an integer from ``least`` to ``most``."""
    return Check(core_schema.int_schema(ge=least, le=most))


def read_by(read: Callable[[object], Any], *, written_by: Callable[[Any], str]) -> Check:
    """Return the check of what ``read`` makes, or refuses with ``ValueError``, and ``written_by`` turns into text."""
    written = core_schema.plain_serializer_function_ser_schema(written_by, when_used="json")
    return Check(core_schema.no_info_plain_validator_function(read, serialization=written))


def made(*, default_factory: Callable[[], Any]) -> Any:
    """Return what stands for a default that is made anew for each value."""
    return _Made(default_factory)


class _Made:
    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


class _Once:
    """An attribute of a class that is made when it is asked for first, for each class by itself."""

    def __init__(self, name: str, make: Callable[[type[Value]], Any]) -> None:
        self._name, self._make = name, make

    def __get__(self, _: object, owner: type[Value]) -> Any:
        found = self._make(owner)
        setattr(owner, self._name, found)
        return found


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(made,))
class Value:
    """A frozen part of a document. Fields that this release does not know are kept, in ``model_extra``.

    Everything is checked when it is made, and by the method ``_check`` of each class where there is one, which raises
    ``ValueError``.
    """

    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")

    FIELDS: ClassVar[frozenset[str]]
    """The names of the fields."""
    _schema: ClassVar[CoreSchema]
    _validator: ClassVar[SchemaValidator]
    _serializer: ClassVar[SchemaSerializer]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, make in _ONCE.items():
            setattr(cls, name, _Once(name, make))

    def __init__(self, **fields: Any) -> None:
        self._validator.validate_python(fields, self_instance=self)

    @classmethod
    def model_validate(cls, fields: Any) -> Self:
        """Return the value of these fields; ``ValidationError`` says which is wrong."""
        found: Self = cls._validator.validate_python(fields)
        return found

    def model_dump(self, *, mode: Literal["json"]) -> dict[str, Any]:
        """Return the fields as JSON, those that this release does not know included."""
        found: dict[str, Any] = self._serializer.to_python(self, mode=mode)
        return found

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy with these fields, which are not checked."""
        other = type(self).__new__(type(self))
        fields, extra = dict(self.__dict__), dict(self.model_extra)
        for name, part in (update or {}).items():
            (fields if name in self.FIELDS else extra)[name] = part
        _set(other, "__dict__", fields)
        _set(other, "__pydantic_extra__", extra)
        _set(other, "__pydantic_fields_set__", {*_fields_set(self), *(update or {})})
        return other

    @property
    def model_extra(self) -> Mapping[str, Any]:
        """The fields that this release does not know."""
        found: Mapping[str, Any] = _extra(self)
        return found

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self._refuse(name, value)

    def __delattr__(self, name: str) -> NoReturn:
        self._refuse(name, None)

    def _refuse(self, name: str, value: object) -> NoReturn:
        raise ValidationError.from_exception_data(
            type(self).__name__, [{"type": "frozen_instance", "loc": (name,), "input": value}]
        )

    def __setstate__(self, state: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
        fields, others = state
        _set(self, "__dict__", dict(fields))
        for name, value in others.items():
            _set(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        same = type(self) is type(other) and self.__dict__ == other.__dict__
        return same and self.model_extra == other.model_extra

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and the value of each field, so that ``dict`` makes a dict of them."""
        yield from self.__dict__.items()
        yield from self.model_extra.items()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={part!r}' for name, part in self)})"


_set = object.__setattr__
_extra = attrgetter("__pydantic_extra__")
_fields_set = attrgetter("__pydantic_fields_set__")


def _hints(kind: type[Value]) -> dict[str, Any]:
    """Return the annotations of the fields of a class, those of its bases first."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if name[0] != "_" and get_origin(hint) is not ClassVar}


def fields_of(kind: type[Value], names: Iterable[str]) -> dict[str, CoreSchema]:
    """Return how these fields of a class are checked, for who takes a part of a value from JSON."""
    hints = _hints(kind)
    return {name: _field(kind, name, hints[name]) for name in names}


def _model(kind: type[Value]) -> CoreSchema:
    """Return how the values of a class are checked: each field, and then each method ``_check``, of its bases first."""
    fields = {name: core_schema.model_field(_field(kind, name, hint)) for name, hint in _hints(kind).items()}
    schema: CoreSchema = core_schema.model_schema(
        kind,
        core_schema.model_fields_schema(fields, model_name=kind.__name__),
        config={"strict": True, "extra_fields_behavior": "allow", "title": kind.__name__},
    )
    for each in reversed(kind.__mro__):
        if "_check" in vars(each):
            schema = core_schema.no_info_after_validator_function(_returning(vars(each)["_check"]), schema)
    return schema


def _returning(check: Callable[[Any], None]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        check(value)
        return value

    return checked


def _field(kind: type[Value], name: str, hint: Any) -> CoreSchema:
    schema, missing = _of(hint), object()
    default = next((vars(each)[name] for each in kind.__mro__ if name in vars(each)), missing)
    if default is missing:
        return schema
    if isinstance(default, _Made):
        return core_schema.with_default_schema(schema, default_factory=default.make)
    return core_schema.with_default_schema(schema, default=default)


def _of(hint: Any) -> CoreSchema:
    """Return how what stands in an annotation is checked."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        (check,) = parts[1:]
        schema: CoreSchema = check.schema
        return schema
    if origin in {Union, types.UnionType}:
        choices: list[Any] = [_of(part) for part in parts if part is not type(None)]
        chosen: CoreSchema = choices[0] if len(choices) == 1 else core_schema.union_schema(choices)
        return core_schema.nullable_schema(chosen) if type(None) in parts else chosen
    if origin is Literal:
        return core_schema.literal_schema(list(parts))
    if origin is tuple:  # JSON has lists
        return core_schema.tuple_schema([_of(parts[0])], variadic_item_index=0, strict=False)
    if origin is not None:
        return core_schema.dict_schema(_of(parts[0]), _of(parts[1]), strict=False)
    return _named(hint)


def _named(kind: Any) -> CoreSchema:
    if kind in _PLAIN:
        return _PLAIN[kind]()
    if issubclass(kind, Value):
        schema: CoreSchema = kind._schema  # noqa: SLF001 -- a class of ours
        return schema
    assert issubclass(kind, Enum)  # of text; JSON has no enumerations
    return core_schema.enum_schema(kind, list(kind), sub_type="str", strict=False)


_ONCE: Final[Mapping[str, Callable[[type[Value]], Any]]] = {
    "FIELDS": lambda kind: frozenset(_hints(kind)),
    "_schema": _model,
    "_validator": lambda kind: SchemaValidator(kind._schema),  # noqa: SLF001 -- a class of ours
    "_serializer": lambda kind: SchemaSerializer(kind._schema),  # noqa: SLF001 -- a class of ours
}
