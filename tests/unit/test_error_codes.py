"""The codes of the errors: one for each class, the same in code, in the page that lists them, and after a trip."""

import pickle
import re
from pathlib import Path

import pytest

from artifact_store import errors

PAGE = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file()) / "docs" / "errors.md"
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ArtifactStoreError) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_code_is_kebab_case_and_the_class_s_own(kind):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert [other for other in KINDS if other.code == kind.code] == [kind]


def test_the_page_lists_every_class_with_its_code_and_nothing_else():
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name: (code, parent) for code, name, parent in rows}
    assert len(listed) == len(rows)
    kinds = {kind.__name__: kind for kind in KINDS if kind is not errors.ArtifactStoreError}
    assert {name: code for name, (code, _) in listed.items()} == {name: kind.code for name, kind in kinds.items()}
    assert all(getattr(errors, parent) in kinds[name].__mro__ for name, (_, parent) in listed.items())


def test_a_class_of_a_plug_in_has_the_code_of_its_parent_unless_it_names_one():
    class Mine(errors.Corrupt):
        pass

    class Named(errors.Corrupt, code="mine-named"):
        pass

    assert (Mine.code, Named.code, errors.Corrupt.code) == ("corrupt", "mine-named", "corrupt")


def test_the_code_comes_along_to_another_process():
    assert pickle.loads(pickle.dumps(errors.RunDeleted("gone"))).code == "run-deleted"
