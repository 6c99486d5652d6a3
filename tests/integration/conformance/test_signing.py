"""Who signed what, and what a client takes, on every backend alike."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from artifact_store import ArtifactStore, CodecRegistry, LoadPolicy, Risk, Run, errors
from artifact_store.canonical import canonical, checksum, sha256
from artifact_store.core import keys
from artifact_store.core.statement import Bundle, message, statement, write_bundle
from artifact_store.storage.base import Always
from tests.keys import public, signer, strict

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"
NEAR = pytest.mark.parametrize("place", ["memory", "local"], indirect=True)
"""For what does not depend on how a storage does conditional writes and listings."""


class Spy:
    """A codec that counts what it is given to decode. It could run code."""

    name, version, types, extra = "spy", 1, ("builtins.bytearray",), None

    def __init__(self, risk=Risk.DATA):
        self.risk, self.decoded = risk, 0

    def encode(self, obj, directory, stem):
        (directory / f"{stem}.bin").write_bytes(obj)
        return {}

    def decode(self, directory, stem, options, *, into=None):
        self.decoded += 1
        return (directory / f"{stem}.bin").read_bytes()


@pytest.fixture
def spy():
    return Spy()


@pytest.fixture
def opened(open_store, spy):
    """Open the store with the spy among its codecs."""

    def opened(**more):
        registry = CodecRegistry()
        registry.register(spy)
        return open_store(registry=registry, **more)

    return opened


@pytest.fixture
def owner(opened):
    return opened(signer=signer())


def backend(store):
    return store._context.backend


def where_signed(run, who="owner"):
    return keys.signature(run.key, run.run_id, run.manifest.digest, public(who).key_id)


def put(store, key, data):
    backend(store).write(key, data, when=Always())


def stored(store, key):
    return backend(store).read(key, limit=1 << 24).data


def refused(error, store, ref=KEY, *, spy, match=None, **more):
    """Assert that nothing of it is decoded, opened or downloaded."""
    with pytest.raises(error, match=match) as caught:
        store.load(ref, **more)
    assert spy.decoded == 0
    return caught.value


# ---------------------------------------------------------------- runs


def test_what_the_owner_saves_is_loaded_by_who_trusts_them(owner, opened, spy, tmp_path):
    run = owner.save(bytearray(b"model"), KEY, components={"report": b"text"})
    assert run.published.pointer.signature.key_id == public().key_id
    reader = opened(policy=strict())
    assert reader.load(KEY) == b"model"
    assert reader.load(str(run.ref), "report") == b"text"
    with reader.get(KEY).open("report.bin") as source:
        assert source.read() == b"text"
    assert reader.find(KEY).load() == b"model"
    folder = reader.get(KEY).download(tmp_path / "out")
    assert (folder / keys.signature_name(run.manifest.digest, public().key_id)).is_file()
    assert spy.decoded == 2
    assert opened().load(KEY) == b"model"  # who asks for no signature notices none


@NEAR
def test_an_unsigned_run_is_not_decoded_opened_or_downloaded(opened, spy, tmp_path):
    run = opened().save(bytearray(b"model"), KEY)
    reader = opened(policy=strict())
    refused(errors.SignatureMissing, reader, spy=spy, match="is not signed")
    refused(errors.SignatureMissing, reader, str(run.ref), spy=spy, match="artifact-store --signer FILE sign")
    refused(errors.SignatureMissing, reader, str(run.ref), spy=spy, allow_code=True, sha256=run.manifest.digest)
    held = Run(reader._context, run.manifest)
    for hand_out in (lambda: held.open("model.bin"), lambda: held.download(tmp_path / "out"), held.check_signature):
        with pytest.raises(errors.SignatureMissing):
            hand_out()
    assert not any((tmp_path / "out").iterdir())
    with pytest.raises(errors.SignatureMissing):
        reader.find(KEY)


@NEAR
def test_nothing_that_an_unsigned_run_says_is_shown(opened, spy):
    """Not its metrics, and not by the ways around its alias: who chooses by them would be led by a stranger."""
    signed = opened(signer=signer()).save(bytearray(b"model"), KEY, metrics={"sharpe": 1.0}, run_id="20260101_000000")
    fake = opened().save(bytearray(b"fake"), KEY, metrics={"sharpe": 9.0}, publish="never", run_id="20270101_000000")
    reader = opened(policy=strict())
    for named in (str(fake.ref), f"{KEY}:20270101"):
        with pytest.raises(errors.SignatureMissing):
            reader.get(named)
    assert reader.get(str(signed.ref)).metrics == {"sharpe": 1.0}
    with pytest.raises(errors.SignatureMissing):
        reader.diff(str(signed.ref), str(fake.ref))
    listed = reader.runs(KEY)
    assert list(listed) == [signed]
    assert [(each.where, type(each.error)) for each in listed.problems] == [
        (str(fake.ref), errors.SignatureMissing),
    ]
    assert list(reader.runs(KEY, where=lambda run: run.metrics["sharpe"] > 2)) == []
    assert len(list(opened().runs(KEY))) == 2
    opened().save(bytearray(b"fake"), "gru/ETHEUR", publish="if_newer", alias="other")
    with pytest.raises(errors.SignatureMissing):
        reader.find("gru/ETHEUR")  # the newest run, since no alias is there
    assert spy.decoded == 0


@NEAR
def test_a_history_that_nobody_vouches_for_is_not_told(opened, spy):
    first = opened(signer=signer()).save(bytearray(b"one"), KEY)
    opened(signer=signer()).save(bytearray(b"two"), KEY)
    careful = opened(policy=strict(), signer=signer())
    assert [entry.seq for entry in careful.history(KEY)] == [1, 2]
    opened().promote(first, "latest")
    for work in (lambda: careful.history(KEY), lambda: careful.rollback(KEY), lambda: careful.retire(KEY)):
        with pytest.raises(errors.SignatureMissing, match="pointer"):
            work()
    assert [entry.seq for entry in opened().history(KEY)] == [1, 2, 3]


@NEAR
def test_no_archived_part_of_a_signed_history_can_be_changed(owner, opened, spy):
    """The pointer is signed and pins the newest block, and each block the one before it."""
    run = owner.save(bytearray(b"one"), KEY)
    for number in range(64 + 32):
        owner.promote(run, "latest", reason=str(number))
    careful = opened(policy=strict(), signer=signer())
    assert [entry.seq for entry in careful.history(KEY)] == list(range(1, 98))
    for last in (32, 64):
        where = keys.history_block(run.key, "latest", last)
        genuine = stored(owner, where)
        value = json.loads(genuine)
        value["entries"][5]["reason"] = "rewritten"
        put(owner, where, canonical(value | {"checksum": checksum(value)}))
        for work in (lambda: careful.history(KEY), lambda: careful.rollback(KEY), lambda: opened().history(KEY)):
            with pytest.raises(errors.Corrupt, match="changed afterwards"):
                work()
        assert not careful.verify(KEY).ok
        put(owner, where, genuine)
    assert careful.verify(KEY).ok


@NEAR
def test_the_signature_of_a_stranger_is_named_and_not_taken(opened, spy):
    run = opened(signer=signer("stranger")).save(bytearray(b"model"), KEY)
    error = refused(errors.UntrustedKey, opened(policy=strict()), str(run.ref), spy=spy, match="is signed by")
    assert error.key_ids == (public("stranger").key_id[:16],)
    refused(errors.UntrustedKey, opened(policy=strict()), spy=spy, match="pointer")
    assert opened(policy=strict("owner", "stranger")).load(KEY) == b"model"


def test_a_run_is_signed_later_and_by_several(opened, spy, tmp_path):
    store = opened()
    run = store.save(bytearray(b"model"), KEY)
    for who in ("owner", "second", "owner"):
        assert store.sign(run, signer(who)) == run
    for who in ("owner", "second"):
        assert opened(policy=strict(who)).load(str(run.ref)) == b"model"
    assert len(list(backend(store).children(keys.signatures_prefix(run.key, run.run_id)))) == 2
    run.download(tmp_path / "plain")
    assert not (tmp_path / "plain" / "_signatures").exists()
    run.download(tmp_path / "all", all_signatures=True)
    assert len(list((tmp_path / "all" / "_signatures").iterdir())) == 2


@NEAR
def test_a_damaged_run_is_not_signed(opened, spy):
    store = opened()
    run = store.save(bytearray(b"model"), KEY)
    put(store, keys.data_file(run.key, run.run_id, "model.bin"), b"mOdel")
    with pytest.raises(errors.DigestMismatch):
        store.sign(run, signer())
    assert not list(backend(store).children(keys.signatures_prefix(run.key, run.run_id)))


@NEAR
def test_a_signature_made_elsewhere_is_stored_only_if_it_is_one(opened, spy):
    store = opened()
    run, other = store.save(bytearray(b"model"), KEY), store.save(bytearray(b"other"), KEY)

    def made(about, who="owner"):
        payload = statement(about.manifest)
        return write_bundle(Bundle(public(who).key_id, payload, signer(who).sign(message(payload))))

    for bundle in (made(other), made(run, "stranger"), b"", b"{}"):
        with pytest.raises(errors.SignatureInvalid):
            store.sign(run, bundle, public())
    for wrong in ((made(run),), (signer(), public()), ("text", public()), ("text",)):
        with pytest.raises(errors.InvalidOption, match="give a Signer"):
            store.sign(run, *wrong)
    store.sign(run, made(run), public())
    assert opened(policy=strict()).load(str(run.ref)) == b"model"


def test_what_lies_where_a_signature_belongs_is_left_alone(opened, spy):
    store = opened()
    run = store.save(bytearray(b"model"), KEY)
    put(store, where_signed(run), b"{}")
    with pytest.raises(errors.Conflict, match="something else"):
        store.sign(run, signer())
    assert stored(store, where_signed(run)) == b"{}"
    refused(errors.SignatureInvalid, opened(policy=strict()), str(run.ref), spy=spy)


@NEAR
def test_a_key_in_the_artifact_is_never_used(owner, opened, spy):
    run = owner.save(bytearray(b"model"), KEY)
    forged = write_bundle(
        Bundle(public().key_id, statement(run.manifest), signer("stranger").sign(message(statement(run.manifest))))
    )
    put(owner, where_signed(run), forged)
    refused(errors.SignatureInvalid, opened(policy=strict()), spy=spy, match="not made by the key")
    put(owner, where_signed(run), stored(owner, where_signed(run)).replace(b'"keyid":""', b'"keyid":"x"'))
    refused(errors.SignatureInvalid, opened(policy=strict()), spy=spy)


@NEAR
def test_one_good_signature_is_enough(owner, opened, spy):
    run = owner.save(bytearray(b"model"), KEY)
    put(owner, where_signed(run, "second"), b"junk")
    assert opened(policy=strict("second", "owner")).load(str(run.ref)) == b"model"


@NEAR
def test_a_signature_that_is_too_large_is_not_read(owner, opened, spy):
    run = owner.save(bytearray(b"model"), KEY)
    put(owner, where_signed(run), b" " * ((12 << 20) + 1))
    refused(errors.SignatureInvalid, opened(policy=strict()), spy=spy)


@NEAR
def test_a_file_that_was_changed_is_found_whoever_signed(owner, opened, spy):
    run = owner.save(bytearray(b"model"), KEY)
    put(owner, keys.data_file(run.key, run.run_id, "model.bin"), b"mOdel")
    refused(errors.DigestMismatch, opened(policy=strict()), spy=spy)


@NEAR
def test_a_manifest_and_file_that_were_changed_together_are_found(owner, opened, spy):
    """Checksums fit, the pointer fits, and the signature of the old manifest is copied to where the new one's would be."""
    run = owner.save(bytearray(b"model"), KEY)
    value = json.loads(stored(owner, keys.manifest(run.key, run.run_id)))
    for entry in value["files"]:
        if entry["path"] == "model.bin":
            entry["sha256"] = sha256(b"other")
    forged = canonical(value | {"checksum": checksum(value)})
    put(owner, keys.data_file(run.key, run.run_id, "model.bin"), b"other")
    put(owner, keys.manifest(run.key, run.run_id), forged)
    refused(errors.SignatureMissing, opened(policy=strict()), str(run.ref), spy=spy)
    changed = opened().get(str(run.ref))
    put(owner, where_signed(changed), stored(owner, where_signed(run)))
    match = "covers other bytes of manifest.json, model.bin"
    refused(errors.SignatureInvalid, opened(policy=strict()), str(run.ref), spy=spy, match=match)


