"""Servers that lie: where to go, how much there is, that it is done, what an ETag means."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import artifact_store
from artifact_store import ArtifactStore, Run, errors
from artifact_store.storage.memory import MemoryBackend
from tests.keys import strict
from tests.proofs.replays.hostile_s3 import HTTP_TIME, TIME, HostileS3, Reply, Request, contents, failure, xml

pytestmark = pytest.mark.xdist_group("replays_servers")  # clients are made once, which is what costs

KEY = "gru/BTCEUR"
LONG = pytest.mark.nightly


@dataclass(slots=True)
class World:
    """A bucket with a run in it, and two clients of one engine: one that has time, and one that soon gives up."""

    engine: str
    server: HostileS3
    store: ArtifactStore
    hasty: ArtifactStore
    run: Run
    sound: dict[str, bytes]

    def under(self, **more: Any) -> ArtifactStore:
        """The patient client, with other options of the store."""
        return ArtifactStore(self.store._context.backend, **more)


@pytest.fixture(scope="module", params=["obstore", "fsspec"])
def made(request: pytest.FixtureRequest) -> Iterator[World]:
    with HostileS3() as server:

        def opened(seconds: float) -> ArtifactStore:
            options = server.options(token="session-token-of-the-caller")
            return ArtifactStore(server.url("models"), engine=request.param, storage_options=options, timeout=seconds)

        store, hasty = opened(30.0), opened(1.0)
        run = store.save({"a": 1}, KEY)
        for _ in range(20):
            with suppress(errors.Unavailable):
                hasty.load(KEY)
                break
        yield World(request.param, server, store, hasty, run, dict(server.objects))
        store.close()
        hasty.close()


@pytest.fixture
def world(made: World) -> Iterator[World]:
    """The bucket as it was, and a server that tells the truth until the test says otherwise."""
    made.server.objects = dict(made.sound)
    made.server.seen.clear()
    yield made
    made.server.lie = None


def of_lists(reply: Callable[[Request], Reply]) -> Callable[[Request], Reply | None]:
    return lambda request: reply(request) if request.lists else None


# ---------------------------------------------------------------- 36: redirects


def elsewhere(server: HostileS3, status: int) -> Callable[[Request], Reply]:
    return lambda request: Reply(status, b"", {"Location": server.endpoint + request.target})


@pytest.mark.parametrize("status", [308, *(pytest.param(status, marks=LONG) for status in (301, 302, 307))])
def test_row_36_no_credential_follows_a_redirect(world: World, status: int) -> None:
    server, hasty = world.server, world.hasty
    world.store.load(KEY)
    assert all("authorization" in request.secrets for request in server.seen)  # it is sent where it belongs
    with HostileS3() as other:
        other.objects = dict(world.sound)
        server.lie = elsewhere(other, status)
        for act in (
            lambda: hasty.load(KEY),
            lambda: list(hasty.runs(KEY)),
            lambda: hasty.save({"a": 2}, KEY),
            lambda: hasty.promote(world.run, "production"),
        ):
            with suppress(errors.ArtifactStoreError):
                act()
        assert not [request for request in other.seen if "authorization" in request.headers]
        assert not [request for request in other.seen if request.method != "GET"]
        assert other.objects == world.sound  # nothing of ours was stored with a stranger
        assert not any(server.secret_key in json.dumps(request.headers) for request in other.seen)
        if world.engine == "fsspec":
            assert not other.seen  # obstore's client asks there, without a signature, and nothing can stop it


def test_row_36_what_another_host_says_is_not_believed(world: World) -> None:
    """Under a policy of signatures, wherever the answer came from."""
    forger = MemoryBackend()
    ArtifactStore(forger).save({"a": "forged"}, KEY)
    with HostileS3() as other:
        for entry in forger.list(""):
            other.objects[f"models/{entry.key}"] = b"".join(forger.stream(entry.key, size=entry.size))
        world.server.lie = elsewhere(other, 308)
        with pytest.raises((errors.Untrusted, errors.InvalidOption)):
            world.under(policy=strict()).load(KEY)


# ---------------------------------------------------------------- 37: entities within entities


@pytest.mark.parametrize("where", ["an error", "a listing"])
def test_row_37_an_entity_from_outside_is_not_fetched(world: World, where: str, tmp_path: Path) -> None:
    secret = "what stands in a file of the client"
    (tmp_path / "secret.txt").write_text(secret)
    before = f'<!DOCTYPE e [<!ENTITY outside SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
    entry = contents("models/gru/BTCEUR/PLACE", 1, "x").replace("PLACE", "&outside;")
    answers = {
        "an error": failure(400, "&outside;", before=before, message="&outside;"),
        "a listing": Reply(body=xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{entry}", before=before)),
    }
    world.server.lie = lambda request: answers[where] if request.lists or where == "an error" else None
    for act in (lambda: list(world.hasty.runs(KEY)), lambda: list(world.hasty._context.backend.list(""))):
        try:
            told = str(act())
        except errors.ArtifactStoreError as error:
            told = str(error)
        assert secret not in told


def test_row_37_the_parser_of_answers_bounds_what_entities_make() -> None:
    """expat does so from 2.4.1 on. Nothing of ours reads XML, and obstore's parser knows no entities of a document."""
    import pyexpat

    assert pyexpat.version_info >= (2, 4, 1)
    sources = Path(artifact_store.__file__).parent.rglob("*.py")
    assert not [
        path for path in sources if re.search(r"^\s*(import|from) xml\b", path.read_text("utf-8"), re.MULTILINE)
    ]


