"""One secret under every spelling of ``tests/secret_spellings.py``, and no outlet that lets it out.

Each spelling meets a server that answers with all that it hears, and one that works. The logs are looked at by
``tests/redaction.py``, as in every test.
"""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, LoadPolicy, Signer
from artifact_store.cli.app import app
from artifact_store.errors import ArtifactStoreError, InvalidOption, Unavailable
from tests.keys import pem
from tests.proofs.replays.hostile_s3 import HostileS3, Reply, Request
from tests.redaction import everything_about, reachable, silent, told_by
from tests.secret_spellings import BY_ADDRESS, BY_ENVIRONMENT, BY_OPTION, SECRET, SPELLINGS, Spelling
from tests.servers import SeaweedServer
from tests.servers.marked import MARK, MARKS

pytestmark = pytest.mark.xdist_group("redaction")
ENGINES = ("obstore", "fsspec")
CLOUDS = ("s3:", "gs:", "az:")
KEY = pem()
SECURITY = Path(__file__).parents[3].joinpath("SECURITY.md").read_text(encoding="utf-8")
ENOUGH = 2
"""Errors of a server that cannot be reached, each of which takes its time: the others would be the same."""


def echo(request: Request) -> Reply:
    """Answer with all that was heard, wherever there is room for it; what the client sent last as the server's own word."""
    heard = f"{request.target} {request.headers} {request.body[:500]!r}"
    marked = next((word for word in heard.replace("'", " ").split() if MARK in word), "InvalidRequest")
    error = f"<Error><Code>{escape(marked[:80])}</Code><Message>{escape(heard)}</Message></Error>"
    return Reply(400, error.encode(), {"Content-Type": "application/xml"})


class Placed:
    """A spelling where a test can use it: with a server, in an environment, with files."""

    def __init__(
        self, spelling: Spelling, server: HostileS3, folder: Path, monkeypatch: pytest.MonkeyPatch, engine: str
    ) -> None:
        self._words = {"endpoint": server.endpoint, "host": server.endpoint.partition("://")[2], "files": str(folder)}
        self.place = self._filled(spelling.place)
        self.engine = engine
        served: dict[str, Any] = {"endpoint_url": server.endpoint} if self.place.startswith(CLOUDS) else {}
        if self.place.startswith("s3:"):
            served["client_kwargs"] = {"region_name": "us-east-1"}
        self.options = self._filled(spelling.options)
        if isinstance(self.options, dict):
            self.options = served | self.options
        if spelling.by_s3fs_alone:
            monkeypatch.setattr(logging.getLogger("s3fs"), "disabled", True)
        folder.mkdir(exist_ok=True)
        for name, text in spelling.files.items():
            folder.joinpath(name).write_text(self._filled(text), encoding="utf-8")
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, str(folder / "none"))
        environment = self._filled(spelling.environment)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        _configure_fsspec(environment, monkeypatch)

    def _filled(self, value: Any) -> Any:
        match value:
            case str():
                for name, word in self._words.items():
                    value = value.replace(f"{{{name}}}", word)
                return value
            case Mapping():
                return {name: self._filled(part) for name, part in value.items()}
            case _:
                return value

    def open(self, **more: Any) -> ArtifactStore:
        """Open the store; if not told otherwise, with a short timeout, since most spellings lead to no answer."""
        return ArtifactStore(self.place, engine=self.engine, storage_options=self.options, **({"timeout": 0.3} | more))

    def command_line(self) -> list[str] | None:
        """The arguments that say the same to a program, if they can."""
        if not isinstance(self.options, dict):
            return None
        given = []
        for name, value in self.options.items():
            try:
                text = value if isinstance(value, str) else json.dumps(value)
            except TypeError:
                return None
            if value is not None:
                given += ["--option", f"{name}={text}"]
        return ["--store", self.place, "--engine", self.engine, "--timeout", "0.3", *given]