# ---------------------------------------------------------------- code


@NEAR
def test_a_trusted_signature_allows_code_and_nothing_less_does(open_store):
    spy = Spy(Risk.CODE)

    def opened(**more):
        registry = CodecRegistry()
        registry.register(spy)
        return open_store(registry=registry, **more)

    with opened(signer=signer()).new_run(KEY) as draft:
        draft.add("model", bytearray(b"code"), codec="spy")
    with opened().new_run("gru/ETHEUR") as draft:
        draft.add("model", bytearray(b"code"), codec="spy")
    trusting = opened(policy=LoadPolicy(trusted_keys=[public()]))
    refused(errors.RiskRefused, opened(), spy=spy, match="trusted_keys=")
    refused(errors.RiskRefused, trusting, "gru/ETHEUR", spy=spy, match="no signature allows that")
    refused(errors.RiskRefused, opened(policy=LoadPolicy(trusted_keys=[public("second")])), spy=spy)
    assert trusting.load(KEY) == b"code"
    assert trusting.load("gru/ETHEUR", allow_code=True) == b"code"
    assert opened(policy=strict()).load(KEY) == b"code"


# ---------------------------------------------------------------- saving


@NEAR
def test_the_signature_is_there_before_the_run_is(opened, spy, monkeypatch):
    store = opened(signer=signer())
    seen = []
    real = backend(store).write

    def write(key, data, *, when):
        if key.endswith("/manifest.json"):
            folder = key.removesuffix("manifest.json") + keys.SIGNATURES
            seen.extend(backend(store).children(folder))
        return real(key, data, when=when)

    monkeypatch.setattr(backend(store), "write", write)
    run = store.save(bytearray(b"model"), KEY)
    assert seen == [where_signed(run).rpartition("/")[2]]


