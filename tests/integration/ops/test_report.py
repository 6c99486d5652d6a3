"""``store.report``: which pages there are and what is in them, where they are written, and what stays as it is."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, FeatureSchema, LoadPolicy, Signer, errors
from artifact_store.report.details import Describer, shown_text
from artifact_store.report.pages import POLICY
from artifact_store.storage.content_types import content_type
from artifact_store.storage.retry import RetryPolicy
from artifact_store.testing import Faults, FaultyBackend
from tests.integration.faults import worlds
from tests.integration.faults.worlds import crash_after_crash
from tests.stores import OpenStore

KEY = "gru/BTC;2FUSDT"
PAGE = "models/gru/BTC;2FUSDT.html"
IDS = [f"2024081{number}_120000" for number in range(4)]
BOLD = "<b>bold</b>"
"""Harmless markup: where it is shown as it stands, nothing else would be markup either."""


def fill(store: ArtifactStore) -> None:
    for number, run_id in enumerate(IDS):
        store.save(
            {"weights": [number]},
            KEY,
            run_id=run_id,
            features=FeatureSchema(["open", "high", "low"], selected=[0, 2], reason=BOLD),
            metrics={"sharpe": number / 4, "loss": float("nan")},
            tags={"fold": str(number), "note": BOLD},
            description=f"{BOLD} </script> \u2028 & 'quoted' \"twice\"",
            config={"lr": 0.01 * number, "name": "0.1", BOLD: [1, 2]},
        )
    store.promote(f"{KEY}:{IDS[1]}", "production", reason=f"{BOLD} is better")
    store.save({"n": 1}, "gbm", run_id=IDS[0])


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "_locks" not in path.parts
    }


class Page(HTMLParser):
    """The elements of a page, its words outside of scripts, and its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words, self._data, self._in_script = "", "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self._data += data
        else:
            self.words += data

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._data)
        return found


