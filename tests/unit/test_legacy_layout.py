"""What lies where in an old tree: every form that old trees take, and hostile ones that lead nowhere."""

import json
import os
import sys
from pathlib import Path

import pytest

from artifact_store.core.names import ModelKey
from artifact_store.errors import (
    AccessDenied,
    Conflict,
    ContainerNotFound,
    Corrupt,
    InvalidName,
    NotAStore,
    Unsupported,
)
from artifact_store.legacy.trees.file_names import BEST_WF
from artifact_store.legacy.trees.layout import read_file, scan

FIRST, SECOND = "20240815_093045", "20240816_142301"
BTC = ModelKey("gru", "BTCEUR")


def tree(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    return root


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target, target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")


def found(root: Path) -> list[tuple[str, str | None, str]]:
    return [(str(run.key), run.run_id, run.source) for run in scan(root).runs]


def alias(root: Path, key: ModelKey = BTC, name: str = "latest"):
    (only,) = [alias for alias in scan(root).aliases if (alias.key, alias.name) == (key, name)]
    return only


class TestRuns:
    def test_runs_of_a_symbol_and_without_one(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", f"gru/{SECOND}/model.pth", f"ppo/ETHEUR/{FIRST}/model.zip")
        assert found(tmp_path) == [
            ("gru", SECOND, f"gru/{SECOND}"),
            ("gru/BTCEUR", FIRST, f"gru/BTCEUR/{FIRST}"),
            ("ppo/ETHEUR", FIRST, f"ppo/ETHEUR/{FIRST}"),
        ]

    def test_a_type_that_is_nested_in_a_symbol_belongs_to_that_symbol(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/gru/{FIRST}/model.pth", f"gru/BTCEUR/gru/BTCEUR/{SECOND}/model.pth")
        assert [(key, run_id) for key, run_id, _ in found(tmp_path)] == [("gru/BTCEUR", FIRST), ("gru/BTCEUR", SECOND)]

    def test_the_files_of_a_run_are_told_by_what_they_are_for(self, tmp_path: Path) -> None:
        names = ["model.zip", "model_vecnormalize.pkl", "model_metadata.json", "metadata.json", "config.json"]
        tree(tmp_path, *(f"ppo/BTCEUR/{FIRST}/{name}" for name in [*names, "notes.txt", "events.out"]))
        (run,) = scan(tmp_path).runs
        assert {role: path.name for role, path in run.files.items()} == {
            "model": "model.zip",
            "model_vecnormalize": "model_vecnormalize.pkl",
            "model_metadata": "model_metadata.json",
            "metadata": "metadata.json",
            "config": "config.json",
        }
        assert run.left == ("events.out", "notes.txt")

    def test_a_model_of_another_name_is_found_if_it_is_the_only_one(self, tmp_path: Path) -> None:
        tree(tmp_path, f"lightgbm/BTCEUR/{FIRST}/lgbm.pkl", f"lightgbm/BTCEUR/{FIRST}/preprocessor.pkl")
        (run,) = scan(tmp_path).runs
        assert run.files["model"].name == "lgbm.pkl"
        tree(tmp_path, f"lightgbm/BTCEUR/{FIRST}/other.pkl")
        (run,) = scan(tmp_path).runs
        assert "model" not in run.files

    def test_a_folder_that_is_no_run_is_passed_over(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", "gru/BTCEUR/plots/a.png", "gru/__pycache__/x.pyc", "README.md")
        assert len(scan(tmp_path).runs) == 1
        assert scan(tmp_path).problems == []

    def test_digits_that_are_no_time_are_a_problem(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", "gru/BTCEUR/20241399_256199/model.pth")
        (problem,) = scan(tmp_path).problems
        assert problem.where == "gru/BTCEUR/20241399_256199"
        assert isinstance(problem.error, InvalidName)

    def test_the_same_run_in_two_places_is_taken_once_and_told(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", f"gru/BTCEUR/gru/{FIRST}/model.pth")
        (problem,) = scan(tmp_path).problems
        assert isinstance(problem.error, Conflict)
        assert len(scan(tmp_path).runs) == 1


class TestSymbolsOutsideOfTheGrammar:
    @pytest.mark.parametrize(
        ("folder", "symbol"),
        [("BTC/EUR", "BTC/EUR"), ("BTC EUR", "BTC EUR"), ("_BTC", "_BTC"), ("EURUSD=X", "EURUSD=X"), ("BTC.json", "BTC.json"),
         ("con", "con"), ("BTC;2FUSDT", "BTC/USDT"), (";43ON.DE", "CON.DE"), ("BTC;2fUSDT", "BTC;2fUSDT")],
    )  # fmt: skip
    @pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot have some of these folders")
    def test_every_symbol_of_the_old_trainer_is_one(self, tmp_path: Path, folder: str, symbol: str) -> None:
        """It made folders within each other of a symbol with a slash; an export has spelled it."""
        tree(tmp_path, f"gru/{folder}/{FIRST}/model.pth", f"gru/{folder}/{SECOND}/model.pth")
        result = scan(tmp_path)
        assert not result.problems
        assert [run.key.symbol for run in result.runs] == [symbol, symbol]
        assert [run.source for run in result.runs] == [f"gru/{folder}/{FIRST}", f"gru/{folder}/{SECOND}"]

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot have these folders")
    def test_what_can_be_none_is_reported_once_with_a_suggestion(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTC\n/{FIRST}/model.pth", f"gru/BTC\n/{SECOND}/model.pth", f"gru/E/{FIRST}/model.pth")
        result = scan(tmp_path)
        (problem,) = result.problems
        assert problem.where == "gru/BTC\n"
        assert isinstance(problem.error, InvalidName)
        assert problem.error.suggestion == "BTC"
        assert [run.key.symbol for run in result.runs] == ["E"]

    def test_that_of_a_best_file_too(self, tmp_path: Path) -> None:
        tree(tmp_path, "metadata/best_wf_gru_BTC EUR.pt", f"metadata/best_wf_gru_{'x' * 101}.pt")
        result = scan(tmp_path)
        assert [run.key.symbol for run in result.runs] == ["BTC EUR"]
        (problem,) = result.problems
        assert isinstance(problem.error, InvalidName)

    def test_an_unknown_model_type_is_reported_if_it_has_models(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/{FIRST}/model.pth", f"xgboost/BTCEUR/{FIRST}/model.pkl", "docs/readme/x.txt")
        (problem,) = scan(tmp_path).problems
        assert (problem.where, type(problem.error)) == ("xgboost", Unsupported)


class TestFilesWithoutAFolder:
    def test_best_files_are_runs_without_an_id_and_an_alias(self, tmp_path: Path) -> None:
        names = ["gru_BTCEUR.pt", "gru_ETHEUR.pth", "lightgbm_BTC_EUR.pkl", "ppo_BTCEUR.zip", "ppo.zip"]
        tree(tmp_path, *(f"metadata/best_wf_{name}" for name in names))
        result = scan(tmp_path)
        keys = ["gru/BTCEUR", "gru/ETHEUR", "lightgbm/BTC_EUR", "ppo", "ppo/BTCEUR"]
        assert [str(run.key) for run in result.runs] == keys
        assert {run.run_id for run in result.runs} == {None}
        assert [(str(alias.key), alias.name, alias.run in result.runs) for alias in result.aliases] == [
            (key, BEST_WF, True) for key in keys
        ]

    def test_two_best_files_of_one_model_are_two_runs_and_no_alias(self, tmp_path: Path) -> None:
        tree(tmp_path, "metadata/best_wf_gru_BTCEUR.pt", "metadata/best_wf_gru_BTCEUR.pth")
        assert len(scan(tmp_path).runs) == 2
        best = alias(tmp_path, BTC, BEST_WF)
        assert best.run is None
        assert isinstance(best.error, Corrupt)

    def test_what_is_named_after_a_best_file_belongs_to_it(self, tmp_path: Path) -> None:
        tree(tmp_path, *(f"metadata/best_wf_ppo_B{end}" for end in (".zip", "_vecnormalize.pkl", "_metadata.json")))
        (run,) = scan(tmp_path).runs
        assert set(run.files) == {"model", "model_vecnormalize", "model_metadata"}
        assert scan(tmp_path).problems == []

    def test_a_best_file_of_another_format_is_reported(self, tmp_path: Path) -> None:
        tree(tmp_path, "metadata/best_wf_gru_BTCEUR.zip", "metadata/best_wf_gru_ETHEUR.pt")
        (problem,) = scan(tmp_path).problems
        assert isinstance(problem.error, Unsupported)

    @pytest.mark.parametrize("folder", ["", "gru/", "gru/BTCEUR/"])
    def test_a_flat_file_keeps_the_time_in_its_name(self, tmp_path: Path, folder: str) -> None:
        tree(tmp_path, f"{folder}gru_model_BTCEUR_{FIRST}.pth", f"{folder}gru_model_BTCEUR_{FIRST}_preprocessor.pkl")
        (run,) = scan(tmp_path).runs
        assert (run.key, run.run_id, run.source) == (BTC, FIRST, f"{folder}gru_model_BTCEUR_{FIRST}.pth")
        assert set(run.files) == {"model", "preprocessor"}

    def test_a_flat_file_without_a_time_or_a_symbol(self, tmp_path: Path) -> None:
        tree(tmp_path, "ppo_model_BTC_EUR.zip", f"gru_model_{FIRST}.pth", "lightgbm_model_X_99999999_999999.pkl")
        assert [(key, run_id) for key, run_id, _ in found(tmp_path)] == [
            ("gru", FIRST),
            ("lightgbm/X", None),
            ("ppo/BTC_EUR", None),
        ]

    def test_a_model_that_lies_in_the_folder_of_its_symbol(self, tmp_path: Path) -> None:
        tree(tmp_path, "gru/BTCEUR/model.pth")
        assert found(tmp_path) == [("gru/BTCEUR", None, "gru/BTCEUR/model.pth")]


class TestLatest:
    @pytest.mark.parametrize(
        "text",
        [
            FIRST,
            f"{FIRST}/",
            f"models/gru/BTCEUR/{FIRST}",
            f"/home/other/models/gru/BTCEUR/{FIRST}/",
            rf".\models\gru\BTCEUR\{FIRST}",
            rf"C:\Users\me\models\gru\BTCEUR\{FIRST}" + "\\\r\n",
            f"\ufeff{FIRST}\r\n",
            f"../../../../../../{FIRST}",
        ],
    )
    @pytest.mark.parametrize("form", ["latest", "latest_pointer.txt"])
    def test_only_the_last_component_counts(self, tmp_path: Path, text: str, form: str) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", f"gru/BTCEUR/{SECOND}/model.pth")
        (tmp_path / "gru" / "BTCEUR" / form).write_bytes(text.encode())
        assert alias(tmp_path).run.run_id == FIRST

    @pytest.mark.parametrize("target", [FIRST, f"{FIRST}/", f"models/gru/BTCEUR/{FIRST}", f"/nowhere/{FIRST}/"])
    def test_a_link_is_read_and_never_followed(self, tmp_path: Path, target: str) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", f"gru/BTCEUR/{SECOND}/model.pth")
        link(tmp_path / "gru" / "BTCEUR" / "latest", target)
        result = alias(tmp_path)
        assert (result.run.run_id, result.source) == (FIRST, "gru/BTCEUR/latest")

    @pytest.mark.parametrize(
        "text",
        ["", "..", "../..", "/etc/passwd", "C:\\", "latest", SECOND, f"{FIRST}_x/..", "\x00", FIRST + "\n" + SECOND],
    )
    def test_one_that_names_no_run_beside_it_is_refused(self, tmp_path: Path, text: str) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", f"gru/ETHEUR/{SECOND}/model.pth")
        (tmp_path / "gru" / "BTCEUR" / "latest").write_text(text)
        result = alias(tmp_path)
        assert result.run is None
        assert isinstance(result.error, Corrupt)

    @pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"x" * 10_000])
    def test_one_that_is_no_text_is_refused(self, tmp_path: Path, data: bytes) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth")
        (tmp_path / "gru" / "BTCEUR" / "latest").write_bytes(data)
        assert isinstance(alias(tmp_path).error, Corrupt)

    def test_the_text_is_asked_where_the_link_leads_nowhere(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth")
        link(tmp_path / "gru" / "BTCEUR" / "latest", "../elsewhere")
        (tmp_path / "gru" / "BTCEUR" / "latest_pointer.txt").write_text(FIRST)
        assert alias(tmp_path).run.run_id == FIRST

    def test_two_that_disagree_are_told(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", f"gru/BTCEUR/{SECOND}/model.pth")
        (tmp_path / "gru" / "BTCEUR" / "latest").write_text(SECOND)
        (tmp_path / "gru" / "BTCEUR" / "latest_pointer.txt").write_text(FIRST)
        (problem,) = scan(tmp_path).problems
        assert isinstance(problem.error, Conflict)
        assert alias(tmp_path).run.run_id == SECOND

    def test_a_copy_that_was_made_through_the_link_tells_its_run(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", "gru/BTCEUR/latest/model.pth")
        (tmp_path / "gru" / "BTCEUR" / "latest" / "metadata.json").write_text(json.dumps({"run_id": FIRST}))
        assert alias(tmp_path).run.run_id == FIRST
        assert len(scan(tmp_path).runs) == 1

    def test_runs_without_a_symbol_have_their_own(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/{FIRST}/model.pth", f"gru/BTCEUR/{SECOND}/model.pth")
        (tmp_path / "gru" / "latest").write_text(FIRST)
        assert alias(tmp_path, ModelKey("gru")).run.run_id == FIRST
        assert [str(alias.key) for alias in scan(tmp_path).aliases] == ["gru"]


class TestLinksAndStrangeFiles:
    @pytest.mark.parametrize("place", ["gru", "gru/BTCEUR", f"gru/BTCEUR/{SECOND}"])
    def test_a_linked_folder_is_reported_and_not_entered(self, tmp_path: Path, place: str) -> None:
        outside = tree(tmp_path / "outside", f"{SECOND}/model.pth", "model.pth", f"BTCEUR/{SECOND}/model.pth")
        root = tree(tmp_path / "models", f"ppo/BTCEUR/{FIRST}/model.zip")
        link(root / place, str(outside))
        result = scan(root)
        assert [problem.where for problem in result.problems] == [place]
        assert [str(run.key) for run in result.runs] == ["ppo/BTCEUR"]

    def test_a_linked_file_is_not_read(self, tmp_path: Path) -> None:
        secret = tree(tmp_path, "secret") / "secret"
        link(tmp_path / "gru" / FIRST / "model.pth", str(secret))
        (run,) = scan(tmp_path).runs
        with pytest.raises(Corrupt, match="symbolic link"):
            read_file(run.files["model"], limit=100)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "model.pth")
        with pytest.raises(Corrupt, match="not a regular file"):
            read_file(tmp_path / "model.pth", limit=100)

    def test_a_file_that_is_too_large_is_not_read(self, tmp_path: Path) -> None:
        tree(tmp_path, "a")
        assert read_file(tmp_path / "a", limit=1) == b"x"
        with pytest.raises(Corrupt, match="more than the 0 bytes"):
            read_file(tmp_path / "a", limit=0)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything")
    def test_a_folder_that_may_not_be_listed_is_a_problem(self, tmp_path: Path) -> None:
        tree(tmp_path, f"gru/BTCEUR/{FIRST}/model.pth", f"gru/ETHEUR/{FIRST}/model.pth")
        (tmp_path / "gru" / "BTCEUR").chmod(0)
        try:
            (problem,) = scan(tmp_path).problems
        finally:
            (tmp_path / "gru" / "BTCEUR").chmod(0o700)
        assert isinstance(problem.error, AccessDenied)


class TestTheRoot:
    FILES = (f"models/gru/BTCEUR/{FIRST}/model.pth", f"models/ppo/{FIRST}/model.zip", "models/metadata/best_wf_gru.pt")

    def test_the_folder_models_or_the_one_above_mean_the_same(self, tmp_path: Path) -> None:
        tree(tmp_path, *self.FILES)
        assert found(tmp_path) == found(tmp_path / "models")
        assert len(found(tmp_path)) == 3

    def test_the_folder_of_one_type_means_that_type(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tree(tmp_path, *self.FILES)
        only = [("gru/BTCEUR", FIRST, f"gru/BTCEUR/{FIRST}")]
        assert found(tmp_path / "models" / "gru") == only
        monkeypatch.chdir(tmp_path / "models" / "gru")
        assert found(Path()) == only

    def test_a_symbol_may_be_called_like_a_type(self, tmp_path: Path) -> None:
        tree(tmp_path, f"models/gru/ppo/{FIRST}/model.pth")
        assert [key for key, _, _ in found(tmp_path / "models")] == ["gru/ppo"]

    def test_what_is_no_folder_is_not_found(self, tmp_path: Path) -> None:
        tree(tmp_path, "file")
        for path in (tmp_path / "none", tmp_path / "file"):
            with pytest.raises(ContainerNotFound):
                scan(path)

    def test_a_folder_without_old_models_is_refused(self, tmp_path: Path) -> None:
        tree(tmp_path, "photos/a.png", "metadata/x.json")
        with pytest.raises(NotAStore, match="holds no old models"):
            scan(tmp_path)
