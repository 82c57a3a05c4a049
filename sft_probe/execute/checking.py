"""What can be said about a study before compute is spent: its data audited, its probes chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sft_probe.data.audit import Finding, audit
from sft_probe.data.chat import ensure_chat_template
from sft_probe.data.examples import DataSets
from sft_probe.execute.prepare import fitting, load_data, make_probes, strata_of
from sft_probe.models.load import load_tokenizer, model_path
from sft_probe.probes.base import Probe
from sft_probe.probes.selection import Selection, select
from sft_probe.study.arms import trains_all_turns
from sft_probe.train.edits.pipeline import make_edits
from sft_probe.train.regularisers.attach import make_regularisers
from sft_probe.train.sft import make_method
from sft_probe.train.stages import check_stages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from sft_probe.study.spec import StudySpec

MARKS = {"error": "✗", "warning": "!", "info": "·"}


@dataclass(frozen=True, kw_only=True, repr=False)
class Checked:
    """A study that was read. A notebook shows what was found, one sentence a line, worst first.

    left_out: needs and reason of each probe that the data do not allow.
    """

    data: DataSets
    tokenizer: PreTrainedTokenizerBase
    chosen: Selection
    findings: tuple[Finding, ...]
    left_out: Mapping[str, Mapping[str, Any]]

    def sentences(self) -> list[str]:
        """One line per finding about the data, worst first."""
        return [f"{MARKS[found.severity]} {found.code}: {found.message}" for found in self.findings]

    def absences(self) -> list[str]:
        """One line per probe that will not measure."""
        return [
            f"· {name} ({', '.join(about['needs'])}) will not be measured: {about['reason']}"
            for name, about in self.left_out.items()
        ]

    def __repr__(self) -> str:
        return "\n".join([*self.sentences(), *self.absences()]) or "Nothing was found wrong with the data."


def check(spec: StudySpec) -> Checked:
    """Read everything that a study names except the model. Raises: InputError for what cannot be used."""
    for arm in spec.arms.values():
        make_method(arm)
        make_regularisers(arm.regulariser.parts)
        make_edits(arm.edits)
    data = load_data(spec.data, spec.output_dir, seed=spec.data_seed)
    path, trusted = model_path(spec.base.model_name_or_path), spec.base.trust_remote_code
    tokenizer = load_tokenizer(path, trust_remote_code=trusted)
    ensure_chat_template(tokenizer, spec.data.chat_template)
    data = strata_of(fitting(data, spec.data, tokenizer), spec)
    check_stages(spec, data)
    probes = make_probes(spec.probes)
    chosen = select(probes, data, optional={probe.name for probe in spec.probes if probe.optional})
    left_out = {
        probe.name: {"needs": _kinds(probe), "reason": chosen.not_applicable[probe.name]}
        for probe in probes
        if probe.name in chosen.not_applicable
    }
    findings = audit(
        data["train"], data["test"], tokenizer, spec.data.max_length, all_turns=trains_all_turns(spec)
    )
    return Checked(data=data, tokenizer=tokenizer, chosen=chosen, findings=tuple(findings), left_out=left_out)


def _kinds(probe: Probe) -> list[str]:
    """What a probe would look at."""
    return sorted({type(need).__name__ for need in probe.needs()})
