"""Which columns an old model was trained on, from everything that its files say about it.

The rule, in this order: the width of the model itself is the truth. Names as many as that are its inputs (their stored
indices then count the columns of the training table). Else as many selected as that, all in range: the names at those
places. Else the names of the preprocessor. Else ``feature_0 ...``, which are made up, marked so, and justify no match
by name. What contradicts itself is refused with both numbers and where each came from. Pure: looks at values only.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from artifact_store.errors import FeatureMismatch
from artifact_store.features.schema import FeatureSchema, Observation

Known = Literal["stored", "preprocessor", "inferred"]

_MADE_UP: Final = re.compile(r"(?:feature_|Column_)?\d+")
_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """What one place says of the features: empty, or none, where it says nothing.

    ``selected`` are positions, ``count`` is how many columns the training table had, ``shape`` that of an observation.
    ``flaw`` says what of it could not be understood.
    """

    origin: str
    names: tuple[str, ...] = ()
    selected: tuple[int, ...] = ()
    count: int | None = None
    shape: tuple[int, ...] | None = None
    flaw: str = ""

    @property
    def real(self) -> bool:
        """Whether there are names that a person gave, and not a library."""
        return bool(self.names) and not all(map(_MADE_UP.fullmatch, self.names))


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a preprocessor says of its input."""

    origin: str
    count: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known: the model's own width first, then the claims, the most trusted one first.

    ``lost`` tells which notes were damaged, for the text of an error; ``rules`` go to the schema as they are.
    """

    width: int
    width_from: str
    claims: tuple[Claim, ...] = ()
    fitted: Fitted | None = None
    observation: Observation | None = None
    categories: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recovered:
    """The schema, how its names are known and from where, and remarks for people."""

    schema: FeatureSchema
    known: Known
    origin: str
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        schema = self.schema
        count = f"{schema.input_size} of {schema.feature_count}" if schema.has_selection else str(schema.feature_count)
        return f"{self.known}, {count} ({self.origin})"


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read the claims that fits the width: all names, and which of them the model is given."""

    names: tuple[str, ...]
    selected: tuple[int, ...] | None
    origin: str
    after: bool = True

    @property
    def chosen(self) -> tuple[str, ...]:
        return self.names if self.selected is None else tuple(self.names[place] for place in self.selected)


def claim_of(origin: str, values: Mapping[str, Any]) -> Claim:
    """Read ``feature_names``, ``selected_features``, ``feature_count`` and ``observation_shape``. Raises nothing."""
    flaws: list[str] = []

    def read(name: str, kind: Any) -> Any:
        value = values.get(name)
        if value is None:
            return None
        try:
            return kind(value)
        except (TypeError, ValueError):
            flaws.append(f"{name} of {origin} is not usable")
            return None

    return Claim(
        origin=origin,
        names=read("feature_names", _texts) or (),
        selected=read("selected_features", _places) or (),
        count=read("feature_count", _count),
        shape=read("observation_shape", _places),
        flaw="; ".join(flaws),
    )


def recover_features(evidence: Evidence) -> Recovered:
    """Return the features by the rule.

    Raises:
        FeatureMismatch: what is stored contradicts the model, or itself.
    """
    if evidence.observation is not None:
        return _observed(evidence, evidence.observation)
    if not 0 < evidence.width <= _MAX:
        raise FeatureMismatch(f"the model takes {evidence.width} inputs ({evidence.width_from}), which is not possible")
    if any(claim.real and _read(evidence, claim) is None for claim in evidence.claims):
        raise _contradiction(evidence, "stored names do not fit that")
    stored = _stored(evidence)
    if stored is not None and _only_by_place(evidence, stored):
        return _unnamed(evidence, f"the selected columns are called {', '.join(stored.chosen)}")
    if stored is not None:
        return _made(evidence, _joined(evidence, stored), "stored")
    fitted = _from_preprocessor(evidence)
    if fitted is not None:
        return _made(evidence, fitted, "preprocessor")
    return _unnamed(evidence)