def test_a_save_whose_file_needs_another_name_is_signed_as_it_is(opened, spy):
    store = opened(signer=signer())
    store.save(bytearray(b"first"), "gru/ETHEUR")
    put(store, "gru/BTCEUR/20260101_000000/model.bin", b"of a save that was cut short")
    run = store.save(bytearray(b"model"), KEY, run_id="20260101_000000")
    assert run.files["model.bin"].key != "model.bin"
    assert opened(policy=strict()).load(KEY) == b"model"


def test_saving_the_same_run_again_is_fine_with_the_same_key_only(opened, spy):
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def saver(who):
        return opened(signer=signer(who), clock=lambda: moment)

    first = saver("owner").save(bytearray(b"model"), KEY, run_id="20260101_000000", alias="one")
    assert saver("owner").save(bytearray(b"model"), KEY, run_id="20260101_000000", alias="one") == first
    second = opened(signer=signer("second"), policy=LoadPolicy(trusted_keys=[public("owner")]), clock=lambda: moment)
    with pytest.raises(errors.RunExists, match="not by the owner of the key"):
        second.save(bytearray(b"model"), KEY, run_id="20260101_000000", alias="one")
    assert opened().get(f"{KEY}@one") == first


@NEAR
def test_a_store_writes_nothing_that_it_would_not_read(opened, spy):
    run = opened().save(bytearray(b"model"), KEY)
    for store, sentence in (
        (opened(policy=strict()), "needs signer="),
        (opened(policy=strict("second"), signer=signer()), "does not trust its own signer"),
    ):
        for write in (lambda s: s.save(b"x", "gru/NEW"), lambda s: s.promote(str(run.ref), "production")):
            with pytest.raises(errors.InvalidOption, match=sentence):
                write(store)
    careful = opened(policy=strict(), signer=signer())
    with pytest.raises(errors.SignatureMissing):
        careful.promote(str(run.ref), "production")
    with pytest.raises(errors.SignatureMissing, match="pointer"):  # it would carry on a history that nobody vouches for
        careful.save(bytearray(b"new"), KEY)
    assert [str(run.run_id) for run in opened().runs(KEY)] == [str(run.run_id)]
    careful.sign(str(run.ref), signer())
    assert careful.promote(str(run.ref), "production").signature is not None
    assert opened(policy=strict()).load(f"{KEY}@production") == b"model"


