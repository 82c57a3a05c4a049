"""What every study needs before its first step: data read and audited, base loaded, battery built."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sft_probe.data.audit import Finding, audit
from sft_probe.data.chat import ensure_chat_template
from sft_probe.data.examples import Dataset, DataSets
from sft_probe.data.fit import drop_too_long
from sft_probe.data.load import is_planted, load_dataset, planted_parts
from sft_probe.data.split import hold_out
from sft_probe.data.strata import HELD_OUT, PARAPHRASED, VERBATIM, decomposed
from sft_probe.errors import DataError, SpecError
from sft_probe.models.load import LoadedModel, load_base
from sft_probe.observe.cache import cache_folder
from sft_probe.observe.needs import Need
from sft_probe.observe.observer import Observer
from sft_probe.probes.base import Probe
from sft_probe.probes.battery import Battery, make_probe
from sft_probe.probes.selection import select
from sft_probe.schema import RELEARNING
from sft_probe.store.documents import write_audit, write_environment, write_probes, write_rows
from sft_probe.study.arms import trains_all_turns
from sft_probe.study.decompose import PROBE
from sft_probe.train.edits.base import Edit
from sft_probe.train.edits.pipeline import LoggedChange, edit_training
from sft_probe.train.relearning import ABOUT
from sft_probe.world import materialise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from sft_probe.study.spec import DataSpec, ModelSpec, ProbeSpec, StudySpec

SMALL_MODEL = 20_000_000  # parameters
PACKAGES = ("sft-probe", "torch", "transformers", "trl", "peft", "lm-eval", "datasets", "accelerate", "numpy")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything the runs of a study share.

    given: the study's data.  data: the same with what the probes derived from it.  optional: names of probes
    that are left out where the data, once edited, lack what they need.
    """

    base: LoadedModel
    given: DataSets
    data: DataSets
    observer: Observer
    probes: tuple[Probe, ...]
    findings: tuple[Finding, ...]
    environment: dict[str, Any]
    optional: frozenset[str] = frozenset()

    def battery(self) -> Battery:
        """A battery with its own clock; the observer, and with it what was seen of the base, is shared."""
        return Battery(self.probes, self.observer)

    def edited(self, edits: Sequence[Edit], seed: int) -> tuple[Prepared, tuple[LoggedChange, ...]]:
        """The same with edited training rows, of which probes derive anew, and the log of the edits.

        Raises: SpecError if an edit or, after it, a probe does not fit the data.
        """
        if not edits:
            return self, ()
        done = edit_training(
            edits, self.given, lambda data, needs: self.observer.on(data).look_at_base(needs), seed
        )
        chosen = select(self.probes, done.data, optional=self.optional)
        for name, reason in chosen.not_applicable.items():
            if name not in self.optional:
                raise SpecError(f"after the edits of this arm {reason}", field=f"probes.{name}")
        changed = replace(
            self,
            given=done.data,
            data=chosen.data,
            observer=self.observer.on(chosen.data),
            probes=chosen.probes,
        )
        return changed, done.log


def prepare(spec: StudySpec, *, keep: bool = True) -> Prepared:
    """Read and audit the data, load the base, build the probes; keep what the report needs of them.

    keep: False in a process that works on a study which another one has begun, and writes nothing of it.
    Raises: InputError for whatever cannot be used, before any compute is spent.
    """
    probes = make_probes(spec.probes)
    data = load_data(spec.data, spec.output_dir, seed=spec.data_seed)
    base = load_base(spec.base)
    set_threads(spec.base, base)
    ensure_chat_template(base.tokenizer, spec.data.chat_template)
    data = fitting(data, spec.data, base.tokenizer)
    data = strata_of(data, spec)
    optional = frozenset(probe.name for probe in spec.probes if probe.optional)
    chosen = select(probes, data, optional=optional)
    findings = audit(
        data["train"], data["test"], base.tokenizer, spec.data.max_length, all_turns=trains_all_turns(spec)
    )
    environment = describe_environment(spec.base, base, data)
    if keep:
        write_audit(spec.output_dir, findings)
        stop_on_errors(findings, spec.data.allow)
        write_environment(spec.output_dir, environment)
        write_rows(spec.output_dir, data["train"].examples)
        abouts = {probe.name: probe.about for probe in probes} | ({RELEARNING: ABOUT} if spec.revive else {})
        write_probes(spec.output_dir, abouts, chosen.not_applicable)
    observer = Observer(
        base,
        chosen.data,
        benchmark_paths=task_folders(spec.data.include_path, spec.output_dir),
        cache=cache_folder(spec.output_dir),
    )
    return Prepared(
        base=base,
        given=data,
        data=chosen.data,
        observer=observer,
        probes=chosen.probes,
        findings=findings,
        environment=environment,
        optional=optional | _sparable(spec),
    )


