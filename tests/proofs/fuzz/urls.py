"""Store URLs and storage options: one meaning, one place, and no credential in what is said about them.

An input is one line with a URL, and behind it, if there is more, storage options as JSON.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from random import Random
from typing import Any

from artifact_store.errors import ArtifactStoreError, EngineUnavailable, InvalidOption
from artifact_store.storage.http import Attempt, error_for_status
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.options import AZURE, GCS, LOCAL, MEMORY, S3, StorageOptions, StoreURL, parse_url
from artifact_store.storage.redaction import redact
from tests.proofs.fuzz.changing import change_json, change_text
from tests.proofs.fuzz.running import Target

SECRET = "Wd7xKq0rTz9pLm4v"
WORDS = (
    *("s3://", "gs://", "az://", "abfss://", "file:///", "memory://", "S3://", "http://", "ftp://", "s3a://", "://", "::"),
    *(f"user:{SECRET}@", f"{SECRET}@", f"?X-Amz-Signature={SECRET}", f"#{SECRET}", f";key={SECRET}", f"&sig={SECRET}"),
    *("../", "..", "//", "\\", "%2e", "%252e", "*", "[", "]", "?", "#", "@", ":", "~", " ", "\0", "\n", "\u2028", "C:\\"),
    *("bucket", "account.dfs.core.windows.net", "127.0.0.1:9000", "[::1]", "localhost", "é", "．．", "$HOME", "a" * 300),
)  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {"key": "AKIA" + SECRET, "secret": SECRET, "token": SECRET, "endpoint_url": "http://127.0.0.1:9000"},
    {"client_kwargs": {"region_name": "eu-west-1", "verify": False}, "config_kwargs": {"retries": {"max_attempts": 3}}},
    {
        "anon": True,
        "use_ssl": False,
        "s3_additional_kwargs": {"ServerSideEncryption": "AES256"},
        "requester_pays": True,
    },
    {"profile": "work", "config_kwargs": {"proxies": {"https": f"http://me:{SECRET}@proxy:3128"}, "read_timeout": 3}},
    {"project": "p", "token": "anon", "access": "read_only"},
    {"account_name": "acc", "account_key": SECRET, "sas_token": f"sv=1&sig={SECRET}", "connection_string": SECRET},
]


def corpus() -> list[bytes]:
    urls = [
        *("s3://bucket/models", "gs://bucket/a/b", "az://container/x", "abfss://container@account.dfs.core.windows.net/x"),
        *("memory://x", "file:///home/me/models", "./models", "models", "/srv/models", "C:/models", "C:\\models", "sftp://host/x"),
        *(f"s3://user:{SECRET}@bucket/x", f"s3://bucket/x?X-Amz-Signature={SECRET}", f"https://host/x#{SECRET}", "//host/x"),
        *("s3://", "s3:/bucket", "s3:bucket", "FILE:///etc", "file://host/etc", "s3://bucket/../x", "filecache::s3://b/x", ""),
    ]  # fmt: skip
    lines = [url.encode() for url in urls]
    for number, options in enumerate(OPTIONS):
        lines.append(lines[number % 4] + b"\n" + json.dumps(options).encode())
    return lines


def read(data: bytes) -> str:
    line, _, rest = data.partition(b"\n")
    text = line.decode("utf-8", "surrogateescape")
    options = _options(rest)
    told: list[str] = []
    url = None
    try:
        url = _checked(parse_url(text), text)
        told.append(url.scheme)
    except (InvalidOption, EngineUnavailable) as error:
        told.append(type(error).__name__)
        _tells_nothing(error, text)
    if options is not None:
        told += [_translated(place, options) for place in (url, *_PLACES) if place is not None]
    return " ".join(told)


_PLACES = (parse_url("s3://bucket/x"), parse_url("gs://bucket/x"), parse_url("az://container/x"))


def _checked(url: StoreURL, text: str) -> StoreURL:
    """Assert that what was read means the same again, and holds no place outside of it."""
    assert parse_url(url.text) == url
    assert parse_url(str(url)) == url
    assert url.text in (text, text.rstrip("/"))
    if url.scheme == LOCAL:
        assert parse_url(Path(url.prefix).absolute()).scheme == LOCAL
        return url
    assert not set(url.container) & set("/\\?#%;*[]")
    assert "@" not in url.container
    for segment in url.prefix.split("/") if url.prefix else ():
        assert segment not in {"", ".", ".."}
        assert not set(segment) & set("\\?#%;*[]")
    if url.scheme in {S3, GCS, AZURE, MEMORY}:
        assert all(sign.isascii() for sign in url.container)
    return url


def _tells_nothing(error: BaseException, text: str) -> None:
    """Assert that a refusal repeats nothing of the places of a URL in which credentials are written."""
    head = min((text.find(sign) for sign in "?#;" if sign in text), default=len(text))
    exposed = "@" in text or SECRET not in text[:head]
    if exposed:
        assert SECRET not in str(error), str(error)
        assert SECRET not in repr(error)


def _options(rest: bytes) -> StorageOptions | None:
    try:
        given = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    try:
        return StorageOptions(given)
    except InvalidOption as error:
        _hides(SECRET, str(error))
        return None


def _translated(place: StoreURL, options: StorageOptions) -> str:
    assert all(name.isidentifier() for name in options.given)
    assert repr(options) == f"StorageOptions({', '.join(sorted(options.given))})"  # names are told, and nothing else
    _keep_quiet(options)
    try:
        config = cloud_config(place, options)
    except InvalidOption as error:
        if SECRET in "".join(options.secrets):
            _hides(SECRET, str(error))
        return "refused"
    if SECRET in "".join(options.secrets):
        _hides(SECRET, repr(config))
    return "translated"


def _hides(secret: str, said: str) -> None:
    assert secret not in said, said


def _keep_quiet(options: StorageOptions) -> None:
    """Assert that nothing of the options gets into a pickle or a message."""
    if options.secrets:
        try:
            pickle.dumps(options)
        except InvalidOption:
            pass
        else:
            raise AssertionError("credentials were pickled")
    for secret in options.secrets:
        if len(secret) >= 8:
            said = redact(f"GET https://host/x?a={secret} failed", options.secrets)
            assert secret not in said or secret in "GET https://host/x?a= failed ***"
            attempt = Attempt("read", "k", "s3://b")
            error: ArtifactStoreError = error_for_status(403, attempt, detail=said)
            assert secret not in str(error) or secret in str(error_for_status(403, attempt))


def mutate(data: bytes, chance: Random) -> bytes:
    line, newline, rest = data.partition(b"\n")
    if not newline and chance.random() < 0.2:
        rest = json.dumps(chance.choice(OPTIONS)).encode()
    if rest and chance.random() < 0.6:
        return line + b"\n" + change_json(rest, chance)
    return change_text(line, chance, WORDS).replace(b"\n", b" ") + (b"\n" + rest if rest else b"")


TARGET = Target("urls", read, corpus, mutate, typed=())
