"""What the files of one old run are, family by family: the parts of the new run, and the evidence for its features.

A part that cannot be read is refused and told; only the model itself is worth an error.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from artifact_store.errors import ArtifactStoreError, Corrupt, FeatureMismatch
from artifact_store.features.schema import Observation
from artifact_store.legacy.formats.features import Claim, Evidence, Fitted, claim_of
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.trees import file_names
from artifact_store.legacy.trees.notes import Notes, numbers, read_old_time

_INPUT_WEIGHT: Final = "gru.weight_ih_l0"
_TENSORS: Final = re.compile(r"gru\.(?:weight|bias)_[ih]h_l\d+|fc[12]\.(?:weight|bias)")
_METRICS: Final = frozenset({"loss", "score", "sharpe", "accuracy", "auc", "rmse", "mae"})
_OF_TRAINING: Final = frozenset({"total_timesteps", "train_samples", "eval_samples", "env_kwargs", "action_space_info"})
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_MOST_ROWS: Final = 1 << 20
_MOST_LETTERS: Final = 64 << 20
_NEEDS: Final = {
    file_names.PREPROCESSOR: ("preprocessor_path", "scaler_path", "has_preprocessor"),
    file_names.VECNORMALIZE: ("vecnormalize_path", "vec_normalize_path", "has_vecnormalize"),
}
"""Notes that tell that a run was trained with a part, whether or not the file is where they say."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one old run, by what they are for: their bytes, their names, and the notes among them."""

    data: Mapping[str, bytes]
    names: Mapping[str, str]
    notes: Mapping[str, Notes]
    own: tuple[type, ...] = ()
    """Classes of the caller's that an agent may be made with."""

    @property
    def model(self) -> tuple[bytes, str]:
        """The model itself, and what errors call it."""
        return self.data[file_names.MODEL], self.names[file_names.MODEL]


@dataclass(slots=True)
class Parts:
    """What was made of an old run.

    ``needs`` names the components that it was trained with, as its notes say; ``idle`` those that do nothing.
    ``written_at`` is when the model file says that it was made, which counts where nothing else does.
    """

    evidence: Evidence
    components: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    training_config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    created_at: datetime | None = None
    written_at: datetime | None = None
    needs: frozenset[str] = frozenset()
    idle: set[str] = field(default_factory=set)
    found: list[str] = field(default_factory=list)
    inferred: list[str] = field(default_factory=list)
    refused: list[tuple[str, ArtifactStoreError]] = field(default_factory=list)


def read_gru(files: Files) -> Parts:
    """Read a GRU: the checkpoint, and the preprocessor beside it."""
    from artifact_store.codecs.torch.state import TorchState
    from artifact_store.legacy.formats.checkpoint import read_checkpoint

    data, name = files.model
    found = read_checkpoint(data, what=name)
    sizes = _sizes(found.state, name)
    parts = _begun(files, sizes["input_size"], f"{_INPUT_WEIGHT} in {name}", found.metadata)
    parts.evidence = replace(parts.evidence, rules={"nan": "refuse", "inf": "refuse"})
    parts.config = parts.config or dict(found.training_config)
    history = {part: found.metadata[part] for part in ("train_losses", "val_losses") if part in found.metadata}
    parts.training_config = (parts.training_config or dict(found.training_config)) | history
    own = numbers({"dropout": found.config.get("dropout")})
    lengths = [one.get("sequence_length") for one in (found.training_config, found.config, parts.config)]
    length = next((each for each in lengths if each is not None), None)
    own |= {"sequence_length": length} if isinstance(length, int) else {}
    parts.components[file_names.MODEL] = TorchState(found.state, {**sizes, **own})
    parts.found.append(f"{name}: a GRU of {sizes['num_layers']} layers, {sizes['input_size']} inputs")
    parts.inferred += [
        f"{what} is {size} (its tensors), and not {found.config[what]} ({name})"
        for what, size in sizes.items()
        if found.config.get(what, size) != size
    ]
    if found.omitted:
        parts.found.append(f"{', '.join(found.omitted)} of {name} is left behind")
    _add_preprocessor(parts, files)
    return parts


def _sizes(state: Mapping[str, Any], name: str) -> dict[str, int]:
    """Return the sizes of the network as its tensors have them, if it is a GRU with two layers behind it."""
    wanted = (_INPUT_WEIGHT, "gru.weight_hh_l0", "fc1.weight", "fc2.weight")
    shapes = {part: tuple(state[part].shape) for part in wanted if part in state}
    missing = [part for part in wanted if len(shapes.get(part, ())) != 2]  # noqa: PLR2004 -- matrices
    if missing:
        raise Corrupt(f"{name} is not the state of a GRU with fc1 and fc2: no matrix {', '.join(missing)}")
    others = [part for part in state if not _TENSORS.fullmatch(part)]
    if others:
        raise Corrupt(
            f"{name} is the state of another network than a GRU with fc1 and fc2, which has no "
            f"{', '.join(others[:9])}: predicting without them would be wrong"
        )
    return {
        "input_size": shapes[_INPUT_WEIGHT][1],
        "hidden_size": shapes["gru.weight_hh_l0"][1],
        "num_layers": sum(part.startswith("gru.weight_ih_l") for part in state),
        "fc_size": shapes["fc1.weight"][0],
        "output_size": shapes["fc2.weight"][0],
    }