def page_at(folder: Path, name: str = PAGE) -> Page:
    return Page((folder / name).read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "report"


class TestPages:
    def test_a_report_of_every_backend_has_all_models_and_the_same_bytes_each_time(
        self, store: ArtifactStore, open_store: OpenStore, folder: Path
    ) -> None:
        fill(store)
        done = store.report(folder)
        first = files_of(folder)
        assert set(first) == {*done.files}
        assert {name: len(data) for name, data in first.items()} == done.files
        assert (done.ok, done.models, done.runs) == (True, 2, 5)
        assert done.page == f"{done.url}/index.html"
        overview = page_at(folder, "index.html")
        assert "gru/BTC/USDT" in overview.words
        store.index.rebuild()
        other = open_store()
        again = other.report(folder)
        assert files_of(folder) == first
        assert again.to_json() == done.to_json()

    def test_a_page_has_what_the_store_has_of_its_model(self, tmp_path: Path, folder: Path) -> None:
        store = ArtifactStore(tmp_path / "store", actor="ann")
        fill(store)
        store.report(folder)
        data = page_at(folder).data
        assert data["model"] == KEY
        assert [row[0] for row in data["runs"]] == IDS[::-1]
        assert data["aliases"] == [["latest", IDS[3]], ["production", IDS[1]]]
        past = [(entry[0], entry[1], entry[2], entry[4], entry[5]) for entry in data["history"]]
        assert past[0] == ("production", 1, IDS[1], "ann", f"{BOLD} is better")
        assert {(alias, seq, run) for alias, seq, run, _, _ in past[1:]} == {
            ("latest", seq, run) for seq, run in enumerate(IDS, start=1)
        }
        detail = data["details"][IDS[2]]
        run = store.get(f"{KEY}:{IDS[2]}")
        assert detail["files"] == [[name, file.size, file.sha256] for name, file in run.files.items()]
        assert list(detail["sections"]["features"]) == ["open", "high", "low"]
        assert list(detail["sections"]["selection"]) == ["open", "low"]
        assert detail["environment"]["verdict"] == str(run.environment_verdict.verdict)
        assert detail["sections"]["config"] == {"lr": "0.02", "name": '"0.1"', BOLD: "[1,2]"}
        assert data["runs"][0][5] == {"loss": "NaN", "sharpe": 0.75}

    def test_what_people_wrote_is_text_on_the_page_and_in_its_data(self, tmp_path: Path, folder: Path) -> None:
        store = ArtifactStore(tmp_path / "store", actor=BOLD)
        fill(store)
        store.report(folder)
        for name, text in files_of(folder).items():
            if not name.endswith(".html"):
                continue
            assert BOLD.encode() not in text
            assert text.count(b"</script>") == 2
            assert b"\xe2\x80\xa8" not in text
        words = page_at(folder).words
        assert f"{BOLD} is better" in words
        description = page_at(folder).data["runs"][0][4]
        assert description == f"{BOLD} </script> \u2028 & 'quoted' \"twice\""

    def test_no_page_asks_anything_of_anywhere(self, tmp_path: Path, folder: Path) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        store.report(folder)
        assert "default-src 'none'" in POLICY
        for name in ("index.html", PAGE):
            policies = [
                attributes["content"]
                for tag, attributes in page_at(folder, name).elements
                if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
            ]
            assert policies == [POLICY]
            for tag, attributes in page_at(folder, name).elements:
                for where in ("src", "href"):
                    target = attributes.get(where) or ""
                    assert not re.match(r"(\w+:)?//|javascript:", target), (tag, target)
                assert not [attribute for attribute in attributes if attribute.startswith("on") or attribute == "style"]
        for name in ("assets/report.js", "assets/report.css"):
            text = (folder / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "://" not in text
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(|XMLHttp|url\(", text
            )

    def test_the_texts_of_a_page_have_the_contrast_that_aa_asks_for(self, tmp_path: Path, folder: Path) -> None:
        ArtifactStore(tmp_path / "store").report(folder)
        text = (folder / "assets" / "report.css").read_text(encoding="utf-8")
        light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
        assert "prefers-color-scheme: dark" in text
        for scheme in (light, dark):
            colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
            pairs = [("text", "back"), ("text", "sheet"), ("dim", "back"), ("dim", "sheet")]
            pairs += [("accent", "sheet"), ("accent", "back"), ("accent", "accent-soft"), ("bad", "bad-soft")]
            pairs += [("good", "good-soft"), ("warn", "warn-soft"), ("text", "bad-soft"), ("text", "accent-soft")]
            assert {
                pair: contrast(*(colors[name] for name in pair))
                for pair in pairs
                if contrast(*(colors[name] for name in pair)) < 4.5
            } == {}
            assert contrast(colors["chart"], colors["sheet"]) >= 3
            assert contrast(colors["focus"], colors["back"]) >= 3

    def test_everything_is_shown_of_the_newest_runs_of_those_with_an_alias_or_of_all(
        self, tmp_path: Path, folder: Path
    ) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        for details, wanted in ((None, IDS), (0, [IDS[1], IDS[3]]), (2, IDS[1:]), (20, IDS)):
            store.report(folder, details=details)
            data = page_at(folder).data
            assert sorted(data["details"]) == wanted
            assert len(data["runs"]) == 4
        for wrong in (-1, "all", True, 1.5):
            with pytest.raises(errors.InvalidOption, match="details is a number of runs"):
                store.report(folder, details=wrong)  # type: ignore[arg-type]

    def test_the_metric_that_is_asked_for_comes_first_where_a_model_has_it(self, tmp_path: Path, folder: Path) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        for metric, shown in ((None, "loss"), ("sharpe", "sharpe"), ("nothing", "loss")):
            store.report(folder, metric=metric)
            assert page_at(folder).data["headline"] == shown

    def test_lineage_and_what_predicting_needs_are_there(self, tmp_path: Path, folder: Path) -> None:
        store = ArtifactStore(tmp_path / "store", provenance=False)
        first = store.save({"n": 1}, "gru", run_id=IDS[0], data={"candles": Path(__file__)})
        other = store.save({"n": 1}, "gbm", run_id=IDS[0])
        store.save({"n": 2}, "gru", run_id=IDS[1], parent=first)
        store.save({"n": 2}, "gru", run_id=IDS[2], parent=other)
        store.report(folder)
        details = page_at(folder, "models/gru.html").data["details"]
        assert details[IDS[1]]["parent"] == {"ref": str(first.ref), "run": IDS[0], "manifest": first.manifest.digest}
        assert details[IDS[2]]["parent"]["run"] is None
        assert details[IDS[0]]["parent"] is None
        assert re.fullmatch(r"[\d,]+ bytes, sha256 [0-9a-f]{64}", details[IDS[0]]["data"]["candles"])
        assert ["Golden predictions", "none recorded"] in details[IDS[0]]["facts"]

    def test_an_empty_root_has_a_page_that_says_so(self, tmp_path: Path, folder: Path) -> None:
        done = ArtifactStore(tmp_path / "store").report(folder)
        assert (done.models, done.runs) == (0, 0)
        assert "There are no models here yet." in page_at(folder, "index.html").words
        assert not (tmp_path / "store" / "_store.json").exists()


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2 of two colours."""

    def light(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


class TestImportances:
    def test_those_of_a_small_lightgbm_text_are_shown(self, tmp_path: Path, folder: Path) -> None:
        lightgbm, numpy = pytest.importorskip("lightgbm"), pytest.importorskip("numpy")
        rows = numpy.random.default_rng(1).normal(size=(200, 3))
        table = lightgbm.Dataset(rows, rows[:, 0] + rows[:, 2], feature_name=["a", "b", "c"])
        booster = lightgbm.train({"verbose": -1, "num_leaves": 4, "num_threads": 1}, table, num_boost_round=5)
        store = ArtifactStore(tmp_path / "store")
        store.save(booster, "gbm", run_id=IDS[0], features=FeatureSchema(["a", "b", "c"]))
        store.report(folder)
        found = page_at(folder, "models/gbm.html").data["details"][IDS[0]]["importances"]
        real = dict(zip(booster.feature_name(), booster.feature_importance().tolist(), strict=True))
        assert found["values"] == {name: count for name, count in real.items() if count}
        assert found["file"] == "model.txt"

    @pytest.mark.parametrize("ending", ["", "a=1x\n", "=\n", "a=-1\n", "a=" + "9" * 40 + "\n"])
    def test_what_is_written_otherwise_is_left_out(self, ending: str, tmp_path: Path, folder: Path) -> None:
        found = self.shown(f"tree\n\nfeature_importances:\n{ending}\n".encode(), "lightgbm", "model.txt", tmp_path)
        assert found == {}

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ('{"importances": [1, 2.5, 0]}', {"a": 1.0, "b": 2.5, "c": 0.0}),
            ('{"importances": [1, 2]}', None),
            ('{"importances": null}', None),
            ('{"importances": [1, 2, "3"]}', None),
            ("[" * 100_000, None),
            ("{}", None),
        ],
    )
    def test_those_beside_a_catboost_model_are_shown(
        self, text: str, wanted: dict[str, float] | None, tmp_path: Path
    ) -> None:
        found = self.shown(text.encode(), "catboost", "model.json", tmp_path)
        assert found.get("values") == wanted

    @staticmethod
    def shown(data: bytes, codec: str, name: str, tmp_path: Path) -> dict[str, Any]:
        """Return what is read of a file that stands where this codec writes one."""
        path = tmp_path / name
        path.write_bytes(data)
        store = ArtifactStore(tmp_path / "store")
        run = store.save(path, "any", features=FeatureSchema(["a", "b", "c"]))
        part = run.manifest.components["model"]
        record = part.codec.model_copy(update={"name": codec}) if hasattr(part.codec, "model_copy") else None
        assert record is not None
        manifest = run.manifest.model_copy(update={"components": {"model": part.model_copy(update={"codec": record})}})
        return Describer(store._context).importances(manifest)


@pytest.mark.parametrize(
    ("value", "text"),
    [("adam", "adam"), ("0.1", '"0.1"'), (0.1, "0.1"), ("null", '"null"'), (None, "null"), ([1], "[1]")],
)
def test_each_value_has_a_text_of_its_own(value: object, text: str) -> None:
    assert shown_text(value) == text


class TestPlaces:
    def test_in_the_store_it_is_the_folder_that_no_command_takes_for_runs(
        self, store: ArtifactStore, open_store: OpenStore
    ) -> None:
        fill(store)
        before = [str(run.ref) for run in store.runs()]
        done = store.report(f"{store.url}/_report")
        assert done.url == f"{store.url}/_report/".rstrip("/")
        assert "index.html" in done.files
        other = open_store()
        assert [str(run.ref) for run in other.runs()] == before
        assert {"foreign-object"}.isdisjoint(other.doctor(probes=False).codes)
        assert [step for step in other.gc().steps if "_report" in step.target] == []
        assert [str(key) for key in other.models()] == ["gbm", KEY]
        assert store.report(f"{store.url}/_report").to_json() == done.to_json()

    @pytest.mark.parametrize("below", ["", "gru", "_index", "_report/more", "reports"])
    def test_among_the_runs_it_is_refused(self, below: str, store: ArtifactStore) -> None:
        fill(store)
        with pytest.raises(errors.InvalidOption, match="not written among the runs of a store"):
            store.report(f"{store.url}/{below}" if below else store.url)

    def test_a_folder_with_something_else_in_it_is_refused_before_anything_is_read(
        self, tmp_path: Path, folder: Path
    ) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        folder.mkdir()
        (folder / "thesis.txt").write_text("mine", encoding="utf-8")
        with pytest.raises(errors.InvalidOption, match=r"something else than a report .*thesis\.txt"):
            store.report(folder)
        assert list(folder.iterdir()) == [folder / "thesis.txt"]
        (folder / "report.json").write_text("[1]", encoding="utf-8")
        with pytest.raises(errors.InvalidOption, match="is not that of a report"):
            store.report(folder)
        other = ArtifactStore(tmp_path / "other")
        fill(other)
        with pytest.raises(errors.InvalidOption, match="something else than a report"):
            store.report(other.url)

    def test_pages_of_models_that_are_gone_are_removed_and_nothing_else(self, tmp_path: Path, folder: Path) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        store.save({"n": 1}, "old", alias="other", publish="never", run_id=IDS[0])
        store.report(folder)
        assert (folder / "models" / "old.html").exists()
        (folder / "models" / "mine.txt").write_text("mine", encoding="utf-8")
        record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        record["files"] |= {"models/mine.txt": "", "../store/_store.json": "", "models/../../x.html": ""}
        (folder / "report.json").write_text(json.dumps(record), encoding="utf-8")
        store.delete(f"old:{IDS[0]}").apply()
        assert store.report(folder).removed == ["models/old.html"]
        assert not (folder / "models" / "old.html").exists()
        assert (folder / "models" / "mine.txt").exists()
        assert store.exists()

    @pytest.mark.parametrize("engine", ["obstore", "fsspec"])
    def test_a_bucket_tells_a_browser_what_a_page_is(self, engine: str, seaweed: Any, seaweed_prefix: str) -> None:
        url, options = seaweed.url(seaweed_prefix), seaweed.storage_options()
        ArtifactStore(url, engine=engine, storage_options=options).report(f"{url}/_report")
        names = ("index.html", "assets/report.js", "assets/report.css", "report.json")
        with seaweed.client() as client:
            heads = (
                client.head_object(Bucket=seaweed.bucket, Key=f"{seaweed_prefix}/_report/{name}") for name in names
            )
            found = [head["ContentType"] for head in heads]
        assert found == [content_type(name) for name in names]

    def test_a_bucket_takes_a_report(self, tmp_path: Path, seaweed: Any, seaweed_prefix: str) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        target = f"{seaweed.url(seaweed_prefix)}/reports/today"
        done = store.report(target, storage_options=seaweed.storage_options())
        assert done.url == target
        again = store.report(target, storage_options=seaweed.storage_options())
        assert again.to_json() == done.to_json()

    def test_where_the_library_of_the_pages_is_missing_that_is_said(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "jinja2", None)
        with pytest.raises(errors.ReportUnavailable, match="pip install .*[Jj]inja2"):
            ArtifactStore(tmp_path / "store").report(folder)
        assert not folder.exists()


class TestWhatIsBroken:
    def test_a_damaged_run_and_a_damaged_alias_are_on_the_pages_and_the_rest_is_shown(
        self, tmp_path: Path, folder: Path
    ) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        home = tmp_path / "store" / "gru" / "BTC;2FUSDT"
        (home / IDS[0] / "manifest.json").write_bytes(b"{}")
        (home / "production.json").write_bytes(b"{")
        done = store.report(folder)
        assert not done.ok
        assert {problem.where for problem in done.problems} == {f"{KEY}:{IDS[0]}", f"{KEY}@production"}
        assert len(page_at(folder).data["runs"]) == 3
        for name in ("index.html", PAGE):
            words = page_at(folder, name).words
            assert f"{KEY}:{IDS[0]}" in words
            assert f"{KEY}@production" in words
        assert [problem["where"] for problem in done.to_json()["problems"]] == [
            problem.where for problem in done.problems
        ]

    def test_a_run_that_the_index_describes_otherwise_than_its_manifest_keeps_no_report_from_being_made(
        self, tmp_path: Path, folder: Path
    ) -> None:
        store = ArtifactStore(tmp_path / "store")
        fill(store)
        store.index.rebuild()
        (tmp_path / "store" / "gru" / "BTC;2FUSDT" / IDS[2] / "manifest.json").unlink()
        (tmp_path / "store" / "gru" / "BTC;2FUSDT" / IDS[3] / "manifest.json").write_bytes(b"{}")
        done = store.report(folder)
        assert [problem.where for problem in done.problems] == [f"{KEY}:{IDS[3]}"]
        data = page_at(folder).data
        assert [row[0] for row in data["runs"]] == [IDS[3], IDS[1], IDS[0]]
        assert IDS[3] not in data["details"]

    def test_a_policy_that_requires_signatures_holds_for_a_report(self, tmp_path: Path, folder: Path) -> None:
        signer = Signer.generate()
        plain = ArtifactStore(tmp_path / "store")
        plain.save({"n": 1}, "gru", run_id=IDS[0], alias="unsigned")
        signed = ArtifactStore(tmp_path / "store", signer=signer)
        signed.save({"n": 2}, "gru", run_id=IDS[1])
        policy = LoadPolicy(trusted_keys=[signer.public_key], require_signature=True)
        done = ArtifactStore(tmp_path / "store", policy=policy).report(folder)
        data = page_at(folder, "models/gru.html").data
        assert [row[0] for row in data["runs"]] == [IDS[1]]
        assert data["aliases"] == [["latest", IDS[1]]]
        assert {problem.where for problem in done.problems} == {f"gru:{IDS[0]}", "gru@unsigned"}

    def test_what_is_no_store_is_refused(self, tmp_path: Path, folder: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "one.jpg").write_bytes(b"1")
        with pytest.raises(errors.NotAStore):
            ArtifactStore(tmp_path / "photos").report(folder)
        assert not folder.exists()


class World(worlds.World):
    def fill(self) -> None:
        fill(self.store)


def report(store: ArtifactStore) -> Any:
    return store.report(f"{store.url}/_report")


class TestFaults:
    @pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
    def test_after_a_crash_at_any_operation_the_same_call_makes_the_same_report(self, *, landed: bool) -> None:
        whole = World()
        report(whole.client(whole.inner))
        wanted = {key: whole.inner.read(key, limit=1 << 24).data for key in keys_of(whole)}
        plans = (Faults(seed=number).crash_at(number, landed=landed) for number in range(1, 200))
        count = 0
        for world in crash_after_crash(World, plans, report):
            assert {"foreign-object"}.isdisjoint(world.client(world.inner).doctor(probes=False).codes)
            report(world.client(world.inner))
            assert {key: world.inner.read(key, limit=1 << 24).data for key in keys_of(world)} == wanted
            count += 1
        assert count > 10

    @pytest.mark.parametrize("op", ["read", "list", "children", "write", "delete", "stream"])
    def test_a_storage_that_fails_for_a_moment_is_asked_again(self, op: Any) -> None:
        for seed in range(3):
            world = World()
            plan = Faults(seed=seed).on(op, times=1).lose_request().on(op, after=1, times=1).lose_reply()
            done = report(world.client(FaultyBackend(world.inner, plan)))
            assert done.ok
            assert done.runs == 5

    @pytest.mark.parametrize("op", ["read", "list", "children"])
    def test_a_storage_that_does_not_answer_ends_it_and_the_report_that_was_there_stays(self, op: Any) -> None:
        world = World()
        report(world.client(world.inner))
        before = {key: world.inner.read(key, limit=1 << 24).data for key in keys_of(world)}
        world.store.save({"n": 2}, KEY)
        for after in range(12):
            plan = Faults(seed=1).on(op, after=after).unavailable()
            client = world.client(FaultyBackend(world.inner, plan))
            client._context = replace(client._context, retry=RetryPolicy(seconds=0.0))
            try:
                done = report(client)
            except errors.Unavailable:
                assert {key: world.inner.read(key, limit=1 << 24).data for key in keys_of(world)} == before
            else:
                assert done.ok
                assert done.runs == 6


def keys_of(world: World) -> list[str]:
    return [entry.key for entry in world.inner.list("_report/")]
