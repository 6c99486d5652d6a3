"""What is said of a path at which nothing is: what may have been meant, or where it was looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.nearby import near_to, nothing_at

pytestmark = pytest.mark.windows


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models" / "gru").mkdir(parents=True)
    (tmp_path / "models" / "gru" / "weights.bin").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("models/gru/weigths.bin", "models/gru/weights.bin"),
        ("modles/gru/weights.bin", "models/gru/weights.bin"),
        ("modles", "models"),
        ("models/gru/other", None),
        ("modles/lstm", None),
        ("nowhere/at/all", None),
    ],
)
def test_what_is_nearly_called_so_is_named(path: str, near: str | None, desk: Path) -> None:
    assert near_to(Path(path)) == (None if near is None else Path(near))
    assert near_to(desk / path) == (None if near is None else desk / near)


def test_a_relative_path_is_told_with_the_folder_that_it_was_looked_for_in(desk: Path) -> None:
    assert f"seen from the working directory {str(desk)!r}"[:60] in nothing_at(Path("none"))
    assert "working directory" not in nothing_at(desk / "none")
    assert len(nothing_at(desk / ("x" * 5000))) < 400


def test_every_call_that_takes_a_file_says_what_may_have_been_meant(desk: Path) -> None:
    store = ArtifactStore("memory://nearby", provenance=False)
    calls = [
        lambda: store.save(Path("models/gru/weigths.bin"), "raw/X"),
        lambda: store.new_run("raw/X").add_file("a.bin", "models/gru/weigths.bin"),
        lambda: store.save({"n": 1}, "raw/X", data={"d": "models/gru/weigths.bin"}),
    ]
    for call in calls:
        with pytest.raises(errors.ArtifactStoreError) as caught:
            call()
        assert str(caught.value).endswith(f"did you mean {str(Path('models/gru/weights.bin'))!r}?")
    with pytest.raises(errors.FileNotInRun, match="is a folder: add it as a component"):
        store.new_run("raw/X").add_file("a.bin", "models")
