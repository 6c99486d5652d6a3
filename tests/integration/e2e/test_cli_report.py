"""The command ``report``: what it writes and says, and whom the server that shows it answers."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from artifact_store import Example, errors
from artifact_store.cli.app import app
from artifact_store.report.pages import POLICY
from artifact_store.report.serving import ReportServer
from tests.integration.e2e.test_cli import KEY, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A store with three runs of two models."""
    cli = Cli(tmp_path / "store")
    for number in range(2):
        cli.store.save({"n": number}, KEY, metrics={"sharpe": number, "loss": 1.5})
    cli.store.save({"n": 9}, "gbm/ETHEUR")
    return cli


class TestCommand:
    @pytest.mark.windows
    def test_it_writes_a_folder_and_says_what_to_open(
        self, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        said = cli("report")
        assert said.exit_code == 0, said.stderr
        assert re.match(r"2 models and 3 runs: open report[/\\]index\.html \([\d.]+ KiB\)\.\n", said.stdout)
        assert (tmp_path / "report" / "index.html").is_file()
        document = cli.json("report", "--out", tmp_path / "other", "--metric", "sharpe", "--details", "1")
        assert document["page"] == f"{tmp_path / 'other'}/index.html"
        assert (document["models"], document["runs"], document["ok"], document["problems"]) == (2, 3, True, [])
        page = (tmp_path / "other" / "models" / f"{KEY}.html").read_text(encoding="utf-8")
        assert '"headline":"sharpe"' in page
        assert cli.json("report", "--out", tmp_path / "other", "--all")["bytes"] > document["bytes"]

    def test_what_cannot_be_read_is_told_and_is_the_status(self, cli: Cli, tmp_path: Path) -> None:
        run = cli.store.get(KEY)
        (tmp_path / "store" / KEY / run.run_id / "manifest.json").write_bytes(b"{}")
        said = cli("report", "--out", tmp_path / "out")
        assert said.exit_code == 1
        assert f"Problem: {run.ref}" in said.stderr
        assert cli.json_of_any_status("report", "--out", tmp_path / "out")["problems"][0]["where"] == str(run.ref)

    def test_the_command_that_a_page_names_repeats_the_golden_predictions(self, cli: Cli, tmp_path: Path) -> None:
        lightgbm, numpy = pytest.importorskip("lightgbm"), pytest.importorskip("numpy")
        rows = numpy.random.default_rng(1).normal(size=(100, 2))
        settings = {"verbose": -1, "num_threads": 1}
        booster = lightgbm.train(settings, lightgbm.Dataset(rows, rows[:, 0]), num_boost_round=3)
        run = cli.store.save(booster, "gbm/X", example=Example(rows[:5], booster.predict(rows[:5])))
        cli.store.report(tmp_path / "out")
        page = (tmp_path / "out" / "models" / "gbm" / "X.html").read_text(encoding="utf-8")
        (command,) = re.findall(r"`artifact-store (verify [^`]+)`", page)
        assert command == f"verify {run.ref} --predict"
        assert cli.json(*command.split())["ok"]

    def test_options_that_do_not_go_together_are_refused(self, cli: Cli, tmp_path: Path) -> None:
        status, error = cli.error("report", "--serve", "--out", tmp_path / "out")
        assert (status, "--serve writes nothing: leave out --out" in error["message"]) == (2, True)
        status, error = cli.error("report", "--port", "8000")
        assert (status, "--port belongs to --serve" in error["message"]) == (2, True)
        status, error = cli.error("report", "--out", tmp_path / "store" / "gru")
        assert (status, error["code"]) == (2, "invalid-option")

    @pytest.mark.skipif(sys.platform == "win32", reason="no signal of this kind is sent there")
    def test_it_serves_on_the_port_that_it_is_told_until_it_is_interrupted(self, cli: Cli) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        serve = ["report", "--serve", "--port", str(port), "--json"]
        command = [sys.executable, "-m", "artifact_store.cli", "--store", str(cli.url), *serve]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            lines = [program.stdout.readline() for _ in range(3)]
            url = json.loads("".join(lines))["url"]
            assert url == f"http://127.0.0.1:{port}/"
            with closing(HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=10)) as connection:
                connection.request("GET", "/")
                assert KEY.encode() in connection.getresponse().read()
            program.send_signal(signal.SIGINT)
            assert program.wait(20) == 130
            assert program.stderr is not None
            assert "Traceback" not in program.stderr.read()


class TestServer:
    @pytest.fixture
    def server(self) -> Iterator[ReportServer]:
        with ReportServer(
            {"index.html": b"first", "models/gru/BTC;2F.html": b"page", "assets/report.js": b"js"}
        ) as made:
            thread = threading.Thread(target=made.serve_forever, daemon=True)
            thread.start()
            yield made
            made.shutdown()
            thread.join(10)

    @staticmethod
    def ask(server: ReportServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        with closing(HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def test_it_answers_with_its_files_and_nothing_else(self, server: ReportServer) -> None:
        status, headers, body = self.ask(server, "/")
        assert (status, body) == (200, b"first")
        assert headers["Content-Security-Policy"].startswith(POLICY)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Server"].strip() == "report"
        assert self.ask(server, "/models/gru/BTC%3B2F.html?x=1")[2] == b"page"
        assert self.ask(server, "/assets/report.js")[1]["Content-Type"] == "text/javascript; charset=utf-8"
        assert self.ask(server, "/", "HEAD")[::2] == (200, b"")
        for path in ("/../pyproject.toml", "/%2e%2e/x", "/models", "//index.html/x", "/index.html%00", "/etc/passwd"):
            assert self.ask(server, path)[0] == 404, path
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert self.ask(server, "/", method)[0] == 501

    def test_it_answers_no_other_name(self, server: ReportServer) -> None:
        port = server.server_port
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
            assert self.ask(server, "/", Host=host)[0] == 200
        for host in (
            "example.org",
            f"example.org:{port}",
            "127.0.0.1",
            f"127.0.0.1:{port}.example.org",
            f"0.0.0.0:{port}",
            "",
        ):
            status, _, body = self.ask(server, "/", Host=host)
            assert (status, b"first" in body) == (421, False), host
        for hosts in (b"", b"Host: localhost:%d\r\nHost: example.org\r\n" % port):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
                line.sendall(b"GET / HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
                with line.makefile("rb") as answer:
                    assert answer.readline().split()[1] == b"421"

    def test_it_listens_on_this_machine_alone(self, server: ReportServer) -> None:
        assert server.server_address[0] == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.server_port}/"

    def test_a_port_that_is_taken_is_refused(self, server: ReportServer) -> None:
        with pytest.raises(errors.InvalidOption, match=f"port {server.server_port} of 127.0.0.1"):
            ReportServer({}, server.server_port)
        with pytest.raises(errors.InvalidOption, match="port 70000"):
            ReportServer({}, 70_000)


def test_progress_is_told_of_every_file(cli: Cli, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    cli.store.report(tmp_path / "out", announce=lambda done, total: told.append((done, total)))
    assert told == [(place, 4) for place in range(1, 5)]
    assert (tmp_path / "out" / "index.html").is_file()


PAGE = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")


def test_the_python_and_the_commands_of_the_page_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTIFACT_STORE_URL", "./store/models")
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        exec(block, {})
    commands = re.findall(r"^\$ artifact-store (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        if "--serve" not in command:  # which goes on until Ctrl-C
            result = CliRunner().invoke(app, command.split())
            assert (result.exit_code, result.stderr) == (0, ""), command
    assert (tmp_path / "pages" / "index.html").is_file()
