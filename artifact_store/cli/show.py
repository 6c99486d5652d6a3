"""The commands that look: ``ls``, ``show`` and ``history``. They decode nothing and write nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import click

from artifact_store.cli import output
from artifact_store.cli.annotate import NotesOfRuns, note_lines, noted_document, notes_of_run, notes_of_runs
from artifact_store.cli.completing import ModelName, RefName
from artifact_store.cli.session import Command, Session, check_root, pass_session
from artifact_store.core.documents import plain, write_time
from artifact_store.core.names import ModelKey
from artifact_store.core.note import RunNotes
from artifact_store.core.pointer import Pointer, Publish
from artifact_store.core.references import RunRef
from artifact_store.doctor.rebuild import is_lost
from artifact_store.errors import ArtifactStoreError, ModelNotFound
from artifact_store.features.schema import FeatureSchema
from artifact_store.ops.listing import near_models
from artifact_store.run import Run
from artifact_store.store import ArtifactStore

_DIGITS = 16
_GAP = 2


# ---------------------------------------------------------------- ls


@click.command("ls", cls=Command, short_help="List models, or the runs of one.")
@click.argument("key", type=ModelName(), required=False)
@click.option("--limit", type=click.IntRange(min=1), help="Only so many runs, the first ones.")
@click.option("--where", multiple=True, metavar="TEXT", help="Only such runs: 'sharpe > 1.2', 'tags.fold = 7'.")
@click.option("--order-by", metavar="NAME", help="By a metric, or created_at; -NAME for the largest first.")
@pass_session
def ls_command(
    session: Session, key: str | None, *, limit: int | None, where: tuple[str, ...], order_by: str | None
) -> None:
    """List the models of the store; with a KEY such as gru/BTCEUR its runs, newest first.

    A model type alone lists its models.
    """
    question = {"limit": limit, "where": where or None, "order_by": order_by}
    with session.store() as store:
        chosen = None if key is None else ModelKey.parse(key)
        notes = check_root(store)
        known = store.models()
        if chosen is not None and chosen in known:
            list_runs(session, store, chosen, question)
            return
        if chosen is not None:
            there, known = known, [model for model in known if chosen.covers(model)]
            if not known:
                hint = next(iter(notes), "") or near_models(chosen, there)
                raise ModelNotFound(f"nothing is stored for {chosen.display_name} in {store.url}; {hint}")
        list_models(session, store, known, notes, every=chosen is None)


def list_models(
    session: Session, store: ArtifactStore, models: Sequence[ModelKey], notes: Sequence[str], *, every: bool
) -> None:
    """Answer with a line for each model, and what there is to note; ``every``: these are all of them."""
    problems: list[str] = []
    found = _summaries(store, models, problems, every=every)
    document = {"store": store.url, "models": list(found.values()), "notes": list(notes), "problems": problems}
    rows = [
        [key.display_name, str(model["runs"]), model["newest"] or "", ", ".join(_names(model["aliases"]))]
        for key, model in found.items()
    ]
    empty = [f"{'No store is' if notes else 'No models are'} in {output.safe(store.url)} yet."]
    session.answer(document, output.table(("model", "runs", "newest run", "aliases"), rows) if rows else empty)
    session.note(notes)
    session.warn(problems)


def _summaries(
    store: ArtifactStore, models: Sequence[ModelKey], problems: list[str], *, every: bool
) -> dict[ModelKey, dict[str, Any]]:
    """Return a summary of each model; where these are all models, by one listing of their runs."""
    ids: dict[ModelKey, list[str]] = {key: [] for key in models}
    for runs in [store.runs()] if every else map(store.runs, models):
        for run in runs:
            ids.setdefault(run.key, []).append(run.run_id)
        problems += [str(problem) for problem in runs.problems]
    return {key: _summary(store, key, ids[key], problems) for key in models}


def _summary(store: ArtifactStore, key: ModelKey, ids: Sequence[str], problems: list[str]) -> dict[str, Any]:
    pointers = _aliases(store, key, problems)
    return {
        "key": str(key),
        "model_type": key.model_type,
        "symbol": key.symbol,
        "runs": len(ids),
        "newest": ids[0] if ids else None,
        "aliases": {name: pointer.run_id for name, pointer in pointers.items()},
    }


def _aliases(store: ArtifactStore, key: ModelKey, problems: list[str]) -> Mapping[str, Pointer]:
    try:
        return store.aliases(key)
    except ArtifactStoreError as error:  # a listing goes on: it says so, and shows the rest
        problems.append(f"the aliases of {key.display_name}: {error}")
        return {}


def _names(aliases: Mapping[str, str | None]) -> Iterator[str]:
    for name, run_id in aliases.items():
        yield name if run_id is not None else f"{name} (retired)"


def list_runs(session: Session, store: ArtifactStore, key: ModelKey, question: Mapping[str, Any]) -> None:
    """Answer with a line for each run of a model that fits the question: arguments of ``store.runs``."""
    problems: list[str] = []
    pointers = _aliases(store, key, problems)
    listing = store.runs(key, **question)
    runs = list(listing)
    problems += [str(problem) for problem in listing.problems]
    notes = notes_of_runs(store, key, runs, problems)
    found = [{**_run(run, pointers), "notes": noted_document(notes, run)} for run in runs]
    document = {"store": store.url, "key": str(key), "runs": found, "problems": problems}
    session.answer(
        document,
        _run_lines(runs, pointers, notes) if runs else [output.safe(f"{key.display_name} has no committed run.")],
    )
    session.warn(problems)


def _run(run: Run, pointers: Mapping[str, Pointer]) -> dict[str, Any]:
    return {
        "ref": str(run.ref),
        "run_id": run.run_id,
        "created_at": write_time(run.created_at),
        "aliases": aliases_of(run, pointers),
        "metrics": plain(run.metrics, "metrics"),
        "tags": run.tags,
        "files": run.file_count,
        "size": run.size,
    }


def _run_lines(runs: Sequence[Run], pointers: Mapping[str, Pointer], notes: NotesOfRuns) -> Iterator[str]:
    head = ["run", "saved (UTC)", "aliases", "size"]
    rows = [
        [run.run_id, output.time(run.created_at), ", ".join(aliases_of(run, pointers)), output.size(run.size)]
        for run in runs
    ]
    marked = {run_id for run_id, found in (notes or {}).items() if found is None or not found.is_tradable}
    if marked:
        head.append("notes")
        for run, row in zip(runs, rows, strict=True):
            row.append("do not trade" if run.run_id in marked else "")
    used = sum(max(len(row[place]) for row in [head, *rows]) + _GAP for place in range(len(head)))
    for name in dict.fromkeys(name for run in runs for name in run.metrics):
        cells = [output.format_number(run.metrics[name]) if name in run.metrics else "" for run in runs]
        used += max(len(cell) for cell in [name, *cells]) + _GAP
        if used > output.page_width() + _GAP:
            break
        head.append(output.safe(name))
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    return output.table(head, rows)


def aliases_of(run: Run, pointers: Mapping[str, Pointer]) -> list[str]:
    """Return the aliases that name a run."""
    return [name for name, pointer in pointers.items() if pointer.run_id == run.run_id]


# ---------------------------------------------------------------- show


@click.command("show", cls=Command, short_help="Tell all about a run.")
@click.argument("ref", type=RefName())
@pass_session
def show_command(session: Session, ref: str) -> None:
    """Tell all about the run that REF names: its components, files, features, metrics and where it was made.

    REF is gru/BTCEUR@alias, gru/BTCEUR:run_id (or the beginning of one), or gru/BTCEUR, which means @latest.
    """
    with session.store() as store:
        run = store.get(ref)
        problems: list[str] = []
        pointers = _aliases(store, run.key, problems)
        notes = notes_of_run(run, problems)
        session.answer(_everything(run, pointers, problems, notes), _page(run, pointers, notes))
        session.warn(problems)


def _everything(
    run: Run, pointers: Mapping[str, Pointer], problems: list[str], notes: RunNotes | None
) -> dict[str, Any]:
    manifest = run.manifest
    schema = run.features
    return {
        "ref": str(run.ref),
        "key": str(run.key),
        "model_type": run.key.model_type,
        "symbol": run.key.symbol,
        "run_id": run.run_id,
        "created_at": write_time(run.created_at),
        "url": run.url(),
        "manifest_sha256": manifest.digest,
        "aliases": aliases_of(run, pointers),
        "components": {
            name: {
                "codec": part.codec.name,
                "version": part.codec.version,
                "risk": str(part.risk),
                "type": part.type,
                "files": list(part.files),
            }
            for name, part in manifest.components.items()
        },
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in manifest.files],
        "size": run.size,
        "features": None if schema is None else {**schema.to_json(), "fingerprint": schema.fingerprint},
        "metrics": dict(manifest.metrics),
        "tags": run.tags,
        "requires": list(run.requires),
        "config": dict(manifest.config),
        "training_config": dict(manifest.training_config),
        "description": run.description,
        "parent": None if manifest.parent is None else manifest.parent.model_dump(mode="json"),
        "data": {name: {"size": found.size, "sha256": found.sha256} for name, found in manifest.data.items()},
        "provenance": run.provenance,
        "environment": dict(manifest.environment),
        "environment_verdict": run.environment_verdict.to_json(),
        "is_fitted": manifest.is_fitted,
        "publish": manifest.publish.model_dump(mode="json"),
        "notes": None if notes is None else notes.to_json(),
        "problems": problems,
    }


def _page(run: Run, pointers: Mapping[str, Pointer], notes: RunNotes | None) -> Iterator[str]:
    manifest = run.manifest
    yield click.style(output.ref(run.ref), bold=True)
    yield from output.fields(
        [
            ("saved", f"{output.time(run.created_at)} UTC"),
            ("aliases", ", ".join(aliases_of(run, pointers)) or "none"),
            ("stored at", run.url()),
            ("manifest", f"sha256 {manifest.digest}"),
            *([("do not trade", notes.marks[-1].reason or "marked by a note")] if notes and notes.marks else []),
            *_origin(run),
            *environment_lines(run),
        ],
        indent=2,
    )
    if notes is not None and (notes.entries or notes.marks):
        yield from _section("Notes", note_lines(notes))
    parts = manifest.components.items()
    rows = [[name, str(part.codec.ref), str(part.risk), part.type, ", ".join(part.files)] for name, part in parts]
    yield from _section("Components", output.table(("component", "codec", "risk", "type", "files"), rows, indent=2))
    files = [[file.path, output.size(file.size), file.sha256[:_DIGITS]] for file in manifest.files]
    title = f"Files, {output.size(run.size)}"
    yield from _section(title, output.table(("file", "size", f"sha256 ({_DIGITS} of 64)"), files, indent=2))
    if run.features is not None:
        yield from _section(_features_title(run.features), _feature_lines(run.features))
    metrics = [(name, output.format_number(value)) for name, value in run.metrics.items()]
    for name, pairs in (
        ("Metrics", metrics),
        ("Tags", list(run.tags.items())),
        ("Configuration", _plain(manifest.config)),
        ("Training configuration", _plain(manifest.training_config)),
        ("Data", [(name, f"{output.size(found.size)}, sha256 {found.sha256}") for name, found in run.data.items()]),
        ("Made by", _plain(manifest.provenance)),
        ("Made with", _plain({name: value for name, value in manifest.environment.items() if name != "packages"})),
    ):
        if pairs:
            yield from _section(name, output.fields(pairs, indent=2))
    packages = manifest.environment.get("packages")
    if isinstance(packages, Mapping) and packages:
        yield from output.wrapped("  ", ", ".join(f"{name} {version}" for name, version in packages.items()))


def _origin(run: Run) -> Iterator[tuple[str, str]]:
    if run.requires:
        lost = run.manifest.lost
        yield "requires", ", ".join(f"{name} (lost)" if name in lost else name for name in run.requires)
    if run.description:
        yield "description", run.description
    if run.manifest.parent is not None:
        digest = run.manifest.parent.manifest_sha256
        yield "parent", run.manifest.parent.ref + (f", sha256 {digest}" if digest else "")


def environment_lines(run: Run) -> Iterator[tuple[str, str]]:
    """Yield, by name, whether the environment of a run fits this one, and everything that differs."""
    found = run.environment_verdict
    yield "environment", str(found.verdict)
    for remark in found.remarks:
        yield "", f"{remark.verdict}: {remark}"


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield ""
    yield click.style(title, bold=True)
    yield from lines


def _features_title(schema: FeatureSchema) -> str:
    chosen = f", {schema.input_size} of them selected (*)" if schema.has_selection else ""
    inferred = ", names made up" if schema.names_inferred else ""
    return f"Features, {schema.feature_count}{chosen}{inferred}; fingerprint {schema.fingerprint[:_DIGITS]}"


def _feature_lines(schema: FeatureSchema) -> Iterator[str]:
    chosen = set(schema.selected) if schema.has_selection else set[int]()
    names = (f"{name}{'*' if place in chosen else ''}" for place, name in enumerate(schema.names))
    yield from output.wrapped("  ", ", ".join(names))
    if schema.reason:
        yield f"  * {output.safe(schema.reason)}"


def _plain(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values as text, one level deep; of what is nested deeper the beginning, --json shows all of it."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            flat[name] = value
    room = output.page_width() - max((len(name) for name in flat), default=0) - 2 * _GAP
    return [
        (name, value if isinstance(value, str) else output.shortened(json.dumps(value, ensure_ascii=False), room))
        for name, value in flat.items()
    ]


# ---------------------------------------------------------------- history


@click.command("history", cls=Command, short_help="List every publish of an alias.")
@click.argument("ref", type=RefName())
@pass_session
def history_command(session: Session, ref: str) -> None:
    """List everything that an alias ever named, oldest first; the last line is in force. REF as for show.

    The digest is what `promote --vouch` takes.
    """
    with session.store() as store:
        past = store.history(ref)
    rows = list(_publish_rows(past))
    rows[-1][-1] = "now"
    lines = output.table(("seq", "published (UTC)", "run", "by", "reason", ""), rows)
    document = {"ref": str(RunRef.parse(ref)), "history": [publish_document(of) for of in past]}
    digest = past.pointer.digest
    session.answer(document | {"digest": digest}, [f"digest of this history: {digest}", *lines])


def _publish_rows(past: Sequence[Publish]) -> Iterator[list[str]]:
    """Yield a row for each publish, and a single one for those that were lost together with a damaged pointer."""
    for lost, group in groupby(past, is_lost):
        several = list(group)
        last = several[-1]
        if lost:
            why = f"{output.count(len(several), 'publish', 'publishes')} {last.reason}, or fewer"
            yield [f"{several[0].seq}-{last.seq}", output.time(last.at), "(unknown)", last.by, why, ""]
        else:
            for of in several:
                yield [str(of.seq), output.time(of.at), of.run_id or "(retired)", of.by, of.reason, ""]


def publish_document(of: Publish) -> dict[str, Any]:
    """Return one publish as JSON."""
    return {"seq": of.seq, "run_id": of.run_id, "at": write_time(of.at), "by": of.by, "reason": of.reason}
