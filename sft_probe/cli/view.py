"""`sft-probe view`: look at reports in the browser, and at studies while they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sft_probe.cli.options import LangOption


def view(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A study, or a folder with several.", exists=True, file_okay=False
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    lang: LangOption = "en",
) -> None:
    """Look at reports in the browser.

    The report of DIR, or an index of all studies below it, with their timelines while they run. It is
    served to this machine only.
    """
    import webbrowser

    from sft_probe.report.serving import HERE, PAGE, report_server

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
