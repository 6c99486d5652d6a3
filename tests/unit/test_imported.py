"""Which distributions a process has imported: as their own lists say, however they were installed."""

import importlib
import json
import math
import sys
import types
from importlib.metadata import packages_distributions

import pytest

from artifact_store.ops.imported import Distributions, is_plain, normalized

pytestmark = pytest.mark.windows


def install(site, name, version, **files):
    """Lay out what an installer leaves: ``{name}-{version}.dist-info`` with these files."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not-this\nVersion: 9\n"
    for file, text in ({"METADATA": about} | files).items():
        (folder / file.replace("_txt", ".txt").replace("_json", ".json")).write_text(text, encoding="utf-8")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed distributions that is the only one."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    importlib.invalidate_caches()
    return tmp_path


def read():
    found = Distributions()
    found.read_until(math.inf)
    assert found.complete
    return found


def modules(*names):
    return dict.fromkeys(names, types.ModuleType("m"))


def test_it_tells_what_the_standard_library_tells():
    ours, theirs = read(), packages_distributions()
    for top in {name.partition(".")[0] for name in sys.modules} & theirs.keys() - sys.stdlib_module_names:
        assert set(ours.owners(top)) == {normalized(name) for name in theirs[top]}, top


def test_versions_of_what_this_process_has_imported():
    import numpy as np

    found = read().imported(sys.modules)
    assert found["numpy"] == np.__version__
    assert {"pytest", "pydantic-core", "artifact-store"} <= found.keys()
    assert list(found) == sorted(found)


def test_a_distribution_is_known_by_its_modules_not_by_its_name(site):
    install(site, "Py_YAML.x", "6.0", top_level_txt="yaml\n_yaml\n")
    record = "six.py,sha256=x,1\nfast.cpython-311-x.so,,\npkg/a.py,,\npkg/__pycache__/a.pyc,,\n../../bin/tool,,\n"
    install(site, "files", "1.0+local.1", RECORD=record + "files-1.0.dist-info/RECORD,,\n__pycache__/six.pyc,,\n")
    found = read()
    assert found.owners("yaml") == ["py-yaml-x"]
    assert found.imported(modules("yaml.cyaml", "six", "os")) == {"files": "1.0+local.1", "py-yaml-x": "6.0"}
    for name in ("six", "fast", "pkg"):
        assert found.owners(name) == ["files"]
    for name in ("__pycache__", "..", "files-1", "tool"):
        assert found.owners(name) == []


def test_packages_that_share_a_name_are_all_told(site):
    install(site, "space-a", "1", top_level_txt="space\n")
    install(site, "space-b", "2", top_level_txt="space\n")
    assert read().imported(modules("space.a")) == {"space-a": "1", "space-b": "2"}


def test_what_is_installed_to_be_edited_has_the_modules_in_its_folder(site, tmp_path):
    project = tmp_path / "pro ject"
    (project / "inner").mkdir(parents=True)
    for name, folder, editable in (("outer", project, True), ("inner", project / "inner", True), ("no", site, False)):
        origin = {"url": folder.as_uri(), "dir_info": {"editable": editable}}
        install(site, name, "1", direct_url_json=json.dumps(origin), RECORD=f"__editable__{name}.pth,,\n")
    own = {name: types.ModuleType(name) for name in ("train", "parts", "elsewhere", "bare")}
    own["train"].__file__ = str(project / "train.py")
    own["parts"].__file__ = str(project / "inner" / "parts" / "__init__.py")
    own["elsewhere"].__file__ = str(tmp_path / "elsewhere.py")
    assert read().imported({"train": own["train"]}) == {"outer": "1"}
    assert read().imported({"parts": own["parts"]}) == {"inner": "1"}
    assert read().imported({"elsewhere": own["elsewhere"], "bare": own["bare"], "odd": None}) == {}


def test_a_lazy_module_is_not_loaded(site, tmp_path):
    install(site, "p", "1", direct_url_json=json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}}))

    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            raise AssertionError(f"{name} was asked for")

    assert read().imported({"lazy": Lazy("lazy")}) == {}


@pytest.mark.parametrize(
    "origin", ["null", "[]", "{}", '{"url": 3}', '{"url": "file:///x"}', '{"url": "file:///x", "dir_info": []}', "{"]
)
def test_an_odd_origin_is_none(site, origin):
    install(site, "odd", "1", top_level_txt="odd\n", direct_url_json=origin)
    assert read().imported({}) == {}


@pytest.mark.parametrize(
    "about", ["", "Name: x\n", "Version: 1\n", "Name: x\nVersion: \x1b[2J\n", "Name: ü\nVersion: 1\n"]
)
def test_what_is_damaged_is_as_if_it_were_not_there(site, about):
    install(site, "x", "1", METADATA=about, top_level_txt="x\n")
    assert read().imported(modules("x")) == {}


def test_of_two_with_one_name_the_first_on_the_path_counts(site, tmp_path, monkeypatch):
    other = tmp_path / "other"
    install(site, "twice", "1", top_level_txt="twice\n")
    install(other, "twice", "2", top_level_txt="twice\n")
    monkeypatch.setattr(sys, "path", [str(other), str(site)])
    assert read().imported(modules("twice")) == {"twice": "2"}


def test_reading_goes_on_where_it_ended(site):
    install(site, "one", "1", top_level_txt="one\n")
    found = Distributions()
    found.read_until(0)
    assert not found.complete
    assert found.owners("one") == []
    found.read_until(math.inf)
    assert found.complete
    assert found.owners("one") == ["one"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [("1.0+cpu", True), ("1!2.0rc1", True), ("", False), (None, False), ("1 2", False), ("a" * 101, False)],
)
def test_versions_and_names_are_short_and_plain(text, plain):
    assert is_plain(text) is plain
