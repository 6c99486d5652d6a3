"""The policies for a reader, a writer and a janitor: each is enough for its work on a real server, and not for more."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.storage.base import Always
from tests.iam import FOLDER, Asked, allows, asked, covers, granted, policy
from tests.keys import public, signer, strict
from tests.servers import Identity, Proxy, SeaweedServer, Status

pytestmark = pytest.mark.xdist_group("test_least_privilege")  # a server and a recording of their own

BUCKET, KEY = "artifacts", "gru/BTCEUR"
PREFIX = "models-*"  # each test has a root of its own, and the policies hold for all of these
ROLES = ("reader", "writer", "janitor")
ENGINES = ("obstore", "fsspec")
OLD = "20240101_000000"
NONE = timedelta(0)
LARGE = os.urandom(9_000_000)  # too large for one request


def person(role):
    return Identity(role, f"test-{role}", f"test-{role}-secret", policy=role)


@pytest.fixture(scope="module")
def server():
    people, policies = [person(role) for role in ROLES], {role: policy(role, BUCKET, PREFIX) for role in ROLES}
    with SeaweedServer(BUCKET, people=people, policies=policies) as server:
        yield server


class Site:
    """A store that the administrator has made and filled, and a proxy that writes down who asks for what."""

    def __init__(self, server, proxy, engine):
        self.server, self.proxy, self.engine = server, proxy, engine
        self.url = server.url(f"models-{engine}-{os.urandom(4).hex()}")
        self.admin = self.opened_by(server)
        self.admin.save({"n": 1}, KEY, run_id=OLD)
        self.admin.save({"n": 2}, KEY)

    def opened_by(self, view, **more):
        options = view.storage_options(endpoint=self.proxy.endpoint)
        return ArtifactStore(self.url, engine=self.engine, storage_options=options, timeout=30.0, **more)

    def seen_by(self, role, **more):
        return self.opened_by(self.server.seen_by(person(role)), **more)

    def spare(self, content=3):
        """A run that nothing names."""
        return self.admin.save({"n": content}, KEY, publish="never")


@pytest.fixture(params=ENGINES)
def site(server, request):
    with Proxy(server) as proxy:
        yield Site(server, proxy, request.param)


# ---------------------------------------------------------------- what each may do, for real


def read_everything(site, folder):
    store = site.seen_by("reader", policy=strict(), state=folder / "seen")
    site.opened_by(site.server, signer=signer()).save({"n": 7}, "gru/SIGNED")
    site.admin.save(LARGE, "gru/LARGE")
    site.proxy.reset()
    assert store.load("gru/SIGNED") == {"n": 7}
    store = site.seen_by("reader")
    assert store.load(KEY) == {"n": 2}
    assert store.load("gru/LARGE") == LARGE
    assert store.get(f"{KEY}:{OLD[:8]}").run_id == OLD  # a part of an id
    assert store.find(KEY, prefer="production").load() == {"n": 2}  # no such alias: the newest
    assert len(store.models()) == 3
    assert len(list(store.runs(KEY))) == 2
    assert list(store.aliases(KEY)) == ["latest"]
    assert len(store.history(KEY)) == 2
    assert store.diff(f"{KEY}:{OLD}", KEY)
    assert store.verify().ok
    assert store.get(KEY).notes().is_tradable
    store.get("gru/SIGNED").download(folder / "copy", all_signatures=True)
    assert store.copy(KEY, ArtifactStore(folder / "laptop")).ok
    assert store.export("gru/SIGNED", folder / "signed.zip").runs
    with pytest.raises(errors.AliasNotFound):
        store.load(f"{KEY}@nobody")
    with pytest.raises(errors.RunNotFound):
        store.get(f"{KEY}:20230101_000000")


def test_who_may_not_write_finds_out_before_a_training(site):
    site.seen_by("writer").check_writable(KEY)
    with pytest.raises(errors.AccessDenied):
        site.seen_by("reader").check_writable(KEY)


def write_everything(site, folder):
    site.proxy.reset()
    store = site.seen_by("writer", signer=signer())
    store.check_writable("gru/NEW")
    store.save({"n": 1}, "gru/NEW")
    store.save(LARGE, "gru/NEW", run_id="20240202_000000")
    with pytest.raises(errors.RunExists):  # another large file lies there: its upload is given up
        store.save(LARGE[::-1], "gru/NEW", run_id="20240202_000000")
    broken = site.proxy.on(Status(400, "InvalidRequest"), when=lambda record: "partNumber" in record.query)
    with pytest.raises(errors.Unsupported):
        store.save(LARGE, "gru/NEW")
    site.proxy.off(broken)
    for ref in (f"{KEY}:{OLD}", f"{KEY}@latest"):
        store.sign(ref, signer())
    store.promote(f"{KEY}:{OLD}", "production")
    store.promote(f"{KEY}@latest", "latest", vouch=store.history(KEY).pointer)  # so far it has no signature
    store.rollback(KEY)
    store.get("gru/NEW").annotate(do_not_trade=True)
    store.get("gru/NEW").annotate(do_not_trade=False)
    store.retire("gru/NEW")
    laptop = ArtifactStore(folder / "laptop", signer=signer())
    laptop.save({"n": 1}, "gru/COPIED", components={"large": LARGE})
    assert laptop.copy("gru/COPIED", store).ok
    for number in range(32):  # enough for a block of the archive
        store.promote("gru/NEW:20240202_000000", "latest", reason=str(number))
        store.retire("gru/NEW")


def tidy_everything(site, folder):
    doomed, sparse, loose = site.spare(3), site.spare(4), site.spare(5)
    doomed.annotate(tags={"a": "b"})
    backend = site.admin._context.backend
    backend.write(keys.data_file(ModelKey.parse("gru/CRASHED"), RunId(OLD), "model.bin"), b"x", when=Always())
    with site.server.client() as client:
        where = f"{site.url.removeprefix(f's3://{BUCKET}/')}/gru/CRASHED/{OLD}/large.bin"
        client.create_multipart_upload(Bucket=BUCKET, Key=where)
    site.proxy.reset()
    store = site.seen_by("janitor")
    store.delete(doomed).apply()
    store.undelete(doomed)
    assert store.delete(doomed).apply().ok
    assert store.delete(sparse).apply().ok
    assert store.prune(KEY, keep_last=0, grace=NONE).apply().ok
    with pytest.raises(errors.RunDeleted):
        store.get(loose.ref)
    done = store.gc(grace=NONE).apply()
    assert done.ok, done
    assert {one.result for one in done} == {"swept", "cleared", "aborted"}
    assert not store.gc(grace=NONE).changes
    assert not list(backend.list(keys.NOTES))
    assert store.index.compact()
    assert site.admin.verify().ok


WORK = {"reader": read_everything, "writer": write_everything, "janitor": tidy_everything}
SEEN: dict[tuple[str, str], list[Asked]] = {}


def tidies(request):
    """Tell the removal of a throw-away object, which a writer tries and can do without: the janitor's gc clears it."""
    return request.action == "s3:DeleteObject" and "_probe/" in request.resource


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_enough_for_its_work(role, site, tmp_path):
    WORK[role](site, tmp_path)
    records = [record for record in site.proxy.records if not (record.forwarded and tidies(asked(record)))]
    requests = [asked(record) for record in records if record.forwarded]
    SEEN[role, site.engine] = requests
    document = policy(role, BUCKET, PREFIX)
    assert [request for request in requests if not allows(document, request)] == []
    assert 403 not in {record.status for record in records}


