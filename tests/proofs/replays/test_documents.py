"""Documents that lack something, say something twice, or are of another kind: refused, and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, FeatureSchema, errors
from artifact_store.canonical import canonical, sha256
from artifact_store.cli.app import app
from tests.hostile import Canary
from tests.proofs.replays.attacker import Attacker
from tests.proofs.replays.surroundings import untouched
from tests.unit.samples import resealed
from tests.watched import nothing_unpickled

KEY = "gru/BTCEUR"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08\u202e\u2028"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where every field of a document is, those within others included."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield (*path, name)
        yield from paths(part, (*path, name))


def without(value: Any, path: tuple[Any, ...]) -> Any:
    copy = json.loads(json.dumps(value))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return copy


# ---------------------------------------------------------------- 6: a missing key


@pytest.mark.parametrize("place", ["manifest", "pointer"])
def test_row_06_whatever_is_missing_nothing_is_decoded(store: ArtifactStore, tmp_path: Path, place: str) -> None:
    """With a checksum that fits: what is left may be refused or may be enough, and is never a reason to trust."""
    marker = tmp_path / "marker"
    with store.new_run(KEY) as draft:
        draft.add("model", Canary(marker), codec="joblib")
        draft.features, draft.tags, draft.metrics = FeatureSchema(["a", "b"]), {"a": "b"}, {"loss": 1.0}
        run = draft.commit()
    folder = Path(store.url) / KEY
    pointer, manifest = folder / "latest.json", folder / run.run_id / "manifest.json"
    document = manifest if place == "manifest" else pointer
    ref = str(run.ref) if place == "manifest" else KEY
    sound = document.read_bytes()
    value = json.loads(sound)
    tried = 0
    with nothing_unpickled():
        for path in [path for path in paths(value) if path != ("checksum",)]:
            document.write_bytes(resealed_without(value, path))
            with pytest.raises((errors.Untrusted, errors.Corrupt, errors.NotFound)):
                store.load(ref)
            tried += 1
        document.write_bytes(canonical({name: part for name, part in value.items() if name != "checksum"}))
        with pytest.raises(errors.Corrupt):
            store.load(ref)
    assert tried > 60
    assert not marker.exists()
    document.write_bytes(sound)
    with pytest.raises(errors.RiskRefused):
        store.load(ref)


def resealed_without(value: dict[str, Any], path: tuple[Any, ...]) -> bytes:
    """Leave a field out; where it is one of the manifest within a pointer, seal that one, too."""
    changed = without(value, path)
    if path[0] == "manifest" and len(path) > 1 and path[1] != "checksum":
        changed["manifest"] = json.loads(resealed(changed["manifest"]))
        changed["manifest_sha256"] = sha256(canonical(changed["manifest"]))
    changed.pop("checksum", None)
    return resealed(changed)


def test_row_06_a_missing_risk_is_not_a_small_one(store: ArtifactStore, tmp_path: Path) -> None:
    with store.new_run(KEY) as draft:
        draft.add("model", Canary(tmp_path / "marker"), codec="joblib")
        run = draft.commit()
    attacker = Attacker(store)
    naive = run.manifest.to_json()["components"]["model"]
    assert naive["risk"] == "code"
    for risk in ("data", "vetted"):
        attacker.change_manifest(run, lambda manifest, risk=risk: manifest["components"]["model"].update(risk=risk))
        with nothing_unpickled(), pytest.raises(errors.RiskRefused):
            store.load(KEY)
    for risk in ("none", "", "DATA", None, 0):
        document = attacker.folder(run) / "manifest.json"
        value = json.loads(document.read_bytes())
        value["components"]["model"]["risk"] = risk
        document.write_bytes(resealed(value))
        with nothing_unpickled(), pytest.raises(errors.Corrupt):
            store.load(str(run.ref))


# ---------------------------------------------------------------- 30: a key that appears twice


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('"risk":"data"', '"risk":"data","risk":"code"'),
        ('"format":"1.0"', '"format":"1.0","format":"1.0"'),
        ('"kind":"run"', '"kind":"tombstone","kind":"run"'),
        ('"path":"model.json"', '"path":"../../x","path":"model.json"'),
        ('"model_type":"gru"', '"model_type":"gru","model\\u005ftype":"lightgbm"'),
        ('"checksum":"', '"checksum":"0","checksum":"'),
    ],
)
def test_row_30_a_document_says_nothing_twice(store: ArtifactStore, first: str, second: str) -> None:
    run = store.save({"a": 1}, KEY)
    document = Path(store.url) / KEY / run.run_id / "manifest.json"
    text = document.read_text()
    assert first in text
    twice = text.replace(first, second, 1)
    json.loads(twice)  # the standard library takes one of the two, and says nothing
    document.write_text(twice)
    with pytest.raises(errors.Corrupt, match="appears twice"):
        store.load(str(run.ref))
    assert [type(problem.error) for problem in store.verify(str(run.ref)).problems] == [errors.Corrupt]


# ---------------------------------------------------------------- 31: one document, two kinds


def test_row_31_no_document_stands_for_one_of_another_kind(store: ArtifactStore) -> None:
    first = store.save({"a": 1}, KEY)
    for _ in range(70):
        store.promote(first, "busy")
    store.retire(f"{KEY}@busy")
    gone = store.save({"a": 2}, KEY, publish="never")
    store.delete(str(gone.ref)).apply()
    folder = Path(store.url)
    kinds = {
        "store": folder / "_store.json",
        "run": folder / KEY / first.run_id / "manifest.json",
        "pointer": folder / KEY / "latest.json",
        "history": folder / KEY / "busy.history" / f"{32:010d}.json",
        "tombstone": folder / KEY / gone.run_id / "manifest.json",
    }
    reads = {
        "run": lambda: store.load(str(first.ref)),
        "pointer": lambda: store.load(KEY),
        "history": lambda: store.history(f"{KEY}@busy"),
        "store": lambda: ArtifactStore(folder).save({"a": 3}, KEY),
    }
    documents = {kind: path.read_bytes() for kind, path in kinds.items()}
    assert {kind: json.loads(data)["kind"] for kind, data in documents.items()} == {kind: kind for kind in kinds}
    for place, read in reads.items():
        for kind, data in documents.items():
            if kind == place:
                continue
            kinds[place].write_bytes(data)
            expected = (errors.Corrupt, errors.NotAStore, errors.RunDeleted)
            with pytest.raises(expected):
                read()
            # all fields of both: it is what it says that it is, and is refused in every other place
            both = {**json.loads(data), **json.loads(documents[place]), "kind": json.loads(data)["kind"]}
            kinds[place].write_bytes(resealed(both))
            with pytest.raises(expected):
                read()
        kinds[place].write_bytes(documents[place])
    assert store.load(KEY) == {"a": 1}


# ---------------------------------------------------------------- 18: one broken entry


def broken_entries(folder: Path) -> None:
    """Put beside a sound run what crashes, people and other programs leave."""
    runs = {
        "20240201_000000": lambda run: (run / "model.json").write_text("{}"),
        "20240202_000000": lambda run: (run / "manifest.json").write_bytes(b""),
        "20240203_000000": lambda run: (run / "manifest.json").write_bytes(b'{"checksum":"'),
        "20240204_000000": lambda run: (run / "manifest.json").mkdir(),
        "20240205_000000": lambda run: (run / "manifest.json").symlink_to("/etc/passwd"),
        "20240206_000000": lambda run: (run / "manifest.json").write_bytes(b"\x80\x04pickle."),
        "20240207_000000": lambda run: (run / "manifest.json").write_bytes(bytes(9 << 20)),
        "20240208_000000": lambda run: None,
    }
    for name, fill in runs.items():
        (folder / name).mkdir()
        fill(folder / name)
    (folder / "20240209_000000").write_text("a file")
    (folder / "20240210_000000").symlink_to(folder / "20240101_000000", target_is_directory=True)
    (folder / "notes.txt").write_text("somebody's")
    (folder / "broken.json").write_bytes(b"")
    (folder / ".hidden").mkdir()


def test_row_18_a_listing_tells_of_everything_and_never_stops(store: ArtifactStore, tmp_path: Path) -> None:
    sound = store.save({"a": 1}, KEY, run_id="20240101_000000")
    broken_entries(Path(store.url) / KEY)
    with untouched(tmp_path):
        assert store.models() == [sound.key]
        runs = store.runs()
        assert [run.run_id for run in runs] == ["20240101_000000"]
        named = {problem.where.partition(":")[2] for problem in runs.problems}
        assert named >= {f"2024020{day}_000000" for day in (2, 3, 5, 6, 7)}
        assert all(isinstance(problem.error, errors.ArtifactStoreError) for problem in runs.problems)
        assert store.load(KEY) == {"a": 1}
        assert store.get(f"{KEY}:20240101").run_id == sound.run_id
        report = store.verify()
        assert (report.ok, [run.label for run in report.runs if run.ok]) == (False, [str(sound.ref)])
        for command in (["ls"], ["ls", KEY], ["show", KEY]):
            done = CliRunner().invoke(app, ["--store", store.url, *command])
            assert done.exit_code == 0, done.output
            assert "20240101_000000" in done.output
        done = CliRunner().invoke(app, ["--store", store.url, "verify"])
        assert done.exit_code == 1
        assert "Traceback" not in done.output


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"20240101_000000", bytes(300 << 10)])
def test_row_18_an_empty_latest_breaks_latest_and_nothing_else(store: ArtifactStore, data: bytes) -> None:
    run = store.save({"a": 1}, KEY)
    store.promote(run, "production")
    (Path(store.url) / KEY / "latest.json").write_bytes(data)
    for read in (store.load, store.get, store.find, store.history):
        with pytest.raises(errors.Corrupt):
            read(KEY)
    assert store.load(str(run.ref)) == store.load(f"{KEY}@production") == {"a": 1}
    assert [each.run_id for each in store.runs(KEY)] == [run.run_id]
    with pytest.raises(errors.Corrupt):  # and nobody publishes over what cannot be read
        store.promote(run, "latest")
    assert (Path(store.url) / KEY / "latest.json").read_bytes() == data
    done = CliRunner().invoke(app, ["--store", store.url, "ls", KEY])
    assert (done.exit_code, run.run_id in done.output) == (0, True)


# ---------------------------------------------------------------- 45: what reaches the terminal


def test_row_45_nothing_stored_commands_the_terminal(store: ArtifactStore, tmp_path: Path) -> None:
    """Every text that somebody else can write, shown by every command that shows it, to a person and to a machine."""
    evil = ArtifactStore(store.url, actor=f"me{ESCAPES}")
    texts = {f"name{ESCAPES}": f"value{ESCAPES}", "nested": {f"n{ESCAPES}": [f"v{ESCAPES}"]}}
    flat = {f"tag{ESCAPES}": f"value{ESCAPES}"}
    metrics = {f"loss{ESCAPES}": 1.0}
    features = FeatureSchema([f"a{ESCAPES}", "b"], selected=["b"], reason=f"why{ESCAPES}")
    more = {"config": texts, "training_config": texts, "tags": flat, "metrics": metrics, "features": features}
    first, second = (evil.save({"a": n}, KEY, **more) for n in (1, 2))
    evil.promote(first, "production", reason=f"because{ESCAPES}")
    attacker = Attacker(store)

    def changed(manifest: dict[str, Any]) -> None:
        manifest["environment"] = {f"python{ESCAPES}": f"3{ESCAPES}"}
        manifest["components"]["model"].update(type=f"builtins.dict{ESCAPES}", options={f"o{ESCAPES}": ESCAPES})

    attacker.change_manifest(second, changed)
    broken = Path(store.url) / KEY / "20240101_000000" / "manifest.json"
    broken.parent.mkdir()
    broken.write_bytes(resealed({"kind": f"run{ESCAPES}", "format": "1.0", ESCAPES: ESCAPES}))
    for json_too in ([], ["--json"]):
        for command in (
            ["ls"], ["ls", KEY], ["show", str(first.ref)], ["show", KEY], ["history", f"{KEY}@production"],
            ["diff", str(first.ref), KEY], ["verify"], ["validate"], ["get", KEY, str(tmp_path / f"out{len(json_too)}")],
            ["delete", str(second.ref), "--reason", f"old{ESCAPES}"], ["prune", KEY, "--keep-last", "1"], ["gc"],
            ["promote", str(first.ref), f"a{ESCAPES}"], ["show", f"gru/{ESCAPES}"], ["show", f"{KEY}:{ESCAPES}"],
            ["get", KEY, str(tmp_path / "x"), "--file", f"f{ESCAPES}"], ["rollback", KEY, "--to", f"a{ESCAPES}"],
            ["show", f"{KEY}:20240101_000000"], ["promote", KEY, "other", "--reason", f"x{ESCAPES}"],
        ):  # fmt: skip
            done = CliRunner().invoke(app, ["--store", store.url, *command, *json_too])
            assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
            bad = {sign for sign in done.output + done.stderr if not sign.isprintable() and sign != "\n"}
            assert not bad, (command, bad)


def test_row_45_the_names_in_an_old_tree_do_not_either(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "gru" / f"BTC{ESCAPES.replace('/', '')}" / "20240816_142301"
    folder.mkdir(parents=True)
    (folder / "model.pth").write_bytes(b"none")
    (folder / "metadata.json").write_text(json.dumps({"symbol": ESCAPES, "model_type": f"gru{ESCAPES}"}))
    for arguments in (["--dry-run"], []):
        done = CliRunner().invoke(app, ["migrate", str(tmp_path / "models"), str(tmp_path / "new"), *arguments])
        assert done.exit_code in {0, 1}, done.output
        assert all(sign.isprintable() or sign == "\n" for sign in done.output + done.stderr)
