"""The servers that other tests rely on do what they are taken to do."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import s3fs
from botocore.exceptions import BotoCoreError, ClientError

from tests.servers import MotoServer, SeaweedServer


def fetch(client, bucket: str, key: str) -> bytes:
    with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
        return body.read()


@pytest.fixture
def own_seaweed(seaweed: SeaweedServer):
    """Give this test a server that it may kill."""
    with SeaweedServer() as server:
        yield server


def test_seaweed_keeps_what_is_written(seaweed, seaweed_prefix):
    with seaweed.client() as client:
        client.put_object(Bucket=seaweed.bucket, Key=f"{seaweed_prefix}/a", Body=b"one")
        assert fetch(client, seaweed.bucket, f"{seaweed_prefix}/a") == b"one"


def test_seaweed_honours_a_create_only_write(seaweed, seaweed_prefix):
    with seaweed.client() as client:
        client.put_object(Bucket=seaweed.bucket, Key=f"{seaweed_prefix}/a", Body=b"one", IfNoneMatch="*")
        with pytest.raises(ClientError) as second:
            client.put_object(Bucket=seaweed.bucket, Key=f"{seaweed_prefix}/a", Body=b"two", IfNoneMatch="*")
        assert second.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
        assert fetch(client, seaweed.bucket, f"{seaweed_prefix}/a") == b"one"


def test_the_reader_reads_and_cannot_write(seaweed, seaweed_prefix):
    with seaweed.client() as client:
        client.put_object(Bucket=seaweed.bucket, Key=f"{seaweed_prefix}/a", Body=b"one")
    with seaweed.reader.client() as client:
        assert fetch(client, seaweed.bucket, f"{seaweed_prefix}/a") == b"one"
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket=seaweed.bucket, Key=f"{seaweed_prefix}/a", Body=b"two")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_stranger_is_refused(seaweed, seaweed_prefix):
    stranger = seaweed.reader
    stranger.secret_key = "not the secret"
    with stranger.client() as client, pytest.raises(ClientError) as refused:
        client.get_object(Bucket=seaweed.bucket, Key=f"{seaweed_prefix}/a")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_write_does_not_create_its_bucket(seaweed):
    with seaweed.client() as client, pytest.raises(ClientError) as refused:
        client.put_object(Bucket="nobody-made-this", Key="a", Body=b"one")
    assert refused.value.response["Error"]["Code"] == "NoSuchBucket"


def test_a_killed_server_is_gone_and_comes_back_with_its_data(own_seaweed):
    server = own_seaweed
    with server.client() as client:
        client.put_object(Bucket=server.bucket, Key="a", Body=b"one")
        endpoint = server.endpoint
        server.kill()
        assert not server.running
        with pytest.raises(BotoCoreError):
            client.get_object(Bucket=server.bucket, Key="a")
        server.restart()
        assert server.endpoint == endpoint
        assert fetch(client, server.bucket, "a") == b"one"


@pytest.mark.skipif(os.name != "posix", reason="the server is tied to its starter by a shell")
def test_a_server_does_not_outlive_a_starter_that_is_killed(seaweed):
    script = (
        "import time\nfrom tests.servers import SeaweedServer\n"
        "server = SeaweedServer().start()\nprint(server.endpoint, server._home, flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True) as starter:
        endpoint, home = starter.stdout.readline().split()
        starter.kill()
    address = urlsplit(endpoint)
    deadline = time.monotonic() + 30
    with contextlib.suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection((address.hostname, address.port)).close()
            time.sleep(0.05)
        pytest.fail("the server still listens")
    shutil.rmtree(home, ignore_errors=True)


def test_the_storage_options_open_the_bucket_with_s3fs(seaweed, seaweed_prefix):
    fs = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False, **seaweed.storage_options())
    fs.pipe_file(f"{seaweed.bucket}/{seaweed_prefix}/a", b"one")
    assert fs.cat_file(f"{seaweed.bucket}/{seaweed_prefix}/a") == b"one"


def test_every_test_has_a_prefix_of_its_own(seaweed, seaweed_prefix):
    with seaweed.client() as client:
        listed = client.list_objects_v2(Bucket=seaweed.bucket, Prefix=seaweed_prefix)
    assert listed["KeyCount"] == 0


def test_moto_keeps_what_is_written(moto: MotoServer, moto_prefix):
    with moto.client() as client:
        client.put_object(Bucket=moto.bucket, Key=f"{moto_prefix}/a", Body=b"one")
        assert fetch(client, moto.bucket, f"{moto_prefix}/a") == b"one"


@pytest.mark.parametrize(
    ("options", "outcome"),
    [((), "1 skipped"), (("--nightly",), "1 passed")],
)
def test_what_takes_minutes_runs_only_when_asked_for(tmp_path, options, outcome):
    root = Path(__file__).parents[3]
    test = tmp_path / "test_long.py"
    test.write_text("import pytest\n\n@pytest.mark.nightly\ndef test_it():\n    assert True\n")
    command = [sys.executable, "-m", "pytest", "-c", root / "pyproject.toml", "--rootdir", root, "-p", "tests.conftest"]
    ran = subprocess.run([*command, *options, test], cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert outcome in ran.stdout, ran.stdout + ran.stderr
    assert ("run with --nightly" in ran.stdout) == (not options)
    assert "libraries: fsspec" in ran.stdout
