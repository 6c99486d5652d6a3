"""Files of estimators that ask for more than an estimator: refused before anything is made of them, every time."""

from __future__ import annotations

import importlib
import io
import json
import operator
import os
import string
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.base import clone
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from artifact_store import ArtifactStore, LoadPolicy
from artifact_store.codecs.sklearn import state_checks
from artifact_store.codecs.sklearn.skops import SkopsCodec, audit, named_in_full
from artifact_store.codecs.sklearn.skops_types import ESTIMATORS, TYPES
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import (
    CodecUnavailable,
    Corrupt,
    DigestMismatch,
    NoCodec,
    NotEncodable,
    RiskRefused,
    TypeRefused,
    Untrusted,
)
from tests.cases import each

pytestmark = pytest.mark.windows

ROWS = np.random.default_rng(5).normal(size=(30, 3))
TREE = DecisionTreeRegressor(max_depth=2, random_state=0).fit(ROWS, ROWS[:, 1])
Edit = Callable[[dict[str, Any], dict[str, bytes]], None]


class Trap:
    """Leaves a mark when somebody runs what it tells."""

    def __init__(self, folder: Path) -> None:
        self.marker = folder / "marker"

    @property
    def command(self) -> str:
        return f'echo sprung > "{self.marker}"'  # in the words of both shells

    @property
    def sprung(self) -> bool:
        return self.marker.exists()


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


def edited(obj: Any, change: Edit, *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file of skops for ``obj``, with its description and its entries changed."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(obj))) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(entries.pop("schema.json"))
    change(schema, entries)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in {**entries, "schema.json": json.dumps(schema).encode()}.items():
            archive.writestr(name, data)
    return made.getvalue()


def node(loader: str, kind: str, **fields: Any) -> dict[str, Any]:
    module, _, name = kind.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": loader, **fields}


def text(value: object) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def with_attribute(extra: dict[str, Any]) -> Edit:
    def change(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
        schema["content"]["content"]["coef_"] = extra

    return change


HARMLESS = "string.capwords"
"""A function that does nothing, and that no model of scikit-learn needs."""


def strange() -> Iterator[tuple[str, bytes]]:
    """Files that name a function, or ask for a way to call one. The function is harmless, and has to be refused all the same."""
    yield "a function as a transformer", skops.io.dumps(FunctionTransformer(string.capwords).fit(["x"]))
    inside = make_pipeline(FunctionTransformer(string.capwords), StandardScaler())
    yield "the same in a pipeline", skops.io.dumps(inside)
    yield "a transformer of a function that skops trusts", skops.io.dumps(FunctionTransformer(np.exp))
    word = text("a word")
    nodes = {
        "an operator": node(
            "OperatorFuncNode",
            "operator.methodcaller",
            attrs=node("TupleNode", "builtins.tuple", content=[text("upper")]),
        ),
        "a constructor": node(
            "ConstructorFromReduceNode", HARMLESS, content=node("TupleNode", "builtins.tuple", content=[word])
        ),
        "a list that is a function": node("ListNode", HARMLESS, content=[word]),
        "a dict whose keys are made by a function": node(
            "DictNode",
            "builtins.dict",
            key_types=node("ListNode", "builtins.list", content=[node("TypeNode", HARMLESS)]),
            content={"a word": text(1)},
        ),
        "an array that becomes something else": node("NdArrayNode", HARMLESS, type="numpy", file="array.npy"),
        "a loss": node(
            "LossNode",
            HARMLESS,
            __reduce__={"args": node("TupleNode", "builtins.tuple", content=[word])},
            content=node(
                "DictNode", "builtins.dict", key_types=node("ListNode", "builtins.list", content=[]), content={}
            ),
        ),
        "a random state": node("RandomStateNode", HARMLESS, content=text({})),
        "an object with a state of its own": node("ObjectNode", "fractions.Fraction", content=text([1])),
        "a partial": node(
            "PartialNode",
            "functools.partial",
            content={
                "func": node("FunctionNode", HARMLESS),
                "args": node("TupleNode", "builtins.tuple", content=[word]),
                "kwds": text({}),
                "namespace": text({}),
            },
        ),
        "a method": node("MethodNode", "builtins.str", content={"func": "upper", "obj": word}),
        "a loader that skops does not have": node("OtherNode", "builtins.str", content="a word"),
        "a sparse matrix": node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix", type="scipy", file="m.npz"),
        "an entry of the cache": node("CachedNode", "builtins.str", __id__=1),
    }
    for what, part in nodes.items():
        yield what, edited(Ridge().fit(ROWS, ROWS[:, 0]), with_attribute(part))


NAMES = [name for name, _ in strange()]


@pytest.mark.parametrize("place", range(len(NAMES)), ids=NAMES)
def test_a_file_that_asks_for_more_than_vetted_types_is_refused(place: int, tmp_path: Path) -> None:
    folder = tmp_path
    _, data = list(strange())[place]
    (folder / "model.skops").write_bytes(data)
    with pytest.raises(TypeRefused, match="nothing was made of it") as caught:
        SkopsCodec().decode(folder, "model", {})
    assert isinstance(caught.value, Untrusted)
    assert isinstance(caught.value, Corrupt)
    assert caught.value.types


def test_a_function_that_runs_a_command_is_refused_as_well(trap: Trap) -> None:
    folder = trap.marker.parent
    (folder / "model.skops").write_bytes(skops.io.dumps(FunctionTransformer(os.system, validate=False)))
    with pytest.raises(TypeRefused, match="nothing was made of it"):
        SkopsCodec().decode(folder, "model", {})
    assert not trap.sprung


def test_a_function_cannot_be_saved_and_the_refusal_names_it() -> None:
    registry = CodecRegistry()
    transformer = FunctionTransformer(partial(operator.mul, 2)).fit(ROWS)
    codec = registry.for_object(transformer)
    assert codec.name == "estimators"
    with pytest.raises(NotEncodable, match=r"FunctionTransformer.*codec='joblib'"):
        codec.encode(transformer, Path(), "model")


def test_no_type_on_the_list_wraps_a_function() -> None:
    names = " ".join(name for kinds in TYPES.values() for name in kinds)
    for word in (
        "FunctionTransformer",
        "Scorer",
        "Search",
        "SelectKBest",
        "univariate",
        "partial",
        "methodcaller",
        "system",
        "eval",
    ):
        assert word not in names
    assert "FunctionNode" not in TYPES
    assert all(name.startswith("sklearn.") for name in ESTIMATORS)


def test_the_list_names_estimators_that_there_are() -> None:
    for name in sorted(ESTIMATORS):
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), kind), type), name


