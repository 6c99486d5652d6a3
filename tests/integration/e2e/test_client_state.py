"""What ``state=`` remembers of a store holds under every spelling of its place, and for no other place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.canonical import canonical, sha256
from artifact_store.ops.last_seen import SeenStore
from artifact_store.storage.base import Always
from tests.keys import signer, strict
from tests.servers import SeaweedServer

KEY = "gru/BTCEUR"
Open = Callable[[], ArtifactStore]


@pytest.fixture
def spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One folder in a project, which is the working directory and lies behind a symlink as well."""
    (tmp_path / "project").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return {
        "relative": "./store",
        "absolute": str(tmp_path / "project" / "store"),
        "url": (tmp_path / "project" / "store").as_uri(),
        "behind a symlink": str(tmp_path / "alias" / "store"),
    }


def careful(url: str | Path, state: Path, **more: object) -> ArtifactStore:
    return ArtifactStore(url, policy=strict(), state=state, **more)


def filled(url: str | Path, *values: int) -> ArtifactStore:
    owner = ArtifactStore(url, signer=signer())
    for value in values:
        owner.save({"n": value}, KEY)
    return owner


def remade(url: str | Path, *values: int) -> str:
    """Remove the store, and make another one of the same owner in its place; return its id."""
    shutil.rmtree(Path(url).resolve())
    return filled(url, *values)._context.records.store().store_id


@pytest.mark.parametrize("first", ["relative", "absolute", "url", "behind a symlink"])
def test_a_store_that_was_replaced_is_noticed_under_every_spelling(
    spellings: dict[str, str], tmp_path: Path, first: str
) -> None:
    state = tmp_path / "seen"
    filled("./store", 1, 2)
    assert careful(spellings[first], state).load(KEY) == {"n": 2}
    found = remade("./store", 3, 4, 5)
    for url in spellings.values():
        with pytest.raises(errors.StoreReplaced) as caught:
            careful(url, state).load(KEY)
        assert caught.value.found == found
        with pytest.raises(errors.StoreReplaced):
            careful(url, state, signer=signer()).save({"n": 6}, KEY)


def test_the_advice_accepts_a_store_that_was_remade_on_purpose(spellings: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "seen"
    filled("./store", 1, 2)
    assert careful("./store", state).load(KEY) == {"n": 2}
    found = remade("./store", 3)
    with pytest.raises(errors.StoreReplaced, match=rf"store\.accept_store\('{found}'\)"):
        careful("./store", state).load(KEY)
    careful(spellings["url"], state).accept_store(found)
    for url in spellings.values():
        assert careful(url, state).load(KEY) == {"n": 3}
        careful(url, state, signer=signer()).save({"n": 3}, KEY)
    remade("./store", 4)
    with pytest.raises(errors.StoreReplaced):
        careful("./store", state).load(KEY)


def test_a_store_that_was_remade_and_is_empty_so_far_is_noticed_and_accepted(tmp_path: Path) -> None:
    state, url = tmp_path / "seen", tmp_path / "store"
    filled(url, 1)
    assert careful(url, state).load(KEY) == {"n": 1}
    shutil.rmtree(url)
    owner = ArtifactStore(url, signer=signer())
    owner.check_writable(KEY)
    found = owner._context.records.store().store_id
    writer = careful(url, state, signer=signer())
    for work in (lambda: writer.load(KEY), lambda: writer.save({"n": 2}, KEY)):
        with pytest.raises(errors.StoreReplaced) as caught:
            work()
        assert caught.value.found == found
    writer.accept_store(found)
    writer.save({"n": 2}, KEY)
    assert careful(url, state).load(KEY) == {"n": 2}


def test_nothing_is_published_over_an_alias_that_was_removed(tmp_path: Path) -> None:
    """The client would refuse what it published itself: with ``seq`` 1, where it has seen a higher one."""
    state, url = tmp_path / "seen", tmp_path / "store"
    filled(url, 1, 2, 3)
    writer = careful(url, state, signer=signer())
    assert writer.load(KEY) == {"n": 3}
    (url / KEY / "latest.json").unlink()
    for work in (
        lambda: writer.save({"n": 4}, KEY),
        lambda: writer.promote(next(iter(writer.runs(KEY))), "latest"),
        lambda: writer.check_writable(KEY),
    ):
        with pytest.raises(errors.RolledBack, match="is gone"):
            work()
    assert not (url / KEY / "latest.json").exists()
    assert len(list(writer.runs(KEY))) == 3
    writer.save({"n": 4}, KEY, alias="production")


def test_what_is_accepted_is_what_is_there(tmp_path: Path) -> None:
    state, url = tmp_path / "seen", tmp_path / "store"
    reader = careful(url, state)
    with pytest.raises((errors.NotAStore, errors.ContainerNotFound)):
        reader.accept_store("0" * 32)
    filled(url, 1)
    with pytest.raises(errors.Conflict, match="says that it is the store"):
        reader.accept_store("0" * 32)
    with pytest.raises(errors.InvalidOption, match="state="):
        ArtifactStore(url).accept_store("0" * 32)
    assert not state.exists()


def test_a_pointer_of_another_store_is_not_excused_by_accepting_one(tmp_path: Path) -> None:
    """It is signed by the same owner, and was copied here: the root still says that it is the store that it was."""
    state, url = tmp_path / "seen", tmp_path / "store"
    filled(url, 1)
    reader = careful(url, state)
    assert reader.load(KEY) == {"n": 1}
    other = filled(tmp_path / "other", 2)
    shutil.copy(tmp_path / "other" / KEY / "latest.json", url / KEY / "latest.json")
    with pytest.raises(errors.StoreReplaced) as caught:
        reader.load(KEY)
    assert caught.value.found == other._context.records.store().store_id
    with pytest.raises(errors.Conflict, match="copied from another store"):
        reader.accept_store(caught.value.found)


def test_one_spelling_in_two_projects_is_two_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "seen"
    for number, project in enumerate(("one", "two", "one", "two")):
        (tmp_path / project).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / project)
        filled("./store", number)
        assert careful("./store", state).load(KEY) == {"n": number}
    shutil.rmtree(tmp_path / "one" / "store")
    shutil.copytree(tmp_path / "two" / "store", tmp_path / "one" / "store")
    monkeypatch.chdir(tmp_path / "one")
    with pytest.raises(errors.StoreReplaced):
        careful("./store", state).load(KEY)


