"""One old file as a tree of one run: what it is, whose it is, and what belongs to it, by names alone."""

from pathlib import Path

import pytest

from artifact_store.errors import ContainerNotFound, InvalidName, NotAStore, Unsupported
from artifact_store.legacy.trees.file_names import BEST_WF
from artifact_store.legacy.trees.single_file import scan_path
from tests.unit.test_legacy_layout import link, tree

RUN = "20240816_142301"


def only(root: Path, file: str):
    found = scan_path(root / file)
    (run,) = found.runs
    assert found.problems == []
    assert {alias.name: alias.run for alias in found.aliases} == dict.fromkeys({run.alias or "latest", "latest"}, run)
    return run


@pytest.mark.parametrize(
    ("file", "key", "run_id", "source"),
    [
        (f"gru/BTCEUR/{RUN}/model.pth", "gru/BTCEUR", RUN, f"gru/BTCEUR/{RUN}"),
        (f"gru/{RUN}/model.pt", "gru", RUN, f"gru/{RUN}"),
        (f"lightgbm/BTCEUR/{RUN}/lgbm.joblib", "lightgbm/BTCEUR", RUN, f"lightgbm/BTCEUR/{RUN}"),
        (f"gru/BTCEUR/gru/{RUN}/model.pth", "gru/BTCEUR", RUN, f"gru/BTCEUR/gru/{RUN}"),
        (f"gru/BTCEUR/gru/BTCEUR/{RUN}/model.pth", "gru/BTCEUR", RUN, f"gru/BTCEUR/gru/BTCEUR/{RUN}"),
        ("ppo/BTCEUR/model.zip", "ppo/BTCEUR", None, "ppo/BTCEUR/model.zip"),
        ("metadata/best_wf_gru_BTCEUR.pt", "gru/BTCEUR", None, "metadata/best_wf_gru_BTCEUR.pt"),
        ("gru/work/metadata/best_wf_gru.pt", "gru", None, "metadata/best_wf_gru.pt"),
        (f"gru_model_BTCEUR_{RUN}.pth", "gru/BTCEUR", RUN, f"gru_model_BTCEUR_{RUN}.pth"),
        ("elsewhere/some name.pkl", "lightgbm", None, "some name.pkl"),
        (f"elsewhere/{RUN}/model.zip", "ppo", RUN, RUN),
        ("gru/a/b/c/net.pth", "gru", None, "net.pth"),
        ("gru/BTC EUR/model.pth", "gru/BTC EUR", None, "gru/BTC EUR/model.pth"),
        (f"gru/BTC/EUR/{RUN}/model.pth", "gru/BTC;2FEUR", RUN, f"gru/BTC/EUR/{RUN}"),
        (f"gru/BTC;2FEUR/{RUN}/model.pth", "gru/BTC;2FEUR", RUN, f"gru/BTC;2FEUR/{RUN}"),
        ("gru/BTC;2FEUR/model.pth", "gru/BTC;2FEUR", None, "gru/BTC;2FEUR/model.pth"),
        ("metadata/best_wf_gru_BTC;2FEUR.pt", "gru/BTC;2FEUR", None, "metadata/best_wf_gru_BTC;2FEUR.pt"),
        (f"gru/{'x' * 101}/model.pth", "gru", None, f"gru/{'x' * 101}/model.pth"),
    ],
)
def test_a_file_is_what_its_name_and_its_folders_say(tmp_path, file, key, run_id, source):
    run = only(tree(tmp_path, file), file)
    assert (str(run.key), run.run_id) == (key, run_id)
    assert run.source == source
    assert run.alias == (BEST_WF if "best_wf" in file else None)
    assert run.files["model"] == (tmp_path / file).resolve()


@pytest.mark.parametrize("folder", [f"ppo/BTCEUR/{RUN}", "ppo/BTCEUR", "downloads"])
def test_what_lies_beside_a_model_belongs_to_it(tmp_path, folder):
    names = ["model.zip", "model_vecnormalize.pkl", "model_metadata.json", "metadata.json", "config.json"]
    run = only(tree(tmp_path, *(f"{folder}/{name}" for name in [*names, "preprocessor.pkl"])), f"{folder}/model.zip")
    assert sorted(path.name for path in run.files.values()) == sorted([*names, "preprocessor.pkl"])


def test_of_several_models_each_has_what_is_called_after_it(tmp_path):
    tree(tmp_path, "one.pth", "two.pth", "preprocessor.pkl", "two_preprocessor.pkl")
    assert set(only(tmp_path, "one.pth").files) == {"model"}
    assert only(tmp_path, "two.pth").files["preprocessor"].name == "two_preprocessor.pkl"
    tree(tmp_path / "alone", "one.pth", "preprocessor.pkl")
    assert only(tmp_path, "alone/one.pth").files["preprocessor"].name == "preprocessor.pkl"


def test_of_two_files_in_the_folder_of_a_run_the_one_that_is_named_is_taken(tmp_path):
    folder = f"gru/BTCEUR/{RUN}"
    tree(tmp_path, f"{folder}/model.pth", f"{folder}/model.pt", f"{folder}/preprocessor.pkl")
    run = only(tmp_path, f"{folder}/model.pt")
    assert {role: path.name for role, path in run.files.items()} == {
        "model": "model.pt",
        "preprocessor": "preprocessor.pkl",
    }


def test_a_link_in_the_path_is_followed(tmp_path):
    tree(tmp_path, f"gru/BTCEUR/{RUN}/model.pth")
    link(tmp_path / "gru" / "BTCEUR" / "latest", RUN)
    assert only(tmp_path, "gru/BTCEUR/latest/model.pth").run_id == RUN


def test_what_is_not_a_model_is_refused_with_the_reason(tmp_path):
    tree(tmp_path, "notes.txt")
    with pytest.raises(Unsupported, match=r"the files of old models end in \.pth, \.pt, \.pkl, \.joblib, \.zip"):
        scan_path(tmp_path / "notes.txt")
    with pytest.raises(ContainerNotFound, match="there is no file"):
        scan_path(tmp_path / "model.pth")
    with pytest.raises(ContainerNotFound, match="is not a folder"):
        scan_path(tmp_path / "gone")
    with pytest.raises(NotAStore):
        scan_path(tmp_path)
    for name in ("x" * 5000, "x" * 5000 + ".pth"):
        with pytest.raises(InvalidName, match="too long for this file system"):
            scan_path(tmp_path / name)
