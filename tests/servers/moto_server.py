"""moto behind a real port: good for plumbing, not for S3's conditions (it ignores several of them)."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tests.servers.endpoint import S3Server
from tests.servers.marked import secret_key


class MotoServer(S3Server):
    """A moto server in a thread of this process, with an empty bucket."""

    access_key = "moto"
    secret_key = secret_key("moto")

    def __init__(self, bucket: str = "moto-bucket") -> None:
        from moto.server import ThreadedMotoServer

        self.bucket = bucket
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    def start(self) -> Self:
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        with self.client() as client:
            client.create_bucket(Bucket=self.bucket)
        return self

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
