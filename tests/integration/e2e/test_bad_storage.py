"""Storage that is wrong, full, closed or dead: a typed error that says what to do, and nothing lost."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from tests.servers import Hang

KEY = "gru/BTCEUR"
ENGINES = pytest.mark.parametrize("engine", ["obstore", "fsspec"])


def attempts(store):
    return {
        "save": lambda: store.save({"n": 2}, KEY),
        "load": lambda: store.load(KEY),
        "models": store.models,
        "find": lambda: store.find(KEY),
    }


@ENGINES
def test_a_wrong_secret_is_denied_and_told(engine, seaweed, seaweed_prefix):
    options = seaweed.storage_options() | {"secret": "MARKER-wrong-secret"}
    store = ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=options, timeout=10)
    for work in attempts(store).values():
        with pytest.raises(errors.AccessDenied, match="credentials") as caught:
            work()
        assert "MARKER" not in str(caught.value) + repr(caught.value.__cause__)
    assert "MARKER" not in repr(store) + repr(store.guarantees)


@ENGINES
def test_a_reader_reads_and_is_denied_to_write(engine, seaweed, seaweed_prefix):
    writer = ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=seaweed.storage_options())
    writer.save({"n": 1}, KEY)
    options = seaweed.reader.storage_options()
    reader = ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=options, timeout=10)
    assert reader.load(KEY) == {"n": 1}
    assert reader.verify().ok
    for work in (lambda: reader.save({"n": 2}, KEY), lambda: reader.promote(reader.get(KEY), "production")):
        with pytest.raises(errors.AccessDenied):
            work()
    assert [entry.seq for entry in writer.history(KEY)] == [1]


@ENGINES
def test_a_bucket_that_does_not_exist_is_named(engine, seaweed):
    store = ArtifactStore(
        "s3://no-such-bucket/models", engine=engine, storage_options=seaweed.storage_options(), timeout=10
    )
    with pytest.raises(errors.ContainerNotFound, match="no-such-bucket"):
        store.save({"n": 1}, KEY)
    with pytest.raises(errors.ContainerNotFound, match="no-such-bucket"):
        store.models()
    with pytest.raises(errors.NotFound):
        store.load(KEY)


@ENGINES
def test_a_server_that_is_down_is_unreachable(engine, seaweed):
    options = seaweed.storage_options() | {"endpoint_url": "http://127.0.0.1:9"}
    store = ArtifactStore("s3://bucket/models", engine=engine, storage_options=options, timeout=2)
    for work in attempts(store).values():
        with pytest.raises(errors.Unavailable):
            work()


@ENGINES
def test_a_server_that_hangs_costs_a_bounded_time(engine, proxy, seaweed, seaweed_prefix):
    sound = ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=seaweed.storage_options())
    sound.save({"n": 1}, KEY)
    store = ArtifactStore(sound.url, engine=engine, storage_options=proxy.storage_options(), timeout=2)
    proxy.on(Hang())
    for work in attempts(store).values():
        with pytest.raises(errors.Unavailable):
            work()
    assert sound.load(KEY) == {"n": 1}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small file system: needs root on Linux"
)
def test_a_full_disk_keeps_what_was_there(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mount is not permitted here: {mounted.stderr.decode()}")
    try:
        store = ArtifactStore(small / "store")
        store.save({"n": 1}, KEY)
        with pytest.raises(errors.StorageFull, match="store"):
            store.save(b"x" * (2 << 20), KEY)
        assert store.load(KEY) == {"n": 1}
        assert store.verify().ok
        assert store.save({"n": 2}, KEY).published
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        closed = ArtifactStore(small / "store")
        with pytest.raises(errors.AccessDenied):
            closed.save({"n": 3}, KEY)
        assert closed.load(KEY) == {"n": 2}
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.windows
@pytest.mark.parametrize(
    "url", ["s3://KEY:SECRET@bucket/models", "s3://bucket/%2e%2e/x", "FILE:///x", "//x/y", "", None, "s3://b/a?x=1"]
)
def test_a_root_that_means_two_things_or_holds_a_secret_is_refused(url):
    with pytest.raises(errors.InvalidOption) as caught:
        ArtifactStore(url)
    assert "SECRET" not in str(caught.value)


@pytest.mark.windows
def test_making_a_store_does_no_input_or_output(tmp_path):
    store = ArtifactStore(tmp_path / "deep" / "store")
    assert store.guarantees.engine == "local"
    assert not Path(tmp_path / "deep").exists()
    with pytest.raises(errors.AliasNotFound):
        store.load(KEY)
    assert not Path(tmp_path / "deep").exists()


@pytest.mark.windows
def test_a_root_that_is_a_file_is_no_place_for_a_store(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.NotAStore, match="is not a folder"):
        ArtifactStore(tmp_path / "file").save({"n": 1}, KEY)
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.windows
@pytest.mark.parametrize(
    "options",
    [
        {"engine": "quick"},
        {"timeout": 0},
        *({"timeout": seconds} for seconds in (math.inf, math.nan, 1e300, "5")),
        {"min_rate": 0},
        *({"min_rate": rate} for rate in (math.inf, math.nan)),
        {"concurrency": "maybe"},
        {"storage_options": {"key": "x"}},
        {"engine": "obstore"},
    ],
)
def test_an_option_that_means_nothing_here_is_refused(options, tmp_path):
    with pytest.raises(errors.InvalidOption):
        ArtifactStore(tmp_path, **options)
