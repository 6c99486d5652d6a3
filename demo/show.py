"""How the demonstration prints: titles, lines, and checks that are counted."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

import click

WIDTH = 100


def title(words: str) -> None:
    """Begin a section."""
    click.echo()
    click.secho(words, bold=True, fg="cyan")


def lines(of: Iterable[str]) -> None:
    """Print one line after the other."""
    for line in of:
        click.echo(line)


def paragraph(words: str, *, indent: int) -> None:
    """Print running text, broken to the width of the page."""
    blank = " " * indent
    lines(wrap(words, WIDTH, initial_indent=blank, subsequent_indent=blank, break_on_hyphens=False))


class Checks:
    """Claims that turned out to be true or not."""

    def __init__(self) -> None:
        self.failed = 0
        self.passed = 0

    def check(self, ok: bool, claim: str) -> None:  # noqa: FBT001 -- the claim is the name
        """Print a claim with its outcome, and count it."""
        self.passed += ok
        self.failed += not ok
        word = click.style("ok    ", fg="green") if ok else click.style("FAILED", fg="red", bold=True)
        click.echo(f"  {word}  {claim}")

    def report(self) -> int:
        """Print how many there were, and return the exit status of the program."""
        if self.failed:
            title(f"{self.failed} of {self.failed + self.passed} checks FAILED")
            return 1
        title(f"All {self.passed} checks passed")
        return 0
