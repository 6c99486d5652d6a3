"""What has hit others, and must not hit this store: one line each, replayed by the tests named ``test_row_NN_…``.

The sentences are ours; the identifiers lead to what others wrote. What a row replays is in the tests themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAMED = re.compile(r"test_row_(\d\d)_\w+")
"""How a test says which row it replays."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that happened to somebody."""

    number: int
    project: str
    identifier: str
    happened: str


_ROWS = (
    (
        "MLflow",
        "CVE-2023-1177, -2356, -2780, CVE-2025-11201",
        "a path in a model's source led to any file of the server",
    ),
    ("MLflow", "CVE-2024-1560", "an id led to another folder than the one that was checked, and a delete took it"),
    ("MLflow", "CVE-2024-1593, -3573", "what a URI was checked as was not what it was opened as"),
    (
        "MLflow",
        "CVE-2026-4137",
        "downloads lay in a folder that all could write, and could be swapped before unpickling",
    ),
    (
        "MLflow, ClearML, scikit-learn",
        "CVE-2024-37052, CVE-2024-24590, CVE-2020-13092",
        "a model file is a pickle, and whoever loads it runs it",
    ),
    ("BentoML", "CVE-2025-27520", "what came with incomplete metadata was unpickled as if it were trusted"),
    ("BentoML", "CVE-2026-27905", "a symlink was checked by its own path, and led elsewhere"),
    ("PyTorch", "CVE-2025-32434, CVE-2026-24747", "weights_only=True could be made to run code"),
    ("Stanza, skops", "CVE-2026-54499, CVE-2025-54886", "what a safe loader did not take went on to an unsafe one"),
    ("picklescan", "CVE-2025-1716, -10155, -10156, -10157", "pickles that run code passed the scanner"),
    ("LightGBM", "#7357", "a model's text made LightGBM write beyond its memory"),
    ("stable-baselines3", "#2281", "PPO.load and VecNormalize.load unpickle what they are given"),
    (
        "filelock",
        "CVE-2025-68146, CVE-2026-22701",
        "a symlink in the place of a lock file was followed, and its target could be cut",
    ),
    ("go-tuf", "CVE-2022-29173", "an older signed state was taken, since it was compared with version 0"),
    ("Apache Iceberg", "#2328, #3717", "a commit without an answer was cleaned up, though it had landed"),
    ("pins", "0.9.2", "writing the same content again deleted the only version"),
    ("modelstore", "0.0.82", "two uploads of one id both succeeded; deleting the newest broke the latest"),
    ("BentoML", "1.4", "one half-written folder broke every listing, an empty latest broke get"),
    ("Orbax", "#394", "a copied checkpoint lacked its marker and was deleted as temporary"),
    ("huggingface_hub", "#2543, #3944", "the lock of a killed process kept everybody waiting for ever"),
    # ---- beyond
    ("ClearML", "CVE-2024-24591", "the names in a dataset's listing wrote outside of the folder it was fetched to"),
    ("Python, ONNX", "CVE-2007-4559, CVE-2024-5187", "members of an archive were unpacked to where their names led"),
    ("ONNX", "CVE-2024-27318", "the location of a tensor's bytes in a model led to any file of the reader"),
    ("git", "CVE-2014-9390, CVE-2021-21300", "names that a file system folds together led into git's own files"),
    (
        "git, Werkzeug",
        "CVE-2019-1352, CVE-2025-66221, CVE-2026-21860, -27199",
        "streams and devices of Windows passed as names of files",
    ),
    ("node-tar", "CVE-2021-37712", "two names that the file system takes for one met on disk"),
    ("NumPy", "CVE-2019-6446", "numpy.load unpickled the objects in an array file"),
    ("Apache Arrow", "CVE-2023-47248", "an extension type in the metadata of a file ran code when it was read"),
    ("Keras", "CVE-2024-3660, CVE-2025-1550", "a model's configuration carried or named code, which was run"),
    ("Apache CouchDB", "CVE-2017-12635", "two parsers read one document differently, and only one was checked"),
    ("OCI distribution", "CVE-2021-41190", "one document could be read as two kinds, with other content in each"),
    ("python-tuf", "GHSA-pwqf-9h7j-7mv8", "several signatures by one key counted as those of several keys"),
    ("OpenJDK", "CVE-2022-21449", "one ECDSA signature was valid for anything, with any key"),
    ("jsonwebtoken", "CVE-2015-9235", "the token itself said by which algorithm it was to be verified"),
    ("python-tuf", "CVE-2021-41131", "the name of a role became a path outside of the client's own folder"),
    ("urllib3", "CVE-2018-20060", "credentials followed a redirect to another host"),
    ("libexpat", "CVE-2013-0340", "a small XML document was expanded to gigabytes"),
    (
        "Apache Druid, AWS CLI",
        "druid #9097, aws-cli #3917",
        "a listing whose token did not advance never ended, or broke off",
    ),
    ("Arrow object_store", "arrow-rs #4965", "an upload in parts failed behind a status 200, and counted as stored"),
    (
        "fsspec, s3contents",
        "filesystem_spec #2036, s3contents #165",
        "a name was taken for a pattern: removing took other objects, or failed",
    ),
    ("Delta Lake", "#41, #1410", "storage without put-if-absent let two commits of one version overwrite each other"),
    ("DVC", "#1300", "a collection in one project removed what another one kept in the same bucket"),
    ("PyTorch Lightning", "#688, #1150", "a kill while saving left a torn checkpoint, and the one before was gone"),
    ("Weights & Biases", "wandb #1124, #12382", "a cached or leftover file was believed for its size"),
    ("git", "CVE-2024-52005", "what a server said reached the terminal with its control characters"),
    ("skops", "CVE-2025-54412, CVE-2025-54413", "a node of a file said one type to the check and called another"),
    ("safetensors", "Trail of Bits audit, 2023", "files that were valid as something else too were accepted"),
    ("obstore", "#429", "one object with an odd key broke the listing of all others"),
    (
        "boto, AWS CLI",
        "boto #3750, aws-cli #1014",
        "an ETag was taken for an MD5, which it is not for keys of KMS and parts",
    ),
)

CASES: tuple[Case, ...] = tuple(Case(number, *row) for number, row in enumerate(_ROWS, 1))


def row_of(test: str) -> int | None:
    """Return the row that a test of this name replays."""
    match = NAMED.match(test)
    return int(match[1]) if match else None
