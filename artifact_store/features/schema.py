"""What a model was trained on: its inputs by name, which of them it was given, and in which form.

Owns the description and its JSON; :mod:`artifact_store.features.align` does the work on tables and arrays.
Does not know models or trainers, and imports no framework.

What it cannot see: columns that were renamed into each other's names; an array whose columns are in another order;
digits that were lost before the data came here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Self, get_args

from artifact_store.canonical import canonical, sha256
from artifact_store.errors import Corrupt, InvalidInput, InvalidOption
from artifact_store.features import align, fields, gaps, named_rows, tables
from artifact_store.features.columns import Category, Columns, Missing, Policy, Unseen, quote_names
from artifact_store.features.match import Extra, Matching

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Observation:
    """What an agent observes: the shape and dtype beside the names, which cover the raw data columns only."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    extras: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, repr=False)
    """Fields of a newer minor format; kept, not understood."""

    def __post_init__(self) -> None:
        shape = tuple(
            fields.check_whole(size, "a size in the shape of an observation")
            for size in fields.check_several("shape", self.shape)
        )
        if min(shape, default=1) < 1:
            raise InvalidInput(f"an observation of shape {shape} holds nothing")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dtype", fields.check_is_text(self.dtype, "the dtype of an observation"))
        object.__setattr__(self, "extras", MappingProxyType(copy.deepcopy(dict(self.extras))))

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.shape, self.dtype, dict(self.extras))

    def to_json(self) -> dict[str, Any]:
        """Return it as a new JSON value."""
        return {**copy.deepcopy(dict(self.extras)), "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read it from JSON; unknown fields are kept.

        Raises:
            Corrupt: a field is missing or has another type than we write.
        """
        shape, dtype = value.get("shape"), value.get("dtype")
        if not isinstance(shape, list) or not isinstance(dtype, str):
            raise Corrupt("an observation has a list for its shape and a text for its dtype")
        return cls(tuple(shape), dtype, {name: part for name, part in value.items() if name not in {"shape", "dtype"}})


@dataclass(frozen=True, slots=True, init=False, repr=False)
class FeatureSchema:
    """The contract between training and prediction; a frozen value that is compared by content.

    ``names`` are all inputs in training order. ``selected`` are the positions of those that the model itself is
    given, in its order; all of them where nothing was selected (``None`` and ``[]`` say that). With
    ``selection_after_preprocessing`` a preprocessor sees all inputs and the selection is made from what it returns;
    without, it sees the selected ones only.

    ``dtypes`` and ``categories`` may cover some names or all. Policies: ``nan`` and ``inf`` say whether the model may
    be given such values, ``unseen`` what becomes of a category that was not there in training.
    ``missing`` says what stood for a missing value in a column of text (``"nan"``, ``"none"``, ``"NA"``), if known.
    ``names_inferred`` marks names that the user did not give: nothing is matched by them. ``reason`` is free text on
    why the selection was made. ``extras`` are fields of a newer minor format: kept, not understood.
    """

    names: tuple[str, ...]
    selected: tuple[int, ...]
    selection_after_preprocessing: bool
    dtypes: Mapping[str, str]
    categories: Mapping[str, tuple[Category, ...]]
    nan: Policy
    inf: Policy
    unseen: Unseen
    names_inferred: bool
    reason: str
    observation: Observation | None
    missing: Mapping[str, Missing]
    extras: Mapping[str, Any]
    _inputs: Columns = field(compare=False)
    _chosen: Columns = field(compare=False)

    carries_names = staticmethod(named_rows.carries_names)

    def __init__(
        self,
        names: Iterable[str],
        *,
        selected: Iterable[int | str] | None = None,
        selection_after_preprocessing: bool = True,
        dtypes: Mapping[str, str] | str | None = None,
        categories: Mapping[str, Sequence[Category]] | None = None,
        nan: Policy = "allow",
        inf: Policy = "allow",
        unseen: Unseen = "refuse",
        names_inferred: bool = False,
        reason: str = "",
        observation: Observation | None = None,
        missing: Mapping[str, Missing] | None = None,
        extras: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Check everything once; one ``dtypes`` text is that of every column without categories.

        Raises:
            InvalidInput: a name, position, dtype or category is not one, is there twice, or is unknown.
            InvalidOption: a policy is not one of the allowed ones.
        """
        known = fields.check_names(names)
        known_categories = fields.check_category_lists(known, categories or {})
        known_dtypes = fields.check_dtypes(known, dtypes, known_categories)
        for option, value, choices in (("nan", nan, Policy), ("inf", inf, Policy), ("unseen", unseen, Unseen)):
            fields.check_choice(option, value, get_args(choices))
        if observation is not None and not isinstance(observation, Observation):
            raise InvalidInput(f"observation is an Observation(shape, dtype), not {type(observation).__name__}")
        values: dict[str, Any] = {
            "names": known,
            "selected": fields.check_selection(known, selected),
            "selection_after_preprocessing": bool(selection_after_preprocessing),
            "dtypes": MappingProxyType(known_dtypes),
            "categories": MappingProxyType(known_categories),
            "nan": nan,
            "inf": inf,
            "unseen": unseen,
            "names_inferred": bool(names_inferred),
            "reason": fields.check_is_text(reason, "the reason of a selection"),
            "observation": observation,
            "missing": MappingProxyType(fields.check_missing(known, missing or {}, known_dtypes)),
            "extras": MappingProxyType(copy.deepcopy(dict(extras))),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        either = f" (or the {self.input_size} selected, with preselected=True)" if self.has_selection else ""
        inputs = chosen = Columns(
            known,
            self.dtypes,
            self.categories,
            nan=nan,
            inf=inf,
            unseen=unseen,
            inferred=self.names_inferred,
            expected=f"{len(known)} features{either}",
            missing=self.missing,
        )
        if self.has_selection:
            wide = f"the {self.input_size} selected features (preselected=True)"
            chosen = replace(inputs, names=self.selected_names, expected=wide)  # it leaves out what is said of others
        object.__setattr__(self, "_inputs", inputs)
        object.__setattr__(self, "_chosen", chosen)

    @classmethod
    def from_frame(cls, frame: Any, *, selected: Iterable[int | str] | None = None, **options: Any) -> Self:
        """Return the schema of a training table: its names, dtypes and categories. ``options`` as for the class.

        Categories are recorded in the order of the column's own list. Of a polars ``Categorical``, which has none,
        they are the values present, sorted. They are text or whole numbers; whole numbers that a gap turned into
        floats are whole again. A model that was trained on the pandas table knows the order of that one: describe it.
        Whole numbers and booleans with gaps are recorded as float64: that is what holds a gap in every table and in an
        array, and what LightGBM makes of them.

        Raises:
            InvalidInput: a column name is not text or not unique, or a dtype is not supported.
        """
        names, dtypes, categories = tables.describe_table(frame)
        dtypes = gaps.widened(frame, dtypes)
        options = {"missing": gaps.recorded(frame, dtypes), **options}
        return cls(names, selected=selected, dtypes=dtypes, categories=categories, **options)

    @classmethod
    def inferred(cls, count: int, *, selected: Iterable[int] | None = None, **options: Any) -> Self:
        """Return a schema whose names are made up, ``feature_0`` and so on: all that is known is how many there are."""
        names = [f"feature_{place}" for place in range(fields.check_whole(count, "the number of features"))]
        return cls(names, selected=selected, names_inferred=True, **options)

    def __repr__(self) -> str:
        chosen = f", {self.input_size} selected" if self.has_selection else ""
        origin = ", names inferred" if self.names_inferred else ""
        return f"<FeatureSchema: {self.feature_count} features{chosen}{origin}; {self.fingerprint[:12]}>"

    def __hash__(self) -> int:
        return hash((self.names, self.selected))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_json, (self.to_json(),)

    @property
    def selected_names(self) -> tuple[str, ...]:
        """The names of what the model is given, in its order."""
        return tuple(self.names[place] for place in self.selected)

    @property
    def feature_count(self) -> int:
        """How many inputs there are in all."""
        return len(self.names)

    @property
    def input_size(self) -> int:
        """How many features the selection leaves to the model."""
        return len(self.selected)

    @property
    def has_selection(self) -> bool:
        """Whether the model is given anything else than all inputs in their order."""
        return self.selected != tuple(range(len(self.names)))

    @property
    def fingerprint(self) -> str:
        """The sha256 of everything that decides how an input is aligned: all but ``reason`` and ``extras``."""
        value = self.to_json()
        decisive = {name: value[name] for name in fields.KNOWN.keys() - {"reason"} if name in value}
        if self.observation is not None:
            decisive["observation"] = Observation(self.observation.shape, self.observation.dtype).to_json()
        return sha256(canonical(decisive))

    def with_selection(self, selected: Iterable[int | str] | None, *, reason: str = "") -> Self:
        """Return the same inputs with another selection."""
        places = list(fields.check_selection(self.names, selected))
        return type(self).from_json({**self.to_json(), "selected": places, "selected_names": None, "reason": reason})

    def to_json(self) -> dict[str, Any]:
        """Return the schema as a new JSON value; :meth:`from_json` makes an equal schema of it."""
        return {
            **copy.deepcopy(dict(self.extras)),
            "names": list(self.names),
            "selected": list(self.selected) if self.has_selection else None,
            "selected_names": list(self.selected_names) if self.has_selection else None,
            "selection_after_preprocessing": self.selection_after_preprocessing,
            "dtypes": dict(self.dtypes),
            "categories": {name: list(values) for name, values in self.categories.items()},
            "nan": self.nan,
            "inf": self.inf,
            "unseen": self.unseen,
            "inferred": self.names_inferred,
            "reason": self.reason,
            "observation": None if self.observation is None else self.observation.to_json(),
            **({"missing": dict(self.missing)} if self.missing else {}),  # of format 1.0 without it
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a schema from JSON, which may come from a newer minor format: unknown fields are kept.

        Raises:
            Corrupt: a field is missing, has another type than we write, or contradicts another one.
        """
        known = fields.read_fields(value)
        assert isinstance(value, Mapping)
        names = known.pop("selected_names", None)
        known["names_inferred"] = known.pop("inferred", False)
        known["extras"] = {name: part for name, part in value.items() if name not in fields.KNOWN}
        try:
            if known.get("observation") is not None:
                known["observation"] = Observation.from_json(known["observation"])
            schema = cls(**known)
        except InvalidInput as error:
            raise Corrupt(f"the feature schema contradicts itself: {error}") from error
        if names is not None and names != list(schema.selected_names):
            raise Corrupt("the feature schema contradicts itself: its selected names are not those at its positions")
        return schema

    def align(
        self, rows: Any, /, *, extra: Extra = "ignore", fill: Mapping[str, Any] | None = None, by_position: bool = False
    ) -> Any:
        """Return all inputs in training order and dtype; ``rows`` stays as it is.

        What carries names is matched by them, whatever it is, or refused; only what has none is taken by position.

        ============================================================  =================================
        rows                                                          what comes back
        ============================================================  =================================
        a pandas, polars or arrow table                               the same kind of table
        a record batch, or a column of structs, of arrow or polars    a table of that library
        one row: a pandas Series                                      a pandas Series
        one row: a mapping, namedtuple, ``sqlite3.Row``, dataclass,   an array of one row
        record of numpy, anything with ``keys()``
        a list of such rows; a mapping of columns; a record array     an array of rows
        an array or nested lists, features last: a row, rows, or      an array of the same shape
        windows of rows
        ============================================================  =================================

        An array holds numbers: text and categories need a table. What already is as it should be may be returned
        itself. The index in front of a row of ``itertuples()`` is not a feature. ``None``, NaN, ``pandas.NA`` and null
        are one missing value: text has that of training in a pandas table. A decimal is taken where the trained float
        is written with the same digits.

        ``extra`` says what to do about columns that the model does not know. ``fill`` gives values to columns that
        are not there; values that are missing *in* a column stay so. ``by_position`` takes the columns of a table in
        their order, whatever they are called, and names them.

        Categories are found by their values, whatever codes the table has for them. They become a pandas
        ``Categorical`` with exactly the trained list, so that its codes are the trained ones; in polars an ``Enum``
        (integers stay integers, which a model would take for codes: give it what :meth:`prepare` returns); in arrow a
        dictionary.

        Raises:
            FeatureMismatch: the trained features are not all there, or cannot be had as they were in training, or
                hold what ``nan`` and ``inf`` refuse.
            InvalidInput: ``rows`` holds no features, or an option means nothing here.
        """
        aligned = align.align(self._inputs, rows, self._matching(extra, fill or {}, by_position=by_position))
        align.check_missing_values(self._inputs, aligned)
        return aligned

    def select(self, rows: Any, /) -> Any:
        """Return what the model is given, out of what :meth:`align` returned; nothing is cast or checked on the way.

        A table needs no more than the selected columns; a row with names is brought into the form of training, and so
        is a polars or arrow table of which a selected column is categorical: it becomes a pandas table, as in
        :meth:`prepare`.

        Raises:
            FeatureMismatch: they are not there, or an array is not as wide as all inputs, or holds numbers where the
                model takes categories.
            Unsupported: a polars or arrow table holds categories, and pandas is not installed.
        """
        picked = align.pick(self._inputs, self.selected, self._chosen, rows)
        return align.for_model(self._chosen, picked)

    def prepare(
        self,
        rows: Any,
        /,
        preprocessor: Any = None,
        *,
        preselected: bool = False,
        extra: Extra = "ignore",
        fill: Mapping[str, Any] | None = None,
        by_position: bool = False,
    ) -> Any:
        """Return exactly what the model is to be given: align, preprocess, select.

        Where the selection applies before preprocessing the order is align, select, preprocess. What a preprocessor
        returns without a selection after it is returned as it is: its width is between the two of them.
        ``nan`` and ``inf`` are checked at the very end, so an imputer may see what the model must not.

        Where the model, or the preprocessor before it, takes categories, a table of any library comes back as pandas,
        each of these columns an unordered ``Categorical`` with the trained list. No other table tells a model both
        what a category is and which code it had: LightGBM reads whole numbers in polars, arrow and arrays as codes.
        An array is refused there for the same reason. A table comes back as pandas as well where text was missing as
        NaN or ``pandas.NA`` in training: null is another value to an encoder. Other tables stay what they are.

        ``preselected`` says that ``rows`` holds the selected features only (tables: by name). ``preprocessor`` is a
        callable or an object with ``transform``, which is always given rows in two dimensions. The other options
        are those of :meth:`align`. An array in one dimension is one row and comes back as one: ``row.reshape(1, -1)``
        makes rows of it, which most models want.

        Raises:
            FeatureMismatch: as :meth:`align`; or the preprocessor returned other columns than the selection means.
            InvalidInput: as :meth:`align`; or ``preselected`` rows for a preprocessor that needs all inputs.
            Unsupported: a polars or arrow table has to become one of pandas, and pandas is not installed.
        """
        late = self.has_selection and self.selection_after_preprocessing and preprocessor is not None
        if preselected and late:
            raise InvalidOption(
                f"the preprocessor was fitted on all {self.feature_count} inputs and cannot take preselected ones; "
                "give all inputs, or rows that are preprocessed already and no preprocessor"
            )
        source = self._chosen if preselected else self._inputs
        as_pandas = (self._inputs if late else self._chosen).needs_pandas
        matching = self._matching(extra, fill or {}, by_position=by_position)
        rows = align.align(source, rows, matching, as_pandas=as_pandas)
        if not preselected and not late:
            rows = align.pick(self._inputs, self.selected, self._chosen, rows)
        if preprocessor is not None:
            rows = align.process(preprocessor, rows)
        if late:
            rows = align.pick_processed(self._inputs, self.selected, self._chosen, rows)
        align.check_missing_values(self._chosen, rows)
        return rows

    def _matching(self, extra: Extra, fill: Mapping[str, Any], *, by_position: bool) -> Matching:
        fields.check_choice("extra", extra, get_args(Extra))
        unknown = [name for name in fill if name not in self._inputs.index]
        if unknown:
            raise InvalidOption(f"fill names {quote_names(unknown)}, which the model does not know")
        if fill and by_position:
            raise InvalidOption("fill goes by name and by_position does not; give one of them")
        return Matching(extra, fill, by_position)
