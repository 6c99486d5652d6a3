"""What is not known to be harmless is a secret: a table of options, and of the places where one could get out."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import re
import sys
import traceback
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store import ArtifactStore, Signer
from artifact_store.errors import ArtifactStoreError, InvalidOption
from artifact_store.storage.fsspec.backend import FsspecBackend
from artifact_store.storage.fsspec.errors import status_of, translate_fsspec_error
from artifact_store.storage.fsspec.filesystem import Recipe
from artifact_store.storage.http import Attempt
from artifact_store.storage.obstore.errors import translate_obstore_error
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.options import StorageOptions, parse_url
from artifact_store.storage.redaction import redact
from artifact_store.storage.s3fs.backend import S3fsBackend
from tests.cases import each
from tests.keys import pem

pytestmark = pytest.mark.windows

SECRET = "mArKeR-s3cret/with+signs=="
RAW = b"\x00mArKeR-\xff'raw"


class Session:
    """An object of a client, with a credential in it."""

    def __init__(self) -> None:
        self.secret = SECRET


PRIVATE: dict[str, dict[str, Any]] = {
    "key": {"key": SECRET},
    "secret": {"secret": SECRET},
    "token": {"token": SECRET},
    "token in a dictionary": {"token": {"type": "service_account", "private_key": SECRET}},
    "username": {"username": SECRET},
    "password": {"password": SECRET},
    "password that looks like a file": {"password": f"{SECRET}.json"},
    "account key": {"account_key": SECRET},
    "sas": {"sas_token": f"sv=1&sig={SECRET}"},
    "connection string": {"connection_string": f"AccountName=a;AccountKey={SECRET}"},
    "authorization header": {"headers": {"Authorization": f"Bearer {SECRET}"}},
    "api key header": {"headers": {"X-Api-Key": SECRET}},
    "header of an unknown name": {"headers": [("X-Mine", SECRET)]},
    "default headers": {"default_headers": {"X-Mine": SECRET}},
    "headers of the client": {"client_kwargs": {"headers": {"X-Mine": SECRET}}},
    "cookies": {"cookies": {"session": SECRET}},
    "cookies of the client": {"client_kwargs": {"cookies": {"session": SECRET}}},
    "cookie text": {"client_kwargs": {"headers": {"Cookie": f"lang=en; session={SECRET}"}}},
    "session token below": {"client_kwargs": {"aws_session_token": SECRET}},
    "unknown below the client": {"client_kwargs": {"something": SECRET}},
    "unknown below botocore": {"config_kwargs": {"something": {"deep": [SECRET]}}},
    "customer's key": {"s3_additional_kwargs": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": SECRET}},
    "customer's key for copies": {"s3_additional_kwargs": {"CopySourceSSECustomerKey": SECRET}},
    "encryption context": {"s3_additional_kwargs": {"SSEKMSEncryptionContext": SECRET}},
    "sse customer key by another name": {"sse_customer_key": SECRET},
    "metadata": {"s3_additional_kwargs": {"Metadata": {"note": SECRET}}},
    "proxy with a password": {
        "config_kwargs": {"proxies": {"https": f"http://me:{SECRET.replace('/', '')}@proxy:3128"}}
    },
    "proxy with a token": {"config_kwargs": {"proxies": {"https": f"http://{SECRET.replace('/', '')}@proxy:3128"}}},
    "proxy with a password and no scheme": {
        "config_kwargs": {"proxies": {"https": f"me:{SECRET.replace('/', '')}@proxy:3128"}}
    },
    "proxy with a token and no scheme": {
        "config_kwargs": {"proxies": {"https": f"{SECRET.replace('/', '')}@proxy:3128"}}
    },
    "host with a password": {"host": f"me:{SECRET.replace('/', '')}@files.example.com"},
    "where a name belongs": {"client_kwargs": {f"Bearer {SECRET}": "x"}},
    "service account as text": {"token": json.dumps({"type": "service_account", "private_key": SECRET})},
    "proxy of an unknown scheme": {"config_kwargs": {"proxies": {"socks": SECRET}}},
    "signature in an address": {"endpoint_url": f"https://host/path?sig={SECRET}"},
    "basic auth": {"auth": ("me", SECRET)},
    "bearer token": {"bearer_token": SECRET},
    "nothing that anybody knows": {"zzz": SECRET},
    "a set": {"zzz": {SECRET}},
    "a name that is harmless elsewhere": {"client_kwargs": {"profile": SECRET}},
    "options where a text belongs": {"region": {"name": SECRET}},
    "a text where options belong": {"retries": SECRET},
    "a number": {"pin": 8_675_309_042},
    "bytes": {"s3_additional_kwargs": {"SSECustomerKey": RAW}},
    "a path": {"key_file": Path("mArKeR-file")},
    "an object": {"session": Session()},
}
HARMLESS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "not given": {"key": None, "headers": None, "zzz": {}},
    "a switch": {"zzz": True},
    "place": {"endpoint_url": "https://s3.example.com:9000/x", "region": "eu-north-1", "profile": "work"},
    "nobody": {"anon": True},
    "client": {"client_kwargs": {"region_name": "eu-north-1", "verify": "/etc/ca.pem", "use_ssl": True}},
    "times": {"config_kwargs": {"connect_timeout": 2, "read_timeout": 1.5, "retries": {"max_attempts": 3}}},
    "signing": {"config_kwargs": {"signature_version": "s3v4", "s3": {"addressing_style": "path"}}},
    "proxy": {"config_kwargs": {"proxies": {"https": "http://proxy:3128"}}},
    "encryption by the server": {"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:k"}},
    "checksums": {"s3_additional_kwargs": {"ChecksumAlgorithm": "SHA256"}},
    "s3fs": {"default_block_size": 5 << 20, "max_concurrency": 4, "version_aware": False, "use_listings_cache": False},
    "google": {"project": "p", "token": "anon"},
    "google's key file": {"token": "/keys/me.json"},
    "azure": {"account_name": "acct", "tenant_id": "t", "client_id": "c"},
    "host": {"host": "files.example.com", "port": 2222},
    "a profile that looks like an address": {"profile": "me@home"},
    "folder": {"auto_mkdir": True, "path": "/srv"},
}
TOLD = ("mArKeR", "8675309042", RAW.hex(), base64.b64encode(RAW).decode(), base64.b64encode(SECRET.encode()).decode())
"""What must be in nothing that is shown: whatever spells a secret of the table spells one of these."""


def silent(*told: str) -> None:
    for text in told:
        assert [found for found in TOLD if found in text] == [], text


class Plain:
    """A filesystem that takes anything, and never works."""

    protocol = "plain"

    def __init__(self, **options: Any) -> None:
        raise ValueError(f"cannot be made of {options}")


class S3(Plain):
    protocol = "s3"


def the_options(options: dict[str, Any]) -> Any:
    return StorageOptions(options)


def a_recipe(options: dict[str, Any]) -> Any:
    return Recipe(Plain, options)


def a_filesystem(options: dict[str, Any]) -> Any:
    return FsspecBackend(Recipe(Plain, options), "root")


def an_s3_filesystem(options: dict[str, Any]) -> Any:
    if sys.platform == "win32":  # where s3fs is not installed for the tests
        pytest.importorskip("aiobotocore")
    below = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"} & set(
        options.get("client_kwargs") or ()
    )
    if below or any(options.get(name) for name in ("key", "username", "secret", "password", "token")):
        options = {**options, **whole(options)}
    return S3fsBackend(Recipe(S3, {"endpoint_url": "http://127.0.0.1:1", **options}), "bucket/x")


def whole(options: dict[str, Any]) -> dict[str, str]:
    """Return what a key needs to be one: half of it is refused."""
    key = {} if "username" in options else {"key": options.get("key", "K")}
    return key if "password" in options else {**key, "secret": options.get("secret", "S")}


HOLDERS = [the_options, a_recipe, a_filesystem, an_s3_filesystem]
held = pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: holder.__name__)


@held
def test_what_holds_private_options_shows_none_of_them(holder: Callable[..., Any]) -> None:
    for case in each(PRIVATE):
        with case as name:
            made = holder(PRIVATE[name])
            silent(repr(made), str(made), f"{made}", repr([made]))
            parts = [*getattr(made, "__dict__", ()), *getattr(type(made), "__slots__", ())]
            silent(*(repr(getattr(made, part)) for part in parts))


@held
@pytest.mark.parametrize("carry", [pickle.dumps, copy.deepcopy])
def test_nor_is_it_pickled_or_copied_deeply(holder: Callable[..., Any], carry: Callable[[Any], Any]) -> None:
    for case in each(PRIVATE):
        with case as name:
            made = holder(PRIVATE[name])
            with pytest.raises(InvalidOption, match="are not pickled") as refused:
                carry(made)
            silent(str(refused.value), repr(refused.value))


@held
def test_what_holds_harmless_options_is_pickled(holder: Callable[..., Any]) -> None:
    of_google = {name for name, options in HARMLESS.items() if "token" in options}  # what S3 takes for a secret
    for case in each(HARMLESS.keys() - of_google if holder is an_s3_filesystem else HARMLESS):
        with case as name:
            made = holder(HARMLESS[name])
            assert type(pickle.loads(pickle.dumps(made))) is type(made)


def test_harmless_options_are_no_secrets() -> None:
    for case in each(HARMLESS):
        with case as name:
            options = StorageOptions(HARMLESS[name])
            assert (options.secrets, options.private) == ((), ())
            assert pickle.loads(pickle.dumps(options)) == options


SPOKEN = [
    str,
    repr,
    lambda options: json.dumps(options, default=repr),
    lambda options: f"400 Bad Request, you sent {options}",
]


@pytest.mark.parametrize("spoken", SPOKEN, ids=range(len(SPOKEN)))
def test_an_error_of_a_client_that_repeats_them_is_told_without(spoken: Callable[..., str]) -> None:
    for case in each(PRIVATE):
        with case as name:
            secrets = StorageOptions(PRIVATE[name]).secrets
            error = translate_fsspec_error(OSError(spoken(PRIVATE[name])), Attempt("read", "k", "s3://bucket"), secrets)
            silent(str(error), repr(error), str(error.__cause__), repr(error.__cause__))


def test_each_secret_is_hidden_in_every_spelling() -> None:
    for case in each(PRIVATE):
        with case as name:
            secrets = StorageOptions(PRIVATE[name]).secrets
            assert secrets or name == "an object"  # of which no text is known
            for secret in secrets:
                encoded = base64.b64encode(secret.encode("utf-8")).decode()
                spellings = [secret, encoded, quote(secret, safe=""), quote_plus(secret), secret.replace("/", "\\/")]
                spellings += [secret.encode().hex(), secret.encode().hex().upper(), json.dumps(secret)[1:-1]]
                small = re.sub("%..", lambda found: found[0].lower(), quote(secret, safe=""))
                spellings += [quote(secret, safe="="), small, escape(secret)]
                for spelled in spellings:
                    if len(secret) >= 8:
                        assert spelled not in redact(f"the server says: {spelled}, which it does not know", secrets)


@pytest.mark.parametrize("user", ["", "a", "me", "you"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_behind_a_user_is_hidden_in_base64(encode: Callable[[bytes], bytes], user: str) -> None:
    secret = "mArKeR??>>~~s3cret"
    told = redact(f"you sent {encode(f'{user}:{secret}'.encode()).decode()}", [secret])
    for before in range(3):  # all that is the same whatever comes before and behind
        spelled = encode(b"\0" * before + b"mArKeR??>>~~s3").decode()
        assert spelled[4:16] not in told


@pytest.mark.parametrize("secret", [SECRET, "mArKeRs3cretInAWord"])
@pytest.mark.parametrize("cut", [100, 14])
def test_the_servers_own_word_is_told_without_it_too(secret: str, cut: int) -> None:
    said = secret[:cut]
    refused = OSError("400")
    error = {"Code": said, "Message": f"you sent {secret}"}
    refused.response = {"ResponseMetadata": {"HTTPStatusCode": 400}, "Error": error}  # type: ignore[attr-defined]
    text = f"Generic S3 error: x - Server returned non-2xx status code: 400: <Code>{said}</Code>"
    attempt = Attempt("read", "k", "s3://bucket")
    for told in (
        translate_fsspec_error(refused, attempt, [secret]),
        translate_obstore_error(OSError(text), attempt, [secret]),
    ):
        assert "HTTP 400" in str(told)
        silent(str(told), repr(told))
    silent(repr(status_of(refused)))


def told_with_variables(error: BaseException) -> str:
    """The text of a report that shows the variables of our frames, as some tools and pytest do."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if frame.filename != __file__]
    assert frames
    return "".join(frames_of for frames_of in traceback.StackSummary.from_list(frames).format())


