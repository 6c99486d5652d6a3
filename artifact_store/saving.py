"""How a run gets into the store: its files first, then its manifest, and its pointer read beside them.

Until the manifest is written nothing of the run is visible; from then on the run exists. Has no rule of its own:
the draft says what is stored, ``ops`` how each document is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from artifact_store.core.files import Outgoing
from artifact_store.core.manifest import Component, FileEntry, Manifest
from artifact_store.core.names import RunId
from artifact_store.ops import index, opening, publish, signing
from artifact_store.ops.compressing import packed_ahead
from artifact_store.ops.context import Context
from artifact_store.ops.records import SeenPointer
from artifact_store.publication import Publication
from artifact_store.run_provenance import RunProvenance
from artifact_store.storage.transfer import Destination, upload


@dataclass(frozen=True, slots=True)
class Saving:
    """One attempt to store a run: what its manifest says, and how its files may be called."""

    context: Context
    publication: Publication
    fields: Mapping[str, Any]
    components: Mapping[str, Component]
    provenance: RunProvenance
    own_id: bool
    """The run id is of this attempt alone, so that no other writer can have stored anything below it."""

    def carry_out(self, files: Sequence[Outgoing]) -> tuple[Manifest, SeenPointer]:
        """Store the files, then the manifest. Return that, and the pointer of the alias as it was read before.

        Raises:
            RunExists, RunDeleted: the run id is taken.
            Corrupt, Untrusted: the pointer cannot be read, or is not trusted; nothing is visible.
            OutcomeUnknown: the run may be committed.
        """
        context, signer = self.context, self.context.signer
        with context.workers.beside(self.publication.look_up) as pointer:
            self._open(pointer)
            with (
                packed_ahead(context, files, self.publication.key, RunId(self.fields["run_id"])) as outgoing,
                self._signing_ahead(outgoing) as signed,
                context.workers.beside(self._announce),
            ):
                entries = self._upload(outgoing)
        seen = pointer.result()  # an alias that cannot be read fails the save while nothing is visible
        self.publication.check(seen)
        manifest = self._describe(entries)
        if signer is not None and signed is not None and signed.result().digest != manifest.digest:
            signing.sign_run(context, manifest, signer)  # a file was stored under another name than was expected
        committed = publish.commit(context.records, manifest)
        if signer is not None and committed.digest != manifest.digest:
            signing.check_own(context, committed, signer)
        return committed, seen

    def _open(self, pointer: Future[SeenPointer]) -> None:
        opening.ensure_open(self.context)
        if self.publication.first_use:
            pointer.result()  # its symbol is compared with its siblings before anything is stored

    def _announce(self) -> None:
        """Tell the index, beside the files, that this run may come to be."""
        index.announce_save(self.context, self.publication.key, self.fields["run_id"], self.context.new_write_id()[:8])

    @contextmanager
    def _signing_ahead(self, files: Sequence[Outgoing]) -> Iterator[Future[Manifest] | None]:
        """Sign the run beside its files, so that the signature is in the store before the run is visible."""
        signer = self.context.signer
        if signer is None:
            yield None
            return
        with self.context.workers.beside(
            partial(signing.sign_ahead, self.context, signer, files, self._describe)
        ) as signed:
            yield signed

    def _upload(self, files: Sequence[Outgoing]) -> list[FileEntry]:
        context, key = self.context, self.publication.key
        to = Destination(key, RunId(self.fields["run_id"]), context.new_write_id()[:8], self.own_id)
        return upload(context.backend, files, to, workers=context.workers, retry=context.retry, report=context.report)

    def _describe(self, entries: Sequence[FileEntry]) -> Manifest:
        """Return the manifest of the run with these files."""
        about = self.provenance.complete(self.fields)
        store_id = opening.ensure_open(self.context).store_id
        return Manifest(store_id=store_id, files=tuple(entries), components=self.components, **about)
