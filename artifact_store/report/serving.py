"""Show a report on this machine: a server of the standard library that has its files in memory.

It listens on 127.0.0.1, and answers a request only if its ``Host`` is this address: a page of another name that was
made to lead here (DNS rebinding) reads nothing. Only ``GET`` and ``HEAD`` of the files of the report are answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from artifact_store.errors import InvalidOption
from artifact_store.report.pages import POLICY
from artifact_store.storage.content_types import content_type

ADDRESS: Final = "127.0.0.1"
PLAIN: Final = "text/plain; charset=utf-8"
_PATIENCE: Final = 30.0
"""Seconds that a client may take for its request."""


class ReportServer(ThreadingHTTPServer):
    """Serves the files of a report until it is closed; a context manager. ``url`` is where.

    Raises:
        InvalidOption: the port is taken, or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, files: Mapping[str, bytes], port: int = 0) -> None:
        self.files = dict(files)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidOption(
                f"nothing can be served on port {port} of {ADDRESS}: {error}; leave out --port"
            ) from error

    @property
    def url(self) -> str:
        """The address of the first page."""
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """What a request may call this server."""
        return frozenset(f"{name}:{self.server_port}" for name in (ADDRESS, "localhost"))


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "report", ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with what would be said of a file."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].strip().lower() not in self.server.hosts:
            self._send(
                HTTPStatus.MISDIRECTED_REQUEST, b"this report is served to this machine alone\n", with_body=with_body
            )
            return
        name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
        data = self.server.files.get(name)
        if data is None:
            self._send(HTTPStatus.NOT_FOUND, b"the report has no such page\n", with_body=with_body)
        else:
            self._send(HTTPStatus.OK, data, content_type(name) or PLAIN, with_body=with_body)

    def _send(self, status: HTTPStatus, data: bytes, kind: str = PLAIN, *, with_body: bool) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the standard library's signature
        """Say nothing: a terminal shows the address and no requests."""
