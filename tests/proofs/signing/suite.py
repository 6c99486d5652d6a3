"""The parts of the suite in a folder, each tried: vectors and schemas of the specification, cases of the conformance suite.

The suite's own code judges its cases, with our adapter as its client. Nothing of it is kept.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from artifact_store import ArtifactStore, Signer
from artifact_store.core.statement import read_bundle, read_statement
from artifact_store.errors import SignatureInvalid
from tests.proofs.signing import adapter
from tools.processes import HERE, Failed, quietly

METHODS = {"publicKey": adapter.KEY, "x509CertificateChain": "certificate", "certificate": "sigstore"}
"""What a bundle holds to be verified with, by the method that writes it."""
CURVES = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
UNNAMED = ("has not: .", "names its file '.', where 6.1.2 of the specification demands the name of the file")
KEPT = dict.fromkeys(
    ("historical/historical-v0.3.1-elliptic-key", "historical/historical-v1.0.0-elliptic-key"), UNNAMED
)
"""Cases where the suite asks for something else than the text of the specification, which we keep to: how the refusal
ends, and why it is right."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one document or case. The verdict is ok, wrong, kept, not built, skipped or not run."""

    part: str
    case: str
    method: str
    verdict: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """Where its parts are; the parts that a folder does not have are ``None``."""

    vectors: Path | None
    schemas: Path | None
    cases: Path | None


def find(folders: Sequence[Path], room: Path) -> Suite:
    """Return the parts that these folders have, of which each may be a checkout or a git repository without one.

    Raises:
        Failed: there is no part, or cases without the schemas that they need.
    """
    opened = [_opened(folder, room / f"suite-{number}") for number, folder in enumerate(folders)]
    inner = [*opened, *(folder / "conformance" for folder in opened)]
    vectors = next((each / "test-vectors" for each in opened if (each / "test-vectors").is_dir()), None)
    schemas = next((each / "schemas" for each in opened if (each / "schemas" / "__init__.py").is_file()), None)
    cases = next((each / "test" for each in inner if (each / "test" / "conftest.py").is_file()), None)
    if vectors is None and schemas is None and cases is None:
        raise Failed(f"no part of the suite is in {', '.join(map(str, folders))}")
    if cases is not None and schemas is None:
        raise Failed(f"{cases} needs the schemas of the specification: give its folder with another --suite")
    return Suite(vectors, schemas, cases)


