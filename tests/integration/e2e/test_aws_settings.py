"""Both engines honour the same settings of AWS: of variables, ``~/.aws/config`` and ``~/.aws/credentials``, and options.

Every request goes through a proxy in this process, which writes down what it was asked for: a new setting is one more
line in ``CASES``. What botocore or obstore newly knows has to be there, or among the reasons why it makes no difference.
"""

from __future__ import annotations

import json
import os
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, DEFAULT_S3_CONFIG_VARS
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider

from artifact_store import errors
from artifact_store.storage.base import Always
from artifact_store.storage.open import open_backend

KEY = {"AWS_ACCESS_KEY_ID": "ENVKEY", "AWS_SECRET_ACCESS_KEY": "ENVSECRET"}
SERVER = {"AWS_ENDPOINT_URL": "http://s3.example.test"}
REGION = {"AWS_DEFAULT_REGION": "eu-north-1"}
USUAL = {**KEY, **SERVER, **REGION}
FILES = {**SERVER, **REGION}
TWO = (
    "[default]\naws_access_key_id = FILEKEY\naws_secret_access_key = S\naws_session_token = FILETOKEN\n"
    "[work]\naws_access_key_id = WORKKEY\naws_secret_access_key = S\n"
)
OWN_SERVER = "[default]\nendpoint_url = http://file.example.test\n"
SERVICES = "services = mine\n[services mine]\ns3 =\n  endpoint_url = http://service.example.test\n"
ROLE = "[default]\nrole_arn = arn:aws:iam::1:role/reader\nsource_profile = work\n"
SSO = (
    "[default]\nsso_session = me\nsso_account_id = 1\nsso_role_name = r\n"
    "[sso-session me]\nsso_region = us-east-1\nsso_start_url = https://x.test/start\n"
)
PROCESS = "[default]\ncredential_process = {python} -c \"print('{{process}}')\"\n"
AT_AMAZON = {**KEY, **REGION}


