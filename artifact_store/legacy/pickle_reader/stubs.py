"""What stands for an object of a library when an old pickle is read: its name and what was pickled, without behaviour.

None of these classes can be made to do anything by what is stored: they import nothing and call nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from artifact_store.errors import ArtifactStoreError, Corrupt, RiskRefused


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle names, by exactly these two texts. It is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Stub:
    """An inert object: what it was an instance of, what it was made from, and the state that was pickled."""

    kind: Name
    args: tuple[Any, ...] = ()
    state: Any = None

    def __repr__(self) -> str:
        return f"<{self.kind}, not loaded>"

    @property
    def fields(self) -> Mapping[str, Any]:
        """The attributes that were pickled.

        Raises:
            Corrupt: there are no attributes, or their names are not text.
        """
        if not isinstance(self.state, dict) or not all(isinstance(name, str) for name in self.state):
            raise Corrupt(f"a pickled {self.kind} without attributes")
        return self.state

    def is_a(self, *names: str) -> bool:
        """Say whether it was of a class with one of these plain names, whatever module had it at the time."""
        return self.kind.name in names


@dataclass(slots=True, eq=False)
class Unbuilt:
    """An array or dtype whose state is still to come. It never leaves the unpickler."""

    dtype: Any = None
    """The dtype as far as it is known, or nothing for an array."""
    places: list[int] = field(default_factory=list)
    """Where the memo has it, since what is finished takes its place there."""


@contextmanager
def within(what: str) -> Iterator[None]:
    """Put the name of the file before errors about a part of it.

    A pickle may put any value in any place. Where one is used as what it is not, Python says so in a word of its own.
    """
    try:
        yield
    except (Corrupt, RiskRefused) as error:
        if what in str(error):
            raise
        raise type(error)(f"{what} holds {error}") from error
    except ArtifactStoreError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise Corrupt(f"{what} holds a value of another kind than its place is for: {error}") from error


_ELSEWHERE: Final = "If you trust it, load it with the libraries that wrote it and save what comes out"


def refused(what: str, found: str, otherwise: str = "") -> RiskRefused:
    """Return the error for what cannot be rebuilt from plain values, and what to do instead."""
    told = f"{what} {found}: nothing of it was run, and it cannot be read without running it"
    return RiskRefused(f"{told}. {otherwise or _ELSEWHERE}")
