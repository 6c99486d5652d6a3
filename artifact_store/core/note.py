"""A note about a run: what was learnt of it after it was saved. It is written once, and never changes the run.

A note is pinned to the manifest of its run by its digest, so it means the same in every store that the run is copied
to, and nothing about another run. What several notes say together does not depend on who wrote first: a mark is in
force until a note names it in ``lifts``.

Why: docs/decisions/0034-notes-outside-of-runs.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Final

from artifact_store.canonical import canonical
from artifact_store.core import keys
from artifact_store.core.documents import NON_FINITE, Kind, NonFinite, RunDocument, Sha256, Time, WriteId
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.statement import decode64, encode64, message
from artifact_store.core.trust import LoadPolicy
from artifact_store.core.values import Value, made
from artifact_store.errors import (
    ArtifactStoreError,
    Corrupt,
    NotForTrading,
    SignatureInvalid,
    SignatureMissing,
    Untrusted,
    UntrustedKey,
)
from artifact_store.problems import Problem

MAX_NOTE_BYTES: Final = 64 << 10
"""Bytes; more is refused before it is parsed."""
NOTE_TYPE: Final = "application/vnd.artifact-store.note+json"
"""What is signed is a note, and can be taken for nothing else."""


class NoteSignature(Value):
    """Who vouches for a note."""

    key_id: Sha256
    sig: str = ""
    """Base64 of the signature over the note without this field and without its checksum."""


class Note(RunDocument):
    """What one note says of a run; a field that it says nothing about is empty."""

    KIND: ClassVar[Kind] = "note"
    LIMIT: ClassVar[int] = MAX_NOTE_BYTES
    LEFT_OUT_IF_EMPTY: ClassVar[frozenset[str]] = frozenset(
        {"description", "tags", "metrics", "do_not_trade", "lifts", "reason", "signature"}
    )

    manifest_sha256: Sha256
    write_id: WriteId
    at: Time
    by: str
    description: str = ""
    tags: Mapping[str, str] = made(default_factory=dict)
    metrics: Mapping[str, float | int | NonFinite] = made(default_factory=dict)
    do_not_trade: bool = False
    """Whether it is a mark that the run is not to be traded."""
    lifts: tuple[WriteId, ...] = ()
    """The marks that are not in force any more."""
    reason: str = ""
    signature: NoteSignature | None = None

    def _check(self) -> None:
        """Refuse names outside the grammar, and those that are too long together."""
        ModelKey(self.model_type, self.symbol)
        keys.note(self.key, RunId(self.run_id), self.write_id)

    @property
    def storage_key(self) -> str:
        """Where it is stored."""
        return keys.note(self.key, RunId(self.run_id), self.write_id)

    @property
    def order(self) -> tuple[datetime, str]:
        """What notes are sorted by: when they were written, by the clocks of who wrote them."""
        return self.at, self.write_id

    def check_about(self, where: str, manifest_sha256: str | None) -> None:
        """Raise ``Corrupt`` unless this note belongs to where it is stored, and is about a manifest of this digest."""
        if self.storage_key != where:
            raise Corrupt(f"{where!r} is the note {self.storage_key!r}: it was copied or swapped", key=where)
        if manifest_sha256 not in (None, self.manifest_sha256):
            raise Corrupt(f"{where!r} is about another manifest than {self.label} has", key=where)

    def signed_message(self) -> bytes:
        """Return what the signature that it has covers: every other field, those that we do not know included."""
        value = {name: part for name, part in self.to_json().items() if name != "checksum"}
        value["signature"] = {name: part for name, part in value["signature"].items() if name != "sig"}
        return message(canonical(value), NOTE_TYPE)

    def announced(self, key_id: str) -> Note:
        """Return the note as it is signed: with whose key, and without the signature itself."""
        return self.model_copy(update={"signature": NoteSignature(key_id=key_id)})

    def signed(self, signature: bytes) -> Note:
        """Return an announced note with the signature of its :meth:`signed_message`."""
        assert self.signature is not None
        with_it = self.signature.model_copy(update={"sig": encode64(signature)})
        return self.model_copy(update={"signature": with_it})

    def check_trusted(self, policy: LoadPolicy, what: str) -> None:
        """Raise ``Untrusted`` where the policy requires signatures, and no key that it trusts signed this note."""
        if not policy.require_signature:
            return
        if self.signature is None:
            raise SignatureMissing(f"{what} is not signed, and the policy requires that: what it says does not count")
        key = policy.key(self.signature.key_id)
        if key is None:
            raise UntrustedKey(
                f"{what} is signed by the key {self.signature.key_id[:16]}, which the policy does not trust",
                key_ids=[self.signature.key_id],
            )
        sig = decode64(self.signature.sig)
        if sig is None or not key.verifies(sig, self.signed_message()):
            raise SignatureInvalid(
                f"{what} was changed after the key {key.key_id[:16]} signed it, or never signed by it"
            )


@dataclass(frozen=True)
class RunNotes:
    """What was noted about a run since it was saved. Iterates over the notes that count, oldest first.

    ``problems`` has what could not be read, and, where the policy requires signatures, what has no good one. A mark
    counts without a signature as well: it can only keep a run from being traded.
    """

    ref: str
    entries: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()
    marks: tuple[Note, ...] = ()
    """The marks "do not trade" that are in force, oldest first."""

    @classmethod
    def of(cls, ref: str, found: Iterable[tuple[str, Note | ArtifactStoreError]], policy: LoadPolicy) -> RunNotes:
        """Return what notes, each with where it is stored, say together of the run ``ref``."""
        counted, marks, problems = list[Note](), list[Note](), list[Problem]()
        for where, note in found:
            if isinstance(note, ArtifactStoreError):
                problems.append(Problem(where, note))
                continue
            if note.do_not_trade:
                marks.append(note)
            try:
                note.check_trusted(policy, repr(where))
            except Untrusted as error:
                problems.append(Problem(where, error))
            else:
                counted.append(note)
        lifted = {mark for note in counted for mark in note.lifts}
        in_force = sorted((mark for mark in marks if mark.write_id not in lifted), key=lambda note: note.order)
        return cls(ref, tuple(sorted(counted, key=lambda note: note.order)), tuple(problems), tuple(in_force))

    def __iter__(self) -> Any:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def description(self) -> str:
        """The description that was given last; empty if none was."""
        return next((note.description for note in reversed(self.entries) if note.description), "")

    @cached_property
    def tags(self) -> dict[str, str]:
        """The tags of all notes; of one that was given several times the last."""
        return {name: value for note in self.entries for name, value in note.tags.items()}

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The metrics of all notes as numbers; of one that was given several times the last."""
        found = {name: value for note in self.entries for name, value in note.metrics.items()}
        return {name: NON_FINITE[value] if isinstance(value, str) else value for name, value in found.items()}

    @property
    def do_not_trade(self) -> bool:
        """Whether a mark is in force."""
        return bool(self.marks)

    @property
    def is_tradable(self) -> bool:
        """Whether it is certain that no mark is in force."""
        return not self.marks and all(isinstance(problem.error, Untrusted) for problem in self.problems)

    def check_tradable(self) -> None:
        """Raise unless it is certain that no mark is in force.

        Raises:
            NotForTrading: one is; the text says who set it, when and why. Or a note cannot be read, and may be one.
        """
        if self.marks:
            last = self.marks[-1]
            why = f": {last.reason}" if last.reason else ""
            raise NotForTrading(
                f"{self.ref} was marked 'do not trade' at {last.at:%Y-%m-%d %H:%M:%S} UTC by {last.by!r}{why}; promote "
                "another run, or lift the mark with run.annotate(do_not_trade=False)"
            )
        for problem in self.problems:
            if not isinstance(problem.error, Untrusted):
                raise NotForTrading(
                    f"a note about {self.ref} cannot be read, and may say 'do not trade': {problem}"
                ) from problem.error

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: what the notes say together, and each of them."""
        last = {name: value for note in self.entries for name, value in note.metrics.items()}
        return {
            "description": self.description,
            "tags": self.tags,
            "metrics": last,
            "do_not_trade": self.do_not_trade,
            "marks": [mark.write_id for mark in self.marks],
            "notes": [note.to_json() for note in self.entries],
            "problems": [str(problem) for problem in self.problems],
        }
