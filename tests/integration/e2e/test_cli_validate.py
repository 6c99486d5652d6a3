"""``validate``, ``verify --predict`` and ``diff``: what they say of good, odd and broken models, and how they end."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.preprocessing import StandardScaler

from artifact_store import ArtifactStore, CodecRegistry, Digest, Example, FeatureSchema, ModelKey, Run, errors
from artifact_store.cli.app import app
from artifact_store.codecs.documents import DocumentCodec
from artifact_store.ops.golden import _compare
from artifact_store.ops.validate import validate
from tests.keys import public, signer

pytestmark = pytest.mark.windows

ROWS = np.arange(12.0).reshape(4, 3)

PREDICTORS = '''
from pathlib import Path

import numpy as np

LATER = Path(__file__).with_name("later")


class Linear:
    """Takes all columns, or the selected ones as they are. Later it predicts something else, as libraries do."""

    tolerance = 1e-6

    def __init__(self, run):
        self.features, self.weights = run.features, run.load()
        self.off = run.config.get("off", 0.0) if LATER.exists() else 0.0

    def predict(self, inputs):
        rows = np.asarray(inputs)
        if rows.shape[1] == self.features.feature_count:
            rows = self.features.prepare(rows)
        return rows @ self.weights + self.off


class Broken(Linear):
    def predict(self, inputs):
        if LATER.exists():
            raise RuntimeError("no such device")
        return super().predict(inputs)
'''


@pytest.fixture
def predictors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that is installed like any other, with predictors for two types of models."""
    folder = tmp_path / "site" / "toys-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[artifact_store.predictors]\nlinear = toy_predictors:Linear\nbroken = toy_predictors:Broken\n"
        "gone = toy_predictors:Gone\n"
    )
    (tmp_path / "site" / "toy_predictors.py").write_text(PREDICTORS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "toy_predictors", raising=False)


@pytest.fixture
def later(predictors: None, tmp_path: Path) -> Callable[[], None]:
    """Let time go by: from now on the predictors predict as they do nowadays."""
    return (tmp_path / "site" / "later").touch


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ArtifactStore]:
    with ArtifactStore(tmp_path / "store") as store:
        yield store


class Cli:
    def __init__(self, store: ArtifactStore) -> None:
        self.store = store

    def __call__(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, ["--store", self.store.url, *map(str, arguments)])

    def json(self, status: int, *arguments: object) -> Any:
        result = self(*arguments, "--json")
        assert (result.exit_code, result.stderr) == (status, "")
        return json.loads(result.stdout)


