"""No credential is in what the store shows, says, writes or hands on: asked for directly, with keys that are marked.

What ``tests/redaction.py`` looks for in every test, it has to find when it is there: that is shown here first.
"""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, Signer
from artifact_store.cli.app import app
from artifact_store.errors import AccessDenied, ArtifactStoreError, InvalidOption, Unavailable
from artifact_store.storage.options import StorageOptions
from tests.keys import pem
from tests.proofs.replays.hostile_s3 import HostileS3, Reply, Request, failure
from tests.redaction import WATCH, _look_into_files, everything_about, reachable, silent, told_by
from tests.servers import SeaweedServer
from tests.servers.marked import MARK, MARKS, secret_key

pytestmark = pytest.mark.xdist_group("redaction")
ENGINES = ("obstore", "fsspec")
WRONG = secret_key("wrong")


# ---------------------------------------------------------------- the watch sees


def by_an_error(_: Path) -> None:
    ArtifactStoreError(f"with {MARK}")


def by_a_cause(_: Path) -> None:
    error = ArtifactStoreError("quiet")
    error.__cause__ = OSError(5, "said", f"https://me:{MARK}@host")


def by_an_attribute(_: Path) -> None:
    ArtifactStoreError("quiet").url = MARK  # type: ignore[attr-defined]


def by_a_log(_: Path) -> None:
    logging.getLogger("artifact_store.some.part").debug("the key is %s", {"secret": WRONG})


def by_a_foreign_log(_: Path) -> None:
    logging.getLogger("urllib3").warning("GET /?sig=%s", MARK)


def by_a_key_in_base64(_: Path) -> None:
    for before in ("", "a", "ab"):
        WATCH.take()
        ArtifactStoreError(f"sent {b64encode(f'{before}{MARK}:x'.encode()).decode()}")
        assert WATCH.found


def by_a_pickle(_: Path) -> None:
    pickle.dumps({"secret": WRONG})


def by_a_process(_: Path) -> None:
    subprocess.run([sys.executable, "-c", f"print({MARK!r})"], capture_output=True, check=True)


def by_a_file(folder: Path) -> None:
    folder.joinpath("below").mkdir()
    folder.joinpath("below", "model.bin").write_bytes(b"\0" * 100_000 + WRONG.encode())
    _look_into_files(folder)


@pytest.mark.parametrize(
    "leak",
    [
        by_an_error,
        by_a_cause,
        by_an_attribute,
        by_a_log,
        by_a_foreign_log,
        by_a_key_in_base64,
        by_a_pickle,
        by_a_process,
        by_a_file,
    ],
    ids=lambda leak: leak.__name__,
)
def test_a_secret_that_gets_out_is_seen(leak: Callable[[Path], None], tmp_path: Path) -> None:
    leak(tmp_path)
    assert any(mark in "".join(WATCH.found) for mark in MARKS)
    WATCH.take()
    for file in tmp_path.rglob("*.bin"):
        file.unlink()


def test_a_secret_that_is_printed_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    print(WRONG, file=sys.stderr)
    capsys.readouterr()
    assert MARK in "".join(WATCH.take())


def test_a_key_in_a_file_of_credentials_is_the_affair_of_who_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(WRONG, encoding="utf-8")
    _look_into_files(tmp_path)
    assert WATCH.take() == []


# ---------------------------------------------------------------- stores at a real server


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def calls(store: ArtifactStore) -> list[Callable[[], object]]:
    """Everything that talks to the server in a way of its own."""
    return [
        lambda: store.save({"a": 1}, "gru/BTCEUR"),
        lambda: store.load("gru/BTCEUR"),
        lambda: store.get("gru/BTCEUR:20240816_142301"),
        lambda: list(store.models()),
        lambda: store.promote("gru/BTCEUR:20240816_142301", "best"),
        lambda: store.verify("gru/BTCEUR:20240816_142301"),
    ]


def failing(store: ArtifactStore, kind: type[ArtifactStoreError]) -> Iterator[ArtifactStoreError]:
    """Yield what the calls raise; what they return instead, such as a report of problems, tells nothing either."""
    raised = 0
    for call in calls(store):
        try:
            silent(repr(call()))
        except kind as error:
            raised += 1
            yield error
    assert raised >= 4


def test_a_wrong_secret_at_a_real_server_is_told_to_nobody(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str
) -> None:
    options = {**seaweed.storage_options(), "secret": WRONG}
    with ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=options) as store:
        for error in failing(store, AccessDenied):
            silent(*told_by(error))


def test_nor_one_from_the_environment_of_which_nobody_told_the_store(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRONG)
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"token-{MARK}")
    options = {"endpoint_url": seaweed.endpoint, "client_kwargs": {"region_name": "us-east-1"}}
    with ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=options) as store:
        for error in failing(store, AccessDenied):
            silent(*(told for told in told_by(error) if "environ" not in told[:200]))