# ---------------------------------------------------------------- and no more than that


def denied(work, permission):
    with pytest.raises(errors.AccessDenied, match=permission) as caught:
        work()
    assert caught.value.permission == permission


def test_a_reader_changes_nothing(site):
    spare, store = site.spare(), site.seen_by("reader")
    before = objects(site)
    for work in (
        lambda: store.save({"n": 3}, KEY),
        lambda: store.save(LARGE, KEY),
        lambda: store.promote(f"{KEY}:{OLD}", "latest"),
        lambda: store.rollback(KEY),
        lambda: store.retire(KEY),
        lambda: store.sign(spare, signer()),
        lambda: store.delete(spare).apply(),
    ):
        denied(work, "s3:PutObject")
    site.admin.delete(spare).apply()
    deleted = ("manifest.json", "_index/gone/")  # that it is, and that it was about to be
    before |= {where: data for where, data in objects(site).items() if any(part in where for part in deleted)}
    denied(lambda: store.undelete(spare), "s3:PutObject")
    denied(lambda: store.gc(grace=NONE).apply(), "s3:DeleteObject")
    assert "unfinished uploads cannot be listed with these credentials" in store.gc(grace=NONE).notes[0]
    assert objects(site) == before
    assert store.load(KEY) == {"n": 2}


