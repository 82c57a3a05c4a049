"""Memory does not grow with batch times length times vocabulary: peaks of fresh processes, one look each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHUNK = 2**20  # logits in memory at once, fewer than by default so that the test is short
CHILD = """
import sys
import torch
from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.models.load import pristine
from sft_probe.observe import forward
from sft_probe.observe.needs import Scores, TokenDivergence, TokenLogprobs
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import tiny_model, tiny_tokenizer, tiny_tuned

def kib(field):
    status = open("/proc/self/status").read()
    return int(status.split(field + ":")[1].split()[0])

vocabulary, length, rows, forward.CHUNK = map(int, sys.argv[1:])
torch.set_num_threads(1)
model = tiny_model(vocab_size=vocabulary, hidden=16, layers=1, context=length)
tokenizer = tiny_tokenizer()
base = pristine(model, tokenizer, path="tiny", device=torch.device("cpu"))
tuned = tiny_tuned(base)
texts = [("cow dog " * length)[i : i + 8 * length] for i in range(rows)]
data = DataSets({"text": Dataset("text", tuple(Example(id=t, target=t) for t in texts))})
def look(limit):
    needs = [kind(dataset="text", limit=limit) for kind in (Scores, TokenLogprobs, TokenDivergence)]
    Observer(base, data, token_budget=rows * length).look(tuned, needs)
look(1)
before = kib("VmRSS")
look(None)
print(before, kib("VmHWM"))
"""


def growth(vocabulary: int, length: int, rows: int) -> int:
    """Bytes by which the peak of a process lies above what it held before it looked at all rows."""
    arguments = map(str, (vocabulary, length, rows, CHUNK))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, peak = map(int, done.stdout.split()[-2:])
    return max(0, peak - before) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak from /proc")
def test_the_peak_does_not_grow_with_vocabulary_and_length() -> None:
    """Four times the vocabulary and four times the tokens: 16 times the logits, which are never all there."""
    small, large = growth(2**15, 128, 2), growth(2**17, 256, 4)
    at_once = 4 * 2**17 * 256 * 4
    assert large < at_once / 4
    assert large - small < at_once / 8
