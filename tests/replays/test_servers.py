"""Servers that lie: where to go, how much there is, that it is done, what an ETag means."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors
from artifact_store.cli.app import app
from tests.keys import strict
from tests.replays.hostile_s3 import HTTP_TIME, TIME, HostileS3, Reply, Request, contents, failure, xml

KEY = "gru/BTCEUR"
both = pytest.mark.parametrize("engine", ["obstore", "fsspec"])


def opened(server: HostileS3, engine: str, **more: Any) -> ArtifactStore:
    options = {"storage_options": server.options(token="session-token-of-the-caller"), "timeout": 20.0}
    return ArtifactStore(server.url("models"), engine=engine, **{**options, **more})


def of_lists(reply: Callable[[Request], Reply]) -> Callable[[Request], Reply | None]:
    return lambda request: reply(request) if request.lists else None


# ---------------------------------------------------------------- 36: redirects


@both
@pytest.mark.parametrize(
    "status", [302, 308, pytest.param(301, marks=pytest.mark.long), pytest.param(307, marks=pytest.mark.long)]
)
def test_row_36_no_credential_follows_a_redirect(engine: str, status: int) -> None:
    with HostileS3() as server, HostileS3() as other:
        store = opened(server, engine)
        run = store.save({"a": 1}, KEY)
        assert all("authorization" in request.secrets for request in server.seen)  # it is sent where it belongs
        other.objects = dict(server.objects)
        held = dict(other.objects)
        server.lie = lambda request: Reply(status, b"", {"Location": other.endpoint + request.target})
        hasty = opened(server, engine, timeout=1.0)
        for act in (
            lambda: hasty.load(KEY),
            lambda: list(hasty.runs(KEY)),
            lambda: hasty.save({"a": 2}, KEY),
            lambda: hasty.promote(run, "production"),
        ):
            with suppress(errors.ArtifactStoreError):
                act()
        sent = [request for request in other.seen if "authorization" in request.headers]
        assert not sent
        assert not [request for request in other.seen if request.method != "GET"]
        assert other.objects == held  # nothing of ours was stored with a stranger
        assert not any(server.secret_key in json.dumps(request.headers) for request in other.seen)
        if engine == "fsspec":
            assert not other.seen  # obstore's client asks there, without a signature, and nothing can stop it


@both
def test_row_36_what_another_host_says_is_not_believed(engine: str) -> None:
    """Under a policy of signatures, wherever the answer came from."""
    with HostileS3() as server, HostileS3() as other:
        opened(server, engine).save({"a": 1}, KEY)
        opened(other, engine).save({"a": "forged"}, KEY)
        server.lie = lambda request: Reply(308, b"", {"Location": other.endpoint + request.target})
        with pytest.raises((errors.Untrusted, errors.InvalidOption)):
            opened(server, engine, policy=strict()).load(KEY)


# ---------------------------------------------------------------- 37: entities within entities

LAUGHS = '<!DOCTYPE l [<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
BOMB = LAUGHS + "]>"
QUADRATIC = f'<!DOCTYPE q [<!ENTITY a "{"x" * 100_000}">]>'
OUTSIDE = '<!DOCTYPE e [<!ENTITY a11 SYSTEM "file:///etc/passwd">]>'


@both
@pytest.mark.parametrize("bomb", ["in an error", "in a listing", "quadratic", "from outside"])
def test_row_37_entities_are_not_unfolded(engine: str, bomb: str) -> None:
    entry = contents("models/gru/BTCEUR/PLACE", 1, "x").replace(
        "PLACE", "&a11;" if bomb != "quadratic" else "&a;" * 5_000
    )
    before = {"quadratic": QUADRATIC, "from outside": OUTSIDE}.get(bomb, BOMB)
    answers = {
        "in an error": failure(400, "&a11;", before=before, message="&a11;"),
        "in a listing": Reply(body=xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{entry}", before=before)),
    }
    answer = answers["in an error" if bomb == "in an error" else "in a listing"]
    with HostileS3() as server:
        store = opened(server, engine, timeout=1.0)
        opened(server, engine).save({"a": 1}, KEY)
        server.lie = lambda request: answer if request.lists or bomb == "in an error" else None
        begun, before_memory = time.monotonic(), memory()
        for act in (lambda: list(store.runs(KEY)), store.models, lambda: store.gc().changes):
            try:
                told = str(act())
            except errors.ArtifactStoreError as error:
                told = str(error)
            assert "root:" not in told
            assert len(told) < 100_000
        assert memory() - before_memory < 300 << 20
        assert time.monotonic() - begun < 60  # not a measure: unfolded, it would take for ever


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
    "the same token": f"{MORE}<NextContinuationToken>t</NextContinuationToken>{ENTRY}",
    "the same token and nothing": f"{MORE}<NextContinuationToken>t</NextContinuationToken>",
}


@both
@pytest.mark.parametrize("endless", ENDLESS)
def test_row_38_a_listing_that_does_not_go_on_is_given_up(engine: str, endless: str) -> None:
    with HostileS3() as server:
        honest = opened(server, engine)
        honest.save({"a": 1}, KEY)
        server.lie = of_lists(lambda _: Reply(body=xml("ListBucketResult", ENDLESS[endless])))
        store = opened(server, engine, timeout=0.5)
        for act in (lambda: list(store.runs(KEY)), store.models, store.gc):
            with pytest.raises((errors.Corrupt, errors.DeadlineExceeded)):
                act()
        asked = len(server.seen)
        time.sleep(0.3)
        assert len(server.seen) <= asked + 2  # and nothing goes on asking behind our back
        assert honest.load(KEY) == {"a": 1}


@both
def test_row_38_a_long_listing_is_read_to_its_end(engine: str) -> None:
    with HostileS3() as server:
        store = opened(server, engine)
        store.save({"a": 1}, KEY)
        server.objects |= {f"models/gru/S{number:04d}/latest.json": b"" for number in range(2500)}
        assert len(store.models()) == 2501


ODD = {
    "no token": MORE,
    "no size": "<IsTruncated>false</IsTruncated><Contents><Key>models/gru/BTCEUR/x</Key></Contents>",
    "a size below nothing": f"<IsTruncated>false</IsTruncated>{ENTRY.replace('<Size>5', '<Size>-5')}",
    "no time": f"<IsTruncated>false</IsTruncated>{ENTRY.replace(TIME, 'never')}",
    "a foreign prefix": "<IsTruncated>false</IsTruncated>"
    + contents("elsewhere-and-longer-than-that/x/y/z", 5, '"x"')
    + "<CommonPrefixes><Prefix>elsewhere/gru/</Prefix></CommonPrefixes>",
}


@both
@pytest.mark.parametrize("odd", [*ODD, "a page of words", "nothing", "no XML", "deep"])
def test_row_38_what_is_no_listing_ends_in_an_error_of_ours(engine: str, odd: str) -> None:
    bodies = {
        "a page of words": b"<html><body>Log in</body></html>",
        "nothing": b"",
        "no XML": b"{}",
        "deep": b"<a>" * 20_000,
    }
    body = xml("ListBucketResult", ODD[odd]) if odd in ODD else bodies[odd]
    with HostileS3() as server:
        store = opened(server, engine, timeout=3.0)
        run = store.save({"a": 1}, KEY)
        server.lie = of_lists(lambda _: Reply(body=body))
        for act in (lambda: list(store.runs(KEY)), store.models, lambda: store.gc().changes):
            try:
                found = act()
            except errors.ArtifactStoreError:
                continue
            assert found in ([], ())  # obstore takes what it does not understand for an empty listing
            assert engine == "obstore" or odd in ODD
        assert f"models/{KEY}/{run.run_id}/model.json" in server.objects
        assert store.load(KEY) == {"a": 1}


def endless(write: Callable[[bytes], object]) -> None:
    for _ in range(200):
        write(bytes(1 << 20))


@both
@pytest.mark.parametrize("told", ["no length", "a wrong length", "a range of unknown length"])
@pytest.mark.parametrize("what", ["latest.json", "model.json"])
def test_row_38_a_body_without_an_end_is_given_up(engine: str, told: str, what: str) -> None:
    headers = {"ETag": '"x"', "Last-Modified": HTTP_TIME}
    if told == "a wrong length":
        headers["Content-Length"] = str(200 << 20)
    status = 206 if told == "a range of unknown length" else 200
    if status == 206:
        headers |= {"Content-Range": "bytes 0-9/*", "Content-Length": "10"}
    with HostileS3() as server:
        opened(server, engine).save({"a": 1}, KEY)
        body = b"0123456789" if status == 206 else endless
        server.lie = lambda request: Reply(status, body, headers) if request.key.endswith(what) else None
        before = memory()
        with pytest.raises((errors.Corrupt, errors.Unavailable)):
            opened(server, engine, timeout=1.0).load(KEY)
        assert memory() - before < 100 << 20


# ---------------------------------------------------------------- 39: done, it says


@both
def test_row_39_an_upload_that_failed_behind_a_200_is_no_file(engine: str) -> None:
    error = failure(200, "InternalError")
    with HostileS3() as server:
        store = opened(server, engine, timeout=5.0)
        before = store.save({"a": 0}, KEY)
        server.lie = lambda request: error if "uploadId" in request.query and request.method == "POST" else None
        with pytest.raises(errors.ArtifactStoreError):
            store.save(bytes(9 << 20), KEY, run_id="20240101_000000")
        assert f"models/{KEY}/20240101_000000/manifest.json" not in server.objects
        assert store.get(KEY) == before
        times = iter([error])
        server.lie = lambda request: (
            next(times, None) if "uploadId" in request.query and request.method == "POST" else None
        )
        run = None
        try:
            run = store.save(bytes(9 << 20), KEY, run_id="20240102_000000")
        except errors.ArtifactStoreError:
            assert f"models/{KEY}/20240102_000000/manifest.json" not in server.objects
        server.lie = None
        if run is not None:
            assert store.load(KEY) == bytes(9 << 20)
        assert store.verify().ok


@both
def test_row_39_a_file_that_was_acknowledged_and_is_not_there_is_noticed(engine: str) -> None:
    """A 200 to a PUT whose bytes are lost: nothing can know at once, and whoever loads is told."""
    with HostileS3() as server:
        server.lie = lambda request: (
            Reply(headers={"ETag": '"x"'}) if request.method == "PUT" and request.key.endswith("model.json") else None
        )
        store = opened(server, engine)
        run = store.save({"a": 1}, KEY)
        with pytest.raises(errors.Corrupt, match="is missing"):
            store.load(KEY)
        assert not store.verify(str(run.ref)).ok


# ---------------------------------------------------------------- 48: a key with an empty part


@both
@pytest.mark.parametrize(
    "key",
    [
        "models/gru/BTCEUR//x",
        *(pytest.param(f"models/{key}", marks=pytest.mark.long) for key in ("/x", "gru/../x", "gru/BTCEUR/./x")),
    ],
)
def test_row_48_one_odd_key_hides_nothing(engine: str, key: str) -> None:
    with HostileS3() as server:
        store = opened(server, engine)
        runs = [store.save({"a": number}, KEY) for number in range(2)]
        server.objects[key] = b"somebody's"
        assert store.models() == [runs[0].key]
        assert [run.run_id for run in store.runs()] == [runs[1].run_id, runs[0].run_id]
        assert store.verify().ok
        assert store.delete(str(runs[0].ref)).apply().ok
        assert store.gc(grace=timedelta(0)).apply().ok
        assert not [name for name in server.objects if runs[0].run_id in name and not name.endswith("manifest.json")]
        assert server.objects[key] == b"somebody's"
        options = [
            f"--option={name}={value}" for name, value in (("key", server.access_key), ("secret", server.secret_key))
        ]
        place = ["--store", server.url("models"), "--engine", engine, "--endpoint-url", server.endpoint, *options]
        done = CliRunner().invoke(app, [*place, "ls"], env={"AWS_REGION": "us-east-1"})
        assert (done.exit_code, runs[1].run_id in done.output) == (0, True), done.output


# ---------------------------------------------------------------- 49: what an ETag is


@both
def test_row_49_an_etag_is_a_version_and_no_digest(engine: str) -> None:
    """The ETags of this server are no MD5 of anything, as with keys of the cloud and with uploads in parts."""
    with HostileS3() as server:
        store = opened(server, engine)
        data = bytes(range(256)) * (9 << 12)
        run = store.save(data, KEY)
        assert run.files["model.bin"].size > 8 << 20
        assert store.load(KEY) == data
        for number in range(3):
            store.promote(run, "production", reason=str(number))
        assert store.history(f"{KEY}@production")[-1].seq == 3
        assert store.verify().ok


@both
def test_row_49_no_etag_is_no_version(engine: str) -> None:
    with HostileS3() as server:
        opened(server, engine).save({"a": 1}, KEY)
        data = server.objects[f"models/{KEY}/latest.json"]
        server.lie = lambda request: (
            Reply(body=data, headers={"Last-Modified": HTTP_TIME})
            if request.method == "GET" and request.key.endswith("latest.json")
            else None
        )
        with pytest.raises(errors.Unsupported):
            opened(server, engine).load(KEY)