def test_a_writer_removes_nothing_and_its_gc_stops_before_it_begins(site):
    spare, store = site.spare(), site.seen_by("writer")
    store.delete(spare).apply()  # a mark is a write; whoever may publish may do that, and undo it
    before = objects(site)
    denied(lambda: store.gc(grace=NONE).apply(), "s3:DeleteObject")
    after = objects(site)
    assert {where for where in after if where not in before} == {where for where in after if "_probe/" in where}
    assert {where: data for where, data in after.items() if "_probe/" not in where} == before
    assert store.undelete(spare).load() == {"n": 3}
    assert site.admin.verify().ok


def test_a_writer_makes_a_store_and_the_janitor_clears_its_probes(server, site):
    url = f"{site.url}-new"
    options = server.seen_by(person("writer")).storage_options()
    store = ArtifactStore(url, engine=site.engine, storage_options=options, timeout=6.0)
    store.save({"n": 1}, KEY)
    assert store.guarantees.probed
    options = server.seen_by(person("janitor")).storage_options()
    janitor = ArtifactStore(url, engine=site.engine, storage_options=options, timeout=6.0)
    left = [step.target for step in janitor.gc(grace=NONE).changes]
    assert left
    assert all(what.startswith("_probe/") for what in left)
    assert janitor.gc(grace=NONE).apply().ok
    assert not list(janitor._context.backend.list("_probe/"))


def test_a_janitor_publishes_nothing_and_removes_no_record_of_what_was(site):
    spare, store = site.spare(), site.seen_by("janitor")
    denied(lambda: store.save({"n": 3}, KEY), "s3:PutObject")
    denied(lambda: store.promote(spare, "latest"), "s3:PutObject")
    backend = store._context.backend
    for where in (keys.STORE_MARKER, keys.manifest(spare.key, spare.run_id)):
        denied(lambda where=where: backend.delete(where), "s3:DeleteObject")
    assert site.admin.verify().ok


@pytest.mark.parametrize("role", ROLES)
def test_doctor_tells_each_role_what_it_may_and_takes_no_missing_right_for_damage(role, site):
    report = site.seen_by(role).doctor()
    assert report.ok, str(report)
    states = {fact.name: fact.state for fact in report.facts}
    assert ("cannot-write" in report.codes) == (role == "reader")
    assert states["conditions"] == ("unknown" if role == "reader" else "fine")
    assert states["clock"] == "fine"
    assert (states.get("uploads") == "unknown") == (role != "janitor")
    for found in report:
        if found.code == "cannot-write":
            assert "s3:PutObject" in found.message


def test_nobody_reaches_beyond_the_prefix(server, site):
    site.admin._context.backend.write("x", b"1", when=Always())
    for role in ROLES:
        view = server.seen_by(person(role))
        beside = ArtifactStore(server.url("other"), engine=site.engine, storage_options=view.storage_options())
        denied(lambda beside=beside: beside._context.backend.read("x", limit=9), "s3:GetObject")
        denied(lambda beside=beside: list(beside._context.backend.list("")), "s3:ListBucket")
        denied(lambda beside=beside: beside._context.backend.write("x", b"1", when=Always()), "s3:PutObject")


# ---------------------------------------------------------------- without the right to list


def test_who_may_not_list_is_told_both_possibilities(site):
    """AWS answers 403 for what is not there, if the caller may not list; SeaweedFS never does, so the proxy says it."""
    missing = site.proxy.on(Status(403, "AccessDenied", executed=True), key="*/production.json")
    store = site.seen_by("reader")
    for work in (lambda: store.load(f"{KEY}@production"), lambda: store.find(KEY, prefer=("production", "latest"))):
        with pytest.raises(errors.AccessDenied, match="or it does not exist") as caught:
            work()
        assert "s3:GetObject" in str(caught.value)
        assert "s3:ListBucket" in str(caught.value)
    site.proxy.off(missing)
    site.proxy.on(Status(403, "AccessDenied"), when=lambda record: "list-type" in record.query)
    assert store.load(KEY) == {"n": 2}  # an alias and a whole run id need no listing
    assert store.get(f"{KEY}:{OLD}").load() == {"n": 1}
    assert len(store.history(KEY)) == 2
    site.opened_by(site.server, signer=signer()).sign(f"{KEY}:{OLD}", signer())
    unsigned = site.proxy.on(Status(403, "AccessDenied", executed=True), key=f"*.{public('second').key_id[:16]}.json")
    trusting = site.seen_by("reader", policy=strict("second", "owner"))
    assert trusting.get(f"{KEY}:{OLD}").load() == {
        "n": 1
    }  # one good signature is enough, whatever is said of the other
    site.proxy.off(unsigned)
    for work in (store.models, lambda: store.get(f"{KEY}:{OLD[:8]}"), lambda: list(store.runs())):
        denied(work, "s3:ListBucket")