def _begun(files: Files, width: int, width_from: str, about: Mapping[str, Any]) -> Parts:
    """Return what all families have: claims on features, settings, metrics and times, from the model and its notes."""
    notes = files.notes
    beside = [notes[role] for role in (file_names.METADATA, file_names.MODEL_METADATA) if role in notes]
    own = claim_of(files.names[file_names.MODEL], about)
    claims = (own, *(claim_of(note.name, note.fields) for note in beside))
    lost = tuple(note.damage for note in notes.values() if note.damage)
    sources = [about, *(note.fields for note in beside)]
    parts = Parts(Evidence(width, width_from, claims, lost=lost), {})
    config = notes[file_names.CONFIG].fields if file_names.CONFIG in notes else {}
    parts.config = dict(config or _flat(_first_object(sources, "config")) or _first_object(sources, "model_config"))
    parts.training_config = dict(_first_object(sources, "training_config"))
    for source in reversed(sources):
        parts.metrics |= numbers(_first_object([source], "metrics"))
        parts.metrics |= {name: n for name, n in numbers(source).items() if _METRICS & {*name.lower().split("_")}}
    parts.created_at = next((time for one in sources if (time := read_old_time(one.get("created_at")))), None)
    parts.needs = frozenset(role for one in sources for role, said in _NEEDS.items() if any(map(one.get, said)))
    parts.found += [f"{note.name}: {len(note.fields)} fields" for note in notes.values()]
    return parts


