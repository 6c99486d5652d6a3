"""Preprocessors in the old form: scikit-learn transforms with them as the arrays do, and they read again as the same."""

import io
import json

import joblib
import numpy as np
import pytest
from gymnasium import spaces

from artifact_store.codecs.sklearn.array_preprocessor import ArrayPreprocessor, Imputer, MinMax, Robust, Standard
from artifact_store.errors import NotEncodable
from artifact_store.legacy import old_objects
from artifact_store.legacy.formats.preprocessors import read_preprocessor

MEAN, SCALE = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.25, 3.0])
ROWS = np.array([[1.0, np.nan, 3.0], [0.5, 2.0, -1.0], [np.nan, 7.0, 0.0]])
FULL = np.array([[1.0, 4.0, 3.0], [0.5, 2.0, -1.0]])

STEPS = {
    "standard": [Standard(MEAN, SCALE)],
    "standard without mean": [Standard(None, SCALE)],
    "standard without scale": [Standard(MEAN, None)],
    "robust": [Robust(MEAN, SCALE)],
    "robust without center": [Robust(None, SCALE)],
    "minmax": [MinMax(SCALE, MEAN)],
    "minmax that cuts off": [MinMax(SCALE, MEAN, (0.0, 1.0))],
    "imputer and scaler": [Imputer(MEAN, strategy="median"), Standard(MEAN, SCALE)],
    "imputer alone": [Imputer(MEAN)],
    "imputer that keeps": [Imputer(MEAN, keep_empty=True, strategy="constant")],
    "two scalers": [Robust(MEAN, SCALE), MinMax(SCALE, MEAN)],
}


def transformed(old, rows):
    """As the old programs did: the imputer first, if there is one."""
    for part in ("imputer", "scaler"):
        if old[part] is not None:
            rows = old[part].transform(rows)
    return rows


@pytest.mark.parametrize("name", STEPS)
def test_scikit_learn_transforms_as_the_arrays_do_and_it_reads_again(name):
    arrays = ArrayPreprocessor(STEPS[name])
    file = io.BytesIO()
    joblib.dump(old_objects.preprocessor(arrays, ["a", "b", "c"]), file)
    rows = ROWS if "imputer" in name else FULL
    file.seek(0)
    np.testing.assert_array_equal(transformed(joblib.load(file), rows), arrays.transform(rows))
    again = read_preprocessor(file.getvalue(), what="preprocessor.pkl")
    assert again.names == ("a", "b", "c")
    assert again.preprocessor is not None
    np.testing.assert_array_equal(again.preprocessor.transform(rows), arrays.transform(rows))


def test_the_dict_says_what_it_holds():
    old = old_objects.preprocessor(ArrayPreprocessor(STEPS["imputer and scaler"]), None)
    assert (old["scaler_type"], old["imputer_strategy"], old["is_fitted"]) == ("standard", "median", True)


def test_names_that_scikit_learn_saw_come_back():
    arrays = ArrayPreprocessor(STEPS["standard"], ["a", "b", "c"])
    file = io.BytesIO()
    joblib.dump(old_objects.preprocessor(arrays, None), file)
    assert read_preprocessor(file.getvalue(), what="p").names == ("a", "b", "c")


def test_another_estimator_is_kept_as_it_is():
    from sklearn.preprocessing import PowerTransformer

    estimator = PowerTransformer().fit(FULL)
    assert old_objects.preprocessor(estimator, None)["scaler"] is estimator


@pytest.mark.parametrize("step", [Imputer(MEAN, indicator=(0,)), Imputer(MEAN, strategy="callable")])
def test_what_the_old_form_has_no_word_for_is_refused(step):
    with pytest.raises(NotEncodable):
        old_objects.preprocessor(ArrayPreprocessor([step]), None)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Discrete(3), {"type": "discrete", "n": 3}),
        (spaces.Box(-1, 1, (2, 1)), {"type": "continuous", "shape": [2, 1]}),
        (spaces.MultiDiscrete([2, 3]), {"type": "multidiscrete", "nvec": [2, 3]}),
        (spaces.MultiBinary(4), {"type": "multibinary", "shape": [4]}),
    ],
)
def test_actions_are_told_in_the_words_of_the_old_notes(space, said):
    assert old_objects.action_space_info(space) == json.loads(json.dumps(said))
