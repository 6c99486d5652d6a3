"""A root has one name, however it was spelled; two roots never share one."""

import os
import pickle
import re

import pytest

from artifact_store import ArtifactStore
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.places import bucket, folder, server
from artifact_store.storage.single_writer import SingleWriter
from artifact_store.testing import Faults, FaultyBackend

pytestmark = pytest.mark.windows

AWS = "https://s3.amazonaws.com"
SERVER = "http://10.0.0.7:8333"


def places(url, **more):
    return set(ArtifactStore(url, **more)._context.backend.places)


def test_a_folder_is_one_place_however_it_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = str(tmp_path / "store")
    url = (tmp_path / "store").as_uri()
    for spelling in ("store", "./store", "./store/", whole, whole + "/", url, url + "/", tmp_path / "store"):
        assert places(spelling) & places(whole), spelling
    assert places("store", engine="fsspec", concurrency="single-writer") & places(whole)


def test_a_folder_of_another_project_is_another_place(tmp_path, monkeypatch):
    seen = []
    for project in ("one", "two"):
        (tmp_path / project).mkdir()
        monkeypatch.chdir(tmp_path / project)
        seen.append(places("./store"))
    assert not seen[0] & seen[1]


def test_the_place_stays_where_it_was_when_the_working_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = ArtifactStore("./store")._context.backend
    before = backend.places
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert backend.places == before == pickle.loads(pickle.dumps(backend)).places


@pytest.mark.skipif(os.name == "nt", reason="symlinks need a privilege there")
def test_a_folder_behind_a_symlink_has_both_names(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert set(folder(tmp_path / "real" / "store")) < set(folder(tmp_path / "link" / "store"))


SAME_BUCKET = [
    ("s3://models/eu", {}),
    ("s3://models/eu/", {}),
    ("s3a://models/eu", {}),
    ("s3://models/eu", {"endpoint_url": AWS}),
    ("s3://models/eu", {"endpoint_url": "https://s3.eu-west-1.amazonaws.com/"}),
    ("s3://models/eu", {"region": "eu-west-1"}),
    ("s3://models/eu", {"client_kwargs": {"endpoint_url": "https://S3.Amazonaws.com:443"}}),
]


@pytest.mark.parametrize(("url", "options"), SAME_BUCKET)
def test_a_bucket_of_aws_is_one_place(url, options, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    assert places(url, storage_options=options, engine="obstore") == {f"s3://models/eu at {AWS}"}


def test_the_server_counts_wherever_it_is_named(monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    here = {f"s3://models/eu at {SERVER}"}
    pytest.importorskip("s3fs")  # not everywhere on Windows
    for engine in ("obstore", "fsspec"):
        assert places("s3://models/eu", storage_options={"endpoint_url": f"{SERVER}/"}, engine=engine) == here
    assert places("s3://models/eu", engine="obstore") != here
    monkeypatch.setenv("AWS_ENDPOINT_URL", SERVER)
    assert places("s3://models/eu/", engine="obstore") == here


def test_another_bucket_prefix_server_or_cloud_is_another_place():
    names = {
        bucket("s3", AWS, "models", "eu"),
        bucket("s3", AWS, "models", "eu/x"),
        bucket("s3", AWS, "models", ""),
        bucket("s3", AWS, "other", "eu"),
        bucket("s3", SERVER, "models", "eu"),
        bucket("s3", "http://10.0.0.7", "models", "eu"),
        bucket("s3", "https://10.0.0.7", "models", "eu"),
        bucket("s3", "https://amazonaws.com.example", "models", "eu"),
        bucket("gs", "https://storage.googleapis.com", "models", "eu"),
        bucket("az", "https://ann.blob.core.windows.net", "models", "eu"),
        bucket("az", "https://bob.blob.core.windows.net", "models", "eu"),
    }
    assert len(names) == 11


def test_a_server_is_one_in_any_case_and_with_its_usual_port():
    spellings = ("https://S3.example.com", "https://s3.example.com:443/", "https://s3.example.com./")
    assert len({bucket("s3", each, "models", "") for each in spellings}) == 1
    assert bucket("s3", "http://[::1]:99999999", "models", "")  # no port at all, and no reason to fail here


def test_a_host_that_an_option_names_counts():
    told = {"host": "a.example.com"}
    one = places("ftp://a.example.com/srv", concurrency="single-writer")
    assert places("ftp://b.example.com/srv", concurrency="single-writer") != one
    assert places("ftp://a.example.com/srv", storage_options=told, concurrency="single-writer") == one
    assert places("ftp://a.example.com:2222/srv", concurrency="single-writer") != one


def test_memory_is_a_place_of_its_own_each_time():
    assert places("memory://") != places("memory://")
    assert places("memory://places") == places("memory://places") != places("memory://others")


def test_what_stands_before_a_backend_is_at_its_place():
    backend = MemoryBackend()
    assert SingleWriter(backend).places == FaultyBackend(backend, Faults()).places == backend.places


def test_the_partitions_of_aws_are_places_of_their_own():
    hosts = ("s3.eu-central-1.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn", "s3.us-gov-west-1.amazonaws.com")
    assert len({server(f"https://{host}") for host in hosts}) == len(hosts)
    assert server("https://s3-us-gov-west-1.amazonaws.com") == server("https://s3.us-gov-east-1.amazonaws.com")


@pytest.mark.parametrize(
    ("region", "server_of_partition"),
    [
        ("eu-west-1", AWS),
        ("cn-north-1", "https://s3.amazonaws.com.cn"),
        ("us-gov-west-1", "https://s3.us-gov.amazonaws.com"),
    ],
)
def test_a_region_names_its_partition_with_every_engine(region, server_of_partition, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    pytest.importorskip("s3fs")  # not everywhere on Windows
    keys = {"key": "k", "secret": "s"}
    for engine in ("obstore", "fsspec"):
        assert places("s3://models/eu", storage_options=keys, engine=engine) == {
            f"s3://models/eu at {server_of_partition}"
        }


def test_no_credential_of_a_server_is_in_the_name_of_a_place():
    from fsspec.implementations.memory import MemoryFileSystem

    class Elsewhere(MemoryFileSystem):
        protocol = "elsewhere"

    def named(**options):
        filesystem = Elsewhere(skip_instance_cache=True, **options)
        [name] = ArtifactStore("/models", filesystem=filesystem)._context.backend.places
        return name

    secret = named(endpoint_url="https://bob:hunter2@files.example.com/x?sig=SIGNATURE", host="bob:hunter2@other")
    assert "endpoint_url=https://files.example.com/x" in secret
    assert "host=other" in secret
    assert not {"hunter2", "SIGNATURE", "bob"} & set(re.split(r"[^A-Za-z0-9]+", secret))
    assert named(host="a.example.com", port=22) != named(host="b.example.com", port=22)