# ---------------------------------------------------------------- the policies against what was seen


@pytest.fixture
def seen():
    """Every request of every role, from the tests above."""
    if len(SEEN) != len(ROLES) * len(ENGINES):
        pytest.skip("needs the recordings of this whole file")
    return SEEN


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_allows_nothing_that_nobody_uses(role, seen):
    requests = [request for engine in ENGINES for request in seen[role, engine]]
    for effect, grants in granted(policy(role, BUCKET, PREFIX)):
        for grant in grants:
            assert any(covers(grant, request) for request in requests) == (effect == "Allow"), grant


def test_a_writer_that_can_only_create_does_its_work(seen):
    """Conditions on the headers are AWS's alone: here the policy is asked about what was really sent."""
    document = policy("writer-create-only", BUCKET, PREFIX)
    assert [request for request in seen["writer", "fsspec"] if not allows(document, request)] == []
    # obstore cannot end an upload in parts conditionally
    refused = [request for request in seen["writer", "obstore"] if not allows(document, request)]
    assert refused
    assert {request.resource.rpartition("/")[2].partition(".")[0] for request in refused} == {"large", "model"}
    assert all(request.action == "s3:PutObject" and "s3:if-none-match" not in request.values for request in refused)


def test_a_writer_that_can_only_create_neither_deletes_nor_overwrites(seen):
    document = policy("writer-create-only", BUCKET, PREFIX)
    marks = [
        request
        for engine in ENGINES
        for request in seen["janitor", engine]
        if request.action in {"s3:PutObject", "s3:DeleteObject"} and "_probe/" not in request.resource
    ]
    created = [request for request in marks if "s3:if-none-match" in request.values]
    of_the_index = [request for request in created if "/_index/" in request.resource]
    assert {request.resource.rpartition("/")[2] for request in created if request not in of_the_index} == {
        "manifest.json"
    }  # a save cut short is sealed
    allowed = {request.resource.split("/")[-2]: allows(document, request) for request in of_the_index}
    assert allowed == {"gone": True, "back": True, "blocks": False}  # it tells the index, and does not write it
    assert [request for request in marks if request not in created and allows(document, request)] == []
    run = f"arn:aws:s3:::{BUCKET}/models-1/gru/BTCEUR/{OLD}"
    made = {"s3:ObjectCreationOperation": "true"}
    for name in ("manifest.json", "model.bin"):
        assert not allows(document, Asked("s3:PutObject", f"{run}/{name}", made))
        assert not allows(document, Asked("s3:PutObject", f"{run}/{name}", {**made, "s3:if-match": '"1"'}))
        assert allows(document, Asked("s3:PutObject", f"{run}/{name}", {**made, "s3:if-none-match": "*"}))
    note = f"arn:aws:s3:::{BUCKET}/models-1/_notes/gru/BTCEUR/{OLD}/{'a' * 32}.json"
    assert allows(document, Asked("s3:PutObject", note, {**made, "s3:if-none-match": "*"}))
    for values in (made, {**made, "s3:if-match": '"1"'}, {"s3:ObjectCreationOperation": "false"}):
        assert not allows(document, Asked("s3:PutObject", note, values))


def test_the_rule_of_the_lifecycle_is_taken_by_a_server(server):
    rules = json.loads((FOLDER / "lifecycle.json").read_text(encoding="utf-8").replace("PREFIX", "models-1"))
    with server.client() as client:
        client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
        held = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert {rule["ID"]: rule["Status"] for rule in held} == {rule["ID"]: "Enabled" for rule in rules["Rules"]}
    by_name = {rule["ID"]: rule for rule in held}
    assert by_name["abort-incomplete-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert by_name["expire-noncurrent-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}


def objects(site):
    backend = site.admin._context.backend
    return {entry.key: backend.read(entry.key, limit=1 << 24).data for entry in backend.list("")}
