"""What a save records of libraries, and what a load makes of it: with the real codecs and the versions that are here."""

import platform
import re
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from artifact_store import ArtifactStore, CodecRegistry, Risk, Run
from artifact_store.core.codec import libraries_of
from artifact_store.ops.imported import normalized
from tools.versions import INSTEAD, NOT_TRIED

KEY = "gru/BTCEUR"
PYTHON = platform.python_version()


class FractionCodec:
    """A plug-in that does not tell what it depends on."""

    name, version, risk = "fraction", 1, Risk.DATA
    types = ("fractions.Fraction",)
    extra = None

    def encode(self, obj, directory, stem):
        (directory / f"{stem}.txt").write_text(str(obj), encoding="utf-8")
        return {}

    def decode(self, directory, stem, options, *, into=None):
        return Fraction((directory / f"{stem}.txt").read_text(encoding="utf-8"))


@pytest.fixture
def store():
    return ArtifactStore("memory://environments", provenance=False)


def bumped(library, place, by):
    """The version that is here, with another number in one place: 1.9.1 becomes 1.10.0."""
    numbers = [int(number) for number in re.findall(r"\d+", version(library))[:3]]
    numbers[place] += by
    return ".".join(map(str, [*numbers[: place + 1], *[0] * (2 - place)]))


def saved(store, obj, codec=None, **environment):
    with store.new_run(KEY) as draft:
        draft.add("model", obj, codec=codec)
        if environment:
            draft.environment = {"python": PYTHON, **environment}
    return draft.run


def estimator():
    return LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])


def test_every_codec_tells_what_it_depends_on_by_normalised_names():
    registry = CodecRegistry()
    told = {str(ref): libraries_of(registry.for_ref(ref)) for ref in registry._installed}
    without = {"json-1", "raw-1"}
    assert {ref for ref, names in told.items() if not names} == without
    for names in told.values():
        assert [normalized(name) for name in names] == list(names)
        assert all(version(INSTEAD.get(name, name)) for name in names if name not in NOT_TRIED)


def test_what_a_codec_depends_on_is_recorded_without_any_provenance(store):
    for obj, codec, names in (
        (np.ones(2), None, {"numpy"}),
        (estimator(), None, {"scikit-learn", "skops"}),
        (estimator(), "joblib", {"joblib", "numpy"}),
    ):
        run = saved(store, obj, codec)
        assert run.manifest.environment["packages"].keys() == {"artifact-store", *names}
        assert run.environment_verdict.verdict == "same"
        assert run.environment_verdict.remarks == ()


@pytest.mark.parametrize(
    ("place", "by", "verdict"), [(1, 1, "compatible"), (0, 1, "risky"), (0, -1, "risky"), (2, 1, "compatible")]
)
def test_arrays_survive_all_but_another_major_version(store, place, by, verdict):
    run = saved(store, np.ones(2), packages={"numpy": bumped("numpy", place, by)})
    assert run.environment_verdict.verdict == verdict
    assert [remark.library for remark in run.environment_verdict.remarks] == ["numpy"]
    assert run.load().tolist() == [1, 1]  # whatever the verdict is, it keeps nobody from loading


@pytest.mark.parametrize("codec", [None, "joblib"])
@pytest.mark.parametrize(("place", "by"), [(0, 1), (1, 1), (1, -1), (2, 1)])
def test_estimators_are_risky_with_an_older_or_another_minor_version(store, codec, place, by):
    packages = {name: version(name) for name in ("skops", "joblib", "numpy")}
    run = saved(store, estimator(), codec, packages=packages | {"scikit-learn": bumped("scikit-learn", place, by)})
    assert [(remark.library, remark.verdict) for remark in run.environment_verdict.remarks] == [
        ("scikit-learn", "risky")
    ]


def test_a_pickle_is_risky_without_the_library_of_its_type(store):
    run = saved(store, estimator(), "joblib", packages={"joblib": version("joblib"), "scikit-learn": "1.0"})
    manifest = run.manifest.model_copy()
    part = run.manifest.components["model"].model_copy(update={"type": "no_such_library.forest.Forest"})
    environment = {"python": PYTHON, "packages": {"joblib": version("joblib"), "no_such_library": "1.0"}}
    other = manifest.model_copy(update={"components": {"model": part}, "environment": environment})
    changed = Run(run._context, other)
    assert [str(remark) for remark in changed.environment_verdict.remarks] == [
        "no_such_library: it is not installed here (saved with 1.0, here none)"
    ]


def test_a_pickle_needs_the_same_python(store):
    other = {"python": "3.1.0"}
    assert (
        saved(store, estimator(), "joblib", packages={"joblib": version("joblib")}, **other).environment_verdict.verdict
        == "risky"
    )
    assert (
        saved(store, np.ones(2), packages={"numpy": np.__version__}, **other).environment_verdict.verdict
        == "compatible"
    )


def test_a_codec_that_is_not_here_is_a_risk_and_one_that_tells_nothing_is_none():
    registry = CodecRegistry()
    registry.register(FractionCodec())
    store = ArtifactStore("memory://fractions", registry=registry)
    assert store.save(Fraction(1, 3), KEY).environment_verdict.verdict == "same"
    found = ArtifactStore("memory://fractions").get(KEY).environment_verdict
    assert [str(remark) for remark in found.remarks] == [
        "fraction-1: this codec is not installed here (saved with unknown, here none)"
    ]


def test_a_run_that_records_nothing_is_unknown(store):
    with store.new_run(KEY) as draft:
        draft.environment = {}
        draft.add("model", np.ones(2))
    assert draft.run.environment_verdict.verdict == "unknown"