def _first_object(sources: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((value for one in sources if isinstance(value := one.get(name), dict) and value), {})


def _flat(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the model alone; a walk-forward run kept those of the whole project around them."""
    inner = config.get("models")
    kinds = [inner.get(kind) for kind in file_names.FAMILIES] if isinstance(inner, dict) else []
    found = [settings for settings in kinds if isinstance(settings, dict)]
    return found[0] if len(found) == 1 else config


def _part(parts: Parts, files: Files, role: str, read: Callable[..., Any]) -> Any:
    """Return what the reader of a part returns; nothing without such a file, or after telling why it is refused."""
    if role not in files.data:
        return None
    name = files.names[role]
    try:
        return read(files.data[role], what=name)
    except ArtifactStoreError as error:
        parts.refused.append((name, error))
    except Exception as error:  # noqa: BLE001 -- a library met what it did not expect: the part is damaged
        parts.refused.append((name, Corrupt(f"{name} cannot be read: {type(error).__name__}: {error}")))
    return None


def _add_preprocessor(parts: Parts, files: Files) -> None:
    """Add the preprocessor and what it says of the features."""
    from artifact_store.legacy.formats.preprocessors import read_preprocessor

    found = _part(parts, files, file_names.PREPROCESSOR, read_preprocessor)
    if found is None:
        return
    name, made = files.names[file_names.PREPROCESSOR], found.preprocessor
    if made is None:
        parts.idle.add(file_names.PREPROCESSOR)
        parts.found.append(f"{name}: neither a scaler nor an imputer, so it changes nothing")
        return
    parts.components[file_names.PREPROCESSOR] = made
    steps = ", ".join(type(step).__name__ for step in made.steps)
    parts.found.append(f"{name}: {steps} of {made.n_features_in_} columns")
    parts.evidence = replace(parts.evidence, fitted=Fitted(name, made.n_features_in_, found.names or ()))


def read_lightgbm_run(files: Files) -> Parts:
    """Read a LightGBM model: its text goes through a process of its own before this one parses it."""
    from artifact_store.legacy.formats.lightgbm import build_lightgbm, read_lightgbm

    data, name = files.model
    found = read_lightgbm(data, what=name)
    model = build_lightgbm(found)
    booster = getattr(model, "booster_", model)
    parts = _begun(files, booster.num_feature(), f"max_feature_idx in {name}", found.metadata)
    own = Claim(f"the booster in {name}", tuple(booster.feature_name()))
    categories = _categories(parts, found)
    parts.evidence = replace(parts.evidence, claims=(*parts.evidence.claims, own), categories=categories)
    parts.components[file_names.MODEL] = model
    parts.found.append(f"{name}: a {found.kind} of {booster.num_trees()} trees, {booster.num_feature()} inputs")
    for part, scores in booster.best_score.items():
        parts.metrics |= {f"{part}_{metric}": score for metric, score in numbers(scores).items()}
    _add_preprocessor(parts, files)
    importance = _part(parts, files, file_names.IMPORTANCE, _read_importance)
    if importance is not None:
        parts.components[file_names.IMPORTANCE] = importance
        parts.found.append(f"{files.names[file_names.IMPORTANCE]}: {len(importance)} rows")
    return parts


def _categories(parts: Parts, found: Any) -> dict[str, list[str | int]]:
    """Return the categories by the names of their columns; those of a table of pandas have no names in the model."""
    lists = found.pandas_categorical or []
    if not lists:
        return {}
    infos = re.search(r"^feature_infos=(.*)$", found.text, re.MULTILINE)
    kinds = infos[1].split() if infos else []
    columns = [place for place, kind in enumerate(kinds) if kind[:1] != "[" and kind != "none"]
    named = next((claim.names for claim in parts.evidence.claims if claim.real and len(claim.names) == len(kinds)), ())
    known = all({type(value) for value in values} in ({str}, {int}) for values in lists)
    if len(columns) != len(lists) or not named or not known:
        parts.inferred.append(f"{len(lists)} lists of categories could not be told to columns: give pandas categories")
        return {}
    return {named[place]: list(values) for place, values in zip(columns, lists, strict=True)}


def _read_importance(data: bytes, **_: str) -> Any:
    """Return the table of importances, unless it would grow: a value that occurs a billion times takes a few bytes."""
    old_form_library("pyarrow", "tables")  # which pandas would only miss with an error of its own
    pd = old_form_library("pandas", "tables")
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(io.BytesIO(data), read_dictionary=["feature"]) as file:
        rows, schema = file.metadata.num_rows, file.schema_arrow
        words = [column.name for column in schema if not pa.types.is_primitive(column.type)]
        if rows > _MOST_ROWS or len(schema) > 3 or words != ["feature"]:  # noqa: PLR2004 -- and the index of a frame
            raise Corrupt(f"not a table of features and their importances: {rows:,} rows of {schema.names[:9]}")
        names = file.read(columns=["feature"]).column("feature").unique().to_pylist()
    longest = max(map(len, map(str, names)), default=0)
    if longest * rows > _MOST_LETTERS:
        raise Corrupt(f"not a table of features and their importances: {rows:,} rows with names of {longest:,} letters")
    frame = pd.read_parquet(io.BytesIO(data), engine="pyarrow")
    if sorted(map(str, frame.columns)) != ["feature", "importance"]:
        raise Corrupt(f"a table of importances has the columns feature and importance, not {list(frame.columns)[:9]}")
    return frame


def read_ppo(files: Files) -> Parts:
    """Read an algorithm of stable-baselines3 and the VecNormalize beside it."""
    from artifact_store.legacy.formats.sb3 import read_sb3
    from artifact_store.legacy.formats.sb3_building import build_old
    from artifact_store.legacy.formats.vecnormalize import read_vecnormalize

    data, name = files.model
    found = read_sb3(data, what=name, own=files.own)
    algorithm, inferred = build_old(found)
    space = algorithm.observation_space
    parts = _begun(files, math.prod(space.shape or ()), f"the observation space in {name}", {})
    if space.shape is not None:
        observation = Observation(tuple(map(int, space.shape)), str(space.dtype))
        parts.evidence = replace(parts.evidence, observation=observation)
    about = {key: value for note in files.notes.values() for key, value in note.fields.items() if key in _OF_TRAINING}
    parts.training_config = {**about, **parts.training_config}
    parts.config = parts.config or dict(found.state.hyperparameters)
    parts.components[file_names.MODEL] = algorithm
    parts.written_at = _zip_time(data)
    parts.found.append(f"{name}: {found.state.algorithm} of stable-baselines3 {found.version or '(no version)'}")
    if inferred:
        parts.inferred.append(f"of {name}: {', '.join(inferred)}")
    statistics = _part(parts, files, file_names.VECNORMALIZE, read_vecnormalize)
    if statistics is not None:
        _add_statistics(parts, files.names[file_names.VECNORMALIZE], statistics, space.shape)
    return parts


def _add_statistics(parts: Parts, name: str, found: Any, shape: tuple[int, ...] | None) -> None:
    """Add the statistics of the observations, or tell that they are of others."""
    if shape is not None and found.shape is not None and found.shape != tuple(shape):
        text = f"the policy observes the shape {tuple(shape)}, and {name} has statistics of {found.shape}"
        parts.refused.append((name, FeatureMismatch(f"{text}: they do not belong together")))
        return
    parts.components[file_names.VECNORMALIZE] = found
    parts.found.append(f"{name}: statistics of {found.shape or 'no observations'}")


def _zip_time(data: bytes) -> datetime | None:
    """Return when the newest entry was written, by the clock of that machine; a writer without a clock writes 1980."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        times = [entry.date_time for entry in archive.infolist()]
    newest = max(times, default=_NO_TIME)
    try:
        return datetime(*newest, tzinfo=UTC) if newest[0] > _NO_TIME[0] else None
    except ValueError:  # such as a month 0
        return None


READERS: Final[Mapping[str, Callable[[Files], Parts]]] = {
    "gru": read_gru,
    "lightgbm": read_lightgbm_run,
    "ppo": read_ppo,
}
