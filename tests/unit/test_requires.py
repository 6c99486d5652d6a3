"""The components that predicting needs: a field of the manifest, and before there was the field, a tag."""

import json

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.canonical import canonical
from artifact_store.core.documents import UNDERSTOOD
from artifact_store.core.manifest import Manifest
from artifact_store.errors import Corrupt
from artifact_store.storage.memory import MemoryBackend
from tests.unit.samples import manifest, resealed

COMPONENT = manifest().components["model"]
WHOLE = {"model": COMPONENT, "preprocessor": COMPONENT}


def saved(store, requires, components=("model",), tags=None):
    with store.new_run("gru/BTCEUR") as draft:
        for name in components:
            draft.add(name, {"of": name})
        draft.requires, draft.tags = requires, tags or {}
    return store.get(draft.run.ref)


def test_a_run_that_needs_nothing_is_written_as_it_always_was():
    assert "requires" not in manifest().to_json()
    assert "requires" not in manifest(requires=()).to_json()


def test_a_run_that_has_what_it_needs_can_be_read_by_older_releases():
    run = manifest(components=WHOLE, requires=("preprocessor",))
    value = run.to_json()
    assert value["requires"] == ["preprocessor"]
    assert "must_understand" not in value
    assert (run.needed, run.lost) == (("preprocessor",), ())
    assert Manifest.from_bytes(run.to_bytes(), what="it") == run


@pytest.mark.parametrize(("symbol", "names"), [("BTCEUR", ["requires"]), ("BTC/USDT", ["requires", "symbols"])])
def test_a_run_that_has_lost_something_has_to_be_understood(symbol, names):
    run = manifest(symbol=symbol, components=WHOLE, requires=("model_vecnormalize", "preprocessor"))
    assert run.lost == ("model_vecnormalize",)
    assert run.to_json()["must_understand"] == names
    assert UNDERSTOOD.issuperset(names)
    again = Manifest.from_bytes(run.to_bytes(), what="it")
    assert (again, again.needed) == (run, ("model_vecnormalize", "preprocessor"))


@pytest.mark.parametrize(
    ("tag", "needed"),
    [
        ("preprocessor", ("preprocessor",)),
        ("preprocessor, model_vecnormalize", ("preprocessor", "model_vecnormalize")),
        (" , ", ()),
    ],
)
def test_an_older_run_has_them_in_a_tag_and_keeps_its_bytes(tag, needed):
    old = manifest(tags={"requires": tag}, components=WHOLE)
    read = Manifest.from_bytes(old.to_bytes(), what="it")
    assert read.needed == needed
    assert read.lost == tuple(name for name in needed if name != "preprocessor")
    assert canonical(json.loads(read.to_bytes())) == old.to_bytes()
    assert not {"requires", "must_understand"} & read.to_json().keys()


def test_the_field_counts_where_there_are_both():
    assert manifest(requires=("preprocessor",), tags={"requires": "other"}).needed == ("preprocessor",)


@pytest.mark.parametrize("wrong", ["preprocessor", [3], ["../x"], ["b", "a"], ["a", "a"], {"a": 1}])
def test_what_is_no_list_of_components_is_damaged(wrong):
    value = json.loads(manifest().to_bytes()) | {"requires": wrong}
    with pytest.raises(Corrupt):
        Manifest.from_bytes(resealed(value), what="it")


def test_what_a_draft_is_told_comes_back():
    with ArtifactStore(MemoryBackend()) as store:
        run = saved(store, ["preprocessor", "model_vecnormalize", "preprocessor"], tags={"a": "b"})
        assert run.requires == ("model_vecnormalize", "preprocessor")
        assert run.tags == {"a": "b"}
        found = run.validate()
        assert [type(problem.error) for problem in found.problems] == [errors.ComponentNotFound] * 2
        whole = saved(store, {"preprocessor"}, ("model", "preprocessor"))
        assert not whole.validate().problems
        assert store.diff(run, whole).components.removed == {"requires.model_vecnormalize": "needed to predict"}


@pytest.mark.parametrize("wrong", ["preprocessor", 3, None, [3], ["Two Words"]])
def test_a_draft_refuses_what_names_no_components(wrong):
    with ArtifactStore(MemoryBackend()) as store, pytest.raises(errors.InvalidInput):
        saved(store, wrong)