def _sparable(spec: StudySpec) -> frozenset[str]:
    """Probes that an arm which only takes a gain apart can do without: all but the one it is there for."""
    return frozenset(probe.name for probe in spec.probes if spec.decompose and probe.name != PROBE)


def set_threads(spec: ModelSpec, base: LoadedModel) -> None:
    """Threads of one CPU operation: as asked, else one for a model too small to be worth dividing.

    With two threads on two cores, whatever else runs on the machine makes one wait for the other at every
    small operation: the demo took more than ten times as long beside one other process (`docs/decisions.md`).
    """
    small = base.model.num_parameters() < SMALL_MODEL
    if spec.cpu_threads or small:
        torch.set_num_threads(spec.cpu_threads or 1)


def make_probes(specs: Iterable[ProbeSpec]) -> tuple[Probe, ...]:
    """Probes with checked options. Raises: UnknownComponent, SpecError."""
    return tuple(make_probe(spec.name, spec.options) for spec in specs)


def load_data(spec: DataSpec, output_dir: Path, *, seed: int) -> DataSets:
    """Every named data set of a study, shuffled by `seed`; "test" is held out of "train" if none is given."""
    sources = {"train": spec.train, **spec.others} | ({"test": spec.test} if spec.test else {})
    sets = {
        name: load_data_set(source, name, output_dir, row_format=spec.format, seed=seed)
        for name, source in sources.items()
    }
    if not spec.test:
        sets["train"], sets["test"] = hold_out(sets["train"], spec.test_size, seed)
    for name, limit in (("train", spec.max_train_rows), ("test", spec.max_test_rows)):
        sets[name] = Dataset(name, sets[name].examples[:limit], sets[name].source)
    return DataSets(sets)


def fitting(data: DataSets, spec: DataSpec, tokenizer: PreTrainedTokenizerBase) -> DataSets:
    """The data as the study asks: as they are, or without train and test rows that are too long.

    Raises: DataError if none is left.
    """
    if spec.too_long == "cut":
        return data
    fitted = {name: drop_too_long(data[name], tokenizer, spec.max_length) for name in ("train", "test")}
    return DataSets({**data, **fitted})


def strata_of(data: DataSets, spec: StudySpec) -> DataSets:
    """The data with strata of facts and questions about them, if the study asks for `decompose`.

    Raises: DataError if the training rows cannot be divided so.
    """
    if (asked := spec.decompose) is None:
        return data
    shares = {HELD_OUT: asked.held_out, PARAPHRASED: asked.paraphrased, VERBATIM: asked.verbatim}
    return decomposed(data, shares, asked.items, spec.data_seed)


def load_data_set(
    source: str,
    name: str,
    output_dir: Path,
    *,
    row_format: str = "auto",
    limit: int | None = None,
    seed: int = 0,
) -> Dataset:
    """One data set. A planted one is written under `<output_dir>/world` first."""
    if not is_planted(source):
        return load_dataset(source, name=name, format=row_format, limit=limit, seed=seed)
    path = materialise(output_dir / "world").path(*planted_parts(source))
    return load_dataset(str(path), name=name, limit=limit, seed=seed)


def task_folders(include_path: Iterable[str], output_dir: Path) -> tuple[Path, ...]:
    """Folders with lm-eval task YAML: the planted world's and the user's. Raises: DataError."""
    for folder in include_path:
        if not Path(folder).is_dir():
            raise DataError("this folder of lm-eval tasks does not exist.", file=folder, field="include_path")
    return (materialise(output_dir / "world").benchmarks, *(Path(folder) for folder in include_path))


def needs_of(probes: Iterable[Probe]) -> tuple[Need, ...]:
    """All needs of some probes, each once."""
    return tuple(dict.fromkeys(need for probe in probes for need in probe.needs()))


def stop_on_errors(findings: Iterable[Finding], allowed: Iterable[str]) -> None:
    """Raises: DataError for the first finding that would make the run meaningless and was not allowed."""
    for finding in findings:
        if finding.severity == "error" and finding.code not in allowed:
            raise DataError(
                finding.message,
                field="data",
                remedy=f"To run all the same, add '{finding.code}' to `data.allow`.",
            )


def describe_environment(spec: ModelSpec, base: LoadedModel, data: DataSets) -> dict[str, Any]:
    """Versions, device, and hashes of base and data: what somebody needs to repeat the numbers."""
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "command": " ".join(["sft-probe", *sys.argv[1:]]),
        "device": str(base.device),
        "cpu_threads": torch.get_num_threads(),
        "base": {"path": spec.model_name_or_path, "sha256": base.digest},
        "data": {name: {"rows": len(data[name]), "sha256": data[name].digest} for name in data},
    }
