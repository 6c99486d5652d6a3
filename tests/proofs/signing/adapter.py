"""What the conformance suite of OpenSSF Model Signing calls: ``sign-model`` and ``verify-model``, with our keys.

Owns what a store has no use for: which files of a folder are meant, as sections 6.1 and 6.2 of the specification say.
What is signed, in which form, and whether a signature is one, is asked of ``artifact_store``.
The suite looks at the exit status: 0 done, 1 refused, 2 for a question that cannot be asked (a key that is not there),
3 for a method that is not built.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from artifact_store import PublicKey, Signer
from artifact_store.core.statement import Bundle, check_listed, message, read_statement, statement_of, write_bundle
from artifact_store.core.trust import signed_payload
from artifact_store.errors import ArtifactStoreError, InvalidOption

REFUSED, UNASKED, UNBUILT = 1, 2, 3
KEY = "key"
GIT = (".git", ".gitattributes", ".github", ".gitignore")
"""Left out of every folder, at its top."""


def main(arguments: Sequence[str], *, record: Path | None = None) -> int:
    """Sign or verify, and append to ``record`` which test asked for what."""
    options = _parser().parse_args(arguments)
    status, said = _done(options)
    if said:
        print(said, file=sys.stderr)
    if record is not None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "")
        line = {"test": test, "action": options.action, "method": options.method, "status": status, "said": said}
        with record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return status


def _done(options: argparse.Namespace) -> tuple[int, str]:
    if options.method != KEY:
        return UNBUILT, f"the method {options.method} is not built"
    key = options.private_key if options.work is sign else options.public_key
    if key is None or not Path(key).is_file():
        return UNASKED, f"there is no key {key}"
    try:
        options.work(options)
    except ArtifactStoreError as refused:
        return REFUSED, f"{type(refused).__name__}: {refused}"
    return 0, ""


def sign(options: argparse.Namespace) -> None:
    """Write a bundle for a folder, or for a single file."""
    model, signer = options.model_path, Signer.from_pem(options.private_key)
    ignored = sorted({*GIT, *_inside(model, [*options.ignore_paths, options.output_bundle])})
    payload = statement_of(model.name, digests(model, ignored, follow=False), ignored=ignored)
    bundle = Bundle(signer.key_id, payload, signer.sign(message(payload)))
    options.output_bundle.write_bytes(write_bundle(bundle))


def verify(options: argparse.Namespace) -> None:
    """Raise unless the bundle is the key's, and about exactly the files that there are."""
    model, what = options.model_path, options.bundle.name
    payload = signed_payload(options.bundle.read_bytes(), PublicKey.from_pem(options.public_key), what)
    listed = read_statement(payload, what)
    form = json.loads(payload)["predicate"]["serialization"]
    ignored = {*GIT, *form.get("ignore_paths", ()), *_inside(model, [*options.ignore_paths, options.bundle])}
    found = digests(model, ignored, follow=form["allow_symlinks"])
    if options.ignore_unsigned_files:
        found = {name: digest for name, digest in found.items() if name in listed}
    check_listed(listed, found, model.name, what)


def digests(model: Path, ignored: Sequence[str] | set[str], *, follow: bool) -> dict[str, str]:
    """Return the sha256 of each file that is to be signed, by its name."""
    files = (
        _files(model, "", set(ignored), (model.resolve(),), follow=follow) if model.is_dir() else [(model.name, model)]
    )
    found = {}
    for name, path in files:
        with path.open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    if not found:
        raise InvalidOption(f"{model} holds no file to sign")
    return found


def _files(
    folder: Path, before: str, ignored: set[str], above: tuple[Path, ...], *, follow: bool
) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        name = before + path.name
        if name in ignored:
            continue
        if path.is_symlink() and not follow:
            raise InvalidOption(f"{path} is a symbolic link")
        if any("\ud800" <= sign <= "\udfff" for sign in name):
            raise InvalidOption(f"{name!r} is no text in UTF-8")
        if path.is_dir():
            if (inner := path.resolve()) in above:
                raise InvalidOption(f"{path} leads back to a folder that it is in")
            yield from _files(path, f"{name}/", ignored, (*above, inner), follow=follow)
        elif path.is_file():
            yield name, path
        else:
            raise InvalidOption(f"{path} is neither a file nor a folder")


def _inside(model: Path, paths: Sequence[Path]) -> list[str]:
    """Return the names in the folder of those paths that are in it."""
    root = model.resolve()
    resolved = [path.parent.resolve() / path.name for path in paths]
    return [path.relative_to(root).as_posix() for path in resolved if root in path.parents]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, work in (("sign-model", sign), ("verify-model", verify)):
        action = actions.add_parser(name, allow_abbrev=False)
        action.set_defaults(work=work)
        action.add_argument("--method", choices=[KEY, "certificate", "sigstore"], required=True)
        action.add_argument("--model-path", type=Path, required=True)
        action.add_argument("--ignore-paths", type=Path, action="append", default=[])
        action.add_argument("--cert-chain", action="append")
        action.add_argument("--use-staging", action="store_true")
        own = (
            ("--private-key", "--signing-cert", "--identity-token")
            if work is sign
            else ("--public-key", "--identity", "--identity-provider")
        )
        for option in own:
            action.add_argument(option)
        action.add_argument("--output-bundle" if work is sign else "--bundle", type=Path, required=True)
        if work is verify:
            action.add_argument("--ignore-unsigned-files", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