@dataclass(frozen=True, slots=True)
class Case:
    """A setting, and what a client has to do that honours it: any of host, key, region, token, and headers."""

    name: str
    env: dict[str, str]
    seen: dict[str, str]
    config: str = ""
    credentials: str = ""
    options: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("AWS_ACCESS_KEY_ID", USUAL, {"host": "s3.example.test", "key": "ENVKEY", "region": "eu-north-1", "token": ""}),
    Case("AWS_SESSION_TOKEN", {**USUAL, "AWS_SESSION_TOKEN": "TOKEN"}, {"token": "TOKEN"}),
    Case("AWS_SECURITY_TOKEN", {**USUAL, "AWS_SECURITY_TOKEN": "TOKEN"}, {"token": "TOKEN"}),
    Case("no region", {**KEY, **SERVER}, {"region": "us-east-1"}),
    Case("AWS_REGION", {**USUAL, "AWS_REGION": "eu-west-3"}, {"region": "eu-west-3"}),
    Case("region", {**KEY, **SERVER}, {"region": "eu-west-2"}, "[default]\nregion = eu-west-2\n"),
    Case(
        "region of credentials", SERVER, {"region": "eu-west-2"}, "", TWO.replace("[work]", "region=eu-west-2\n[work]")
    ),
    Case("region_name", USUAL, {"region": "eu-west-1"}, options={"client_kwargs": {"region_name": "eu-west-1"}}),
    Case("AWS_ENDPOINT", {**KEY, "AWS_ENDPOINT": "http://a.example.test"}, {"host": "a.example.test"}),
    Case("AWS_ENDPOINT_URL_S3", {**USUAL, "AWS_ENDPOINT_URL_S3": "http://b.example.test"}, {"host": "b.example.test"}),
    Case("endpoint_url", KEY, {"host": "file.example.test"}, OWN_SERVER),
    Case("services", KEY, {"host": "service.example.test"}, OWN_SERVER + SERVICES),
    Case("endpoint in options", USUAL, {"host": "c.example.test"}, options={"endpoint_url": "http://c.example.test"}),
    Case(
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        {**USUAL, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        {"host": "artifacts.s3.eu-north-1.amazonaws.com:443"},
    ),
    Case(
        "ignore_configured_endpoint_urls",
        AT_AMAZON,
        {"host": "artifacts.s3.eu-north-1.amazonaws.com:443"},
        OWN_SERVER + "ignore_configured_endpoint_urls = true\n",
    ),
    Case(
        "addressing_style",
        USUAL,
        {"host": "artifacts.s3.example.test"},
        "[default]\ns3 =\n  addressing_style=virtual\n",
    ),
    Case("path style", USUAL, {"host": "s3.example.test"}, "[default]\ns3 =\n  addressing_style = path\n"),
    Case(
        "path style at Amazon",
        AT_AMAZON,
        {"host": "s3.eu-north-1.amazonaws.com:443"},
        "[default]\ns3 =\n  addressing_style = path\n",
    ),
    Case("auto style", USUAL, {"host": "s3.example.test"}, "[default]\ns3 =\n  addressing_style = auto\n"),
    Case(
        "style in options",
        USUAL,
        {"host": "artifacts.s3.example.test"},
        options={"config_kwargs": {"s3": {"addressing_style": "virtual"}}},
    ),
    Case(
        "use_fips_endpoint",
        AT_AMAZON,
        {"host": "artifacts.s3-fips.eu-north-1.amazonaws.com:443"},
        "[default]\nuse_fips_endpoint = true\n",
    ),
    Case(
        "use_dualstack_endpoint",
        {**AT_AMAZON, "AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"host": "artifacts.s3.dualstack.eu-north-1.amazonaws.com:443"},
    ),
    Case(
        "use_accelerate_endpoint",
        AT_AMAZON,
        {"host": "artifacts.s3-accelerate.amazonaws.com:443"},
        "[default]\ns3 =\n  use_accelerate_endpoint = true\n",
    ),
    Case("China", {**KEY, "AWS_REGION": "cn-north-1"}, {"host": "artifacts.s3.cn-north-1.amazonaws.com.cn:443"}),
    Case(
        "payload_signing_enabled",
        USUAL,
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        "[default]\ns3 =\n  payload_signing_enabled = false\n",
    ),
    Case(
        "AWS_UNSIGNED_PAYLOAD", {**USUAL, "AWS_UNSIGNED_PAYLOAD": "true"}, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    ),
    Case("credentials", FILES, {"key": "FILEKEY", "token": "FILETOKEN"}, "", TWO),
    Case("keys in the config", FILES, {"key": "FILEKEY"}, TWO.partition("[work]")[0]),
    Case("AWS_PROFILE", {**FILES, "AWS_PROFILE": "work"}, {"key": "WORKKEY", "token": ""}, "", TWO),
    Case("AWS_DEFAULT_PROFILE", {**FILES, "AWS_DEFAULT_PROFILE": "work"}, {"key": "WORKKEY"}, "", TWO),
    Case(
        "two profiles", {**FILES, "AWS_DEFAULT_PROFILE": "default", "AWS_PROFILE": "work"}, {"key": "FILEKEY"}, "", TWO
    ),
    Case("profile before keys", USUAL, {"key": "WORKKEY"}, "", TWO, {"profile": "work"}),
    Case("keys before AWS_PROFILE", {**USUAL, "AWS_PROFILE": "work"}, {"key": "ENVKEY"}, "", TWO),
    Case("quoted", {**KEY, **SERVER, "AWS_PROFILE": "a b"}, {"region": "x-1"}, '[profile "a b"]\nregion = x-1\n'),
    Case(
        "no profile", {**KEY, **SERVER, "AWS_PROFILE": "work"}, {"region": "us-east-1"}, "[work]\nregion = x-1\n", TWO
    ),
    Case("credential_process", FILES, {"key": "PROCESSKEY", "token": "PROCESSTOKEN"}, PROCESS),
    Case("assumed role", {**FILES, "AWS_ENDPOINT_URL_STS": "http://sts.example.test"}, {"key": "ROLEKEY"}, ROLE, TWO),
    Case("sso", {**FILES, "AWS_ENDPOINT_URL_SSO": "http://sso.example.test"}, {"key": "SSOKEY"}, SSO),
    Case(
        "key in options",
        {**USUAL, "AWS_SESSION_TOKEN": "T"},
        {"key": "K", "token": ""},
        options={"key": "K", "secret": "S"},
    ),
    Case("AWS_SKIP_SIGNATURE", {**USUAL, "AWS_SKIP_SIGNATURE": "true"}, {"key": ""}),
    Case("signs all the same", {**USUAL, "AWS_SKIP_SIGNATURE": "false"}, {"key": "ENVKEY"}),
    Case("anon", USUAL, {"key": ""}, options={"anon": True}),
    Case("AWS_REQUEST_PAYER", {**USUAL, "AWS_REQUEST_PAYER": "true"}, {"x-amz-request-payer": "requester"}),
    Case("requester_pays", USUAL, {"x-amz-request-payer": "requester"}, options={"requester_pays": True}),
    Case(
        "AWS_SERVER_SIDE_ENCRYPTION",
        {
            **USUAL,
            "AWS_SERVER_SIDE_ENCRYPTION": "aws:kms",
            "AWS_SSE_KMS_KEY_ID": "k",
            "AWS_SSE_BUCKET_KEY_ENABLED": "true",
        },
        {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": "k",
            "x-amz-server-side-encryption-bucket-key-enabled": "true",
        },
    ),
    Case(
        "encryption in options",
        USUAL,
        {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-bucket-key-enabled": "true"},
        options={"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True}},
    ),
    Case(
        "AWS_CHECKSUM_ALGORITHM",
        {**USUAL, "AWS_CHECKSUM_ALGORITHM": "sha256"},
        {"x-amz-checksum-sha256": b64encode(sha256(b"v").digest()).decode()},
    ),
]

REFUSED = [
    Case("unknown profile", {**USUAL, "AWS_PROFILE": "wrok"}, {"says": "which AWS_PROFILE names"}, "", TWO),
    Case("did you mean", USUAL, {"says": "did you mean 'work'"}, "", TWO, {"profile": "wrok"}),
    Case("half a key", {**FILES, "AWS_ACCESS_KEY_ID": "K"}, {"says": "set without AWS_SECRET_ACCESS_KEY"}),
    Case("no scheme", {**USUAL, "AWS_ENDPOINT_URL": "s3.test"}, {"says": "AWS_ENDPOINT_URL is an address such as"}),
    Case("file without scheme", KEY, {"says": "endpoint_url in AWS's"}, "[default]\nendpoint_url = s3.test\n"),
    Case(
        "style",
        USUAL,
        {"says": "is one of auto, path, virtual, not 'odd'"},
        "[default]\ns3 =\n  addressing_style = odd\n",
    ),
    Case("switch", {**USUAL, "AWS_USE_FIPS_ENDPOINT": "maybe"}, {"says": "AWS_USE_FIPS_ENDPOINT is true or false"}),
    Case("fips elsewhere", {**USUAL, "AWS_USE_FIPS_ENDPOINT": "true"}, {"says": "which only Amazon has"}),
    Case("no services", USUAL, {"says": "no section [services mine]"}, "[default]\nservices = mine\n"),
    Case("no ini", USUAL, {"says": "cannot be read (MissingSectionHeaderError)"}, "region\n"),
    Case(
        "no such bundle",
        {**AT_AMAZON, "AWS_CA_BUNDLE": "~/ca.pem"},
        {"says": "home/ca.pem', which AWS_CA_BUNDLE names"},
    ),
    Case(
        "ca_bundle",
        AT_AMAZON,
        {"says": "which ca_bundle in AWS's configuration names"},
        "[default]\nca_bundle = /ca.pem\n",
    ),
    Case("no PEM", {**AT_AMAZON, "AWS_CA_BUNDLE": __file__}, {"says": "no certificate in PEM form"}),
    Case(
        "verify", AT_AMAZON, {"says": "home/ca.pem', which verify"}, options={"client_kwargs": {"verify": "~/ca.pem"}}
    ),
    Case(
        "no login", FILES, {"says": "aws sso login"}, SSO.replace("session me", "session you").replace("= me", "= you")
    ),
    Case(
        "no program for credentials",
        FILES,
        {"says": "what gives the credentials cannot be used"},
        "[default]\ncredential_process = /nowhere/program\n",
    ),
    Case("a program that says no JSON", FILES, {"says": "cred"}, "[default]\ncredential_process = /bin/echo key\n"),
    Case("none", {**FILES, "AWS_EC2_METADATA_DISABLED": "true"}, {"says": "no AWS credentials were found"}),
]

ELSEWHERE = {
    "profile": "AWS_PROFILE",
    "config_file": "every case has one",
    "credentials_file": "every case has one",
    "ca_bundle": "REFUSED",
    "use_dualstack_endpoint": "of the environment, of the profile and of the section s3",
    **dict.fromkeys(
        ("metadata_service_timeout", "metadata_service_num_attempts", "ec2_metadata_service_endpoint"),
        "both engines have the role of a machine from botocore",
    ),
    **dict.fromkeys(
        ("ec2_metadata_service_endpoint_mode", "ec2_metadata_v1_disabled", "imds_use_ipv6"), "as the ones above"
    ),
    "sts_regional_endpoints": "botocore assumes roles for both engines",
    **dict.fromkeys(("retry_mode", "max_attempts", "defaults_mode"), "each engine repeats by our own rule"),
    **dict.fromkeys(("csm_enabled", "csm_host", "csm_port", "csm_client_id"), "internal to botocore"),
    **dict.fromkeys(
        (
            "data_path",
            "api_versions",
            "parameter_validation",
            "endpoint_discovery_enabled",
            "disable_host_prefix_injection",
        ),
        "how botocore makes requests, not which",
    ),
    **dict.fromkeys(("user_agent_appid", "tcp_keepalive"), "nothing depends on it"),
    **dict.fromkeys(("request_min_compression_size_bytes", "disable_request_compression"), "S3 has none"),
    **dict.fromkeys(
        ("sigv4a_signing_region_set", "account_id_endpoint_mode", "auth_scheme_preference"), "not of buckets"
    ),
    "request_checksum_calculation": "obstore sends no checksum unless AWS_CHECKSUM_ALGORITHM or an option asks for one",
    "response_checksum_validation": "every byte is compared with the manifest by both",
    **dict.fromkeys(
        ("use_arn_region", "s3_disable_multiregion_access_points", "s3_disable_express_session_auth"),
        "a store is in a bucket that is called by its name",
    ),
    "us_east_1_regional_endpoint": "two names of one server",
}
"""What botocore knows besides, and where it is tried or why it makes no difference."""

ONLY_OBSTORE = {
    **dict.fromkeys(("AWS_BUCKET", "AWS_BUCKET_NAME"), "the URL of the store names the bucket"),
    **dict.fromkeys(("AWS_CONDITIONAL_PUT", "AWS_DISABLE_BULK_DELETE", "AWS_COPY_IF_NOT_EXISTS"), "ours, or not used"),
    "AWS_DISABLE_TAGGING": "a store tags nothing",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "for an address with the bucket in it, which a store has not: addressing_style",
    "AWS_S3_EXPRESS": "a bucket of that kind is not supported",
    **dict.fromkeys(("AWS_METADATA_ENDPOINT", "AWS_IMDSV1_FALLBACK"), "the role of a machine comes from botocore"),
    **dict.fromkeys(
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        "read by both: tests/integration/e2e/test_no_home.py",
    ),
    **dict.fromkeys(
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"), "as the ones above"
    ),
    "AWS_STS_ENDPOINT": "obstore's own, for AWS_WEB_IDENTITY_TOKEN_FILE alone",
    "AWS_TOKEN": "obstore's own name of AWS_SESSION_TOKEN, which no tool of AWS reads",
    "AWS_SSE_CUSTOMER_KEY_BASE64": "test_a_key_that_only_obstore_reads_is_refused_by_the_other_engine",
    "AWS_SECRET_ACCESS_KEY": "with AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT_URL": "every case has it",
    "AWS_DEFAULT_REGION": "nearly every case has it",
    **dict.fromkeys(("AWS_SSE_KMS_KEY_ID", "AWS_SSE_BUCKET_KEY_ENABLED"), "with AWS_SERVER_SIDE_ENCRYPTION"),
}


# ---------------------------------------------------------------- what is asked for


class Witness(ThreadingHTTPServer):
    """A proxy that passes nothing on: it notes what it is asked for, and answers like an S3, an STS or an SSO server."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Witness

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._note(urlsplit(self.path).netloc or str(self.headers["host"]))
        self._answer(b"", ETag='"1"')

    def do_CONNECT(self) -> None:
        self._note(self.path)
        self.close_connection = True
        self._answer(b"", status=503)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        fields = {
            "AccessKeyId": "ROLEKEY",
            "SecretAccessKey": "S",
            "SessionToken": "T",
            "Expiration": "2099-01-01T00:00:00Z",
        }
        told = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        body = f"<AssumeRoleResponse><AssumeRoleResult><Credentials>{told}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        self._answer(body.encode())

    def do_GET(self) -> None:
        key = {"accessKeyId": "SSOKEY", "secretAccessKey": "S", "sessionToken": "T", "expiration": 4_000_000_000_000}
        self._answer(json.dumps({"roleCredentials": key}).encode())

    def _note(self, host: str) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/", headers.get("authorization", ""))
        key, region = scope.groups() if scope else ("", "")
        token = headers.get("x-amz-security-token", "")
        self.server.requests.append({**headers, "host": host, "key": key, "region": region, "token": token})

    def _answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def witness() -> Iterator[Witness]:
    with Witness() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def around(witness: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and an environment that knows nothing of AWS and sends everything through the witness."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / ".aws" / "sso" / "cache").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for reader in (SSOProvider, SSOTokenProvider):  # they look the home folder up once, when they are imported
        monkeypatch.setattr(reader, "_SSO_TOKEN_CACHE_DIR", str(home / ".aws" / "sso" / "cache"))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, witness.address)
    return home


def write_in(case: Case, engine: str, home: Path, monkeypatch: pytest.MonkeyPatch, *, timeout: float = 5.0) -> None:
    for name, value in case.env.items():
        monkeypatch.setenv(name, value)
    process = {"Version": 1, "AccessKeyId": "PROCESSKEY", "SecretAccessKey": "S", "SessionToken": "PROCESSTOKEN"}
    if case.config:
        script = home / "process.json"
        script.write_text(json.dumps(process))
        config = case.config.replace(PROCESS.partition("\n")[2], f"credential_process = /bin/cat {script}\n")
        (home / ".aws" / "config").write_text(config)
    if case.credentials:
        (home / ".aws" / "credentials").write_text(case.credentials)
    login = {"accessToken": "A", "expiresAt": "2099-01-01T00:00:00Z"}
    (home / ".aws" / "sso" / "cache" / f"{sha1(b'me').hexdigest()}.json").write_text(json.dumps(login))
    backend = open_backend(
        "s3://artifacts/x", filesystem=None, storage_options=case.options, engine=engine, timeout=timeout
    )
    try:
        backend.write("k", b"v", when=Always())
    finally:
        backend.close()


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_both_engines_honour_a_setting(
    case: Case, engine: str, witness: Witness, around: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        write_in(case, engine, around, monkeypatch)
    except errors.Unreachable:  # at Amazon, which the proxy does not connect to
        assert ":443" in case.seen["host"]
    seen = witness.requests[-1]
    assert {name: seen.get(name, "") for name in case.seen} == case.seen


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_the_time_that_credentials_take_is_not_that_of_the_server(
    engine: str, witness: Witness, around: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = around / "program"
    program.write_text(f"sleep 1\ncat {around / 'process.json'}\n")
    slow = Case("slow", FILES, {}, f"[default]\ncredential_process = /bin/sh {program}\n")
    write_in(slow, engine, around, monkeypatch, timeout=0.4)
    assert witness.requests[-1]["key"] == "PROCESSKEY"


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name.replace(" ", "-"))
def test_both_engines_refuse_what_means_nothing_and_blame_it(
    case: Case, engine: str, witness: Witness, around: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((errors.InvalidOption, errors.AccessDenied)) as caught:
        write_in(case, engine, around, monkeypatch)
    assert case.seen["says"] in str(caught.value)
    assert not witness.requests


def test_a_key_that_only_obstore_reads_is_refused_by_the_other_engine(
    witness: Witness, around: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {
        "AWS_SERVER_SIDE_ENCRYPTION": "sse-c",
        "AWS_SSE_CUSTOMER_KEY_BASE64": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }
    case = Case("customer key", {**USUAL, **key}, {})
    write_in(case, "obstore", around, monkeypatch)
    assert witness.requests[-1]["x-amz-server-side-encryption-customer-algorithm"] == "AES256"
    with pytest.raises(errors.InvalidOption, match="read by obstore alone"):
        write_in(case, "fsspec", around, monkeypatch)


# ---------------------------------------------------------------- all that there is


def tried() -> str:
    """Return all that the cases are about, in one text."""
    return " ".join(f"{case.name} {' '.join(case.env)} {case.config} {case.options}" for case in (*CASES, *REFUSED))


def test_every_setting_that_botocore_knows_is_tried_or_makes_no_difference() -> None:
    known = {**BOTOCORE_DEFAUT_SESSION_VARIABLES, **DEFAULT_S3_CONFIG_VARS}
    assert set(ELSEWHERE) <= set(known)
    assert [name for name in known if name not in ELSEWHERE and name not in tried()] == []


def test_every_variable_that_obstore_knows_is_tried_or_makes_no_difference() -> None:
    spec = find_spec("obstore")
    assert spec is not None
    assert spec.origin is not None
    stub = (Path(spec.origin).parent / "_store" / "_aws.pyi").read_text(encoding="utf-8")
    known = set(re.findall(r"`(AWS_[A-Z0-9_]+)`", stub))
    assert len(known) > 20
    assert set(ONLY_OBSTORE) <= known
    assert sorted(name for name in known - set(ONLY_OBSTORE) if name not in tried().split()) == []
