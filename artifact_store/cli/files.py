"""The commands that move files: ``get`` and ``put``. Nothing on this machine is overwritten."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from artifact_store import private_files
from artifact_store.canonical import parse_json
from artifact_store.cli import output, program
from artifact_store.cli.annotate import named_numbers, named_texts
from artifact_store.cli.completing import ModelName, RefName
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.cli.show import environment_lines, publish_document
from artifact_store.core.manifest import MAX_MANIFEST
from artifact_store.core.names import LATEST
from artifact_store.errors import Corrupt, InvalidOption
from artifact_store.features.schema import FeatureSchema
from artifact_store.run import Run

# ---------------------------------------------------------------- get


@click.command("get", cls=Command, short_help="Download a run, a component or a file.")
@click.argument("ref", type=RefName())
@click.argument("dest", type=program.HomePath())
@click.option("--component", metavar="NAME", help="Only the files of this component.")
@click.option("--file", "files", multiple=True, metavar="NAME", help="Only this file; may be repeated.")
@click.option("--exist-ok", is_flag=True, help="Use what DEST has of the run already; every file is compared.")
@pass_session
def get_command(
    session: Session, *, ref: str, dest: str, component: str | None, files: tuple[str, ...], exist_ok: bool
) -> None:
    """Download the run that REF names to DEST, a new or empty folder; every file is compared with the manifest.

    With a single --file, DEST may also be the name of the new file, or - for stdout, to which nothing is written before
    every byte was compared. Nothing is decoded.
    """
    if component is not None and files:
        raise click.UsageError("give either --component or --file, not both.")
    if exist_ok and (component is not None or files):
        raise click.UsageError("--exist-ok is for a whole run: leave out --component and --file.")
    if dest == "-":
        _print(session, ref, files)
        return
    with session.bar("Downloading") as bar, session.store(bar) as store:
        run = store.get(ref)
        names = list(run.manifest.component(component).files if component is not None else files)
        bar.begin(sum(run.manifest.file(name).size for name in names) if names else run.size)
        if names:
            saved = _some(run, names, dest, single=bool(files))
        else:
            folder = run.download(dest, exist_ok=exist_ok)
            saved = [(name, folder / name) for name in run.files]
    entries = [
        {"path": n, "saved_as": str(p), "size": run.files[n].size, "sha256": run.files[n].sha256} for n, p in saved
    ]
    size = output.size(sum(run.files[name].size for name, _ in saved))
    lines = [
        f"{output.count(len(saved), 'file')} of {output.ref(run.ref)}, {size}, in {output.safe(dest)}: all as saved."
    ]
    verdict = run.environment_verdict
    document = {"ref": str(run.ref), "files": entries, "environment_verdict": verdict.to_json()}
    session.answer(document, [*lines, *output.fields(list(environment_lines(run)))])


def _print(session: Session, ref: str, files: Sequence[str]) -> None:
    if len(files) != 1 or session.as_json:
        raise click.UsageError(
            "- is stdout, for the bytes of one file: give one --file, and leave out what prints JSON."
        )
    with session.store() as store, store.get(ref).open(files[0]) as source:
        shutil.copyfileobj(source, sys.stdout.buffer)


def _some(run: Run, names: Sequence[str], dest: str, *, single: bool) -> list[tuple[str, Path]]:
    """Copy these files, each under its name in the folder ``dest``; or one of them as ``dest`` itself."""
    target = Path(dest)
    is_file = single and len(names) == 1 and not target.is_dir() and not dest.endswith(("/", os.sep))
    saved = [(name, target if is_file else target / name) for name in names]
    for _, copy in saved:
        if os.path.lexists(copy):
            raise InvalidOption(f"{copy} is there already, and nothing is overwritten")
    for name, copy in saved:
        private_files.make_folder(copy.parent)
        with run.open(name) as source:
            _write_new(source, copy)
    return saved


def _write_new(source: Any, target: Path) -> None:
    with private_files.create(target) as sink:
        try:
            shutil.copyfileobj(source, sink)
        except BaseException:
            sink.close()
            target.unlink()
            raise


# ---------------------------------------------------------------- put


@click.command("put", cls=Command, short_help="Save files as a run, and publish it.")
@click.argument("key", type=ModelName())
@click.argument("files", nargs=-1, required=True, type=program.HomePath(exists=True, path_type=Path), metavar="FILE...")
@click.option("--run-id", metavar="ID", help="Such as 20240816_142301_mine; one is made unless given.")
@click.option("--alias", default=LATEST, show_default=True, help="Publish it under this name.")
@click.option(
    "--publish", default="always", show_default=True, metavar="POLICY", help="never, if_newer, 'if_better(m)' ..."
)
@click.option(
    "--metric", "metrics", multiple=True, callback=named_numbers, metavar="NAME=NUMBER", help="May be repeated."
)
@click.option("--tag", "tags", multiple=True, callback=named_texts, metavar="NAME=TEXT", help="May be repeated.")
@click.option("--description", default="", metavar="TEXT", help="What people should know about it.")
@click.option("--parent", metavar="REF", help="The run that it was made from.")
@click.option("--no-provenance", is_flag=True, help="Record no code, user and host; see SECURITY.md.")
@click.option(
    "--ignore", multiple=True, metavar="PATTERN", help="Leave out what matches, of a folder; may be repeated."
)
@click.option(
    "--feature-names",
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help='A list of names, or {"names": [...], "selected": [...]}.',
)
@pass_session
def put_command(
    session: Session,
    *,
    key: str,
    files: tuple[Path, ...],
    run_id: str | None,
    alias: str,
    publish: str,
    metrics: dict[str, float],
    tags: dict[str, str],
    description: str,
    parent: str | None,
    no_provenance: bool,
    ignore: tuple[str, ...],
    feature_names: Path | None,
) -> None:
    """Save FILEs as one run of the model KEY, such as gru/BTCEUR, and publish it.

    A single file or folder becomes the component `model`; several are kept as files of the run, under their names.
    A run that the policy does not publish is saved all the same.
    """
    features = None if feature_names is None else _schema(feature_names)
    with (
        session.bar("Uploading") as bar,
        session.store(bar) as store,
        store.new_run(key, run_id=run_id, alias=alias, publish=publish) as draft,
    ):
        draft.metrics, draft.tags, draft.features = dict(metrics), dict(tags), features
        draft.description, draft.parent, draft.provenance = description, parent, {} if no_provenance else None
        if len(files) == 1:
            draft.add("model", files[0], codec="raw", copy=False, ignore=ignore)
        else:
            for path in files:
                draft.add_file(path.name, path)
        bar.begin(sum(_size(path) for path in files))
        run = draft.commit()
    session.answer(_put_document(run), _put_lines(run))


def _size(path: Path) -> int:
    found = path.rglob("*") if path.is_dir() else [path]
    return sum(part.stat().st_size for part in found if part.is_file())


def _schema(path: Path) -> FeatureSchema:
    try:
        with path.open("rb") as file:
            value = parse_json(file.read(MAX_MANIFEST + 1), limit=MAX_MANIFEST, what=str(path))  # it is stored in one
    except Corrupt as error:
        raise InvalidOption(f"the schema cannot be read: {error}") from error
    described = value if isinstance(value, dict) else {"names": value}
    if set(described) - {"names", "selected"} or not isinstance(described.get("names"), list):
        raise InvalidOption(f'{path} should hold a list of names, or {{"names": [...], "selected": [...]}}')
    return FeatureSchema(described["names"], selected=described.get("selected"))


def _put_document(run: Run) -> dict[str, Any]:
    published = run.published
    assert published is not None
    return {
        "ref": str(run.ref),
        "key": str(run.key),
        "run_id": run.run_id,
        "url": run.url(),
        "manifest_sha256": run.manifest.digest,
        "files": len(run.files),
        "size": run.size,
        "published": None
        if published.pointer is None
        else {"alias": published.pointer.alias, **publish_document(published.pointer)},
        "reason": published.reason,
    }


def _put_lines(run: Run) -> Iterator[str]:
    yield f"Saved {output.ref(run.ref)}: {output.count(len(run.files), 'file')}, {output.size(run.size)}."
    yield output.safe(f"It is {run.published}.")
