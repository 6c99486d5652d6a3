"""scikit-learn estimators as arrays, JSON and the files of boosters, made again from a fixed list of types.

For histogram boosting, neighbours, isotonic regression, feature selection by scores, columns that pass through, and
whatever holds one of these or an estimator of LightGBM or XGBoost; skops has no way to check these, or to hold a
booster. What comes back is of the same classes and has the same attributes. Of a search over parameters its best
estimator is stored, which a warning says. Bound to the release of scikit-learn that wrote it, as its pickles are.

Why: docs/decisions/0024-estimators-as-arrays.md
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.files import all_or_nothing, dotted, field, import_library, refuse_into
from artifact_store.codecs.lightgbm import booster as lightgbm_booster
from artifact_store.codecs.sklearn.estimator_types import CONTAINERS, NEW, OBJECTS, SEARCHES
from artifact_store.codecs.sklearn.parts import INSTEAD, EstimatorPacker, EstimatorUnpacker
from artifact_store.codecs.xgboost import booster as xgboost_booster
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import CodecUnavailable, Corrupt, NotEncodable

_MAX_DEPTH: Final = 12


class EstimatorCodec:
    """Store estimators in ``{stem}.npz``, ``{stem}.json``, and a file for each booster in them."""

    name: ClassVar[str] = "estimators"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.VETTED
    types: ClassVar[tuple[str, ...]] = (
        *sorted(name for name in NEW if name.startswith("sklearn.")),
        *CONTAINERS,
        *SEARCHES,
    )
    extra: ClassVar[str | None] = "sklearn"
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn", "numpy")

    def accepts(self, obj: Any) -> bool:
        """Take what has to be chosen for, or holds something that has."""
        return dotted(type(obj)) in SEARCHES or any(dotted(type(part)) in NEW for part in _parts(obj, _MAX_DEPTH))

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the parts; refuse what holds anything that is not on the list, with the path to it."""
        np, kind = import_library("numpy", self), dotted(type(obj))
        told = f"the {type(obj).__name__}"
        if kind in SEARCHES:
            if not hasattr(obj, "best_estimator_"):
                raise NotEncodable(f"{told} has no best estimator: fit it, with refit=True")
            warnings.warn(
                f"of {told} its best estimator is stored, and comes back alone: best_params_, cv_results_ and the "
                "scorer do not. Save search.best_estimator_ to say so yourself",
                UserWarning,
                stacklevel=2,
            )
            obj = obj.best_estimator_
        packer = EstimatorPacker(np)
        try:
            root = packer.pack(obj, told)
        except (AttributeError, TypeError, ValueError, KeyError) as error:
            if isinstance(error, NotEncodable):
                raise
            raise NotEncodable(f"{told} contradicts itself: {type(error).__name__}: {error}") from error
        if not isinstance(root, dict) or "object" not in root:
            raise NotEncodable(f"{told} is no estimator")
        try:
            EstimatorUnpacker(np, packer.arrays, packer.boosters.__getitem__).whole(packer.objects, root)
        except Exception as error:  # whatever its attributes make a constructor stumble over
            raise NotEncodable(f"{told} would not be read again: {error}. Correct that, or {INSTEAD}") from error
        with all_or_nothing(directory, stem):
            arrays = {"none": np.zeros(0)} if not packer.arrays else packer.arrays
            held = ArrayCodec().encode(arrays, directory, stem)
            boosters = [self._write(each, directory, stem, place) for place, each in enumerate(packer.boosters)]
            settings = {"objects": packer.objects, "root": root, "arrays": dict(held), "boosters": boosters}
            files.write_settings(directory / f"{stem}.json", settings)
        return {"scikit_learn": import_library("sklearn", self).__version__}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return the estimator.

        Raises:
            CodecUnavailable: this scikit-learn cannot take what another one wrote.
        """
        refuse_into(self, into)
        settings = files.read_settings(directory / f"{stem}.json")
        arrays = ArrayCodec().decode(directory, stem, field(settings, "arrays", dict))
        boosters, here = field(settings, "boosters", list), import_library("sklearn", self).__version__
        made = [self._read(each, directory, stem, place) for place, each in enumerate(boosters)]
        unpacker = EstimatorUnpacker(import_library("numpy", self), arrays, made.__getitem__)
        try:
            return unpacker.whole(field(settings, "objects", list), settings.get("root"))
        except (Corrupt, CodecUnavailable):
            raise
        except Exception as error:  # whatever attributes of another release make a constructor stumble over
            written = str(options.get("scikit_learn"))[:40]
            said = f"{stem}.json cannot be made into an estimator: {type(error).__name__}: {error}"
            if written == here:
                raise Corrupt(said) from error
            raise CodecUnavailable(f"{said}; it was written with scikit-learn {written}, and here is {here}") from error

    def _write(self, booster: Any, directory: Path, stem: str, place: int) -> dict[str, Any]:
        if dotted(type(booster)).startswith("xgboost."):
            return {"xgboost": xgboost_booster.write_ubj(self, booster, directory / f"{stem}.{place}.ubj")}
        return {"lightgbm": lightgbm_booster.write_booster(self, booster, directory / f"{stem}.{place}.txt")}

    def _read(self, record: Any, directory: Path, stem: str, place: int) -> Any:
        if isinstance(record, dict) and isinstance(record.get("xgboost"), dict):
            return xgboost_booster.read_ubj(self, record["xgboost"], directory / f"{stem}.{place}.ubj")
        if isinstance(record, dict) and isinstance(record.get("lightgbm"), dict):
            return lightgbm_booster.read_booster(self, record["lightgbm"], directory / f"{stem}.{place}.txt")
        raise Corrupt(f"a booster is recorded as {str(record)[:60]!r}")


def _parts(value: Any, depth: int) -> Iterator[Any]:
    """Yield an object and the estimators in its attributes."""
    if isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            if depth:
                yield from _parts(part, depth - 1)
    elif (hasattr(value, "get_params") and not isinstance(value, type)) or dotted(type(value)) in OBJECTS:
        yield value
        for part in vars(value).values():
            if depth and not isinstance(part, str | int | float | None):
                yield from _parts(part, depth - 1)
