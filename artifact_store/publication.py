"""What becomes of the alias that a run is saved for: read while nothing is visible, moved after the commit.

Composes what ``ops`` does, and holds no rule of its own; the draft decides when.

Why: docs/decisions/0015-validated-publishes.md
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from artifact_store.core import keys, symbols
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.policy import Later, Never, Policy
from artifact_store.errors import ArtifactStoreError, Corrupt
from artifact_store.ops import pointer_trust, promote, publish
from artifact_store.ops.context import Context
from artifact_store.ops.records import SeenPointer
from artifact_store.ops.validate import Validation
from artifact_store.ops.verdict import Verdict
from artifact_store.run import Published, Run


@dataclass(frozen=True, slots=True)
class Publication:
    """One alias of one model, by which policy it moves, and whether only to a run that was validated."""

    context: Context
    key: ModelKey
    alias: str
    policy: Policy
    validate: bool

    @property
    def first_use(self) -> bool:
        """Tell whether this client has not saved a run of the model yet."""
        return str(self.key) not in self.context.opened.models

    def look_up(self) -> SeenPointer:
        """Read the pointer, and where the key is new, look for a sibling that Windows would take for it.

        Raises:
            InvalidName: there is such a sibling.
            Corrupt: the pointer cannot be read.
        """
        try:
            seen = self.context.records.pointer(self.key, self.alias)
        except Corrupt:  # on a file system without case that may be the pointer of such a sibling
            self._check_twin()
            raise
        if seen is None and self.first_use:
            self._check_twin()
        return seen

    def check(self, seen: SeenPointer) -> None:
        """Refuse, while nothing is visible, to publish over a pointer that is not trusted."""
        if not isinstance(self.policy, Never | Later):
            pointer_trust.check_pointer_for_publish(self.context, self.key, self.alias, seen)

    def carry_out(self, run: Run, seen: SeenPointer, *, reason: str) -> Published:
        """Validate the run that was committed, if that is asked for, and publish it as the policy says.

        The reasons against it are in the answer. An error after the commit names the run that it concerns.
        """
        if not self.validate:
            return self._publish(run, seen, reason)
        run.published = Published(None, "its validation was cut short")
        try:
            validation = self._prove(run.manifest)
        except ArtifactStoreError as error:  # the storage does not answer: this says nothing about the run
            return Published(None, f"it could not be validated: {error}; promote it when it could", error)
        except BaseException as error:
            error.add_note(f"The run {run.ref} is committed, and not published: its validation was cut short.")
            raise
        if validation.verdict is not Verdict.SOUND:
            problem = (*validation.problems, *validation.unchecked)[0]
            what = "its validation found" if validation.problems else "it cannot be validated here"
            return Published(None, f"{what}: {problem}", problem.error, validation)
        return replace(self._publish(run, seen, reason), validation=validation)

    def _prove(self, manifest: Manifest) -> Validation:
        """Validate the run that was committed, by what is in the storage; code in it is the saver's own."""
        stored = self.context.records.manifest(self.key, RunId(manifest.run_id))
        if stored.digest != manifest.digest:
            raise Corrupt(f"the manifest of {manifest.label} in the storage is not the one that was committed")
        return Run(replace(self.context, cache=None), stored).validate(sha256=stored.digest)

    def _publish(self, run: Run, seen: SeenPointer, reason: str) -> Published:
        if isinstance(self.policy, Never):
            return Published(None, "publish='never' was asked for")
        if isinstance(self.policy, Later):
            return Published(None, "publishing it was left for later")
        if seen is not None and seen.value.run_id == run.run_id:
            return Published(seen.value)  # an equal save was faster, and has published it
        context, info = self.context, self.context.publish_info(reason)
        try:
            decision = publish.publish(context, self.alias, run.manifest, self.policy, info, seen=seen)
            if self.validate and decision.pointer is not None:  # time enough for another client to delete the run
                promote.check_still_there(context, decision.pointer, run.manifest, info)
        except ArtifactStoreError as error:
            error.committed = str(run.ref)
            raise
        except BaseException as error:
            error.add_note(f"The run {run.ref} is committed; look at its alias to see whether it is published.")
            raise
        return Published(decision.pointer, str(decision.refusal or ""), decision.refusal)

    def _check_twin(self) -> None:
        if self.key.symbol is not None:
            siblings = self.context.records.children(keys.type_prefix(self.key.model_type))
            symbols.check_symbol_twin(self.key.symbol, siblings)
