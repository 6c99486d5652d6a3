"""What a signer signs over: what its own key or a trusted one has signed, and nothing else unless it is told to."""

from __future__ import annotations

import json
import pickle

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, LoadPolicy, errors
from artifact_store.canonical import sha256
from artifact_store.cli.app import app
from artifact_store.core import keys
from artifact_store.storage.base import Always
from tests.keys import pem, public, signer, strict

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"


@pytest.fixture
def opened(tmp_path):
    return lambda **more: ArtifactStore(tmp_path / "store", **more)


@pytest.fixture
def plain(opened):
    return opened()


@pytest.fixture
def owner(opened):
    """A store with a signer and no policy."""
    return opened(signer=signer())


def pointer_of(store, key=KEY):
    return store.aliases(key)["latest"]


def refused(kind, store, work):
    """Nothing is published, committed or signed."""
    before = {entry.key: entry.modified for entry in store._context.backend.list("")}
    with pytest.raises(kind) as caught:
        work()
    after = {entry.key: entry.modified for entry in store._context.backend.list("")}
    left = {key for key in set(after) - set(before) if "/_signatures/" not in key and "model" not in key}
    assert {key for key in left if not key.startswith("_index/") and not key.endswith("metadata.json")} == set()
    assert before.items() <= after.items()
    return caught.value


def test_a_signer_does_not_sign_the_history_of_an_alias_that_has_no_signature(plain, owner):
    one, two = (plain.save({"n": n}, KEY) for n in range(2))
    owner.sign(one, signer())
    for work in (
        lambda: owner.save({"n": 3}, KEY),
        lambda: owner.promote(one, "latest"),
        lambda: owner.rollback(KEY),
        lambda: owner.retire(KEY),
        lambda: owner.check_writable(KEY),
    ):
        error = refused((errors.UnverifiedHistory, errors.SignatureMissing), plain, work)
    assert isinstance(error, errors.UnverifiedHistory)
    assert pointer_of(plain).signature is None
    assert pointer_of(plain).run_id == two.run_id
    assert len(list(plain.runs(KEY))) == 2


def test_the_advice_leads_from_an_unsigned_alias_to_a_signed_one(plain, owner, opened):
    plain.save({"n": 1}, KEY)
    with pytest.raises(errors.UnverifiedHistory, match=r"store\.history.*vouch=history\.pointer"):
        owner.save({"n": 2}, KEY)
    history = owner.history(KEY)
    assert [entry.seq for entry in history] == [1]
    with pytest.raises(errors.SignatureMissing, match=r"store\.sign"):
        owner.promote(f"{KEY}@latest", "latest", vouch=history.pointer)
    owner.sign(f"{KEY}@latest", signer())
    owner.promote(f"{KEY}@latest", "latest", vouch=history.pointer)
    owner.save({"n": 2}, KEY)
    assert opened(policy=strict()).load(KEY) == {"n": 2}
    assert [entry.seq for entry in opened(policy=strict()).history(KEY)] == [1, 2, 3]


def test_a_new_alias_and_the_own_one_need_no_word(owner, opened):
    for n in range(3):
        run = owner.save({"n": n}, KEY)
    owner.promote(run, "production")
    owner.rollback(KEY)
    owner.retire(f"{KEY}@production")
    assert opened(policy=strict()).load(KEY) == {"n": 1}


def test_a_colleague_is_trusted_by_the_policy_and_not_because_the_alias_is_signed(owner, opened):
    owner.save({"n": 1}, KEY)
    alone = opened(signer=signer("second"))
    error = refused(errors.UnverifiedHistory, owner, lambda: alone.save({"n": 2}, KEY))
    assert public().key_id[:16] in str(error)
    assert isinstance(error.__cause__, errors.UntrustedKey)
    policy = LoadPolicy(trusted_keys=[public()])
    together = opened(signer=signer("second"), policy=policy)
    together.save({"n": 2}, KEY)
    assert opened(policy=strict("owner", "second")).load(KEY) == {"n": 2}


def test_a_forged_history_is_not_laundered_by_the_next_save(owner, plain, opened):
    """Who may write to the storage and knows the format writes a pointer of his own, with a run of his in its past."""
    owner.save({"n": 1}, KEY)
    foreign = plain.save({"n": "foreign"}, KEY, publish="never")
    plain.promote(foreign, "latest")
    refused(errors.UnverifiedHistory, plain, lambda: owner.save({"n": 2}, KEY))
    with pytest.raises(errors.SignatureMissing):
        opened(policy=strict()).load(KEY)


