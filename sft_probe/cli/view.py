"""`sft-probe view`: look at reports in the browser, and at studies while they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_probe.cli.options import Lang, LangOption
from sft_probe.errors import StoreError

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

PAGE = "report.html"
HERE = "127.0.0.1"
SERVED = frozenset(".html .md .json .svg .png .csv".split())  # of a study's files: what reports are made of


def view(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A study, or a folder with several.", exists=True, file_okay=False),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    lang: LangOption = "en",
) -> None:
    """Look at reports in the browser.

    An index of the studies below DIR, their reports, and their timelines while they run; for this machine only.
    """
    import webbrowser

    with report_server(folder, port, lang=lang) as server:
        page = PAGE if (folder / PAGE).is_file() else ""
        url = f"http://{HERE}:{server.server_address[1]}/{page}"
        typer.echo(f"{url}  (end with Ctrl-C)")
        if browser:
            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("Closed.", err=True)


def report_server(folder: Path, port: int, *, lang: Lang = "en") -> ThreadingHTTPServer:
    """A server of the reports below a folder on 127.0.0.1, with an index; nothing outside the folder is shown.

    Raises: StoreError if there is neither a study nor a report, or the port is taken.
    """
    from functools import partial
    from http import HTTPStatus
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import parse_qs, urlsplit

    from sft_probe.report.live import index_page, study_page
    from sft_probe.report.shelf import shelf

    root = folder.resolve()
    if not (root / PAGE).is_file() and not shelf(root):
        raise StoreError("there is neither a study nor a report here.", file=folder, remedy="Run a study first.")

    class Handler(SimpleHTTPRequestHandler):
        """Reports and the index. Foreign `Host`s are refused, so no web page reads them by DNS rebinding."""

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path != "/" or not self._from_here():
                super().do_GET()
                return
            wanted = parse_qs(asked.query, keep_blank_values=True).get("study")
            known = {study.path: study.folder for study in shelf(root)} if wanted else {}
            if wanted and wanted[0] not in known:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            page = study_page(known[wanted[0]], root, lang=lang) if wanted else index_page(root, lang=lang)
            self._send(page.encode("utf-8"))

        def send_head(self):  # type: ignore[no-untyped-def]
            wanted = Path(self.translate_path(self.path)).resolve()
            ours = wanted.is_relative_to(root) and wanted.is_file() and wanted.suffix in SERVED
            if not (ours and self._from_here()):
                self.send_error(HTTPStatus.NOT_FOUND)
                return None
            return super().send_head()

        def _from_here(self) -> bool:
            return self.headers.get("Host", "").rpartition(":")[0] in (HERE, "localhost")

        def _send(self, content: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    try:
        return ThreadingHTTPServer((HERE, port), partial(Handler, directory=str(root)))
    except OSError as error:
        raise StoreError(f"port {port} cannot be used ({error.strerror}).", remedy="Try --port 0.") from error
