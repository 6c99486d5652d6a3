"""What a making is: how something is made, what is compared of it, and what comes of saving it.

A making ends as *equal*, or it is *refused* at save with a way out; then the way out is followed, and what is made so has
to come back equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAY_OUT = r"convert|store|save|make|keep|use |cast|rename|give|set it|delete|drop|leave it out|with \.|frame\.|correct|register"
"""One of these is in every refusal: what to do instead."""


@dataclass(frozen=True)
class Making:
    """One object, and what is expected of it. ``make`` is given an empty folder, for what is a file.

    ``look`` returns what is compared; without it, the object itself is. ``refused`` is a pattern that is found in the
    refusal, which names the column or attribute, and ``follow`` does what the refusal says. ``without`` names libraries
    that cannot be imported where it is loaded. ``into`` makes what it is loaded into, and is given
    an empty folder.
    """

    name: str
    make: Callable[[Path], Any]
    codec: str
    look: Callable[[Any], Any] | None = None
    refused: str = ""
    follow: Callable[[Any], Any] | None = None
    without: tuple[str, ...] = ()
    into: Callable[[Path], Any] | None = None
    kept: str = ""
    """What the page says of it, beyond its name."""
    named: str | None = None
    """The codec that a saver has to name."""


def plain(name: str, value: Any, codec: str, **more: Any) -> Making:
    """Return a making of a value that is the same whenever it is used."""
    return Making(name, lambda _: value, codec, **more)


def refused(name: str, value: Any, codec: str, why: str, follow: Callable[[Any], Any], **more: Any) -> Making:
    """Return a making of what is refused, with what its refusal says to do."""
    return Making(name, lambda _: value, codec, refused=why, follow=follow, **more)
