"""What was fitted with scikit-learn transforms the same without it, bit for bit; or is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.sklearn.array_preprocessor import ArrayPreprocessor, Imputer, MinMax, Robust, Standard
from artifact_store.codecs.sklearn.scalers import ScalerCodec, to_arrays
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import Corrupt, FeatureMismatch, InvalidInput, NotEncodable
from tests.slices import examples

pytestmark = [
    pytest.mark.windows,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # numpy's, about overflow and empty columns, as in training
    pytest.mark.filterwarnings("ignore:Skipping features without any observed values"),
]

RNG = np.random.default_rng(11)
ROWS = RNG.normal(size=(20, 3))
FRAME = pd.DataFrame(ROWS, columns=["open", "high", "low"])

SCALERS = st.one_of(
    st.builds(StandardScaler, with_mean=st.booleans(), with_std=st.booleans()),
    st.builds(MinMaxScaler, feature_range=st.sampled_from([(0, 1), (-1, 1), (0.1, 0.7)]), clip=st.booleans()),
    st.builds(RobustScaler, with_centering=st.booleans(), with_scaling=st.booleans(), unit_variance=st.booleans()),
)
IMPUTERS = st.builds(
    SimpleImputer,
    strategy=st.sampled_from(["mean", "median", "most_frequent", "constant", np.nanmax]),
    fill_value=st.sampled_from([None, 0.1, -3]),
    missing_values=st.sampled_from([np.nan, pd.NA, 0, -1.5, 0.1]),
    add_indicator=st.booleans(),
    keep_empty_features=st.booleans(),
)
PREPROCESSORS = st.one_of(
    SCALERS,
    IMPUTERS,
    st.builds(make_pipeline, IMPUTERS, SCALERS),
    st.builds(make_pipeline, SCALERS, st.just("passthrough"), st.builds(make_pipeline, SCALERS, IMPUTERS)),
)

DTYPES = st.sampled_from(["f8", "f4", "f2", "i4", "u1"])
NUMBERS = st.one_of(
    st.floats(-1e4, 1e4, width=16), st.floats(-1e4, 1e4, width=32), st.sampled_from([0.0, -0.0, 0.1, -1.5, 1.0, np.nan])
)

WIDER = np.longdouble if np.dtype(np.longdouble).itemsize > 8 else complex  # on Windows it is float64


@st.composite
def tables(draw: Any, width: int) -> Any:
    """Rows of some dtype; columns may be constant or all NaN, and there may be one row only."""
    rows = draw(arrays("f8", (draw(st.integers(1, 6)), width), elements=NUMBERS, fill=st.nothing()))
    for column in range(width):
        constant = draw(st.sampled_from([None, None, None, 1.5, np.nan]))
        if constant is not None:
            rows[:, column] = constant
    dtype = draw(DTYPES)
    return rows.astype(dtype) if dtype[0] == "f" else np.nan_to_num(abs(rows) % 100).astype(dtype)


def same_bits(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    nan = np.isnan(one) & np.isnan(other)  # which NaN it is depends on the order of two operands, and means nothing
    return bool((nan | (one.view(f"u{one.itemsize}") == other.view(f"u{one.itemsize}"))).all())


def outcome(preprocessor: Any, rows: Any) -> Any:
    try:
        return preprocessor.transform(rows)
    except ValueError as error:
        return error


@settings(max_examples=examples(100, 4000))
@given(data=st.data(), preprocessor=PREPROCESSORS)
def test_it_transforms_as_scikit_learn_does(data: st.DataObject, preprocessor: Any) -> None:
    width = data.draw(st.integers(1, 4))
    learned = data.draw(tables(width))
    try:
        preprocessor.fit(learned)
    except ValueError:
        return  # scikit-learn cannot be fitted so
    refusal = ""
    try:
        made = to_arrays(preprocessor, ScalerCodec())
    except NotEncodable as error:
        refusal = str(error)
    if refusal:  # an imputer that has seen whole numbers, and in a column nothing but gaps, may keep them whole
        assert learned.dtype.kind in "iu"
        assert "computes other bits with this SimpleImputer" in refusal
        return
    rows = data.draw(tables(width))
    before = rows.copy()
    expected, found = outcome(preprocessor, rows), outcome(made, rows)
    assert rows.tobytes() == before.tobytes()
    if isinstance(expected, ValueError):
        assert isinstance(found, InvalidInput), expected
    else:
        assert same_bits(expected, found)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.astype("float32"),
        FRAME.astype({"open": "float32"}),
        FRAME.astype({"open": "int64", "high": "float32"}),
        FRAME.astype({"open": bool, "high": "float32", "low": "float32"}),
        FRAME.astype("Float64"),
        pl.DataFrame(FRAME.to_dict("list")),
        pl.DataFrame(FRAME.to_dict("list")).cast(pl.Float32),
        pl.DataFrame(FRAME.to_dict("list")).to_arrow(),
    ],
    ids=lambda frame: type(frame).__module__.partition(".")[0],
)
@pytest.mark.parametrize("preprocessor", [StandardScaler(), SimpleImputer(strategy="most_frequent")], ids=repr)
def test_tables_transform_as_in_scikit_learn(frame: Any, preprocessor: Any) -> None:
    fitted = clone(preprocessor).fit(frame)
    assert same_bits(np.asarray(fitted.transform(frame)), to_arrays(fitted, ScalerCodec()).transform(frame))


def test_lists_and_objects_become_float64() -> None:
    fitted = StandardScaler().fit(ROWS)
    made = to_arrays(fitted, ScalerCodec())
    assert same_bits(fitted.transform(ROWS.tolist()), made.transform(ROWS.tolist()))
    assert same_bits(fitted.transform(ROWS.astype(object)), made.transform(ROWS.astype(object)))


class TestRefusals:
    made = to_arrays(make_pipeline(StandardScaler()).fit(FRAME), ScalerCodec())

    def test_another_width(self) -> None:
        with pytest.raises(FeatureMismatch, match="fitted on 3 features; got 50"):
            self.made.transform(np.zeros((2, 50)))

    def test_another_name_with_a_suggestion(self) -> None:
        with pytest.raises(FeatureMismatch, match="'High'") as caught:
            self.made.transform(FRAME.rename(columns={"high": "High"}))
        assert (caught.value.missing, caught.value.extra) == (("high",), ("High",))
        assert caught.value.suggestions == {"high": "High"}

    def test_another_order(self) -> None:
        with pytest.raises(FeatureMismatch, match=r"another order.*align") as caught:
            self.made.transform(FRAME[["low", "high", "open"]])
        assert caught.value.reordered

    def test_more_columns(self) -> None:
        with pytest.raises(FeatureMismatch) as caught:
            self.made.transform(FRAME.assign(volume=1.0))
        assert caught.value.extra == ("volume",)

    def test_rows_whose_names_an_array_would_lose(self) -> None:
        for rows in (list(FRAME[["low", "high", "open"]].itertuples(index=False)), FRAME.to_dict("records")):
            with pytest.raises(InvalidInput, match="carries names"):
                self.made.transform(rows)

    def test_names_that_are_no_text(self) -> None:
        with pytest.raises(FeatureMismatch):
            self.made.transform(FRAME.set_axis([0, 1, 2], axis=1))

    @pytest.mark.parametrize(
        ("rows", "text"),
        [
            (ROWS[0], "reshape"),
            (ROWS.reshape(2, 10, 3), "3-D"),
            (np.full((1, 3), np.inf), "infinity in row 0, column 0"),
            (np.array([["1", "2", "3"]]), "takes numbers"),
            (np.array([["1", 2, 3]], object), "there is a str"),
            (np.zeros((1, 3), complex), "takes numbers"),
            (FRAME.assign(open="x"), "there is a str"),
        ],
    )
    def test_what_is_no_table_of_finite_numbers(self, rows: Any, text: str) -> None:
        with pytest.raises(InvalidInput, match=text):
            self.made.transform(rows)

    def test_nan_for_an_imputer_that_looks_for_something_else(self) -> None:
        made = ArrayPreprocessor([Imputer([1.0, 2.0], missing=-1)])
        assert made.transform([[-1, -1]]).tolist() == [[1.0, 2.0]]
        with pytest.raises(InvalidInput, match="NaN or an infinity in row 0, column 1"):
            made.transform([[-1, np.nan]])

    @pytest.mark.parametrize(
        ("make", "text"),
        [
            (Standard, "needs mean or scale"),
            (lambda: Robust(center=[[1.0]]), "one number for each column"),
            (lambda: Robust(center=["x"]), "one number for each column"),
            (lambda: Standard(mean=[]), "one number for each column"),
            (lambda: Standard(mean=np.zeros(2, WIDER)), "one number for each column"),
            (lambda: MinMax(scale=[1.0], offset=None), "needs offset"),
            (lambda: MinMax(scale=[1.0], offset=[1.0, 2.0]), "different numbers of columns"),
            (lambda: MinMax(scale=[1.0], offset=[1.0], clip=(0, np.inf)), "finite"),
            (lambda: MinMax(scale=[1.0], offset=[1.0], clip=(0, 1, 2)), "a pair"),
            (lambda: Imputer(None), "needs statistics"),
            (lambda: Imputer([1.0], missing=10**30), "stands for a missing value"),
            (lambda: Imputer([1.0], missing=np.inf), "stands for a missing value"),
            (lambda: Imputer([1.0], missing="?"), "stands for a missing value"),
            (lambda: Imputer([1.0], strategy="guess"), "'guess'"),
            (lambda: Imputer([1.0], fill_dtype="object"), "'object'"),
            (lambda: Imputer([1.0], keep_empty=1), "keep_empty"),
            (lambda: Imputer([1.0], indicator=(1,)), "positions of the 1 columns"),
            (lambda: ArrayPreprocessor([]), "has steps"),
            (lambda: ArrayPreprocessor([StandardScaler()]), "has steps"),
            (lambda: ArrayPreprocessor([Standard([1.0])], ["a", "b"]), "a name for each"),
            (lambda: ArrayPreprocessor([Standard([1.0])], [1]), "a name for each"),
            (lambda: ArrayPreprocessor([Imputer([np.nan, 1.0]), Standard([1.0, 2.0])]), "makes 1 columns"),
        ],
    )
    def test_steps_that_contradict_themselves(self, make: Any, text: str) -> None:
        with pytest.raises(InvalidInput, match=text):
            make()

    def test_a_constant_that_may_not_fit(self) -> None:
        made = ArrayPreprocessor([Imputer([0.5], strategy="constant")])
        with pytest.raises(InvalidInput, match="may not fit into int64"):
            made.transform(np.ones((1, 1), np.int64))
        with pytest.raises(InvalidInput, match="not bool"):
            made.transform(np.ones((1, 1), bool))


def test_nobody_can_change_what_was_learned() -> None:
    mean = np.array([1.0, 2.0])
    step = Standard(mean)
    mean[0] = 9
    assert step.mean.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        step.mean[0] = 9
    with pytest.raises(AttributeError):
        step.mean = mean  # type: ignore[misc]


def test_it_says_what_it_is() -> None:
    made = to_arrays(make_pipeline(SimpleImputer(), StandardScaler()).fit(FRAME), ScalerCodec())
    assert repr(made) == "<ArrayPreprocessor of 3 features: Imputer -> Standard>"
    assert made.feature_names_in_ == ("open", "high", "low")
    assert (made.n_features_in_, made.n_features_out_) == (3, 3)


@pytest.mark.parametrize(
    ("preprocessor", "text"),
    [
        (StandardScaler(), "not fitted"),
        (SimpleImputer(strategy="most_frequent").fit([["x"], ["y"]]), "codec='skops'"),
        (SimpleImputer(missing_values=np.float32(0.1)).fit(ROWS), "not a plain number"),
        (SimpleImputer(missing_values=-np.inf).fit(ROWS), "no usable statistics"),
    ],
)
def test_what_cannot_be_held_exactly_says_what_to_do(preprocessor: Any, text: str) -> None:
    with pytest.raises(NotEncodable, match=text):
        to_arrays(preprocessor, ScalerCodec())


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "make",
    [
        lambda library: StandardScaler().set_output(transform=library),
        lambda library: SimpleImputer(add_indicator=True).set_output(transform=library),
        lambda library: make_pipeline(SimpleImputer(), MinMaxScaler()).set_output(transform=library),
        lambda library: make_pipeline(SimpleImputer(), RobustScaler().set_output(transform=library)),
        lambda library: make_pipeline(SimpleImputer(), StandardScaler().set_output(transform=library), "passthrough"),
        lambda library: make_pipeline(SimpleImputer(), make_pipeline(StandardScaler()).set_output(transform=library)),
    ],
)
def test_a_preprocessor_that_makes_tables_is_refused_with_a_way_out(make: Any, library: str, tmp_path: Path) -> None:
    fitted = make(library).fit(FRAME)
    assert not isinstance(fitted.transform(FRAME), np.ndarray)
    with pytest.raises(NotEncodable, match=rf"{library}.*set_output\(transform='default'\).*codec='skops'"):
        ScalerCodec().encode(fitted, tmp_path, "model")
    assert not list(tmp_path.iterdir())
    codec = CodecRegistry().for_object(fitted, "skops")
    kept = codec.decode(tmp_path, "model", codec.encode(fitted, tmp_path, "model"))
    assert type(kept.transform(FRAME)) is type(fitted.transform(FRAME))
    to_arrays(fitted.set_output(transform="default"), ScalerCodec())


def test_tables_between_steps_and_explicit_arrays_change_nothing() -> None:
    inner = make_pipeline(SimpleImputer().set_output(transform="pandas"), StandardScaler()).fit(FRAME)
    explicit = StandardScaler().set_output(transform="default").fit(FRAME)
    for fitted in (inner, explicit):
        np.testing.assert_array_equal(to_arrays(fitted, ScalerCodec()).transform(FRAME), fitted.transform(FRAME))


def test_an_earlier_scikit_learn_rounds_otherwise_and_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real releases: tests/proofs/scalers."""
    monkeypatch.setattr("sklearn.__version__", "1.7.2")
    with pytest.raises(NotEncodable, match=r"scikit-learn 1\.7\.2 rounds otherwise.* 1\.8 or later.*codec='skops'"):
        to_arrays(MinMaxScaler().fit(ROWS), ScalerCodec())


