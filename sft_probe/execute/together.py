"""One study in several processes that train one model together, as `accelerate launch` starts them.

The first process keeps and reports. The others do the same work in a folder that is thrown away, so that no
file has two writers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe.errors import SpecError
from sft_probe.models.load import choose_device
from sft_probe.observe.cache import VARIABLE, cache_folder
from sft_probe.observe.ranks import join
from sft_probe.study.arms import resolve
from sft_probe.train.sft import batch_of_each

if TYPE_CHECKING:
    from sft_probe.execute.executors import Executor
    from sft_probe.study.spec import StudySpec


def follows() -> bool:
    """Whether a launcher started this process beside a first one, which speaks for both."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0"


@contextmanager
def joined(spec: StudySpec, executor: Executor | None) -> Iterator[StudySpec]:
    """The study as this process runs it: as it is, or with a passing folder beside a first process.

    Raises: SpecError if the study cannot be run by several processes.
    """
    ranks = join(cpu=choose_device(spec.base.device).type == "cpu")
    if ranks.count > 1:
        _check(spec, ranks.count, executor)
    if ranks.first:
        yield spec
        return
    if folder := cache_folder(spec.output_dir):
        os.environ.setdefault(VARIABLE, str(folder))
    with tempfile.TemporaryDirectory(prefix="sft-probe-") as passing:
        yield spec.model_copy(update={"output_dir": Path(passing)})


def _check(spec: StudySpec, count: int, executor: Executor | None) -> None:
    if executor:
        raise SpecError(
            "an executor starts processes of its own and cannot be launched in several.",
            field="--executor",
            remedy="Start sft-probe itself, or leave --executor out.",
        )
    for arm in spec.arms:
        batch_of_each(resolve(spec, arm), count)
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() != "true":
        return
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise SpecError("looks need FSDP version 2.", remedy="Add to accelerate launch: --fsdp_version 2.")
    for field, asked in (("save_model", spec.save_model), ("revive", spec.revive)):
        if asked:
            raise SpecError("this is not there for models sharded by FSDP.", field=field)
