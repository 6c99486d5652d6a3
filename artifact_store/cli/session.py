"""What all commands share: which store, how to reach it, and whether a person or a machine reads the answer."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import click

from artifact_store.cli import output, program
from artifact_store.cli.program import HomePath
from artifact_store.core.files import Progress
from artifact_store.core.trust import LoadPolicy
from artifact_store.ops.keypairs import PublicKey
from artifact_store.storage.retry import LOGGER as RETRIES
from artifact_store.store import ArtifactStore

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Session:
    """The options that stand before or behind any command. Its ``repr`` holds no credential."""

    url: str | None = field(default=None, repr=False)
    """Of the store, or its name in a configuration."""
    engine: str | None = None
    timeout: float | None = None
    min_rate: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    as_json: bool = False
    key: Path | None = None
    """The private key that signs what is saved and published."""
    trusted: Sequence[Path] = ()
    """Public keys besides it, of those who sign here as well."""
    staging: Path | None = None
    """The folder for temporary files."""
    cache: Path | None = None
    """The folder for fetched files."""
    cache_size: str | None = None
    offline: bool | None = None
    compression: str | None = None
    """How files are stored that become much smaller."""

    def store(self, bar: Bar | None = None) -> ArtifactStore:
        """Return the store, whose transfers advance the bar. Nothing is read or written yet.

        Raises:
            InvalidOption: no store was named.
            NotAStore: it is a file.
        """
        return ArtifactStore(**self.arguments(), progress=bar if self.shows_progress else None)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the store: what was given, before what a configuration says.

        Raises:
            InvalidOption: no store was named, or the configuration means nothing.
        """
        trusted = [PublicKey.from_pem(path) for path in self.trusted]
        return program.store_arguments(
            self.url,
            self.options,
            policy=LoadPolicy(trusted_keys=trusted) if trusted else None,
            engine=self.engine,
            timeout=self.timeout,
            staging=self.staging,
            cache=self.cache,
            cache_size=self.cache_size,
            offline=self.offline or None,
            min_rate=self.min_rate,
            compression=self.compression,
            signer=None if self.key is None else program.load_signer(self.key),
        )

    def answer(self, document: Mapping[str, Any], lines: Iterable[str]) -> None:
        """Print the one or the other: a JSON document for machines, lines for people."""
        program.answer(document, lines, as_json=self.as_json)

    def warn(self, problems: Iterable[object]) -> None:
        """Tell a person on stderr what could not be read; a machine finds it in the document."""
        if not self.as_json:
            for problem in problems:
                click.echo(f"{click.style('Problem:', fg='yellow')} {output.safe(str(problem))}", err=True)

    def note(self, notes: Iterable[str]) -> None:
        """Tell a person on stderr what is worth knowing; a machine finds it in the document."""
        if not self.as_json:
            for note in notes:
                click.echo(f"Note: {output.safe(note)}", err=True)

    def tell(self, warning: Warning | str, *_: object) -> None:
        """Say a warning on stderr, to a person or a machine; in the place of ``warnings.showwarning``."""
        details = {name: str(value) for name, value in vars(warning).items()} if isinstance(warning, Warning) else {}
        document = {"type": type(warning).__name__, "message": str(warning), "details": details}
        person = f"{click.style('Warning:', fg='yellow')} {output.safe(str(warning))}"
        click.echo(json.dumps({"warning": document}, indent=2) if self.as_json else person, err=True)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Tell a person on stderr, meanwhile, that a call is repeated because the storage does not answer."""
        handler = logging.Handler()
        handler.emit = self._say_waiting  # type: ignore[method-assign]
        retries = logging.getLogger(RETRIES)
        level = retries.level
        if self.shows_progress:
            retries.addHandler(handler)
            retries.setLevel(logging.INFO)
        try:
            yield
        finally:
            retries.removeHandler(handler)
            retries.setLevel(level)

    def _say_waiting(self, record: logging.LogRecord) -> None:
        click.echo(f"{click.style('Waiting:', fg='yellow')} {output.safe(record.getMessage())}", err=True)

    @property
    def shows_progress(self) -> bool:
        """Whether a person looks at it."""
        return not self.as_json and sys.stderr.isatty()

    def bar(self, label: str) -> Bar:
        """Return a bar that is shown if a person looks at it."""
        return Bar(label, hidden=not self.shows_progress)


class Command(click.Command):
    """A command that also takes ``--store`` and ``--json`` behind its name, where many people write them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        given: dict[str, Any] = {"expose_value": False, "callback": _set}
        self.params += [
            click.Option(["--store", "url"], metavar="URL", help="The store.", **given),
            click.Option(["--json", "as_json"], is_flag=True, default=None, help="JSON for machines.", **given),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; of an option that stands before a command, and here behind it, that is said."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            before = {name for option in ctx.find_root().command.params for name in option.opts}
            if error.option_name not in before:
                raise
            name = error.option_name
            raise click.UsageError(
                f"{name} stands before the command: {ctx.find_root().info_name} {name} ... {ctx.info_name} ...", ctx
            ) from error


def _set(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None:
        setattr(context.ensure_object(Session), str(option.name), value)


pass_session = click.make_pass_decorator(Session)


def bulk_options(command: F) -> F:
    """Add the options of work that can be done by many processes, and go on after a crash."""
    resume = click.option(
        "--resume",
        type=HomePath(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Keep what is found in FILE, and go on from there when the same command is repeated.",
    )
    jobs = click.option("--jobs", type=int, metavar="N", help="So many processes at once; -1: one on each processor.")
    return jobs(resume(command))


class Bar:
    """A bar on stderr that several files advance at once; the callback of a store. Leaving it ends its line."""

    def __init__(self, label: str, *, hidden: bool = False) -> None:
        self._label, self._hidden, self._lock = label, hidden, threading.Lock()
        self._done: dict[str, int] = {}
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.render_finish()
                self._bar = None

    def __call__(self, progress: Progress) -> None:
        """Advance by what has moved since this file was last heard of. Called from many threads."""
        with self._lock:
            if self._bar is not None:
                moved = progress.done - self._done.get(progress.path, 0)
                self._done[progress.path] = progress.done
                self._bar.update(moved)

    def begin(self, total: int) -> None:
        """Show the bar: from now on, ``total`` bytes are to be moved."""
        self._done.clear()
        self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr, hidden=self._hidden)
        self._bar.render_progress()

    def reach(self, done: int, total: int) -> None:
        """Show that so many steps of ``total`` are done."""
        if self._bar is None:
            self.begin(total)
        self._bar.update(done - self._bar.pos)
        self._bar.render_progress()


def check_root(store: ArtifactStore) -> Sequence[str]:
    """Return what to note where there is no store, and nothing else either: empty where there is one.

    What has runs is read as a store even if its ``_store.json`` is missing.

    Raises:
        NotAStore: the root holds something else, such as an old tree, or the folder of a store.
        ContainerNotFound: the bucket does not exist.
    """
    if store.exists() or next(iter(store.runs()), None) is not None:
        return ()
    return store.gc().notes