def _stored(evidence: Evidence) -> _Reading | None:
    """Return the reading of the stored names that tells most, if all readings agree."""
    claims = [claim for claim in evidence.claims if claim.real]
    readings = [reading for claim in claims if (reading := _read(evidence, claim)) is not None]
    if not readings:
        return None
    for other in readings[1:]:
        if list(map(_plain, other.chosen)) != list(map(_plain, readings[0].chosen)):
            raise _disagree(readings[0], other)
    return max(readings, key=lambda reading: len(reading.names))


def _read(evidence: Evidence, claim: Claim) -> _Reading | None:
    names = claim.names
    if len(names) == evidence.width:
        return _Reading(names, None, f"names of {claim.origin}")
    for other in (claim, *evidence.claims):
        if other.selected and _fits(other.selected, evidence.width, len(names)):
            return _Reading(names, other.selected, f"names of {claim.origin}, selection of {other.origin}")
    return None


def _fits(selected: tuple[int, ...], width: int, count: int) -> bool:
    return len(selected) == width == len(set(selected)) and all(0 <= place < count for place in selected)


def _joined(evidence: Evidence, stored: _Reading) -> _Reading:
    """Bring the names and the preprocessor together, which takes its own columns and no others.

    Raises:
        FeatureMismatch: they are of different trainings.
    """
    fitted = evidence.fitted
    if fitted is None or (fitted.count == len(stored.names) and not fitted.names) or fitted.names == stored.names:
        return stored
    chosen = stored.chosen
    if fitted.names == chosen or (not fitted.names and fitted.count == len(chosen)):
        return _Reading(stored.names, stored.selected, stored.origin, after=False)
    if len(fitted.names) > len(stored.names) and set(chosen) <= set(fitted.names):
        places = tuple(fitted.names.index(name) for name in chosen)
        return _Reading(fitted.names, places, f"{stored.origin}, all columns of {fitted.origin}")
    raise FeatureMismatch(
        f"{fitted.origin} takes {_listed(fitted.names, fitted.count)}, and the model was trained on "
        f"{_listed(stored.names, len(stored.names))} ({stored.origin}): they do not belong together",
        missing=[name for name in fitted.names if name not in stored.names],
        extra=[name for name in stored.names if fitted.names and name not in fitted.names],
        reordered=sorted(fitted.names) == sorted(stored.names),
    )


def _only_by_place(evidence: Evidence, stored: _Reading) -> bool:
    """Tell whether a preprocessor without names takes more columns than there are names, and where the model's lie."""
    fitted = evidence.fitted
    if fitted is None or fitted.names or fitted.count <= len(stored.names):
        return False
    return any(_fits(claim.selected, evidence.width, fitted.count) for claim in evidence.claims)


def _from_preprocessor(evidence: Evidence) -> _Reading | None:
    claim = Claim(evidence.fitted.origin, evidence.fitted.names) if evidence.fitted is not None else Claim("")
    return _read(evidence, claim) if claim.real else None


def _unnamed(evidence: Evidence, reason: str = "") -> Recovered:
    """Make names up, over the whole training table where its width and the selection are known."""
    fitted, width = evidence.fitted, evidence.width
    counts = [claim.count for claim in evidence.claims if claim.count is not None]
    total = fitted.count if fitted is not None else max(counts, default=width)
    if total < width:
        raise _contradiction(evidence, "fewer features are stored than the model takes")
    selected = next((claim.selected for claim in evidence.claims if _fits(claim.selected, width, total)), None)
    if total == width or selected is None:
        if fitted is not None and fitted.count != width:
            raise _contradiction(evidence, f"nothing tells which of the {fitted.count} preprocessed columns it takes")
        total, selected = width, None
        places = next((claim.selected for claim in evidence.claims if len(claim.selected) == width), None)
        if places is not None:
            reason = f"the inputs are the columns {', '.join(map(str, places))} of a training table without names"
    schema = FeatureSchema.inferred(total, selected=selected, reason=reason, **evidence.rules)
    remarks = (reason,) if reason else ()
    return Recovered(schema, "inferred", "by position", (*remarks, *_remarks(evidence)))


