"""A leading ``~`` is the home folder wherever a place on this machine is named, and never a folder called ``~``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, LoadPolicy, Location, Signer, errors
from artifact_store.cli.app import app
from artifact_store.cli.program import HomePath
from artifact_store.storage.home import at_home
from artifact_store.storage.options import parse_url
from tests.commands import commands
from tests.legacy_cases import old_tree

pytestmark = pytest.mark.windows


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and another folder to work in, in which nothing called ``~`` may appear."""
    folder = tmp_path / "home" / "me"
    folder.mkdir(parents=True)
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(folder))
    return folder


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(("text", "below"), [("~", "."), ("~/models", "models"), ("~/a/~/b", "a/~/b")])
def test_a_path_below_the_home_is_found(kind: Callable[[str], str | Path], text: str, below: str, home: Path) -> None:
    assert at_home(kind(text)) == home / below
    assert Path(parse_url(kind(text)).prefix) == home / below


@pytest.mark.parametrize("text", ["./~/models", "a/~", "/~", "models~", "$HOME/models"])
def test_other_paths_stay_as_they_are(text: str) -> None:
    assert parse_url(text).prefix == text


@pytest.mark.parametrize("text", ["s3://bucket/~/models", "memory://demo/~"])
def test_a_url_is_no_path(text: str) -> None:
    assert parse_url(text).prefix.startswith("~")


def test_a_home_that_the_system_does_not_know_is_an_error_that_says_so() -> None:
    with pytest.raises(errors.InvalidOption, match="'~nobody-of-this-name/models' begins with a home folder"):
        ArtifactStore("~nobody-of-this-name/models")


def test_a_folder_that_is_called_so_is_named_by_a_dot_before_it() -> None:
    with ArtifactStore("./~/models") as store:
        store.save({"n": 1}, "gru/EURUSD")
    assert Path.cwd().joinpath("~", "models", "gru").is_dir()
    place = Location.parse("./~/models/gru/EURUSD", ["gru"])
    with ArtifactStore(place.root) as store:
        assert store.load(place.ref()) == {"n": 1}


def test_everything_that_a_store_is_given_lies_below_the_home(home: Path) -> None:
    signer = Signer.generate()
    policy = LoadPolicy(trusted_keys=[signer.public_key], require_signature=True)
    (home / "candles.csv").write_text("1,2,3\n", encoding="utf-8")
    with ArtifactStore("~/models", signer=signer, policy=policy, state="~/seen", cache="~/cache") as store:
        with store.new_run("gru/EURUSD") as draft:
            draft.data["candles"] = "~/candles.csv"
            draft.add("model", {"layers": [8]})
            draft.add_file("candles.csv", "~/candles.csv")
        store.load("gru/EURUSD")
        store.get("gru/EURUSD").download("~/copy")
        assert store.url == str(home / "models")
    assert list(Path.cwd().iterdir()) == []
    assert {path.name for path in home.iterdir()} == {"cache", "candles.csv", "copy", "models", "seen"}


def test_a_file_that_is_saved_lies_below_the_home(home: Path) -> None:
    (home / "m.bin").write_bytes(b"x")
    with ArtifactStore("memory://home") as store:
        assert store.save(Path("~/m.bin"), "raw/X").load() == b"x"
        with pytest.raises(errors.InvalidOption, match="home folder that this system does not know"):
            store.save(Path("~nobody-of-this-name/m.bin"), "raw/X")


def test_a_key_file_of_google_lies_below_the_home(home: Path) -> None:
    pytest.importorskip("obstore")  # not everywhere on Windows
    (home / "key.json").write_text("{}", encoding="utf-8")
    with pytest.raises(errors.InvalidOption, match="it lacks private_key"):
        ArtifactStore("gs://bucket/x", engine="obstore", storage_options={"token": "~/key.json"}).models()


def test_every_path_that_a_program_takes_lies_below_the_home(home: Path) -> None:
    (home / "m.bin").write_bytes(b"x")
    (home / "names.json").write_text('["a"]', encoding="utf-8")
    (home / "staging").mkdir()
    put = ["put", "--feature-names=~/names.json", "raw/X", "~/m.bin"]
    steps = [
        ["keygen", "~/mine"],
        ["--signer=~/mine.key", "--trusted-key=~/mine.pub", "--staging=~/staging", *put],
        ["verify", "--keys=~/mine.pub"],
        ["sign", "raw/X", "--key=~/mine.key"],
        ["get", "raw/X", "~/copy"],
    ]
    for step in steps:
        done = CliRunner().invoke(app, ["--store=~/models", *step])
        assert done.exit_code == 0, (step, done.output)
    assert list(Path.cwd().iterdir()) == []
    assert {path.name for path in home.iterdir()} >= {"copy", "models", "staging", "mine.key"}
    unknown = CliRunner().invoke(app, ["get", "raw/X", "~nobody-of-this-name/copy"])
    assert "home folder that this system does not know" in unknown.output


def test_no_program_takes_a_path_as_click_does() -> None:
    paths = [
        (command.name, option.name)
        for command in (app, *commands().values())
        for option in command.params
        if isinstance(option.type, click.Path) and not isinstance(option.type, HomePath)
    ]
    assert paths == []


def test_a_key_lies_below_the_home(home: Path) -> None:
    from artifact_store.ops.keypairs import generate

    private, _ = generate(None)
    (home / "mine.key").write_bytes(private)
    assert Signer.from_pem("~/mine.key").public_key == Signer.from_pem(home / "mine.key").public_key


def test_an_old_tree_lies_below_the_home(home: Path) -> None:
    pytest.importorskip("torch")  # not on Windows, nor where `dev.py pythons` runs this
    old_tree(home / "old", "windows")
    tree = ArtifactStore.open_legacy("~/old/models")
    (run,) = tree.runs("gru/BTCEUR")
    (alone,) = ArtifactStore.open_legacy(f"~/old/models/gru/BTCEUR/{run.run_id}/model.pth").runs("gru/BTCEUR")
    assert run.features == alone.features