def test_a_signer_publishes_no_run_that_is_not_signed(owner, plain):
    run = plain.save({"n": 1}, KEY, publish="never")
    refused(errors.SignatureMissing, plain, lambda: owner.promote(run, "latest"))
    owner.sign(run, signer())
    assert owner.promote(run, "latest").signature is not None


def test_a_pointer_that_was_copied_from_another_store_of_the_signer_is_not_carried_on(owner, opened, tmp_path):
    other = ArtifactStore(tmp_path / "other", signer=signer())
    run = other.save({"n": 1}, KEY)
    where = keys.pointer(run.key, "latest")
    foreign = other._context.backend.read(where, limit=1 << 20).data
    owner.save({"n": 1}, KEY)
    owner._context.backend.write(where, foreign, when=Always())
    refused(errors.UnverifiedHistory, owner, lambda: owner.save({"n": 2}, KEY))
    careful = opened(signer=signer(), policy=strict())
    error = refused(errors.SignatureInvalid, owner, lambda: careful.save({"n": 2}, KEY))
    assert "another store" in str(error)


def test_a_signer_with_a_strict_policy_can_vouch_as_well_and_not_for_an_older_state(opened, plain, tmp_path):
    careful = opened(signer=signer(), policy=strict(), state=tmp_path / "seen")
    run = careful.save({"n": 1}, KEY)
    where = keys.pointer(run.key, "latest")
    old = plain._context.backend.read(where, limit=1 << 20).data
    careful.save({"n": 2}, KEY)
    plain.promote(run, "latest")  # which has no signature
    refused(errors.SignatureMissing, plain, lambda: careful.promote(run, "latest"))
    assert careful.promote(run, "latest", vouch=pointer_of(careful)).seq == 4
    assert careful.load(KEY) == {"n": 1}
    plain._context.backend.write(where, old, when=Always())
    refused(errors.RolledBack, plain, lambda: careful.promote(run, "latest", vouch=pointer_of(careful)))
    plain.promote(run, "latest")
    refused(errors.RolledBack, plain, lambda: careful.promote(run, "latest", vouch=pointer_of(careful)))


def test_a_store_says_for_whom_its_signer_vouches(plain, owner, opened):
    assert plain.guarantees.vouches_for == ()
    assert owner.guarantees.vouches_for == (public().key_id,)
    both = opened(signer=signer(), policy=strict("second", "owner"))
    assert both.guarantees.vouches_for == (public().key_id, public("second").key_id)


def test_only_a_signer_vouches(plain):
    run = plain.save({"n": 1}, KEY)
    with pytest.raises(errors.InvalidOption, match="signer="):
        plain.promote(run, "latest", vouch=pointer_of(plain))


@pytest.mark.parametrize("as_digest", [False, True], ids=["pointer", "digest"])
def test_nothing_is_signed_but_what_was_looked_at(plain, owner, opened, as_digest):
    """Who may write gives the alias another past, under the same ``seq``, run and write id."""
    run = plain.save({"n": 1}, KEY)
    plain.promote(run, "latest")
    owner.sign(run, signer())
    looked_at = owner.history(KEY).pointer
    forged = looked_at.history[0].model_copy(update={"by": "owner", "reason": "approved by two"})
    other = looked_at.model_copy(update={"history": (forged,)})
    owner._context.backend.write(other.storage_key, other.to_bytes(), when=Always())
    assert (other.seq, other.write_id) == (looked_at.seq, looked_at.write_id)
    vouch = looked_at.digest if as_digest else looked_at
    error = refused(
        errors.PointerConflict, plain, lambda: owner.promote(run, "latest", vouch=vouch, expect=looked_at.seq)
    )
    assert error.actual == other
    owner._context.backend.write(other.storage_key, looked_at.to_bytes(), when=Always())
    assert owner.promote(run, "latest", vouch=vouch, expect=looked_at.seq).seq == 3
    assert [entry.reason for entry in opened(policy=strict()).history(KEY)][:1] == [looked_at.history[0].reason]


