"""Store URLs and storage options at the door."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store import ArtifactStore
from artifact_store.errors import ArtifactStoreError, EngineUnavailable, InvalidOption, NotAStore
from artifact_store.storage.obstore.options import Credentials, cloud_config
from artifact_store.storage.options import LOCAL, StorageOptions, StoreURL, parse_url

pytestmark = pytest.mark.windows

SECRET = "wJalrXUtn/K7MDENG+bPxRfiCY"

# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("text", "scheme", "container", "prefix"),
    [
        ("./store/models", "file", "", "./store/models"),
        ("store", "file", "", "store"),
        ("../store/models", "file", "", "../store/models"),
        ("/srv/models", "file", "", "/srv/models"),
        ("my models/größe + 1", "file", "", "my models/größe + 1"),
        (r"C:\models", "file", "", r"C:\models"),
        ("C:/models", "file", "", "C:/models"),
        (r"\\server\share\models", "file", "", r"\\server\share\models"),
        ("file:///srv/models", "file", "", "/srv/models"),
        ("file:///srv/models/", "file", "", "/srv/models/"),
        ("file:///C:/models", "file", "", "C:/models"),
        ("local:///srv/models", "file", "", "/srv/models"),
        ("memory://demo", "memory", "demo", ""),
        ("memory://demo/a/b", "memory", "demo", "a/b"),
        ("memory://", "memory", "", ""),
        ("s3://bucket", "s3", "bucket", ""),
        ("s3://bucket/", "s3", "bucket", ""),
        ("s3://bucket/models", "s3", "bucket", "models"),
        ("s3://my.bucket-1/a b/c+d/größe/", "s3", "my.bucket-1", "a b/c+d/größe"),
        ("s3a://bucket/models", "s3", "bucket", "models"),
        ("gs://bucket/models", "gs", "bucket", "models"),
        ("gcs://bucket/models", "gs", "bucket", "models"),
        ("az://box/models", "az", "box", "models"),
        ("abfs://box/models", "az", "box", "models"),
        ("adl://box/models", "az", "box", "models"),
        ("s3://bucket/mail@example", "s3", "bucket", "mail@example"),
        ("sftp://host:2222/srv/models", "sftp", "host:2222", "srv/models"),
    ],
)
def test_a_store_url_is_taken_apart(text: str, scheme: str, container: str, prefix: str) -> None:
    found = parse_url(text)
    assert (found.scheme, found.container, found.prefix) == (scheme, container, prefix)
    assert str(found) == found.text
    assert found.text.rstrip("/") == text.rstrip("/")


@pytest.mark.parametrize("scheme", ["abfs", "abfss", "az"])
def test_an_azure_url_may_name_the_account(scheme: str) -> None:
    found = parse_url(f"{scheme}://box@acct.dfs.core.windows.net/models")
    assert (found.scheme, found.container, found.prefix, found.account) == ("az", "box", "models", "acct")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("s4://bucket/x", "s3://bucket/x"),
        ("s3n://bucket", "s3://bucket"),
        ("azure://box/x", "az://box/x"),
        ("memoy://x", "memory://x"),
        ("fle:///srv/x", "file:///srv/x"),
        ("gcp://bucket/x", "gcs://bucket/x"),
    ],
)
def test_a_scheme_that_nothing_serves_gets_the_url_that_was_probably_meant(text: str, meant: str) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        parse_url(text)
    assert str(caught.value).endswith(f"did you mean {meant}?")
    assert parse_url(meant).text == meant


@pytest.mark.parametrize("text", ["s3://bucket/" + "x" * 5000, "x" * 5000, "x" * 5000 + "://b/x", "~" + "x" * 5000])
def test_a_place_that_is_too_long_is_refused_in_a_short_text(text: str) -> None:
    for place in (text, Path(text)):
        with pytest.raises(InvalidOption, match="has at most 4,096 characters") as caught:
            parse_url(place)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["engine", "concurrency", "timeout", "min_rate", "staging", "cache", "state"])
def test_an_option_of_a_store_that_means_nothing_is_repeated_shortened(name: str) -> None:
    value = {"staging": ["x" * 5000], "cache": ["x" * 5000], "state": ["x" * 5000]}.get(name, "x" * 5000)
    with pytest.raises(InvalidOption) as caught:
        ArtifactStore("memory://x", **{name: value})
    assert len(str(caught.value)) < 300


def test_a_file_in_the_place_of_a_store_is_refused_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"x")
    with pytest.raises(NotAStore, match=r"model\.pkl is a file, and a store is a folder: name the folder"):
        ArtifactStore(tmp_path / "model.pkl")
    assert ArtifactStore(tmp_path / "models").models() == []


def test_a_scheme_like_none_gets_those_that_there_are() -> None:
    with pytest.raises(EngineUnavailable, match="a store is a folder, or s3://, gs://"):
        parse_url("xyzzyx://bucket/x")


@pytest.mark.parametrize("path", [Path("a#b;c%20d"), PurePosixPath("/x/../y"), PureWindowsPath(r"C:\C#\models")])
def test_a_path_object_is_a_path_whatever_it_holds(path: Path) -> None:
    assert parse_url(path) == StoreURL("file", "", str(path), str(path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "//host/share",
        "s3//bucket/models",
        "gs//bucket",
        "memory//name",
        "//x",
        ":/x",
        "S3://bucket/x",
        "FILE:///x",
        "File:/x",
        "file:/x",
        "file:x",
        "s3:bucket/x",
        "s3:/bucket/x",
        "s3://",
        "s3:///x",
        "s3://-bucket/x",
        "s3://bucket:9000/x",
        "s3://bucket//x",
        "s3://bucket/x//",
        "s3://bucket/../x",
        "s3://bucket/./x",
        "s3://bucket/x/..",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x#y",
        "s3://bucket/x;y",
        "s3://bucket/%2e%2e/x",
        "s3://bucket/a%20b",
        "s3://bucket\\x",
        "s3://bucket/a*b",
        "s3://bucket/a[1]",
        "s3://bucket/ x",
        "s3://bucket/x\n",
        "s3://bucket/x\x00y",
        "s3://bucket/\u2028",
        "s3://buck et/x",
        "file://",
        "file:///",
        "file://host/x",
        "file://C:/x",
        "file:///srv/../etc",
        "file:///srv//x",
        "file:///srv/%2e%2e",
        "./a?b",
        "./a#b",
        "./a;b",
        "./a%2e",
        "./a\nb",
        "a\x00b",
        "simplecache::s3://bucket/x",
        "simplecache://a::s3://bucket/x",
        "sftp://ho st/x",
        "az://box@evil.example.com:80/x",
        5,
        None,
        b"s3://bucket",
    ],
)
def test_a_store_url_that_could_mean_two_things_is_refused(text: object) -> None:
    with pytest.raises(InvalidOption):
        parse_url(text)  # type: ignore[arg-type]  # that is what is tested


@pytest.mark.parametrize("text", ["dir::file:///srv/x", "zip://x::file:///srv/a.zip", "simplecache::s3://bucket/x"])
def test_a_chain_of_filesystems_is_refused_as_one(text: str) -> None:
    with pytest.raises(InvalidOption, match="chained filesystems"):
        parse_url(text)


def test_a_scheme_that_nobody_knows_is_unavailable():
    with pytest.raises(EngineUnavailable, match="nosuch"):
        parse_url("nosuch://bucket/x")


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKID:{}@bucket/x",
        "s3://AKID:{}/@bucket",
        "sftp://me:{}@host/x",
        "abfs://box:{}@acct.dfs.core.windows.net/x",
        "file://me:{}@host/x",
        "S3://AKID:{}@bucket/x",
        "s3:AKID:{}@bucket/x",
        "s3://bucket/x?X-Amz-Signature={}",
        "az://box/x?sig={}",
        "nosuch://AKID:{}@bucket",
        "s3://AKID:{}/bucket",
    ],
)
@pytest.mark.parametrize("secret", ["MARKERsecret01", "MARKER/secret+01"])
def test_a_refused_url_never_tells_its_secret(text: str, secret: str) -> None:
    with pytest.raises(ArtifactStoreError) as caught:
        parse_url(text.format(secret))
    assert "MARKER" not in "".join(traceback.format_exception(caught.value))
    assert "secret" not in str(caught.value).replace("secret, token", "")


def test_a_segment_with_white_space_is_not_repeated_where_a_password_may_be_meant():
    with pytest.raises(InvalidOption, match="a segment begins or ends with white space") as caught:
        parse_url("s3://AKIAX:hunter/two @bucket/models ")
    assert "two" not in str(caught.value)
    with pytest.raises(InvalidOption, match="a segment begins or ends with white space") as caught:
        parse_url("s3://bucket/hunter@ /models")
    assert "hunter" not in str(caught.value)


def test_a_key_alone_before_the_bucket_is_refused_too():
    with pytest.raises(InvalidOption) as caught:
        parse_url("s3://MARKER@bucket/x")
    assert "MARKER" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused_with_a_type(text: str) -> None:
    try:
        found = parse_url(text)
    except (InvalidOption, EngineUnavailable):
        return
    assert found.scheme
    assert parse_url(found.text) == found


# ---------------------------------------------------------------- what is secret


OPTIONS = {
    "key": "AKID0123",
    "secret": SECRET,
    "client_kwargs": {"aws_session_token": "TOKEN0123", "region_name": "eu-north-1"},
}


def test_options_show_no_value():
    assert repr(StorageOptions(OPTIONS)) == "StorageOptions(client_kwargs, key, secret)"


def test_every_credential_counts_as_secret_also_below():
    assert StorageOptions(OPTIONS).secrets == ("AKID0123", "TOKEN0123", SECRET)
    deep = {"headers": [{"api_token": "T1"}], "connection_string": "S2", "password": "P3", "token": "anon", "n": "no"}
    assert StorageOptions(deep).secrets == ("P3", "S2", "T1", "no")


@pytest.mark.parametrize("name", ["", "sv=1&sig=hunter", "secret hunter", "a.hunter", "1hunter"])
def test_what_can_be_no_name_of_an_option_is_refused_and_not_repeated(name: str):
    with pytest.raises(InvalidOption, match="name of a storage option") as caught:
        StorageOptions({"anon": True, name: "x"})
    assert "hunter" not in str(caught.value)


def test_options_with_credentials_are_not_pickled():
    with pytest.raises(InvalidOption) as caught:
        pickle.dumps(StorageOptions(OPTIONS))
    assert SECRET not in str(caught.value)


def test_options_without_credentials_are_pickled():
    options = StorageOptions({"endpoint_url": "http://127.0.0.1:9000", "profile": "trading"})
    assert pickle.loads(pickle.dumps(options)) == options


def test_the_callers_dictionary_is_copied_and_cannot_be_changed_through():
    mine = {"anon": True}
    options = StorageOptions(mine)
    mine["anon"] = False
    assert options.given["anon"] is True
    assert StorageOptions.of(options) is options
    assert not StorageOptions.of(None).given


@pytest.mark.parametrize("wrong", [5, "key=x", [("key", "x")], {5: "x"}])
def test_options_are_a_mapping_of_names(wrong: object) -> None:
    with pytest.raises(InvalidOption):
        StorageOptions(wrong)


# ---------------------------------------------------------------- for obstore


def config(options: dict[str, object], url: str = "s3://bucket/x"):
    return cloud_config(parse_url(url), StorageOptions(options))


@pytest.mark.parametrize(
    "options",
    [
        {"key": "k", "secret": "s", "token": "t"},
        {"username": "k", "password": "s", "token": "t"},
        {"client_kwargs": {"aws_access_key_id": "k", "aws_secret_access_key": "s", "aws_session_token": "t"}},
        {"key": "k", "secret": "s", "token": "t", "client_kwargs": {"aws_access_key_id": "k"}},
    ],
)
def test_every_spelling_of_a_key_pair_is_understood(options: dict[str, object]) -> None:
    found = config(options)
    assert found.credentials == Credentials("k", "s", "t")
    assert "access_key_id" not in found.config
    assert repr(found.credentials) == "Credentials()"
    assert "'s'" not in repr(found)


def test_address_region_and_style_are_taken_from_where_s3fs_takes_them():
    found = config(
        {
            "endpoint_url": "https://s3.example.com/",
            "client_kwargs": {"region_name": "eu-north-1", "endpoint_url": "https://s3.example.com/"},
            "config_kwargs": {"s3": {"addressing_style": "virtual"}, "connect_timeout": 2, "read_timeout": 1.5},
            "requester_pays": True,
            "s3_additional_kwargs": {"ServerSideEncryption": "AES256"},
        }
    )
    assert found.endpoint == "https://s3.example.com"
    assert found.path_style is False
    assert found.config["region"] == "eu-north-1"
    assert found.config["request_payer"] is True
    assert found.config["server_side_encryption"] == "AES256"
    assert (found.client["connect_timeout"], found.client["read_timeout"]) == ("2000ms", "1500ms")


def test_checksums_are_sent_where_they_are_asked_for():
    assert "checksum_algorithm" not in config({}).config
    asked = {"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA256"}}
    assert config(asked).config["checksum_algorithm"] == "SHA256"


def test_certificates_and_proxies_are_passed_on():
    assert config({"client_kwargs": {"verify": False}}).client == {"allow_invalid_certificates": True}
    assert config({"client_kwargs": {"verify": "/etc/ca.pem"}}).ca_bundle == "/etc/ca.pem"
    assert config({"client_kwargs": {"verify": True}}).client == {}
    proxies = {"https": "http://proxy:3128"}
    assert config({"config_kwargs": {"proxies": proxies}}).client == {"proxy_url": "http://proxy:3128"}


@pytest.mark.parametrize(
    "options",
    [
        {"use_listings_cache": False, "skip_instance_cache": True, "asynchronous": False, "version_aware": False},
        {"config_kwargs": {"signature_version": "s3v4"}, "use_ssl": True, "key": None, "anon": None},
        {"client_kwargs": {}, "config_kwargs": {"s3": {"addressing_style": "auto"}}},
    ],
)
def test_what_obstore_does_anyway_is_taken(options: dict[str, object]) -> None:
    assert config(options) == config({})


@pytest.mark.parametrize(
    "options",
    [
        {"default_block_size": 5 << 20},
        {"use_listings_cache": True},
        {"version_aware": True},
        {"asynchronous": True},
        {"session": object()},
        {"max_concurrency": 4},
        {"client_kwargs": {"api_version": "2006-03-01"}},
        {"client_kwargs": {"config": object()}},
        {"config_kwargs": {"retries": {"max_attempts": 9}}},
        {"config_kwargs": {"signature_version": "s3"}},
        {"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}},
        {"config_kwargs": {"proxies": {"ftp": "http://p"}}},
        {"s3_additional_kwargs": {"ACL": "public-read"}},
        {"s3_additional_kwargs": {"ChecksumAlgorithm": "CRC32"}},
        {"use_ssl": False},
    ],
)
def test_what_only_s3fs_can_honour_is_refused_and_s3fs_is_named(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match="engine='fsspec'"):
        config(options)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"endpoint_ur": "http://x"}, "endpoint_url"),
        ({"secrets": SECRET}, "secret"),
        ({"client_kwargs": {"region": "eu-north-1"}}, "client_kwargs.region_name"),
    ],
)
def test_a_slip_of_the_pen_is_recognized(options: dict[str, object], hint: str) -> None:
    with pytest.raises(InvalidOption, match=f"did you mean {hint}") as caught:
        config(options)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"key": "k"},
        {"secret": SECRET},
        {"token": SECRET},
        {"key": "k", "secret": SECRET, "profile": "p"},
        {"key": "k", "secret": SECRET, "anon": True},
        {"profile": "p", "anon": True},
        {"key": "k", "secret": SECRET, "client_kwargs": {"aws_secret_access_key": "another"}},
        {"key": 5, "secret": SECRET},
        {"anon": "yes"},
        {"client_kwargs": SECRET},
        {"endpoint_url": "s3.example.com"},
        {"endpoint_url": "ftp://s3.example.com"},
        {"endpoint_url": f"https://me:{SECRET}@s3.example.com"},
        {"endpoint_url": "https://s3.example.com?x=1"},
        {"endpoint_url": "https://a", "client_kwargs": {"endpoint_url": "https://b"}},
        {"config_kwargs": {"connect_timeout": 0}},
        {"config_kwargs": {"connect_timeout": "2s"}},
        {"config_kwargs": {"s3": {"addressing_style": "sideways"}}},
    ],
)
def test_options_that_contradict_each_other_are_refused_without_their_values(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption) as caught:
        config(options)
    assert SECRET not in str(caught.value)


def test_obstore_serves_the_three_clouds_only():
    with pytest.raises(InvalidOption, match="fsspec"):
        config({}, "sftp://host/x")


def test_google_options_are_translated():
    url = "gs://bucket/x"
    assert config({}, url).config == {}
    assert config({"token": "google_default", "project": "p"}, url).config == {}
    assert config({"token": "anon"}, url).anonymous
    assert config({"anon": True}, url).anonymous
    assert config({"token": "/keys/me.json"}, url).config == {"service_account": "/keys/me.json"}
    key = config({"token": {"type": "service_account"}}, url).config["service_account_key"]
    assert json.loads(key) == {"type": "service_account"}
    assert config({"endpoint_url": "http://127.0.0.1:4443"}, url).config == {"base_url": "http://127.0.0.1:4443"}


@pytest.mark.parametrize(
    "options",
    [{"token": "browser"}, {"token": object()}, {"requester_pays": True}, {"key": "k"}, {"consistency": "md5"}],
)
def test_google_options_that_only_gcsfs_has_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match="engine='fsspec'"):
        config(options, "gs://bucket/x")


def test_google_credentials_and_anon_exclude_each_other():
    with pytest.raises(InvalidOption, match="exclude"):
        config({"token": "/keys/me.json", "anon": True}, "gs://bucket/x")


def test_azure_options_are_translated():
    url = "az://box/x"
    given = {"account_name": "acct", "account_key": "a2V5", "tenant_id": "t", "client_id": "c", "client_secret": "s"}
    assert config(dict(given), url).config == given
    assert config({"sas_token": "?sv=1&sig=x"}, url).config == {"sas_key": "?sv=1&sig=x"}
    assert config({"credential": "sv=1&sig=x"}, url).config == {"sas_key": "sv=1&sig=x"}
    assert config({"credential": "a2V5"}, url).config == {"account_key": "a2V5"}
    assert config({"anon": True}, "abfss://box@acct.dfs.core.windows.net/x").config == {"account_name": "acct"}
    told = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5==;EndpointSuffix=core.windows.net"
    assert config({"connection_string": told}, url).config == {"account_name": "acct", "account_key": "a2V5=="}
    emulator = config({"connection_string": "AccountName=a;AccountKey=k;BlobEndpoint=http://127.0.0.1:10000/a"}, url)
    assert emulator.endpoint == emulator.config["endpoint"] == "http://127.0.0.1:10000/a"


@pytest.mark.parametrize(
    "options",
    [
        {"account_name": "other"},
        {"connection_string": f"nonsense {SECRET}"},
        {"connection_string": f"AccountName=acct;AccountKey={SECRET};EndpointSuffix=example.com"},
        {"connection_string": f"AccountName=acct;AccountKey={SECRET};DefaultEndpointsProtocol=http"},
        {"connection_string": f"AccountName=acct;AccountKey={SECRET}", "account_key": "another"},
        {"account_key": SECRET, "anon": True},
        {"credential": object()},
    ],
)
def test_azure_options_that_cannot_be_honoured_are_refused_without_their_values(options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption) as caught:
        config(options, "abfss://box@acct.dfs.core.windows.net/x")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["s3//bucket/models", "gs//bucket", "az//container/x", "memory//name", "file//x"])
def test_a_scheme_without_its_colon_is_no_folder(url: str) -> None:
    with pytest.raises(InvalidOption, match=f"did you mean {url.partition('//')[0]}://"):
        parse_url(url)
    assert parse_url(f"./{url}").scheme == LOCAL
    assert parse_url(Path(url)).scheme == LOCAL
    with pytest.raises(InvalidOption) as caught:
        parse_url("s3//key:hidden@bucket")
    assert "hidden" not in str(caught.value)