def as_before_1_8(scaler: StandardScaler) -> Any:
    """Return what the arithmetic of scikit-learn before 1.8 makes of rows, which a later one may come to again."""

    def transform(rows: Any) -> Any:
        rows = np.array(rows)
        rows -= scaler.mean_
        rows /= scaler.scale_
        return rows

    return transform


def test_an_estimator_that_computes_other_bits_than_its_arrays_is_refused() -> None:
    scaler = StandardScaler().fit(ROWS)
    to_arrays(scaler, ScalerCodec())
    scaler.transform = as_before_1_8(scaler)  # equal in float64
    with pytest.raises(NotEncodable, match=r"computes other bits with this StandardScaler.*codec='skops'"):
        to_arrays(make_pipeline(SimpleImputer().fit(ROWS), scaler), ScalerCodec())


def test_what_is_compared_warns_of_nothing_and_leaves_the_estimator_as_it_was() -> None:
    frame = FRAME.assign(low=np.nan)
    imputer = SimpleImputer().set_output(transform="pandas").fit(frame)
    scaler = StandardScaler().fit(imputer.transform(frame))
    before = {name: repr(value) for name, value in vars(imputer).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_arrays(make_pipeline(imputer, scaler), ScalerCodec())
        to_arrays(StandardScaler(copy=False).fit(frame[["open"]] * 1e30), ScalerCodec())
    assert {name: repr(value) for name, value in vars(imputer).items()} == before


def test_a_pipeline_with_a_model_in_it_is_for_another_codec() -> None:
    registry = CodecRegistry()
    preprocessor = make_pipeline(SimpleImputer(), StandardScaler()).fit(ROWS)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, ROWS[:, 0] > 0)
    assert registry.for_object(preprocessor).name == "sklearn"
    assert registry.for_object(model).name == "skops"
    assert registry.for_object(make_pipeline(StandardScaler(), VarianceThreshold()).fit(ROWS)).name == "skops"
    assert registry.for_object(make_pipeline("passthrough")).name == "skops"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda told: told.update(steps=[]), "has steps"),
        (lambda told: told["steps"].append({"kind": "spline"}), "'spline'"),
        (lambda told: told["steps"].append("standard"), "no step"),
        (lambda told: told["steps"][0].pop("missing"), "other settings"),
        (lambda told: told["steps"].pop(), "arrays that preprocessor.json does not know"),
        (lambda told: told.update(feature_names_in=["a"]), "a name for each"),
        (lambda told: told["arrays"].update(kind="tuple"), "does not hold what was recorded"),
        (lambda told: told["steps"][0].update(missing="nan"), "stands for a missing value"),
        (lambda told: told["steps"][0].update(statistics=[1]), "other settings"),
    ],
)
def test_a_description_that_does_not_fit_its_arrays_is_corrupt(tmp_path: Path, change: Any, text: str) -> None:
    codec = ScalerCodec()
    codec.encode(make_pipeline(SimpleImputer(), StandardScaler()).fit(ROWS), tmp_path, "preprocessor")
    told = json.loads((tmp_path / "preprocessor.json").read_bytes())
    change(told)
    (tmp_path / "preprocessor.json").write_text(json.dumps(told))
    with pytest.raises(Corrupt, match=text):
        codec.decode(tmp_path, "preprocessor", {})