def test_a_file_whose_parts_make_no_estimator_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(edited(TREE, without_state))
    with pytest.raises(Corrupt, match="cannot be loaded"):
        SkopsCodec().decode(tmp_path, "model", {"scikit_learn": sklearn.__version__})


def without_state(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
    schema["content"]["content"]["tree_"]["content"]["content"].pop("values")


def retouched(file: str, **changes: Any) -> Edit:
    """A change of the nodes of a decision tree, in the entry that holds them."""

    def change(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
        tree = schema["content"]["content"]["tree_"]["content"]["content"]
        name = tree[file]["file"]
        nodes = np.load(io.BytesIO(entries[name]))
        for column, value in changes.items():
            nodes[column][0] = value
        tree.pop("values")  # so that scikit-learn takes no such tree, whatever its nodes say
        out = io.BytesIO()
        np.save(out, nodes)
        entries[name] = out.getvalue()

    return change


def node_count(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
    schema["content"]["content"]["tree_"]["content"]["content"]["node_count"]["content"] = "1000000"


def shared_id(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
    """skops would take the first node of an id, which nobody would have looked at as a part of a tree."""
    inside = schema["content"]["content"]
    inside["tree_"]["content"]["content"]["nodes"]["__id__"] = inside["criterion"]["__id__"]


@pytest.mark.parametrize(
    "change",
    [
        retouched("nodes", left_child=10),
        retouched("nodes", right_child=-7),
        retouched("nodes", left_child=0),
        retouched("nodes", feature=3),
        retouched("nodes", feature=-2),
        node_count,
        shared_id,
    ],
)
def test_a_decision_tree_that_leads_astray_is_corrupt(change: Edit) -> None:
    audit(edited(TREE, without_state), SkopsCodec())
    with pytest.raises(Corrupt):
        audit(edited(TREE, change), SkopsCodec())


ENSEMBLES = [
    RandomForestRegressor(3, random_state=0),
    ExtraTreesClassifier(3, random_state=0),
    GradientBoostingRegressor(n_estimators=3),
    BaggingRegressor(n_estimators=3, max_features=2, random_state=0),
    IsolationForest(n_estimators=3, random_state=0),
    make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)),
]


@pytest.mark.parametrize("model", ENSEMBLES, ids=lambda model: type(model).__name__)
def test_an_ensemble_whose_trees_take_its_features_comes_back(model: Any, tmp_path: Path) -> None:
    rows, target = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
    model = clone(model).fit(rows, target)
    again = SkopsCodec().decode(tmp_path, "model", SkopsCodec().encode(model, tmp_path, "model"))
    assert np.array_equal(again.predict(rows), model.predict(rows))


def test_a_vote_and_a_stack_of_trees_come_back(tmp_path: Path) -> None:
    rows, target = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
    members = [("tree", DecisionTreeRegressor(max_depth=2)), ("line", Ridge())]
    for model in (VotingRegressor(members), StackingRegressor(members, cv=2)):
        model.fit(rows, target)
        again = SkopsCodec().decode(tmp_path, "model", SkopsCodec().encode(model, tmp_path, "model"))
        assert np.array_equal(again.predict(rows), model.predict(rows))
        model.estimators_[0].n_features_in_ = 4
        with pytest.raises(NotEncodable, match="a tree takes other features than its estimator"):
            SkopsCodec().encode(model, tmp_path, "model")


def test_a_loss_is_named_by_its_module_whatever_scikit_learn_calls_it(tmp_path: Path) -> None:
    """As 1.8 does it; another release would look for a module of that name wherever there is one."""
    rows, target = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2

    def shorten(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
        loss = schema["content"]["content"]["_loss"]["content"]["content"]["closs"]
        assert loss["__loader__"] == "LossNode"
        loss["__module__"] = "_loss"

    model = GradientBoostingRegressor(n_estimators=3).fit(rows, target)
    data = edited(model, shorten)
    with pytest.raises(TypeRefused, match=r"_loss\.CyHalfSquaredError"):
        audit(data, SkopsCodec())
    (tmp_path / "model.skops").write_bytes(named_in_full(data))
    again = SkopsCodec().decode(tmp_path, "model", {"scikit_learn": sklearn.__version__})
    assert np.array_equal(again.predict(rows), model.predict(rows))


def test_a_threshold_that_was_tuned_is_saved_as_one_that_is_fixed(tmp_path: Path) -> None:
    labels = ROWS[:, 0] + ROWS[:, 1] > 0.5
    model = TunedThresholdClassifierCV(LogisticRegression()).fit(ROWS, labels)
    with pytest.raises(
        NotEncodable, match=r"FixedThresholdClassifier\(FrozenEstimator\(model\.estimator_\), threshold="
    ):
        SkopsCodec().encode(model, tmp_path, "model")
    fixed = FixedThresholdClassifier(FrozenEstimator(model.estimator_), threshold=model.best_threshold_)
    fixed.fit(ROWS, labels)
    again = SkopsCodec().decode(tmp_path, "model", SkopsCodec().encode(fixed, tmp_path, "model"))
    assert np.array_equal(again.predict(ROWS), model.predict(ROWS))


def test_a_sparse_matrix_in_an_estimator_is_named(tmp_path: Path) -> None:
    model = SpectralClustering(2, affinity="nearest_neighbors", n_neighbors=5, random_state=1).fit(ROWS)
    with pytest.raises(NotEncodable, match="vetted types only \\(a sparse matrix\\).*name codec='joblib'"):
        SkopsCodec().encode(model, tmp_path, "model")


@pytest.mark.parametrize("model", ENSEMBLES[:-1], ids=lambda model: type(model).__name__)
def test_an_ensemble_whose_trees_take_other_features_is_corrupt(model: Any, tmp_path: Path) -> None:
    model = clone(model).fit(np.random.default_rng(0).random((40, 3)), np.arange(40) % 2)
    if hasattr(model, "estimators_features_"):
        model.estimators_features_ = [np.arange(4) for _ in model.estimators_]
    else:
        model.n_features_in_ = 4
    (tmp_path / "model.skops").write_bytes(named_in_full(skops.io.dumps(model)))
    with pytest.raises(Corrupt, match="other features"):
        SkopsCodec().decode(tmp_path, "model", {"scikit_learn": sklearn.__version__})


def deeper(model: Any) -> None:
    tree = model.tree_
    tree.__setstate__({**tree.__getstate__(), "max_depth": 0})


def beyond(model: Any) -> None:
    model.random_state = np.random.RandomState(0)
    model.random_state.set_state(("MT19937", model.random_state.get_state()[1], 400))


ASTRAY: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "a tree deeper than it says": (DecisionTreeRegressor(), deeper),
    "a place beyond a random state": (PCA(), beyond),
    "a name of a method": (DecisionTreeRegressor(), lambda model: vars(model).update(get_params=int)),
    "centres of fewer features": (KMeans(2), lambda model: vars(model).update(cluster_centers_=model.cluster_centers_[:, :1])),
    "many threads": (KMeans(2), lambda model: vars(model).update(_n_threads=1 << 20)),
    "threads in words": (RandomForestRegressor(1), lambda model: vars(model).update(n_jobs="2")),
    "fewer columns than categories": (OneHotEncoder(), lambda model: vars(model).update(_n_features_outs=[1, 1, 1])),
    "categories in no order": (OneHotEncoder(), lambda model: model.categories_[0].sort() or vars(model).update(categories_=[each[::-1].copy() for each in model.categories_])),
    "categories of another list": (OneHotEncoder(), lambda model: model.categories_.pop()),
    "a category to leave out that there is not": (OneHotEncoder(drop="first"), lambda model: vars(model).update(_drop_idx_after_grouping=np.array([99, 99, 99], object))),
    "groups beyond the columns": (OneHotEncoder(max_categories=3), lambda model: model._default_to_infrequent_mappings[0].fill(9)),
    "labels in columns that there are not": (MultiLabelBinarizer(), lambda model: vars(model).update(_cached_dict={0: 7})),
}  # fmt: skip


def test_an_estimator_whose_attributes_lead_astray_is_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last place of a random state is put so far below numpy's that what lies beyond is one of its numbers."""
    monkeypatch.setattr(state_checks, "_LAST_PLACE", 300)
    for case in each(ASTRAY):
        with case as astray:
            model, change = ASTRAY[astray]
            several = isinstance(model, MultiLabelBinarizer)
            model = clone(model)
            model = model.fit([[0], [1, 2]]) if several else model.fit(np.rint(ROWS * 9), ROWS[:, 0])
            SkopsCodec().encode(model, tmp_path, "model")
            SkopsCodec().decode(tmp_path, "model", {"scikit_learn": sklearn.__version__})
            change(model)
            (tmp_path / "model.skops").write_bytes(named_in_full(skops.io.dumps(model)))
            with pytest.raises(Corrupt, match="leads out of itself"):
                SkopsCodec().decode(tmp_path, "model", {"scikit_learn": sklearn.__version__})


def older_protocol(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
    schema["protocol"] = 0


def no_type(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
    del schema["content"]["__class__"]


def too_short(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000,)}".ljust(117) + "\n"
    entries["array.npy"] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def pickled(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
    out = io.BytesIO()
    np.save(out, np.array([{}], object), allow_pickle=True)
    entries["object.npy"] = out.getvalue()


@pytest.mark.parametrize("change", [older_protocol, no_type, too_short, pickled])
def test_a_file_that_skops_does_not_write_is_corrupt(change: Edit) -> None:
    with pytest.raises(Corrupt):
        audit(edited(PCA().fit(ROWS), change), SkopsCodec())


def test_a_compressed_file_is_corrupt_before_it_grows() -> None:
    data = edited(PCA().fit(ROWS), lambda schema, entries: entries.update(zeros=bytes(1 << 16)), compression=8)
    with pytest.raises(Corrupt, match="compressed"):
        audit(data, SkopsCodec())


def test_an_entry_that_is_no_array_is_refused() -> None:
    data = edited(PCA().fit(ROWS), lambda schema, entries: entries.update({"code.pkl": b"x"}))
    with pytest.raises(TypeRefused, match="code.pkl"):
        audit(data, SkopsCodec())


def test_an_estimator_that_this_scikit_learn_cannot_take_asks_for_the_other(tmp_path: Path) -> None:
    def older(schema: dict[str, Any], entries: dict[str, bytes]) -> None:
        schema["content"]["content"]["tree_"]["content"]["content"].pop("values")

    (tmp_path / "model.skops").write_bytes(edited(TREE, older))
    with pytest.raises(CodecUnavailable, match=r"scikit-learn 1\.4\.2.*save the estimator anew"):
        SkopsCodec().decode(tmp_path, "model", {"scikit_learn": "1.4.2"})


class TestThroughTheStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ArtifactStore]:
        with ArtifactStore(tmp_path / "store") as store:
            yield store

    def test_an_estimator_comes_back(self, store: ArtifactStore) -> None:
        forest = RandomForestRegressor(3, max_depth=3, random_state=0).fit(ROWS, ROWS[:, 0])
        run = store.save(forest, "forest/EURUSD")
        assert run.manifest.components["model"].codec.name == "skops"
        assert run.manifest.components["model"].risk == "vetted"
        assert np.array_equal(store.load("forest/EURUSD").predict(ROWS), forest.predict(ROWS))

    def test_a_strict_policy_refuses_vetted_types(self, store: ArtifactStore, tmp_path: Path) -> None:
        store.save(LogisticRegression().fit(ROWS, ROWS[:, 0] > 0), "logistic")
        with (
            ArtifactStore(tmp_path / "store", policy=LoadPolicy(max_risk="data")) as strict,
            pytest.raises(RiskRefused),
        ):
            strict.load("logistic")

    def test_the_wrappers_of_lightgbm_go_to_their_own_codec(self) -> None:
        registry = CodecRegistry()
        for kind in (lgb.LGBMClassifier, lgb.LGBMRegressor, lgb.LGBMRanker):
            assert registry.for_object(kind()).name == "lightgbm-sklearn"

    def test_nothing_falls_back_to_a_pickle(self, store: ArtifactStore) -> None:
        with pytest.raises(NotEncodable), store.new_run("model") as draft:
            draft.add("model", FunctionTransformer(np.add))
        assert store.models() == []


class TestJoblib:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ArtifactStore]:
        with ArtifactStore(tmp_path / "store") as store, store.new_run("custom/EURUSD") as draft:
            draft.add("model", FunctionTransformer(np.exp).fit(ROWS), codec="joblib")
            draft.commit()
            yield store

    def test_it_is_chosen_by_name_only(self, store: ArtifactStore) -> None:
        with pytest.raises(NoCodec, match="no installed codec stores a builtins.complex"):
            store.save(1j, "custom")

    def test_a_load_without_consent_is_refused(self, store: ArtifactStore) -> None:
        with pytest.raises(RiskRefused, match="allow_code=True"):
            store.load("custom/EURUSD")

    def test_consent_or_a_pin_loads_it(self, store: ArtifactStore) -> None:
        run = store.get("custom/EURUSD")
        pins = (run.files["model.joblib"].sha256, run.manifest.digest)
        for consent in ({"allow_code": True}, {"sha256": pins[0]}, {"sha256": pins[1]}):
            assert np.array_equal(run.load(**consent).transform(ROWS), np.exp(ROWS))

    def test_another_pin_refuses(self, store: ArtifactStore) -> None:
        with pytest.raises(DigestMismatch):
            store.load("custom/EURUSD", sha256="0" * 64)

    def test_a_module_that_is_gone_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "gone_for_good.py").write_text("class Model: pass\n")
        monkeypatch.syspath_prepend(tmp_path)
        import gone_for_good  # type: ignore[import-not-found]

        with ArtifactStore(tmp_path / "other") as store, store.new_run("custom") as draft:
            draft.add("model", gone_for_good.Model(), codec="joblib")
            run = draft.commit()
            monkeypatch.undo()
            monkeypatch.delitem(sys.modules, "gone_for_good")
            with pytest.raises(CodecUnavailable, match="gone_for_good"):
                run.load(allow_code=True)


class Malicious:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)
