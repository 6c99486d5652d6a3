"""What can be noted about a run after it was saved: the parts of a run and of a store. The run stays as it is.

Parses what a note is given; what becomes of it is in ``ops``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from artifact_store.core.documents import stored_metrics, stored_tags, stored_text
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import KeyLike, ModelKey, RunId
from artifact_store.core.note import Note, RunNotes
from artifact_store.errors import InvalidInput, InvalidOption
from artifact_store.ops.context import Context
from artifact_store.storage.descriptors import exhaustion_told


class Unchanging(dict[str, Any]):
    """What a committed run says, as a mapping that refuses changes: they would be lost. A copy of it is a plain dict.

    Raises:
        InvalidInput: it was to be changed.
    """

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise InvalidInput(
            "a committed run never changes; run.annotate(tags={...}, metrics={...}) notes beside it what is new"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Callable[..., dict[str, Any]], tuple[Iterable[tuple[str, Any]]]]:
        return dict, (list(self.items()),)


class Noting(ABC):
    """What a run has of notes."""

    _context: Context

    @property
    @abstractmethod
    def manifest(self) -> Manifest:
        """What was committed."""

    @exhaustion_told()
    def notes(self) -> RunNotes:
        """Return what was noted about the run since it was saved: one listing, and one request for each note.

        What is wrong with a note is in ``notes.problems``. Where the policy requires signatures, only notes that are
        signed by a trusted key count; a mark "do not trade" always does. ``notes.check_tradable()`` raises if there is
        one, or may be.

        Raises:
            Unavailable, AccessDenied: the storage does not answer. Offline nothing is known of notes.
        """
        from artifact_store.ops import notes

        return notes.read_notes(self._context, self.manifest)

    @exhaustion_told()
    def annotate(
        self,
        *,
        description: str = "",
        tags: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        do_not_trade: bool | None = None,
        reason: str = "",
    ) -> Note:
        """Note something about the run, beside it, and return the note; the run stays as it is.

        Notes are added and never changed: of a name that is given again, the last value counts. With a signer the note
        is signed. ``do_not_trade=True`` is a mark that the traders of ``artifact_models`` heed; ``False`` lifts those
        that are in force now, and not one that somebody else sets at the same moment. ``reason`` says why.

        Raises:
            InvalidOption: it says nothing, or what cannot be stored; or there is no mark to lift.
            RunNotFound, RunDeleted: the run is not there (any more).
            Conflict: it is a run of another store.
            OutcomeUnknown: the note may be stored.
        """
        if do_not_trade not in (None, True, False):
            raise InvalidOption(f"do_not_trade is True, False or None, not {type(do_not_trade).__name__}")
        said: dict[str, Any] = {
            "description": stored_text("description", description),
            "tags": stored_tags(tags or {}),
            "metrics": stored_metrics(metrics or {}),
            "do_not_trade": do_not_trade is True,
        }
        if do_not_trade is None and not any(said.values()):
            raise InvalidOption("this note says nothing: give description=, tags=, metrics= or do_not_trade=")
        said["reason"] = stored_text("reason", reason)
        from artifact_store.ops import notes

        return notes.annotate(self._context, self.manifest, said, lift=do_not_trade is False)


class NotedRuns:
    """The part of the façade that tells which runs have notes."""

    _context: Context

    def noted(self, key: KeyLike) -> frozenset[RunId]:
        """Return the ids of a model's runs about which something was noted, by one listing; `Run.notes` has what.

        Raises:
            Unavailable, AccessDenied: the storage does not answer. Offline nothing is known of notes.
        """
        from artifact_store.ops import notes

        return notes.runs_with_notes(self._context, ModelKey.parse(key))