@pytest.mark.parametrize("place", ["file:///models", "s3://bucket/x", "gs://bucket/x", "az://box/x", "s3:wrong"])
def test_a_store_that_cannot_be_opened_leaves_none_in_the_variables_of_its_frames(place: str) -> None:
    refusals = 0
    for case in each(PRIVATE):
        with case as name:
            for make in (ArtifactStore, lambda place, **options: ArtifactStore.open_legacy(".", **options)):
                try:
                    make(
                        place, storage_options=PRIVATE[name], engine="auto" if place[:2] in {"fi", "s3"} else "obstore"
                    )
                except ArtifactStoreError as refused:
                    refusals += 1
                    silent(told_with_variables(refused), str(refused))
    assert refusals > len(PRIVATE)


@pytest.mark.parametrize("place", ["s3://me:{}@bucket", "https://host/x?sig={}", "s3://me%3A{}%40bucket/x"])
def test_nor_does_an_address_with_a_credential(place: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        ArtifactStore(place.format("mArKeR"))
    silent(told_with_variables(refused.value), str(refused.value))


def test_a_key_that_cannot_be_read_leaves_none_either(tmp_path: Path) -> None:
    broken = pem().decode().replace("PRIVATE", "PRIVATE ")
    alone = "".join(pem().decode().splitlines()[1:-1])
    for source, password in ((broken, None), (alone, None), (pem(), SECRET), (tmp_path / "none", SECRET)):
        with pytest.raises(InvalidOption) as refused:
            Signer.from_pem(source, password)
        told = told_with_variables(refused.value) + str(refused.value)
        silent(told)
        assert not isinstance(source, str) or (alone[:20] not in told and source[40:60] not in told)


@pytest.mark.parametrize("place", ["s3://bucket/x", "gs://bucket/x", "az://box/x"])
def test_a_translation_for_obstore_shows_none_and_neither_does_its_refusal(place: str) -> None:
    for case in each(PRIVATE):
        with case as name:
            try:
                made = cloud_config(parse_url(place), StorageOptions(PRIVATE[name]))
            except InvalidOption as refused:
                silent(str(refused), repr(refused))
            else:
                silent(repr(made), str(made))


def test_a_filesystem_that_cannot_be_made_says_why_without() -> None:
    for case in each(PRIVATE):
        with case as name:
            with pytest.raises(InvalidOption, match="cannot be made of") as caught:
                Recipe(Plain, PRIVATE[name]).get()
            silent(str(caught.value), repr(caught.value))


@pytest.mark.parametrize("name", ["client_kwargs", "config_kwargs", "s3_additional_kwargs"])
def test_a_text_where_the_options_of_a_client_belong_is_refused_and_not_repeated(name: str) -> None:
    for made in (an_s3_filesystem, lambda options: cloud_config(parse_url("s3://bucket/x"), StorageOptions(options))):
        with pytest.raises(InvalidOption, match=rf"{name} is a dict, not a str") as refused:
            made({name: SECRET})
        silent(str(refused.value))


def test_the_refusal_to_pickle_names_the_options() -> None:
    options = StorageOptions({"headers": {"X-Mine": "x"}, "region": "r", "client_kwargs": {"something": "y"}})
    assert options.private == ("client_kwargs", "headers")
    with pytest.raises(InvalidOption, match=r"\(client_kwargs, headers\)"):
        pickle.dumps(options)


NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
DEEP = st.recursive(
    st.just(SECRET),
    lambda below: st.one_of(
        st.lists(below, min_size=1, max_size=2), st.dictionaries(NAMES, below, min_size=1, max_size=2)
    ),
    max_leaves=4,
)


@given(name=st.sampled_from(["zzz", "client_kwargs", "config_kwargs", "s3_additional_kwargs"]), value=DEEP)
def test_however_deep_it_lies_what_is_not_listed_is_a_secret(name: str, value: Any) -> None:
    options = StorageOptions({name: {"zzz": value}})
    assert SECRET in options.secrets
    assert options.private == (name,)