def test_a_symlink_that_leads_to_another_store_now_is_noticed(tmp_path: Path) -> None:
    state, link = tmp_path / "seen", tmp_path / "current"
    for number, name in enumerate(("one", "two")):
        filled(tmp_path / name, number)
    link.symlink_to(tmp_path / "one")
    assert careful(link, state).load(KEY) == {"n": 0}
    assert careful(tmp_path / "two", state).load(KEY) == {"n": 1}
    link.unlink()
    link.symlink_to(tmp_path / "two")
    with pytest.raises(errors.StoreReplaced):
        careful(link, state).load(KEY)
    assert careful(tmp_path / "two", state).load(KEY) == {"n": 1}


def written_by_an_earlier_version(state: Path, url: str, store_id: str) -> None:
    """Its folder: the marks of aliases as ever, and the store by the URL as it was spelled."""
    for path in state.glob("*.json"):
        if b'"url"' in path.read_bytes():
            path.unlink()
    name = sha256(canonical([url]))
    (state / f"{name}.json").write_bytes(SeenStore(url=url, store_id=store_id).to_bytes())


@pytest.mark.parametrize("url", ["./store", "absolute"])
def test_the_folder_of_an_earlier_version_protects_as_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    url = str(tmp_path / "store") if url == "absolute" else url
    state = tmp_path / "seen"
    owner = filled(url, 1)
    old = (tmp_path / "store" / KEY / "latest.json").read_bytes()
    owner.save({"n": 2}, KEY)
    assert careful(url, state).load(KEY) == {"n": 2}
    written_by_an_earlier_version(state, url, owner._context.records.store().store_id)
    now = (tmp_path / "store" / KEY / "latest.json").read_bytes()
    (tmp_path / "store" / KEY / "latest.json").write_bytes(old)
    with pytest.raises(errors.RolledBack, match="older state"):
        careful(url, state).load(KEY)
    (tmp_path / "store" / KEY / "latest.json").unlink()
    with pytest.raises(errors.RolledBack, match="is gone"):
        careful(url, state).load(KEY)
    (tmp_path / "store" / KEY / "latest.json").write_bytes(now)
    found = remade(url, 3, 4, 5)
    with pytest.raises(errors.StoreReplaced):
        careful(url, state).load(KEY)
    careful(url, state).accept_store(found)
    assert careful(url, state).load(KEY) == {"n": 5}


# ---------------------------------------------------------------- a bucket


