"""Rewrite sft_probe/testing/architectures.json, which `sft-probe ls architectures` prints: try every family.

Run after a change of transformers, peft, the anatomy or the observer (three minutes):
python tests/golden/make_architectures.py
"""

import json
from dataclasses import asdict
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sft_probe.testing.families import FAMILIES
from sft_probe.testing.survey import survey


def main() -> None:
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        rows = [asdict(survey(family, Path(folder))) for family in FAMILIES]
    found = {"versions": {name: version(name) for name in ("transformers", "peft")}, "rows": rows}
    path = Path(str(resources.files("sft_probe.testing"))) / "architectures.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
