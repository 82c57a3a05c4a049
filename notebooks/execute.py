"""Execute the notebooks anew and keep their outputs, in place: python -m notebooks.execute [NAME ...]"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
SECONDS = 1800  # for one cell; only a kernel that hangs takes so long
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks() -> list[Path]:
    """All notebooks, in their order."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path) -> NotebookNode:
    """A notebook run from its first cell in a fresh kernel, in an empty folder; the kernel ends with it.

    Raises: nbclient.exceptions.CellExecutionError for a cell that fails.
    """
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as place:
        resources = {"metadata": {"path": place}}
        client = NotebookClient(
            notebook, timeout=SECONDS, kernel_name="python3", resources=resources, coalesce_streams=True
        )
        client.execute(env={**os.environ, "PYTHONWARNINGS": "ignore:IProgress"})  # tqdm asks for ipywidgets
    return stripped(notebook)


def stripped(notebook: NotebookNode) -> NotebookNode:
    """Without what differs between runs and machines: times, widgets, versions, ids of cells."""
    notebook.metadata = nbformat.from_dict({**KERNEL, "made_on": machine()})
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number:02d}", NotebookNode()
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).pop("needs_background", None)
    return notebook


def machine() -> dict[str, str]:
    """What decides the last bits of a number on a CPU."""
    import torch

    return {"cpu": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}


def main(names: Sequence[str]) -> None:
    """Execute those whose file name begins with one of `names`, or all."""
    for path in notebooks():
        if not names or path.name.startswith(tuple(names)):
            nbformat.write(executed(path), path)
            print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
