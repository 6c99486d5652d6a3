"""Every way into a store that takes a name or a reference from somebody: of the Python interface, and of the program."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from artifact_store import ArtifactStore, Draft, ModelKey, errors
from artifact_store.cli.app import app
from artifact_store.cli.program import FAMILIES
from artifact_store.core import keys
from artifact_store.core.file_names import stored_name

KEY = "gru/BTCEUR"
REFUSALS = {FAMILIES[errors.InvalidInput], FAMILIES[errors.NotFound]}

Door = Callable[[ArtifactStore, str], Any]


def doors(text: str) -> Iterator[tuple[str, Door]]:
    """Yield the doors of the Python interface, by name, with ``text`` in each place where a name belongs."""
    spelled = {
        "as a key": text,
        "as a symbol": f"gru/{text}",
        "as a run": f"{KEY}:{text}",
        "as an alias": f"{KEY}@{text}",
    }
    for how, ref in spelled.items():
        for name, door in REFERENCES.items():
            yield f"{name} {how}", lambda store, _, door=door, ref=ref: door(store, ref)
    for how in ("as a key", "as a symbol"):
        for name, door in MODELS.items():
            if how == "as a symbol" and name in SAVES and is_symbol(text):
                continue  # a symbol may look like anything: `stays_inside` saves it
            yield f"{name} {how}", lambda store, _, door=door, ref=spelled[how]: door(store, ref)
    yield from NAMES.items()


REFERENCES: dict[str, Door] = {
    "load": lambda store, ref: store.load(ref),
    "get": lambda store, ref: store.get(ref),
    "history": lambda store, ref: store.history(ref),
    "verify": lambda store, ref: store.verify(ref),
    "diff": lambda store, ref: store.diff(KEY, ref),
    "promote": lambda store, ref: store.promote(ref, "production"),
    "rollback": lambda store, ref: store.rollback(ref),
    "retire": lambda store, ref: store.retire(ref),
    "delete": lambda store, ref: store.delete(ref).apply(),
    "undelete": lambda store, ref: store.undelete(ref),
}
MODELS: dict[str, Door] = {
    "save": lambda store, key: store.save({"a": 1}, key),
    "new_run": lambda store, key: in_a_draft(store, key, lambda draft: draft.add("model", {"a": 1})),
    "find": lambda store, key: store.find(key),
    "aliases": lambda store, key: named(store.aliases(key)),
    "runs": lambda store, key: named(list(store.runs(key))),
    "prune": lambda store, key: named(list(store.prune(key, keep_last=0).apply())),
}
SAVES = {"save", "new_run"}
NAMES: dict[str, Door] = {
    "save run_id": lambda store, text: store.save({"a": 1}, KEY, run_id=text),
    "save alias": lambda store, text: store.save({"a": 1}, KEY, alias=text),
    "save component": lambda store, text: store.save({"a": 1}, KEY, component=text),
    "save components": lambda store, text: store.save({"a": 1}, KEY, components={text: b"x"}),
    "add_file": lambda store, text: in_a_draft(store, KEY, lambda draft: draft.add_file(text, __file__)),
    "promote to": lambda store, text: store.promote(KEY, text),
    "promote expect": lambda store, text: store.promote(KEY, "production", expect=text),
    "rollback to": lambda store, text: store.rollback(KEY, to=text),
    "find prefer": lambda store, text: store.find(KEY, prefer=text),
    "run.load": lambda store, text: store.get(KEY).load(text),
    "run.open": lambda store, text: store.get(KEY).open(text),
    "run.url": lambda store, text: store.get(KEY).url(text),
}


def is_symbol(text: str) -> bool:
    """Tell whether this is a symbol, as one would type it."""
    try:
        ModelKey.parse(f"gru/{text}")
    except errors.InvalidInput:
        return False
    return True


def stays_inside(text: str, folder: Path) -> None:
    """Assert that a symbol, however it looks, is one folder below its model type, and refused or taken by its name."""
    store = ArtifactStore(folder)
    try:
        key = ModelKey("gru", text)
        saved = store.save({"a": 1}, key)
    except errors.InvalidName:
        return
    assert store.load(str(saved.ref)) == store.load(("gru", text)) == {"a": 1}
    (place,) = (folder / "gru").iterdir()
    assert place.name == ModelKey.spell(text)
    assert place.resolve() == folder.resolve() / "gru" / place.name
    assert {path.name for path in folder.iterdir()} == {"gru", "_index", "_locks", "_store.json"}
    assert (place / saved.run_id / "manifest.json").is_file()


def in_a_draft(store: ArtifactStore, key: str, work: Callable[[Draft], Any]) -> None:
    """Do something with a run that is about to be saved."""
    with store.new_run(key) as draft:
        work(draft)


def named(found: Any) -> Any:
    """Refuse like the others where a listing has found nothing: an unknown model is no error of a listing."""
    if not found:
        raise errors.ModelNotFound("nothing is there")
    return found


def commands(text: str, folder: Path) -> Iterator[list[str]]:
    """Yield the commands of the program with ``text`` in each place where a name belongs."""
    dest, file = str(folder / "dest"), __file__
    for ref in (text, f"gru/{text}", f"{KEY}:{text}", f"{KEY}@{text}"):
        yield from (["show", "--", ref], ["history", "--", ref], ["diff", "--", KEY, ref], ["verify", "--", ref])
        yield from (["validate", "--", ref], ["promote", "--", ref, "production"], ["rollback", "--", ref])
        yield from (["retire", "--", ref], ["delete", "--apply", "--", ref], ["undelete", "--", ref])
        yield from (["get", "--", ref, dest], ["export", "--legacy", "--pickles", "--", ref, dest])
    for key in (text, f"gru/{text}"):
        yield ["ls", "--", key]
        if key == text or not is_symbol(text):
            yield ["put", "--", key, file]
    yield from (["promote", "--", KEY, text], ["promote", f"--expect={text}", KEY, "production"])
    yield from (
        ["rollback", f"--to={text}", KEY],
        ["put", f"--run-id={text}", KEY, file],
        ["put", f"--alias={text}", KEY, file],
    )
    yield from (["get", f"--file={text}", KEY, dest], ["get", f"--component={text}", KEY, dest])


def refused(store: ArtifactStore, text: str) -> None:
    """Assert that every door of the Python interface refuses this text with an error of ours."""
    for name, door in doors(text):
        if name == "add_file" and _is_file_name(text):  # it is stored under an escape of it, which nothing decodes
            assert re.fullmatch(r"[A-Za-z0-9 ._+=@;/-]+", stored_name(text))
            continue
        try:
            door(store, text)
        except (errors.InvalidInput, errors.NotFound):
            continue
        except errors.Conflict:
            if name == "promote expect":  # which may be anything that is not published
                continue
            raise
        raise AssertionError(f"{name} took {text!r}")


def _is_file_name(text: str) -> bool:
    try:
        return bool(keys.check_path(text))
    except errors.InvalidName:
        return False


def refused_by_the_program(url: str, text: str, folder: Path) -> None:
    """Assert that every command ends with a sentence and the status of such a refusal."""
    for command in commands(text, folder):
        done = CliRunner().invoke(app, ["--store", url, *command])
        expected = REFUSALS | ({FAMILIES[errors.Conflict]} if command[1].startswith("--expect") else set())
        assert done.exit_code in expected, (command, done.exit_code, done.output, done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        assert "Traceback" not in done.output