def _opened(folder: Path, into: Path) -> Path:
    """Return the files of a folder; those of a repository without a work tree are laid out first."""
    if not folder.is_dir():
        raise Failed(f"{folder} is no folder")
    if not (folder / "HEAD").is_file() or not (folder / "objects").is_dir():
        return folder.resolve()
    command = ["git", "--git-dir", str(folder), "archive", "HEAD"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise Failed(f"{folder} cannot be read: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return into


def rows(suite: Suite, room: Path) -> Iterator[Row]:
    """Try all parts."""
    if suite.vectors is not None:
        yield from vectors(suite.vectors)
    if suite.schemas is not None:
        packages = room / "packages"
        packages.mkdir()
        (packages / "oms_schemas").symlink_to(suite.schemas, target_is_directory=True)
        yield from written(packages, room)
        if suite.cases is not None:
            yield from cases(suite.cases, packages, room)


# ---------------------------------------------------------------- the specification


def vectors(folder: Path) -> Iterator[Row]:
    """Read each document of the specification; the keys of the valid ones are not there, so their form is read."""
    for path in sorted(folder.glob("v*/*/*.json")):
        case, valid, data = path.relative_to(folder).as_posix(), path.parent.name == "valid", path.read_bytes()
        method, said = _method(data), ""
        try:
            read_statement(read_bundle(data, path.name).payload, path.name)
        except SignatureInvalid as error:
            said = str(error)
        if method != adapter.KEY:
            yield Row("vectors", case, method, "not built" if said else "wrong", said)
        else:
            yield Row("vectors", case, method, "ok" if valid is (not said) else "wrong", said)


def _method(data: bytes) -> str:
    try:
        material = json.loads(data)["verificationMaterial"]
    except (ValueError, KeyError):
        return adapter.KEY
    return next((method for field, method in METHODS.items() if field in material), adapter.KEY)


def written(packages: Path, room: Path) -> Iterator[Row]:
    """Check what we write against the four schemas: bundles of a folder and of a run, for each curve."""
    model = room / "written"
    (model / "a").mkdir(parents=True)
    for name in ("a/z.bin", "a-b.bin", "a.bin"):
        (model / name).write_text(name)
    for curve in CURVES:
        pem = ec.generate_private_key(curve).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key, folder, run = (room / f"{curve.name}.{name}" for name in ("key", "folder.sig", "run.sig"))
        key.write_bytes(pem)
        asked = ("sign-model", "--method", adapter.KEY, "--model-path", model, "--private-key", key)
        status = adapter.main([*map(str, asked), "--output-bundle", str(folder)])
        yield (
            _checked(f"{curve.name} of a folder", folder, packages)
            if status == 0
            else Row("schemas", f"{curve.name} of a folder", adapter.KEY, "wrong", f"status {status}")
        )
        run.write_bytes(_signature_of_a_run(room / curve.name, pem))
        yield _checked(f"{curve.name} of a run", run, packages)


def _signature_of_a_run(room: Path, pem: bytes) -> bytes:
    store = ArtifactStore(room / "store", signer=Signer.from_pem(pem))
    (found,) = (store.save({"weights": [1.5]}, "linear/EURUSD").download(room / "out") / "_signatures").iterdir()
    return found.read_bytes()


def _checked(case: str, bundle: Path, packages: Path) -> Row:
    command = [sys.executable, "-m", "oms_schemas", str(bundle), "--method", adapter.KEY]
    done = subprocess.run(command, env=_environment(packages), capture_output=True, text=True, check=False)
    return Row("schemas", case, adapter.KEY, "wrong" if done.returncode else "ok", done.stderr.strip()[-200:])


# ---------------------------------------------------------------- the conformance suite


def cases(folder: Path, packages: Path, room: Path) -> Iterator[Row]:
    """Run the suite's tests with our adapter as its client; a case is of the method that the adapter was asked for."""
    record, report, client = room / "record", room / "report.xml", room / "client"
    record.touch()
    client.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n\nsys.path.insert(0, {str(HERE)!r})\n"
        "from tests.proofs.signing.adapter import main\n\n"
        f"sys.exit(main(sys.argv[1:], record=Path({str(record)!r})))\n",
        encoding="utf-8",
    )
    client.chmod(0o700)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [f"--rootdir={folder.parent}", f"--entrypoint={client}", f"--basetemp={room / 'tmp'}", str(folder)]
    done = subprocess.run(
        command, cwd=folder.parent, env=_environment(packages), capture_output=True, text=True, check=False
    )
    if not report.is_file():
        raise Failed(f"{done.stdout[-2000:]}{done.stderr[-2000:]}\nthe suite in {folder} did not run")
    asked = {}
    for line in map(json.loads, record.read_text(encoding="utf-8").splitlines()):
        asked[line["test"].rpartition("::")[2].rpartition(" (")[0]] = line
    for test in ET.fromstring(report.read_text(encoding="utf-8")).iter("testcase"):
        yield _judged(test, asked.get(test.get("name", ""), {}))


def _judged(test: ET.Element, asked: dict[str, Any]) -> Row:
    part, _, rest = test.get("name", "").removesuffix("]").partition("[")
    skipped = test.find("skipped")
    problem = next((each.get("message", "") for each in test if each.tag in {"failure", "error"}), None)
    case, method = rest.partition(" | ")[0], asked.get("method", "?")
    if skipped is not None:
        verdict, why = "skipped", skipped.get("message", "").partition("] ")[2]
    elif not asked or asked["status"] == adapter.UNASKED:
        verdict, why = "not run", asked.get("said") or (problem or "").partition("\n")[0]
    elif method != adapter.KEY:
        verdict, why = "not built", asked["said"]
    else:
        verdict, why = _verdict(case, asked["said"], problem)
    return Row(part.removeprefix("test_"), case, method, verdict, why)


def _verdict(case: str, said: str, problem: str | None) -> tuple[str, str]:
    """Return what to call the result of a case that our signer and verifier are asked, and why."""
    if case in KEPT:
        ending, reason = KEPT[case]
        return ("kept", reason) if said.endswith(ending) else ("wrong", said or "is accepted now")
    return ("ok", said) if problem is None else ("wrong", said or problem.partition("\n")[0])


def _environment(packages: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return {**os.environ, **own, "PYTHONUTF8": "1"}


def version(folder: Path) -> str:
    """Return which commit of the suite this is, as far as git knows."""
    option = "--git-dir" if (folder / "HEAD").is_file() else "-C"
    try:
        return quietly(["git", option, str(folder), "log", "-1", "--format=%h of %cs"]).strip()
    except Failed:
        return "an unknown version"
