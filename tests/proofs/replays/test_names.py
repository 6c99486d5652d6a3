"""Names that lead elsewhere, and names that a platform takes for others: refused at every door, before anything is done."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
import zipfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, Draft, errors
from artifact_store.canonical import canonical, sha256
from artifact_store.cli.app import app
from artifact_store.core import keys
from artifact_store.core.names import ModelKey
from artifact_store.ops.last_seen import LastSeen
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from tests.hostile import zip_with
from tests.legacy_cases import CASES
from tests.proofs.replays.doors import KEY, in_a_draft, refused, refused_by_the_program, stays_inside
from tests.proofs.replays.surroundings import photograph, untouched
from tests.unit.samples import resealed

OTHER = "20240101_000000"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with somebody's files around the root of a store, which the names below lead to."""
    for place in ("outside", "gru/BTCEUR", "secret"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "manifest.json").write_text("not ours")
    (tmp_path / "secret.json").write_text("{}")
    return tmp_path


@pytest.fixture
def store(home: Path) -> ArtifactStore:
    store = ArtifactStore(home / "store")
    store.save({"a": 1}, KEY, run_id=OTHER)
    return store


def around(home: Path) -> dict[str, str]:
    """All but the store, and what a reader may make."""
    return {name: what for name, what in photograph(home).items() if name.partition("/")[0] not in {"store", "dest"}}


def replayed(store: ArtifactStore, home: Path, texts: list[str], *, program: int = 2) -> None:
    """Put the texts to every door; the first ones to every command as well."""
    before = around(home)
    with untouched(home / "store"):
        for text in texts:
            refused(store, text)
        for text in texts[:program]:
            refused_by_the_program(store.url, text, home)
    for number, text in enumerate(texts):
        stays_inside(text, home / "dest" / str(number))
    shutil.rmtree(home / "dest")
    assert around(home) == before
    assert not (home / "dest").exists()


# ---------------------------------------------------------------- 1, 2, 3: paths, decoding, parts of URLs

PATHS = [
    "../../outside",
    "/etc/passwd",
    "..",
    "..\\..\\outside",
    "file:///etc/passwd",
    "C:\\Windows",
    "a/../../outside",
    ".",
]
ENCODED = ["BTC%2545UR", "%42TCEUR", "gru%252FBTCEUR", "gru%2fBTCEUR"]
SMUGGLED = [
    "BTCEUR;a=b",
    "BTCEUR?x=y",
    "BTCEUR#",
    "FILE:///BTCEUR",
    "//x",
]


def test_row_01_a_path_is_a_name_at_no_door(store: ArtifactStore, home: Path) -> None:
    assert (home / "store" / PATHS[0]).resolve() != home / "store" / PATHS[0]  # it does lead elsewhere
    replayed(store, home, PATHS)


@pytest.mark.parametrize("path", [*PATHS, "model.json/../../../secret", "", "model.json\0"])
@pytest.mark.parametrize("where", ["path", "key"])
def test_row_01_a_path_in_a_manifest_leads_nowhere(store: ArtifactStore, home: Path, path: str, where: str) -> None:
    """As by somebody who may write to the storage, and knows the format."""
    before = around(home)
    plant(home, lambda manifest: manifest["files"][0].update({where: path}))
    for read in (store.load, store.get):
        with pytest.raises(errors.Corrupt):
            read(f"{KEY}:{OTHER}")
    assert [type(problem.error) for problem in store.verify(f"{KEY}:{OTHER}").problems] == [errors.Corrupt]
    with pytest.raises(errors.Corrupt):
        store.get(f"{KEY}:{OTHER}").download(home / "dest")
    listing = store.runs(KEY)
    assert (list(listing), len(listing.problems)) == ([], 1)
    assert around(home) == before
    assert not (home / "dest").exists()


def plant(home: Path, change: object) -> None:
    """Change the manifest of the run, with checksums that fit; no pointer speaks against it."""
    folder = home / "store" / KEY
    (folder / "latest.json").unlink(missing_ok=True)
    path = folder / OTHER / "manifest.json"
    value = json.loads(path.read_bytes())
    change(value)  # type: ignore[operator]
    path.write_bytes(resealed(value))


