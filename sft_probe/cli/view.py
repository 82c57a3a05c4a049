"""`sft-probe view`: look at a report in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_probe.cli.options import StudyFolder
from sft_probe.errors import StoreError

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

PAGE = "report.html"
HERE = "127.0.0.1"


def view(
    folder: StudyFolder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Look at a report in the browser.

    It is served to this machine only.
    """
    import webbrowser

    with report_server(folder, port) as server:
        url = f"http://{HERE}:{server.server_address[1]}/{PAGE}"
        typer.echo(f"{url}  (end with Ctrl-C)")
        if browser:
            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("Closed.", err=True)


def report_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of one folder on 127.0.0.1 that shows neither listings nor anything outside the folder.

    Raises: StoreError if the folder holds no report or the port is taken.
    """
    from functools import partial
    from http import HTTPStatus
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    root = folder.resolve()
    if not (root / PAGE).is_file():
        raise StoreError("there is no report.html here.", file=folder, remedy="Build it: sft-probe report.")

    class Handler(SimpleHTTPRequestHandler):
        """Files of the report. Foreign `Host`s are refused, so no web page reads them by DNS rebinding."""

        def send_head(self):  # type: ignore[no-untyped-def]
            host = self.headers.get("Host", "").rpartition(":")[0]
            wanted = Path(self.translate_path(self.path)).resolve()
            if host not in (HERE, "localhost") or not wanted.is_relative_to(root) or wanted.is_dir():
                self.send_error(HTTPStatus.NOT_FOUND)
                return None
            return super().send_head()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    try:
        return ThreadingHTTPServer((HERE, port), partial(Handler, directory=str(root)))
    except OSError as error:
        raise StoreError(f"port {port} cannot be used ({error.strerror}).", remedy="Try --port 0.") from error
