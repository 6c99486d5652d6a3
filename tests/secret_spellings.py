"""The spellings of a secret: every way in which a credential can reach a store, as data.

Each row has one and the same secret in it. ``tests/integration/e2e/test_secret_spellings.py`` tries each of them with
each engine, and looks for the secret wherever one could get out.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.marked import MARK, secret_key

SECRET = secret_key("spelt")
IN_A_URL = f"spelt-{MARK}"
"""The same mark without signs that end a user or a query."""

S3, GOOGLE, AZURE = "s3://artifacts/models", "gs://artifacts/models", "az://artifacts/models"
_ACCOUNT = {"account_name": "acct"}
_PAIR = {"key": "AKIDMINE", "secret": "the other half"}
_AT_ONCE = {**_PAIR, "endpoint_url": "{endpoint}", "config_kwargs": {"retries": {"total_max_attempts": 1}}}


@dataclass(frozen=True, slots=True)
class Spelling:
    """Where the secret is written. ``{endpoint}`` and ``{files}`` stand for a server, and for a folder with ``files``."""

    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    place: str = S3
    files: Mapping[str, str] = field(default_factory=dict)
    by_s3fs_alone: bool = False
    """Whether s3fs does the work, which logs at debug level what a server says: SECURITY.md says so."""


class Session:
    """An object of a client, with a credential in it."""

    def __init__(self) -> None:
        self.secret = SECRET


def _account_of_google() -> dict[str, str]:
    return {
        "type": "service_account",
        "private_key_id": "1",
        "private_key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
        "client_email": "me@project.iam.gserviceaccount.com",
        "token_uri": "{endpoint}/token",
    }


def _of_azure(**options: Any) -> Spelling:
    return Spelling(_ACCOUNT | options, place=AZURE)


def _by_azure(**environment: str) -> Spelling:
    return Spelling(_ACCOUNT, environment, AZURE)


BY_OPTION: dict[str, Spelling] = {
    "key": Spelling({"key": SECRET, "secret": "s"}),
    "secret": Spelling({"key": "k", "secret": SECRET}),
    "secret without its key": Spelling({"secret": SECRET}),
    "two different secrets": Spelling({"key": "k", "secret": SECRET, "password": f"{SECRET}2"}),
    "token": Spelling({**_PAIR, "token": SECRET}),
    "username and password": Spelling({"username": "k", "password": SECRET}),
    "aws_secret_access_key of the client": Spelling(
        {"client_kwargs": {"aws_access_key_id": "k", "aws_secret_access_key": SECRET}}
    ),
    "aws_session_token of the client": Spelling({**_PAIR, "client_kwargs": {"aws_session_token": SECRET}}),
    "access_key_id, as obstore has it": Spelling({"access_key_id": SECRET, "secret_access_key": SECRET}),
    "aws_access_key_id": Spelling({"aws_access_key_id": SECRET, "aws_secret_access_key": SECRET}),
    "in capitals": Spelling({"AWS_SECRET_ACCESS_KEY": SECRET}),
    "session_token": Spelling({**_PAIR, "session_token": SECRET}),
    "bearer token": Spelling({"bearer_token": SECRET}),
    "customer's key": Spelling(
        {**_PAIR, "s3_additional_kwargs": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": SECRET}}
    ),
    "customer's key in bytes": Spelling(
        {**_PAIR, "s3_additional_kwargs": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": SECRET.encode()}}
    ),
    "customer's key of a copy": Spelling({**_PAIR, "s3_additional_kwargs": {"CopySourceSSECustomerKey": SECRET}}),
    "encryption context": Spelling({**_PAIR, "s3_additional_kwargs": {"SSEKMSEncryptionContext": SECRET}}),
    "aws_sse_customer_key_base64": Spelling(
        {**_PAIR, "aws_sse_customer_key_base64": b64encode(SECRET.encode()).decode()}
    ),
    "metadata": Spelling({**_PAIR, "s3_additional_kwargs": {"Metadata": {"note": IN_A_URL}}}),
    "header": Spelling({**_PAIR, "headers": {"Authorization": f"Bearer {SECRET}"}}),
    "headers in a list": Spelling({**_PAIR, "headers": [("X-Mine", SECRET)]}),
    "default headers": Spelling({**_PAIR, "default_headers": {"X-Mine": SECRET}}),
    "header of the client": Spelling({**_PAIR, "client_kwargs": {"headers": {"X-Api-Key": SECRET}}}),
    "cookie of the client": Spelling({**_PAIR, "client_kwargs": {"headers": {"Cookie": f"a=b; session={SECRET}"}}}),
    "cookies": Spelling({**_PAIR, "cookies": {"session": SECRET}}),
    "proxy": Spelling({**_PAIR, "config_kwargs": {"proxies": {"http": f"http://me:{IN_A_URL}@127.0.0.1:1"}}}),
    "proxy with a token": Spelling({**_PAIR, "config_kwargs": {"proxies": {"http": f"http://{IN_A_URL}@127.0.0.1:1"}}}),
    "proxy without a scheme": Spelling({**_PAIR, "config_kwargs": {"proxies": {"http": f"me:{IN_A_URL}@127.0.0.1:1"}}}),
    "proxy with a token and no scheme": Spelling(
        {**_PAIR, "config_kwargs": {"proxies": {"http": f"{IN_A_URL}@127.0.0.1:1"}}}
    ),
    "proxy_url": Spelling({**_PAIR, "proxy_url": f"http://me:{IN_A_URL}@127.0.0.1:1"}),
    "client_options": Spelling({**_PAIR, "client_options": {"proxy_url": f"http://me:{IN_A_URL}@127.0.0.1:1"}}),
    "password in the endpoint": Spelling({**_PAIR, "endpoint_url": "http://me:" + IN_A_URL + "@{host}"}),
    "password in an endpoint without a scheme": Spelling({**_PAIR, "endpoint_url": "me:" + IN_A_URL + "@{host}"}),
    "signature in the endpoint": Spelling({**_PAIR, "endpoint_url": "{endpoint}/?sig=" + IN_A_URL}),
    "password in the client's endpoint": Spelling(
        {**_PAIR, "client_kwargs": {"endpoint_url": "http://me:" + IN_A_URL + "@{host}"}}
    ),
    "an option that is not known": Spelling({**_PAIR, "zzz": SECRET}),
    "below botocore": Spelling({**_PAIR, "config_kwargs": {"something": {"deep": [SECRET]}}}),
    "in the name of an inner option": Spelling({**_PAIR, "client_kwargs": {f"Bearer {SECRET}": "x"}}),
    "in the name of an option": Spelling({**_PAIR, f"sig={SECRET}": "x"}),
    "an object": Spelling({**_PAIR, "session": Session()}),
    "options that are a text": Spelling({**_PAIR, "client_kwargs": SECRET}),
    "basic auth": Spelling({**_PAIR, "auth": ("me", SECRET)}),
    "token of Google": Spelling({"token": SECRET}, place=GOOGLE),
    "service account of Google": Spelling({"token": _account_of_google()}, place=GOOGLE),
    "service account of Google as text": Spelling({"token": json.dumps(_account_of_google())}, place=GOOGLE),
    "service_account_key": Spelling({"service_account_key": json.dumps(_account_of_google())}, place=GOOGLE),
    "token of Google and none": Spelling({"token": SECRET, "anon": True}, place=GOOGLE),
    "account key of Azure": _of_azure(account_key=b64encode(SECRET.encode()).decode()),
    "account key of Azure that is not base64": _of_azure(account_key=SECRET),
    "sas token": _of_azure(sas_token=f"sv=2024&sig={IN_A_URL}"),
    "sas token of Azure that is not a query": _of_azure(sas_token=SECRET),
    "connection string": Spelling(
        {"connection_string": f"AccountName=acct;AccountKey={SECRET};BlobEndpoint={{endpoint}}/acct"}, place=AZURE
    ),
    "connection string of nothing": Spelling({"connection_string": f"SharedKey={SECRET}"}, place=AZURE),
    "credential": _of_azure(credential=SECRET),
    "credential that is an object": _of_azure(credential=Session()),
    "client secret": _of_azure(client_id="c", tenant_id="t", client_secret=SECRET),
    "key of Azure under another name": _of_azure(access_key=SECRET),
    "two keys of Azure": _of_azure(account_key=SECRET, connection_string=f"AccountKey={SECRET}2"),
    "user of ftp": Spelling({"username": "me", "password": SECRET}, place="ftp://127.0.0.1:1/models"),
    "header of a web server": Spelling(
        {"client_kwargs": {"headers": {"X-Api-Key": SECRET}}}, place="{endpoint}/artifacts/models"
    ),
    "below a cache": Spelling(
        {"target_protocol": "s3", "target_options": _AT_ONCE | {"token": SECRET}},
        place="simplecache://artifacts/models",
        by_s3fs_alone=True,
    ),
    "below a folder": Spelling(
        {"path": "artifacts", "target_protocol": "s3", "target_options": _AT_ONCE | {"token": SECRET}},
        place="dir://models",
        by_s3fs_alone=True,
    ),
    "options for a disk": Spelling({"secret": SECRET}, place="file:///tmp/models"),
    "options that are no mapping": Spelling([("secret", SECRET)]),  # type: ignore[arg-type]
}

BY_ENVIRONMENT: dict[str, Spelling] = {
    "AWS_ACCESS_KEY_ID": Spelling(environment={"AWS_ACCESS_KEY_ID": SECRET, "AWS_SECRET_ACCESS_KEY": "s"}),
    "AWS_SECRET_ACCESS_KEY": Spelling(environment={"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": SECRET}),
    "AWS_SESSION_TOKEN": Spelling(
        environment={"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": SECRET}
    ),
    "AWS_TOKEN": Spelling(environment={"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_TOKEN": SECRET}),
    "AWS_SECURITY_TOKEN": Spelling(
        environment={"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SECURITY_TOKEN": SECRET}
    ),
    "AWS_SSE_CUSTOMER_KEY_BASE64": Spelling(
        _PAIR,
        {
            "AWS_SERVER_SIDE_ENCRYPTION": "sse-c",
            "AWS_SSE_CUSTOMER_KEY_BASE64": b64encode(SECRET.encode()[:32].ljust(32, b"+")).decode(),
        },
    ),
    "AWS_ENDPOINT_URL with a password": Spelling(
        {**_PAIR, "endpoint_url": None}, {"AWS_ENDPOINT_URL": "http://me:" + IN_A_URL + "@{host}"}
    ),
    "AWS_ENDPOINT_URL_S3 with a signature": Spelling(
        {**_PAIR, "endpoint_url": None}, {"AWS_ENDPOINT_URL_S3": "{endpoint}/?sig=" + IN_A_URL}
    ),
    "a profile": Spelling(
        {"profile": "mine"},
        {"AWS_SHARED_CREDENTIALS_FILE": "{files}/credentials"},
        files={
            "credentials": f"[mine]\naws_access_key_id=k\naws_secret_access_key={SECRET}\naws_session_token={SECRET}\n"
        },
    ),
    "the endpoint of a profile": Spelling(
        {"profile": "mine", "endpoint_url": None},
        {"AWS_CONFIG_FILE": "{files}/credentials"},
        files={
            "credentials": "[profile mine]\naws_access_key_id=k\naws_secret_access_key=s\n"
            f"endpoint_url={{endpoint}}/?sig={IN_A_URL}\n"
        },
    ),
    "HTTP_PROXY": Spelling(_PAIR, {"HTTP_PROXY": f"http://me:{IN_A_URL}@127.0.0.1:1", "NO_PROXY": ""}),
    "http_proxy without a scheme": Spelling(_PAIR, {"http_proxy": f"me:{IN_A_URL}@127.0.0.1:1", "no_proxy": ""}),
    "GOOGLE_SERVICE_ACCOUNT_KEY": Spelling(
        environment={"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(_account_of_google())}, place=GOOGLE
    ),
    "GOOGLE_APPLICATION_CREDENTIALS": Spelling(
        environment={"GOOGLE_APPLICATION_CREDENTIALS": "{files}/credentials"},
        place=GOOGLE,
        files={"credentials": json.dumps(_account_of_google())},
    ),
    "AZURE_STORAGE_ACCOUNT_KEY": _by_azure(AZURE_STORAGE_ACCOUNT_KEY=b64encode(SECRET.encode()).decode()),
    "AZURE_STORAGE_ACCESS_KEY that is not base64": _by_azure(AZURE_STORAGE_ACCESS_KEY=SECRET),
    "AZURE_STORAGE_SAS_KEY": _by_azure(AZURE_STORAGE_SAS_KEY=f"sv=2024&sig={IN_A_URL}"),
    "AZURE_STORAGE_TOKEN": _by_azure(AZURE_STORAGE_TOKEN=SECRET),
    "AZURE_CLIENT_SECRET": _by_azure(AZURE_CLIENT_ID="c", AZURE_TENANT_ID="t", AZURE_CLIENT_SECRET=SECRET),
    "FSSPEC_S3": Spelling(environment={"FSSPEC_S3": json.dumps({**_PAIR, "token": SECRET})}),
    "FSSPEC_S3_SECRET": Spelling(
        environment={"FSSPEC_S3_KEY": "k", "FSSPEC_S3_SECRET": SECRET, "FSSPEC_S3_TOKEN": SECRET}
    ),
    "FSSPEC_S3 with a customer's key": Spelling(
        _PAIR, {"FSSPEC_S3_S3_ADDITIONAL_KWARGS": json.dumps({"SSECustomerKey": SECRET, "SSECustomerAlgorithm": "A"})}
    ),
    "FSSPEC_S3 with a header": Spelling(
        _PAIR, {"FSSPEC_S3_CLIENT_KWARGS": json.dumps({"headers": {"X-Api-Key": SECRET}})}
    ),
    "FSSPEC_S3 with an unknown option": Spelling(_PAIR, {"FSSPEC_S3_ZZZ": SECRET}),
    "FSSPEC_S3_ENDPOINT_URL": Spelling(
        {**_PAIR, "endpoint_url": None}, {"FSSPEC_S3_ENDPOINT_URL": "http://me:" + IN_A_URL + "@{host}"}
    ),
    "FSSPEC_HTTP": Spelling(
        environment={"FSSPEC_HTTP": json.dumps({"client_kwargs": {"headers": {"X-Api-Key": SECRET}}})},
        place="{endpoint}/artifacts/models",
    ),
    "a json file of fsspec": Spelling(
        environment={"FSSPEC_CONFIG_DIR": "{files}"},
        files={"credentials.json": json.dumps({"s3": {**_PAIR, "token": SECRET}})},
    ),
    "an ini file of fsspec": Spelling(
        environment={"FSSPEC_CONFIG_DIR": "{files}"},
        files={"credentials.ini": f"[s3]\nkey=k\nsecret={SECRET}\ntoken={SECRET}\n"},
    ),
}

BY_ADDRESS: dict[str, Spelling] = {
    address: Spelling(place=address.format(IN_A_URL))
    for address in (
        "s3://AKIAKEY:{}@bucket/models",
        "s3://{}@bucket/models",
        "https://host/models?X-Amz-Credential=a&X-Amz-Signature={}",
        "s3://bucket/models?sig={}",
        "s3://bucket/models#{}",
        "s3://bucket/models;{}",
        "S3://me:{}@bucket/models",
        "s3://me%3A{}%40bucket/models",
        "sftp://me:{}@host/models",
        "az://container@account/x;AccountKey={}",
        "simplecache::s3://me:{}@bucket/x",
        "dir::https://host/x?sig={}",
        "unknown://me:{}@host/x",
        "s3:/me:{}@bucket",
        "//me:{}@host/share",
    )
}

SPELLINGS = BY_OPTION | BY_ENVIRONMENT | BY_ADDRESS