def test_row_02_nothing_is_decoded(store: ArtifactStore, home: Path) -> None:
    for text in ENCODED:
        assert unquote(unquote(text)) in {"BTCEUR", KEY}, (
            text
        )  # decoded twice, it is the name of the model that is there
    replayed(store, home, ENCODED, program=1)


def test_row_02_delete_and_gc_take_no_folder_outside(store: ArtifactStore, home: Path) -> None:
    """Names on the disk that are others when they are decoded are no runs, and are left alone."""
    folder = home / "store" / "gru" / "%42TC" / "20230101_000000"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("somebody's")
    before = around(home)
    plan = store.gc(grace=timedelta(0))
    assert not plan.changes
    plan.apply()
    assert (folder / "model.json").read_text() == "somebody's"
    with pytest.raises(errors.RunNotFound):  # its run would be below `;2542TC`
        store.delete("gru/%42TC:20230101_000000")
    assert CliRunner().invoke(app, ["--store", store.url, "gc", "--grace", "0s", "--apply"]).exit_code == 0
    assert around(home) == before


def test_row_03_nothing_is_smuggled_in_a_name(store: ArtifactStore, home: Path) -> None:
    replayed(store, home, SMUGGLED, program=1)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "FILE:///tmp/x",
            "file:/tmp/x",
            "file://host/tmp/x",
            "File:tmp",
            "://tmp/x",
            ":/tmp/x",
            "//tmp/x",
            "//host/share",
        ),
        *("file:///tmp/x?y", "file:///tmp/x#y", "file:///tmp/x;y", "file:///tmp/%2e%2e/x", "file:///tmp/../x"),
        *("s3:/bucket/x", "S3://bucket/x", "s3://bucket/../other", "s3://bucket/a;b", "s3://bucket/a?versionId=1"),
        *("s3://bucket#@evil.example/x", "s3://evil.example@bucket/x", "s3://bucket/%2e%2e/x", "s3:///etc/passwd"),
        *("s3://bucket\\..\\other", "simplecache::s3://bucket/x", "./x?y", "./x#y", "./%2e%2e/x", "s3://bucket/a//b"),
    ],
)
def test_row_03_a_store_has_one_spelling_of_its_url(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    with untouched(home):
        with pytest.raises(errors.InvalidOption):
            ArtifactStore(url)
        done = CliRunner().invoke(app, ["--store", url, "ls"])
        assert done.exit_code == 2, done.output


# ---------------------------------------------------------------- 21, 22, 23: what a listing, an archive, a model names

LEADING_OUT = [
    "../outside.txt",
    "/tmp/outside.txt",
    "a/../../outside.txt",
    "..\\outside.txt",
    "a//b",
    "./a",
    "~/outside.txt",
]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_row_21_names_in_a_manifest_write_nothing_outside_of_the_download(
    store: ArtifactStore, home: Path, name: str
) -> None:
    data = (home / "store" / KEY / OTHER / "model.json").read_bytes()
    entry = {"path": name, "key": name, "size": len(data), "sha256": sha256(data)}
    (home / "store" / KEY / "outside.txt").write_bytes(data)  # so that the key is there, in the place that it leads to
    plant(home, lambda manifest: manifest["files"].append(entry))
    before = around(home)
    with pytest.raises(errors.Corrupt):
        store.get(f"{KEY}:{OTHER}").download(home / "dest")
    for command in (["get"], ["export", "--legacy", "--pickles"]):
        done = CliRunner().invoke(app, ["--store", store.url, *command, f"{KEY}:{OTHER}", str(home / "dest")])
        assert done.exit_code == 8, done.output
    assert around(home) == before
    assert not (home / "dest").exists()


@pytest.mark.parametrize(
    "options", [{"name": "../outside.txt"}, {"name": "/tmp/outside.txt"}, {"name": ".."}, {"name": "a\\b"}]
)
def test_row_22_a_recorded_name_leads_to_no_other_folder(home: Path, options: dict[str, str]) -> None:
    store = ArtifactStore(home / "store")
    (home / "secret" / "model.bin").write_bytes(b"model")
    store.save(home / "secret" / "model.bin", KEY, run_id=OTHER)
    plant(home, lambda manifest: manifest["components"]["model"]["options"].update(options))
    before = around(home)
    with pytest.raises(errors.Corrupt):
        store.load(f"{KEY}:{OTHER}", into=home / "dest")
    assert around(home) == before


@pytest.mark.parametrize("empty", ["../outside2", "/tmp/outside2", "a/../../outside2"])
def test_row_22_a_recorded_folder_is_made_in_no_other_one(home: Path, empty: str) -> None:
    store = ArtifactStore(home / "store")
    (home / "secret" / "hollow").mkdir()
    store.save(home / "secret", KEY, run_id=OTHER)
    plant(home, lambda manifest: manifest["components"]["model"]["options"].update(empty=[empty]))
    before = around(home)
    with pytest.raises(errors.Corrupt):
        store.load(f"{KEY}:{OTHER}", into=home / "dest")
    assert around(home) == before


@pytest.mark.parametrize(
    "member", ["../outside.txt", "/tmp/replayed-outside", "..\\outside.txt", "a/../../outside.txt"]
)
def test_row_22_members_of_an_old_archive_are_unpacked_nowhere(home: Path, member: str) -> None:
    case = CASES["ppo_vecnorm_box"]
    data = zip_with(member, case.file.read_bytes)(home)
    assert member in zipfile.ZipFile(BytesIO(data)).namelist()
    folder = home / "old" / "models" / "ppo" / "BTCEUR" / OTHER
    folder.mkdir(parents=True)
    (folder / "model.zip").write_bytes(data)
    before = around(home)
    done = CliRunner().invoke(app, ["migrate", str(home / "old" / "models"), str(home / "store"), "--json"])
    assert [run["outcome"] for run in json.loads(done.stdout)["runs"]] == ["refused"]
    assert around(home) == before
    assert not Path("/tmp/replayed-outside").exists()


def test_row_23_a_file_is_read_from_no_other_run_and_no_other_place(store: ArtifactStore, home: Path) -> None:
    """The bytes that the key leads to are there, and have the right digest: it is the key that is refused."""
    victim = store.save({"secret": 1}, "gru/ETHEUR", run_id="20240102_000000")
    (entry,) = (each for each in victim.manifest.files if each.path == "model.json")
    wanted = {"size": entry.size, "sha256": entry.sha256}
    steps = [
        "../20240102_000000/model.json",
        "../../ETHEUR/20240102_000000/model.json",
        str(home / "store" / "gru" / "ETHEUR" / "20240102_000000" / "model.json"),
        "model.json.deadbeef/../../../ETHEUR/20240102_000000/model.json",
    ]
    naive = (home / "store" / KEY / OTHER / steps[1]).read_bytes()
    assert sha256(naive) == entry.sha256  # who only joins paths and compares the digest reads it
    for step in steps:
        plant(home, lambda manifest, step=step: manifest["files"][-1].update(key=step, **wanted))
        with pytest.raises(errors.Corrupt, match="is said to be stored at"):
            store.load(f"{KEY}:{OTHER}")


# ---------------------------------------------------------------- 24, 25, 26: what platforms fold

OURS = [
    *(
        "MANIFEST.JSON",
        "Manifest.json",
        "metadata.JSON",
        "manifest.json",
        "manifest.json/x",
        "_Signatures/x",
        "_signatures/x",
    ),
    *(
        "_locks/00.lock",
        "_LOCKS/00.lock",
        "_store.json",
        ".git/config",
        ".tmp-0",
        "manifest.json.",
        "manifest.json ",
        "MANIF~1.JSO",
    ),
    *("mani\u200cfest.json", "\ufeffmanifest.json", "manifest.json\u00a0", "manıfest.json"),
]


def test_row_24_no_name_of_a_file_stands_for_ours(store: ArtifactStore, home: Path) -> None:
    with untouched(home / "store"):
        for name in OURS:
            with pytest.raises(errors.InvalidName):
                in_a_draft(store, KEY, lambda draft, name=name: draft.add_file(name, __file__))
        for alias in ("manifest", "metadata", "config", "Latest", "LATEST", "latest.json", "latest.history"):
            with pytest.raises(errors.InvalidName):
                store.promote(KEY, alias)


def test_row_24_no_two_names_differ_by_case_only(store: ArtifactStore, home: Path) -> None:
    def twins(draft: Draft) -> None:
        draft.add_file("Report.html", __file__)
        draft.add_file("report.HTML", __file__)

    with untouched(home / "store"), pytest.raises(errors.InvalidName, match="could not tell it from"):
        in_a_draft(store, KEY, twins)
    with untouched(home / "store"), pytest.raises(errors.InvalidName, match="could not tell them apart"):
        store.save({"a": 1}, "gru/btceur")
    plant(
        home,
        lambda manifest: manifest["files"].append({**manifest["files"][0], "path": "MODEL.json", "key": "MODEL.json"}),
    )
    with pytest.raises(errors.Corrupt):
        store.get(f"{KEY}:{OTHER}")


DEVICES = [
    *(
        "nul",
        "NUL.txt",
        "con",
        "aux.json",
        "com1",
        "COM9.pt",
        "lpt¹",
        "prn",
        "conin$",
        "a/nul/b",
        "nul.tar.gz",
        "nul .txt",
    ),
    *(
        "model.pt:stream",
        "model.pt::$DATA",
        "a:b",
        "trailing.",
        "trailing ",
        "a./b",
        " leading",
        "a\tb",
        "a\x00b",
        "a|b",
        "a*b",
    ),
]


def test_row_25_devices_and_streams_are_no_names(store: ArtifactStore, home: Path) -> None:
    with untouched(home / "store"):
        for name in DEVICES:
            with pytest.raises(errors.InvalidName):
                in_a_draft(store, KEY, lambda draft, name=name: draft.add_file(name, __file__))
        for name in ("nul", "con", "aux", "com1", "lpt9"):
            with pytest.raises(errors.InvalidName, match="device"):
                store.save({"a": 1}, name)
            with pytest.raises(errors.InvalidName, match="device"):
                store.promote(KEY, name)
    replayed(store, home, ["BTCEUR::$INDEX_ALLOCATION", "BTCEUR:stream", "BTCEUR.", "NUL"], program=1)


def test_row_26_no_two_names_are_one_after_normalisation(store: ArtifactStore, home: Path) -> None:
    composed, decomposed = "mod\u00e8le.bin", "mode\u0300le.bin"
    assert unicodedata.normalize("NFC", decomposed) == composed != decomposed
    with pytest.raises(errors.InvalidName, match="NFC"):
        in_a_draft(store, KEY, lambda draft: draft.add_file(decomposed, __file__))
    for one, other in (
        ("ﬁle.bin", "file.bin"),
        ("straße", "STRASSE"),
        ("ſ", "s"),
        ("ı", "i"),
        (composed, "MODÈLE.bin"),
    ):

        def twins(draft: Draft, one: str = one, other: str = other) -> None:
            draft.add_file(one, __file__)
            draft.add_file(other, __file__)

        with untouched(home / "store"), pytest.raises(errors.InvalidName, match="could not tell it from"):
            in_a_draft(store, KEY, twins)
    replayed(store, home, ["BTCÈUR", "BTCEUR\u0300", "ＢＴＣＥＵＲ", "GRUETH~1"], program=1)


# ---------------------------------------------------------------- 35: a client's own folder


class Hostile(MemoryBackend):
    """A root with a name that leads elsewhere."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    @property
    def places(self) -> tuple[str, ...]:
        return (self.url,)


@pytest.mark.parametrize("alias", ["../../outside", "latest", "a" * 64])
def test_row_35_what_a_client_remembers_stays_in_its_folder(home: Path, alias: str) -> None:
    """The names under which it is kept are digests, whatever a store says that it is called."""
    for url in ("s3://bucket/../../outside", "/../../outside", "memory://x"):
        place = keys.seen_alias("../../outside", ModelKey("gru", "BTCEUR"), alias)
        assert os.sep not in place
        assert place == f"{sha256(canonical(['../../outside', KEY, alias]))}.json"
        assert os.sep not in keys.seen_store(url)
    with untouched(home):
        marks = LastSeen(home / "state", RetryPolicy(seconds=5))
        for url in ("s3://bucket/../../outside", "/../../outside", "memory://x"):
            marks.check_absence(Hostile(url), ModelKey("gru", "BTCEUR"), alias, lambda: "../../outside")
