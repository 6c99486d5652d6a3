"""The commands of trust: ``keygen`` makes a pair of keys, ``sign`` signs a run. Neither prints a secret."""

from __future__ import annotations

import os
from pathlib import Path

import click

from artifact_store import private_files
from artifact_store.cli import output, program
from artifact_store.cli.completing import RefName
from artifact_store.cli.program import PASSWORD
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.core.statement import MAX_BUNDLE
from artifact_store.errors import InvalidOption
from artifact_store.ops.keypairs import PublicKey, generate


@click.command("keygen", cls=Command, short_help="Make a pair of keys that sign and verify.")
@click.argument("prefix", type=program.HomePath(path_type=Path))
@click.option("--password", is_flag=True, help=f"Encrypt the private key: asks, unless {PASSWORD} is set.")
@pass_session
def keygen_command(session: Session, prefix: Path, *, password: bool) -> None:
    """Write PREFIX.key, the private key for those who sign, and PREFIX.pub, the public key for those who load.

    ECDSA on P-256, in PEM form. What is there already is never overwritten.
    """
    private, public = (prefix.with_name(prefix.name + ending) for ending in (".key", ".pub"))
    for path in (private, public):
        if os.path.lexists(path):
            raise InvalidOption(f"{path} is there already, and nothing is overwritten")
    secret = _new_password() if password else None
    pem, key = generate(secret)
    for path, data, mode in ((private, pem, 0o600), (public, key.pem, 0o644)):
        with private_files.create(path, mode) as sink:
            sink.write(data)
    document = {"private_key": str(private), "public_key": str(public), "key_id": key.key_id}
    lines = [
        f"{private} signs: keep it to yourself{'' if password else ' (it has no password)'}.",
        f"{public} verifies: give it to those who load, by another way than the store.",
        f"The key is {key.key_id[:16]}.",
    ]
    session.answer(document, map(output.safe, lines))


def _new_password() -> str:
    given = os.environ.get(PASSWORD)
    if given is None:
        given = click.prompt("Password of the new key", hide_input=True, confirmation_prompt=True, err=True)
    if not given:
        raise InvalidOption("an empty password protects nothing")
    return str(given)


@click.command("sign", cls=Command, short_help="Sign a run with a private key.")
@click.argument("ref", type=RefName())
@click.option(
    "--key",
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    help="A private key, or with --bundle the public one.  [that of --signer]",
)
@click.option(
    "--bundle",
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    help="Store this signature, made elsewhere, such as by model_signing.",
)
@pass_session
def sign_command(session: Session, ref: str, key: Path | None, bundle: Path | None) -> None:
    """Compare every byte of the run that REF names, and store a signature of it beside it.

    Several keys may sign one run. The publisher signs an alias: `artifact-store --signer FILE promote ...`.
    """
    if bundle is not None and key is None:
        raise click.UsageError("--bundle needs --key, the public key of who signed.")
    key = key or session.key
    if key is None:
        raise click.UsageError("with which key? Give --key FILE, or --signer FILE before the command.")
    with session.store() as store:
        if bundle is None:
            signer = program.load_signer(key)
            run, key_id = store.sign(ref, signer), signer.key_id
        else:
            public = PublicKey.from_pem(key)
            run, key_id = store.sign(ref, _bundle(bundle), public), public.key_id
    document = {"ref": str(run.ref), "manifest_sha256": run.manifest.digest, "key_id": key_id}
    session.answer(document, [f"{output.ref(run.ref)} is signed by the key {output.safe(key_id[:16])}."])


def _bundle(path: Path) -> bytes:
    """Return the file, of which no more is read than the largest signature has: then it is refused for its size."""
    with path.open("rb") as file:
        return file.read(MAX_BUNDLE + 1)
