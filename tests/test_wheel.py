"""What is installed is what was written: the wheel carries weights, templates and words."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = (
    "sft_probe/py.typed",
    "sft_probe/world/base/model.safetensors",
    "sft_probe/world/base/tokenizer.json",
    "sft_probe/world/base/chat_template.jinja",
    "sft_probe/study/templates/demo.yaml",
    "sft_probe/report/templates/report.html.j2",
    "sft_probe/report/words.yaml",
    "sft_probe/report/fonts/chinese.ttf",
    "sft_probe/report/fonts/README.md",
)


@pytest.mark.slow
def test_the_wheel_carries_the_base_and_the_templates(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        size = sum(i.file_size for i in archive.infolist() if i.filename.startswith("sft_probe/world/base/"))
    assert [name for name in NEEDED if name not in names] == []
    assert size < 12_000_000
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "sft_probe").rglob("*.py")}
    assert code <= names