def memory() -> int:
    """The most memory that this process ever took, in bytes."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


# ---------------------------------------------------------------- 38: listings that do not end, or are none

ENTRY = contents("models/gru/BTCEUR/latest.json", 5, '"x"')
MORE = "<IsTruncated>true</IsTruncated>"
ENDLESS = {
    "the same again": f"{MORE}<NextContinuationToken>t</NextContinuationToken>{ENTRY}",
    "nothing again": f"{MORE}<NextContinuationToken>t</NextContinuationToken>",
}


@pytest.mark.parametrize(
    ("endless", "level"),
    [
        ("the same again", False),
        *(pytest.param(name, level, marks=LONG) for name in ENDLESS for level in (False, True)),
    ],
)
def test_row_38_a_listing_that_does_not_go_on_is_given_up(world: World, endless: str, *, level: bool) -> None:
    server, backend = world.server, world.hasty._context.backend
    server.lie = of_lists(lambda _: Reply(body=xml("ListBucketResult", ENDLESS[endless])))
    with pytest.raises((errors.Corrupt, errors.DeadlineExceeded)):
        list(backend.children("") if level else backend.list(""))
    asked = len(server.seen)
    time.sleep(0.3)
    assert len(server.seen) <= asked + 2  # and nothing goes on asking behind our back
    assert world.store.load(KEY) == {"a": 1}


def test_row_38_a_long_listing_is_read_to_its_end(world: World) -> None:
    world.server.objects |= {f"models/gru/S{number:04d}/latest.json": b"" for number in range(2500)}
    assert len(world.store.models()) == 2501
    assert len(list(world.store._context.backend.list("gru/"))) == 2500 + 4


ODD = {
    "no token": MORE,
    "no size": "<IsTruncated>false</IsTruncated><Contents><Key>models/gru/BTCEUR/x</Key></Contents>",
    "a size below nothing": f"<IsTruncated>false</IsTruncated>{ENTRY.replace('<Size>5', '<Size>-5')}",
    "no time": f"<IsTruncated>false</IsTruncated>{ENTRY.replace(TIME, 'never')}",
    "a foreign prefix": "<IsTruncated>false</IsTruncated>"
    + contents("elsewhere-and-longer-than-that/x/y/z", 5, '"x"')
    + "<CommonPrefixes><Prefix>elsewhere/gru/</Prefix></CommonPrefixes>",
}
WORDS = {
    "a page of words": b"<html><body>Log in</body></html>",
    "nothing": b"",
    "no XML": b"{}",
    "deep": b"<a>" * 20_000,
}


@pytest.mark.parametrize("odd", [*ODD, "a page of words", *(pytest.param(odd, marks=LONG) for odd in list(WORDS)[1:])])
def test_row_38_what_is_no_listing_ends_in_an_error_of_ours(world: World, odd: str) -> None:
    body = xml("ListBucketResult", ODD[odd]) if odd in ODD else WORDS[odd]
    world.server.lie = of_lists(lambda _: Reply(body=body))
    backend = world.hasty._context.backend
    for act in (lambda: list(backend.list("")), lambda: list(backend.children("gru/"))):
        try:
            found = act()
        except errors.ArtifactStoreError:
            continue
        assert found == []  # obstore takes what it does not understand for an empty listing
        assert world.engine == "obstore" or odd in ODD
    assert world.server.objects == world.sound
    assert world.store.load(KEY) == {"a": 1}


def endless_body(write: Callable[[bytes], object]) -> None:
    for _ in range(200):
        write(bytes(1 << 20))


@pytest.mark.parametrize("told", ["no length", "a wrong length", "a range of unknown length"])
@pytest.mark.parametrize("what", ["latest.json", pytest.param("model.json", marks=LONG)])
def test_row_38_a_body_without_an_end_is_given_up(world: World, told: str, what: str) -> None:
    headers = {"ETag": '"x"', "Last-Modified": HTTP_TIME}
    if told == "a wrong length":
        headers["Content-Length"] = str(200 << 20)
    status = 206 if told == "a range of unknown length" else 200
    if status == 206:
        headers |= {"Content-Range": "bytes 0-9/*", "Content-Length": "10"}
    body = b"0123456789" if status == 206 else endless_body
    world.server.lie = lambda request: Reply(status, body, headers) if request.key.endswith(what) else None
    before = memory()
    with pytest.raises((errors.Corrupt, errors.Unavailable)):
        world.hasty.load(KEY)
    assert memory() - before < 100 << 20


# ---------------------------------------------------------------- 39: done, it says


def test_row_39_an_upload_that_failed_behind_a_200_is_no_file(world: World) -> None:
    server, error, data = world.server, failure(200, "InternalError"), bytes(9 << 20)

    def completes(request: Request) -> bool:
        return "uploadId" in request.query and request.method == "POST"

    server.lie = lambda request: error if completes(request) else None
    with pytest.raises(errors.ArtifactStoreError):
        world.hasty.save(data, KEY, run_id="20240101_000000")
    assert f"models/{KEY}/20240101_000000/manifest.json" not in server.objects
    times = iter([error])
    server.lie = lambda request: next(times, None) if completes(request) else None
    with suppress(errors.ArtifactStoreError):
        world.store.save(data, KEY, run_id="20240102_000000")
        assert world.store.load(KEY) == data
    assert next(times, None) is None
    server.lie = None
    assert world.store.verify().ok
    assert world.store.load(str(world.run.ref)) == {"a": 1}


def test_row_39_a_file_that_was_acknowledged_and_is_not_there_is_noticed(world: World) -> None:
    """A 200 to a PUT whose bytes are lost: nothing can know at once, and whoever loads is told."""
    world.server.lie = lambda request: (
        Reply(headers={"ETag": '"x"'}) if request.method == "PUT" and request.key.endswith("model.json") else None
    )
    run = world.store.save({"a": 2}, KEY)
    with pytest.raises(errors.Corrupt, match="is missing"):
        world.store.load(KEY)
    assert not world.store.verify(str(run.ref)).ok


# ---------------------------------------------------------------- 48: a key with an empty part

ODD_KEYS = [
    "models/gru/BTCEUR//x",
    *(pytest.param(f"models/{key}", marks=LONG) for key in ("/x", "gru/../x", "gru/BTCEUR/./x")),
]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_row_48_one_odd_key_hides_nothing(world: World, key: str) -> None:
    server, store, older = world.server, world.store, world.run
    newer = store.save({"a": 2}, KEY)
    server.objects[key] = b"somebody's"
    assert store.models() == [older.key]
    assert [run.run_id for run in store.runs()] == [newer.run_id, older.run_id]
    assert store.verify().ok
    assert store.delete(str(older.ref)).apply().ok
    assert store.gc(grace=timedelta(0)).apply().ok
    assert not [
        name
        for name in server.objects
        if older.run_id in name and "/_index/" not in name and not name.endswith("manifest.json")
    ]
    assert server.objects[key] == b"somebody's"


# ---------------------------------------------------------------- 49: what an ETag is


def test_row_49_an_etag_is_a_version_and_no_digest(world: World) -> None:
    """The ETags of this server are no MD5 of anything, as with keys of the cloud and with uploads in parts."""
    data = bytes(range(256)) * (9 << 12)
    run = world.store.save(data, KEY)
    assert run.files["model.bin"].size > 8 << 20
    assert world.store.load(KEY) == data
    for number in range(3):
        world.store.promote(run, "production", reason=str(number))
    assert world.store.history(f"{KEY}@production")[-1].seq == 3
    assert world.store.verify().ok


def test_row_49_no_etag_is_no_version(world: World) -> None:
    data = world.sound[f"models/{KEY}/latest.json"]
    world.server.lie = lambda request: (
        Reply(body=data, headers={"Last-Modified": HTTP_TIME}) if request.key.endswith("latest.json") else None
    )
    with pytest.raises(errors.Unsupported):
        world.store.load(KEY)