@pytest.fixture
def cli(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("ARTIFACT_STORE_URL", raising=False)
    return Cli(store)


def save(store: ArtifactStore, key: str, inputs: Any = ROWS, *, off: float = 0.0, **options: Any) -> Any:
    weights = np.array([1.0, -1.0])
    outputs = ROWS[:, [0, 2]] @ weights
    return store.save(
        weights,
        key,
        features=FeatureSchema(["a", "b", "c"], selected=["a", "c"]),
        config={"off": off},
        example=None if inputs is None else Example(inputs, outputs),
        **options,
    )


def damage(run: Any, name: str) -> None:
    stored = Path(run.url(name))
    stored.chmod(0o600)
    stored.write_bytes(b"\0" * stored.stat().st_size)


@pytest.mark.usefixtures("predictors")
class TestValidate:
    def test_every_model_is_found_loaded_and_tried(self, store: ArtifactStore, cli: Cli) -> None:
        best = save(store, "linear/BEST", components={"preprocessor": StandardScaler().fit(ROWS)})
        store.promote(best, "best_wf")
        save(store, "linear/BEST")
        save(store, "linear/LATEST", ROWS[:, [0, 2]])
        newest = save(store, "linear/NEWEST", alias="candidate", run_id="20240102_000000")
        save(store, "linear/NEWEST", publish="never", run_id="20240103_000000")
        store.save({"a": 1}, "plain")
        document = cli.json(0, "validate")
        told = {model["key"]: model for model in document["models"]}
        assert document["ok"]
        assert told["linear/BEST"]["run"] == str(best.ref)
        assert told["linear/BEST"]["loaded"] == ["example_inputs", "example_outputs", "model", "preprocessor"]
        assert told["linear/NEWEST"]["run"] == str(newest.ref)
        assert "newest" in told["linear/NEWEST"]["steps"][-1]
        for key in ("linear/BEST", "linear/LATEST", "linear/NEWEST"):
            assert told[key]["predictions"] == {"outcome": "equal", "difference": 0.0, "tolerance": 1e-6}
        assert told["plain"]["predictions"]["outcome"] == "no example"

    def test_another_environment_is_told_and_is_no_failure(self, store: ArtifactStore, cli: Cli) -> None:
        environments = {
            "linear/SAME": None,
            "linear/OLD": {},
            "linear/FAR": {"python": "3.12.0", "packages": {"numpy": "1.0.0"}},
            "linear/FAR2": {"python": "3.12.0", "packages": {"numpy": "1.0.0"}},
        }
        for key, said in environments.items():
            with store.new_run(key) as draft:
                draft.environment = said
                draft.features = FeatureSchema(["a", "b"])
                draft.add("model", np.array([1.0, -1.0]))
        document = cli.json(0, "validate")
        told = {model["key"]: model["environment_verdict"]["verdict"] for model in document["models"]}
        assert told == {"linear/SAME": "same", "linear/OLD": "unknown", "linear/FAR": "risky", "linear/FAR2": "risky"}
        page = cli("validate").stdout
        reason = (
            f"risky numpy: another major version (saved with 1.0.0, here {np.__version__}): linear/FAR, linear/FAR2"
        )
        assert page.count("numpy: ") == 1
        assert reason in page

    def test_a_model_that_has_lost_what_predicting_needs_is_not_sound(self, store: ArtifactStore, cli: Cli) -> None:
        scaler = {"preprocessor": StandardScaler().fit(ROWS)}
        save(store, "linear/WHOLE", components=scaler, tags={"requires": "preprocessor"})
        save(store, "linear/LOST", components=scaler, tags={"requires": "preprocessor, model_vecnormalize"})
        told = {model["key"]: model for model in cli.json(1, "validate")["models"]}
        assert told["linear/WHOLE"]["ok"]
        (problem,) = told["linear/LOST"]["problems"]
        assert problem["type"] == "ComponentNotFound"
        assert "was trained with 'model_vecnormalize', which the run does not have" in problem["message"]

    def test_one_broken_model_never_stops_the_rest(
        self, store: ArtifactStore, cli: Cli, later: Callable[[], None]
    ) -> None:
        save(store, "linear/A", off=0.25)
        damage(save(store, "linear/B"), "model.npz")
        save(store, "broken/C")
        save(store, "gone/D")
        save(store, "nobody/E")
        with store.new_run("code/F") as draft:
            draft.add("model", StandardScaler(), codec="joblib")
        pointer = Path(store.url) / "linear" / "G" / "latest.json"
        save(store, "linear/G")
        pointer.write_bytes(b"{}")
        save(store, "linear/Z")
        later()
        document = cli.json(1, "validate")
        told = {model["key"]: model for model in document["models"]}
        found = {
            key: (model["verdict"], [each["type"] for each in model["problems"] + model["unchecked"]])
            for key, model in told.items()
        }
        assert found == {
            "linear/A": ("wrong", ["Corrupt"]),
            "linear/B": ("wrong", ["DigestMismatch"]),
            "broken/C": ("wrong", ["Corrupt"]),
            "gone/D": ("unchecked", ["PredictorUnavailable"]),
            "nobody/E": ("unchecked", ["PredictorUnavailable"]),
            "code/F": ("unchecked", ["RiskRefused"]),
            "linear/G": ("wrong", ["Corrupt"]),
            "linear/Z": ("sound", []),
        }
        assert (document["ok"], document["verdict"]) == (False, "wrong")
        assert told["linear/A"]["predictions"] == {"outcome": "differ", "difference": 0.25, "tolerance": 1e-6}
        assert "the largest difference is 0.25, 1e-06 is allowed" in told["linear/A"]["problems"][0]["message"]
        assert told["linear/B"]["predictions"] is None
        assert "RuntimeError: no such device" in told["broken/C"]["problems"][0]["message"]
        assert told["nobody/E"]["predictions"]["outcome"] == "no predictor"
        people = cli("validate")
        assert people.exit_code == 1
        assert "differ (difference 0.25, 1e-06 allowed)" in people.stdout
        assert people.stdout.count("WRONG") == 4
        assert people.stdout.rstrip().endswith("8 models: 4 with problems, 3 cannot be checked here.")
        assert people.stderr == ""

    def test_what_could_run_code_is_checked_as_the_page_says(self, store: ArtifactStore, cli: Cli) -> None:
        with store.new_run("linear/CODE") as draft:
            draft.add("model", StandardScaler(), codec="joblib")
        for command in (["validate"], ["validate", "linear/CODE@latest"]):
            page = cli(*command, "--strict")
            assert (page.exit_code, "--allow-code" in page.stdout) == (1, True)
            assert cli(*command, "--strict", "--allow-code").exit_code == 0
        assert store.validate(allow_code=True, jobs=1)[0].loaded == ("model",)

    def test_a_codec_that_fails_as_no_codec_should_is_a_finding(self, tmp_path: Path) -> None:
        class Failing(DocumentCodec):
            name = "failing"
            types = ("builtins.complex",)

            def encode(self, obj: Any, directory: Path, stem: str) -> Any:
                return super().encode(obj.real, directory, stem)

            def decode(self, *_: Any, **__: Any) -> Any:
                raise ZeroDivisionError("nobody thought of that")

            def accepts(self, obj: Any) -> bool:
                return isinstance(obj, complex)

        registry = CodecRegistry()
        registry.register(Failing)
        with ArtifactStore(tmp_path / "other", registry=registry) as store:
            store.save(1j, "toy")
            report = validate(ModelKey("toy"), store.find)
        assert "ZeroDivisionError: nobody thought of that" in str(report.problems[0])

    def test_storage_that_does_not_answer_is_a_finding_of_that_model(self, store: ArtifactStore) -> None:
        run = save(store, "linear/A")

        def unreachable(key: ModelKey) -> Any:
            raise errors.Unreachable(f"{key} is on the other side")

        class Slow(Run):
            def load(self, *_: Any, **__: Any) -> Any:
                raise errors.DeadlineExceeded("it took too long")

        for find in (unreachable, lambda _: Slow(run._context, run.manifest)):
            report = validate(run.key, find)
            assert isinstance(report.problems[0].error, errors.Unavailable)
            assert not report.ok

    def test_one_model_one_type_or_one_run(self, store: ArtifactStore, cli: Cli, later: Callable[[], None]) -> None:
        good = save(store, "linear/A")
        save(store, "linear/A", off=1.0)
        save(store, "linear/B")
        store.save({"a": 1}, "plain")
        later()
        assert [model["key"] for model in cli.json(1, "validate", "linear")["models"]] == ["linear/A", "linear/B"]
        assert [model["key"] for model in cli.json(0, "validate", "linear/B")["models"]] == ["linear/B"]
        named = cli.json(0, "validate", str(good.ref))
        assert named["models"][0]["run"] == str(good.ref)
        table = cli("validate", f"linear/A:{good.run_id}").stdout
        assert "named" in table
        assert cli("validate", "linear/NOTHING").exit_code == 3
        assert cli("validate", "linear/A@nothing").exit_code == 1

    def test_another_alias_can_be_preferred(self, store: ArtifactStore, cli: Cli) -> None:
        runs = {alias: save(store, "linear/A", alias=alias) for alias in ("best_wf", "production", "latest")}
        for arguments, alias in (
            ((), "best_wf"),
            (("--prefer", "production"), "production"),
            (("--prefer", "candidate", "--prefer", "latest"), "latest"),
        ):
            (told,) = cli.json(0, "validate", *arguments)["models"]
            assert told["run"] == str(runs[alias].ref)
        (told,) = cli.json(0, "validate", "--prefer", "candidate")["models"]
        assert "newest" in told["steps"][-1]
        assert cli("validate", "linear/A@latest", "--prefer", "best_wf").exit_code == 2
        assert cli("validate", "--prefer", "No Alias").exit_code == 1

    def test_what_is_not_published_is_no_failure(self, store: ArtifactStore, cli: Cli) -> None:
        save(store, "linear/A", publish="never")
        (told,) = cli.json(0, "validate")["models"]
        assert (told["run"], told["predictions"], told["ok"]) == (None, None, True)
        assert "nothing published" in cli("validate").stdout

    def test_an_empty_store_is_no_success(self, cli: Cli) -> None:
        assert cli("validate").exit_code == 3

    def test_files_in_a_folder_are_as_good_as_their_bytes(self, store: ArtifactStore, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "saved").mkdir()
        (tmp_path / "saved" / "one.bin").write_bytes(b"1")
        store.save(tmp_path / "saved", "tf")
        (told,) = cli.json(0, "validate")["models"]
        assert told["loaded"] == []
        assert told["files"] == 2

    def test_a_terminal_sees_how_far_it_is(
        self, store: ArtifactStore, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        from artifact_store.cli.session import Session

        save(store, "linear/A")
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        with Session().bar("Validating") as bar:
            (report,) = store.validate(announce=bar.reach)
        assert report.ok
        assert report.seconds > 0
        assert "Validating" in screen.getvalue()


@pytest.mark.usefixtures("predictors")
class TestVerifyWithPredictions:
    def test_it_says_how_far_they_are_apart(self, store: ArtifactStore, cli: Cli, later: Callable[[], None]) -> None:
        good, bad = save(store, "linear/A"), save(store, "linear/A", off=1e-7)
        off = save(store, "linear/A", off=-0.5)
        later()
        report = store.verify("linear/A", predict=True)
        found = {run.label: run.predictions for run in report}
        assert str(found[good.manifest.label]) == "equal (difference 0, 1e-06 allowed)"
        assert found[bad.manifest.label].difference == pytest.approx(1e-7)
        assert found[off.manifest.label].outcome == "differ"
        assert [problem.error is found[off.manifest.label].error for problem in report.problems] == [True]
        assert off.verify(predict=True).predictions.difference == 0.5
        assert off.verify().predictions is None
        document = cli.json(1, "verify", "--predict")
        assert [run["predictions"]["outcome"] for run in document["runs"]] == ["equal", "equal", "differ"]
        table = cli("verify", "--predict").stdout
        assert "WRONG" in table
        assert "DAMAGED" not in table

    def test_it_also_says_who_signed_and_repeats_nothing_that_nobody_did(
        self, store: ArtifactStore, cli: Cli, tmp_path: Path, later: Callable[[], None]
    ) -> None:
        runs = save(store, "linear/A"), save(store, "linear/A", off=-0.5), save(store, "linear/A", off=-0.5)
        damage(save(store, "linear/A"), "model.npz")
        for run in runs[:2]:
            store.sign(run, signer())
        (tmp_path / "owner.pub").write_bytes(public().pem)
        later()
        arguments = ("verify", "--predict", "--keys", tmp_path / "owner.pub")
        told = cli.json(1, *arguments)["runs"]
        told = {run["ref"]: run for run in told}
        ours, wrong, unsigned = (told[str(run.ref)] for run in runs)
        assert (ours["signature"], ours["signed_by"], ours["predictions"]["outcome"]) == (
            "valid",
            public().key_id,
            "equal",
        )
        assert (wrong["signature"], wrong["predictions"]["outcome"]) == ("valid", "differ")
        assert (unsigned["signature"], unsigned["signed_by"], unsigned["predictions"]) == ("unsigned", None, None)
        lines = cli(*arguments).stdout.splitlines()
        for title in ("run", "files", "size", "signed by", "result", "predictions"):
            assert title in lines[0].lower()
        words = {line.split()[0]: line for line in lines if line.startswith("linear/A:")}
        for run, parts in zip(runs, (("owner.pub", " ok ", "equal"), ("WRONG", "differ"), ("UNTRUSTED",)), strict=True):
            assert all(part in words[str(run.ref)] for part in parts), words[str(run.ref)]
        assert sum("DAMAGED" in line for line in words.values()) == 1

    def test_inputs_as_wide_as_the_selection_go_to_the_predictor_as_they_are(self, store: ArtifactStore) -> None:
        run = save(store, "linear/A", ROWS[:, [0, 2]])
        assert run.verify(predict=True).predictions.outcome == "equal"

    def test_a_predictor_that_breaks_is_a_finding_with_its_reason(
        self, store: ArtifactStore, later: Callable[[], None]
    ) -> None:
        run = save(store, "broken/A")
        later()
        report = run.verify(predict=True)
        assert report.predictions.outcome == "failed"
        assert "RuntimeError" in str(report.problems[0])

    def test_what_cannot_be_compared_here_is_not_wrong(self, store: ArtifactStore, cli: Cli) -> None:
        save(store, "gone/A")
        for command in (["verify", "--predict"], ["validate"]):
            document = cli.json(0, *command)
            assert (document["ok"], document["verdict"]) == (True, "unchecked")
            assert cli.json(1, *command, "--strict")["verdict"] == "unchecked"
        people = cli("verify", "--predict").stdout
        assert "unchecked" in people
        assert "all as saved; 1 run cannot be compared here." in people
        assert "'gone' of toys cannot be imported: AttributeError" in people


@pytest.mark.parametrize(
    ("found", "expected", "difference", "text"),
    [
        ([1.0, np.nan], [1.0, np.nan], 0.0, ""),
        ([1.0, np.nan, 2.5], [1.0, np.nan, 2.0], 0.5, "0.5"),
        ([1.0], [np.nan], np.inf, "inf"),
        ([np.inf], [np.inf], 0.0, ""),
        ([np.inf], [-np.inf], np.inf, "inf"),
        ([2**53 + 1], [2**53], 1.0, "1"),
        ([True], [False], 1.0, "1"),
        ([1 + 1j], [1.0], 1.0, "1"),
        ([1.0], [[1.0]], np.inf, "the shape is (1,) instead of (1, 1)"),
        (["up", "down"], ["up", "up"], np.inf, "1 of 2 values differ"),
        (["up"], ["up"], 0.0, ""),
        ([1.0], ["up"], np.inf, "1 of 1 values differ"),
        ([], [], 0.0, ""),
        ({"p": [1.0], "q": [2.0]}, {"p": [1.0], "q": [2.25]}, 0.25, "0.25"),
        ({"p": [1.0]}, {"q": [1.0]}, np.inf, "['q']"),
        ([1.0], {"q": [1.0]}, np.inf, "something else"),
    ],
)
def test_predictions_are_compared_value_by_value(found: Any, expected: Any, difference: float, text: str) -> None:
    measured, told = _compare(found, expected)
    assert measured == difference
    assert text in told


class TestDiff:
    def test_two_runs_differ_in_what_their_manifests_say(self, store: ArtifactStore, cli: Cli) -> None:
        names = ["open", "high", "low"]
        first = store.save(
            np.ones(3),
            "gru/A",
            features=FeatureSchema(names, selected=["open", "low"], dtypes="float64"),
            config={"layers": {"size": 8, "count": 1}, "same": 1},
            training_config={"epochs": 3},
            metrics={"loss": 0.5, "nan": float("nan")},
            tags={"fold": "1"},
        )
        second = store.save(
            {"weights": 1},
            "gru/B",
            features=FeatureSchema(["high", "open", "volume"], selected=["open"], dtypes={"open": "float32"}),
            config={"layers": {"size": 16, "count": True}, "same": 1},
            metrics={"loss": 0.25, "nan": float("nan")},
            tags={"fold": "1", "kind": "new"},
        )
        found = store.diff(first, "gru/B")
        assert found
        assert (found.a, found.b) == (str(first.ref), str(second.ref))
        assert set(found.files.removed) == {"model.npz"}
        assert set(found.files.added) == {"model.json"}
        assert found.features.removed == {"low": "float64"}
        assert found.features.added == {"volume": "any"}
        assert found.features.changed == {"open": ("float64", "float32"), "high": ("float64", "any")}
        assert set(found.selection.removed) == {"low"}
        assert {"fingerprint", "order", "selected"} <= set(found.schema.changed)
        assert found.config.changed == {"layers.size": (8, 16), "layers.count": (1, True)}
        assert found.training_config.removed == {"epochs": 3}
        assert found.metrics.changed == {"loss": (0.5, 0.25)}
        assert found.tags.added == {"kind": "new"}
        assert found.components.changed["model"][0]["codec"] == "arrays-1"
        assert not found.environment
        document = cli.json(0, "diff", "gru/A", "gru/B")
        assert document == json.loads(json.dumps(found.to_json()))
        table = cli("diff", "gru/A", "gru/B").stdout
        for part in ("layers.size", "volume", "arrays-1", "epochs"):
            assert part in table
        assert "same" not in table

    def test_where_runs_come_from_is_a_difference(self, store: ArtifactStore, cli: Cli) -> None:
        first = store.save(np.ones(3), "gru/A", data={"candles": Digest(1, "a" * 64)})
        store.save(np.ones(3), "gru/A", data={"candles": Digest(2, "b" * 64)}, parent=first, description="more")
        found = store.diff(first, "gru/A").origin
        assert found.added == {"description": "more", "parent": str(first.ref)}
        assert found.changed == {"data.candles": ({"size": 1, "sha256": "a" * 64}, {"size": 2, "sha256": "b" * 64})}
        assert "bbbbbbbbbbbb 2 B" in cli("diff", str(first.ref), "gru/A").stdout

    def test_equal_runs_have_no_differences(self, store: ArtifactStore, cli: Cli) -> None:
        one, other = (store.save(np.ones(3), "gru/A", tags={"a": "1"}) for _ in range(2))
        found = store.diff(one, other)
        assert not found
        assert found.to_json()["equal"]
        assert "No differences." in cli("diff", "gru/A", str(one.ref), "--exit-code").stdout

    def test_the_status_tells_of_differences_on_request(self, store: ArtifactStore, cli: Cli) -> None:
        store.save(np.ones(3), "gru/A")
        store.save(np.zeros(3), "gru/B")
        assert cli("diff", "gru/A", "gru/B").exit_code == 0
        assert cli("diff", "gru/A", "gru/B", "--exit-code").exit_code == 1
        assert cli("diff", "gru/A", "gru/A", "--exit-code").exit_code == 0
        assert cli("diff", "gru/A", "gru/C").exit_code == 3

    def test_the_order_of_features_is_a_difference(self, store: ArtifactStore) -> None:
        names = [f"f{place}" for place in range(9)]
        one = store.save(np.ones(3), "gru/A", features=FeatureSchema(names))
        other = store.save(np.ones(3), "gru/A", features=FeatureSchema([*names[:7], names[8], names[7]]))
        without = store.save(np.ones(3), "gru/A")
        found = store.diff(one, other)
        assert not found.features
        assert {"fingerprint", "order", "selected order"} == set(found.schema.changed)
        assert set(store.diff(without, one).features.added) == set(names)

    def test_nothing_is_decoded_or_even_read(self, store: ArtifactStore) -> None:
        with store.new_run("code") as draft:
            draft.add("model", StandardScaler(), codec="joblib")
        run = store.get("code")
        damage(run, "model.joblib")
        assert not store.diff(run, "code")

    def test_what_is_not_there_is_not_found(self, store: ArtifactStore) -> None:
        store.save(np.ones(3), "gru/A")
        with pytest.raises(errors.NotFound):
            store.diff("gru/A", "gru/A@production")
