"""`python -m analyses.performance.child module:function JSON`: call it, print its result and its memory."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path


def memory(key: str) -> int:
    """Bytes from /proc/self/status: `VmRSS` now, `VmHWM` at the highest so far. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def main() -> None:
    where, arguments = sys.argv[1], json.loads(sys.argv[2])
    module, _, name = where.partition(":")
    function = getattr(import_module(module), name)
    before = memory("VmRSS")
    found = function(**arguments) or {}
    print(json.dumps({**found, "rss_before": before, "peak_rss": memory("VmHWM")}))


if __name__ == "__main__":
    main()
