"""Reports and their index are served to this machine only, and nothing else."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_probe.errors import StoreError
from sft_probe.report.serving import report_server
from sft_probe.store.runs import RunStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    (folder / "figures").mkdir(parents=True)
    (folder / "report.html").write_text("<h1>report</h1>")
    (folder / "figures" / "a.svg").write_text("<svg/>")
    (folder / "weights.bin").write_text("secret")
    config = {"arm": "a", "seed": 0, "digest": "d"}
    RunStore(folder / "deep & er").open_run("a-seed0", config=config, environment={})
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
    "path",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/link.txt", "/figures/", "/none.html", "/weights.bin"),
        *("/?study=..", "/?study=none", "/deep%20%26%20er/runs/a-seed0/config.yaml"),
    ],
)
def test_nothing_else_is(port: int, path: str) -> None:
    status, content = get(port, path)
    assert status == 404
    assert "secret\n" not in content
    assert content != "secret"


def test_the_index_leads_to_every_study(port: int) -> None:
    status, index = get(port, "/")
    assert status == 200
    link = "/?study=deep%20%26%20er"
    assert f'href="{link}"' in index
    status, page = get(port, link)
    assert status == 200
    assert "a-seed0" in page


def test_a_foreign_host_is_refused(port: int) -> None:
    for path in ("/report.html", "/", "/?study=deep%20%26%20er"):
        assert get(port, path, host="evil.example:80")[0] == 404
    assert get(port, "/report.html", host=f"localhost:{port}")[0] == 200


def test_it_listens_on_this_machine_only(folder: Path) -> None:
    with report_server(folder, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(StoreError, match=r"cannot be used .* Try --port 0"):
            report_server(folder, int(server.server_address[1]))


def test_a_folder_without_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="neither a study nor a report"):
        report_server(tmp_path, 0)
