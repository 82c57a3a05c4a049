"""The notebooks hold what they show: executed anew they give the same texts, by public names only."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import sft_probe
from sft_probe import testing

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLIC = ("sft_probe.observe.needs", "sft_probe.observe.interventions", "sft_probe.probes.rows")
NAMES = {"sft_probe": [*sft_probe.__all__, "__file__"], "sft_probe.testing": testing.__all__}
MACHINE = re.compile(r"/(home|root|tmp|work|Users|var|mnt|usr|opt)/|[A-Z]:\\\\|sft-probe-\w{8}")
NOISE = re.compile(r"Warning|\bit/s\b|\d%\||Traceback|\x1b\[")
READMES = ("README.md", "README.zh-CN.md")
LARGEST = 800_000  # bytes

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def joined(text: Any) -> str:
    return text if isinstance(text, str) else "".join(text)


def texts(cell: Any) -> list[str]:
    """What a cell has printed, and the plain text of what it shows."""
    outputs = cell["outputs"]
    return [joined(out["text"] if "text" in out else out["data"]["text/plain"]) for out in outputs]


def used(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of all that code takes from the package; the name is empty for a whole module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sft_probe"):
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name.startswith("sft_probe"))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sft_probe":
            yield "sft_probe", node.attr


def test_there_are_five() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@each
def test_only_public_names_are_used(path: Path) -> None:
    found = {pair for cell in code(read(path)) for pair in used(joined(cell["source"]))}
    assert found
    private = [
        (module, name)
        for module, name in found
        if module not in PUBLIC and name and name not in NAMES.get(module, ())
    ]
    assert not private


@pytest.mark.parametrize("module", [*PUBLIC, "sft_probe.testing"])
def test_what_is_public_beside_the_package_is_documented(module: str) -> None:
    assert f"`{module}`" in (ROOT / "docs" / "in_your_code.md").read_text("utf-8")


@each
def test_outputs_are_kept_and_clean(path: Path) -> None:
    cells = code(read(path))
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert not [cell["metadata"] for cell in cells if cell["metadata"]]
    outputs = [out for cell in cells for out in cell["outputs"]]
    assert {out["output_type"] for out in outputs} <= {"stream", "display_data", "execute_result"}
    assert not [out for out in outputs if out.get("name") == "stderr"]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    shown = "\n".join(text for cell in cells for text in texts(cell))
    assert not NOISE.search(shown)


@each
def test_it_names_no_machine_and_is_small(path: Path) -> None:
    assert not MACHINE.search(path.read_text("utf-8"))
    assert path.stat().st_size < LARGEST


@each
def test_links_lead_somewhere(path: Path) -> None:
    said = "\n".join(joined(c["source"]) for c in read(path)["cells"] if c["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)#]+)", said)
    assert links
    assert all((path.parent / link).is_file() for link in links)
    assert all(f"notebooks/{path.name}" in (ROOT / readme).read_text("utf-8") for readme in READMES)


@pytest.mark.slow
@each
def test_it_gives_what_it_shows(path: Path) -> None:
    """Texts are compared where CPU and torch are those of the kept outputs; elsewhere last bits differ."""
    from notebooks.execute import executed, machine

    kept, fresh = read(path), executed(path)
    assert not psutil.Process().children(recursive=True)
    alike = kept["metadata"]["made_on"] == machine()
    for before, now in zip(code(kept), code(fresh), strict=True):
        assert not [out for out in now["outputs"] if out.get("name") == "stderr"]
        assert [out["output_type"] for out in now["outputs"]] == [o["output_type"] for o in before["outputs"]]
        if alike:
            assert texts(now) == texts(before)
