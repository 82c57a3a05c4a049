from __future__ import annotations

import os
import subprocess
import sys

import pytest

DIGEST = """
import hashlib, tempfile
from pathlib import Path
from sft_probe.world import build, materialise
from sft_probe.world.corpus import EXPOSURE, documents

root = materialise(Path(tempfile.mkdtemp())).root
digest = hashlib.sha256()
for path in sorted(root.rglob("*")):
    if path.is_file():
        text = path.read_bytes().replace(str(root).encode(), b"")
        digest.update(str(path.relative_to(root)).encode() + text)
for document in documents(build(), EXPOSURE.shrunk(0.02)):
    digest.update(repr(document).encode())
print(digest.hexdigest())
"""


def _digest(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def reference() -> str:
    return _digest("0")


@pytest.mark.parametrize("hash_seed", ["1", "4242", "random"])
def test_world_is_byte_identical_in_every_process(hash_seed: str, reference: str) -> None:
    assert len(reference) == 64
    assert _digest(hash_seed) == reference


def test_importing_the_world_needs_no_torch() -> None:
    code = "import sys, sft_probe.world; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