# ---------------------------------------------------------------- pointers


@NEAR
def test_rollback_and_retire_are_signed_as_well(owner, opened, spy):
    owner.save(bytearray(b"one"), KEY)
    owner.save(bytearray(b"two"), KEY)
    owner.rollback(KEY)
    reader = opened(policy=strict())
    assert reader.load(KEY) == b"one"
    owner.retire(KEY)
    with pytest.raises(errors.AliasRetired):
        reader.load(KEY)


def test_an_older_signed_pointer_is_refused_by_who_saw_a_newer_one(owner, opened, spy, tmp_path):
    """As go-tuf did not (CVE-2022-29173): the comparison is with what was seen, not with nothing."""
    where = keys.pointer(owner.save(bytearray(b"one"), KEY).key, "latest")
    old = stored(owner, where)
    owner.save(bytearray(b"two"), KEY)
    reader = opened(policy=strict(), state=tmp_path / "seen")
    assert reader.load(KEY) == b"two"
    put(owner, where, old)
    spy.decoded = 0
    again = opened(policy=strict(), state=tmp_path / "seen")
    for store in (reader, again):
        error = refused(errors.RolledBack, store, spy=spy, match="older state was put back")
        assert (error.seen, error.seq) == (2, 1)
        with pytest.raises(errors.RolledBack):
            store.find(KEY)
    with pytest.raises(errors.RolledBack):  # nor is anything published over it by who knows better
        opened(policy=strict(), signer=signer(), state=tmp_path / "seen").save(bytearray(b"three"), KEY)
    assert opened(policy=strict(), state=tmp_path / "new").load(KEY) == b"one"  # a new client cannot know