def test_what_was_looked_at_has_to_be_there_even_where_no_word_is_needed(plain, owner):
    run = owner.save({"n": 1}, KEY)
    looked_at = pointer_of(owner)
    owner.promote(run, "latest")
    refused(errors.PointerConflict, plain, lambda: owner.promote(run, "latest", vouch=looked_at))
    refused(errors.PointerConflict, plain, lambda: owner.promote(run, "new", vouch=looked_at))
    owner.promote(run, "latest", vouch=pointer_of(owner))


def test_another_publish_in_the_same_moment_is_not_vouched_for(plain, owner, monkeypatch):
    run = plain.save({"n": 1}, KEY)
    owner.sign(run, signer())
    looked_at = pointer_of(owner)
    write = type(owner._context.backend).write
    overtaken = []

    def overtaking(backend, key, *args, **more):
        if backend is owner._context.backend and key == looked_at.storage_key and not overtaken:
            overtaken.append(plain.promote(run, "latest"))
        return write(backend, key, *args, **more)

    monkeypatch.setattr(type(owner._context.backend), "write", overtaking)
    with pytest.raises(errors.PointerConflict) as caught:
        owner.promote(run, "latest", vouch=looked_at)
    assert [caught.value.actual] == overtaken == [pointer_of(plain)]


def test_a_word_for_one_history_ends_with_its_publish(plain, owner, monkeypatch):
    """A run that is deleted in the same moment is taken back, which is one more publish."""
    one, two = (plain.save({"n": n}, KEY) for n in range(2))
    for run in (one, two):
        owner.sign(run, signer())
    write = type(owner._context.backend).write

    def deleting(backend, key, *args, **more):
        done = write(backend, key, *args, **more)
        if backend is owner._context.backend and key == looked_at.storage_key:
            plain._context.backend.delete(keys.manifest(one.key, one.run_id))
        return done

    looked_at = pointer_of(owner)
    monkeypatch.setattr(type(owner._context.backend), "write", deleting)
    with pytest.raises(errors.RunNotFound):
        owner.promote(one, "latest", vouch=looked_at)
    assert pointer_of(plain).run_id == two.run_id


@pytest.mark.parametrize("word", [True, 1, "1", "latest", "A" * 64], ids=str)
def test_a_word_names_what_was_looked_at(plain, owner, word):
    run = plain.save({"n": 1}, KEY)
    with pytest.raises(errors.InvalidOption, match=r"store\.history\(ref\).*vouch=history\.pointer"):
        owner.promote(run, "latest", vouch=word, expect=1)


def test_a_history_is_a_list_with_the_pointer_that_it_was_read_with(plain):
    for n in range(2):
        plain.save({"n": n}, KEY)
    history = plain.history(KEY)
    again = pickle.loads(pickle.dumps(history))
    for each in (history, again):
        assert each == [*history.pointer.entries]
        assert each.pointer.digest == sha256(history.pointer.to_bytes())


def test_the_program_vouches_for_a_history_only_when_told(plain, opened, tmp_path):
    plain.save({"n": 1}, KEY)
    (tmp_path / "mine.key").write_bytes(pem("second"))
    (tmp_path / "theirs.pub").write_bytes(public().pem)

    def call(*words):
        store = ["--store", str(tmp_path / "store"), "--signer", str(tmp_path / "mine.key")]
        return CliRunner().invoke(app, [*store, *map(str, words)])

    call("sign", f"{KEY}@latest", "--key", tmp_path / "mine.key")
    said = call("promote", f"{KEY}@latest", "latest")
    assert said.exit_code != 0
    assert "--vouch" in said.output
    digest = pointer_of(plain).digest
    assert digest in call("history", KEY).output
    assert json.loads(call("--json", "history", KEY).output)["digest"] == digest
    assert call("promote", f"{KEY}@latest", "latest", "--vouch", "1").exit_code == 2
    plain.promote(f"{KEY}@latest", "latest")
    assert call("promote", f"{KEY}@latest", "latest", "--vouch", digest).exit_code != 0
    digest = pointer_of(plain).digest
    assert call("promote", f"{KEY}@latest", "latest", "--vouch", digest).exit_code == 0
    assert opened(policy=strict("second")).load(KEY) == {"n": 1}
    owner = opened(signer=signer(), policy=LoadPolicy(trusted_keys=[public("second")]))
    owner.save({"n": 2}, KEY)
    assert call("rollback", KEY).exit_code != 0
    done = call("--trusted-key", tmp_path / "theirs.pub", "rollback", KEY)
    assert done.exit_code == 0, done.output
