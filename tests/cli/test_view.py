"""The report is served to this machine only, and nothing but the report."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_probe.cli.view import report_server
from sft_probe.errors import StoreError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    (folder / "figures").mkdir(parents=True)
    (folder / "report.html").write_text("<h1>report</h1>")
    (folder / "figures" / "a.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    with report_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def get(port: int, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize(
    ("path", "content"), [("/report.html", "<h1>report</h1>"), ("/figures/a.svg", "<svg/>")]
)
def test_files_of_the_report_are_served(port: int, path: str, content: str) -> None:
    assert get(port, path) == (200, content)


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/link.txt", "/figures/", "/", "/none.html"]
)
def test_nothing_else_is(port: int, path: str) -> None:
    status, content = get(port, path)
    assert status == 404
    assert "secret\n" not in content
    assert content != "secret"


def test_a_foreign_host_is_refused(port: int) -> None:
    assert get(port, "/report.html", host="evil.example:80")[0] == 404
    assert get(port, "/report.html", host=f"localhost:{port}")[0] == 200


def test_it_listens_on_this_machine_only(folder: Path) -> None:
    with report_server(folder, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(StoreError, match=r"cannot be used .* Try --port 0"):
            report_server(folder, int(server.server_address[1]))


def test_a_folder_without_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no report"):
        report_server(tmp_path, 0)
