"""The commands of trust: keys are made once and kept private, runs are signed, and verify says by whom."""

import json
import re
import shlex
import stat
import sys

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, LoadPolicy, PublicKey, Signer, errors
from artifact_store.cli.app import app
from artifact_store.cli.program import FAMILIES
from artifact_store.core.statement import Bundle, message, statement, write_bundle
from tests.commands import commands as program_commands

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.delenv("ARTIFACT_STORE_KEY_PASSWORD", raising=False)

    def run(*arguments, **more):
        return CliRunner().invoke(app, ["--store", str(tmp_path / "store"), *map(str, arguments)], **more)

    return run


@pytest.fixture
def keys(cli, tmp_path):
    """Two people's pairs of keys."""
    for name in ("mine", "yours"):
        assert cli("keygen", tmp_path / name).exit_code == 0
    return tmp_path


@pytest.fixture
def store(tmp_path):
    with ArtifactStore(tmp_path / "store") as store:
        yield store


def failed(result, error, words):
    assert result.exit_code == next(code for family, code in FAMILIES.items() if issubclass(error, family))
    assert words in result.stderr


def test_keygen_makes_a_pair_and_overwrites_nothing(cli, tmp_path):
    done = cli("keygen", tmp_path / "deep.name")
    assert done.exit_code == 0, done.output
    private, public = tmp_path / "deep.name.key", tmp_path / "deep.name.pub"
    signer = Signer.from_pem(private)
    assert PublicKey.from_pem(public) == signer.public_key
    assert signer.key_id[:16] in done.stdout
    assert "PRIVATE" not in done.output
    if sys.platform != "win32":
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes(), public.read_bytes()
    failed(cli("keygen", tmp_path / "deep.name"), errors.InvalidOption, "nothing is overwritten")
    private.unlink()
    failed(cli("keygen", tmp_path / "deep.name"), errors.InvalidOption, "deep.name.pub is there already")
    assert (not private.exists(), public.read_bytes()) == (True, before[1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a right to make links")
def test_keygen_follows_no_link(cli, tmp_path):
    (tmp_path / "mine.key").symlink_to(tmp_path / "elsewhere")
    failed(cli("keygen", tmp_path / "mine"), errors.InvalidOption, "is there already")
    assert not (tmp_path / "elsewhere").exists()


def test_a_password_is_asked_for_or_taken_from_the_environment(cli, tmp_path, store):
    run = store.save({"a": 1}, KEY)
    made = cli("keygen", tmp_path / "asked", "--password", input="s3cret\ns3cret\n")
    assert made.exit_code == 0
    environment = {"ARTIFACT_STORE_KEY_PASSWORD": "s3cret"}
    done = cli("keygen", tmp_path / "given", "--password", "--json", env=environment)
    assert json.loads(done.stdout)["key_id"] == Signer.from_pem(tmp_path / "given.key", "s3cret").key_id
    asked = cli("sign", run.ref, "--key", tmp_path / "asked.key", input="s3cret\n")
    assert asked.exit_code == 0, asked.output
    assert cli("sign", run.ref, "--key", tmp_path / "given.key", env=environment).exit_code == 0
    failed(cli("sign", run.ref, "--key", tmp_path / "asked.key", input="no\n"), errors.InvalidOption, "is wrong")
    failed(
        cli("keygen", tmp_path / "empty", "--password", env={"ARTIFACT_STORE_KEY_PASSWORD": ""}),
        errors.InvalidOption,
        "protects nothing",
    )
    assert "s3cret" not in made.output + done.output + asked.output


def test_verify_says_by_whom_each_run_is_signed(cli, keys, store):
    good, unsigned, strange = (store.save({"a": n}, KEY, publish="never") for n in range(3))
    assert "is signed by the key" in cli("sign", good.ref, "--key", keys / "mine.key").stdout
    signed = json.loads(cli("sign", strange.ref, "--key", keys / "yours.key", "--json").stdout)
    assert signed["ref"] == str(strange.ref)
    assert cli("verify", good.ref, "--keys", keys / "mine.pub").exit_code == 0
    one = cli("verify", KEY, "--keys", keys / "mine.pub")
    assert one.exit_code == 1
    rows = {line.split()[0]: line for line in one.stdout.splitlines() if line.startswith("gru/BTCEUR:")}
    assert rows[str(good.ref)].split()[-2:] == ["mine.pub", "ok"]
    assert rows[str(unsigned.ref)].split()[-2:] == ["unsigned", "UNTRUSTED"]
    assert rows[str(strange.ref)].endswith("unknown key  UNTRUSTED")
    both = json.loads(cli("verify", KEY, "--keys", keys / "mine.pub", "--keys", keys / "yours.pub", "--json").stdout)
    told = {row["ref"]: (row["signature"], row["signed_by"]) for row in both["runs"]}
    assert told[str(good.ref)] == ("valid", PublicKey.from_pem(keys / "mine.pub").key_id)
    assert told[str(strange.ref)] == ("valid", PublicKey.from_pem(keys / "yours.pub").key_id)
    assert told[str(unsigned.ref)] == ("unsigned", None)
    assert [problem["type"] for problem in both["problems"]] == ["SignatureMissing"]
    assert "signed" not in cli("verify", KEY).stdout  # who does not ask is told nothing
    damaged = next((keys / "store" / KEY / str(good.run_id)).glob("_signatures/*"))
    damaged.chmod(0o600)
    damaged.write_bytes(b"{}")
    assert "invalid" in cli("verify", good.ref, "--keys", keys / "mine.pub").stdout


def test_what_is_put_and_promoted_can_be_signed(cli, keys, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"model")
    signed = ("--signer", keys / "mine.key")
    assert cli(*signed, "put", KEY, tmp_path / "model.bin").exit_code == 0
    assert cli(*signed, "put", KEY, tmp_path / "model.bin").exit_code == 0
    assert cli(*signed, "promote", KEY, "production").exit_code == 0
    assert cli(*signed, "rollback", KEY).exit_code == 0
    trusted = LoadPolicy(trusted_keys=[PublicKey.from_pem(keys / "mine.pub")], require_signature=True)
    reader = ArtifactStore(tmp_path / "store", policy=trusted)
    assert reader.get(KEY).run_id < reader.get(f"{KEY}@production").run_id
    assert cli("verify", "--keys", keys / "mine.pub").exit_code == 0
    assert cli("promote", f"{KEY}@production", "latest").exit_code == 0
    failing = cli("verify", KEY, "--keys", keys / "mine.pub")
    assert failing.exit_code == 1
    assert "the pointer gru/BTCEUR@latest is not signed" in failing.stdout


def test_the_commands_of_the_error_lead_from_an_unsigned_history_to_a_signed_one(cli, keys, store, tmp_path):
    """They are typed as they stand there, one after another: the words in capitals are for the user to fill in."""
    store.save({"a": 1}, KEY)
    (tmp_path / "a.py").write_text("print()", encoding="utf-8")
    signing = ("--signer", keys / "mine.key")
    refused = cli(*signing, "put", KEY, tmp_path / "a.py")
    failed(refused, errors.UnverifiedHistory, "Nothing was published")
    commands = re.findall("`artifact-store ([^`]*)`", refused.stderr)
    assert [next(word for word in command.split() if word in program_commands()) for command in commands] == [
        *("history", "sign", "promote")
    ]
    filled = {"FILE": str(keys / "mine.key")}
    for command in commands:
        done = cli(*(filled.get(word, word) for word in shlex.split(command)))
        assert done.exit_code == 0, done.output
        if command.startswith("history"):
            filled["DIGEST"] = re.search("digest of this history: ([0-9a-f]{64})", done.stdout)[1]
    assert cli(*signing, "put", KEY, tmp_path / "a.py").exit_code == 0
    assert cli("verify", f"{KEY}@latest", "--keys", keys / "mine.pub").exit_code == 0


def test_sign_takes_the_key_that_stands_before_it(cli, keys, store):
    run = store.save({"a": 1}, KEY)
    assert cli("--signer", keys / "mine.key", "sign", run.ref).exit_code == 0
    assert cli("verify", run.ref, "--keys", keys / "mine.pub").exit_code == 0
    assert cli("--signer", keys / "mine.key", "sign", run.ref, "--key", keys / "yours.key").exit_code == 0
    assert cli("verify", run.ref, "--keys", keys / "yours.pub").exit_code == 0
    without = cli("sign", run.ref)
    assert (without.exit_code, "--key" in without.stderr, "--signer" in without.stderr) == (2, True, True)
    bundle = cli("--signer", keys / "mine.key", "sign", run.ref, "--bundle", keys / "mine.pub")
    assert (bundle.exit_code, "the public key" in bundle.stderr) == (2, True)


def test_a_signature_made_elsewhere_can_be_stored(cli, keys, store):
    run, other = store.save({"a": 1}, KEY), store.save({"a": 2}, KEY)
    signer = Signer.from_pem(keys / "mine.key")
    payload = statement(run.manifest)
    (keys / "model.sig").write_bytes(write_bundle(Bundle(signer.key_id, payload, signer.sign(message(payload)))))
    arguments = ("--key", keys / "mine.pub", "--bundle", keys / "model.sig")
    assert cli("sign", run.ref, *arguments).exit_code == 0
    failed(cli("sign", other.ref, *arguments), errors.SignatureInvalid, "covers other bytes of manifest.json")


def test_a_key_of_another_kind_or_the_wrong_half_ends_with_2(cli, keys, store):
    run = store.save({"a": 1}, KEY)
    failed(cli("sign", run.ref, "--key", keys / "mine.pub"), errors.InvalidOption, "not a private key")
    failed(cli("verify", KEY, "--keys", keys / "mine.key"), errors.InvalidOption, "keep it to yourself")
    assert cli("verify", KEY, "--keys", keys / "missing.pub").exit_code == 2