def test_one_array_is_not_taken_for_the_arrays_of_a_preprocessor(tmp_path: Path) -> None:
    codec = ScalerCodec()
    codec.encode(StandardScaler().fit(ROWS), tmp_path, "scaler")
    held = ArrayCodec().encode(ROWS, tmp_path, "scaler")
    (tmp_path / "scaler.json").write_text(json.dumps({"steps": [], "feature_names_in": None, "arrays": held}))
    with pytest.raises(Corrupt, match="does not belong to the arrays"):
        codec.decode(tmp_path, "scaler", {})


def test_steps_of_a_pipeline_that_no_longer_fit_together_are_not_stored() -> None:
    pipeline = make_pipeline(StandardScaler(), MinMaxScaler()).fit(ROWS)
    pipeline.steps[1] = ("other", MinMaxScaler().fit(ROWS[:, :2]))
    with pytest.raises(NotEncodable, match=r"contradicts itself.*makes 3 columns"):
        to_arrays(pipeline, ScalerCodec())


def test_a_constant_column_and_a_single_row_are_as_in_scikit_learn() -> None:
    rows = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, np.nan]])
    for preprocessor in (StandardScaler(), MinMaxScaler(), RobustScaler(), SimpleImputer(keep_empty_features=True)):
        made = to_arrays(preprocessor.fit(rows), ScalerCodec())
        for dtype in (np.float64, np.float32):
            row = rows[:1].astype(dtype)
            assert same_bits(preprocessor.transform(row), made.transform(row))


def test_float32_rounds_the_statistics_where_scikit_learn_does() -> None:
    """A StandardScaler casts its mean first; a MinMaxScaler multiplies in float64 and rounds then."""
    rows = np.float32([[0.1], [0.7], [1.9]])
    wide = rows.astype(np.float64) / 3
    standard, minmax = StandardScaler().fit(wide), MinMaxScaler().fit(wide)
    for fitted in (standard, minmax):
        found = to_arrays(fitted, ScalerCodec()).transform(rows)
        assert found.dtype == np.float32
        assert same_bits(fitted.transform(rows), found)
    rounded = (rows - standard.mean_.astype("f4")) / standard.scale_.astype("f4")
    assert same_bits(to_arrays(standard, ScalerCodec()).transform(rows), rounded)