def test_nor_the_password_of_a_proxy(seaweed: SeaweedServer, seaweed_prefix: str, engine: str) -> None:
    options = seaweed.storage_options() | {
        "config_kwargs": {"proxies": {"http": f"http://me:{MARK}@127.0.0.1:1"}, "connect_timeout": 1}
    }
    place = seaweed.url(seaweed_prefix)
    with ArtifactStore(place, engine=engine, storage_options=options, timeout=1.0) as store:
        with pytest.raises(Unavailable) as caught:
            store.load("gru/BTCEUR")
        silent(*told_by(caught.value))
    del options["key"], options["secret"]
    with pytest.raises(InvalidOption, match="not pickled"):
        pickle.dumps(StorageOptions(options))


def test_nor_one_in_the_address_of_the_server(seaweed: SeaweedServer, seaweed_prefix: str, engine: str) -> None:
    options = seaweed.storage_options(endpoint=seaweed.endpoint.replace("//", f"//me:{MARK}@"))
    with pytest.raises((InvalidOption, Unavailable)) as caught:
        ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=options, timeout=1.0).load("gru/X")
    silent(*everything_about(caught.value), *traceback.format_exception(caught.value))


def test_a_store_that_works_shows_no_key_wherever_one_looks(
    seaweed: SeaweedServer, seaweed_prefix: str, engine: str
) -> None:
    place = seaweed.url(seaweed_prefix)
    with ArtifactStore(place, engine=engine, storage_options=seaweed.storage_options()) as store:
        run = store.save({"a": 1}, "gru/BTCEUR")
        store.load("gru/BTCEUR")
        for found in reachable(store):
            silent(str(found), repr(found))
        silent(*map(repr, vars(store).values()), repr(run), repr(store.guarantees), f"{store}")
        silent(*(repr(getattr(store, name)) for name in dir(store) if not name.startswith("__")))
        for carry in (pickle.dumps, copy.deepcopy):
            with pytest.raises(InvalidOption, match="credentials") as caught:
                carry(store)
            silent(*everything_about(caught.value))
        for entry in store._context.backend.list(""):
            silent(store._context.backend.read(entry.key, limit=1 << 20).data.decode())


# ---------------------------------------------------------------- what else may be a credential


CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": f"{MARK}-of-mine"}
LARGE = b"large" * (2 << 20)


def test_a_customers_encryption_key_is_used_and_told_to_nobody(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    options = seaweed.storage_options() | {"s3_additional_kwargs": CUSTOMER}
    place = seaweed.url(seaweed_prefix)
    with ArtifactStore(place, engine="fsspec", storage_options=options) as store:
        run = store.save({"a": 1}, "gru/BTCEUR", components={"large": LARGE})
        assert run.load("large") == LARGE
        silent(*(str(found) for found in reachable(store)), *(repr(found) for found in reachable(store)))
        silent(repr(store.guarantees), repr(store.doctor()), str(store.doctor()), repr(store.verify()))
        for entry in store._context.backend.list(""):
            stored = b"".join(store._context.backend.stream(entry.key, size=entry.size))
            silent(stored.decode("latin-1"))
    with ArtifactStore(place, engine="fsspec", storage_options=seaweed.storage_options()) as another:
        with pytest.raises(ArtifactStoreError) as caught:  # it was encrypted indeed
            another.load("gru/BTCEUR")
        silent(*told_by(caught.value))


OPTIONS: dict[str, dict[str, object]] = {
    "customer's key": {"s3_additional_kwargs": CUSTOMER},
    "header": {"client_kwargs": {"headers": {"X-Api-Key": MARK}}},
    "cookies": {"client_kwargs": {"cookies": {"session": MARK}}},
    "below botocore": {"config_kwargs": {"something": {"deep": MARK}}},
    "headers": {"headers": {"Authorization": f"Bearer {MARK}"}},
    "unknown": {"zzz": MARK},
}
unlisted = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@unlisted
def test_no_option_that_is_not_known_is_shown_pickled_or_told_by_an_error(
    engine: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With credentials from the environment, so that nothing but the option is private; the server repeats all it hears."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    with HostileS3(lambda request: failure(400, "InvalidRequest", message=escape(str(request.headers)))) as server:
        given = {"endpoint_url": server.endpoint, "client_kwargs": {"region_name": "us-east-1"}} | options
        try:
            store = ArtifactStore(server.url("models"), engine=engine, storage_options=given, timeout=2.0)
        except InvalidOption as refused:
            silent(*everything_about(refused), *traceback.format_exception(refused))
            return
        with pytest.raises(ArtifactStoreError) as caught:
            store.load("gru/BTCEUR")
        silent(*everything_about(caught.value), *traceback.format_exception(caught.value))
        silent(repr(store), repr(store.guarantees), *(repr(found) for found in reachable(store)))
        silent(repr(store.doctor()), str(store.doctor()))
        with pytest.raises(InvalidOption, match="are not pickled") as refusal:
            pickle.dumps(store)
        silent(*everything_about(refusal.value))
        store.close()


@unlisted
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("command", [("ls",), ("doctor",)], ids="".join)
def test_nor_by_a_command(
    engine: str, options: dict[str, object], command: tuple[str, ...], form: tuple[str, ...]
) -> None:
    given = [part for name, value in options.items() for part in ("--option", f"{name}={as_text(value)}")]
    with HostileS3(lambda request: failure(400, "InvalidRequest", message=escape(str(request.headers)))) as server:
        place = ["--store", server.url("models"), "--engine", engine, "--timeout", "2"]
        place += ["--endpoint-url", server.endpoint, "--option", "key=k", "--option", "secret=another secret"]
        result = CliRunner().invoke(app, [*place, *given, *command, *form])
    assert result.exit_code != 0
    silent(result.stdout, result.stderr)


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {MARK}"}},
        {"client_kwargs": {"headers": {"X-Api-Key": MARK}}},
        {"client_kwargs": {"cookies": {"session": MARK}}},
        {"cookies": {"session": MARK}},
    ],
    ids=["authorization", "api key", "cookie of the client", "cookie"],
)
def test_nor_by_a_filesystem_that_sends_them(options: dict[str, object]) -> None:
    heard: list[str] = []

    def repeat(request: Request) -> Reply:
        heard.append(str(request.headers))
        return Reply(401, str(request.headers).encode())

    with HostileS3(repeat) as server:
        place = f"{server.endpoint}/models"
        with ArtifactStore(place, storage_options=options, concurrency="single-writer", timeout=5.0) as store:
            with pytest.raises(ArtifactStoreError) as caught:
                store.load("gru/BTCEUR")
            silent(*told_by(caught.value), repr(store), repr(store.guarantees), str(store.doctor()))
            with pytest.raises(InvalidOption, match="are not pickled"):
                pickle.dumps(store)
    if "cookies" not in options:  # which aiohttp takes for nothing where they are
        assert MARK in "".join(heard)