def _configure_fsspec(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what fsspec does when it is imported."""
    from fsspec import config

    conf: dict[str, dict[str, Any]] = {}
    if folder := environment.get("FSSPEC_CONFIG_DIR"):
        config.set_conf_files(folder, conf)
    config.set_conf_env(conf, {name: value for name, value in environment.items() if name != "FSSPEC_CONFIG_DIR"})
    monkeypatch.setattr(config, "conf", conf)


def everything(store: ArtifactStore) -> Iterator[Callable[[], object]]:
    """All that talks to the server in a way of its own, and what a store says about itself."""
    yield lambda: store.save({"a": 1}, "gru/BTCEUR", run_id="20240816_142301", components={"other": b"bytes"})
    yield lambda: store.load("gru/BTCEUR")
    yield lambda: store.get("gru/BTCEUR@latest").load("other")
    yield lambda: list(store.models())
    yield lambda: store.promote("gru/BTCEUR:20240816_142301", "best")
    yield store.verify
    yield store.doctor
    yield lambda: str(store.doctor())
    yield lambda: store.guarantees
    yield store.gc


def look(store: ArtifactStore) -> None:
    """Ask everything, and look at every answer and every error."""
    out_of_reach = 0
    for call in everything(store):
        if out_of_reach == ENOUGH:
            break
        try:
            answer = call()
        except ArtifactStoreError as error:
            silent(*told_by(error))
            out_of_reach += isinstance(error, Unavailable)
        else:
            silent(repr(answer), str(answer))
    for found in reachable(store):
        silent(str(found), repr(found))
    silent(repr(store), f"{store}", *map(repr, vars(store).values()))
    for carry in (pickle.dumps, copy.deepcopy):
        try:
            carried = carry(store)
        except InvalidOption as refused:
            silent(*everything_about(refused), repr(pickle.dumps(refused)))
        else:
            silent(repr(carried), carried.decode("latin-1") if isinstance(carried, bytes) else "")


def engines(spelling: Spelling) -> tuple[str, ...]:
    return ENGINES if spelling.place.startswith(CLOUDS) and spelling not in BY_ADDRESS.values() else ("auto",)


ALWAYS = ("key", "secret", "token", "username and password", "a profile")
ALWAYS += ("aws_secret_access_key of the client", "aws_session_token of the client")
ALWAYS += ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
WORKS = {
    "obstore": {
        *ALWAYS,
        *("AWS_TOKEN", "AWS_SSE_CUSTOMER_KEY_BASE64", "AWS_ENDPOINT_URL with a password"),
        *("AWS_ENDPOINT_URL_S3 with a signature", "the endpoint of a profile"),
    },
    "fsspec": {
        *ALWAYS,
        *("customer's key", "customer's key in bytes", "encryption context", "AWS_SECURITY_TOKEN"),
        *("FSSPEC_S3", "FSSPEC_S3_SECRET", "FSSPEC_S3 with a customer's key"),
        *("a json file of fsspec", "an ini file of fsspec"),
    },
    "auto": set(),
}
"""The spellings that an engine takes, so that a store is saved with them, and there are files to look into."""

spelt = pytest.mark.parametrize(
    ("name", "engine"),
    [pytest.param(name, engine, id=f"{name}-{engine}") for name in SPELLINGS for engine in engines(SPELLINGS[name])],
)


@pytest.fixture(params=["repeats all", "works"])
def server(request: pytest.FixtureRequest) -> Iterator[HostileS3]:
    with HostileS3(echo if request.param == "repeats all" else None) as server:
        yield server


@spelt
def test_it_is_in_no_repr_error_pickle_or_file(
    name: str, engine: str, server: HostileS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings(record=True) as warned:
        placed = Placed(SPELLINGS[name], server, tmp_path / "files", monkeypatch, engine)
        works = server.lie is None and name in WORKS[engine]
        signer = Signer.from_pem(KEY)
        policy = LoadPolicy(trusted_keys=[signer.public_key], require_signature=True)
        try:
            store = placed.open(
                **({"timeout": 30.0} if works else {}),
                cache=tmp_path / "cache",
                state=tmp_path / "state",
                signer=signer,
                policy=policy,
            )
        except ArtifactStoreError as refused:
            silent(*told_by(refused))
            assert not works
        else:
            look(store)
            store.close()
    if works:
        assert "models/gru/BTCEUR/20240816_142301/manifest.json" in server.objects
        assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    silent(*(str(warning.message) for warning in warned))
    silent(*server.objects, *(data.decode("latin-1") for data in server.objects.values()))
    for folder in (tmp_path / "cache", tmp_path / "state"):
        silent(*(str(path) for path in folder.rglob("*")))
        silent(*(path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()))


@spelt
def test_nor_does_a_command_say_it(name: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileS3(echo) as server:
        placed = Placed(SPELLINGS[name], server, tmp_path / "files", monkeypatch, engine)
        arguments = placed.command_line()
        if arguments is None:
            return
        for command in (["ls"], ["doctor"], ["doctor", "--json"], ["ls", "--json"]):
            result = CliRunner().invoke(app, [*arguments, *command])
            assert result.exit_code != 0
            assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
            silent(result.stdout, result.stderr)


def test_there_are_more_than_forty() -> None:
    assert len(BY_OPTION) + len(BY_ENVIRONMENT) > 80
    assert len(BY_ADDRESS) >= 15


# ---------------------------------------------------------------- what is documented


def test_the_loggers_of_botocore_that_write_it_are_those_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    wrote: set[str] = set()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if any(mark in record.getMessage() for mark in MARKS):
                wrote.add(record.name)

    listener, botocore = Listener(), logging.getLogger("botocore")
    monkeypatch.setattr(botocore, "propagate", False)
    monkeypatch.setattr(botocore, "handlers", [listener])
    level = botocore.level
    botocore.setLevel(logging.DEBUG)
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": SECRET}
    found = {}
    try:
        with HostileS3() as server:
            for private in ({"token": SECRET}, {"s3_additional_kwargs": customer}, {"key": SECRET}, {"secret": SECRET}):
                options = server.options(**private)
                with ArtifactStore(server.url("models"), engine="fsspec", storage_options=options) as store:
                    store.save({"a": 1}, "gru/BTCEUR")
                found[next(iter(private))] = sorted(wrote)
                wrote.clear()
    finally:
        botocore.setLevel(level)
    named = [name for name in ("botocore.auth", "botocore.endpoint") if f"`{name}`" in SECURITY]
    assert found == {
        "token": named,
        "s3_additional_kwargs": named,
        "key": ["botocore.endpoint"],
        "secret": [],
    }


# ---------------------------------------------------------------- another process

LOAD = """
import pickle, sys
from artifact_store.errors import AccessDenied
try:
    print(pickle.loads(sys.stdin.buffer.read()).load("gru/BTCEUR"))
except AccessDenied as refused:
    print(refused)
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pickled_store_finds_credentials_where_it_arrives_or_says_which_are_missing(
    engine: str, seaweed: SeaweedServer, seaweed_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"endpoint_url": seaweed.endpoint, "client_kwargs": {"region_name": "us-east-1"}}
    pair = {"key": seaweed.access_key, "secret": seaweed.secret_key}
    place = seaweed.url(seaweed_prefix)
    with ArtifactStore(place, engine=engine, storage_options=given | pair) as store:
        store.save({"a": 1}, "gru/BTCEUR")
        with pytest.raises(InvalidOption, match=r"\(key, secret\).*give credentials by profile or environment"):
            pickle.dumps(store)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    with ArtifactStore(place, engine=engine, storage_options=given) as store:
        assert store.load("gru/BTCEUR") == {"a": 1}
        carried = pickle.dumps(store)
    silent(carried.decode("latin-1"))

    def elsewhere() -> str:
        done = subprocess.run([sys.executable, "-c", LOAD], input=carried, capture_output=True, check=True)
        return done.stdout.decode()

    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        without.delenv("AWS_SECRET_ACCESS_KEY")
        told = elsewhere()
    assert "no AWS credentials were found" in told
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told
    assert elsewhere() == "{'a': 1}\n"  # where they are set
