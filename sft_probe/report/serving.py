"""Reports and live pages on 127.0.0.1, and nothing else of the machine."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sft_probe.errors import StoreError
from sft_probe.report.live import index_page, study_page
from sft_probe.report.shelf import shelf

PAGE = "report.html"
HERE = "127.0.0.1"
SERVED = frozenset(".html .md .json .svg .png .csv".split())  # of a study's files: what reports are made of


def report_server(folder: Path, port: int, *, lang: str = "en") -> ThreadingHTTPServer:
    """A server of an index and of the reports below a folder; files outside it are not shown.

    Raises: StoreError if there is neither a study nor a report, or the port is taken.
    """
    root = folder.resolve()
    if not (root / PAGE).is_file() and not shelf(root):
        remedy = "Run a study first."
        raise StoreError("there is neither a study nor a report here.", file=folder, remedy=remedy)
    handler = partial(_Handler, directory=str(root), lang=lang)
    try:
        return ThreadingHTTPServer((HERE, port), handler)
    except OSError as error:
        raise StoreError(f"port {port} cannot be used ({error.strerror}).", remedy="Try --port 0.") from error


class _Handler(SimpleHTTPRequestHandler):
    """Foreign `Host`s are refused, so that no web page reads reports by DNS rebinding."""

    def __init__(self, *args: Any, directory: str, lang: str) -> None:
        self.root, self.lang = Path(directory), lang
        super().__init__(*args, directory=directory)

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path != "/" or not self._from_here():
            super().do_GET()
            return
        study = parse_qs(asked.query, keep_blank_values=True).get("study", [None])[0]
        page = index_page(self.root, lang=self.lang) if study is None else self._study(study)
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._send(page.encode("utf-8"))

    def send_head(self):  # type: ignore[no-untyped-def]
        wanted = Path(self.translate_path(self.path)).resolve()
        ours = wanted.is_relative_to(self.root) and wanted.is_file() and wanted.suffix in SERVED
        if not (ours and self._from_here()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _study(self, path: str) -> str | None:
        """The page of a study that the index names; None for any other path."""
        folder = next((study.folder for study in shelf(self.root) if study.path == path), None)
        return study_page(folder, self.root, lang=self.lang) if folder else None

    def _from_here(self) -> bool:
        return self.headers.get("Host", "").rpartition(":")[0] in (HERE, "localhost")

    def _send(self, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)
