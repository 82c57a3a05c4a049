"""What the benchmarks look at: the demo study, models fine-tuned as in it, and states of both on its text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe import parse_study
from sft_probe.execute.prepare import Prepared, prepare
from sft_probe.observe.needs import States
from sft_probe.study.arms import resolve
from sft_probe.study.templates import read_template
from sft_probe.train.sft import ArmRun, TrainedArm, run_sft

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from transformers import TrainerCallback

    from sft_probe.study.spec import StudySpec

ARM = "full_mid"


def demo(work: Path) -> tuple[StudySpec, Prepared]:
    """The demo study, everything prepared but nothing run."""
    text = read_template("demo").replace("output_dir: runs/demo ", f"output_dir: {work / 'demo'} ")
    spec = parse_study(text, file="demo.yaml")
    return spec, prepare(spec)


def train(
    spec: StudySpec,
    prepared: Prepared,
    scratch: Path,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    steps: int | None = None,
) -> TrainedArm:
    """The arm `ARM` of the demo, for as many steps as the demo takes or as asked."""
    training = resolve(spec, ARM)
    if steps:
        training = training.model_copy(update={"max_steps": steps})
    run = ArmRun(arm=spec.arms[ARM], training=training, seed=0, max_length=spec.data.max_length)
    return run_sft(run, prepared.base, prepared.data, scratch, callbacks)


def states_of_both(work: Path, tokens: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(layers, tokens, hidden) residual states of a fine-tuned model and of its base on plain text."""
    spec, prepared = demo(work)
    need = States(dataset="generic", at="all", limit=max(200, tokens // 20))
    tuned = train(spec, prepared, work / "trainer").model
    after = prepared.observer.look(tuned, [need])[need].states
    before = prepared.observer.look_at_base([need])[need].states
    if after.shape[1] < tokens:
        raise ValueError(f"only {after.shape[1]} tokens of plain text, not {tokens}")
    return after[:, :tokens].copy(), before[:, :tokens].copy()
