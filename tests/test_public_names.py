from __future__ import annotations

import subprocess
import sys

import sft_probe


def test_public_names_are_pinned() -> None:
    assert sft_probe.__all__ == sorted(sft_probe._HOMES)


def test_every_public_name_can_be_imported() -> None:
    for name in sft_probe.__all__:
        assert getattr(sft_probe, name) is not None


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'pandas', 'matplotlib'}"
    code = f"import sft_probe, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
