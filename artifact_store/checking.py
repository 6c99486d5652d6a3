"""The part of the façade that compares: verify, sign and diff. Reads every byte that it vouches for.

Composes only: what is checked is in ``ops.verify`` and ``ops.audit``, who is believed in ``ops.signing``.
"""

from __future__ import annotations

from collections.abc import Sequence

from artifact_store.core.keys import ModelKey
from artifact_store.core.manifest import Manifest
from artifact_store.core.references import RefLike, RunRef
from artifact_store.ops import audit, diff, fetch, resolve, verify
from artifact_store.ops.context import Context
from artifact_store.ops.golden import Predictions, check_example
from artifact_store.ops.keypairs import PublicKey, Signer
from artifact_store.run import Run


class Checking:
    """Nothing here changes a run; ``sign`` alone writes, and only beside it."""

    _context: Context

    def _own(self, run: Run | RefLike, *, key: ModelKey | None = None, signed: bool = True) -> Manifest:
        raise NotImplementedError

    def verify(
        self,
        ref: RefLike | Run | None = None,
        *,
        predict: bool = False,
        keys: Sequence[PublicKey] | None = None,
    ) -> audit.Report:
        """Read every stored byte of a run (by reference), of a model or a type (by key) or of all, and compare it.

        With ``keys``, or under a policy that requires it, runs and aliases have to be signed, by one of these keys.
        Damage is reported, not raised: ``report.ok``, ``report.problems``; the report iterates per run. Predictions
        that nothing here can compare are in ``report.unchecked``.

        Raises:
            NotFound: the reference names nothing.
            Unavailable, AccessDenied: the storage does not answer, which says nothing about the runs.
        """

        def check(manifest: Manifest) -> Predictions:
            return check_example(Run(self._context, manifest))

        what = ref.manifest if isinstance(ref, Run) else ref
        return verify.verify(self._context, what, golden=check if predict else None, trusted=keys)

    def sign(self, ref: Run | RefLike, signer: Signer | bytes, key: PublicKey | None = None) -> Run:
        """Vouch for a committed run: read every byte of it, compare, and store a signature beside it, create-only.

        Several keys may sign one run. With ``key``, a signature that was made elsewhere, such as by
        `model_signing sign key`, is stored instead: ``signer`` is then its bytes.

        Raises:
            NotFound: there is no such run.
            Corrupt: it is damaged; nothing was signed.
            SignatureInvalid: what was made elsewhere is no signature by ``key`` of this very run.
            Conflict: something else lies where the signature belongs.
        """
        manifest = self._own(ref, signed=False)
        verify.sign(self._context, manifest, signer, key)
        return Run(self._context, manifest)

    def diff(self, a: Run | RefLike, b: Run | RefLike) -> diff.Difference:
        """Return in what two runs differ: true as a value if they do. Reads their manifests and decodes nothing.

        Raises:
            NotFound: a reference names nothing.
            SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires signatures of both.
        """
        one, other = (
            run.manifest if isinstance(run, Run) else resolve.resolve(self._context, RunRef.parse(run))
            for run in (a, b)
        )
        for manifest in (one, other):
            fetch.check_signed(self._context, manifest)
        return diff.compare(one, other)