# ---------------------------------------------------------------- addresses


ADDRESSES = [
    "s3://AKIAKEY:{}@bucket/models",
    "s3://{}@bucket/models",
    "https://host/models?X-Amz-Credential=a&X-Amz-Signature={}",
    "s3://bucket/models?sig={}",
    "s3://bucket/models#{}",
    "sftp://me:{}@host/models",
    "az://container@account/x;AccountKey={}",
    "filecache::s3://me:{}@bucket/x",
    "unknown://me:{}@host/x",
    "s3:/me:{}@bucket",
    "//me:{}@host/share",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_with_a_credential_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ArtifactStoreError) as caught:
        ArtifactStore(address.format(MARK))
    silent(*everything_about(caught.value), *traceback.format_exception(caught.value))


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_nor_by_the_command_line(address: str, form: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["--store", address.format(MARK), "ls", *form])
    assert result.exit_code != 0
    assert not isinstance(result.exception, ArtifactStoreError)
    silent(result.stdout, result.stderr)


def test_the_command_line_tells_no_option_and_no_wrong_key(seaweed: SeaweedServer, seaweed_prefix: str) -> None:
    where = [
        "--store",
        seaweed.url(seaweed_prefix),
        "--option",
        f"key={seaweed.access_key}",
        "--option",
        f"secret={WRONG}",
    ]
    where += ["--option", f"endpoint_url={seaweed.endpoint}", "--option", 'client_kwargs={"region_name": "us-east-1"}']
    for command in (["ls"], ["show", "gru/BTCEUR"], ["promote", "gru/BTCEUR:20240816_142301", "best"]):
        for form in ([], ["--json"]):
            result = CliRunner().invoke(app, [*where, *command, *form])
            assert result.exit_code == 7, result.stderr
            silent(result.stdout, result.stderr)
            if form:
                assert json.loads(result.stderr)["error"]["type"] == "AccessDenied"
    refused = CliRunner().invoke(app, [*where, "--option", f"secrets={WRONG}", "ls"])
    assert refused.exit_code == 2
    silent(refused.stdout, refused.stderr)


# ---------------------------------------------------------------- keys that sign


def test_a_private_key_is_in_no_repr_no_pickle_and_no_error() -> None:
    private = pem()
    inside = private.decode().splitlines()[1]
    signer = Signer.from_pem(private)
    for told in (
        repr(signer),
        str(signer),
        repr(pickle.dumps(signer)),
        repr(signer.public_key),
        repr(copy.copy(signer)),
    ):
        assert inside not in told
    broken = private.replace(b"PRIVATE", b"PRIVATE ")
    for source, password in ((broken, None), (private, "a password"), (private[:80], None)):
        with pytest.raises(InvalidOption) as caught:
            Signer.from_pem(source, password)
        assert inside[:20] not in "".join((*everything_about(caught.value), repr(pickle.dumps(caught.value))))
        assert "a password" not in "".join(everything_about(caught.value))