def test_a_pointer_that_was_removed_is_not_an_alias_that_never_was(owner, opened, spy, tmp_path):
    where = keys.pointer(owner.save(bytearray(b"one"), KEY).key, "latest")
    reader = opened(policy=strict(), state=tmp_path / "seen")
    assert reader.load(KEY) == b"one"
    backend(owner).delete(where)
    for look in (lambda: reader.load(KEY), lambda: reader.find(KEY)):
        with pytest.raises(errors.RolledBack, match="is gone"):
            look()
    with pytest.raises(errors.AliasNotFound):
        reader.load(f"{KEY}@production")


@NEAR
def test_a_pointer_that_is_kept_back_too_long_is_stale_if_asked_for(opened, spy):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    opened(signer=signer(), clock=lambda: moment).save(bytearray(b"model"), KEY)
    policy = strict(max_age=timedelta(days=7))
    assert opened(policy=policy, clock=lambda: moment + timedelta(days=7)).load(KEY) == b"model"
    spy.decoded = 0
    late = opened(policy=policy, clock=lambda: moment + timedelta(days=7, seconds=1))
    refused(errors.Stale, late, spy=spy, match="withheld")


@NEAR
def test_a_pointer_copied_from_another_store_of_the_same_owner_is_refused(owner, opened, spy, tmp_path):
    with ArtifactStore("memory://", signer=signer()) as other:
        where = keys.pointer(other.save({"a": 1}, KEY).key, "latest")
        foreign = stored(other, where)
    owner.save(bytearray(b"one"), KEY)
    reader = opened(policy=strict(), state=tmp_path / "seen")
    reader.load(KEY)
    spy.decoded = 0
    put(owner, where, foreign)
    refused(errors.RolledBack, reader, spy=spy, match="another store")


# ---------------------------------------------------------------- reports


@NEAR
def test_verify_tells_who_signed_and_what_is_wrong(owner, opened, spy):
    good = owner.save(bytearray(b"good"), KEY)
    unsigned = opened().save(bytearray(b"unsigned"), KEY, publish="never")
    strange = opened(signer=signer("stranger")).save(bytearray(b"strange"), KEY, publish="never")
    broken = owner.save(bytearray(b"broken"), KEY, publish="never")
    put(owner, where_signed(broken), stored(owner, where_signed(good)))
    opened().save(b"x", KEY, alias="production")
    report = opened().verify(KEY, keys=[public()])
    assert not report.ok
    kinds = {run.label: [type(each.error) for each in run.problems] for run in report}
    assert kinds[good.manifest.label] == []
    assert kinds[unsigned.manifest.label] == [errors.SignatureMissing]
    assert kinds[strange.manifest.label] == [errors.UntrustedKey]
    assert kinds[broken.manifest.label] == [errors.SignatureInvalid]
    assert [(each.where, type(each.error)) for each in report.pointers] == [
        (f"{KEY}@production", errors.SignatureMissing)
    ]
    assert {run.label: run.signed_by for run in report}[good.manifest.label] == public().key_id
    assert opened().verify(KEY).ok
    assert opened(policy=strict()).verify(str(good.ref)).ok
    assert opened(policy=strict()).verify(good).ok
    assert not opened().verify(keys=[public()]).ok
    with pytest.raises(errors.ModelNotFound):
        opened().verify("gru/NOBODY", keys=[public()])
    assert opened().verify(KEY, keys=[public()], predict=True).ok is False
    alias = opened().verify(f"{KEY}@production", keys=[public()])
    assert [type(each.error) for each in alias.problems] == [errors.SignatureMissing] * 2
    assert spy.decoded == 0


@NEAR
def test_a_good_signature_is_fetched_once(owner, opened, spy):
    run = owner.save(bytearray(b"model"), KEY)
    reader = opened(policy=strict())
    reader.load(KEY)
    backend(owner).delete(where_signed(run))
    assert reader.load(KEY) == b"model"  # the very bytes that were vouched for
    with pytest.raises(errors.SignatureMissing):
        opened(policy=strict()).load(KEY)