def test_a_bucket_is_one_store_with_every_engine_and_however_the_server_is_named(
    seaweed: SeaweedServer, seaweed_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, url, state = seaweed.storage_options(), seaweed.url(seaweed_prefix), tmp_path / "seen"
    owner = ArtifactStore(url, storage_options=options, signer=signer())
    owner.save({"n": 1}, KEY)
    assert careful(url, state, storage_options=options).load(KEY) == {"n": 1}
    folders = len(list(state.iterdir()))
    endpoint = options["endpoint_url"]
    inner = {name: value for name, value in options.items() if name != "endpoint_url"}
    inner["client_kwargs"] = {**inner.get("client_kwargs", {}), "endpoint_url": endpoint}
    spelled = [
        (f"{url}/", options, "obstore"),
        (url.replace("s3://", "s3a://"), options, "obstore"),
        (url, {**options, "endpoint_url": f"{endpoint}/"}, "fsspec"),
        (url, inner, "obstore"),
        (url, inner, "fsspec"),
    ]
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    without = {name: value for name, value in options.items() if name != "endpoint_url"}
    spelled += [(url, without, "obstore"), (url, without, "fsspec")]
    for each, given, engine in spelled:
        assert careful(each, state, storage_options=given, engine=engine).load(KEY) == {"n": 1}
        assert len(list(state.iterdir())) == folders, (each, sorted(given), engine)
    other = ArtifactStore(f"{url}-other", storage_options=options, signer=signer())
    other.save({"n": 2}, KEY)
    for entry in other._context.backend.list(""):
        data = b"".join(other._context.backend.stream(entry.key, size=entry.size))
        owner._context.backend.write(entry.key, data, when=Always())
    for each, given, engine in spelled:
        with pytest.raises(errors.StoreReplaced):
            careful(each, state, storage_options=given, engine=engine).load(KEY)
    careful(url, state, storage_options=options).accept_store(other._context.records.store().store_id)
    for each, given, engine in spelled[-2:]:
        assert careful(each, state, storage_options=given, engine=engine).load(KEY) == {"n": 2}


def swapped(tmp_path: Path) -> tuple[Path, Path, str, str]:
    """Two stores of one signer, the second of which says that it is the first; their roots, and their ids."""
    prod, dev = tmp_path / "prod", tmp_path / "dev"
    prods = filled(prod, 1)._context.records.store().store_id
    devs = filled(dev, 1, 2)._context.records.store().store_id
    return prod, dev, prods, devs


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("policy", [None, strict()], ids=["a signer alone", "a strict policy"])
@pytest.mark.parametrize("before", ["save", "promote", "check_writable"])
def test_a_signer_signs_nothing_for_another_store_whose_record_was_put_in_the_place(
    tmp_path: Path, policy: object, before: str
) -> None:
    prod, dev, prods, devs = swapped(tmp_path)

    def opened() -> ArtifactStore:
        return ArtifactStore(dev, signer=signer(), policy=policy, state=tmp_path / "seen")

    first = {
        "save": lambda: opened().save({"n": 3}, KEY),
        "promote": lambda: opened().promote(f"{KEY}@latest", "production"),
        "check_writable": lambda: opened().check_writable(KEY),
    }
    first[before]()
    shutil.copy(prod / "_store.json", dev / "_store.json")
    there = content(dev)
    for work in (
        lambda: opened().save({"n": 4}, "gru/NEW"),  # of which no client has seen a pointer
        lambda: opened().save({"n": 4}, KEY, publish="never"),
        lambda: opened().promote(f"{KEY}@latest", "new"),
        lambda: opened().sign(f"{KEY}@latest", signer()),
        lambda: opened().rollback(KEY),
        lambda: opened().check_writable("gru/NEW"),
    ):
        with pytest.raises(errors.StoreReplaced) as caught:
            work()
        assert (caught.value.known, caught.value.found) == (devs, prods)
    assert content(dev) == there


def test_without_state_the_advice_is_to_compare_the_store_before_a_word_is_given(tmp_path: Path) -> None:
    prod, dev, prods, devs = swapped(tmp_path)
    shutil.copy(prod / "_store.json", dev / "_store.json")
    with pytest.raises(errors.UnverifiedHistory) as caught:
        ArtifactStore(dev, signer=signer()).save({"n": 3}, KEY)
    said = str(caught.value)
    assert said.index(devs) < said.index(prods) < said.index("vouch=")
    assert "_store.json" in said


def test_a_signer_without_a_policy_remembers_what_it_saw(tmp_path: Path) -> None:
    url = tmp_path / "store"
    filled(url, 1)
    where = url / KEY / "latest.json"
    old = where.read_bytes()
    alone = ArtifactStore(url, signer=signer(), state=tmp_path / "seen")
    for value in range(2):
        alone.save({"n": value}, KEY)
    where.write_bytes(old)
    with pytest.raises(errors.RolledBack, match="an older state was put back"):
        alone.save({"n": 3}, KEY)


def test_a_client_that_accepts_a_store_saves_for_that_one_from_then_on(tmp_path: Path) -> None:
    state, url = tmp_path / "seen", tmp_path / "store"
    writer = careful(url, state, signer=signer())
    writer.save({"n": 1}, KEY)
    found = remade(url, 2)
    with pytest.raises(errors.StoreReplaced):
        writer.load(KEY)
    writer.accept_store(found)
    assert writer.save({"n": 3}, KEY).manifest.store_id == found
    assert careful(url, state).load(KEY) == {"n": 3}
