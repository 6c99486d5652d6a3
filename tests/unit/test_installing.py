"""What an error says is to be installed can be installed: from an index, and beside a clone."""

from importlib import metadata

import pytest
from packaging.requirements import Requirement

from artifact_store.installing import pip_install

EXTRAS = [
    (of, extra)
    for of in ("artifact-store", "artifact-store-models")
    for extra in metadata.metadata(of).get_all("Provides-Extra") or ()
]


@pytest.mark.parametrize(("of", "extra"), EXTRAS)
def test_every_extra_is_told_as_libraries_that_are_on_an_index(of, extra):
    pip, install, *words = pip_install(extra, of=of).split(" ", 2)
    assert (pip, install) == ("pip", "install")
    named = [Requirement(word.strip('"')) for word in words[0].split('" "')]
    assert named
    assert all(not one.name.startswith("artifact-store") and one.marker is None for one in named)
    assert len({str(one) for one in named}) == len(named)


def test_what_is_told_is_what_is_required():
    assert pip_install("tables") == 'pip install "pandas>=2.3" "pyarrow>=18"'
    assert pip_install("tables", upgrade=True) == 'pip install --upgrade "pandas>=2.3" "pyarrow>=18"'
    assert '"torch>=' in pip_install("gru", of="artifact-store-models")
    assert "scikit-learn" in pip_install("gru", of="artifact-store-models")


def test_what_was_never_installed_names_its_extra(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert pip_install("s3") == 'pip install "artifact-store[s3]"'
