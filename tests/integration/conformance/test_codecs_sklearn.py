"""The codecs of preprocessors and estimators are held to the contract."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler

from artifact_store.codecs.sklearn.array_preprocessor import ArrayPreprocessor, Imputer, MinMax, Standard
from artifact_store.codecs.sklearn.joblib import JoblibCodec
from artifact_store.codecs.sklearn.scalers import ScalerCodec
from artifact_store.codecs.sklearn.skops import SkopsCodec
from artifact_store.errors import CodecUnavailable, NotEncodable
from tests.little_room import LittleRoomSuite

pytestmark = [
    pytest.mark.windows,
    pytest.mark.filterwarnings("ignore:Skipping features without any observed values"),  # scikit-learn's imputer
]

ROWS = np.random.default_rng(3).normal(size=(40, 4))
HOLES = np.where(np.random.default_rng(4).random((40, 4)) < 0.2, np.nan, ROWS)
HOLES[:, 3] = np.nan
LABELS = (ROWS[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(ROWS, columns=list("abcd"))


def same_bits(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


class Derived(StandardScaler):
    """It may transform otherwise; nobody can tell."""


class TestScalers(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> ScalerCodec:
        return ScalerCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [
            StandardScaler().fit(ROWS),
            StandardScaler(with_mean=False, with_std=False).fit(ROWS),
            MinMaxScaler((-1, 0.3), clip=True).fit(ROWS.astype(np.float32)),
            RobustScaler(unit_variance=True).fit(ROWS),
            SimpleImputer(strategy="median", add_indicator=True).fit(HOLES),
            SimpleImputer(strategy="most_frequent", missing_values=-1, keep_empty_features=True).fit(ROWS.astype(int)),
            make_pipeline(SimpleImputer(), "passthrough", make_pipeline(StandardScaler(), MinMaxScaler())).fit(HOLES),
            ArrayPreprocessor([Standard(mean=[1.0, 2, 3, 4])], ["ä", "b ", "", "d"]),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        text = pd.DataFrame({"a": ["x", None, "x"]}, dtype=object)
        broken = StandardScaler().fit(ROWS)
        broken.mean_ = broken.mean_[:2]
        return [
            StandardScaler(),
            SimpleImputer(),
            make_pipeline(StandardScaler()),
            Derived().fit(ROWS),
            SimpleImputer(strategy="most_frequent").fit(text),
            SimpleImputer(strategy="constant", fill_value=2**53 + 1).fit(np.ones((2, 1), int)),
            SimpleImputer(missing_values=np.float64(0.1)).fit(ROWS),
            broken,
        ]

    def equal(self, one: Any, other: Any) -> bool:
        if getattr(one, "feature_names_in_", None) != getattr(other, "feature_names_in_", None):
            return False
        return all(same_bits(one.transform(rows), other.transform(rows)) for rows in (ROWS, ROWS.astype("f4")))


class TestSkops(LittleRoomSuite):
    deterministic = False  # skops names its entries by addresses
    parser_is_memory_safe = True

    @pytest.fixture
    def codec(self) -> SkopsCodec:
        return SkopsCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [
            LogisticRegression().fit(FRAME, np.where(LABELS, "up", "down")),
            make_pipeline(PolynomialFeatures(), StandardScaler(), LogisticRegression()).fit(ROWS, LABELS),
            RandomForestClassifier(2, max_depth=2, random_state=1).fit(ROWS, LABELS),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Own(LogisticRegression):
            pass

        return [
            Own().fit(ROWS, LABELS),
            FunctionTransformer(np.exp).fit(ROWS),
            make_pipeline(FunctionTransformer(), LogisticRegression()).fit(ROWS, LABELS),
            LogisticRegression(class_weight={0: object()}),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        rows = FRAME if hasattr(one, "feature_names_in_") and not isinstance(one, Pipeline) else ROWS
        return type(one) is type(other) and same_bits(one.predict_proba(rows), other.predict_proba(rows))

    def test_the_codec_says_that_its_bytes_differ(self, codec: SkopsCodec) -> None:
        assert codec.deterministic is False


class TestJoblib(LittleRoomSuite):
    deterministic = False  # a pickle depends on which parts of an object are one
    parser_is_memory_safe = False  # a damaged pickle may ask for anything

    @pytest.fixture
    def codec(self) -> JoblibCodec:
        return JoblibCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [Derived().fit(ROWS), StandardScaler().fit(ROWS)]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        return [FunctionTransformer(lambda rows: rows), {"lock": threading.Lock()}]

    def test_a_lambda_is_refused_with_what_can_be_kept(self, codec: JoblibCodec, tmp_path: Path) -> None:
        with pytest.raises(NotEncodable, match="Give functions a name in a module that readers can import"):
            codec.encode(FunctionTransformer(lambda rows: rows), tmp_path, "model")
        codec.encode(FunctionTransformer(same_bits), tmp_path, "model")

    def test_what_the_saving_program_alone_had_is_missed_by_name(
        self, codec: JoblibCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        main = sys.modules["__main__"]
        exec("def doubled(rows):\n    return 2 * rows", vars(main))  # as a script defines it
        options = codec.encode(main.doubled, tmp_path, "model")  # type: ignore[attr-defined]
        monkeypatch.delattr(main, "doubled")
        with pytest.raises(CodecUnavailable, match=r"doubled.*__main__.*: define that in a module which both"):
            codec.decode(tmp_path, "model", options)

    def equal(self, one: Any, other: Any) -> bool:
        return type(one) is type(other) and same_bits(one.transform(ROWS), other.transform(ROWS))

    def test_the_codec_says_that_its_bytes_may_differ(self, codec: JoblibCodec) -> None:
        assert codec.deterministic is False


def test_the_steps_that_other_readers_build_are_those_of_the_codec() -> None:
    built = ArrayPreprocessor(
        [
            Imputer([0.5, np.nan, 1.0]),
            MinMax(scale=[2.0, 2.0], offset=[0.0, 1.0], clip=(0, 1)),
        ]
    )
    assert built.transform([[np.nan, 7, 1.0]]).tolist() == [[1.0, 1.0]]
    assert (built.n_features_in_, built.n_features_out_) == (3, 2)
