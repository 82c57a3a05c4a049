"""`python -m sft_probe`, which is also what `accelerate launch -m sft_probe` starts on every device."""

from __future__ import annotations

import sys

from sft_probe.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