def _made(evidence: Evidence, reading: _Reading, known: Known) -> Recovered:
    schema = FeatureSchema(
        reading.names,
        selected=reading.selected,
        selection_after_preprocessing=reading.after,
        categories={name: values for name, values in evidence.categories.items() if name in reading.names},
        **evidence.rules,
    )
    return Recovered(schema, known, reading.origin, _remarks(evidence))


def _observed(evidence: Evidence, observation: Observation) -> Recovered:
    """Return the features of a policy: names cover the raw columns, the shape covers window and account as well."""
    for claim in evidence.claims:
        if claim.shape is not None and claim.shape != observation.shape:
            raise FeatureMismatch(
                f"the policy observes the shape {observation.shape} ({evidence.width_from}), and {claim.origin} says "
                f"{claim.shape}: they do not belong together"
            )
    named = [claim for claim in evidence.claims if claim.real]
    for other in named[1:]:
        if other.names != named[0].names:
            raise _disagree(*(_Reading(claim.names, None, f"names of {claim.origin}") for claim in (named[0], other)))
    if not named:
        schema = FeatureSchema.inferred(max((*observation.shape[-1:], 1)), observation=observation, **evidence.rules)
        return Recovered(schema, "inferred", f"an observation of the shape {observation.shape}", _remarks(evidence))
    schema = FeatureSchema(named[0].names, observation=observation, **evidence.rules)
    return Recovered(schema, "stored", f"names of {named[0].origin}", _remarks(evidence))


def _remarks(evidence: Evidence) -> tuple[str, ...]:
    """Tell what is stored and does not fit, though enough else does."""
    said = [claim.flaw for claim in evidence.claims if claim.flaw]
    return (*said, *evidence.lost)


def _contradiction(evidence: Evidence, what: str) -> FeatureMismatch:
    found = [f"{len(claim.names)} names in {claim.origin}" for claim in evidence.claims if claim.names]
    found += [f"{len(claim.selected)} selected in {claim.origin}" for claim in evidence.claims if claim.selected]
    found += [f"feature_count {claim.count} in {claim.origin}" for claim in evidence.claims if claim.count is not None]
    if evidence.fitted is not None:
        found.append(f"{evidence.fitted.count} columns in {evidence.fitted.origin}")
    damage = f" ({'; '.join(evidence.lost)})" if evidence.lost else ""
    return FeatureMismatch(
        f"the model takes {evidence.width} inputs ({evidence.width_from}); {what}: {', '.join(found) or 'none'}{damage}"
    )


def _disagree(one: _Reading, other: _Reading) -> FeatureMismatch:
    place, left, right = next(
        (place, left, right)
        for place, (left, right) in enumerate(zip((*one.chosen, ""), (*other.chosen, ""), strict=False))
        if _plain(left) != _plain(right)
    )
    return FeatureMismatch(
        f"the {one.origin} and the {other.origin} disagree: as input {place} the one has {left!r}, the other "
        f"{right!r}. Remove the file that is wrong from the old run",
        missing=[name for name in one.chosen if name not in other.chosen],
        extra=[name for name in other.chosen if name not in one.chosen],
        reordered=sorted(one.chosen) == sorted(other.chosen),
    )


def _plain(name: str) -> str:
    """Return a name as a library spells it that takes letters and digits only."""
    return re.sub(r"\W", "_", name)


def _listed(names: tuple[str, ...], count: int) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")  # noqa: PLR2004 -- a glimpse
    return f"{count} columns ({shown})" if names else f"{count} columns"


def _texts(value: Any) -> tuple[str, ...]:
    names = _parts(value)
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise ValueError
    return tuple(map(str, names))  # a library may have a kind of text of its own


def _places(value: Any) -> tuple[int, ...]:
    return tuple(map(_whole, _parts(value)))


def _parts(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError
    return tuple(value)


def _count(value: Any) -> int:
    found = _whole(value)
    if not 0 <= found <= _MAX:  # so many names would be made up
        raise ValueError
    return found


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)
